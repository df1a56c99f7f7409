"""The rows of one dataset, made ready for many decisions."""

from __future__ import annotations

from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

SYMBOL_COLUMN = "symbol"

Codes = tuple[np.ndarray, np.ndarray]  # (rows,) place of each row's symbol or -1 for none; the symbols, sorted


class Facts:
    """Rows in the order of `known_on`, each symbol one Python string however often it occurs.

    Comparing, hashing and looking up a few thousand of those takes a tenth of the time that Arrow's strings take.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        rows = frame.reset_index(drop=True)
        if not rows["known_on"].is_monotonic_increasing:
            rows = rows.sort_values("known_on", kind="stable", ignore_index=True)
        if SYMBOL_COLUMN in rows and rows[SYMBOL_COLUMN].dtype != object:
            self.codes = codes, names = coded(rows[SYMBOL_COLUMN])
            strings = np.array([*names, None], dtype=object)  # code -1, no symbol, is the last
            rows[SYMBOL_COLUMN] = pd.Series(strings[codes], dtype=object)
        self.rows = rows

    @cached_property
    def codes(self) -> Codes:
        """The symbols as they are told, as places in the sorted list of them."""
        return coded(self.rows[SYMBOL_COLUMN])

    def span(self, first: date, cut: date) -> tuple[int, int]:
        """The rows, from and to, that became known from the first day on and before the cut."""
        bounds = np.array([first, cut], "datetime64[us]")
        low, high = np.searchsorted(self.rows["known_on"].to_numpy(), bounds).tolist()
        return low, high

    def newest(self, before: date) -> date | None:
        """The day of the newest row before a day; None when there is none."""
        known = self.rows["known_on"].to_numpy()
        at = int(np.searchsorted(known, np.datetime64(before, "us")))
        return known[at - 1].astype("datetime64[D]").astype(object) if at else None


def coded(symbols: pd.Series) -> Codes:
    """`pd.factorize(..., sort=True)` in small integers and Python strings."""
    codes, names = pd.factorize(symbols, sort=True)
    return codes.astype(np.int32), np.asarray(names, dtype=object)
