"""The gates with what they need to know: gathered before a transaction, judged inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from pas_dagster.execution import gates
from pas_dagster.execution.brokers.base import Broker, Hours
from pas_dagster.execution.gates import Facts, Gates, LiveSwitch
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.accounts import Mode
from pas_dagster.ledger.halts import Arm
from pas_dagster.ledger.journal import Balances
from pas_dagster.ledger.records import Order

FRESH_SECONDS = 15.0  # facts older than this are gathered anew before an order


class Conditions(NamedTuple):
    """What is known of the symbols from data: volume of a day (1e-9 shares), sector; and why the breaker is tripped.

    `tripped`: empty when it is open, None when its state is not known.
    """

    volumes: Mapping[str, int]
    sectors: Mapping[str, str]
    tripped: Sequence[str] | None


class Ruling(NamedTuple):
    """`order`: why this order is not sent, ever. `batch`: why nothing like it is sent now. Both empty: it may go."""

    order: str = ""
    batch: str = ""


def no_conditions(symbols: Sequence[str]) -> Conditions:
    """Nothing is known: gates that ask for it stay shut."""
    return Conditions({}, {}, None)


@dataclass(frozen=True)
class Guard:
    """Limits, the live switch's settings, and where conditions come from."""

    gates: Gates = field(default_factory=Gates)
    base_url: str = ""
    allow_live: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    conditions: Callable[[Sequence[str]], Conditions] = no_conditions

    def gather(
        self,
        broker: Broker,
        ours: Callable[[], datetime],
        orders: Sequence[Order],
        balances: Balances,
        prices: Mapping[str, int],
    ) -> Facts:
        """Ask broker and data. `balances`: before the batch. `prices`: of what is held."""
        symbols = sorted({order.symbol for order in orders})
        known = self.conditions(symbols)
        clock = broker.clock()
        now = ours()  # right after it: everything else takes time
        today = broker.calendar(clock.session, clock.session)
        positions, cash = journal.totals(balances)
        worth = sum(units.value(quantity, prices[symbol]) for symbol, quantity in positions.items())
        return Facts(
            now=now,
            broker_now=clock.now,
            hours=_of_today(today, clock.now),
            equity=cash + worth,
            tripped=known.tripped,
            quotes=broker.quotes(symbols),
            volumes=known.volumes,
            positions=positions,
            prices=prices,
            sectors=known.sectors,
        )

    def judge(self, order: Order, orders: Sequence[Order], facts: Facts, switch: LiveSwitch) -> Ruling:
        """Whether an order of a batch may go."""
        verdict = gates.check(orders, facts, self.gates, switch)
        if order in verdict.passed:
            return Ruling()
        whole = [one.sentence for one in verdict.refused if one.symbol is None]
        if whole:  # first: before the open quotes are old as well, and that is no reason to give an order up
            return Ruling(batch=" ".join(whole))
        return Ruling(order=" ".join(one.sentence for one in verdict.refused if one.symbol == order.symbol))

    def switch(self, mode: Mode, owner: str, arm: Arm | None) -> LiveSwitch:
        return LiveSwitch(mode, self.base_url, self.allow_live, self.environment, owner, arm)


def later(facts: Facts, now: datetime, sent_today: int) -> Facts:
    """The facts a moment later: both clocks have gone on."""
    passed = now - facts.now
    theirs = None if facts.broker_now is None else facts.broker_now + passed
    return replace(facts, now=now, broker_now=theirs, sent_today=sent_today)


def _of_today(found: Sequence[Hours], now: datetime) -> Hours | None:
    """The hours of the session the clock is in or before; None when the broker names none."""
    return next((one for one in found if one.close > now), None)
