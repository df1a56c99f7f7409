"""The sources against the sandbox's web sites: `python -m benchmarks.sources [--full]`.

- Faults survived, of all that strike: benchmarks/weather.py says what survived means.
- The share of a site's permitted rate that the client reaches while the site enforces it. Baseline: that rate.
- Pages a second without a limit. Baseline: the same pages over a bare `requests.Session`, one after the other.
- 1,500 Wikimedia pages in one visit; with `--full` at the site's permitted 200 a minute, which takes 8 minutes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import requests

from benchmarks import weather
from pas_dagster import calendar
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.sites.site import Answer, Call, Present
from pas_dagster.sandbox.world import World
from pas_dagster.sources.client import Client, Guard, SystemClock, Traffic
from pas_dagster.sources.client.hosts import known
from pas_dagster.sources.page import Request
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Query, Reading, Source, Walk

BODY = b'{"items": [' + b",".join(b'{"timestamp": "2026041200", "views": %d}' % n for n in range(30)) + b"]}"
REPETITIONS = 3


def main(arguments: Sequence[str]) -> None:
    """Run the comparisons and print them."""
    _weather()
    for host, count in (("www.sec.gov", 150), ("data.alpaca.markets", 40)):
        _rate(host, count)
    _throughput(1500)
    if "--full" in arguments:
        _rate("wikimedia.org", 1500)


def _weather() -> None:
    survived, struck, quiet, failed = 0, 0, 0, []
    with tempfile.TemporaryDirectory() as folder, weather.staged(Path(folder)) as stage:
        for source in weather.sources():
            outcomes = [outcome for outcome in weather.cells(stage, source) if outcome.struck]
            quiet += sum(outcome.quiet for outcome in outcomes)
            outcomes = [outcome for outcome in outcomes if not outcome.quiet]
            struck += len(outcomes)
            survived += sum(outcome.problem is None for outcome in outcomes)
            failed += [outcome for outcome in outcomes if outcome.problem]
            print(f"  {source.dataset:20} {source.name:16} {len(outcomes)} faults", flush=True)
    print(f"faults survived {survived} of {struck}; {quiet} more emptied answers that nothing tells from a quiet day")
    for outcome in failed:
        print(
            f"  {outcome.source.name}/{outcome.source.dataset} {outcome.fault.value} {outcome.place}: {outcome.problem}"
        )


def _fixed(_: Present, call: Call) -> Answer:
    return Answer(BODY, type="application/json")


def _asking(host: str, count: int) -> Source:
    def walk(_: Query) -> Walk:
        yield [Request(f"https://{host}/page/{n}") for n in range(count)]

    def read(_: object, __: Query) -> Reading:
        raise NotImplementedError

    return Source("rate", "wiki_views", "Rate", (host,), read, walk=walk)


def _query() -> Query:
    now = datetime.now(UTC)
    return Query(calendar.today(now), calendar.today(now), now)


def _rate(host: str, count: int) -> None:
    """Ask as fast as permitted while the site refuses whoever is faster."""
    limit = known(host)
    world = World(7, date(2026, 1, 2), date(2026, 1, 9))
    sandbox = Sandbox(world, site=_fixed, limited=True)
    with tempfile.TemporaryDirectory() as folder, serving(sandbox) as url:
        client = Client(RawStore(Path(folder)), Traffic(Guard({"*": url}), SystemClock(), contact="benchmark"))
        began = time.monotonic()
        client.pages(_asking(host, count), _query())
        seconds = time.monotonic() - began
    permitted = limit.requests / limit.seconds
    refused = sandbox.limits[host].refused
    print(
        f"{host}: {count} pages in {seconds:.1f} s = {(count - 1) / seconds / permitted:.1%} of the permitted "
        f"{limit.requests} per {limit.seconds:g} s; {refused} refused"
    )


def _throughput(count: int) -> None:
    """Without limits: what the client's care costs over a bare session."""
    world = World(7, date(2026, 1, 2), date(2026, 1, 9))
    with tempfile.TemporaryDirectory() as folder, serving(Sandbox(world, site=_fixed)) as url:
        traffic = Traffic(Guard({"*": url}), SystemClock(), contact="benchmark", hurried=True)
        client = Client(RawStore(Path(folder)), traffic)

        def polite() -> None:
            client.pages(_asking("wikimedia.org", count), _query())

        def bare() -> None:
            with requests.Session() as session:
                for n in range(count):
                    assert session.get(f"{url}/wikimedia.org/page/{n}").content == BODY

        ours, theirs = _median(polite), _median(bare)
    print(
        f"{count} pages without a limit: {ours:.2f} s; bare requests.Session {theirs:.2f} s; ratio {theirs / ours:.2f}"
    )


def _median(run: Callable[[], None]) -> float:
    seconds = []
    for _ in range(REPETITIONS):
        began = time.monotonic()
        run()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
