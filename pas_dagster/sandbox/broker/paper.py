"""The account behind the sandbox broker: cash, positions, orders, fills, and the rules an order has to keep.

Nothing happens by itself: `advance` brings the books to the clock's present, and every request begins with it. All
numbers are exact decimals: shares to 1e-9, money to 1e-6. A buyer pays the rounded-up, a seller gets the rounded-down
worth of a fill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from random import Random
from threading import RLock
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from pas_dagster import calendar
from pas_dagster.sandbox.broker.admission import (
    MISSING,
    SHARE,
    UNPROCESSABLE,
    ZERO,
    RefusedError,
    Wish,
    check,
    text,
)
from pas_dagster.sandbox.broker.hours import Session, following, opened
from pas_dagster.sandbox.broker.market import Action, Path

__all__ = [  # what other sandboxes take from here, too
    "AT_ONCE",
    "MISSING",
    "NEVER",
    "ZERO",
    "Entry",
    "Fill",
    "PaperAccount",
    "PaperOrder",
    "Pattern",
    "RefusedError",
    "Rules",
    "Wish",
    "prices",
    "text",
]

Pattern = Sequence[tuple[float, float]]
"""When an order fills: (seconds after it could, part of it), ... Parts that sum to one fill it."""

AT_ONCE: Pattern = ((0.0, 1.0),)
NEVER: Pattern = ()
MICRO = Decimal("1e-6")
CENT = Decimal("0.01")
OPEN = ("new", "partially_filled", "pending_cancel")
COUNTS = ("executed", "correct", None)
_EXACT = Context(prec=60)
_PARTS_WITHIN = 60.0  # seconds
_MOMENT = timedelta(microseconds=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class PaperOrder:
    """An order in the books. `seen_from`: it does not show before."""

    id: str
    wish: Wish
    submitted: datetime
    session: Session
    seen_from: datetime
    steps: list[tuple[datetime, float]]
    status: str = "new"
    filled: Decimal = ZERO
    paid: Decimal = ZERO
    part: float = 0.0
    changed: datetime | None = None
    rejected: bool = False  # when its turn comes
    delayed: bool = False  # by a halt

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def left(self) -> Decimal:
        """Shares that are still to come; 0 for an order in dollars, which has no quantity before it fills."""
        return self.wish.quantity - self.filled if self.wish.quantity is not None else ZERO


class Fill(NamedTuple):
    """One execution. `total`, `left`: of the order after it."""

    id: str
    order: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    at: datetime
    total: Decimal
    left: Decimal
    seen_from: datetime


class Entry(NamedTuple):
    """A change of the account without an order. `quantity`: as shown, which for a payment is what it is paid on."""

    id: str
    type: str
    detail: str | None
    day: date
    at: datetime
    symbol: str | None
    quantity: Decimal | None
    cash: Decimal | None
    per_share: Decimal | None
    group: str | None
    status: str | None


@dataclass
class Rules:
    """How the broker behaves. `patterns`: how the orders of a symbol fill, where not by `pattern`.

    `order_lag`, `fill_lag`: seconds until an order or a fill shows. `cancel_lag`: seconds a cancellation takes.
    `halted`: symbols whose orders rest. `partial`, `rejected`: part of the orders, by the account's seed and the
    order's id, that fill in several parts within a minute, and that are taken and then rejected. `groups`: whether
    activities name the group they belong to, which accounts have been seen not to do.
    """

    unique_ids: bool = True
    pattern: Pattern = AT_ONCE
    patterns: dict[str, Pattern] = field(default_factory=dict)
    order_lag: float = 0.0
    fill_lag: float = 0.0
    cancel_lag: float = 0.0
    multiplier: int = 2
    untradable: set[str] = field(default_factory=set)
    whole_only: set[str] = field(default_factory=set)
    halted: set[str] = field(default_factory=set)
    partial: float = 0.0
    rejected: float = 0.0
    groups: bool = True


class PaperAccount:
    """One account. Hold `lock` around any use.

    `price`: gives a symbol's price now, None for what is not listed; or the path that prices take. `actions`: what
    happens to companies at the open of a session, applied to what is held.
    """

    def __init__(
        self,
        price: Callable[[str], float | str | Decimal | None] | Path,
        now: Callable[[], datetime],
        cash: int | str | Decimal = 100_000,
        rules: Rules | None = None,
        *,
        seed: int = 0,
        actions: Callable[[date], Sequence[Action]] | None = None,
    ) -> None:
        self.now = now
        self.rules = rules or Rules()
        self.lock = RLock()
        self.cash = Decimal(cash)
        self.positions: dict[str, Decimal] = {}
        self.spent: dict[str, Decimal] = {}  # cost of what is held
        self.orders: dict[str, PaperOrder] = {}
        self.fills: list[Fill] = []
        self.entries: list[Entry] = []
        self.events: list[tuple[str, PaperOrder, Fill | None]] = []
        self.opened = now()
        self._price = price
        self._actions = actions
        self._reached = self.opened
        self._seed = seed
        self._number = 0
        self._open: dict[str, PaperOrder] = {}
        self._cancels: dict[str, datetime] = {}
        self.id = self.new_id()

    def new_id(self) -> str:
        self._number += 1
        return str(uuid5(NAMESPACE_URL, f"sandbox broker {self._seed} {self._number}"))

    def price(self, symbol: str, at: datetime | None = None) -> Decimal | None:
        """What a share of it costs now, or cost at an instant where prices take a path, to 1e-6 USD."""
        found = self._price.at(symbol, at or self.now()) if isinstance(self._price, Path) else self._price(symbol)
        return None if found is None else Decimal(str(found)).quantize(MICRO).normalize()

    def symbols(self) -> list[str]:
        """What can be traded, as far as the source of prices says; else what has been."""
        listed = self._price.symbols(self.now()) if isinstance(self._price, Path) else ()
        return sorted({*listed, *self.positions, *(order.wish.symbol for order in self.orders.values())})

    def open_orders(self) -> list[PaperOrder]:
        return list(self._open.values())

    def held_for_sale(self, symbol: str) -> Decimal:
        """Shares that open sell orders have taken hold of."""
        return sum((o.left for o in self._open.values() if (o.wish.symbol, o.wish.side) == (symbol, "sell")), ZERO)

    def buying_power(self) -> Decimal:
        """Equity times the multiplier, less what is held and what open buys will cost."""
        value = sum((self._worth(symbol, quantity) for symbol, quantity in self.positions.items()), ZERO)
        bought = sum((self._cost(order) for order in self._open.values() if order.wish.side == "buy"), ZERO)
        return (self.cash + value) * self.rules.multiplier - value - bought

    def equity(self) -> Decimal:
        return self.cash + sum((self._worth(*one) for one in self.positions.items()), ZERO)

    def _worth(self, symbol: str, quantity: Decimal) -> Decimal:
        return _EXACT.multiply(quantity, self.price(symbol) or ZERO).quantize(MICRO, ROUND_FLOOR)

    def _cost(self, order: PaperOrder) -> Decimal:
        if order.wish.quantity is None:
            return order.wish.notional or ZERO
        return self._worth(order.wish.symbol, order.left)

    def find(self, cid: str) -> PaperOrder | None:
        """The order under a client's id; of several the first."""
        return next((order for order in self.orders.values() if order.wish.cid == cid), None)

    def place(self, wish: Wish) -> PaperOrder:
        """Take an order; raises `RefusedError` for one that breaks a rule."""
        check(self, wish)
        now = self.now()
        session = following(now)
        ready = max(now, session.open)
        rejected, pattern = self._luck(wish)
        steps = [(ready + timedelta(seconds=after), part) for after, part in pattern]
        seen_from = now + timedelta(seconds=self.rules.order_lag)
        order = PaperOrder(self.new_id(), wish, now, session, seen_from, steps, rejected=rejected)
        self.orders[order.id] = self._open[order.id] = order
        self.events.append(("new", order, None))
        return order

    def _luck(self, wish: Wish) -> tuple[bool, Pattern]:
        """Whether the order will be rejected, and how it fills."""
        rules, luck = self.rules, Random(f"{self._seed} {wish.cid}")
        if luck.random() < rules.rejected:
            return True, AT_ONCE
        if wish.symbol in rules.patterns or luck.random() >= rules.partial:
            return False, rules.patterns.get(wish.symbol, rules.pattern)
        cuts = [0.0, *sorted(round(luck.uniform(0.05, 0.95), 2) for _ in range(luck.randint(1, 3))), 1.0]
        times = [0.0, *sorted(round(luck.uniform(1, _PARTS_WITHIN), 3) for _ in cuts[2:])]
        return False, [(at, end - begin) for at, begin, end in zip(times, cuts, cuts[1:], strict=False)]

    def cancel(self, order_id: str) -> None:
        """Ask for an order's end; raises `RefusedError` for one that is unknown or over."""
        order = self.orders.get(order_id)
        if order is None:
            raise RefusedError(404, MISSING, f"order not found for {order_id}")
        if not order.is_open:
            raise RefusedError(422, UNPROCESSABLE, f'order is already in "{order.status}" state')
        order.status = "pending_cancel"
        self._cancels.setdefault(order_id, self.now() + timedelta(seconds=self.rules.cancel_lag))
        self.advance()

    def advance(self) -> None:
        """Bring the books to the present, by way of the opens of all sessions on the way."""
        now = self.now()
        if self._actions is not None:
            for session in opened(self._reached, now):
                self._run(session.open - _MOMENT)  # what trades at the open trades after the split
                for action in self._actions(session.day):
                    self._act(action, session.day)
        self._reached = max(self._reached, now)
        self._run(now)

    def _run(self, now: datetime) -> None:
        """Let happen what is due: fills in the order of their times, cancellations, the end of sessions."""
        due = [(at, number, order) for number, order in enumerate(self._open.values()) for at, _ in order.steps]
        for at, _, order in sorted(due, key=lambda one: one[:2]):
            if at <= now and at < self._over(order):
                self._step(order, at, now)
        for order in self.open_orders():
            if order.is_open and order.id in self._cancels and self._cancels[order.id] <= now:
                self._end(order, "canceled", self._cancels[order.id])
            elif order.is_open and order.wish.force == "day" and order.session.close <= now:
                self._end(order, "expired", order.session.close)

    def _over(self, order: PaperOrder) -> datetime:
        """When the order fills no more."""
        close = order.session.close if order.wish.force == "day" else _NEVER
        return min(close, self._cancels.get(order.id, close))

    def _end(self, order: PaperOrder, status: str, at: datetime) -> None:
        order.status, order.changed, order.steps = status, at, []
        self._open.pop(order.id, None)
        self._cancels.pop(order.id, None)
        self.events.append((status, order, None))

    def _step(self, order: PaperOrder, at: datetime, now: datetime) -> None:
        """The next step of the order's pattern, which was due at an instant."""
        if order.wish.symbol in self.rules.halted:
            order.delayed = True
            return
        if order.rejected:
            self._end(order, "rejected", at)
            return
        at = now if order.delayed or order.wish.limit is not None else at  # a limit is met when the price gets there
        price = self.price(order.wish.symbol, at)
        if not order.steps or price is None or at >= self._over(order) or not _marketable(order.wish, price):
            return
        _, part = order.steps.pop(0)
        if order.wish.quantity is None:
            bought = _EXACT.divide(order.wish.notional or ZERO, price).quantize(SHARE, ROUND_DOWN)
            order.wish = order.wish._replace(quantity=bought)
        order.part += part
        whole = order.wish.quantity or ZERO
        full = order.part > 1 - 1e-9
        target = whole if full else _EXACT.multiply(whole, Decimal(str(order.part))).quantize(SHARE, ROUND_DOWN)
        self.fill(order, target - order.filled, price, at)

    def fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, at: datetime | None = None) -> None:
        """Execute a part of an open order, whatever its pattern says."""
        quantity = min(quantity, order.left)
        if quantity <= 0 or not order.is_open:
            return
        at = at or self.now()
        side, symbol = order.wish.side, order.wish.symbol
        rounding = ROUND_CEILING if side == "buy" else ROUND_FLOOR
        amount = _EXACT.multiply(quantity, price).quantize(MICRO, rounding)
        self.cash += -amount if side == "buy" else amount
        self.hold(symbol, quantity if side == "buy" else -quantity, price)
        order.filled += quantity
        order.paid += amount
        order.changed = at
        number = f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}::{self.new_id()}"
        shown = at + timedelta(seconds=self.rules.fill_lag)
        done = Fill(number, order.id, symbol, side, quantity, price, at, order.filled, order.left, shown)
        self.fills.append(done)
        if order.left:
            order.status = order.status if order.status == "pending_cancel" else "partially_filled"
            self.events.append(("partial_fill", order, done))
        else:
            self._end(order, "filled", at)
            self.events[-1] = ("fill", order, done)

    def hold(self, symbol: str, change: Decimal, price: Decimal = ZERO) -> None:
        """Change a position, as a fill or the outside world does."""
        before = self.positions.get(symbol, ZERO)
        cost = self.spent.get(symbol, ZERO)
        after = before + change
        if not after:
            self.positions.pop(symbol, None)
            self.spent.pop(symbol, None)
            return
        self.positions[symbol] = after
        kept = _EXACT.divide(_EXACT.multiply(cost, after), before) if change < 0 and before > 0 else cost
        self.spent[symbol] = kept if change < 0 else cost + _EXACT.multiply(change, price)

    def enter(
        self,
        kind: str,
        *,
        symbol: str | None = None,
        cash: Decimal | None = None,
        shares: Decimal | None = None,
        paid_on: Decimal | None = None,
        per_share: Decimal | None = None,
        detail: str | None = None,
        group: str | None = None,
        day: date | None = None,
        status: str | None = "executed",
    ) -> Entry:
        """Write an activity of any type into the books; cash and shares change if its status says that they do."""
        now = self.now()
        on = day or calendar.today(now)
        name = f"{on:%Y%m%d}000000000::{self.new_id()}"
        quantity = shares if shares is not None else paid_on
        shown = group if self.rules.groups else None
        entry = Entry(name, kind, detail, on, now, symbol, quantity, cash, per_share, shown, status)
        self.entries.append(entry)
        if status in COUNTS:
            self.cash += cash or ZERO
            if symbol is not None and shares:
                self.hold(symbol, shares)
        return entry

    def dividend(self, symbol: str, per_share: Decimal, day: date | None = None) -> None:
        """Pay on what is held, to the cent."""
        held = self.positions.get(symbol, ZERO)
        if held:
            paid = _EXACT.multiply(held, per_share).quantize(CENT, ROUND_HALF_UP)
            self.enter("DIV", symbol=symbol, cash=paid, paid_on=held, per_share=per_share, detail="CDIV", day=day)

    def fee(self, amount: Decimal) -> None:
        self.enter("FEE", cash=-amount, detail="REG")

    def interest(self, amount: Decimal) -> None:
        """Credit, or charge when negative."""
        self.enter("INT", cash=amount, detail="CDT" if amount > 0 else "MGN")

    def transfer(self, amount: Decimal) -> None:
        """A deposit, or a withdrawal when negative."""
        self.enter("CSD" if amount > 0 else "CSW", cash=amount)

    def split(self, symbol: str, ratio: Decimal, day: date | None = None) -> None:
        """Multiply a position overnight; open orders in it are gone."""
        held = self.positions.get(symbol, ZERO)
        after = _EXACT.multiply(held, ratio).quantize(SHARE, ROUND_DOWN)
        self._exchange(symbol, symbol, after, "SPLIT", "FSPLIT" if ratio > 1 else "RSPLIT", day)

    def rename(self, old: str, new: str, day: date | None = None) -> None:
        """A position goes on under another symbol; open orders in the old one are gone."""
        self._exchange(old, new, self.positions.get(old, ZERO), "NC", "SNC", day)

    def delist(self, symbol: str, price: Decimal, day: date | None = None) -> None:
        """Pay a price for each share held, and take the shares away."""
        self._void(symbol)
        held = self.positions.get(symbol, ZERO)
        if held:
            cash = _EXACT.multiply(held, price).quantize(CENT, ROUND_HALF_UP)
            self.enter("MA", symbol=symbol, shares=-held, cash=cash, detail="CMA", group=self.new_id(), day=day)

    def _exchange(self, old: str, new: str, after: Decimal, kind: str, detail: str, day: date | None) -> None:
        """Two entries: what is removed and what comes for it, at the same cost."""
        self._void(old)
        held, cost, group = self.positions.get(old, ZERO), self.spent.get(old, ZERO), self.new_id()
        if held:
            self.enter(kind, symbol=old, shares=-held, detail=detail, group=group, day=day)
            self.enter(kind, symbol=new, shares=after, detail=detail, group=group, day=day)
        if held and after:
            self.spent[new] = self.spent.get(new, ZERO) + cost

    def _void(self, symbol: str) -> None:
        for order in self.open_orders():
            if order.wish.symbol == symbol:
                self._end(order, "canceled", self.now())

    def _act(self, action: Action, day: date) -> None:
        """Do to the account what happened to a company."""
        match action.kind:
            case "dividend":
                self.dividend(action.symbol, action.value, day)
            case "split":
                self.split(action.symbol, action.value, day)
            case "symbol_change":
                self.rename(action.symbol, action.new_symbol, day)
            case "delisting":
                self.delist(action.symbol, action.value, day)

    def reset(self, cash: int | str | Decimal) -> None:
        """What Alpaca's button does to a paper account: another id, no history."""
        self.id, self.cash = self.new_id(), Decimal(cash)
        for books in (self.positions, self.spent, self.orders, self._open, self._cancels):
            books.clear()
        self.fills.clear()
        self.entries.clear()


def _marketable(wish: Wish, price: Decimal) -> bool:
    if wish.limit is None:
        return True
    return price <= wish.limit if wish.side == "buy" else price >= wish.limit


def prices(table: Mapping[str, float]) -> Callable[[str], float | None]:
    """A price source that reads a table, which may change."""
    return table.get
