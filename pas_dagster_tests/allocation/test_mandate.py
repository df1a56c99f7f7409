"""Validation of the mandate."""

import dataclasses

import pytest

from pas_dagster.allocation import Mandate
from pas_dagster.allocation.views import NamedView


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"mix": {"a": -0.1}}, "mix"),
        ({"mix": {"a": 0.0}}, "mix"),
        ({"mix": {"a": float("nan")}}, "mix"),
        ({"mix": {"a": "all"}}, "mix"),
        ({"groups": {"a": "x"}, "budgets": {"x": 1.2}}, "budgets"),
        ({"groups": {"a": "x"}, "budgets": {"x": float("inf")}}, "budgets"),
        ({"budgets": {"x": 0.5}}, "groups without a sleeve: x"),
        ({"tilt": -0.1}, "tilt"),
        ({"tilt": float("nan")}, "tilt"),
        ({"birth_year": 19}, "birth_year"),
        ({"uncertainty": -1.0}, "uncertainty"),
        ({"risk_aversion": 0.0}, "risk_aversion"),
        ({"tau": 0.0}, "tau"),
        ({"views": [NamedView("a", "b", 0.1), NamedView("b", "a", 0.1)]}, "two views of b above a, keep one"),
        ({"momentum_skill": 2.0}, "momentum_skill"),
        ({"crisis_cut": 1.5}, "crisis_cut"),
        ({"crisis_cut": True}, "crisis_cut"),
    ],
)
def test_a_meaningless_mandate_is_refused_in_one_sentence(wrong: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        Mandate(**wrong)
    assert str(caught.value).startswith("the mandate ") and "\n" not in str(caught.value)


def test_a_mandate_cannot_be_changed_not_even_through_what_it_was_made_of() -> None:
    mix = {"a": 0.5}
    mandate = Mandate(mix=mix)
    mix["a"] = 0.9
    assert mandate.mix["a"] == 0.5
    with pytest.raises(TypeError):
        mandate.mix["a"] = 0.9  # ty: ignore[invalid-assignment]
    with pytest.raises(dataclasses.FrozenInstanceError):
        mandate.tilt = 0.2  # ty: ignore[invalid-assignment]


def test_equal_mandates_are_equal() -> None:
    assert Mandate(mix={"a": 1.0}) == Mandate(mix={"a": 1.0}) != Mandate()
