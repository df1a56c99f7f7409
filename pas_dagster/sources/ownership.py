"""Form 4: what an insider says of transactions in the issuer's shares, and how the form's loose fields are read.

The document is the XML of the SEC's "EDGAR Ownership XML Technical Specification"
(https://www.sec.gov/info/edgar/specifications/ownershipxmltechspec.htm): one `ownershipDocument` with an issuer, one or
more reporting owners, and tables of transactions. Told are the non-derivative transactions of forms 4 and 4/A, numbered
as they stand in the document; holdings, derivatives and the forms 3 and 5 are not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from pas_dagster.schemas import normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources.source import Bad, LayoutError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

FORMS = ("4", "4/A")
DIRECTIONS = {"A": "buy", "D": "sell"}
"""Acquired and disposed; whether it was a purchase on the market, only the code says."""

YES = frozenset({"1", "true", "y", "yes"})
NO = frozenset({"0", "false", "n", "no"})
ROLES = ("officer", "director", "owner", "other")
"""A person of several roles, and owners who file together, count as the first of these."""

NUMBER = r"[+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})"
DAY = r"\d{4}-\d{2}-\d{2}"

_FLAGS = {"isOfficer": "officer", "isDirector": "director", "isTenPercentOwner": "owner", "isOther": "other"}
_NUMBER = re.compile(rf"{NUMBER}\Z", re.ASCII)
_DAY = re.compile(DAY, re.ASCII)
_SYMBOL = re.compile(SYMBOL_PATTERN)
_PREFIX = re.compile(r"^(?:NYSE(?: ?(?:AMERICAN|MKT|ARCA))?|NASDAQ(?: ?[GC]M)?|AMEX|OTC(?:QB|QX|BB|PK)?|CBOE)[ :.-]+")
_SUFFIX = re.compile(r"\.(?:OB|PK)\Z")  # a market place, not a class of shares
_CLASS = re.compile(r"^([A-Z][A-Z0-9]{0,5})[-/ ]([A-Z]{1,2})\Z")
_APART = re.compile(r"[,;&|]|\s(?:AND|OR|/)\s")
_NONE = frozenset({"NONE", "NA", "N.A", "NULL", "NYSE", "NASDAQ", "AMEX", "OTC", "OTCQB", "OTCQX"})
_LONGEST = 60


def symbols_of(text: str) -> tuple[str, ...]:
    """The symbols that a field names, in the one spelling used everywhere; none for "NONE", "N/A" and the like.

    >>> [symbols_of(text) for text in ("nyse: brk/b", "GOOG, GOOGL", "(ABC)", "[NONE]", "XYZW.OB")]
    [('BRK.B',), ('GOOG', 'GOOGL'), ('ABC',), (), ('XYZW',)]
    """
    plain = re.sub(r"[\[\](){}\"'*$]", " ", text[:_LONGEST].upper()).strip()
    found = []
    for part in _APART.split(plain):
        name = _SUFFIX.sub("", _PREFIX.sub("", part.strip()).strip())
        spelled = _CLASS.sub(r"\1.\2", name)
        if _SYMBOL.match(spelled) and spelled not in _NONE:
            found.append(spelled)
    return tuple(dict.fromkeys(found))


def chosen(symbols: Sequence[str], listed: Collection[str] | None) -> str | None:
    """The first that is listed; where nobody says who is listed, the first."""
    if listed is None:
        return symbols[0] if symbols else None
    return next((symbol for symbol in symbols if symbol in listed), None)


def symbols_listed(listed: pd.DataFrame) -> frozenset[str] | None:
    """The symbols of the securities known; None when none is, which means all companies are wanted."""
    return frozenset(normalise_symbols(listed["symbol"])) if len(listed) else None


def number_of(text: str) -> float | None:
    """A plain decimal number; None for anything else."""
    return float(text) if _NUMBER.match(text) else None


def plan_of(text: str) -> str | None:
    """Whether under a plan: yes, no, or None where the form does not say (before 2023 it did not ask)."""
    word = text.lower()
    return "yes" if word in YES else "no" if word in NO else None


def parse_ownership(content: bytes, listed: Collection[str] | None = None) -> Iterator[dict[str, object] | Bad]:
    """The transactions of an ownership document: rows of insider_buying without accession and the days it was known.

    `listed` are the symbols wanted: a document of another company has no rows. Raises `LayoutError`.
    """
    root = _root(content)
    form = _text(root, "documentType")
    if form not in (*FORMS, "3", "3/A", "5", "5/A"):
        raise LayoutError("an ownership document states the documentType 3, 4 or 5, perhaps with /A")
    if form not in FORMS:
        return
    issuer = root.find("issuer")
    if issuer is None or issuer.find("issuerTradingSymbol") is None:
        raise LayoutError("an ownership document has an issuer with issuerTradingSymbol")
    named = _text(issuer, "issuerTradingSymbol")
    symbol = chosen(symbols_of(named), listed)
    if symbol is None and listed is not None:
        return
    shared = {"symbol": symbol, **_owners(root), "plan": plan_of(_text(root, "aff10b5One"))}
    shared["amendment"] = form == "4/A"
    for line, transaction in enumerate(root.findall("nonDerivativeTable/nonDerivativeTransaction"), start=1):
        if symbol is None:
            yield Bad(f"issuerTradingSymbol {named[:_LONGEST]!r} names no symbol", {"line": line, "issuer": named})
        else:
            yield _row(line, transaction, shared)


def _root(content: bytes) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):
        raise LayoutError("an ownership document is well-formed XML without a DTD") from None
    if root.tag != "ownershipDocument":
        raise LayoutError("an ownership document's root is ownershipDocument")
    return root


def _text(parent: Element, path: str) -> str:
    """The text at a path, without blanks around it; empty where there is none. Most values sit in a `value`."""
    found = parent.find(path)
    return " ".join((found.text or "").split()) if found is not None else ""


def _owners(root: Element) -> dict[str, object]:
    owners = root.findall("reportingOwner")
    names = [_text(owner, "reportingOwnerId/rptOwnerName") for owner in owners]
    if not any(names):
        raise LayoutError("an ownership document names a reportingOwner")
    roles, titles = set(), []
    for owner in owners:
        flags = owner.find("reportingOwnerRelationship")
        if flags is not None:
            roles |= {role for flag, role in _FLAGS.items() if _text(flags, flag).lower() in YES}
            titles.append(_text(flags, "officerTitle"))
    return {
        "insider": "; ".join(dict.fromkeys(name for name in names if name)),
        "role": next((role for role in ROLES if role in roles), None),
        "title": next((title for title in titles if title), None),
    }


def _row(line: int, transaction: Element, shared: dict[str, object]) -> dict[str, object] | Bad:
    said = {
        "day": _text(transaction, "transactionDate/value"),
        "code": _text(transaction, "transactionCoding/transactionCode"),
        "direction": _text(transaction, "transactionAmounts/transactionAcquiredDisposedCode/value"),
        "shares": _text(transaction, "transactionAmounts/transactionShares/value"),
        "price": _text(transaction, "transactionAmounts/transactionPricePerShare/value"),
    }
    day, shares, price = _day_of(said["day"]), number_of(said["shares"]), number_of(said["price"])
    reason = (
        f"transactionDate {said['day']!r} is not a day"
        if day is None
        else "transactionCode is missing"
        if not said["code"]
        else f"transactionAcquiredDisposedCode {said['direction']!r} is neither A nor D"
        if said["direction"] not in DIRECTIONS
        else f"transactionShares {said['shares']!r} is not a number"
        if shares is None
        else f"transactionPricePerShare {said['price']!r} is not a number"
        if said["price"] and price is None
        else None
    )
    if reason is not None:
        return Bad(reason, {"line": line, "symbol": shared["symbol"], **said})
    facts = {"event_date": day, "line": line, "code": said["code"], "direction": DIRECTIONS[said["direction"]]}
    return {**shared, **facts, "shares": shares, "price": price}


def _day_of(text: str) -> date | None:
    """An ISO day, with or without a time zone after it, as the schema permits."""
    found = _DAY.match(text)
    try:
        return date.fromisoformat(found[0]) if found else None
    except ValueError:
        return None
