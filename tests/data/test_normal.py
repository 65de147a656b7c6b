"""Products with the matrix of the normal equations against dense algebra."""

import numpy as np
import pytest
from scipy import sparse

from creg._data.design import DesignView
from creg._data.normal import NormalProduct
from creg._data.storage import Storage


def data(n=60, p=17, *, full_column=False):
    rng = np.random.default_rng([n, p])
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.3)
    X[:, 1] = 0  # constant
    X[:, 2] *= 1e5
    if full_column:
        X[:, 3] = 1e6 + rng.normal(size=n)
    s = rng.choice([0.0, 1.0, 2.5], n)
    return X, s


def expected(X, s, multiplier, dual, centre):
    X, s = X.astype(np.longdouble), s.astype(np.longdouble)
    view = DesignView(Storage(X.astype(float)), s.astype(float), centre)
    mean = s @ X / s.sum() if centre else 0
    Z = np.where(view.norm2 > 0, (X - mean) * view.scale, 0) * multiplier
    half = np.sqrt(s)[:, None] * Z
    return half @ half.T if dual else half.T @ half


@pytest.mark.parametrize("full_column", [False, True])
@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("width", [1, 3])
def test_sparse_products(kind, weighted, dual, centre, full_column, width):
    X, s = data(full_column=full_column)
    if not weighted:
        s = np.ones(len(X))
    rng = np.random.default_rng(0)
    multiplier = rng.uniform(0.5, 2, X.shape[1])
    multiplier[4] = 0
    A = expected(X, s, multiplier, dual, centre)
    view = DesignView(Storage(kind(X)), s if weighted else None, centre)
    product = NormalProduct(view, multiplier, dual, width)
    d = rng.normal(size=(product.size, width))
    q, square = product.product(d)
    scale = np.abs(A) @ np.abs(d)
    # a full column of mean 1e6 is centred entry by entry: what is lost is lost in its mean
    assert np.all(np.abs(q - A @ d) <= 1e-9 * scale.max())
    np.testing.assert_allclose(square, np.einsum("it,it->t", d, (A @ d).astype(float)), rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_dense_products(order, weighted, dtype):
    X, s = data(n=300)
    X = np.asarray(X + 3, dtype=dtype, order=order)
    if not weighted:
        s = np.ones(len(X))
    multiplier = np.linspace(1, 2, X.shape[1])
    A = expected(X.astype(float), s, multiplier, False, True)
    product = NormalProduct(DesignView(Storage(X), s if weighted else None), multiplier)
    d = np.random.default_rng(0).normal(size=product.size)
    q, square = product.product(d)
    np.testing.assert_allclose(q, (A @ d).astype(float), rtol=0, atol=1e-10 * np.abs(A).max())
    assert square[0] == pytest.approx(float(d @ A @ d), rel=1e-12)


def test_dense_dual_and_too_many_vectors_are_refused():
    view = DesignView(Storage(np.eye(3)))
    for options in ({"dual": True}, {"width": 2}):
        with pytest.raises(ValueError, match="dense"):
            NormalProduct(view, np.ones(3), **options)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("dual", [False, True])
def test_threads_change_no_bit(kind, dual):
    rng = np.random.default_rng(1)
    X = sparse.csr_array(rng.random((3000, 400)) * (rng.random((3000, 400)) < 0.05))
    product = NormalProduct(DesignView(Storage(kind(X))), np.ones(400), dual)
    d = rng.normal(size=product.size)
    q, square = product.product(d)
    with product.threads(4):
        for _ in range(50):
            again, same = product.product(d)
            assert np.array_equal(again, q)
            assert square[0] == same[0]
    again, _ = product.product(d)
    assert np.array_equal(again, q)
