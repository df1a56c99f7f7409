"""Who may send: not while the row or the file halts, live only while armed for this very account, and at once."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import Receipt, Ticket
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import halts, migrations, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.halts import Arm
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.test_replay import same
from pas_dagster_tests.execution.world import SESSIONS

DAY = date(2024, 1, 2)
NOW = datetime(2024, 1, 2, 15, tzinfo=UTC)
SIM = AccountSpec("sim", opened=DAY)
LIVE = AccountSpec("real", broker="other", mode="live", opened=DAY)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / halts.HALT_FILE


def halted(ledger: Ledger, account: str = "sim") -> str:
    return ledger.run(lambda connection: ledger.why_halted(connection, account))


def arm(ledger: Ledger, minutes: float = 10, *, at: datetime = NOW, account: str = "real", owner: str = "real") -> None:
    record = Arm(account, owner, at, at + timedelta(minutes=minutes), "me")
    ledger.run(lambda connection: halts.arm(connection, record))


def unarmed(ledger: Ledger, now: datetime = NOW, owner: str = "real") -> str:
    found = ledger.run(lambda connection: halts.newest_arm(connection, "real"))
    return halts.why_unarmed(found, owner, now)


def test_either_the_row_or_the_file_halts(url: str, file: Path) -> None:
    ledger = Ledger(url, file)
    ledger.open_account(SIM)
    assert halted(ledger) == ""
    halts.write_file(file, "me: looks odd")
    assert "looks odd" in halted(ledger)
    with pytest.raises(PasError, match="by the file"):
        ledger.open_account(SIM)
    ledger.halt("sim", "me", "a row too", NOW)
    assert "a row too" in halted(ledger)
    halts.remove_file(file)
    assert "a row too" in halted(ledger)
    ledger.clear_halt("sim", "me", "fine", NOW)
    assert ledger.open_account(SIM) == 1
    ledger.close()


def test_the_file_halts_an_account_that_is_new(url: str, file: Path) -> None:
    ledger = Ledger(url, file)
    file.touch()
    with pytest.raises(PasError, match="it gives no reason"):
        ledger.open_account(SIM)
    assert ledger.run(lambda c: c.scalar(sa.select(sa.func.count()).select_from(tables.account))) == 0
    ledger.close()


def test_a_file_that_cannot_be_looked_at_halts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert halts.file_says(None) == ""
    assert halts.file_says(file) == ""
    file.symlink_to(file.parent / "nowhere")
    assert halts.file_says(file) == "it gives no reason"
    file.unlink()
    file.mkdir()
    assert halts.file_says(file) == "it gives no reason"
    assert "not there" in halts.file_says(file.parent / "gone" / "HALT")

    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refuse)
    assert "cannot be looked at" in halts.file_says(file)


def test_what_the_file_says_is_one_bounded_line(file: Path) -> None:
    halts.write_file(file, "line one\nline two\x00" + "x" * 10**5)
    said = halts.file_says(file)
    assert said.startswith("line one line two")
    assert len(said) <= halts.LONGEST_REASON
    file.write_bytes(b"\xff\xfe")
    assert halts.file_says(file)
    assert halts.remove_file(file) is True
    assert halts.remove_file(file) is False


def test_the_first_reason_stays_and_every_event_is_kept(ledger: Ledger) -> None:
    ledger.open_account(SIM)
    ledger.halt("sim", "reconciliation", "cash differs", NOW)
    ledger.halt("sim", "me", "lunch", NOW + timedelta(hours=1))
    assert "2024-01-02 15:00 UTC: cash differs" in halted(ledger)
    events = ledger.run(lambda c: c.execute(sa.select(tables.halt.c.why).order_by(tables.halt.c.id)).scalars().all())
    assert events == ["cash differs", "lunch"]


def test_once_halting_has_returned_nothing_is_marked(ledger: Ledger) -> None:
    """Also not by a transaction that looked at the books before."""
    ledger.open_account(SIM)
    tries: list[str] = []

    def work(connection: sa.Connection) -> str:
        connection.execute(sa.select(tables.txn)).all()  # from here on it sees the past
        if not tries:
            ledger.halt("sim", "me", "now", NOW)
        tries.append("")
        return ledger.why_halted(connection, "sim")

    assert "now" in ledger.run(work)
    assert len(tries) == 2


def test_halting_waits_for_an_order_that_is_being_marked(ledger: Ledger) -> None:
    ledger.open_account(SIM)
    inside, done = threading.Event(), threading.Event()
    order: list[str] = []

    def mark(connection: sa.Connection) -> None:
        assert ledger.why_halted(connection, "sim") == ""
        inside.set()
        assert not done.wait(0.3)
        order.append("marked")

    def halt() -> None:
        inside.wait(10)
        ledger.halt("sim", "me", "now", NOW)
        done.set()
        order.append("halted")

    thread = threading.Thread(target=halt)
    thread.start()
    ledger.run(mark)
    thread.join()
    assert order == ["marked", "halted"]


def test_once_disarming_has_returned_nothing_is_marked(ledger: Ledger) -> None:
    ledger.open_account(LIVE)
    arm(ledger)
    tries: list[str] = []

    def work(connection: sa.Connection) -> str:
        connection.execute(sa.select(tables.txn)).all()
        if not tries:
            arm(ledger, minutes=0, at=NOW + timedelta(seconds=1))
        tries.append("")
        assert ledger.why_halted(connection, "real") == ""
        return halts.why_unarmed(halts.newest_arm(connection, "real"), "real", NOW + timedelta(seconds=2))

    assert "expired" in ledger.run(work)
    assert len(tries) == 2


def test_an_arm_record_is_for_one_account_and_for_a_time(ledger: Ledger) -> None:
    ledger.open_account(LIVE)
    assert "never armed" in unarmed(ledger)
    arm(ledger)
    assert unarmed(ledger) == ""
    assert "another one" in unarmed(ledger, owner="someone")
    assert "another one" in unarmed(ledger, owner="")
    assert unarmed(ledger, NOW + timedelta(minutes=9, seconds=59)) == ""
    assert "expired" in unarmed(ledger, NOW + timedelta(minutes=10))
    assert "clock" in unarmed(ledger, NOW - timedelta(seconds=1))


def test_the_newest_arm_record_counts(ledger: Ledger) -> None:
    ledger.open_account(LIVE)
    arm(ledger)
    arm(ledger, minutes=0)
    assert "expired" in unarmed(ledger)
    arm(ledger, owner="someone")
    assert "another one" in unarmed(ledger)
    arm(ledger)
    assert unarmed(ledger) == ""


def test_only_a_known_live_account_is_armed_and_for_a_day_at_most(ledger: Ledger) -> None:
    ledger.open_account(SIM)
    ledger.open_account(LIVE)
    with pytest.raises(PasError, match="simulated account"):
        arm(ledger, account="sim")
    with pytest.raises(PasError, match="no account 'other'"):
        arm(ledger, account="other")
    with pytest.raises(ValueError, match="at most"):
        arm(ledger, minutes=24 * 60 + 1)


class Pulled:
    """A broker during whose n-th order somebody pulls the kill switch. `lost`: its answers never arrive."""

    def __init__(self, broker: Any, pull: Any, at: int, *, lost: bool = False, owner: str = "") -> None:
        self._broker, self._pull, self._at, self._lost, self._owner = broker, pull, at, lost, owner
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def account(self) -> Any:
        from dataclasses import replace

        found = self._broker.account()
        return replace(found, id=self._owner) if self._owner else found

    def find(self, cid: str) -> Any:
        return None if self._lost else self._broker.find(cid)

    def submit(self, ticket: Ticket) -> Receipt:
        self.sent += 1
        if self.sent == self._at:
            self._pull()
        return Receipt("unknown") if self._lost else self._broker.submit(ticket)


def trade(ledger: Ledger, spec: AccountSpec, broker: Any, now: datetime = NOW) -> Any:
    return run_batch(ledger, spec, world.targets()[DAY], DAY, world.market(), broker, lambda: now)


def states(ledger: Ledger) -> list[str]:
    return ledger.run(lambda c: sorted(c.scalars(sa.select(tables.orders.c.state))))


@pytest.mark.parametrize("how", ["row", "file"])
def test_the_kill_switch_pulled_midway_stops_the_rest(url: str, file: Path, how: str) -> None:
    ledger, spec, market = Ledger(url, file), world.spec(), world.market()
    pull = {
        "row": lambda: ledger.halt("sim", "me", "stop", NOW),
        "file": lambda: halts.write_file(file, "stop"),
    }[how]
    broker = Pulled(connect(ledger, spec, market), pull, at=2)
    with pytest.raises(PasError, match="stop"):
        trade(ledger, spec, broker)
    assert broker.sent == 2
    planned = states(ledger).count("planned")
    assert planned == len(states(ledger)) - 2
    assert states(ledger).count("filled") == 2  # what was sent is booked all the same
    with pytest.raises(PasError, match="stop"):
        trade(ledger, spec, broker)
    assert broker.sent == 2
    halts.remove_file(file)
    ledger.clear_halt("sim", "me", "on", NOW)
    final = trade(ledger, spec, connect(ledger, spec, market))
    assert "planned" not in states(ledger)
    assert len(final.order_batch) == planned + 2
    ledger.close()


def test_who_resumes_while_a_run_is_stopped_does_not_let_it_go_on(ledger: Ledger) -> None:
    """The rest of that run stays unsent: its sells were held back, so its buys are as well."""
    spec, market = world.spec(), world.market()
    asked: list[str] = []

    class Flickering(Ledger):
        def why_halted(self, connection: sa.Connection, account: str) -> str:
            asked.append(account)
            return "halted for a moment" if len(asked) == 3 else ""

    flickering = Flickering(ledger.url)
    broker = Pulled(connect(ledger, spec, market), lambda: None, at=0)
    with pytest.raises(PasError, match="for a moment"):
        trade(flickering, spec, broker)
    assert (broker.sent, len(asked)) == (1, 3)
    flickering.close()


def test_an_order_with_an_unknown_outcome_is_not_sent_again_once_halted(ledger: Ledger) -> None:
    spec, market = world.spec(), world.market()
    broker = Pulled(connect(ledger, spec, market), lambda: ledger.halt("sim", "me", "stop", NOW), at=1, lost=True)
    with pytest.raises(PasError, match="stop"):
        trade(ledger, spec, broker)
    assert broker.sent == 1
    assert states(ledger).count("submitting") == 1
    ledger.clear_halt("sim", "me", "on", NOW)
    final = trade(ledger, spec, connect(ledger, spec, market))
    past = replay(ledger, world.spec(id="past"), world.targets(), SESSIONS[:1], market)
    same(final, past, ids=False)


def test_a_live_account_sends_only_while_armed_for_the_brokers_account(ledger: Ledger) -> None:
    spec, market = world.spec(id="real", broker="other", mode="live"), world.market()
    broker = Pulled(connect(ledger, spec, market), lambda: None, at=0, owner="account-7")
    with pytest.raises(PasError, match="never armed"):
        trade(ledger, spec, broker)
    arm(ledger, owner="another")
    with pytest.raises(PasError, match="another one"):
        trade(ledger, spec, broker)
    arm(ledger, owner="account-7")
    with pytest.raises(PasError, match="expired"):
        trade(ledger, spec, broker, NOW + timedelta(minutes=10))
    assert broker.sent == 0
    assert set(states(ledger)) == {"planned"}
    trade(ledger, spec, broker, NOW + timedelta(minutes=9))
    assert broker.sent > 0
    assert set(states(ledger)) == {"filled"}


def test_disarmed_midway_the_rest_is_not_sent(ledger: Ledger) -> None:
    spec, market = world.spec(id="real", broker="other", mode="live"), world.market()
    ledger.open_account(spec)
    arm(ledger)
    off = lambda: arm(ledger, minutes=0)  # noqa: E731
    broker = Pulled(connect(ledger, spec, market), off, at=1)
    with pytest.raises(PasError, match="expired"):
        trade(ledger, spec, broker)
    assert broker.sent == 1


def test_the_arm_records_table_goes_down_and_up_again(ledger: Ledger) -> None:
    def to(revision: str) -> None:
        with ledger.engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(next(iter(migrations.__path__))))
            config.attributes["connection"] = connection
            (command.downgrade if revision == "0002" else command.upgrade)(config, revision)

    to("0002")
    assert not sa.inspect(ledger.engine).has_table("arm", schema=tables.LEDGER)
    to("head")
    ledger.open_account(LIVE)
    arm(ledger)
    assert unarmed(ledger) == ""
