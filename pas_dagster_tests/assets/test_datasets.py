"""Datasets in bad weather, through Dagster, HTTP and the lake: nothing wrong lands, the last good days keep serving."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pas_dagster_tests.lake.processes import clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("storm")]
BEFORE, DAY, TODAY = "2024-06-26", "2024-06-27", "2024-06-28"


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, "-m", "pas_dagster_tests.assets.storm", str(tmp_path_factory.mktemp("storm") / "home")]
    done = subprocess.run(
        command,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_good_weather_stores_the_day(storm: dict[str, Any]) -> None:
    for name in ("treasury_rates", "prices", "reddit_mentions"):
        found = storm[f"{name} before"]
        assert found["said"] is None
        assert list(found["days"]) == [BEFORE]


def test_a_changed_page_fails_with_a_sentence_and_leaves_what_is_stored(storm: dict[str, Any]) -> None:
    found = storm["renamed"]
    assert "FRED Treasury yields at https://fred.stlouisfed.org/" in found["said"]
    assert "Saved copy: " in found["said"]
    assert f"What is stored goes on serving; it ends on {BEFORE}, 1 days before." in found["said"]
    assert found["days"] == storm["treasury_rates before"]["days"]


def test_a_day_that_has_rows_is_not_emptied(storm: dict[str, Any]) -> None:
    found = storm["emptied quiet day"]
    assert "now the source gives none" in found["said"]
    assert "--accept-losses" in found["said"]
    assert found["days"] == storm["quiet day"]["days"]
    assert storm["emptied"]["said"] is not None


def test_the_next_run_heals(storm: dict[str, Any]) -> None:
    assert storm["healed"]["said"] is None
    assert set(storm["healed"]["days"]) == {BEFORE, DAY}


def test_the_stand_in_serves_and_a_check_says_so(storm: dict[str, Any]) -> None:
    found = storm["challenged"]
    assert found["said"] is None
    assert found["providers"] == ["alpaca", "yahoo"]
    assert "first_choice_served" in found["failed checks"]
    assert storm["first choice again"]["providers"] == ["yahoo"]
    assert storm["first choice again"]["days"] == found["days"]


def test_old_bytes_are_read_again_without_asking(storm: dict[str, Any]) -> None:
    assert storm["again"]["said"] is None
    assert storm["again"]["days"] == storm["first choice again"]["days"]
    assert storm["asked while again"] == 0


def test_a_snapshot_is_of_its_own_day(storm: dict[str, Any]) -> None:
    assert set(storm["today"]["days"]) == {BEFORE, TODAY}
    assert storm["past evening"]["days"] == storm["today"]["days"]
