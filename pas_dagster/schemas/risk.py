"""What the risk of the account is, what was cut because of it, and which rules it broke."""

from __future__ import annotations

from pas_dagster.schemas.columns import DECISION, KNOWN_ON, count, day, flag, number, text
from pas_dagster.schemas.table import Table

REGIMES = Table(
    "regimes",
    "Whether the sleeves move together as in a crisis, judged each week from what was known before it",
    [
        DECISION,
        text("regime", "Regime", among=("unknown", "calm", "crisis")),
        number("probability", "Probability of the crisis", "fraction", nullable=True, min=0, max=1),
        number("correlation", "Mean correlation of the pairs of sleeves", "", nullable=True, min=-1, max=1),
        number("volatility", "Mean volatility of the sleeves", "per year", nullable=True, min=0),
        count("sleeves", "Sleeves that were looked at", min=0),
        number("factor", "Share of the targets that the regime lets stand", "fraction", min=0, max=1),
        text("reason", "Why, in words"),
    ],
    ["decision"],
    "decision",
)

CUTS = Table(
    "cuts",
    "What caps and regime took off the target portfolio; the freed part is cash",
    [
        DECISION,
        text("what", "What was cut", among=("regime", "name", "sector", "gross")),
        text("name", "Symbol or sector; `account` for all of it"),
        number("before", "Before", "fraction of NAV"),
        number("after", "After", "fraction of NAV"),
        text("rule", "Rule that asked for it, in words"),
    ],
    ["decision", "what", "name"],
    "decision",
)

EXPOSURES = Table(
    "exposures",
    "What the target portfolio is exposed to",
    [
        DECISION,
        text("kind", "Kind", among=("total", "sleeve", "name", "sector", "factor")),
        text("name", "Which: gross, net, long, short or cash; a sleeve, symbol, sector or factor"),
        number("value", "Exposure; of a factor the weighted beta", "fraction of NAV"),
        number("usd", "The same in dollars", "USD", nullable=True),
        number("risk", "Share of the portfolio's volatility that it brings", "fraction", nullable=True),
        count("sleeves", "Sleeves that hold it", min=0),
    ],
    ["decision", "kind", "name"],
    "decision",
)

RISK_METRICS = Table(
    "risk_metrics",
    "Numbers of the risk of the target portfolio, for the rules to judge",
    [
        DECISION,
        text("metric", "Metric; docs/risk.md defines each"),
        number("value", "Value; null where it is not defined; a loss is negative", "", nullable=True),
        number("usd", "The same in dollars", "USD", nullable=True),
        number("error", "Standard error of a simulated value", "", nullable=True, min=0),
        text("note", "Why there is no value, or how it was found", nullable=True),
    ],
    ["decision", "metric"],
    "decision",
)

STRESS = Table(
    "stress",
    "What the target portfolio would lose in episodes of the past and in made-up shocks",
    [
        DECISION,
        text("scenario", "Scenario"),
        text("kind", "Replay of the past, or shock", among=("replay", "shock")),
        number("value", "Result; null where data do not reach", "fraction of NAV", nullable=True),
        number("usd", "The same in dollars", "USD", nullable=True),
        number("drawdown", "Deepest fall within the replay", "fraction", nullable=True, max=0),
        number("covered", "Share of the holdings that have data", "fraction", min=0, max=1.000001),
        text("note", "What is missing", nullable=True),
    ],
    ["decision", "scenario"],
    "decision",
)

ALERTS = Table(
    "alerts",
    "Every risk rule at every session: whether it holds, and for how long",
    [
        KNOWN_ON,
        text("rule", "Rule; `circuit_breaker` is built in"),
        text("status", "Status", among=("fired", "pending", "cleared", "unknown")),
        flag("active", "Whether somebody has to look"),
        text("severity", "Severity", among=("info", "warning", "critical")),
        text("portfolio", "Whose metric"),
        text("metric", "Metric"),
        number("value", "Its value", "", nullable=True),
        number("threshold", "Threshold", "", nullable=True),
        count("held", "Sessions in a row for which the condition has held", min=0),
        day("since", "First of them", nullable=True),
        text("message", "The same in words"),
    ],
    ["known_on", "rule"],
)

RISK = [REGIMES, CUTS, EXPOSURES, RISK_METRICS, STRESS, ALERTS]
