"""The public Design: what it keeps, and that nothing looks at X again."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from creg import Design, Lasso, Ridge, alpha_max, lasso_path

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 5)) + 1.0
Y = RNG.normal(size=30) + X[:, 0]
FORMATS = [
    np.asfortranarray,
    np.ascontiguousarray,
    sparse.csc_array,
    sparse.csr_matrix,
    lambda A: sparse.csc_matrix(A.astype(np.float32)),
]


@pytest.mark.parametrize("make", FORMATS)
def test_it_stands_for_x_everywhere(make):
    given = make(X)
    design = Design(given)
    assert design.shape == (30, 5)
    assert design.dtype == given.dtype
    assert design.feature_names_in_ is None
    assert repr(design) == f"Design(30 x 5, {given.dtype})"
    for model in (Lasso(0.1), Ridge(0.1, standardize=True)):
        plain = model.fit(given, Y)
        coef, prediction = plain.coef_, plain.predict(given)
        fitted = model.fit(design, Y)
        np.testing.assert_array_equal(fitted.coef_, coef)
        np.testing.assert_array_equal(fitted.predict(design), prediction)
        assert fitted.score(design, Y) == fitted.score(given, Y)
        assert fitted.n_features_in_ == 5
    assert alpha_max(design, Y) == alpha_max(given, Y)
    path = lasso_path(design, Y, alphas=4)
    np.testing.assert_array_equal(path.coefs.data, lasso_path(given, Y, alphas=4).coefs.data)
    np.testing.assert_array_equal(path.predict(design), path.predict(given))


@pytest.mark.parametrize("make", FORMATS)
def test_it_keeps_x_without_a_copy_and_pickles(make):
    given = make(X)
    design = Design(given)
    parts = (lambda A: A.data) if sparse.issparse(given) else (lambda A: A)
    assert np.shares_memory(parts(design.storage.X), parts(given))
    restored = pickle.loads(pickle.dumps(design))
    assert (restored.shape, restored.dtype) == (design.shape, design.dtype)
    np.testing.assert_array_equal(Lasso(0.1).fit(restored, Y).coef_, Lasso(0.1).fit(given, Y).coef_)


def test_read_only_and_mapped_arrays_are_used_as_they_are(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(Design(mapped).storage.X, mapped)


def test_x_is_validated_once(monkeypatch):
    design = Design(X)

    def looked(*_, **__):
        raise AssertionError("X was looked at again")

    monkeypatch.setattr("creg.design.read_matrix", looked)
    monkeypatch.setattr("creg.linear_model.read_matrix_for", looked)
    model = Lasso(0.1).fit(design, Y)
    model.predict(design)
    lasso_path(design, Y, alphas=3).predict(design)
    assert Design(design).storage is design.storage


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_feature_names(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame(dict(zip("abcde", X.T, strict=True)))
    design = Design(frame)
    assert list(design.feature_names_in_) == list("abcde")
    model = Lasso(0.1).fit(design, Y)
    assert list(model.feature_names_in_) == list("abcde")
    path = lasso_path(design, Y, alphas=3)
    assert list(path.feature_names) == list("abcde")
    other = Design(frame[list("abced")])
    for fitted in (model, path):
        with pytest.raises(ValueError, match="feature 3 is 'e' and was 'd'"):
            fitted.predict(other)
        with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 5"):
            fitted.predict(Design(X[:, :2]))
    np.testing.assert_allclose(model.predict(Design(X)), model.predict(design), atol=1e-12)
    assert list(pickle.loads(pickle.dumps(design)).feature_names_in_) == list("abcde")


def test_a_refit_without_names_forgets_them():
    model = Lasso(0.1).fit(Design(pd.DataFrame(X, columns=list("abcde"))), Y)
    assert not hasattr(model.fit(Design(X), Y), "feature_names_in_")
