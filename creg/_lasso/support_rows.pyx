"""The entries of a sparse support by rows: one read of them makes Z_A'S (Z_A p).

With v_ij = scale_j x_ij and o_j = scale_j mean_j,  G_AA p = V'S (V p) - (sum_i s_i) o (o'p).
Rows of about the same length follow each other, filled up to whole blocks with zeros, so that the
ends of the loops over them are foreseen.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcmp, memcpy, memset

import numpy as np

from creg._lasso.working_gram cimport WorkingGram

cdef enum:
    BLOCK = 4
    MANY = 48    # products with these columns and those before pay for the copy


cdef class SupportRows:
    """Products with the Gram matrix of some columns of a sparse working set, in place where they
    are few."""

    def __init__(self, WorkingGram gram):
        self.gram = gram
        self._arrays = {}

    cdef reserve(self):
        """Room for all of the working set."""
        cdef Py_ssize_t n = self.gram.view.n_samples, p = self.gram.view.n_features
        cdef Py_ssize_t[::1] indices
        cdef uint32_t[::1] column
        cdef double[::1] value
        self.entries = <Py_ssize_t> (1.5 * self.gram.entries)
        self.size = 0
        indices = np.empty(3 * n + 2 * p + 3, dtype=np.intp)
        column = np.empty(self.entries + (BLOCK - 1) * n, dtype=np.uint32)
        value = np.empty(len(column))
        self.start, self.row, self.next = &indices[0], &indices[n + 1], &indices[2 * n + 1]
        self.held, self.tally = &indices[3 * n + 1], &indices[3 * n + 1 + p]
        self.column, self.value = &column[0], &value[0]
        self._arrays = {"indices": indices, "column": column, "value": value}

    cdef void hold(self, const Py_ssize_t* active, Py_ssize_t count) noexcept nogil:
        """Products will be with these columns."""
        if self.size == count and memcmp(self.held, active, count * sizeof(Py_ssize_t)) == 0:
            return
        self.size, self.is_copied = count, False
        self.n_before, self.n_products = self.n_products, 0
        memcpy(self.held, active, count * sizeof(Py_ssize_t))

    cdef void _copy(self) noexcept nogil:
        cdef Py_ssize_t i, j, e, r, at
        self._arrange()
        self.is_copied = True
        for i in range(self.size):
            j = self.gram.features[self.held[i]]
            for e in range(self.gram.view.storage.start(j), self.gram.view.storage.start(j + 1)):
                r = self.gram.view.storage.row_at(e)
                at = self.next[r]
                self.next[r] += 1
                self.column[at] = <uint32_t> i
                self.value[at] = self.gram.view._scale[j] * (
                    self.gram.view.storage.value_at(e) - self.gram.view._shift[j])

    cdef void _arrange(self) noexcept nogil:
        """The order of the rows, by falling numbers of blocks, and where the `next` entry of each
        goes."""
        cdef Py_ssize_t n = self.gram.view.n_samples, i, j, e, k, r, b, at = 0
        cdef Py_ssize_t most = (self.size + BLOCK - 1) // BLOCK
        memset(self.next, 0, n * sizeof(Py_ssize_t))
        memset(self.tally, 0, (most + 1) * sizeof(Py_ssize_t))
        for i in range(self.size):
            j = self.gram.features[self.held[i]]
            for e in range(self.gram.view.storage.start(j), self.gram.view.storage.start(j + 1)):
                self.next[self.gram.view.storage.row_at(e)] += 1
        for r in range(n):
            self.tally[(self.next[r] + BLOCK - 1) // BLOCK] += 1
        for b in range(most, -1, -1):
            k, self.tally[b] = self.tally[b], at
            at += k
        for r in range(n):
            b = (self.next[r] + BLOCK - 1) // BLOCK
            self.row[self.tally[b]] = r
            self.tally[b] += 1
        self.start[0] = 0
        for k in range(n):
            r = self.row[k]
            at = self.start[k] + self.next[r]
            self.start[k + 1] = self.start[k] + BLOCK * ((self.next[r] + BLOCK - 1) // BLOCK)
            for e in range(at, self.start[k + 1]):
                self.column[e], self.value[e] = 0, 0.0
            self.next[r] = self.start[k]

    cdef void multiply(self, const double* p, double* out) noexcept nogil:
        """out := G_AA p, both (size,)."""
        cdef Py_ssize_t i, k, e, first, stop = 0
        cdef const uint32_t* column = self.column
        cdef const double* value = self.value
        cdef const double* s = self.gram.view.s
        cdef double total = 0.0, a, b
        self.n_products += 1
        if not self.is_copied:
            if self.n_before + self.n_products < MANY:
                self.gram.multiply(self.held, self.size, p, out)
                return
            self._copy()
        for i in range(self.size):
            total += self.gram.offset[self.held[i]] * p[i]
        total *= self.gram.view.sum_weights
        for i in range(self.size):
            out[i] = -total * self.gram.offset[self.held[i]]
        for k in range(self.gram.view.n_samples):
            first, stop = stop, self.start[k + 1]
            if first == stop:
                return
            a = b = 0.0
            e = first
            while e < stop:
                a += value[e] * p[column[e]] + value[e + 1] * p[column[e + 1]]
                b += value[e + 2] * p[column[e + 2]] + value[e + 3] * p[column[e + 3]]
                e += BLOCK
            a += b
            if s != NULL:
                a *= s[self.row[k]]
            e = first
            while e < stop:
                out[column[e]] += a * value[e]
                out[column[e + 1]] += a * value[e + 1]
                out[column[e + 2]] += a * value[e + 2]
                out[column[e + 3]] += a * value[e + 3]
                e += BLOCK
