"""Black-Litterman: what the market's weights say of expected returns, and those returns after a few views.

The weights of the market are taken for the optimal ones of an investor with a known risk aversion; the returns that
make them so are the equilibrium. It is uncertain itself, by τ times the covariance, and a view is one more uncertain
observation, of the return of a portfolio: absolute (one asset) or relative (some assets less others). Bayes' rule joins
the two; a view moves every asset that is correlated with it, each as far as the two uncertainties allow.

The scheme takes the strategic mix, as near as the bounds allow, for the market; without views that is its answer. With
views it holds the portfolio of largest Sharpe ratio after the views within the bounds. The paper maximises
μ'w - ½ δ w'Σw with both moments after the views, whose optimum (δΣ)⁻¹μ without bounds is that portfolio, in the amount
that δ asks for; under a limit on risk, says the paper, it keeps its proportions and only its amount changes. The amount
is a matter of the volatility target here. To maximise the utility of a fixed sum instead would add some of the
portfolio of least variance, views or not.

The variance of a view of confidence c is (1/c - 1) τ p'Σp: alone it moves the return of its portfolio p the part c of
the way from the equilibrium to what is expected. One half is what He and Litterman take.

Source: He and Litterman (1999), The intuition behind Black-Litterman model portfolios, Goldman Sachs Investment
Management Research; Black and Litterman (1992), Global portfolio optimization, Financial Analysts Journal 48(5). Of the
confidence: Walters (2014), The Black-Litterman model in detail, SSRN 1314585, after Idzorek (2005), A step-by-step
guide to the Black-Litterman model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray, annual_rate
from pas_dagster.allocation.log import in_percent
from pas_dagster.allocation.mandate import DEFAULT
from pas_dagster.allocation.max_sharpe import as_answer, max_sharpe
from pas_dagster.allocation.problem import Answer, Problem, moments, no_answer
from pas_dagster.allocation.programme import fully_invested, minimise
from pas_dagster.allocation.strategic import OBJECTIVE as DISTANCE
from pas_dagster.allocation.views import NamedView

OBJECTIVE = "annual Sharpe ratio with the views"
TAU = DEFAULT.tau  # uncertainty of the equilibrium as a share of the covariance, as in He and Litterman


class View(NamedTuple):
    """What someone expects of a portfolio.

    Attributes:
        pick: (n,) the portfolio: one asset (`absolute`), or weights of sum 1 less others of sum 1 (`relative`).
        expected: its excess return, per period.
        variance: of that expectation; None takes τ times the variance of the portfolio, as He and Litterman do.
    """

    pick: FloatArray
    expected: float
    variance: float | None = None


class Posterior(NamedTuple):
    """Returns after the views, per period.

    Attributes:
        mean: (n,) expected excess returns.
        cov: (n, n) of returns whose mean is uncertain: the covariance plus that of the mean.
    """

    mean: FloatArray
    cov: FloatArray


def scheme(problem: Problem) -> Answer:
    """The portfolio of largest Sharpe ratio after the mandate's views, within the bounds and fully invested.

    Without a view of sleeves that take part it is the strategic mix, as near as the bounds allow. Infeasible if no
    sleeve of the mix takes part, if the bounds hold no portfolio, or if after the views none of them has a positive
    excess return. The moments of the answer are those of the estimates; the note says what the views changed.

    >>> from pas_dagster.allocation.mandate import Mandate
    >>> from pas_dagster.allocation.problem import make_problem
    >>> cov, zero = np.diag([0.0004, 0.0004]), np.zeros(2)
    >>> mandate = Mandate(views=(NamedView("b", None, 0.08),))
    >>> answer = scheme(make_problem(("a", "b"), np.zeros((2, 2)), zero, cov, mandate=mandate))
    >>> answer.weights.round(3).tolist()
    [0.435, 0.565]
    >>> answer.note
    'expected returns a year with the views: b (8 % expected, confidence 50 %) from 5.2 % to 6.6 %; the strategic mix \
from 5.2 % to 5.9 %'
    """
    market = _market(problem)
    if market.status != "optimal":
        return market
    views = problem.mandate.views
    used = [view for view in views if view.names <= set(problem.names)]
    absent = ", ".join(view.subject for view in views if view not in used)
    more = f"; left out because not all of its sleeves take part: {absent}" if absent else ""
    if not used:
        return market._replace(note=f"no views, so the strategic mix as near as the bounds allow{more}")
    return _with_views(problem, market.weights, used, more)


def _market(problem: Problem) -> Answer:
    """The fully invested portfolio that is nearest to the strategic mix within the bounds."""
    n = len(problem.names)
    limits, reason = fully_invested(problem)
    reason = reason or ("" if problem.base.any() else "no sleeve of the strategic mix is eligible")
    if reason:
        return no_answer("infeasible", reason, n, DISTANCE)
    return minimise(problem, np.eye(n), -problem.base, limits, DISTANCE, 1.0)


def _with_views(problem: Problem, market: FloatArray, used: list[NamedView], more: str) -> Answer:
    """The answer after some views; `more` ends its note."""
    picks = [_pick(problem.names, view) for view in used]
    if not (np.isfinite(problem.cov).all() and all(pick @ problem.cov @ pick > 0.0 for pick in picks)):
        why = "the views need finite covariances, and a variance of what each is of"
        return no_answer("failed", why, len(problem.names), OBJECTIVE)
    prior = equilibrium_returns(problem.cov, market, problem.mandate.risk_aversion)
    views = [_portfolio_view(problem, view, pick) for view, pick in zip(used, picks, strict=True)]
    found = posterior(prior, problem.cov, views, problem.mandate.tau)
    cash = problem.risk_free
    tangency = max_sharpe(found.mean + cash, found.cov, problem.lower, problem.upper, cash)
    answer = as_answer(problem, tangency, found.mean, OBJECTIVE)
    if answer.status != "optimal":
        return answer._replace(reason=f"with the views {answer.reason}")
    told = [_moved(str(view), pick, prior, found.mean, cash) for view, pick in zip(used, picks, strict=True)]
    told.append(_moved("the strategic mix", market, prior, found.mean, cash))
    gain, volatility = moments(problem, answer.weights)
    note = f"expected returns a year with the views: {'; '.join(told)}{more}"
    return answer._replace(expected_return=gain, volatility=volatility, note=note, excess=None)


def _pick(names: tuple[str, ...], view: NamedView) -> FloatArray:
    """The portfolio (n,) that a view is of."""
    one = np.eye(len(names))
    pick = one[names.index(view.sleeve)]
    return pick if view.below is None else relative(pick, one[names.index(view.below)], 0.0).pick


def _portfolio_view(problem: Problem, view: NamedView, pick: FloatArray) -> View:
    """A view of the mandate as one of a portfolio, per week and in excess of cash."""
    expected = view.expected / WEEKS_PER_YEAR - float(pick.sum()) * problem.risk_free
    own = problem.mandate.tau * float(pick @ problem.cov @ pick)
    return View(pick, expected, (1.0 / view.confidence - 1.0) * own)


def _moved(what: str, pick: FloatArray, prior: FloatArray, mean: FloatArray, cash: float) -> str:
    """From where to where the return of a portfolio has moved, per year and with cash, in words."""
    before, after = (in_percent(annual_rate(float(pick @ (excess + cash)))) for excess in (prior, mean))
    return f"{what} from {before} to {after}"


def equilibrium_returns(cov: FloatArray, market: FloatArray, risk_aversion: float) -> FloatArray:
    """Expected excess returns (n,) for which the market's weights are optimal: δΣw, in the period of the covariance.

    Args:
        cov: (n, n).
        market: (n,) weights of the market, sum 1.
        risk_aversion: δ, positive: the market's excess return per unit of its variance.

    >>> equilibrium_returns(np.diag([0.04, 0.01]), np.array([0.5, 0.5]), 2.5).round(4).tolist()
    [0.05, 0.0125]
    """
    return risk_aversion * (cov @ market)


def absolute(n: int, asset: int, expected: float, variance: float | None = None) -> View:
    """The view that asset number `asset` of n returns so much in excess of cash.

    >>> absolute(3, 1, 0.04).pick.tolist()
    [0.0, 1.0, 0.0]
    """
    return View(np.eye(n)[asset], expected, variance)


def relative(above: FloatArray, below: FloatArray, expected: float, variance: float | None = None) -> View:
    """The view that some assets return so much more than others.

    Args:
        above: (n,) sizes of those that return more, not negative, scaled to sum 1.
        below: (n,) likewise of the others; the market's weights among them are the neutral choice.
        expected: how much more.
        variance: as in `View`.

    >>> relative(np.array([0.0, 1.0, 0.0]), np.array([3.0, 0.0, 1.0]), 0.05).pick.tolist()
    [-0.75, 1.0, -0.25]
    """
    return View(above / above.sum() - below / below.sum(), expected, variance)


def posterior(prior: FloatArray, cov: FloatArray, views: list[View], tau: float = TAU) -> Posterior:
    """Expected returns and covariance after the views; without any, the prior and (1 + τ) times the covariance.

    Args:
        prior: (n,) expected excess returns before, `equilibrium_returns` as a rule.
        cov: (n, n) positive definite, same period.
        views: none of them a portfolio of nothing; views that repeat each other count twice.
        tau: positive; how uncertain the prior is, as a share of the covariance.

    Raises:
        ValueError: a view does not fit the prior, is of nothing, or has a variance below 0.

    >>> cov = np.diag([0.04, 0.01])
    >>> found = posterior(np.array([0.05, 0.02]), cov, [absolute(2, 0, 0.07)])
    >>> found.mean.round(4).tolist()  # half way: as uncertain as the prior
    [0.06, 0.02]
    """
    spread = tau * cov
    if not views:
        return Posterior(prior.copy(), cov + spread)
    for view in views:
        if view.pick.shape != prior.shape or not view.pick.any() or (view.variance is not None and view.variance < 0.0):
            raise ValueError(
                f"a view needs a portfolio of {prior.size} assets and a variance of at least 0, not {view}"
            )
    P = np.array([view.pick for view in views])
    own = np.einsum("ki,ij,kj->k", P, spread, P)
    doubt = np.diag([size if view.variance is None else view.variance for view, size in zip(views, own, strict=True)])
    gain = np.linalg.solve(P @ spread @ P.T + doubt, P @ spread).T  # (n, k): how far each asset follows each surprise
    surprise = np.array([view.expected for view in views]) - P @ prior
    return Posterior(prior + gain @ surprise, cov + spread - gain @ (P @ spread))


def optimal_weights(found: Posterior, risk_aversion: float) -> FloatArray:
    """Weights (n,) of the unconstrained optimum, (δΣ)⁻¹μ; what they leave to 1 is cash.

    >>> optimal_weights(Posterior(np.array([0.05, 0.0125]), np.diag([0.04, 0.01])), 2.5).round(4).tolist()
    [0.5, 0.5]
    """
    return np.linalg.solve(risk_aversion * found.cov, found.mean)
