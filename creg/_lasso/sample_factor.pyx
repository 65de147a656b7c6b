"""Solves in the space of the samples, for an elastic net with more free features than samples.

With rho_A = l2 b_A and M = sum_(k in A) z_k z_k' / b_k, which is n_samples x n_samples,

    (Z_A'Z_A + l2 B)^-1 = (B^-1 - B^-1 Z_A' (M + l2 I)^-1 Z_A B^-1) / l2

M follows the free features, and serves any l2.  Hager, "Updating the inverse of a matrix" (SIAM
Review 31, 1989).
"""

from libc.math cimport sqrt
from libc.string cimport memcpy, memset

import numpy as np

from scipy.linalg.cython_blas cimport dgemv

from creg._data cimport leaves
from creg._lasso cimport matrices
from creg._lasso.working_gram cimport WorkingGram

cdef enum:
    WIDTH = 64   # columns that enter or leave M at once
    KEPT = 1
    ASKED = 2

cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double NOUGHT = 0.0


cdef class SampleFactor:
    """M and the Cholesky factor of M + l2 I for the working set of `gram`, whose X is dense."""

    def __init__(self, WorkingGram gram):
        cdef Py_ssize_t n = gram.view.n_samples
        cdef double[::1] space = np.empty(n * (2 * n + WIDTH + 1))
        self.gram, self.n, self.l2, self._space = gram, n, -1.0, space
        self.M = &space[0]
        self.L = self.M + n * n
        self.block = self.L + n * n
        self.v = self.block + n * WIDTH
        self.reserve(gram.capacity)

    cdef reserve(self, Py_ssize_t capacity):
        """Room for a working set of so many."""
        cdef double[::1] product
        cdef signed char[::1] member
        if capacity <= self.capacity:
            return
        product, member = np.empty(capacity), np.zeros(capacity, dtype=np.int8)
        if self.capacity:
            member.base[:self.capacity] = np.asarray(self._features[1])
        self._features = product, member
        self.product, self.member, self.capacity = &product[0], &member[0], capacity

    cdef bint solve(self, const Py_ssize_t* rows, Py_ssize_t count, const double* rho, double l2,
                    double* x) noexcept nogil:
        """x := (Z_A'Z_A + diag(rho_A))^-1 x; False, x as it was, where M + l2 I is not definite.

        rows : (count,) A in the working set; rho : of the working set, rho_A > 0

        With (M + l2 I) v = u, u = Z_A (l2 x / rho), the solution (x - Z_A'v) / rho moves the fit by
        (u - M v) / l2 = v, so `product` = Z_W'v is what correlations change by.
        """
        cdef Py_ssize_t i, k
        cdef int n = <int> self.n, size = <int> self.gram.size, one = 1
        cdef double squares = 0.0, norms = 0.0
        if not self._follow(rows, count, rho, l2):
            return False
        for i in range(count):
            x[i] *= l2 / rho[rows[i]]
            squares += x[i] * x[i]
            norms += self.gram.square_of(rows[i])
        memset(self.v, 0, n * sizeof(double))
        self.gram.add_columns(rows, x, count, self.v)
        matrices.solve(n, self.L, n, self.v)
        dgemv(&TRANSPOSED, &n, &size, &ONE, self.gram.columns, &n, self.v, &one, &NOUGHT,
              self.product, &one)
        for i in range(count):
            k = rows[i]
            x[i] = x[i] / l2 - self.product[k] / rho[k]
        self.rounding = (sqrt(squares * norms)
                         + self._trace() * sqrt(leaves.creg_inner(n, self.v, self.v))) / l2
        return True

    cdef double _trace(self) noexcept nogil:
        """Of M + l2 I."""
        cdef Py_ssize_t i
        cdef double trace = self.n * self.l2
        for i in range(self.n):
            trace += self.M[i * self.n + i]
        return trace

    cdef bint _follow(self, const Py_ssize_t* rows, Py_ssize_t count, const double* rho,
                      double l2) noexcept nogil:
        """M and L of these features and this l2."""
        cdef Py_ssize_t i, k, entering, leaving = 0, n = self.n
        cdef bint definite = True
        for i in range(count):
            self.member[rows[i]] |= ASKED
        for k in range(self.gram.size):
            leaving += self.member[k] == KEPT
        entering = count - (self.size - leaving)
        if self.gone + leaving >= count or self.l2 < 0.0:
            # what rounding has left of features that are gone ends here
            memset(self.M, 0, n * n * sizeof(double))
            for k in range(self.gram.size):
                self.member[k] &= ASKED
            self.gone, leaving, entering = 0, 0, count
        if leaving:
            self._add(KEPT, -1.0, rho, l2)
        if entering:
            self._add(ASKED, 1.0, rho, l2)
        for k in range(self.gram.size):
            self.member[k] = KEPT if self.member[k] & ASKED else 0
        self.size = count
        self.gone += leaving
        if leaving or entering or l2 != self.l2:
            memcpy(self.L, self.M, n * n * sizeof(double))
            for i in range(n):
                self.L[i * n + i] += l2
            definite = matrices.factorise(n, self.L, n)
            self.l2 = l2 if definite else -1.0
        return definite

    cdef void _add(self, signed char which, double sign, const double* rho,
                   double l2) noexcept nogil:
        """M += sign sum_k z_k z_k' / b_k over the features so marked."""
        cdef Py_ssize_t i, k, n = self.n, filled = 0
        cdef double a
        cdef const double* z
        for k in range(self.gram.size + 1):
            if filled == WIDTH or (filled and k == self.gram.size):
                matrices.add_outer(n, filled, sign, self.block, n, self.M, n)
                filled = 0
            if k == self.gram.size or self.member[k] != which:
                continue
            a, z = sqrt(l2 / rho[k]), self.gram.columns + k * self.n
            for i in range(self.n):
                self.block[filled * self.n + i] = a * z[i]
            filled += 1
