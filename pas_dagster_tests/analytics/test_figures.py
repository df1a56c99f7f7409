"""Small charts: what is drawn where, in which colours, and that the same chart is the same text."""

import re
import threading
from dataclasses import replace
from datetime import date, timedelta

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from pas_dagster.analytics import figures
from pas_dagster.analytics.figures import Area, Axis, Bars, Chart, Level, Line, Post, Size

SIZE = Size(400, 200)
DAYS = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


def _chart(y: np.ndarray, x: np.ndarray | None = None, **line) -> Chart:
    places = np.arange(float(len(y))) if x is None else x
    across = Axis(float(places[0]), float(places[-1]), (), ())
    return Chart(across, figures.value_axis(y), [Line(places, y, **line)])


def _drawn(chart: Chart, label: str = "label") -> etree._Element:
    return etree.fromstring(figures.svg(chart, SIZE, label))


def _points(path: etree._Element) -> np.ndarray:
    return np.array(NUMBERS.findall(path.get("d")), dtype=float).reshape(-1, 2)


def _lines(element: etree._Element, colour: str) -> list[np.ndarray]:
    return [_points(path) for path in element.findall("path") if f"stroke: var(--{colour})" in path.get("style")]


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


SHADES = [f"{side}-{step}" for side in ("gain", "loss") for step in (1, 2, 3, 4)]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_a_contrast_of_at_least_four_and_a_half(scheme):
    colour = {name: pair[scheme] for name, pair in figures.PALETTE.items()}
    texts = [("ink", shade) for shade in SHADES]
    texts += [(text, ground) for text in ("ink", "muted", "accent", "other") for ground in ("page", "panel")]
    assert {
        pair: _contrast(colour[pair[0]], colour[pair[1]])
        for pair in texts
        if _contrast(*(colour[c] for c in pair)) < 4.5
    } == {}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_lines_and_bars_stand_out_from_the_page(scheme):
    page = figures.PALETTE["page"][scheme]
    assert min(_contrast(figures.PALETTE[name][scheme], page) for name in ("accent", "other", "loss")) >= 3.0


def test_stronger_shades_are_further_from_the_page():
    for scheme in (0, 1):
        page = figures.PALETTE["page"][scheme]
        for side in ("gain", "loss"):
            ladder = [_contrast(figures.PALETTE[f"{side}-{step}"][scheme], page) for step in (1, 2, 3, 4)]
            assert ladder == sorted(ladder)


def test_the_same_chart_is_the_same_text():
    chart = Chart(
        figures.time_axis(DAYS),
        figures.value_axis([0.0, 1.0]),
        [
            Area(figures.ordinals(DAYS), np.linspace(0, 1, len(DAYS))),
            Line(figures.ordinals(DAYS), np.linspace(0, 1, len(DAYS)), end="1.00"),
            Bars(np.array([18300.0]), np.array([18310.0]), np.array([0.5])),
            Level(0.5),
            Post(18320.0, "here"),
        ],
    )
    assert figures.svg(chart, SIZE, "x") == figures.svg(chart, SIZE, "x")


def test_the_settings_of_the_user_change_nothing_and_are_left_as_they_were():
    chart = _chart(np.array([1.0, 3.0, 2.0]), end="2")
    plain = figures.svg(chart, SIZE, "x")
    with matplotlib.rc_context(
        {"lines.linestyle": "--", "ytick.alignment": "top", "font.size": 30, "svg.fonttype": "path"}
    ):
        assert figures.svg(chart, SIZE, "x") == plain
        assert matplotlib.rcParams["font.size"] == 30
        assert matplotlib.rcParams["svg.fonttype"] == "path"


def test_charts_of_several_threads_do_not_disturb_each_other():
    chart = _chart(np.array([1.0, 3.0, 2.0]), end="2")
    plain, drawn = figures.svg(chart, SIZE, "x"), []
    threads = [threading.Thread(target=lambda: drawn.append(figures.svg(chart, SIZE, "x"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [plain] * 4


def test_nothing_of_a_file_is_left():
    text = figures.svg(_chart(np.array([1.0, 2.0])), SIZE, "x")
    for left in (
        "http",
        "xmlns",
        "xlink",
        "<defs",
        "<style",
        "<metadata",
        "<!--",
        " id=",
        "font-family",
        "#0a",
        "DejaVu",
    ):
        assert left not in text


def test_every_colour_is_a_variable_of_the_page():
    element = _drawn(_chart(np.array([1.0, 2.0]), end="2", colour="other"))
    styles = "; ".join(e.get("style", "") for e in element.iter())
    assert set(re.findall(r"(?:fill|stroke): ([^;]+)", styles)) <= {
        "none",
        *(f"var(--{name})" for name in figures.PALETTE),
    }
    assert "stroke: var(--other)" in styles


def test_the_label_is_escaped():
    element = _drawn(_chart(np.array([1.0, 2.0])), '<script>"&')
    assert element.get("aria-label") == '<script>"&'
    assert element.get("role") == "img"
    assert not element.findall(".//script")


def test_values_lie_where_the_ticks_say():
    element = _drawn(_chart(np.array([0.0, 10.0, 5.0])))
    [points] = _lines(element, "accent")
    low, high = points[:, 1].max(), points[:, 1].min()  # y grows downwards
    assert points[2, 1] == pytest.approx((low + high) / 2, abs=0.1)
    grid = sorted(line[0, 1] for line in _lines(element, "rule"))
    assert (grid[0], grid[-1]) == (pytest.approx(high, abs=0.1), pytest.approx(low, abs=0.1))


def test_a_line_is_broken_where_a_value_is_missing():
    element = _drawn(_chart(np.array([1.0, 2.0, np.nan, 2.0, 1.0, np.nan])))
    assert [len(points) for points in _lines(element, "accent")] == [2, 2]


def test_numbers_in_words_are_not_rounded():
    element = _drawn(_chart(np.array([1.0, 2.3456]), end="2.3456"))
    assert "2.3456" in [text.text for text in element.findall("text")]


def test_a_dollar_sign_is_not_mathematics():
    element = _drawn(_chart(np.array([1.0, 2.0]), end="$x_1$"))
    assert "$x_1$" in [text.text for text in element.findall("text")]


def test_bars_reach_their_values():
    bars = Bars(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5, 2.5]), np.array([10.0, np.nan, -10.0]))
    chart = Chart(Axis(0.0, 3.0, (), ()), figures.value_axis([-10.0, 10.0]), [bars])
    [path] = [p for p in _drawn(chart).findall("path") if "fill: var(--accent)" in p.get("style")]
    assert path.get("d").count("M") == 2  # none for the missing one
    y = _points(path)[:, 1]
    assert y.max() - y.min() == pytest.approx(200 - 14 - 24, abs=0.2)


def test_an_area_on_an_axis_without_zero_ends_at_the_edge():
    values = np.array([1.0, 2.0, 4.0])
    chart = Chart(Axis(0.0, 2.0, (), ()), figures.log_axis(values), [Area(np.arange(3.0), values)])
    [path] = [p for p in _drawn(chart).findall("path") if "fill: var(--wash)" in p.get("style")]
    assert _points(path)[:, 1].max() <= 200


def test_charts_with_the_same_margins_share_their_time():
    wide = replace(_chart(np.array([0.0, 123456.0]), end="x"), margins=(90.0, 60.0))
    slim = replace(_chart(np.array([0.0, 1.0])), margins=(90.0, 60.0))
    assert _lines(_drawn(wide), "accent")[0][:, 0].tolist() == _lines(_drawn(slim), "accent")[0][:, 0].tolist()


# --------------------------------------------------------------------------------------------------------- thinning


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    st.integers(1, 60),
    st.randoms(use_true_random=False),
)
def test_a_thinned_line_keeps_both_ends_and_the_extremes_of_every_pixel(values, columns, random):
    x = np.array(sorted(random.uniform(0.0, 100.0) for _ in values))
    y = np.array(values)
    kept = figures.thinned(x, y, 0.0, 100.0, columns)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept[0] == 0
    assert kept[-1] == len(y) - 1
    assert len(kept) <= max(4 * columns, len(y) if len(y) <= columns else 0)
    if len(y) > columns:
        column = np.minimum((x * (columns / 100.0)).astype(int), columns - 1)
        for c in np.unique(column):
            inside, left = y[column == c], y[kept][column[kept] == c]
            assert (left.min(), left.max()) == (inside.min(), inside.max())


def test_one_bad_day_in_thirty_years_is_drawn():
    y = np.ones(7560)
    y[4321] = 0.2
    [points] = _lines(_drawn(_chart(y)), "accent")
    assert len(points) < 4 * 400
    assert points[:, 1].max() - points[:, 1].min() > 100


# ------------------------------------------------------------------------------------------------------------- axes


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.booleans(), st.booleans())
def test_a_linear_axis_holds_every_value_and_its_labels_differ(one, other, per_cent, zero):
    axis = figures.value_axis([one, other], per_cent=per_cent, zero=zero)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(one, other) <= max(one, other) <= axis.high + slack
    assert not zero or axis.low <= 0.0 <= axis.high
    assert 2 <= len(axis.ticks) <= 8
    assert len(set(axis.labels)) == len(axis.ticks) == len(axis.labels)


@pytest.mark.parametrize("values", [[0.0, 5e-324], [5e-324], [1.0, 1.0 + 1e-15], [1e9, 1e9 + 1e-6], [-1e-300, 1e-300]])
def test_values_that_differ_by_rounding_only_have_an_axis(values):
    axis = figures.value_axis(values)
    assert axis.low < values[0] < axis.high
    assert len(set(axis.labels)) == len(axis.ticks) >= 2


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 0.1], ("0.00", "0.02", "0.04", "0.06", "0.08", "0.10")),
        ([-0.3, 0.0], ("−30%", "−20%", "−10%", "0%")),
        ([0.5], ("47%", "48%", "49%", "50%", "51%", "52%", "53%")),
        ([0.0], ("−1.0%", "−0.5%", "0.0%", "0.5%", "1.0%")),
    ],
)
def test_labels_of_a_linear_axis(values, labels):
    assert figures.value_axis(values, per_cent="%" in labels[0]).labels == labels


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e6))
def test_a_logarithmic_axis_holds_every_value_with_few_ticks(low, factor):
    axis = figures.log_axis([low, low * factor])
    assert axis.low <= low <= low * factor <= axis.high
    assert factor < 3.0 or 1 <= len(axis.ticks) <= 13


def test_axes_refuse_what_they_cannot_show():
    with pytest.raises(ValueError, match="above 0"):
        figures.log_axis([0.0, 1.0])
    with pytest.raises(ValueError, match="needs a value"):
        figures.value_axis([np.nan])
    with pytest.raises(ValueError, match="needs days"):
        figures.time_axis(DAYS[:0])


@settings(max_examples=100, deadline=None)
@given(st.dates(date(1990, 1, 1), date(2030, 1, 1)), st.integers(0, 15000), st.integers(4, 12))
def test_ticks_of_time_lie_within_it_and_are_few(first, length, most):
    days = np.array([first, first + timedelta(length)], dtype="datetime64[D]")
    axis = figures.time_axis(days, most=most)
    assert axis.low < axis.high
    assert 1 <= len(axis.ticks) <= most
    assert axis.low <= min(axis.ticks) <= max(axis.ticks) <= axis.high
    assert len(set(axis.labels)) == len(axis.labels)


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2014-01-02", "2014-01-02", ("2 Jan",)),
        ("2014-01-01", "2014-04-03", ("Jan 2014", "Feb 2014", "Mar 2014", "Apr 2014")),
        ("2014-12-31", "2018-01-02", ("2015", "2016", "2017", "2018")),
        ("1990-01-02", "2022-12-28", ("1995", "2000", "2005", "2010", "2015", "2020")),
    ],
)
def test_labels_of_time(first, last, labels):
    assert figures.time_axis(np.array([first, last], "datetime64[D]")).labels == labels


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=5))
def test_labels_at_the_ends_of_lines_never_lie_on_each_other(places):
    moved = figures.spread(places, 14.0, 0.0, 100.0)
    assert min(moved) >= -1e-9
    assert max(moved) <= 100.0 + 1e-9
    gaps = np.diff(sorted(moved))
    assert (gaps >= 14.0 - 1e-9).all()
    assert [moved[i] for i in np.argsort(places, kind="stable")] == sorted(moved)


def test_a_number_is_never_minus_zero():
    assert figures.percent(-0.00001) == "0.0%"
    assert figures.percent(-1e-9, sign=True) == "0.0%"
    assert figures.number(-1.5, 0) == "−2"
