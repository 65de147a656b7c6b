"""The supports of a path: which features, and what changes from one to the next."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from creg._problem import L1Problem
from creg._solution import Solutions

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Supports:
    """From the columns of a CSC array.

    Parameters
    ----------
    indptr, indices : ndarray
    by_entry : bool
        In the order in which features enter.

    Attributes
    ----------
    features : (u,) intp
        Those in any support, ascending, or by their first entry.
    masks : (n, u) bool
    entering, leaving : lists of n arrays
        Positions among `features`; before the first there is nothing.
    """

    def __init__(self, indptr: Index, indices: Index, *, by_entry: bool = False) -> None:
        count = len(indptr) - 1
        self.features, where = np.unique(indices, return_inverse=True)
        self.masks = np.zeros((count, len(self.features)), dtype=bool)
        self.masks[np.repeat(np.arange(count), np.diff(indptr)), where.ravel()] = True
        if by_entry:
            order = np.argsort(self.masks.argmax(axis=0), kind="stable")
            self.features, self.masks = self.features[order], self.masks[:, order]
        before = np.zeros_like(self.masks)
        before[1:] = self.masks[:-1]
        self.entering = _by_row(self.masks > before)
        self.leaving = _by_row(before > self.masks)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def most(self) -> int:
        """The size of the largest."""
        return int(self.masks.sum(axis=1).max(initial=0))

    @classmethod
    def of(cls, solutions: Solutions) -> Supports:
        """All nonzero coefficients."""
        return cls(solutions.indptr, solutions.indices)

    @classmethod
    def free(cls, problem: L1Problem, solutions: Solutions, *, by_entry: bool = False) -> Supports:
        """Those that are not at a bound."""
        indices, values, penalty = solutions.indices, solutions.values, problem.penalty
        lower, upper = (
            bound if isinstance(bound, float) else bound[indices]
            for bound in (penalty.lower, penalty.upper)
        )
        inside = (values > lower) & (values < upper)
        ends = np.concatenate([[0], np.cumsum(inside)])[solutions.indptr]
        return cls(ends, indices[inside], by_entry=by_entry)


def _by_row(mask: Mask) -> list[Index]:
    rows, columns = np.nonzero(mask)
    ends = np.searchsorted(rows, np.arange(len(mask) + 1))
    return [columns[start:stop] for start, stop in pairwise(ends.tolist())]
