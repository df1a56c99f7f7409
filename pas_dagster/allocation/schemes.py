"""All schemes by name, in the order in which they are shown. The first is the default.

A scheme is a function from a `Problem` to an `Answer`; a new one is a module with such a function and a line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pas_dagster.allocation import (
    black_litterman,
    dynamic,
    glide_path,
    hierarchical_risk_parity,
    max_sharpe,
    mean_variance_groups,
    min_variance,
    risk_parity,
    robust_min_max,
    strategic,
    tactical,
)
from pas_dagster.allocation.problem import Scheme

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "max_sharpe": max_sharpe.scheme,
        "risk_parity": risk_parity.scheme,
        "min_variance": min_variance.scheme,
        "strategic": strategic.scheme,
        "tactical": tactical.scheme,
        "dynamic": dynamic.scheme,
        "robust_min_max": robust_min_max.scheme,
        "mean_variance_groups": mean_variance_groups.scheme,
        "glide_path": glide_path.scheme,
        "hierarchical_risk_parity": hierarchical_risk_parity.scheme,
        "black_litterman": black_litterman.scheme,
    }
)


def scheme_called(name: str) -> Scheme:
    """The scheme of a name.

    Raises:
        ValueError: there is none.

    >>> scheme_called("fair_share")
    Traceback (most recent call last):
    ...
    ValueError: there is no scheme 'fair_share'; there are max_sharpe, risk_parity, min_variance, strategic, tactical, \
dynamic, robust_min_max, mean_variance_groups, glide_path, hierarchical_risk_parity, black_litterman
    """
    if name not in SCHEMES:
        raise ValueError(f"there is no scheme {name!r}; there are {', '.join(SCHEMES)}")
    return SCHEMES[name]
