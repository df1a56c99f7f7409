"""What an account is opened with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Mode = Literal["simulated", "paper", "live"]


@dataclass(frozen=True)
class AccountSpec:
    """An account and its rules.

    cost_bp: basis points per traded dollar. min_order_usd: smaller orders rest. A difference between what a sleeve
    holds and wants rests within the narrower of `band` (a fraction of the sleeve) and `band_relative` (a fraction of
    the target), and below `band_usd`; a holding that is wanted no more is sold whatever the bands. fractional: whether
    orders may be for parts of a share.
    """

    id: str
    broker: str = "simulated"
    mode: Mode = "simulated"
    capital_usd: int = 1_000_000
    cost_bp: float = 5.0
    min_order_usd: int = 5
    band: float = 0.0
    band_relative: float = 0.0
    band_usd: int = 0
    fractional: bool = True
    opened: date = date(2015, 1, 1)
