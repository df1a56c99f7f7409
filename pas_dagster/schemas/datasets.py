"""Facts: what the world published, partitioned by the day it became known."""

from __future__ import annotations

from collections.abc import Sequence

from pas_dagster.schemas.columns import (
    EVENT_DATE,
    KNOWN_AT,
    KNOWN_ON,
    PROVIDER,
    RAW,
    SYMBOL,
    TICKER,
    count,
    day,
    flag,
    number,
    text,
)
from pas_dagster.schemas.table import Column, Table


def dataset(name: str, doc: str, columns: Sequence[Column], key: Sequence[str]) -> Table:
    """A fact table: every row says when it became known, when it happened, who served it and from which bytes."""
    return Table(name, doc, [KNOWN_ON, KNOWN_AT, EVENT_DATE, *columns, PROVIDER, RAW], key)


UNIVERSE = dataset(
    "universe",
    "Membership changes: which securities are listed, and in which index, from when to when",
    [
        SYMBOL,
        text("name", "Name of the security"),
        text("kind", "Kind of security", among=("stock", "etf")),
        text("sector", "GICS sector; null for funds", nullable=True),
        text("index_name", "Index or list it is a member of"),
        text("action", "Whether it joins or leaves", among=("add", "remove")),
    ],
    ["known_on", "symbol", "index_name", "action"],
)

PRICES = dataset(
    "prices",
    "Daily bars as traded, and the total return over the last bar",
    [
        SYMBOL,
        number("open", "First price", "USD", nullable=True, above=0),
        number("high", "Highest price", "USD", nullable=True, above=0),
        number("low", "Lowest price", "USD", nullable=True, above=0),
        number("close", "Last price, not adjusted", "USD", above=0),
        number("volume", "Shares traded; null when unknown", "shares", nullable=True, min=0),
        number(
            "total_return",
            "(close x split + dividend) / previous close - 1; null on the first bar",
            "per bar",
            nullable=True,
            min=-1,
            max=10,
        ),
    ],
    ["known_on", "symbol"],
)

CORPORATE_ACTIONS = dataset(
    "corporate_actions",
    "Splits, dividends, delistings and symbol changes; event_date is the session at whose open they take effect",
    [
        SYMBOL,
        text("kind", "What happens", among=("split", "dividend", "delisting", "symbol_change")),
        number("value", "Split: new per old share; dividend, delisting: USD per share", "", nullable=True, above=0),
        text("new_symbol", "Symbol after a symbol change", nullable=True),
    ],
    ["event_date", "symbol", "kind"],
)

SP500_INDEX = dataset(
    "sp500_index",
    "The S&P 500 price index: the benchmark",
    [
        number("open", "Open", "points", nullable=True, above=0),
        number("high", "High", "points", nullable=True, above=0),
        number("low", "Low", "points", nullable=True, above=0),
        number("close", "Close", "points", above=0),
        number("volume", "Volume", "shares", nullable=True, min=0),
    ],
    ["event_date"],
)

POLITICIAN_TRADES = dataset(
    "politician_trades",
    "Securities trades disclosed by members of Congress; known on the filing day",
    [
        text("filing_id", "Identifier of the filing"),
        count("line", "Line within the filing; identical lines are separate lots", min=1),
        text("politician", "Member who filed"),
        text("bioguide_id", "Biographical Directory identifier", nullable=True),
        text("chamber", "Chamber", among=("house", "senate")),
        text("party", "Party", nullable=True),
        text("state", "State", nullable=True),
        text("owner", "SELF, SP (spouse), JT (joint) or DC (child)", nullable=True),
        TICKER,
        text("asset_description", "Asset in the filer's words", nullable=True),
        text("asset_type", "Kind of asset", among=("stock", "etf", "option", "bond", "other")),
        text("direction", "Purchase, sale or exchange", among=("buy", "sell", "exchange")),
        text("extent", "For sales: all of the holding or a part", nullable=True),
        number("amount_low", "Lower end of the statutory bracket", "USD", min=0),
        number("amount_high", "Upper end; null above $50,000,000", "USD", nullable=True, min=0),
        number("amount_mid", "Midpoint of the bracket", "USD", above=0),
    ],
    ["filing_id", "line"],
)

FAMA_FRENCH_FACTORS = dataset(
    "fama_french_factors",
    "Fama-French factors, daily; known when the library's month was published",
    [
        number("mkt_rf", "Market less risk-free", "per day", min=-1, max=1),
        number("smb", "Small minus big", "per day", min=-1, max=1),
        number("hml", "High minus low", "per day", min=-1, max=1),
        number("rmw", "Robust minus weak", "per day", nullable=True, min=-1, max=1),
        number("cma", "Conservative minus aggressive", "per day", nullable=True, min=-1, max=1),
        number("rf", "Risk-free", "per day", min=-0.01, max=0.01),
    ],
    ["event_date"],
)

TREASURY_RATES = dataset(
    "treasury_rates",
    "US Treasury yields and policy rates",
    [text("tenor", "Tenor, such as 3m or 10y"), number("rate", "Yield", "per year", min=-0.05, max=0.5)],
    ["event_date", "tenor"],
)

LOBBYING = dataset(
    "lobbying",
    "Lobbying spend reported under the Lobbying Disclosure Act",
    [
        text("filing_id", "Identifier of the filing"),
        TICKER,
        text("client", "Who pays"),
        text("registrant", "Who lobbies", nullable=True),
        text("quarter", "Quarter reported, such as 2026Q1"),
        number("amount", "Income or expense reported", "USD", nullable=True, min=0),
        flag("amendment", "Whether it replaces an earlier filing of the same registrant, client and quarter"),
    ],
    ["filing_id"],
)

WIKI_VIEWS = dataset(
    "wiki_views",
    "Daily page views of a company's Wikipedia article",
    [
        SYMBOL,
        text("article", "Title of the article the views are counted under"),
        text("redirected_from", "Title that was asked for, where it redirects to the article", nullable=True),
        count("views", "Views", "per day", min=0),
    ],
    ["event_date", "symbol"],
)

DC_INSIDER_SCORES = dataset(
    "dc_insider_scores",
    "Score of a company's ties to Washington: mean of its ranks by congressional trading, lobbying and contracts",
    [
        SYMBOL,
        number("score", "Score; 100 is the highest", "", min=0, max=100),
        number(
            "congress", "Percentile by congressional net buying of the last year", "", nullable=True, min=0, max=100
        ),
        number("lobbying", "Percentile by lobbying spend of the last year", "", nullable=True, min=0, max=100),
        number("contracts", "Percentile by contracts of the last year", "", nullable=True, min=0, max=100),
    ],
    ["event_date", "symbol"],
)

GOV_CONTRACTS = dataset(
    "gov_contracts",
    "Federal contract awards",
    [
        text("award_id", "Identifier of the award's action"),
        TICKER,
        text("recipient", "Who receives it"),
        text("agency", "Who awards it", nullable=True),
        text("kind", "A new award or a change of an old one", nullable=True, among=("new", "modification")),
        number("amount", "Obligation; negative when taken back", "USD"),
        text("description", "Description", nullable=True),
    ],
    ["award_id"],
)

APP_REVIEWS = dataset(
    "app_reviews",
    "Ratings of a company's apps",
    [
        SYMBOL,
        text("app", "App"),
        text("app_id", "Identifier in the store", nullable=True),
        number("rating", "Average rating", "stars", min=0, max=5),
        count("ratings", "Number of ratings", min=0),
        number("hype", "Week-over-week change that the rank uses", "", nullable=True),
    ],
    ["event_date", "symbol", "app"],
)

GOOGLE_TRENDS = dataset(
    "google_trends",
    "Search interest",
    [SYMBOL, text("keyword", "Search term"), number("interest", "Interest relative to its peak", "", min=0, max=100)],
    ["known_on", "event_date", "symbol"],
)

REDDIT_MENTIONS = dataset(
    "reddit_mentions",
    "Mentions of a symbol on Reddit",
    [
        SYMBOL,
        text("forum", "Subreddit or group of them"),
        count("mentions", "Mentions", "per day", min=0),
        number("upvotes", "Upvotes of the posts", "", nullable=True, min=0),
    ],
    ["event_date", "symbol", "forum"],
)

NEWS_HEADLINES = dataset(
    "news_headlines",
    "News headlines and their sentiment",
    [
        text("headline_id", "Identifier of the item"),
        TICKER,
        text("headline", "Headline"),
        text("source", "Publisher", nullable=True),
        text("url", "Address of the article", nullable=True),
        number("sentiment", "Compound sentiment", "", nullable=True, min=-1, max=1),
    ],
    ["headline_id", "symbol"],
)

ANALYST_RATINGS = dataset(
    "analyst_ratings",
    "Changes of analysts' ratings",
    [
        SYMBOL,
        text("firm", "Research firm"),
        text("action", "What changed", among=("upgrade", "downgrade", "initiate", "maintain", "reiterate")),
        text("from_grade", "Grade before", nullable=True),
        text("to_grade", "Grade after", nullable=True),
        number("target_before", "Price target before", "USD", nullable=True, above=0),
        number("target", "Price target", "USD", nullable=True, above=0),
    ],
    ["event_date", "symbol", "firm", "action"],
)

INSIDER_BUYING = dataset(
    "insider_buying",
    "Transactions of corporate insiders (SEC Form 4)",
    [
        text("accession", "Accession number of the filing"),
        count("line", "Line within the filing", min=1),
        SYMBOL,
        text("insider", "Reporting owner"),
        text("role", "Insider's role", nullable=True, among=("officer", "director", "owner", "other")),
        text("title", "Officer's title", nullable=True),
        text("code", "Transaction code: P purchase, S sale, A grant, M exercise"),
        text("direction", "Acquired or disposed", among=("buy", "sell")),
        number("shares", "Shares", "shares", min=0),
        number("price", "Price per share", "USD", nullable=True, min=0),
        text("plan", "Whether under a 10b5-1 plan; null when not stated", nullable=True, among=("yes", "no")),
        flag("amendment", "Whether the filing replaces an earlier one (4/A)"),
    ],
    ["accession", "line"],
)

CATALYST_EVENTS = dataset(
    "catalyst_events",
    "Dated events that may move a small company, such as regulatory decisions",
    [
        text("event_id", "Identifier of the trial, application or entry"),
        TICKER,
        text("company", "Company"),
        text("product", "Product or trial", nullable=True),
        text("kind", "Kind of event"),
        day("expected_on", "Day on which it is expected"),
    ],
    ["known_on", "event_id", "kind"],
)

DATASETS = [
    UNIVERSE,
    PRICES,
    CORPORATE_ACTIONS,
    SP500_INDEX,
    POLITICIAN_TRADES,
    FAMA_FRENCH_FACTORS,
    TREASURY_RATES,
    LOBBYING,
    WIKI_VIEWS,
    DC_INSIDER_SCORES,
    GOV_CONTRACTS,
    APP_REVIEWS,
    GOOGLE_TRENDS,
    REDDIT_MENTIONS,
    NEWS_HEADLINES,
    ANALYST_RATINGS,
    INSIDER_BUYING,
    CATALYST_EVENTS,
]
