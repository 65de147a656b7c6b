"""One read of wide X: moments and the product of the rows, against extended precision."""

import numpy as np
import pytest

from creg._data.storage import Storage
from creg._data.wide import outer_products


def data(mean=0.0, n=40, p=700):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) + mean
    X[:, 5] = 3.25  # constant
    X[:, 6] *= 1e4
    s = rng.choice([0.0, 1.0, 2.5], n)
    f = rng.uniform(0.5, 2, p)
    f[7] = 0
    return X, s, f


def expected(X, s, f, centre, standardize):
    first = X[np.argmax(s > 0)].astype(np.longdouble) if centre else np.zeros(X.shape[1])
    D, s = X.astype(np.longdouble) - first, s.astype(np.longdouble)
    d = s @ D / s.sum() if centre else np.zeros(X.shape[1])
    mean = first + d
    B = np.sqrt(s)[:, None] * (D - d)
    square = np.sum(B * B, axis=0)
    constant = np.ptp(X[s > 0].astype(float), axis=0) == 0 if centre else square == 0
    f = f.astype(np.longdouble)
    if standardize:
        f = f * np.sqrt(s.sum() / np.where(constant, 1, square))
    B = B * np.where(constant, 0, f)
    return mean, np.where(constant, 0, square), B @ B.T


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e6])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("centre", [False, True])
def test_products(centre, standardize, weighted, dtype, order, mean):
    X, s, f = data(mean)
    X = np.asarray(X, dtype=dtype, order=order)
    if not weighted:
        s = np.ones(len(X))
    means, squares, K = expected(X.astype(float), s, f, centre, standardize)
    moments, found, _ = outer_products(Storage(X), s if weighted else None, centre, f, standardize)
    np.testing.assert_allclose(moments.mean, means.astype(float), rtol=1e-14, atol=1e-14)
    norm2 = moments.norm2 / np.square(moments.scale)
    np.testing.assert_allclose(norm2, squares.astype(float), rtol=1e-12)
    assert np.all((moments.norm2 == 0) == (squares == 0))
    # what is left of the mean after one row is taken off
    np.testing.assert_allclose(found, K.astype(float), rtol=0, atol=1e-14 * float(np.trace(K)))


@pytest.mark.parametrize("mean", [0.5, 9.0, 11.0, 1e3, 1e9])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [40, 43])
def test_in_place(rows, order, mean):
    # means up to 10 deviations are taken out of the product, others out of a copy
    X = np.random.default_rng(1).normal(size=(rows, 1000)) + mean
    X[:, 600:] -= mean
    X = np.asarray(X, order=order)
    ones = np.ones(1000)
    means, squares, K = expected(X, np.ones(rows), ones, True, False)
    moments, found, kept = outer_products(Storage(X), None, True, ones, False, in_place=True)
    np.testing.assert_allclose(moments.mean, means.astype(float), rtol=1e-14, atol=1e-14)
    norm2 = moments.norm2 / np.square(moments.scale)
    np.testing.assert_allclose(norm2, squares.astype(float), rtol=1e-13)
    assert 1 / 101 < kept <= 1
    size = float(np.trace(K)) / kept
    np.testing.assert_allclose(found, K.astype(float), rtol=0, atol=1e-15 * size)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_row_far_from_the_others(order, weighted):
    X, s, _ = data(mean=1e3)
    s = s if weighted else np.ones(len(X))
    X[np.argmax(s > 0)] += 1e7
    X = np.asarray(X, order=order)
    ones = np.ones(X.shape[1])
    means, squares, K = expected(X, s, ones, True, False)
    moments, found, kept = outer_products(Storage(X), s if weighted else None, True, ones, False)
    np.testing.assert_allclose(
        moments.mean, means.astype(float), rtol=5e-14
    )  # of a column of length 1e7
    norm2 = moments.norm2 / np.square(moments.scale)
    live = np.arange(X.shape[1]) != 6  # its own spread is 1e4
    np.testing.assert_allclose(norm2[live], squares.astype(float)[live], rtol=1e-13)
    assert kept > 1 / 9.1
    np.testing.assert_allclose(found, K.astype(float), rtol=0, atol=1e-14 * float(np.trace(K)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_threads_change_no_bit(order):
    X, s, f = data(n=60, p=3000)
    storage = Storage(np.asarray(X, order=order))
    (one, K, _), (two, L, _) = (outer_products(storage, s, True, f, False, k) for k in (1, 3))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(K, L)


def test_values_that_are_not_finite_are_seen():
    X, _, f = data()
    X[3, 4] = np.nan

    def check():
        raise ValueError("a value")

    with pytest.raises(ValueError, match="a value"):
        outer_products(Storage(X, check), None, True, f, False)


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_squares_out_of_range_are_left_to_others(size):
    X, _, f = data()
    assert outer_products(Storage(X * size), None, True, f, False) is None
