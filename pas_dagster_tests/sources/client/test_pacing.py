"""The pace keeps a host's limit in every window, uses nearly all of it, and never waits for ever."""

from __future__ import annotations

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sources.client.pacing import MARGIN, Pace

LIMITS = st.sampled_from([(10, 1.0), (200, 60.0), (15, 60.0), (1, 1.1), (4, 1.0), (5, 60.0), (100, 60.0)])


def most_in_a_window(moments: list[float], seconds: float) -> int:
    """Oracle: the largest number of moments in any half-open window."""
    return max((sum(start <= t < start + seconds for t in moments) for start in moments), default=0)


def run(pace: Pace, arrivals: list[float], late: float) -> list[float]:
    """Let callers arrive; each asks, waits as told plus a little, and asks again. Gives when each began."""
    waiting = [(moment, number) for number, moment in enumerate(arrivals)]
    heapq.heapify(waiting)
    begun, asked = [], 0
    while waiting:
        asked += 1
        assert asked < 200 * len(arrivals) + 1000, "somebody waits for ever"
        now, number = heapq.heappop(waiting)
        wait = pace.take(now)
        if wait == 0:
            begun.append(now)
        else:
            heapq.heappush(waiting, (now + wait + late, number))
    return begun


@settings(max_examples=150, deadline=None)
@given(LIMITS, st.lists(st.floats(0, 300), min_size=1, max_size=60), st.floats(0, 0.002))
def test_no_window_holds_more_than_the_limit_whatever_the_bursts(limit, arrivals, late) -> None:
    requests, seconds = limit
    begun = run(Pace(requests, seconds), sorted(arrivals), late)
    assert len(begun) == len(arrivals)
    assert most_in_a_window(begun, seconds) <= requests


@settings(max_examples=50, deadline=None)
@given(LIMITS, st.floats(0, 0.0005))
def test_a_busy_client_gets_at_least_95_percent_of_the_permitted_rate(limit, late) -> None:
    requests, seconds = limit
    begun = run(Pace(requests, seconds), [0.0] * 150, late)
    assert (len(begun) - 1) / (begun[-1] - begun[0]) >= 0.95 * requests / seconds


@settings(max_examples=150, deadline=None)
@given(
    LIMITS,
    st.lists(st.tuples(st.booleans(), st.floats(0, 30)), min_size=1, max_size=80),
)
def test_every_caller_is_served_whatever_the_host_answers(limit, replies) -> None:
    """Random bursts of complaints with and without Retry-After: the wait always ends, and no pause is cut short."""
    requests, seconds = limit
    pace, now = Pace(requests, seconds), 0.0
    resumes = 0.0
    for complains, pause in replies:
        for _ in range(100):
            wait = pace.take(now)
            if wait == 0:
                break
            assert wait <= 64 * seconds / requests / MARGIN + 30 + 1e-6
            now += wait
        else:
            raise AssertionError("the wait did not end")
        assert now >= resumes - 1e-9, "a request began within the pause the host asked for"
        if complains:
            pace.throttled(now, pause)
            resumes = max(resumes, now + pause)
        else:
            pace.succeeded()
        assert 0 < pace.fraction <= 1


def test_a_complaint_halves_the_rate_and_success_restores_it_in_steps() -> None:
    pace = Pace(10, 1.0)
    pace.take(0.0)
    pace.throttled(0.0, 2.0)
    assert pace.fraction == 0.5
    pace.throttled(0.1, 0.0)  # another request of the same burst
    assert pace.fraction == 0.5
    assert pace.take(1.0) == 1.0
    assert pace.take(2.0) == 0.0
    assert abs(pace.take(2.0) - 2 / (10 * MARGIN)) < 0.02
    for _ in range(8):
        pace.succeeded()
    assert pace.fraction == 1.0
