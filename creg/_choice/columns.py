"""The weighted, centred columns S^1/2 Z of the features that a path uses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from creg._data.design import DesignView

Float = NDArray[np.float64]
Index = NDArray[np.intp]

EPS = float(np.finfo(np.float64).eps)
# Numbers in a dense copy of columns; where there are more, rows are taken by blocks.
LARGEST = 32_000_000
BLOCK = 1_000_000


class ActiveColumns:
    """S^1/2 Z over some features, in kernel units.

    Parameters
    ----------
    view : DesignView
    features : (u,) intp
        In ascending order, none of them constant.
    """

    def __init__(self, view: DesignView, features: Index) -> None:
        self.view, self.features = view, features
        self.n, self.u = view.n_samples, len(features)
        self.mean, self.scale = view.mean[features], view.scale[features]
        self.root = None if view.weights is None else np.sqrt(view.weights)

    @cached_property
    def tolerance(self) -> float:
        """What is left of a column, relatively, where rounding of X explains it."""
        if not self.u:
            return EPS
        spread = np.sqrt(self.view.norm2[self.features] / self.view.sum_weights)
        worst = float(np.max(np.abs(self.mean) * self.scale / spread))
        return min(EPS * max(self.n, self.u) * (1 + worst), 1e-2)

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
        """(n, u), Fortran-ordered, centred once more of what rounding left."""
        Z = self._rows(0, self.n)
        if self.view.centred and self.u:
            e = np.ones(self.n) if self.root is None else self.root
            Z -= np.outer(e, (e / (e @ e)) @ Z)
        return Z

    def blocks(self) -> Iterator[tuple[int, int, Float]]:
        """(start, stop, rows)."""
        if self.is_small:
            step = max(BLOCK // max(self.u, 1), 64)
            for start in range(0, self.n, step):
                stop = min(start + step, self.n)
                yield start, stop, self.whole[start:stop]
            return
        step = max(BLOCK // self.u, 64)
        for start in range(0, self.n, step):
            stop = min(start + step, self.n)
            yield start, stop, self._rows(start, stop)

    def _rows(self, start: int, stop: int) -> Float:
        stored = self._stored
        if sparse.issparse(stored):
            part = np.asfortranarray(stored[start:stop].toarray(), dtype=np.float64)
        else:
            # the rows of the transpose: whole columns where X lies in columns
            part = np.asarray(stored[start:stop].T[self.features], np.float64).T
            part = np.asfortranarray(part)
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
        total = np.zeros((self.u, self.u))
        for _, _, rows in self.blocks():
            total += rows.T @ rows
        return total
