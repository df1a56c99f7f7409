"""`pas sql` reads every table and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pas_dagster import settings
from pas_dagster.console import query
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.settings import Settings
from pas_dagster_tests.lake.frames import DAYS, PRICES, bars, plain, stored
from pas_dagster_tests.ledger.database import fresh, server
from pas_dagster_tests.schemas.test_tables import MUST_EXIST

__all__ = ["server"]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    yield from fresh(server)


@pytest.fixture
def chosen(url: str, tmp_path: Path) -> Settings:
    """A home that has just been made: no lake yet."""
    made = settings.load(home=tmp_path / "home", database_url=url)
    settings.make_home(made)
    return made


def test_every_table_of_the_design_can_be_asked_on_a_fresh_home(
    chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in MUST_EXIST:
        query.run(chosen, f"select count(*) as n from {name}", as_json=True)
        assert json.loads(capsys.readouterr().out) == [{"n": 0}]
    query.run(chosen, "show tables", as_json=True)
    assert set(MUST_EXIST) <= {row["name"] for row in json.loads(capsys.readouterr().out)}


def test_answers_as_a_table_and_as_json(chosen: Settings, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Lake(url, chosen.lake_dir) as lake:
        lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 1234.5))
    query.run(chosen, "from prices select known_on, close limit 1", as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"known_on": "2024-01-02T00:00:00.000", "close": 1234.5}]
    query.run(chosen, "select known_on, close, volume from lake.prices", as_json=False)
    assert "2024-01-05  1,234.5" in capsys.readouterr().out
    query.run(chosen, "select range as n from range(1500)", as_json=False)
    assert "… 500 more rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "delete from prices",
        "insert into prices select * from prices",
        "update prices set close = 2",
        "drop table prices",
        "create table mine (a int)",
        "delete from plain.pas.prices",
        "copy (select 1 as a) to '{lake}/here.parquet'",
        "copy prices to '{lake}/../there.csv'",
        "call postgres_execute('plain', 'delete from pas.prices')",
        "call postgres_execute('plain', 'commit; delete from pas.prices')",
        "select * from postgres_query('plain', 'delete from pas.prices returning symbol')",
        "call ducklake_expire_snapshots('lake', older_than => now())",
        "select * from ducklake_expire_snapshots('lake', older_than => now())",
        "explain analyze copy (select 1 as a) to '{lake}/here.parquet'",
        "select 1; delete from prices",
        "attach '{lake}/more.db'",
        "set enable_external_access = true",
        "select * from read_text('/etc/hostname')",
        "selct 1",
        "",
        "-- nothing",
    ],
)
def test_what_is_not_a_query_is_refused_and_changes_nothing(chosen: Settings, url: str, text: str) -> None:
    with Lake(url, chosen.lake_dir) as lake:
        lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 1.0))
        snapshots = "select * from ducklake_snapshots('lake')"
        before = (len(lake.query(snapshots)), sorted(chosen.home.rglob("*")))
        with pytest.raises(PasError):
            query.run(chosen, text.format(lake=chosen.lake_dir), as_json=True)
        assert (len(lake.query(snapshots)), sorted(chosen.home.rglob("*"))) == before
        assert stored(lake.read(PRICES)) == plain(url, PRICES) == stored(bars(DAYS, ["A"], 1.0))


def test_a_home_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PasError, match="There is no data in .*nowhere yet. Try: pas demo"):
        query.run(settings.load(home=tmp_path / "nowhere", database_url=None), "select 1", as_json=True)
    assert not (tmp_path / "nowhere").exists()
