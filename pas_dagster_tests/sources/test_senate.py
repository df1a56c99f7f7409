"""Reports of senators: the agreement, the search, reports, and the round trip through the sandbox's site."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sandbox import World
from pas_dagster.sandbox.sites import house as legislators_site
from pas_dagster.sandbox.sites import senate as site
from pas_dagster.sandbox.sites.site import Call, Present
from pas_dagster.sources import senate
from pas_dagster.sources.disclosures import Members
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.senate import Listed, parse_list, parse_report
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.cookies import remembering
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = senate.SOURCES
WORLD = World(7, date(2024, 1, 2), date(2024, 12, 31))
NOW = datetime(2025, 1, 1, 4, 0, tzinfo=UTC)  # the evening of the last day in New York
UUID = "01cec9aa-1111-4000-8000-0123456789ab"
URL = f"https://efdsearch.senate.gov/search/view/ptr/{UUID}/"
HEAD = ("#", "Transaction Date", "Owner", "Ticker", "Asset Name", "Asset Type", "Type", "Amount", "Comment")
CELLS = ("1", "01/05/2026", "Spouse", "AAPL", "Apple Inc.", "Stock", "Purchase", "$1,001 - $15,000", "--")


def query(first: date, last: date, now: datetime = NOW) -> Query:
    return Query(first, last, now)


def present(now: datetime = NOW) -> Present:
    return Present(WORLD, now)


def driven(asked: Query, now: datetime = NOW) -> Reading:
    return drive(SOURCE, asked, present(now), remembering(site.SITE), legislators_site.SITE)


def expected(first: date, last: date) -> pd.DataFrame:
    """The world's rows; who has no Bioguide id is on no list, and party and state are told nowhere else."""
    rows = WORLD.table("politician_trades")
    rows = rows[(rows["chamber"] == "senate") & rows["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]
    known = rows["bioguide_id"].notna()
    return ordered(rows.assign(party=rows["party"].where(known, None), state=rows["state"].where(known, None)))


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["known_on", "filing_id", "line"], ignore_index=True)


def assert_same(reading: Reading, rows: pd.DataFrame) -> None:
    assert reading.bad.empty
    read = reading.rows.assign(**{name: pd.to_datetime(reading.rows[name]) for name in ("known_on", "event_date")})
    stated = pd.to_datetime(read["known_at"], utc=True).dt.tz_convert("America/New_York")
    assert (stated.dt.tz_localize(None).dt.normalize() == read["known_on"]).all()
    pd.testing.assert_frame_equal(
        ordered(read)[list(rows.columns)].astype(object).where(lambda frame: frame.notna(), None),
        rows.astype(object).where(rows.notna(), None),
        check_dtype=False,
    )


def told(**changes: str) -> dict[str, str]:
    return {"uuid": UUID, "first": "Angus S", "last": "King, Jr.", "given": "Angus S Angus", "title": ""} | {
        "filed": "2026-01-22",
        **changes,
    }


def view(
    *rows: tuple[str, ...], head: tuple[str, ...] = HEAD, stated: str = "", filed: str = "01/22/2026 @ 6:31 PM"
) -> bytes:
    heads = "".join(f"<th>{name}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><caption>List</caption><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
    return f"<h1>Periodic Transaction Report</h1><p>Filed  {filed}</p>{stated}{table}".encode()


def report(content: bytes, **changes: str) -> Page:
    return page(content, URL, 200, senate.REPORT, **told(**changes))


def read(*pages: Page) -> Reading:
    return senate.read(pages, query(date(2026, 1, 1), date(2026, 2, 1)))


def listing(*rows: object, total: int | None = None) -> bytes:
    count = len(rows) if total is None else total
    return json.dumps(
        {"draw": 1, "recordsTotal": count, "recordsFiltered": count, "data": rows, "result": "ok"}
    ).encode()


def row(kind: str = "ptr", uuid: str = UUID, filed: str = "01/22/2026") -> list[str]:
    anchor = f'<a href="/search/view/{kind}/{uuid}/" target="_blank">Periodic Transaction Report for 01/22/2026</a>'
    return ["Angus S", "King, Jr.", "King, Angus (Senator)", anchor, filed]


def listed(content: bytes, url: str = senate.DATA) -> Page:
    return page(content, url, 200, senate.LIST)


@pytest.mark.shared
def test_recorded_report() -> None:
    content = recorded_bytes("congress/senate_efd_ptr_sample.html")
    (line,) = parse_report(report(content, filed="2018-05-22"), Members())
    assert line == {
        "known_on": date(2018, 5, 22),
        "known_at": datetime(2018, 5, 22, 10, 31, tzinfo=UTC),
        "event_date": date(2018, 4, 23),
        "filing_id": UUID,
        "line": 1,
        "politician": "Angus S King Jr.",
        "bioguide_id": None,
        "chamber": "senate",
        "party": None,
        "state": None,
        "owner": "SP",
        "symbol": "GILD",
        "asset_description": "Gilead Sciences, Inc.",
        "asset_type": "stock",
        "direction": "sell",
        "extent": "partial",
        "amount_low": 1001,
        "amount_high": 15000,
        "amount_mid": 8000.5,
    }


def test_round_trip_of_the_world() -> None:
    assert_same(driven(query(WORLD.start, WORLD.end)), expected(WORLD.start, WORLD.end))


def test_windows_glued_together_are_the_whole() -> None:
    first, last = date(2024, 2, 1), date(2024, 7, 31)
    begins = pd.date_range(first, last, freq="20D").date
    parts = [driven(query(begin, min(begin + timedelta(19), last))) for begin in begins]
    rows, bad = (pd.concat([getattr(one, part) for one in parts], ignore_index=True) for part in ("rows", "bad"))
    assert_same(Reading(rows, bad), expected(first, last))


def test_nothing_filed_later_shows() -> None:
    now = datetime(2024, 7, 2, 3, 0, tzinfo=UTC)
    assert_same(driven(query(WORLD.start, WORLD.end, now), now), expected(WORLD.start, date(2024, 7, 1)))


def test_a_report_shows_from_the_minute_of_its_filing() -> None:
    on = expected(WORLD.start, WORLD.end)["known_on"].iloc[40].date()
    moments = driven(query(on, on)).rows["known_at"]
    before = min(moments) - timedelta(minutes=1)
    assert driven(query(on, on, before), before).rows.empty
    assert not driven(query(on, on, max(moments)), max(moments)).rows.empty


def test_the_search_is_paged_to_its_end() -> None:
    world = World(7, date(2020, 1, 2), date(2024, 12, 31))
    asked = query(world.start, world.end)
    pages = pages_of(SOURCE, asked, Present(world, NOW), remembering(site.SITE), legislators_site.SITE)
    trades = world.table("politician_trades").query("chamber == 'senate'")
    filings = trades["filing_id"].nunique()
    assert filings > 100
    assert sum(one.kind == senate.LIST for one in pages) == -(-filings // 100)
    assert sum(one.kind == senate.REPORT for one in pages) == filings
    assert len(senate.read(pages, asked).rows) == len(trades)


def test_a_window_without_reports_ends_with_the_search() -> None:
    reading = driven(query(date(2024, 1, 2), date(2024, 1, 2)))
    assert reading.rows.empty
    assert reading.bad.empty


def asked_of(method: str, path: str, cookie: str = "", referer: str = "", **form: str) -> int:
    headers = {"cookie": cookie, "referer": referer}
    answer = site.answer(present(), Call(method, site.HOST, path, "", headers, urlencode(form).encode()))
    assert answer is not None
    return answer.status


def test_the_sandbox_shows_nothing_without_the_agreement() -> None:
    token = site._TOKEN
    genuine = {"cookie": f"csrftoken={token}", "referer": senate.HOME}
    assert asked_of("GET", "/search/home/") == 200
    assert asked_of("GET", "/search/") == 302
    assert asked_of("GET", f"/search/view/ptr/{UUID}/") == 302
    assert asked_of("POST", "/search/home/", prohibition_agreement="1", csrfmiddlewaretoken=token) == 403
    assert asked_of("POST", "/search/home/", **genuine, prohibition_agreement="1") == 403
    assert asked_of("POST", "/search/report/data/", **genuine, csrfmiddlewaretoken=token) == 302
    assert asked_of("POST", "/search/home/", **genuine, prohibition_agreement="1", csrfmiddlewaretoken=token) == 302


HOME_PAGE = b'<form><input type="hidden" name="csrfmiddlewaretoken" value="abc"></form>'


def answered(requests: list[Request], *contents: bytes, url: str | None = None) -> list[Page]:
    return [
        Page(request, 200, url or request.url, content, NOW)
        for request, content in zip(requests, contents, strict=True)
    ]


def test_the_token_of_the_form_is_brought_back() -> None:
    walk = senate.walk(query(date(2026, 1, 1), date(2026, 1, 31)))
    (agreement,) = walk.send(answered(list(next(walk)), HOME_PAGE, b"[]", b"[]"))
    assert agreement.form == {"prohibition_agreement": "1", "csrfmiddlewaretoken": "abc"}
    assert agreement.headers["Referer"] == senate.HOME
    assert agreement.repeatable
    (search,) = walk.send(answered([agreement], HOME_PAGE.replace(b"abc", b"xyz"), url=senate.SEARCH))
    assert search.headers == {"Referer": senate.SEARCH, "X-CSRFToken": "xyz", "X-Requested-With": "XMLHttpRequest"}
    assert search.form is not None
    assert search.form["report_types"] == "[11]"
    assert search.form["submitted_start_date"] == "01/01/2026 00:00:00"
    assert search.form["submitted_end_date"] == "01/31/2026 23:59:59"
    assert search.repeatable


def searching() -> tuple[senate.Walk, list[Request]]:
    """A walk that has agreed, and its first search."""
    walk = senate.walk(query(date(2026, 1, 1), date(2026, 1, 31)))
    agreement = walk.send(answered(list(next(walk)), HOME_PAGE, b"[]", b"[]"))
    return walk, list(walk.send(answered(list(agreement), HOME_PAGE, url=senate.SEARCH)))


def test_a_report_listed_twice_is_asked_for_once() -> None:
    walk, search = searching()
    other = "0abcdef0-1111-4000-8000-0123456789ab"
    reports = walk.send(answered(search, listing(row(), row(), row("paper"), row(uuid=other.upper()))))
    assert [request.url.split("/")[-2] for request in reports] == [UUID, other]


def test_a_search_that_lists_less_than_it_counts_is_a_changed_layout() -> None:
    walk, search = searching()
    rest = walk.send(answered(search, listing(*[row()] * 100, total=150)))
    assert [request.form["start"] for request in rest if request.form] == ["100"]
    with pytest.raises(LayoutError, match="all 150 reports"):
        walk.send(answered(list(rest), listing(*[row()] * 20, total=150)))


def test_who_is_not_led_on_has_not_agreed() -> None:
    walk = senate.walk(query(date(2026, 1, 1), date(2026, 1, 31)))
    agreement = list(walk.send(answered(list(next(walk)), HOME_PAGE, b"[]", b"[]")))
    with pytest.raises(LayoutError, match="led on to the search"):
        walk.send(answered(agreement, HOME_PAGE))


def test_a_home_page_without_a_token_is_a_changed_layout() -> None:
    for content in (b"<html>Maintenance</html>", b""):
        walk = senate.walk(query(date(2026, 1, 1), date(2026, 1, 31)))
        with pytest.raises(LayoutError) as error:
            walk.send(answered(list(next(walk)), content, b"[]", b"[]"))
        assert error.value.page is not None


def test_a_session_that_ended_is_noticed() -> None:
    walk, search = searching()
    with pytest.raises(LayoutError, match="session ended"):
        walk.send(answered(search, HOME_PAGE, url=senate.HOME))
    ended = Page(report(b"").request, 200, senate.HOME, HOME_PAGE, NOW)
    with pytest.raises(LayoutError, match="session ended"):
        read(ended)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b"{}", b'{"data": 1, "recordsFiltered": 1}', b'{"data": [], "recordsFiltered": -1}'],
)
def test_what_is_no_search_is_a_changed_layout(content: bytes) -> None:
    walk, search = searching()
    with pytest.raises(LayoutError) as error:
        walk.send(answered(search, content))
    assert error.value.page is not None


def test_rows_of_the_search() -> None:
    report, paper, *bad = parse_list(listed(listing(row(), row("paper"), row("annual"), row(filed="soon"), ["A"], 7)))
    assert report == Listed(
        *(UUID, False, "Angus S", "King, Jr.", "Angus S Angus"),
        *("Periodic Transaction Report for 01/22/2026", date(2026, 1, 22)),
    )
    assert isinstance(paper, Listed)
    assert paper.paper
    assert all(isinstance(one, Bad) for one in bad)
    assert len(bad) == 4


def test_reports_on_paper_and_unreadable_rows_are_told() -> None:
    reading = read(listed(listing(row("paper"), row("annual"))))
    assert reading.bad["reason"].tolist() == [
        *("filed on paper; needs OCR", "the link to the report or its day cannot be read")
    ]
    assert UUID in reading.bad["content"].iloc[0]


def test_columns_are_found_by_their_names() -> None:
    order = (7, 5, 0, 2, 8, 1, 3, 6, 4)
    plain = read(report(view(CELLS))).rows
    other = read(
        report(view((*(CELLS[at] for at in order), "x"), head=(*(HEAD[at].upper() for at in order), "More")))
    ).rows
    names = plain.columns.drop("raw")
    pd.testing.assert_frame_equal(other[names], plain[names])


@pytest.mark.parametrize(
    ("ticker", "symbol"),
    [
        ("--", None),
        ("", None),
        ('\n <a href="https://finance.yahoo.com/q?s=BRK-B" target="_blank">BRK-B</a>\n ', "BRK-B"),
        ('<a href="x">RTN</a>\n<a href="x">RTX</a>', None),
    ],
)
def test_tickers(ticker: str, symbol: str | None) -> None:
    cells = (*CELLS[:3], ticker, *CELLS[4:])
    assert read(report(view(cells))).rows["symbol"].tolist() == [symbol]


def test_the_terms_of_a_bond_are_part_of_its_description() -> None:
    terms = '<div class="text-muted"><em>Rate/Coupon:</em> 1.700%<br> <em>Matures:</em> 08/01/27</div>'
    name = f"LII - Lennox 526107AF4 {terms}"
    cells = (*CELLS[:3], "--", name, "Corporate Bond", *CELLS[6:])
    (line,) = read(report(view(cells))).rows.to_dict("records")
    assert line["asset_description"] == "LII - Lennox 526107AF4 Rate/Coupon: 1.700% Matures: 08/01/27"
    assert line["asset_type"] == "bond"


def test_lines_keep_the_numbers_that_are_printed() -> None:
    """Pages show the newest line first."""
    rows = [(str(number), *CELLS[1:]) for number in (3, 2, 1)]
    assert read(report(view(*rows, stated="(3 transactions total)"))).rows["line"].tolist() == [3, 2, 1]


@pytest.mark.parametrize(
    ("filed", "moment"),
    [
        ("01/22/2026 @ 6:31 PM", datetime(2026, 1, 22, 23, 31, tzinfo=UTC)),
        ("01/22/2026 @ 12:05 AM", datetime(2026, 1, 22, 5, 5, tzinfo=UTC)),
        ("01/22/2026 @ 12:05 PM", datetime(2026, 1, 22, 17, 5, tzinfo=UTC)),
        ("01/22/2026", None),
        ("01/22/2026 @ 25:31 PM", None),
        ("01/23/2026 @ 6:31 PM", None),
    ],
)
def test_the_instant_of_filing(filed: str, moment: datetime | None) -> None:
    (line,) = parse_report(report(view(CELLS, filed=filed)), Members())
    assert isinstance(line, dict)
    assert line["known_at"] == moment
    assert line["known_on"] == date(2026, 1, 22)


@pytest.mark.parametrize(
    ("at", "cell", "reason"),
    [
        (0, "", "numbered from 1"),
        (0, "0", "numbered from 1"),
        (1, "soon", "is no date"),
        (1, "01/23/2026", "traded on 2026-01-23, filed on 2026-01-22"),
        (2, "Trustee", "owner 'Trustee' is not known"),
        (6, "Gift", "operation 'Gift' is not known"),
        (7, "Unknown", "amount 'Unknown' is no statutory bracket"),
    ],
)
def test_a_line_that_makes_no_sense_is_kept_with_its_reason(at: int, cell: str, reason: str) -> None:
    wrong = (*CELLS[:at], cell, *CELLS[at + 1 :])
    reading = read(report(view(wrong, ("2", *CELLS[1:]))))
    assert reading.rows["line"].tolist() == [2]
    assert reason in reading.bad["reason"].iloc[0]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be HTML"),
        (b"<html><body>Server Error</body></html>", "a table with the columns"),
        (view(CELLS[:-2], head=(*HEAD[:6], "Amount")), "a table with the columns"),
        (view(), "as many transactions as it counts"),
        (view(CELLS, stated="(2 transactions total)"), "as many transactions as it counts"),
    ],
)
def test_what_is_no_report_is_a_changed_layout(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule) as error:
        read(report(content))
    assert error.value.page is not None


def test_a_report_may_state_that_it_lists_nothing() -> None:
    assert read(report(view(stated="(0 transactions total)"))).rows.empty


SAMPLE = view(CELLS, ("2", *CELLS[1:]), stated="(2 transactions total)")
LISTING = listing(row(), row("paper"))


def readable(one: Page) -> None:
    try:
        read(one)
    except LayoutError as error:
        assert error.page is not None


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(SAMPLE)), cut=st.integers(0, 80), new=st.binary(max_size=12))
def test_a_hostile_report_is_read_or_is_a_changed_layout(at: int, cut: int, new: bytes) -> None:
    readable(report(SAMPLE[:at] + new + SAMPLE[at + cut :]))
    readable(report(SAMPLE[:at]))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(LISTING)), cut=st.integers(0, 80), new=st.binary(max_size=12))
def test_a_hostile_search_is_read_or_is_a_changed_layout(at: int, cut: int, new: bytes) -> None:
    readable(listed(LISTING[:at] + new + LISTING[at + cut :]))
    readable(listed(LISTING[:at]))


@pytest.mark.parametrize("piece", ["<table>", "<td>", "<tr><th>#</th>", "Filed ", "(1 ", "<a href="])
def test_a_long_page_takes_no_more_than_a_moment(piece: str) -> None:
    readable(report((piece * (300_000 // len(piece))).encode()))
    readable(listed(listing(["A", "B", "C", piece * 10_000, "01/22/2026"])))
