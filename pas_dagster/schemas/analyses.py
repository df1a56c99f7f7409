"""What the results are analysed into: schemes compared, factors, attribution, and the figures of every security."""

from __future__ import annotations

from pas_dagster.schemas.columns import DECISION, SLEEVE, SYMBOL, count, flag, number, text
from pas_dagster.schemas.table import Table

SCHEME_WEIGHTS = Table(
    "scheme_weights",
    "What every allocation scheme would give each sleeve; the row $CASH carries the rest",
    [
        DECISION,
        text("scheme", "Allocation scheme"),
        SLEEVE,
        number("weight", "Share of the account", "fraction", min=0, max=1),
    ],
    ["decision", "scheme", "sleeve"],
    "decision",
)

SCHEME_OUTCOMES = Table(
    "scheme_outcomes",
    "How every allocation scheme came to its answer",
    [
        DECISION,
        text("scheme", "Allocation scheme"),
        flag("chosen", "Whether the account follows it"),
        text("status", "Answered, held what it had, or all cash", among=("optimal", "held", "cash")),
        text("reason", "Why it is not an answer", nullable=True),
        number("expected_return", "Expected return of its weights", "per year", nullable=True),
        number("volatility", "Expected volatility of its weights", "per year", nullable=True, min=0),
        number("sharpe", "Expected Sharpe ratio", "per year", nullable=True),
        number("cash", "Share of cash", "fraction", min=0, max=1),
        number("residual", "Largest relative violation of an optimality condition", "", nullable=True, min=0),
        text("active", "Constraints that bind and their multipliers, as JSON"),
    ],
    ["decision", "scheme"],
    "decision",
)

ALLOCATION_SCOREBOARD = Table(
    "allocation_scoreboard",
    "The allocation schemes out of sample: what each week's weights earned the week after, through the decision",
    [
        DECISION,
        text("scheme", "Allocation scheme"),
        count("rank", "By Sharpe ratio, 1 the highest", min=1),
        count("weeks", "Weeks with a known return", min=0),
        number("annual_return", "Growth after costs", "per year", nullable=True),
        number("volatility", "Volatility", "per year", nullable=True, min=0),
        number("sharpe", "Sharpe ratio in excess of cash", "per year", nullable=True),
        number("sharpe_low", "Lower end of its 95 % bootstrap interval", "per year", nullable=True),
        number("sharpe_high", "Upper end", "per year", nullable=True),
        number("max_drawdown", "Deepest fall of the weekly values", "fraction", nullable=True, max=0),
        number("turnover", "Traded value, buys and sells", "NAV per year", nullable=True, min=0),
        number("invested", "Mean share in sleeves", "fraction", nullable=True, min=0),
        number("held", "Share of the weeks in which it held what it had", "fraction", nullable=True, min=0, max=1),
        number("in_cash", "Share of the weeks all in cash", "fraction", nullable=True, min=0, max=1),
        number("deflated", "Deflated Sharpe ratio, all schemes being trials", "", nullable=True, min=0, max=1),
        number("better", "Probability of a higher Sharpe ratio than the default's", "", nullable=True, min=0, max=1),
        flag("champion", "Whether the rule of champions would follow it"),
        text("reason", "What that rule says of the week, in words", nullable=True),
    ],
    ["decision", "scheme"],
    "decision",
)

FACTOR_BETAS = Table(
    "factor_betas",
    "Fama-French betas of the account and its sleeves over the last 252 sessions with known factors",
    [
        DECISION,
        text("portfolio", "`account` or the strategy"),
        text("factor", "Factor; `alpha` is the constant, `expected` the return that betas and premia explain"),
        number("value", "Beta; alpha and expected per year", "", nullable=True),
        number("error", "Newey-West standard error of the value", "", nullable=True, min=0),
        number("t", "t statistic", "", nullable=True),
        number("p", "Probability of a larger one by chance", "", nullable=True, min=0, max=1),
        number("r2", "Share of the variance explained, by all factors", "fraction", nullable=True, max=1.000001),
        count("observations", "Sessions with a return and factors; of `expected` those of the premia", min=0),
        text("note", "Why there is no value", nullable=True),
    ],
    ["decision", "portfolio", "factor"],
    "decision",
)

ATTRIBUTION = Table(
    "attribution",
    "What the return of the last three months came from, against all sleeves alike and the stocks of the index",
    [
        DECISION,
        text("kind", "By sleeve or by sector", among=("sleeve", "sector")),
        text("name", "Sleeve or sector; with a $: $CASH, $COST, $FUNDS, $UNKNOWN (no sector) and the sum $TOTAL"),
        number("weight", "Mean share at the beginning of a session", "fraction", nullable=True),
        number("benchmark_weight", "The same of the benchmark", "fraction", nullable=True),
        number("contribution", "Linked contribution to the return", "fraction", nullable=True),
        number("benchmark_contribution", "The same of the benchmark", "fraction", nullable=True),
        number("allocation", "Linked effect of having more or less of it", "fraction", nullable=True),
        number("selection", "Linked effect of what was picked within it", "fraction", nullable=True),
        number("interaction", "Linked effect of both together", "fraction", nullable=True),
        text("note", "Why there is no value", nullable=True),
    ],
    ["decision", "kind", "name"],
    "decision",
)

UNIVERSE_METRICS = Table(
    "universe_metrics",
    "Figures of every listed security at the decision",
    [
        DECISION,
        SYMBOL,
        number("close", "Last close", "USD", nullable=True, above=0),
        *[
            number(f"return_{span}", f"Total return over {words}", "fraction", nullable=True, min=-1)
            for span, words in {
                "7d": "7 days",
                "30d": "30 days",
                "90d": "90 days",
                "1y": "a year",
                "3y": "three years",
                "5y": "five years",
            }.items()
        ],
        number("volatility_1y", "Volatility over a year", "per year", nullable=True, min=0),
        number("beta_1y", "Beta to the index over a year", "", nullable=True),
        number("max_drawdown_1y", "Deepest fall within a year", "fraction", nullable=True, max=0),
        number("dollar_volume_20", "Mean dollar volume of 20 sessions", "USD per session", nullable=True, min=0),
        number("from_high_52w", "Distance from the highest value of 52 weeks", "fraction", nullable=True, max=0),
    ],
    ["decision", "symbol"],
    "decision",
)

ANALYSES = [
    SCHEME_WEIGHTS,
    SCHEME_OUTCOMES,
    ALLOCATION_SCOREBOARD,
    FACTOR_BETAS,
    ATTRIBUTION,
    UNIVERSE_METRICS,
]
