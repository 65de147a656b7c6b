"""Single fits, small and large, with an intercept, beside scikit-learn."""

from typing import Any

import numpy as np
from sklearn import linear_model

import creg
from benchmarks import problems

DATA = ["small", "wide", "tall", "sparse"]
PACKAGES = {"creg": creg, "sklearn": linear_model}


class Fit:
    """One fit; alpha is a tenth of the first that keeps all coefficients at zero."""

    params = (["Lasso", "ElasticNet", "Ridge"], DATA, list(PACKAGES))
    param_names = ("model", "data", "package")
    timeout = 600
    rounds = 1

    def setup(self, model: str, data: str, package: str) -> None:
        self.X, self.y = problems.gaussian(data)
        options: dict[str, Any] = {"tol": 1e-6}
        if model == "Ridge":
            options["alpha"] = float(len(self.y))
        else:
            options["alpha"] = 0.1 * problems.alphas(self.X, self.y - self.y.mean())[0]
        if package == "creg":
            options["n_threads"] = 1
        elif model != "Ridge":
            options["max_iter"] = 100_000
        self.model = getattr(PACKAGES[package], model)(**options)

    def time_fit(self, *_names: str) -> None:
        self.model.fit(self.X, self.y)


class Embedded:
    """A small fit inside another program's loop: X given, X made ready once, and a path."""

    params = (["fit", "design", "path"], list(PACKAGES))
    param_names = ("what", "package")
    rounds = 1

    def setup(self, what: str, package: str) -> None:
        X, self.y = problems.gaussian("small")
        if what == "design" and package == "sklearn":
            raise NotImplementedError  # there is none
        self.alphas = problems.alphas(X, self.y - self.y.mean())
        self.X = creg.Design(X) if what == "design" else X
        self.lasso_path = PACKAGES[package].lasso_path
        self.model = PACKAGES[package].Lasso(0.1 * self.alphas[0], tol=1e-6)

    def time_embedded(self, what: str, _package: str) -> None:
        if what == "path":
            self.lasso_path(self.X, self.y, alphas=self.alphas)
        else:
            self.model.fit(self.X, self.y)


class Memory(Fit):
    """The process's peak during one fit, data included."""

    params = (["Lasso", "Ridge"], ["wide", "tall", "sparse"], list(PACKAGES))
    time_fit = None

    def peakmem_fit(self, *_names: str) -> None:
        self.model.fit(self.X, self.y)


class Variants:
    """What the rest of the interface adds to a Lasso fit."""

    params = (["plain", "weighted", "standardize", "float32", "c_order", "design"],)
    param_names = ("variant",)
    rounds = 1

    def setup(self, variant: str) -> None:
        X, self.y = problems.gaussian("wide", "float32" if variant == "float32" else "float64")
        self.alpha = 0.1 * creg.alpha_max(X, self.y)
        if variant == "c_order":
            X = np.ascontiguousarray(X)
        self.X = creg.Design(X) if variant == "design" else X
        weighted = variant == "weighted"
        self.weights = np.linspace(0.5, 1.5, len(self.y)) if weighted else None
        self.standardize = variant == "standardize"

    def time_fit(self, _variant: str) -> None:
        model = creg.Lasso(self.alpha, standardize=self.standardize, tol=1e-6, n_threads=1)
        model.fit(self.X, self.y, sample_weight=self.weights)
