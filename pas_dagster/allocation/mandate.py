"""What the owner wants of the schemes: the strategic mix, the groups and their budgets, age, views, how bold to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pas_dagster.allocation.views import NamedView, repeated

_SLACK = 1e-9  # shares that sum to 1 but for rounding


@dataclass(frozen=True, slots=True)
class Mandate:
    """Parameters of the schemes; every one has a default, so that each scheme has an answer.

    Attributes:
        mix: strategic shares by sleeve, scaled to sum 1 over the eligible ones; empty for equal shares.
        groups: group by sleeve. Sleeves in no group, or in one without a budget, share what the budgets leave.
        budgets: share by group, sum at most 1; empty for none. They bind `strategic`, `tactical` and
            `mean_variance_groups`.
        tilt: largest distance of a tactical weight from its strategic one, as a share of the mix.
        equity: sleeves or groups that count as equity for the glide path; None for every sleeve.
        birth_year: of the owner; the age is the decision's year less this.
        uncertainty: half width of the robust scheme's boxes, in standard errors.
        risk_aversion: γ of mean - ½ γ variance, without unit.
        views: what is expected of sleeves, for the Black-Litterman scheme; at most one of a sleeve or of a pair.
        tau: uncertainty of the equilibrium as a share of the covariance, for the same scheme.
        momentum_skill: correlation that the dynamic scheme expects between momentum scores and weekly returns.
        crisis_cut: part of the invested share that the dynamic scheme gives up at a crisis probability of 1.

    Raises:
        ValueError: a parameter has no meaning; one sentence names it.

    >>> Mandate(groups={"a": "bonds"}, budgets={"bonds": 0.5, "equities": 0.25})
    Traceback (most recent call last):
    ...
    ValueError: the mandate has budgets for groups without a sleeve: equities
    """

    mix: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    tilt: float = 0.05
    equity: frozenset[str] | None = None
    birth_year: int = 1988
    uncertainty: float = 1.0
    risk_aversion: float = 5.0
    views: tuple[NamedView, ...] = ()
    tau: float = 0.05
    momentum_skill: float = 0.05
    crisis_cut: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a mandate that has no meaning, and keep it from being changed later."""
        for name in ("mix", "groups", "budgets"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.equity is not None:
            object.__setattr__(self, "equity", frozenset(self.equity))
        object.__setattr__(self, "views", tuple(self.views))
        self._check_shares()
        if repeated(self.views):
            raise ValueError(f"the mandate has two views of {repeated(self.views)}, keep one of them")
        for name, least, most in (
            ("tilt", 0.0, 1.0),
            ("birth_year", 1900, 2100),
            ("uncertainty", 0.0, 100.0),
            ("risk_aversion", 1e-6, 1e6),
            ("tau", 1e-6, 1.0),
            ("momentum_skill", 0.0, 1.0),
            ("crisis_cut", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise ValueError(f"the mandate needs a {name} between {least} and {most}, not {value!r}")

    def _check_shares(self) -> None:
        """Refuse a mix, groups or budgets that have no meaning."""
        for name in ("mix", "budgets"):
            shares = getattr(self, name)
            for key, share in shares.items():
                if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0.0 <= share < math.inf:
                    raise ValueError(f"the mandate needs shares of at least 0 in its {name}, not {share!r} for {key}")
        if self.mix and not sum(self.mix.values()) > 0.0:
            raise ValueError("the mandate needs a mix with a share above 0")
        if sum(self.budgets.values()) > 1.0 + _SLACK:
            raise ValueError(f"the mandate needs budgets that sum to at most 1, not {sum(self.budgets.values()):.6g}")
        lost = sorted(set(self.budgets) - set(self.groups.values()))
        if lost:
            raise ValueError(f"the mandate has budgets for groups without a sleeve: {', '.join(lost)}")


DEFAULT = Mandate()
