"""What changed an Alpaca account without an order: dividends, fees, transfers, splits and what else it lists.

https://docs.alpaca.markets/reference/getaccountactivities-2 (types, sub-types, status, `group_id`). `net_amount` is
the signed change of cash. `qty` is the signed change of shares for what changes shares, and only says what the payment
is for where cash is paid.

An entry counts when its status is `executed` or `correct`, or when it has none; a canceled one, one that is pending
and one with a status of next year have not changed the account and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from pas_dagster import calendar
from pas_dagster.execution.brokers.alpaca_wire import integer, moment, objects, short, text
from pas_dagster.execution.brokers.base import BrokerError, NonTrade
from pas_dagster.ledger import units

KINDS: Mapping[str, Sequence[str]] = {
    "dividend": ("DIV", "DIVCGL", "DIVCGS", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "DIVWH", "CGD"),
    "interest": ("INT", "INTNRA", "INTTW", "INTPNL"),
    "fee": ("FEE", "DIVFEE", "PTC", "PTR"),
    "transfer": ("CSD", "CSW", "CSR", "TRANS", "JNLC", "ACATC"),
    "split": ("SPLIT", "SSP"),
    "symbol_change": ("NC", "SC"),
    "shares": ("JNLS", "ACATS", "FOPT", "MA", "SPIN", "SSO", "REO", "REORG", "VOF", "CIL"),
}
"""Kind -> Alpaca's types. Any other type is `other`."""

DONE = ("executed", "correct", None)
_KIND = {name: kind for kind, names in KINDS.items() for name in names}
_CASH = ("dividend", "interest", "fee", "transfer")
_STOCK_DIVIDEND, _UNIT_SPLIT = "SDIV", "USPLIT"
_FILL = "FILL"


class Entry(NamedTuple):
    """One line of the list. `counts`: it changed the account; the numbers of one that did not are not read.

    `type` is Alpaca's. `made`: when the line was made, which can be later than `day`, or its start if that is unsaid.
    """

    id: str
    counts: bool
    type: str
    kind: str
    day: date
    made: datetime
    symbol: str
    quantity: int
    cash: int
    group: str


def entries(said: object) -> list[Entry]:
    """A page of activities; the fills in it do not count."""
    return [_entry(one) for one in objects(said, "activities")]


def _entry(one: Mapping[str, object]) -> Entry:
    name, kind = text(one, "id", "activity"), text(one, "activity_type", "activity")
    if kind == _FILL or one.get("status") not in DONE:
        return Entry(name, False, kind, "", date.min, datetime.min.replace(tzinfo=UTC), "", 0, 0, "")
    what = f"{kind} {name}"
    if one.get("currency") not in (None, "", "USD"):
        raise BrokerError(f"Alpaca's {short(what)} is not in USD; the books hold USD only, so look into it.")
    day = _day(one, what)
    made = moment(one, "created_at", what) if one.get("created_at") else calendar.midnight(day)
    symbol, group = (text(one, field, what) if one.get(field) else "" for field in ("symbol", "group_id"))
    quantity, cash = (_number(one, "qty", what, units.shares), _number(one, "net_amount", what, units.money))
    ours = _kind(kind, one.get("activity_sub_type"), cash)
    silent = not one.get("net_amount") if ours in _CASH else not (quantity or cash or ours == "other")
    if silent:
        raise BrokerError(f"Alpaca's {short(what)} does not say what it changed (net_amount, qty).")
    return Entry(name, True, kind, ours, day, made, symbol, 0 if ours in _CASH else quantity, cash, group)


def _kind(name: str, detail: object, cash: int) -> str:
    """Ours for Alpaca's type: a dividend in shares and the split of a unit into its parts are changes of shares."""
    kind = _KIND.get(name, "other")
    in_shares = kind == "dividend" and detail == _STOCK_DIVIDEND and not cash
    return "shares" if in_shares or (kind == "split" and detail == _UNIT_SPLIT) else kind


def _number(one: Mapping[str, object], name: str, what: str, exact: Callable[[Decimal], int]) -> int:
    return 0 if one.get(name) in (None, "") else integer(one, name, what, exact)


def _day(one: Mapping[str, object], what: str) -> date:
    """The day as it is written, of a date or of an instant."""
    try:
        day = datetime.fromisoformat(text(one, "date", what)).date()
        if calendar.FIRST <= day <= calendar.LAST:
            return day
    except ValueError:
        pass
    raise BrokerError(f"Alpaca's {short(what)} has no day as its date.")


def grouped(found: Sequence[Entry], since: date) -> list[NonTrade]:
    """Entries that count and are dated or were made on or after a day, in their order, each in its event's group.

    The group is Alpaca's where it gives one. Else, among the entries of one day and type, each removal of shares makes
    a group with the first free addition of the same symbol, else of the same number of shares, else with the only one
    if both are the only ones left; its name is the removal's id. Any other entry is a group of its own.
    """
    ordered = sorted((one for one in found if one.counts), key=lambda one: (one.day, one.made, one.id))
    groups = _pairs([one for one in ordered if not one.group])
    return [
        NonTrade(one.id, one.group or groups.get(one.id, one.id), one.kind, one.day, one.symbol, one.quantity, one.cash)
        for one in ordered
        if max(one.day, calendar.today(one.made)) >= since
    ]


def _pairs(ordered: Sequence[Entry]) -> dict[str, str]:
    """Addition's id -> removal's."""
    pairs: dict[str, str] = {}
    alike: dict[tuple[date, str], list[Entry]] = {}
    for one in ordered:
        alike.setdefault((one.day, one.type), []).append(one)
    for same in alike.values():
        gone = [one for one in same if one.quantity < 0]
        come = [one for one in same if one.quantity > 0]
        for fits in (_same_symbol, _same_quantity):
            for removal in list(gone):
                match = next((one for one in come if fits(removal, one)), None)
                if match is not None:
                    pairs[match.id] = removal.id
                    gone.remove(removal)
                    come.remove(match)
        if len(gone) == len(come) == 1:
            pairs[come[0].id] = gone[0].id
    return pairs


def _same_symbol(removal: Entry, addition: Entry) -> bool:
    return removal.symbol == addition.symbol


def _same_quantity(removal: Entry, addition: Entry) -> bool:
    return removal.quantity == -addition.quantity
