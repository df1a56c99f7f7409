"""What the system decides and measures. Decisions are partitioned by the day decided for."""

from __future__ import annotations

from pas_dagster.schemas.analyses import ANALYSES
from pas_dagster.schemas.columns import DECISION, KNOWN_ON, SLEEVE, SYMBOL, count, day, flag, number, text
from pas_dagster.schemas.risk import RISK
from pas_dagster.schemas.table import Column, Kind, Table

STRATEGY_WEIGHTS = Table(
    "strategy_weights",
    "Target weights of every strategy; the row $CASH carries what is not invested",
    [
        DECISION,
        text("strategy", "Strategy"),
        text("symbol", "Symbol, or $CASH"),
        number("weight", "Share of the sleeve", "fraction", min=0, max=1),
        text("status", "Decided now, held, or decaying to cash", among=("decided", "held", "decayed")),
        day("decided_on", "Decision that the weights stem from"),
        text(
            "cause",
            "Why they are not decided now: within the drift band, too little data, old data, a fault of the strategy",
            nullable=True,
            among=("band", "data", "age", "fault"),
        ),
        text("note", "The same in words, with the age of the weights", nullable=True),
    ],
    ["decision", "strategy", "symbol"],
    "decision",
)

STRATEGY_RETURNS = Table(
    "strategy_returns",
    "Daily return of each sleeve, simulated from its stored weights with drift and costs",
    [
        KNOWN_ON,
        text("strategy", "Strategy"),
        number("net", "Return after costs", "per day"),
        number("gross", "Return before costs", "per day"),
        number("turnover", "Value traded", "fraction of NAV", min=0),
        number("cost", "Cost of trading, market impact included", "fraction of NAV", min=0),
        number("impact", "Market impact, a part of the cost", "fraction of NAV", min=0),
        number("unpriced", "Turnover whose impact is not counted: volume not known", "fraction of NAV", min=0),
        number("exposure", "Invested share at the close", "fraction of NAV", min=0),
    ],
    ["known_on", "strategy"],
)

SLEEVE_TRADES = Table(
    "sleeve_trades",
    "Every simulated trade behind strategy_returns",
    [
        KNOWN_ON,
        text("strategy", "Strategy"),
        SYMBOL,
        number("weight", "Bought, or sold when negative", "fraction of NAV"),
        number("volume", "Mean dollar volume of the 20 sessions before", "USD per session", nullable=True, min=0),
    ],
    ["known_on", "strategy", "symbol"],
)

BACKTESTS = Table(
    "backtests",
    "Every backtest ever run here, a row a strategy: the results, and the count of what was tried",
    [
        day("ran_on", "Day on which it was run; the partition"),
        text("backtest", "Namespace in the lake that holds its tables"),
        text("strategy", "Strategy"),
        text("variant", "Digest of the strategy's code and parameters: one variant is one trial"),
        text("parameters", "Parameters as JSON"),
        day("first", "First day of the range"),
        day("last", "Last day of the range"),
        count("sessions", "Sessions with a return"),
        number("net", "Growth after costs", "per year", nullable=True),
        number("gross", "Growth before costs", "per year", nullable=True),
        number("volatility", "Standard deviation of the daily net returns", "per year", nullable=True),
        number("sharpe", "Sharpe ratio of the net returns in excess of cash", "per year", nullable=True),
        number("max_drawdown", "Deepest fall from a peak, net", "fraction", nullable=True),
        number("turnover", "Traded value, buys and sells", "NAV per year", min=0),
        number("cost", "Cost of trading, impact included", "NAV per year", min=0),
        number("impact", "Market impact, a part of the cost", "NAV per year", min=0),
        number("unpriced", "Turnover whose impact is not counted", "fraction of turnover", nullable=True),
        number("exposure", "Mean invested share", "fraction", nullable=True),
        number("capacity", "Capital at which 5 % of the trading exceeds 5 % of daily volume", "USD", nullable=True),
        number("deflated", "Deflated Sharpe ratio: probability of skill after counting the trials", "", nullable=True),
        count("trials", "Variants tried here so far, this one included", min=1),
        count("decisions", "Decisions of the range"),
        count("faults", "Decisions at which the strategy failed"),
        count("audited", "Random decisions at which the future was taken away and changed"),
        count("lookahead", "Findings of that audit"),
    ],
    ["backtest", "strategy"],
    "ran_on",
)

ALLOCATION = Table(
    "allocation",
    "Share of the account that each sleeve gets; the row $CASH carries the rest",
    [
        DECISION,
        SLEEVE,
        number("weight", "Share of the account", "fraction", min=0, max=1),
        number("previous", "Share before", "fraction", min=0, max=1),
        text("scheme", "Allocation scheme that was followed"),
    ],
    ["decision", "sleeve"],
    "decision",
)

ALLOC_LOG = Table(
    "alloc_log",
    "Every step of every allocation with its numbers",
    [
        DECISION,
        count("position", "Order of the step", min=0),
        text("step", "Step"),
        text("sleeve", "Sleeve it concerns", nullable=True),
        number("value", "Number of the step", "", nullable=True),
        text("note", "What was done and why", nullable=True),
    ],
    ["decision", "position"],
    "decision",
)

PORTFOLIOS = Table(
    "portfolios",
    "Target portfolio: what each sleeve should hold, as a share of the account",
    [
        DECISION,
        SLEEVE,
        text("symbol", "Symbol, or $CASH"),
        number("weight", "Share of the account", "fraction", min=0, max=1),
        number("sleeve_weight", "Share of the sleeve", "fraction", min=0, max=1),
        number("sleeve_share", "The sleeve's share of the account", "fraction", min=0, max=1),
        flag("rebalance", "New weights of the sleeve take effect"),
        flag("resize", "A new allocation takes effect"),
        day("weights_from", "Decision that the sleeve's weights stem from"),
        day("allocation_from", "Decision that the allocation stems from"),
    ],
    ["decision", "sleeve", "symbol"],
    "decision",
)

ORDER_BATCH = Table(
    "order_batch",
    "One net order per symbol and batch, and which sleeves asked for it",
    [
        DECISION,
        text("client_order_id", "Deterministic identifier at the broker"),
        SYMBOL,
        text("side", "Side", among=("buy", "sell")),
        number("quantity", "Quantity", "shares", above=0),
        number("reference_price", "Price that the plan used", "USD", above=0),
        number("notional", "Quantity times reference price", "USD", min=0),
        text("state", "State of the order"),
        text("why", "Which sleeves asked for how much"),
    ],
    ["client_order_id"],
    "decision",
)

FILLS = Table(
    "fills",
    "Executions as the broker reported them",
    [
        DECISION,
        text("execution_id", "Identifier of the execution"),
        text("client_order_id", "Order it belongs to"),
        SYMBOL,
        text("side", "Side", among=("buy", "sell")),
        number("quantity", "Quantity", "shares", above=0),
        number("price", "Price", "USD", above=0),
        number("notional", "Value", "USD", min=0),
        number("fee", "Fee", "USD", min=0),
        Column("filled_at", Kind.INSTANT, "When, where the broker states a time", "UTC", nullable=True),
    ],
    ["execution_id"],
    "decision",
)

TRADES = Table(
    "trades",
    "Fills by sleeve, and shares that sleeves crossed with each other inside the ledger",
    [
        DECISION,
        text("execution_id", "Identifier of the execution"),
        SLEEVE,
        SYMBOL,
        text("side", "Side; null for a corporate action", nullable=True, among=("buy", "sell")),
        number("quantity", "Quantity", "shares", min=0),
        number("price", "Price", "USD", min=0),
        number("notional", "Value", "USD", min=0),
        number("fee", "Fee", "USD", min=0),
        text("kind", "Fill at the broker, internal cross, or corporate action"),
        text("client_order_id", "Order it belongs to", nullable=True),
    ],
    ["execution_id", "sleeve", "symbol"],
    "decision",
)


def _account_metrics(mode: str) -> Table:
    return Table(
        f"account_metrics_{mode}",
        f"The {mode} account at the close of each session",
        [
            DECISION,
            number("equity", "Value of the account", "USD"),
            number("cash", "Cash", "USD"),
            number("gross_exposure", "Invested share", "fraction"),
            count("positions", "Symbols held"),
            number("turnover", "Value traded", "fraction of equity", min=0),
            number("fees", "Fees paid", "USD", min=0),
            number("net_flow", "Paid in less paid out", "USD"),
            text("account", "Which account; another one may have been traded before"),
            count("generation", "How often the account's past was computed anew", min=1),
        ],
        ["decision"],
        "decision",
    )


ACCOUNT_METRICS_PAPER = _account_metrics("paper")
ACCOUNT_METRICS_LIVE = _account_metrics("live")

POSITIONS = Table(
    "positions",
    "What each sleeve holds, what it cost, and what came of it; `$CASH` is its cash",
    [
        DECISION,
        SLEEVE,
        text("symbol", "Symbol, or $CASH"),
        number("quantity", "Held; below zero only for what is unassigned", "shares"),
        number("reserved", "Part of it that open orders need", "shares", min=0),
        number("price", "Newest price known", "USD", nullable=True, above=0),
        number("value", "Quantity times price", "USD", nullable=True),
        number("cost", "Cost of what is held, fees included", "USD"),
        number("average_cost", "Cost of a share", "USD", nullable=True),
        number("unrealised", "Value less cost", "USD", nullable=True),
        number("realised", "Proceeds of what was sold less its cost", "USD"),
        number("income", "Dividends and other cash without shares", "USD"),
        number("fees", "Fees paid, part of cost and proceeds", "USD", min=0),
    ],
    ["decision", "sleeve", "symbol"],
    "decision",
)

RECONCILIATION = Table(
    "reconciliation",
    "Ledger against broker: cash and every symbol that either side holds",
    [
        DECISION,
        text("subject", "Symbol, or $CASH"),
        Column("compared_at", Kind.INSTANT, "When they were compared", "UTC"),
        number("ours", "As the ledger has it", "shares or USD"),
        number("theirs", "As the broker has it", "shares or USD"),
        text(
            "verdict",
            "Equal; moving (an order is working); frozen (a corporate action is on its way); rounded (by the broker); "
            "pending (fees that were taken and not told of)",
            among=("equal", "moving", "frozen", "rounded", "pending", "different"),
        ),
    ],
    ["decision", "subject"],
    "decision",
)

METRICS = Table(
    "metrics",
    "Statistics of the account and of each sleeve over everything known by the day",
    [
        KNOWN_ON,
        text("portfolio", "`account` or the strategy"),
        text("statistic", "Statistic"),
        number("value", "Value; null where it is not defined", "", nullable=True),
    ],
    ["known_on", "portfolio", "statistic"],
)

WEIGHT_HISTORY = Table(
    "weight_history",
    "Weight of each symbol in the account's target, by day",
    [KNOWN_ON, SYMBOL, number("weight", "Share of the account", "fraction", min=0, max=1)],
    ["known_on", "symbol"],
)

QUARANTINE = Table(
    "quarantine",
    "Rows that were refused at the border, and why",
    [
        KNOWN_ON,
        text("dataset", "Dataset the row was meant for"),
        text("file", "File or address it came from"),
        count("row_number", "Row in that file, 1 is the first below the header"),
        text("reason", "Rule it breaks"),
        text("content", "The row as JSON"),
    ],
    ["known_on", "dataset", "file", "row_number"],
)

RESULTS = [
    STRATEGY_WEIGHTS,
    STRATEGY_RETURNS,
    SLEEVE_TRADES,
    BACKTESTS,
    ALLOCATION,
    ALLOC_LOG,
    PORTFOLIOS,
    ORDER_BATCH,
    FILLS,
    TRADES,
    POSITIONS,
    RECONCILIATION,
    ACCOUNT_METRICS_PAPER,
    ACCOUNT_METRICS_LIVE,
    METRICS,
    WEIGHT_HISTORY,
    QUARANTINE,
    *ANALYSES,
    *RISK,
]
