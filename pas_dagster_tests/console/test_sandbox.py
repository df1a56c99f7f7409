"""`pas sandbox serve`: sites and a broker on the world's prices, and how to use them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.trading.client import TradingClient
from alpaca.trading.stream import TradingStream

from pas_dagster import calendar, cli, settings
from pas_dagster.assets import resources
from pas_dagster.console import sandbox as command
from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.brokers.base import Ticket
from pas_dagster.ledger import units
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.market import WorldMarket
from pas_dagster.sandbox.broker.server import KEY, SECRET
from pas_dagster.sandbox.broker.service import Terms, open_for_business, opened
from pas_dagster.sandbox.world import world
from pas_dagster.settings import Settings

START, DAY = date(2026, 1, 5), date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=calendar.NEW_YORK)


@contextmanager
def trading(hand: Hand, **terms: Any) -> Iterator[tuple[alpaca.AlpacaBroker, str]]:
    chosen = Terms(**terms)
    with open_for_business(opened(7, START, hand, chosen), chosen) as desk:
        fast = {"requests_per_minute": 10**6, "data_requests_per_minute": 10**6}
        yield alpaca.connect(KEY, SECRET, desk.rest, **fast), desk.stream


def test_the_broker_trades_at_the_worlds_prices_in_the_exchanges_hours() -> None:
    hand = Hand(NOON)
    with trading(hand) as (broker, _):
        assert (broker.clock().session, broker.account().cash) == (DAY, units.money(100_000))
        quote = broker.quotes(["SPY"])["SPY"]
        assert quote.at == NOON
        broker.submit(Ticket("one", DAY, "SPY", "buy", units.SHARE))
        (fill,) = broker.executions(DAY)
        assert (fill.price, fill.at) == (quote.price, NOON)
        hand.to(calendar.closing(DAY) - timedelta(microseconds=1))
        close = WorldMarket(lambda session: world(7, START, session)).ends(DAY)["SPY"].last
        assert abs(broker.quotes(["SPY"])["SPY"].price - units.money(close)) <= units.money("0.005")
        hand.to(calendar.closing(DAY) + timedelta(hours=2))
        after = broker.quotes(["SPY"])["SPY"]
        assert (after.price, after.at) == (units.money(close), calendar.closing(DAY))
        assert broker.clock().session == date(2026, 3, 11)
        asset = broker.asset("SPY")
        assert asset is not None
        assert asset.tradable
        assert broker.asset("NOSUCH") is None


@pytest.mark.parametrize("taken", [True, False])
def test_ids_are_taken_once_unless_it_is_told_otherwise(taken: bool) -> None:
    with trading(Hand(NOON), duplicate_ids=taken) as (broker, _):
        for _ in range(2):
            assert broker.submit(Ticket("one", DAY, "SPY", "buy", units.SHARE)).outcome == "taken"
        assert broker.positions() == {"SPY": units.SHARE * (1 + taken)}


def test_its_stream_tells_what_happens_to_the_account() -> None:
    heard: list[str] = []
    told = threading.Event()

    async def hear(update: Any) -> None:
        heard.append(getattr(update.event, "value", update.event))
        told.set()

    with trading(Hand(NOON), faults=["stream=repeats"]) as (broker, address):
        stream = TradingStream(KEY, SECRET, url_override=address)
        stream.subscribe_trade_updates(hear)
        threading.Thread(target=stream.run, daemon=True).start()
        try:
            for number in range(100):
                broker.submit(Ticket(f"n{number}", DAY, "SPY", "buy", units.SHARE))
                if told.wait(0.05) and len(heard) > 3:
                    break
        finally:
            stream.stop()
    assert heard[:2] in (["new", "new"], ["fill", "fill"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("PAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("PAS_HOME", str(tmp_path / "home"))
    return tmp_path


Pas = Callable[..., tuple[int, str]]


@pytest.fixture
def pas(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pas:
    """Run a command that ends by itself: its exit code and what it says."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pas", "sandbox", "serve", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    return run


def test_its_hosts_can_be_listed_and_wrong_faults_are_one_sentence(pas: Pas) -> None:
    code, shown = pas("--hosts")
    assert code == 0
    assert "www.sec.gov" in shown.splitlines()
    code, shown = pas("--broker-fault", "/v2/orders=teapot")
    assert code == 1
    assert shown.startswith("pas: --broker-fault '/v2/orders=teapot' is not")
    assert shown.count("\n") == 1


def test_the_market_goes_by_the_projects_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "now", lambda: NOON)
    assert command._now() == NOON


def test_it_says_where_the_broker_is_how_to_use_it_and_that_it_forgets(home: Path) -> None:
    ports = ("--port", "0", "--broker-port", "0", "--stream-port", "0", "--broker-fault", "/v2/positions=503*1")
    arguments = [sys.executable, "-c", "from pas_dagster import cli; cli.main()", "sandbox", "serve", *ports]
    variables = {**os.environ, "PAS_START": "2026-01-05", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(arguments, cwd=home, env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        shown = "".join(lines)
        assert "Its books are in memory: they end with this process" in shown
        assert "refuses a client order id it has seen" in shown
        given = dict(re.findall(r"(PAS_\w+)=('[^']*'|\S+)", lines[3]))
        hosts = json.loads(dict(re.findall(r"(PAS_\w+)=('[^']*'|\S+)", lines[1]))["PAS_BASE_URLS"].strip("'"))
        assert lines[0].split(" at ")[1].startswith(hosts["*"])
        assert given["PAS_BROKER"] == "alpaca"
        url = given["PAS_BROKER_URL"]
        account: Any = TradingClient(
            given["PAS_ALPACA_KEY_ID"], given["PAS_ALPACA_SECRET_KEY"], url_override=url
        ).get_account()
        assert account.cash == "1000000"
        keys = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
        answers = [requests.get(f"{url}/v2/positions", headers=keys, timeout=5).status_code for _ in range(2)]
        assert answers == [503, 200]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
