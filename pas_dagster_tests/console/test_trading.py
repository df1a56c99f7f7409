"""`pas rebalance`, `close`, `reconcile`, `positions`, `explain order` and `status`, as a user runs them.

The broker is the sandbox's and the ledger real, on a lake in memory; Dagster runs in the slow test only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from dagster import DagsterInstance

from pas_dagster import calendar, postgres, settings
from pas_dagster.assets import resources
from pas_dagster.assets.resources import Workshop, forget_connections
from pas_dagster.console import rebalance, reconcile
from pas_dagster.console import status as standing
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.brokers.base import BrokerOrder
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import tables, units
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.paper import Wish
from pas_dagster.sandbox.broker.server import KEY, SECRET
from pas_dagster.sandbox.broker.service import Terms, open_for_business, opened
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster_tests.assets.conftest import MemoryLake, lake
from pas_dagster_tests.console.command import Pas, command
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import DAY, NEXT, Brokerage, brokerage
from pas_dagster_tests.lake.processes import clean_environment
from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["lake", "ledger", "server", "url"]
BAR = ("open", "high", "low", "close")
GATES = {"name_share": None, "sector_share": None}


def put(name: str, rows: list[dict[str, Any]]) -> None:
    """Store rows of a table in the lake."""
    table = TABLES[name]
    frame = table.conform(pd.DataFrame(rows))
    Workshop().lake.replace(table, sorted(frame[table.partition].dt.date.unique()), frame)


def portfolio_rows(day: date) -> list[dict[str, Any]]:
    own = {"decision": day, "weights_from": day, "allocation_from": day}
    return [
        own
        | {"sleeve": one.sleeve, "symbol": symbol, "weight": one.share * weight, "sleeve_weight": weight}
        | {"sleeve_share": one.share, "rebalance": one.rebalance, "resize": one.resize}
        for one in world.targets()[day]
        for symbol, weight in one.weights.items()
    ]


@pytest.fixture
def firm(
    ledger: Ledger, url: str, lake: MemoryLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Brokerage]:
    """A broker at ten in the morning, and a home whose settings name it, with the prices of the day before."""
    for name in list(os.environ):
        if name.startswith("PAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setattr(settings, "_chosen", [])
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("COLUMNS", "300")
    with brokerage(ledger) as made:
        given = {
            "HOME": str(tmp_path / "home"),
            "START": "2024-01-02",
            "BROKER": "alpaca",
            "BROKER_URL": made.url,
            "ALPACA_KEY_ID": KEY,
            "ALPACA_SECRET_KEY": SECRET,
            "REQUESTS_PER_MINUTE": "1000000",
            "GATES": json.dumps(GATES),
        }
        for name, value in given.items():
            monkeypatch.setenv(f"PAS_{name}", value)
        monkeypatch.setenv(postgres.URL_VARIABLE, url)
        monkeypatch.setattr(resources, "now", made.hand)
        monkeypatch.setattr(resources, "_lake", lru_cache(lambda *_: lake))  # a cache, which is cleared at the end
        chosen = settings.load()
        settings.make_home(chosen)
        made.spec = replace(account_spec(chosen), opened=DAY)
        settings.choose(chosen)
        day = calendar.previous_session(DAY)
        closes = made.market.reference(DAY)
        bar = {"known_on": day, "event_date": day, "volume": 1e9, "provider": "test"}
        put("prices", [bar | {"symbol": name} | dict.fromkeys(BAR, price) for name, price in closes.items()])
        put("portfolios", portfolio_rows(DAY))
        yield made
        forget_connections()


@pytest.fixture
def pas(firm: Brokerage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pas:
    """Run a command: exit code, output, errors."""
    return command(monkeypatch, capsys)


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance of Dagster without a past: what a command would materialise is there already."""

    @contextmanager
    def working(chosen: Settings) -> Iterator[DagsterInstance]:
        settings.choose(chosen)
        with DagsterInstance.ephemeral() as instance:
            yield instance

    monkeypatch.setattr(rebalance, "working", working)


def test_a_dry_run_gives_every_order_a_reason_and_changes_nothing(undisturbed: None, pas: Pas, firm: Brokerage) -> None:
    before = {table.name: firm.rows(table) for table in tables.metadata.sorted_tables}
    code, out, err = pas("rebalance", "--dry-run", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert {table.name: firm.rows(table) for table in tables.metadata.sorted_tables} == before
    assert firm.sandbox.count("POST", "/v2/orders") == 0
    firm.trade()
    sent = {(row.symbol, row.side): row.quantity / units.SHARE for row in firm.rows(tables.orders)}
    assert {(one["symbol"], one["side"]): one["quantity"] for one in told["orders"]} == sent
    by_symbol: dict[str, float] = {}
    for one in told["reasons"]:
        by_symbol[one["symbol"]] = by_symbol.get(one["symbol"], 0.0) + one["ordered"]
        assert (one["why"], one["band"]) == ("new", None)
    assert by_symbol == pytest.approx({symbol: quantity for (symbol, _), quantity in sent.items()})


def test_a_dry_run_tells_cuts_gates_and_halts(
    undisturbed: None, pas: Pas, firm: Brokerage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "AAA would be 40.00 % of the account; a name [may] be at most 25.00 %"
    put("cuts", [{"decision": DAY, "what": "name", "name": "AAA", "before": 0.4, "after": 0.25, "rule": rule}])
    limits = {"order_usd": 16_000, "batch_orders": 2}
    monkeypatch.setenv("PAS_GATES", json.dumps(GATES | limits))
    firm.ledger.open_account(firm.spec)
    firm.ledger.halt(firm.spec.id, "me", "a test", firm.hand())
    code, out, _ = pas("rebalance", "--dry-run")
    assert code == 0
    assert rule in out
    assert "orders per batch: The batch has" in out
    assert "has been halted since" in out
    assert "notional per order: The buy of AAA comes to" in out
    assert "alpha" in out


@pytest.mark.parametrize(("call", "asking"), [(None, []), ("all", ["alpha", "beta", "gamma"]), ("weights", [])])
def test_what_is_called_for_takes_effect_although_nothing_is_new(
    undisturbed: None, pas: Pas, firm: Brokerage, call: str | None, asking: list[str]
) -> None:
    quiet = {"rebalance": False, "resize": False}
    put("portfolios", [row | quiet for row in portfolio_rows(DAY)])
    word = ("--call", call) if call else ()
    told = json.loads(pas("rebalance", "--dry-run", "--json", *word)[1])
    assert sorted({one["sleeve"] for one in told["reasons"] if one["asks"]}) == asking  # without capital none asks
    assert bool(told["reasons"]) == bool(call)
    assert "neither weights nor all" in pas("rebalance", "--call", "some")[2]


def test_a_dry_run_after_the_session_was_planned_shows_that_plan(undisturbed: None, pas: Pas, firm: Brokerage) -> None:
    firm.trade()
    code, out, _ = pas("rebalance", "--dry-run")
    assert code == 0
    assert f"This is what was planned for {DAY}; a session is planned once." in out
    assert "filled" in out


def test_a_dry_run_says_when_the_books_differ_and_halts_nothing(undisturbed: None, pas: Pas, firm: Brokerage) -> None:
    firm.book.rules.patterns["AAA"] = []
    firm.book.place(Wish("AAA", "buy", "by-hand", Decimal(1)))
    firm.ledger.open_account(firm.spec)
    code, _, err = pas("rebalance", "--dry-run")
    assert code == 1
    assert "open orders" in err
    assert "books and halts nothing" in err


def test_a_rebalance_of_a_simulated_account_is_foreseen_too(
    undisturbed: None, pas: Pas, firm: Brokerage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAS_BROKER", "simulated")
    code, out, _ = pas("rebalance", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["account"], firm.rows(tables.account)) == (0, "simulated", [])
    asked = sum(one["quantity"] * one["planned at"] for one in told["orders"])
    wanted = sum(one.share * weight for one in world.targets()[DAY] for weight in one.weights.values())
    assert asked == pytest.approx(1_000_000 * wanted, rel=1e-3)


def test_without_prices_of_the_day_before_there_is_no_target_and_nothing_is_traded(
    undisturbed: None, pas: Pas, firm: Brokerage
) -> None:
    firm.morning(NEXT)
    code, _, err = pas("rebalance")
    assert code == 1
    assert f"needs prices up to {DAY}" in err
    assert f"`pas backfill --from {DAY}` first" in err


def test_on_a_day_without_a_session_nothing_is_traded(undisturbed: None, pas: Pas, firm: Brokerage) -> None:
    firm.hand.to(firm.hand() + timedelta(days=4))
    code, _, err = pas("rebalance", "--dry-run")
    assert (code, "2024-01-06 is no session" in err) == (1, True)


@pytest.mark.parametrize(
    ("patience", "problem", "expected"), [(60.0, "", 0), (0.0, "", 3), (60.0, "a gate said no", 1)]
)
def test_the_exit_code_says_how_far_the_batch_is(
    undisturbed: None,
    pas: Pas,
    firm: Brokerage,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    problem: str,
    expected: int,
) -> None:
    if not patience:
        firm.book.rules.patterns["AAA"] = []
    firm.patience = patience

    def trade(*_: object) -> str:
        firm.trade()
        return problem

    monkeypatch.setattr(rebalance, "_trade", trade)
    code, out, err = pas("rebalance", "--json")
    told = json.loads(out)
    assert (code, told["problem"]) == (expected, problem)
    assert told["state"] == ("open" if expected == 3 else "done")
    assert len(told["orders"]) == len(firm.rows(tables.orders))
    assert problem in err


def test_a_position_is_sold_after_a_question(pas: Pas, firm: Brokerage, monkeypatch: pytest.MonkeyPatch) -> None:
    firm.trade()
    held = firm.balances()
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text: bool(asked.append(text)))
    assert pas("close", "alpha", "AAA")[0] == 1
    assert firm.balances() == held
    assert units.shares_text(held["alpha"]["AAA"]) in asked[0]
    assert "USD) of sleeve alpha in the paper account alpaca-paper?" in asked[0]
    code, out, _ = pas("close", "alpha", "AAA", "--yes")
    assert code == 0
    assert "alpha: closed by hand" in out
    assert "AAA" not in firm.balances()["alpha"]
    assert firm.balances()["beta"]["AAA"] == held["beta"]["AAA"]
    firm.sound()
    code, _, err = pas("close", "alpha", "AAA", "--yes")
    assert (code, "holds no AAA; beta does" in err) == (1, True)


def test_a_sale_that_is_not_over_ends_with_three(pas: Pas, firm: Brokerage, monkeypatch: pytest.MonkeyPatch) -> None:
    firm.trade()
    firm.book.rules.patterns["AAA"] = []
    monkeypatch.setenv("PAS_BROKER_PATIENCE", "0")
    code, out, _ = pas("close", "alpha", "AAA", "--yes")
    assert (code, "still working" in out) == (3, True)


def test_the_simulated_account_is_not_closed_by_hand(pas: Pas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAS_BROKER", "simulated")
    code, _, err = pas("close", "alpha", "AAA", "--yes")
    assert (code, "follows its targets" in err) == (1, True)


def test_books_that_agree_end_with_nothing_and_others_with_four(pas: Pas, firm: Brokerage) -> None:
    firm.trade()
    code, out, _ = pas("reconcile", "--json")
    told = json.loads(out)
    assert (code, told["problem"], told["halted"]) == (0, "", "")
    assert {one["verdict"] for one in told["compared"]} == {"equal"}
    cash = next(one for one in told["compared"] if one["subject"] == "cash")
    assert cash["theirs"] == pytest.approx(float(firm.book.cash))
    firm.book.positions["AAA"] += 1
    code, out, _ = pas("reconcile")
    assert (code, "disagree on AAA" in out) == (4, True)
    code, out, _ = pas("reconcile")  # halted by now, and compared all the same
    assert (code, "has been halted since" in out) == (4, True)
    firm.book.positions["AAA"] -= 1
    code, out, _ = pas("reconcile")
    assert (code, "has been halted since" in out) == (0, True)


def test_comparing_the_books_sends_nothing_that_was_kept_back(pas: Pas, firm: Brokerage) -> None:
    firm.guard = replace(firm.guard, gates=replace(firm.guard.gates, batch_orders=1))
    with pytest.raises(PasError, match="orders"):
        firm.trade()
    code, out, _ = pas("reconcile")
    assert (code, "equal" in out) == (0, True)
    assert not firm.book.orders


def test_a_simulated_account_is_compared_with_its_own_brokers_books(
    pas: Pas, firm: Brokerage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAS_BROKER", "simulated")
    assert "nothing to compare" in pas("reconcile")[2]
    spec = account_spec(settings.load())
    replay(firm.ledger, spec, world.targets(), [DAY], firm.market)
    code, out, _ = pas("reconcile")
    assert (code, out.count("equal")) == (0, 6)
    firm.ledger.run(
        lambda c: c.execute(sa.text("update broker.position set quantity = quantity + 1 where symbol = 'AAA'"))
    )
    assert pas("reconcile")[0] == 4


class Forgetful:
    """A broker that takes an id twice, and knows no order."""

    unique_ids = False
    found: BrokerOrder | None = None

    def find(self, cid: str) -> BrokerOrder | None:
        return self.found


@pytest.fixture
def parked(firm: Brokerage, monkeypatch: pytest.MonkeyPatch) -> str:
    """An order whose outcome stayed unknown, and whose session is over."""
    firm.trade()
    cid = firm.rows(tables.orders)[0].cid
    firm.ledger.run(
        lambda c: c.execute(
            sa.update(tables.orders).where(tables.orders.c.cid == cid).values(state="submitting", filled=0)
        )
    )
    firm.hand.advance(8 * 3600)
    monkeypatch.setattr(reconcile, "connected", lambda _: nullcontext(Forgetful()))
    return cid


def test_an_order_that_never_arrived_is_given_up_by_a_person(pas: Pas, firm: Brokerage, parked: str) -> None:
    code, out, _ = pas("reconcile", "--settle", parked, "unsent")
    assert (code, "is unsent" in out) == (0, True)
    event = [row for row in firm.rows(tables.order_event) if row.cid == parked][-1]
    assert (event.state, event.at) == ("unsent", firm.hand())
    assert "looked at the broker: it never arrived" in event.reason
    assert "only an order that stays 'submitting'" in pas("reconcile", "--settle", parked, "unsent")[2]


@pytest.mark.parametrize(
    ("order", "state", "sentence"),
    [
        ("{cid}", "filled", "and nothing else, not 'filled'"),
        ("pas-nothing", "unsent", "has no order 'pas-nothing'"),
        ("{other}", "unsent", "is filled; only an order"),
    ],
)
def test_nothing_else_is_settled_by_hand(
    pas: Pas, firm: Brokerage, parked: str, order: str, state: str, sentence: str
) -> None:
    other = next(row.cid for row in firm.rows(tables.orders) if row.cid != parked)
    before = firm.rows(tables.orders)
    code, _, err = pas("reconcile", "--settle", order.format(cid=parked, other=other), state)
    assert (code, sentence in err) == (1, True)
    assert firm.rows(tables.orders) == before


def test_an_order_that_may_still_arrive_or_that_the_broker_knows_is_not_given_up(
    pas: Pas, firm: Brokerage, parked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = BrokerOrder(parked, DAY, "AAA", "buy", 1, 0, "working", "")
    monkeypatch.setattr(Forgetful, "found", known)
    assert "it is working" in pas("reconcile", "--settle", parked, "unsent")[2]
    monkeypatch.setattr(Forgetful, "found", None)
    firm.morning(DAY)
    assert "may still arrive" in pas("reconcile", "--settle", parked, "unsent")[2]
    monkeypatch.setattr(Forgetful, "unique_ids", True)
    assert "finds out by itself" in pas("reconcile", "--settle", parked, "unsent")[2]


def test_positions_are_what_the_ledger_holds_at_the_newest_closes(pas: Pas, firm: Brokerage) -> None:
    assert "holds nothing and never did" in pas("positions")[1]
    firm.trade()
    code, out, _ = pas("positions", "--json")
    rows = {(row["sleeve"], row["symbol"]): row for row in json.loads(out)}
    assert code == 0
    held = {
        (s, a): q / units.SHARE
        for s, own in firm.balances().items()
        for a, q in own.items()
        if s[0] != "@" and a != "$"
    }
    assert {key: row["quantity"] for key, row in rows.items() if key[1] != "$CASH"} == pytest.approx(held)
    one, close = rows["alpha", "AAA"], firm.market.reference(DAY)["AAA"]
    assert (one["reserved"], one["free"], one["realised"]) == (0, one["quantity"], 0)
    assert one["unrealised"] == pytest.approx(one["quantity"] * (close - one["average_cost"]))
    assert set(json.loads(pas("positions", "--sleeve", "beta", "--json")[1])[0].values()) >= {"beta"}
    assert "holds nothing and never did" in pas("positions", "--sleeve", "nobody")[2]


def test_an_order_is_retold_from_the_ledger(pas: Pas, firm: Brokerage) -> None:
    firm.trade()
    row = next(row for row in firm.rows(tables.orders) if row.symbol == "AAA")
    code, out, _ = pas("explain", "order", row.cid, "--json")
    told = json.loads(out)
    assert (code, told["symbol"], told["state"]) == (0, "AAA", "filled")
    assert [one["state"] for one in told["events"]] == ["submitting", "working", "filled"]
    assert {one["sleeve"] for one in told["asked"]} == {"alpha", "beta"}
    assert sum(one["filled"] for one in told["asked"]) == pytest.approx(row.quantity / units.SHARE)
    assert sum(one["quantity"] for one in told["fills"]) == pytest.approx(row.quantity / units.SHARE)
    assert "Asked for by" in pas("explain", "order", row.cid)[1]
    assert "There is no order 'pas-x'" in pas("explain", "order", "pas-x")[2]


def test_status_tells_of_the_account(firm: Brokerage) -> None:
    chosen = settings.load()
    none = standing.account(firm.ledger, chosen)
    assert (none["id"], none["batch"], none["compared"]) == ("alpaca-paper", None, None)
    assert standing._in_words(none) == ["Account alpaca-paper (paper, at alpaca), generation 1"]
    firm.trade()
    firm.ledger.halt(firm.spec.id, "me", "a test", firm.hand())
    told = standing.account(firm.ledger, chosen)
    assert (told["broker_account"], told["batch"], told["state"]) == (firm.book.id, f"{DAY}/rebalance", "done")
    assert told["orders"] == {"filled": len(firm.rows(tables.orders))}
    words = standing._in_words(told)
    assert "a test" in words[-1]
    assert "ledger and broker agree in 6 subjects" in words[-2]


def last_monday(now: datetime) -> datetime:
    """Eleven in the morning of the last Monday that was a session."""
    day = now.astimezone(calendar.NEW_YORK).date() - timedelta(1)
    while day.weekday() or not calendar.is_session(day):
        day -= timedelta(1)
    return calendar.midnight(day).replace(hour=11)


@pytest.mark.slow
def test_a_home_trades_on_paper_as_the_readme_says(tmp_path: Path) -> None:
    """From nothing to books that agree, in processes of their own: what a user does in two terminals."""
    begun = datetime.now(UTC)
    back = begun - last_monday(begun)
    start = calendar.roll_forward(last_monday(begun).date() - timedelta(days=63))

    def now() -> datetime:
        return datetime.now(UTC) - back

    terms = Terms(cash=200_000)
    with open_for_business(opened(7, start, now, terms), terms) as desk:
        given = {
            "HOME": str(tmp_path / "home"),
            "WORLD": "sandbox",
            "START": f"{start}",
            "WINDOW_WEEKS": "4",
            "CLOCK_HOURS_BACK": f"{back.total_seconds() / 3600}",
        }
        broker = {"BROKER": "alpaca", "BROKER_URL": desk.rest, "ALPACA_KEY_ID": KEY, "ALPACA_SECRET_KEY": SECRET}
        plain = {f"PAS_{name}": value for name, value in given.items()}
        paper = plain | {f"PAS_{name}": value for name, value in broker.items()}
        settings.make_home(settings.load(home=tmp_path / "home", world="sandbox", start=start))
        outside("backfill", environment=plain)
        seen = json.loads(outside("rebalance", "--dry-run", "--json", environment=paper))
        assert json.loads(outside("positions", "--json", environment=paper)) == []
        told = json.loads(outside("rebalance", "--json", environment=paper))
        assert told["state"] == "done"
        assert {one["symbol"] for one in told["orders"]} == {one["symbol"] for one in seen["orders"]} != set()
        again = json.loads(outside("rebalance", "--json", environment=paper))
        assert again["orders"] == told["orders"]
        compared = json.loads(outside("reconcile", "--json", environment=paper))["compared"]
        assert {one["verdict"] for one in compared} == {"equal"}
        outside("ledger", "verify", environment=paper)
        assert json.loads(outside("status", "--json", environment=paper))["account"]["state"] == "done"


def outside(*arguments: str, environment: dict[str, str]) -> str:
    """Run a command in a process of its own; what it prints."""
    command = [sys.executable, "-m", "pas_dagster.cli", *arguments]
    variables = {**clean_environment(), **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout
