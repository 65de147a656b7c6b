"""Where the columns of a support are worked with: their rows, or fewer coordinates.

Of tall columns Z_U = Q_U R_U is found once, R_U from the squares where these are good enough:

    Z'SZ = T'T ,    C = Z_U T^-1 ,  C'C = D'D :    R = D T ,   Q_U v = Z_U (R^-1 v) ,

the second step where the first lost something.  Directions v in the span of R then serve for
all rows at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from creg._choice.basis import Basis
from creg._choice.columns import EPS, ActiveColumns, SparseColumns
from creg._choice.sparse_basis import SparseBasis

Float = NDArray[np.float64]
Index = NDArray[np.intp]

# eps cond^2 up to which one Cholesky factor will do, and with which the second still mends it.
SQUARED = 1e-8
MENDED = 1e-2
# eps cond above which rows are worked with.
WORST = 1e-10


def projected(
    columns: ActiveColumns | SparseColumns, back: Float, eta: Float
) -> tuple[Float, float]:
    """Q'eta with Q = Z back, refined once, and the square of what it leaves of eta."""
    v, left = np.zeros(back.shape[1]), eta
    for _ in range(2):
        change = back.T @ columns.correlations(left)
        v += change
        left = left - columns.product(back @ change)
    return v, float(left @ left)


@dataclass(frozen=True)
class Coordinates:
    """Z_U = Q_U Z with orthonormal Q_U.

    Attributes
    ----------
    columns : ActiveColumns
    Z : (r, u)
    back : (u, r) or None
        Q_U = Z_U back; None where Q_U = I.
    """

    columns: ActiveColumns
    Z: Float
    back: Float | None

    def basis(self, most: int) -> Basis:
        """For up to that many active columns."""
        return Basis(self.Z, self.columns.tolerance, most)

    @property
    def direct(self) -> bool:
        """Whether coordinates are rows."""
        return self.back is None

    def products(self, directions: Float) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows) of directions given by coordinates."""
        assert self.back is not None
        return self.columns.products(self.back @ directions)

    def squares(self, directions: Float, weights: Float) -> Float:
        """sum_k weights_k q_ik^2 of directions, (n,)."""
        if self.direct:
            return np.asarray(np.square(directions) @ weights)
        out = np.empty(self.columns.n)
        for start, stop, rows in self.products(directions):
            out[start:stop] = np.square(rows) @ weights
        return out

    def residual(self, target: Float, at: Index, u: Float) -> Float:
        """target - Z_A u."""
        return np.asarray(target - self.Z[:, at] @ u)

    def projected(self, basis: Basis, r: Float) -> Float:
        """Q'r."""
        return np.asarray(basis.Q.T @ r)

    def shortest(self, target: Float, at: Index, unit: Float, rank: int) -> Float:
        """The least-squares u with the smallest ||unit u||."""
        U, d, Vt = np.linalg.svd(self.Z[:, at] / unit, full_matrices=False)
        return np.asarray(Vt[:rank].T @ ((U[:, :rank].T @ target) / d[:rank])) / unit

    def target(self, eta: Float) -> tuple[Float, float]:
        """Q_U'eta and the square of what it leaves of eta."""
        if self.back is None:
            return eta, 0.0
        return projected(self.columns, self.back, eta)


@dataclass(frozen=True)
class Entries:
    """Sparse columns, of which only inner products are taken; directions are combinations X.

    Attributes
    ----------
    columns : ActiveColumns
    sparse : SparseColumns
    """

    columns: ActiveColumns
    sparse: SparseColumns
    direct = False

    def basis(self, most: int) -> Basis:
        """For up to that many active columns."""
        return SparseBasis(self.sparse, self.columns.tolerance, most)

    def products(self, directions: Float) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows)."""
        return self.sparse.products(directions)

    def target(self, eta: Float) -> tuple[Float, float]:
        """It stays as it is."""
        return eta, 0.0

    def residual(self, target: Float, at: Index, u: Float) -> Float:
        """target - Z_A u."""
        full = np.zeros(self.sparse.u)
        full[at] = u
        return target - self.sparse.product(full)

    def projected(self, basis: Basis, r: Float) -> Float:
        """Q'r = W'Z_A'r."""
        at = basis.members
        return basis.correlation(self.sparse.correlations(r)[at], at)

    def shortest(self, target: Float, at: Index, unit: Float, rank: int) -> Float:
        """The least-squares u with the smallest ||unit u||, by Z_A'S Z_A and refined once."""
        G = self.sparse.gram(at)[at] / unit / unit[:, None]
        values, V = np.linalg.eigh(G)
        values, V = values[len(at) - rank :], V[:, len(at) - rank :]
        u = np.zeros(len(at))
        for _ in range(2):
            c = self.sparse.correlations(self.residual(target, at, u))[at] / unit
            u += V @ ((V.T @ c) / values) / unit
        return u


def coordinates(columns: ActiveColumns) -> Coordinates | Entries:
    """The cheapest that are exact enough."""
    if columns.sparse is not None:
        return Entries(columns, columns.sparse)
    if columns.n > 2 * columns.u > 0:
        found = _triangle(columns)
        if found is not None:
            return Coordinates(columns, *found)
        if not columns.is_small:
            return Coordinates(columns, *pivoted_triangle(columns))
    return Coordinates(columns, columns.whole, None)


def _triangle(columns: ActiveColumns) -> tuple[Float, Float] | None:
    """R and R^-1; None where the columns are too close to dependent."""
    T, info = lapack.dpotrf(columns.gram, clean=1)
    if info != 0:
        return None
    inverse, _ = lapack.dtrtri(T)
    cond = float(np.linalg.norm(T) * np.linalg.norm(inverse))
    if EPS * cond * cond <= SQUARED:
        return T, inverse
    if EPS * cond * cond > MENDED or EPS * cond > WORST:
        return None
    D, info = lapack.dpotrf(columns.gram_of(inverse), clean=1)
    if info != 0:
        return None
    again, _ = lapack.dtrtri(D)
    return D @ T, inverse @ again


def pivoted_triangle(columns: ActiveColumns) -> tuple[Float, Float]:
    """R and R^+ of columns that may depend on each other, by blocks of rows."""
    R = np.empty((0, columns.u))
    for _, _, rows in columns.blocks():
        R = np.asarray(np.linalg.qr(np.vstack([R, rows]), mode="r"))
    Q, T, order = linalg.qr(R, mode="economic", pivoting=True, check_finite=False)
    rank = int(np.count_nonzero(np.abs(T.diagonal()) > columns.tolerance))
    back = np.zeros((columns.u, rank))
    if rank:
        back[order[:rank]] = lapack.dtrtri(T[:rank, :rank])[0]
    return Q[:, :rank].T @ R, back
