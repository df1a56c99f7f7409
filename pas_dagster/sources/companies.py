"""Company names as agencies write them, and the symbols they stand for.

A federal form names a legal person ("THE BOEING COMPANY"), a list of securities a company ("Boeing Co"). The two are
compared without case, punctuation and legal forms, and must then be equal: nothing is guessed from likeness, because a
wrong symbol is worse than none. What the rule cannot know (a subsidiary, a former name) is told by aliases.

Measured (`pas_dagster_tests/sources/test_companies.py`): of the 503 names in an S&P 500 file of 2026-08, looked up
among the SEC's legal names of the same companies, 449 are answered, 446 with the symbol itself and 3 with the other
class of the same company's shares. Of 60 recorded federal recipients 17 belong to one of these companies; 14 are
answered, all rightly, and none of the other 43 is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

import pandas as pd

ALIASES: Mapping[str, str] = {
    "AIR PRODUCTS AND CHEMICALS": "APD",
    "ALPHABET": "GOOGL",
    "AMAZON": "AMZN",
    "AMAZON COM SERVICES": "AMZN",
    "AMAZON WEB SERVICES": "AMZN",
    "AT AND T SERVICES": "T",
    "BELL TEXTRON": "TXT",
    "BERKSHIRE HATHAWAY": "BRK.B",
    "CAPITAL ONE FINANCIAL": "COF",
    "CISCO SYSTEMS": "CSCO",
    "COGNIZANT TECHNOLOGY SOLUTIONS": "CTSH",
    "COINBASE GLOBAL": "COIN",
    "COSTCO WHOLESALE": "COST",
    "DELL FEDERAL SYSTEMS": "DELL",
    "DUPONT DE NEMOURS": "DD",
    "ELECTRIC BOAT": "GD",
    "ELI LILLY": "LLY",
    "EXXONMOBIL": "XOM",
    "FACEBOOK": "META",
    "FLUOR MARINE PROPULSION": "FLR",
    "FOX": "FOXA",
    "GE HEALTHCARE TECHNOLOGIES": "GEHC",
    "GENERAL DYNAMICS INFORMATION TECHNOLOGY": "GD",
    "GENERAL DYNAMICS LAND SYSTEMS": "GD",
    "GENERAL DYNAMICS MISSION SYSTEMS": "GD",
    "GENERAL ELECTRIC": "GE",
    "GOOGLE": "GOOGL",
    "GOOGLE CLIENT SERVICES": "GOOGL",
    "GULFSTREAM AEROSPACE": "GD",
    "HARRIS": "LHX",
    "HARTFORD FINANCIAL SERVICES GROUP": "HIG",
    "HONEYWELL INTERNATIONAL": "HON",
    "HUMANA GOVERNMENT BUSINESS": "HUM",
    "HUNTINGTON INGALLS": "HII",
    "IBM": "IBM",
    "INTERNATIONAL BUSINESS MACHINES": "IBM",
    "JOHNSON CONTROLS INTERNATIONAL": "JCI",
    "L3 TECHNOLOGIES": "LHX",
    "L3HARRIS TECHNOLOGIES": "LHX",
    "LABORATORY CORPORATION OF AMERICA HOLDINGS": "LH",
    "LOCKHEED MARTIN SERVICES": "LMT",
    "MAXIMUS FEDERAL SERVICES": "MMS",
    "MGM RESORTS INTERNATIONAL": "MGM",
    "NATIONAL STEEL AND SHIPBUILDING": "GD",
    "NEWPORT NEWS SHIPBUILDING AND DRY DOCK": "HII",
    "NEWS": "NWSA",
    "NORTHROP GRUMMAN SYSTEMS": "NOC",
    "OPTUM PUBLIC SECTOR SOLUTIONS": "UNH",
    "PRATT AND WHITNEY MILITARY ENGINES": "RTX",
    "RAYTHEON": "RTX",
    "RAYTHEON TECHNOLOGIES": "RTX",
    "SIKORSKY AIRCRAFT": "LMT",
    "SUPER MICRO COMPUTER": "SMCI",
    "TAKE TWO INTERACTIVE SOFTWARE": "TTWO",
    "UBER TECHNOLOGIES": "UBER",
    "UNITED TECHNOLOGIES": "RTX",
    "VERIZON COMMUNICATIONS": "VZ",
    "WESTINGHOUSE AIR BRAKE TECHNOLOGIES": "WAB",
}
"""Subsidiaries, former names and companies with two classes of shares -> symbol; used where the symbol is listed."""

_FORMS = frozenset(
    {
        *("INC", "INCORPORATED", "CORP", "CORPORATION", "CO", "COS", "COMPANY", "COMPANIES", "LTD", "LIMITED"),
        *("PUBLIC", "PLC", "LLC", "LLP", "LP", "NV", "SA", "AG", "SE", "AB", "ASA", "SPA", "BV", "NEW", "THE", "AND"),
        *("CLASS", "COMMON", "STOCK", "ORDINARY", "SHARE", "SHARES", "ADR", "ADS"),
    }
)
_GROUP = frozenset({"HOLDING", "HOLDINGS", "GROUP", "TRUST"})
_STATE = re.compile(r"[/\\]\s?[A-Z]{2,4}[/\\]?\s*$")  # the SEC's "/DE/"
_CLASS = re.compile(r"\b(?:CLASS|SERIES) [A-C]\b")
_INITIAL = re.compile(r"\b([A-Z])\.")
_APART = re.compile(r"[^A-Z0-9]+")
_LETTERS = re.compile(r"\b([A-Z]) (?=[A-Z]\b)")
_LONGEST = 400  # no name is longer; what is, is no name


class Names:
    """The names of listed securities. `listed` has the columns symbol and name; `aliases`: a name -> its symbol."""

    def __init__(self, listed: pd.DataFrame, aliases: Mapping[str, str] | None = None) -> None:
        pairs = list(zip(listed["symbol"], listed["name"], strict=True))
        self._own = {plain(str(name)): str(symbol) for name, symbol in (aliases or {}).items()}
        self._exact = _index((plain(str(name)), str(symbol)) for symbol, name in pairs)
        self._loose = _index((_without_group(plain(str(name))), str(symbol)) for symbol, name in pairs)
        symbols = {str(symbol) for symbol, _ in pairs}
        self._known = {name: symbol for name, symbol in ALIASES.items() if symbol in symbols}

    def symbol(self, name: str) -> str | None:
        """The symbol of the company so named; None where there is none, or where it could be one of several."""
        key = plain(name)
        if not key:
            return None
        if key in self._own:
            return self._own[key]
        for index in (self._exact, self._loose):
            found = index.get(key)
            if found and len(found) == 1:
                return next(iter(found))
        return self._known.get(key)

    def symbols(self, names: pd.Series) -> pd.Series:
        """The same for many names, None where there is no symbol; each distinct name is looked up once."""
        found = {name: self.symbol(name) if isinstance(name, str) else None for name in names.unique()}
        return pd.Series([found[name] for name in names], index=names.index, dtype=object)


def plain(name: str) -> str:
    """A legal name without case, punctuation, legal form and class of shares.

    >>> [plain(name) for name in ("THE BOEING COMPANY", "Wells Fargo & Company/MN", "Alphabet Inc. (Class A)")]
    ['BOEING', 'WELLS FARGO', 'ALPHABET']
    """
    ascii_only = unicodedata.normalize("NFKD", name[:_LONGEST]).encode("ascii", "ignore").decode()
    text = _STATE.sub("", ascii_only.upper())
    text = _CLASS.sub(" ", text).replace("&", " AND ").replace("'", "")
    text = _APART.sub(" ", _INITIAL.sub(r"\1", text)).strip()
    words = _LETTERS.sub(r"\1", text).split()
    while len(words) > 1 and words[-1] in _FORMS:
        words.pop()
    return " ".join(words[1:] if len(words) > 1 and words[0] == "THE" else words)


def _without_group(key: str) -> str:
    """A name without the words of its parent: a form may name the company below "Leidos Holdings"."""
    words = key.split()
    while len(words) > 1 and words[-1] in _GROUP | _FORMS:
        words.pop()
    return " ".join(words)


def _index(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for key, symbol in pairs:
        found.setdefault(key, set()).add(symbol)
    return found
