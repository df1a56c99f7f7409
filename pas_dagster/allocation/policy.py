"""The parameters of the weekly allocation."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import get_args

from pas_dagster.allocation.estimators import Covariance

COVARIANCES: tuple[str, ...] = get_args(Covariance)


@dataclass(frozen=True, slots=True)
class Policy:
    """How the account is divided between its sleeves: the rules that hold for every scheme.

    Attributes:
        window_weeks: weekly returns that are looked at; a sleeve needs all of them.
        min_weight: smallest weight of an eligible sleeve, as a share of the account.
        max_weight: largest weight of a sleeve, as a share of the account and of its invested part.
        target_volatility: largest volatility of the account, annual; what does not fit is cash.
        no_trade_band: weight changes up to this size are not traded, as a share of the account.
        outlier_k: robust standard deviations of a weekly return that are believed.
        max_volatility: annual volatility of the fully invested portfolio above which the numbers are not believed.
        risk_free: annual risk-free rate; cash is taken to earn it, and borrowed cash to cost it.
        covariance: the estimator, `ledoit_wolf`, `constant_correlation`, `single_factor` or `ewma`.
        ewma_decay: weight of a week relative to the next one, for `ewma`.
        max_leverage: largest invested share of the account; above 1 a calm mix is scaled up to the volatility target
            with borrowed cash, within max_weight.
        turnover_budget: largest sum of all weight changes of a week, buys and sells, as a share of the account; None
            for no limit. The bounds and the volatility target go before it.

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
    covariance: Covariance = "ledoit_wolf"
    ewma_decay: float = 0.94
    max_leverage: float = 1.0
    turnover_budget: float | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that has no meaning."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "covariance" or (field.name == "turnover_budget" and value is None):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"the policy needs a finite number for {field.name}, not {value!r}")
        self._check_estimates()
        self._check_limits()

    def _check_estimates(self) -> None:
        """Refuse parameters of the estimators that have no meaning."""
        if not isinstance(self.window_weeks, int) or self.window_weeks < 3:
            raise ValueError(f"the policy needs a window_weeks of at least 3 whole weeks, not {self.window_weeks}")
        if self.covariance not in COVARIANCES:
            raise ValueError(f"the policy needs a covariance among {', '.join(COVARIANCES)}, not {self.covariance!r}")
        if not 0.0 < self.ewma_decay <= 1.0:
            raise ValueError(f"the policy needs an ewma_decay above 0 and at most 1, not {self.ewma_decay}")
        if not self.outlier_k > 0.0:
            raise ValueError(f"the policy needs an outlier_k above 0, not {self.outlier_k}")
        if not -1.0 < self.risk_free < 1.0:
            raise ValueError(f"the policy needs a risk_free rate between -1 and 1 a year, not {self.risk_free}")

    def _check_limits(self) -> None:
        """Refuse limits that have no meaning."""
        if not (0.0 <= self.min_weight <= self.max_weight <= 1.0 and self.max_weight > 0.0):
            bounds = f"{self.min_weight} and {self.max_weight}"
            raise ValueError(f"the policy needs 0 ≤ min_weight ≤ max_weight ≤ 1 and max_weight > 0, not {bounds}")
        if not 0.0 < self.target_volatility <= self.max_volatility:
            pair = f"{self.target_volatility} and {self.max_volatility}"
            raise ValueError(f"the policy needs 0 < target_volatility ≤ max_volatility, not {pair}")
        if not 0.0 <= self.no_trade_band < 1.0:
            raise ValueError(f"the policy needs a no_trade_band of at least 0 and below 1, not {self.no_trade_band}")
        if not 1.0 <= self.max_leverage <= 10.0:
            raise ValueError(f"the policy needs a max_leverage between 1 and 10, not {self.max_leverage}")
        if self.turnover_budget is not None and self.turnover_budget < 0.0:
            raise ValueError(f"the policy needs a turnover_budget of at least 0, not {self.turnover_budget}")
