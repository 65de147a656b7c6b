"""Factors of the Gram matrix, and what refinement from X makes of them."""

import numpy as np
import pytest
from ridge_reference import ridge

from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._ridge.cholesky import BLOCK, CholeskyFactor, Dual, Primal
from creg._ridge.spectrum import EigenFactor
from creg._ridge.system import RidgeSystem, Targets, Unreliable, orthonormal

FACTORS = (CholeskyFactor, EigenFactor)


def solved(kind, X, Y, alpha, *, make=CholeskyFactor, s=None, v=None):
    view = DesignView(Storage(X), s, True)
    system = RidgeSystem(view, v, False, 1)
    targets = Targets(Y, view.weights, True)
    members = list(range(Y.shape[1]))
    W = kind(system).at(alpha, make, True).solve(targets.block(members))
    coef = np.zeros((X.shape[1], Y.shape[1]))
    for k in members:
        coef[system.columns, k] = targets.in_user_units(k, W[:, k] * system.scale)
    return coef


@pytest.mark.parametrize(
    ("make", "size"),
    [(EigenFactor, 1), (EigenFactor, 30), (CholeskyFactor, 1), (CholeskyFactor, 30)]
    + [(CholeskyFactor, size) for size in (2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK + 7)],
)
def test_factor_solves(make, size):
    rng = np.random.default_rng(size)
    B = rng.normal(size=(2 * size + 3, size))
    A = B.T @ B
    rhs = rng.normal(size=(size, 3))
    factor = make(A.copy())
    np.testing.assert_allclose(A @ factor.solve(rhs), rhs, atol=1e-9)
    assert 0.01 / size < factor.rcond * np.linalg.cond(A, 1) < 10 * size


def test_rcond_is_exact_where_it_is_known():
    factor = EigenFactor(np.diag([1.0, 4.0, 100.0]))
    assert factor.rcond == pytest.approx(0.01)
    assert CholeskyFactor(np.diag([1.0, 4.0, 100.0])).rcond == pytest.approx(0.01)


@pytest.mark.parametrize("size", [4, 2 * BLOCK + 5])
def test_indefinite_is_noticed(size):
    A = np.eye(size)
    A[-1, -1] = -1
    with pytest.raises(Unreliable):
        CholeskyFactor(A)
    assert EigenFactor(np.diag([1.0, -1.0])).rcond == 0


@pytest.mark.parametrize("make", FACTORS)
@pytest.mark.parametrize("cond", [1e2, 1e4, 1e6])
def test_refinement_reaches_what_a_qr_reaches(cond, make):
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.normal(size=(200, 20)))[0]
    V = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    X = U * np.geomspace(1, 1 / cond, 20) @ V
    Y = X @ rng.normal(size=(20, 2)) + 0.02 * rng.normal(size=(200, 2))
    truth, _ = ridge(X, Y, [0, 0])
    error = np.linalg.norm(solved(Primal, X, Y, 0.0, make=make) - truth.astype(float), axis=0)
    assert np.all(error < 1e-14 * cond * 10 * np.linalg.norm(truth.astype(float), axis=0))


@pytest.mark.parametrize("kind", [Primal, Dual])
@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_both_sides_agree(shape, kind):
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=shape) + 2, rng.normal(size=(shape[0], 2))
    s = rng.choice([0.0, 1.0, 3.0], shape[0])
    v = rng.uniform(1, 2, shape[1])
    v[3] = np.inf
    truth, _ = ridge(X, Y, [2, 2], s=s, v=v)
    np.testing.assert_allclose(solved(kind, X, Y, 2.0, s=s, v=v), truth.astype(float), atol=1e-12)


@pytest.mark.parametrize("ratio", [1.0, 1e-3, 1e-5])
def test_unpenalised_columns_close_to_the_others(ratio):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(20, 1)) + ratio * rng.normal(size=(20, 40))
    Y = rng.normal(size=(20, 1))
    v = np.ones(40)
    v[:3] = 0
    alpha = ratio**2
    truth, _ = ridge(X, Y, [alpha], v=v)
    truth = truth.astype(float)
    try:
        coef = solved(Dual, X, Y, alpha, v=v)
    except Unreliable:
        assert ratio < 1e-4
    else:
        assert np.linalg.norm(coef - truth) < 1e-9 * np.linalg.norm(truth)


@pytest.mark.parametrize("make", FACTORS)
def test_no_penalty_is_too_small_for_the_dual(make):
    # the intercept's null vector is out of the way, so nothing is lost as alpha goes to 0
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(20, 80)) + 5, rng.normal(size=(20, 1))
    limit = np.linalg.pinv(X - X.mean(axis=0), 1e-10) @ (Y - Y.mean())
    for alpha in (1e-10, 1e-14, 1e-30, 0.0):
        np.testing.assert_allclose(
            solved(Dual, X, Y, alpha, make=make), limit, atol=1e-11 * np.abs(limit).max()
        )


@pytest.mark.parametrize("kind", [Primal, Dual])
def test_dependent_columns_and_rows_are_left_to_others(kind):
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(30, 6)), rng.normal(size=(30, 1))
    X = np.hstack([X, X[:, :2]])
    if kind is Dual:
        X = np.ascontiguousarray(X.T)
        Y = Y[:8]
    with pytest.raises(Unreliable):
        solved(kind, X, Y, 0.0)


def test_equations_serve_several_alphas():
    rng = np.random.default_rng(5)
    for kind, shape in ((Primal, (30, 8)), (Dual, (8, 30))):
        X, Y = rng.normal(size=shape), rng.normal(size=(shape[0], 1))
        view = DesignView(Storage(X), None, True)
        system = RidgeSystem(view, None, False, 1)
        equations, block = kind(system), Targets(Y, None, True).block([0])
        first = equations.at(1.0, CholeskyFactor, False).solve(block)
        equations.at(3.0, CholeskyFactor, False)
        np.testing.assert_array_equal(equations.at(1.0, CholeskyFactor, True).solve(block), first)
        np.testing.assert_array_equal(equations.at(1.0, CholeskyFactor, True).solve(block), first)


def test_orthonormal_basis_of_the_numerical_range():
    rng = np.random.default_rng(6)
    A = rng.normal(size=(30, 4))
    columns = np.hstack([A, A @ rng.normal(size=(4, 3)), np.zeros((30, 1))]) * np.geomspace(
        1, 1e9, 8
    )
    Q = orthonormal(columns, 1e-12)
    assert Q.shape == (30, 4)
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(A - Q @ (Q.T @ A), 0, atol=1e-13)
    assert orthonormal(np.zeros((5, 2)), 1e-12).shape == (5, 0)
