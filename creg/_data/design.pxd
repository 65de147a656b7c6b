"""The design as a solver sees it: centring, scaling and row weights as algebra over a storage.

    z_j = (x_j - mean_j 1) scale_j ,     <u, v> = sum_i s_i u_i v_i

scale_j is a power of two with 1 <= ||z_j|| < 2 (1, and norm2_j = 0,
                                                 for a column that is constant), so
that neither squares overflow nor does rescaling X change a bit.  Dense columns, and sparse ones
in which every row is stored, are shifted entry by entry (explicit); other sparse columns by
one scalar (implicit): sum_i s_i (x_ij - mean_j) r_i = x_j'q - mean_j sum(q), q = s r.
"""

from creg._data.storage cimport Storage


cdef struct Residual:
    # q = s (r - offset): the weighted residual up to what implicit centring left out;
    # total = sum(q), so that the centred residual is r_i = q_i / s_i - total / sum(s)
    double* q
    double total


cdef class Columns:
    """What a view knows of the columns; for those without weights the storage keeps it."""

    cdef double sum_weights
    cdef const double[::1] mean
    cdef const double[::1] scale
    cdef const double[::1] norm2
    cdef const double[::1] shift
    cdef const double[::1] offset
    cdef const unsigned char[::1] explicit
    cdef bint shifted


cdef class DesignView:
    cdef readonly Storage storage
    cdef readonly Py_ssize_t n_samples
    cdef readonly Py_ssize_t n_features
    cdef readonly bint centred
    cdef readonly double sum_weights
    cdef const double* s                 # row weights; NULL: ones
    cdef object _weights
    cdef readonly object target_products
    cdef const double[::1] _mean
    cdef const double[::1] _scale
    cdef const double[::1] _norm2        # ||z_j||^2, from a second pass over the shifted entries
    cdef const double[::1] _shift        # what is subtracted entry by entry: mean_j or 0
    cdef const double[::1] _offset       # what is left to the scalar: 0 or mean_j
    cdef const unsigned char[::1] _explicit
    cdef bint _shifted                   # whether any shift is not zero

    cdef inline double correlation(self, Py_ssize_t j, const Residual* r) noexcept nogil:
        """<z_j, r>."""
        return self._scale[j] * (self.storage.dot(j, self._shift[j],
                                                  r.q) - self._offset[j] * r.total)

    cdef inline void step(self, Py_ssize_t j, double delta, Residual* r) noexcept nogil:
        """r += delta z_j."""
        cdef double a = delta * self._scale[j]
        self.storage.axpy(j, a, self._shift[j], self.s, r.q)
        r.total += a * self._offset[j] * self.sum_weights

    cdef void recentre(self, Residual* r) noexcept nogil
    cdef double squared_norm(self, const Residual* r) noexcept nogil
    cdef void correlations(self, const Residual* r, const Py_ssize_t* columns, Py_ssize_t count,
                           double* out) noexcept nogil
    cdef void correlations_between(self, const Residual* r, const Py_ssize_t* columns,
                                   Py_ssize_t start,
                                   Py_ssize_t stop, double* out) noexcept nogil
    cdef void correlate_between(self, const Residual* r, const Py_ssize_t* columns,
                                Py_ssize_t start, Py_ssize_t stop, double* c) noexcept nogil
    cdef int correlate_threaded(self, const Residual* r, const Py_ssize_t* columns,
                                Py_ssize_t count, double* c, int n_threads) except -1 nogil
    cdef _correlate_in_pieces(self, const Residual* r, const Py_ssize_t* columns,
                              Py_ssize_t count, double* c, int n_threads)
    cdef void fill_residual(self, const double* y, const double* w, Py_ssize_t count,
                            const Py_ssize_t* support, Residual* r) noexcept nogil
