"""The account behind the sandbox broker: cash, positions, orders, fills, and the rules an order has to keep.

Nothing happens by itself: `advance` brings the books to the clock's present, and every request begins with it. All
numbers are exact decimals: shares to 1e-9, money to 1e-6. A buyer pays the rounded-up, a seller gets the rounded-down
worth of a fill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from threading import RLock
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from pas_dagster.sandbox.broker.hours import Session, following

Pattern = Sequence[tuple[float, float]]
"""When an order fills: (seconds after it could, part of it), ... Parts that sum to one fill it."""

AT_ONCE: Pattern = ((0.0, 1.0),)
NEVER: Pattern = ()
ZERO = Decimal(0)
SHARE = Decimal("1e-9")
CENT = Decimal("1e-6")
LONGEST_ID = 128
OPEN = ("new", "partially_filled", "pending_cancel")
FORBIDDEN, UNPROCESSABLE, INVALID, MISSING = 40310000, 42210000, 40010001, 40410000
_EXACT = Context(prec=60)
_NEVER = datetime.max.replace(tzinfo=UTC)


class RefusedError(Exception):
    """What the API answers instead: status, and a body with code and message."""

    def __init__(self, status: int, code: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, object] = {"code": code, "message": message, **more}


class Wish(NamedTuple):
    """An order as it is asked for. One of `quantity` and `notional` is given."""

    symbol: str
    side: str
    cid: str
    quantity: Decimal | None = None
    notional: Decimal | None = None
    kind: str = "market"
    limit: Decimal | None = None
    force: str = "day"


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


@dataclass
class Rules:
    """How the broker behaves. `patterns`: how the orders of a symbol fill, where not by `pattern`.

    `order_lag`, `fill_lag`: seconds until an order or a fill shows. `cancel_lag`: seconds a cancellation takes.
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


class PaperAccount:
    """One account. `price` gives a symbol's price now, None for what is not listed. Hold `lock` around any use."""

    def __init__(
        self,
        price: Callable[[str], float | str | Decimal | None],
        now: Callable[[], datetime],
        cash: int | str | Decimal = 100_000,
        rules: Rules | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.now = now
        self.rules = rules or Rules()
        self.lock = RLock()
        self.cash = Decimal(cash)
        self.positions: dict[str, Decimal] = {}
        self.spent: dict[str, Decimal] = {}  # cost of what is held
        self.orders: dict[str, PaperOrder] = {}
        self.fills: list[Fill] = []
        self.events: list[tuple[str, PaperOrder, Fill | None]] = []
        self.opened = now()
        self._price = price
        self._seed = seed
        self._number = 0
        self._open: dict[str, PaperOrder] = {}
        self._cancels: dict[str, datetime] = {}
        self.id = self.new_id()

    def new_id(self) -> str:
        self._number += 1
        return str(uuid5(NAMESPACE_URL, f"sandbox broker {self._seed} {self._number}"))

    def price(self, symbol: str) -> Decimal | None:
        """What a share of it costs now, to 1e-6 USD."""
        found = self._price(symbol)
        return None if found is None else Decimal(str(found)).quantize(CENT).normalize()

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
        return _EXACT.multiply(quantity, self.price(symbol) or ZERO).quantize(CENT, ROUND_FLOOR)

    def _cost(self, order: PaperOrder) -> Decimal:
        if order.wish.quantity is None:
            return order.wish.notional or ZERO
        return self._worth(order.wish.symbol, order.left)

    def find(self, cid: str) -> PaperOrder | None:
        """The order under a client's id; of several the first."""
        return next((order for order in self.orders.values() if order.wish.cid == cid), None)

    def place(self, wish: Wish) -> PaperOrder:
        """Take an order; raises `RefusedError` for one that breaks a rule."""
        self._check_form(wish)
        self._check_means(wish)
        now = self.now()
        session = following(now)
        ready = max(now, session.open)
        pattern = self.rules.patterns.get(wish.symbol, self.rules.pattern)
        steps = [(ready + timedelta(seconds=after), part) for after, part in pattern]
        seen_from = now + timedelta(seconds=self.rules.order_lag)
        order = PaperOrder(self.new_id(), wish, now, session, seen_from, steps)
        self.orders[order.id] = self._open[order.id] = order
        self.events.append(("new", order, None))
        return order

    def _check_form(self, wish: Wish) -> None:
        if wish.quantity is None and wish.notional is None:
            raise RefusedError(422, INVALID, "qty or notional is required")
        if wish.quantity is not None and wish.notional is not None:
            raise RefusedError(422, INVALID, "only one of qty or notional is accepted")
        size = wish.quantity if wish.quantity is not None else wish.notional
        if size is None or size <= 0:
            raise RefusedError(422, INVALID, "qty must be > 0")
        if wish.side not in ("buy", "sell") or wish.kind not in ("market", "limit"):
            raise RefusedError(422, INVALID, "invalid side or type")
        if len(wish.cid) > LONGEST_ID:
            raise RefusedError(422, INVALID, f"client_order_id must be no more than {LONGEST_ID} characters")
        if self.rules.unique_ids and self.find(wish.cid) is not None:
            raise RefusedError(422, INVALID, "client_order_id must be unique")
        self._check_digits(wish)

    def _check_digits(self, wish: Wish) -> None:
        if wish.notional is not None and wish.notional != wish.notional.quantize(Decimal("0.01"), ROUND_DOWN):
            raise RefusedError(422, UNPROCESSABLE, "notional value must be limited to 2 decimal places")
        if wish.quantity is not None and wish.quantity != wish.quantity.quantize(SHARE, ROUND_DOWN):
            raise RefusedError(422, UNPROCESSABLE, "qty must be limited to 9 decimal places")
        fraction = wish.notional is not None or (wish.quantity is not None and wish.quantity % 1 != 0)
        if fraction and wish.force != "day":
            raise RefusedError(422, UNPROCESSABLE, "fractional orders must be DAY orders")
        if fraction and wish.symbol in self.rules.whole_only:
            raise RefusedError(403, FORBIDDEN, "requested asset is not fractionable")

    def _check_means(self, wish: Wish) -> None:
        price = self.price(wish.symbol)
        if price is None:
            raise RefusedError(422, UNPROCESSABLE, f'asset "{wish.symbol}" not found')
        if wish.symbol in self.rules.untradable:
            raise RefusedError(422, UNPROCESSABLE, f"asset {wish.symbol} is not tradable")
        for other in self._open.values():
            if other.wish.symbol == wish.symbol and other.wish.side != wish.side:
                raise RefusedError(
                    403,
                    FORBIDDEN,
                    "potential wash trade detected. use complex orders",
                    existing_order_id=other.id,
                    reject_reason="opposite side market/stop order exists",
                )
        if wish.side == "sell":
            self._check_shares(wish, price)
            return
        cost = wish.notional if wish.quantity is None else _EXACT.multiply(wish.quantity, price)
        if cost is not None and cost < 1:
            raise RefusedError(403, FORBIDDEN, "cost basis must be >= minimal amount of order 1")
        power = self.buying_power()
        if cost is not None and cost > power:
            raise RefusedError(
                403, FORBIDDEN, "insufficient buying power", buying_power=text(power), cost_basis=text(cost)
            )

    def _check_shares(self, wish: Wish, price: Decimal) -> None:
        held, promised = self.positions.get(wish.symbol, ZERO), self.held_for_sale(wish.symbol)
        asked = wish.quantity if wish.quantity is not None else _EXACT.divide(wish.notional or ZERO, price)
        if asked <= held - promised:
            return
        if not held:
            raise RefusedError(403, FORBIDDEN, "account is not allowed to short")
        available = text(held - promised)
        raise RefusedError(
            403,
            FORBIDDEN,
            f"insufficient qty available for order (requested: {text(asked)}, available: {available})",
            available=available,
            existing_qty=text(held),
            held_for_orders=text(promised),
            symbol=wish.symbol,
        )

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
        """Let happen what is due: fills in the order of their times, cancellations, the end of sessions."""
        now = self.now()
        due = [(at, number, order) for number, order in enumerate(self._open.values()) for at, _ in order.steps]
        for at, _, order in sorted(due, key=lambda one: one[:2]):
            if at <= now and at < self._over(order):
                self._step(order, at)
        for order in list(self._open.values()):
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

    def _step(self, order: PaperOrder, at: datetime) -> None:
        """The next step of the order's pattern."""
        price = self.price(order.wish.symbol)
        if not order.steps or price is None or not _marketable(order.wish, price):
            return
        at = at if order.wish.limit is None else self.now()  # a limit is met when the price gets there
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
        amount = _EXACT.multiply(quantity, price).quantize(CENT, rounding)
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

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Multiply a position overnight; open orders in it are gone."""
        for order in [o for o in self._open.values() if o.wish.symbol == symbol]:
            self._end(order, "canceled", self.now())
        if symbol in self.positions:
            self.positions[symbol] = _EXACT.multiply(self.positions[symbol], ratio).quantize(SHARE, ROUND_DOWN)

    def rename(self, old: str, new: str) -> None:
        """A position goes on under another symbol."""
        for books in (self.positions, self.spent):
            if old in books:
                books[new] = books.pop(old)

    def reset(self, cash: int | str | Decimal) -> None:
        """What Alpaca's button does to a paper account: another id, no history."""
        self.id, self.cash = self.new_id(), Decimal(cash)
        for books in (self.positions, self.spent, self.orders, self._open, self._cancels):
            books.clear()
        self.fills.clear()


def _marketable(wish: Wish, price: Decimal) -> bool:
    if wish.limit is None:
        return True
    return price <= wish.limit if wish.side == "buy" else price >= wish.limit


def text(value: Decimal) -> str:
    """A number as the wire shows it.

    >>> text(Decimal("12.500")), text(Decimal("1E+3"))
    ('12.5', '1000')
    """
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def prices(table: Mapping[str, float]) -> Callable[[str], float | None]:
    """A price source that reads a table, which may change."""
    return table.get
