"""The page docs/real-data.md, run as it stands: its commands, and what it says they print."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "real-data.md"
DATA = Path(os.environ.get("PAS_SHARED_DATA", ROOT.parent / "shared" / "data"))
FIRST, LAST = "2025-09-02", "2026-07-31"  # the page's years of history would take minutes

pytestmark = [
    pytest.mark.xdist_group("real_data"),
    pytest.mark.shared,
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "prices").is_dir(), reason=f"no recorded data in {DATA} (PAS_SHARED_DATA)"),
]


@dataclass(frozen=True)
class Shown:
    """A command of the page and the output that the page shows for it, if it shows any."""

    command: str
    output: list[str]


def shown() -> list[Shown]:
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: list[Shown] = []
    for kind, text in blocks:
        lines = text.strip().splitlines()
        if kind == "sh":
            found += [Shown(line, []) for line in lines]
        else:
            found[-1] = Shown(found[-1].command, [" ".join(line.split()) for line in lines])
    return [one for one in found if one.command.startswith("pas ")]


IMPORTS = [one for one in shown() if one.command.startswith("pas import")]
BACKFILL = next(one for one in shown() if one.command.startswith("pas backfill"))
LATER = [one for one in shown() if one.command.startswith(("pas sql", "pas status"))]


STORED = {
    "prices": 2_648_914 + 396_414,
    "sp500_index": 2_926,
    "politician_trades": 32_646,
    "fama_french_factors": 2_557,
    "treasury_rates": 2_883,
}


class Terminal:
    """Runs commands of the page in a home of its own."""

    def __init__(self, home: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PAS_", "DAGSTER"))}
        self._environment = {**kept, "PAS_HOME": str(home), "DATA": str(DATA), "COLUMNS": "200", "NO_COLOR": "1"}
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"

    def __call__(self, command: str) -> str:
        words = [word.replace("$DATA", str(DATA)) for word in shlex.split(command)]
        done = subprocess.run(words, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
        return done.stdout

    def ask(self, query: str) -> list[dict[str, Any]]:
        return json.loads(self(f"pas sql {shlex.quote(query)} --json"))


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A home with every import of the page made."""
    terminal = Terminal(tmp_path_factory.mktemp("real"))
    for one in IMPORTS:
        printed = [" ".join(line.split()) for line in terminal(one.command).splitlines()]
        lacking = [line for line in one.output if line not in printed]
        assert one.output and not lacking, f"{one.command} does not print {lacking}, but {printed}"
    return terminal


def test_the_page_shows_an_import_of_every_dataset_in_use() -> None:
    assert {one.command.split()[2] for one in IMPORTS} == {
        "prices",
        "universe",
        "sp500_index",
        "politician_trades",
        "fama_french_factors",
        "treasury_rates",
    }


def test_rows_are_what_the_page_says(terminal: Terminal) -> None:
    counts = ", ".join(f"(select count(*) from {name}) as {name}" for name in STORED)  # noqa: S608
    assert terminal.ask(f"select {counts}") == [STORED]
    refused = terminal.ask("select dataset, count(*) as n from quarantine group by all order by all")
    assert refused == [
        {"dataset": "politician_trades", "n": 30},
        {"dataset": "prices", "n": 7},
        {"dataset": "treasury_rates", "n": 13},
    ]


def test_importing_again_changes_nothing(terminal: Terminal) -> None:
    newest = "select max(snapshot_id) as n from snapshots()"
    before = terminal.ask(newest)
    for one in IMPORTS:
        if "sp500_current" in one.command or "treasury" in one.command:  # each of the others takes longer, no more
            terminal(one.command)
    assert terminal.ask(newest) == before


def test_the_backfill_ends_with_the_account(terminal: Terminal) -> None:
    command = re.sub(r"--from \S+", f"--from {FIRST}", BACKFILL.command)
    assert LAST in command
    printed = terminal(command)
    for part in (
        "Datasets",
        "Strategies: newest weights",
        "Allocation: share of the account",
        "Order batch of",
        "equity",
    ):
        assert part in printed, printed
    _make_sense(terminal)
    for one in LATER:
        assert terminal(one.command)


def _make_sense(terminal: Terminal) -> None:
    """No strategy holds for no reason, every book adds up, and nothing is held after its last bar."""
    decided = terminal.ask(
        "select strategy, cause, count(distinct decision) as n from strategy_weights "
        # Datasets that the page does not bring in; and these two trade funds that its files do not have.
        "where cause <> 'band' and note not like 'nothing is known of %' "
        "and strategy not in ('policy_50_25_25', 'glide_path') group by all order by all"
    )
    # The file ends in June and may be two weeks old; the senator from West Virginia is not in the House's file.
    assert {(str(row["strategy"]), str(row["cause"])): row["n"] for row in decided} == {
        ("congress_aggregate", "age"): 4,
        ("follow_capito", "age"): 1,
        ("follow_capito", "data"): 9,
        ("follow_meuser", "age"): 1,
        ("follow_pelosi", "age"): 1,
    }
    sums = terminal.ask(
        "select count(*) as n from (select sum(weight) as w from strategy_weights group by strategy, decision "
        "having abs(w - 1) > 1e-9)"
    )
    assert sums == [{"n": 0}]
    late = terminal.ask(
        "with bars as (select symbol, max(known_on) as last from prices group by symbol) "
        "select count(*) as n from strategy_weights join bars using (symbol) where last < decision - 7"
    )
    assert late == [{"n": 0}]
    unpriced = terminal.ask(
        "select distinct strategy from strategy_weights where symbol <> '$CASH' "
        "and symbol not in (select symbol from prices) order by strategy"
    )
    assert [row["strategy"] for row in unpriced] in ([], ["congress_aggregate"])
    account = terminal.ask(
        "select count(*) as n, min(equity) as low, max(gross_exposure) as most from account_metrics_paper"
    )
    assert account[0]["n"] > 200 and account[0]["low"] > 500_000
    assert account[0]["most"] <= 1 + 1e-6
