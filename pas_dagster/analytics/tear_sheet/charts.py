"""The charts of a tear sheet: each a finding in words with its picture, or in words why there is no picture."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import NamedTuple

import numpy as np

from pas_dagster.analytics import statistics
from pas_dagster.analytics.figures import (
    Area,
    Axis,
    Bars,
    Chart,
    Level,
    Line,
    Post,
    Size,
    log_axis,
    number,
    ordinals,
    percent,
    svg,
    time_axis,
    value_axis,
)
from pas_dagster.analytics.tear_sheet import measures
from pas_dagster.analytics.tear_sheet.book import Book, Days, FloatArray, Record, Track
from pas_dagster.analytics.tear_sheet.words import day, month

WIDE, NARROW = Size(736, 330), Size(358, 250)
WIDE_LOW, NARROW_LOW = Size(736, 230), Size(358, 150)
SMALL = Size(354, 190)
_SHARED = {WIDE: (46.0, 122.0), NARROW: (46.0, 76.0)}  # px beside the two charts that share their time

LOG_FROM = 3.0  # a value that spans more than this factor is drawn on a logarithmic scale
_MOST_BINS = 90
_LEAST_HEIGHT = 1.5  # px


class Section(NamedTuple):
    """One part of the page."""

    key: str
    title: str
    finding: str  # plain text
    body: str = ""  # HTML
    unit: str = ""  # plain text


class _Curve(NamedTuple):
    """One line of a chart of two."""

    days: Days
    values: FloatArray
    colour: str
    word: str = ""

    def line(self, width: float, gap: str = "") -> Line:
        """The mark; the last value follows the word."""
        end = f"{self.word}{gap}{number(float(self.values[-1]))}" if self.word else ""
        return Line(ordinals(self.days), self.values, self.colour, width, end)


def growth(book: Book, record: Record) -> Section:
    """Value of one dollar, of the benchmark's beside it; logarithmic when it spans much."""
    title, net = "Growth of one dollar", record.net
    if len(net) < 2:
        return Section("growth", title, _too_short(net, "A curve needs two sessions"))
    own = _Curve(*_from_start(net), "accent", "Book")
    other = _benchmark(record, own)
    finding = f"One dollar became {number(own.values[-1])} after costs, from {day(net.days[0])} to {day(net.days[-1])}"
    finding += _beside(book, record, other)
    curves = [own] if other is None else [other, own]
    values = np.concatenate([curve.values for curve in curves])
    logarithmic = bool(values.min() > 0.0 and values.max() / values.min() > LOG_FROM)

    def chart(size: Size) -> Chart:
        y = log_axis(values) if logarithmic else value_axis(values)
        gap = " " if size == WIDE else "\n"
        lines = [curve.line(1.8 if curve is own else 1.3, gap) for curve in curves]
        return Chart(_time(own.days, size), y, [Level(1.0, "rule"), *lines], _SHARED[size])

    unit = "dollars, logarithmic scale" if logarithmic else "dollars"
    return Section("growth", title, finding, _both(chart, (WIDE, NARROW), f"{title}. {finding}"), unit)


def _benchmark(record: Record, own: _Curve) -> _Curve | None:
    """Growth of the benchmark from what the book was worth just before it."""
    track = record.benchmark
    if track is None or len(track) < 2:
        return None
    before = float(own.values[np.searchsorted(record.net.days, track.days[0])])
    days, values = _from_start(track)
    return _Curve(days, values * before, "other", "Benchmark")


def _beside(book: Book, record: Record, other: _Curve | None) -> str:
    """The end of the sentence: what the benchmark did, or why it is not there."""
    if record.benchmark is None:
        return ". No benchmark was given."
    if other is None:
        return f". {book.benchmark_name} has too few returns in this time."
    made = f"{book.benchmark_name} became {number(other.values[-1])}"
    begun = record.benchmark.days[0]
    if begun <= record.net.days[0]:
        return f"; {made}."
    return f"; {made}, drawn from the book's {number(other.values[0])} before {day(begun)} on."


def falls(record: Record) -> Section:
    """How far below its highest value the book was."""
    title, net = "Under water", record.net
    if len(net) < 2:
        return Section("drawdown", title, _too_short(net, "A curve needs two sessions"))
    found = measures.episodes(net)
    if not found:
        return Section("drawdown", title, "The book was never below its highest value so far.")
    curves = [_below(net, "accent")]
    if record.benchmark is not None and len(record.benchmark) > 1:
        curves.insert(0, _below(record.benchmark, "other"))
    deep, now = found[0], float(curves[-1].values[-1])
    back = "not recovered yet" if deep.recovery is None else f"recovered on {day(deep.recovery)}"
    end = "at its highest value" if now > -measures.NOISE else f"{percent(-now)} below its peak"
    finding = f"The deepest fall was {percent(deep.depth)} on {day(deep.trough)}, {back}; the book ended {end}."

    def chart(size: Size) -> Chart:
        y = value_axis(np.concatenate([curve.values for curve in curves]), per_cent=True, most=4, zero=True)
        lines = [curve.line(1.4 if curve.colour == "accent" else 1.0) for curve in curves]
        own, margins = curves[-1], _SHARED[WIDE if size == WIDE_LOW else NARROW]
        return Chart(_time(own.days, size), y, [Area(ordinals(own.days), own.values), *lines], margins)

    pictures = _both(chart, (WIDE_LOW, NARROW_LOW), f"{title}. {finding}")
    return Section("drawdown", title, finding, pictures, "below peak")


def _below(track: Track, colour: str) -> _Curve:
    """Drawdowns, from the start on."""
    days, _ = _from_start(track)
    return _Curve(days, np.concatenate([[0.0], statistics.drawdown(track.values)]), colour)


def rolling_sharpe(record: Record) -> Section:
    """Sharpe ratio of half a year, moving."""
    track = measures.rolling_sharpe(record)
    if not len(track):
        known = int(np.count_nonzero(~np.isnan(record.net.values - record.cash)))
        return Section("rolling-sharpe", _ROLLING_SHARPE, _window_missing(record, known))
    if np.isnan(track.values).all():
        return Section("rolling-sharpe", _ROLLING_SHARPE, "The returns do not vary in any window.")
    values = track.values[~np.isnan(track.values)]
    above = np.count_nonzero(values > 0.0) / len(values)
    finding = f"Between {number(values.min())} and {number(values.max())}"
    finding += f", above 0 in {percent(above, 0)} of the windows"
    return _curve("rolling-sharpe", _ROLLING_SHARPE, finding, track, number, level=0.0)


def rolling_beta(record: Record) -> Section:
    """Beta of half a year, moving."""
    if record.benchmark is None:
        return Section("rolling-beta", _ROLLING_BETA, "No benchmark was given.")
    track = measures.rolling_beta(record)
    if not len(track):
        common = int(np.count_nonzero(~np.isnan(record.benchmark.at(record.net.days) - record.cash)))
        return Section("rolling-beta", _ROLLING_BETA, _window_missing(record, common, "book and benchmark have"))
    if np.isnan(track.values).all():
        return Section("rolling-beta", _ROLLING_BETA, "The benchmark does not vary in any window.")
    values = track.values[~np.isnan(track.values)]
    finding = f"Between {number(values.min())} and {number(values.max())}"
    return _curve("rolling-beta", _ROLLING_BETA, finding, track, number, level=1.0)


def distribution(record: Record) -> Section:
    """How often a session returned how much."""
    title, net = "Session returns", record.net
    if len(net) < measures.FEW:
        return Section("distribution", title, _too_short(net, f"A distribution needs {measures.FEW} sessions"))
    low, high = int(np.argmin(net.values)), int(np.argmax(net.values))
    if net.values[high] - net.values[low] <= measures.NOISE:
        return Section("distribution", title, f"Every session returned {percent(float(net.values[0]), 2)}.")
    risk = float(statistics.value_at_risk(net.values))
    worst, best = (f"{percent(float(net.values[at]), 2)} on {day(net.days[at])}" for at in (low, high))
    finding = f"Worst {worst}, best {best}; one session in twenty returned {percent(risk, 2)} or less."
    edges = _bins(net.values)
    chart = _histogram(edges, np.histogram(net.values, edges)[0].astype(np.float64), risk)
    unit = f"sessions per {percent(float(edges[1] - edges[0]), 2)}"
    return Section("distribution", title, finding, svg(chart, SMALL, f"{title}. {finding}", name="small"), unit)


def _histogram(edges: FloatArray, counts: FloatArray, risk: float) -> Chart:
    """Bars, those of the worst twentieth in the colour of losses."""
    y = value_axis(counts, most=4, zero=True)
    least = y.high * _LEAST_HEIGHT / SMALL.height  # so that no extreme is too rare to be seen
    heights = np.where(counts > 0.0, np.maximum(counts, least), 0.0)
    tail = (edges[:-1] + edges[1:]) / 2.0 <= risk
    room = (edges[1] - edges[0]) * 0.12
    bars = [
        Bars(edges[:-1] + room, edges[1:] - room, np.where(tail == lost, heights, 0.0), colour)
        for lost, colour in ((False, "accent"), (True, "loss"))
    ]
    post = Post(risk, f"VaR {percent(risk, 2)}", "loss", left=True)
    return Chart(value_axis(edges, per_cent=True), y, [*bars, post])


def exposure(record: Record) -> Section:
    """How much of the book was invested."""
    title, track = "Exposure", record.exposure
    if track is None or not len(track):
        return Section("exposure", title, _not_given("Exposure", track))
    low, high = (percent(float(v), 0) for v in (track.values.min(), track.values.max()))
    finding = f"On average {percent(float(track.values.mean()), 0)} of the book was invested, from {low} to {high}"
    if len(track) < 2:
        return Section("exposure", title, f"{percent(float(track.values[0]), 0)} of the book on the only session.")
    return _curve("exposure", title, finding, track, _whole, per_cent=True, unit="share of the book")


def turnover(record: Record) -> Section:
    """What was traded each month."""
    title, track = "Turnover", record.turnover
    if track is None or not len(track):
        return Section("turnover", title, _not_given("Turnover", track))
    months = measures.summed(track, "M")
    if not months.values.any():
        return Section("turnover", title, "Nothing was traded.")
    most = int(np.argmax(months.values))
    finding = f"Buys and sells came to {number(float(track.values.sum()), 1)} times the book in all; "
    finding += f"most in {month(months.starts[most])} ({percent(float(months.values[most]), 0)})."
    ends = (months.starts.astype("datetime64[M]") + 1).astype("datetime64[D]")
    left, right = ordinals(months.starts), ordinals(ends)
    room = 0.1 * (right - left)
    y = value_axis(months.values, per_cent=True, most=4, zero=True)
    bars = Bars(left + room, right - room, months.values)
    chart = Chart(time_axis(np.array([months.starts[0], ends[-1]])), y, [bars])
    picture = svg(chart, SMALL, f"{title} by month. {finding}", name="small")
    return Section("turnover", title, finding, picture, "of the book, by month")


def cost(record: Record) -> Section:
    """What trading has cost so far."""
    title, track = "Cost", record.cost
    if track is None or not len(track):
        return Section("cost", title, _not_given("Cost", track))
    total = float(track.values.sum())
    if not total:
        return Section("cost", title, "Trading cost nothing.")
    finding = f"Trading cost {percent(total, 2)} of the book in all"
    if len(track) < 2:
        return Section("cost", title, f"{finding}, on one session.")
    summed = Track(track.days, np.add.accumulate(track.values))
    return _curve("cost", title, f"{finding}.", summed, _hundredths, per_cent=True, unit="of the book, summed")


def years(book: Book, record: Record) -> Section:
    """Each year's return, the benchmark's beside it."""
    title = "Years"
    if not len(record.net):
        return Section("years", title, _too_short(record.net, ""))
    own = measures.compounded(record.net, "Y")
    names = [str(start)[:4] for start in own.starts]
    beside = measures.years_beside(record)
    finding = _best_year(names, own.values) + _years_ahead(book, own.values, beside)
    compared = beside is not None and bool(np.isfinite(beside).any())
    bars = [Bars(*_slots(len(names), 0.08, 0.5 if compared else 0.92), own.values)]
    keys = ""
    if beside is not None and compared:
        bars.append(Bars(*_slots(len(names), 0.54, 0.9), beside, "other"))
        keys = _keys(("accent", "Book"), ("other", book.benchmark_name))
    step = -(-len(names) // 6)
    ticks = tuple(place + 0.5 for place in range(0, len(names), step))
    x = Axis(0.0, float(len(names)), ticks, tuple(names[::step]))
    y = value_axis(np.concatenate([bar.height for bar in bars]), per_cent=True, zero=True)
    picture = svg(Chart(x, y, [*bars, Level(0.0)]), SMALL, f"Returns by year. {finding}", name="small")
    return Section("years", title, finding, keys + picture)


def _best_year(names: list[str], values: FloatArray) -> str:
    if len(names) == 1:
        return f"{names[0]} returned {percent(float(values[0]))}"
    best, worst = int(np.argmax(values)), int(np.argmin(values))
    gained = f"{int(np.count_nonzero(values > 0.0))} of {len(names)} years gained"
    extremes = (f"{names[at]} ({percent(float(values[at]))})" for at in (best, worst))
    return f"{gained}; best {next(extremes)}, worst {next(extremes)}"


def _years_ahead(book: Book, own: FloatArray, beside: FloatArray | None) -> str:
    """The end of the sentence."""
    if beside is None or not np.isfinite(beside).any():
        return "."
    ahead, known = int(np.count_nonzero(own > beside)), int(np.count_nonzero(np.isfinite(beside)))
    return f"; ahead of {book.benchmark_name} in {ahead} of {known}."


def _keys(*named: tuple[str, str]) -> str:
    """Which colour is what, where the bars themselves have no room for a word."""
    shown = "".join(f'<span><i style="background:var(--{colour})"></i>{escape(word)}</span>' for colour, word in named)
    return f'<p class="keys">{shown}</p>'


# ------------------------------------------------------------------------------------------------------- the parts

_ROLLING_SHARPE = f"Sharpe ratio, {measures.WINDOW} sessions"
_ROLLING_BETA = f"Beta, {measures.WINDOW} sessions"


def _curve(
    key: str,
    title: str,
    finding: str,
    track: Track,
    say: Callable[[float], str],
    *,
    level: float | None = None,
    per_cent: bool = False,
    unit: str = "",
) -> Section:
    """One small chart of one line, labelled with its last value; filled down to 0 where it is a share."""
    last = say(float(track.values[~np.isnan(track.values)][-1]))
    finding = finding if finding.endswith(".") else f"{finding}; {last} at the end."
    x, reach = ordinals(track.days), track.values if level is None else np.append(track.values, level)
    marks = [Level(level)] if level is not None else [Area(x, track.values)]
    y = value_axis(reach, per_cent=per_cent, most=4, zero=level is None or level == 0.0)
    chart = Chart(_time(track.days, SMALL), y, [*marks, Line(x, track.values, end=last)])
    return Section(key, title, finding, svg(chart, SMALL, f"{title}. {finding}", name="small"), unit)


def _whole(value: float) -> str:
    return percent(value, 0)


def _hundredths(value: float) -> str:
    return percent(value, 2)


def _both(chart: Callable[[Size], Chart], sizes: tuple[Size, Size], label: str) -> str:
    """The chart for a desk and for a phone; the style sheet shows one of them."""
    return "".join(
        svg(chart(size), size, label, name=name) for size, name in zip(sizes, ("wide", "narrow"), strict=True)
    )


def _time(days: Days, size: Size) -> Axis:
    return time_axis(days, most=11 if size.width > 500 else 6)


def _from_start(track: Track) -> tuple[Days, FloatArray]:
    """Growth of one, with the one itself a day before the first session."""
    days = np.concatenate([track.days[:1] - np.timedelta64(1, "D"), track.days])
    return days, np.concatenate([[1.0], measures.growth(track.values)])


def _slots(many: int, left: float, right: float) -> tuple[FloatArray, FloatArray]:
    places = np.arange(many, dtype=np.float64)
    return places + left, places + right


def _bins(values: FloatArray) -> FloatArray:
    """Edges on multiples of a round width near 2 IQR / n^(1/3) (Freedman and Diaconis, 1981), at most `_MOST_BINS`."""
    low, high = float(values.min()), float(values.max())
    quarter = np.subtract(*np.percentile(values, [75, 25]))
    least = max(2.0 * float(quarter) / len(values) ** (1.0 / 3.0), (high - low) / _MOST_BINS)
    magnitude = 10.0 ** np.floor(np.log10(least))
    width = next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * magnitude >= least * (1.0 - 1e-9)) * magnitude
    return np.arange(np.floor(low / width), np.floor(high / width) + 2.0) * width


def _too_short(net: Track, need: str) -> str:
    if not len(net):
        return "No session has a return yet."
    if len(net) == 1:
        return f"{need}; the one session, {day(net.days[0])}, returned {percent(float(net.values[0]), 2)}."
    return f"{need}; there are {len(net)}."


def _window_missing(record: Record, known: int, who: str = "the book has") -> str:
    if not len(record.net):
        return "No session has a return yet."
    cash = "" if record.risk_free is None else " on which the return of cash is known"
    return f"A window needs {measures.WINDOW} sessions{cash}; {who} {known}."


def _not_given(what: str, track: Track | None) -> str:
    return f"{what} was not given." if track is None else f"{what} is not known on any session of this time."
