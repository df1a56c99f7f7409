"""Which of some valued symbols are held."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
import pandas as pd

from pas_dagster.strategies.contract import SYMBOL


def largest(values: pd.Series, listed: Iterable[str], most: int) -> list[str]:
    """Of values by symbol (sorted by symbol), the `most` largest whose symbol is listed and well-formed.

    >>> largest(pd.Series({"AAA": 1.0, "BBB": 3.0, "CCC": 3.0, "DDD": 9.0}), ["AAA", "BBB", "CCC"], 2)
    ['BBB', 'CCC']
    """
    names, among = values.index.to_numpy(object), set(listed)
    order = np.argsort(-values.to_numpy(), kind="stable")
    ranked = (names[at] for at in order if names[at] in among and SYMBOL.fullmatch(names[at]))
    return list(islice(ranked, most))
