"""What a sleeve does when its strategy has no answer, or one that is near enough to what it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights
from pas_dagster.strategies.decision import NOTHING, Decision, Standing, decisions_of, share_left
from pas_dagster.strategies.history import AsOf, History, Window
from pas_dagster_tests.strategies.frames import frame, prices

MONDAYS = [date(2024, 1, 8) + timedelta(7 * week) for week in range(16)]
EMPTY = History({})


def made(rule: Callable[[AsOf], Weights], reads: dict[str, Window] | None = None, **given: object) -> Strategy:
    rule.__doc__ = "A rule."
    return Strategy("alpha", "Alpha", Cadence.WEEKLY_MON, reads or {}, rule, **given)


def run(strategy: Strategy, days: Sequence[date], history: History = EMPTY, standing: Standing = NOTHING, **given):
    return list(decisions_of(strategy, history, days, standing, **given))


def only_before(last: date, wrong: Callable[[], Weights]) -> Callable[[AsOf], Weights]:
    def rule(data: AsOf) -> Weights:
        return Weights({"AAA": 0.8}) if data.decision < last else wrong()

    return rule


def lack() -> Weights:
    raise NotEnoughData("nothing is known")


def test_without_data_weights_are_held_then_decay_linearly_to_cash():
    strategy = made(only_before(MONDAYS[1], lack), hold_days=14, decay_days=28)
    found = run(strategy, MONDAYS[:9])
    # Decided on the first Monday; days 7 and 14 held; 21, 28, 35: a quarter less each; gone on day 42.
    assert [one.status for one in found] == ["decided", "held", "held", *["decayed"] * 6]
    assert [one.weights.values.get("AAA", 0.0) for one in found] == pytest.approx(
        [0.8, 0.8, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0]
    )
    assert [one.decided_on for one in found[:4]] == [MONDAYS[0]] * 3 + [MONDAYS[3]]
    assert found[2].note == "nothing is known; the weights of 2024-01-08 are 14 days old"
    assert found[3].note == "nothing is known; the weights of 2024-01-08 are 21 days old: 75% of them are left"


def test_a_new_answer_ends_the_decay():
    def rule(data: AsOf) -> Weights:
        return lack() if MONDAYS[1] <= data.decision < MONDAYS[8] else Weights({"AAA": 0.8})

    found = run(made(rule, hold_days=14, decay_days=28), MONDAYS[:10])
    assert found[7].weights.values == {} and found[8].status == "decided" and found[8].weights.values == {"AAA": 0.8}


def test_before_the_first_answer_everything_is_cash():
    (one,) = run(made(lambda data: lack()), MONDAYS[:1])
    assert (one.weights, one.status, one.cause) == (Weights({}), "held", "data")
    assert one.note == "nothing is known; nothing was decided before"


def facts(*days: str) -> History:
    rows = [{"known_on": day, "event_date": day, "symbol": "AAA"} for day in days]
    return History({"wiki_views": frame(rows, ["known_on", "event_date", "symbol"])})


@pytest.mark.parametrize(("age", "decided"), [(5, True), (6, False)])
def test_an_input_older_than_its_largest_age_is_not_decided_on(age: int, decided: bool):
    day = MONDAYS[0]
    known = facts(str(day - timedelta(age)))
    strategy = made(lambda data: Weights({"AAA": 1.0}), {"wiki_views": Window(days=30, max_age=5)})
    (one,) = run(strategy, [day], known)
    assert one.status == ("decided" if decided else "held")
    if not decided:
        assert one.cause == "age"
        assert one.note is not None and one.note.startswith(
            "the newest row of wiki_views is 6 days old (2024-01-02), at most 5 are allowed"
        )


def test_an_input_without_any_row_is_named():
    (one,) = run(made(lambda data: Weights({}), {"wiki_views": Window(days=30)}), MONDAYS[:1], facts())
    assert one.note is not None and one.note.startswith("nothing is known of wiki_views yet")


def test_the_age_counts_rows_before_the_window_as_well():
    frames = {"wiki_views": frame([], ["known_on", "event_date", "symbol"])}
    old = History(frames, earlier={"wiki_views": date(2023, 1, 2)})
    (one,) = run(made(lambda data: Weights({}), {"wiki_views": Window(days=30)}), MONDAYS[:1], old)
    assert one.note is not None and one.note.startswith("the newest row of wiki_views is 371 days old (2023-01-02)")


def test_a_log_of_changes_is_never_too_old():
    old = History({"universe": frame([{"known_on": "2001-01-02", "event_date": "2001-01-02", "symbol": "AAA"}])})
    (one,) = run(made(lambda data: Weights({}), {"universe": Window()}), MONDAYS[:1], old)
    assert one.status == "decided"


def broken() -> Weights:
    return Weights({"AAA": 1 / 0})


def endless() -> Weights:
    while True:
        try:
            while True:
                pass
        except Exception:  # noqa: BLE001  (a loop that swallows what it can)
            continue


FAULTS = {
    "raises": (broken, "alpha failed: ZeroDivisionError: division by zero (test_decision.py line "),
    "loops": (endless, "alpha took longer than 0.2 s"),
    "NaN": (lambda: Weights({"AAA": float("nan")}), "alpha failed: WeightsError: the weight of AAA is nan"),
    "negative": (lambda: Weights({"AAA": -0.1}), "alpha failed: WeightsError: the weight of AAA is negative: -0.1"),
    "gross": (lambda: Weights({"AAA": 0.6, "BBB": 0.6}), "alpha failed: WeightsError: weights sum to 1.2, more than 1"),
    "no weights": (lambda: {"AAA": 1.0}, "alpha failed: WeightsError: alpha returned dict, not Weights"),
    "exits": (lambda: exit(3), "alpha failed: SystemExit: 3"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_strategy_holds_and_says_what_is_wrong_under_its_name(kind: str):
    wrong, said = FAULTS[kind]
    _, one = run(made(only_before(MONDAYS[1], wrong)), MONDAYS[:2], patience=0.2)
    assert (one.status, one.cause, one.weights.values) == ("held", "fault", {"AAA": 0.8})
    assert one.note is not None and one.note.startswith(said)


def test_a_decision_after_one_that_took_too_long_is_made():
    def rule(data: AsOf) -> Weights:
        return endless() if data.decision == MONDAYS[0] else Weights({"AAA": 1.0})

    found = run(made(rule), MONDAYS[:3], patience=0.2)
    assert [one.status for one in found] == ["held", "decided", "decided"]


def test_an_interruption_by_the_user_is_no_fault_of_the_strategy():
    def rule(data: AsOf) -> Weights:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(made(rule), MONDAYS[:1])


PRICED = {"prices": Window(sessions=60)}


def rising(target: Weights, drift: float, moves: dict[str, list[float]], last: str, days: Sequence[date]):
    history = History({"prices": prices(moves, last=last)})
    return run(made(lambda data: target, PRICED, drift=drift), days, history)


def test_within_the_band_the_drifted_holding_is_kept_and_past_it_the_target_is_traded():
    # Decided on Monday the 8th, traded at its close. AAA then gains 10 % on the 9th: 0.55 / 1.05 = 0.5238 of the
    # sleeve, 2.38 points from its target; another 10 % on the 16th (the 15th is a holiday): 0.605 / 1.105 = 0.5475.
    moves = {"AAA": [0.0] * 41 + [0.10, 0, 0, 0] + [0.10, 0, 0, 0], "BBB": [0.0] * 49}
    days = [date(2024, 1, 8), date(2024, 1, 15), date(2024, 1, 22)]
    kept = rising(Weights({"AAA": 0.5, "BBB": 0.5}), 0.03, moves, "2024-01-19", days)
    assert [(one.status, one.cause) for one in kept] == [("decided", None), ("held", "band"), ("decided", None)]
    assert kept[1].weights.values["AAA"] == pytest.approx(0.55 / 1.05)
    assert kept[1].decided_on == days[0]
    assert kept[1].note == "within the band: BBB is 2.4% from its target, 3.0% are allowed"
    wide = rising(Weights({"AAA": 0.5, "BBB": 0.5}), 0.05, moves, "2024-01-19", days)
    assert [one.cause for one in wide] == [None, "band", "band"]
    assert wide[2].weights.values["AAA"] == pytest.approx(0.605 / 1.105)


def test_cash_dilutes_the_drift():
    moves = {"AAA": [0.0] * 41 + [0.10, 0, 0, 0]}
    days = [date(2024, 1, 8), date(2024, 1, 15)]
    kept = rising(Weights({"AAA": 0.5}), 0.03, moves, "2024-01-12", days)
    assert kept[1].weights.values["AAA"] == pytest.approx(0.55 / 1.05)


def test_the_session_of_the_trade_itself_moves_nothing():
    moves = {"AAA": [0.0] * 40 + [0.50, 0, 0, 0, 0]}  # the gain is that of the 8th, at whose close is traded
    kept = rising(Weights({"AAA": 0.5}), 0.03, moves, "2024-01-12", [date(2024, 1, 8), date(2024, 1, 15)])
    assert kept[1].weights.values == {"AAA": 0.5}


def test_a_band_needs_prices_as_far_back_as_weights_are_held():
    with pytest.raises(ValueError, match="alpha has a drift, so it must read prices of 35 sessions"):
        made(lambda data: Weights({}), {"prices": Window(sessions=20)}, drift=0.05)


@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_one_run_equals_two_that_are_split_anywhere(split: int, seed: int):
    rng = np.random.default_rng(seed)
    moves = {name: list(rng.normal(0, 0.03, 140)) for name in ("AAA", "BBB")}
    silent = set(rng.choice(len(MONDAYS), 6, replace=False).tolist())

    def rule(data: AsOf) -> Weights:
        return lack() if MONDAYS.index(data.decision) in silent else Weights({"AAA": 0.4, "BBB": 0.5})

    strategy = made(rule, PRICED, drift=0.02, hold_days=14, decay_days=21)
    history = History({"prices": prices(moves, last="2024-04-26")})
    whole = run(strategy, MONDAYS, history)
    first = run(strategy, MONDAYS[:split], history)
    second = run(strategy, MONDAYS[split:], history, standing_after(first))
    assert [*first, *second] == whole


def standing_after(found: Sequence[Decision]) -> Standing:
    answered = [one for one in found if one.status == "decided" or one.cause == "band"]
    if not answered:
        return NOTHING
    return Standing(answered[-1].weights, answered[-1].decided_on, answered[-1].decision)


@given(st.integers(0, 400), st.integers(0, 100), st.integers(0, 100))
def test_the_share_left_never_grows_with_age_and_stays_within_zero_and_one(age: int, hold: int, decay: int):
    left = share_left(age, hold, decay)
    assert 0 <= share_left(age + 1, hold, decay) <= left <= 1
    assert share_left(hold, hold, decay) == 1 and share_left(hold + decay + 1, hold, decay) == 0
