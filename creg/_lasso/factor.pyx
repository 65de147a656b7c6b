"""The Cholesky factor of the active Gram block, updated instead of recomputed.

    G_AA + diag(rho_A) = L L'

Appending a block costs a triangular solve and a small Cholesky factorisation with a pivot test.
Deleting k rows and columns adds l_1 l_1' + ... + l_k l_k' to what follows them, the l those columns
of L: k Givens rotations for each later column, done for all k in one pass over L.
Gill, Golub, Murray & Saunders, "Methods for modifying matrix factorizations" (Math. Comp. 28,
1974).
"""

from libc.math cimport sqrt
from libc.string cimport memset

import numpy as np

from creg._data cimport leaves
from creg._lasso cimport matrices

cdef enum:
    PANEL = 32   # columns whose rotations are found before they go over the rows below
    TILE = 256   # rows that the rotations go over at once


cdef class Factor:
    """L, with room for `capacity` rows and blocks of `block_width` new ones, more of more.

    What is deleted stays as a row and column of the identity until many are.
    """

    def reserve(self, Py_ssize_t capacity, bint keep=True):
        """Make room; what is there stays, unless there is nothing to `keep` but sizes."""
        cdef double[::1] buffer, work
        cdef Py_ssize_t[::1] slots
        if capacity <= self.capacity:
            return
        # an odd number of cache lines a column: rows of L do not share places in the caches
        capacity = 8 * ((capacity + 7) // 8 | 1)
        self.block_width = min(max(capacity // 16, 32), 256)
        buffer = np.empty(capacity * capacity)
        work = np.empty((capacity + 2 * PANEL) * self.block_width + capacity)
        slots = np.arange(capacity)
        if self.length:
            old = np.asarray(self._buffer).reshape(self.capacity, self.capacity)
            if keep:
                buffer.base.reshape(capacity, capacity)[:self.length, :self.length] = \
                    old[:self.length, :self.length]
            slots.base[:self.size] = self._slots[:self.size]
        self._buffer, self._work, self._slots = buffer.base, work.base, slots.base
        self.L, self.block, self.slot = &buffer[0], &work[0], &slots[0]
        self.rotations = self.block + capacity * self.block_width
        self.column = self.rotations + 2 * PANEL * self.block_width
        self.capacity = capacity

    def matrix(self):
        """L as an array (a copy)."""
        whole = np.asarray(self._buffer).reshape(self.capacity, self.capacity).T
        chosen = np.asarray(self._slots)[:self.size]
        return np.tril(whole[np.ix_(chosen, chosen)])

    cdef void open(self, Py_ssize_t k) noexcept nogil:
        """Before `append`: room for k more rows of L, the first k rows of `block` for G_new,A:
        where G_A was, in `slot`; they are column-major, and 0 in the gaps."""
        if self.length + k > self.capacity:
            self._compact()
        if self.size < self.length:
            memset(self.block, 0, self.length * k * sizeof(double))

    cdef Py_ssize_t append(self, double* corner, Py_ssize_t k, double tolerance,
                           unsigned char* accepted) noexcept nogil:
        """Append k columns, G_new,A being in `block`; returns how many were accepted.

        corner : (k, k) column-major, G_new,new + diag(rho); overwritten
        accepted : (k,), 0 where the pivot is at most tolerance times the diagonal entry: such a
        column depends on those before it and is left out
        """
        cdef Py_ssize_t i, j, m, kept = 0
        cdef double pivot, factor
        cdef double* row
        for j in range(k):
            self.column[j] = corner[j * k + j]
        matrices.solve_lines(k, self.length, self.block, k, self.L, self.capacity)
        matrices.add_outer(k, self.length, -1.0, self.block, k, corner, k)
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
        for i in range(self.length):
            row, m = self.L + i * self.capacity + self.length, 0
            for j in range(k):
                row[m] = self.block[i * k + j]
                m += accepted[j]
        for j in range(k):
            if not accepted[j]:
                continue
            row = self.L + self.length + kept
            m = self.length
            for i in range(j + 1):
                if accepted[i]:
                    row[m * self.capacity] = corner[i * k + j]
                    m += 1
            self.slot[self.size + kept] = self.length + kept
            kept += 1
        self.size += kept
        self.length += kept
        self.n_appended += kept
        return kept

    cdef void delete(self, const Py_ssize_t* gone, Py_ssize_t count) noexcept nogil:
        """Delete the features in the listed places, ascending."""
        cdef Py_ssize_t start = 0, width, i, kept, k
        self.n_deleted += count
        while start < count:
            width = min(self.block_width, count - start)
            self._take_out(gone + start, width)
            self._rotate(self.slot[gone[start]] + 1, width)
            start += width
        if count == 0:
            return
        kept, k = gone[0], 0
        for i in range(gone[0], self.size):
            if k < count and gone[k] == i:
                k += 1
            else:
                self.slot[kept] = self.slot[i]
                kept += 1
        self.size = kept
        if self.size == 0 or 16 * (self.length - self.size) > self.length:
            self._compact()

    cdef void _take_out(self, const Py_ssize_t* gone, Py_ssize_t count) noexcept nogil:
        """The columns of deleted features into `block`, those of the identity in their place."""
        cdef Py_ssize_t n = self.length, ld = self.capacity, i, k, q
        cdef double* old
        cdef double* column
        for k in range(count):
            q = self.slot[gone[k]]
            for i in range(q):
                self.L[i * ld + q] = 0.0
        for k in range(count):
            q = self.slot[gone[k]]
            old, column = self.L + q * ld, self.block + k * ld
            memset(column, 0, (q + 1) * sizeof(double))
            for i in range(q + 1, n):
                column[i] = old[i]
                old[i] = 0.0
            old[q] = 1.0

    cdef void _rotate(self, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        """L L' + B B' = L' L'' for the columns from `first` on, B the first columns of `block`."""
        cdef Py_ssize_t n = self.length, ld = self.capacity, start = first, stop, low, rows, j, k
        cdef Py_ssize_t step = 2 * self.block_width
        cdef const double* pair
        cdef double* u
        cdef double* v
        while start < n:
            stop = min(start + <Py_ssize_t> PANEL, n)
            self._find_rotations(start, stop, count)
            low = stop
            while low < n:
                rows = min(<Py_ssize_t> TILE, n - low)
                u, v, k = self.L + start * ld + low, self.block + low, 0
                while k + 4 <= count:
                    leaves.creg_rotate_columns(rows, stop - start, self.rotations + 2 * k, step,
                                               u, v + k * ld, ld)
                    k += 4
                while k < count:
                    for j in range(stop - start):
                        pair = self.rotations + j * step + 2 * k
                        leaves.creg_rotate(rows, pair[0], pair[1], u + j * ld, v + k * ld)
                    k += 1
                low += rows
            start = stop

    cdef void _find_rotations(self, Py_ssize_t start, Py_ssize_t stop,
                              Py_ssize_t count) noexcept nogil:
        """(c, s) for each column and vector, in force on the rows down to `stop`."""
        cdef Py_ssize_t ld = self.capacity, j, k
        cdef double* u
        cdef double* v
        cdef double* pair
        cdef double length
        for j in range(start, stop):
            u = self.L + j * ld + j
            pair = self.rotations + 2 * (j - start) * self.block_width
            for k in range(count):
                v = self.block + k * ld + j
                pair[2 * k], pair[2 * k + 1] = 1.0, 0.0
                if v[0] == 0.0:
                    continue
                length = sqrt(u[0] * u[0] + v[0] * v[0])
                pair[2 * k], pair[2 * k + 1] = u[0] / length, v[0] / length
                u[0] = length
                leaves.creg_rotate(stop - j - 1, pair[2 * k], pair[2 * k + 1], u + 1, v + 1)

    cdef void _compact(self) noexcept nogil:
        """Close the gaps of what was deleted."""
        cdef Py_ssize_t i, j, ld = self.capacity
        cdef double* new
        cdef const double* old
        for j in range(self.size):
            new, old = self.L + j * ld, self.L + self.slot[j] * ld
            for i in range(j, self.size):
                new[i] = old[self.slot[i]]
        self.clear(self.size)

    cdef void clear(self, Py_ssize_t size) noexcept nogil:
        """So many features, without gaps."""
        cdef Py_ssize_t i
        for i in range(size):
            self.slot[i] = i
        self.size = self.length = size

    cdef void _spread(self, double* x) noexcept nogil:
        """One number a feature to one a row, 0 in the gaps."""
        cdef Py_ssize_t i, k = self.size - 1
        for i in range(self.length - 1, -1, -1):
            if k >= 0 and self.slot[k] == i:
                x[i] = x[k]
                k -= 1
            else:
                x[i] = 0.0

    cdef void solve(self, double* x) noexcept nogil:
        """x := (L L')^-1 x."""
        cdef Py_ssize_t i
        cdef bint gaps = self.size < self.length
        cdef double* full = self.column if gaps else x
        if gaps:
            for i in range(self.size):
                full[i] = x[i]
            self._spread(full)
        matrices.solve(self.length, self.L, self.capacity, full)
        if gaps:
            for i in range(self.size):
                x[i] = full[self.slot[i]]

    cdef bint refactor(self, double tolerance) noexcept nogil:
        """Factor what the caller wrote into the lower triangle; False at a pivot too small."""
        cdef Py_ssize_t j, n = self.size, ld = self.capacity
        for j in range(n):
            self.column[j] = self.L[j * ld + j]
        if not matrices.factorise(n, self.L, ld):
            return False
        for j in range(n):
            if not self.L[j * ld + j] * self.L[j * ld + j] > tolerance * self.column[j]:
                return False
        return True
