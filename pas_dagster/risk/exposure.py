"""What a book is exposed to: gross, net, by name, by sector, by factor, through all sleeves at once.

Weights are fractions of the account's net asset value, negative when short. A name that several sleeves hold counts
once, with the sum of its weights: what one sleeve holds long and another short cancels, as it does in the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

UNKNOWN_SECTOR = "unknown"


class Exposure(NamedTuple):
    """Fractions of the net asset value.

    Attributes:
        gross: sum of the sizes of the names.
        net: sum of the names; 1 - net is cash.
        long, short: their sums, short <= 0.
        by_name: symbol -> weight, largest size first, names of weight 0 left out.
        by_sector: sector -> net weight, largest size first.
        gross_by_sector: sector -> sum of sizes, in the same order.
        largest: size of the largest name.
    """

    gross: float
    net: float
    long: float
    short: float
    by_name: dict[str, float]
    by_sector: dict[str, float]
    gross_by_sector: dict[str, float]
    largest: float


class FactorExposure(NamedTuple):
    """Sum of weight times beta, and the share of gross that it speaks for.

    Attributes:
        by_factor: factor -> exposure of the covered names.
        covered: share of gross whose betas are all known; 1 for an empty book.
        missing: symbols held whose betas are not.
    """

    by_factor: dict[str, float]
    covered: float
    missing: tuple[str, ...]


def exposure(weights: Mapping[str, float], sectors: Mapping[str, str]) -> Exposure:
    """Exposures of a book.

    Args:
        weights: symbol -> fraction of the net asset value.
        sectors: symbol -> sector. Symbols without one are together in `unknown`.

    Raises:
        ValueError: a weight is not finite.

    >>> book = exposure({"A": 0.5, "B": -0.2, "C": 0.1}, {"A": "Energy", "B": "Energy"})
    >>> round(book.gross, 6), round(book.net, 6), {k: round(v, 6) for k, v in book.by_sector.items()}
    (0.8, 0.4, {'Energy': 0.3, 'unknown': 0.1})
    """
    held = _held(weights)
    values = np.array(list(held.values()), dtype=np.float64)
    net_of: dict[str, float] = {}
    gross_of: dict[str, float] = {}
    for symbol, weight in held.items():
        sector = sector_of(symbol, sectors)
        net_of[sector] = net_of.get(sector, 0.0) + weight
        gross_of[sector] = gross_of.get(sector, 0.0) + abs(weight)
    order = sorted(gross_of, key=lambda sector: (-gross_of[sector], sector))
    return Exposure(
        float(np.abs(values).sum()),
        float(values.sum()),
        float(values[values > 0].sum()),
        float(values[values < 0].sum()),
        dict(sorted(held.items(), key=lambda item: (-abs(item[1]), item[0]))),
        {sector: net_of[sector] for sector in order},
        {sector: gross_of[sector] for sector in order},
        float(np.abs(values).max(initial=0.0)),
    )


def factor_exposure(weights: Mapping[str, float], betas: pd.DataFrame) -> FactorExposure:
    """Exposure to each factor: the sum of weight times beta over the names whose betas are known.

    Args:
        weights: symbol -> fraction of the net asset value.
        betas: symbols x factors, NaN where unknown.

    Raises:
        ValueError: a weight is not finite, a beta infinite, or a symbol has two rows.

    >>> betas = pd.DataFrame({"market": [1.2, 0.8]}, index=["A", "B"])
    >>> found = factor_exposure({"A": 0.5, "B": 0.25, "C": 0.25}, betas)
    >>> round(found.by_factor["market"], 6), found.covered, found.missing
    (0.8, 0.75, ('C',))
    """
    if not betas.index.is_unique:
        raise ValueError("a symbol has more than one row of betas")
    held = pd.Series(_held(weights), dtype=np.float64)
    rows = betas.reindex(held.index).to_numpy(np.float64)
    if np.isinf(rows).any():
        raise ValueError("a beta is infinite")
    known = np.isfinite(rows.sum(axis=1))  # no NaN in the row
    sizes, gross = held.abs().to_numpy(), float(held.abs().sum())
    return FactorExposure(
        {
            str(name): float(value)
            for name, value in zip(betas.columns, held.to_numpy()[known] @ rows[known], strict=True)
        },
        float(sizes[known].sum()) / gross if gross > 0.0 else 1.0,
        tuple(symbol for symbol, covered in zip(held.index, known, strict=True) if not covered),
    )


def look_through(shares: Mapping[str, float], sleeves: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Every position of every sleeve as a fraction of the account: share of the sleeve times weight in the sleeve.

    Args:
        shares: sleeve -> fraction of the account's net asset value.
        sleeves: sleeve -> (symbol -> fraction of the sleeve).

    Returns:
        Rows (sleeve, symbol, weight), what `caps.apply_caps` takes. Positions of weight 0 are left out.

    Raises:
        ValueError: a sleeve with a share has no weights, or a number is not finite.

    >>> look_through({"a": 0.5, "b": 0.25}, {"a": {"X": 1.0}, "b": {"X": 0.4, "Y": 0.6}}).values.tolist()
    [['a', 'X', 0.5], ['b', 'X', 0.1], ['b', 'Y', 0.15]]
    """
    rows = []
    for sleeve, share in _held(shares).items():
        if sleeve not in sleeves:
            raise ValueError(f"sleeve {sleeve} has a share of {share:.6g} and no weights; give it an empty mapping")
        rows += [(sleeve, symbol, share * weight) for symbol, weight in _held(sleeves[sleeve]).items()]
    return pd.DataFrame(rows, columns=pd.Index(["sleeve", "symbol", "weight"])).astype({"weight": np.float64})


def by_symbol(positions: pd.DataFrame) -> dict[str, float]:
    """Symbol -> sum of its weights in rows (sleeve, symbol, weight).

    >>> by_symbol(look_through({"a": 0.5, "b": 0.5}, {"a": {"X": 0.5}, "b": {"X": 0.25}}))
    {'X': 0.375}
    """
    return {str(symbol): float(weight) for symbol, weight in positions.groupby("symbol")["weight"].sum().items()}


def holders(positions: pd.DataFrame) -> dict[str, int]:
    """Symbol -> in how many sleeves it is held, most first, from rows (sleeve, symbol, weight).

    >>> holders(look_through({"a": 0.5, "b": 0.5}, {"a": {"X": 1.0}, "b": {"X": 0.4, "Y": 0.6}}))
    {'X': 2, 'Y': 1}
    """
    held = positions[positions["weight"] != 0.0]
    counts = {str(symbol): int(count) for symbol, count in held.groupby("symbol")["sleeve"].nunique().items()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def sector_of(symbol: str, sectors: Mapping[str, str]) -> str:
    """The sector, or `unknown` where there is none or it is empty."""
    sector = sectors.get(symbol)
    return sector if isinstance(sector, str) and sector else UNKNOWN_SECTOR


def _held(weights: Mapping[str, float]) -> dict[str, float]:
    """What is not 0."""
    for name, weight in weights.items():
        if not np.isfinite(weight):
            raise ValueError(f"the weight of {name} is {weight}")
    return {str(name): float(weight) for name, weight in weights.items() if weight != 0.0}
