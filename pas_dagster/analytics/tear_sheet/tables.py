"""The tables of a tear sheet: headline numbers, months, worst falls, holdings, definitions, provenance."""

from __future__ import annotations

from html import escape
from itertools import groupby

import numpy as np

from pas_dagster.analytics.figures import MONTHS, number, percent
from pas_dagster.analytics.tear_sheet import measures
from pas_dagster.analytics.tear_sheet.book import Book, Holding, Record, Track
from pas_dagster.analytics.tear_sheet.charts import Section
from pas_dagster.analytics.tear_sheet.measures import GROUPS, Episode, Measure, Periods
from pas_dagster.analytics.tear_sheet.words import NOTHING, count, data, day, month, span, stated, time

STEPS = (0.01, 0.03, 0.06)  # of a month's return, from one shade to the next
MOST_HOLDINGS = 40

_HERO = ("cagr", "volatility", "sharpe", "max_drawdown")


def heading(book: Book, record: Record) -> str:
    """Title, rule and time."""
    days = record.net.days
    when = f"{span(days)} · {count(len(days), 'session')}" if len(days) else "No session has a return yet"
    return f'<header><h1>{escape(book.title)}</h1><p>{escape(book.rule)}</p><p class="when">{escape(when)}</p></header>'


def hero(book: Book, found: dict[str, Measure]) -> str:
    """The four numbers that are read first; the total return in place of a yearly growth that is not known."""
    keys = _HERO if np.isfinite(found["cagr"].value) else ("total_return", *_HERO[1:])
    return f'<dl class="hero">{"".join(_tile(book, found[key]) for key in keys)}</dl>'


def _tile(book: Book, measure: Measure) -> str:
    below = escape(measure.reason)
    if not below and np.isfinite(measure.benchmark):
        below = f"{escape(book.benchmark_name)} {stated(measure.benchmark, measure.unit)}"
    shown = data(measure.value, stated(measure.value, measure.unit)) if not measure.reason else NOTHING
    return f'<div><dt>{_term(measure)}</dt><dd>{shown}</dd><dd class="beside">{below}</dd></div>'


def headline(book: Book, record: Record, found: dict[str, Measure]) -> Section:
    """Every number, those of the benchmark beside them where they mean something, and why some are missing."""
    compared = record.benchmark is not None
    wide = 3 if compared else 2
    head = '<th scope="col">After costs</th><th scope="col">Book</th>'
    head += f'<th scope="col"><span class="cut">{escape(book.benchmark_name)}</span></th>' if compared else ""
    groups = "".join(
        f'<tbody><tr><th scope="rowgroup" colspan="{wide}">{escape(group)}</th></tr>'
        + "".join(_row(found[key], compared) for key in keys)
        + "</tbody>"
        for group, keys in GROUPS
    )
    table = f"<table><thead><tr>{head}</tr></thead>{groups}</table>"
    return Section("numbers", "Numbers", _basis(book, record), table + _missing(found))


def _row(measure: Measure, compared: bool) -> str:
    beside = ""
    if compared:
        known = np.isfinite(measure.benchmark)
        beside = f"<td>{data(measure.benchmark, stated(measure.benchmark, measure.unit)) if known else ''}</td>"
    return f'<tr><th scope="row">{_term(measure)}</th><td>{_value(measure)}</td>{beside}</tr>'


def _term(measure: Measure) -> str:
    definition = escape(measure.definition)
    return f'<a class="term" href="#def-{measure.key}" title="{definition}">{escape(measure.label)}</a>'


def _value(measure: Measure) -> str:
    if measure.reason:
        return f'<span class="none" title="{escape(measure.reason)}">{NOTHING}</span>'
    return f'<span id="is-{measure.key}">{data(measure.value, stated(measure.value, measure.unit))}</span>'


def _missing(found: dict[str, Measure]) -> str:
    """The measures that are not shown, by reason."""
    lacking = sorted((m for m in found.values() if m.reason), key=lambda m: m.reason)
    parts = [
        f"{', '.join(measure.label for measure in group)}: {reason}"
        for reason, group in groupby(lacking, key=lambda measure: measure.reason)
    ]
    return f'<p class="note">Not shown. {escape(". ".join(parts))}.</p>' if parts else ""


def _basis(book: Book, record: Record) -> str:
    """What the ratios are above, and which time the benchmark covers."""
    earned = measures.cash_a_year(record)
    if record.risk_free is None:
        basis = "No return of cash was given: ratios, beta and alpha are above 0."
    elif np.isnan(earned):
        basis = "The return of cash is not known on any session."
    else:
        basis = f"Ratios, beta and alpha are above cash, which earned {percent(earned)} a year."
    other = record.benchmark
    if other is not None and not len(other):
        basis += f" {book.benchmark_name} has no returns in this time."
    elif other is not None and (other.days[0] > record.net.days[0] or other.days[-1] < record.net.days[-1]):
        basis += f" {book.benchmark_name} has returns from {span(other.days)} only."
    return basis


# ---------------------------------------------------------------------------------------------------------- months


def months(record: Record) -> Section:
    """Return of each month, shaded, with the years they compound to."""
    title, net = "Months", record.net
    if not len(net):
        return Section("months", title, "No session has a return yet.")
    found, totals = measures.compounded(net, "M"), measures.compounded(net, "Y")
    beside = measures.years_beside(record)
    cells = dict(zip((str(start)[:7] for start in found.starts), found.values.tolist(), strict=True))
    rows = "".join(
        _year(str(start)[:4], cells, float(totals.values[i]), None if beside is None else float(beside[i]))
        for i, start in enumerate(totals.starts)
    )
    names = ("Year", *MONTHS, "Total", *(() if beside is None else ("Benchmark",)))
    head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in names)
    table = '<table class="months" role="table" aria-label="Return of each month in per cent">'
    table += f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    return Section("months", title, _best_month(found), table + _shades(), _part_months(net))


def _best_month(found: Periods) -> str:
    gained = f"{int(np.count_nonzero(found.values > 0.0))} of {count(len(found.values), 'month')} gained"
    if len(found.values) == 1:
        return f"{gained}."
    best, worst = int(np.argmax(found.values)), int(np.argmin(found.values))
    extremes = (f"{month(found.starts[at])} ({percent(float(found.values[at]))})" for at in (best, worst))
    return f"{gained}; best {next(extremes)}, worst {next(extremes)}."


def _part_months(net: Track) -> str:
    """The unit, and from when to when the first and last month count."""
    return f"per cent, from {day(net.days[0])} to {day(net.days[-1])}"


def _year(year: str, cells: dict[str, float], total: float, beside: float | None) -> str:
    shown = "".join(_month(name, cells.get(f"{year}-{i + 1:02d}")) for i, name in enumerate(MONTHS))
    row = f'<tr role="row"><th scope="row" role="rowheader">{year}</th>{shown}'
    row += f'<td role="cell" class="total" data-label="Total">{_cell(total)}</td>'
    if beside is not None:
        row += f'<td role="cell" class="beside" data-label="Benchmark">{_cell(beside)}</td>'
    return f"{row}</tr>"


def _month(name: str, value: float | None) -> str:
    if value is None:
        return f'<td role="cell" data-label="{name}"></td>'
    return f'<td role="cell" class="{shade(value)}" data-label="{name}">{_cell(value)}</td>'


def _cell(value: float) -> str:
    return data(value, number(100.0 * value, 1)) if np.isfinite(value) else NOTHING


def shade(value: float) -> str:
    """Name of the colour of a month's return; none for exactly nothing.

    >>> shade(0.004), shade(-0.2), shade(0.0)
    ('gain-1', 'loss-4', '')
    """
    if not value:
        return ""
    return f"{'gain' if value > 0.0 else 'loss'}-{1 + sum(abs(value) >= step for step in STEPS)}"


def _shades() -> str:
    """The key: from which return on each shade is used."""
    low, middle, high = (f"{100.0 * step:g}%" for step in STEPS)
    words = (f"over {high}", f"over {middle}", f"over {low}", "less")
    losses = "".join(f'<span class="loss-{4 - i}">{w}</span>' for i, w in enumerate(words))
    gains = "".join(f'<span class="gain-{1 + i}">{w}</span>' for i, w in enumerate(reversed(words)))
    return f'<p class="shades"><b>Loss</b>{losses}{gains}<b>Gain</b></p>'


# ------------------------------------------------------------------------------------------------ falls and holdings


def worst(record: Record) -> Section:
    """The deepest falls: from when to when, how deep, how long."""
    title = "Worst drawdowns"
    if not len(record.net):
        return Section("worst", title, "No session has a return yet.")
    found = measures.episodes(record.net)
    if not found:
        return Section("worst", title, "The book was never below its highest value so far.")
    shown = found[: measures.EPISODES]
    rows = "".join(_episode(episode) for episode in shown)
    names = ("Depth", "Peak", "Trough", "Recovery", "Days")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    finding = f"{len(shown)} of {count(len(found), 'drawdown')}. Days are calendar days from the peak to the recovery, "
    finding += "or to the last session."
    table = (
        f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return Section("worst", title, finding, table)


def _episode(episode: Episode) -> str:
    peak = "the start" if episode.peak is None else time(episode.peak)
    recovery = "not yet" if episode.recovery is None else time(episode.recovery)
    depth = data(episode.depth, percent(episode.depth))
    cells = (peak, time(episode.trough), recovery, data(episode.days, f"{episode.days:,}"))
    return f'<tr><th scope="row">{depth}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def holdings(book: Book) -> Section:
    """What the book holds now, largest first."""
    title = "Holdings"
    if not book.holdings:
        return Section("holdings", title, "No holdings were given.")
    order = sorted(book.holdings, key=lambda h: (np.isnan(h.weight), -abs(h.weight), h.symbol))
    known = [h.weight for h in order if np.isfinite(h.weight)]
    finding = f"{count(len(order), 'holding')}, {percent(float(np.sum(known)))} of the book"
    shown, rest = order[:MOST_HOLDINGS], order[MOST_HOLDINGS:]
    if rest:
        others = float(np.nansum([h.weight for h in rest]))
        finding += f"; the {len(rest)} smallest ({percent(others)}) are not listed"
    named, valued = any(h.name for h in shown), any(np.isfinite(h.value) for h in shown)
    head = '<th scope="col">Symbol</th>' + ('<th scope="col" class="text">Name</th>' if named else "")
    head += '<th scope="col">Weight</th>' + ('<th scope="col">Value, USD</th>' if valued else "")
    rows = "".join(_holding(h, named, valued) for h in shown)
    table = (
        f'<div class="scroll"><table class="plain"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return Section("holdings", title, f"{finding}.", table)


def _holding(holding: Holding, named: bool, valued: bool) -> str:
    weight = data(holding.weight, percent(holding.weight)) if np.isfinite(holding.weight) else NOTHING
    row = f'<th scope="row">{escape(holding.symbol)}</th>'
    row += f'<td class="text">{escape(holding.name)}</td>' if named else ""
    row += f"<td>{weight}</td>"
    if valued:
        row += f"<td>{data(holding.value, number(holding.value, 0)) if np.isfinite(holding.value) else NOTHING}</td>"
    return f"<tr>{row}</tr>"


# ------------------------------------------------------------------------------------------------------ small print


def definitions(found: dict[str, Measure]) -> Section:
    """What each number means."""
    rows = "".join(
        f'<div id="def-{m.key}"><dt>{escape(m.label)}</dt><dd>{escape(m.definition)}</dd></div>' for m in found.values()
    )
    return Section("definitions", "Definitions", "", f'<dl class="terms">{rows}</dl>')


def provenance(book: Book, record: Record) -> Section:
    """Where the numbers come from."""
    days = record.net.days
    rows = [("Sessions", f"{count(len(days), 'session')}, {span(days)}" if len(days) else "none"), *book.provenance]
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return Section("provenance", "Where the numbers come from", "", f'<dl class="terms">{shown}</dl>')
