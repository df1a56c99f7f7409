"""Sleeves against each other and fills to sleeves, in whole units: pure functions whose sums are exact."""

from __future__ import annotations

from collections.abc import Sequence

from pas_dagster.ledger import units


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` >= 0 in proportion to weights >= 0 (not all 0) by largest remainder; ties go to the first.

    >>> split(10, [1, 1, 1])
    [4, 3, 3]
    """
    if len(weights) == 1:
        return [total]
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    if missing:
        order = sorted(range(len(weights)), key=lambda at: -(total * weights[at] % whole))
        for at in order[:missing]:
            parts[at] += 1
    return parts


def cross(quantities: Sequence[int]) -> list[int]:
    """How much of each signed quantity is met by the opposite side: pro rata on the larger side, unsigned.

    >>> cross([30, -10, 10])
    [8, 10, 2]
    """
    buys = sum(quantity for quantity in quantities if quantity > 0)
    sells = -sum(quantity for quantity in quantities if quantity < 0)
    crossed = min(buys, sells)
    if not crossed:
        return [0] * len(quantities)
    larger = 1 if buys >= sells else -1
    parts = iter(split(crossed, [abs(quantity) for quantity in quantities if quantity * larger > 0]))
    return [next(parts) if quantity * larger > 0 else abs(quantity) for quantity in quantities]


def allocate(filled: int, quantities: Sequence[int], before: Sequence[int]) -> list[int]:
    """What each sleeve has once `filled` of an order is done in all, given what it had `before`.

    The cumulative quantity is divided, not each fill, so nobody drifts away from pro rata: floor of pro rata, never
    below `before`, the remainder by largest deficit, never above what the sleeve asked for. Exact when full.
    """
    total = sum(quantities)
    if filled == total:
        return list(quantities)
    if len(quantities) == 1:
        return [filled]
    have = [max(old, filled * quantity // total) for old, quantity in zip(before, quantities, strict=True)]
    missing = filled - sum(have)
    step = 1 if missing > 0 else -1
    while missing:
        # Deficits in units of 1/total; when too much was given (two floors rose at once), the smallest gives back.
        open_to = [at for at in range(len(have)) if (have[at] < quantities[at] if step > 0 else have[at] > before[at])]
        at = max(open_to, key=lambda at: step * (filled * quantities[at] - have[at] * total))
        have[at] += step
        missing -= step
    return have


def afford(orders: Sequence[tuple[int, int]], cash: int, rate: int) -> list[int]:
    """Cut buys (quantity, price) to what the cash pays, costs included, pro rata by largest remainder.

    Returns the quantities, each <= what was asked; all of them unchanged when the cash suffices.
    """
    costs = []
    for quantity, price in orders:
        notional = units.cost(quantity, price)
        costs.append(notional + units.fee(notional, rate))
    if sum(costs) <= cash:
        return [quantity for quantity, _ in orders]
    budgets = split(max(cash, 0), costs)
    return [
        min(quantity, units.affordable(budget, price, rate))
        for (quantity, price), budget in zip(orders, budgets, strict=True)
    ]
