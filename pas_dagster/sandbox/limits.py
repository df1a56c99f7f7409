"""Rate limits as a site enforces them: at most so many requests in any window, else 429."""

from __future__ import annotations

from collections import deque
from threading import Lock


class Limit:
    """Counts arrivals. `refused` is how often more came than the window permits."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._seconds = seconds
        self._arrivals: deque[float] = deque()
        self._lock = Lock()
        self.refused = 0

    def admit(self, now: float) -> float:
        """0 when the request is within the limit (it is counted), else the seconds until one is again."""
        with self._lock:
            while self._arrivals and self._arrivals[0] <= now - self._seconds:
                self._arrivals.popleft()
            if len(self._arrivals) < self._requests:
                self._arrivals.append(now)
                return 0.0
            self.refused += 1
            return self._arrivals[0] + self._seconds - now
