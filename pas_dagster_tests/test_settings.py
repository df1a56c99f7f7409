"""Where settings come from, and what a wrong one says."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import pytest

from pas_dagster import settings
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of the test's own; nothing of this machine's settings."""
    for name in list(os.environ):
        if name.startswith("PAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    return tmp_path


def write(folder: Path, *, env: str = "", yaml: str = "", **home: str) -> None:
    (folder / ".env").write_text(env)
    (folder / "config.yaml").write_text(yaml)
    if home:
        (folder / ".pas").mkdir()
        (folder / ".pas" / "home.json").write_text(json.dumps(home))


def test_environment_beats_env_file_beats_yaml_beats_home_beats_defaults(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen() -> list[int]:
        chosen = settings.load()
        return [chosen.capital, chosen.window_weeks, chosen.min_order_usd, chosen.seed]

    assert seen() == [1_000_000, 12, 5, 7]
    write(project, seed="99")
    assert seen() == [1_000_000, 12, 5, 99]
    (project / "config.yaml").write_text("capital: 10\nwindow_weeks: 10\nmin_order_usd: 10\n")
    assert seen() == [10, 10, 10, 99]
    (project / ".env").write_text("PAS_CAPITAL=20\nPAS_WINDOW_WEEKS=20\n")
    assert seen() == [20, 20, 10, 99]
    monkeypatch.setenv("PAS_CAPITAL", "30")
    assert seen() == [30, 20, 10, 99]
    assert settings.load(capital=40).capital == 40


def test_what_a_home_was_made_with_comes_back_typed(project: Path) -> None:
    write(project, world="sandbox", seed="3", start="2020-02-03")
    chosen = settings.load()
    assert (chosen.world, chosen.seed, chosen.start) == ("sandbox", 3, date(2020, 2, 3))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("world", "real", "made with world=sandbox, but world=real is asked for"),
        ("seed", "8", "made with seed=7, but seed=8 is asked for"),
        ("start", "2021-01-04", "made with start=2020-01-02, but start=2021-01-04 is asked for"),
    ],
)
def test_a_home_made_with_other_values_refuses(
    project: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, words: str
) -> None:
    settings.make_home(settings.load(world="sandbox", start=date(2020, 1, 2)))
    monkeypatch.setenv(f"PAS_{key.upper()}", value)
    with pytest.raises(PasError, match=words) as caught:
        settings.load()
    assert "PAS_HOME" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert settings.load(home=project / "other").home == project / "other"


def test_a_home_keeps_what_it_was_made_with_first(project: Path) -> None:
    first = settings.load(world="sandbox", seed=3)
    settings.make_home(first)
    settings.make_home(first.model_copy(update={"seed": 4}))
    assert settings.read_home(first.home) == {"world": "sandbox", "seed": "3", "start": "2015-01-01"}
    assert settings.load(world="sandbox", seed=3).seed == 3  # asked for again, and the same
    assert not list(first.home.glob("*.partial"))


@pytest.mark.parametrize("text", ["{", "[]", '"sandbox"', ""])
def test_a_damaged_home_file_is_one_sentence(project: Path, text: str) -> None:
    write(project, world="sandbox")
    (project / ".pas" / "home.json").write_text(text)
    with pytest.raises(PasError, match=r"home\.json.* is damaged"):
        settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAS_MAX_WEIGHT", "3"),
        ("PAS_MAX_WEIGHT", "much"),
        ("PAS_START", "yesterday"),
        ("PAS_WORLD", "moon"),
        ("PAS_CAPITAL", "0"),
        ("PAS_WINDOW_WEEKS", "3"),
        ("PAS_COST_BP", "-1"),
        ("PAS_NO_TRADE_BAND", "0.51"),
    ],
)
def test_a_wrong_value_names_its_setting_and_where_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(PasError) as caught:
        settings.load()
    assert str(caught.value).startswith(f"Setting {name.removeprefix('PAS_').lower()!r}: ")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["PAS_STRATEGIES", "PAS_MEMBERS"])
def test_broken_json_in_the_environment_names_the_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "{nonsense")
    with pytest.raises(PasError, match=name.removeprefix("PAS_").lower()) as caught:
        settings.load()
    assert "nonsense" not in str(caught.value)


@pytest.mark.parametrize("yaml", ["capital: [", "- capital\n- 3\n", "capital"])
def test_a_broken_yaml_file_is_one_sentence_that_names_it(project: Path, yaml: str) -> None:
    write(project, yaml=yaml)
    with pytest.raises(PasError, match=r"config\.yaml") as caught:
        settings.load()
    assert "\n" not in str(caught.value)


def test_a_setting_that_does_not_exist_is_not_passed_over(project: Path) -> None:
    write(project, yaml="maxweight: 0.3\n")
    with pytest.raises(PasError, match="'maxweight' that does not exist.*max_weight"):
        settings.load()


def test_nested_settings_come_from_yaml_and_from_json(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, yaml="strategies:\n  congress_aggregate: {top_n: 5}\n")
    assert settings.load().strategies == {"congress_aggregate": {"top_n": 5}}
    monkeypatch.setenv("PAS_MEMBERS", '{"khanna": "Ro Khanna"}')
    assert settings.load().members == {"khanna": "Ro Khanna"}


def test_the_secret_is_not_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAS_DATABASE_URL", "postgresql://u:s3cret@h/db")
    chosen = settings.load()
    for shown in (repr(chosen), str(chosen), chosen.model_dump_json(), repr(chosen.model_dump())):
        assert "s3cret" not in shown
    assert chosen.database_url is not None
    assert chosen.database_url.get_secret_value() == "postgresql://u:s3cret@h/db"
    settings.make_home(chosen)
    assert not [p for p in project.rglob("*") if p.is_file() and "s3cret" in p.read_text()]
    monkeypatch.setenv("PAS_CAPITAL", "x")  # an error about another setting does not show it either
    with pytest.raises(PasError) as caught:
        settings.load()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_relative_home_lies_in_the_project_wherever_one_stands(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert settings.load().home == project / ".pas"
    assert settings.load(home="deep/er").home == project / "deep" / "er"
    chosen = settings.load(home="/somewhere/else")
    assert chosen.home == Path("/somewhere/else")
    assert {chosen.postgres_dir.parent, chosen.lake_dir.parent, chosen.raw_dir.parent} == {chosen.home}


def test_a_home_that_cannot_be_made_is_one_sentence(project: Path) -> None:
    (project / "file").write_text("")
    for home in (project / "file", project / "file" / "below"):
        with pytest.raises(PasError, match="The home .*/file.* cannot be made") as caught:
            settings.make_home(settings.load(home=home))
        assert "PAS_HOME" in str(caught.value)


def test_settings_do_not_change_under_ones_feet() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load().capital = 1


def test_choose_replaces_the_settings_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_chosen", [])
    chosen = settings.load(capital=123)
    settings.choose(chosen)
    assert settings.current() is chosen
