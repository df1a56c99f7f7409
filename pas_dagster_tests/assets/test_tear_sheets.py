"""Tear sheets as files: what they say, when they are written, and what one that fails does to the others."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from pas_dagster import settings
from pas_dagster.assets import resources, tear_sheets
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.assets.tear_sheets import make_sheets, sheet_names, tear_sheet_asset, write
from pas_dagster.console import sheets
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings
from pas_dagster_tests.assets import analysed
from pas_dagster_tests.assets.analysed import SLEEVES
from pas_dagster_tests.assets.conftest import MemoryLake

Rows = dict[str, pd.DataFrame]
HOSTILE = ["../../evil", "/etc/evil", "..", "", "a/b", "Alpha", "$TOTAL", "x\n", "<script>", "a" * 64, "nul\0"]


@pytest.fixture(scope="module")
def facts() -> Rows:
    return analysed.world()


@pytest.fixture(scope="module")
def home(facts: Rows) -> Iterator[MemoryLake]:
    with MemoryLake() as made:
        yield analysed.store(made, facts)


@pytest.fixture(scope="module")
def pages(home: MemoryLake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BeautifulSoup]:
    folder = tmp_path_factory.mktemp("reports")
    found = make_sheets(home, _chosen(folder), folder, ["account", *SLEEVES, "wsb_buzz"])
    assert not found.failed
    return {one.name: BeautifulSoup(one.path.read_text(), "lxml") for one in found.made}


def _chosen(folder: Path) -> Settings:
    return settings.load(home=folder / "home", world="real", database_url=None, start=date(2018, 1, 2))


def _value(page: BeautifulSoup, key: str) -> float:
    tag = page.find(id=f"is-{key}")
    assert tag is not None
    return float(tag.find("data")["value"])


# -------------------------------------------------------------------------------------------------- what they say


def test_a_sleeves_page_is_of_its_returns_and_its_newest_weights(pages, facts: Rows):
    rows = facts["strategy_returns"].loc[lambda f: f["strategy"] == "beta"]
    page = pages["beta"]
    assert _value(page, "total_return") == pytest.approx((1 + rows["net"]).prod() - 1, rel=1e-3)
    assert _value(page, "exposure") == pytest.approx(0.9)
    assert _value(page, "turnover") == pytest.approx(0.02 * 252, rel=1e-3)
    index = facts["sp500_index"].set_index("known_on")["close"].pct_change()
    cash = 0.03 * np.ones(len(rows)) / 252  # near enough: ratios are above cash
    excess = rows["net"].to_numpy() - cash
    assert _value(page, "sharpe") == pytest.approx(excess.mean() / excess.std(ddof=1) * np.sqrt(252), abs=0.3)
    both = np.cov(rows["net"], index.reindex(rows["known_on"]))
    assert _value(page, "beta") == pytest.approx(both[0, 1] / both[1, 1], abs=2e-3)
    holdings = page.find("section", id="holdings").get_text(" ", strip=True)
    assert "2 holdings, 90.0% of the book" in holdings and "A <b>fund</b>" in holdings
    dated = {name: pages[name].find("section", id="provenance").get_text(" ", strip=True) for name in SLEEVES}
    assert "target of 2024-06-17" in dated["alpha"]
    assert "target of 2024-06-24" in dated["beta"] and "target of 2024-06-24" in dated["cash"]


def test_the_accounts_page_is_of_its_books_from_its_first_position_on(pages, facts: Rows):
    equity = facts["account_metrics_paper"].set_index("decision")["equity"]
    traded = equity.iloc[4:]  # five idle sessions; the last is what the first return starts from
    page = pages["account"]
    assert page.find("h1").get_text() == "Account"
    assert f"{len(traded) - 1} sessions" in page.find("section", id="provenance").get_text(" ", strip=True)
    assert _value(page, "total_return") == pytest.approx(traded.iloc[-1] / traded.iloc[0] - 1, rel=1e-3)
    target = facts["portfolios"].loc[lambda f: f["decision"] == f["decision"].max()]
    held = target[target["symbol"] != "$CASH"].groupby("symbol")["weight"].sum()
    row = next(r for r in page.find("section", id="holdings").find_all("tr") if r.find("th").get_text() == "S05")
    weight, value = (float(tag["value"]) for tag in row.find_all("data"))
    assert weight == pytest.approx(held["S05"], rel=1e-6)
    assert value == pytest.approx(held["S05"] * equity.iloc[-1], rel=1e-6)


def test_a_strategy_without_a_return_has_a_page_that_says_so(pages):
    page = pages["wsb_buzz"]
    assert page.find("h1").get_text() == STRATEGIES["wsb_buzz"].title
    assert "No session has a return yet" in page.get_text()
    rule = STRATEGIES["wsb_buzz"].rule.split("\n\n")[0]
    assert page.find("header").find("p").get_text() == " ".join(rule.split())


def test_a_sleeve_without_a_strategy_any_more_has_its_record_and_says_so(pages):
    assert "There is no such strategy any more." in pages["alpha"].get_text()


def test_the_pages_are_of_the_account_every_strategy_and_whatever_else_has_returns(home):
    assert sheet_names(home) == ["account", *sorted({*STRATEGIES, *SLEEVES})]


def test_an_empty_lake_gives_pages_that_say_so(tmp_path: Path):
    with MemoryLake() as lake:
        found = make_sheets(lake, _chosen(tmp_path), tmp_path, sheet_names(lake))
    assert not found.failed and len(found.made) == 1 + len(STRATEGIES)
    assert "No session has a return yet" in (tmp_path / "account.html").read_text()


# ---------------------------------------------------------------------------------------------------------- files


def test_the_same_data_give_the_same_bytes_and_a_page_that_is_there_is_left_alone(home, facts: Rows, tmp_path: Path):
    first = make_sheets(home, _chosen(tmp_path), tmp_path, ["account", "beta"])
    assert [one.written for one in first.made] == [True, True]
    before = {one.path: (one.path.read_bytes(), one.path.stat().st_mtime_ns) for one in first.made}
    again = make_sheets(home, _chosen(tmp_path), tmp_path, ["account", "beta"])
    assert [one.written for one in again.made] == [False, False]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    with MemoryLake() as lake:  # another lake with the same content
        elsewhere = make_sheets(analysed.store(lake, facts), _chosen(tmp_path), tmp_path / "b", ["account", "beta"])
    assert [one.path.read_bytes() for one in elsewhere.made] == [content for content, _ in before.values()]


def test_a_new_session_is_a_new_page_of_what_it_concerns(facts: Rows, tmp_path: Path):
    with MemoryLake() as lake:
        make_sheets(analysed.store(lake, facts, date(2024, 6, 28)), _chosen(tmp_path), tmp_path, ["beta", "wsb_buzz"])
        found = make_sheets(analysed.store(lake, facts), _chosen(tmp_path), tmp_path, ["beta", "wsb_buzz"])
    assert [(one.name, one.written) for one in found.made] == [("beta", True), ("wsb_buzz", False)]


def test_an_interrupted_write_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.html"
    assert write(path, b"old")

    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(tear_sheets.os, "replace", broken)
    with pytest.raises(OSError, match="full"):
        write(path, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.html", b"old")]


def test_a_page_takes_the_place_of_a_link_and_not_of_what_it_leads_to(tmp_path: Path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "a.html").symlink_to(tmp_path / "mine")
    assert write(tmp_path / "a.html", b"page")
    assert (tmp_path / "mine").read_bytes() == b"mine" and not (tmp_path / "a.html").is_symlink()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_none_makes_no_file(name: str, home, tmp_path: Path):
    folder = tmp_path / "home" / "reports"
    found = make_sheets(home, _chosen(tmp_path), folder, [name, "cash"])
    assert found.failed == {name: "it is no name of a strategy"}
    assert [one.relative_to(folder) for one in tmp_path.rglob("*") if one.is_file()] == [Path("cash.html")]


def test_a_folder_that_cannot_be_made_is_the_reason_of_every_page(home, tmp_path: Path):
    (tmp_path / "reports").write_text("in the way")
    found = make_sheets(home, _chosen(tmp_path), tmp_path / "reports", ["account", "cash"])
    assert not found.made and all("reports" in reason for reason in found.failed.values())


# -------------------------------------------------------------------------------------------------- through Dagster


def test_the_asset_makes_every_page_and_says_how_large_they_are(home, tmp_path: Path):
    chosen = _chosen(tmp_path)
    result = analysed.materialise(tear_sheet_asset, analysed.bench(home, chosen))
    assert result.success
    (event,) = result.asset_materializations_for_node("tear_sheet")
    files = sorted(chosen.reports_dir.iterdir())
    names = sheet_names(home)
    assert [one.name for one in files] == sorted(f"{name}.html" for name in names)
    told = {key: value.value for key, value in event.metadata.items()}
    sizes = {one.name: one.stat().st_size for one in files}
    assert (told["pages"], told["written"], told["bytes"]) == (len(names), len(names), sum(sizes.values()))
    assert told["largest"].startswith(max(sizes, key=lambda one: sizes[one]))
    assert all(str(one) in told["paths"] for one in files)
    assert max(sizes.values()) < 1_500_000
    assert {one.check_name: one.passed for one in result.get_asset_check_evaluations()} == {
        "every_sheet_is_made": True,
        "sheets_are_small": True,
    }


def test_a_page_that_cannot_be_made_fails_the_check_and_stops_no_other(facts: Rows, tmp_path: Path):
    returns = facts["strategy_returns"].copy()
    returns.loc[(returns["strategy"] == "beta") & (returns["known_on"] == "2024-02-06"), "net"] = np.inf
    hostile = returns[returns["strategy"] == "cash"].assign(strategy="../evil")
    chosen = _chosen(tmp_path)
    with MemoryLake() as lake:
        analysed.store(lake, {**facts, "strategy_returns": pd.concat([returns, hostile])})
        result = analysed.materialise(tear_sheet_asset, analysed.bench(lake, chosen))
    assert result.success
    (failed,) = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert failed.check_name == "every_sheet_is_made" and failed.severity.value == "ERROR"
    problem = failed.metadata["problem"].value
    assert problem == "../evil: it is no name of a strategy; beta: net has an infinite value"
    made = {one.name for one in chosen.reports_dir.iterdir()}
    assert {"account.html", "alpha.html", "cash.html"} <= made and "beta.html" not in made
    assert not list(tmp_path.rglob("evil*"))


def test_a_page_that_is_too_large_fails_its_check(home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tear_sheets, "LARGEST", 100_000)
    monkeypatch.setattr(tear_sheets, "sheet_names", lambda _: ["alpha", "wsb_buzz"])
    result = analysed.materialise(tear_sheet_asset, analysed.bench(home, _chosen(tmp_path)))
    (failed,) = [one for one in result.get_asset_check_evaluations() if not one.passed]
    assert failed.check_name == "sheets_are_small" and "alpha.html has" in failed.metadata["problem"].value


def test_the_pages_of_a_backtest_have_a_folder_of_their_own(tmp_path: Path):
    workshop = resources.Workshop(namespace="backtest_1")
    settings.choose(_chosen(tmp_path))
    try:
        assert tear_sheets.folder_of(workshop) == tmp_path / "home" / "reports" / "backtest_1"
    finally:
        settings._chosen.pop()


# ------------------------------------------------------------------------------------------------------ pas report


class TestReport:
    @pytest.fixture
    def made(self, home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
        chosen = _chosen(tmp_path)
        settings.make_home(chosen)
        monkeypatch.setattr(sheets, "working", lambda _: nullcontext())
        monkeypatch.setattr(resources, "Workshop", lambda: analysed.bench(home, chosen))
        return chosen

    def test_prints_where_the_page_is(self, made: Settings, capsys: pytest.CaptureFixture[str]):
        sheets.run(made, "beta")
        assert capsys.readouterr().out == f"{made.reports_dir / 'beta.html'}\n"
        assert [one.name for one in made.reports_dir.iterdir()] == ["beta.html"]

    def test_makes_them_all_without_a_name(self, made: Settings, home, capsys: pytest.CaptureFixture[str]):
        sheets.run(made, None)
        printed = capsys.readouterr().out.splitlines()
        assert printed == [str(made.reports_dir / f"{name}.html") for name in sheet_names(home)]

    @pytest.mark.parametrize("name", ["gamma", "../account", "", "Account"])
    def test_names_what_there_is_when_asked_for_something_else(self, name: str, made: Settings):
        with pytest.raises(PasError, match="There is no report of") as caught:
            sheets.run(made, name)
        assert "account, alpha" in str(caught.value) and "\n" not in str(caught.value)
        assert not made.reports_dir.exists()

    def test_says_which_page_cannot_be_made(self, made: Settings, monkeypatch: pytest.MonkeyPatch, capsys):
        def broken(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", broken)
        with pytest.raises(PasError, match=r"1 of 1 pages cannot be made \(beta: .*No space left"):
            sheets.run(made, "beta")
        assert capsys.readouterr().out == ""

    def test_without_a_home_says_what_to_do(self, tmp_path: Path):
        with pytest.raises(PasError, match="There is no data in"):
            sheets.run(_chosen(tmp_path), None)
