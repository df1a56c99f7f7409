"""What the sleeves should hold at a decision, checked at the border and turned into integers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from pas_dagster.errors import PasError
from pas_dagster.ledger import units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.journal import UNASSIGNED

# What may stand in an order id, an address and a line of COPY.
SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.\-/=^_]{0,19}")
SLEEVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._\-]{0,62}")
SLACK = 1e-6  # sums of floats


@dataclass(frozen=True)
class SleeveTarget:
    """One sleeve at one decision.

    share: of the account's net asset value, used when `resize`. weights: symbol -> fraction of the sleeve, long-only,
    sum <= 1, the rest is cash. rebalance: new weights take effect. resize: the sleeve's capital is reset to its share.
    It trades if either holds. Resized without a rebalance it keeps the mix it has drifted to, cash included, and its
    weights count only if it holds nothing. A sleeve that ends needs a last target with share 0.
    """

    sleeve: str
    share: float
    weights: Mapping[str, float]
    rebalance: bool
    resize: bool


class Wanted(NamedTuple):
    """A trading sleeve's target in integers (1e-9).

    `share` is None when the sleeve keeps its own capital. `scale`: what it holds is scaled to its new capital.
    """

    sleeve: str
    share: int | None
    weights: dict[str, int]
    scale: bool


class Rules(NamedTuple):
    """An account's rules in integers: money 1e-6 USD, cost rate 1e-8, bands 1e-9."""

    capital: int
    min_order: int
    rate: int
    band: int = 0
    band_relative: int = 0
    band_money: int = 0
    fractional: bool = True


class Limits(NamedTuple):
    """What cannot be traded as wanted: symbol -> why it is left alone, and symbols that trade in whole shares only."""

    frozen: Mapping[str, str] = MappingProxyType({})
    whole: frozenset[str] = frozenset()


def rules(spec: AccountSpec) -> Rules:
    """`PasError` for a band that has no meaning."""
    for name in ("band", "band_relative"):
        if not 0 <= getattr(spec, name) <= 1:  # false for NaN too
            raise PasError(f"The account's {name} is {getattr(spec, name)}; a band lies between 0 and 1.")
    return Rules(
        units.money(spec.capital_usd),
        units.money(spec.min_order_usd),
        units.rate(spec.cost_bp),
        units.weight(spec.band),
        units.weight(spec.band_relative),
        units.money(spec.band_usd),
        spec.fractional,
    )


def wanted(targets: Iterable[SleeveTarget]) -> list[Wanted]:
    """The sleeves that trade, by name. `PasError` for weights or shares that cannot be meant."""
    trading = sorted((one for one in targets if one.rebalance or one.resize), key=lambda one: one.sleeve)
    names = [one.sleeve for one in trading]
    if len(set(names)) != len(names):
        raise PasError(f"A sleeve has two targets for one decision ({', '.join(names)}); give each sleeve one.")
    _check_shares([one.share for one in trading if one.resize])
    return [_wanted(one) for one in trading]


def _wanted(target: SleeveTarget) -> Wanted:
    if not SLEEVE.fullmatch(target.sleeve) or target.sleeve == UNASSIGNED:
        raise PasError(
            f"{target.sleeve!r} cannot name a sleeve: letters, digits, space, '.', '_' and '-' only, "
            f"and not {UNASSIGNED!r}."
        )
    weights = target.weights
    total = 0.0
    for symbol, weight in weights.items():
        if not (0 <= weight <= 1 + SLACK):  # false for NaN too
            raise PasError(f"Sleeve {target.sleeve!r} wants {weight} of {symbol!r}; a weight lies between 0 and 1.")
        if not SYMBOL.fullmatch(symbol):
            raise PasError(f"Sleeve {target.sleeve!r} wants {symbol!r}, which is no symbol that can be traded.")
        total += weight
    if total > 1 + SLACK:
        raise PasError(f"The weights of sleeve {target.sleeve!r} sum to {total:.6f}; they may not exceed 1.")
    share = units.weight(target.share) if target.resize else None
    goal = {symbol: units.weight(weight) for symbol, weight in weights.items() if weight}
    return Wanted(target.sleeve, share, goal, scale=target.resize and not target.rebalance)


def _check_shares(shares: Sequence[float]) -> None:
    if any(not math.isfinite(share) or share < 0 for share in shares) or sum(shares) > 1 + SLACK:
        raise PasError(f"The sleeves' shares of the account ({shares}) must lie between 0 and 1 and sum to at most 1.")
