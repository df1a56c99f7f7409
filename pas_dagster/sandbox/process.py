"""The sandbox's server in a process of its own, so that serving and reading share the machine's cores.

`python -m pas_dagster.sandbox.process SEED START FD` serves on a socket that the parent has opened, until its standard
input ends: with the parent, whatever became of it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime

from pas_dagster import calendar
from pas_dagster.sandbox.server import Sandbox, serve_on
from pas_dagster.sandbox.world import world

_ENDS_WITHIN = 10  # seconds


@contextmanager
def apart(seed: int, start: date) -> Generator[str]:
    """Serve the world of a seed while the block runs. The address is there at once, the first answer takes a while."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [sys.executable, "-m", __name__, str(seed), start.isoformat(), str(listener.fileno())]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert child.stdin is not None
    try:
        yield url
    finally:
        child.stdin.close()
        try:
            child.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main(seed: int, start: date, descriptor: int) -> None:
    """Serve until standard input ends."""
    sandbox = Sandbox(world(seed, start, calendar.today(datetime.now(UTC))), grows=True)
    with serve_on(sandbox, socket.socket(fileno=descriptor)):
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        try:
            ended.wait()
        except KeyboardInterrupt:
            return  # Ctrl-C reaches the whole group; the parent has heard it too


if __name__ == "__main__":
    main(int(sys.argv[1]), date.fromisoformat(sys.argv[2]), int(sys.argv[3]))
