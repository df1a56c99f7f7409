"""Exact integers for shares and dollars, and the rules by which products are rounded.

Quantity: 1e-9 shares. Money and prices: 1e-6 USD. Weights and shares of capital: 1e-9. Cost rates: 1e-8.

>>> shares("12.5"), money("0.05")
(12500000000, 50000)
"""

from __future__ import annotations

import math
from decimal import Decimal

SHARE = 10**9
USD = 10**6
UNIT = 10**9  # one, as a weight
RATE = 10**8  # one, as a cost rate
LARGEST = 2**63 - 1


def shares(value: Decimal | str | int) -> int:
    """Shares to 1e-9 shares; `ValueError` when the value has more digits than that or does not fit 64 bits."""
    return _exact(value, SHARE)


def money(value: Decimal | str | int) -> int:
    """USD to 1e-6 USD; `ValueError` as for `shares`."""
    return _exact(value, USD)


def shares_text(quantity: int) -> str:
    """The exact decimal text of a quantity: what a broker is sent.

    >>> shares_text(12_500_000_000)
    '12.5'
    """
    return _text(quantity, SHARE)


def money_text(amount: int) -> str:
    """The exact decimal text of an amount of money."""
    return _text(amount, USD)


def price(value: float | None) -> int | None:
    """A price per share to the nearest 1e-6 USD; None when it is missing, not finite or not positive."""
    if value is None or not math.isfinite(value):
        return None
    rounded = round(value * USD)
    return rounded if rounded > 0 else None


def weight(value: float) -> int:
    """A fraction to the nearest 1e-9; nearest, so that the last bit of a float does not change a plan."""
    return round(value * UNIT)


def rate(basis_points: float) -> int:
    """Basis points per traded dollar to 1e-8."""
    return round(basis_points * RATE / 10_000)


def value(quantity: int, price: int) -> int:
    """Worth of a quantity, rounded towards zero: what a seller receives."""
    return quantity * price // SHARE if quantity >= 0 else -(-quantity * price // SHARE)


def cost(quantity: int, price: int) -> int:
    """Worth of a quantity >= 0, rounded up: what a buyer pays."""
    return -(-quantity * price // SHARE)


def fee(notional: int, rate: int) -> int:
    """Cost of trading a notional >= 0, rounded up to 1e-6 USD."""
    return -(-notional * rate // RATE)


def affordable(budget: int, price: int, rate: int) -> int:
    """The largest quantity whose cost and fee stay within a budget (to within one unit of money)."""
    return max(budget, 0) * RATE // (RATE + rate) * SHARE // price


def _exact(value: Decimal | str | int, scale: int) -> int:
    scaled = Decimal(value) * scale
    whole = int(scaled)
    if whole != scaled:
        raise ValueError(f"{value} is finer than 1/{scale}")
    if abs(whole) > LARGEST:
        raise ValueError(f"{value} does not fit 64 bits at 1/{scale}")
    return whole


def _text(amount: int, scale: int) -> str:
    digits = len(str(scale)) - 1
    whole, part = divmod(abs(amount), scale)
    text = f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
    return f"-{text}" if amount < 0 else text
