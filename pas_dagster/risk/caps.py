"""Limits on names, sectors and gross, applied to a target portfolio before there are orders.

A cap only takes away: no weight grows, and what is cut becomes cash. Handing it to the other names would push them
towards their own caps and would buy what no strategy asked for.

The order is names, sectors, gross. Each cut is one factor on all rows that it concerns, so every sleeve that holds a
name gives up the same share of it, and a later cut never undoes an earlier one: once is enough.

Symbols without a sector count **together** as the sector `unknown`, which is capped like any other: names that nothing
is known of may well have one cause of loss. Broad funds belong to no sector; name one for them in the mapping, or give
`unknown` its own cap in `Caps.sectors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pas_dagster.risk.exposure import sector_of

MARGIN = 1e-12  # relative: a cut ends below its cap by this much, so that rounding cannot exceed it

What = Literal["name", "sector", "gross"]
_Groups = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Caps:
    """Largest exposures as fractions of the net asset value; None is no cap.

    Attributes:
        gross: of the sum of the sizes of all names.
        name: of one name, all sleeves together.
        sector: of the sum of the sizes of one sector's names.
        names: symbol -> its own cap instead of `name`.
        sectors: sector -> its own cap instead of `sector`.

    Raises:
        ValueError: a cap is not a finite number of at least 0; one sentence names it.

    >>> Caps(name=-0.1)
    Traceback (most recent call last):
    ...
    ValueError: a cap on name must be a fraction of at least 0, not -0.1
    """

    gross: float | None = None
    name: float | None = None
    sector: float | None = None
    names: Mapping[str, float] = field(default_factory=dict)
    sectors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no cap."""
        given = {what: getattr(self, what) for what in ("gross", "name", "sector")}
        limits = {what: value for what, value in given.items() if value is not None}
        for key, value in {**limits, **self.names, **self.sectors}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
                raise ValueError(f"a cap on {key} must be a fraction of at least 0, not {value!r}")


class Cut(NamedTuple):
    """One cap that was exceeded.

    Attributes:
        what: kind of the cap.
        name: the symbol or sector; `account` for gross.
        before, after: exposure that the cap limits, as fractions of the net asset value.
        rule: one sentence that explains it.
    """

    what: What
    name: str
    before: float
    after: float
    rule: str


class Capped(NamedTuple):
    """A target within its caps.

    Attributes:
        target: the rows that came in, with the weights that are left.
        cuts: in the order in which they were made; their `before - after` sum to `freed`.
        freed: how much gross was cut, a fraction of the net asset value.
    """

    target: pd.DataFrame
    cuts: tuple[Cut, ...]
    freed: float


def apply_caps(target: pd.DataFrame, caps: Caps, sectors: Mapping[str, str]) -> Capped:
    """Cut a target to its caps.

    Args:
        target: rows (sleeve, symbol, weight), weight a fraction of the account's net asset value, negative when short.
        caps: the limits.
        sectors: symbol -> sector.

    Raises:
        ValueError: a weight is not finite.

    >>> target = pd.DataFrame({"sleeve": ["a", "b"], "symbol": ["X", "X"], "weight": [0.12, 0.04]})
    >>> capped = apply_caps(target, Caps(name=0.08), {})
    >>> capped.target["weight"].round(4).tolist(), round(capped.freed, 4)
    ([0.06, 0.02], 0.08)
    >>> capped.cuts[0].rule
    'X would be 16.00 % of the account; a name may be at most 8.00 %; every sleeve that holds it keeps 50.0 %'
    """
    weights = target["weight"].to_numpy(np.float64)
    if not np.isfinite(weights).all():
        row = target.loc[~np.isfinite(weights)].iloc[0]
        raise ValueError(f"the weight of {row['symbol']} in {row['sleeve']} is {row['weight']}")
    codes, symbols = pd.factorize(target["symbol"].to_numpy(), sort=True)
    net = np.bincount(codes, weights, len(symbols)).astype(np.float64)
    left, cuts = _cut(net, [str(symbol) for symbol in symbols], caps, sectors)
    kept = np.divide(left, net, out=np.ones(len(symbols)), where=net != 0.0)
    freed = float(np.abs(net).sum() - np.abs(left).sum())
    return Capped(target.assign(weight=weights * kept[codes]), tuple(cuts), freed)


def _cut(
    net: NDArray[np.float64], symbols: list[str], caps: Caps, sectors: Mapping[str, str]
) -> tuple[NDArray[np.float64], list[Cut]]:
    """The names' weights within all caps, and the cuts."""
    groups, labels = pd.factorize(np.array([sector_of(symbol, sectors) for symbol in symbols], dtype=object), sort=True)
    steps: list[tuple[What, list[str], _Groups, Mapping[str, float], float | None]] = [
        ("name", symbols, np.arange(len(symbols)), caps.names, caps.name),
        ("sector", [str(label) for label in labels], groups, caps.sectors, caps.sector),
        ("gross", ["account"], np.zeros(len(symbols), dtype=np.intp), {}, caps.gross),
    ]
    cuts: list[Cut] = []
    for what, names, members, own, usual in steps:
        size = np.bincount(members, np.abs(net), len(names))
        limit = np.array([math.inf if (cap := own.get(name, usual)) is None else cap for name in names])
        over = size > limit
        kept = np.divide(limit * (1.0 - MARGIN), size, out=np.ones(len(names)), where=over)
        net = net * kept[members]
        for k in np.flatnonzero(over):
            before, after = float(size[k]), float(size[k] * kept[k])
            cuts.append(Cut(what, names[k], before, after, _sentence(what, names[k], before, float(limit[k]))))
    return net, cuts


def _sentence(what: What, name: str, before: float, limit: float) -> str:
    """Why a cut was made, and what it did."""
    subject, kind, who = {
        "name": (name, "a name", "every sleeve that holds it keeps"),
        "sector": (f"the sector {name}", "this sector", "every name in it keeps"),
        "gross": ("gross exposure", "it", "every name keeps"),
    }[what]
    share = f"{who} {limit / before:.1%}".replace("%", " %")
    return f"{subject} would be {before * 100:.2f} % of the account; {kind} may be at most {limit * 100:.2f} %; {share}"
