"""How fast a host may be asked: a paced queue whose rate falls by half when the host complains and recovers in steps.

Additive increase, multiplicative decrease (Chiu & Jain 1989), on the spacing of the generic cell rate algorithm
(ITU-T I.371). Nothing waits inside: callers are told how long to wait, so nothing can block for ever.
"""

from __future__ import annotations

from threading import Lock

MARGIN = 0.97  # the share of the permitted rate aimed at: what arrives jitters
_CATCH_UP = 0.01  # of the window: how much of a late start may be made up for
_SLOWEST = 1 / 64
_STEP = 1 / 16


class Pace:
    """The pace of one host. In any window of `seconds` it lets at most `requests` begin. Safe to share by threads."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._interval = seconds / (requests * MARGIN)
        self._catch_up = _CATCH_UP * seconds
        self._next = float("-inf")
        self._paused_until = float("-inf")
        self._fraction = 1.0
        self._lock = Lock()

    @property
    def fraction(self) -> float:
        """The present rate as a share of the permitted one."""
        return self._fraction

    def take(self, now: float) -> float:
        """0 when a request may begin at `now` (it is then counted), else the seconds to wait before asking again."""
        with self._lock:
            due = max(self._next, self._paused_until)
            if due > now:
                return due - now
            self._next = max(self._next, now - self._catch_up) + self._interval / self._fraction
            return 0.0

    def succeeded(self) -> None:
        """The host answered: a step faster, up to the permitted rate."""
        with self._lock:
            self._fraction = min(1.0, self._fraction + _STEP)

    def throttled(self, now: float, pause: float) -> None:
        """The host complained: half as fast, and nothing before `pause` seconds are over."""
        with self._lock:
            if now >= self._paused_until:  # complaints about requests that were under way count once
                self._fraction = max(_SLOWEST, self._fraction / 2)
            self._paused_until = max(self._paused_until, now + pause)
            # what is due at the end of the pause starts from its end, at the new pace
            self._next = max(self._next, self._paused_until)
