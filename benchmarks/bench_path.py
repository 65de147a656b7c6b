"""Whole paths, beside scikit-learn at the same alphas and tolerance, one thread."""

from typing import Any

import numpy as np
from sklearn import linear_model

import creg
from benchmarks import problems

TOL = 1e-6


def load(name: str) -> tuple[Any, np.ndarray]:
    if name == "diabetes":
        X, y = problems.diabetes()
        return X, y - y.mean()
    if name in problems.SHAPES:
        X, y = problems.gaussian(name)
        return X, y - y.mean()
    return problems.real(name)


class LassoPath:
    """100 alphas, on real data down to alpha_max/100 as `compare.py` runs them, else to a tenth."""

    params = (["wide", "tall", "sparse", "diabetes", *problems.real_names()], ["creg", "sklearn"])
    param_names = ("data", "package")
    timeout = 600
    rounds = 1

    def setup(self, data: str, _package: str) -> None:
        self.X, self.y = load(data)
        self.alphas = problems.alphas(self.X, self.y, 0.1 if data in problems.SHAPES else 0.01)

    def time_path(self, _data: str, package: str) -> None:
        self.run(package)

    def peakmem_path(self, _data: str, package: str) -> None:
        self.run(package)

    def run(self, package: str) -> None:
        if package == "creg":
            creg.lasso_path(
                self.X, self.y, alphas=self.alphas, fit_intercept=False, tol=TOL, n_threads=1
            )
        else:
            linear_model.lasso_path(
                self.X, self.y, alphas=self.alphas, tol=TOL, max_iter=100_000, copy_X=True
            )


class ElasticNetPath:
    params = (["wide", "tall", "sparse"], [0.5, 0.95])
    param_names = ("data", "l1_ratio")
    timeout = 600
    rounds = 1

    def setup(self, data: str, _l1_ratio: float) -> None:
        self.X, self.y = load(data)

    def time_path(self, _data: str, l1_ratio: float) -> None:
        creg.enet_path(self.X, self.y, l1_ratio=l1_ratio, eps=0.1, tol=TOL, n_threads=1)
