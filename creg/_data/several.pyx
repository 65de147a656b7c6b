"""Sums over the columns of X with several vectors at once: one read of X serves all of them."""

from functools import partial

from libc.stdint cimport int32_t, int64_t

import numpy as np

from creg._data cimport lanes
from creg._data.storage cimport (
    DENSE_COLUMNS, DENSE_THREAD_WORK, F32_I32, F64_I32, F64_I64, THREAD_WORK, Storage,
)

from creg._data.moments import Moments
from creg._data.threads import parallel, pieces

cdef double SMALL = 1e-250    # squares between these two lost nothing to underflow or overflow
cdef double LARGE = 1e250
cdef double CANCELLED = 1e-3  # share of the weight or of the square that a difference may leave


cdef class SeveralVectors:
    """Up to LANES vectors over the rows, side by side.

    Parameters
    ----------
    storage : Storage
        In a column layout.
    """

    def __init__(self, Storage storage):
        cdef double[::1] array = np.zeros(storage.n_samples * LANES + LANES)
        cdef size_t line = LANES * sizeof(double)
        self.storage, self._array = storage, array
        # whole rows in cache lines
        self.v = <double*> ((<size_t> &array[0] + line - 1) // line * line)

    cdef void fill(self, Py_ssize_t lane, const double* vector) noexcept nogil:
        """Let v_ik be this vector's, k = lane."""
        cdef Py_ssize_t i
        for i in range(self.storage.n_samples):
            self.v[i * LANES + lane] = vector[i]

    cdef void add_up(self, Py_ssize_t j, Term term, const double* shift,
                     double* out) noexcept nogil:
        """out_k = the sum of `term` over the stored entries of column j."""
        cdef Py_ssize_t n = self.storage.n_samples, at = j * self.storage.stride
        cdef const double* x64 = <const double*> self.storage.values + at
        cdef const float* x32 = <const float*> self.storage.values + at
        if self.storage.layout != DENSE_COLUMNS:
            self._add_up_stored(j, term, shift, out)
        elif self.storage.element == F64_I32:
            if term == DOT:
                lanes.creg_lanes_dot_f64(n, x64, shift, self.v, out)
            else:
                lanes.creg_lanes_square_f64(n, x64, shift, self.v, out)
        elif term == DOT:
            lanes.creg_lanes_dot_f32(n, x32, shift, self.v, out)
        else:
            lanes.creg_lanes_square_f32(n, x32, shift, self.v, out)

    cdef void _add_up_stored(self, Py_ssize_t j, Term term, const double* shift,
                             double* out) noexcept nogil:
        cdef Py_ssize_t at = self.storage.start(j), count = self.storage.start(j + 1) - at
        cdef const double* x64 = <const double*> self.storage.values + at
        cdef const float* x32 = <const float*> self.storage.values + at
        cdef const int32_t* i32 = <const int32_t*> self.storage.indices + at
        cdef const int64_t* i64 = <const int64_t*> self.storage.indices + at
        if self.storage.element == F64_I32:
            if term == DOT:
                lanes.creg_lanes_sparse_dot_f64_i32(count, x64, i32, shift, self.v, out)
            elif term == SQUARE:
                lanes.creg_lanes_sparse_square_f64_i32(count, x64, i32, shift, self.v, out)
            else:
                lanes.creg_lanes_sparse_sum_f64_i32(count, x64, i32, shift, self.v, out)
        elif self.storage.element == F64_I64:
            if term == DOT:
                lanes.creg_lanes_sparse_dot_f64_i64(count, x64, i64, shift, self.v, out)
            elif term == SQUARE:
                lanes.creg_lanes_sparse_square_f64_i64(count, x64, i64, shift, self.v, out)
            else:
                lanes.creg_lanes_sparse_sum_f64_i64(count, x64, i64, shift, self.v, out)
        elif self.storage.element == F32_I32:
            if term == DOT:
                lanes.creg_lanes_sparse_dot_f32_i32(count, x32, i32, shift, self.v, out)
            elif term == SQUARE:
                lanes.creg_lanes_sparse_square_f32_i32(count, x32, i32, shift, self.v, out)
            else:
                lanes.creg_lanes_sparse_sum_f32_i32(count, x32, i32, shift, self.v, out)
        elif term == DOT:
            lanes.creg_lanes_sparse_dot_f32_i64(count, x32, i64, shift, self.v, out)
        elif term == SQUARE:
            lanes.creg_lanes_sparse_square_f32_i64(count, x32, i64, shift, self.v, out)
        else:
            lanes.creg_lanes_sparse_sum_f32_i64(count, x32, i64, shift, self.v, out)


def moments_of_several(Storage storage, weights, bint centre, int n_threads=1):
    """Moments of X under each of several row weights.

    Parameters
    ----------
    storage : Storage
        In a column layout.
    weights : sequence of ndarray of shape (n_samples,)
        At most LANES, none of them all zero.
    centre : bool

    Returns
    -------
    list of Moments
    """
    work = THREAD_WORK if storage.is_sparse() else DENSE_THREAD_WORK
    long = 2 * storage.size * len(weights) > work  # two passes
    parts = pieces(storage.n_features, 4 * n_threads if long else 1)
    several = _Several(storage, weights, centre)
    parallel([partial(several.read, *part) for part in parts], n_threads)
    return [several.moments(k) for k in range(len(weights))]


cdef class _Several:
    """Means and squares under each of the weights."""

    cdef SeveralVectors vectors
    cdef Storage storage
    cdef bint centre
    cdef object weights
    cdef Py_ssize_t count
    cdef Py_ssize_t first[LANES]       # row of positive weight
    cdef Py_ssize_t positive[LANES]    # such rows
    cdef double total[LANES]           # weight
    cdef double[:, ::1] mean
    cdef double[:, ::1] square
    cdef unsigned char[:, ::1] unclear  # to be found column by column
    cdef unsigned char[::1] explicit

    def __init__(self, Storage storage, weights, bint centre):
        cdef const double[::1] s
        cdef Py_ssize_t k, p = storage.n_features
        self.storage, self.weights, self.centre = storage, weights, centre
        self.vectors, self.count = SeveralVectors(storage), len(weights)
        for k in range(LANES):
            self.first[k], self.total[k] = 0, 1.0
        for k in range(self.count):
            s = weights[k]
            self.vectors.fill(k, &s[0])
            self.first[k], self.positive[k] = np.argmax(s.base > 0), np.count_nonzero(s.base)
            self.total[k] = s.base.sum()
        self.mean, self.square = np.zeros((self.count, p)), np.zeros((self.count, p))
        self.unclear = np.zeros((self.count, p), dtype=np.uint8)
        self.explicit = np.ones(p, dtype=np.uint8)

    def read(self, Py_ssize_t start, Py_ssize_t stop):
        """These columns."""
        cdef Py_ssize_t j
        with nogil:
            for j in range(start, stop):
                if not self.storage.is_sparse():
                    self._read_whole(j, j * self.storage.stride)
                elif self.storage.count(j) == self.storage.n_samples:
                    self._read_whole(j, self.storage.start(j))
                else:
                    self._read_stored(j)

    cdef void _read_whole(self, Py_ssize_t j, Py_ssize_t at) noexcept nogil:
        """mean = x_0 + sum_i s_i (x_i - x_0) / W and sum_i s_i (x_i - mean)^2."""
        cdef double mean[LANES]
        cdef double sums[LANES]
        cdef Py_ssize_t k
        for k in range(LANES):
            mean[k] = 0.0
            if self.centre:
                mean[k] = self.storage.value_at(at + self.first[k])
        if self.centre:
            self.vectors.add_up(j, DOT, mean, sums)
            for k in range(LANES):
                mean[k] += sums[k] / self.total[k]
        self.vectors.add_up(j, SQUARE, mean, sums)
        for k in range(self.count):
            self._keep(j, k, mean[k], sums[k], self.centre)

    cdef void _read_stored(self, Py_ssize_t j) noexcept nogil:
        """The same of a column with rows that are not stored, where x_0 = 0."""
        cdef double mean[LANES]
        cdef double sums[LANES]
        cdef double stored[LANES]
        cdef Py_ssize_t k
        cdef double rest
        self.explicit[j] = 0
        for k in range(LANES):
            mean[k] = 0.0
        self.vectors.add_up(j, SUM, mean, stored)
        if self.centre:
            self.vectors.add_up(j, DOT, mean, sums)
            for k in range(LANES):
                mean[k] = sums[k] / self.total[k]
        self.vectors.add_up(j, SQUARE, mean, sums)
        for k in range(self.count):
            if stored[k] == 0.0:
                continue
            rest = self.total[k] - stored[k]
            self._keep(j, k, mean[k], sums[k] + rest * mean[k] * mean[k], False)
            if self.storage.count(j) >= self.positive[k] or rest < CANCELLED * self.total[k]:
                self.unclear[k, j] = 1

    cdef void _keep(self, Py_ssize_t j, Py_ssize_t k, double mean, double square,
                    bint differs) noexcept nogil:
        self.mean[k, j], self.square[k, j] = mean, square
        self.unclear[k, j] = not SMALL < square < LARGE or (
            differs and square < 1e-14 * self.total[k] * mean * mean)

    def moments(self, Py_ssize_t k):
        """Under the k-th weights."""
        columns = np.flatnonzero(self.unclear.base[k])
        found = Moments.of_sums(
            self.mean.base[k], self.square.base[k], np.ones(self.storage.n_features),
            self.total[k], self.explicit.base.copy(), False)
        if len(columns):
            part = Storage(self.storage.X[:, columns])
            found.replace(columns, Moments(part, self.weights[k], self.centre))
        found.finish()
        return found
