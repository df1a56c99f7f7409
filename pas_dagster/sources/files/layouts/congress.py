"""Trades disclosed by members of Congress: lines of House periodic transaction reports, and Quiver's bulk file."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.schemas import normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources.disclosures import amount, asset_type, direction, person
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, faults


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
    actions = [direction(text) for text in operations.astype("str").fillna("")]
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
