"""Factor betas: published data, statsmodels as the second opinion, rolling windows, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics import factors
from pas_dagster.analytics.factors import (
    Premia,
    expected_returns,
    factor_fit,
    factor_premia,
    newey_west_lags,
    rolling_betas,
)
from pas_dagster_tests.recorded import recorded

NAN = float("nan")
FF3 = ["MktRF", "SMB", "HML"]


def panel(periods: int = 300, books: int = 4, count: int = 3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Books on factors with noise that is autocorrelated and louder at times."""
    rng = np.random.default_rng(seed)
    f = rng.normal(0.0005, 0.01, (periods, count))
    noise = rng.normal(0.0, 0.005, (periods + 1, books)) * (1 + np.arange(periods + 1)[:, None] % 50 / 25)
    return 0.0002 + f @ rng.normal(1.0, 0.5, (count, books)) + noise[1:] + 0.5 * noise[:-1], f


# ------------------------------------------------------------------------------------------- known answers


@pytest.mark.shared
def test_betas_of_the_portfolios_of_fama_and_french():
    table = pd.read_csv(recorded("quant/linearmodels/french.csv.bz2"), index_col=0)
    books = {
        "S1V1": (-0.005332, 1.112628, 1.400169, -0.184221, 0.85595),
        "S5V5": (-0.001960, 1.114798, -0.082598, 0.838469, None),
        "S1V5": (0.001197, 0.961980, 1.085001, 0.695068, 0.94672),
        "NoDur": (0.001947, 0.803334, -0.029383, 0.080556, None),
    }
    returns = table[list(books)].to_numpy() - table[["RF"]].to_numpy()
    fit = factor_fit(returns, table[FF3].to_numpy(), FF3, periods=12)
    for place, (*coefficients, r2) in enumerate(books.values()):
        np.testing.assert_allclose(fit.coefficients[place], coefficients, atol=5e-7)
        assert r2 is None or fit.r2[place] == pytest.approx(r2, abs=5e-6)
        theirs = sm.OLS(returns[:, place], sm.add_constant(table[FF3].to_numpy())).fit(
            cov_type="HAC", cov_kwds={"maxlags": 6}
        )
        np.testing.assert_allclose(fit.coefficients[place], theirs.params, rtol=0, atol=3e-15)
        np.testing.assert_allclose(fit.errors[place], theirs.bse, rtol=1e-12)
    assert fit.lags.tolist() == [6] * 4  # 4 * 8.19^(2/9) = 6.38
    assert fit.observations.tolist() == [819] * 4


@pytest.mark.shared
def test_premia_of_the_three_factors_since_1926():
    table = pd.read_csv(recorded("quant/arch/frenchdata.csv.gz"), index_col=0)
    monthly = table.to_numpy() / 100
    names = [name.strip() for name in table.columns]
    premia = factor_premia(monthly, names, periods=12)
    assert premia is not None
    found = dict(zip(premia.factors, premia.means * 100, strict=True))
    assert [round(found[name], 3) for name in ("Mkt-RF", "SMB", "HML", "RF")] == [7.919, 2.479, 4.426, 3.291]
    spread = premia.errors * math.sqrt(premia.observations / 12) * 100
    np.testing.assert_allclose(spread[:3], [18.46, 11.05, 12.06], atol=0.005)
    assert premia.observations == 1109


# ------------------------------------------------------------------------------------------- second opinion


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("lags", [None, 0, 1, 12])
def test_the_same_as_statsmodels(small, lags):
    x, f = panel()
    x[:40, 1] = NAN
    x[100, 2] = NAN
    fit = factor_fit(x, f, ["a", "b", "c"], periods=252, lags=lags, small_sample=small)
    for k in range(x.shape[1]):
        theirs = sm.OLS(x[:, k], sm.add_constant(f), missing="drop").fit(
            cov_type="HAC", cov_kwds={"maxlags": int(fit.lags[k]), "use_correction": small}, use_t=small
        )
        np.testing.assert_allclose(fit.coefficients[k], theirs.params, rtol=0, atol=3e-15)
        np.testing.assert_allclose(fit.errors[k], theirs.bse, rtol=1e-12)
        np.testing.assert_allclose(fit.t[k], theirs.tvalues, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(fit.p[k], theirs.pvalues, rtol=1e-9, atol=1e-14)
        assert fit.r2[k] == pytest.approx(theirs.rsquared, rel=1e-12)
        assert fit.residual[k] == pytest.approx(math.sqrt(theirs.scale * 252), rel=1e-12)
        assert fit.alpha[k] == pytest.approx(theirs.params[0] * 252, abs=1e-12)
    assert fit.observations.tolist() == [300, 260, 299, 300]


def test_the_lag_rule():
    assert [newey_west_lags(n) for n in (10, 100, 252, 819, 2520)] == [2, 4, 4, 6, 8]


def test_autocorrelated_noise_makes_wider_errors():
    x, f = panel(2000)
    robust = factor_fit(x, f, list("abc"), periods=252)
    plain = factor_fit(x, f, list("abc"), periods=252, lags=0)
    assert (robust.errors[:, 0] > 1.1 * plain.errors[:, 0]).all()
    np.testing.assert_array_equal(robust.coefficients, plain.coefficients)


# ---------------------------------------------------------------------------------------------- properties


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)), books=st.permutations(range(4)))
def test_factors_and_books_in_another_order(seed, order, books):
    x, f = panel(60, seed=seed)
    fit = factor_fit(x, f, list("abc"), periods=12)
    other = factor_fit(x[:, books], f[:, order], [list("abc")[i] for i in order], periods=12)
    np.testing.assert_allclose(other.betas, fit.betas[books][:, order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.errors[:, 1:], fit.errors[books][:, 1:][:, order], rtol=1e-9)
    np.testing.assert_allclose(other.r2, fit.r2[books], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), book=st.floats(0.1, 10), factor=st.floats(0.1, 10))
def test_scale_rules(seed, book, factor):
    x, f = panel(60, seed=seed)
    fit, other = (factor_fit(a * x, b * f, list("abc"), periods=12) for a, b in ((1, 1), (book, factor)))
    np.testing.assert_allclose(other.betas, fit.betas * book / factor, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(other.alpha, fit.alpha * book, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(other.t, fit.t, rtol=1e-7, atol=1e-7)


def test_a_late_book_does_not_change_the_others():
    x, f = panel()
    late = x.copy()
    late[:150, 0] = NAN
    whole, part = (factor_fit(table, f, list("abc"), periods=252) for table in (x, late))
    np.testing.assert_allclose(part.coefficients[1:], whole.coefficients[1:], rtol=0, atol=1e-14)
    alone = factor_fit(x[150:, :1], f[150:], list("abc"), periods=252)
    np.testing.assert_allclose(part.errors[0], alone.errors[0], rtol=1e-12)


def test_a_missing_factor_is_no_observation_for_any_book():
    x, f = panel()
    holed = f.copy()
    holed[10:20, 1] = NAN
    keep = np.r_[0:10, 20:300]
    found, expected = (
        factor_fit(x, holed, list("abc"), periods=12),
        factor_fit(x[keep], f[keep], list("abc"), periods=12),
    )
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)


# --------------------------------------------------------------------------------------- what is not usable


def test_a_fit_that_cannot_be_used_says_why_and_has_no_numbers():
    x, f = panel(100)
    x = np.column_stack([x[:, 0], x[:, 0], np.full(100, 0.001), f @ [1.0, 0.5, 0.2] + 0.01, np.zeros(100)])
    x[:93, 1] = NAN
    fit = factor_fit(x, f, list("abc"), periods=12)
    assert fit.reasons == ("", factors.TOO_SHORT, factors.CONSTANT, factors.EXACT, factors.CONSTANT)
    numbers = np.column_stack([fit.coefficients, fit.errors, fit.t, fit.p, fit.r2, fit.alpha, fit.residual])
    assert np.isfinite(numbers[0]).all()
    assert np.isnan(numbers[1:]).all()


@pytest.mark.parametrize("third", ["constant", "sum", "copy"])
def test_collinear_factors_are_refused(third):
    x, f = panel(100)
    f[:, 2] = {"constant": np.full(100, 0.3), "sum": f[:, 0] - 2 * f[:, 1] + 0.1, "copy": f[:, 0] * 1e-6}[third]
    fit = factor_fit(x, f, list("abc"), periods=12)
    assert set(fit.reasons) == {factors.COLLINEAR}
    assert np.isnan(fit.coefficients).all()
    assert np.isnan(rolling_betas(x, f, window=20)).all()


def test_factors_of_small_scale_are_not_collinear():
    x, f = panel(100)
    fit = factor_fit(x, f * [1.0, 1e-8, 1.0], list("abc"), periods=12)
    np.testing.assert_allclose(fit.betas * [1.0, 1e-8, 1.0], factor_fit(x, f, list("abc"), periods=12).betas, rtol=1e-9)


def test_no_books_and_no_rows():
    fit = factor_fit(np.empty((50, 0)), np.zeros((50, 1)), ["a"], periods=12)
    assert fit.reasons == ()
    assert factor_fit(np.empty((0, 2)), np.empty((0, 1)), ["a"], periods=12).reasons == (factors.TOO_SHORT,) * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: factor_fit(np.zeros((5, 1)), np.zeros((6, 1)), ["a"], periods=12), "must be"),
        (lambda: factor_fit(np.zeros((5, 1)), np.zeros((5, 2)), ["a"], periods=12), "names"),
        (lambda: factor_fit(np.full((5, 1), np.inf), np.zeros((5, 1)), ["a"], periods=12), "infinite"),
        (lambda: factor_fit(np.zeros((5, 1)), np.zeros((5, 1)), ["a"], periods=12, lags=-1), "lags"),
        (lambda: rolling_betas(np.zeros((9, 1)), np.zeros((9, 2)), window=3), "window"),
        (lambda: expected_returns(np.zeros((1, 2)), Premia(("a",), np.zeros(1), np.zeros(1), 9), 0.0), "premia"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------------- rolling


@pytest.mark.parametrize("block", [1, 1 << 21])
def test_rolling_betas_are_those_of_each_window(monkeypatch, block):
    monkeypatch.setattr(factors, "_BLOCK", block)
    x, f = panel(90)
    x[:30, 1] = NAN
    x[50, 2] = NAN
    f[80, 0] = NAN
    found = rolling_betas(x, f, window=20)
    assert found.shape == (90, 4, 4)
    for t in range(90):
        rows = slice(max(0, t - 19), t + 1)
        for k in range(4):
            whole = t >= 19 and not np.isnan(np.column_stack([x[rows, k], f[rows]])).any()
            if not whole:
                assert np.isnan(found[t, k]).all()
                continue
            expected = np.linalg.lstsq(np.column_stack([np.ones(20), f[rows]]), x[rows, k], rcond=None)[0]
            np.testing.assert_allclose(found[t, k], expected, rtol=1e-9, atol=1e-12)


def test_rolling_betas_survive_a_level_a_thousand_times_the_spread():
    """Running sums of squares would lose six digits here."""
    x, f = panel(200)
    shifted = rolling_betas(x, f + 10.0, window=50)
    np.testing.assert_allclose(shifted[:, :, 1:], rolling_betas(x, f, window=50)[:, :, 1:], rtol=1e-9)


def test_a_window_longer_than_the_panel_is_never_full():
    x, f = panel(10)
    assert np.isnan(rolling_betas(x, f, window=11)).all()


def test_rolling_betas_do_not_look_ahead():
    x, f = panel(80)
    np.testing.assert_allclose(
        rolling_betas(x[:50], f[:50], window=20), rolling_betas(x, f, window=20)[:50], rtol=1e-10
    )


# ------------------------------------------------------------------------------------------ expected returns


def test_expected_returns_are_cash_and_betas_times_premia():
    premia = Premia(("market", "size"), np.array([0.08, 0.02]), np.array([0.02, 0.01]), 1109)
    found = expected_returns(np.array([[1.0, 0.0], [1.2, -0.5], [NAN, NAN]]), premia, 0.03)
    np.testing.assert_allclose(found, [0.11, 0.03 + 0.096 - 0.01, NAN])


def test_premia_are_of_the_stated_window():
    table = np.array([[0.5, NAN], [0.01, 0.02], [0.03, 0.04], [NAN, 0.9]])
    premia = factor_premia(table, ["a", "b"], periods=12)
    assert premia is not None
    assert premia.observations == 2
    np.testing.assert_allclose(premia.means, [0.24, 0.36])
    assert factor_premia(table, ["a", "b"], periods=12, window=3) is None
    assert factor_premia(table[:2], ["a", "b"], periods=12) is None
    last = factor_premia(np.arange(20.0)[:, None] / 1000, ["a"], periods=1, window=5)
    assert last is not None
    assert last.means[0] == pytest.approx(0.017)
