"""Reference residuals: which features cannot violate, without reading their columns.

With references r_1 .. r_K whose correlations with every column are known, for any h

    |<z_j, r>| <= |sum_k h_k <z_j, r_k>| + ||z_j|| e ,     e = ||r - sum_k h_k r_k||

at O(K) a feature.  The path is piecewise linear, so the residual stays close to the span of
the last references and e is small; h is the least-squares fit.  One reference is the residual of
the null model, the others those of the last full passes.  As for other screening rules (Gap Safe;
look-ahead screening, Larsson 2021) but of the residual, not of the optimum: what is excluded is
proved.

Correlations are kept in float32, relative to ||z_j|| ||r_k||; e is enlarged for that and for the
rounding of its own computation (leaves.h: a sum of n terms errs by eps (8 + n/64) of its
magnitude).
"""

from libc.math cimport INFINITY, fabs, sqrt
from libc.string cimport memcpy

import numpy as np

from creg._data cimport leaves
from creg._data.design cimport DesignView, Residual

cdef enum:
    CHUNK = 4096  # columns

cdef double EPS = 2.220446049250313e-16
cdef double EPS32 = 6e-8
cdef double LARGEST = 3e38     # of float32
cdef double UNDERFLOW = 1e-37  # more than it loses


cdef class References:
    """The references of one problem.

    Parameters
    ----------
    view : DesignView
    l1_weights : ndarray of shape (n_features,)
        a.
    closed_above, closed_below : ndarray of bool of shape (n_features,)
        The sides on which feature j cannot violate.
    """

    def __init__(self, DesignView view, l1_weights, closed_above, closed_below):
        cdef Py_ssize_t k, n = view.n_samples, p = view.n_features
        cdef double[:, ::1] u = np.zeros((KEPT + 1, n))
        cdef float[:, ::1] c = np.zeros((KEPT, p), dtype=np.float32)
        cdef bint alike = np.array_equal(closed_above, closed_below)
        cdef float[:, ::1] reach = np.empty((1 if alike else 2, p), dtype=np.float32)
        cdef const double[::1] root
        cdef float[::1] inverse
        for k, closed in enumerate((closed_above, closed_below)[:len(reach)]):
            exact = _thresholds(view, l1_weights, closed)
            if k == 0:
                self.unit = _size(exact)
            exact /= self.unit
            np.minimum(exact, LARGEST, out=exact)
            exact[closed] = np.inf
            reach.base[k] = exact
        del exact
        inverse = np.zeros(p, dtype=np.float32)
        for k in range(0, p, CHUNK):
            some = np.sqrt(view.norm2[k:k + CHUNK])
            np.divide(1.0, some, out=inverse.base[k:k + CHUNK], where=some > 0.0, casting="unsafe")
        self.view, self.inverse_norm = view, &inverse[0]
        for k in range(KEPT):
            self.u[k], self.c[k] = &u[k, 0], &c[k, 0]
        self.present = &u[KEPT, 0]
        self.up, self.low = &reach[0, 0], &reach[0 if alike else 1, 0]
        self.full = view.storage.size + 4.0 * p
        self._arrays = {"all": (u, c, reach, inverse)}
        if view.weights is not None:
            # 0 in rows without weight
            weights = view.weights
            root = np.divide(1.0, np.sqrt(weights), out=np.zeros(n), where=weights > 0.0)
            self.inverse_root = &root[0]
            self._arrays["root"] = root

    cdef void set_l1(self, double l1) noexcept nogil:
        """The penalty in force."""
        self.inverse = 1.0 / (l1 * self.unit) if l1 * self.unit > 0.0 else INFINITY

    cdef void settle(self, Py_ssize_t j) noexcept nogil:
        """Feature j needs no bound: its correlation is always computed."""
        self.up[j] = self.low[j] = INFINITY

    cdef double cost(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil:
        """Stored entries of the listed columns, and what starting a column costs."""
        cdef Py_ssize_t k
        cdef double total = 4.0 * count
        for k in range(count):
            total += self.view.storage.count(features[k])
        return total

    cdef const double* weigh(self, const Residual* r) noexcept nogil:
        """S^1/2 r, zero where the weight is."""
        if self.inverse_root == NULL:
            return r.q
        memcpy(self.present, r.q, self.view.n_samples * sizeof(double))
        leaves.creg_weigh(self.view.n_samples, self.inverse_root, self.present)
        return self.present

    cdef double combine(self, const Residual* r, double* h) noexcept nogil:
        """h and the enlarged e; any h gives a valid bound, so conditioning costs tightness only."""
        cdef Py_ssize_t i, k, m, n = self.view.n_samples, size = self.size
        cdef const double* u = self.weigh(r)
        cdef double L[KEPT][KEPT]
        cdef double g[KEPT]
        cdef const double* vectors[KEPT + 1]
        cdef double products[KEPT + 1]
        cdef double used = 0.0, e2, magnitude, pivot
        for k in range(size):
            vectors[k] = self.u[k]
        vectors[size] = u
        leaves.creg_inner_each(n, u, size + 1, vectors, products)
        self.square = e2 = products[size]
        magnitude = sqrt(e2)
        for k in range(KEPT):
            h[k] = 0.0
        for k in range(size):
            g[k] = h[k] = products[k]
        # Cholesky of the products; pivots that are too small leave their reference out
        for k in range(size):
            pivot = self.products[k][k]
            for m in range(k):
                pivot -= L[k][m] * L[k][m]
            L[k][k] = sqrt(pivot) if pivot > 1e-11 * self.products[k][k] else 0.0
            for i in range(k + 1, size):
                L[i][k] = self.products[i][k]
                for m in range(k):
                    L[i][k] -= L[i][m] * L[k][m]
                L[i][k] = L[i][k] / L[k][k] if L[k][k] > 0.0 else 0.0
            for m in range(k):
                h[k] -= L[k][m] * h[m]
            h[k] = h[k] / L[k][k] if L[k][k] > 0.0 else 0.0
        for k in range(size - 1, -1, -1):
            for m in range(k + 1, size):
                h[k] -= L[m][k] * h[m]
            h[k] = h[k] / L[k][k] if L[k][k] > 0.0 else 0.0
        for k in range(size):
            e2 -= 2.0 * h[k] * g[k]
            for m in range(size):
                e2 += h[k] * h[m] * self.products[k][m]
            used += fabs(h[k]) * self.length[k]
        magnitude += used
        e2 = (e2 if e2 > 0.0 else 0.0) + 4e-16 * (8.0 + n / 64.0) * magnitude * magnitude
        return sqrt(e2) * (1.0 + 1e-6) + EPS32 * (KEPT + 4) * used

    cdef Py_ssize_t candidates(self, const Residual* r, Py_ssize_t* out) noexcept nogil:
        """The features that may violate at this residual, settled ones aside, into out."""
        cdef double h[KEPT]
        cdef float weights[KEPT]
        cdef double e = self.combine(r, h)
        cdef Py_ssize_t k
        for k in range(KEPT):
            weights[k] = <float> (h[k] * self.length[k] * self.inverse)
        return leaves.creg_beyond(self.view.n_features, weights, <const float**> self.c,
                                  <float> (e * self.inverse + UNDERFLOW), self.up, self.low, out)

    cdef float* begin(self, const Residual* r, double* inverse_length) noexcept nogil:
        """This residual as a reference in place of the oldest but one, whose correlations, over
        the norms, are the caller's to set."""
        cdef Py_ssize_t m, n = self.view.n_samples, k = self.size
        cdef const double* u = self.weigh(r)
        if self.size < KEPT:
            self.size += 1
        else:
            k = 1 + self.next
            self.next = (self.next + 1) % (KEPT - 1)
        memcpy(self.u[k], u, n * sizeof(double))
        self.spent = 0.0
        for m in range(self.size):
            self.products[k][m] = leaves.creg_inner(n, self.u[k], self.u[m])
            self.products[m][k] = self.products[k][m]
        self.square = self.products[k][k]
        self.length[k] = sqrt(self.square)
        inverse_length[0] = 1.0 / self.length[k] if self.length[k] > 0.0 else 0.0
        return self.c[k]

    cdef void store(self, const Residual* r, const double* correlations) noexcept nogil:
        """This residual and <z_j, r> for every j as a reference."""
        cdef double inverse
        cdef float* c = self.begin(r, &inverse)
        cdef Py_ssize_t j
        for j in range(self.view.n_features):
            c[j] = <float> (correlations[j] * (self.inverse_norm[j] * inverse))


def _thresholds(view, l1_weights, closed):
    """a_j / ||z_j||, a little low for the rounding of both sides, 0 where that is closed."""
    out = np.sqrt(view.norm2)
    out[closed] = 1.0
    np.divide(l1_weights, out, out=out)
    out *= 1.0 - 1e-6
    out[closed] = 0.0
    return out


def _size(thresholds):
    """A power of two near the largest."""
    largest = thresholds.max(initial=0.0)
    return float(2.0 ** np.clip(np.floor(np.log2(largest)), -900, 900)) if largest > 0.0 else 1.0
