"""The sandbox world's broker as a service: an account on the world's prices, served with its stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import NamedTuple

from pas_dagster.errors import PasError
from pas_dagster.sandbox.broker.market import Path, WorldMarket
from pas_dagster.sandbox.broker.paper import PaperAccount, Rules
from pas_dagster.sandbox.broker.server import BrokerSandbox, Budget, serving
from pas_dagster.sandbox.broker.stream import Temper, streaming
from pas_dagster.sandbox.broker.trouble import Kind, Trouble, parse
from pas_dagster.sandbox.world import world

STREAM = "stream"


class Terms(NamedTuple):
    """How the broker is set up. Ports on loopback (0: a free one); `cash` in USD; `faults` as `troubles` reads them.

    `partial`, `rejected`: as in `Rules`. `limited`: no more than 200 requests a minute are answered.
    """

    port: int = 0
    stream_port: int = 0
    cash: int = 100_000
    faults: Sequence[str] = ()
    duplicate_ids: bool = False
    partial: float = 0.0
    rejected: float = 0.0
    limited: bool = False


class Addresses(NamedTuple):
    """Where the broker is: of its REST API without the version, and of its stream."""

    rest: str
    stream: str


def opened(seed: int, start: date, now: Callable[[], datetime], terms: Terms) -> BrokerSandbox:
    """A new account at the broker of the world that starts on a day; raises `PasError` for faults without sense."""
    market = WorldMarket(lambda session: world(seed, start, max(start, session)))
    rules = Rules(unique_ids=not terms.duplicate_ids, partial=terms.partial, rejected=terms.rejected)
    book = PaperAccount(Path(market.ends, seed), now, terms.cash, rules, seed=seed, actions=market.actions)
    return BrokerSandbox(book, budget=Budget() if terms.limited else None, troubles=troubles(terms.faults)[0])


@contextmanager
def open_for_business(sandbox: BrokerSandbox, terms: Terms) -> Generator[Addresses]:
    """Serve the account and its stream while the block runs."""
    with serving(sandbox, terms.port) as rest, streaming(sandbox, troubles(terms.faults)[1], terms.stream_port) as told:
        yield Addresses(rest, told)


def troubles(texts: Sequence[str]) -> tuple[list[Trouble], Temper]:
    """Faults of the REST API, `[METHOD ]PATH=KIND[+after][*TIMES]`, and of the stream.

    The stream's are `stream=repeats` (each event twice) and `stream=breaks*EVENTS` (once, after so many).
    Raises `PasError` for any other text.
    """
    found, temper = [], Temper()
    for text in texts:
        try:
            place, _, what = text.rpartition("=")
            if place == STREAM:
                temper = _tempered(temper, what)
            else:
                found.append(parse(text))
        except ValueError:
            kinds = ", ".join(kind.value for kind in Kind)
            raise PasError(
                f"--broker-fault {text!r} is not '[METHOD ]PATH=KIND[+after][*TIMES]', 'stream=repeats' or "
                f"'stream=breaks*EVENTS', with a kind of: {kinds}."
            ) from None
    return found, temper


def _tempered(temper: Temper, what: str) -> Temper:
    name, _, number = what.partition("*")
    if what == "repeats":
        return Temper(temper.breaks_after, repeats=True)
    if name == "breaks" and number.isdecimal() and int(number):
        return Temper(int(number), repeats=temper.repeats)
    raise ValueError(what)
