"""Daily bars: wide files (a column of days, then one column of adjusted closes per symbol) and long ones.

A move beyond `max_return` (100 % in a day) is not believed: most are reverse splits that the file does not adjust
for, or another company under a recycled ticker. Its bar is refused, and a `split` of (previous close / close) is
stated in `corporate_actions`, so that a position held in shares keeps its value over the jump. The next bar's return
is against the refused one, so the series goes on at its new level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.schemas import normalise_symbols
from pas_dagster.sources.bars import total_return
from pas_dagster.sources.files.layouts import universe
from pas_dagster.sources.files.layouts.shape import (
    DATE_NAMES,
    Context,
    Layout,
    Shaped,
    date_column,
    day_reasons,
    days,
    faults,
    joined,
    numbers,
    plain,
    typed,
)

_ALIASES = {"ticker": "symbol", "adjclose": "adj_close", "adjusted_close": "adj_close", "dividends": "dividend"}
_ALIASES |= {"stock_splits": "split", "splits": "split", "stock_split": "split"}
_LONG_ONLY = frozenset({"symbol", "ticker", "close", "adj_close"})
_BAR = frozenset({"open", "high", "low", "volume"})  # each alone is a symbol too, two of them are not


def is_wide(columns: Sequence[str]) -> bool:
    """Whether the first column holds days and no column belongs to a long file."""
    names = plain(columns)
    long_file = _LONG_ONLY & set(names) or len(_BAR & set(names)) > 1
    return len(names) > 1 and names[0] in DATE_NAMES and not long_file


def wide(frame: pd.DataFrame, context: Context) -> Shaped:
    """One bar per day and symbol that has a close; an empty cell is no bar. Closes are adjusted, USD."""
    symbols, cells = _columns(frame, context)
    keep = np.array([symbol not in context.options.exclude for symbol in symbols], bool)
    cells, symbols = cells[keep], symbols[keep]
    grid, wrong = _grid(frame, cells)
    known, wrong_days = _days(frame, context, np.isfinite(grid), cells)
    order = np.flatnonzero(known.notna().to_numpy())
    order = order[np.argsort(known.to_numpy()[order], kind="stable")]
    grid, days_of, rows = grid[order], known.to_numpy()[order], frame.index.to_numpy()[order]

    present, usable = ~np.isnan(grid), np.isfinite(grid) & (grid > 0)
    previous = _previous(grid, usable)
    with np.errstate(invalid="ignore", divide="ignore"):
        change = grid / previous - 1
    jump = usable & (np.abs(change) > context.options.max_return)
    at, column = np.nonzero(usable & ~jump)
    names = pd.array(symbols.tolist(), dtype="str")
    bars = pd.DataFrame(
        {
            "known_on": days_of[at],
            "event_date": days_of[at],
            "symbol": names.take(column),
            "close": grid[at, column],
            "total_return": change[at, column],
        },
        index=pd.Index(rows[at], name="row"),
    )
    wrong = [wrong, wrong_days, _cell_faults(present & ~usable, rows, cells, "close must be a number above 0")]
    wrong.append(_cell_faults(jump, rows, cells, unbelieved(context)))
    at, column = np.nonzero(jump)
    level = pd.Series(previous[at, column] / grid[at, column])
    extra = {"corporate_actions": _splits(days_of[at], names.take(column), level, rows[at])}
    extra |= _listing(bars, context)
    left_out = {"excluded symbols (columns)": int((~keep).sum())}
    return Shaped(bars, joined(wrong), extra, left_out, dict(zip(symbols.tolist(), cells.tolist(), strict=True)))


def unbelieved(context: Context) -> str:
    return f"total_return beyond ±{context.options.max_return:.0%} in a day is not believed"


def _columns(frame: pd.DataFrame, context: Context) -> tuple[np.ndarray, np.ndarray]:
    cells = frame.columns[1:].to_numpy(object)
    symbols = normalise_symbols(pd.Series(cells.tolist())).to_numpy(object)
    twice = pd.Series(symbols).duplicated()
    if twice.any():
        again = symbols[twice.to_numpy()][0]
        raise PasError(f"{context.file} has two columns for the symbol {again}. Remove one of them.")
    return symbols, cells


def _grid(frame: pd.DataFrame, cells: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Closes as (rows, symbols) float64, and a fault for every text that is no number."""
    chosen = frame[cells.tolist()]
    if all(kind.kind == "f" for kind in chosen.dtypes):
        return chosen.to_numpy("float64"), faults([], "")
    made = np.column_stack([numbers(chosen[cell]).to_numpy() for cell in cells])
    lost = np.isnan(made) & chosen.notna().to_numpy()
    return made, _cell_faults(lost, frame.index.to_numpy(), cells, "close is not a number")


def _days(
    frame: pd.DataFrame, context: Context, present: np.ndarray, cells: np.ndarray
) -> tuple[pd.Series, pd.DataFrame]:
    """The days of the rows, NaT where refused; the faults are one per bar of a refused row."""
    known = days(frame.iloc[:, 0])
    reasons = day_reasons("prices", known, known, context.today)
    reasons[(known.duplicated() & known.notna() & (reasons == "")).to_numpy()] = "duplicate key (known_on, symbol)"
    refused = reasons != ""
    at, column = np.nonzero(present & refused[:, None])
    wrong = faults(frame.index.to_numpy()[at], reasons[at], cells[column])
    return known.where(~refused), wrong


def _previous(grid: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """For each cell the last usable value above it in its column; NaN where there is none."""
    at = np.where(usable, np.arange(len(grid), dtype=np.int32)[:, None], -1)
    np.maximum.accumulate(at, axis=0, out=at)
    at = np.vstack([np.full((1, grid.shape[1]), -1, np.int32), at[:-1]])
    return np.where(at >= 0, np.take_along_axis(grid, np.maximum(at, 0), axis=0), np.nan)


def _cell_faults(mask: np.ndarray, rows: np.ndarray, cells: np.ndarray, reason: str) -> pd.DataFrame:
    at, column = np.nonzero(mask)
    return faults(rows[at], reason, cells[column])


def _splits(when: object, symbols: object, values: pd.Series, rows: object) -> pd.DataFrame:
    return _actions(when, symbols, "split", values, rows)


def _actions(when: object, symbols: object, kind: str, values: pd.Series, rows: object) -> pd.DataFrame:
    frame = pd.DataFrame({"event_date": when, "symbol": symbols, "value": values.to_numpy()})
    frame.index = pd.Index(rows, name="row")
    return frame.assign(known_on=frame["event_date"], kind=kind, new_symbol=None)


def _listing(bars: pd.DataFrame, context: Context) -> dict[str, pd.DataFrame]:
    """Since when (and until when) the symbols are listed, if the user says of which kind they are."""
    kind = context.options.kind
    if kind is None or bars.empty:
        return {}
    spans = bars.groupby("symbol")["known_on"].agg(["min", "max"]).reset_index()
    index = context.options.index_name or ("ETF" if kind == "etf" else "listed")
    spans = spans.assign(name=spans["symbol"], sector=None)
    return {"universe": universe.memberships(spans, kind, index, ends_before=bars["known_on"].max())}


def long(frame: pd.DataFrame, context: Context) -> Shaped:
    """One bar per row: day and symbol, close or adj_close, perhaps more.

    total_return is, in this order: the file's own; from adj_close; (close x split + dividend) / previous close - 1.
    Splits and dividends also go to corporate_actions. A split that the closes do not show (Yahoo's are adjusted for
    splits already) is left out, for shares held at such prices must not be multiplied. Closes that are adjusted for
    dividends too cannot be told from others: say so with the option adjusted=true.
    """
    named = frame.rename(columns=_ALIASES)
    day = date_column(named)
    named = named.assign(known_on=named[day], event_date=named[day], symbol=normalise_symbols(named["symbol"]))
    excluded = named["symbol"].isin(context.options.exclude)
    named = named[~excluded]
    if "close" not in named:
        named = named.assign(close=named["adj_close"])
    bars, wrong = typed(named, context.table)
    for column in ("adj_close", "dividend", "split"):
        if column in named:
            bars[column] = numbers(named[column]).reindex(bars.index)
    bars, refused = _sound(bars, context)
    bars = bars.sort_values(["symbol", "known_on"], kind="stable")
    bars, actions, hidden = _with_returns(bars, context)
    jump = bars["total_return"].abs() > context.options.max_return
    level = (bars["previous"] / bars["close"])[jump]
    split = _splits(bars["known_on"][jump], bars["symbol"][jump], level, bars.index[jump])
    actions = actions[~(actions.index.isin(split.index) & (actions["kind"] == "split"))]
    extra = {"corporate_actions": pd.concat([part for part in (actions, split) if len(part)] or [split])}
    wrong = joined([wrong, refused, faults(bars.index[jump], unbelieved(context))])
    good = bars[~jump].sort_index()
    left_out = {"excluded symbols": int(excluded.sum()), "splits that the closes are adjusted for": hidden}
    rows = good[[name for name in context.table.names if name in good]]
    return Shaped(rows, wrong, extra | _listing(good, context), left_out)


def _sound(bars: pd.DataFrame, context: Context) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars that a return may be counted from: a possible day, a close above 0, one per day and symbol."""
    reasons = day_reasons("prices", bars["known_on"], bars["event_date"], context.today)
    close = bars["close"].to_numpy()
    reasons[np.isnan(close) & (reasons == "")] = "close is missing"
    reasons[~((close > 0) & np.isfinite(close)) & (reasons == "")] = "close must be a number above 0"
    sound = bars[reasons == ""]
    again = sound.duplicated(["known_on", "symbol"])
    refused = [faults(bars.index[reasons != ""], reasons[reasons != ""])]
    refused.append(faults(sound.index[again], "duplicate key (known_on, symbol)"))
    return sound[~again], joined(refused)


def _with_returns(bars: pd.DataFrame, context: Context) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Bars with `previous` and `total_return`, the actions they show, and how many splits are in the closes."""
    by = bars.groupby("symbol", sort=False)
    bars = bars.assign(previous=by["close"].shift())
    actions = _actions([], [], "split", pd.Series([], dtype="float64"), [])
    split = pd.Series(1.0, bars.index)
    dividend = pd.Series(0.0, bars.index)
    hidden = 0
    if not context.options.adjusted:
        split, hidden = _shown_splits(bars)
        if "dividend" in bars:
            dividend = bars["dividend"].where(bars["dividend"] > 0, 0.0)
        told = [("split", split, split != 1), ("dividend", dividend, dividend > 0)]
        parts = [
            _actions(bars["known_on"][is_one], bars["symbol"][is_one], kind, value[is_one], bars.index[is_one])
            for kind, value, is_one in told
            if is_one.any()
        ]
        actions = pd.concat(parts) if parts else actions
    if "total_return" not in bars:
        by_hand = total_return(bars["close"], split, dividend, bars["previous"])
        if "adj_close" in bars:
            adjusted = bars["adj_close"].where(bars["adj_close"] > 0)
            by_hand = adjusted / adjusted.groupby(bars["symbol"], sort=False).shift() - 1
        bars = bars.assign(total_return=by_hand)
    return bars, actions, hidden


def _shown_splits(bars: pd.DataFrame) -> tuple[pd.Series, int]:
    """New shares per old on each bar, 1 where none or where the closes are adjusted for it, and how many those are."""
    if "split" not in bars:
        return pd.Series(1.0, bars.index), 0
    split = bars["split"].where(bars["split"] > 0, 1.0)  # Yahoo writes 0 for none
    change = np.log((bars["close"] / bars["previous"]).astype("float64"))
    shown = (change + np.log(split)).abs() < change.abs()
    hidden = (split != 1) & ~shown
    return split.where(shown, 1.0), int(hidden.sum())


LAYOUTS = (
    Layout("prices-wide", "prices", ["date"], wide, verbatim=True, also=is_wide),
    Layout("prices-long", "prices", ["date", "symbol", "close"], long),
    Layout("prices-long-ticker", "prices", ["date", "ticker", "close"], long),
    Layout("prices-long-adjusted", "prices", ["date", "symbol", "adj_close"], long),
)
