"""`pas backtest` as a user runs it, on a small made-up market, with strategies of the user's own that go wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.market import Market
from benchmarks.strategies import fill
from pas_dagster_tests.automation.project import BIN, clean_environment
from pas_dagster_tests.lake.processes import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backtest")]
FIRST, LAST = date(2021, 1, 4), date(2023, 6, 30)
RANGE = ["--from", "2023-02-01", "--to", "2023-06-30"]
NAMES = ("congress_aggregate", "wiki_attention_surge", "volatility_scaled_momentum")

OWN = '''
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

@strategy(name="{name}", title="Own", cadence=Cadence.WEEKLY_MON, reads={{"prices": Window(sessions=20)}})
def {name}(data: AsOf) -> Weights:
    """Own."""
    {body}
'''
BODIES = {
    "own_good": 'return Weights.equal(["SPY", "QQQ"])',
    "own_raises": 'raise RuntimeError("no luck")',
    "own_loops": "while True: pass",
    "own_nan": 'return Weights({"SPY": float("nan")})',
    "own_negative": 'return Weights({"SPY": -0.5})',
    "own_gross": 'return Weights({"SPY": 0.8, "QQQ": 0.8})',
    "own_peeks": 'later = data._history.table("prices"); later = later[later["known_on"] >= str(data.decision)]; '
    'return Weights.equal(later.nlargest(1, "total_return")["symbol"])',
}


class Home:
    """A home with the facts of a small market and a folder of strategies."""

    def __init__(self, folder: Path) -> None:
        self.home, self.own = folder / "home", folder / "own"
        self.own.mkdir()
        for name, body in BODIES.items():
            (self.own / f"{name}.py").write_text(OWN.format(name=name, body=body))
        (self.own / "own_syntax.py").write_text("def nothing(:\n")
        fill(self.home, Market(40, FIRST, LAST))

    def pas(self, *arguments: str, code: int = 0, **variables: str) -> str:
        given = {"PAS_HOME": str(self.home), "PAS_WORLD": "real", "PAS_STRATEGIES_DIR": str(self.own), **variables}
        environment = clean_environment(PAS_STRATEGY_SECONDS="0.5", **given)
        done = subprocess.run([BIN / "pas", *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def backtest(self, *arguments: str, **variables: str) -> dict[str, Any]:
        said = self.pas("backtest", *arguments, *RANGE, "--json", **variables)
        return json.loads(said[said.index("{") :])

    def sql(self, query: str) -> list[dict[str, Any]]:
        return json.loads(self.pas("sql", query, "--json"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    yield Home(tmp_path_factory.mktemp("backtest"))


def rows(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["strategy"]: row for row in said["strategies"]}


@pytest.fixture(scope="module")
def everything(home: Home) -> dict[str, Any]:
    """One backtest of three built-in strategies and all of the user's own."""
    return home.backtest(*NAMES, *BODIES, "own_syntax")


def test_strategies_of_the_users_own_are_in_it_and_faulty_ones_fail_alone(home: Home, everything: dict[str, Any]):
    found = rows(everything)
    assert {*NAMES, "own_good"} <= set(found)
    assert all(found[name]["faults"] == 0 and found[name]["decisions"] > 15 for name in ("own_good", *NAMES[:2]))
    causes = home.sql(
        f"select strategy, count(distinct decision) n from {everything['backtest']}.strategy_weights "
        "where cause = 'fault' group by 1 order by 1"
    )
    faulty = {"own_gross", "own_loops", "own_nan", "own_negative", "own_raises", "own_syntax"}
    assert {row["strategy"] for row in causes} == faulty
    assert {row["n"] for row in causes} == {found["own_good"]["decisions"]}


def test_the_others_come_out_as_if_the_faulty_ones_were_not_there(home: Home, everything: dict[str, Any]):
    alone = rows(home.backtest(*NAMES))
    for name in NAMES:
        for figure in ("net", "gross", "turnover", "cost", "exposure", "capacity", "max_drawdown"):
            assert alone[name][figure] == rows(everything)[name][figure], (name, figure)


def test_looking_ahead_is_reported(everything: dict[str, Any]):
    found = rows(everything)
    assert found["own_peeks"]["lookahead"] >= 1
    assert {found[name]["lookahead"] for name in ("own_good", *NAMES)} == {0}


def test_figures_are_those_of_the_stored_returns(home: Home, everything: dict[str, Any]):
    (told,) = home.sql(
        "select exp(sum(ln(1 + net)) * 252 / count(*)) - 1 as net, "
        "exp(sum(ln(1 + gross)) * 252 / count(*)) - 1 as gross, "
        "sum(turnover) * 252 / count(*) as turnover, sum(cost) * 252 / count(*) as cost, avg(exposure) as exposure "
        f"from {everything['backtest']}.strategy_returns where strategy = 'own_good'"
    )
    found = rows(everything)["own_good"]
    assert {name: found[name] for name in told} == pytest.approx(told, rel=1e-8)
    assert found["gross"] > found["net"] and found["exposure"] > 0.99


def test_the_accounts_own_tables_are_left_alone(home: Home, everything: dict[str, Any]):
    for table in ("strategy_weights", "strategy_returns", "sleeve_trades"):
        assert home.sql(f"select count(*) as n from {table}") == [{"n": 0}]
    assert (home.home / "backtests" / f"{everything['backtest']}.csv").is_file()


def test_only_new_variants_count_as_trials(home: Home, everything: dict[str, Any]):
    again = rows(home.backtest(*NAMES))
    assert again[NAMES[0]]["trials"] == rows(everything)[NAMES[0]]["trials"]
    other = rows(home.backtest(NAMES[0], PAS_STRATEGIES='{"congress_aggregate": {"top_n": 7}}'))
    assert other[NAMES[0]]["trials"] == again[NAMES[0]]["trials"] + 1
    assert other[NAMES[0]]["variant"] != again[NAMES[0]]["variant"]


def test_higher_costs_cost_more(home: Home):
    cheap, dear = (rows(home.backtest("own_good", "--costs", bp, "--audits", "0"))["own_good"] for bp in ("0", "50"))
    assert cheap["cost"] == cheap["impact"] < dear["cost"]
    assert cheap["net"] > dear["net"]


def test_the_table_is_shown_with_its_verdicts(home: Home):
    said = " ".join(home.pas("backtest", "own_good", "own_raises", *RANGE).split())
    assert "Backtest 2023-02-01 to 2023-06-30" in said
    assert "look-ahead audit: 6 random decisions" in said and "no weight moved" in said
    assert "pas sql" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "There is no strategy 'nothing'"),
        (["--from", "2020-01-01"], "--from 2020-01-01 is before 2021-01-04, the first day of this home"),
        (["--from", "2024-01-01"], "Nothing lies between 2024-01-01 and 2023-06-30"),
        (["--costs", "900"], "--costs 900 is outside 0 to 500 basis points"),
    ],
)
def test_what_cannot_be_is_one_sentence(home: Home, arguments: list[str], words: str):
    assert words in home.pas("backtest", *arguments, code=1)


def test_the_audit_names_the_cheater_and_ends_with_one(home: Home):
    said = home.pas("audit", "lookahead", str(home.own / "own_peeks.py"), "--dates", "3", code=1)
    assert "own_peeks" in said and "with the future in reach" in said
    assert "no weight moved in 3 decisions" in home.pas("audit", "lookahead", "own_good", "--dates", "3")
    assert "There is no strategy 'nobody'" in home.pas("audit", "lookahead", "nobody", code=1)
