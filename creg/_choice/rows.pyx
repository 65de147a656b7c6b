"""Loops over rows, for errors and leverages, and over short columns of a basis."""

from libc.math cimport copysign, sqrt
from libc.string cimport memset

import numpy as np

from scipy.linalg.cython_blas cimport dgemv, dger

from creg._data cimport leaves, tiles
from creg._data.storage cimport Box, Storage

cdef char PLAIN = b"N"
cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double MINUS = -1.0
cdef double NOUGHT = 0.0
cdef int STEP = 1


def append_direction(const double[:] z, double[::1, :] both, Py_ssize_t first, Py_ssize_t rank,
                     Py_ssize_t slot, double tolerance):
    """The direction that a column adds to a basis Q above W, behind its `first + rank` columns.

        q = (z - Q Q'z) / size, until it is orthogonal,    w = (e_slot - W Q'z) / size

    Parameters
    ----------
    z : ndarray of shape (length,)
    both : ndarray of shape (length + slots, columns)
        With room for a column.
    first, rank, slot : int
    tolerance : float
        Size down to which the column depends on the others.

    Returns
    -------
    float
        ||w||^2; negative where the column depends on the others.
    """
    cdef Py_ssize_t length = z.shape[0], slots = both.shape[0] - length, i, turn = 0
    cdef int n = <int> length, m = <int> slots, k = <int> rank, ld = <int> both.shape[0]
    cdef double[::1] work = np.zeros(2 * rank + 1)
    cdef double* Q = &both[0, first]
    cdef double* q = Q + rank * both.shape[0]
    cdef double* c = &work[0]
    cdef double* again = c + rank
    cdef double size = 1.0, left
    if rank == length:
        return -1.0
    with nogil:
        for i in range(length):
            q[i] = z[i]
        while True:
            if rank:
                dgemv(&TRANSPOSED, &n, &k, &ONE, Q, &ld, q, &STEP, &NOUGHT, again, &STEP)
                dgemv(&PLAIN, &n, &k, &MINUS, Q, &ld, again, &STEP, &ONE, q, &STEP)
            for i in range(rank):
                c[i] += size * again[i]
            left = sqrt(leaves.creg_inner(length, q, q))
            size *= left
            if not size > tolerance:
                break
            for i in range(length):
                q[i] /= left
            if not rank or (turn and left > 0.5):
                break
            turn += 1
        if size > tolerance:
            memset(q + length, 0, slots * sizeof(double))
            for i in range(rank):
                c[i] /= -size
            if rank:
                dgemv(&PLAIN, &m, &k, &ONE, Q + length, &ld, c, &STEP, &NOUGHT, q + length, &STEP)
            q[length + slot] += 1.0 / size
            left = leaves.creg_inner(slots, q + length, q + length)
    return left if size > tolerance else -1.0


def turn_to_first(double[::1, :] both, Py_ssize_t length, Py_ssize_t first, Py_ssize_t rank,
                  Py_ssize_t slot):
    """Reflect a basis so that its first direction alone has the slot in it.

    By I - a u u', u = v + sign(v_1) ||v|| e_1, a = 2 / u'u, v the row of W.
    """
    cdef int height = <int> both.shape[0], k = <int> rank, ld = <int> both.shape[0]
    cdef double[::1] work = np.empty(rank + height)
    cdef double* used = &both[0, first]
    cdef double* u = &work[0]
    cdef double* product = u + rank
    cdef double a
    cdef Py_ssize_t i
    with nogil:
        for i in range(rank):
            u[i] = used[i * both.shape[0] + length + slot]
        u[0] += copysign(sqrt(leaves.creg_inner(rank, u, u)), u[0])
        a = -2.0 / leaves.creg_inner(rank, u, u)
        dgemv(&PLAIN, &height, &k, &ONE, used, &ld, u, &STEP, &NOUGHT, product, &STEP)
        dger(&height, &k, &a, product, &STEP, u, &STEP, used, &ld)


def centred_columns(Storage storage, const Py_ssize_t[::1] features, const double[::1] mean,
                    const double[::1] scale, root, Py_ssize_t start, Py_ssize_t stop):
    """root_i (x_ij - mean_j) scale_j over some rows of some features of dense X, by columns.

    Parameters
    ----------
    storage : Storage
        Of dense columns.
    features : ndarray of shape (u,)
    mean, scale : ndarray of shape (n_features,)
    root : ndarray of shape (n_samples,) or None
    start, stop : int
        The rows.

    Returns
    -------
    ndarray of shape (stop - start, u)
        Fortran-ordered.
    """
    cdef double[::1, :] out = np.empty((stop - start, features.shape[0]), order="F")
    cdef const double[::1] weight
    cdef const double* s = NULL
    cdef Py_ssize_t k
    cdef Box box
    if root is not None:
        weight = root
        s = &weight[0]
    box.row, box.row_stop, box.pitch = start, stop, stop - start
    if stop > start:
        with nogil:
            for k in range(features.shape[0]):
                box.column, box.column_stop = features[k], features[k] + 1
                storage.fill(&box, &mean[0], &scale[0], s, &out[0, k])
    return out.base


def add_squares(double[::1] h, const double[:, :] q, double sign):
    """h_i += sign sum_k q_ik^2; q : (n, k) with columns in one piece."""
    cdef Py_ssize_t k
    for k in range(q.shape[1]):
        leaves.creg_add_square(h.shape[0], sign, &q[0, k], &h[0])


cdef enum:
    AT_ONCE = 8  # combinations of a tile
    TILE = 24    # and its rows

SIDES = (AT_ONCE, TILE)


def tiles_pay():
    """Whether `combine` may be called."""
    return tiles.creg_tiles_pay()


def combine(const double[:, :] rows, const double[:, ::1] X, const Py_ssize_t[::1] tops,
            double[:, ::1] out):
    """Combinations of columns, X'rows'.

    Parameters
    ----------
    rows : ndarray of shape (n, u)
        With columns in one piece.
    X : ndarray of shape (u, m)
        m a multiple of the side of a tile.
    tops : ndarray of shape (m,)
        How many of the columns each of them may need; it may get more.
    out : ndarray of shape (m, n or more)
        With rows of whole tiles; what is behind n means nothing.
    """
    cdef Py_ssize_t n = rows.shape[0], m = X.shape[1], pitch = out.shape[1]
    cdef Py_ssize_t stride = rows.strides[1] // <Py_ssize_t> sizeof(double)
    cdef Py_ssize_t whole = n - n % TILE, a, c = 0, i, k, top
    if m % AT_ONCE or out.shape[0] < m or pitch < (n + TILE - 1) // TILE * TILE:
        raise ValueError("combine takes whole tiles")
    cdef double[:, ::1] rest = np.zeros((rows.shape[1] if whole < n else 0, TILE))
    with nogil:
        for a in range(rest.shape[0]):
            for i in range(whole, n):
                rest[a, i - whole] = rows[i, a]
        while c < m:
            top = 0
            for k in range(c, c + AT_ONCE):
                top = max(top, tops[k])
            tiles.creg_tile_combinations(
                top, &X[0, c], m, whole, &rows[0, 0], stride, &out[c, 0], pitch)
            if whole < n:
                tiles.creg_tile_combinations(
                    top, &X[0, c], m, TILE, &rest[0, 0], TILE, &out[c, whole], pitch)
            c += AT_ONCE


cdef class LeftOut:
    """Means of (r_i / (1 - h_i))^2 and their standard errors, from rows in any parts.

    Parts are merged as by Chan, Golub and LeVeque (1983): their means and spreads, not sums of
    squares.

    Parameters
    ----------
    count : int
        Solutions.
    weights : ndarray of shape (n,) or None
        Row weights; rows of weight zero count for nothing.
    saturated : float
        1 - h_i up to which a square is infinite.
    """

    cdef double[::1] weight, mean, spread, squares, ones, zeros
    cdef const double[::1] s
    cdef double saturated
    cdef Py_ssize_t rows

    def __init__(self, Py_ssize_t count, const double[::1] weights, double saturated):
        self.weight, self.mean, self.spread = np.zeros(count), np.zeros(count), np.zeros(count)
        self.squares, self.ones, self.zeros = np.empty(1), np.ones(1), np.zeros(1)
        self.s, self.saturated = weights, saturated

    cdef void add(self, Py_ssize_t k, const double* u, const double* p, const double* h,
                  const double* s, Py_ssize_t n) noexcept nogil:
        """Of solution k, rows with r = u - p; the root of s times that, where there are weights."""
        cdef double weight, mean
        cdef double* squares = &self.squares[0]
        cdef Py_ssize_t i
        leaves.creg_left_out(n, u, p, h, self.saturated, squares)
        if self.s is not None:
            for i in range(n):
                squares[i] = squares[i] / s[i] if s[i] > 0.0 else 0.0
        weight = leaves.creg_sum(n, s)
        if not weight > 0.0:
            return
        mean = leaves.creg_inner(n, s, squares) / weight
        self.join(k, weight, mean, leaves.creg_spread(n, s, mean, squares))

    cdef void join(self, Py_ssize_t k, double weight, double mean, double spread) noexcept nogil:
        """Other rows of solution k, of this weight, not 0."""
        cdef double total = self.weight[k] + weight, delta = mean - self.mean[k]
        self.mean[k] += delta * weight / total
        self.spread[k] += spread + delta * delta * self.weight[k] * weight / total
        self.weight[k] = total

    def merge(self, LeftOut other):
        """Other rows."""
        cdef Py_ssize_t k
        for k in range(self.weight.shape[0]):
            if other.weight[k] > 0.0:
                self.join(k, other.weight[k], other.mean[k], other.spread[k])

    def add_rows(self, const double[:, ::1] P, const signed char[::1] kinds,
                 const double[::1] eta, const double[::1] begin, Py_ssize_t start,
                 Py_ssize_t stop):
        """Some rows of all solutions in turn.

        Parameters
        ----------
        P : ndarray of shape (m or more, stop - start or more)
            S^1/2 Z x of m combinations x.
        kinds : ndarray of int8 of shape (m,)
            1, -1: a direction that comes, or goes; 0: the coefficients of the next solution;
            2: (whatever P) all directions go.
        eta : ndarray of shape (n,)
            S^1/2 y.
        begin : ndarray of shape (n,)
            h without any direction.
        start, stop : int
            These rows.
        """
        cdef Py_ssize_t e, i, k = 0, n = stop - start
        cdef double[::1] h = np.array(begin[start:stop])
        cdef const double* s
        self._reserve(n)
        s = &self.ones[0] if self.s is None else &self.s[start]
        with nogil:
            for e in range(kinds.shape[0]):
                if kinds[e] == 2:
                    for i in range(n):
                        h[i] = begin[start + i]
                elif kinds[e]:
                    leaves.creg_add_square(n, kinds[e], &P[e, 0], &h[0])
                else:
                    self.add(k, &eta[start], &P[e, 0], &h[0], s, n)
                    k += 1

    def add_one(self, Py_ssize_t k, r, const double[::1] h):
        """All rows of solution k, from residuals, 0 where there is no weight."""
        cdef Py_ssize_t n = h.shape[0]
        cdef const double[::1] u = r if self.s is None else np.sqrt(self.s) * r
        self._reserve(n)
        self.add(k, &u[0], &self.zeros[0], &h[0],
                 &self.ones[0] if self.s is None else &self.s[0], n)

    cdef _reserve(self, Py_ssize_t n):
        if self.squares.shape[0] < n:
            self.squares, self.ones, self.zeros = np.empty(n), np.ones(n), np.zeros(n)

    def result(self, Py_ssize_t n_used):
        """Means, (count,), and their standard errors, of so many rows with weight."""
        mean, variance = np.asarray(self.mean), np.asarray(self.spread) / self.weight
        error = np.full(len(mean), np.inf)
        if n_used > 1:
            finite = np.isfinite(mean)
            error[finite] = np.sqrt(variance[finite] / (n_used - 1))
        return np.where(np.isnan(mean), np.inf, mean), error


def squared_errors(Storage storage, const Py_ssize_t[::1] rows, const Py_ssize_t[::1] columns,
                   const double[:, ::1] coefs, const double[::1] y, const double[::1] constants,
                   const double[::1] s):
    """sum_i s_i (y_i - constants_k - sum_j x_ij coefs_jk)^2 over some rows of sparse columns.

    Parameters
    ----------
    storage : Storage
        Sparse columns.
    rows : ndarray of shape (m,)
        None of them twice.
    columns : ndarray of shape (c,)
    coefs : ndarray of shape (c, n_fits)
        Of these columns; the others count for nothing.
    y, s : ndarray of shape (m,)
    constants : ndarray of shape (n_fits,)

    Returns
    -------
    ndarray of shape (n_fits,)
    """
    cdef Py_ssize_t i, k, e, c, first, m = rows.shape[0], fits = coefs.shape[1]
    cdef Py_ssize_t[::1] place = np.full(storage.n_samples, -1, dtype=np.intp)
    cdef double[:, ::1] r = np.empty((m, fits))
    cdef double[::1] out = np.zeros(fits)
    cdef const double* w
    cdef double x
    with nogil:
        for i in range(m):
            place[rows[i]], x = i, y[i]
            for k in range(fits):
                r[i, k] = x - constants[k]
        for c in range(columns.shape[0]):
            w, first = &coefs[c, 0], 0
            while first < fits and w[first] == 0.0:
                first += 1
            if first == fits:
                continue
            for e in range(storage.start(columns[c]), storage.start(columns[c] + 1)):
                i = place[storage.row_at(e)]
                if i >= 0:
                    x = storage.value_at(e)
                    for k in range(first, fits):
                        r[i, k] -= x * w[k]
        for i in range(m):
            x = s[i]
            for k in range(fits):
                out[k] += x * r[i, k] * r[i, k]
    return out.base


def dense_coefs(const Py_ssize_t[::1] indptr, const Py_ssize_t[::1] indices,
                const double[::1] values, const Py_ssize_t[::1] columns, Py_ssize_t n_features):
    """The coefficients of these features, (c, n_fits), every nonzero one among them, from those of
    all as in CSC."""
    cdef Py_ssize_t[::1] place = np.empty(n_features, dtype=np.intp)
    cdef double[:, ::1] out = np.zeros((columns.shape[0], indptr.shape[0] - 1))
    cdef Py_ssize_t c, k, e
    with nogil:
        for c in range(columns.shape[0]):
            place[columns[c]] = c
        for k in range(out.shape[1]):
            for e in range(indptr[k], indptr[k + 1]):
                out[place[indices[e]], k] = values[e]
    return out.base
