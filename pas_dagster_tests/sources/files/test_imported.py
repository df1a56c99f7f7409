"""Staging, staging again, and what the provider then serves."""

from datetime import date

import pytest

from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES
from pas_dagster.sources.files import importer, staging
from pas_dagster.sources.files.options import Options
from pas_dagster.sources.provider import fetch
from pas_dagster_tests.sources.files.homes import START, Home
from pas_dagster_tests.sources.files.test_layouts import house

PRICES = TABLES["prices"]


def files(home: Home) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(home.folder.rglob("*")) if path.is_file()}


def test_again_changes_nothing(home: Home) -> None:
    path = home.file("w.csv", "Date,A\n2024-01-02,10\n2024-01-03,11\n")
    first = home.bring("prices", path)
    before = files(home)
    assert home.bring("prices", path) == first
    assert files(home) == before
    assert not list(home.folder.rglob("*.partial"))
    assert first.parts["prices"].rows == 2
    assert first.path.name.startswith(f"000001-{first.digest[:12]}-")
    assert staging.manifests(home.imports) == [first]


def test_what_was_in_the_future_comes_with_the_day(home: Home) -> None:
    path = home.file("w.csv", "Date,A\n2024-01-02,10\n2024-01-03,11\n")
    options = Options(max_bad=0.5)
    for today, rows in ((date(2024, 1, 2), 1), (date(2024, 1, 3), 2)):
        parsed = importer.parse("prices", path, options=options, today=today, start=START)
        manifest = staging.stage(parsed, home.imports, home.raw)
        assert (manifest.order, manifest.parts["prices"].rows) == (1, rows)


def test_an_import_without_its_manifest_does_not_count(home: Home) -> None:
    manifest = home.bring("prices", home.file("w.csv", "Date,A\n2024-01-02,10\n"))
    manifest.path.unlink()
    assert home.provider.coverage(PRICES) is None
    with pytest.raises(PasError, match=r"import has none.*pas import prices FILE"):
        fetch(PRICES, [home.provider], date(2024, 1, 2), date(2024, 1, 2))


def test_a_damaged_manifest_is_named(home: Home) -> None:
    manifest = home.bring("prices", home.file("w.csv", "Date,A\n2024-01-02,10\n"))
    manifest.path.write_text("{")
    with pytest.raises(PasError, match=manifest.path.name):
        home.provider.coverage(PRICES)


def test_the_later_import_wins(home: Home) -> None:
    home.bring("prices", home.file("a.csv", "Date,A,B\n2024-01-02,10,20\n2024-01-03,11,21\n"))
    provider = home.provider
    assert len(provider.rows(PRICES, date(2024, 1, 2), date(2024, 1, 3))) == 4
    home.bring("prices", home.file("b.csv", "Date,A\n2024-01-03,12\n2024-01-04,13\n"))
    rows = fetch(PRICES, [provider], date(2024, 1, 3), date(2024, 1, 4)).rows
    assert rows[["symbol", "close"]].to_numpy().tolist() == [["A", 12.0], ["B", 21.0], ["A", 13.0]]
    assert set(rows["provider"]) == {"import"}
    assert list(rows.columns) == PRICES.names


def test_a_filing_seen_twice_is_one(home: Home) -> None:
    line = '2024-01-05,2024-01-20,NVDA,NVIDIA,Stock,Purchase,"$1,001 - $15,000",1,SP,7'
    table = TABLES["politician_trades"]
    home.bring("politician_trades", home.file("a.csv", house(line, line)))
    provider = home.provider
    assert len(provider.rows(table, date(2024, 1, 1), date(2024, 12, 31))) == 2
    # the same filing again, in another file that dates it a day later
    home.bring("politician_trades", home.file("b.csv", house(*[line.replace("-20,", "-21,")] * 2)))
    assert provider.rows(table, date(2024, 1, 20), date(2024, 1, 20)).empty
    assert len(provider.rows(table, date(2024, 1, 21), date(2024, 1, 21))) == 2


def test_coverage(home: Home) -> None:
    actions = TABLES["corporate_actions"]
    assert home.provider.coverage(actions) is None, "without imported prices the sources are asked"
    path = home.file("w.csv", "Date,A\n2024-01-02,10\n2024-01-03,40\n2024-01-05,41\n")
    home.bring("prices", path, kind="etf", max_bad="0.5")
    # a holiday and a weekend before the first bar, a weekend after the last
    assert home.provider.coverage(PRICES) == (date(2023, 12, 30), date(2024, 1, 7))
    assert home.provider.coverage(actions) == (date.min, date(2024, 1, 5))
    assert home.provider.coverage(TABLES["universe"]) == (date.min, date.max)
    assert home.provider.coverage(TABLES["politician_trades"]) is None
    line = '2024-01-05,2024-01-20,NVDA,NVIDIA,Stock,Purchase,"$1,001 - $15,000",1,SP,7'
    home.bring("politician_trades", home.file("h.csv", house(line)), through="2024-02-29")
    assert home.provider.coverage(TABLES["politician_trades"]) == (date.min, date(2024, 2, 29))


def test_adjusted_prices_need_no_corporate_actions(home: Home) -> None:
    home.bring("prices", home.file("p.csv", "date,symbol,close\n2024-01-02,A,10\n2024-01-03,A,11\n"))
    actions = TABLES["corporate_actions"]
    assert home.provider.coverage(actions) == (date.min, date.max)
    assert home.provider.rows(actions, date(2024, 1, 1), date(2024, 1, 31)).empty


def test_companions_and_quarantine_are_served_like_rows(home: Home) -> None:
    home.bring("prices", home.file("w.csv", "Date,A\n2024-01-02,10\n2024-01-03,40\n"), max_bad="0.5")
    rows = home.provider.rows(TABLES["corporate_actions"], date(2024, 1, 3), date(2024, 1, 3))
    assert rows["value"].tolist() == [0.25]
    refused = home.provider.rows(TABLES["quarantine"], date(2026, 11, 20), date(2026, 11, 20))
    assert list(refused.columns) == TABLES["quarantine"].names
    assert refused["row_number"].tolist() == [2]


def test_everything_can_be_made_again_from_the_bytes(home: Home) -> None:
    path = home.file("w.csv", "Day,A,B\n2024-01-02,10,1\n2024-01-03,11,1\n")
    manifest = home.bring("prices", path, columns={"date": "Day"}, exclude="B", kind="stock")
    path.unlink()
    for part in manifest.parts.values():
        part.path.unlink()
    assert staging.restage(home.imports, home.raw) == [manifest]
    assert home.provider.rows(PRICES, date(2024, 1, 2), date(2024, 1, 3))["symbol"].tolist() == ["A", "A"]
    home.raw.path(manifest.digest).unlink()
    with pytest.raises(PasError, match=r"bytes of w.csv"):
        staging.restage(home.imports, home.raw)
