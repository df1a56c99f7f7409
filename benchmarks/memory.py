"""Memory of a command with all the processes that it starts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
PAUSE = 0.3  # seconds between looks


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it has ended
    return found


def family(root: int) -> set[int]:
    """The process and its descendants."""
    members, parents = {root}, _parents()
    while born := {child for child, parent in parents.items() if parent in members} - members:
        members |= born
    return members


def proportional(process: int) -> int:
    """Bytes of a process, what it shares with others counted by its part (PSS); 0 once it has ended."""
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Peak:
    """Watches a process and its descendants; `bytes` is the most they had at once."""

    def __init__(self, root: int) -> None:
        self._root, self._over, self.bytes = root, threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            self.bytes = max(self.bytes, sum(proportional(one) for one in family(self._root)))
