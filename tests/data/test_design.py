"""Every verb on every storage against a dense truth in extended precision."""

import pickle
import tracemalloc

import numpy as np
import pytest
from layouts import FORMS, Truth, as_form, random_matrix, row_weights

from creg._data.design import DesignView
from creg._data.statistics import cross, gram, outer_gram
from creg._data.storage import Storage

WEIGHTS = (None, "random", "zeros")
SHIFTS = (0.0, 1e3, 1e8)


def check(X, weights, centre, tol=2e-15):
    n, p = X.shape
    view = DesignView(Storage(X), weights, centre)
    truth = Truth(X, weights, centre, view.scale)
    rng = np.random.default_rng(n)
    live = ~truth.constant
    # The mean is a float64 number: where |mean| >> std that is all that may be lost.
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(truth.W) * abs(truth.mean) * view.scale / truth.norm
    ratio = max(float(spread[live].max(initial=0)), 1.0)

    assert np.array_equal(view.norm2 == 0, truth.constant)
    assert np.all(view.scale[truth.constant] == 1)
    assert np.all((view.norm2[live] >= 1) & (view.norm2[live] < 4))
    assert np.all(np.frexp(view.scale)[0] == 0.5)
    np.testing.assert_allclose(view.norm2[live], (truth.norm**2)[live].astype(float), rtol=3e-13)
    slack = (
        abs(truth.mean) + np.sqrt(truth.s @ (truth.X - truth.mean) ** 2 / truth.W)
        if (np.abs(truth.X).max(initial=0) < 1e100)
        else abs(truth.mean) + abs(truth.X).max(axis=0)
    )
    assert np.all(abs(view.mean - truth.mean) <= 20 * tol * slack)

    r = rng.normal(size=n)
    centred = truth.centred(r)
    size = truth.norm * np.sqrt(truth.s @ centred**2)
    expected = truth.Z.T @ (truth.s * centred)
    assert np.all(abs(view.correlations_of(r) - expected) <= 10 * tol * size)
    at_once = DesignView(Storage(X), weights, centre, target=r).target_products
    assert (at_once is None) == view.storage.is_row_layout
    assert at_once is None or np.array_equal(at_once, view.correlations_of(r))

    v = rng.normal(size=p)
    expected = truth.Z @ v
    allowed = tol * ((abs(truth.Z) + ratio * truth.norm / np.sqrt(truth.W)) @ abs(v)).max()
    counted = truth.s > 0
    assert np.all(abs(view.product(v) - expected)[counted] <= 10 * allowed)
    both = view.product(np.column_stack((v, -v)))
    assert both.shape == (n, 2)
    assert np.array_equal(both[:, 0], -both[:, 1])

    columns = view.storage.columns()
    y = np.where(counted, r, 0)
    residual = DesignView(columns, weights, centre).residual(y, v)
    expected = np.where(counted, truth.centred(np.where(counted, y - truth.Z @ v, 0)), 0)
    assert np.all(abs(residual - expected) <= 10 * (allowed + tol * abs(r).max()))

    G = gram(view)
    norms = np.outer(truth.norm, truth.norm)[np.ix_(live, live)]
    assert np.array_equal(G, G.T)
    assert np.all(G[truth.constant] == 0)
    error = abs(G - (truth.Z.T * truth.s) @ truth.Z)[np.ix_(live, live)]
    second_order = np.finfo(float).eps ** 2 * ratio**2
    assert np.all(error <= (200 * tol + second_order) * norms)

    d = rng.uniform(size=p)
    K = outer_gram(view, d)
    rows = truth.Z * np.sqrt(truth.s)[:, None]
    expected = (rows * d) @ rows.T
    assert np.array_equal(K, K.T)
    assert np.all(
        abs(K - expected) <= (200 * tol + 1e-19 * ratio) * max(abs(expected).max(), 1e-300)
    )

    R = rng.normal(size=(n, 5))
    centred = np.column_stack([truth.centred(column) for column in R.T])
    size = np.outer(truth.norm, np.sqrt(truth.s @ centred**2))
    assert np.all(abs(cross(view, R) - truth.Z.T @ (truth.s[:, None] * centred)) <= 10 * tol * size)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_verbs(form, shift, weights, centre, dtype, tmp_path):
    X = as_form(random_matrix(0, 41, 14, shift).astype(dtype), form, tmp_path)
    check(X, row_weights(0, 41, weights), centre)


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (1300, 6), (7, 700), (300, 300)])
def test_shapes(form, shift, shape, tmp_path):
    check(as_form(random_matrix(1, *shape, shift), form, tmp_path), None, True)


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("magnitude", [1e150, 1e-150])
def test_magnitudes(form, weights, centre, magnitude, tmp_path):
    X = as_form(random_matrix(2, 41, 14, 10.0) * magnitude, form, tmp_path)
    check(X, row_weights(2, 41, weights), centre)


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
@pytest.mark.parametrize("power", [-498, -3, 5, 498])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_power_of_two_changes_no_bit(form, power, weights, tmp_path):
    X = random_matrix(3, 50, 9, 2.0)
    weights = row_weights(3, 50, weights)
    plain = DesignView(Storage(as_form(X, form, tmp_path)), weights)
    scaled = DesignView(Storage(as_form(np.ldexp(X, power), form, tmp_path)), weights)
    live = plain.norm2 > 0
    assert np.array_equal(plain.norm2, scaled.norm2)
    assert np.array_equal(plain.scale[live], np.ldexp(scaled.scale, power)[live])
    assert np.array_equal(np.ldexp(plain.mean, power), scaled.mean)
    r = np.linspace(-1, 2, 50)
    assert np.array_equal(plain.correlations_of(r), scaled.correlations_of(r))
    assert np.array_equal(gram(plain), gram(scaled))


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
def test_rows_of_weight_zero_do_not_matter(form, tmp_path):
    X = random_matrix(4, 60, 10, 100.0)
    weights = row_weights(4, 60, "zeros")
    kept = weights > 0
    other = X.copy()
    other[~kept] = np.where(np.arange(10) % 2, 1e300, 0)
    part = DesignView(Storage(as_form(X[kept], form, tmp_path)), weights[kept])
    view = DesignView(Storage(as_form(other, form, tmp_path)), weights)
    np.testing.assert_allclose(view.mean, part.mean, rtol=1e-14)
    np.testing.assert_allclose(view.norm2, part.norm2, rtol=1e-12)
    assert np.array_equal(view.scale, part.scale)
    r = np.random.default_rng(0).normal(size=60)
    spoilt = np.where(kept, r, np.nan)
    np.testing.assert_allclose(
        view.correlations_of(spoilt), part.correlations_of(r[kept]), atol=1e-12
    )
    np.testing.assert_allclose(gram(view), gram(part), atol=1e-12)


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
def test_constant_where_weighted_and_huge_mean(form, tmp_path):
    X = np.full((30, 3), 0.1)
    X[:5, 0] = 7.0
    X[:, 1] = 1e8 + 1e-7 * np.arange(30)
    weights = np.r_[np.zeros(5), np.ones(25)]
    view = DesignView(Storage(as_form(X, form, tmp_path)), weights)
    assert np.array_equal(view.norm2 == 0, [True, False, True])
    assert view.mean[0] == view.mean[2] == 0.1
    assert np.all(gram(view)[[0, 2]] == 0)


@pytest.mark.parametrize("form", ["F", "C", "csc_array", "csr_array"])
def test_threads_change_no_bit(form, tmp_path):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(3000, 301))
    if form.startswith("cs"):
        X[rng.random(X.shape) < 0.4] = 0
    view = DesignView(Storage(as_form(X, form, tmp_path)), row_weights(5, 3000, "random"))
    r, v, R = rng.normal(size=3000), rng.normal(size=301), rng.normal(size=(3000, 6))
    for call in (
        lambda k: view.correlations_of(r, k),
        lambda k: view.product(v, k),
        lambda k: gram(view, k),
        lambda k: cross(view, R, k),
    ):
        assert np.array_equal(call(1), call(2))
        assert np.array_equal(call(1), call(5))
    wide = DesignView(Storage(as_form(np.array(X[:200].T), form, tmp_path)))
    assert np.array_equal(outer_gram(wide, None, 1), outer_gram(wide, None, 3))


def test_attributes_are_read_only_and_shared():
    storage = Storage(random_matrix(6, 20, 5))
    weights = np.ones(20)
    view = DesignView(storage, weights)
    weights[0] = 5
    assert view.sum_weights == 20
    for name in ("mean", "scale", "norm2", "weights"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(view, name)[0] = 1
    assert np.shares_memory(DesignView(storage).mean, DesignView(storage).mean)
    with pytest.raises(ValueError, match="shape"):
        DesignView(storage, np.ones(19))


def test_pickle():
    view = DesignView(Storage(random_matrix(7, 20, 5)), row_weights(7, 20, "random"))
    copy = pickle.loads(pickle.dumps(view))
    assert np.array_equal(copy.norm2, view.norm2)
    assert np.array_equal(copy.weights, view.weights)


@pytest.mark.parametrize("form", ["F", "C", "csc_array"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_long_sums(form, dtype, tmp_path):
    n = 400_003
    rng = np.random.default_rng(8)
    X = rng.uniform(0.5, 1.5, size=(n, 2)).astype(dtype)
    r = rng.uniform(0.5, 1.5, size=n)
    view = DesignView(Storage(as_form(X, form, tmp_path)), None, False)
    exact = (X.astype(np.longdouble) * r[:, None]).sum(axis=0) * view.scale
    assert np.all(abs(view.correlations_of(r) / exact - 1) <= 2e-14)
    assert np.all(
        abs(view.norm2 / ((X * view.scale.astype(np.longdouble)) ** 2).sum(axis=0) - 1) <= 2e-14
    )


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("weights", [None, "random"])
def test_memory(form, weights, tmp_path):
    X = as_form(np.ones((40_000, 200), dtype=np.float32), form, tmp_path)
    X[::3] = 2
    s = row_weights(9, 40_000, weights)
    r = np.ones(40_000)
    view = DesignView(Storage(X), s)
    gram(view, 2)
    tracemalloc.start()
    try:
        view = DesignView(Storage(X), s)
        gram(view, 2)
        view.correlations_of(view.product(np.ones(200), 2) + r, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * 4 * X.size
