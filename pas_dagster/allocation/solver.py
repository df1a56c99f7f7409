"""The one seam to the quadratic programming solver.

Everything in the package that needs a convex quadratic programme calls `solve_qp`. The solver behind it is DAQP, a dual
active-set method (Arnström, Bemporad and Axehill 2022, IEEE Transactions on Automatic Control 67(8)): exact, dense,
about 20 µs for twenty unknowns, bitwise deterministic. It reports "solved" with NaN for NaN input, so this module
checks the numbers on the way in and the optimality conditions on the way out, and trusts no exit flag alone. A point
that misses them is refined once, by solving the linear system of its active constraints; if that does not help, the
solve has failed.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import daqp  # ty: ignore[import-not-found]  # compiled, ships no stubs
import numpy as np

from pas_dagster.allocation.estimators import FloatArray

Status = Literal["optimal", "infeasible", "failed"]

RESIDUAL_LIMIT = 1e-8  # largest violation of an optimality condition, relative to the size of the problem

_PRIMAL_TOLERANCE = 1e-11  # the default, 1e-6, accepts points that are further off than the residual may be

_FLAGS = {
    -2: "the active set cycles",
    -3: "the problem is unbounded",
    -4: "the iteration limit was reached",
    -5: "the problem is not convex",
    -6: "the starting set is overdetermined",
}


class Solution(NamedTuple):
    """Outcome of `solve_qp`.

    Attributes:
        status: `optimal`, `infeasible` (no point meets the constraints) or `failed` (anything else).
        reason: one sentence, empty when optimal.
        x: the minimiser (n,), all NaN unless optimal.
        multipliers: one per row of A (m,), positive at an upper limit, negative at a lower one, all NaN unless optimal.
        iterations: steps of the active-set method.
        residual: relative violation of the optimality conditions, not less than the largest of them, NaN when no point
            was returned.
    """

    status: Status
    reason: str
    x: FloatArray
    multipliers: FloatArray
    iterations: int
    residual: float


def solve_qp(P: FloatArray, q: FloatArray, A: FloatArray, lower: FloatArray, upper: FloatArray) -> Solution:
    """Minimise ½ x'Px + q'x subject to lower ≤ Ax ≤ upper.

    Never raises: wrong shapes, non-finite numbers, an unbounded or infeasible problem and a solver that stops early are
    all values of `Solution.status`. The same input gives the same bits.

    Args:
        P: (n, n) symmetric, positive semidefinite. Scale it to entries of order one.
        q: (n,).
        A: (m, n).
        lower: (m,), `-inf` for none.
        upper: (m,), `inf` for none.

    Returns:
        A `Solution` whose point meets stationarity, feasibility and complementarity to `RESIDUAL_LIMIT` if optimal.

    >>> eye = np.eye(2)
    >>> solution = solve_qp(eye, np.array([-3.0, -1.0]), eye, np.zeros(2), np.array([2.0, 2.0]))
    >>> solution.status, solution.x.tolist(), solution.multipliers.tolist()
    ('optimal', [2.0, 1.0], [1.0, 0.0])
    >>> solve_qp(eye, np.zeros(2), eye, np.ones(2), np.zeros(2)).status
    'infeasible'
    """
    problem = _refuse(P, q, A, lower, upper)
    if problem is not None:
        return _no_point(problem[0], problem[1], q.size, A.shape[0])
    x, _, flag, info = daqp.solve(
        _plain(P), _plain(q), _plain(A), _plain(upper), _plain(lower), primal_tol=_PRIMAL_TOLERANCE
    )
    steps = int(info["iterations"])
    if flag == -1:
        return _no_point("infeasible", "no point meets all constraints", q.size, A.shape[0], steps)
    if flag != 1:
        why = _FLAGS.get(flag, f"the solver stopped with code {flag}")
        return _no_point("failed", why, q.size, A.shape[0], steps)
    multipliers = info["lam"]
    residual = _residual(P, q, A, lower, upper, x, multipliers)
    if not residual <= RESIDUAL_LIMIT:
        x, multipliers = _refined(P, q, A, lower, upper, multipliers)
        residual = _residual(P, q, A, lower, upper, x, multipliers)
    if not residual <= RESIDUAL_LIMIT:
        why = f"the optimality conditions are missed by {residual:.1e}"
        return _no_point("failed", why, q.size, A.shape[0], steps)
    return Solution("optimal", "", x, multipliers, steps, residual)


def _plain(array: FloatArray) -> FloatArray:
    """The array as the solver's bindings need it: contiguous, writeable, double precision. They do not write to it."""
    if array.dtype == np.float64 and array.flags.c_contiguous:
        return array if array.flags.carray else array.copy()  # read-only: a copy is quicker than `numpy.require`
    return np.require(array, np.float64, "CW")


def _refuse(
    P: FloatArray, q: FloatArray, A: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[Status, str] | None:
    """Why the problem cannot be handed to the solver, or None."""
    n, m = q.size, lower.size
    if q.ndim != 1 or P.shape != (n, n) or A.shape != (m, n) or upper.shape != lower.shape or n == 0:
        return "failed", f"the shapes do not fit: P {P.shape}, q {q.shape}, A {A.shape}, lower {lower.shape}"
    # A sum of squares is finite only if every number is, and takes a third of the time of looking at each.
    if not math.isfinite(np.vdot(P, P) + np.vdot(q, q) + np.vdot(A, A)):
        return "failed", "the problem holds a number that is not finite or too large"
    if np.count_nonzero(lower <= upper) < m:
        if np.isnan(lower).any() or np.isnan(upper).any():
            return "failed", "a limit is not a number"
        return "infeasible", "a lower limit is above its upper limit"
    return None


def _residual(
    P: FloatArray,
    q: FloatArray,
    A: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    x: FloatArray,
    multipliers: FloatArray,
) -> float:
    """Relative violation of the Karush-Kuhn-Tucker conditions, NaN if a number is not finite.

    The root of the summed squares, relative to root mean squares: never less than the largest violation relative to the
    largest number, and quicker to come by. Feasibility, complementarity and the sign of the multipliers are one
    equation: Ax is its own multiplier-shifted projection onto [lower, upper]. The gradient is measured in units of q
    and x, the point in units of x only: however large q is, the limits are met as well.
    """
    ax = A @ x
    mean = 1.0 / math.sqrt(q.size)
    slope, size = 1.0 + _norm(q) * mean, 1.0 + _norm(x) * mean
    stationarity = _norm(P @ x + q + multipliers @ A) / max(slope, size)
    projection = _norm(ax - np.minimum(np.maximum(ax + multipliers / slope, lower), upper)) / size
    return stationarity if stationarity >= projection or math.isnan(stationarity) else projection


def _norm(x: FloatArray) -> float:
    """Root of the sum of squares, NaN if there is one."""
    return math.sqrt(x.dot(x))


def _refined(
    P: FloatArray, q: FloatArray, A: FloatArray, lower: FloatArray, upper: FloatArray, multipliers: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The point and multipliers that meet the active constraints exactly: one step of iterative refinement."""
    n = q.size
    active = np.flatnonzero(multipliers)
    rows = A[active]
    limits = np.where(multipliers > 0.0, upper, lower)[active]
    corner = np.zeros((active.size, active.size))
    system = np.block([[P, rows.T], [rows, corner]])
    right = np.concatenate([-q, limits])
    new = np.zeros_like(multipliers)
    if not (np.isfinite(right).all() and np.isfinite(system).all()):
        return np.full(n, np.nan), new
    try:
        answer = np.linalg.lstsq(system, right, rcond=None)[0]
    except np.linalg.LinAlgError:
        return np.full(n, np.nan), new
    new[active] = answer[n:]
    return answer[:n], new


def _no_point(status: Status, reason: str, n: int, m: int, iterations: int = 0) -> Solution:
    """A solution without a point."""
    return Solution(status, reason, np.full(n, np.nan), np.full(m, np.nan), iterations, float("nan"))
