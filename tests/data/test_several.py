"""Means and norms under several row weights from one read, against those of one at a time."""

import numpy as np
import pytest
from layouts import as_form
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from creg._data.moments import Moments
from creg._data.several import moments_of_several
from creg._data.storage import Storage

SHAPES = [(5, 7), (8, 3), (72, 40), (200, 9), (515, 4)]


def weights_of(n, rng, count=6):
    """Training sets of folds, some with weights of their own; the last is all rows."""
    found = []
    for fold in range(count):
        weights = rng.random(n) + 0.1 if fold % 2 else np.ones(n)
        if fold < count - 1:
            weights[np.arange(n) * (count - 1) // n == fold] = 0.0
        found.append(weights * n / weights.sum())
    return found


def table(n, p, rng):
    X = rng.normal(size=(n, p)) * np.exp(2 * rng.normal(size=p)) + 10 * rng.normal(size=p)
    X[:, 0] = 3.7
    X[: -(-n // 5), 1], X[-(-n // 5) :, 1] = 5.0, 0.1  # constant where the first fold is left out
    return X


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["F", "float32", "csc_array", "csc int64", "csc float32"])
def test_several_weights_from_one_read(tmp_path, form, shape, centre):
    rng = np.random.default_rng(shape)
    X = table(*shape, rng)
    if form.startswith("csc"):
        X[rng.random(X.shape) < 0.7] = 0.0
        X[:, 2] = rng.normal(size=len(X))  # every row is stored
        X[: len(X) // 5, 2] = 0.0  # or every row that some fold is trained on
    dtype = np.float32 if "float32" in form else np.float64
    X = X.astype(dtype)
    kept = {"float32": "F", "csc float32": "csc_array"}.get(form, form)
    storage, weights = Storage(as_form(X, kept, tmp_path)), weights_of(len(X), rng)
    exact = X.astype(np.longdouble)
    for s, found in zip(weights, moments_of_several(storage, weights, centre), strict=True):
        mean = s @ exact / s.sum() if centre else np.zeros(X.shape[1])
        norm = np.sqrt(s @ (exact - mean) ** 2)
        live = norm > 1e-12 * np.abs(mean) * np.sqrt(s.sum())
        assert_array_equal(found.norm2 > 0, live)
        assert_allclose(found.mean, mean.astype(float), rtol=1e-13, atol=1e-14)
        at = np.sqrt(found.norm2[live]) / found.scale[live]
        assert_allclose(at, norm[live].astype(float), rtol=1e-12)
        alone = Moments(storage, s, centre)
        for name in ("scale", "explicit"):
            assert_array_equal(getattr(found, name), getattr(alone, name))
        assert_allclose(found.shift, alone.shift, rtol=1e-13, atol=1e-14)
        assert_allclose(found.offset, alone.offset, rtol=1e-13, atol=1e-14)
        assert found.sum_weights == alone.sum_weights


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_squares_that_leave_the_range(size, n_threads):
    rng = np.random.default_rng(0)
    X, weights = np.asfortranarray(rng.normal(size=(30, 5)) * size), weights_of(30, rng)
    several = moments_of_several(Storage(X), weights, True, n_threads)
    for s, found in zip(weights, several, strict=True):
        alone = Moments(Storage(X), s, True)
        assert_array_equal(found.scale, alone.scale)
        assert_allclose(found.norm2, alone.norm2, rtol=1e-13)


def test_an_empty_column_has_norm_0():
    X = sparse.csc_array((6, 2))
    found = moments_of_several(Storage(X), [np.ones(6), np.ones(6)], True)
    for moments in found:
        assert_array_equal(moments.norm2, 0.0)
        assert_array_equal(moments.mean, 0.0)
