"""Why a plan has the orders that it has, and why it has no others: one line for each sleeve and symbol. Pure.

The planner says how much; this says it in the terms of the rules: target and holding as parts of the sleeve's capital,
the drift between them, the band it may rest in, what other sleeves took over, and what cut or stopped the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pas_dagster.execution.gates import Refusal
from pas_dagster.execution.market import Prices
from pas_dagster.execution.targets import Limits, Rules, Wanted
from pas_dagster.ledger import units
from pas_dagster.ledger.journal import CASH, Balances
from pas_dagster.ledger.records import Intent, Order, Record

NO_CAPITAL = "the sleeve has no capital"


class Reason(NamedTuple):
    """One symbol of one sleeve in a plan. Quantities 1e-9 shares, `price` 1e-6 USD, the others fractions of capital.

    `target`: wanted, of the sleeve's capital after its transfer. `weight`: held, of the same. `band`: the drift from
    the target within which a holding rests; None without one. `asked`, `ordered`: signed; the sleeve's difference, and
    its part of the net order. `crossed`: what other sleeves took over. `why`: in words.
    """

    sleeve: str
    symbol: str
    price: int | None
    target: float
    held: int
    weight: float
    band: float | None
    asked: int
    crossed: int
    ordered: int
    why: str

    @property
    def drift(self) -> float:
        """What is held less what is wanted, as a fraction of capital."""
        return self.weight - self.target


class _Sums(NamedTuple):
    """A sleeve at the decision: its capital, and its targets as fractions of that."""

    name: str
    capital: int
    held: dict[str, int]
    targets: dict[str, float]


def reasons(
    wanted: Sequence[Wanted], balances: Balances, prices: Prices, rules: Rules, limits: Limits, record: Record
) -> list[Reason]:
    """Every symbol that a trading sleeve holds or wants, by sleeve and symbol.

    `balances`: those the record was planned from, before its transfers and crosses.
    """
    asked = {(one.sleeve, one.symbol): one for one in record.intents}
    orders = {order.symbol: order for order in record.orders}
    found = []
    for sleeve in (_sums(one, balances, prices, record) for one in wanted):
        for symbol in sorted(sleeve.targets.keys() | sleeve.held.keys()):
            others = [one for one in record.intents if one.symbol == symbol and one.sleeve != sleeve.name]
            intent = asked.get((sleeve.name, symbol))
            found.append(_reason(sleeve, symbol, prices[symbol], intent, others, orders.get(symbol), rules, limits))
    return found


def _sums(one: Wanted, balances: Balances, prices: Prices, record: Record) -> _Sums:
    assets = balances.get(one.sleeve, {})
    held = {symbol: quantity for symbol, quantity in assets.items() if symbol != CASH}
    values = {symbol: _worth(quantity, prices[symbol]) for symbol, quantity in held.items()}
    worth = assets.get(CASH, 0) + sum(values.values())
    moved = sum(
        amount
        for booked in record.transactions
        if booked.kind == "transfer"
        for sleeve, _, amount in booked.entries
        if sleeve == one.sleeve
    )
    if one.scale and worth > 0 and held:  # keeps its mix
        targets = {symbol: value / worth for symbol, value in values.items()}
    else:
        targets = {symbol: weight / units.UNIT for symbol, weight in one.weights.items()}
    return _Sums(one.sleeve, worth + moved, held, targets)


def _worth(quantity: int, price: int | None) -> int:
    return 0 if price is None else units.value(quantity, price)


def _reason(
    sleeve: _Sums,
    symbol: str,
    price: int | None,
    intent: Intent | None,
    others: Sequence[Intent],
    order: Order | None,
    rules: Rules,
    limits: Limits,
) -> Reason:
    held, target = sleeve.held.get(symbol, 0), sleeve.targets.get(symbol, 0.0)
    weight = _worth(held, price) / sleeve.capital if sleeve.capital > 0 else 0.0
    asked, crossed = (intent.quantity, intent.crossed) if intent else (0, 0)
    part = dict(order.shares).get(sleeve.name, 0) if order else 0
    plain = Reason(
        sleeve.name,
        symbol,
        price,
        target,
        held,
        weight,
        _band(target, rules),
        asked,
        crossed,
        part if asked > 0 else -part,
        "",
    )
    if intent is not None and intent.why:
        return plain._replace(why=f"left alone: {intent.why}")
    whole = not rules.fractional or symbol in limits.whole
    if not asked:
        return plain._replace(why=_rests(plain, sleeve.capital, rules, whole=whole))
    return plain._replace(why="; ".join([_drifted(plain), *_met(plain, others), *_ordered(plain, rules, whole=whole)]))


def _band(target: float, rules: Rules) -> float | None:
    """The narrower of the bands that there are; none for what is wanted no more."""
    widths = [rules.band / units.UNIT] if rules.band else []
    widths += [target * rules.band_relative / units.UNIT] if rules.band_relative else []
    return min(widths) if widths and target else None


def _rests(one: Reason, capital: int, rules: Rules, *, whole: bool) -> str:
    """Why a sleeve asks for nothing in a symbol."""
    if one.price is None:
        return "left alone: no reference price"
    if capital <= 0 and not one.held:
        return NO_CAPITAL
    apart = abs(one.drift) * max(capital, 0)
    least = max(rules.min_order, rules.band_money if one.target else 0)
    if whole and apart < one.price:
        return "rests: less than a whole share off its target"
    if apart < least:
        return f"rests: {_usd(apart)} off its target, below {_usd(least)}"
    if one.band is not None and abs(one.drift) <= one.band:
        return f"rests: {_points(one.drift)} off its target, within the band of {_points(one.band)}"
    return "rests: on its target"


def _drifted(one: Reason) -> str:
    """What makes a sleeve ask."""
    if not one.target:
        return "wanted no more"
    if not one.held:
        return "new"
    return f"{_points(one.drift)} {'above' if one.drift > 0 else 'below'} its target"


def _met(one: Reason, others: Sequence[Intent]) -> list[str]:
    """What other sleeves took over, in one sentence or none."""
    if not one.crossed:
        return []
    names = sorted(other.sleeve for other in others if other.crossed and (other.quantity > 0) != (one.asked > 0))
    verb = "bought from" if one.asked > 0 else "sold to"
    return [f"{units.shares_text(one.crossed)} {verb} {', '.join(names)} inside the ledger"]


def _ordered(one: Reason, rules: Rules, *, whole: bool) -> list[str]:
    """What became of the rest."""
    rest, ordered = abs(one.asked) - one.crossed, abs(one.ordered)
    said = ["in whole shares"] if whole and ordered else []
    if rest and not ordered:
        small = one.price is not None and units.value(rest, one.price) < rules.min_order
        least = f"the rest is below the smallest order of {_usd(rules.min_order)}"
        return [least if small else "no order: cash does not cover it"]
    if ordered < rest:
        said.append(f"cut from {units.shares_text(rest)} to {units.shares_text(ordered)}: cash covers no more")
    return said


def held_back(order: Order, refused: Sequence[Refusal]) -> list[str]:
    """What the gates say against an order, those that stop the whole batch left out."""
    return [f"{one.gate}: {one.sentence}" for one in refused if one.symbol == order.symbol]


def stopped(refused: Sequence[Refusal]) -> list[str]:
    """What the gates say against the batch."""
    return [f"{one.gate}: {one.sentence}" for one in refused if one.symbol is None]


def _points(fraction: float) -> str:
    """Percentage points.

    >>> _points(-0.0123)
    '1.23 points'
    """
    return f"{abs(fraction) * 100:.2f} points"


def _usd(amount: float) -> str:
    return f"{amount / units.USD:,.2f} USD"
