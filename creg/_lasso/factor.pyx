"""The Cholesky factor of the active Gram block, updated instead of recomputed.

    G_AA + diag(rho_A) = L L'

Appending a block costs a triangular solve and a small Cholesky factorisation with a pivot test;
deleting a row and column is a rank-one update of what follows it, by Givens rotations.
Gill, Golub, Murray & Saunders, "Methods for modifying matrix factorizations" (Math. Comp. 28,
1974).
"""

from libc.math cimport sqrt
from libc.string cimport memmove

import numpy as np

from scipy.linalg.cython_blas cimport dsyrk, dtrsm, dtrsv
from scipy.linalg.cython_lapack cimport dpotrf

from creg._data cimport leaves

cdef char LOWER = b"L"
cdef char LEFT = b"L"
cdef char PLAIN = b"N"
cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double MINUS_ONE = -1.0


cdef class Factor:
    """L, with room for `capacity` rows and blocks of `block_width` new ones."""

    def __init__(self, Py_ssize_t capacity, Py_ssize_t block_width):
        self.block_width = block_width
        self.reserve(capacity)

    def reserve(self, Py_ssize_t capacity):
        """Make room; what is there stays."""
        cdef double[::1] buffer, work
        if capacity <= self.capacity:
            return
        capacity = max(capacity, 2 * self.capacity, 32)
        buffer = np.empty(capacity * capacity)
        work = np.empty(capacity * (self.block_width + 1))
        if self.size:
            old = np.asarray(self._buffer).reshape(self.capacity, self.capacity)
            buffer.base.reshape(capacity, capacity)[:self.size, :self.size] = \
                old[:self.size, :self.size]
        self._buffer, self._work = buffer.base, work.base
        self.L, self.block = &buffer[0], &work[0]
        self.column = self.block + capacity * self.block_width
        self.capacity = capacity

    def matrix(self):
        """L as an array (a copy)."""
        whole = np.asarray(self._buffer).reshape(self.capacity, self.capacity).T
        return np.tril(whole[:self.size, :self.size])

    cdef Py_ssize_t append(self, double* cross, double* corner, Py_ssize_t k, double tolerance,
                           unsigned char* accepted) noexcept nogil:
        """Append k columns; returns how many were accepted.

        cross : (size, k) column-major with leading dimension `capacity`, G_A,new; overwritten
        corner : (k, k) column-major, G_new,new + diag(rho); overwritten
        accepted : (k,), 0 where the pivot is at most tolerance times the diagonal entry: such a
        column depends on those before it and is left out
        """
        cdef int size = <int> self.size, width = <int> k, ld = <int> self.capacity
        cdef Py_ssize_t i, j, m, kept = 0
        cdef double pivot, factor
        cdef double* row
        if size:
            dtrsm(&LEFT, &LOWER, &PLAIN, &PLAIN, &size, &width, &ONE, self.L, &ld, cross, &ld)
        for j in range(k):
            self.column[j] = corner[j * k + j]
        if size:
            dsyrk(&LOWER, &TRANSPOSED, &width, &size, &MINUS_ONE, cross, &ld, &ONE, corner, &width)
        for j in range(k):
            pivot = corner[j * k + j]
            accepted[j] = pivot > tolerance * self.column[j]
            if not accepted[j]:
                continue
            pivot = sqrt(pivot)
            corner[j * k + j] = pivot
            for i in range(j + 1, k):
                corner[j * k + i] /= pivot
            for m in range(j + 1, k):
                factor = corner[j * k + m]
                if factor != 0.0:
                    for i in range(m, k):
                        corner[m * k + i] -= factor * corner[j * k + i]
        for j in range(k):
            if not accepted[j]:
                continue
            row = self.L + self.size + kept
            for i in range(self.size):
                row[i * self.capacity] = cross[j * self.capacity + i]
            m = self.size
            for i in range(j + 1):
                if accepted[i]:
                    row[m * self.capacity] = corner[i * k + j]
                    m += 1
            kept += 1
        self.size += kept
        return kept

    cdef void delete(self, Py_ssize_t q) noexcept nogil:
        """Delete row and column q: L33 L33' + l l' for the trailing block, l the deleted column.

        Column j of the new trailing factor is written one column to the left, one row up.
        """
        cdef Py_ssize_t n = self.size, ld = self.capacity, i, j
        cdef double* gone = self.column
        cdef double* old
        cdef double* new
        cdef double c, s, diagonal
        for j in range(q):
            old = self.L + j * ld
            memmove(old + q, old + q + 1, (n - q - 1) * sizeof(double))
        for i in range(q + 1, n):
            gone[i] = self.L[q * ld + i]
        for j in range(q + 1, n):
            old = self.L + j * ld
            new = self.L + (j - 1) * ld - 1
            diagonal = sqrt(old[j] * old[j] + gone[j] * gone[j])
            c, s = old[j] / diagonal, gone[j] / diagonal
            new[j] = diagonal
            leaves.creg_rotate(n - j - 1, c, s, old + j + 1, gone + j + 1, new + j + 1)
        self.size -= 1

    cdef void solve(self, double* x) noexcept nogil:
        """x := (L L')^-1 x."""
        cdef int n = <int> self.size, ld = <int> self.capacity, one = 1
        if n:
            dtrsv(&LOWER, &PLAIN, &PLAIN, &n, self.L, &ld, x, &one)
            dtrsv(&LOWER, &TRANSPOSED, &PLAIN, &n, self.L, &ld, x, &one)

    cdef bint refactor(self, double tolerance) noexcept nogil:
        """Factor what the caller wrote into the lower triangle; False at a pivot too small."""
        cdef int n = <int> self.size, ld = <int> self.capacity, info = 0
        cdef Py_ssize_t j
        for j in range(n):
            self.column[j] = self.L[j * ld + j]
        dpotrf(&LOWER, &n, self.L, &ld, &info)
        if info:
            return False
        for j in range(n):
            if not self.L[j * ld + j] * self.L[j * ld + j] > tolerance * self.column[j]:
                return False
        return True
