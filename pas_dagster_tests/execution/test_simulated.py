"""The simulated broker refuses what a broker refuses and repeats itself when asked twice."""

from __future__ import annotations

import pytest

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import Ticket
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.brokers.simulated import Book, MemoryStore, SimulatedBroker
from pas_dagster.execution.market import CorporateAction, Tape
from pas_dagster.ledger import units
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS

DAY = SESSIONS[0]


@pytest.fixture(params=["memory", "postgres"])
def broker(request: pytest.FixtureRequest, ledger: Ledger) -> SimulatedBroker:
    spec = world.spec(cost_bp=5.0)
    if request.param == "postgres":
        return connect(ledger, spec, world.market())
    book = Book(spec.opened, units.money(spec.capital_usd))
    return SimulatedBroker("sim", MemoryStore(book), Tape(world.market()), units.rate(5.0))


def buy(name: str = "one", symbol: str = "AAA", shares: int = 10, side: str = "buy") -> Ticket:
    return Ticket(f"pas-{name}", DAY, symbol, side, shares * units.SHARE)


def test_an_order_fills_at_the_close_for_a_fee(broker: SimulatedBroker) -> None:
    assert broker.submit(buy()).outcome == "taken"
    assert [order.cid for order in broker.open_orders()] == ["pas-one"]
    [execution] = broker.executions(DAY)
    close = world.market().closes(DAY)["AAA"]
    assert execution.price == units.price(close)
    assert execution.notional == units.money(str(close)) * 10
    assert execution.fee == -(-execution.notional * 5 // 10_000)
    assert broker.positions() == {"AAA": 10 * units.SHARE}
    assert broker.account().cash == units.money(100_000) - execution.notional - execution.fee
    assert broker.executions(DAY) == [execution]


def test_the_same_id_is_the_same_order(broker: SimulatedBroker) -> None:
    first = broker.submit(buy())
    assert broker.submit(buy(shares=99)) == first
    assert len(broker.executions(DAY)) == 1
    assert broker.submit(buy()).order == broker.find("pas-one")
    assert broker.find("pas-one").state == "filled"  # ty: ignore


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [(buy(symbol="ZZZ"), "ZZZ not found"), (buy(side="sell"), "insufficient quantity available")],
)
def test_what_it_refuses(broker: SimulatedBroker, ticket: Ticket, reason: str) -> None:
    receipt = broker.submit(ticket)
    assert receipt.outcome == "rejected"
    assert reason in receipt.reason
    assert broker.submit(ticket) == receipt
    assert broker.executions(DAY) == []


def test_sells_pay_for_buys_of_the_same_close(broker: SimulatedBroker) -> None:
    broker.submit(buy(shares=1_800))
    broker.executions(DAY)
    after = SESSIONS[1]
    broker.submit(buy("two", "BBB", 1_000)._replace(session=after))
    broker.submit(buy("three", "AAA", 1_800, "sell")._replace(session=after))
    assert len(broker.executions(after)) == 2
    assert broker.account().cash >= 0
    assert "AAA" not in broker.positions()


def test_a_cancelled_order_does_not_fill(broker: SimulatedBroker) -> None:
    broker.submit(buy())
    broker.cancel("pas-one")
    broker.cancel("pas-unknown")
    assert broker.executions(DAY) == []
    assert broker.find("pas-one").reason == "cancelled"  # ty: ignore


def test_a_session_that_is_over_takes_nothing(broker: SimulatedBroker) -> None:
    broker.executions(SESSIONS[1])
    assert broker.submit(buy()).reason == f"session {DAY} is over"
    assert broker.clock().session == SESSIONS[1]


def test_an_action_announced_late_reaches_what_was_held_at_the_open_once(ledger: Ledger) -> None:
    full, spec = world.market(), world.spec()
    connect(ledger, spec, full).submit(buy())
    connect(ledger, spec, full).executions(DAY)
    day = SESSIONS[1]
    early = connect(ledger, spec, world.before(full, day))
    early.submit(buy("two")._replace(session=day))
    assert early.executions(day) == []
    full.events[day] = [CorporateAction("split", "AAA", 2.0), CorporateAction("dividend", "AAA", 1.0)]
    for _ in range(2):
        late = connect(ledger, spec, full)
        [execution] = late.executions(day)
        assert late.positions() == {"AAA": 30 * units.SHARE}
    before = early.account().cash - execution.notional - execution.fee
    assert late.account().cash == before + units.money(20)
    full.events[day].append(CorporateAction("dividend", "AAA", 1.0))  # after the fills, still for the 20 of the open
    settled = connect(ledger, spec, full)
    settled.executions(day)
    assert settled.account().cash == before + units.money(40)


def test_resting_orders_keep_a_session_open() -> None:
    market = world.market()
    del market.bars[DAY]
    broker = SimulatedBroker("sim", MemoryStore(Book(DAY, 10**12)), Tape(market), 0)
    broker.submit(buy())
    with pytest.raises(PasError, match="closes are not known"):
        broker.submit(buy("two")._replace(session=SESSIONS[1]))
