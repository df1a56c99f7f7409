"""Which stocks a source asks about, one by one."""

from __future__ import annotations

from pas_dagster.sources.source import LayoutError, Query


def stocks(query: Query) -> list[str]:
    """The stocks that the option `symbols` names, else all that are listed; in order, the class after a dash (BRK-B).

    Raises `LayoutError` when the option is no list of symbols.
    """
    wanted = query.options.get("symbols")
    if wanted is None:
        wanted = query.listed.loc[query.listed["kind"] == "stock", "symbol"].tolist()
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(symbol, str) for symbol in wanted):
        raise LayoutError("the option 'symbols' is a list of symbols")
    return sorted({symbol.strip().upper().replace(".", "-") for symbol in wanted})
