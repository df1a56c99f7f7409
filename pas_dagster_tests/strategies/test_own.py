"""Strategies from the user's folder and from entry points; broken ones fail alone."""

from __future__ import annotations

from datetime import date
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pas_dagster.calendar import Cadence
from pas_dagster.strategies import own
from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.decision import decisions_of
from pas_dagster.strategies.history import History
from pas_dagster.strategies.own import Broken, NotLoadedError, load, own_strategies

GOOD = '''
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.congress import congress_aggregate  # imported, not defined here
from pas_dagster.strategies.contract import Count, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

@strategy(name="{name}", title="Mine", cadence=Cadence.{cadence}, reads={{"prices": Window(sessions=20)}})
def mine(data: AsOf, *, top_n: Count = 3) -> Weights:
    """Hold nothing."""
    return Weights({{}})
'''


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_each_file_of_the_folder_is_a_strategy_and_imports_are_not(tmp_path: Path):
    write(tmp_path, "mine.py", GOOD.format(name="mine", cadence="WEEKLY_FRI"))
    write(tmp_path, "_helper.py", "1 / 0")
    write(tmp_path, "test_mine.py", "1 / 0")
    (found,) = own_strategies(tmp_path)
    assert (found.name, found.cadence, found.parameters) == ("mine", Cadence.WEEKLY_FRI, {"top_n": 3})


def test_no_folder_is_no_strategies(tmp_path: Path):
    assert own_strategies(tmp_path / "nowhere") == []


BROKEN = {
    "syntax": ("def mine(:\n", "mine.py fails with SyntaxError in line 1: invalid syntax"),
    "raises": ("x = 1 / 0", "mine.py fails with ZeroDivisionError: division by zero"),
    "exits": ("import sys; sys.exit('bye')", "mine.py fails with SystemExit: bye"),
    "nothing": ("x = 1", "mine.py defines no strategy: decorate a function with @strategy(...)"),
    "no docstring": (
        GOOD.format(name="mine", cadence="MONTHLY").replace('"""Hold nothing."""', "pass"),
        "mine.py fails with TypeError: strategy mine has no docstring; it must state its rule",
    ),
    "bad default": (
        GOOD.format(name="mine", cadence="MONTHLY").replace("Count = 3", "Count = 0"),
        "mine.py fails with ValueError: mine: the parameter 'top_n' cannot be 0: input should be greater than or equal",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_loaded_stands_in_for_itself_and_holds(tmp_path: Path, kind: str):
    text, why = BROKEN[kind]
    write(tmp_path, "mine.py", text)
    write(tmp_path, "other.py", GOOD.format(name="other", cadence="MONTHLY"))
    mine, other = own_strategies(tmp_path)
    assert isinstance(mine, Broken) and not isinstance(other, Broken)
    assert mine.name == "mine" and why in mine.rule
    (made,) = decisions_of(mine, History({}), [date(2024, 1, 8)])
    assert made.cause == "fault" and made.note is not None and why in made.note


def test_a_file_that_never_ends_loading_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own, "PATIENCE", 0.2)
    write(tmp_path, "mine.py", "while True: pass")
    (found,) = own_strategies(tmp_path)
    assert "takes longer than 0.2 s to load" in found.rule


def test_a_broken_file_keeps_the_cadence_that_it_names(tmp_path: Path):
    write(tmp_path, "mine.py", GOOD.format(name="mine", cadence="WEEKLY_FRI") + "\n1 / 0")
    (found,) = own_strategies(tmp_path)
    assert found.cadence is Cadence.WEEKLY_FRI


def test_a_name_that_is_taken_fails_under_another_and_leaves_the_first_alone(tmp_path: Path):
    write(tmp_path, "a.py", GOOD.format(name="congress_aggregate", cadence="MONTHLY"))
    found = catalogue({}, {}, own_strategies(tmp_path))
    assert found["congress_aggregate"].title == "Congressional-Trading Aggregate"
    assert "there is another strategy of the name 'congress_aggregate'" in found["own_congress_aggregate"].rule


def test_settings_of_a_broken_file_do_not_stop_the_others(tmp_path: Path):
    write(tmp_path, "mine.py", "1 / 0")
    found = catalogue({}, {"mine": {"top_n": 5}}, own_strategies(tmp_path))
    assert isinstance(found["mine"], Broken)


def test_parameters_of_an_own_strategy_are_checked(tmp_path: Path):
    write(tmp_path, "mine.py", GOOD.format(name="mine", cadence="MONTHLY"))
    mine = own_strategies(tmp_path)
    assert catalogue({}, {"mine": {"top_n": 5}}, mine)["mine"].parameters == {"top_n": 5}
    with pytest.raises(ValueError, match="'top_n' cannot be 'many': input should be a valid integer"):
        catalogue({}, {"mine": {"top_n": "many"}}, mine)


def test_an_entry_point_gives_a_strategy_a_module_of_them_or_a_stand_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    module = "pas_dagster.strategies.congress"
    points = [
        EntryPoint("congress", f"{module}:congress_aggregate", own.ENTRY_POINTS),
        EntryPoint("all_of_it", module, own.ENTRY_POINTS),
        EntryPoint("gone", "no_such_module:x", own.ENTRY_POINTS),
        EntryPoint("number", f"{module}:SIGNS", own.ENTRY_POINTS),
    ]
    monkeypatch.setattr(own, "entry_points", lambda group: points)
    found = own_strategies(tmp_path)
    assert [one.name for one in found] == ["congress_aggregate", "congress_aggregate", "gone", "number"]
    assert [isinstance(one, Broken) for one in found] == [False, False, True, True]
    assert "ModuleNotFoundError" in found[2].rule and "neither a strategy nor a module" in found[3].rule


def test_load_says_what_is_wrong_with_a_path(tmp_path: Path):
    with pytest.raises(NotLoadedError, match="is no Python file"):
        load(tmp_path / "nothing.py")
