"""Alerts: the risk rules and the circuit breaker, at every session."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext, TimeWindowPartitionMapping

from pas_dagster.assets import wiring
from pas_dagster.assets.days import by_day
from pas_dagster.assets.resources import Workshop
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.partitions import LATEST, SESSIONS
from pas_dagster.risk.breaker import BreakerPolicy, Verdict, check
from pas_dagster.risk.rules import ACCOUNT, Alert, Rule, evaluate, parse_rules
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

GROUP = "risk"
ALERTS, NUMBERS, ACCOUNTS = (TABLES[name] for name in ("alerts", "risk_metrics", "account_metrics_paper"))
BREAKER = "circuit_breaker"
WATCHED = "prices"  # whose age the breaker looks at


def rules_of(chosen: Settings) -> tuple[Rule, ...]:
    """The rules of the settings.

    Raises:
        PasError: one of them has a fault; all faults are named.
    """
    parsed = parse_rules(chosen.risk_rules)
    if parsed.faults:
        raise PasError(f"{'; '.join(parsed.faults)}. Mend risk_rules in config.yaml.")
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
        AssetDep("account_metrics", partition_mapping=TimeWindowPartitionMapping()),
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
    watch, before = _Watch(lake, days), _alerts_before(lake, rules, days[0])
    rows: list[dict[str, Any]] = []
    for day in days:
        before = evaluate(rules, watch.metrics(day), day, before)
        verdict = check(watch.equity(day), day, {WATCHED: watch.age(day)}, limits)
        rows += [*(_alert_row(one) for one in before), _breaker_row(day, verdict)]
    return _with_since(lake, ALERTS.conform(pd.DataFrame(rows)), days[0])


class _Watch:
    """The numbers that rules may name, by session."""

    def __init__(self, lake: Lake, days: Sequence[date]) -> None:
        last = days[-1]
        rows = lake.read(TABLES["metrics"], first=days[0], last=last)
        self._metrics = {
            day: dict(zip(zip(own["portfolio"], own["statistic"], strict=True), own["value"], strict=True))
            for day, own in by_day(rows, "known_on").items()
        }
        account = lake.read(ACCOUNTS, last=last).set_index("decision")
        self._equity = account["equity"]
        self._account = account
        risk = lake.read(NUMBERS, last=last)
        self._risk = {
            day: dict(zip(own["metric"], own["value"], strict=True)) for day, own in by_day(risk, "decision").items()
        }
        self._priced = np.array(lake.partitions(TABLES[WATCHED]), "datetime64[D]")

    def equity(self, day: date) -> pd.Series:
        return self._equity[self._equity.index <= pd.Timestamp(day)]

    def age(self, day: date) -> float | None:
        """Days since the newest price; None when there is none."""
        at = int(np.searchsorted(self._priced, np.datetime64(day), side="right"))
        return float((np.datetime64(day) - self._priced[at - 1]).astype(int)) if at else None

    def metrics(self, day: date) -> dict[tuple[str, str], float | None]:
        found: dict[tuple[str, str], float | None] = dict(self._metrics.get(day, {}))
        judged = [one for one in self._risk if one <= day]
        if judged:
            found |= {(ACCOUNT, name): value for name, value in self._risk[judged[-1]].items()}
        if pd.Timestamp(day) in self._account.index:
            now = self._account.loc[pd.Timestamp(day)]
            found |= {(ACCOUNT, name): float(now[name]) for name in ("equity", "cash", "gross_exposure", "turnover")}
        return {**found, (ACCOUNT, "data_age"): self.age(day)}


def _alerts_before(lake: Lake, rules: Sequence[Rule], day: date) -> tuple[Alert, ...]:
    """The alerts of the session before, as they were told."""
    last = lake.last_partition(ALERTS, day)
    if last is None:
        return ()
    rows = lake.read(ALERTS, first=last, last=last).set_index("rule")
    return tuple(
        Alert(
            rule,
            last,
            rows.at[rule.name, "status"],
            None if pd.isna(rows.at[rule.name, "value"]) else float(rows.at[rule.name, "value"]),
            bool(rows.at[rule.name, "active"]),
            int(rows.at[rule.name, "held"]),
            str(rows.at[rule.name, "message"]),
        )
        for rule in rules
        if rule.name in rows.index and rows.at[rule.name, "threshold"] == rule.threshold
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


def _with_since(lake: Lake, rows: pd.DataFrame, first: date) -> pd.DataFrame:
    """The first session of each stretch in which a rule has been active."""
    last = lake.last_partition(ALERTS, first)
    before = lake.read(ALERTS, first=last, last=last) if last else ALERTS.empty()
    stood = zip(before["rule"], before["active"], before["since"], strict=True)
    since = {rule: begin for rule, active, begin in stood if active}
    told: list[Any] = []
    for rule, active, day, own in zip(rows["rule"], rows["active"], rows["known_on"], rows["since"], strict=True):
        if not active:
            since.pop(rule, None)
        elif rule not in since or pd.isna(since[rule]):
            since[rule] = own if pd.notna(own) else day
        told.append(since.get(rule, pd.NaT))
    return ALERTS.conform(rows.assign(since=pd.Series(told, index=rows.index, dtype="datetime64[us]")))


ASSETS = [alerts]
