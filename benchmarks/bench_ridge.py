"""Ridge where its choices differ: dense both ways, float32, sparse, bounds, paths, small fits."""

from typing import Any

import numpy as np
from scipy import sparse

import creg

SHAPES = {
    "tall": (20_000, 200),
    "tall_c": (20_000, 200),
    "wide": (200, 20_000),
    "large": (4000, 800),
}


def dense(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns, or rows where there are fewer, that each carry some of the one before."""
    n, p = SHAPES[name]
    X = np.random.default_rng(0).standard_normal((n, p))
    X = np.cumsum(X, axis=int(n > p)) if name != "large" else X
    y = X[:, :10].sum(axis=1) + np.random.default_rng(1).standard_normal(n)
    return np.asarray(X, order="C" if name == "tall_c" else "F"), y


class Dense:
    params = (list(SHAPES), ["auto", "cholesky", "cg20", "weighted", "float32"])
    param_names = ("shape", "variant")
    rounds = 1

    def setup(self, shape: str, variant: str) -> None:
        X, self.y = dense(shape)
        self.X = X.astype(np.float32, order="K") if variant == "float32" else X
        self.weights = np.linspace(0.5, 1.5, len(X)) if variant == "weighted" else None
        options: dict[str, Any] = {"n_threads": 1}
        if variant == "cg20":
            # so many steps, converged or not
            options |= {"solver": "cg", "max_iter": 20, "tol": 0.99e-8}
        elif variant != "auto":
            options["solver"] = "cholesky"
        self.model = creg.Ridge(1e-3 * len(X), **options)

    def time_fit(self, _shape: str, _variant: str) -> None:
        self.model.fit(self.X, self.y, sample_weight=self.weights)


class Sparse:
    params = (["csr", "csc"], ["one", "four targets", "path", "two threads"])
    param_names = ("format", "what")
    rounds = 1

    def setup(self, kind: str, what: str) -> None:
        rng = np.random.default_rng(0)
        X = sparse.random_array((50_000, 20_000), density=1e-3, rng=rng, dtype=np.float64)
        self.X = X.asformat(kind)
        self.y = rng.standard_normal((50_000, 4) if what == "four targets" else 50_000)
        self.n_threads = 2 if what == "two threads" else 1
        self.alphas = np.geomspace(1, 100, 20)

    def time_solve(self, _kind: str, what: str) -> None:
        if what == "path":
            creg.ridge_path(self.X, self.y, self.alphas, n_threads=1)
        else:
            creg.Ridge(10.0, n_threads=self.n_threads).fit(self.X, self.y)


class Other:
    params = (["path", "positive", "small"],)
    param_names = ("what",)
    rounds = 1

    def setup(self, what: str) -> None:
        self.X, self.y = dense("tall")
        if what == "small":
            self.X, self.y = np.ascontiguousarray(self.X[:50, :10]), self.y[:50]
        self.alphas = np.geomspace(1e-3, 1e5, 100)

    def time_other(self, what: str) -> None:
        if what == "path":
            creg.ridge_path(self.X, self.y, self.alphas, n_threads=1)
        else:
            creg.Ridge(1.0, positive=what == "positive", n_threads=1).fit(self.X, self.y)
