"""The weighted, centred columns S^1/2 Z of the features that a path uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._choice.rows import centred_columns
from creg._data.design import DesignView

Float = NDArray[np.float64]
Index = NDArray[np.intp]

EPS = float(np.finfo(np.float64).eps)
# Numbers in a dense copy of columns; where there are more, rows are taken by blocks.
LARGEST = 32_000_000
BLOCK = 1_000_000
# Mean in standard deviations above which it is subtracted twice.
OFFSET = 1e3
# Numbers up to which sparse columns are made dense, and stored entries of more that pay.
DENSE = 4_000_000
SHARE = 8
# mean^2 over variance of a column above which its square loses too much as a difference.
HEAVY = 1e3


class ActiveColumns:
    """S^1/2 Z over some features, in kernel units.

    Parameters
    ----------
    view : DesignView
    features : (u,) intp
        In ascending order, none of them constant.
    gram : (n_features, n_features), optional
        Z'SZ of all features, where it is at hand.
    """

    def __init__(self, view: DesignView, features: Index, gram: Float | None = None) -> None:
        self.view, self.features, self._known = view, features, gram
        self.n, self.u = view.n_samples, len(features)
        self.mean, self.scale = view.mean[features], view.scale[features]
        self.root = None if view.weights is None else np.sqrt(view.weights)

    @cached_property
    def tolerance(self) -> float:
        """What is left of a column, relatively, where rounding of X explains it."""
        return min(EPS * max(self.n, self.u) * (1 + self._offset), 1e-2)

    @cached_property
    def _offset(self) -> float:
        """The largest mean in units of standard deviations."""
        spread = np.sqrt(self.view.norm2[self.features] / self.view.sum_weights)
        return float(np.max(np.abs(self.mean) * self.scale / spread, initial=0.0))

    @property
    def is_small(self) -> bool:
        """Whether a dense copy of them is."""
        return self.n * self.u <= LARGEST

    @cached_property
    def _stored(self) -> Any:
        """These columns of X: of sparse X by rows, of dense X all of them."""
        X = self.view.storage.X
        return sparse.csr_array(X[:, self.features]) if sparse.issparse(X) else X

    @cached_property
    def whole(self) -> Float:
        """(n, u), Fortran-ordered, centred once more where rounding left something."""
        Z = self._rows(0, self.n)
        if self.view.centred and self._offset > OFFSET:
            e = np.ones(self.n) if self.root is None else self.root
            Z -= np.outer(e, (e / (e @ e)) @ Z)
        return Z

    def blocks(self) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows)."""
        step = max(BLOCK // max(self.u, 1), 64)
        for start in range(0, self.n, step):
            stop = min(start + step, self.n)
            rows = self.whole[start:stop] if self.is_small else self._rows(start, stop)
            yield start, stop, rows

    def for_one_pass(self) -> Callable[[int, int], Float]:
        """The rows from start to stop; no copy of all is made for a further pass."""
        if self.is_small and ("whole" in self.__dict__ or self._offset > OFFSET):
            whole = self.whole
            return lambda start, stop: whole[start:stop]
        return self._rows

    def _rows(self, start: int, stop: int) -> Float:
        view, stored = self.view, self._stored
        if sparse.issparse(stored):
            part = np.asfortranarray(stored[start:stop].toarray(), dtype=np.float64)
        elif view.storage.is_row_layout:
            part = np.asfortranarray(stored[start:stop, self.features], dtype=np.float64)
        else:
            return centred_columns(
                view.storage, self.features, view.mean, view.scale, self.root, start, stop
            )
        part -= self.mean
        part *= self.scale
        if self.root is not None:
            part *= self.root[start:stop, None]
        return part

    def weighted(self, v: Float) -> Float:
        """S^1/2 v."""
        return v if self.root is None else self.root * v

    @cached_property
    def gram(self) -> Float:
        """Z'SZ, (u, u)."""
        if self._known is not None:
            return self._known[np.ix_(self.features, self.features)]
        return self.gram_of(None)

    def gram_of(self, M: Float | None) -> Float:
        """M'Z'SZM; M = I where it is None."""
        total = np.zeros((self.u, self.u))
        for _, _, rows in self.blocks():
            part = rows.T if M is None else M.T @ rows.T
            total += part @ part.T
        return total

    def products(self, X: Float) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows of S^1/2 Z X), X (u, k) or (u,)."""
        for start, stop, rows in self.blocks():
            yield start, stop, (X.T @ rows.T).T

    def product(self, v: Float) -> Float:
        """S^1/2 Z v, (n,) or (n, k)."""
        out = np.empty((self.n, *v.shape[1:]))
        for start, stop, rows in self.products(v):
            out[start:stop] = rows
        return out

    def correlations(self, r: Float) -> Float:
        """Z'S^1/2 r, (u,)."""
        total = np.zeros(self.u)
        for start, stop, rows in self.blocks():
            total += rows.T @ r[start:stop]
        return total

    @cached_property
    def sparse(self) -> SparseColumns | None:
        """The same without dense rows, where that pays and loses nothing."""
        stored = self._stored
        if not sparse.issparse(stored) or self.n * self.u <= DENSE:
            return None
        spread = self.view.norm2[self.features] / self.view.sum_weights
        if SHARE * stored.nnz > self.n * self.u or np.any(
            np.square(self.mean * self.scale) > HEAVY * spread
        ):
            return None
        return SparseColumns(self)


class SparseColumns:
    """S^1/2 Z = B - e m', B sparse; e = S^1/2 1 and m the means where the view is centred."""

    def __init__(self, columns: ActiveColumns) -> None:
        B = sparse.csr_array(columns._stored, dtype=np.float64, copy=True)
        per_row = np.diff(B.indptr)
        B.data *= columns.scale[B.indices]
        if columns.root is not None:
            B.data *= np.repeat(columns.root, per_row)
        self.B, self._columns, self._transposed = B, B.tocsc(), B.T.tocsr()
        self.n, self.u = B.shape
        self.m = columns.mean * columns.scale
        self.e = np.ones(self.n) if columns.root is None else columns.root
        self._total = float(self.e @ self.e)

    def gram(self, which: Index) -> Float:
        """Z'SZ_E, (u, len(which))."""
        G = np.asarray((self._transposed @ self._columns[:, which]).toarray())
        G -= np.outer(self._total * self.m, self.m[which])
        return G

    def products(self, X: Float) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows of S^1/2 Z X), X (u, k)."""
        X = np.ascontiguousarray(X)
        at_means = self.m @ X
        step = max(BLOCK // max(X.shape[1], 1), 64)
        for start in range(0, self.n, step):
            stop = min(start + step, self.n)
            rows = self.B[start:stop] @ X
            rows -= self.e[start:stop, None] * at_means
            yield start, stop, rows

    def product(self, v: Float) -> Float:
        """S^1/2 Z v, (n,)."""
        return np.asarray(self.B @ v - self.e * (self.m @ v))

    def correlations(self, r: Float) -> Float:
        """Z'S^1/2 r, (u,) or (u, k)."""
        return np.asarray(self._transposed @ r - np.multiply.outer(self.m, self.e @ r))

    def quadratic_forms(self, which: Index, H: Float) -> Float:
        """z_i'H z_i over some columns, (n,), H symmetric."""
        B = self._columns[:, which].tocsr()
        m, e = self.m[which], self.e
        Hm = H @ m
        out = np.square(e) * float(m @ Hm) - 2.0 * e * (B @ Hm)
        counts = np.diff(B.indptr).astype(np.intp)
        ends = np.cumsum(counts * counts)
        start = 0
        while start < self.n:
            before = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, before + BLOCK, side="right")), start + 1)
            out[start:stop] += _pairs(B[start:stop], H)
            start = stop
        return out


def _pairs(B: sparse.csr_array, H: Float) -> Float:
    """b_i'H b_i from all pairs of entries of each row."""
    counts = np.diff(B.indptr)
    per_entry = np.repeat(counts, counts)
    first = np.repeat(np.arange(B.nnz), per_entry)
    begin = np.repeat(B.indptr[:-1], counts)
    ends = np.cumsum(per_entry)
    second = np.arange(len(first)) - np.repeat(ends - per_entry - begin, per_entry)
    values = B.data[first] * B.data[second] * H[B.indices[first], B.indices[second]]
    rows = np.repeat(np.arange(B.shape[0]), counts * counts)
    return np.asarray(np.bincount(rows, values, B.shape[0]), dtype=np.float64)
