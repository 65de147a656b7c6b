"""A fit that needs no copy of X makes none: peak extra memory stays under a tenth of X's bytes."""

import json
import sys

import pytest
from cases import run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

PRELUDE = """
import json, sys, tracemalloc
import numpy as np
from scipy import sparse
import creg

def peak_resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

def made(layout, n, p, folder):
    rng = np.random.default_rng(0)
    if layout.startswith("csc"):
        step = 10 if layout == "csc sparse" else 3
        per_column = n // step - 1
        indices = np.empty(per_column * p, np.int32)
        for j in range(p):
            start = rng.integers(0, step)
            indices[j * per_column : (j + 1) * per_column] = start + step * np.arange(per_column)
        data = rng.standard_normal(len(indices), np.float32)
        if layout != "csc float32":
            data = data.astype(np.float64)
        indptr = (per_column * np.arange(p + 1)).astype(np.int32)
        return sparse.csc_array((data, indices, indptr), shape=(n, p))
    if layout == "rows":
        X = np.empty((n, p))
        for i in range(n):
            X[i] = rng.standard_normal(p)
        return X
    dtype = np.float32 if layout == "float32" else np.float64
    X = np.empty((n, p), dtype, order="F")
    for j in range(p):
        X[:, j] = rng.standard_normal(n, dtype=np.float32)
    if layout == "memmap":
        X.T.tofile(folder + "/X.bin")
        X = np.memmap(folder + "/X.bin", dtype, "r", shape=(n, p), order="F")
        X.sum()
    return X

def nbytes(X):
    if sparse.issparse(X):
        return X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    return X.nbytes

def measure(make_model, layout, n, p, folder):
    X = made(layout, n, p, folder)
    y = np.asarray(X[:, [0, p // 2, p - 1]].sum(axis=1)).ravel() * 5.0
    y = y + np.random.default_rng(1).standard_normal(n)
    few = max(n // 100, 10)
    small = X[:few, : p // 100 + 2]
    make_model(small, y[:few]).fit(small, y[:few])
    model = make_model(X, y)
    open("/proc/self/clear_refs", "w").write("5")
    before = peak_resident()
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    resident = peak_resident() - before
    nonzero = int(np.count_nonzero(model.coef_))
    print(json.dumps([peak / nbytes(X), resident / nbytes(X), nonzero]))

def lasso(X, y):
    return creg.Lasso(0.9 * creg.alpha_max(X, y))

def ridge(X, y):
    return creg.Ridge(1.0)

ALPHAS = np.geomspace(1e2, 1e6, 50)

def loo(X, y):
    return creg.RidgeCV(ALPHAS, n_threads=1)

def folds(X, y):
    return creg.RidgeCV(ALPHAS, cv=5, n_threads=1)
"""


@pytest.mark.parametrize(
    "layout", ["float64", "float32", "csc", "csc sparse", "csc float32", "memmap"]
)
@pytest.mark.parametrize(("model", "n", "p"), [("lasso", 1_000, 30_000), ("ridge", 200_000, 150)])
def test_fit_in_place(model, n, p, layout, tmp_path) -> None:
    assert_in_place(model, n, p, layout, tmp_path)


@pytest.mark.parametrize(
    ("model", "n", "p", "layout", "share"),
    [
        ("loo", 80_000, 300, "float64", 0.1),
        ("loo", 400, 30_000, "memmap", 0.12),
        ("folds", 80_000, 300, "memmap", 0.1),
        # the moments of the columns, a fold's and all rows', and matrices of n_samples^2
        ("folds", 400, 30_000, "float64", 0.15),
    ],
)
def test_alpha_is_chosen_in_place(model, n, p, layout, share, tmp_path) -> None:
    assert_in_place(model, n, p, layout, tmp_path, share)


def assert_in_place(model, n, p, layout, tmp_path, share=0.1) -> None:
    call = f"measure({model}, {layout!r}, {n}, {p}, {str(tmp_path)!r})"
    done = run_python(PRELUDE + call, capture_output=True)
    assert done.returncode == 0, done.stderr
    traced, resident, nonzero = json.loads(done.stdout)
    assert nonzero >= 1
    assert model != "lasso" or nonzero < 100
    assert traced < share
    # what malloc gave directly counts too
    assert resident < share


@pytest.mark.parametrize("layout", ["float64", "rows"])
@pytest.mark.parametrize(("n", "p"), [(40_000, 600), (300, 60_000)])
def test_large_ridge_in_place(n, p, layout, tmp_path) -> None:
    """Conjugate gradients first, and wide data: the Gram matrix and blocks beside X."""
    done = run_python(
        PRELUDE + f"measure(ridge, {layout!r}, {n}, {p}, {str(tmp_path)!r})", capture_output=True
    )
    assert done.returncode == 0, done.stderr
    traced, resident, _ = json.loads(done.stdout)
    assert traced < 0.1
    assert resident < 0.1
