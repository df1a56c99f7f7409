"""Alerts: the risk rules and the circuit breaker, at every session."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext, TimeWindowPartitionMapping

from pas_dagster.assets import equity, wiring
from pas_dagster.assets.days import by_day
from pas_dagster.assets.resources import Workshop
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.partitions import LATEST, SESSIONS
from pas_dagster.risk.breaker import BreakerPolicy, Verdict, checks
from pas_dagster.risk.rules import ACCOUNT, Alert, Rule, evaluate, parse_rules
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

GROUP = "risk"
ALERTS, NUMBERS = (TABLES[name] for name in ("alerts", "risk_metrics"))
BREAKER = "circuit_breaker"
WATCHED = "prices"  # whose age the breaker looks at


def rules_of(chosen: Settings) -> tuple[Rule, ...]:
    """The rules of the settings.

    Raises:
        PasError: one of them has a fault; all faults are named.
    """
    parsed = parse_rules(chosen.risk_rules)
    taken = any(one.get("name") == BREAKER for one in chosen.risk_rules)
    if faults := [*parsed.faults, *([f"rule {BREAKER}: the name is that of the built-in rule"] if taken else [])]:
        raise PasError(f"{'; '.join(faults)}. Mend risk_rules in config.yaml.")
    return parsed.rules


def breaker_policy(chosen: Settings) -> BreakerPolicy:
    return BreakerPolicy(
        daily_loss=chosen.breaker_daily_loss,
        drawdown=chosen.breaker_drawdown,
        data_age=chosen.breaker_data_age,
        cool_down=chosen.breaker_cool_down,
    )


WATCH = wiring.Product(
    "alerts",
    ALERTS,
    f"{ALERTS.doc}.",
    [
        wiring.valid_rows(ALERTS),
        wiring.complete(ALERTS),
        wiring.alarm("nothing_is_on_fire", "No critical rule is in force and the circuit breaker is open"),
    ],
)


@wiring.step(
    "alerts",
    [WATCH],
    GROUP,
    SESSIONS,
    [
        AssetDep("metrics", partition_mapping=TimeWindowPartitionMapping()),
        AssetDep(equity.name(), partition_mapping=TimeWindowPartitionMapping()),
        AssetDep("prices", partition_mapping=TimeWindowPartitionMapping()),
        AssetDep("risk_metrics", partition_mapping=LATEST),
    ],
)
def alerts(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    frame = alert_rows(workshop.lake, wiring.keys(context), workshop.settings)
    now = frame[(frame["known_on"] == frame["known_on"].max()) & frame["active"]]
    grave = "; ".join(now.loc[now["severity"] == "critical", "message"]) or None
    yield from wiring.publish(context, WATCH, frame, {"active": len(now)}, {"nothing_is_on_fire": grave})


def alert_rows(lake: Lake, days: Sequence[date], chosen: Settings) -> pd.DataFrame:
    """Rows of `alerts`: each session's rules go on from those of the session before."""
    rules, limits = rules_of(chosen), breaker_policy(chosen)
    watch, stood = _Watch(lake, days), _rows_before(lake, rules, days[0])
    before = _alerts_of(stood, rules)
    rows: list[dict[str, Any]] = []
    ages = [watch.age(day) for day in days]
    verdicts = checks(watch.curve, days, [{WATCHED: age} for age in ages], limits)
    for day, verdict in zip(days, verdicts, strict=True):
        before = evaluate(rules, watch.metrics(day), day, before)
        rows += [*(_alert_row(one) for one in before), _breaker_row(day, verdict)]
    return _with_since(ALERTS.conform(pd.DataFrame(rows)), stood)


class _Watch:
    """The numbers that rules may name, by session."""

    def __init__(self, lake: Lake, days: Sequence[date]) -> None:
        last = days[-1]
        rows = lake.read(TABLES["metrics"], first=days[0], last=last)
        self._metrics = {
            day: dict(zip(zip(own["portfolio"], own["statistic"], strict=True), own["value"], strict=True))
            for day, own in by_day(rows, "known_on").items()
        }
        account = equity.read(lake, last=last).set_index("decision")
        account.index = pd.Index([stamp.date() for stamp in account.index], dtype=object)  # once, for all sessions
        self.curve, self._account = equity.without_flows(account["equity"], account["net_flow"]), account
        risk = lake.read(NUMBERS, first=lake.last_partition(NUMBERS, days[0] + timedelta(1)), last=last)
        self._risk = {
            day: dict(zip(own["metric"], own["value"], strict=True)) for day, own in by_day(risk, "decision").items()
        }
        self._reported = list(self._risk)
        self._priced = np.array(lake.partitions(TABLES[WATCHED]), "datetime64[D]")

    def age(self, day: date) -> float | None:
        """Days since the newest price; None when there is none."""
        at = int(np.searchsorted(self._priced, np.datetime64(day), side="right"))
        return float((np.datetime64(day) - self._priced[at - 1]).astype(int)) if at else None

    def metrics(self, day: date) -> dict[tuple[str, str], float | None]:
        found: dict[tuple[str, str], float | None] = dict(self._metrics.get(day, {}))
        if at := bisect_right(self._reported, day):
            found |= {(ACCOUNT, name): value for name, value in self._risk[self._reported[at - 1]].items()}
        if day in self._account.index:
            now = self._account.loc[day]
            found |= {(ACCOUNT, name): float(now[name]) for name in ("equity", "cash", "gross_exposure", "turnover")}
        return {**found, (ACCOUNT, "data_age"): self.age(day)}


def _rows_before(lake: Lake, rules: Sequence[Rule], day: date) -> pd.DataFrame:
    """What was told at the session before, indexed by rule; of rules that have changed since then nothing."""
    last = lake.last_partition(ALERTS, day)
    rows = (lake.read(ALERTS, first=last, last=last) if last else ALERTS.empty()).set_index("rule")
    asked = {rule.name: (rule.portfolio, rule.metric, rule.threshold) for rule in rules}
    told = zip(rows["portfolio"], rows["metric"], rows["threshold"], strict=True)
    same = [name == BREAKER or asked.get(name) == one for name, one in zip(rows.index, told, strict=True)]
    return rows[np.array(same, bool)]


def _alerts_of(rows: pd.DataFrame, rules: Sequence[Rule]) -> tuple[Alert, ...]:
    """The alerts as they were evaluated.

    `active` is not the column, which is true of what is unknown too: a rule is in force when it has held for its days.
    """
    told = ((rule, rows.loc[rule.name]) for rule in rules if rule.name in rows.index)
    return tuple(
        Alert(
            rule,
            row["known_on"].date(),
            row["status"],
            None if pd.isna(row["value"]) else float(row["value"]),
            int(row["held"]) >= rule.days,
            int(row["held"]),
            str(row["message"]),
        )
        for rule, row in told
    )


def _alert_row(one: Alert) -> dict[str, Any]:
    rule = one.rule
    return {
        "known_on": one.day,
        "rule": rule.name,
        "status": one.status,
        "active": one.active or one.status == "unknown",
        "severity": rule.severity,
        "portfolio": rule.portfolio,
        "metric": rule.metric,
        "value": one.value,
        "threshold": rule.threshold,
        "held": one.held,
        "since": None,
        "message": one.message,
    }


def _breaker_row(day: date, verdict: Verdict) -> dict[str, Any]:
    tripped = verdict.state == "tripped"
    until = f"; it opens on {verdict.until}" if verdict.until else ""
    return {
        "known_on": day,
        "rule": BREAKER,
        "status": "fired" if tripped else "cleared",
        "active": tripped,
        "severity": "critical",
        "portfolio": ACCOUNT,
        "metric": BREAKER,
        "value": None,
        "threshold": None,
        "held": 0,
        "since": verdict.tripped_on,
        "message": "; ".join(verdict.reasons) + until if tripped else "trading may go on",
    }


def _with_since(rows: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """With the first of the sessions for which a condition has held, a number been unknown, or the breaker tripped."""
    since = {rule: begin for rule, begin in before["since"].items() if pd.notna(begin)}
    told: list[Any] = []
    columns = (rows[name] for name in ("rule", "status", "held", "known_on", "since"))
    for rule, status, held, day, own in zip(*columns, strict=True):
        if status == "cleared":
            since.pop(rule, None)
        elif held == 1 and status != "unknown":
            since[rule] = day
        elif rule not in since:
            since[rule] = own if pd.notna(own) else day
        told.append(since.get(rule, pd.NaT))
    return ALERTS.conform(rows.assign(since=pd.Series(told, index=rows.index, dtype="datetime64[us]")))


ASSETS = [alerts]
