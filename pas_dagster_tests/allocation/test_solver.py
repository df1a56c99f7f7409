"""The seam to the quadratic programming solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation import solver
from pas_dagster.allocation.solver import solve_qp


def problem(seed: int, n: int = 6, m: int = 8):
    """A random strictly convex problem with a feasible point."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    A = rng.normal(size=(m, n))
    centre = A @ rng.normal(size=n)
    return root @ root.T / n + 0.1 * np.eye(n), rng.normal(size=n), A, centre - rng.random(m), centre + rng.random(m)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_agrees_with_a_general_purpose_optimiser(seed: int) -> None:
    P, q, A, lower, upper = problem(seed)
    ours = solve_qp(P, q, A, lower, upper)
    assert ours.status == "optimal"
    constraints = [
        {"type": "ineq", "fun": lambda x: A @ x - lower, "jac": lambda x: A},
        {"type": "ineq", "fun": lambda x: upper - A @ x, "jac": lambda x: -A},
    ]
    theirs = minimize(
        lambda x: 0.5 * x @ P @ x + q @ x,
        np.zeros(q.size),
        jac=lambda x: P @ x + q,
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert 0.5 * ours.x @ P @ ours.x + q @ ours.x <= theirs.fun + 1e-9
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_multipliers_meet_the_optimality_conditions_one_by_one(seed: int) -> None:
    P, q, A, lower, upper = problem(seed)
    solution = solve_qp(P, q, A, lower, upper)
    ax, lam = A @ solution.x, solution.multipliers
    np.testing.assert_allclose(P @ solution.x + q + A.T @ lam, 0.0, atol=1e-9)
    assert (ax >= lower - 1e-9).all() and (ax <= upper + 1e-9).all()
    np.testing.assert_allclose(ax[lam > 1e-12], upper[lam > 1e-12], atol=1e-9)
    np.testing.assert_allclose(ax[lam < -1e-12], lower[lam < -1e-12], atol=1e-9)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_a_failure(place: int, value: float) -> None:
    parts = list(problem(3))
    parts[place] = parts[place].copy()
    parts[place].flat[0] = value
    if place == 4 and value == np.inf:
        parts[3][0] = -np.inf
        assert solve_qp(*parts).status == "optimal"  # no limit at all is allowed
        return
    solution = solve_qp(*parts)
    assert solution.status in {"failed", "infeasible"}
    assert solution.reason
    assert np.isnan(solution.x).all()


def test_contradictions_are_infeasible() -> None:
    eye, one = np.eye(2), np.ones(2)
    assert solve_qp(eye, one, eye, one, -one).status == "infeasible"
    A = np.array([[1.0, 1.0], [1.0, 1.0]])
    both = solve_qp(eye, one, A, np.array([1.0, -np.inf]), np.array([np.inf, 0.0]))
    assert both.status == "infeasible"
    assert np.isnan(both.x).all() and np.isnan(both.multipliers).all()


def test_unbounded_and_nonconvex_problems_fail_with_a_reason() -> None:
    eye, one, free = np.eye(2), np.ones(2), np.full(2, np.inf)
    unbounded = solve_qp(np.zeros((2, 2)), one, eye, -free, free)
    nonconvex = solve_qp(-eye, one, eye, -free, free)
    assert unbounded.status == nonconvex.status == "failed"
    assert unbounded.reason and nonconvex.reason


def test_shapes_that_do_not_fit_fail() -> None:
    P, q, A, lower, upper = problem(1)
    assert solve_qp(P, q[:-1], A, lower, upper).status == "failed"
    assert solve_qp(P, q, A[:-1], lower, upper).status == "failed"
    assert solve_qp(P, q, A, lower, upper[:-1]).status == "failed"


def test_memory_layout_does_not_matter_and_inputs_are_not_written_to() -> None:
    parts = problem(5)
    copies = [part.copy() for part in parts]
    first = solve_qp(*parts)
    frozen = [np.asfortranarray(part) for part in parts]
    for part in frozen:
        part.flags.writeable = False
    np.testing.assert_array_equal(solve_qp(*frozen).x, first.x)
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_the_same_problem_gives_the_same_bits() -> None:
    parts = problem(11)
    answers = {solve_qp(*parts).x.tobytes() for _ in range(100)}
    assert len(answers) == 1


def test_a_point_that_misses_the_conditions_is_refined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = problem(2)
    right = solve_qp(*parts)
    assert right.residual <= 1e-12

    def sloppy(*_: object, **__: object):
        return right.x + 1e-4, 0.0, 1, {"iterations": 1, "lam": right.multipliers}

    monkeypatch.setattr(solver.daqp, "solve", sloppy)
    refined = solve_qp(*parts)
    assert refined.status == "optimal" and refined.residual <= 1e-12
    np.testing.assert_allclose(refined.x, right.x, atol=1e-12)
    np.testing.assert_allclose(refined.multipliers, right.multipliers, atol=1e-12)


def test_the_limit_of_the_residual_is_that_of_the_specification() -> None:
    assert solver.RESIDUAL_LIMIT == 1e-8


def test_a_wrong_answer_that_is_called_solved_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = problem(2)
    right = solve_qp(*parts)
    assert right.multipliers.any()

    def liar(*_: object, **__: object):
        return right.x + 1e-4, 0.0, 1, {"iterations": 1, "lam": -right.multipliers}

    monkeypatch.setattr(solver.daqp, "solve", liar)
    wrong = solve_qp(*parts)
    assert wrong.status == "failed"
    assert "optimality conditions" in wrong.reason
    assert np.isnan(wrong.x).all()


def test_a_limit_that_is_missed_by_less_than_the_solvers_own_tolerance_is_met() -> None:
    eye, ones = np.eye(2), np.ones(2)
    solution = solve_qp(eye, -(1.0 + 5e-7) * ones, eye, -ones, ones)
    assert solution.status == "optimal"
    assert solution.x.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(solution.multipliers, 5e-7, rtol=1e-6)


def test_limits_count_in_their_own_units_however_large_the_gradient_is(monkeypatch: pytest.MonkeyPatch) -> None:
    eye, ones = np.eye(2), np.ones(2)
    point = np.array([1.001, 1.0])

    def beyond(*_: object, **__: object):
        return point, 0.0, 1, {"iterations": 1, "lam": 1e12 * ones - point}

    monkeypatch.setattr(solver.daqp, "solve", beyond)
    monkeypatch.setattr(solver, "_refined", lambda *_: (point, 1e12 * ones - point))
    assert solve_qp(eye, -1e12 * ones, eye, -ones, ones).status == "failed"
