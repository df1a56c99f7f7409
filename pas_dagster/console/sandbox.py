"""`pas sandbox serve`: the sandbox world over HTTP, in the formats of the sites and the broker it stands in for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from rich.console import Console

from pas_dagster import calendar
from pas_dagster.assets import resources
from pas_dagster.errors import PasError
from pas_dagster.sandbox import sites
from pas_dagster.sandbox.broker.server import BrokerSandbox
from pas_dagster.sandbox.broker.service import Addresses, Terms, open_for_business, opened
from pas_dagster.sandbox.faults import Fault, Weather, parse
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.tape import Player
from pas_dagster.sandbox.world import World


def run(
    seed: int,
    start: date,
    port: int,
    tape: Path | None,
    faults: Sequence[str],
    limited: bool,
    hosts: bool,
    terms: Terms,
) -> None:
    """Serve until interrupted."""
    if hosts:
        for host in sorted(sites.by_host()):
            print(host)
        return
    world = World(seed, start, calendar.today(_now()))
    player = Player(tape) if tape else None
    sandbox = Sandbox(world, _now, grows=True, limited=limited, tape=player, weather=_weather(faults))
    broker = opened(seed, start, _now, terms._replace(limited=limited))
    with serving(sandbox, port) as url, open_for_business(broker, terms) as desk:
        console = Console()
        what = f"the tape {tape}" if tape else f"a world of {len(sites.by_host())} hosts, seed {seed}, from {start}"
        lines = [
            f"Serving {what} at {url}/HOST/PATH   (Ctrl-C ends it)",
            f'Use it: PAS_BASE_URLS=\'{{"*": "{url}"}}\' pas fetch DATASET',
            *_about(broker, desk, terms),
        ]
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _now() -> datetime:
    """The project's clock, which settings can shift."""
    return resources.now()


def _about(broker: BrokerSandbox, desk: Addresses, terms: Terms) -> list[str]:
    """Where the broker is, how to use it, and what it is not."""
    ids = "takes a client order id twice" if terms.duplicate_ids else "refuses a client order id it has seen"
    return [
        f"Serving an Alpaca account with {terms.cash:,} USD at {desk.rest}, its stream at {desk.stream}; it {ids}.",
        f"Use it: PAS_BROKER=alpaca PAS_BROKER_URL={desk.rest} PAS_ALPACA_KEY_ID={broker.key} "
        f"PAS_ALPACA_SECRET_KEY={broker.secret} pas rebalance --dry-run",
        "Its market has the NYSE's hours; its prices move from the world's close before to the session's own. Its "
        "books are in memory: they end with this process, and another one opens a new account.",
    ]


def _weather(texts: Sequence[str]) -> list[Weather]:
    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except ValueError:
            kinds = ", ".join(fault.value for fault in Fault)
            raise PasError(f"--fault {text!r} is not HOST[/PATH]=FAULT[*TIMES] with a fault of: {kinds}.") from None
    return found
