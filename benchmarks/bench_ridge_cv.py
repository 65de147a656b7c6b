"""RidgeCV over 100 alphas, by leave-one-out and by folds, beside scikit-learn."""

from typing import Any

import numpy as np
from sklearn import linear_model

import creg
from benchmarks import problems

DATA = ["tall", "wide", "square"]
PACKAGES = {"creg": creg, "sklearn": linear_model}


def square() -> tuple[np.ndarray, np.ndarray]:
    """600 x 600."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 600)) + 0.5 * rng.standard_normal((600, 1))
    return X, X[:, :20].sum(axis=1) + rng.standard_normal(600)


def made(data: str, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """X and one or several targets."""
    X, y = square() if data == "square" else problems.gaussian(data)
    if n_targets == 1:
        return X, y
    noise = np.random.default_rng(1).standard_normal((len(y), n_targets))
    return X, y[:, None] + np.arange(1, n_targets + 1) * noise


class LeaveOneOut:
    """Exact leave-one-out errors; alphas over the spectrum."""

    params = (DATA, [1, 10], list(PACKAGES))
    param_names = ("data", "targets", "package")
    timeout = 600
    rounds = 1
    settings: dict[str, Any] = {}  # noqa: RUF012  (asv reads class attributes)

    def setup(self, data: str, targets: int, package: str) -> None:
        if package == "sklearn" and data == "tall" and (targets > 1 or self.settings):
            raise NotImplementedError  # minutes
        self.X, self.y = made(data, targets)
        alphas = len(self.X) * np.geomspace(10.0, 1e-6, 100)
        settings = self.settings | ({"n_threads": 1} if package == "creg" else {})
        self.model = PACKAGES[package].RidgeCV(alphas, **settings)

    def time_fit(self, *_names: str) -> None:
        self.model.fit(self.X, self.y)


class Folds(LeaveOneOut):
    """Five folds."""

    params = (DATA, [1], list(PACKAGES))
    settings = {"cv": 5}  # noqa: RUF012


class Criteria:
    """GCV, the evidence, and the default grid."""

    params = (DATA, ["gcv", "evidence"])
    param_names = ("data", "criterion")
    rounds = 1

    def setup(self, data: str, criterion: str) -> None:
        self.X, self.y = made(data, 1)
        self.model = creg.RidgeCV(criterion=criterion, n_threads=1)

    def time_fit(self, *_names: str) -> None:
        self.model.fit(self.X, self.y)


class Memory:
    """The process's peak during one fit, data included."""

    params = (["tall", "wide"], list(PACKAGES))
    param_names = ("data", "package")

    def setup(self, data: str, package: str) -> None:
        self.X, self.y = made(data, 1)
        self.model = PACKAGES[package].RidgeCV(np.geomspace(1e-2, 1e4, 3))

    def peakmem_fit(self, *_names: str) -> None:
        self.model.fit(self.X, self.y)
