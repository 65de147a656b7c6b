"""Which equations a ridge problem is solved by; targets centred, in kernel units."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from creg._data.blocks import tiles_are_faster
from creg._data.design import DesignView
from creg._data.threads import single_blas
from creg._ridge.cholesky import CholeskyFactor, Dual, DualAt, Primal, PrimalAt
from creg._ridge.spectrum import EigenFactor, singular
from creg._ridge.system import RidgeSystem, Unreliable

Float = NDArray[np.float64]

LARGEST_GRAM = 15_000  # rows of a Gram matrix that is made unasked
SMALL_GRAM = 500  # sparse X: a Gram matrix that costs less than thinking about it
SPARSE_STEPS = 200  # conjugate gradient steps to be expected on sparse X
SPARSE_SLOWDOWN = 4  # of a sparse multiply-add against one in BLAS-3
ROWS_FOR_ONE_READ = 28  # of the smaller side: a Gram matrix by BLAS against X'(Xv)
ROWS_OF_TILES = 40  # the same for one of tiles
AT_STAKE = 0.25  # share of a Gram matrix that may be lost in trying to do without
WORTH = 0.8  # share that conjugate gradients may be expected to take
SMALL_WORK = 1e7  # flops below which the number of BLAS threads is left alone


class RidgeSolver:
    """What is shared by the alphas and targets of one design and penalty.

    Parameters
    ----------
    view : DesignView
    penalty_weights : (n_features,) or None
        v; inf leaves a column out. None: ones.
    standardize : bool
    n_threads : int
    gram : (n_features, n_features) or (n_samples, n_samples), optional
        What `Primal` or `Dual` may be given, in the smaller dimension; it is overwritten.
    kept : float
        The rounding of an outer `gram` is that of a matrix 1 / kept as large.
    """

    def __init__(
        self,
        view: DesignView,
        penalty_weights: Float | None,
        standardize: bool,
        n_threads: int,
        gram: Float | None = None,
        kept: float = 1.0,
    ) -> None:
        self.view = view
        self.n_threads = n_threads
        self._penalised = RidgeSystem(view, penalty_weights, standardize, n_threads)
        self._unpenalised = self._penalised
        if penalty_weights is not None:
            left_out = np.where(penalty_weights == np.inf, np.inf, 1.0)
            self._unpenalised = RidgeSystem(view, left_out, standardize, n_threads)
        self._gram, self._kept = gram, kept
        self._outer = view.n_samples <= view.n_features
        self._equations: dict[int, Primal | Dual] = {}

    def system(self, alpha: float) -> tuple[RidgeSystem, float]:
        """The system in force at alpha, and alpha: 0 where nothing is penalised."""
        if alpha > 0 and np.any(self._penalised.sigma > 0):
            return self._penalised, alpha
        return self._unpenalised, 0.0

    def factored(
        self, system: RidgeSystem, alpha: float, method: str, last: bool
    ) -> PrimalAt | DualAt | None:
        """Equations factored by "cholesky" or "eigen", where they can be; `last` frees the Gram."""
        try:
            return self.equations(system).at(
                alpha, EigenFactor if method == "eigen" else CholeskyFactor, last
            )
        except Unreliable:
            return None

    def equations(self, system: RidgeSystem) -> Primal | Dual:
        """The normal equations in the smaller dimension."""
        found = self._equations.get(id(system))
        if found is None:
            known = self._gram if system is self._penalised else None
            if system.view.n_samples <= system.n_columns:
                found = Dual(system, known if self._outer else None, self._kept)
            else:
                found = Primal(system, None if self._outer else known)
            self._equations[id(system)], self._gram = found, None
        return found

    def blas_threads(self) -> AbstractContextManager[None]:
        """A context that keeps a large problem to one BLAS thread where that is asked for."""
        n, p = self.view.n_samples, self.view.n_features
        alone = self.n_threads == 1 and float(n) * p * min(n, p) > SMALL_WORK
        return single_blas() if alone else nullcontext()


def solve_directly(
    factored: PrimalAt | DualAt | None,
    system: RidgeSystem,
    alpha: float,
    Y: Float,
    overwrite: bool = False,
    cross: Float | None = None,
) -> tuple[Float, bool]:
    """Coefficients (n_columns, t); whether they are from the factor, else from singular values.

    `overwrite` and `cross` are as in `PrimalAt.solve`.
    """
    if factored is not None:
        try:
            if isinstance(factored, PrimalAt):
                return factored.solve(Y, overwrite, cross), True
            return factored.solve(Y), True
        except Unreliable:
            pass
    return singular(system, alpha, Y), False


def prefers_iterations(system: RidgeSystem) -> bool:
    """Whether conjugate gradients are expected to cost less than a factor."""
    side = min(system.view.n_samples, system.n_columns)
    direct = gram_work(system)
    if direct is None:
        return True
    if not sparse.issparse(system.view.storage.X) or side <= SMALL_GRAM:
        return False
    return SPARSE_STEPS * step_work(system) < direct


def reads_for_gram(n: int, p: int, n_targets: int) -> float:
    """Reads of dense X by conjugate gradients that are worth trying before its Gram matrix.

    0 where it costs too little for the steps that tell, 5 reads, to be lost.
    """
    side = min(n, p)
    reads = side / (ROWS_OF_TILES if tiles_are_faster(side) else ROWS_FOR_ONE_READ)
    return WORTH * reads if n_targets == 1 and AT_STAKE * reads >= 5 else 0.0


def affordable_steps(system: RidgeSystem) -> int | None:
    """Conjugate gradient steps for what a factor costs; None where it is too large to be made."""
    direct = gram_work(system)
    return None if direct is None else max(SPARSE_STEPS, int(direct / step_work(system)))


def gram_work(system: RidgeSystem) -> float | None:
    """Multiply-adds of the smaller Gram matrix and its factor; None: too large to be made."""
    n, p = system.view.n_samples, system.n_columns
    side = min(n, p)
    if side > LARGEST_GRAM:
        return None
    X = system.view.storage.X
    if not sparse.issparse(X):
        return n * p * side / 2 + side**3 / 6
    # entries of the Gram matrix met, were they spread evenly over the longer side
    return SPARSE_SLOWDOWN * X.nnz**2 / max(n, p) + side**3 / 6


def step_work(system: RidgeSystem) -> float:
    """Multiply-adds of a conjugate gradient step."""
    X = system.view.storage.X
    if not sparse.issparse(X):
        return 2.0 * system.view.n_samples * system.n_columns
    return 2.0 * SPARSE_SLOWDOWN * max(X.nnz, 1)
