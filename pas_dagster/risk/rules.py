"""The user's own limits: a metric, an operator and a threshold, evaluated into alerts.

A rule is parsed from the settings; every fault of the list is one sentence, and a list with faults gives no rules, so
that nobody believes to be guarded by a rule that was misspelt. An evaluation looks at one day's metrics and at the
alerts of the evaluation before. A metric that is missing or NaN is the status `unknown`, which is an alert as much as a
breach is; a rule that had fired goes on being in force meanwhile.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import date
from typing import Any, Literal, NamedTuple

ACCOUNT = "account"
SEVERITIES = ("info", "warning", "critical")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

Status = Literal["fired", "pending", "cleared", "unknown"]
Metrics = Mapping[tuple[str, str], float | None]  # (portfolio, metric) -> value


@dataclass(frozen=True, slots=True)
class Rule:
    """Fires when `metric operator threshold` holds for `portfolio`.

    Attributes:
        name: unique among the rules.
        metric: which number, such as `drawdown`.
        operator: `>`, `>=`, `<` or `<=`.
        threshold: in the unit of the metric; losses are negative there, so a limit on them is `< -0.1`.
        portfolio: a sleeve, or `account`.
        severity: `info`, `warning` or `critical`.
        clear: once fired, the rule clears only when `metric operator clear` no longer holds; None is the threshold.
        days: evaluations in a row, one a day, in which it must hold before it fires.

    Raises:
        ValueError: one sentence that names the rule and what is wrong with it.

    >>> Rule("deep", "drawdown", "<", -0.1, clear=-0.2)
    Traceback (most recent call last):
    ...
    ValueError: rule deep: once fired at < -0.1 it can never be in force at -0.2; clear must be -0.1 or higher
    """

    name: str
    metric: str
    operator: str
    threshold: float
    portfolio: str = ACCOUNT
    severity: str = "warning"
    clear: float | None = None
    days: int = 1

    def __post_init__(self) -> None:
        """Refuse a rule that has no meaning."""
        if fault := _fault(self):
            raise ValueError(f"rule {self.name or '?'}: {fault}")


class Parsed(NamedTuple):
    """Rules of the settings: all of them, or none and the faults, one sentence each."""

    rules: tuple[Rule, ...]
    faults: tuple[str, ...]


class Alert(NamedTuple):
    """One rule on one day.

    Attributes:
        rule: which.
        day: of the evaluation.
        status: `fired`; `pending`, it holds but not yet for enough days; `cleared`, it does not hold; `unknown`.
        value: of the metric, None when unknown.
        active: whether the rule is in force: fired, or unknown after it had fired.
        held: evaluations in a row in which it has held, those without a value not counted.
        message: one sentence.
    """

    rule: Rule
    day: date
    status: Status
    value: float | None
    active: bool
    held: int
    message: str


def parse_rules(entries: Sequence[Any], metrics: Collection[str] | None = None) -> Parsed:
    """Rules from mappings as they stand in the settings.

    Args:
        entries: one mapping a rule, with the attributes of `Rule`.
        metrics: the names that exist, to find misspelt ones; None does not check.

    >>> parse_rules([{"name": "loss", "metric": "drawdwn", "operator": "<", "threshold": -0.1}], ["drawdown"]).faults
    ('rule loss: there is no metric drawdwn; did you mean drawdown?',)
    """
    rules: list[Rule] = []
    faults: list[str] = []
    for place, entry in enumerate(entries, start=1):
        rule, fault = _parse(place, entry, metrics)
        if rule is not None and rule.name in {other.name for other in rules}:
            fault = f"rule {rule.name}: the name is given twice"
        if fault:
            faults.append(fault)
        elif rule is not None:
            rules.append(rule)
    return Parsed((), tuple(faults)) if faults else Parsed(tuple(rules), ())


def evaluate(rules: Sequence[Rule], metrics: Metrics, day: date, before: Sequence[Alert] = ()) -> tuple[Alert, ...]:
    """One alert a rule, in their order.

    Args:
        rules: to evaluate.
        metrics: (portfolio, metric) -> value; missing, None and NaN are unknown.
        day: of the metrics.
        before: the alerts of the evaluation before. Those of rules that have changed are not looked at.

    Raises:
        ValueError: an alert before that is not of an earlier day: evaluating a day again starts from the day before.

    >>> rule = Rule("loss", "daily_return", "<", -0.03, severity="critical")
    >>> [alert] = evaluate([rule], {("account", "daily_return"): -0.041}, date(2024, 3, 4))
    >>> alert.status, alert.message
    ('fired', 'loss: daily_return of account is -0.041, < -0.03')
    """
    if any(alert.day >= day for alert in before):
        raise ValueError(f"the alerts before {day} must be of earlier days")
    known = {alert.rule: alert for alert in before}
    return tuple(_evaluate(rule, metrics.get((rule.portfolio, rule.metric)), day, known.get(rule)) for rule in rules)


def _evaluate(rule: Rule, value: float | None, day: date, before: Alert | None) -> Alert:
    was_active, held = (before.active, before.held) if before else (False, 0)
    subject = f"{rule.name}: {rule.metric} of {rule.portfolio}"
    if value is None or math.isnan(value):
        tail = ", it had fired and stays in force" if was_active else ""
        return Alert(rule, day, "unknown", None, was_active, held, f"{subject} is not known{tail}")
    compare = OPERATORS[rule.operator]
    level = rule.clear if was_active and rule.clear is not None else rule.threshold
    holds = compare(value, level)
    held = held + 1 if holds else 0
    active = holds and held >= rule.days
    status: Status = "fired" if active else "pending" if holds else "cleared"
    text = f"{subject} is {value:.6g}, {'' if holds else 'not '}{rule.operator} {level:.6g}"
    if status == "pending":
        text += f" for {held} of {rule.days} days"
    return Alert(rule, day, status, float(value), active, held, text)


def _parse(place: int, entry: Any, metrics: Collection[str] | None) -> tuple[Rule | None, str]:
    """A rule or its fault."""
    if not isinstance(entry, Mapping):
        return None, f"rule number {place} is not a mapping but {entry!r}"
    label = f"rule {entry['name']}" if isinstance(entry.get("name"), str) and entry["name"] else f"rule number {place}"
    names = {field.name for field in fields(Rule)}
    for key in entry:
        if key not in names:
            return None, f"{label}: there is no setting {key}{_near(str(key), names)}"
    missing = [field.name for field in fields(Rule) if field.default is MISSING and field.name not in entry]
    if missing:
        return None, f"{label}: {' and '.join(missing)} must be given"
    try:
        rule = Rule(**entry)
    except ValueError as error:
        return None, str(error)
    if metrics is not None and rule.metric not in metrics:
        return None, f"{label}: there is no metric {rule.metric}{_near(rule.metric, metrics)}"
    return rule, ""


def _fault(rule: Rule) -> str:
    """What is wrong with a rule, or empty."""
    for name in ("name", "metric", "portfolio"):
        if not isinstance(getattr(rule, name), str) or not getattr(rule, name):
            return f"{name} must be a word, not {getattr(rule, name)!r}"
    if not isinstance(rule.operator, str) or rule.operator not in OPERATORS:
        return f"operator must be one of {' '.join(OPERATORS)}, not {rule.operator!r}"
    for name in ("threshold", "clear"):
        value = getattr(rule, name)
        if (value is not None or name == "threshold") and not _is_number(value):
            return f"{name} must be a finite number, not {value!r}"
    if rule.severity not in SEVERITIES:
        return f"severity must be one of {', '.join(SEVERITIES)}, not {rule.severity!r}"
    if isinstance(rule.days, bool) or not isinstance(rule.days, int) or rule.days < 1:
        return f"days must be a whole number of at least 1, not {rule.days!r}"
    below = rule.operator.startswith("<")
    if rule.clear is not None and (rule.clear < rule.threshold if below else rule.clear > rule.threshold):
        side = "higher" if below else "lower"
        fired = f"once fired at {rule.operator} {rule.threshold:g} it can never be in force at {rule.clear:g}"
        return f"{fired}; clear must be {rule.threshold:g} or {side}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _near(name: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), 1)
    return f"; did you mean {close[0]}?" if close else ""
