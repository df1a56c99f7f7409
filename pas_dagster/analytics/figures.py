"""Small charts as inline SVG: values in, one `<svg>` element out, coloured by the variables of the page around it.

A chart is described (`Chart`: two axes and what is drawn between them) and drawn by one function, `svg`. The element
holds no font, no date, no address and no identifier, so that any number of them can stand in one page, and the same
chart is always the same text. Colours are the names of `PALETTE`, written as `var(--name)`: the page decides between
light and dark, and the chart follows. Words inside a chart are numbers and fixed words only; whatever a user named
belongs into the text around it. The one text from outside is the label that is read aloud, and it is escaped.

A line of many points is thinned to the first, last, lowest and highest of each pixel column, which is the same
picture as the full line: Jugel, Jerzak, Hackenbroich and Markl, "M4: A Visualization-Oriented Time Series Data
Aggregation", Proceedings of the VLDB Endowment 7(10), 2014.

Units: places are in pixels of the chart's own size, days are numbers of days since 1970-01-01.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # whatever the locale

# Every colour of a report, once: name -> (light, dark). Gain is blue and loss orange, which the common kinds of
# colour blindness tell apart; text colours have a contrast of at least 4.5 on every background they are used on.
PALETTE: dict[str, tuple[str, str]] = {
    "page": ("#ffffff", "#11151a"),
    "panel": ("#f5f7f9", "#1a2027"),
    "ink": ("#161b22", "#e8ecf1"),
    "muted": ("#59636f", "#a2adb9"),
    "rule": ("#dfe4e9", "#2d353f"),
    "accent": ("#1c5d9f", "#7fb6ef"),
    "wash": ("#d8e6f4", "#1d3a57"),
    "other": ("#636d78", "#97a2ae"),
    "loss": ("#a94a08", "#f0a467"),
    "loss-wash": ("#f9dfc9", "#54351c"),
    "gain-1": ("#edf3fa", "#172433"),
    "gain-2": ("#d1e3f5", "#1a3451"),
    "gain-3": ("#a6cbef", "#1f4874"),
    "gain-4": ("#7db3e8", "#265c95"),
    "loss-1": ("#fdf2e9", "#2b2118"),
    "loss-2": ("#fbdcc1", "#472d18"),
    "loss-3": ("#f6bf92", "#683d18"),
    "loss-4": ("#ee9f63", "#884c17"),
}

_FONT = 11.0  # px; the page sets the same size
_LETTER = 7.0  # px, width of a digit at that size in a wide font
_GAP = 14.0  # px between two labels at the end of lines
_FLAT = 1e-9  # values closer to each other than this, per unit of their size, are one value
_LOCK = threading.Lock()  # matplotlib's settings belong to the whole process
_INK = {name: f"#0a{number:04x}" for number, name in enumerate(PALETTE)}  # stands for a name until the SVG is text
_NAMED = {code: f"var(--{name})" for name, code in _INK.items()}


# ---------------------------------------------------------------------------------------- what a chart consists of


class Size(NamedTuple):
    """Width and height in pixels."""

    width: float
    height: float


class Axis(NamedTuple):
    """One side of a chart."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False


class Line(NamedTuple):
    """A line through the points, broken where y is NaN, with a word at its right end."""

    x: FloatArray
    y: FloatArray
    colour: str = "accent"
    width: float = 1.6
    end: str = ""


class Area(NamedTuple):
    """What lies between the points and 0, or the edge of the chart that is nearest to it."""

    x: FloatArray
    y: FloatArray
    colour: str = "wash"


class Bars(NamedTuple):
    """Rectangles from `base` to `base + height`; a height of 0 or NaN is none."""

    left: FloatArray
    right: FloatArray
    height: FloatArray
    colour: str = "accent"
    base: FloatArray | float = 0.0


class Level(NamedTuple):
    """A thin line across the whole chart at one value."""

    y: float
    colour: str = "other"


class Post(NamedTuple):
    """A thin upright line at one value, with a word at its upper end, to its left or its right."""

    x: float
    word: str
    colour: str = "other"
    left: bool = False


Mark = Line | Area | Bars | Level | Post


@dataclass(frozen=True, slots=True)
class Chart:
    """Two axes and what is drawn between them, in this order.

    `margins` are the least pixels left and right of it, so that charts below each other can share their time.
    """

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    margins: tuple[float, float] = (0.0, 0.0)


# ----------------------------------------------------------------------------------------------------------- axes


def percent(value: float, digits: int = 1, *, sign: bool = False) -> str:
    """A fraction in per cent, with a real minus sign and never a minus zero.

    >>> percent(0.1234), percent(-0.1234, 0), percent(-0.0001), percent(0.02, sign=True)
    ('12.3%', '−12%', '0.0%', '+2.0%')
    """
    return f"{number(100.0 * value, digits, sign=sign)}%"


def number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    """A number with a real minus sign and never a minus zero.

    >>> number(1234.5), number(-0.004), number(0.5, 1, sign=True)
    ('1,234.50', '0.00', '+0.5')
    """
    rounded = round(float(value), digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}".replace("-", MINUS)


def value_axis(values: npt.ArrayLike, *, per_cent: bool = False, most: int = 5, zero: bool = False) -> Axis:
    """A linear axis round all finite values, ending on ticks; with 0 on it if `zero`.

    Raises:
        ValueError: no finite value.

    >>> value_axis([0.012, 0.088], per_cent=True).labels
    ('0%', '2%', '4%', '6%', '8%', '10%')
    """
    low, high = _range(values)
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    size = max(abs(low), abs(high))
    if high - low <= _FLAT * max(size, 1.0):
        room = 0.05 * size if size > _FLAT else 0.01
        low, high = low - (0.0 if zero and low == 0.0 else room), high + room
    step = _step((high - low) / most)
    ticks = np.arange(np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9) + 1) * step
    shown = 100.0 * step if per_cent else step
    digits = next(d for d in range(12) if abs(round(shown, d) - shown) <= 1e-9 * shown or d == 11)
    labels = tuple(percent(t, digits) if per_cent else number(t, digits) for t in ticks)
    return Axis(float(ticks[0]), float(ticks[-1]), tuple(ticks.tolist()), labels)


def log_axis(values: npt.ArrayLike, *, most: int = 7) -> Axis:
    """A logarithmic axis round all finite values, which must be above 0.

    Raises:
        ValueError: no finite value, or one that is not above 0.

    >>> log_axis([0.9, 4.2]).labels
    ('1', '1.5', '2', '3', '4')
    """
    low, high = _range(values)
    if low <= 0.0:
        raise ValueError("a logarithmic axis has only values above 0")
    low, high = low / 1.04, high * 1.04
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for leading in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = np.array([t for d in decades for t in np.multiply(leading, d) if low <= t <= high])
        if len(ticks) <= most:
            break
    return Axis(low, high, tuple(ticks.tolist()), tuple(f"{t:,.10g}" for t in ticks), True)


def time_axis(days: npt.NDArray[np.datetime64], *, most: int = 6) -> Axis:
    """An axis of dates from the first to the last of the ascending `days`, in years, months or single days.

    There are at most `most` years on it, or two thirds as many months or days, whose labels are wider.

    Raises:
        ValueError: no days.

    >>> time_axis(np.array(["2014-03-03", "2019-06-28"], "datetime64[D]")).labels
    ('2015', '2016', '2017', '2018', '2019')
    """
    if not len(days):
        raise ValueError("an axis of dates needs days")
    first, last = days[0].astype("datetime64[D]"), days[-1].astype("datetime64[D]")
    months = np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1)
    months = months[months.astype("datetime64[D]") >= first]
    ticks = np.array([], "datetime64[M]")
    for step in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600):
        ticks = months[months.astype(np.int64) % step == 0]
        if len(ticks) <= (most if step >= 12 else most * 2 // 3):
            break
    if len(ticks) >= 2:
        labels = tuple(_month(m, with_month=step < 12) for m in ticks)
        places = ticks.astype("datetime64[D]")
    else:
        places = np.unique(days.astype("datetime64[D]")[np.linspace(0, len(days) - 1, most * 2 // 3).astype(int)])
        labels = tuple(f"{_day_of_month(d)} {_month(d.astype('datetime64[M]'), with_month=True)[:3]}" for d in places)
    low, high = float(first.astype(np.int64)), float(last.astype(np.int64))
    room = 0.5 if low == high else 0.0
    return Axis(low - room, high + room, tuple(ordinals(places).tolist()), labels)


def ordinals(days: npt.NDArray[np.datetime64]) -> FloatArray:
    """Days since 1970-01-01, as the places of an axis of dates."""
    return days.astype("datetime64[D]").astype(np.int64).astype(np.float64)


def _range(values: npt.ArrayLike) -> tuple[float, float]:
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        raise ValueError("an axis needs a value")
    return float(finite.min()), float(finite.max())


def _step(least: float) -> float:
    """The smallest round number that is not below `least`."""
    magnitude = 10.0 ** np.floor(np.log10(least))
    return float(next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * magnitude >= least * (1.0 - 1e-9)) * magnitude)


def _month(month: np.datetime64, *, with_month: bool) -> str:
    since = int(month.astype(np.int64))
    year = str(1970 + since // 12)
    return f"{MONTHS[since % 12]} {year}" if with_month else year


def _day_of_month(day: np.datetime64) -> int:
    return int((day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)) + 1


# -------------------------------------------------------------------------------------------------------- drawing


def thinned(x: FloatArray, y: FloatArray, low: float, high: float, columns: int) -> npt.NDArray[np.int64]:
    """Which points of a line with ascending x are enough to draw it `columns` pixels wide: four of each column.

    >>> thinned(np.arange(6.0), np.array([1.0, 5.0, 0.0, 2.0, 3.0, 2.5]), 0.0, 5.0, 1).tolist()
    [0, 1, 2, 5]
    """
    if len(x) <= columns:
        return np.arange(len(x))
    column = np.minimum((x - low) * (columns / max(high - low, 1e-300)), columns - 1).astype(np.int64)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    ends = np.append(starts[1:], len(x)) - 1
    order = np.lexsort((y, column))  # by column, in it by value: the same edges hold
    return np.unique(np.concatenate([starts, ends, order[starts], order[ends]]))


def svg(chart: Chart, size: Size, label: str, *, name: str = "") -> str:
    """The chart as one `<svg>` element, whose `label` says what there is to see.

    Args:
        chart: what to draw.
        size: of the view; the page scales it.
        label: one or two sentences, read aloud in place of the picture; escaped here.
        name: further classes of the element, separated by spaces.
    """
    with _matplotlib_as_it_comes():
        drawn = _drawn(chart, size)
    head = f'<svg class="{escape(f"chart {name}".strip())}" viewBox="0 0 {size.width:g} {size.height:g}"'
    return f'{head} role="img" aria-label="{escape(label)}">{_plain(drawn)}</svg>'


@contextmanager
def _matplotlib_as_it_comes() -> Generator[None]:
    """Its own defaults and ours, whatever the user's settings are."""
    import matplotlib

    with _LOCK, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text, in the font of the page
        matplotlib.rcParams["svg.hashsalt"] = "pas"
        matplotlib.rcParams["path.simplify"] = False
        matplotlib.rcParams["font.size"] = _FONT
        yield


def _drawn(chart: Chart, size: Size) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72.0, size.height / 72.0), dpi=72)
    figure.patch.set_visible(False)
    ends = [part for mark in chart.marks if isinstance(mark, Line) for part in mark.end.split("\n")]
    left = max(10.0 + _width(chart.y.labels), chart.margins[0])
    right = max(10.0 + _width(ends), 2.0 + _width(chart.x.labels[-1:]) / 2.0, chart.margins[1])
    top, bottom = 14.0, 24.0
    width, height = size.width - left - right, size.height - top - bottom
    axes = figure.add_axes((left / size.width, bottom / size.height, width / size.width, height / size.height))
    _frame(axes, chart)
    for mark in chart.marks:
        _draw(axes, mark, chart, width)
    _label_ends(axes, [mark for mark in chart.marks if isinstance(mark, Line) and mark.end])
    text = io.StringIO()
    FigureCanvasSVG(figure).print_svg(text, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return text.getvalue()


def _width(words: Sequence[str]) -> float:
    """Room for the widest of some words; a per cent sign is half as wide again as a digit."""
    return _LETTER * max((len(word) + 0.5 * word.count("%") for word in words), default=0.0)


def _frame(axes: Axes, chart: Chart) -> None:
    """Limits, ticks and pale lines across; no box."""
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    if chart.y.logarithmic:
        axes.set_yscale("log")
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_ylim(chart.y.low, chart.y.high)
    axes.minorticks_off()
    axes.set_xticks(chart.x.ticks, chart.x.labels, color=_INK["muted"], parse_math=False)
    axes.set_yticks(chart.y.ticks, chart.y.labels, color=_INK["muted"], parse_math=False)
    axes.tick_params(left=False, bottom=False, pad=6)
    axes.grid(True, axis="y", color=_INK["rule"], linewidth=1.0, clip_on=False)
    axes.set_axisbelow(True)


def _draw(axes: Axes, mark: Mark, chart: Chart, width: float) -> None:
    plain: dict[str, Any] = {"clip_on": False, "linewidth": 1.0}
    match mark:
        case Line() | Area():
            for x, y in _pieces(mark.x, mark.y):
                keep = thinned(x, y, chart.x.low, chart.x.high, max(int(width), 1))
                if isinstance(mark, Line):
                    joins: dict[str, Any] = {"solid_capstyle": "round", "solid_joinstyle": "round"}
                    axes.plot(x[keep], y[keep], color=_INK[mark.colour], clip_on=False, linewidth=mark.width, **joins)
                else:
                    base = min(max(0.0, chart.y.low), chart.y.high)
                    corners = np.concatenate([x[keep][:1], x[keep], x[keep][-1:]])
                    edge = np.concatenate([[base], y[keep], [base]])
                    axes.fill(corners, edge, color=_INK[mark.colour], clip_on=False, linewidth=0.0)
        case Bars():
            _rectangles(axes, mark)
        case Level():
            axes.plot([chart.x.low, chart.x.high], [mark.y, mark.y], color=_INK[mark.colour], **plain)
        case Post():
            axes.plot([mark.x, mark.x], [chart.y.low, chart.y.high], color=_INK[mark.colour], **plain)
            place: dict[str, Any] = {"xytext": (-5.0 if mark.left else 5.0, -2.0), "textcoords": "offset points"}
            side = "right" if mark.left else "left"
            words: dict[str, Any] = {"ha": side, "va": "top", "color": _INK["muted"]} | {"annotation_clip": False}
            axes.annotate(mark.word, (mark.x, chart.y.high), parse_math=False, **place, **words)


def _pieces(x: FloatArray, y: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """The stretches without a NaN."""
    known = np.concatenate([[False], ~np.isnan(y), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield x[first:stop], y[first:stop]


def _rectangles(axes: Axes, bars: Bars) -> None:
    """All of them as one path: a patch each would take most of the time of a page."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    base = np.broadcast_to(np.asarray(bars.base, dtype=np.float64), bars.height.shape)
    seen = np.abs(bars.height) > 0.0
    if not seen.any():
        return
    left, right, low = bars.left[seen], bars.right[seen], base[seen]
    high = low + bars.height[seen]
    corners = np.stack([[left, low], [left, high], [right, high], [right, low], [left, low]]).transpose(2, 0, 1)
    codes = np.tile([Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], len(left))
    path = Path(corners.reshape(-1, 2), codes.astype(Path.code_type))
    axes.add_patch(PathPatch(path, facecolor=_INK[bars.colour], edgecolor="none", clip_on=False))


def _label_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """The word of each line right of its last point, moved apart where two would lie on each other."""
    lines = [line for line in lines if not np.isnan(line.y).all()]
    if not lines:
        return
    lasts = [line.y[~np.isnan(line.y)][-1] for line in lines]
    box = axes.get_window_extent()
    places = axes.transData.transform([(0.0, last) for last in lasts])[:, 1]
    gap = _GAP * max(line.end.count("\n") + 1 for line in lines)
    for line, place in zip(lines, spread(places, gap, box.y0, box.y1), strict=True):
        words: dict[str, Any] = {"ha": "left", "va": "center", "linespacing": 1.1, "parse_math": False}
        axes.text(box.x1 + 7.0, place, line.end, transform=None, color=_INK[line.colour], **words)


def spread(places: Sequence[float] | FloatArray, gap: float, low: float, high: float) -> list[float]:
    """The places moved as little as is simple so that any two are `gap` apart, from `low` to `high` if they fit.

    >>> spread([10.0, 12.0], 14.0, 0.0, 100.0), spread([99.0, 98.0], 10.0, 0.0, 100.0)
    ([4.0, 18.0], [100.0, 90.0])
    """
    order = np.argsort(places, kind="stable")
    moved = np.array(places, dtype=np.float64)[order]
    for first, second in pairwise(range(len(moved))):
        missing = gap - (moved[second] - moved[first])
        if missing > 0.0:
            moved[first] -= missing / 2.0
            moved[second] += missing / 2.0
    for at in range(len(moved)):
        moved[at] = max(moved[at], moved[at - 1] + gap if at else low)
    for at in reversed(range(len(moved))):
        moved[at] = min(moved[at], moved[at + 1] - gap if at + 1 < len(moved) else high)
    result = np.empty_like(moved)
    result[order] = moved
    return result.tolist()


# ---------------------------------------------------------------------------------------- from a file to an element

_OUTSIDE = re.compile(r"^.*?<svg[^>]*>|</svg>\s*$|<!--.*?-->|<defs>.*?</defs>|<metadata>.*?</metadata>", re.DOTALL)
_GROUPS = re.compile(r"</?g\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
_FONTS = re.compile(r"\s*font(?:-\w+)?:[^;\"]*;?")
_TURNED = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_COLOUR = re.compile(r"#0a[0-9a-f]{4}")
_PATH = re.compile(r'(?<= d=")[^"]*')
_SPACE = re.compile(r"\s+")


def _plain(drawn: str) -> str:
    """What is inside the `<svg>` of a file by matplotlib: no fonts, groups, identifiers; one decimal; named colours."""
    text = _TAG.sub(lambda found: _attributes(found[0]), _GROUPS.sub("", _OUTSIDE.sub("", drawn)))
    return _SPACE.sub(" ", text).replace("> <", "><").strip()


def _attributes(tag: str) -> str:
    """One tag, shortened; the text between tags is left alone."""
    tag = _TURNED.sub("", _FONTS.sub("", tag))
    tag = _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), tag)
    tag = _COLOUR.sub(lambda found: _NAMED[found[0]], tag)
    tag = _PATH.sub(lambda found: re.sub(r" ?([MLzZ]) ?", r"\1", _SPACE.sub(" ", found[0]).strip()), tag)
    return tag.replace('style=" ', 'style="')
