"""`pas sandbox serve`: the sandbox world over HTTP, in the formats of the sites it stands in for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from rich.console import Console

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.sandbox import sites
from pas_dagster.sandbox.faults import Fault, Weather, parse
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.tape import Player
from pas_dagster.sandbox.world import World


def run(
    seed: int, start: date, port: int, tape: Path | None, faults: Sequence[str], limited: bool, hosts: bool
) -> None:
    """Serve until interrupted."""
    if hosts:
        for host in sorted(sites.by_host()):
            print(host)
        return
    world = World(seed, start, calendar.today(datetime.now(UTC)))
    sandbox = Sandbox(world, grows=True, limited=limited, tape=Player(tape) if tape else None, weather=_weather(faults))
    with serving(sandbox, port) as url:
        console = Console()
        what = f"the tape {tape}" if tape else f"a world of {len(sites.by_host())} hosts, seed {seed}, from {start}"
        console.print(f"Serving {what} at {url}/HOST/PATH   (Ctrl-C ends it)", highlight=False)
        console.print(f'Use it: PAS_BASE_URLS=\'{{"*": "{url}"}}\' pas fetch DATASET', highlight=False)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _weather(texts: Sequence[str]) -> list[Weather]:
    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except ValueError:
            kinds = ", ".join(fault.value for fault in Fault)
            raise PasError(f"--fault {text!r} is not HOST[/PATH]=FAULT[*TIMES] with a fault of: {kinds}.") from None
    return found
