"""Means, squares and centred products from the sums B'B of some rows (tall.py)."""

import numpy as np

from creg._data.blocks import centred_in_place
from creg._data.moments import Moments

cdef double SMALL = 1e-200  # squares between these lost nothing to underflow or overflow
cdef double LARGE = 1e200


cdef class Sums:
    """C = B'B of rows whose weights sum to `total`.

    Parameters
    ----------
    C : ndarray of shape (p + 2, p + 2), or (p + 1, p + 1) if not centred
        The upper triangle is read.
    shift, unit : ndarray of shape (p,)
    total : float
    centre : bool
    """

    cdef double[:, ::1] C
    cdef const double[::1] unit
    cdef double[::1] d, squares  # C_1X / W; ||unit_j (x_j - mean_j)||^2
    cdef double total
    cdef bint centre
    cdef readonly object means

    def __init__(self, double[:, ::1] C, const double[::1] shift, const double[::1] unit,
                 double total, bint centre):
        cdef Py_ssize_t j, p = shift.shape[0]
        cdef double[::1] means = np.empty(p)
        self.C, self.unit, self.total, self.centre = C, unit, total, centre
        self.d, self.squares, self.means = np.empty(p), np.empty(p), means.base
        for j in range(p):
            self.d[j] = C[j, p + 1] / total if centre else 0.0
            self.squares[j] = C[j, j] - total * self.d[j] * self.d[j]
            means[j] = shift[j] + self.d[j] / unit[j]

    def doubtful(self, double heavy):
        """The columns of which centring takes more than `heavy` times what it leaves, or that are
        out of range; a list."""
        cdef Py_ssize_t j
        return [j for j in range(self.unit.shape[0]) if self._is_doubtful(j, heavy)]

    cdef bint _is_doubtful(self, Py_ssize_t j, double heavy) noexcept nogil:
        cdef double square = self.squares[j]
        return self.total * self.d[j] * self.d[j] > heavy * square or (
            self.C[j, j] > 0.0 and not SMALL < square < LARGE)

    def hold(self, Py_ssize_t j, double value):
        """A column is known to be constant."""
        self.C.base[j, :] = self.C.base[:, j] = self.d[j] = self.squares[j] = 0.0
        self.means[j] = value

    def products(self):
        """Moments, Z'SZ and Z'Sy in kernel units; C is written over."""
        cdef Py_ssize_t j, p = self.unit.shape[0]
        cdef double[:, ::1] G
        cdef double[::1] factor = np.zeros(p), cross = np.empty(p)
        moments = Moments.of_sums(self.means, self.squares.base, self.unit.base, self.total)
        cdef const double[::1] scale = moments.scale, norm2 = moments.norm2
        for j in range(p):
            if norm2[j] > 0.0:
                factor[j] = scale[j] / self.unit[j]
            cross[j] = self.C[j, p] * factor[j]
            if self.centre:
                cross[j] -= self.d[j] * factor[j] * self.C[p, p + 1]
        G = centred_in_place(self.C.base, p, self.total, self.d.base, factor.base)
        for j in range(p):
            G[j, j] = norm2[j]
        return moments, G.base, cross.base
