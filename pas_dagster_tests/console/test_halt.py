"""`pas halt`, `pas resume`, `pas arm` and `pas ledger`, as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa

from pas_dagster import postgres, settings
from pas_dagster.console import who
from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import BrokerOrder
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import halts, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.verify import verify
from pas_dagster.settings import Settings
from pas_dagster_tests.console.command import Pas, command
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS, Tables
from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["ledger", "server", "url"]
DAY = date(2024, 1, 2)
NOON = datetime(2024, 1, 2, 17, tzinfo=UTC)


@pytest.fixture
def home(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A made home on the test's own database, and nothing of this machine's settings."""
    for name in list(os.environ):
        if name.startswith("PAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("PAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(postgres.URL_VARIABLE, url)
    settings.make_home(settings.load())
    yield tmp_path / "home"


@pytest.fixture
def pas(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pas:
    """Run a command: exit code, output, errors."""
    return command(monkeypatch, capsys)


def trade(ledger: Ledger) -> None:
    """A session whose closes are not known: its orders rest at the broker."""
    full = world.market()
    early = Tables({day: bars for day, bars in full.bars.items() if day < DAY})
    broker = connect(ledger, world.spec(), early)
    run_batch(ledger, world.spec(), world.targets()[DAY], DAY, early, broker, lambda: NOON)


def accounts(ledger: Ledger) -> dict[str, str | None]:
    return ledger.run(lambda c: dict(c.execute(sa.select(tables.account.c.id, tables.account.c.halt_reason)).all()))


def test_halt_writes_row_and_file_and_resume_takes_both_away(pas: Pas, home: Path, ledger: Ledger) -> None:
    ledger.open_account(world.spec())
    ledger.open_account(world.spec(id="second"))
    code, out, _ = pas("halt", "--reason", "looks [odd]")
    assert (code, "Halted: second, sim." in out) == (0, True)
    assert accounts(ledger) == {"sim": "looks [odd]", "second": "looks [odd]"}
    assert "looks [odd]" in halts.file_says(home / "HALT")
    with pytest.raises(PasError, match="looks"):
        ledger.open_account(world.spec())
    code, out, _ = pas("resume")
    assert code == 0
    assert out.count("looks [odd]") == 3
    assert accounts(ledger) == {"sim": None, "second": None}
    assert not (home / "HALT").exists()
    assert ledger.open_account(world.spec()) == 1
    assert "Nothing was halted" in pas("resume")[1]


def test_halting_twice_is_halting(pas: Pas, ledger: Ledger) -> None:
    ledger.open_account(world.spec())
    assert pas("halt", "--reason", "first")[0] == 0
    assert pas("halt", "--reason", "second")[0] == 0
    assert accounts(ledger) == {"sim": "first"}


def test_a_home_without_accounts_is_halted_by_the_file(pas: Pas, home: Path, url: str) -> None:
    assert "No account was opened yet" in pas("halt")[1]
    opened = Ledger(url, home / halts.HALT_FILE)
    with pytest.raises(PasError, match="halted by hand"):
        opened.open_account(world.spec())
    opened.close()
    assert "Removed" in pas("resume")[1]


def test_without_a_database_the_file_halts(pas: Pas, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(postgres.URL_VARIABLE, "postgresql://pas@127.0.0.1:1/pas")
    code, _, err = pas("halt")
    assert code == 1
    assert "halts its accounts by itself" in err
    assert (home / "HALT").exists()
    code, _, err = pas("resume")
    assert code == 1
    assert (home / "HALT").exists()  # what cannot be asked does not go on


def test_a_file_that_cannot_be_written_does_not_save_the_accounts(
    pas: Pas, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.open_account(world.spec())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(halts, "write_file", full)
    code, out, _ = pas("halt")
    assert code == 0
    assert "No space left" in out
    assert accounts(ledger) == {"sim": "halted by hand"}


def test_orders_stay_at_the_broker_unless_told_to_cancel_them(pas: Pas, ledger: Ledger) -> None:
    trade(ledger)
    placed = tables.placed

    def states() -> set[str]:
        return ledger.run(lambda c: set(c.scalars(sa.select(placed.c.state))))

    assert states() == {"working"}
    assert "--cancel-open" in pas("halt")[1]
    assert states() == {"working"}
    code, out, _ = pas("halt", "--cancel-open")
    assert code == 0
    assert "sim: asked to cancel 5 open orders." in out
    assert states() == {"expired"}
    pas("resume")
    market = world.market()
    broker = connect(ledger, world.spec(), market)
    got = run_batch(ledger, world.spec(), world.targets()[DAY], DAY, market, broker, lambda: NOON)
    assert set(got.order_batch["state"]) == {"expired"}
    assert got.trades.empty


class Alpaca:
    """Stands for the adapter."""

    cancelled: list[str]

    def open_orders(self) -> list[BrokerOrder]:
        return [BrokerOrder(cid, DAY, "AAA", "buy", 1, 0, "working", "") for cid in ("pas-1", "by hand", "pas-2")]

    def cancel(self, cid: str) -> None:
        Alpaca.cancelled.append(cid)


def test_orders_of_others_are_left_and_one_broker_does_not_stop_the_next(
    pas: Pas, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, bool]] = []

    def connected(key: str, secret: str, address: str, *, live: bool, **_: object) -> Alpaca:
        assert (key, secret) == (("real", "other") if live else ("key", "secret"))
        made.append((address, live))
        return Alpaca()

    monkeypatch.setattr(Alpaca, "cancelled", [], raising=False)
    monkeypatch.setattr("pas_dagster.execution.brokers.alpaca.connect", connected)
    for name, value in (("", "key"), ("LIVE_", "real")):
        monkeypatch.setenv(f"PAS_ALPACA_{name}KEY_ID", value)
    monkeypatch.setenv("PAS_ALPACA_SECRET_KEY", "secret")
    monkeypatch.setenv("PAS_ALPACA_LIVE_SECRET_KEY", "other")
    monkeypatch.setenv("PAS_BROKER", "alpaca")
    monkeypatch.setenv("PAS_BROKER_URL", "http://127.0.0.1:8766")  # of the paper account, which the settings name
    ledger.open_account(AccountSpec("a", broker="elsewhere", mode="paper", opened=DAY))
    ledger.open_account(AccountSpec("b", broker="alpaca", mode="paper", opened=DAY))
    ledger.open_account(AccountSpec("c", broker="alpaca", mode="live", opened=DAY))
    code, out, err = pas("halt", "--cancel-open")
    assert code == 1
    assert "a: Orders at elsewhere cannot be cancelled from here" in err
    assert "Halted: a, b, c." in out
    assert made == [("http://127.0.0.1:8766", False), ("https://api.alpaca.markets", True)]
    assert Alpaca.cancelled == ["pas-1", "pas-2"] * 2


def test_arming_is_for_the_only_live_account_and_ends(pas: Pas, ledger: Ledger) -> None:
    code, _, err = pas("arm", "--minutes", "5")
    assert (code, "no live account" in err) == (1, True)
    ledger.open_account(world.spec())
    ledger.open_account(AccountSpec("real", broker="alpaca", mode="live", opened=DAY))
    assert "never armed" in unarmed(ledger, "real")
    assert pas("arm", "--minutes", "5", "--broker-account", "X7")[0] == 0
    assert unarmed(ledger, "X7") == ""
    assert "another one" in unarmed(ledger, "real")
    assert "disarmed" in pas("arm", "--off")[1]
    assert "expired" in unarmed(ledger, "real")
    assert pas("arm", "--minutes", "5")[0] == 0
    assert unarmed(ledger, "real") == ""


def unarmed(ledger: Ledger, owner: str) -> str:
    found = ledger.run(lambda connection: halts.newest_arm(connection, "real"))
    return halts.why_unarmed(found, owner, datetime.now(UTC))


def test_of_several_live_accounts_one_is_named_to_arm_and_all_are_disarmed(pas: Pas, ledger: Ledger) -> None:
    for name in ("real", "more"):
        ledger.open_account(AccountSpec(name, broker="alpaca", mode="live", opened=DAY))
    assert "several live accounts (more, real)" in pas("arm", "--minutes", "5")[2]
    assert pas("arm", "--minutes", "5", "--account", "real")[0] == 0
    out = pas("arm", "--off")[1]
    assert ("more is disarmed" in out, "real is disarmed" in out) == (True, True)
    assert "expired" in unarmed(ledger, "real")


@pytest.mark.parametrize(
    "arguments",
    [
        ("arm",),
        ("arm", "--minutes", "5", "--off"),
        ("arm", "--minutes", "0"),
        ("arm", "--minutes", "1441"),
        ("arm", "--minutes", "5", "--account", "sim"),
        ("arm", "--minutes", "5", "--account", "nobody"),
        ("ledger", "export", "positions"),
        ("ledger", "export", "trades", "--format", "xml"),
        ("ledger", "export", "trades", "--account", "nobody"),
        ("ledger", "export", "trades", "--out", "/no/such/folder/x.csv"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(pas: Pas, ledger: Ledger, arguments: tuple[str, ...]) -> None:
    ledger.open_account(world.spec())
    code, out, err = pas(*arguments)
    assert code in (1, 2)
    assert out == ""
    assert "Traceback" not in err
    assert err


@pytest.mark.parametrize(
    "arguments", [("halt",), ("resume",), ("arm", "--off"), ("ledger", "verify"), ("ledger", "export", "trades")]
)
def test_without_a_home_there_is_nothing_to_stop_or_to_read(
    pas: Pas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PAS_HOME", str(tmp_path / "other"))
    code, _, err = pas(*arguments)
    assert (code, "There is no data in" in err) == (1, True)
    assert not (tmp_path / "other").exists()


def test_verify_prints_a_line_for_each_check_and_fails_with_the_first_differences(pas: Pas, ledger: Ledger) -> None:
    replay(ledger, world.spec(), world.targets(), SESSIONS[:5], world.market())
    code, out, _ = pas("ledger", "verify")
    assert code == 0
    assert len(out.splitlines()) == len(verify(ledger)) > 10
    assert all(line.startswith("ok ") for line in out.splitlines())
    ledger.run(lambda c: c.execute(sa.text("update ledger.balance set amount = amount + 1 where asset = '$'")))
    code, out, _ = pas("ledger", "verify")
    assert code == 1
    assert "WRONG  balances and the journal" in out
    assert "holds" in out
    code, out, _ = pas("ledger", "verify", "--json")
    assert code == 1
    assert sum(one["count"] > 0 for one in json.loads(out)) >= 3


def test_export_to_the_terminal_and_to_a_file(pas: Pas, ledger: Ledger, tmp_path: Path) -> None:
    assert "No account has traded" in pas("ledger", "export", "trades")[2]
    replay(ledger, world.spec(), world.targets(), SESSIONS[:5], world.market())
    rows = [json.loads(line) for line in pas("ledger", "export", "trades")[1].splitlines()]
    assert len(rows) > 5
    assert list(rows[0]) == ["timestamp", "symbol", "side", "qty", "price", "nav", "cash_left"]
    path = tmp_path / "log.csv"
    out = pas("ledger", "export", "trades", "--format", "csv", "--out", str(path))[1]
    assert f"{len(rows)} trades are in {path}." in out
    assert list(csv.DictReader(StringIO(path.read_text()))) == rows
    replay(ledger, world.spec(id="more"), world.targets(), SESSIONS[:1], world.market())
    assert "several accounts (more, sim)" in pas("ledger", "export", "trades")[2]
    assert len(pas("ledger", "export", "trades", "--account", "sim")[1].splitlines()) == len(rows)


def test_a_reader_that_has_seen_enough_is_no_error(home: Path, ledger: Ledger) -> None:
    replay(ledger, world.spec(), world.targets(), SESSIONS, world.market())
    command = f"{sys.executable} -m pas_dagster.cli ledger export trades | head -c 5"
    environment = {**os.environ, "PAS_HOME": str(home)}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"tim', "")


def test_nobody_is_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr(who.getpass, "getuser", nameless)
    assert who.user() == "unknown"
