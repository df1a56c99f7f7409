"""How Alpaca's trading API writes what the account holds: numbers as text, times in UTC, ids as UUIDs.

https://docs.alpaca.markets/reference/ (trading API): account, positions, orders, activities, clock, calendar, assets;
(market data API): latest quotes and trades.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Context, Decimal
from uuid import NAMESPACE_URL, uuid5

from pas_dagster import calendar
from pas_dagster.sandbox.broker.admission import ZERO, text
from pas_dagster.sandbox.broker.hours import Session, between, following
from pas_dagster.sandbox.broker.paper import Entry, Fill, PaperAccount, PaperOrder

_STAMPS = {"filled": "filled_at", "expired": "expired_at", "canceled": "canceled_at", "rejected": "failed_at"}
_FOUR = Decimal("0.0001")
_CENT, _MICRO = Decimal("0.01"), Decimal("1e-6")
_EXACT = Context(prec=60)


def stamp(moment: datetime | None) -> str | None:
    """An instant as the API writes it."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _money(value: Decimal | None) -> str | None:
    return None if value is None else text(value)


def asset_id(symbol: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"asset {symbol}"))


def account(book: PaperAccount) -> dict[str, object]:
    equity, power = text(book.equity()), text(book.buying_power())
    value = text(book.equity() - book.cash)
    return {
        "id": book.id,
        "account_number": "PA0SANDBOX00",
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "buying_power": power,
        "regt_buying_power": power,
        "non_marginable_buying_power": text(book.cash),
        "cash": text(book.cash),
        "accrued_fees": "0",
        "portfolio_value": equity,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "created_at": stamp(book.opened),
        "trade_suspended_by_user": False,
        "multiplier": str(book.rules.multiplier),
        "shorting_enabled": False,
        "equity": equity,
        "last_equity": equity,
        "long_market_value": value,
        "short_market_value": "0",
        "position_market_value": value,
        "initial_margin": "0",
        "maintenance_margin": "0",
        "last_maintenance_margin": "0",
        "sma": "0",
    }


def position(book: PaperAccount, symbol: str) -> dict[str, object]:
    quantity = book.positions[symbol]
    price, spent = book.price(symbol), book.spent.get(symbol, ZERO)
    worth = None if price is None else _EXACT.multiply(quantity, price).quantize(_FOUR)
    entry = abs(_EXACT.divide(spent, quantity)).quantize(_FOUR)
    gain = None if worth is None else worth - spent
    return {
        "asset_id": asset_id(symbol),
        "symbol": symbol,
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "avg_entry_price": text(entry),
        "qty": text(quantity),
        "qty_available": text(quantity - book.held_for_sale(symbol)),
        "side": "long" if quantity > 0 else "short",
        "market_value": _money(worth),
        "cost_basis": text(spent),
        "unrealized_pl": _money(gain),
        "unrealized_plpc": None if not spent or gain is None else text((gain / spent).quantize(_FOUR)),
        "current_price": _money(price),
        "lastday_price": _money(price),
        "change_today": "0",
    }


def order(one: PaperOrder) -> dict[str, object]:
    wish, by_notional = one.wish, one.wish.notional is not None
    average = _EXACT.divide(one.paid, one.filled).quantize(Decimal("1e-6")) if one.filled else None
    stamps: dict[str, str | None] = dict.fromkeys(
        ("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at"), None
    )
    if one.status in _STAMPS:
        stamps[_STAMPS[one.status]] = stamp(one.changed)
    return {
        "id": one.id,
        "client_order_id": wish.cid,
        "created_at": stamp(one.submitted),
        "updated_at": stamp(one.changed or one.submitted),
        "submitted_at": stamp(one.submitted),
        **stamps,
        "expires_at": stamp(one.session.close) if wish.force == "day" else None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": asset_id(wish.symbol),
        "symbol": wish.symbol,
        "asset_class": "us_equity",
        "notional": _money(wish.notional),
        "qty": None if by_notional else _money(wish.quantity),
        "filled_qty": text(one.filled),
        "filled_avg_price": _money(average),
        "order_class": "",
        "order_type": wish.kind,
        "type": wish.kind,
        "side": wish.side,
        "position_intent": "buy_to_open" if wish.side == "buy" else "sell_to_close",
        "time_in_force": wish.force,
        "limit_price": _money(wish.limit),
        "stop_price": None,
        "status": one.status,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
    }


def activity(fill: Fill) -> dict[str, object]:
    return {
        "id": fill.id,
        "activity_type": "FILL",
        "transaction_time": stamp(fill.at),
        "type": "partial_fill" if fill.left else "fill",
        "price": text(fill.price),
        "qty": text(fill.quantity),
        "side": fill.side,
        "symbol": fill.symbol,
        "leaves_qty": text(fill.left),
        "order_id": fill.order,
        "cum_qty": text(fill.total),
        "order_status": "partially_filled" if fill.left else "filled",
    }


def non_trade(entry: Entry) -> dict[str, object]:
    """An activity that is no fill; fields that say nothing are left out, as they are on the real wire."""
    shown = {
        "id": entry.id,
        "activity_type": entry.type,
        "activity_sub_type": entry.detail,
        "date": entry.day.isoformat(),
        "created_at": stamp(entry.at),
        "net_amount": text(entry.cash or ZERO),
        "description": "",
        "symbol": entry.symbol,
        "qty": _money(entry.quantity),
        "per_share_amount": _money(entry.per_share),
        "group_id": entry.group,
        "status": entry.status,
        "currency": "USD",
    }
    return {name: value for name, value in shown.items() if value is not None}


def quote(price: Decimal, at: datetime, *, halted: bool) -> dict[str, object]:
    """The best bid and ask, a cent or a hundredth around the price; none while trading is halted. JSON numbers."""
    half = min(_CENT, (price * _CENT).quantize(_MICRO))
    bid, ask = (ZERO, ZERO) if halted else (price - half, price + half)
    ends = {"bx": "V", "bp": float(bid), "bs": 1, "ax": "V", "ap": float(ask), "as": 1}
    return {"t": stamp(at), **ends, "c": ["R"], "z": "C"}


def trade(price: Decimal, at: datetime) -> dict[str, object]:
    """The last trade."""
    return {"t": stamp(at), "x": "V", "p": float(price), "s": 100, "c": ["@"], "i": 1, "z": "C"}


def update(book: PaperAccount, name: str, one: PaperOrder, fill: Fill | None) -> dict[str, object]:
    """An event of the stream `trade_updates`."""
    data: dict[str, object] = {
        "event": name,
        "timestamp": stamp(one.changed or one.submitted),
        "execution_id": book.new_id() if fill is None else fill.id.partition("::")[2],
        "order": order(one),
    }
    if fill is not None:
        held = text(book.positions.get(fill.symbol, ZERO))
        data |= {"price": text(fill.price), "qty": text(fill.quantity), "position_qty": held}
    return {"stream": "trade_updates", "data": data}


def clock(now: datetime) -> dict[str, object]:
    session = following(now)
    is_open = session.open <= now
    following_open = following(session.close).open if is_open else session.open
    return {
        "timestamp": now.astimezone(calendar.NEW_YORK).isoformat(),
        "is_open": is_open,
        "next_open": following_open.astimezone(calendar.NEW_YORK).isoformat(),
        "next_close": session.close.astimezone(calendar.NEW_YORK).isoformat(),
    }


def days(first: date, last: date) -> list[dict[str, object]]:
    """The trading days from `first` to `last`."""
    return [_day(session) for session in between(first, last)]


def _day(session: Session) -> dict[str, object]:
    opens, closes = (moment.astimezone(calendar.NEW_YORK) for moment in (session.open, session.close))
    return {
        "date": session.day.isoformat(),
        "open": opens.strftime("%H:%M"),
        "close": closes.strftime("%H:%M"),
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": calendar.roll_forward(following(session.close).day).isoformat(),
    }


def asset(book: PaperAccount, symbol: str) -> dict[str, object]:
    return {
        "id": asset_id(symbol),
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": symbol,
        "name": f"{symbol} Common Stock",
        "status": "active",
        "tradable": symbol not in book.rules.untradable,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": symbol not in book.rules.whole_only,
        "attributes": [],
    }
