"""What a fit is given: X and the row weights, the penalty, how to solve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from creg._data.design import DesignView
from creg._data.moments import Moments
from creg._data.narrow_gram import narrow_gram
from creg._data.statistics import gram
from creg._data.storage import Storage
from creg._data.tall import Products, products
from creg._data.threads import single_blas

Float = NDArray[np.float64]

# Widest design whose whole Gram matrix is made: 8 p^2 bytes, 32 MB.
LARGEST_GRAM = 2000
# The same for a few alphas.
LARGEST_GRAM_OF_ONE = 300
# Reads of X that one alpha takes, over log(alpha_max / alpha)^2.
READS = 0.8
# Most features that are all pivoted on at once.
NARROW = 128


@dataclass(frozen=True, slots=True)
class Penalty:
    """What is added to the squared error, but for its strength alpha.

    Attributes
    ----------
    l1_ratio : float
    weights : (n_features,) or None
        v: 0 leaves a feature unpenalised, inf leaves it out.
    lower, upper : float or (n_features,)
        On the user's coefficients.
    standardize : bool
        The penalty acts on the coefficients of the standardised columns.
    """

    l1_ratio: float = 1.0
    weights: Float | None = None
    lower: float | Float = -np.inf
    upper: float | Float = np.inf
    standardize: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to solve: see the estimators' parameters of the same names."""

    tol: float = 1e-8
    max_iter: int | None = 10_000
    n_threads: int = 1
    solver: str = "auto"


class Data:
    """What depends on X and the sample weights alone, shared by targets and penalties.

    Parameters
    ----------
    storage : Storage
    sample_weight : (n_samples,) or None
    fit_intercept : bool
    scaled : bool
        Whether `scale_` will be asked for.
    n_alphas : int
        Penalties with an l1 part that each target will be solved at.
    lone : bool
        Whether there is one target, and one penalty.
    n_threads : int
    given : Products or None
        Of the rows under these weights, the target in its own units, where they are known.
    moments : Moments or None
        Of the columns under these weights, where they are known.
    """

    def __init__(
        self,
        storage: Storage,
        sample_weight: Float | None,
        fit_intercept: bool,
        *,
        scaled: bool = False,
        n_alphas: int = 0,
        lone: bool = False,
        n_threads: int = 1,
        given: Products | None = None,
        moments: Moments | None = None,
    ) -> None:
        self.storage = storage
        self.weights = rescaled(sample_weight)
        self.fit_intercept = fit_intercept
        self.scaled = scaled
        self.n_threads = n_threads
        self._n_alphas = n_alphas
        self._lone = lone
        self._given = given
        self._moments = moments
        self._products: Products | None = None
        self._first_target: Float | None = None

    def read(self, target: Float, unit: float, in_columns: bool) -> None:
        """Before anything else: where the Gram matrix pays, all of it from one read of X.

        Dense rows stay as they are then, unless columns will be asked for (`in_columns`).
        `unit` is what the target was divided by.
        """
        storage = self.storage
        if "view" not in self.__dict__:
            self._first_target = target
        if self._given is not None:
            self._know(self._given._replace(cross=self._given.cross / unit), target, in_columns)
            self._given = None
        kept = self.is_narrow and storage.is_verified  # small, or a Design: its Gram matrix is kept
        pays = self._n_alphas and not storage.issparse and self.gram_pays(self._n_alphas)
        waits = pays and self.waits
        if "view" in self.__dict__ or kept or waits or not pays:
            return
        with single_blas():
            known = products(self.storage, self.weights, self.fit_intercept, target, self.n_threads)
        if known is not None:
            self._know(known, target, in_columns)

    def _know(self, known: Products, target: Float, in_columns: bool) -> None:
        self._products, self._first_target = known, target
        storage = self.storage.columns() if in_columns else self.storage
        self.view = DesignView(storage, self.weights, self.fit_intercept, known.moments)

    @cached_property
    def view(self) -> DesignView:
        """X as the solvers see it."""
        return DesignView(
            self.storage.columns(),
            self.weights,
            centre=self.fit_intercept,
            moments=self._moments,
            n_threads=self.n_threads,
            target=self._first_target,
        )

    @cached_property
    def scale_(self) -> Float:
        """`standard_deviations` of the columns."""
        return standard_deviations(self.view)

    @property
    def is_narrow(self) -> bool:
        """Whether the features are so few, and the rows more, that all are pivoted on at once."""
        n, p = self.storage.shape
        return p <= NARROW and p < n and p * p <= self.storage.size

    @property
    def waits(self) -> bool:
        """Whether Z'SZ is made once alpha_max is known, or not at all."""
        storage = self.storage
        columns = not storage.issparse and not storage.is_row_layout
        return self._lone and columns and storage.shape[1] > NARROW and self.gram_pays(1)

    def gram_pays(self, n_alphas: int, depth: float = np.inf) -> bool:
        """Whether Z'SZ is worth making, a product of p / 14 times the cost of a read of X.

        A path does without some 30 reads and most of the columns of Z'SZ, one alpha, alpha_max /
        `depth`, without READS log(depth)^2; where X is not tall the working set's own block costs
        less.
        """
        n, p = self.storage.shape
        if p * p > self.storage.size:
            return False
        if n_alphas >= 10:
            return p <= LARGEST_GRAM and 5 * n >= 6 * p
        reads = READS * np.log(max(depth, 1.0)) ** 2
        return bool(p <= LARGEST_GRAM_OF_ONE and n >= 3 * p and p < 14 * reads)

    @cached_property
    def gram(self) -> Float:
        """Z'SZ, (n_features, n_features)."""
        if self._products is not None:
            return self._products.gram
        if self.view.n_features <= NARROW:
            return narrow_gram(self.view)
        with single_blas():
            return gram(self.view, self.n_threads)

    @property
    def known_gram(self) -> Float | None:
        """Z'SZ where it is known already."""
        return self.gram if self._products is not None or "gram" in self.__dict__ else None

    def cross(self, target: Float) -> Float:
        """Z'Sy of a target in kernel units."""
        known = self.known_cross(target)
        return self.view.correlations_of(target, self.n_threads) if known is None else known

    def known_cross(self, target: Float) -> Float | None:
        """The same where it is known, or comes with the first read of X."""
        first = self._first_target
        if first is None or (target is not first and not np.array_equal(target, first)):
            return None
        return self.view.target_products if self._products is None else self._products.cross


def standard_deviations(view: DesignView) -> Float:
    """Of the columns, divisor sum s; root mean squares if not centred; 1 for constant columns."""
    spread = np.sqrt(view.norm2 / view.sum_weights) / view.scale
    return np.where(view.norm2 > 0, spread, 1.0)


def rescaled(sample_weight: Float | None) -> Float | None:
    """Weights that sum to the number of rows; None where they are all equal."""
    if sample_weight is None or np.all(sample_weight == sample_weight[0]):
        return None
    largest = sample_weight.max()
    shares = sample_weight / largest
    return np.asarray(shares * (len(shares) / shares.sum()))
