"""Conjugate gradients step by step, and what is said where they stop."""

import numpy as np
import pytest
from cases import as_format

from creg._data.storage import Storage
from creg._given import Options, Penalty
from creg._ridge_problem import solve_ridge
from creg._solution import Status


def problem(n=40, p=9, targets=1):
    rng = np.random.default_rng([n, p])
    X = rng.normal(size=(n, p)) * np.geomspace(1, 30, p) + 3
    return X, rng.normal(size=(n, targets)) + 2, rng.choice([0.0, 1.0, 2.5], n)


def fit(X, Y, alpha, *, s=None, tol=1e-8, max_iter=None, fit_intercept=True, **penalty):
    return solve_ridge(
        Storage(X),
        Y,
        np.full(Y.shape[1], float(alpha)),
        sample_weight=s,
        fit_intercept=fit_intercept,
        penalty=Penalty(l1_ratio=0.0, **penalty),
        options=Options(tol=tol, max_iter=max_iter, solver="cg"),
    )


def normal_equations(X, y, s, alpha, v):
    s, X, y = (np.asarray(a, dtype=np.longdouble) for a in (s, X, y))
    X, y = X - s @ X / s.sum(), y - s @ y / s.sum()
    return X.T @ (s[:, None] * X) + alpha * np.diag(v), X.T @ (s * y)


def iterates(A, b, count):
    """The textbook's conjugate gradients from zero, in longdouble."""
    w, r = np.zeros_like(b), b.copy()
    d = r.copy()
    for _ in range(count):
        step = r @ r / (d @ A @ d)
        w = w + step * d
        new = r - step * (A @ d)
        d = new + (new @ new) / (r @ r) * d
        r = new
        yield w


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("layout", ["C", "F", "csc_array", "csr_array"])
@pytest.mark.parametrize("shape", [(40, 9), (8, 25)])
def test_iterates_are_those_of_the_callers_equations(shape, layout, standardize):
    X, Y, s = problem(*shape)
    v = np.ones(shape[1])
    v[2] = 0.0
    spread = np.ones(shape[1])
    if standardize:
        spread = np.sqrt(np.average((X - np.average(X, axis=0, weights=s)) ** 2, 0, s))
    A, b = normal_equations(X / spread, Y[:, 0], s, 5.0, v)
    for k, w in enumerate(iterates(A, b, 4), start=1):
        (end,) = fit(
            as_format(X, layout), Y, 5.0, s=s, max_iter=k, weights=v, standardize=standardize
        )
        got = end.dense(shape[1]) * spread
        np.testing.assert_allclose(got, w.astype(float), rtol=0, atol=1e-12 * np.abs(w).max())
        assert end.n_iter == k
        assert end.status == Status.MAX_ITER
        assert end.dual_gap == pytest.approx(float(np.linalg.norm((b - A @ w).astype(float))))
        assert end.null_objective == pytest.approx(float(np.linalg.norm(b.astype(float))))


def test_stops_where_the_residual_is_small_enough():
    X, Y, s = problem()
    v = np.ones(9)
    A, b = normal_equations(X, Y[:, 0], s, 0.1, v)
    before = 0
    for tol in (1e-2, 1e-5, 1e-8, 1e-11):
        (end,) = fit(X, Y, 0.1, s=s, tol=tol)
        residual = float(np.linalg.norm((b - A @ end.dense(9)).astype(float)))
        assert end.status == Status.CONVERGED
        assert residual <= tol * end.null_objective * (1 + 1e-3)
        assert end.dual_gap == pytest.approx(residual, rel=1e-2)
        assert end.n_iter >= before
        before = end.n_iter


def test_each_target_stops_on_its_own():
    X, Y, _ = problem(targets=5)
    Y[:, 1] = 4.0
    Y[:, 3] = X[:, 0]
    together = fit(X, Y, 0.5, tol=1e-9)
    for k, end in enumerate(together):
        (alone,) = fit(X, Y[:, [k]], 0.5, tol=1e-9)
        assert end.status == Status.CONVERGED
        assert end.n_iter == alone.n_iter
        np.testing.assert_allclose(end.dense(9), alone.dense(9), rtol=1e-9, atol=1e-12)
    assert together[1].n_iter == 0
    assert together[1].dual_gap == together[1].null_objective == 0.0


def test_zero_tolerance_ends_and_says_so():
    X, Y, _ = problem()
    (end,) = fit(X, Y, 0.5, tol=0.0)
    assert end.status == Status.STALLED
    assert 0 < end.dual_gap < 1e-12 * end.null_objective


def test_the_default_bound_is_finite():
    rng = np.random.default_rng(0)
    X = np.vander(np.linspace(0, 1, 60), 20) * 10.0 ** rng.integers(-5, 6, 20)
    Y = rng.normal(size=(60, 1))
    (end,) = fit(X, Y, 1e-9, tol=1e-14)
    assert end.status in (Status.MAX_ITER, Status.STALLED)
    assert end.dual_gap > 1e-14 * end.null_objective
