"""Who is listed after a stretch of membership changes, and what is known of each.


Where a day tells both for one symbol (a company leaves a name that another takes), it ends up listed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FACTS = ("name", "kind", "sector")
_MOST_INDEXES = 52  # sets of indexes are counted in the bits of a float


class Roster:
    """The membership changes of the table `universe`, in the order of `known_on`.

    >>> rows = pd.DataFrame({"known_on": pd.to_datetime(["2024-01-02", "2024-02-01"]), "symbol": ["AAA", "AAA"],
    ...     "index_name": "ALL", "action": ["add", "remove"], "name": "Aaa", "kind": "stock", "sector": "Energy"})
    >>> Roster(rows).listed(0, 1).index.tolist(), Roster(rows).listed(0, 2).index.tolist()
    (['AAA'], [])
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self._symbol, self._symbols = pd.factorize(rows["symbol"].to_numpy(object), sort=True)
        self._index, self._indexes = pd.factorize(rows["index_name"].to_numpy(object))
        if len(self._indexes) > _MOST_INDEXES:
            raise ValueError(f"the universe names {len(self._indexes)} indexes; {_MOST_INDEXES} can be told apart")
        self._membership = self._symbol * len(self._indexes) + self._index
        self._added = (rows["action"] == "add").to_numpy(bool)
        self._order = np.lexsort((self._added, rows["known_on"].to_numpy()))
        self._facts = [(rows[name].to_numpy(object), rows[name].notna().to_numpy()) for name in FACTS]
        self._sets: dict[int, frozenset[str]] = {}

    def listed(self, low: int, high: int) -> pd.DataFrame:
        """Symbol -> name, kind, sector, indexes (a frozenset), after the changes of the rows from `low` to `high`.

        The bounds lie between days.
        """
        order = self._order[low:high]
        newest = np.full(len(self._symbols) * len(self._indexes), -1)
        newest[self._membership[order]] = np.arange(len(order))  # of several changes of one membership the last stays
        members = order[np.sort(newest[newest >= 0])]
        members = members[self._added[members]]
        symbols = self._symbol[members]
        bits = np.bincount(symbols, np.exp2(self._index[members]), len(self._symbols)).astype(np.int64)
        listed = np.flatnonzero(bits)
        cells = np.empty((len(listed), len(FACTS) + 1), object)
        for at, (values, known) in enumerate(self._facts):
            # The newest that is known of each: one list may name the sector, another only the symbol.
            told = members[known[members]]
            found = np.full(len(self._symbols), None, object)
            found[self._symbol[told]] = values[told]
            cells[:, at] = found[listed]
        cells[:, -1] = [self._set(one) for one in bits[listed].tolist()]
        names = pd.Index(self._symbols[listed], dtype=object, name="symbol")
        return pd.DataFrame(cells, names, [*FACTS, "indexes"], dtype=object)

    def _set(self, bits: int) -> frozenset[str]:
        if bits not in self._sets:
            self._sets[bits] = frozenset(name for at, name in enumerate(self._indexes) if bits >> at & 1)
        return self._sets[bits]
