"""A basis of sparse columns by their inner products alone.

    c = W'Z_A'S Z_E ,  S_E = Z_E'S Z_E - c'c = T'T ,   new columns of W:  (I_E - W c) T^-1

loses about eps ||W||^2; beyond some of that, what the new directions have in common with the old
ones, and their squares, are taken from the rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import lapack

from creg._choice.basis import EPS, Basis
from creg._choice.columns import SparseColumns

Float = NDArray[np.float64]
Index = NDArray[np.intp]

# eps ||W||^2 up to which inner products serve alone.
TRUSTED = 1e-11
# Columns whose rows are dense at a time.
AT_ONCE = 64


class SparseBasis(Basis):
    """Of sparse columns; directions are combinations of all of them, (u, k).

    Parameters
    ----------
    columns : SparseColumns
    tolerance, most
        As for `Basis`.
    """

    def __init__(self, columns: SparseColumns, tolerance: float, most: int) -> None:
        super().__init__(np.empty((0, columns.u)), tolerance, most, most)
        self._columns = columns

    def _append(self, columns: Index) -> Float:
        G = self._columns.gram(columns)
        old = self.members
        c = self.correlation(G[old], old)
        S = G[columns] - c.T @ c
        T, info = lapack.dpotrf(S, clean=1)
        added = 1.0 / np.square(T.diagonal()) if info == 0 else np.inf
        if EPS * (self._norm2 + np.sum(added)) > TRUSTED:
            return self._carefully(old, columns)
        return self._taken(columns, -c, T)

    def _carefully(self, old: Index, columns: Index) -> Float:
        """With rows, AT_ONCE columns at a time."""
        parts = []
        for start in range(0, len(columns), AT_ONCE):
            parts.append(self._by_rows(old, columns[start : start + AT_ONCE]))
            old = self.members
        return np.hstack(parts)

    def _by_rows(self, old: Index, columns: Index) -> Float:
        k = len(columns)
        c = np.zeros((self.rank, k))
        X = np.zeros((self._columns.u, k))
        X[columns, np.arange(k)] = 1.0
        E = self._rows(X)
        for _ in range(3):
            c -= self.correlation(self._columns.correlations(E)[old], old)
            X[old] = self.combination(c, old)
            E = self._rows(X)
        _, R, order = linalg.qr(E, mode="economic", pivoting=True, check_finite=False)
        rank = int(np.count_nonzero(np.abs(R.diagonal()) > self.tolerance))
        chosen = order[:rank]
        self._dependent[columns] = True
        return self._taken(columns[chosen], c[:, chosen], R[:rank, :rank])

    def _rows(self, X: Float) -> Float:
        E = np.empty((self._columns.n, X.shape[1]), order="F")
        for start, stop, rows in self._columns.products(X):
            E[start:stop] = rows
        return E

    def _taken(self, columns: Index, c: Float, T: Float) -> Float:
        """Columns with W_new = (I + W c) T^-1, as combinations."""
        self._accept(columns, np.empty((0, len(columns))), c, T)
        end = self._first + self.rank
        return self._over_features(self._both[:, end - len(columns) : end], self.members)

    def _over_features(self, W: Float, active: Index) -> Float:
        X = np.zeros((self._columns.u, W.shape[1]))
        X[active] = W[self._slot[active]]
        return X

    def _delete(self, columns: Index) -> Float:
        active = self.members
        slots = self._slot[active]
        gone = self._turn(columns)
        X = np.zeros((self._columns.u, gone.shape[1]))
        X[active] = gone[slots]
        self._drop(columns)
        return X
