"""Trades disclosed by members of Congress: lines of House periodic transaction reports, and Quiver's bulk file.

Codes of asset types: the House Clerk's list (`[ST]`, `[GS]`, ...). Amounts: the statutory brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pas_dagster.schemas import normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, faults

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

_EXACT_BELOW = 1_000  # smaller amounts need no report; who reports one writes it to the dollar
_AMOUNT = re.compile(r"^\$?([\d,]+)(?:\.\d+)?(?:\s*[-–]\s*\$?([\d,]+)(?:\.\d+)?)?\s*\+?$")
_OVER = re.compile(r"^(?:spouse/dc\s+)?over\s+\$?([\d,]+)\s*\+?$", re.IGNORECASE)
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
_TYPES = {
    "stock": ["stock", "st", "common stock"],
    "etf": ["et", "ef", "etf", "etn"],
    "option": ["option", "op", "stock option", "options"],
    "bond": ["gov security", "gs", "cs", "corporate bond", "municipal security", "ab"],
}
_TYPE_OF = {word: kind for kind, words in _TYPES.items() for word in words}
_MAY_BE_FUND = frozenset({"", "stock", "st", "other", "ot"})


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
    return int(text.replace(",", "") or 0)


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


def house(frame: pd.DataFrame, context: Context) -> Shaped:
    """One row per line of a House report; known on the filing day.

    `line` is the running number within the filing in the file's order: identical lines are separate lots. A text
    that is not one symbol (`RTN  RTX`, `--`) is an unlisted asset: the row stays, its symbol is null.
    """
    district = frame["state_district"].astype("str")
    facts = pd.DataFrame(
        {
            "known_on": frame["disclosure_date"],
            "event_date": frame["transaction_date"],
            "filing_id": frame["doc_id"],
            "bioguide_id": frame.get("bioguide_id"),
            "politician": frame["declarant_name"],
            "chamber": frame["chamber"].str.lower() if "chamber" in frame else "house",
            "party": frame.get("party"),
            "state": district.str[:2],
            "owner": frame.get("owner"),
            "asset_description": frame["asset_description"],
        },
        index=frame.index,
    )
    return _shaped(facts, frame["ticker"], frame["asset_type"], frame["operation_type"], frame["amount_range"])


def quiver(frame: pd.DataFrame, context: Context) -> Shaped:
    """Quiver's bulk file, version 2: one row per trade, the amount as the lower end of its bracket.

    It has no filing number: a member's lines of one filing day count as one filing. It has no chamber either; only
    files of the Senate subset are known, so that is what a row without one means.
    """
    filed = frame["filed"].astype("str")
    facts = pd.DataFrame(
        {
            "known_on": filed,
            "event_date": frame["traded"],
            "filing_id": "quiver-" + frame["bioguideid"].astype("str") + "-" + filed,
            "bioguide_id": frame["bioguideid"],
            "politician": frame["name"],
            "chamber": frame["chamber"].str.lower() if "chamber" in frame else "senate",
            "party": frame.get("party"),
            "state": frame.get("state"),
            "owner": None,
            "asset_description": None,
        },
        index=frame.index,
    )
    untyped = pd.Series("", index=frame.index, dtype="str")
    return _shaped(facts, frame["ticker"], untyped, frame["transaction"], frame["trade_size_usd"])


def _shaped(
    facts: pd.DataFrame, ticker: pd.Series, types: pd.Series, operations: pd.Series, amounts: pd.Series
) -> Shaped:
    symbols = normalise_symbols(ticker)
    symbols = symbols.where(symbols.str.match(SYMBOL_PATTERN, na=False))
    described = facts["asset_description"].astype("str").fillna("")
    kinds = [
        asset_type(given, words, has)
        for given, words, has in zip(types.astype("str").fillna(""), described, symbols.notna(), strict=True)
    ]
    actions = [_DIRECTIONS.get(text.strip().lower()) for text in operations.astype("str").fillna("")]
    texts = amounts.astype("str").fillna("")
    brackets = {text: amount(text) for text in texts.unique()}
    sizes = [brackets[text] for text in texts]
    rows = facts.assign(
        line=facts.groupby("filing_id", dropna=False).cumcount() + 1,
        politician=facts["politician"].astype("str").map(person, na_action="ignore"),
        symbol=symbols,
        asset_type=kinds,
        direction=[found[0] if found else None for found in actions],
        extent=[found[1] if found else None for found in actions],
        amount_low=[found.low if found else None for found in sizes],
        amount_high=[found.high if found else None for found in sizes],
        amount_mid=[found.mid if found else None for found in sizes],
    )
    unsized = np.array([found is None for found in sizes], bool)
    undirected = np.array([found is None for found in actions], bool) & ~unsized
    wrong = pd.concat(
        [
            faults(rows.index[unsized], [f"amount {text!r} is no statutory bracket" for text in texts[unsized]]),
            faults(rows.index[undirected], [f"operation {t!r} is not known" for t in operations[undirected]]),
        ]
    )
    return Shaped(rows[~(unsized | undirected)], wrong)


_HOUSE = ["doc_id", "declarant_name", "transaction_date", "disclosure_date", "ticker", "asset_description"]

LAYOUTS = (
    Layout(
        "house-reports",
        "politician_trades",
        [*_HOUSE, "asset_type", "operation_type", "amount_range", "state_district"],
        house,
    ),
    Layout(
        "quiver-bulk",
        "politician_trades",
        ["bioguideid", "name", "ticker", "transaction", "traded", "filed", "trade_size_usd"],
        quiver,
    ),
)
