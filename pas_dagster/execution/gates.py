"""Gates between a plan and the broker: pure functions that let orders through or say why not.

A gate on an order keeps that order out; a gate on the batch keeps out all of it. Every gate is judged by the batch
**as it was planned**, whatever the other gates keep out, so that raising a limit never lets less through and the order
of the orders does not matter. All orders of one symbol and side count as one: splitting does not get round a limit.

Sells that only reduce a position, all of the symbol's sells together not above what is held, pass the caps on notional
(order, batch, day), name and sector: getting out is never refused for being large. They are held back by everything
else, because a wrong price, a thin market, a closed one or a wrong clock harms a sale as well. For the cap on sectors
such sells count as filled once their own gates let them through; they are sent first.

What a gate needs and does not know (a quote, a volume, a clock, the breaker) counts as failed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import NamedTuple

from pas_dagster.execution.brokers.base import Hours, Quote
from pas_dagster.ledger import units
from pas_dagster.ledger.accounts import Mode
from pas_dagster.ledger.halts import Arm, why_unarmed
from pas_dagster.ledger.records import Order

# Exact addresses: no other spelling of them is known, so nothing has to be taken apart.
HOSTS: Mapping[str, Mode] = {"https://api.alpaca.markets": "live", "https://paper-api.alpaca.markets": "paper"}
LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}")  # a sandbox broker: no real account is there
LIVE_VARIABLE = "ALPACA_LIVE"
UNKNOWN = "unknown"  # sector of symbols that have none; they count together, as in the caps on targets


@dataclass(frozen=True, slots=True)
class Gates:
    """Limits; None disables one.

    Attributes:
        order_usd: largest notional of one order.
        batch_usd: largest notional of a batch.
        day_usd: largest notional of a day, earlier batches included.
        batch_orders: most orders of a batch.
        volume_share: largest part of the symbol's average volume of 20 days.
        collar: largest distance of a quote from the price the order was planned at, as a fraction of that price.
        quote_seconds: oldest quote that the collar believes.
        name_share: largest part of the account's value in one symbol after the batch.
        sector_share: the same for the symbols of one sector.
        skew_seconds: largest difference between our clock and the broker's.
        closing_minutes: nothing is sent in the last minutes of a session, nor outside of it.
        breaker: whether a tripped circuit breaker stops the batch.

    Raises:
        ValueError: a parameter is out of range; one sentence names it.

    >>> Gates(collar=5)
    Traceback (most recent call last):
    ...
    ValueError: the gates need a collar above 0 and at most 1, or none, not 5
    """

    order_usd: int | None = 100_000
    batch_usd: int | None = 500_000
    day_usd: int | None = 1_000_000
    batch_orders: int | None = 500
    volume_share: float | None = 0.05
    collar: float | None = 0.05
    quote_seconds: float | None = 60.0
    name_share: float | None = 0.25
    sector_share: float | None = 0.5
    skew_seconds: float | None = 5.0
    closing_minutes: float | None = 2.0
    breaker: bool = True

    def __post_init__(self) -> None:
        """Refuse limits that have no meaning."""
        for name in (one.name for one in fields(self) if one.name != "breaker"):
            value = getattr(self, name)
            if value is not None and not _valid(name, value):
                raise ValueError(f"the gates need a {name} {_range(name)}, or none, not {value}")
        if not isinstance(self.breaker, bool):
            raise ValueError(f"the gates need breaker to be true or false, not {self.breaker}")


@dataclass(frozen=True)
class Facts:
    """What the gates look at. Quantities 1e-9 shares, money and prices 1e-6 USD, times aware.

    Attributes:
        now: our clock.
        broker_now: the broker's clock, asked just before; None when it did not answer.
        hours: of today's session, early closes included; None on a day without one, or when they are not known.
        equity: value of the account.
        sent_today: notional sent today before this batch, without sells that only reduced.
        tripped: why the circuit breaker is tripped, empty when it is open; None when its state is not known.
        quotes: newest quote by symbol.
        volumes: average volume of the last 20 sessions by symbol, 1e-9 shares.
        positions: what is held by symbol.
        prices: of what is held.
        sectors: symbol -> sector.
    """

    now: datetime
    broker_now: datetime | None
    hours: Hours | None
    equity: int
    sent_today: int = 0
    tripped: Sequence[str] | None = None
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)
    prices: Mapping[str, int] = field(default_factory=dict)
    sectors: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Times without a zone and money sent below zero are mistakes of the caller."""
        times = [self.now, self.broker_now, *(self.hours or ())[1:], *(quote.at for quote in self.quotes.values())]
        if any(one is not None and one.tzinfo is None for one in times):
            raise ValueError("the gates need aware times")
        if self.sent_today < 0:
            raise ValueError(f"what was sent today cannot be below 0, not {self.sent_today}")


@dataclass(frozen=True)
class LiveSwitch:
    """What has to agree before an order reaches real money: address, setting, environment and arm record.

    Attributes:
        mode: of the account in the ledger.
        base_url: address that orders go to; empty for a simulated account.
        allow_live: the setting of the configuration.
        environment: variables of this process; `ALPACA_LIVE` has to be `1`.
        owner: id of the account as the broker says it.
        arm: the newest arm record of the account.
    """

    mode: Mode
    base_url: str
    allow_live: bool
    environment: Mapping[str, str]
    owner: str
    arm: Arm | None


class Refusal(NamedTuple):
    """Which gate refuses, for which symbol (None: the batch), and why in one sentence."""

    gate: str
    symbol: str | None
    sentence: str


class Verdict(NamedTuple):
    """The orders that pass, in the order given, and every reason why others do not."""

    passed: tuple[Order, ...]
    refused: tuple[Refusal, ...]


class _Line(NamedTuple):
    """All orders of one symbol and side. `value` is never understated; `reduces` as the module says."""

    symbol: str
    side: str
    quantity: int
    low: int
    high: int
    value: int
    reduces: bool


def check(orders: Sequence[Order], facts: Facts, gates: Gates, switch: LiveSwitch) -> Verdict:
    """Ask every gate about a batch of planned orders.

    An empty batch is refused by nobody. The sum of what passes keeps every limit, but for sells that only reduce.
    """
    if not orders:
        return Verdict((), ())
    lines = _lines(orders, facts)
    whole = [*_batch(orders, facts, gates), *live(switch, facts.now)]
    large = _notional(lines, facts, gates)
    single = _single(lines, facts, gates)
    out = {(line.symbol, line.side) for line, _ in single}
    through = {line for line in lines if line.reduces and (line.symbol, line.side) not in out}
    single += _sectors(lines, through, facts, gates)
    out |= {(line.symbol, line.side) for line, _ in single}
    out |= {(line.symbol, line.side) for line in lines if whole or (large and not line.reduces)}
    refused = {*whole, *large, *(refusal for _, refusal in single)}
    passed = tuple(order for order in orders if (order.symbol, order.side) not in out)
    return Verdict(passed, tuple(sorted(refused, key=lambda one: (one.symbol is not None, *map(str, one)))))


def live(switch: LiveSwitch, now: datetime) -> list[Refusal]:
    """Why orders may not go to the switch's address; all four conditions are told, not the first one only.

    >>> paper = LiveSwitch("paper", "https://api.alpaca.markets", False, {}, "a", None)
    >>> live(paper, datetime(2024, 1, 2, 15))[0].sentence
    'The account is a paper one, but the address leads to live accounts.'
    """
    if switch.mode == "simulated" and not switch.base_url:
        return []
    leads = HOSTS.get(switch.base_url) or ("paper" if LOOPBACK.fullmatch(switch.base_url) else None)
    found = []
    if leads is None:
        found.append(f"Orders may go to {', '.join(HOSTS)} or a port of 127.0.0.1, spelt so, and nowhere else.")
    elif leads != switch.mode:
        found.append(f"The account is a {switch.mode} one, but the address leads to {leads} accounts.")
    if switch.mode == "live":
        if switch.allow_live is not True:
            found.append("The configuration does not allow live trading (`allow_live`).")
        if switch.environment.get(LIVE_VARIABLE) != "1":
            found.append(f"The environment does not allow live trading ({LIVE_VARIABLE}=1).")
        unarmed = why_unarmed(switch.arm, switch.owner, now)
        if unarmed:
            found.append(unarmed)
    return [Refusal("live switch", None, sentence) for sentence in found]


def _lines(orders: Sequence[Order], facts: Facts) -> list[_Line]:
    """Orders by symbol and side, sorted."""
    groups: dict[tuple[str, str], list[Order]] = {}
    for order in orders:
        groups.setdefault((order.symbol, order.side), []).append(order)
    found = []
    for (symbol, side), ours in sorted(groups.items()):
        quantity = sum(order.quantity for order in ours)
        quote = facts.quotes.get(symbol)
        high = max(max(order.price for order in ours), quote.price if quote else 0)
        reduces = side == "sell" and quantity <= facts.positions.get(symbol, 0)
        low = min(order.price for order in ours)
        found.append(_Line(symbol, side, quantity, low, high, units.cost(quantity, high), reduces))
    return found


def _batch(orders: Sequence[Order], facts: Facts, gates: Gates) -> Iterator[Refusal]:
    """What keeps out the whole batch."""
    if gates.batch_orders is not None and len(orders) > gates.batch_orders:
        yield _refuse("orders per batch", f"The batch has {len(orders)} orders, the limit is {gates.batch_orders}.")
    if gates.breaker and facts.tripped is None:
        yield _refuse("circuit breaker", "The state of the circuit breaker is not known.")
    if gates.breaker and facts.tripped:
        yield _refuse("circuit breaker", f"The circuit breaker is tripped: {'; '.join(facts.tripped)}.")
    if gates.skew_seconds is not None:
        yield from _skew(facts, gates.skew_seconds)
    if gates.closing_minutes is not None:
        yield from _hours(facts, timedelta(minutes=gates.closing_minutes))


def _skew(facts: Facts, limit: float) -> Iterator[Refusal]:
    if facts.broker_now is None:
        yield _refuse("clock skew", "The broker's clock is not known.")
        return
    apart = abs((facts.now - facts.broker_now).total_seconds())
    if apart > limit:
        yield _refuse("clock skew", f"Our clock and the broker's are {apart:.3g} s apart, the limit is {limit:.3g} s.")


def _hours(facts: Facts, margin: timedelta) -> Iterator[Refusal]:
    now, hours = facts.broker_now or facts.now, facts.hours
    if hours is None:
        yield _refuse("market hours", "There is no session today, or its hours are not known.")
    elif now < hours.open:
        yield _refuse("market hours", f"The session opens at {hours.open:%H:%M %Z}.")
    elif now >= hours.close - margin:
        yield _refuse(
            "market hours",
            f"The session closes at {hours.close:%H:%M %Z}; nothing is sent after {hours.close - margin:%H:%M %Z}.",
        )


def _notional(lines: Sequence[_Line], facts: Facts, gates: Gates) -> list[Refusal]:
    """What keeps out the batch but for sells that only reduce."""
    found = []
    total = sum(line.value for line in lines if not line.reduces)
    if not total:
        return []
    for gate, limit, sum_ in (
        ("notional per batch", gates.batch_usd, total),
        ("notional per day", gates.day_usd, total + facts.sent_today),
    ):
        if limit is not None and sum_ > limit * units.USD:
            found.append(_refuse(gate, f"It would come to {_usd(sum_)}, the limit is {_usd(limit * units.USD)}."))
    return found


def _single(lines: Sequence[_Line], facts: Facts, gates: Gates) -> list[tuple[_Line, Refusal]]:
    """What keeps out single orders, but for the cap on sectors."""
    found = []
    for line in lines:
        sentences = {
            "price collar": _collar(line, facts, gates),
            "share of volume": _volume(line, facts, gates),
            "notional per order": "" if line.reduces else _size(line, gates),
            "position cap": "" if line.reduces else _name(line, facts, gates),
        }
        found += [(line, Refusal(gate, line.symbol, text)) for gate, text in sentences.items() if text]
    return found


def _collar(line: _Line, facts: Facts, gates: Gates) -> str:
    if gates.collar is None:
        return ""
    quote = facts.quotes.get(line.symbol)
    if quote is None or quote.price <= 0:
        return f"There is no quote of {line.symbol}."
    age = (facts.now - quote.at).total_seconds()
    if gates.quote_seconds is not None and age > gates.quote_seconds:
        return f"The quote of {line.symbol} is {age:.3g} s old, the limit is {gates.quote_seconds:.3g} s."
    if gates.skew_seconds is not None and -age > gates.skew_seconds:
        return (
            f"The quote of {line.symbol} is {-age:.3g} s ahead of our clock, the limit is {gates.skew_seconds:.3g} s."
        )
    room = units.weight(gates.collar)
    if any(abs(quote.price - price) * units.UNIT > room * price for price in (line.low, line.high)):
        return (
            f"{line.symbol} is quoted at {units.money_text(quote.price)}, more than {gates.collar:.3%} away from "
            f"{units.money_text(line.low)}, at which the {line.side} was planned."
        )
    return ""


def _volume(line: _Line, facts: Facts, gates: Gates) -> str:
    if gates.volume_share is None:
        return ""
    volume = facts.volumes.get(line.symbol)
    if volume is None:
        return f"The volume of {line.symbol} over 20 days is not known."
    if line.quantity * units.UNIT > units.weight(gates.volume_share) * volume:
        return (
            f"The {line.side} of {units.shares_text(line.quantity)} {line.symbol} is more than "
            f"{gates.volume_share:.3%} of its volume of a day, {units.shares_text(volume)}."
        )
    return ""


def _size(line: _Line, gates: Gates) -> str:
    if gates.order_usd is None or line.value <= gates.order_usd * units.USD:
        return ""
    limit = _usd(gates.order_usd * units.USD)
    return f"The {line.side} of {line.symbol} comes to {_usd(line.value)}, the limit is {limit}."


def _name(line: _Line, facts: Facts, gates: Gates) -> str:
    if gates.name_share is None:
        return ""
    signed = line.quantity if line.side == "buy" else -line.quantity
    after = units.cost(abs(facts.positions.get(line.symbol, 0) + signed), line.high)
    if _within(after, gates.name_share, facts.equity):
        return ""
    return f"{line.symbol} would come to {_usd(after)}, more than {gates.name_share:.3%} of {_usd(facts.equity)}."


def _sectors(lines: Sequence[_Line], through: set[_Line], facts: Facts, gates: Gates) -> list[tuple[_Line, Refusal]]:
    """What the cap on sectors keeps out: every order that adds to a sector which would be too large."""
    if gates.sector_share is None:
        return []
    found = []
    adding = [line for line in lines if not line.reduces]
    for sector in sorted({facts.sectors.get(line.symbol, UNKNOWN) for line in adding}):
        after, unpriced = _sector(sector, lines, through, facts)
        if unpriced:
            text = f"The sector {sector} has no value, because {unpriced} is held and has no price."
        elif not _within(after, gates.sector_share, facts.equity):
            share = f"{gates.sector_share:.3%} of {_usd(facts.equity)}"
            text = f"The sector {sector} would come to {_usd(after)}, more than {share}."
        else:
            continue
        ours = [line for line in adding if facts.sectors.get(line.symbol, UNKNOWN) == sector]
        found += [(line, Refusal("sector cap", line.symbol, text)) for line in ours]
    return found


def _sector(sector: str, lines: Sequence[_Line], through: set[_Line], facts: Facts) -> tuple[int, str]:
    """Value of a sector after the batch, and the first symbol of it that is held without a price."""
    prices: dict[str, int] = {}
    up = {symbol: held for symbol, held in facts.positions.items() if held}  # if every buy is filled
    down = dict(up)  # if none is
    for line in lines:
        prices[line.symbol] = max(line.high, prices.get(line.symbol, 0))
        if line.side == "buy":
            up[line.symbol] = up.get(line.symbol, 0) + line.quantity
        elif line in through:
            up[line.symbol] -= line.quantity
            down[line.symbol] -= line.quantity
        elif not line.reduces:
            down[line.symbol] = down.get(line.symbol, 0) - line.quantity
    total = 0
    for symbol in sorted(up.keys() | down.keys()):
        if facts.sectors.get(symbol, UNKNOWN) != sector:
            continue
        price = max(prices.get(symbol, 0), facts.prices.get(symbol, 0))
        if price <= 0:
            return 0, symbol
        total += units.cost(max(abs(up.get(symbol, 0)), abs(down.get(symbol, 0))), price)
    return total, ""


def _within(value: int, share: float, equity: int) -> bool:
    return value * units.UNIT <= units.weight(share) * max(equity, 0)


def _refuse(gate: str, sentence: str) -> Refusal:
    return Refusal(gate, None, sentence)


def _usd(amount: int) -> str:
    return f"{amount / units.USD:,.2f} USD"


def _valid(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return False
    if name in _WHOLE:
        return isinstance(value, int) and value > 0
    if not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return 0 < value <= 1 if name in _PARTS else value >= 0


def _range(name: str) -> str:
    if name in _WHOLE:
        return "that is a whole number above 0"
    return "above 0 and at most 1" if name in _PARTS else "of at least 0"


_WHOLE = ("order_usd", "batch_usd", "day_usd", "batch_orders")
_PARTS = ("volume_share", "collar", "name_share", "sector_share")
