"""Paths: against scikit-learn's, in their own algebra, and on disk."""

import io
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import linear_model as peer
from sklearn.exceptions import ConvergenceWarning

from creg import Design, ElasticNet, Lasso, Path, alpha_max, enet_path, lasso_path

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 12)) + 1.0
Y = X[:, :3] @ np.array([2.0, -1.0, 0.5]) + 0.5 * RNG.normal(size=50) + 3.0


@pytest.fixture(scope="module")
def path():
    return lasso_path(X, Y, alphas=30, tol=1e-10)


def centred():
    return X - X.mean(axis=0), Y - Y.mean()


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_against_scikit_learn(l1_ratio):
    found = enet_path(X, Y, l1_ratio=l1_ratio, alphas=20, tol=1e-10)
    A, b = centred()
    alphas, coefs, _ = peer.enet_path(A, b, l1_ratio=l1_ratio, alphas=found.alphas, tol=1e-12)
    np.testing.assert_allclose(found.alphas, alphas, rtol=1e-12)
    np.testing.assert_allclose(found.coefs.toarray(), coefs, rtol=0, atol=1e-4)
    _, coefs, _ = peer.enet_path(X, Y, l1_ratio=l1_ratio, alphas=alphas, tol=1e-12)
    bare = enet_path(X, Y, l1_ratio=l1_ratio, alphas=alphas, tol=1e-10, fit_intercept=False)
    np.testing.assert_allclose(bare.coefs.toarray(), coefs, rtol=0, atol=1e-4)
    assert not bare.intercepts.any()


def test_shapes_and_what_they_hold(path):
    assert isinstance(path.coefs, sparse.csc_array)
    assert path.coefs.shape == (12, 30)
    for name in ("alphas", "intercepts", "dual_gaps", "n_iters", "n_nonzero", "r2"):
        assert getattr(path, name).shape == (30,)
    dense = path.coefs.toarray()
    np.testing.assert_array_equal(path.n_nonzero, np.count_nonzero(dense, axis=0))
    np.testing.assert_allclose(path.intercepts, Y.mean() - X.mean(axis=0) @ dense, atol=1e-10)
    residuals = Y[:, None] - X @ dense - path.intercepts
    explained = 1 - np.square(residuals).sum(axis=0) / np.square(Y - Y.mean()).sum()
    np.testing.assert_allclose(path.r2, explained, atol=1e-10)
    assert np.all(path.dual_gaps <= 1e-10 * np.square(Y - Y.mean()).sum() / 100 * (1 + 1e-9))
    assert path.reads > 0
    assert path.l1_ratio == 1.0
    assert path.feature_names is None
    assert "30 alphas" in repr(path)


def test_the_grid_starts_where_all_is_zero(path):
    A, b = centred()
    assert path.alphas[0] == pytest.approx(np.abs(A.T @ b).max() / 50, rel=1e-10)
    assert path.alphas[0] == pytest.approx(alpha_max(X, Y), rel=1e-13)
    np.testing.assert_allclose(path.alphas, np.geomspace(1, 1e-3, 30) * path.alphas[0])
    assert path.n_nonzero[0] == 0
    assert path.n_nonzero[1] > 0


@pytest.mark.parametrize("power", [-480, -60, 480])
def test_alpha_max_follows_the_unit_of_X(power):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(30, 8)), rng.normal(size=30)
    unit = 2.0**power
    assert alpha_max(unit * X, y) == pytest.approx(unit * alpha_max(X, y), rel=1e-12)
    path, other = lasso_path(X, y, alphas=9), lasso_path(unit * X, y, alphas=9)
    assert other.n_nonzero.tolist() == path.n_nonzero.tolist()


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_alpha_max_by_hand(l1_ratio, fit_intercept, standardize):
    weights = np.linspace(0, 2, 50)
    v = np.linspace(1, 2, 12)
    weights_n = weights * 50 / weights.sum()
    mean = np.average(X, axis=0, weights=weights) * fit_intercept
    A = X - mean
    scale = np.sqrt(weights_n @ A**2 / 50) if standardize else 1.0
    gradient = A.T @ (weights_n * (Y - np.average(Y, weights=weights) * fit_intercept)) / 50
    gradient = gradient / scale / v / l1_ratio
    settings = {
        "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "standardize": standardize,
        "sample_weight": weights, "penalty_weights": v,
    }  # fmt: skip
    assert alpha_max(X, Y, **settings) == pytest.approx(np.abs(gradient).max(), rel=1e-9)
    up = alpha_max(X, -Y, positive=True, **settings)
    assert up == pytest.approx(max(0, (-gradient).max()), rel=1e-9)
    lower_only = alpha_max(X, Y, bounds=(-1, 0), **settings)
    assert lower_only == pytest.approx(max(0, (-gradient).max()), rel=1e-9)


def test_constant_y_has_a_finite_grid_and_no_coefficients():
    found = lasso_path(X, np.full(50, 3.7), alphas=7)
    assert len(found.alphas) == 7
    assert np.all((found.alphas > 0) & (found.alphas < 1e-10))
    assert found.coefs.nnz == 0
    np.testing.assert_allclose(found.intercepts, 3.7)
    np.testing.assert_array_equal(found.r2, 0)
    assert alpha_max(X, np.full(50, 3.7)) == 0
    assert np.isfinite(found.coef_at(1e-15)[0]).all()


def test_given_alphas_are_sorted_and_kept():
    found = lasso_path(X, Y, alphas=[0.1, 1.0, 0.5, 0.5])
    np.testing.assert_array_equal(found.alphas, [1.0, 0.5, 0.5, 0.1])
    np.testing.assert_allclose(found.coef_at(0.5)[0], Lasso(0.5).fit(X, Y).coef_, atol=1e-4)


def test_a_path_is_made_of_fits(path):
    for k in (5, 17, 29):
        fit = Lasso(path.alphas[k], tol=1e-10).fit(X, Y)
        coef, intercept = path.coef_at(path.alphas[k])
        np.testing.assert_allclose(coef, fit.coef_, rtol=0, atol=1e-4)
        assert intercept == pytest.approx(fit.intercept_, abs=1e-3)


def test_interpolation(path):
    dense = path.coefs.toarray()
    for k in range(29):
        coef, intercept = path.coef_at(0.25 * path.alphas[k] + 0.75 * path.alphas[k + 1])
        np.testing.assert_allclose(coef, 0.25 * dense[:, k] + 0.75 * dense[:, k + 1], atol=1e-12)
        assert intercept == pytest.approx(
            0.25 * path.intercepts[k] + 0.75 * path.intercepts[k + 1], abs=1e-12
        )
    np.testing.assert_array_equal(path.coef_at(1e9)[0], dense[:, 0])
    np.testing.assert_array_equal(path.coef_at(0)[0], dense[:, -1])
    for k in (0, 10, 29):
        np.testing.assert_array_equal(path.coef_at(path.alphas[k])[0], dense[:, k])


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array, sparse.csc_matrix, Design])
def test_predict(path, make):
    predictions = X @ path.coefs.toarray() + path.intercepts
    np.testing.assert_allclose(path.predict(make(X)), predictions, atol=1e-12)
    alpha = 0.3 * path.alphas[7] + 0.7 * path.alphas[8]
    one = path.predict(make(X), alpha=alpha)
    np.testing.assert_allclose(one, 0.3 * predictions[:, 7] + 0.7 * predictions[:, 8], atol=1e-12)
    with pytest.raises(ValueError, match="X has 3 features"):
        path.predict(make(X[:, :3]))


def test_float32():
    found = lasso_path(X.astype(np.float32), Y, alphas=5)
    assert found.coefs.dtype == np.float32
    assert found.predict(X.astype(np.float32)).dtype == np.float32
    assert found.coef_at(found.alphas[3])[0].dtype == np.float32
    np.testing.assert_allclose(
        found.coefs.toarray(), lasso_path(X, Y, alphas=5).coefs.toarray(), atol=1e-3
    )


def test_it_unpacks_as_scikit_learns_does(path):
    alphas, coefs, dual_gaps = path
    assert alphas is path.alphas
    assert dual_gaps is path.dual_gaps
    np.testing.assert_array_equal(coefs, path.coefs.toarray())


def test_unpacking_refuses_more_than_a_gigabyte(path):
    huge = sparse.csc_array((2_000_000, 100))
    arrays = {name: getattr(path, name) for name in path.__dataclass_fields__}
    with pytest.raises(MemoryError, match=r"\.coefs"):
        _ = tuple(Path(**(arrays | {"coefs": huge})))


def test_max_features_stops_before_the_first_alpha_with_more(path):
    most = int(path.n_nonzero[12])
    with pytest.warns(UserWarning, match="max_features") as caught:
        short = lasso_path(X, Y, alphas=30, tol=1e-10, max_features=most)
    assert len(caught) == 1
    expected = int(np.argmax(path.n_nonzero > most))
    assert len(short.alphas) == short.coefs.shape[1] == expected
    np.testing.assert_array_equal(short.alphas, path.alphas[:expected])


def test_max_features_may_leave_nothing():
    with pytest.warns(UserWarning, match="after 0 of 1"):
        none = lasso_path(X, Y, alphas=[1e-3], max_features=1)
    assert none.coefs.shape == (12, 0)
    assert "0 alphas" in repr(none)
    with pytest.raises(ValueError, match="at least one alpha"):
        none.coef_at(0.1)
    with pytest.raises(ValueError, match="at least one alpha"):
        none.plot()


@pytest.mark.parametrize("names", [None, [f"x{j}" for j in range(12)]])
def test_save_and_load(tmp_path, names):
    given = X if names is None else pd.DataFrame(X, columns=names)
    path = enet_path(given, Y, alphas=6)
    buffer = io.BytesIO()
    path.save(buffer)
    buffer.seek(0)
    path.save(tmp_path / "kept")
    for loaded in (
        Path.load(buffer),
        Path.load(tmp_path / "kept"),
        pickle.loads(pickle.dumps(path)),
    ):
        for name in ("alphas", "intercepts", "dual_gaps", "n_iters", "n_nonzero", "r2"):
            np.testing.assert_array_equal(getattr(loaded, name), getattr(path, name))
        np.testing.assert_array_equal(loaded.coefs.toarray(), path.coefs.toarray())
        assert isinstance(loaded.coefs, sparse.csc_array)
        assert (loaded.l1_ratio, loaded.reads) == (path.l1_ratio, path.reads)
        assert (loaded.feature_names is None) == (names is None)
        assert names is None or list(loaded.feature_names) == names
        np.testing.assert_array_equal(loaded.predict(given), path.predict(given))


def test_load_refuses_other_files(tmp_path):
    np.savez(tmp_path / "other.npz", a=1)
    np.save(tmp_path / "other.npy", np.arange(3))
    for name in ("other.npz", "other.npy"):
        with pytest.raises(ValueError, match=r"Path\.save"):
            Path.load(tmp_path / name)


def test_a_path_is_frozen(path):
    with pytest.raises(AttributeError):
        path.alphas = None


def test_one_warning_names_the_worst_alpha_and_how_many():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(30, 100))
    with pytest.warns(
        ConvergenceWarning, match=r"in \d+ of 10 solves, the worst at alpha="
    ) as seen:
        found = lasso_path(wide, wide[:, 0] + rng.normal(size=30), alphas=10, tol=1e-15, max_iter=1)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert len(found.alphas) == 10


def test_l1_ratio_zero_takes_alphas_but_no_number_of_them():
    with pytest.raises(ValueError, match="alphas"):
        enet_path(X, Y, l1_ratio=0)
    with pytest.raises(ValueError, match="l1_ratio"):
        alpha_max(X, Y, l1_ratio=0)
    found = enet_path(X, Y, l1_ratio=0, alphas=[1.0, 0.1], tol=1e-13)
    for k, alpha in enumerate(found.alphas):
        truth = peer.Ridge(alpha * 50).fit(X, Y)
        np.testing.assert_allclose(found.coefs.toarray()[:, k], truth.coef_, atol=1e-5)


def test_weights_and_bounds_and_penalties_as_in_the_estimators():
    rng = np.random.default_rng(1)
    settings = {
        "l1_ratio": 0.7, "standardize": True, "penalty_weights": rng.random(12),
        "bounds": (-0.4, rng.random(12)), "tol": 1e-10,
    }  # fmt: skip
    weights = rng.random(50)
    found = enet_path(X, Y, alphas=[0.5, 0.1, 0.02], sample_weight=weights, **settings)
    for alpha in found.alphas:
        fit = ElasticNet(alpha, **settings).fit(X, Y, sample_weight=weights)
        np.testing.assert_allclose(found.coef_at(alpha)[0], fit.coef_, rtol=0, atol=1e-4)


def test_y_of_one_column_counts_as_one_target(path):
    found = lasso_path(X, Y[:, None], alphas=30, tol=1e-10)
    np.testing.assert_array_equal(found.coefs.toarray(), path.coefs.toarray())
    with pytest.raises(ValueError, match="one target"):
        lasso_path(X, np.column_stack([Y, Y]))


def test_progress_is_silent_where_no_one_watches(capsys):
    lasso_path(X, Y, alphas=3, verbose=True)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lasso_path(X, Y, alphas=3, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "3/3 alphas" in err
    lasso_path(X, Y, alphas=3)
    assert capsys.readouterr() == ("", "")


def spoilt(**parts):
    """What `save` writes, some arrays replaced."""
    X = np.random.default_rng(0).normal(size=(20, 3))
    whole, file = io.BytesIO(), io.BytesIO()
    lasso_path(X, X[:, 0], alphas=3).save(whole)
    whole.seek(0)
    np.savez(file, **(dict(np.load(whole)) | parts))
    return file.getvalue()


UNREADABLE = {
    "empty": b"",
    "text": b"hello",
    "pickle": b"\x80\x04K\x01.",
    "half": spoilt()[:500],
    "another format": spoilt(creg_path=2),
    "no number": spoilt(creg_path=np.ones(3)),
    "short": spoilt(alphas=np.ones(2)),
    "names": spoilt(feature_names=np.array(["a"])),
    "rows that are not there": spoilt(indices=np.array([1000, 1000])),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_save_did_not_write_is_not_loaded(name, tmp_path):
    (tmp_path / "file.npz").write_bytes(UNREADABLE[name])
    for file in (tmp_path / "file.npz", io.BytesIO(UNREADABLE[name])):
        with pytest.raises(ValueError, match=r"file must be one written by Path\.save"):
            Path.load(file)


def test_bounds_hold_in_single_precision():
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    path = lasso_path(X, -X.sum(axis=1), bounds=(-0.3, 0.7), alphas=10)
    assert path.coefs.dtype == np.float32
    assert np.all(path.coefs.data.astype(np.float64) >= -0.3)
    assert np.isclose(path.coefs.data.min(), -0.3)
