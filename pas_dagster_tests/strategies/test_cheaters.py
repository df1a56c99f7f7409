"""The audit catches ten ways to look ahead by what they do, and none of the honest twins."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import pytest

from pas_dagster.strategies.audit import Report, audit_report, random_decisions
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.cheaters import CHEATS

FIRST, LAST = date(2019, 6, 3), date(2022, 3, 28)  # with something known before, and something after
CHEAT, HONEST = 0, 1
BEHAVIOUR = {"truncation", "perturbation"}


@lru_cache(maxsize=64)
def report(name: str, twin: int, seed: int = 1) -> Report:
    suspect = CHEATS[name][twin]
    days = random_decisions(suspect.cadence, FIRST, LAST, 6, seed)
    return audit_report([suspect], worlds.history(), days, seed)[0]


def test_there_are_ten_cheats():
    assert len(CHEATS) == 10


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_caught_by_what_it_does_with_the_future(name: str):
    caught = [finding for finding in report(name, CHEAT).findings if finding.kind in BEHAVIOUR]
    assert caught
    assert all(finding.decision is not None and "future" in finding.difference for finding in caught)


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_caught_by_reading_its_code_too(name: str):
    (private,) = [finding for finding in report(name, CHEAT).findings if finding.kind == "private"]
    assert private.difference == "it reaches into what the view keeps to itself: _history in in_full"


@pytest.mark.parametrize("name", CHEATS)
def test_the_same_idea_done_right_is_not_accused(name: str):
    honest = report(name, HONEST)
    assert honest.passed, "\n".join(map(str, honest.findings))
    assert honest.held >= 5
