"""The verbs of a centred, scaled and weighted design over any storage."""

from libc.string cimport memcpy

from functools import partial
from types import SimpleNamespace

import numpy as np

from creg._data cimport leaves
from creg._data.storage cimport (
    DENSE_COLUMNS, DENSE_THREAD_WORK, SPARSE_COLUMNS, SPARSE_ROWS, THREAD_WORK, Storage,
)

from creg._data.moments import Moments
from creg._data.threads import parallel, pieces


cdef enum:
    AT_ONCE = 64           # correlations between two writes
    PARTS = 4              # partial sums of a pass that adds vectors, whatever the threads


cdef class Columns:
    """The arrays of Moments, ready for use."""

    def __init__(self, moments):
        self.sum_weights, self.explicit = moments.sum_weights, moments.explicit
        self.mean, self.scale, self.norm2 = moments.mean, moments.scale, moments.norm2
        self.shift, self.offset = moments.shift, moments.offset
        self.shifted = moments.shift.any()


cdef class DesignView:
    """Z = (X - 1 mean') diag(scale) with the inner product <u, v> = sum_i s_i u_i v_i.

    Parameters
    ----------
    storage : Storage
        X in any layout; `correlation` and `step` want columns.
    weights : ndarray of shape (n_samples,), optional
        Row weights s >= 0, not all zero; None stands for ones.
    centre : bool
        False leaves the means at zero.
    moments : Moments, optional
        Where they are known.
    n_threads : int
        To find them.
    target : ndarray of shape (n_samples,), optional
        Whose correlations are wanted too.

    Attributes
    ----------
    target_products : ndarray of shape (n_features,) or None
        Z'S target, where the read that found the moments could find it too.
    mean, scale, norm2 : ndarray of shape (n_features,)
        Weighted means (zeros if not centred); powers of two with 1 <= ||z_j|| < 2; ||z_j||^2,
        0 (and scale 1) for a column that is constant over the rows of positive weight.
    sum_weights : float
        sum_i s_i.
    """

    def __init__(self, Storage storage, weights=None, bint centre=True, moments=None,
                 int n_threads=1, target=None):
        cdef const double[::1] s
        self.storage, self.centred = storage, centre
        self.n_samples, self.n_features = storage.n_samples, storage.n_features
        self.s = NULL
        if weights is not None:
            weights = _frozen(np.array(weights, dtype=np.float64))
            if weights.shape != (self.n_samples,):
                raise ValueError(
                    f"weights must have shape ({self.n_samples},), got {weights.shape}")
            if self.n_samples:
                s = weights
                self.s = &s[0]
        self._weights = weights
        cdef Columns columns = None
        if moments is not None:
            columns = Columns(moments)
        elif weights is None:
            columns = storage._moments.get(centre)
        if columns is None:
            if storage.layout != DENSE_COLUMNS:
                storage.verify()
            if target is not None:
                self.sum_weights = self.n_samples if weights is None else weights.sum()
                target = self._centred(target, False)
            moments = Moments(storage, weights, centre, n_threads, target)
            columns, self.target_products = Columns(moments), moments.products
            if np.isfinite(columns.norm2).all():
                storage.known_finite()  # a norm is finite where every value is
            else:
                storage.verify()
            if weights is None:
                storage._moments[centre] = columns
        self.sum_weights, self._explicit = columns.sum_weights, columns.explicit
        self._mean, self._scale, self._norm2 = columns.mean, columns.scale, columns.norm2
        self._shift, self._offset = columns.shift, columns.offset
        self._shifted = columns.shifted

    def __reduce__(self):
        return DesignView, (self.storage, self._weights, self.centred)

    def of(self, Storage storage, order=slice(None)):
        """The same view of another copy of X, of its columns in some order."""
        known = SimpleNamespace(
            sum_weights=self.sum_weights, explicit=np.asarray(self._explicit)[order],
            mean=self.mean[order], scale=self.scale[order], norm2=self.norm2[order],
            shift=np.asarray(self._shift)[order], offset=np.asarray(self._offset)[order])
        return DesignView(storage, self._weights, self.centred, known)

    @property
    def mean(self):
        """Weighted means of the columns, (n_features,)."""
        return np.asarray(self._mean)

    @property
    def scale(self):
        """Powers of two, (n_features,)."""
        return np.asarray(self._scale)

    @property
    def norm2(self):
        """||z_j||^2, (n_features,)."""
        return np.asarray(self._norm2)

    @property
    def weights(self):
        """Row weights, (n_samples,), or None."""
        return self._weights

    cdef void recentre(self, Residual* r) noexcept nogil:
        """q_i -= s_i sum(q) / W where the view is centred; total = sum(q)."""
        cdef double offset
        cdef Py_ssize_t i
        r.total = 0.0
        if not self.centred:  # nothing is subtracted, so no one asks for the total
            return
        r.total = leaves.creg_sum(self.n_samples, r.q)
        if r.total == 0:
            return
        offset = r.total / self.sum_weights
        if self.s == NULL:
            for i in range(self.n_samples):
                r.q[i] -= offset
        else:
            leaves.creg_add(self.n_samples, -offset, self.s, r.q)
        r.total = leaves.creg_sum(self.n_samples, r.q)

    cdef double squared_norm(self, const Residual* r) noexcept nogil:
        """<r, r> = sum_i q_i^2 / s_i - total^2 / W, the last term where the view is centred."""
        cdef double square
        if self.s == NULL:
            square = leaves.creg_inner(self.n_samples, r.q, r.q)
        else:
            square = leaves.creg_square_over(self.n_samples, r.q, self.s)
        return max(square - r.total * r.total / self.sum_weights, 0.0) if self.centred else square

    cdef void correlations_between(self, const Residual* r, const Py_ssize_t* columns,
                                   Py_ssize_t start,
                                   Py_ssize_t stop, double* out) noexcept nogil:
        """out[k] = <z_j, r>, start <= k < stop, j = columns[k] (NULL: k); columns only."""
        cdef Py_ssize_t k, j
        self.storage.dot_many(columns, start, stop, &self._shift[0], r.q, out)
        for k in range(start, stop):
            j = columns[k] if columns != NULL else k
            out[k] = self._scale[j] * (out[k] - self._offset[j] * r.total)
            if self._norm2[j] == 0:
                out[k] = 0

    cdef void correlations(self, const Residual* r, const Py_ssize_t* columns, Py_ssize_t count,
                           double* out) noexcept nogil:
        """out[k] = <z_j, r> for all k < count, j = columns[k] (NULL: k); column layouts only."""
        self.correlations_between(r, columns, 0, count, out)

    cdef void correlate_between(self, const Residual* r, const Py_ssize_t* columns,
                                Py_ssize_t start, Py_ssize_t stop, double* c) noexcept nogil:
        """c[j] = <z_j, r>, start <= k < stop, j = columns[k] (NULL: k); columns only."""
        cdef double some[AT_ONCE]
        cdef Py_ssize_t k, count
        if columns == NULL:
            self.correlations_between(r, NULL, start, stop, c)
            return
        while start < stop:
            count = min(<Py_ssize_t> AT_ONCE, stop - start)
            self.correlations_between(r, columns + start, 0, count, some)
            for k in range(count):
                c[columns[start + k]] = some[k]
            start += count

    cdef int correlate_threaded(self, const Residual* r, const Py_ssize_t* columns,
                                Py_ssize_t count, double* c, int n_threads) except -1 nogil:
        """c[j] = <z_j, r>, j = columns[k] (NULL: k), k < count, the columns split over threads;
        the same bits for any number."""
        cdef double work = <double> self.storage.n_stored() * count / max(self.n_features, 1)
        if n_threads <= 1 or work < (
                THREAD_WORK if self.storage.is_sparse() else DENSE_THREAD_WORK):
            self.correlate_between(r, columns, 0, count, c)
            return 0
        with gil:
            self._correlate_in_pieces(r, columns, count, c, n_threads)

    cdef _correlate_in_pieces(self, const Residual* r, const Py_ssize_t* columns,
                              Py_ssize_t count, double* c, int n_threads):
        parallel(
            [_Correlations.make(self, r, columns, start, stop, c)
             for start, stop in pieces(count, 4 * n_threads, 4)],
            n_threads)

    cdef void fill_residual(self, const double* y, const double* w, Py_ssize_t count,
                            const Py_ssize_t* support, Residual* r) noexcept nogil:
        """r = y - Z w, recentred; w over the features, zero outside of support (NULL: all)."""
        cdef Py_ssize_t j, k, found = 0
        cdef Py_ssize_t[4] columns
        cdef double[4] a
        memcpy(r.q, y, self.n_samples * sizeof(double))
        for k in range(count if support != NULL else self.n_features):
            j = support[k] if support != NULL else k
            if w[j] != 0:
                columns[found], a[found] = j, -w[j] * self._scale[j]
                found += 1
            if found == 4:
                self.storage.axpy4(columns, a, &self._shift[0], r.q)
                found = 0
        for k in range(found):
            self.storage.axpy(columns[k], a[k], self._shift[columns[k]], NULL, r.q)
        if self.s != NULL:
            leaves.creg_weigh(self.n_samples, self.s, r.q)
        self.recentre(r)

    def residual(self, y, w):
        """y - Z w, centred; 0 in rows of weight zero; not for sparse rows."""
        cdef const double[::1] target = np.ascontiguousarray(y, dtype=np.float64)
        cdef const double[::1] coef = np.ascontiguousarray(w, dtype=np.float64)
        cdef double[::1] q = np.empty(self.n_samples)
        cdef Residual r
        if self.storage.layout == SPARSE_ROWS:
            raise ValueError("residual needs columns or dense rows")
        r.q = &q[0]
        with nogil:
            self.fill_residual(&target[0], &coef[0], 0, NULL, &r)
        if self._weights is None:
            return q.base
        return np.divide(q.base, self._weights, out=np.zeros(self.n_samples),
                         where=self._weights > 0)

    def coefficients(self, const Py_ssize_t[::1] indices, const double[::1] values, double unit):
        """Of the columns x_j from values w of z_j, j in `indices`: unit w_j scale_j; and the sum
        of these times mean_j."""
        cdef double[::1] out = np.empty(indices.shape[0])
        cdef double total = 0
        cdef Py_ssize_t k, j
        for k in range(indices.shape[0]):
            j = indices[k]
            out[k] = values[k] * self._scale[j] * unit
            total += out[k] * self._mean[j]
        return out.base, total

    def path_coefficients(self, const Py_ssize_t[::1] indptr, const Py_ssize_t[::1] indices,
                          const double[::1] values, double unit):
        """The same of several solutions, columns of a CSC array; the sums are (n_solutions,)."""
        cdef double[::1] out = np.empty(indices.shape[0])
        cdef double[::1] totals = np.zeros(indptr.shape[0] - 1)
        cdef Py_ssize_t k, e, j
        for k in range(totals.shape[0]):
            for e in range(indptr[k], indptr[k + 1]):
                j = indices[e]
                out[e] = values[e] * self._scale[j] * unit
                totals[k] += out[e] * self._mean[j]
        return out.base, totals.base

    def product(self, v, int n_threads=1):
        """Z v, (n_samples,) or (n_samples, k) for v of shape (n_features,) or (n_features, k)."""
        v = np.asarray(v, dtype=np.float64)
        if v.ndim == 2:
            out = np.empty((self.n_samples, v.shape[1]), order="F")
            for k in range(v.shape[1]):
                out[:, k] = self.product(v[:, k], n_threads)
            return out
        if v.shape != (self.n_features,):
            raise ValueError(f"v must have {self.n_features} rows, got shape {v.shape}")
        a = v * self.scale * (self.norm2 > 0)
        if self.storage.layout == SPARSE_COLUMNS:
            parts = self._parts(self.n_features, self.n_samples)
            sums = np.zeros((len(parts), self.n_samples))
            self._run([partial(self._product_columns, a, sums[k], *parts[k])
                       for k in range(len(parts))], n_threads)
            out = _sum(sums)
        else:
            out = np.zeros(self.n_samples)
            self._run([partial(self._product_rows, a, out, *rows)
                       for rows in pieces(self.n_samples, 4 * n_threads)], n_threads)
        offset = np.asarray(self._offset)
        out -= offset @ a
        if self.storage.is_sparse() and self.centred and self._weights is not None:
            # An explicit column need not be stored in rows of weight zero.
            rows = np.flatnonzero(self._weights == 0)
            if len(rows) and self._explicit.base.any():
                out[rows] = self.storage.rows(rows) @ a - self.mean @ a
        return out

    def _product_columns(self, const double[::1] a, double[::1] out, Py_ssize_t start,
                         Py_ssize_t stop):
        cdef Py_ssize_t j
        with nogil:
            for j in range(start, stop):
                if a[j] != 0:
                    self.storage.axpy(j, a[j], self._shift[j], NULL, &out[0])

    def _product_rows(self, const double[::1] a, double[::1] out, Py_ssize_t start,
                      Py_ssize_t stop):
        with nogil:
            self.storage.product_rows(start, stop, &self._shift[0], self._shifted, &a[0], &out[0])

    def correlations_of(self, r, int n_threads=1, bint overwrite=False):
        """Z'(s r), (n_features,) or (n_features, k), for r (n_samples,) or (n_samples, k).

        With `overwrite` r may come back centred.
        """
        cdef Residual residual
        cdef double[::1] q, out
        r = np.asarray(r, dtype=np.float64)
        if r.ndim == 2:
            result = np.empty((self.n_features, r.shape[1]), order="F")
            for k in range(r.shape[1]):
                result[:, k] = self.correlations_of(r[:, k], n_threads, overwrite)
            return result
        if r.shape != (self.n_samples,):
            raise ValueError(f"r must have {self.n_samples} rows, got shape {r.shape}")
        q = self._centred(r, overwrite)
        residual.q, residual.total = &q[0], leaves.creg_sum(self.n_samples, &q[0])
        if not self.storage.is_row_layout:
            out = np.empty(self.n_features)
            self.correlate_threaded(&residual, NULL, self.n_features, &out[0], n_threads)
            return out.base
        parts = self._parts(self.n_samples, self.n_features)
        sums = np.zeros((len(parts), self.n_features))
        self._run([partial(self._correlations_rows, q.base, sums[k], *parts[k])
                   for k in range(len(parts))], n_threads)
        live = self.norm2 > 0
        return self.scale * (_sum(sums) - np.asarray(self._offset) * residual.total) * live

    def _centred(self, r, bint overwrite):
        """S r, its sum 0 but for rounding where the view is centred."""
        cdef Residual residual
        cdef double[::1] q
        if self._weights is None:
            q = r if overwrite and r.flags.c_contiguous and r.flags.writeable else np.array(r)
        else:
            q = np.multiply(r, self._weights, out=np.zeros(self.n_samples), where=self._weights > 0)
        if self.n_samples:
            residual.q, residual.total = &q[0], 0
            self.recentre(&residual)
        return q.base

    def _correlations_rows(self, const double[::1] q, double[::1] out, Py_ssize_t start,
                           Py_ssize_t stop):
        with nogil:
            self.storage.correlate_rows(start, stop, &self._shift[0], self._shifted, &q[0], &out[0])

    def _parts(self, Py_ssize_t count, Py_ssize_t length):
        """The partition, whatever the threads, of a pass that adds vectors of some length."""
        spare = self.storage.nbytes // (20 * 8 * max(length, 1))
        return pieces(count, 1 if self.storage.size < THREAD_WORK else max(1, min(PARTS, spare)))

    def _run(self, functions, int n_threads):
        parallel(functions, n_threads if self.storage.size >= THREAD_WORK else 1)


cdef class _Correlations:
    """One piece of a threaded pass."""

    cdef DesignView view
    cdef const Residual* r
    cdef const Py_ssize_t* columns
    cdef Py_ssize_t start, stop
    cdef double* out

    @staticmethod
    cdef _Correlations make(DesignView view, const Residual* r, const Py_ssize_t* columns,
                            Py_ssize_t start, Py_ssize_t stop, double* out):
        cdef _Correlations piece = _Correlations.__new__(_Correlations)
        piece.view, piece.r, piece.columns, piece.out = view, r, columns, out
        piece.start, piece.stop = start, stop
        return piece

    def __call__(self):
        with nogil:
            self.view.correlate_between(self.r, self.columns, self.start, self.stop, self.out)


def _sum(parts):
    """The rows added in order."""
    out = parts[0]
    for part in parts[1:]:
        out += part
    return out


def _frozen(array):
    array.flags.writeable = False
    return array
