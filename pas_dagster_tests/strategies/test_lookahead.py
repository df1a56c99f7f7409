"""No strategy looks ahead, and the audit that says so catches those that do."""

from __future__ import annotations

import itertools
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import pytest

from pas_dagster import calendar, lake
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.audit import (
    MOST_FINDINGS,
    Finding,
    Report,
    audit,
    audit_all,
    audit_report,
    perturbed,
    random_decisions,
)
from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights, strategy
from pas_dagster.strategies.history import AsOf, History, Window
from pas_dagster_tests.strategies.worlds import END, START, history, some_days, tables

MEMBERS = {"pelosi": "Nancy Pelosi", "meuser": "Daniel Meuser", "capito": "Shelley Moore Capito"}
READS = {"politician_trades": Window(days=30), "prices": Window(sessions=30), "universe": Window()}


@lru_cache(maxsize=1)
def reports() -> dict[str, Report]:
    """Every strategy on thirty days."""
    made = audit_report(catalogue(MEMBERS, {}).values(), history(), some_days(30), seed=1)
    return {report.strategy: report for report in made}


def cheat(function: Callable[..., Weights], **bound: object) -> Strategy:
    made = strategy(name="cheat", title="Cheat", cadence=Cadence.WEEKLY_MON, reads=READS)(function)
    return replace(made, parameters={**made.parameters, **bound})


@lru_cache(maxsize=1)
def light() -> History:
    """What the cheats here read."""
    return History({name: tables()[name] for name in ("universe", "prices", "corporate_actions", "politician_trades")})


def of_kind(kind: str, findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def said(function: Callable[..., Weights], days: Sequence[date] = (date(2020, 6, 1),)) -> list[str]:
    return [f"{finding.kind}: {finding.difference}" for finding in audit(cheat(function), light(), days)]


def test_no_strategy_looks_ahead_on_thirty_days():
    findings = [finding for report in reports().values() for finding in report.findings]
    assert not findings, "\n".join(map(str, findings))


def test_on_those_days_the_strategies_do_decide():
    for name, report in reports().items():
        assert report.held >= 10, f"{name} held something on {report.held} of 30 days only"
        assert report.failed == 0, name


def test_a_symbol_change_and_a_delisting_are_among_what_is_audited():
    actions = history().table("corporate_actions")
    turns = actions.loc[actions["kind"].isin(["symbol_change", "delisting"]), "event_date"]
    days = [turn.date() + timedelta(shift) for turn in turns for shift in (-1, 0, 1, 2)]
    assert days
    quick = [found for found in catalogue(MEMBERS, {}).values() if found.name != "policy_50_25_25"]  # a second a day
    assert not audit_all(quick, history(), days)


def test_reaching_into_the_history_is_caught():
    def next_winner(data: AsOf) -> Weights:
        """Hold what rises most on the day itself."""
        bars = data._history.table("prices")
        later = bars[bars["known_on"] >= pd.Timestamp(data.decision)].head(40)
        return Weights.equal(later.nlargest(1, "total_return")["symbol"])

    findings = of_kind("truncation", audit(cheat(next_winner), light(), some_days(3)))
    assert [finding.decision for finding in findings] == sorted(some_days(3))
    assert all(finding.strategy == "cheat" and "1.0 instead of 0.0" in finding.difference for finding in findings)


def test_deciding_only_when_the_future_is_there_is_caught():
    def only_with_a_future(data: AsOf) -> Weights:
        """Decide only if something is known later."""
        if data._history.table("prices")["known_on"].iloc[-1] < pd.Timestamp(data.decision):
            raise NotEnoughData("nothing later")
        return Weights.equal(["SPY"])

    (finding,) = of_kind("truncation", audit(cheat(only_with_a_future), light(), [date(2020, 6, 1)]))
    assert finding.difference == "1 weights with the future in reach, NotEnoughData without"
    assert str(finding).startswith("cheat on 2020-06-01: ")


def peeking(full: pd.DataFrame | dict[str, pd.DataFrame]) -> Callable[..., Weights]:
    def peek(data: AsOf) -> Weights:
        """Buy what will be disclosed in the week to come, if anything has been disclosed lately."""
        frame = full["trades"] if isinstance(full, dict) else full
        known = data.table("politician_trades")
        later = frame[frame["known_on"] >= pd.Timestamp(data.decision)]
        return Weights.equal([] if known.empty else later["symbol"].dropna().head(1))

    return peek


def test_peeking_through_a_closure_over_the_full_frame_is_caught():
    full = history().table("politician_trades")
    (finding,) = audit(cheat(peeking(full)), history(), some_days(3))
    assert finding == Finding("cheat", None, "it holds data of its own: full (DataFrame)")
    (finding,) = audit(cheat(peeking({"trades": full})), history(), [])
    assert "full['trades'] (DataFrame)" in finding.difference


GLOBAL = pd.DataFrame({"known_on": []})


def look_up() -> int:
    return max([len(GLOBAL) for _ in range(1)])


@pytest.mark.parametrize("how", ["global", "helper", "default", "bound", "history", "partial", "object"])
def test_data_held_in_any_other_way_is_caught(how: str):
    class Keeper:
        def __init__(self) -> None:
            self.frame = GLOBAL

    keeper, kept, helper = Keeper(), History({}), partial(len, GLOBAL)

    def by_global(data: AsOf) -> Weights:
        """Global."""
        return Weights.equal(["SPY"] * len(GLOBAL))

    def by_helper(data: AsOf) -> Weights:
        """Helper."""
        return Weights.equal(["SPY"] * look_up())

    def by_default(data: AsOf, frame: pd.DataFrame = GLOBAL) -> Weights:
        """Default."""
        return Weights.equal(["SPY"] * len(frame))

    def by_bound(data: AsOf, *, frame: pd.DataFrame) -> Weights:
        """Bound."""
        return Weights.equal(["SPY"] * len(frame))

    def by_history(data: AsOf) -> Weights:
        """History."""
        return Weights.equal(["SPY"] * (kept is None))

    def by_partial(data: AsOf) -> Weights:
        """Partial."""
        return Weights.equal(["SPY"] * helper())

    def by_object(data: AsOf) -> Weights:
        """Object."""
        return Weights.equal(["SPY"] * len(keeper.frame))

    bound = {"frame": GLOBAL} if how == "bound" else {}
    (finding,) = audit(cheat(locals()[f"by_{how}"], **bound), history(), [])
    assert "data of its own" in finding.difference


def test_remembering_an_earlier_call_is_caught():
    calls: list[date] = []

    def moody(data: AsOf) -> Weights:
        """Hold something only from the second call on."""
        calls.append(data.decision)
        return Weights.equal(["SPY"] if len(calls) > 2 else [])

    assert len(audit(cheat(moody), light(), some_days(2))) == 2


def test_an_honest_strategy_is_not_accused():
    def honest(data: AsOf, *, top_n: int = 3) -> Weights:
        """Hold what rose last."""
        last = data.returns(5).iloc[-1].dropna()
        return Weights.equal(last.nlargest(top_n).index)

    assert audit(cheat(honest), light(), some_days(5)) == []


# Perturbation


def test_asking_only_whether_the_future_hangs_together_is_caught_by_changing_it():
    def if_it_stays_calm(data: AsOf) -> Weights:
        """Leave the market if it is to move by a fifth; without a future it looks calm."""
        bars = data._history.table("prices")
        spy = bars.loc[bars["symbol"] == "SPY"].set_index("known_on")["close"]
        later = spy[spy.index >= pd.Timestamp(data.decision)].iloc[:1]
        calm = (later / spy[spy.index < pd.Timestamp(data.decision)].iloc[-1] - 1).abs() < 0.2
        return Weights.equal(["SPY"] if calm.all() else [])

    findings = audit(cheat(if_it_stays_calm), light(), some_days(8))
    assert {finding.kind for finding in findings} == {"private", "perturbation"}
    moved = of_kind("perturbation", findings)
    assert len(moved) >= 4
    assert all("with another future SPY 0.0 instead of 1.0" in finding.difference for finding in moved)


@pytest.mark.parametrize("name", tables())
def test_a_changed_future_keeps_its_days_and_types_and_changes_the_rest(name: str):
    day = date(2021, 3, 1)
    frame = history().table(name)
    future = frame[frame["known_on"] >= pd.Timestamp(day)]
    other = perturbed(future, day, np.random.default_rng(1))
    assert other.columns.tolist() == future.columns.tolist()
    assert other.dtypes.tolist() == future.dtypes.tolist()
    assert other["known_on"].is_monotonic_increasing
    assert set(other["known_on"]) <= set(future["known_on"])
    assert 0 < len(other) < 1.2 * len(future)
    values = [column for column in future.columns if column != "known_on"]
    same = other[values].astype(str).merge(future[values].astype(str).drop_duplicates())
    assert len(same) < 0.05 * len(other)
    pd.testing.assert_frame_equal(other, perturbed(future, day, np.random.default_rng(1)))
    assert not other.equals(perturbed(future, day, np.random.default_rng(2)))


def test_a_changed_future_has_securities_that_nobody_knew():
    frame = history().table("prices")
    other = perturbed(frame, START, np.random.default_rng(1))
    assert set(other["symbol"]) - set(frame["symbol"])


def test_every_type_of_column_can_be_changed():
    days = pd.date_range("2021-01-04", periods=50, freq="D").astype("datetime64[us]")
    frame = pd.DataFrame(
        {
            "known_on": days,
            "known_at": days.tz_localize("UTC"),
            "text": pd.Series(list("abcde") * 10, dtype="str"),
            "sort": pd.Categorical(list("abcde") * 10),
            "whole": pd.array([1, None, 3, 4, 5] * 10, dtype="Int64"),
            "small": np.arange(50, dtype="int8"),
            "part": pd.array([1.0, None, 3.0, 4.0, 5.0] * 10, dtype="Float64"),
            "flag": [True, False] * 25,
            "symbol": pd.Series(["AAA", None] * 25, dtype="str"),
        }
    )
    other = perturbed(frame, date(2021, 1, 4), np.random.default_rng(3))
    assert other.dtypes.tolist() == frame.dtypes.tolist()
    assert (
        perturbed(frame.iloc[:0], date(2021, 1, 4), np.random.default_rng(3)).dtypes.tolist() == frame.dtypes.tolist()
    )


def test_what_lies_before_the_declared_windows_is_told_from_the_future():
    def long_memory(data: AsOf) -> Weights:
        """Hold what rose most since the beginning, by reading further back than declared."""
        bars = data._history.table("prices")
        known = bars[bars["known_on"] < pd.Timestamp(data.decision)]
        ends = known.groupby(known["symbol"].astype(object))["close"]
        return Weights.equal((ends.last() / ends.first()).nlargest(3).index)

    findings = audit(cheat(long_memory), light(), [date(2021, 6, 1)])
    assert [finding.kind for finding in findings] == ["private", "lookback"]


# Repetition


def test_chance_is_caught_although_it_is_rare():
    def moody(data: AsOf) -> Weights:
        """Hold the market, but one time in ten."""
        return Weights.equal(["SPY"] if np.random.default_rng().random() < 0.9 else [])

    assert audit(cheat(moody), light(), some_days(30))


def test_seeded_chance_is_not_accused_and_the_audit_draws_nothing_from_the_common_generators():
    def seeded(data: AsOf) -> Weights:
        """Draw with a seed."""
        return Weights.equal(["SPY"] if np.random.default_rng(data.decision.toordinal()).random() < 0.5 else [])

    state, drawn = random.getstate(), str(np.random.get_state())
    assert audit(cheat(seeded), light(), some_days(3)) == []
    assert random.getstate() == state and str(np.random.get_state()) == drawn


def test_what_differs_only_when_it_decides_again_is_caught():
    calls = itertools.count()

    def tired(data: AsOf) -> Weights:
        """Hold nothing from the fourth call on."""
        return Weights.equal(["SPY"] if next(calls) < 3 else [])

    (finding,) = audit(cheat(tired), light(), some_days(1))
    assert (finding.kind, finding.difference) == ("repetition", "when it decides again SPY 0.0 instead of 1.0")


def test_a_cache_does_not_hide_the_future():
    class Seen:
        history: History

    @lru_cache(maxsize=256)
    def last_known(day: date) -> pd.Timestamp:
        return Seen.history.table("prices")["known_on"].iloc[-1]

    def forgetful(data: AsOf) -> Weights:
        """Ask once for each day whether there is a future, and keep the answer."""
        Seen.history = data._history
        return Weights.equal(["SPY"] if last_known(data.decision).date() > data.decision else [])

    assert of_kind("truncation", audit(cheat(forgetful), light(), some_days(2)))


# Access


def test_what_a_decision_opens_is_a_finding(tmp_path: Path):
    file = tmp_path / "signals.csv"
    file.write_text("symbol\nSPY\n")

    def by_open(data: AsOf) -> Weights:
        """Read a file."""
        return Weights.equal(file.read_text().split()[1:])

    def by_pandas(data: AsOf) -> Weights:
        """Read a file with pandas."""
        return Weights.equal(pd.read_csv(file)["symbol"])

    def by_writing(data: AsOf) -> Weights:
        """Leave a note for the next call."""
        (tmp_path / "note").write_text("x")
        return Weights.equal(["SPY"])

    def by_socket(data: AsOf) -> Weights:
        """Ask a server."""
        with socket.socket() as asked:
            asked.settimeout(0.2)
            return Weights.equal(["SPY"] if asked.connect_ex(("127.0.0.1", 9)) else [])

    def by_name(data: AsOf) -> Weights:
        """Look up a server."""
        return Weights.equal(["SPY"] if socket.getaddrinfo("localhost", 80) else [])

    def by_program(data: AsOf) -> Weights:
        """Run a program."""
        return Weights.equal(["SPY"] if subprocess.run(["true"], check=False).returncode == 0 else [])

    def by_shell(data: AsOf) -> Weights:
        """Run a shell."""
        return Weights.equal(["SPY"] if os.system("true") == 0 else [])

    def by_database(data: AsOf) -> Weights:
        """Open a database."""
        sqlite3.connect(":memory:").close()
        return Weights.equal(["SPY"])

    def by_thread(data: AsOf) -> Weights:
        """Do it elsewhere."""
        threading.Thread(target=file.read_text).start()
        return Weights.equal(["SPY"])

    assert said(by_open) == [f"access: it reads a file: {file}"]
    assert said(by_pandas) == [f"access: it reads a file: {file}"]
    assert said(by_writing) == [f"access: it writes a file: {tmp_path / 'note'}"]
    assert said(by_socket) == ["access: it opens a connection: 127.0.0.1:9"]
    assert said(by_name) == ["access: it opens a connection: localhost"]
    assert said(by_program)[0].startswith("access: it starts a program: true")
    assert said(by_shell)[0].startswith("access: it starts a program: true")
    assert said(by_database) == ["access: it opens a database: :memory:"]
    assert said(by_thread) == [
        "access: it starts a thread or process, which cannot be watched: threading.Thread in by_thread"
    ]


CONNECTION = duckdb.connect()


def from_the_lake() -> list[str]:
    return [lake.Lake.__name__]


def test_databases_that_open_files_without_a_trace_are_found_in_the_code():
    def by_module(data: AsOf) -> Weights:
        """Ask DuckDB."""
        return Weights.equal(duckdb.sql("select 'SPY'").fetchone() or ())

    def by_import(data: AsOf) -> Weights:
        """Ask DuckDB, imported late."""
        import duckdb as database

        return Weights.equal(database.sql("select 'SPY'").fetchone() or ())

    def by_name(data: AsOf) -> Weights:
        """Ask DuckDB, imported by name."""
        import importlib

        return Weights.equal(importlib.import_module("duckdb").sql("select 'SPY'").fetchone() or ())

    def by_connection(data: AsOf) -> Weights:
        """Ask DuckDB, connected before."""
        return Weights.equal(CONNECTION.sql("select 'SPY'").fetchone() or ())

    def by_helper(data: AsOf) -> Weights:
        """Ask the lake."""
        return Weights.equal(["SPY"] if from_the_lake() else [])

    def by_parquet(data: AsOf) -> Weights:
        """Read Parquet past pandas."""
        from pyarrow import parquet

        return Weights.equal(["SPY"] if parquet.__name__ else [])

    for function in (by_module, by_import, by_name):
        wanted = [f"access: it uses duckdb, which reads data past the view, in {function.__name__}"]
        assert said(function) == wanted
    assert any("CONNECTION (DuckDBPyConnection)" in line for line in said(by_connection))
    assert any("pas_dagster.lake" in line and "from_the_lake" in line for line in said(by_helper))
    assert any("pyarrow.parquet" in line for line in said(by_parquet))


def test_importing_and_the_zones_of_time_are_no_findings(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("sklearn.isotonic")]:
        monkeypatch.delitem(sys.modules, name)
    ZoneInfo.clear_cache()

    def learned(data: AsOf) -> Weights:
        """Fit something."""
        import colorsys

        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import Ridge

        assert colorsys.ONE_THIRD and pd.Timestamp(data.decision, tz="Asia/Tokyo").tzinfo and ZoneInfo("Asia/Seoul")
        x = data.returns(20, ["SPY"]).to_numpy()[:, 0]
        rising = IsotonicRegression().fit(np.arange(len(x)), x).predict([0.0])[0]
        slope = Ridge().fit(np.arange(len(x))[:, None], x).coef_[0]
        return Weights.equal(["SPY"] if rising < 1 and slope < 1 else [])

    assert said(learned) == []


def test_only_what_is_opened_during_a_decision_counts(tmp_path: Path):
    def honest(data: AsOf) -> Weights:
        """Hold the market."""
        return Weights.equal(["SPY"])

    assert said(honest) == []
    (tmp_path / "later").write_text("x")
    assert said(honest) == []


# The clock


def hour() -> int:
    return datetime.now(ZoneInfo("America/New_York")).hour


def test_reading_the_clock_is_a_finding():
    def by_today(data: AsOf) -> Weights:
        """Today."""
        return Weights.equal(["SPY"] if date.today() > data.decision else [])  # noqa: DTZ011

    def by_time(data: AsOf) -> Weights:
        """Seconds."""
        return Weights.equal(["SPY"] if time.time() else [])

    def by_pandas(data: AsOf) -> Weights:
        """Pandas."""
        return Weights.equal(["SPY"] if pd.Timestamp.now() > pd.Timestamp(data.decision) else [])

    def by_text(data: AsOf) -> Weights:
        """In words."""
        return Weights.equal(["SPY"] if pd.Timestamp("today") > pd.Timestamp(data.decision) else [])

    def by_late_import(data: AsOf) -> Weights:
        """Imported inside."""
        from time import time as seconds

        return Weights.equal(["SPY"] if seconds() else [])

    def by_helper(data: AsOf) -> Weights:
        """In a helper."""
        return Weights.equal(["SPY"] if hour() >= 0 else [])

    def nested(data: AsOf) -> Weights:
        """In a lambda."""
        return Weights.equal(["SPY"] if (lambda: date.today())() else [])  # noqa: DTZ011

    assert said(by_today) == ["clock: it reads the clock: date.today in by_today"]
    assert said(by_time) == ["clock: it reads the clock: time.time in by_time"]
    assert said(by_pandas) == ["clock: it reads the clock: pd.Timestamp.now in by_pandas"]
    assert said(by_text) == ["clock: it reads the clock: 'today' in by_text"]
    assert said(by_late_import)[0].startswith("clock: ")
    assert said(by_helper) == ["clock: it reads the clock: datetime.now in hour"]
    assert said(nested) == ["clock: it reads the clock: date.today in nested"]


def test_names_that_only_sound_like_the_clock_are_not_accused():
    def honest(data: AsOf) -> Weights:
        """Use the day that it is given."""
        today = calendar.today(datetime(2020, 6, 1, 12, tzinfo=ZoneInfo("UTC")))
        at = pd.Series([pd.Timestamp(data.decision)]).dt.time
        time = 1  # a name is no clock
        return Weights.equal(["SPY"] if len(at) == time and today else [])

    assert said(honest) == []


# Private attributes


def test_private_attributes_are_found_however_they_are_reached():
    class Reader:
        def __init__(self, data: AsOf) -> None:
            self.data = data

        def rows(self) -> int:
            return len(self.data._reads)

    def by_text(data: AsOf) -> Weights:
        """By its name."""
        return Weights.equal(["SPY"] if getattr(data, "_reads") else [])  # noqa: B009

    def by_class(data: AsOf) -> Weights:
        """In a class."""
        return Weights.equal(["SPY"] if Reader(data).rows() else [])

    def nested(data: AsOf) -> Weights:
        """In a comprehension."""
        return Weights.equal(["SPY" for _ in range(1) if data._moves])

    assert said(by_text) == ["private: it reaches into what the view keeps to itself: _reads in by_text"]
    assert said(by_class) == ["private: it reaches into what the view keeps to itself: _reads in rows"]
    assert len(said(nested)) == 1 and "_moves" in said(nested)[0]


def test_private_attributes_of_its_own_are_a_strategy_s_affair():
    class Own:
        def __init__(self) -> None:
            self._cut = 1

        def value(self) -> int:
            return self._cut

    def honest(data: AsOf) -> Weights:
        """Use a class of its own."""
        return Weights.equal(["SPY"] if Own().value() else [])

    assert said(honest) == []


# Reports and random decisions


def test_a_report_counts_what_was_held_and_what_failed():
    def fails(data: AsOf) -> Weights:
        """Fail."""
        raise ZeroDivisionError

    def waits(data: AsOf) -> Weights:
        """Wait."""
        raise NotEnoughData("nothing ever is")

    def invests(data: AsOf) -> Weights:
        """Invest."""
        return Weights.equal(["SPY"])

    days = some_days(4)
    (report,) = audit_report([cheat(fails)], light(), days)
    assert (report.decisions, report.held, report.failed, report.passed) == (4, 0, 4, True)
    assert report.verdict == "nothing was held at any of 4 decisions (4 failed), so this proves little"
    (report,) = audit_report([cheat(waits)], light(), days)
    assert (report.held, report.failed) == (0, 0)
    assert str(report) == "cheat: nothing was held at any of 4 decisions, so this proves little"
    (report,) = audit_report([cheat(invests)], light(), days)
    assert report.verdict == "no weight moved in 4 decisions, 4 of them with weights"


def test_a_report_shows_the_first_findings_and_counts_them_all():
    calls = itertools.count()

    def restless(data: AsOf) -> Weights:
        """Never the same."""
        return Weights({"SPY": 1 / (2 + next(calls))})

    (report,) = audit_report([cheat(restless)], light(), random_decisions(Cadence.WEEKLY_MON, START, END, 30, 1))
    assert (len(report.findings), report.total, report.passed) == (MOST_FINDINGS, 30, False)
    assert report.verdict == "30 findings in 30 decisions"


def test_random_decisions_are_nominal_days_of_the_cadences_in_turn():
    days = random_decisions(Cadence, START, END, 40, 7)
    assert days == sorted(set(days)) == random_decisions(Cadence, START, END, 40, 7)
    assert days != random_decisions(Cadence, START, END, 40, 8)
    assert len(days) == 40
    for cadence in Cadence:
        assert len(set(days) & set(cadence.nominal_days(START, END))) >= 10
    assert not {day.weekday() for day in random_decisions(Cadence.WEEKLY_FRI, START, END, 20, 7)} - {4}
    assert random_decisions([Cadence.MONTHLY], date(2020, 1, 1), date(2020, 3, 1), 9, 1) == [
        date(2020, 1, 1),
        date(2020, 2, 1),
        date(2020, 3, 1),
    ]
    assert random_decisions([Cadence.MONTHLY], date(2020, 1, 2), date(2020, 1, 9), 9, 1) == []
