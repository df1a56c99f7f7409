"""The sandbox world in the formats of the sites that publish such facts: one module per site."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site

MODULES = (
    "alpaca_data",
    "alpaca_news",
    "apewisdom",
    "clinical_trials",
    "constituents",
    "edgar",
    "finviz",
    "fred",
    "french",
    "google_trends",
    "house",
    "ishares",
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


@cache
def by_host() -> dict[str, list[Site]]:
    """The sites that answer for each host; where there are several, each has its own paths."""
    found: dict[str, list[Site]] = {}
    for name in MODULES:
        site = import_module(f"pas_dagster.sandbox.sites.{name}").SITE
        for host in site.hosts:
            found.setdefault(host, []).append(site)
    return found


def answer(present: Present, call: Call) -> Answer:
    """What the host says; 404 where no site knows the path."""
    for site in by_host().get(call.host, []):
        found = site.answer(present, call)
        if found is not None:
            return found
    return Answer(b"<html><head><title>404 Not Found</title></head><body>Not Found</body></html>", 404)
