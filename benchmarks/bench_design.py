"""The verbs that solvers stand on, over every layout, one thread."""

import numpy as np
from scipy import sparse

from benchmarks import problems
from creg._data import statistics
from creg._data.design import DesignView
from creg._data.storage import Storage

LAYOUTS = ["dense_f", "dense_c", "float32_f", "float32_c", "csc", "csr", "csc_int64"]


def storage(layout: str) -> Storage:
    """20,000 x 100 dense, 5,000 x 20,000 sparse."""
    if layout in ("csc", "csr", "csc_int64"):
        X, _ = problems.gaussian("sparse")
        if layout == "csr":
            X = X.tocsr()
        elif layout == "csc_int64":
            parts = (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64))
            X = sparse.csc_array(parts, shape=X.shape)
    else:
        kind, order = layout.split("_")
        X, _ = problems.gaussian("tall", "float32" if kind == "float32" else "float64")
        X = np.asarray(X, order="C" if order == "c" else "F")
    return Storage(X)


class Verbs:
    """With row weights and centring: what costs most."""

    params = (LAYOUTS,)
    param_names = ("layout",)

    def setup(self, layout: str) -> None:
        self.data = storage(layout)
        rng = np.random.default_rng(1)
        self.weights = rng.uniform(0.5, 1.5, self.data.n_samples)
        self.view = DesignView(self.data, self.weights, True)
        self.v = rng.standard_normal(self.data.n_features)
        self.r = rng.standard_normal(self.data.n_samples)

    def time_make(self, _layout: str) -> None:
        DesignView(self.data, self.weights, True)

    def time_product(self, _layout: str) -> None:
        self.view.product(self.v)

    def time_correlations(self, _layout: str) -> None:
        self.view.correlations_of(self.r)


class Gram:
    """Z'SZ of tall data, with the peak memory beside it: X must not be copied."""

    params = (["dense_f", "dense_c", "float32_f", "float32_c"],)
    param_names = ("layout",)

    def setup(self, layout: str) -> None:
        self.view = DesignView(storage(layout), None, True)

    def time_gram(self, _layout: str) -> None:
        statistics.gram(self.view)

    def peakmem_gram(self, _layout: str) -> None:
        statistics.gram(self.view)


class Convert:
    """A row layout into columns, once."""

    params = (["dense_c", "float32_c", "csr"],)
    param_names = ("layout",)

    def setup(self, layout: str) -> None:
        self.X = storage(layout).X

    def time_columns(self, _layout: str) -> None:
        Storage(self.X).columns()
