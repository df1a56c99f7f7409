"""Disclosures of members of Congress: what amounts, directions, owners and kinds of asset mean, and who the filer is.

Codes of asset types: the House Clerk's list (`[ST]`, `[GS]`, ...). Amounts: the statutory brackets (5 U.S.C. 13104).
Members: the files `legislators-*.json` of https://github.com/unitedstates/congress-legislators (public domain).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError

BRACKETS = (
    (1, 1_000),
    (1_001, 15_000),
    (15_001, 50_000),
    (50_001, 100_000),
    (100_001, 250_000),
    (250_001, 500_000),
    (500_001, 1_000_000),
    (1_000_001, 5_000_000),
    (5_000_001, 25_000_000),
    (25_000_001, 50_000_000),
)
"""Statutory brackets, USD, both ends included; above them there is only a lower end."""

LEGISLATORS_HOST = "unitedstates.github.io"
LEGISLATORS = "legislators"
"""The kind of the pages that say who sits in Congress."""

_EXACT_BELOW = 1_000  # smaller amounts need no report; who reports one writes it to the dollar
_AMOUNT = re.compile(r"^\$?([\d,]+)(?:\.\d+)?(?:\s*[-–]\s*\$?([\d,]+)(?:\.\d+)?)?\s*\+?$", re.ASCII)
_OVER = re.compile(r"^(?:spouse/dc\s+)?over\s+\$?([\d,]+)\s*\+?$", re.IGNORECASE | re.ASCII)
_TITLE = re.compile(r"(?<!\w)(?:hon|honorable|rep|sen|mr|mrs|ms|dr|md|facs)(?!\w)\.?", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Za-z]{2})\]")
_FUND = re.compile(r"\b(?:ETF|ETN|exchange[- ]traded|SPDR|iShares|ProShares|Direxion)\b", re.IGNORECASE)
_DIRECTIONS = {
    "purchase": ("buy", None),
    "p": ("buy", None),
    "sale": ("sell", None),
    "s": ("sell", None),
    "sale (full)": ("sell", "full"),
    "s (full)": ("sell", "full"),
    "sale (partial)": ("sell", "partial"),
    "s (partial)": ("sell", "partial"),
    "exchange": ("exchange", None),
    "e": ("exchange", None),
}
_OWNERS = {
    "self": "SELF",
    "sp": "SP",
    "spouse": "SP",
    "jt": "JT",
    "joint": "JT",
    "dc": "DC",
    "child": "DC",
    "dependent": "DC",
    "dependent child": "DC",
}
_TYPES = {
    "stock": ["stock", "st", "common stock"],
    "etf": ["et", "ef", "etf", "etn", "exchange traded fund/note"],
    "option": ["option", "op", "stock option", "options"],
    "bond": ["gov security", "gs", "cs", "corporate bond", "municipal security", "ab"],
}
_TYPE_OF = {word: kind for kind, words in _TYPES.items() for word in words}
_MAY_BE_FUND = frozenset({"", "stock", "st", "other", "ot", "other securities"})
_EARLIEST = date(2008, 1, 1)  # no report is older, or tells of older trades
_DAY = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)


@dataclass(frozen=True)
class Amount:
    """A disclosed amount, USD. `high` is None above the last bracket; `mid` is then the lower end."""

    low: float
    high: float | None

    @property
    def mid(self) -> float:
        return self.low if self.high is None else (self.low + self.high) / 2


def amount(text: str) -> Amount | None:
    """A disclosed range; None for what is no statutory bracket.

    A range cut to its lower end (by a line break in the report) means its whole bracket. Up to $1,000 no report is
    due; an amount that is reported all the same is exact.

    >>> amount("$15,001"), amount("$620"), amount("Over $50,000,000"), amount("$4,450")
    (Amount(low=15001, high=50000), Amount(low=620, high=620), Amount(low=50000001, high=None), None)
    """
    text = " ".join(text.split())
    over = _OVER.match(text)
    if over:
        low = _dollars(over[1])
        return Amount(low + 1, None) if low in (1_000_000, 50_000_000) else None
    found = _AMOUNT.match(text)
    if not found or not found[1].strip(","):
        return None
    low = _dollars(found[1])
    if found[2]:
        return Amount(low, _dollars(found[2])) if (low, _dollars(found[2])) in BRACKETS else None
    for bracket in BRACKETS:
        if low == bracket[0]:
            return Amount(*bracket)
    if low == BRACKETS[-1][1] + 1:
        return Amount(low, None)
    return Amount(low, low) if 0 < low <= _EXACT_BELOW else None


def _dollars(text: str) -> int:
    digits = text.replace(",", "")
    return int(digits) if 0 < len(digits) < 15 else 0


def person(text: str) -> str:
    """A member's name without titles, degrees and repeated words.

    >>> person("Hon. Nancy Pelosi"), person("Neal Patrick MD, FACS Dunn"), person("Scott Scott Franklin")
    ('Nancy Pelosi', 'Neal Patrick Dunn', 'Scott Franklin')
    """
    words = _TITLE.sub(" ", text).replace(",", " ").split()
    return " ".join(word for at, word in enumerate(words) if at == 0 or word != words[at - 1])


def asset_type(given: str, description: str, has_symbol: bool) -> str:
    """stock, etf, option, bond or other, by the report's type or code, and by the words of the description.

    A line without a type counts as a stock if it has a ticker; funds are mostly filed as `Stock`, so a description
    that says ETF (or names one of the large families of them) decides.
    """
    word = given.strip().lower()
    if not word:
        code = _CODE.search(description)
        word = code[1].lower() if code else ""
    if word in _MAY_BE_FUND and has_symbol and _FUND.search(description):
        return "etf"
    if not word:
        return "stock" if has_symbol else "other"
    return _TYPE_OF.get(word, "other")


def direction(text: str) -> tuple[str, str | None] | None:
    """buy, sell or exchange, and for a sale its extent where it is told; None for what is no such word.

    >>> direction("Sale (Partial)"), direction("P"), direction("gift")
    (('sell', 'partial'), ('buy', None), None)
    """
    return _DIRECTIONS.get(" ".join(text.lower().split()))


def owner(text: str) -> str | None:
    """SELF, SP (spouse), JT (joint) or DC (child); the member where nothing is said; None for what is no such word.

    >>> owner("Spouse"), owner("JT"), owner(""), owner("a friend")
    ('SP', 'JT', 'SELF', None)
    """
    return _OWNERS.get(" ".join(text.lower().split()) or "self")


def day(text: str) -> date | None:
    """A day as both chambers write it (`4/15/2026`); None for what is none."""
    found = _DAY.fullmatch(text.strip())
    if not found:
        return None
    month, of_month, year = map(int, found.groups())
    try:
        return date(year, month, of_month)
    except ValueError:
        return None


@dataclass(frozen=True)
class Line:
    """One line of a report in the report's own words. `number` counts from 1; `owner` is '' for the member."""

    number: int
    traded: str
    owner: str
    symbol: str | None
    description: str
    asset_type: str
    operation: str
    amount: str


def trade(line: Line, filed: date, filing: Mapping[str, object]) -> dict[str, object] | Bad:
    """The line as a row of politician_trades, with the columns that `filing` gives; `Bad` if it makes no sense."""
    traded, size, action, holder = day(line.traded), amount(line.amount), direction(line.operation), owner(line.owner)
    if traded is None:
        return Bad(f"date of the trade {line.traded!r} is no date", asdict(line))
    if not _EARLIEST <= traded <= filed:
        return Bad(f"traded on {traded}, filed on {filed}", asdict(line))
    if action is None:
        return Bad(f"operation {line.operation!r} is not known", asdict(line))
    if size is None:
        return Bad(f"amount {line.amount!r} is no statutory bracket", asdict(line))
    if holder is None:
        return Bad(f"owner {line.owner!r} is not known", asdict(line))
    return {
        "known_on": filed,
        **filing,
        "event_date": traded,
        "line": line.number,
        "owner": holder,
        "symbol": line.symbol,
        "asset_description": line.description or None,
        "asset_type": asset_type(line.asset_type, line.description, line.symbol is not None),
        "direction": action[0],
        "extent": action[1],
        "amount_low": size.low,
        "amount_high": size.high,
        "amount_mid": size.mid,
    }


_CHAMBERS = {"rep": "house", "sen": "senate"}
_PARTIES = {"Democrat": "D", "Republican": "R", "Independent": "I"}
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv", "v"})
_AFTER_LEAVING = timedelta(365)  # reports are due, and come late, after the seat is left
_UNKNOWN: dict[str, object] = {"bioguide_id": None, "party": None, "state": None}


@dataclass(frozen=True)
class _Term:
    chamber: str
    start: date
    end: date
    state: str
    district: int | None
    parties: tuple[tuple[date, str], ...]

    def party(self, on: date) -> str:
        """The party in force on a day: some change it within a term."""
        held = [name for start, name in self.parties if start <= on] or [self.parties[0][1]]
        return _PARTIES.get(held[-1], held[-1])


@dataclass(frozen=True)
class _Person:
    bioguide_id: str
    given: frozenset[str]
    terms: tuple[_Term, ...]

    def seat(self, chamber: str, on: date) -> _Term | None:
        """The term in the chamber on a day, or the one left less than a year before."""
        if on < _EARLIEST:
            return None
        begun = [term for term in self.terms if term.chamber == chamber and term.start <= on]
        last = max(begun, key=lambda term: term.start, default=None)
        return last if last is not None and last.end >= on - _AFTER_LEAVING else None


@dataclass(frozen=True)
class Members:
    """Who sat in Congress when, by last name."""

    by_last_name: Mapping[str, list[_Person]] = field(default_factory=dict)

    def find(
        self, chamber: str, given: str, last: str, on: date, state: str | None = None, district: int | None = None
    ) -> dict[str, object]:
        """bioguide_id, party (D, R, I or a name) and state of the one member who fits; nulls if none or several do.

        `given` are first names as the report gives them, with middle and calling names. Where they differ from the
        list's ("Elizabeth" for Lizzie), the holder of the same seat under the same last name is the one.
        """
        holders = [
            (person, term)
            for person in self._of_last_name(given, last)
            if (term := person.seat(chamber, on)) is not None and state in (None, term.state)
        ]
        named = [(person, term) for person, term in holders if _agree(_words(given), person.given)]
        seated = [(person, term) for person, term in holders if district is not None and term.district == district]
        if len(named) > 1:
            named = [one for one in named if one in seated]
        fitting = named or seated
        if len(fitting) != 1:
            return _UNKNOWN
        person, term = fitting[0]
        return {"bioguide_id": person.bioguide_id, "party": term.party(on), "state": term.state}

    def _of_last_name(self, given: str, last: str) -> list[_Person]:
        """Those whose last name ends the full name: of `April McClain`, `Delaney` the last name is McClain Delaney."""
        words = [*_words(given), *_words(last)]
        found: dict[str, _Person] = {}
        for at in range(max(0, len(words) - 4), len(words)):
            found |= {person.bioguide_id: person for person in self.by_last_name.get("".join(words[at:]), [])}
        return list(found.values())


def legislators() -> list[Request]:
    """The requests for the lists of present and former members."""
    base = f"https://{LEGISLATORS_HOST}/congress-legislators"
    return [Request(f"{base}/legislators-{which}.json", kind=LEGISLATORS) for which in ("current", "historical")]


def members(pages: Iterable[Page]) -> Members:
    """The members that the pages of the kind `legislators` list."""
    found: dict[str, list[_Person]] = {}
    for page in pages:
        if page.kind != LEGISLATORS:
            continue
        try:
            for last, who in _people(page):
                found.setdefault(last, []).append(who)
        except LayoutError as error:
            error.page = page
            raise
    return Members(found)


def _people(page: Page) -> Iterator[tuple[str, _Person]]:
    for entry in json_of(page, list):
        try:
            name, terms = entry["name"], _terms(entry["terms"])
            spellings = [name.get(part) or "" for part in ("first", "middle", "nickname", "official_full")]
            who = _Person(_text(entry["id"]["bioguide"]), frozenset(_words(" ".join(spellings))), terms)
            last = "".join(_words(name["last"]))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise LayoutError("every legislator must have an id, a name and terms") from None
        if terms:
            yield last, who


def _terms(entries: list[dict[str, Any]]) -> tuple[_Term, ...]:
    """Terms since there are reports; the list goes back to 1789."""
    return tuple(
        _Term(
            _CHAMBERS[entry["type"]],
            date.fromisoformat(entry["start"]),
            date.fromisoformat(entry["end"]),
            _text(entry["state"]),
            entry.get("district"),
            tuple(
                (date.fromisoformat(held["start"]), _text(held["party"]))
                for held in entry.get("party_affiliations") or [entry]
            ),
        )
        for entry in entries
        if entry["end"] >= _EARLIEST.isoformat()
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _words(text: str) -> list[str]:
    """Words of a name: no accents, case, titles and suffixes."""
    plain = unicodedata.normalize("NFKD", _TITLE.sub(" ", text)).encode("ascii", "ignore").decode().lower()
    return [word for word in re.findall(r"[a-z]+", plain.replace("'", "")) if word not in _SUFFIXES]


def _agree(ours: Iterable[str], theirs: frozenset[str]) -> bool:
    """Whether one of the names is one of theirs, or short for it (Rob for Robert)."""
    long = [name for name in theirs if len(name) > 1]
    return any(a.startswith(b) or b.startswith(a) for a in ours if len(a) > 1 for b in long)
