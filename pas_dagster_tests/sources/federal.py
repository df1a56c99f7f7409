"""What the tests of the federal sources share: a small world with its listed securities, and hostile bytes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache

import pandas as pd
from hypothesis import strategies as st

from pas_dagster.sandbox.world import World

START, END = date(2024, 1, 2), date(2024, 12, 31)
NOW = datetime(2025, 1, 2, 3, tzinfo=UTC)
"""The evening of the first of January in New York, a day after the world's end."""


@cache
def world() -> World:
    return World(7, START, END)


@cache
def listed() -> pd.DataFrame:
    """Every security that had joined by the world's end, as the sources get to know it."""
    universe = world().table("universe")
    added = universe[universe["action"] == "add"].drop_duplicates("symbol", keep="last")
    return added[["symbol", "name", "kind", "sector"]].sort_values("symbol", ignore_index=True)


def without_provenance(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Rows in a form in which those of a world and those that were read can be compared."""
    frame = rows.drop(columns=["raw"], errors="ignore").sort_values(key, ignore_index=True)
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype.kind != "M"]
    return frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), None) for name in texts})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """The content cut short, with bytes replaced, or something else altogether."""
    cut = content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content
    at = draw(st.integers(0, len(cut)))
    return draw(st.sampled_from([cut[:at] + draw(st.binary(max_size=6)) + cut[at + 3 :], draw(st.binary(max_size=40))]))
