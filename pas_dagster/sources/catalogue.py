"""Every source by dataset, the first listed being the default. Settings put others first, or leave some out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module

from pas_dagster.errors import PasError
from pas_dagster.sources.source import Source

MODULES = (
    "alpaca",
    "alpaca_news",
    "apewisdom",
    "catalysts",
    "clinical_trials",
    "congress",
    "constituents",
    "edgar",
    "finviz",
    "fred",
    "french",
    "google_trends",
    "house",
    "itunes",
    "lda",
    "openfda",
    "quiver",
    "quiver_api",
    "reddit",
    "senate",
    "usaspending",
    "wikimedia",
    "yahoo",
    "yahoo_ratings",
)

ORDER: Mapping[str, Sequence[str]] = {
    "politician_trades": ("congress", "quiver_page", "quiver_api", "house", "senate"),
    "lobbying": ("lda", "quiver_page", "quiver_api"),
    "gov_contracts": ("usaspending", "quiver_page", "quiver_api"),
    "insider_buying": ("edgar", "edgar_daily", "edgar_bulk", "quiver_page", "quiver_api"),
    "dc_insider_scores": ("computed", "quiver_page"),
    "app_reviews": ("itunes", "quiver_page", "quiver_api"),
    "google_trends": ("google_trends", "quiver_page"),
    "wiki_views": ("wikimedia",),
    "reddit_mentions": ("apewisdom", "reddit"),
    "news_headlines": ("alpaca_news", "finviz"),
    "analyst_ratings": ("yahoo", "finviz"),
    "prices": ("yahoo", "alpaca"),
    "corporate_actions": ("alpaca", "yahoo"),
    "sp500_index": ("yahoo",),
    "universe": ("constituents", "datahub", "alpaca_assets"),
    "treasury_rates": ("fred", "yahoo"),
    "fama_french_factors": ("french",),
    "catalyst_events": ("catalysts", "clinical_trials", "openfda"),
}
"""Who offers a dataset, best first. `import` (files brought in) and `computed` are no sites."""

STAND_INS: Mapping[str, str] = {
    "prices": "alpaca",
    "corporate_actions": "yahoo",
    "universe": "datahub",
}
"""Who serves when the default cannot: only where both name a fact alike, so that their partitions mix."""

TAME_CHOICE: Mapping[str, str] = {"google_trends": "quiver_page"}
"""What the sandbox uses for a history: a page a week, where Google Trends takes two for each company."""

ABOUT_COMPANIES = frozenset(
    {
        "prices",
        "corporate_actions",
        "lobbying",
        "gov_contracts",
        "insider_buying",
        "catalyst_events",
        "wiki_views",
        "news_headlines",
        "analyst_ratings",
        "reddit_mentions",
        "app_reviews",
        "google_trends",
    }
)
"""Datasets whose sources are asked by symbol, or name companies: the universe comes before them."""

IMPORT = "import"
COMPUTED = "computed"


@cache
def by_dataset() -> Mapping[str, Mapping[str, Source]]:
    """Dataset -> name -> source, of every module."""
    found: dict[str, dict[str, Source]] = {}
    for module in MODULES:
        for source in import_module(f"pas_dagster.sources.{module}").SOURCES:
            found.setdefault(source.dataset, {})[source.name] = source
    return found


def chosen(dataset: str, settings: Mapping[str, Sequence[str]], *, tame: bool = False) -> list[str]:
    """Names of the providers to try, in order: those the settings name, else what was imported and the default.

    In a `tame` world (the sandbox) also those are on that are off for real sites, and there is nothing to import.
    Raises `PasError` for a name that does not exist.
    """
    named = settings.get(dataset)
    if named is None:
        usual = (*ORDER.get(dataset, ())[:1], *filter(None, [STAND_INS.get(dataset)]))
        if tame:
            return [TAME_CHOICE[dataset]] if dataset in TAME_CHOICE else list(usual)
        return [IMPORT, *(name for name in usual if name == COMPUTED or not by_dataset()[dataset][name].off)]
    offered = [*ORDER.get(dataset, ()), IMPORT]
    unknown = [name for name in named if name not in offered]
    if unknown:
        raise PasError(
            f"Setting 'providers': {dataset} has no provider {unknown[0]!r}. There are: {', '.join(offered)}."
        )
    return list(named)
