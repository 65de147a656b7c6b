"""Conjugate gradients in compiled code against dense algebra in extended precision."""

import numpy as np
import pytest
from scipy import sparse
from test_conjugate_gradient import iterates

from creg._data.design import DesignView
from creg._data.normal import NormalProduct
from creg._data.storage import Storage
from creg._ridge.conjugate_gradient import Variant, _Equations, conjugate_gradient
from creg._ridge.krylov import ConjugateGradients, ShiftedConjugateGradients
from creg._ridge.system import RidgeSystem
from creg._solution import Status


def matrix(n=60, p=25, density=0.4):
    rng = np.random.default_rng([n, p])
    return rng.normal(size=(n, p)) * (rng.random((n, p)) < density), rng


def equations(dual=False, width=1, layout=sparse.csr_array):
    X, rng = matrix()
    view = DesignView(Storage(layout(X)))
    product = NormalProduct(view, 1 / view.scale, dual, width)
    Z = (X - X.mean(axis=0)).astype(np.longdouble)
    return product, Z @ Z.T if dual else Z.T @ Z, rng


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_iterates(width, dual):
    product, A, rng = equations(dual, width)
    D = rng.uniform(1, 2, product.size)
    B = rng.normal(size=(product.size, width))
    run = ConjugateGradients(product, D, B)
    wanted = [list(iterates(A + np.diag(D), b.astype(np.longdouble), 6)) for b in B.T]
    for k in range(6):
        run.run(np.zeros(width), np.full(width, k + 1))
        assert np.all(run.n_iter == k + 1)
        for t in range(width):
            w = wanted[t][k].astype(float)
            np.testing.assert_allclose(run.x.base[:, t], w, rtol=0, atol=1e-12 * np.abs(w).max())


def test_each_stops_by_itself():
    product, A, rng = equations(width=3)
    B = np.array(rng.normal(size=(product.size, 3)))
    B[:, 1] = 0
    run = ConjugateGradients(product, np.ones(product.size), B)
    targets = np.array([1e-3, 1e-8, 1e-8]) * np.linalg.norm(B, axis=0)
    run.run(targets, np.array([100, 100, 2]))
    assert run.n_iter[1] == 0
    assert run.n_iter[2] == 2
    assert run.n_iter[0] > 2
    rest = B - (A.astype(float) + np.eye(len(A))) @ run.x.base
    np.testing.assert_allclose(np.linalg.norm(rest, axis=0), run.norm, rtol=1e-6, atol=1e-12)
    assert run.norm[0] <= targets[0]


def test_ends_where_rounding_begins():
    product, _, rng = equations()
    run = ConjugateGradients(product, np.ones(product.size), rng.normal(size=product.size))
    run.run(np.zeros(1), np.array([100_000]))
    assert run.n_iter[0] < 1000


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("entries", [200_000, 1_300_000])  # in one part, in two
def test_product_of_rows_with_many_columns(entries, weighted):
    """Vectors that do not stay in cache."""
    n, p = 1500, 100_001
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(0, k, entries, dtype=np.int32) for k in (n, p))
    X = sparse.csr_array((rng.normal(size=entries), (rows, columns)), shape=(n, p))
    X.sum_duplicates()
    s = rng.choice([0.0, 0.5, 2.0], n) if weighted else np.ones(n)
    view = DesignView(Storage(X), s if weighted else None)
    product = NormalProduct(view, 1 / view.scale)
    d = rng.normal(size=p)
    found, square = product.product(d)
    with product.threads(2):
        again, _ = product.product(d)
    mean = X.T @ s / s.sum()
    q = s * (X @ d - mean @ d)
    wanted = X.T @ q - mean * q.sum()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    np.testing.assert_allclose(square, d @ wanted, rtol=1e-12)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array])
def test_shifts(layout, dual):
    product, A, rng = equations(dual, layout=layout)
    A = A.astype(float)
    shifts = np.geomspace(1e-2, 1e3, 9)
    b = A @ rng.normal(size=len(A))
    run = ShiftedConjugateGradients(product, shifts, b)
    run.run(1e-10 * np.linalg.norm(b), 1000)
    for shift, x in zip(shifts, run.x.base, strict=True):
        rest = b - A @ x - shift * x
        assert np.linalg.norm(rest) <= 2e-10 * np.linalg.norm(b)
    assert np.all(np.diff(run.n_iter) <= 0)
    assert run.n_iter[-1] < run.n_iter[0]


def test_jacobi_solves_the_same_equations():
    X, rng = matrix()
    system = RidgeSystem(DesignView(Storage(sparse.csr_array(X * np.geomspace(1, 1e4, 25)))),
                         None, False, 1)  # fmt: skip
    y = rng.normal(size=(60, 1))
    y -= y.mean()
    both = _Equations(system, 3.0)
    gradient = both.gradient(y, np.zeros((25, 1)))
    runs = [Variant(both, system, gradient, jacobi=jacobi) for jacobi in (False, True)]
    for run in runs:
        run.until(1e-10 * run.first, np.array([10_000]))
        rest = np.linalg.norm(both.gradient_at(y, run.x), axis=0)
        np.testing.assert_allclose(rest, run.norm, rtol=0.1, atol=1e-10 * run.first[0])
    # the spread of the columns is gone
    assert runs[1].n_iter[0] < runs[0].n_iter[0]


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_array, np.asarray])
def test_a_start_is_gone_on_from(layout):
    X, rng = matrix()
    system = RidgeSystem(DesignView(Storage(layout(X))), None, False, 1)
    y = rng.normal(size=(60, 2))
    y -= y.mean(axis=0)
    cold = conjugate_gradient(system, 0.5, y, 1e-9, 1000)
    warm = conjugate_gradient(system, 0.5, y, 1e-9, 1000, start=cold.W)
    assert np.all(cold.status == Status.CONVERGED)
    assert np.all(warm.n_iter == 0)
    near = conjugate_gradient(system, 0.6, y, 1e-9, 1000, start=cold.W)
    far = conjugate_gradient(system, 0.6, y, 1e-9, 1000)
    np.testing.assert_allclose(near.W, far.W, rtol=0, atol=1e-7 * np.abs(far.W).max())
