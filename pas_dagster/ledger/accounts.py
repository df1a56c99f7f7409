"""What an account is opened with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Mode = Literal["simulated", "paper", "live"]


@dataclass(frozen=True)
class AccountSpec:
    """An account and its rules. `cost_bp`: basis points per traded dollar; smaller orders than `min_order_usd` rest."""

    id: str
    broker: str = "simulated"
    mode: Mode = "simulated"
    capital_usd: int = 1_000_000
    cost_bp: float = 5.0
    min_order_usd: int = 5
    opened: date = date(2015, 1, 1)
