"""What a Trader Workstation does with a request: one paper account, its orders under TWS's numbers, its commissions.

As the real one: the same order reference may be sent any number of times, an order's number only once; fractional
shares are refused; a fill and its commission are told apart from each other, and a correction of a fill comes under
the fill's id with its last part counted up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import NamedTuple

from pas_dagster import calendar
from pas_dagster.sandbox.broker.paper import ZERO, Fill, PaperAccount, PaperOrder, RefusedError, Wish, text
from pas_dagster.sandbox.tws import messages as say
from pas_dagster.sandbox.tws.messages import Done, Message, Standing

ACCOUNT = "DU1000001"
UNKNOWN_CONTRACT, REJECTED, DUPLICATE_NUMBER, CANCELLED = 200, 201, 103, 202
UNREADABLE, INVALID, NOT_SERVED, FRACTIONAL, NO_ORDER_TO_CANCEL, NOT_CANCELLABLE = 320, 321, 322, 10243, 10147, 10148
_FIRST_PERM = 1_500_000_000
_CENT = Decimal("0.01")
_EXACT = Context(prec=60)
_PLAIN = {65: "", 77: "", 82: "0", 83: "", 85: "0"}
"""Fields of an order that are like this unless it has delta-neutral, hedge or algorithm parts, or asks "what if"."""


class Asked(NamedTuple):
    """A request: its fields, and who sent it."""

    client: int
    fields: Sequence[str]

    def number(self, at: int) -> int:
        return int(self.fields[at])


class Placed(NamedTuple):
    """An order under TWS's numbers."""

    client: int
    number: int
    perm: int
    order: PaperOrder


class Desk:
    """Hold `account.lock` around any use.

    `fee`: USD a share, charged with each fill. `fee_lag`: seconds until a fill's commission is told.
    `corrections`: later words on a fill, by its id in the account: quantity and price. `remarks`: code and text of what
    is said about every order as it is taken, though nothing is wrong. `forgetful`: orders that are over are not told,
    as after TWS was started anew.
    """

    def __init__(
        self,
        account: PaperAccount,
        name: str = ACCOUNT,
        *,
        fee: Decimal = Decimal("0.005"),
        fee_lag: float = 0.0,
    ) -> None:
        account.rules.unique_ids = False
        self.account = account
        self.name = name
        self.fee = fee
        self.fee_lag = fee_lag
        self.corrections: dict[str, list[tuple[Decimal, Decimal]]] = {}
        self.remarks: list[tuple[int, str]] = []
        self.forgetful = False
        self._placed: dict[str, Placed] = {}
        self._numbers: dict[int, set[int]] = {}
        self._charged = 0

    def advance(self) -> None:
        """Bring the books to the present and charge what was filled."""
        self.account.advance()
        for fill in self.account.fills[self._charged :]:
            self.account.cash -= self._commission(fill.quantity)
        self._charged = len(self.account.fills)

    def _commission(self, quantity: Decimal) -> Decimal:
        return _EXACT.multiply(quantity, self.fee).quantize(Decimal("1e-6"), ROUND_HALF_EVEN)

    def greeting(self, client: int) -> list[Message]:
        """What a client hears first: the accounts, its next number, and that the lines are up."""
        return [
            say.accounts([self.name]),
            say.next_id(self._next_number(client)),
            say.error(say.NOTHING, 2104, "Market data farm connection is OK:usfarm"),
            say.error(say.NOTHING, 2158, "Sec-def data farm connection is OK:secdefnj"),
        ]

    def _next_number(self, client: int) -> int:
        return max(self._numbers.get(client, {0})) + 1

    def answer(self, asked: Asked) -> list[Message]:
        """The messages in answer to a request."""
        self.advance()
        try:
            act = _ACTS.get(asked.number(0))
            return [_not_served(asked)] if act is None else act(self, asked)
        except (ValueError, IndexError, InvalidOperation):
            return [say.error(say.NOTHING, UNREADABLE, "Server error when reading an API client request.")]

    def news(self, client: int, since: int) -> tuple[list[Message], list[Fill]]:
        """What happened to a client's own orders since an event; the fills whose commissions are still owed."""
        told: list[Message] = []
        owed: list[Fill] = []
        for name, order, fill in self.account.events[since:]:
            placed = self.placed(order)
            if placed.client != client or not placed.number:
                continue
            one = self._standing(placed)
            if name == "new":
                told += [say.error(placed.number, *remark) for remark in self.remarks]
                told.append(say.open_order(one))
            if name in ("canceled", "expired"):
                told.append(say.error(placed.number, CANCELLED, "Order Canceled - reason:"))
            if fill is not None:
                told.append(say.execution(say.NOTHING, one, self.done(fill)))
                owed.append(fill)
            told.append(say.order_status(one))
        return told, owed

    def commission(self, fill: Fill) -> Message | None:
        """What a fill cost, if it is told by now."""
        due = fill.at + timedelta(seconds=self.fee_lag) <= self.account.now()
        return say.commission(self.done(fill)) if due else None

    def placed(self, order: PaperOrder) -> Placed:
        """The order's numbers; an order that no client sent was entered by hand."""
        if order.id not in self._placed:
            self._placed[order.id] = Placed(0, 0, _FIRST_PERM + len(self._placed), order)
        return self._placed[order.id]

    def _standing(self, placed: Placed) -> Standing:
        order = placed.order
        fills = [fill for fill in self.account.fills if fill.order == order.id]
        over = None if order.is_open else order.changed
        why = f"Filled Size: {text(order.filled)}" if order.status == "filled" else "Cancelled by Trader"
        return Standing(
            placed.client,
            placed.number,
            placed.perm,
            self.name,
            order.wish,
            self._status(order),
            order.filled,
            _average(order.paid, order.filled),
            fills[-1].price if fills else ZERO,
            over,
            why,
        )

    def _status(self, order: PaperOrder) -> str:
        waiting = "PreSubmitted" if self.account.now() < order.session.open else "Submitted"
        named = {"filled": "Filled", "canceled": "Cancelled", "expired": "Cancelled", "pending_cancel": "PendingCancel"}
        return named.get(order.status, waiting)

    def done(self, fill: Fill, correction: int = 0) -> Done:
        """A fill as it was first told, or as its n-th correction tells it."""
        number = self.account.fills.index(fill) + 1
        quantity, price = fill.quantity, fill.price
        if correction:
            quantity, price = self.corrections[fill.id][correction - 1]
        order = self.account.orders[fill.order]
        return Done(
            f"0000e0d5.{number:08x}.01.{correction + 1:02d}",
            fill.at,
            quantity,
            price,
            fill.total,
            _average(order.paid, order.filled),
            self._commission(quantity),
        )

    def correct(self, fill: Fill, quantity: Decimal, price: Decimal) -> None:
        """Say that a fill was another one. The account's cash and shares follow the last word on it."""
        said = self.corrections.setdefault(fill.id, [])
        before, paid = said[-1] if said else (fill.quantity, fill.price)
        sign = 1 if fill.side == "buy" else -1
        change = _EXACT.multiply(quantity, price) - _EXACT.multiply(before, paid)
        fees = self._commission(quantity) - self._commission(before)
        self.account.cash -= sign * change.quantize(Decimal("1e-6")) + fees
        self.account.hold(fill.symbol, sign * (quantity - before), price)
        said.append((quantity, price))

    def _visible(self, *, is_open: bool, client: int | None = None) -> list[Standing]:
        now = self.account.now()
        found = [self.placed(one) for one in self.account.orders.values() if one.is_open == is_open]
        seen = [one for one in found if one.order.seen_from <= now and client in (None, one.client)]
        return [self._standing(one) for one in seen]

    def open_orders(self, asked: Asked) -> list[Message]:
        client = asked.client if asked.number(0) == 5 else None
        found = self._visible(is_open=True, client=client)
        return [*[m for one in found for m in (say.open_order(one), say.order_status(one))], say.end(53)]

    def completed_orders(self, _: Asked) -> list[Message]:
        found = [] if self.forgetful else self._visible(is_open=False)
        return [*map(say.completed_order, found), say.end(102)]

    def positions(self, _: Asked) -> list[Message]:
        held = sorted(self.account.positions.items())
        return [*[say.position(self.name, symbol, much, self._cost(symbol)) for symbol, much in held], say.end(62)]

    def _cost(self, symbol: str) -> Decimal:
        return _average(self.account.spent.get(symbol, ZERO), self.account.positions[symbol])

    def _values(self) -> list[tuple[str, str, str]]:
        """Tag, value and currency; money to the cent, as TWS shows it."""
        book = self.account
        money = {
            "CashBalance": book.cash,
            "TotalCashValue": book.cash,
            "NetLiquidation": book.equity(),
            "BuyingPower": book.buying_power(),
        }
        shown = [(tag, text(value.quantize(_CENT)), "USD") for tag, value in money.items()]
        return [("AccountCode", self.name, ""), ("AccountReady", "true", ""), *shown]

    def account_updates(self, asked: Asked) -> list[Message]:
        if not asked.number(2):
            return []
        name, book = self.name, self.account
        if asked.fields[3] not in ("", name):
            return [say.error(say.NOTHING, INVALID, f"Invalid account code '{asked.fields[3]}'.")]
        held = [
            say.portfolio(name, symbol, much, book.price(symbol) or ZERO, self._cost(symbol))
            for symbol, much in sorted(book.positions.items())
        ]
        clock = f"{book.now().astimezone(calendar.NEW_YORK):%H:%M}"
        values = [say.account_value(name, *one) for one in self._values()]
        return [*values, *held, ["8", "1", clock], ["54", "1", name]]

    def account_updates_multi(self, asked: Asked) -> list[Message]:
        request = asked.number(2)
        values = [say.account_value_multi(request, self.name, *one) for one in self._values()]
        return [*values, say.end(74, request)]

    def account_summary(self, asked: Asked) -> list[Message]:
        request = asked.number(2)
        wanted = asked.fields[4].split(",")
        found = [say.summary(request, self.name, *one) for one in self._values() if one[0] in wanted]
        return [*found, say.end(64, request)]

    def executions(self, asked: Asked) -> list[Message]:
        """Fills of the day in New York with their corrections, then what they cost."""
        request, book = asked.number(2), self.account
        today = calendar.today(book.now())
        told: list[Message] = []
        costs: list[Message] = []
        for fill in book.fills:
            if fill.seen_from > book.now() or calendar.today(fill.at) != today:
                continue
            one = self._standing(self.placed(book.orders[fill.order]))
            words = [self.done(fill, number) for number in range(len(self.corrections.get(fill.id, ())) + 1)]
            told += [say.execution(request, one, done) for done in words]
            if self.commission(fill) is not None:
                costs += [say.commission(done) for done in words]
        return [*told, say.end(55, request), *costs]

    def contract_details(self, asked: Asked) -> list[Message]:
        request = asked.number(2)
        symbol = say.ours(asked.fields[4])
        if self._is_unknown(asked.fields[3:], symbol):
            return [_no_contract(request)]
        return [say.details(request, symbol), say.end(52, request)]

    def _is_unknown(self, contract: Sequence[str], symbol: str) -> bool:
        number, _, kind, *_, currency = contract[:10]
        known = self.account.price(symbol) is not None and kind == "STK" and currency in ("", "USD")
        return not known or number not in ("", "0", str(say.contract_id(symbol)))

    def market_data(self, asked: Asked) -> list[Message]:
        request = asked.number(2)
        symbol = say.ours(asked.fields[4])
        price = self.account.price(symbol)
        if price is None:
            return [_no_contract(request)]
        at = str(int(self.account.now().timestamp()))
        ticks = [say.price_tick(request, kind, price, 100) for kind in (1, 2, 4)]  # bid, ask, last
        return [*ticks, say.text_tick(request, 45, at), say.end(57, request)]

    def place(self, asked: Asked) -> list[Message]:
        """Take an order; what becomes of it comes as news."""
        number, fields = asked.number(1), asked.fields
        symbol = say.ours(fields[3])
        if any(fields[at] != usual for at, usual in _PLAIN.items()):
            return [_not_served(asked)]
        if fields[23] not in ("", self.name):
            return [say.error(number, INVALID, f"Invalid account code '{fields[23]}'.")]
        known = self._numbers.setdefault(asked.client, set())
        if number <= max(known, default=0):
            return [say.error(number, DUPLICATE_NUMBER, "Duplicate order id")]
        known.add(number)
        if self._is_unknown(fields[2:], symbol):
            return [_no_contract(number)]
        quantity = Decimal(fields[17])
        if quantity % 1:
            return [say.error(number, FRACTIONAL, "Fractional-sized order cannot be placed via API.")]
        return self._take(asked.client, number, _wish(fields, symbol, quantity))

    def _take(self, client: int, number: int, wish: Wish) -> list[Message]:
        try:
            order = self.account.place(wish)
        except RefusedError as refusal:
            return [say.error(number, REJECTED, f"Order rejected - reason:{refusal}")]
        self._placed[order.id] = Placed(client, number, _FIRST_PERM + len(self._placed), order)
        self.advance()
        return []

    def cancel(self, asked: Asked) -> list[Message]:
        number = asked.number(2)
        numbers = (asked.client, number)
        order = next((one.order for one in self._placed.values() if (one.client, one.number) == numbers), None)
        if order is None:
            return [say.error(number, NO_ORDER_TO_CANCEL, f"OrderId {number} that needs to be cancelled is not found.")]
        if not order.is_open:
            status = self._status(order)
            said = f"OrderId {number} that needs to be cancelled cannot be cancelled, state: {status}."
            return [say.error(number, NOT_CANCELLABLE, said)]
        self.account.cancel(order.id)
        return []

    def cancel_all(self, _: Asked) -> list[Message]:
        for order in [one for one in self.account.orders.values() if one.is_open]:
            self.account.cancel(order.id)
        return []

    def time(self, _: Asked) -> list[Message]:
        return [say.current_time(self.account.now())]

    def next_ids(self, asked: Asked) -> list[Message]:
        return [say.next_id(self._next_number(asked.client))]

    def names(self, _: Asked) -> list[Message]:
        return [say.accounts([self.name])]

    def nothing(self, _: Asked) -> list[Message]:
        """What needs no answer: ends of subscriptions, levels of logs."""
        return []


def _average(paid: Decimal, quantity: Decimal) -> Decimal:
    return _EXACT.divide(paid, quantity).quantize(Decimal("1e-6")) if quantity else ZERO


def _wish(fields: Sequence[str], symbol: str, quantity: Decimal) -> Wish:
    kind = {"MKT": "market", "LMT": "limit"}[fields[18]] if fields[18] in ("MKT", "LMT") else fields[18]
    limit = Decimal(fields[19]) if kind == "limit" else None
    return Wish(symbol, fields[16].lower(), fields[26], quantity, None, kind, limit, fields[21].lower() or "day")


def _no_contract(request: int) -> Message:
    return say.error(request, UNKNOWN_CONTRACT, "No security definition has been found for the request")


def _not_served(asked: Asked) -> Message:
    """A refusal, under the request's own number where it has one."""
    at = _REQUEST_AT.get(asked.number(0))
    number = say.NOTHING if at is None else asked.number(at)
    return say.error(number, NOT_SERVED, "Error processing request: this sandbox does not serve it.")


_REQUEST_AT: Mapping[int, int] = {1: 2, 3: 1, 7: 2, 9: 2, 20: 1, 50: 2, 62: 2, 76: 2, 87: 1, 92: 1, 94: 1}
"""Where the kinds of requests that have a number of their own carry it."""

_ACTS: Mapping[int, Callable[[Desk, Asked], list[Message]]] = {
    1: Desk.market_data,
    2: Desk.nothing,
    3: Desk.place,
    4: Desk.cancel,
    5: Desk.open_orders,
    6: Desk.account_updates,
    7: Desk.executions,
    8: Desk.next_ids,
    9: Desk.contract_details,
    14: Desk.nothing,
    15: Desk.nothing,
    16: Desk.open_orders,
    17: Desk.names,
    49: Desk.time,
    58: Desk.cancel_all,
    59: Desk.nothing,
    61: Desk.positions,
    62: Desk.account_summary,
    63: Desk.nothing,
    64: Desk.nothing,
    76: Desk.account_updates_multi,
    77: Desk.nothing,
    99: Desk.completed_orders,
}
