"""A time limit for code that is not ours: a strategy that loops is stopped, and the others go on.

A thread raises `TookTooLong` in the watched one, again and again until the limited block ends, so that a loop which
swallows exceptions is left as well. Code that never returns to the interpreter (one endless call into C) cannot be
stopped this way.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import TracebackType

PAUSE = 0.02  # seconds between looks at the clock


class TookTooLong(BaseException):
    """The block had no more time."""


class Watchdog:
    """Watches the thread that enters it. One thread serves any number of limited blocks, one after the other.

    >>> with Watchdog() as dog:
    ...     try:
    ...         with dog.limit(0.05):
    ...             while True:
    ...                 pass
    ...     except TookTooLong:
    ...         print("stopped")
    stopped
    """

    def __enter__(self) -> Watchdog:
        self._target = threading.get_ident()
        self._deadline: float | None = None
        self._raised = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="strategy-watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._over.set()
        self._thread.join()

    @contextmanager
    def limit(self, seconds: float) -> Generator[None]:
        """Run the block for at most so long; raises `TookTooLong`."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._call_off()

    def _call_off(self) -> None:
        """No further exception, and one that is on its way rises here and no later."""
        while self._deadline is not None:
            with suppress(TookTooLong), self._lock:
                self._deadline = None
        if self._raised:
            with suppress(TookTooLong):
                for _ in range(1000):  # steps of the interpreter at which it may rise
                    pass
            self._raised = False

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            with self._lock:
                if self._deadline is not None and time.monotonic() > self._deadline:
                    self._raised = True
                    thread, error = ctypes.c_ulong(self._target), ctypes.py_object(TookTooLong)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
