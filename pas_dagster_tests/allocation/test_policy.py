"""Validation of the policy."""

import dataclasses

import pytest

from pas_dagster.allocation import Policy


def test_defaults() -> None:
    policy = Policy()
    assert (policy.window_weeks, policy.min_weight, policy.max_weight) == (12, 0.0, 0.40)
    assert (policy.target_volatility, policy.no_trade_band, policy.outlier_k) == (0.08, 0.005, 3.5)
    assert (policy.max_volatility, policy.risk_free) == (5.0, 0.0)
    assert (policy.covariance, policy.max_leverage, policy.turnover_budget) == ("ledoit_wolf", 1.0, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.window_weeks = 3  # ty: ignore[invalid-assignment]


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_weeks": 2},
        {"window_weeks": 12.0},
        {"window_weeks": True},
        {"min_weight": -0.1},
        {"min_weight": 0.5, "max_weight": 0.4},
        {"max_weight": 0.0},
        {"max_weight": 1.1},
        {"max_weight": float("nan")},
        {"target_volatility": 0.0},
        {"target_volatility": 6.0},
        {"target_volatility": float("inf")},
        {"no_trade_band": -0.001},
        {"no_trade_band": 1.0},
        {"outlier_k": 0.0},
        {"max_volatility": -1.0},
        {"risk_free": 2.0},
        {"risk_free": "low"},
        {"covariance": "sample"},
        {"ewma_decay": 0.0},
        {"ewma_decay": 1.01},
        {"max_leverage": 0.9},
        {"max_leverage": float("inf")},
        {"turnover_budget": -0.1},
        {"turnover_budget": float("nan")},
    ],
)
def test_a_meaningless_policy_is_refused_in_one_sentence_that_names_the_parameter(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        Policy(**wrong)
    assert str(caught.value).startswith("the policy needs")
    assert "\n" not in str(caught.value)
