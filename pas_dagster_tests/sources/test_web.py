"""A source as a provider: what it costs when it fails, what it keeps, and that old bytes read the same again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pas_dagster.errors import PasError
from pas_dagster.sandbox.faults import Fault, Weather
from pas_dagster.sandbox.server import serving
from pas_dagster.schemas import Table
from pas_dagster.sources.provider import NotServed, Served, fetch, no_refused
from pas_dagster.sources.source import Reading, SourceError
from pas_dagster_tests.sources.toys import DAY, SOURCE, WIKI, Toy, provider, row


def test_rows_come_with_where_they_came_from(tmp_path: Path) -> None:
    with serving(Toy().sandbox()) as url:
        fetched = fetch(WIKI, [provider(tmp_path, url)], DAY, DAY)
    assert fetched.rows["symbol"].tolist() == ["AAPL", "BRK.B"]
    assert set(fetched.rows["provider"]) == {"toys"}
    assert (tmp_path / "raw" / fetched.rows["raw"][0][:2] / fetched.rows["raw"][0]).exists()
    assert fetched.notes["pages"] == 1


def test_old_bytes_read_the_same_without_asking(tmp_path: Path) -> None:
    toy = Toy()
    sandbox = toy.sandbox()
    with serving(sandbox) as url:
        first = provider(tmp_path, url).serve(WIKI, DAY, DAY)
        toy.rows.clear()
        again = provider(tmp_path, url, offline=True).serve(WIKI, DAY, DAY)
        assert sandbox.served == 1
    assert again.rows.equals(first.rows)


def test_a_mended_parser_reads_old_bytes_anew(tmp_path: Path) -> None:
    with serving(Toy().sandbox()) as url:
        provider(tmp_path, url).serve(WIKI, DAY, DAY)

        def mended(pages, query) -> Reading:
            reading = SOURCE.read(pages, query)
            return replace(reading, rows=reading.rows.assign(article="mended"))

        again = provider(tmp_path, url, replace(SOURCE, read=mended), offline=True).serve(WIKI, DAY, DAY)
    assert set(again.rows["article"]) == {"mended"}


def test_what_was_never_fetched_cannot_be_read_again(tmp_path: Path) -> None:
    with pytest.raises(PasError, match="pas fetch wiki_views --date 2026-11-18"):
        provider(tmp_path, "http://127.0.0.1:9", offline=True).serve(WIKI, DAY, DAY)


def test_the_newest_visit_of_each_day_is_read_again(tmp_path: Path) -> None:
    toy = Toy([row(), row(known_on="2026-11-17", event_date="2026-11-16", views=1)])
    with serving(toy.sandbox()) as url:
        served = provider(tmp_path, url)
        served.serve(WIKI, DAY - timedelta(1), DAY)
        served.client.clock.sleep(3600)
        toy.rows = [row(views=5)]
        served.serve(WIKI, DAY, DAY)
        again = provider(tmp_path, url, offline=True).serve(WIKI, DAY - timedelta(1), DAY)
    assert again.rows["views"].tolist() == [1, 5]


def test_a_page_that_cannot_be_read_is_named_kept_and_asked_for_afresh(tmp_path: Path) -> None:
    sandbox = Toy().sandbox()
    with serving(sandbox) as url:
        sandbox.weather.append(Weather(Fault.RENAMED))
        served = provider(tmp_path, url)
        with pytest.raises(SourceError) as caught:
            served.serve(WIKI, DAY, DAY)
        sentence = str(caught.value)
        assert "Toy site at https://toys.example/2026-11-18/2026-11-18: the page has no list `rows`." in sentence
        assert b"rows_v2" in Path(sentence.rpartition("Saved copy: ")[2].rstrip(".")).read_bytes()
        sandbox.weather.clear()
        assert len(served.serve(WIKI, DAY, DAY).rows) == 2


def test_too_many_bad_rows_fail_and_a_few_are_quarantined(tmp_path: Path) -> None:
    good = [row(symbol=f"A{n}") for n in range(40)]
    toy = Toy([*good, "bad"])
    with serving(toy.sandbox()) as url:
        assert len(provider(tmp_path, url).serve(WIKI, DAY, DAY).refused) == 1
        toy.rows += ["bad"] * 3
        served = provider(tmp_path / "other", url)
        with pytest.raises(SourceError, match="4 of 44 rows were refused, more than 5%; first: .* not a row"):
            served.serve(WIKI, DAY, DAY)


def test_the_next_provider_serves_and_the_first_failure_is_told(tmp_path: Path) -> None:
    sandbox = Toy().sandbox()
    with serving(sandbox) as url:
        sandbox.weather.append(Weather(Fault.CHALLENGE, times=1))
        second = provider(tmp_path / "b", url, replace(SOURCE, name="second"))
        fetched = fetch(WIKI, [provider(tmp_path / "a", url), second], DAY, DAY)
    assert fetched.providers == ["second"]
    assert "challenge page" in fetched.passed_over[0]


def test_all_reasons_are_told_when_nobody_serves(tmp_path: Path) -> None:
    sandbox = Toy().sandbox()
    with serving(sandbox) as url:
        sandbox.weather.append(Weather(Fault.CHALLENGE))
        keyless = provider(tmp_path / "b", url, replace(SOURCE, name="keyed"), missing=("toy_key",))
        with pytest.raises(SourceError, match="challenge page.*keyed needs toy_key"):
            fetch(WIKI, [provider(tmp_path / "a", url), keyless], DAY, DAY)


def test_what_shows_only_the_present_is_not_asked_about_the_past(tmp_path: Path) -> None:
    now_only = provider(tmp_path, "http://127.0.0.1:9", replace(SOURCE, since=None))
    assert now_only.coverage(WIKI) == (date(2026, 11, 20), date(2026, 11, 20))
    with pytest.raises(PasError, match="toys covers 2026-11-20 to 2026-11-20"):
        fetch(WIKI, [now_only], DAY, DAY)


def test_without_a_universe_companies_cannot_be_asked_for(tmp_path: Path) -> None:
    served = provider(tmp_path, "http://127.0.0.1:9", companies=True)
    served.listed = lambda: WIKI.empty()
    with pytest.raises(NotServed, match="pas fetch universe"):
        served.serve(WIKI, DAY, DAY)


@dataclass(frozen=True)
class Imported:
    """Stands for files that cover the days up to one."""

    last: date
    name: str = "import"

    def coverage(self, _: Table) -> tuple[date, date]:
        return date.min, self.last

    def serve(self, table: Table, first: date, last: date) -> Served:
        days = [first + timedelta(n) for n in range((last - first).days + 1)]
        rows = [row(known_on=day, event_date=day, views=1, symbol="AAPL") for day in days]
        return Served(table.conform(pd.DataFrame(rows).assign(provider="")).drop(columns="provider"))


def test_what_was_imported_serves_its_days_and_the_site_the_rest(tmp_path: Path) -> None:
    with serving(Toy().sandbox()) as url:
        both = [Imported(DAY - timedelta(1)), provider(tmp_path, url)]
        fetched = fetch(WIKI, both, DAY - timedelta(3), DAY)
    assert fetched.providers == ["import", "toys"]
    assert fetched.rows["provider"].tolist() == ["import"] * 3 + ["toys"] * 2


def test_a_visit_that_could_not_be_read_is_kept_for_a_mended_parser(tmp_path: Path) -> None:
    toy = Toy(["nonsense"])
    with serving(toy.sandbox()) as url:
        with pytest.raises(SourceError):
            provider(tmp_path, url).serve(WIKI, DAY, DAY)

        def mended(pages, query) -> Reading:
            return Reading(pd.DataFrame([row()]), no_refused())

        again = provider(tmp_path, url, replace(SOURCE, read=mended), offline=True)
        assert len(again.serve(WIKI, DAY, DAY).rows) == 1


def test_a_good_visit_is_read_again_rather_than_a_later_one_that_failed(tmp_path: Path) -> None:
    toy = Toy()
    with serving(toy.sandbox()) as url:
        served = provider(tmp_path, url)
        first = served.serve(WIKI, DAY, DAY)
        served.client.clock.sleep(3600)
        toy.rows = ["nonsense"]
        with pytest.raises(SourceError):
            served.serve(WIKI, DAY, DAY)
        assert provider(tmp_path, url, offline=True).serve(WIKI, DAY, DAY).rows.equals(first.rows)


def test_damaged_bytes_are_never_read(tmp_path: Path) -> None:
    with serving(Toy().sandbox()) as url:
        first = provider(tmp_path, url).serve(WIKI, DAY, DAY)
        digest = first.rows["raw"][0]
        (tmp_path / "raw" / digest[:2] / digest).write_bytes(b"{")
        with pytest.raises(PasError, match="are damaged"):
            provider(tmp_path, url, offline=True).serve(WIKI, DAY, DAY)
