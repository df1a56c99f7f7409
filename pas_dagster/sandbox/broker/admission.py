"""Which orders the sandbox broker takes, and how it words the refusal of the others."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pas_dagster.sandbox.broker.paper import PaperAccount

ZERO = Decimal(0)
SHARE = Decimal("1e-9")
LONGEST_ID = 128
FORBIDDEN, UNPROCESSABLE, INVALID, MISSING = 40310000, 42210000, 40010001, 40410000
_EXACT = Context(prec=60)


class RefusedError(Exception):
    """What the API answers instead: status, and a body with message and, but for the data API, a code."""

    def __init__(self, status: int, code: int | None, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        coded = {} if code is None else {"code": code}
        self.body: dict[str, object] = {**coded, "message": message, **more}


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


def check(book: PaperAccount, wish: Wish) -> None:
    """Raise `RefusedError` for an order that breaks a rule."""
    _form(book, wish)
    _means(book, wish)


def _form(book: PaperAccount, wish: Wish) -> None:
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
    if book.rules.unique_ids and book.find(wish.cid) is not None:
        raise RefusedError(422, INVALID, "client_order_id must be unique")
    _digits(book, wish)


def _digits(book: PaperAccount, wish: Wish) -> None:
    if wish.notional is not None and wish.notional != wish.notional.quantize(Decimal("0.01"), ROUND_DOWN):
        raise RefusedError(422, UNPROCESSABLE, "notional value must be limited to 2 decimal places")
    if wish.quantity is not None and wish.quantity != wish.quantity.quantize(SHARE, ROUND_DOWN):
        raise RefusedError(422, UNPROCESSABLE, "qty must be limited to 9 decimal places")
    fraction = wish.notional is not None or (wish.quantity is not None and wish.quantity % 1 != 0)
    if fraction and wish.force != "day":
        raise RefusedError(422, UNPROCESSABLE, "fractional orders must be DAY orders")
    if fraction and wish.symbol in book.rules.whole_only:
        raise RefusedError(403, FORBIDDEN, "requested asset is not fractionable")


def _means(book: PaperAccount, wish: Wish) -> None:
    price = book.price(wish.symbol)
    if price is None:
        raise RefusedError(422, UNPROCESSABLE, f'asset "{wish.symbol}" not found')
    if wish.symbol in book.rules.untradable:
        raise RefusedError(422, UNPROCESSABLE, f"asset {wish.symbol} is not tradable")
    for other in book.open_orders():
        if other.wish.symbol == wish.symbol and other.wish.side != wish.side:
            raise RefusedError(
                403,
                FORBIDDEN,
                "potential wash trade detected. use complex orders",
                existing_order_id=other.id,
                reject_reason="opposite side market/stop order exists",
            )
    if wish.side == "sell":
        _shares(book, wish, price)
        return
    cost = wish.notional if wish.quantity is None else _EXACT.multiply(wish.quantity, price)
    if cost is not None and cost < 1:
        raise RefusedError(403, FORBIDDEN, "cost basis must be >= minimal amount of order 1")
    power = book.buying_power()
    if cost is not None and cost > power:
        raise RefusedError(403, FORBIDDEN, "insufficient buying power", buying_power=text(power), cost_basis=text(cost))


def _shares(book: PaperAccount, wish: Wish, price: Decimal) -> None:
    held, promised = book.positions.get(wish.symbol, ZERO), book.held_for_sale(wish.symbol)
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


def text(value: Decimal) -> str:
    """A number as the wire shows it.

    >>> text(Decimal("12.500")), text(Decimal("1E+3"))
    ('12.5', '1000')
    """
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
