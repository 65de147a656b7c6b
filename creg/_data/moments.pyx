"""Means and norms of the columns, in two passes.

    mean_j = x_0j + sum_i s_i (x_ij - x_0j) / W ,    norm_j^2 = sum_i s_i (x_ij - mean_j)^2

where x_0 is the first row of positive weight, so that constant columns come out exactly
constant.  A sparse column in which some row of positive weight is not stored has x_0 = 0 and
norm^2 = sum over stored rows + (weight of the others) mean^2.
"""

from functools import partial

from libc.math cimport fabs, fmax, frexp, ilogb, ldexp
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

import numpy as np
from scipy import sparse

from creg._data cimport leaves
from creg._data.storage cimport (
    DENSE_ROWS, DENSE_THREAD_WORK, F32_I32, F64_I32, F64_I64, THREAD_WORK, Storage,
)

from creg._data.threads import parallel, pieces

cdef enum:
    ROWS = 64      # rows between two additions to the sums over a row layout
    CHUNK = 64     # columns taken out of a row layout at once
    AT_ONCE = 4    # columns whose products are found while they are in cache

cdef double EPSILON = 2.220446049250313e-16
cdef double SMALL = 1e-250  # squares between these two lost nothing to underflow or overflow
cdef double LARGE = 1e250
cdef double CANCELLED = 1e-3  # the unstored share of the weight below which it is summed itself


cdef inline int exponent_of(double x) noexcept nogil:
    """floor(log2 x), x > 0 neither subnormal nor infinite."""
    cdef int64_t bits
    memcpy(&bits, &x, sizeof(double))
    return <int> (bits >> 52) - 1023


cdef inline double power_of_two(int exponent) noexcept nogil:
    """2^exponent, -1022 <= exponent <= 1023."""
    cdef int64_t bits = <int64_t> (exponent + 1023) << 52
    cdef double x
    memcpy(&x, &bits, sizeof(double))
    return x


ctypedef fused Index:
    int32_t
    int64_t

ctypedef fused Value:
    double
    float

cdef struct Rows:  # sparse rows, and what is summed over them for each column, side by side
    Py_ssize_t n
    bint squared
    const double* s
    const double* scale
    double* columns

cdef enum:
    TOTAL = 0      # of a column in _count_rows
    COUNT
    FIRST
    WEIGHT
    SHIFT = 1      # of a column in _add_rows, TOTAL too


cdef class Moments:
    """Arrays over the columns: mean, scale, norm2, explicit, shift and offset, read-only, as
    DesignView describes them.

    Parameters
    ----------
    storage : Storage
        X in any layout.
    weights : ndarray of shape (n_samples,) or None
        Row weights, not all zero.
    centre : bool
        False leaves the means at zero.
    n_threads : int
    against : ndarray of shape (n_samples,) or None
        S v; with columns at hand, `products` are the <z_j, v>.
    """

    cdef readonly object mean
    cdef readonly object scale
    cdef readonly object norm2
    cdef readonly object explicit
    cdef readonly object shift
    cdef readonly object offset
    cdef readonly double sum_weights
    cdef readonly object products
    cdef bint centre
    cdef bint weighted
    cdef Storage storage
    cdef const double[::1] s
    cdef Py_ssize_t first     # first row of positive weight, and how many there are
    cdef Py_ssize_t positive

    def __init__(self, Storage storage, weights, bint centre, int n_threads=1, against=None):
        p = storage.n_features
        self.storage, self.centre, self.weighted = storage, centre, weights is not None
        weights = np.ones(storage.n_samples) if weights is None else weights
        self.s = weights
        self.sum_weights = float(weights.sum())
        self.first, self.positive = int(np.argmax(weights > 0)), int(np.count_nonzero(weights))
        self.mean, self.scale, self.norm2 = np.zeros(p), np.ones(p), np.zeros(p)
        self.explicit = np.ones(p, dtype=np.uint8)
        if against is not None and not storage.is_row_layout:
            self.products = np.zeros(p)
        if storage.n_samples and p:
            if storage.is_row_layout:
                self._from_rows()
            else:
                parallel([partial(self._from_columns, against, *part)
                          for part in pieces(p, 4 * n_threads if self._is_long() else 1, AT_ONCE)],
                         n_threads)
        # the storage keeps this: neither a cycle nor vectors of n_samples
        self.storage, self.s = None, None
        self.finish()

    @classmethod
    def of_sums(cls, means, squares, units, double sum_weights, explicit=None, bint finish=True):
        """From squares_j = ||units_j (x_j - means_j)||^2, powers of two units_j; `explicit` None
        for dense X."""
        cdef Moments self = cls.__new__(cls)
        cdef double[::1] norm2 = np.empty(len(means)), scale = np.empty(len(means))
        cdef const double[::1] mean = means, square = squares, a = units
        cdef Py_ssize_t j
        self.sum_weights = sum_weights
        for j in range(len(means)):
            norm2[j] = self.scaled(square[j], a[j], mean[j], &scale[j])
        self.mean, self.scale, self.norm2 = means, scale.base, norm2.base
        self.explicit = np.ones(len(means), np.uint8) if explicit is None else explicit
        if finish:
            self.finish()
        return self

    def replace(self, features, Moments part):
        """Those of these features, before all is finished."""
        self.mean[features], self.scale[features] = part.mean, part.scale
        self.norm2[features], self.explicit[features] = part.norm2, part.explicit

    cdef bint _is_long(self):
        """Whether a pass is worth more than one thread."""
        return self.storage.size > (
            THREAD_WORK if self.storage.is_sparse() else DENSE_THREAD_WORK)

    def finish(self):
        """What follows from the others; all are read-only from now on."""
        self.shift, self.offset = self._divided()
        for array in (self.mean, self.scale, self.norm2, self.explicit, self.shift, self.offset):
            array.flags.writeable = False

    def _divided(self):
        """The mean of explicit columns and of the others, each zero elsewhere."""
        if self.explicit.all():
            return self.mean, np.zeros(len(self.mean))
        if not self.explicit.any():
            return np.zeros(len(self.mean)), self.mean
        return self.mean * self.explicit, self.mean * (self.explicit == 0)

    def _from_columns(self, const double[::1] against, Py_ssize_t start, Py_ssize_t stop):
        """Columns start to stop of a column layout, each read from memory once."""
        cdef double[::1] mean = self.mean, scale = self.scale, norm2 = self.norm2
        cdef double[::1] products = self.products
        cdef double shift, total = 0.0
        cdef unsigned char[::1] explicit = self.explicit
        cdef int64_t[::1] marks = np.full(self.s.shape[0] if self.weighted else 0, -1,
                                          dtype=np.int64)
        cdef double rest, x0
        cdef Py_ssize_t j, k = start
        if against is not None:
            total = leaves.creg_sum(against.shape[0], &against[0])
        with nogil:
            for j in range(start, stop):
                x0 = self.first_value(j, &explicit[j], &rest, marks)
                if self.centre:
                    mean[j] = x0 + self.storage.dot(j, x0, &self.s[0]) / self.sum_weights
                norm2[j] = self.norm(j, mean[j], rest, &scale[j])
                if against is None:
                    continue
                if self.storage.is_sparse():
                    shift = mean[j] if explicit[j] else 0.0
                    products[j] = (self.storage.dot(j, shift, &against[0])
                                   - (mean[j] - shift) * total)
                elif j + 1 - k == AT_ONCE or j + 1 == stop:
                    self.storage.dot_many(NULL, k, j + 1, &mean[0], &against[0], &products[0])
                    k = j + 1
            if against is not None:
                for j in range(start, stop):
                    products[j] = scale[j] * products[j] if norm2[j] > 0 else 0.0

    cdef double first_value(self, Py_ssize_t j, unsigned char* explicit, double* rest,
                            int64_t[::1] marks) noexcept nogil:
        """x_0j; whether the column is shifted entry by entry; the weight of the rows not stored."""
        cdef Py_ssize_t k, i, start, stop, stored = 0
        cdef double x0 = 0, weight = 0
        rest[0] = 0
        if not self.storage.is_sparse():
            return self.storage.value_at(j * self.storage.stride + self.first)
        start, stop = self.storage.start(j), self.storage.start(j + 1)
        if self.weighted:
            for k in range(start, stop):
                i = self.storage.row_at(k)
                if self.s[i] > 0:
                    if stored == 0:
                        x0 = self.storage.value_at(k)
                    stored += 1
                    weight += self.s[i]
        else:
            stored = stop - start
            weight = <double> stored
            if stored:
                x0 = self.storage.value_at(start)
        explicit[0] = stored == self.positive
        if explicit[0]:
            return x0
        rest[0] = self.sum_weights - weight
        if self.weighted and rest[0] < CANCELLED * self.sum_weights:
            for k in range(start, stop):
                marks[self.storage.row_at(k)] = j
            rest[0] = 0
            for i in range(self.storage.n_samples):
                if marks[i] != j:
                    rest[0] += self.s[i]
        return 0

    cdef double norm(self, Py_ssize_t j, double mean, double rest, double* scale) noexcept nogil:
        """||z_j||^2 in [1, 4), or 0, and the power of two that makes it so."""
        cdef const double* s = &self.s[0] if self.weighted else NULL
        cdef double square = self.storage.square(j, 1.0, mean, s) + rest * mean * mean
        cdef double a = 1, largest, offset
        if not SMALL < square < LARGE:
            largest = self.largest(j, mean)
            if rest > 0:
                largest = fmax(largest, fabs(mean))
            if largest > 0:
                a = ldexp(1.0, -max(ilogb(largest), -1022))
            square = self.storage.square(j, a, mean, s) + rest * (a * mean) * (a * mean)
        if self.centre and rest == 0 and (
                square < 1e-14 * self.sum_weights * (a * mean) * (a * mean)):
            # the mean is rounded: about it the square is too large by W (mean - exact mean)^2
            offset = a * self.storage.dot(j, mean, &self.s[0])
            square -= offset * offset / self.sum_weights
        return self.scaled(square, a, mean, scale)

    cdef double scaled(self, double square, double a, double mean, double* scale) noexcept nogil:
        """a^-2 square, the norm squared, times the power of four that brings it into [1, 4)."""
        cdef int exponent
        cdef double smallest = a * mean * (4 * EPSILON)
        scale[0] = 1
        if square <= smallest * smallest * self.sum_weights:
            return 0
        if not SMALL <= square <= LARGE:
            frexp(square, &exponent)
            exponent = (exponent - 1 - ((exponent - 1) & 1)) // 2
            scale[0] = ldexp(a, -exponent)
            return ldexp(square, -2 * exponent)
        exponent = exponent_of(square)
        exponent -= exponent & 1
        scale[0] = a * power_of_two(-(exponent // 2))
        return square * power_of_two(-exponent)

    cdef double largest(self, Py_ssize_t j, double mean) noexcept nogil:
        """max |x_ij - mean| over the stored rows of positive weight."""
        cdef Py_ssize_t k, count = self.storage.count(j)
        cdef bint dense = not self.storage.is_sparse()
        cdef Py_ssize_t start = j * self.storage.stride if dense else self.storage.start(j)
        cdef double found = 0
        for k in range(count):
            if self.s[k if dense else self.storage.row_at(start + k)] > 0:
                found = fmax(found, fabs(self.storage.value_at(start + k) - mean))
        return found

    def _from_rows(self):
        """A row layout in place; columns whose weights cancel once more, as columns."""
        cdef Py_ssize_t j, p = self.storage.n_features
        cdef double[::1] mean, scale = self.scale, norm2 = self.norm2, square, a
        rest = np.zeros(p)
        again = np.zeros(p, dtype=bool)
        unit = np.ones(p)
        if self.storage.layout == DENSE_ROWS:
            x0 = self.storage.X[self.first].astype(np.float64) if self.centre else np.zeros(p)
            live = unit > 0
        else:
            x0, stored, weight, total = self._stored()
            live = stored > 0
            self.explicit = (stored == self.positive).astype(np.uint8)
            x0[self.explicit == 0] = 0
            rest = self.sum_weights - weight
            rest[self.explicit == 1] = 0
            if self.weighted:
                again |= (self.explicit == 0) & (rest < CANCELLED * self.sum_weights)
        if self.centre:
            if self.storage.layout == DENSE_ROWS or self.explicit.any():
                total = self._row_sums(x0, None, False)
            self.mean = x0 + total / self.sum_weights
            self.mean[~live] = 0
        with np.errstate(over="ignore", invalid="ignore"):
            squares = self._row_sums(self.mean, None, True) + rest * self.mean * self.mean
        mean = self.mean
        extreme = live & ~((squares > SMALL) & (squares < LARGE))
        if extreme.any():
            largest = np.maximum(self._row_largest(self.mean), np.abs(self.mean) * (rest > 0))
            _, exponents = np.frexp(np.where(extreme & (largest > 0), largest, 0.5))
            unit = np.ldexp(unit, -np.maximum(exponents, -1021))
            m = unit * self.mean
            scaled = self._row_sums(self.mean, unit, True) + rest * m * m
            squares = np.where(extreme, scaled, squares)
        a, square = unit, squares
        for j in range(p):
            norm2[j] = self.scaled(square[j], a[j], mean[j], &scale[j])
        again = np.flatnonzero(again)
        for start in range(0, len(again), CHUNK):
            self._again(again[start:start + CHUNK])

    def _again(self, features):
        X = sparse.csr_array(self.storage._arrays, shape=self.storage.shape)[:, features].tocsc()
        self.replace(features, Moments(
            Storage(X), np.asarray(self.s) if self.weighted else None, self.centre))

    def _row_sums(self, const double[::1] shift, const double[::1] a, bint squared):
        """sum_i s_i (x_ij - shift_j), or squared: sum_i s_i (a_j (x_ij - shift_j))^2."""
        cdef Storage X = self.storage
        cdef Py_ssize_t i, k, m, n = X.n_samples, p = X.n_features
        cdef double[::1] out
        cdef double[:, ::1] columns
        cdef const double* scale = NULL
        cdef Rows rows
        if a is None and squared and X.layout == DENSE_ROWS:
            a = np.ones(p)
        if a is not None:
            scale = &a[0]
        if X.layout == DENSE_ROWS:
            out = np.zeros(p)
        else:
            columns = np.zeros((p, 2))
            columns.base[:, SHIFT] = shift
        with nogil:
            if X.layout == DENSE_ROWS:
                for k in range((n + ROWS - 1) // ROWS):
                    i = k * ROWS
                    m = min(<Py_ssize_t> ROWS, n - i)
                    X.add_rows(i, m, &shift[0], scale, &self.s[i], &out[0])
            else:
                rows.n, rows.s, rows.squared, rows.scale = n, &self.s[0], squared, scale
                rows.columns = &columns[0, 0]
                if X.element == F64_I32:
                    _add_rows(<const double*> X.values, <const int32_t*> X.indices,
                              <const int32_t*> X.indptr, &rows)
                elif X.element == F64_I64:
                    _add_rows(<const double*> X.values, <const int64_t*> X.indices,
                              <const int64_t*> X.indptr, &rows)
                elif X.element == F32_I32:
                    _add_rows(<const float*> X.values, <const int32_t*> X.indices,
                              <const int32_t*> X.indptr, &rows)
                else:
                    _add_rows(<const float*> X.values, <const int64_t*> X.indices,
                              <const int64_t*> X.indptr, &rows)
        return out.base if X.layout == DENSE_ROWS else columns.base[:, TOTAL].copy()

    def _row_largest(self, const double[::1] shift):
        """max |x_ij - shift_j| over the stored rows of positive weight."""
        cdef Storage X = self.storage
        cdef Py_ssize_t i, k, c, start, stop
        cdef double[::1] out = np.zeros(X.n_features)
        with nogil:
            for i in range(X.n_samples):
                if not self.s[i] > 0:
                    continue
                start, stop = i * X.stride, i * X.stride + X.n_features
                if X.is_sparse():
                    start, stop = X.start(i), X.start(i + 1)
                for k in range(start, stop):
                    c = X.row_at(k) if X.is_sparse() else k - start
                    out[c] = fmax(out[c], fabs(X.value_at(k) - shift[c]))
        return out.base

    def _stored(self):
        """Of the stored rows of positive weight: first value, count, sums of s and of s x."""
        cdef Storage X = self.storage
        cdef double[:, ::1] columns = np.zeros((X.n_features, 4))
        cdef Rows rows
        rows.n, rows.s, rows.columns = X.n_samples, &self.s[0], &columns[0, 0]
        with nogil:
            if X.element == F64_I32:
                _count_rows(<const double*> X.values, <const int32_t*> X.indices,
                            <const int32_t*> X.indptr, &rows)
            elif X.element == F64_I64:
                _count_rows(<const double*> X.values, <const int64_t*> X.indices,
                            <const int64_t*> X.indptr, &rows)
            elif X.element == F32_I32:
                _count_rows(<const float*> X.values, <const int32_t*> X.indices,
                            <const int32_t*> X.indptr, &rows)
            else:
                _count_rows(<const float*> X.values, <const int64_t*> X.indices,
                            <const int64_t*> X.indptr, &rows)
        total, stored, x0, weight = columns.base.T.copy()
        return x0, stored, weight, total


cdef void _add_rows(const Value* x, const Index* at, const Index* ends,
                    const Rows* rows) noexcept nogil:
    """total_j += s_i d_ij, d_ij = x_ij - shift_j; squared: s_i (scale_j d_ij)^2."""
    cdef Py_ssize_t i, k
    cdef double d, s
    cdef double* column
    for i in range(rows.n):
        s = rows.s[i]
        if not s > 0:
            continue
        for k in range(<Py_ssize_t> ends[i], <Py_ssize_t> ends[i + 1]):
            column = rows.columns + 2 * <Py_ssize_t> at[k]
            d = x[k] - column[SHIFT]
            if rows.squared:
                if rows.scale != NULL:
                    d *= rows.scale[at[k]]
                d *= d
            column[TOTAL] += s * d


cdef void _count_rows(const Value* x, const Index* at, const Index* ends,
                      const Rows* rows) noexcept nogil:
    cdef Py_ssize_t i, k
    cdef double s
    cdef double* column
    for i in range(rows.n):
        s = rows.s[i]
        if not s > 0:
            continue
        for k in range(<Py_ssize_t> ends[i], <Py_ssize_t> ends[i + 1]):
            column = rows.columns + 4 * <Py_ssize_t> at[k]
            if column[COUNT] == 0:
                column[FIRST] = x[k]
            column[COUNT] += 1
            column[TOTAL] += s * x[k]
            column[WEIGHT] += s
