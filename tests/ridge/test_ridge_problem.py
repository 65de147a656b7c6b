"""solve_ridge against least squares of the augmented matrix in extended precision."""

import tracemalloc

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sparse
from cases import as_format, checksum, read_only
from ridge_reference import ridge

from creg._data.storage import Storage
from creg._problem import Options, Penalty
from creg._ridge_problem import solve_ridge
from creg._solution import Status

SOLVERS = ("auto", "cholesky", "eigen", "cg")
DIRECT = ("cholesky", "eigen")


def fit(X, Y, alphas, solver="auto", *, s=None, fit_intercept=True, tol=1e-13, **more):
    """Coefficients (p, t), intercepts (t,) and the solutions."""
    max_iter = more.pop("max_iter", None)
    v = more.pop("v", None)
    solutions = solve_ridge(
        Storage(X),
        np.asarray(Y, dtype=float),
        np.asarray(alphas, dtype=float),
        sample_weight=s,
        fit_intercept=fit_intercept,
        penalty=Penalty(l1_ratio=0.0, weights=v, **more),
        options=Options(tol=tol, max_iter=max_iter, solver=solver),
    )
    W = np.column_stack([solution.dense(X.shape[1]) for solution in solutions])
    return W, np.array([solution.intercept for solution in solutions]), solutions


def data(n, p, *, seed=0, zeros=0.0, targets=2):
    rng = np.random.default_rng([seed, n, p])
    X = rng.normal(size=(n, p)) @ (np.eye(p) + 0.2 * rng.normal(size=(p, p))) + 1
    if zeros:
        X[rng.random((n, p)) < zeros] = 0
    return X, X[:, :3] @ rng.normal(size=(3, targets)) + rng.normal(size=(n, targets)) + 5


def assert_close(X, W, truth, rtol):
    """Columnwise, in units of the columns' spread, against the largest contribution."""
    spread = np.asarray(X, dtype=float).std(axis=0)[:, None] + 1e-300
    error = np.abs(W - truth.astype(float)) * spread
    assert np.max(error / np.max(np.abs(truth.astype(float)) * spread, axis=0)) < rtol


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", ["C", "F", "row_slice", "csc_array", "csr_matrix", "csr_int64"])
@pytest.mark.parametrize("shape", [(60, 12), (15, 40)])
def test_every_layout_equals_the_dense_truth(shape, layout, dtype, solver):
    X, Y = data(*shape, zeros=0.5 if layout.startswith("cs") else 0.0)
    X = X.astype(dtype)
    rng = np.random.default_rng(1)
    v = rng.uniform(0.5, 2, shape[1])
    v[[1, 4]], v[7] = 0, np.inf
    alphas = np.array([0.3, 40.0])
    for s in (None, rng.choice([0.0, 0.5, 2.0], shape[0])):
        for fit_intercept in (True, False):
            for weights in (None, v):
                for standardize in (True, False):
                    how = {"s": s, "v": weights, "fit_intercept": fit_intercept}
                    how["standardize"] = standardize
                    truth, b = ridge(X, Y, alphas, **how)
                    W, intercepts, ends = fit(as_format(X, layout, dtype), Y, alphas, solver, **how)
                    assert_close(X, W, truth, 1e-10)
                    np.testing.assert_allclose(intercepts, b.astype(float), rtol=1e-9, atol=1e-9)
                    assert {end.status for end in ends} == {Status.CONVERGED}
                    assert solver in ("auto", ends[0].method)
                    assert all(end.n_iter >= 1 for end in ends)
                    if weights is not None:
                        assert not W[7].any()


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["full", "repeated", "combined", "wide", "wide repeated", "mixed"])
def test_alpha_zero_is_the_least_norm(kind, solver, standardize):
    X, Y = data(*((12, 40) if kind.startswith("wide") else (50, 8)))
    rng = np.random.default_rng(2)
    if kind == "repeated":
        X = np.hstack([X, X[:, 2:5]])
    elif kind == "combined":
        X = np.hstack([X, X @ rng.normal(size=(8, 4))])
    elif kind == "wide repeated":
        X, Y = np.vstack([X, X[:4]]), np.vstack([Y, Y[:4] + rng.normal(size=(4, 2))])
    elif kind == "mixed":
        X = np.hstack([X, X[:, :2] * 100, np.full((50, 1), 7.0), X[:, :1] / 100])
    spread = X.std(axis=0) if standardize else np.ones(X.shape[1])
    spread[spread == 0] = 1
    truth = np.linalg.lstsq((X - X.mean(axis=0)) / spread, Y - Y.mean(axis=0), rcond=1e-11)[0]
    truth = truth / spread[:, None]
    # penalty weights other than inf do not count
    W, b, ends = fit(X, Y, [0, 0], solver, v=np.full(X.shape[1], 3.0), standardize=standardize)
    assert_close(X, W, truth, 1e-9)
    np.testing.assert_allclose(b, Y.mean(axis=0) - X.mean(axis=0) @ truth, rtol=1e-9, atol=1e-9)
    if solver == "cg":
        assert ends[0].method == "cg"
    elif kind in ("full", "wide"):
        assert ends[0].method in DIRECT
    else:
        assert ends[0].method == "svd"


@pytest.mark.parametrize("spread", [1, 6])
@pytest.mark.parametrize("solver", DIRECT)
def test_alpha_zero_at_any_scale_of_the_columns(solver, spread):
    X, Y = data(60, 10)
    scale = 10.0 ** np.random.default_rng(3).integers(-spread, spread + 1, 10)
    base = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=1e-11)[0]
    W, _, _ = fit(X * scale, Y, [0, 0], solver)
    assert_close(X * scale, W, base / scale[:, None], 1e-11)
    if spread == 1:
        # equal columns share their coefficient at every scale
        X, scale = np.hstack([X, X[:, :3]]), np.concatenate([scale, scale[:3]])
        base = np.linalg.lstsq(X - X.mean(axis=0), Y - Y.mean(axis=0), rcond=1e-11)[0]
        W, _, _ = fit(X * scale, Y, [0, 0], solver)
        assert_close(X * scale, W, base / scale[:, None], 1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_unpenalised_columns_are_least_squares(solver):
    X, Y = data(40, 6)
    W, _, _ = fit(X, Y, [5.0, 5.0], solver, v=np.array([0, 0, np.inf, 0, np.inf, np.inf]))
    truth, _ = ridge(X, Y, [0, 0], v=np.array([1, 1, np.inf, 1, np.inf, np.inf]))
    assert_close(X, W, truth, 1e-11)


@pytest.mark.parametrize("shape", [(50, 8), (8, 30)])
@pytest.mark.parametrize("solver", SOLVERS)
def test_targets_are_fitted_independently(shape, solver):
    X, Y = data(*shape, targets=11)
    alphas = np.array([0.1, 3, 3, 0.1, 50, 0.1, 0.1, 0.1, 7, 7, 3])
    together, b, _ = fit(X, Y, alphas, solver)
    for k, alpha in enumerate(alphas):
        alone, b_k, _ = fit(X, Y[:, [k]], [alpha], solver)
        np.testing.assert_allclose(together[:, [k]], alone, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(b[k], b_k[0], rtol=1e-10)


@pytest.mark.parametrize("layout", ["F", "csr_array"])
@pytest.mark.parametrize("shape", [(50, 8), (10, 30)])
@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_drop_and_repeat_rows(solver, shape, layout):
    X, Y = data(*shape)
    rng = np.random.default_rng(4)
    s = rng.integers(0, 3, shape[0])
    made = np.repeat(X, s, axis=0), np.repeat(Y, s, axis=0)
    X[s == 0] *= 1e30
    Y[s == 0] = -1e300
    for alpha in (0.0, 2.0):
        W, b, _ = fit(as_format(X, layout), Y, [alpha] * 2, solver, s=s.astype(float))
        truth, b_truth, _ = fit(made[0], made[1], [alpha] * 2, "eigen")
        assert_close(made[0], W, truth, 1e-9)
        np.testing.assert_allclose(b, b_truth, rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(60, 6), (6, 20)])
@pytest.mark.parametrize("layout", ["C", "F", "csc_array"])
def test_large_means(layout, shape, solver):
    X, Y = data(*shape)
    for mean in (1e4, 1e8):
        shifted = X + mean * np.arange(1, shape[1] + 1)
        truth, _ = ridge(shifted, Y, [1, 1])
        W, _, _ = fit(as_format(shifted, layout), Y, [1, 1], solver)
        assert_close(shifted, W, truth, 1e-7 if mean == 1e8 else 1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("shape", [(40, 6), (6, 20)])
def test_rescaling_changes_no_bit(shape, solver):
    X, Y = data(*shape)
    X = np.asfortranarray(X)
    alphas = np.array([0.0, 2.0])
    W, _, ends = fit(X, Y, alphas, solver)
    for x, y in ((500, 400), (-500, 400), (490, -400), (-480, -450)):
        big = 2.0**x
        scaled, _, again = fit(X * big, Y * 2.0**y, alphas * big * big, solver)
        np.testing.assert_array_equal(np.ldexp(scaled, x - y), W)
        assert [end.n_iter for end in again] == [end.n_iter for end in ends]
    scaled, _, _ = fit(X * 1e150, Y * 1e-150, alphas * 1e300, solver)
    np.testing.assert_allclose(scaled * 1e300, W, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("layout", ["F", "csr_array"])
def test_constant_columns_and_targets(layout, solver, alpha):
    X, Y = data(30, 7)
    X[:, 2] = 0.1
    Y[:, 1] = 0.3
    s = np.ones(30)
    X[:5, 4] = 3.0
    s[5:] = 0
    s[5] = 0.0
    W, b, _ = fit(as_format(X, layout), Y, [alpha] * 2, solver)
    assert not W[2].any()
    assert not W[:, 1].any()
    assert b[1] == pytest.approx(0.3)
    W, b, _ = fit(as_format(X, layout), Y, [alpha] * 2, solver, s=s)
    assert not W[[2, 4]].any()
    everything = np.full((5, 3), 4.0)
    W, b, ends = fit(as_format(everything, layout), Y[:5], [alpha] * 2, solver)
    assert not W.any()
    np.testing.assert_allclose(b, Y[:5].mean(axis=0))
    assert ends[0].status == Status.CONVERGED


@pytest.mark.parametrize("solver", SOLVERS)
def test_single_rows_and_columns(solver):
    for n, p in ((1, 1), (1, 4), (2, 1), (2, 2), (2, 5)):
        X, Y = data(n, max(p, 3))
        X = X[:, :p]
        W, b, _ = fit(X, Y, [1, 1], solver)
        assert np.all(np.isfinite(W))
        np.testing.assert_allclose(b, Y.mean(axis=0) - X.mean(axis=0) @ W, rtol=1e-10)


def test_inputs_are_only_read():
    X, Y = data(30, 5)
    s = np.random.default_rng(5).uniform(size=30)
    for layout in ("C", "F", "csc_array", "csr_array"):
        made = read_only(as_format(X, layout))
        before = checksum(made, Y, s)
        for solver in SOLVERS:
            for alpha in (0.0, 1.0):
                fit(made, Y, [alpha] * 2, solver, s=s)
        assert checksum(made, Y, s) == before


@pytest.mark.parametrize("solver", DIRECT)
@pytest.mark.parametrize("alpha", [1e-7, 1e-11, 1e-14])
@pytest.mark.parametrize("shape", [(50, 12), (20, 20), (20, 45)])
def test_small_alphas_on_dependent_columns(shape, alpha, solver):
    X, Y = data(*shape)
    X[:, -3:] = X[:, :3] + 1e-4 * X[:, -3:]
    X *= 10.0 ** np.random.default_rng(6).integers(-2, 3, shape[1])
    alphas = np.full(2, alpha * np.sum((X - X.mean(axis=0)) ** 2))
    truth, _ = ridge(X, Y, alphas)
    W, _, _ = fit(X, Y, alphas, solver)
    # the conditioning of the problem is 1 / sqrt(alpha)
    assert_close(X, W, truth, 1e-8 + 1e-14 / np.sqrt(alpha))


def test_auto_chooses_by_work():
    X, Y = data(40, 10)
    assert fit(X, Y, [1, 1])[2][0].method == "cholesky"
    assert fit(sparse.csr_array(X), Y, [1, 1])[2][0].method == "cholesky"
    rng = np.random.default_rng(7)
    large = rng.random((1500, 900))
    large = sparse.csr_array(np.where(rng.random((1500, 900)) < 0.002, large, 0))
    Y = large[:, :2].toarray() + np.random.default_rng(8).normal(size=(1500, 2))
    W, _, ends = fit(large, Y, [1, 1], tol=1e-8)
    assert {end.method for end in ends} == {"cg"}
    exactly, _, _ = fit(large, Y, [1, 1], "cholesky")
    np.testing.assert_allclose(W, exactly, rtol=1e-6, atol=1e-7)
    # columns that conjugate gradients do not get through with
    steep = (large @ sparse.diags_array(np.geomspace(1, 1e6, 900))).tocsr()
    W, _, ends = fit(steep, Y, [1e-3, 1e-3], tol=1e-10)
    assert {end.method for end in ends} == {"cholesky"}
    # a bound on the steps is a wish for steps
    _, _, ends = fit(steep, Y, [1e-3, 1e-3], tol=1e-10, max_iter=5)
    assert {(end.method, end.n_iter, end.status) for end in ends} == {("cg", 5, Status.MAX_ITER)}


def test_bounds_go_to_the_active_set():
    X, Y = data(40, 8)
    alphas = np.array([3.0, 0.5])
    W, b, ends = fit(X, Y, alphas, lower=0.0, tol=1e-12)
    assert {end.method for end in ends} == {"active_set"}
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    for k, alpha in enumerate(alphas):
        A = np.vstack([Xc, np.sqrt(alpha) * np.eye(8)])
        target = np.concatenate([Yc[:, k], np.zeros(8)])
        truth, norm = scipy.optimize.nnls(A, target)
        np.testing.assert_allclose(W[:, k], truth, atol=1e-6)
        excess = np.sum((target - A @ W[:, k]) ** 2) - norm**2
        assert excess <= ends[k].dual_gap + 1e-12 * norm**2
        assert ends[k].dual_gap <= 1e-12 * ends[k].null_objective
        assert ends[k].null_objective == pytest.approx(np.sum(Yc[:, k] ** 2))
    np.testing.assert_allclose(b, Y.mean(axis=0) - X.mean(axis=0) @ W)


@pytest.mark.parametrize("standardize", [False, True])
def test_active_set_without_bounds_is_ridge(standardize):
    X, Y = data(40, 8)
    s = np.random.default_rng(9).uniform(size=40)
    v = np.array([1, 2, 0, np.inf, 1, 1, 3, 1.0])
    how = {"s": s, "v": v, "standardize": standardize}
    W, _, ends = fit(X, Y, [2, 9], "active_set", tol=1e-14, **how)
    truth, _ = ridge(X, Y, [2, 9], **how)
    assert_close(X, W, truth, 1e-6)
    assert ends[0].method == "active_set"


@pytest.mark.parametrize("solver", ["auto", "cg"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_vectors_are_few(layout, solver):
    rng = np.random.default_rng(10)
    X = rng.standard_normal((150_000, 150), dtype=np.float32)
    X = np.asfortranarray(X) if layout == "F" else X
    y = rng.normal(size=(150_000, 1))
    tracemalloc.start()
    try:
        fit(X, y, [1.0], solver, tol=1e-8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * X.nbytes
