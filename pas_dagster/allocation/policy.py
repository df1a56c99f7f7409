"""The parameters of the weekly allocation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Policy:
    """How the account is divided between its sleeves.

    Attributes:
        window_weeks: weekly returns that are looked at; a sleeve needs all of them.
        min_weight: smallest weight of an eligible sleeve, as a share of the account.
        max_weight: largest weight of a sleeve, as a share of the account and of its invested part.
        target_volatility: largest volatility of the account, annual; what does not fit is cash.
        no_trade_band: weight changes up to this size are not traded, as a share of the account.
        outlier_k: robust standard deviations of a weekly return that are believed.
        max_volatility: annual volatility of the fully invested portfolio above which the numbers are not believed.
        risk_free: annual risk-free rate; cash is taken to earn it.

    Raises:
        ValueError: a parameter is out of range; one sentence names it.

    >>> Policy(max_weight=1.5)
    Traceback (most recent call last):
    ...
    ValueError: the policy needs 0 ≤ min_weight ≤ max_weight ≤ 1 and max_weight > 0, not 0.0 and 1.5
    """

    window_weeks: int = 12
    min_weight: float = 0.0
    max_weight: float = 0.40
    target_volatility: float = 0.08
    no_trade_band: float = 0.005
    outlier_k: float = 3.5
    max_volatility: float = 5.0
    risk_free: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a policy that has no meaning."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"the policy needs a finite number for {field.name}, not {value!r}")
        if not isinstance(self.window_weeks, int) or self.window_weeks < 3:
            raise ValueError(f"the policy needs a window_weeks of at least 3 whole weeks, not {self.window_weeks}")
        if not (0.0 <= self.min_weight <= self.max_weight <= 1.0 and self.max_weight > 0.0):
            bounds = f"{self.min_weight} and {self.max_weight}"
            raise ValueError(f"the policy needs 0 ≤ min_weight ≤ max_weight ≤ 1 and max_weight > 0, not {bounds}")
        if not 0.0 < self.target_volatility <= self.max_volatility:
            pair = f"{self.target_volatility} and {self.max_volatility}"
            raise ValueError(f"the policy needs 0 < target_volatility ≤ max_volatility, not {pair}")
        if not 0.0 <= self.no_trade_band < 1.0:
            raise ValueError(f"the policy needs a no_trade_band of at least 0 and below 1, not {self.no_trade_band}")
        if not self.outlier_k > 0.0:
            raise ValueError(f"the policy needs an outlier_k above 0, not {self.outlier_k}")
        if not -1.0 < self.risk_free < 1.0:
            raise ValueError(f"the policy needs a risk_free rate between -1 and 1 a year, not {self.risk_free}")
