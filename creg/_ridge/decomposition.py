"""One decomposition of the smaller side of A (penalised.py), for all alphas.

    tall:  A'A = Q diag(lambda) Q',   d_k = u_k'eta = (A Q)_k'eta / sqrt(lambda_k)
    wide:  A A' = U diag(lambda) U',  d_k = u_k'eta, free directions removed by reflections

with eta = P S^1/2 (y - mean).  Eigenvalues of a Gram matrix are good to eps lambda_1; where the
smallest alpha needs more than that, they are squares of singular values: of R, A = (orthonormal) R,
made by blocks of rows (tall), or of the reflected A', by blocks of columns (wide).
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import lapack

from creg._data.blocks import Blocks, mirrored
from creg._data.statistics import gram, outer_gram
from creg._ridge.penalised import Penalised
from creg._ridge.system import EPS

Float = NDArray[np.float64]
Members = NDArray[np.intp] | list[int] | slice
Choose = Callable[[Float], Float]  # eigenvalues to alphas, in kernel units

RESOLVED = 1e-8  # relative error of lambda_r + alpha with which a Gram matrix is good enough
REFINE_BELOW = 1e-4  # (lambda_r + alpha) / lambda_1 above which the first solution stands
MAX_REFINEMENTS = 3
LOST = 1e-6  # the same of (lambda_r + alpha)^1/2 from which singular values say nothing


class Decomposition:
    """A decomposition with targets.

    Attributes
    ----------
    design : Penalised
    values : (k,)
        Eigenvalues >= 0, ascending.
    coordinates : (k, t)
        u_k'eta.
    rest : (t,)
        ||eta||^2 of what the u_k do not span.
    n_rest : int
        How many directions that is.
    is_exact : bool
        Whether it is from singular values.
    """

    values: Float
    coordinates: Float
    rest: Float

    def __init__(self, design: Penalised, Y: Float, is_exact: bool) -> None:
        self.design, self.is_exact = design, is_exact
        self.Y = Y
        self.eta = design.targets(Y)

    @property
    def n_rest(self) -> int:
        return self.design.n_left - int(self.values.size)

    def resolves(self, alphas: Float) -> bool:
        """Whether the eigenvalues are exact enough for these alphas."""
        if not self.values.size:
            return True
        return bool(EPS * self.values[-1] <= RESOLVED * (self.values[0] + float(np.min(alphas))))

    def loses(self, alphas: Float) -> bool:
        """Whether columns are so far apart in size that small ones are lost at these alphas."""
        if not (self.is_exact and self.values.size and self.design.is_apart):
            return False
        smallest = float(np.sqrt(self.values[0] + np.min(alphas)))
        return bool(EPS * np.sqrt(self.values[-1]) > LOST * smallest)

    def degrees(self, alphas: Float) -> Float:
        """Effective degrees of freedom but for the intercept, (a,)."""
        shares = self.values[:, None] / (self.values[:, None] + alphas)
        return np.asarray(shares.sum(axis=0) + self.design.n_free_columns)

    def coefficients(self, alphas: Float, members: Members = slice(None)) -> Float:
        """Of A for some targets at one alpha each, or for one at several, (k, m)."""
        raise NotImplementedError

    def refined(self, alphas: Float) -> Float:
        """Coefficients of all columns that take part, (n_columns, t), at an alpha for each target.

        Corrected by residuals from X until that changes nothing.
        """
        design = self.design
        w = np.zeros((0, alphas.size))
        if self.values.size and np.min((self.values[0] + alphas) / self.values[-1]) < REFINE_BELOW:
            w = self._refine(alphas)
        elif design.k:
            w = self.coefficients(alphas)
        W = design.spread(w)
        design.free_coefficients(W, self.Y)
        return W

    def _refine(self, alphas: Float) -> Float:
        raise NotImplementedError


def decompose(
    design: Penalised, Y: Float, choose: Choose, gram_matrix: Float | None = None
) -> tuple[Decomposition, Float]:
    """A decomposition exact enough for the alphas that `choose` makes of its eigenvalues; these.

    Parameters
    ----------
    design : Penalised
    Y : (n_samples, t)
        Centred targets.
    choose : function of the eigenvalues
        Alphas in kernel units.
    gram_matrix : optional
        A'A (tall) or S^1/2 Z diag(ratio^2) Z'S^1/2 over the rows used (wide), overwritten.
    """
    make = Wide if design.is_wide else Tall
    found: Decomposition = make(design, Y, gram_matrix)
    alphas = choose(found.values)
    if not found.resolves(alphas):
        found = make(design, Y, exact=True)
        alphas = choose(found.values)
    return found, alphas


class Tall(Decomposition):
    """More rows than penalised columns."""

    def __init__(
        self, design: Penalised, Y: Float, A2: Float | None = None, exact: bool = False
    ) -> None:
        super().__init__(design, Y, exact)
        if exact:
            self._from_triangle()
        else:
            self._from_gram(A2)

    def _from_gram(self, A2: Float | None) -> None:
        design, system = self.design, self.design.system
        if not design.k:
            A2 = np.zeros((0, 0))
        elif A2 is None and design.free.size:
            A2 = design.gram()
        elif A2 is None:
            A2 = penalised_part(design, gram(system.view, system.n_threads))
        self.values, self.vectors = eigen(A2)
        # d_k is c_k / sqrt(lambda_k), lost to rounding where lambda_k is
        c = self.vectors.T @ design.correlations(self.eta)
        kept = self.values > EPS * self.values[-1:].sum()
        self.coordinates = np.zeros_like(c)
        self.coordinates[kept] = c[kept] / np.sqrt(self.values[kept, None])
        w = np.zeros_like(c)
        w[kept] = c[kept] / self.values[kept, None]
        R = self.eta - design.product(self.vectors @ w)
        self.rest = np.einsum("ij,ij->j", R, R)

    def _from_triangle(self) -> None:
        design, k = self.design, self.design.k
        width = k + self.eta.shape[1]

        def blocks() -> Iterator[Float]:
            rows = max(2 * width, 256)
            for start in range(0, design.n, rows):
                stop = min(start + rows, design.n)
                yield np.hstack([design.rows(start, stop), self.eta[start:stop]])

        R = triangle(blocks(), width)
        U, singular, Vt = svd(R[:k, :k])
        self.values, self.vectors = np.square(singular[::-1]), np.ascontiguousarray(Vt[::-1].T)
        self.coordinates = (U.T @ R[:k, k:])[::-1]
        self.rest = np.square(R[k:, k:]).sum(axis=0)

    def coefficients(self, alphas: Float, members: Members = slice(None)) -> Float:
        values = self.values[:, None]
        return self.vectors @ (np.sqrt(values) * self.coordinates[:, members] / (values + alphas))

    def _refine(self, alphas: Float) -> Float:
        w, size = self.coefficients(alphas), np.full(alphas.size, np.inf)
        for _ in range(MAX_REFINEMENTS):
            gradient = self.design.correlations(self.eta - self.design.product(w)) - alphas * w
            change = self.vectors @ ((self.vectors.T @ gradient) / (self.values[:, None] + alphas))
            size, better = smaller(change, w, size)
            w += np.where(better, change, 0.0)
            if not np.any(better & (size > 1e-12)):
                break
        return w


class Wide(Decomposition):
    """At least as many penalised columns as rows."""

    def __init__(
        self, design: Penalised, Y: Float, K: Float | None = None, exact: bool = False
    ) -> None:
        super().__init__(design, Y, exact)
        # I - Householder vectors of the basis: its first q columns span what is free
        self._reflectors = lapack.dgeqrf(design.basis) if design.basis.shape[1] else None
        self._q = design.basis.shape[1]
        if exact:
            self._from_columns()
        else:
            self._from_gram(K)
        self.coordinates = self.vectors.T @ self._reflected(self.eta)[self._q :]
        self.rest = np.zeros(Y.shape[1])

    def _from_gram(self, K: Float | None) -> None:
        if K is None:
            K = outer(self.design)
        # symmetric: its transpose is in the order that LAPACK writes over
        K = self._reflected(self._reflected(K.T, overwrite=True).T)[self._q :, self._q :]
        self.values, self.vectors = eigen(np.ascontiguousarray(K))

    def _from_columns(self) -> None:
        q, n_left = self._q, self.design.n_left
        blocks = (self._reflected(block)[q:].T for block in self.design.column_blocks())
        _, singular, Vt = svd(triangle(blocks, n_left))
        self.values, self.vectors = np.square(singular[::-1]), np.ascontiguousarray(Vt[::-1].T)

    def _reflected(self, B: Float, back: bool = False, overwrite: bool = False) -> Float:
        """H'B, or H B, H the reflections; where `overwrite` allows it, over B."""
        if self._reflectors is None:
            return B
        qr, tau = self._reflectors[:2]
        work = max(64 * B.shape[1], 1)
        trans = "N" if back else "T"
        return lapack.dormqr(
            "L", trans, qr, tau, np.asfortranarray(B), work, overwrite_c=int(overwrite)
        )[0]

    def unreflected(self, M: Float) -> Float:
        """Over the rows used, from M (k, m) over what is not free."""
        full = np.zeros((self.design.n, M.shape[1]), order="F")
        full[self._q :] = M
        return self._reflected(full, back=True, overwrite=True)

    def dual(self, alphas: Float, members: Members = slice(None)) -> Float:
        """u = U (d / (lambda + alpha)), (n, m); the coefficients are A'u."""
        values = self.values[:, None]
        return self.unreflected(self.vectors @ (self.coordinates[:, members] / (values + alphas)))

    def coefficients(self, alphas: Float, members: Members = slice(None)) -> Float:
        return self.design.correlations(self.dual(alphas, members))

    def _refine(self, alphas: Float) -> Float:
        design = self.design
        u = self.dual(alphas)
        w, size = design.correlations(u), np.full(alphas.size, np.inf)
        for _ in range(MAX_REFINEMENTS):
            R = self._reflected(self.eta - design.product(w) - alphas * u)[self._q :]
            change = self.unreflected(
                self.vectors @ ((self.vectors.T @ R) / (self.values[:, None] + alphas))
            )
            size, better = smaller(change, u, size)
            if not better.any():
                break
            u += np.where(better, change, 0.0)
            w = design.correlations(u)
            if not np.any(better & (size > 1e-12)):
                break
        return w


def smaller(change: Float, x: Float, size: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Relative sizes of corrections of x, and which have contracted."""
    length = np.linalg.norm(x, axis=0)
    length[length == 0] = 1.0
    now = np.linalg.norm(change, axis=0) / length
    better = now < size / 4
    return np.where(better, now, 0.0), better


def eigen(A: Float) -> tuple[Float, Float]:
    """Eigenvalues, ascending and >= 0, and eigenvectors of a symmetric A, which is overwritten."""
    if A.shape[0] <= 1:
        return np.maximum(A.ravel(), 0.0), np.ones_like(A)
    values, vectors = scipy.linalg.eigh(
        A.T if A.flags.c_contiguous else A, driver="evd", overwrite_a=True, check_finite=False
    )
    return np.maximum(values, 0.0), vectors


def svd(A: Float) -> tuple[Float, Float, Float]:
    """U, singular values (descending), V'."""
    try:
        return scipy.linalg.svd(A, full_matrices=False, check_finite=False)
    except np.linalg.LinAlgError:
        return scipy.linalg.svd(A, full_matrices=False, check_finite=False, lapack_driver="gesvd")


def triangle(blocks: Iterator[Float], width: int) -> Float:
    """R of a QR of the blocks of rows on top of each other, (width, width)."""
    R = np.zeros((0, width))
    for block in blocks:
        stacked = np.empty((R.shape[0] + block.shape[0], width), order="F")
        stacked[: R.shape[0]], stacked[R.shape[0] :] = R, block
        factor = lapack.dgeqrf(stacked, overwrite_a=1)[0]
        R = np.triu(factor[: min(factor.shape)])
    full = np.zeros((width, width))
    full[: R.shape[0]] = R
    return full


def penalised_part(design: Penalised, G: Float) -> Float:
    """A'A of Z'SZ, over it where that is possible."""
    if design.k < G.shape[0]:
        columns = design.system.columns[design.which]
        G = G[np.ix_(columns, columns)]
    G *= design.ratio[:, None]
    G *= design.ratio
    return G


def outer(design: Penalised) -> Float:
    """S^1/2 Z diag(ratio^2) Z'S^1/2 over the rows used, but for multiples of S^1/2 1."""
    system = design.system
    view, storage = system.view, system.view.storage
    ratio = np.zeros(view.n_features)
    ratio[system.columns[design.which]] = design.ratio
    if storage.issparse:
        K = outer_gram(view, np.square(ratio), system.n_threads)
    else:  # what rounding leaves of the means is a multiple of the intercept, and reflected away
        blocks = Blocks(storage, view.mean, view.scale * ratio, system.root_weights)
        K = mirrored(blocks.outer_gram(False, system.n_threads))
    return K if design.used is None else K[np.ix_(design.used, design.used)]
