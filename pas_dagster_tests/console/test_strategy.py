"""`pas strategy`: a new strategy works as it is written, and what is told of each is its code's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.docs import index, page
from pas_dagster.strategies.own import load
from pas_dagster_tests.automation.project import BIN, clean_environment
from pas_dagster_tests.lake.processes import PROJECT

STRATEGIES = catalogue({"pelosi": "Nancy Pelosi", "meuser": "Daniel Meuser", "capito": "Shelley Moore Capito"}, {})


def pas(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = clean_environment(PAS_HOME=str(folder / "home"), PAS_STRATEGIES_DIR=str(folder / "own"))
    done = subprocess.run([BIN / "pas", *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_new_strategy_works_its_test_passes_and_it_is_listed(tmp_path: Path):
    pas(tmp_path, "strategy", "new", "my_trend")
    (made,) = load(tmp_path / "own" / "my_trend.py")
    assert made.name == "my_trend" and made.parameters == {"sessions": 60}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "own")]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True)
    assert "4 passed" in done.stdout, done.stdout
    listed = {row["strategy"]: row for row in json.loads(pas(tmp_path, "strategy", "list", "--json"))}
    assert listed["my_trend"]["origin"] == "own" and listed["congress_aggregate"]["origin"] == "built in"
    assert "There is a strategy 'my_trend' already" in pas(tmp_path, "strategy", "new", "my_trend", code=1)
    assert "There is a strategy 'wsb_buzz' already" in pas(tmp_path, "strategy", "new", "wsb_buzz", code=1)
    assert "cannot be a strategy's name" in pas(tmp_path, "strategy", "new", "My-Trend", code=1)
    assert "Hold the fund that has risen most" in pas(tmp_path, "strategy", "show", "my_trend")


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_page_of_a_strategy_is_what_its_code_says(name: str):
    kept = (PROJECT / "docs" / "strategies" / f"{name}.md").read_text()
    assert kept.startswith(page(STRATEGIES[name]).rpartition("\n\n")[0]), "run `pas strategy docs` on the demo's home"


def test_the_list_of_pages_is_complete():
    assert (PROJECT / "docs" / "strategies" / "README.md").read_text() == index(STRATEGIES)
