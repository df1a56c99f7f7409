"""`pas explain` and `pas risk` retell what is stored, on a lake in memory in place of the home's."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pas_dagster import settings
from pas_dagster.allocation.explain import retell
from pas_dagster.assets.allocation import decide_shares
from pas_dagster.console import explain, risk
from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets import sleeved
from pas_dagster_tests.assets.conftest import MemoryLake

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None)
DAYS = [date(2024, 2, 5), date(2024, 2, 12), date(2024, 2, 19)]  # the last is a holiday
TUESDAY = date(2024, 2, 20)
RULE = "AAA would be 40.00 % of the account; a name [may] be at most 25.00 %"


def cut(day: date, name: str, rule: str) -> dict[str, Any]:
    return {"decision": day, "what": "name", "name": name, "before": 0.4, "after": 0.25, "rule": rule}


@pytest.fixture(scope="module")
def lake() -> Iterator[MemoryLake]:
    with sleeved.home() as made:
        shares = decide_shares(made, DAYS, CHOSEN)
        for name in ("allocation", "alloc_log", "scheme_weights", "scheme_outcomes"):
            sleeved.keep(made, name, getattr(shares, {"alloc_log": "log"}.get(name, name.removeprefix("scheme_"))))
        sessions = [date(2024, 2, 5), date(2024, 2, 9), date(2024, 2, 12), date(2024, 2, 16), TUESDAY]
        made.put("portfolios", *({"decision": day, "sleeve": "wsb_buzz", "symbol": "AAA"} for day in sessions))
        made.put("cuts", cut(date(2024, 2, 9), "AAA", RULE), cut(TUESDAY, "BBB", "BBB was too large"))
        yield made


@pytest.fixture(autouse=True)
def shown(lake: MemoryLake, monkeypatch: pytest.MonkeyPatch) -> MemoryLake:
    """The commands meet this lake, in a wide terminal."""
    point(monkeypatch, lake)
    return lake


def point(monkeypatch: pytest.MonkeyPatch, lake: MemoryLake) -> None:
    monkeypatch.setenv("COLUMNS", "4000")
    for module in (explain, risk):
        monkeypatch.setattr(module, "Lake", lambda *_: nullcontext(lake))
        monkeypatch.setattr(module, "read_home", lambda _: {"world": "real"})
        monkeypatch.setattr(module.postgres, "running", lambda _: nullcontext("no address"))


class TestExplain:
    def test_retells_the_stored_log(self, lake: MemoryLake, capsys: pytest.CaptureFixture[str]):
        explain.allocation(CHOSEN, DAYS[1], as_json=False)
        told = capsys.readouterr().out
        rows = lake.read(TABLES["alloc_log"], first=DAYS[1], last=DAYS[1])
        steps = rows.astype(object).where(rows.notna(), None)[["step", "sleeve", "value", "note"]].to_dict("records")
        assert told.startswith(
            f"Allocation of {DAYS[1]}\nDecision: optimal.\nFollows: max_sharpe; the settings say so.\n"
        )
        assert retell(steps) in told
        shares = lake.read(TABLES["allocation"], first=DAYS[1], last=DAYS[1]).set_index("sleeve")["weight"]
        for name, share in shares[shares > 0].drop(CASH, errors="ignore").items():
            assert f"{name} {100 * share:.1f} %" in told
        assert "Weights before: " in told

    def test_shows_what_every_scheme_answered_the_one_that_is_followed_first(
        self, lake, capsys: pytest.CaptureFixture[str]
    ):
        explain.allocation(CHOSEN, DAYS[1], as_json=False)
        table = capsys.readouterr().out.split("What every scheme answered")[1].splitlines()
        assert table[2].split()[:3] == ["max_sharpe", "True", "optimal"]
        assert len({line.split()[0] for line in table[2:11]}) == 9

    @pytest.mark.parametrize(
        ("day", "decision"),
        [
            (date(2024, 2, 5), DAYS[0]),
            (date(2024, 2, 11), DAYS[0]),
            (DAYS[1], DAYS[1]),
            (date(2030, 1, 1), DAYS[2]),
            (None, DAYS[2]),
        ],
    )
    def test_is_of_the_allocation_in_force(self, day: date | None, decision: date, capsys: pytest.CaptureFixture[str]):
        explain.allocation(CHOSEN, day, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert told["decision"] == decision.isoformat()
        assert [step["step"] for step in told["steps"]][:2] == ["status", "follows"]
        assert told["steps"][0]["sleeve"] is None

    @pytest.mark.parametrize(
        ("day", "words"),
        [
            (date(2024, 2, 5), "Nothing was cut off the target of 2024-02-05 by caps or regime."),
            (date(2024, 2, 9), f"Cut off the target of 2024-02-09\n{RULE}\n"),
            (date(2024, 2, 11), f"Cut off the target of 2024-02-09\n{RULE}\n"),  # a Sunday
            (date(2024, 2, 16), "Nothing was cut off the target of 2024-02-16"),
            (DAYS[2], "Cut off the target of 2024-02-20\nBBB was too large\n"),  # a holiday trades the day after
            (None, "Cut off the target of 2024-02-20\nBBB was too large\n"),
        ],
    )
    def test_says_what_was_cut_off_the_target_in_force(
        self, day: date | None, words: str, capsys: pytest.CaptureFixture[str]
    ):
        explain.allocation(CHOSEN, day, as_json=False)
        assert words in capsys.readouterr().out

    def test_of_a_day_before_the_first_allocation_is_one_clear_sentence(self):
        with pytest.raises(PasError) as caught:
            explain.allocation(CHOSEN, date(2024, 2, 4), as_json=False)
        assert str(caught.value) == "There is no allocation at or before 2024-02-04; the first is of 2024-02-05."

    def test_without_any_allocation_is_one_clear_sentence(self, monkeypatch: pytest.MonkeyPatch):
        with MemoryLake() as empty:
            point(monkeypatch, empty)
            with pytest.raises(PasError, match=r"^There is no allocation yet\.$"):
                explain.allocation(CHOSEN, None, as_json=False)
            with pytest.raises(PasError, match=r"^There is no allocation at or before 2024-02-04\.$"):
                explain.allocation(CHOSEN, date(2024, 2, 4), as_json=False)

    def test_without_a_home_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch):
        for module, call in (
            (explain, lambda: explain.allocation(CHOSEN, None, False)),
            (risk, lambda: risk.run(CHOSEN, False)),
        ):
            monkeypatch.setattr(module, "read_home", lambda _: {})
            with pytest.raises(PasError, match="There is no data in .* yet. Try: pas demo"):
                call()


class TestRisk:
    @pytest.fixture
    def report(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryLake]:
        monday = {"decision": DAYS[1]}
        with MemoryLake() as lake:
            lake.put(
                "exposures",
                {**monday, "kind": "total", "name": "gross", "value": 0.8, "usd": 800_000.4},
                {**monday, "kind": "sleeve", "name": "wsb_buzz", "value": 0.5, "risk": 0.25},
                {**monday, "kind": "factor", "name": "mkt_rf", "value": 1.234},
                {"decision": DAYS[0], "kind": "total", "name": "gross", "value": 0.1},
            )
            note = "a tail of 0.01 needs 100 periods"
            lake.put(
                "risk_metrics",
                {
                    **monday,
                    "metric": "var_95_monte_carlo",
                    "value": -0.0213,
                    "usd": -21_300.0,
                    "error": 0.0004,
                    "note": "252 sessions",
                },
                {**monday, "metric": "var_99_historical", "value": None, "note": note},
            )
            lake.put("stress", {**monday, "scenario": "2020", "kind": "replay", "value": -0.31, "covered": 0.9})
            rule = {"known_on": TUESDAY, "severity": "warning", "since": TUESDAY, "status": "fired"}
            lake.put(
                "alerts",
                {**rule, "rule": "tail [red]", "active": True, "message": "tail [red]: too deep"},
                {**rule, "rule": "other", "active": False, "message": "nothing"},
            )
            point(monkeypatch, lake)
            yield lake

    def test_shows_the_newest_report_in_percent_and_dollars(
        self, report: MemoryLake, capsys: pytest.CaptureFixture[str]
    ):
        risk.run(CHOSEN, as_json=False)
        told = capsys.readouterr().out
        lines = [line.split() for line in told.splitlines()]
        assert told.startswith("Risk of the target, as known before 2024-02-12\n")
        assert ["gross", "80", "800,000"] in lines
        assert ["wsb_buzz", "50", "25"] in lines
        assert ["mkt_rf", "1.23"] in lines
        assert ["2020", "-31", "90"] in lines

    def test_shows_an_error_in_the_unit_of_its_number_and_why_there_is_none(
        self, report, capsys: pytest.CaptureFixture[str]
    ):
        risk.run(CHOSEN, as_json=False)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["var_95_monte_carlo", "-0.0213", "-21,300", "0.0004"] in lines
        assert ["var_99_historical", "a", "tail", "of", "0.01", "needs", "100", "periods"] in lines

    def test_names_the_rules_in_force_as_they_are_called(self, report: MemoryLake, capsys: pytest.CaptureFixture[str]):
        risk.run(CHOSEN, as_json=False)
        told = capsys.readouterr().out.split("Rules in force")[1]
        assert "tail [red]: too deep" in told and "2024-02-20" in told
        assert "nothing" not in told

    def test_as_json_has_days_for_people_and_null_for_what_is_not_known(
        self, report, capsys: pytest.CaptureFixture[str]
    ):
        risk.run(CHOSEN, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert set(told) == {"exposures", "risk_metrics", "stress", "alerts"}
        assert told["risk_metrics"][1]["value"] is None
        assert {row["decision"][:10] for row in told["exposures"]} == {"2024-02-12"}
        assert pd.Timestamp(told["alerts"][0]["since"]) == pd.Timestamp(TUESDAY)

    def test_without_a_report_is_one_clear_sentence(self):
        with pytest.raises(
            PasError, match=r"^There is no risk report yet: materialise risk_metrics, or run `pas backfill`\.$"
        ):
            risk.run(CHOSEN, as_json=False)
