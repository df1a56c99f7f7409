"""What others do: manual orders, splits, renames, resets, wrong clocks, halts, old backups, a second executor."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.faulty import scenario
from benchmarks.faulty.cells import Cell, MissedError, Play, run
from benchmarks.faulty.crashes import Fuse, at_point, at_request, ended, errand, killed_at, start
from benchmarks.faulty.network import ORDERS
from benchmarks.faulty.stage import Firm, Stage, WatchedLedger, execute, other
from pas_dagster.execution.market import CorporateAction
from pas_dagster.ledger.halts import write_file
from pas_dagster.sandbox.broker.paper import Wish
from pas_dagster.sandbox.broker.server import KEY, SECRET
from pas_dagster.sandbox.broker.stream import Temper, streaming
from pas_dagster.sandbox.broker.trouble import Kind, Trouble

POST = "post /orders"
MANUAL = "by-hand"


def _then_run(act: Play) -> Play:
    """Something happens before the run."""

    def play(firm: Firm) -> None:
        act(firm)
        run(firm)

    return play


def _order(side: str, symbol: str, quantity: str, *, fills: bool = True) -> Play:
    """Somebody sends an order by hand, which fills at once or rests until it does as the symbol's others."""

    def act(firm: Firm) -> None:
        with firm.book.lock:
            pattern = firm.book.rules.patterns.pop(symbol, None) if fills else None
            firm.book.place(Wish(symbol, side, f"{MANUAL}-{len(firm.book.orders)}", Decimal(quantity)))
            firm.book.advance()
            if pattern is not None:
                firm.book.rules.patterns[symbol] = pattern

    return act


def manual(stage: Stage) -> Iterator[Cell]:
    """Orders of another hand: overnight, between two requests, in what we sell, in what we hold not."""
    trades = {
        "a buy of what nobody holds": _order("buy", "EEE", "3"),
        "a sale of some of what is held": _order("sell", "AAA", "10"),
        "a sale of all that we are about to sell": _order("sell", "DDD", "147.861692447"),
        "a sale of most of what one sleeve sells and another buys": _order("sell", "BBB", "400"),
        "a buy that takes our cash": _order("buy", "CCC", "45"),
    }
    for name, act in trades.items():
        yield Cell("manual order and position", f"overnight: {name}", _then_run(act), same=False)
    del trades["a sale of all that we are about to sell"]
    during = trades | {
        "a sale of what our order leaves": _order("sell", "DDD", "45"),
        "a buy that rests": _order("buy", "EEE", "2", fills=False),
    }
    for name, act in during.items():
        for post in (1, 3, 4):
            yield Cell(
                "manual order and position", f"after POST {post}: {name}", at_request(POST, post, act), same=False
            )
    yield Cell("manual order and position", "our order is cancelled by hand", at_request(POST, 3, _cancel), same=False)
    yield Cell("manual order and position", "a position appears", _then_run(_journaled), same=False)


def _cancel(firm: Firm) -> None:
    with firm.book.lock:
        firm.book.cancel(firm.book.open_orders()[-1].id)


def _journaled(firm: Firm) -> None:
    firm.book.enter("JNLS", symbol="EEE", shares=Decimal(7))


def differences(stage: Stage) -> Iterator[Cell]:
    """The broker's books differ from ours, and nothing that he tells of explains it."""
    for name, act in (("a share less", _short), ("a share that nobody bought", _long), ("a dollar less", _poor)):
        yield Cell("unexplained difference", name, _then_run(act), halts=True, stays=True)


def _short(firm: Firm) -> None:
    firm.book.positions["AAA"] -= 1


def _long(firm: Firm) -> None:
    firm.book.positions["EEE"] = Decimal(1)


def _poor(firm: Firm) -> None:
    firm.book.cash -= 1


def reshaped(stage: Stage) -> Iterator[Cell]:
    """A split and a rename overnight: told by the data or not, shown by the broker or not yet, and killed in it."""
    for told in (True, False):
        for ratio in ("4", "0.25"):
            name = f"{ratio} for one, {'told' if told else 'not told'} by the data"
            yield Cell("overnight split", name, _then_run(_split(ratio, told=told)), same=False)
            killed = _killed_after(_split(ratio, told=told), 60)
            yield Cell("overnight split", f"{name}, and killed", killed, same=False)
    yield Cell("overnight split", "told by the data, not shown by the broker", _then_run(_announced), same=False)
    for name, act, at in (("in peace", _renamed, 60), ("not told by the data before", _renamed_untold, 8)):
        yield Cell("symbol change", name, _then_run(act), mend=_tell, same=False)
        yield Cell("symbol change", f"{name}, and killed", _killed_after(act, at), mend=_tell, same=False)
    yield Cell("symbol change", "while our order rests", at_request(POST, 3, _split_now), same=False)


def _killed_after(act: Play, at: int) -> Play:
    def play(firm: Firm) -> None:
        act(firm)
        killed_at(at)(firm)

    return play


def _split(ratio: str, *, told: bool) -> Play:
    def act(firm: Firm) -> None:
        firm.book.split("AAA", Decimal(ratio))
        firm.quotes["AAA"] = round(firm.quotes["AAA"] / float(ratio), 6)
        if told:
            firm.market.events[firm.day] = [CorporateAction("split", "AAA", float(ratio))]

    return act


def _split_now(firm: Firm) -> None:
    with firm.book.lock:
        _split("2", told=False)(firm)


def _announced(firm: Firm) -> None:
    firm.market.events[firm.day] = [CorporateAction("split", "AAA", 4.0)]


def _tell(firm: Firm) -> None:
    """The data say it, too."""
    firm.market.events[firm.day] = [CorporateAction("symbol_change", "AAA", new_symbol="ZZZ")]


def _renamed(firm: Firm) -> None:
    _tell(firm)
    _renamed_untold(firm)


def _renamed_untold(firm: Firm) -> None:
    firm.book.rename("AAA", "ZZZ")
    firm.quotes["ZZZ"] = firm.quotes.pop("AAA")


def resets(stage: Stage) -> Iterator[Cell]:
    """The account at the broker is another one, overnight or between two requests."""
    for name, play in (
        ("overnight", _then_run(_reset)),
        ("in the middle", _and_again(at_request(POST, 2, _reset))),
    ):
        yield Cell("account reset", name, play, halts=True, stays=True)


def _reset(firm: Firm) -> None:
    with firm.book.lock:
        firm.book.reset(scenario.CASH)


def _and_again(play: Play) -> Play:
    def both(firm: Firm) -> None:
        play(firm)
        run(firm)

    return both


def clocks(stage: Stage) -> Iterator[Cell]:
    """Our clock is wrong, from the start or suddenly; somebody sets it right."""
    for name, skew in _SKEWS.items():
        yield Cell("clock skew", f"{name} from the start", _skewed(skew), mend=_set_right, same=False)
        for post in (1, 3):
            jump = at_request(POST, post, _skew(skew))
            yield Cell("clock skew", f"{name} after POST {post}", jump, mend=_set_right, same=False)
        lost = Trouble(Kind.RESET, "POST", ORDERS, after=True, times=1)
        yield Cell(
            "clock skew",
            f"{name}, while an order that shows late is not known",
            _skewed_and_lost(skew, lost),
            mend=_set_right,
            same=False,
        )


_SKEWS = {
    "20 s fast": timedelta(seconds=20),
    "20 s slow": timedelta(seconds=-20),
    "8 h fast": timedelta(hours=8),
    "8 h slow": timedelta(hours=-8),
    "a day fast": timedelta(days=1),
    "a day slow": timedelta(days=-1),
}


def _skew(skew: timedelta) -> Play:
    def act(firm: Firm) -> None:
        firm.skew = skew

    return act


def _skewed(skew: timedelta) -> Play:
    return _then_run(_skew(skew))


def _skewed_and_lost(skew: timedelta, trouble: Trouble) -> Play:
    def play(firm: Firm) -> None:
        firm.book.rules.order_lag = firm.book.rules.fill_lag = 300.0
        firm.patience = 5.0
        firm.sandbox.troubles.append(trouble)
        at_request(POST, 1, _skew(skew))(firm)
        run(firm)

    return play


def _set_right(firm: Firm) -> None:
    firm.skew = timedelta(0)
    firm.patience = 120.0
    firm.hand.advance(400)


def switches(stage: Stage) -> Iterator[Cell]:
    """The kill switch, by row and by file, at points spread over the run."""
    last = max(at for at, what in enumerate(stage.points, 1) if what == POST)
    for name, act in (("row", _halt_row), ("file", _halt_file)):
        for at in range(8, last, 12):
            yield Cell("kill switch pulled midway", f"{name}, at point {at}", _pulled(act, at), halts=True)


def _pulled(act: Play, at: int) -> Play:
    """Once it is pulled no order is sent that was not marked before."""

    def play(firm: Firm) -> None:
        sent: list[int] = []

        def pull(firm: Firm) -> None:
            act(firm)
            sent.append(firm.posts())

        at_point(at, pull)(firm)
        run(firm)
        if firm.posts() > sent[0] + 1:
            raise AssertionError("orders were sent after the kill switch was pulled")

    return play


def _halt_row(firm: Firm) -> None:
    with closing(WatchedLedger(firm.ledger.url)) as other_hand:
        other_hand.halt(scenario.SPEC.id, "operator", "pulled", firm.hand())


def _halt_file(firm: Firm) -> None:
    write_file(firm.halt_file, "pulled")


def keys(stage: Stage) -> Iterator[Cell]:
    """The key is refused from some request on, for orders, for everything."""
    for kind in (Kind.UNAUTHORIZED, Kind.FORBIDDEN):
        for skip in (0, 1, 6, 14, 21, 25, 40):
            trouble = Trouble(kind, times=None, skip=skip)
            yield Cell("401 midway", f"{kind.value} from request {skip + 1} on", _refusing(trouble), halts=True)


def _refusing(trouble: Trouble) -> Play:
    def play(firm: Firm) -> None:
        firm.sandbox.troubles.append(trouble)
        run(firm)
        run(firm)

    return play


def backups(stage: Stage) -> Iterator[Cell]:
    """The ledger's database is set back to a copy from before it traded: it has to halt, whenever that is noticed."""
    for name, days in (("the same day", 0), ("the next day", 1), ("two days later", 2)):
        yield Cell("restored old backup", f"{name}", _restored(days), halts=True, stays=True)
    yield Cell("restored old backup", "while fills are told late", _restored(0, lag=600.0), halts=True, stays=True)
    for post in (1, 3, 5):
        yield Cell("restored old backup", f"of just after POST {post}", _rewound(post))
    yield Cell("restored old backup", "from before the account was opened", _emptied, halts=True, stays=True)


def _copy(firm: Firm, name: str) -> None:
    """Keep a copy of the database as it is."""
    firm.ledger.engine.dispose()
    own = firm.ledger.url.rpartition("?")[0].rpartition("/")[2]
    execute(
        firm.server,
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{own}'",  # noqa: S608
        f"drop database if exists {name} with (force)",
        f"create database {name} template {own}",
    )
    firm.spare.append(name)


def _go_back(firm: Firm, name: str) -> None:
    """Use the copy from now on."""
    firm.ledger.close()
    firm.ledger = WatchedLedger(other(firm.server, name), firm.halt_file)


def _restored(days: int, lag: float = 0.0) -> Play:
    def play(firm: Firm) -> None:
        _copy(firm, "faults_backup")
        firm.trade()
        for day in (scenario.THIRD, scenario.FOURTH)[:days]:
            firm.morning(day)
        _go_back(firm, "faults_backup")
        if lag:
            _hide_fills(firm)
        run(firm)

    return play


def _hide_fills(firm: Firm) -> None:
    """Fills of today are not told of."""
    later = firm.hand() + timedelta(hours=1)
    firm.book.fills[:] = [f._replace(seen_from=later) if f.at >= scenario.ten(firm.day) else f for f in firm.book.fills]


def _rewound(post: int) -> Play:
    """A copy is made in the middle of the day, and comes back when the day is over."""

    def play(firm: Firm) -> None:
        fuse = Fuse(post)
        if run(firm, lambda point: fuse(point) if point == POST else None) != "killed":
            raise MissedError(f"POST {post} was not reached")
        _copy(firm, "faults_backup")
        firm.trade()
        _go_back(firm, "faults_backup")

    return play


def _emptied(firm: Firm) -> None:
    firm.trade()
    execute(firm.server, "drop database if exists faults_backup with (force)", "create database faults_backup")
    firm.spare.append("faults_backup")
    _go_back(firm, "faults_backup")
    run(firm)


def twins(stage: Stage) -> Iterator[Cell]:
    """Two executors of one account: threads that begin together or one in the middle of the other; processes."""
    yield Cell("two executors at once", "two threads", _threads(2))
    yield Cell("two executors at once", "four threads", _threads(4))
    yield Cell("two executors at once", "two processes", _processes)
    yield Cell("two executors at once", "one is killed while the other waits", _killed_while_waited_for)


def _threads(number: int) -> Play:
    def play(firm: Firm) -> None:
        problems: list[str] = []

        def work() -> None:
            with closing(WatchedLedger(firm.ledger.url)) as own:
                try:
                    firm.trade(ledger=own)
                except Exception as error:  # noqa: BLE001  (a thread's error is told by the main one)
                    problems.append(f"{type(error).__name__}: {error}")

        workers = [threading.Thread(target=work) for _ in range(number)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if problems:
            raise AssertionError(problems[0])

    return play


def _processes(firm: Firm) -> None:
    both = [start(errand(firm)) for _ in range(2)]
    codes = [ended(one) for one in both]
    if codes != [0, 0]:
        raise AssertionError(f"the processes ended with {codes}")


def _killed_while_waited_for(firm: Firm) -> None:
    first = start(errand(firm, 70))
    second = start(errand(firm))
    codes = [ended(first), ended(second)]
    if codes[1] != 0:
        raise AssertionError(f"the process that waited ended with {codes[1]}")


def streams(stage: Stage) -> Iterator[Cell]:
    """The stream of events only wakes the desk: events that come twice, or not at all, make it look again."""
    yield Cell("duplicate stream events", "each event twice", _woken(Temper(repeats=True)))
    yield Cell("duplicate stream events", "the stream breaks off", _woken(Temper(breaks_after=2)))


def _woken(temper: Temper) -> Play:
    """The day is traded by short runs: one, and one more for every event that the stream tells."""

    def play(firm: Firm) -> None:
        firm.patience = 0.0
        events: list[bytes | str] = []
        with streaming(firm.sandbox, temper) as address, connect(address) as stream:
            _listen(stream)
            run(firm)
            for _ in range(40):
                with suppress(TimeoutError, ConnectionClosed):
                    events.append(stream.recv(timeout=0.05))
                    run(firm)
                firm.hand.advance(0.5)
        if len(events) < 2:
            raise MissedError("the stream told nothing")

    return play


def _listen(stream: ClientConnection) -> None:
    hello = {"action": "authenticate", "data": {"key_id": KEY, "secret_key": SECRET}}
    for said in (hello, {"action": "listen", "data": {"streams": ["trade_updates"]}}):
        stream.send(json.dumps(said))
        stream.recv(timeout=5)
