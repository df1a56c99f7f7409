"""The tear sheet: what the page says is what the statistics say, and it says so for any book, in one file."""

import doctest
import re
import warnings
from dataclasses import fields, replace
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from pas_dagster.analytics import figures, statistics
from pas_dagster.analytics.tear_sheet import Book, Holding, book, measures, page, tables, tear_sheet, words
from pas_dagster.calendar import session_array
from pas_dagster_tests.recorded import recorded

SECTIONS = [
    "growth", "drawdown", "numbers", "months", "worst", "years", "rolling-sharpe", "rolling-beta",
    "distribution", "exposure", "turnover", "cost", "holdings", "definitions", "provenance",
]  # fmt: skip
SERIES = ("gross", "benchmark", "risk_free", "exposure", "turnover", "cost")
HOSTILE = "</title></style><script>alert(1)</script>\"' onload=x $\\frac{ \N{SNOWMAN} &amp;"
NAN = float("nan")


@pytest.fixture(autouse=True)
def no_warnings():
    """Numbers that do not exist are said in words; numpy and matplotlib have nothing to complain of on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _made(sessions: int | None = None) -> Book:
    """Ten years: fat tails, a crash in March 2020, some years without interest."""
    days = session_array(date(2014, 1, 2), date(2023, 12, 29))[:sessions]
    rng = np.random.default_rng(5)
    index = pd.DatetimeIndex(days)
    market = 0.006 * rng.standard_t(4, 2516)[: len(days)] + 0.0004
    market[1551:1568] -= 0.02
    gross = 0.7 * market + 0.003 * rng.standard_normal(2516)[: len(days)] + 0.0001
    turnover = np.where(np.arange(len(days)) % 5 == 0, 0.08, 0.0)
    cost = 0.001 * turnover
    values = {
        "net": gross - cost,
        "gross": gross,
        "benchmark": market,
        "risk_free": np.where(index.year < 2017, 0.0, 0.03) / 252,
        "exposure": 0.8 + 0.1 * np.sin(np.arange(len(days)) / 50),
        "turnover": turnover,
        "cost": cost,
    }
    return Book(
        "Sleeve",
        "Buys what others sell.",
        benchmark_name="S&P 500",
        holdings=(Holding("B", 0.1), Holding("A", 0.3, "Alpha Inc.", 3000.0)),
        provenance=(("Namespace", "paper"), ("Costs", "10 bp")),
        **{name: pd.Series(array, index) for name, array in values.items()},
    )


def _alone(net: pd.Series, **others) -> Book:
    return Book("T", "R", net, **others)


def _sessions(values: list[float] | np.ndarray, first: str = "2024-01-02") -> pd.Series:
    start = pd.Timestamp(first).date()
    return pd.Series(values, pd.DatetimeIndex(session_array(start, date(2035, 1, 1))[: len(values)]), dtype=float)


def _net(values: list[float]) -> book.Track:
    return book.record(_alone(_sessions(values))).net


def _soup(of: Book) -> BeautifulSoup:
    return BeautifulSoup(tear_sheet(of), "lxml")


@lru_cache
def _short(sessions: int) -> BeautifulSoup:
    """The page of the first sessions of the ten years."""
    return _soup(_made(sessions))


def _text(soup: BeautifulSoup, key: str) -> str:
    return soup.find("section", id=key).get_text(" ", strip=True)


def _number(soup: BeautifulSoup, key: str) -> Tag | None:
    return soup.find(id=f"is-{key}")


def _value(tag: Tag) -> float:
    return float(tag.find("data")["value"])


@pytest.fixture(scope="module")
def ten_years() -> Book:
    return _made()


@pytest.fixture(scope="module")
def html(ten_years: Book) -> str:
    return tear_sheet(ten_years)


@pytest.fixture(scope="module")
def soup(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "lxml")


# ------------------------------------------------------------------------------------------------------- one file


def test_every_part_is_there_with_a_heading(soup):
    assert [section["id"] for section in soup.find_all("section")] == SECTIONS
    assert all(section.find("h2").get_text() for section in soup.find_all("section"))
    assert soup.find("h1").get_text() == soup.find("title").get_text() == "Sleeve"


def test_nothing_is_fetched_and_nothing_runs(html, soup):
    for sign in (
        "http:",
        "https:",
        "//",
        "url(",
        "@import",
        "<script",
        "<link",
        "<img",
        "<iframe",
        "src=",
        "javascript:",
    ):
        assert sign not in html
    assert all(a["href"].startswith("#") for a in soup.find_all("a"))
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert "default-src 'none'" in policy


def test_ten_years_are_well_under_the_limit(html):
    assert len(html.encode()) < 400_000


def test_the_same_book_is_the_same_bytes(html):
    assert tear_sheet(_made()) == html


def test_identifiers_are_unique_and_links_lead_somewhere(soup):
    names = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(names) == len(set(names))
    assert {a["href"][1:] for a in soup.find_all("a")} <= set(names)


def test_markup_is_well_formed(html):
    body = html[html.index("<body>") : html.index("</body>") + len("</body>")]
    etree.fromstring(body)


def test_every_picture_says_what_it_shows(soup):
    pictures = soup.find_all("svg")
    assert len(pictures) == 11  # two of them for a desk and for a phone
    for picture in pictures:
        finding = picture.find_parent("section").find(class_="finding").get_text()
        assert picture["role"] == "img"
        assert picture["aria-label"].endswith(finding)
        assert re.search(r"\d", finding)


def test_every_table_has_headers_with_a_scope(soup):
    for table in soup.find_all("table"):
        assert table.find("thead").find_all("th", scope="col")
        for row in table.find("tbody").find_all("tr"):
            assert row.find("th")["scope"] in ("row", "rowgroup")


def test_every_colour_that_is_used_has_a_light_and_a_dark_value(html):
    used = set(re.findall(r"var\(--([\w-]+)\)", html)) - {"u", "text", "fine", "font"}
    assert used <= set(figures.PALETTE)
    dark = html[html.index("prefers-color-scheme:dark") :]
    for name in used:
        assert f"--{name}:{figures.PALETTE[name][0]};" in html
        assert f"--{name}:{figures.PALETTE[name][1]};" in dark


# -------------------------------------------------------------------------------------------------------- numbers


def test_the_numbers_are_the_statistics(ten_years, soup):
    net, market, cash = ten_years.net, ten_years.benchmark, ten_years.risk_free
    expected = {
        "total_return": np.prod(1.0 + net.to_numpy()) - 1.0,
        "cagr": statistics.cagr(net),
        "gross": statistics.cagr(ten_years.gross),
        "volatility": net.std(ddof=1) * np.sqrt(252),
        "max_drawdown": statistics.max_drawdown(net),
        "value_at_risk": np.quantile(net, 0.05),
        "conditional_value_at_risk": statistics.conditional_value_at_risk(net),
        "win_rate": statistics.win_rate(net),
        "sharpe": (net - cash).mean() / (net - cash).std(ddof=1) * np.sqrt(252),
        "sortino": statistics.sortino(net, risk_free=cash),
        "calmar": statistics.calmar(net),
        "beta": np.cov(net - cash, market - cash)[0, 1] / np.var(market - cash, ddof=1),
        "alpha": statistics.alpha(net, market, risk_free=cash),
        "turnover": ten_years.turnover.sum() / len(net) * 252,
        "cost": ten_years.cost.sum() / len(net) * 252,
        "exposure": ten_years.exposure.mean(),
    }
    shown = {key: _value(_number(soup, key)) for key in expected}
    assert shown == pytest.approx(expected, rel=1e-9)


def test_the_benchmark_beside_them_is_measured_alike(ten_years, soup):
    cells = {row.find("a")["href"]: row.find_all("td")[1] for row in soup.select("#numbers tbody tr") if row.find("td")}
    market, cash = ten_years.benchmark, ten_years.risk_free
    assert _value(cells["#def-cagr"]) == pytest.approx(statistics.cagr(market), rel=1e-12)
    assert _value(cells["#def-sharpe"]) == pytest.approx(statistics.sharpe(market, risk_free=cash), rel=1e-12)
    assert _value(cells["#def-max_drawdown"]) == pytest.approx(statistics.max_drawdown(market), rel=1e-12)
    assert cells["#def-beta"].get_text() == ""


def test_every_number_has_its_definition(soup):
    terms = soup.select("a.term")
    assert {a["href"] for a in terms} == {f"#def-{key}" for _, keys in measures.GROUPS for key in keys}
    for a in terms:
        assert soup.find(id=a["href"][1:]).find("dd").get_text() == a["title"]


def test_what_is_shown_is_the_exact_value_rounded(soup):
    for shown in soup.find_all("data"):
        value, text = float(shown["value"]), shown.get_text().replace(",", "").replace("−", "-")
        digits = len(text.rstrip("%").partition(".")[2])
        in_months = shown.find_parent("table", class_="months") is not None
        scale = 100.0 if text.endswith("%") or in_months else 1.0
        assert float(text.rstrip("%")) == pytest.approx(value * scale, abs=0.5001 * 10.0**-digits)
        assert not text.startswith("-0.0") or float(text.rstrip("%")) != 0.0


def test_months_compound_to_the_years(ten_years, soup):
    rows = soup.select("table.months tbody tr")
    assert [row.find("th").get_text() for row in rows] == [str(y) for y in range(2014, 2024)]
    for row in rows:
        months = [_value(cell) for cell in row.find_all("td") if cell["data-label"] in figures.MONTHS]
        total, beside = (_value(row.find("td", attrs={"data-label": name})) for name in ("Total", "Benchmark"))
        year = row.find("th").get_text()
        assert np.prod(1.0 + np.array(months)) - 1.0 == pytest.approx(total, rel=1e-9)
        assert total == pytest.approx(statistics.total_return(ten_years.net[year]), rel=1e-9)
        assert beside == pytest.approx(statistics.total_return(ten_years.benchmark[year]), rel=1e-9)


def test_a_month_stands_in_its_column(ten_years, soup):
    heads = [th.get_text() for th in soup.select("table.months thead th")]
    for row in soup.select("table.months tbody tr"):
        year = row.find("th").get_text()
        for head, cell in zip(heads[1:], row.find_all("td"), strict=True):
            assert cell["data-label"] == head
            if head in figures.MONTHS:
                own = ten_years.net[f"{year}-{figures.MONTHS.index(head) + 1:02d}"]
                assert _value(cell) == pytest.approx(statistics.total_return(own), rel=1e-9)
                assert cell["class"] == [tables.shade(_value(cell))]


def _falls_by_a_loop(net: pd.Series) -> list[tuple]:
    """Every drawdown: one session after the other, as a reader with a pencil would."""
    found, nav, high, high_day, low, low_day = [], 1.0, 1.0, None, 1.0, None
    for day, x in net.items():
        nav *= 1.0 + x
        if nav >= high * (1.0 - 1e-9):
            if low_day is not None:
                found.append((high_day, low_day, day, low / high - 1.0))
            high, high_day, low, low_day = max(nav, high), day, np.inf, None
        elif nav < low or low_day is None:
            low, low_day = nav, day
    if low_day is not None:
        found.append((high_day, low_day, None, low / high - 1.0))
    return sorted(found, key=lambda fall: fall[3])


def test_the_worst_five_are_those_of_a_plain_loop(ten_years, soup):
    expected = _falls_by_a_loop(ten_years.net)[:5]
    rows = soup.select("#worst tbody tr")
    assert len(rows) == 5
    for row, (peak, trough, recovery, depth) in zip(rows, expected, strict=True):
        assert _value(row.find("th")) == pytest.approx(depth, rel=1e-9)
        cells = row.find_all("td")
        times = [cell.find("time")["datetime"] if cell.find("time") else None for cell in cells[:3]]
        assert times == [None if day is None else str(day.date()) for day in (peak, trough, recovery)]
        begin, end = peak or ten_years.net.index[0], recovery or ten_years.net.index[-1]
        assert _value(cells[3]) == (end - begin).days


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([-0.5, -0.1, -0.01, 0.0, 0.01, 0.125, 1.0]), min_size=1, max_size=40))
def test_drawdowns_of_any_book_are_those_of_a_plain_loop(values):
    net = _sessions(values)
    found = measures.episodes(book.record(_alone(net)).net)
    expected = _falls_by_a_loop(net)
    assert [e.depth for e in found] == pytest.approx([fall[3] for fall in expected], rel=1e-9)
    shape = [(e.peak is None, e.recovery is None) for e in found]
    assert sorted(shape) == sorted((fall[0] is None, fall[2] is None) for fall in expected)


def test_the_peak_is_the_last_session_at_the_high_and_the_trough_the_first_at_the_low():
    days = np.arange("2024-01-01", "2024-01-07", dtype="datetime64[D]")
    [found] = measures.episodes(book.Track(days, np.array([0.25, 0.0, -0.2, 0.0, 0.125, 0.25])))
    assert (found.peak, found.trough, found.recovery) == (days[1], days[2], days[5])
    assert found.depth == pytest.approx(-0.2) and found.days == 4


def test_the_worst_come_first_and_of_equal_ones_the_older():
    days = np.arange("2024-01-01", "2024-01-08", dtype="datetime64[D]")
    found = measures.episodes(book.Track(days, np.array([-0.1, 0.25, -0.5, 1.5, -0.5, 1.0, -0.2])))
    assert [round(episode.depth, 9) for episode in found] == [-0.5, -0.5, -0.2, -0.1]
    assert [episode.trough for episode in found] == [days[2], days[4], days[6], days[0]]
    assert [episode.recovery is None for episode in found] == [False, False, True, False]


def test_rounding_is_no_drawdown():
    assert measures.episodes(_net([0.1, -1e-15, 0.0])) == []


def test_a_book_that_lost_everything_is_down_by_everything():
    [found] = measures.episodes(_net([0.1, -1.0, 0.0]))
    assert found.depth == -1.0 and found.recovery is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-0.5, -0.1, 0.0, 0.125, 1.0]), min_size=1, max_size=40))
def test_the_deepest_episode_is_the_maximum_drawdown_and_all_of_them_are_every_session_below_the_high(values):
    net = _net(values)
    found = measures.episodes(net)
    assert (found[0].depth if found else 0.0) == statistics.max_drawdown(net.values)
    below = 0
    for one in found:
        first = 0 if one.peak is None else np.searchsorted(net.days, one.peak) + 1
        below += (len(net) if one.recovery is None else np.searchsorted(net.days, one.recovery)) - first
    assert below == int((statistics.drawdown(net.values) < -measures.NOISE).sum())


@pytest.mark.shared
def test_the_index_fell_where_it_is_known_to_have_fallen():
    """Closing highs and lows of the S&P 500."""
    index = pd.read_csv(recorded("quant/skfolio/sp500_index.csv.gz"), index_col=0, parse_dates=True).iloc[:, 0]
    net = index.pct_change().iloc[1:]
    track = book.Track(net.index.to_numpy().astype("datetime64[D]"), net.to_numpy())
    crisis, bubble, pandemic, inflation, *_ = measures.episodes(track)
    known = [(str(e.peak), str(e.trough), round(e.depth, 3)) for e in (crisis, bubble, pandemic)]
    assert known == [
        ("2007-10-09", "2009-03-09", -0.568),
        ("2000-03-24", "2002-10-09", -0.491),
        ("2020-02-19", "2020-03-23", -0.339),
    ]
    assert (str(inflation.peak), str(inflation.trough), inflation.recovery) == ("2022-01-03", "2022-10-12", None)
    assert (str(crisis.recovery), str(bubble.recovery)) == ("2013-03-28", "2007-05-30")


def test_a_fall_from_the_start_that_is_not_over_says_so():
    soup = _soup(_alone(_sessions([-0.1, 0.05])))
    assert [cell.get_text() for cell in soup.select("#worst tbody td")] == ["the start", "2 Jan 2024", "not yet", "1"]


def test_rolling_windows_are_the_statistics_of_each_window(ten_years):
    seen = book.record(ten_years)
    sharpe, beta = measures.rolling_sharpe(seen), measures.rolling_beta(seen)
    assert len(sharpe) == len(beta) == len(ten_years.net) - 125
    for at in (0, 700, len(sharpe) - 1):
        window = slice(at, at + 126)
        net, market, cash = (s.iloc[window] for s in (ten_years.net, ten_years.benchmark, ten_years.risk_free))
        assert sharpe.values[at] == pytest.approx(statistics.sharpe(net, risk_free=cash), rel=1e-9)
        assert beta.values[at] == pytest.approx(statistics.beta(net, market, risk_free=cash), rel=1e-9)
        assert sharpe.days[at] == np.datetime64(net.index[-1].date())


def test_findings_tell_the_numbers(ten_years, soup):
    net = ten_years.net
    assert f"One dollar became {np.prod(1 + net.to_numpy()):.2f}" in _text(soup, "growth")
    assert f"S&P 500 became {np.prod(1 + ten_years.benchmark.to_numpy()):.2f}" in _text(soup, "growth")
    assert words.day(np.datetime64(net.idxmin().date())) in _text(soup, "distribution")
    assert f"Trading cost {100 * ten_years.cost.sum():.2f}% of the book" in _text(soup, "cost")
    assert f"came to {ten_years.turnover.sum():.1f} times the book" in _text(soup, "turnover")
    own, other = (s.groupby(s.index.year).apply(lambda x: np.prod(1 + x) - 1) for s in (net, ten_years.benchmark))
    assert f"{(own > 0).sum()} of 10 years gained" in _text(soup, "years")
    assert f"ahead of S&P 500 in {(own > other).sum()} of 10" in _text(soup, "years")


def test_growth_is_logarithmic_only_when_it_spans_more_than_threefold():
    tripled = _sessions(np.full(300, 4.0 ** (1 / 300) - 1))
    assert "logarithmic" in _text(_soup(_alone(tripled)), "growth")
    assert "logarithmic" not in _text(_soup(_alone(tripled.iloc[:200])), "growth")


def test_holdings_are_listed_by_weight_with_what_is_known(soup):
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in soup.select("#holdings tbody tr")]
    assert rows == [["A", "Alpha Inc.", "30.0%", "3,000"], ["B", "", "10.0%", "–"]]


def test_many_holdings_are_cut_and_the_rest_is_counted():
    many = tuple(Holding(f"S{i:03d}", 0.002) for i in range(500))
    soup = _soup(_alone(_sessions([0.01, 0.02]), holdings=many))
    assert len(soup.select("#holdings tbody tr")) == tables.MOST_HOLDINGS
    assert "500 holdings, 100.0% of the book; the 460 smallest (92.0%) are not listed" in _text(soup, "holdings")


def test_provenance_is_told(soup):
    text = _text(soup, "provenance")
    assert "2,516 sessions, 2 Jan 2014 to 29 Dec 2023" in text
    assert "Namespace paper" in text
    assert "Costs 10 bp" in text


# --------------------------------------------------------------------------------------------------- short and odd


def test_without_a_return_every_part_says_so_and_nothing_is_drawn():
    index = pd.DatetimeIndex(["2024-01-02", "2024-01-03"])
    for net in (pd.Series([], pd.DatetimeIndex([]), dtype=float), pd.Series([NAN, NAN], index)):
        soup = _soup(_alone(net))
        assert [section["id"] for section in soup.find_all("section")] == SECTIONS
        assert not soup.find_all("svg")
        assert not soup.find_all("data")
        for key in ("growth", "drawdown", "months", "worst", "years", "rolling-sharpe", "distribution"):
            assert "No session has a return yet." in _text(soup, key)
        assert "no session has a return" in _text(soup, "numbers")


@pytest.mark.parametrize("sessions", [1, 2, 5, 19, 20, 40, 126, 251, 252])
def test_a_short_book_has_no_number_that_needs_more(sessions):
    soup = _short(sessions)
    shown = {
        tag.parent["id"].removeprefix("is-") for tag in soup.select("#numbers span > data") if tag.parent.get("id")
    }
    assert {"total_return", "max_drawdown", "exposure"} <= shown
    assert ({"volatility", "sharpe", "sortino", "beta", "alpha", "value_at_risk"} <= shown) == (sessions >= 20)
    assert ({"volatility", "sharpe", "sortino", "beta", "alpha", "value_at_risk"} & shown == set()) == (sessions < 20)
    assert {"cagr", "gross", "calmar", "turnover", "cost"} & shown == (
        {"cagr", "gross", "calmar", "turnover", "cost"} if sessions >= 252 else set()
    )
    assert bool(soup.select("#rolling-sharpe svg")) == (sessions >= 126)
    assert bool(soup.select("#rolling-beta svg")) == (sessions >= 126)
    assert bool(soup.select("#distribution svg")) == (sessions >= 20)
    assert bool(soup.select("#growth svg")) == (sessions >= 2)


@pytest.mark.parametrize("sessions", [1, 5, 40])
def test_what_a_short_book_lacks_has_a_reason(sessions):
    soup = _short(sessions)
    told = _text(soup, "numbers")
    lacking = [row for row in soup.select("#numbers tbody tr") if row.find(class_="none")]
    assert lacking
    for row in lacking:
        assert row.find(class_="none")["title"]
        assert told.count(row.find("a").get_text()) >= 2  # in its row and among those that are not shown


def test_the_word_nan_is_nowhere():
    for sessions in (0, 1, 5, 40, 252):
        visible = _short(sessions).get_text(" ").lower()
        assert "nan" not in re.findall(r"[a-z]+", visible)
        assert "inf" not in re.findall(r"[a-z]+", visible)


def test_a_book_that_does_not_move_has_no_ratio():
    soup = _soup(_alone(_sessions([0.0] * 300), benchmark=_sessions([0.0] * 300)))
    assert _value(_number(soup, "volatility")) == 0.0
    text = _text(soup, "numbers")
    assert "Sharpe ratio: the returns above cash do not vary" in text
    assert "the benchmark does not vary" in text
    assert "there was no drawdown" in text
    assert "Every session returned 0.00%" in _text(soup, "distribution")
    assert "never below" in _text(soup, "drawdown")
    assert "do not vary" in _text(soup, "rolling-sharpe")
    assert "does not vary" in _text(soup, "rolling-beta")


def test_a_book_that_lost_everything_is_drawn():
    net = _sessions([0.01] * 100 + [-1.0] + [0.0] * 200)
    soup = _soup(_alone(net))
    assert _value(_number(soup, "cagr")) == _value(_number(soup, "max_drawdown")) == -1.0
    assert "logarithmic" not in _text(soup, "growth")


LACKS = {  # what cannot be known without a series, and the part that says so
    "gross": ({"gross"}, "numbers"),
    "benchmark": ({"beta", "alpha"}, "rolling-beta"),
    "risk_free": (set(), "numbers"),
    "exposure": ({"exposure"}, "exposure"),
    "turnover": ({"turnover"}, "turnover"),
    "cost": ({"cost"}, "cost"),
}


def _lacking(soup: BeautifulSoup) -> set[str]:
    return {key for _, keys in measures.GROUPS for key in keys if _number(soup, key) is None}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_that_is_not_given_is_said_in_words(name):
    lacks, part = LACKS[name]
    soup = _soup(replace(_made(252), **{name: None}))
    assert _lacking(soup) == lacks
    assert re.search("not given|No benchmark was given|No return of cash was given", _text(soup, part))
    assert part == "numbers" or not soup.select(f"#{part} svg")


def test_series_of_another_time_are_said_in_words():
    elsewhere = _sessions([0.001] * 30 + [NAN], "2030-01-02")
    soup = _soup(replace(_made(252), **dict.fromkeys(SERIES, elsewhere)))
    assert _lacking(soup) == {"sharpe", "sortino"}.union(*(lacks for lacks, _ in LACKS.values()))
    for part in ("exposure", "turnover", "cost"):
        assert "is not known on any session" in _text(soup, part)
    assert "S&P 500 has no returns in this time" in _text(soup, "numbers")
    assert "S&P 500 has too few returns in this time" in _text(soup, "growth")
    assert "sessions on which the return of cash is known; the book has 0." in _text(soup, "rolling-sharpe")
    assert "book and benchmark have 0." in _text(soup, "rolling-beta")
    assert not soup.select("#exposure svg, #turnover svg, #cost svg, #rolling-beta svg, #rolling-sharpe svg")


def test_a_benchmark_that_begins_later_says_from_when():
    made = _made(300)
    later = made.benchmark.iloc[100:]
    soup = _soup(replace(made, benchmark=later))
    begun = words.day(np.datetime64(later.index[0].date()))
    worth = np.prod(1.0 + made.net.to_numpy()[:100])
    assert f"S&P 500 has returns from {begun}" in _text(soup, "numbers")
    assert f"drawn from the book's {worth:.2f} before {begun} on" in _text(soup, "growth")
    assert _value(_number(soup, "beta")) == pytest.approx(
        statistics.beta(made.net.iloc[100:], later, risk_free=made.risk_free.iloc[100:]), rel=1e-9
    )


def test_a_book_that_begins_later_is_measured_from_its_beginning():
    made = _made(400)
    late = made.net.where(np.arange(400) >= 100)
    soup = _soup(replace(made, net=late))
    assert "300 sessions" in soup.find(class_="when").get_text()
    assert _value(_number(soup, "cagr")) == pytest.approx(statistics.cagr(made.net.iloc[100:]), rel=1e-12)
    assert _value(_number(soup, "cost")) == pytest.approx(made.cost.iloc[100:].sum() * 252 / 300, rel=1e-12)


def test_ratios_without_a_return_of_cash_say_that_they_are_above_nothing():
    made = _made(300)
    soup = _soup(replace(made, risk_free=None))
    assert "No return of cash was given" in _text(soup, "numbers")
    assert _value(_number(soup, "sharpe")) == pytest.approx(statistics.sharpe(made.net), rel=1e-12)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1.0, 2.0), st.just(NAN), st.just(0.0)), max_size=60),
    st.lists(st.one_of(st.floats(-1.0, 2.0), st.just(NAN)), max_size=60),
    st.lists(st.one_of(st.floats(-0.01, 0.01), st.just(NAN)), max_size=60),
)
def test_no_book_breaks_the_page(net, market, cash):
    shown = tear_sheet(
        _alone(
            _sessions(net),
            benchmark=_sessions(market),
            risk_free=_sessions(cash),
            exposure=_sessions(np.abs(net)),
            turnover=_sessions(np.abs(net)),
            cost=_sessions(np.abs(net) / 100),
        )
    )
    visible = BeautifulSoup(shown, "lxml").get_text(" ").lower()
    assert not {"nan", "inf"} & set(re.findall(r"[a-z]+", visible))


# --------------------------------------------------------------------------------------------- names and sessions


def test_no_name_becomes_markup():
    made = _made(300)
    hostile = replace(
        made,
        title=HOSTILE,
        rule=HOSTILE,
        benchmark_name=HOSTILE,
        holdings=(Holding(HOSTILE, 0.1, HOSTILE, 1.0),),
        provenance=((HOSTILE, HOSTILE),),
    )
    texts = {f.name for f in fields(Book)} - {"net", *SERIES}
    assert texts == {"title", "rule", "benchmark_name", "holdings", "provenance"}  # a new one belongs into this test
    shown = tear_sheet(hostile)
    soup = BeautifulSoup(shown, "lxml")
    assert not soup.find_all("script")
    assert "<script" not in shown
    assert not [tag for tag in soup.find_all(True) if tag.has_attr("onload")]
    assert soup.find("h1").get_text() == soup.find("title").get_text() == HOSTILE
    plain = BeautifulSoup(tear_sheet(made), "lxml")
    assert len(soup.find_all(True)) - len(plain.find_all(True)) == len(soup.select("#holdings *")) - len(
        plain.select("#holdings *")
    ) + len(soup.select("#provenance *")) - len(plain.select("#provenance *"))


def test_days_are_those_of_the_index_whatever_its_zone():
    naive = _sessions([0.01, -0.02, 0.03])
    expected = tear_sheet(_alone(naive))
    stamps = {
        "midnight of Greenwich": naive.index.tz_localize("UTC"),
        "midnight of New York": naive.index.tz_localize("America/New_York"),
        "close in New York": (naive.index + pd.Timedelta(hours=16)).tz_localize("America/New_York"),
        "days": pd.Index([stamp.date() for stamp in naive.index]),
    }
    for name, index in stamps.items():
        assert tear_sheet(_alone(pd.Series(naive.to_numpy(), index))) == expected, name
    assert "2 Jan 2024 to 4 Jan 2024" in expected


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (pd.Series([0.1, 0.2]), "indexed by session"),
        (pd.Series([0.1, 0.2], pd.DatetimeIndex(["2024-01-03", "2024-01-02"])), "must ascend"),
        (pd.Series([0.1, 0.2], pd.DatetimeIndex(["2024-01-02 10:00", "2024-01-02 16:00"])), "must ascend"),
        (pd.Series([0.1, np.inf], pd.DatetimeIndex(["2024-01-02", "2024-01-03"])), "infinite"),
        (pd.Series([0.1, -1.1], pd.DatetimeIndex(["2024-01-02", "2024-01-03"])), "below -1"),
    ],
)
def test_a_series_that_cannot_be_read_is_refused_by_name(net, message):
    with pytest.raises(ValueError, match=f"net.*{message}"):
        _alone(net)
    with pytest.raises(ValueError, match=f"benchmark.*{message}"):
        _alone(_sessions([0.0]), benchmark=net)


@pytest.mark.parametrize("module", [figures, book, measures, tables, words, page])
def test_examples(module):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
