"""The choice of alpha, beside one path on the same alphas and scikit-learn; one thread."""

import warnings
from typing import Any

import numpy as np
from sklearn import linear_model

import creg
from benchmarks import problems

EPS = 0.05
DATA = ["diabetes", "wide", "tall", "sparse"]


def load(name: str) -> tuple[Any, np.ndarray]:
    return problems.diabetes() if name == "diabetes" else problems.gaussian(name)


class Choose:
    """100 alphas down to EPS alpha_max by each criterion; `path` is what it is measured by."""

    params = (DATA, ["path", "cv", "alo", "bic", "relaxed cv", "sklearn"])
    param_names = ("data", "what")
    timeout = 600
    rounds = 1

    def setup(self, data: str, what: str) -> None:
        if what == "sklearn" and data == "sparse":
            raise NotImplementedError  # minutes
        self.X, self.y = load(data)

    def time_choose(self, _data: str, what: str) -> None:
        self.run(what)

    def peakmem_choose(self, _data: str, what: str) -> None:
        self.run(what)

    def run(self, what: str) -> None:
        if what == "path":
            creg.lasso_path(self.X, self.y, eps=EPS, n_threads=1)
        elif what == "sklearn":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                linear_model.LassoCV(eps=EPS, cv=5).fit(self.X, self.y)
        elif what == "bic":
            self.fit(criterion="bic", noise_variance=1.0)
        elif what == "alo":
            self.fit(criterion="alo")
        else:
            self.fit(relax=[0.0, 0.5, 1.0] if what == "relaxed cv" else False)

    def fit(self, **choice: Any) -> None:
        creg.LassoCV(eps=EPS, n_threads=1, **choice).fit(self.X, self.y)


class Threads:
    """Folds on two threads."""

    params = (DATA, [1, 2])
    param_names = ("data", "n_threads")
    timeout = 600
    rounds = 1

    def setup(self, data: str, _n_threads: int) -> None:
        self.X, self.y = load(data)

    def time_cv(self, _data: str, n_threads: int) -> None:
        creg.LassoCV(eps=EPS, n_threads=n_threads).fit(self.X, self.y)


class Ratios:
    """An elastic net at several l1_ratios."""

    params = (["diabetes", "wide"], ["creg", "sklearn"])
    param_names = ("data", "package")
    timeout = 600
    rounds = 1

    def setup(self, data: str, package: str) -> None:
        self.X, self.y = load(data)
        kind = creg.ElasticNetCV if package == "creg" else linear_model.ElasticNetCV
        options: dict[str, Any] = {"n_threads": 1} if package == "creg" else {}
        self.model = kind(l1_ratio=[0.5, 0.9, 1.0], alphas=50, eps=0.01, cv=5, **options)

    def time_cv(self, *_names: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.fit(self.X, self.y)
