"""Sensors: what asks for a session's trade between the schedules. All are off until someone switches them on.

A sensor only asks for runs; what a run may do is decided in it, by the account's lock, the plan that was kept, the
gates and the kill switch. A real account's session is planned once, so nothing is asked for that its plan would refuse:
what comes after it waits for the next session, in the cursor. Cursors are JSON. One that cannot be read, of another
version perhaps, counts as none: then only what concerns today is asked for, under run keys that Dagster knows already.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from dagster import (
    AssetKey,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from sqlalchemy.exc import SQLAlchemyError

from pas_dagster import calendar
from pas_dagster.assets import calls
from pas_dagster.assets.alerts import BREAKER
from pas_dagster.assets.resources import Workshop
from pas_dagster.automation import signals
from pas_dagster.automation.jobs import ALLOCATE, BOOKS, PRODUCED, STRATEGY_JOBS, TRADE
from pas_dagster.automation.signals import Account, Alarms, Landed
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.drift import beyond
from pas_dagster.execution.targets import rules

EVERY = 60  # seconds
WHY = "pas/why"
DECIDING = (TRADE.name, ALLOCATE.name, *(job.name for job in STRATEGY_JOBS.values()))
UNDEFINED_TABLE = "42P01"
DATA_AGE = "data_age"
PATIENT = 10  # minutes between polls after the close, and after a run that failed

Memory = dict[str, Any]


@dataclass
class Answer:
    """What is asked for, or why nothing is."""

    why: str
    requests: list[RunRequest] = field(default_factory=list)


Look = Callable[[DagsterInstance, Workshop, Memory], Answer]


def _sensor(name: str, description: str, look: Look) -> SensorDefinition:
    """A sensor whose memory is what `look` leaves in the dictionary that it is given."""

    @sensor(
        name=name,
        description=description,
        jobs=[TRADE, BOOKS],
        minimum_interval_seconds=EVERY,
        default_status=DefaultSensorStatus.STOPPED,
    )
    def _evaluate(context: SensorEvaluationContext, workshop: Workshop) -> SensorResult:
        memory = remembered(context.cursor)
        try:
            answer = look(context.instance, workshop, memory)
        except PasError as error:
            return SensorResult(skip_reason=SkipReason(str(error)))
        except SQLAlchemyError as error:
            return SensorResult(skip_reason=SkipReason(_unreadable(error)))
        cursor = json.dumps(memory, sort_keys=True)
        if answer.requests:
            return SensorResult(run_requests=answer.requests, cursor=cursor)
        return SensorResult(skip_reason=SkipReason(answer.why), cursor=cursor)

    return _evaluate


def remembered(cursor: str | None) -> Memory:
    """The memory in a cursor; empty for one that is none of ours."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _unreadable(error: SQLAlchemyError) -> str:
    if getattr(getattr(error, "orig", None), "pgcode", None) == UNDEFINED_TABLE:
        return "There are no data yet: run `pas demo`, or `pas backfill`."
    return f"The database does not answer ({type(error).__name__}); `pas db status` says more."


def _trade(session: date, key: str, why: str, word: str | None = None, **options: Any) -> RunRequest:
    tags = {WHY: why[:200]} | ({calls.TAG: word} if word else {})
    return RunRequest(
        run_key=f"{session}/{key}", job_name=TRADE.name, partition_key=session.isoformat(), tags=tags, **options
    )


def _held_up(instance: DagsterInstance, workshop: Workshop, account: Account, *, again: bool) -> str:
    """Why today's session cannot be asked for now; empty when it can.

    `again`: whether a simulated account's session may be planned anew while it is open.
    """
    chosen = workshop.settings
    if why := signals.closed(chosen, workshop.now) or account.halted:
        return why
    if account.today is not None and not (again and chosen.mode == "simulated" and account.today == "open"):
        return "Today's batch has been planned already; what came after it waits for the next session."
    job = signals.busy(instance, DECIDING)
    return f"A run of {job} has not ended yet." if job else ""


def _on_new_targets(instance: DagsterInstance, workshop: Workshop, memory: Memory) -> Answer:
    today, known = workshop.today, memory.get("seen")
    first = not isinstance(known, dict)
    seen = {} if first else {name: one for name, one in known.items() if isinstance(one, int)}
    fresh, newest = signals.landed(instance, today, seen)
    waiting = {one.name: one for one in _waiting(memory, today)}
    waiting |= {one.name: one for one in fresh if not first or one.takes_effect >= today}
    waiting = {one.name: one for one in signals.unused(instance, workshop, list(waiting.values()))}
    memory["seen"], memory["waiting"] = newest, _written(waiting)
    if not waiting:
        return Answer("No weight set, allocation or regime has landed that was not traded.")
    what = f"Landed: {', '.join(sorted(waiting))}."
    if why := _held_up(instance, workshop, signals.account(workshop), again=True):
        return Answer(f"{what} {why}")
    memory["waiting"] = {}
    key = f"targets/{max(one.event for one in waiting.values())}"
    return Answer("", [_trade(today, key, what, _word([one for one in waiting.values() if one.takes_effect < today]))])


def _word(late: list[Landed]) -> str | None:
    """What has to be called for, because it takes effect in no session that is still to come."""
    if not late:
        return None
    return calls.ALL if any(one.name in signals.SHARES for one in late) else calls.WEIGHTS


def _waiting(memory: Memory, today: date) -> list[Landed]:
    """What waits in the memory; what makes no sense there is passed over."""
    stored = memory.get("waiting")
    found = []
    for name, one in stored.items() if isinstance(stored, dict) else ():
        if name in signals.DECIDED and isinstance(one, list) and len(one) == 2 and isinstance(one[1], int):
            day = _day(one[0])
            found += [Landed(name, day, one[1])] if day and day <= today else []
    return found


def _written(waiting: Mapping[str, Landed]) -> dict[str, list[Any]]:
    return {name: [one.decision.isoformat(), one.event] for name, one in waiting.items()}


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _on_drift(instance: DagsterInstance, workshop: Workshop, memory: Memory) -> Answer:
    today, own = workshop.today, rules(account_spec(workshop.settings))
    if not (own.band or own.band_relative or own.band_money):
        return Answer("No drift band is set: every holding is traded to its target when its sleeve decides.")
    if memory.get("asked") == today.isoformat():
        return Answer(f"The drift of {today} has been asked for already.")
    if why := _held_up(instance, workshop, signals.account(workshop), again=False):
        return Answer(why)
    found = signals.holdings_drift(workshop)
    wide = beyond(found.found, own)
    left_out = f" Not looked at, for want of a price: {', '.join(found.unpriced[:5])}." if found.unpriced else ""
    if not wide:
        widest = f" The widest: {found.found[0]}." if found.found else ""
        return Answer(f"Every holding is within its band.{widest}{left_out}")
    memory["asked"] = today.isoformat()
    return Answer("", [_trade(today, "drift", f"{wide[0]}.{left_out}", calls.WEIGHTS)])


def _on_risk(instance: DagsterInstance, workshop: Workshop, memory: Memory) -> Answer:
    now = signals.alarms(workshop)
    if now.session is None:
        return Answer("No session has alerts yet.")
    before = _firing_before(memory, now)
    fired, cleared = sorted(now.firing.keys() - before), sorted(before - now.firing.keys() - now.unknown)
    memory["firing"] = sorted(now.firing.keys() | before & now.unknown)
    memory["call"] = word = _called_for(memory.get("call"), now.firing, fired, cleared)
    books = f"books/{now.session}/{'+'.join(fired)}"
    found = [RunRequest(run_key=books, job_name=BOOKS.name, tags={WHY: f"Fired: {', '.join(fired)}."})] if fired else []
    if word is None:
        return Answer("Nothing critical has fired or ended since the last look.", found)
    why = _held_up(instance, workshop, signals.account(workshop), again=True)
    if not why:
        memory["call"] = None
        told = "; ".join(message for _, _, message in now.firing.values()) or "The circuit breaker is open again."
        found.append(_trade(workshop.today, f"risk/{now.session}/{word}", told, word))
    return Answer(f"The account is to go to its targets. {why}", found)


def _firing_before(memory: Memory, now: Alarms) -> set[str]:
    """Rules that were in force at the last look; at the first one those that are older than the newest session."""
    stored = memory.get("firing")
    if isinstance(stored, list):
        return {rule for rule in stored if isinstance(rule, str)}
    return {rule for rule, (_, since, _) in now.firing.items() if since != now.session}


def _called_for(
    waiting: object, firing: Mapping[str, tuple[str, date | None, str]], fired: list[str], cleared: list[str]
) -> str | None:
    """What is to be called for: nothing while the breaker is tripped, everything it kept back when it opens again."""
    if BREAKER in firing:
        return None
    if BREAKER in cleared or waiting == calls.ALL:
        return calls.ALL
    grave = [rule for rule in fired if firing[rule][0] != DATA_AGE]  # nothing is traded because prices are old
    return calls.WEIGHTS if grave or waiting == calls.WEIGHTS else None


def _on_open_orders(instance: DagsterInstance, workshop: Workshop, _: Memory) -> Answer:
    if workshop.settings.mode == "simulated":
        return Answer("The simulated broker fills at the closes: there is nothing to poll.")
    account, today, now = signals.account(workshop), workshop.today, workshop.now
    if not account.unfinished:
        return Answer("No batch is open.")
    if account.halted:
        return Answer(account.halted)
    if today not in {session for session, _ in account.unfinished}:
        return Answer(f"The batch {account.unfinished[0][1]} goes on with the next session's run.")
    if job := signals.busy(instance, (TRADE.name, BOOKS.name)):
        return Answer(f"A run of {job} is at work on the account.")
    why = f"Open: {', '.join(key for _, key in account.unfinished)}."
    produced = [AssetKey(name) for name in PRODUCED]  # not the target: what was planned stands
    patient = now >= calendar.closing(today) or signals.failed(instance, TRADE.name, today)
    key = f"fills/{_slot(now, PATIENT if patient else 1)}"
    return Answer("", [_trade(today, key, why, asset_selection=produced)])


def _slot(now: datetime, minutes: int) -> str:
    """The minute in New York, or the first of so many of them: a run key that comes once in that time."""
    here = now.astimezone(calendar.NEW_YORK)
    return f"{here:%H}:{here.minute // minutes * minutes:02}"


SENSORS = [
    _sensor(
        "rebalance_on_new_targets",
        "Trades today's session when a weight set, the allocation or the regime of the newest decision lands and was "
        "not in the session's plan. What should have traded in an earlier session is called for with the tag "
        "`pas/rebalance`. A real account is asked for while its market is open, and is planned once a session: what "
        "lands after that waits for the next one. A simulated account is planned anew as long as its session is open.",
        _on_new_targets,
    ),
    _sensor(
        "rebalance_on_drift",
        "Compares what the sleeves hold, at the newest closes, with their newest targets. When a symbol is beyond the "
        "account's drift band it asks for today's session with the tag `pas/rebalance: weights`: every sleeve goes "
        "back to its weights, and what is within the band rests. Once a session, and before its batch is planned; a "
        "drift that is found later is traded in the next one. Without a band it does nothing.",
        _on_drift,
    ),
    _sensor(
        "rebalance_on_risk",
        "Looks at the newest alerts. When a critical rule or the circuit breaker fires, the books are compared with "
        "the broker at once. A critical rule also sends every sleeve back to its capped weights, unless it is about "
        "the age of data. A tripped breaker trades nothing, for its gate stops all orders; when it opens again, the "
        "account goes to the targets and shares that it kept back.",
        _on_risk,
    ),
    _sensor(
        "fills_poller",
        "While a batch of today is open at a real broker, goes on with it once a minute: books fills, sends the buys "
        "that wait for sells, ends what is over. Every ten minutes after the close, until the batch is done, and after "
        "a run that failed.",
        _on_open_orders,
    ),
]
