"""Everything in p-space from one read of X, against extended precision."""

from functools import partial

import numpy as np
import pytest
from layouts import DENSE, Truth, as_form, random_matrix, row_weights
from scipy import sparse

from creg import Design, Lasso, lasso_path
from creg._data.blocks import Blocks
from creg._data.design import DesignView
from creg._data.storage import Storage
from creg._data.tall import RowSums, products

WEIGHTS = (None, "random", "zeros")


def target(n: int) -> np.ndarray:
    y = np.random.default_rng(n).normal(size=n)
    return (y - y.mean()) / np.linalg.norm(y)


def check(X, weights, centre, found=None):
    y = target(len(X))
    if found is None:
        found = products(Storage(X), weights, centre, y, 1)
    assert found is not None
    moments, G, cross = found
    truth = Truth(X, weights, centre, moments.scale)
    live = ~truth.constant

    assert np.array_equal(moments.norm2 == 0, truth.constant)
    assert np.all(moments.scale[truth.constant] == 1)
    assert np.all((moments.norm2[live] >= 1) & (moments.norm2[live] < 4))
    assert np.all(np.frexp(moments.scale)[0] == 0.5)
    np.testing.assert_allclose(moments.norm2[live], (truth.norm**2)[live].astype(float), rtol=3e-13)
    spread = np.sqrt(truth.s @ (truth.X - truth.mean) ** 2 / truth.W)
    assert np.all(abs(moments.mean - truth.mean) <= 4e-14 * (abs(truth.mean) + spread))

    norms = np.outer(truth.norm, truth.norm)
    assert G.flags.c_contiguous
    assert np.array_equal(G, G.T)
    assert np.array_equal(G.diagonal(), moments.norm2)
    assert np.all(G[truth.constant] == 0)
    error = abs(G - (truth.Z.T * truth.s) @ truth.Z)
    assert np.all(error[np.ix_(live, live)] <= 4e-13 * norms[np.ix_(live, live)])
    centred = truth.centred(y)
    size = truth.norm * np.sqrt(truth.s @ centred**2)
    assert np.all(abs(cross - truth.Z.T @ (truth.s * centred)) <= 4e-14 * size)


@pytest.mark.parametrize("form", DENSE)
@pytest.mark.parametrize("shift", [0.0, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_read(form, shift, weights, centre, dtype, tmp_path):
    X = random_matrix(0, 2101, 14, shift)
    X[:, 4:8] += 0.5 * X[:, 8:9]
    X = as_form(X.astype(dtype), form, tmp_path)
    check(X, row_weights(0, 2101, weights), centre)


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("ratio", [1e2, 1e5, 1e8])
def test_mean_far_above_the_deviation(form, weights, ratio, tmp_path):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 6)) + ratio
    X[:, 1] = np.sort(X[:, 1])
    X[:, 2] = ratio
    X[:, 3] = ratio * (1 + np.spacing(1.0) * rng.integers(0, 2, 3000))  # constant, up to rounding
    check(as_form(X, form, tmp_path), row_weights(1, 3000, weights), True)


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("magnitude", [1e150, 1e-150])
def test_magnitudes(form, centre, magnitude, tmp_path):
    X = random_matrix(2, 500, 8, 1.0) * magnitude
    check(as_form(X, form, tmp_path), None, centre)


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("power", [-300, 5, 300])
def test_a_power_of_two_changes_no_bit(form, centre, weights, power, tmp_path):
    X = np.random.default_rng(3).normal(size=(700, 9)) + np.linspace(0, 50, 9)
    weights, y = row_weights(3, 700, weights), target(700)
    plain = products(Storage(as_form(X, form, tmp_path)), weights, centre, y, 1)
    scaled = products(Storage(as_form(np.ldexp(X, power), form, tmp_path)), weights, centre, y, 1)
    assert np.array_equal(np.ldexp(plain.moments.mean, power), scaled.moments.mean)
    assert np.array_equal(plain.gram, scaled.gram)
    assert np.array_equal(plain.cross, scaled.cross)


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("weights", [None, "random"])
@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_change_no_bit(form, weights, shift, dtype, tmp_path):
    X = np.random.default_rng(4).normal(size=(9000, 60)) + shift
    storage, y = Storage(as_form(X.astype(dtype), form, tmp_path)), target(9000)
    one, *others = (products(storage, row_weights(4, 9000, weights), True, y, k) for k in (1, 2, 3))
    for other in others:
        assert np.array_equal(one.gram, other.gram)
        assert np.array_equal(one.cross, other.cross)
        assert np.array_equal(one.moments.mean, other.moments.mean)
    check(storage.X, row_weights(4, 9000, weights), True, one)


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("y", [None, "y"])
@pytest.mark.parametrize("ones", [True, False])
@pytest.mark.parametrize("rows", [1, 63, 1025, 5001])
def test_blocks_in_place_and_copied(form, y, ones, rows, tmp_path):
    X = np.random.default_rng(5).normal(size=(rows, 7))
    y = None if y is None else target(rows) + 1
    storage = Storage(as_form(X, form, tmp_path))
    columns = [X] + ([y[:, None]] if y is not None else []) + ([np.ones((rows, 1))] if ones else [])
    B = np.hstack(columns)
    for shift, scale in ((0.0, 1.0), (0.25, 2.0)):
        B[:, :7] = (X - shift) * scale
        found = Blocks(storage, np.full(7, shift), np.full(7, scale), None, y, ones).gram(1)
        np.testing.assert_allclose(np.triu(found), np.triu(B.T @ B), rtol=1e-12, atol=1e-11)


def test_what_would_cancel_is_not_subtracted():
    """All sampled rows are alike, and far from the others."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(4000, 3))
    X[:, 1] += 1e6
    starts = np.linspace(0, 4000 - 8, 16).astype(int)
    X[(starts[:, None] + np.arange(8)).ravel(), 1] = 0.0
    X[:, 2] = 0.0
    X[1000, 2] = 1e200
    assert products(Storage(X), None, True, target(4000), 1) is None
    path = lasso_path(X[:, :2], rng.normal(size=4000) + X[:, 0])
    assert np.all(path.dual_gaps <= 1e-8 * 4000)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_column_that_some_of_the_sets_alone_vary_in(weights):
    """Elsewhere it is constant: its mean is exact and its products are 0."""
    X = np.random.default_rng(3).normal(size=(400, 5))
    X[:, 2] = -0.001
    X[7, 2] = 40.0
    y = target(400)
    s = row_weights(2, 400, weights)
    sets = np.array_split(np.arange(400), 4)
    sums = RowSums(Storage(np.asfortranarray(X)), s, True, y, sets, 1)
    counts = np.array([0.0, 1.0, 1.0, 1.0])
    found = sums.products(counts, 400.0)
    assert found is not None
    assert found.moments.mean[2] == -0.001
    assert not found.gram[2].any()
    assert not found.gram[:, 2].any()
    assert found.cross[2] == 0.0
    others = [0, 1, 3, 4]
    part = RowSums(Storage(np.asfortranarray(X[:, others])), s, True, y, sets, 1)
    expected = part.products(counts, 400.0)
    np.testing.assert_allclose(found.gram[np.ix_(others, others)], expected.gram, rtol=1e-10)
    assert sums.products(np.ones(4), 400.0).gram[2, 2] > 0.0


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_squares_on_some_sets(weights, centre):
    """Beside sums over rows; where little is left of y, none are claimed."""
    rng = np.random.default_rng(5)
    X, y, s = rng.normal(0.5, 30.0, size=(300, 7)), target(300), row_weights(4, 300, weights)
    sets = np.array_split(rng.permutation(300), 3)
    sums = RowSums(Storage(X), s, centre, y, [np.sort(rows) for rows in sets], 1)
    W = rng.normal(size=(7, 4)) * (rng.random((7, 4)) < 0.6)
    W[:, 3] = 0.0
    constants = rng.normal(size=4) if centre else np.zeros(4)
    along = sparse.csc_array(W)
    entries = (along.indptr.astype(np.intp), along.indices.astype(np.intp), along.data)
    rows = np.concatenate([sets[0], sets[2]])
    share = np.ones(300) if s is None else s
    left = y[rows, None] - X[rows] @ W - constants
    found = sums.mean_squares(np.array([True, False, True]), *entries, constants)
    np.testing.assert_allclose(found, np.average(left**2, axis=0, weights=share[rows]), rtol=1e-12)
    exact = RowSums(Storage(X), s, centre, X @ W[:, 0], [np.arange(300)], 1)
    assert exact.mean_squares(np.array([True]), *entries, np.zeros(4)) is None


@pytest.mark.parametrize("form", ["F", "C"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weights", [None, "zeros"])
@pytest.mark.parametrize("place", [0, 777, 2099])
def test_a_value_that_is_not_finite_is_seen(form, value, weights, place, tmp_path):
    X = np.random.default_rng(7).normal(size=(2100, 5))
    X[place, 3] = value
    X = as_form(X, form, tmp_path)
    s = row_weights(7, 2100, weights)
    fits = (
        partial(Lasso(0.1).fit, X, target(2100), sample_weight=s),
        partial(lasso_path, X, target(2100), sample_weight=s),
        partial(Design, X),
    )
    for fit in fits:
        with pytest.raises(ValueError, match="Input X contains"):
            fit()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_large_finite_values_are_no_error():
    X = np.random.default_rng(8).normal(size=(300, 4))
    X[5, 2] = 1e300
    assert np.isfinite(Lasso(0.1).fit(X, target(300)).coef_).all()


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_dense_rows_answer_for_columns(weights, dtype):
    X = np.random.default_rng(9).normal(size=(500, 150)).astype(dtype) + 3
    s = row_weights(9, 500, weights)
    rows, columns = (DesignView(Storage(A), s) for A in (X, np.asfortranarray(X)))
    w = np.random.default_rng(10).normal(size=150)
    np.testing.assert_allclose(
        rows.residual(target(500), w), columns.residual(target(500), w), atol=1e-11
    )


@pytest.mark.parametrize("options", [{}, {"penalty_weights": np.r_[0.0, np.ones(39)]}])
@pytest.mark.parametrize("solver", ["auto", "cd"])
def test_row_order_is_solved_as_column_order(options, solver):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(2000, 40)) + rng.normal(size=(2000, 1))
    y = X[:, :5].sum(axis=1) + rng.normal(size=2000)
    options = options | {"tol": 1e-12, "solver": solver}
    C = lasso_path(X, y, **options)
    F = lasso_path(np.asfortranarray(X), y, **options)
    assert np.all(C.dual_gaps <= 1e-12 * y @ y)
    np.testing.assert_allclose(C.coefs.toarray(), F.coefs.toarray(), atol=1e-6)
