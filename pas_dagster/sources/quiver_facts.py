"""What Quiver's website and its API say alike: moments, numbers and tickers as they spell them, trades of politicians.

Neither numbers filings, so identifiers are those of the website or made from what a row says:

- a trade of a politician has the website's trade id (`House-P000197-216`) as `filing_id` with `line` 1. Where there is
  none (API), `filing_id` is `quiver-<bioguide>-<day filed>-<digest>` of day traded, ticker, direction, extent and
  amount; `line` counts the lots that say the same.
- other rows have `quiver-<day>-<digest>` of what they say, and a number for rows that say the same.

So an identifier depends neither on the order of rows nor on the other rows of an answer.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pas_dagster import calendar
from pas_dagster.sources.disclosures import Amount, amount, asset_type, direction, person
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import LayoutError

BLANK = frozenset({"", "-", "--", "n/a", "nan", "none", "null"})
"""Texts that stand for nothing, in lower case."""

_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?)? ?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_WORDS = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2}), ?(\d{4})(?:,? \(?([^()]{1,12})\)?)?", re.ASCII)
_CLOCK = re.compile(r"(1[0-2]|0?[1-9])(?::([0-5]\d))? ?(am|pm)", re.ASCII)
_NUMBER = re.compile(r"-?\$?-?(?:\d{1,15}|\d{1,3}(?:,\d{3}){1,5})?(?:\.\d{1,20})?(?:e[+-]?\d{1,2})? ?%?", re.ASCII)
_TICKER = re.compile(r"[A-Z][A-Z0-9]{0,5}(?:[-./][A-Z]{1,2})?")
_BIOGUIDE = re.compile(r"[A-Z]\d{6}", re.ASCII)
_SUFFIX = re.compile(r"(?:jr|sr|ii|iii|iv|v|m\.?d|phd)\.?", re.IGNORECASE)
_YEARS = range(1990, 2100)
_CHAMBERS = {"house": "house", "representatives": "house", "senate": "senate"}
_PARTIES = {"democrat": "D", "democratic": "D", "republican": "R", "independent": "I", "d": "D", "r": "R", "i": "I"}


@dataclass(frozen=True)
class When:
    """A New York day, and the instant where a time of day is told."""

    day: date
    at: datetime | None = None

    @property
    def published(self) -> dict[str, object]:
        return {"known_on": self.day, "known_at": self.at}


def moment(value: object) -> When:
    """A day, or an instant in New York's time unless it names another zone. Midnight stands for no time of day.

    >>> moment("Sept. 5, 2024"), moment("20260331").day
    (When(day=datetime.date(2024, 9, 5), at=None), datetime.date(2026, 3, 31))
    >>> moment("Feb. 13, 2025, 12:19 p.m.").at.isoformat(), moment("2026-01-30 12:53:00").at.isoformat()
    ('2025-02-13T12:19:00-05:00', '2026-01-30T12:53:00-05:00')

    Raises `ValueError` for what is neither.
    """
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if found := _ISO.fullmatch(text):
        return _iso(found)
    if found := _COMPACT.fullmatch(text):
        return When(_day(*map(int, found.groups())))
    if found := _AMERICAN.fullmatch(text):
        month, of_month, year = map(int, found.groups())
        return When(_day(year, month, of_month))
    if found := _WORDS.fullmatch(text):
        return _worded(found)
    raise ValueError(f"{value!r} is no date")


def _iso(found: re.Match[str]) -> When:
    day = _day(int(found[1]), int(found[2]), int(found[3]))
    hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6))
    zone = found[7]
    if not zone:
        return _local(day, hour, minute, second)
    at = datetime.fromisoformat(f"{day}T{hour:02}:{minute:02}:{second:02}{zone.replace('Z', '+00:00')}")
    return _unless_midnight(at)


def _worded(found: re.Match[str]) -> When:
    word = found[1].lower()
    month = next((n for n, name in enumerate(_MONTHS, 1) if name.startswith(word)), 0)
    day = _day(int(found[3]), month, int(found[2]))
    clock = (found[4] or "midnight").strip().lower().replace(".", "")
    if clock in ("noon", "midnight"):
        return _local(day, 12 if clock == "noon" else 0, 0, 0)
    told = _CLOCK.fullmatch(clock)
    if told is None:
        raise ValueError(f"{found[0]!r} is no date")
    return _local(day, int(told[1]) % 12 + (12 if told[3] == "pm" else 0), int(told[2] or 0), 0)


def _local(day: date, hour: int, minute: int, second: int) -> When:
    if (hour, minute, second) == (0, 0, 0):
        return When(day)
    return When(day, datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=calendar.NEW_YORK))


def _unless_midnight(at: datetime) -> When:
    """Midnight UTC is how a day without a time of day is stored."""
    universal = at.astimezone(UTC)
    if (universal.hour, universal.minute, universal.second) == (0, 0, 0):
        return When(universal.date())
    return When(calendar.today(at), at)


def stored_in_utc(when: When) -> When:
    """A moment whose writer shows instants in New York's time but stores days as midnight UTC.

    >>> stored_in_utc(moment("Jun 22, 2026 (8:00 PM)"))
    When(day=datetime.date(2026, 6, 23), at=None)
    """
    return when if when.at is None else _unless_midnight(when.at)


def _day(year: int, month: int, of_month: int) -> date:
    if year not in _YEARS:
        raise ValueError(f"the year {year} cannot be")
    return date(year, month, of_month)


def number(value: object) -> float | None:
    """A number as a number or as a text with $, commas or %; None for what stands for none, NaN too.

    >>> number("$57,709,500"), number("-"), number(1001), number("-$1.50")
    (57709500.0, None, 1001.0, -1.5)

    Raises `ValueError` for anything else.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() in BLANK):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and math.isnan(value):
            return None
        if not abs(value) < 1e18:
            raise ValueError(f"{str(value)[:30]} is no number that can be")
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower()
        if _NUMBER.fullmatch(text) and any(c.isdigit() for c in text):
            return float(re.sub(r"[$,% ]", "", text))
    raise ValueError(f"{str(value)[:30]!r} is no number")


def ticker(value: object) -> str | None:
    """What is certainly one ticker, in Quiver's spelling; None for a dash, a name, or two tickers.

    >>> ticker("BRK.B"), ticker('abc123:msft"'), ticker("GOOG|C")
    ('BRK.B', 'MSFT', 'GOOG')
    >>> ticker("GLAS LP"), ticker("CRDA CRDB"), ticker("-")
    (None, None, None)
    """
    if not isinstance(value, str) or not value.isascii():
        return None
    text = value.rpartition(":")[2].partition("|")[0].strip(" \t\r\n\"'$").upper()
    return text if text.lower() not in BLANK and _TICKER.fullmatch(text) else None


def bioguide(value: object) -> str | None:
    """A Biographical Directory identifier, or None."""
    return value if isinstance(value, str) and _BIOGUIDE.fullmatch(value) else None


def chamber(value: object) -> str:
    """house or senate. Raises `ValueError`."""
    found = _CHAMBERS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"chamber {value!r} is neither House nor Senate")
    return found


def party(value: object) -> str | None:
    """D, R, I, or another party as it is written."""
    if not isinstance(value, str) or value.strip().lower() in BLANK:
        return None
    return _PARTIES.get(value.strip().lower(), value.strip())


def member(name: str) -> str:
    """A politician's name, first name first.

    >>> member("Whitehouse, Sheldon"), member("Donald S. Beyer, Jr.")
    ('Sheldon Whitehouse', 'Donald S. Beyer Jr.')
    """
    last, comma, first = name.partition(",")
    if comma and first.strip() and not _SUFFIX.fullmatch(first.strip()):
        name = f"{first} {last}"
    return person(name)


def size(value: object) -> Amount:
    """A disclosed amount: a range, or the lower end of one. Raises `ValueError`."""
    found = amount(value if isinstance(value, str) else str(value)) if isinstance(value, (str, int, float)) else None
    if found is None:
        raise ValueError(f"amount {value!r} is no statutory bracket")
    return found


def statutory(stated: Amount) -> bool:
    """Whether an amount is a bracket of the statute, or an exact one below the brackets."""
    ends = "" if stated.high is None or stated.high == stated.low else f" - {stated.high:.0f}"
    return amount(f"{stated.low:.0f}{ends}") == stated


def action(value: object) -> tuple[str, str | None]:
    """buy, sell or exchange, and the extent of a sale. Raises `ValueError`."""
    found = direction(value.lower().removeprefix("final trade - ")) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"transaction {value!r} is not known")
    return found


_FEW_ROWS = 4  # in fewer, two equal lots prove nothing


@dataclass(frozen=True)
class Trade:
    """A politician's trade, understood. `trade_id` is the website's, None where it is not told."""

    trade_id: str | None
    politician: str
    bioguide_id: str | None
    chamber: str
    party: str | None
    state: str | None
    symbol: str | None
    asset: str | None
    asset_type: str | None
    direction: str
    extent: str | None
    amount: Amount
    filed: When
    traded: date


def require_single(rows: Sequence[object]) -> None:
    """Rows without a number of their own may repeat as separate lots, but never all of them.

    Raises `LayoutError` for a page on which everything is told twice.
    """
    seen = Counter(map(repr, rows))
    single = sum(count % 2 for count in seen.values())  # a heading that is told twice leaves one among the rows
    if len(rows) >= _FEW_ROWS and single <= (len(rows) > 2 * _FEW_ROWS):
        raise LayoutError("a page tells each of its rows once, but here every one is told twice")


class Occurrences:
    """Counts rows that say the same."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, *facts: object) -> tuple[str, int]:
        """A digest of the facts, and how often they have been met, this time included."""
        digest = hashlib.sha256("\x1f".join(map(str, facts)).encode()).hexdigest()[:12]
        self._seen[digest] += 1
        return digest, self._seen[digest]

    def identifier(self, day: date, *facts: object) -> str:
        """One for a row that says this; `-2` and so on for others that say the same."""
        digest, number = self(day, *facts)
        return f"quiver-{day}-{digest}" + (f"-{number}" if number > 1 else "")


def trade_row(trade: Trade, occurrences: Occurrences) -> dict[str, object]:
    """A row of politician_trades."""
    filing_id, line = trade.trade_id, 1
    if filing_id is None:
        who = trade.bioguide_id or trade.politician
        said = (trade.traded, trade.symbol, trade.direction, trade.extent, trade.amount.low)
        digest, line = occurrences(who, trade.filed.day, *said)
        filing_id = f"quiver-{who}-{trade.filed.day}-{digest}"
    words = trade.asset or ""
    return {
        **trade.filed.published,
        "event_date": trade.traded,
        "filing_id": filing_id,
        "line": line,
        "politician": trade.politician,
        "bioguide_id": trade.bioguide_id,
        "chamber": trade.chamber,
        "party": trade.party,
        "state": trade.state,
        "symbol": trade.symbol,
        "asset_description": trade.asset,
        "asset_type": asset_type(trade.asset_type or "", words, trade.symbol is not None),
        "direction": trade.direction,
        "extent": trade.extent,
        "amount_low": trade.amount.low,
        "amount_high": trade.amount.high,
        "amount_mid": trade.amount.mid,
    }


def quarter_before(day: date) -> tuple[str, date]:
    """The last quarter that had ended by a day, and its last day: what a lobbying report of the day is about.

    >>> quarter_before(date(2026, 4, 20)), quarter_before(date(2026, 3, 31))[0]
    (('2026Q1', datetime.date(2026, 3, 31)), '2026Q1')
    """
    ends = [date(day.year, month, last) for month, last in ((3, 31), (6, 30), (9, 30), (12, 31))]
    end = max((one for one in ends if one <= day), default=date(day.year - 1, 12, 31))
    return f"{end.year}Q{end.month // 3}", end


def lobbying_row(
    occurrences: Occurrences, posted: When, symbol: str | None, client: str, paid: float | None, **said: str | None
) -> dict[str, object]:
    """A row of lobbying; `said`: registrant, issue. Quiver does not tell the quarter, nor what replaces what."""
    quarter, end = quarter_before(posted.day)
    return {
        **posted.published,
        "event_date": end,
        "filing_id": occurrences.identifier(
            posted.day, symbol, client, paid, said.get("registrant"), said.get("issue")
        ),
        "symbol": symbol,
        "client": client,
        "registrant": said.get("registrant"),
        "quarter": quarter,
        "amount": paid,
        "amendment": False,
    }


def contract_row(
    occurrences: Occurrences, announced: When, acted: date, symbol: str, obligation: float, **said: str | None
) -> dict[str, object]:
    """A row of gov_contracts; `said`: recipient, agency, description. Without a name the ticker names the recipient."""
    recipient, agency, words = said.get("recipient") or symbol, said.get("agency"), said.get("description")
    return {
        **announced.published,
        "event_date": acted,
        "award_id": occurrences.identifier(announced.day, acted, symbol, obligation, agency, words),
        "symbol": symbol,
        "recipient": recipient,
        "agency": agency,
        "amount": obligation,
        "description": words,
    }


def require_answer(page: Page, needs: str) -> None:
    """Raise `LayoutError` for a page that turns us away; `needs` says what helps against a 401 or 403."""
    head = page.content[:4096].lower()
    if b"<title>just a moment" in head:
        raise LayoutError("blocked by a challenge page: Quiver takes only browsers from here")
    if page.status in (401, 403):
        raise LayoutError(f"Quiver refuses (status {page.status}): {needs}")
    if page.status != 200:
        raise LayoutError(f"Quiver answers 200, not {page.status}")


def newest(rows: Sequence[When], first: date) -> bool:
    """Whether rows that come newest first reach back past `first`: whole days are there from `first` on."""
    days = [row.day for row in rows]
    return bool(days) and all(a >= b for a, b in zip(days, days[1:], strict=False)) and days[-1] < first
