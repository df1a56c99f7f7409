"""Every strategy there is, by name, with the parameters that the settings give."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pas_dagster import strategies
from pas_dagster.strategies.contract import Strategy
from pas_dagster.strategies.members import follow_member
from pas_dagster.strategies.own import merged


def catalogue(
    members: Mapping[str, str], parameters: Mapping[str, Mapping[str, Any]], own: Sequence[Strategy] = ()
) -> dict[str, Strategy]:
    """All strategies by name, in alphabetical order.

    Args:
        members: one sleeve `follow_<key>` for each key -> member of Congress.
        parameters: strategy -> parameter -> value, in place of the defaults.
        own: the user's; one whose name is taken is kept apart and fails under another name.

    Raises:
        ValueError: a strategy or parameter is unknown or not of its type, or two built-in ones have one name.

    >>> found = catalogue({"pelosi": "Nancy Pelosi"}, {"congress_aggregate": {"top_n": 10}})
    >>> found["congress_aggregate"].parameters, "follow_pelosi" in found
    ({'top_n': 10}, True)
    """
    known: dict[str, Strategy] = {}
    for found in [*_registered(), *(follow_member(key, member) for key, member in members.items())]:
        if found.name in known:
            raise ValueError(f"Two strategies are called {found.name!r}.")
        known[found.name] = found
    known = merged(known, list(own))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"There is no strategy {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    return {name: known[name].with_parameters(parameters.get(name, {})) for name in sorted(known)}


def _registered() -> Iterator[Strategy]:
    """The strategies that the modules of this package define; one that a module merely imports counts once."""
    seen: set[int] = set()
    for module in sorted(item.name for item in pkgutil.iter_modules(strategies.__path__, f"{strategies.__name__}.")):
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, Strategy) and id(value) not in seen:
                seen.add(id(value))
                yield value
