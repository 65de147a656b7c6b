"""The penalised columns of a ridge problem in units of their penalty.

    A = P S^1/2 Z diag(smallest / sigma),   lambda_k the eigenvalues of A'A,
    alpha in kernel units = alpha smallest^2,

over the rows of positive weight, where P projects off what is free: the intercept (S^1/2 1) and
columns without a penalty.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.linalg import blas

from creg._data.statistics import cross
from creg._data.threads import parallel, pieces, single_blas
from creg._ridge.spectrum import are_apart
from creg._ridge.system import RidgeSystem

Float = NDArray[np.float64]
T = TypeVar("T")

BLOCK_BYTES = 2_000_000
ALPHA_RANGE = (1e-250, 1e250)
MANY = 4  # vectors from which BLAS-3 multiplies blocks of dense rows
HEAVY = 100  # W mean^2 over ||z||^2 above which sparse columns are not centred by algebra


class Penalised:
    """A without being made, by blocks of rows or of columns.

    Parameters
    ----------
    system : RidgeSystem

    Attributes
    ----------
    which, free : intp arrays
        Penalised and unpenalised columns, as positions among those that take part.
    used : (n,) intp or None
        Rows of positive weight; None: all.
    basis : (n, q)
        Orthonormal, of the span of what is free, over the rows used.
    log_determinant : float
        log det M'SM, M = [1, the independent unpenalised columns of X].
    """

    def __init__(self, system: RidgeSystem) -> None:
        self.system = system
        self.which = np.flatnonzero(system.sigma > 0)
        self.free = np.flatnonzero(system.sigma == 0)
        sigma = system.sigma[self.which]
        self.smallest = float(sigma.min()) if sigma.size else 1.0
        self.ratio = self.smallest / sigma
        root = system.root_weights
        unused = root is not None and not root.all()
        self.used = np.flatnonzero(root) if unused and root is not None else None
        self.n = system.view.n_samples if self.used is None else int(self.used.size)
        self.k = int(self.which.size)
        self._root = root if root is None or self.used is None else root[self.used]
        self._find_basis()
        self._by_rows: sparse.csr_array | None = None
        self._dense_rows = False

    @property
    def n_free_columns(self) -> int:
        """Independent unpenalised columns, the intercept not counted."""
        return self.basis.shape[1] - self.system.view.centred

    @property
    def n_left(self) -> int:
        """Directions of the target that the free columns do not explain."""
        return self.n - self.basis.shape[1]

    @property
    def is_apart(self) -> bool:
        """Whether columns differ so much in size that plain singular values lose the small ones."""
        return are_apart(self.system.sigma[self.which])

    @property
    def is_wide(self) -> bool:
        """Whether the rows are the smaller side."""
        return self.n_left <= self.k

    def in_kernel_units(self, alphas: Float) -> Float:
        """alpha smallest^2, without overflow."""
        return np.clip((alphas * self.smallest) * self.smallest, *ALPHA_RANGE)

    def in_user_units(self, alphas: Float) -> Float:
        """The other way round."""
        with np.errstate(over="ignore", under="ignore"):
            return np.clip((alphas / self.smallest) / self.smallest, 1e-300, 1e300)

    def weighted(self, Y: Float) -> Float:
        """S^1/2 Y over the rows used, (n, t), new."""
        part = Y.copy(order="F") if self.used is None else np.asfortranarray(Y[self.used])
        if self._root is not None:
            part *= self._root[:, None]
        return part

    def off(self, R: Float) -> Float:
        """P R, over R."""
        if self.free.size:
            for _ in range(2):
                R -= self.basis @ (self.basis.T @ R)
        return R

    def targets(self, Y: Float) -> Float:
        """P S^1/2 Y, (n, t), new."""
        return self.off(self.weighted(Y))

    def unweighted(self, R: Float) -> Float:
        """S^-1/2 R over all rows, 0 in those not used."""
        if self._root is not None:
            R = R / self._root[:, None]
        if self.used is None:
            return R
        full = np.zeros((self.system.view.n_samples, R.shape[1]), order="F")
        full[self.used] = R
        return full

    def product(self, W: Float) -> Float:
        """A W, (n, t)."""
        if W.shape[1] < MANY or sparse.issparse(self.system.view.storage.X):
            return self.off(self.weighted(self.system.product(self.spread(W))))
        out = np.empty((self.n, W.shape[1]), order="F")
        rotation = self.rotated(W)

        def task(start: int, stop: int) -> None:
            out[start:stop] = self.times(start, stop, *rotation)

        self.over_rows(self.k, task)
        return out

    def correlations(self, R: Float) -> Float:
        """A'R, (k, t), for R that P leaves as it is."""
        system = self.system
        if R.shape[1] < MANY or sparse.issparse(system.view.storage.X):
            return self.ratio[:, None] * system.correlations(self.unweighted(R))[self.which]
        full = cross(system.view, self.unweighted(R), system.n_threads)
        return self.ratio[:, None] * full[system.columns[self.which]]

    def spread(self, W: Float) -> Float:
        """Coefficients of A as those of all columns that take part, new."""
        full = np.zeros((self.system.n_columns, W.shape[1]), order="F")
        full[self.which] = self.ratio[:, None] * W
        return full

    def free_coefficients(self, W: Float, Y: Float) -> None:
        """Fit the unpenalised columns to what the others leave of Y, into W (n_columns, t)."""
        if not self.free.size:
            return
        columns = self._free_columns()
        norms = np.linalg.norm(columns, axis=0)[:, None]
        for _ in range(2):
            rest = self.weighted(Y - self.system.product(W))
            W[self.free] += np.linalg.lstsq(columns / norms.T, rest)[0] / norms

    def row_blocks(self, width: int) -> list[tuple[int, int]]:
        """A partition of the rows used, for blocks of `width` numbers a row."""
        rows = max(64, BLOCK_BYTES // (8 * max(width, 1)) // 64 * 64)
        return pieces(self.n, -(-self.n // rows), 64)

    def times(self, start: int, stop: int, M: Float, free_part: Float) -> Float:
        """Rows start to stop of A Q, for M = diag(scale ratio) Q and free_part = basis'A0 Q."""
        system, root = self.system, self._root
        mean = system.view.mean[system.columns[self.which]]
        X = self._stored_rows(start, stop)
        if sparse.issparse(X) and not self._dense_rows:
            out = X @ M - mean @ M
        else:
            if sparse.issparse(X):
                X = X.toarray()
            out = np.subtract(X, mean, dtype=np.float64) @ M
        if root is not None:
            out *= root[start:stop, None]
        if self.free.size:
            out -= self.basis[start:stop] @ free_part
        return np.asarray(out)

    def rotated(self, Q: Float) -> tuple[Float, Float]:
        """What `times` needs of Q (k, r)."""
        scales = self.system.scale[self.which] * self.ratio
        return np.ascontiguousarray(scales[:, None] * Q), self.free_part @ Q

    def rows(self, start: int, stop: int) -> Float:
        """Rows start to stop of A, new."""
        part = self._rows(start, stop)
        if self.free.size:
            part -= self.basis[start:stop] @ self.free_part
        return part

    def _rows(self, start: int, stop: int) -> Float:
        system = self.system
        columns = system.columns[self.which]
        X = self._stored_rows(start, stop)
        part = np.array(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)
        part -= system.view.mean[columns]
        part *= system.scale[self.which]
        part *= self.ratio
        if self._root is not None:
            part *= self._root[start:stop, None]
        return part

    @cached_property
    def free_part(self) -> Float:
        """basis'A0, (q, k), A0 before the projection; empty where P does nothing to A0."""
        if not self.free.size:
            return np.zeros((0, self.k))
        R = self.unweighted(self.basis)
        view = self.system.view
        # in two steps, so that what rounding left of the first is seen by the second
        full = view.correlations_of(R, self.system.n_threads)
        part = full[self.system.columns[self.which]] * self.ratio[:, None]
        rest = np.zeros_like(part)
        for start, stop in self.row_blocks(self.k):
            block = self._rows(start, stop)
            block -= self.basis[start:stop] @ part.T
            rest += block.T @ self.basis[start:stop]
        return np.ascontiguousarray((part + rest).T)

    def gram(self) -> Float:
        """A'A by blocks of rows, (k, k), full: where `free` is not empty."""
        out = np.zeros((self.k, self.k), order="F")
        for start, stop in self.row_blocks(self.k):
            block = self.rows(start, stop)
            # the upper triangle of B'B, B in whatever order it is
            by_columns = block.flags.f_contiguous
            out = blas.dsyrk(
                1.0, block if by_columns else block.T, trans=int(by_columns), beta=1.0, c=out,
                overwrite_c=1,
            )  # fmt: skip
        out += np.triu(out, 1).T
        return out

    def column_blocks(self) -> Iterator[Float]:
        """All columns of A before the projection, (n, some), new, by blocks."""
        step = max(32, BLOCK_BYTES // (8 * self.n))
        for start in range(0, self.k, step):
            block = self.system.dense_columns(self.which[start : start + step])
            if self.used is not None:
                block = block[self.used]
            block *= self.ratio[start : start + step]
            yield block

    def _stored_rows(self, start: int, stop: int) -> Any:
        """X in those rows used and the penalised columns, as it is stored."""
        X = self.system.view.storage.X
        if sparse.issparse(X):
            X = self._sparse_rows()
        part = X[start:stop] if self.used is None else X[self.used[start:stop]]
        if self.k == self.system.view.n_features:
            return part
        return part[:, self.system.columns[self.which]]

    def over_rows(self, width: int, task: Callable[[int, int], T]) -> list[T]:
        """task(start, stop) for all blocks of rows used, `width` numbers a row, in order."""
        if sparse.issparse(self.system.view.storage.X):
            self._sparse_rows()  # made once, before threads ask for it
        tasks = [partial(task, *ends) for ends in self.row_blocks(width)]
        n_threads = self.system.n_threads
        with single_blas() if n_threads > 1 and len(tasks) > 1 else nullcontext():
            return parallel(tasks, n_threads)

    def _sparse_rows(self) -> sparse.csr_array:
        if self._by_rows is None:
            self._by_rows = sparse.csr_array(self.system.view.storage.X)
            view = self.system.view
            heavy = view.sum_weights * np.square(view.mean * view.scale) > HEAVY * view.norm2
            self._dense_rows = bool(np.any(heavy[self.system.columns[self.which]]))
        return self._by_rows

    def _free_columns(self) -> Float:
        columns = self.system.dense_columns(self.free)
        return columns if self.used is None else columns[self.used]

    def _find_basis(self) -> None:
        view = self.system.view
        root = np.ones(self.n) if self._root is None else self._root
        total = float(root @ root)
        directions = np.zeros((self.n, 0))
        self.log_determinant = 0.0
        if view.centred:
            directions = (root / np.sqrt(total))[:, None]
            self.log_determinant = float(np.log(total))
        self.basis = directions
        if not self.free.size:
            return
        columns = self._free_columns()
        for _ in range(2):
            columns -= directions @ (directions.T @ columns)
        norms = np.linalg.norm(columns, axis=0)
        norms[norms == 0] = 1.0
        Q, R, pivots = scipy.linalg.qr(
            columns / norms, mode="economic", pivoting=True, check_finite=False
        )
        diagonal = np.abs(np.diag(R))
        rank = int(np.count_nonzero(diagonal > self.system.rank_tolerance() * diagonal[:1].sum()))
        chosen = pivots[:rank]
        lengths = diagonal[:rank] * norms[chosen] / self.system.scale[self.free[chosen]]
        self.log_determinant += 2 * float(np.log(lengths).sum())
        self.basis = np.hstack([directions, Q[:, :rank]])
