"""What there is to read about a strategy, made from its code: rule, source, parameters, data, weights, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import OPTIONS, Strategy, parameter_types
from pas_dagster.strategies.history import Window

WHEN = {
    Cadence.WEEKLY_MON: "every Monday",
    Cadence.WEEKLY_FRI: "every Friday",
    Cadence.MONTHLY: "on the first of each month",
    Cadence.MONTHLY_FIRST_MON: "on the first Monday of each month",
}
FOOT = "Made by `pas strategy docs`; do not edit."
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def page(strategy: Strategy, living: Sequence[str] = ()) -> str:
    """The strategy's page as Markdown; `living` are sections about a home's data, such as the last weights."""
    title = f"# {strategy.title}"
    parts = [title, head(strategy), strategy.rule, "## Parameters", parameters(strategy), "## Data", reads(strategy)]
    return "\n\n".join([*parts, "## Without an answer", _fallback(strategy), *living, FOOT]) + "\n"


def head(strategy: Strategy) -> str:
    """One sentence: its name, and when it decides and trades."""
    when = f"`{strategy.name}` decides {WHEN[strategy.cadence]} and trades at the close of that day's session"
    when += ", or of the next one when the exchange is closed."
    if strategy.drift:
        when += (
            f" It trades only when a weight has drifted more than {strategy.drift:.1%} of the sleeve from its target."
        )
    return when


def parameters(strategy: Strategy) -> str:
    """A table of the parameters: type with bounds, and value."""
    types = parameter_types(strategy.function)
    rows = [(name, kind(types.get(name, Any)), value) for name, value in strategy.parameters.items()]
    rows += [(name, kind(OPTIONS[name]), getattr(strategy, name)) for name in OPTIONS]
    lines = [f"| `{name}` | {told} | {_value(value)} |" for name, told, value in rows]
    note = f"Set in `config.yaml` under `strategies: {{{strategy.name}: {{NAME: VALUE}}}}`."
    return "\n".join(["| parameter | type | value |", "|---|---|---|", *lines]) + f"\n\n{note}"


def kind(annotation: Any) -> str:
    """A type with its bounds, in words.

    >>> from pas_dagster.strategies.contract import Count
    >>> kind(Count)
    'integer, at least 1, at most 10000'
    """
    if annotation is Any:
        return "anything"
    schema = TypeAdapter(annotation).json_schema()
    bounds = [f"{words} {schema[key]:g}" for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([str(schema.get("type", "value")), *bounds])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_value(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple, set, frozenset)) else str(value)


def reads(strategy: Strategy) -> str:
    """A table of the datasets it reads, how far back, and how old each may be."""
    lines = [
        f"| [{name}](../tables.md#{name}) | {_reach(window)} | {_columns(window)} | {_age(name, window)} |"
        for name, window in strategy.reads.items()
    ]
    head = ["| dataset | reach | columns | largest age |", "|---|---|---|---|"]
    return "\n".join([*head, *lines]) if lines else "It reads nothing."


def _reach(window: Window) -> str:
    if window.sessions is not None:
        return f"{window.sessions} sessions"
    return f"{window.days} days" if window.days is not None else "everything known"


def _columns(window: Window) -> str:
    named = ", ".join(window.columns) or "all"
    return f"{named}; {len(window.symbols)} symbols" if window.symbols else named


def _age(name: str, window: Window) -> str:
    allowed = window.oldest_allowed(name)
    return "any: a log of changes" if allowed is None else f"{allowed} days"


def _fallback(strategy: Strategy) -> str:
    return (
        f"When an input is older than that, when there is too little data, or when the strategy fails, its sleeve "
        f"holds the last weights for {strategy.hold_days} days and then lets them decay linearly to cash over "
        f"{strategy.decay_days} days."
    )


def index(strategies: Mapping[str, Strategy]) -> str:
    """The list of all pages."""
    lines = [
        f"| [{name}]({name}.md) | {WHEN[one.cadence]} | {one.rule.partition(chr(10))[0]} |"
        for name, one in strategies.items()
    ]
    return "\n".join(["# Strategies", "", "| strategy | decides | rule |", "|---|---|---|", *lines, "", FOOT, ""])
