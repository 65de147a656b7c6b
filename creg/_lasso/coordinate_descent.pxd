from creg._data.design cimport DesignView, Residual
from creg._data.status cimport Status
from creg._lasso.penalty cimport Penalty


cdef class Descent:
    cdef readonly DesignView view
    cdef readonly bint in_gram_space
    cdef readonly Py_ssize_t n_features
    cdef readonly long long n_sweeps
    cdef readonly double work          # counted multiplications since the caller reset it
    cdef readonly object coef
    cdef readonly object gradient
    cdef object _kept                  # arrays that the pointers below refer to
    cdef double* w                     # coefficients
    cdef double* c                     # <z_j, r>; in Gram space kept for every j
    cdef Penalty penalty
    cdef const double* norm2
    cdef const double* error_norm      # what rounding in <z_j, r> is proportional to
    cdef const double* y
    cdef readonly double squared_y
    cdef Residual residual
    cdef const double* gram            # Z'SZ, (n_features, n_features)
    cdef const double* cross           # Z'S y
    cdef Py_ssize_t n_free             # projected features: without penalty, not at a bound
    cdef const Py_ssize_t* free
    cdef const double* basis           # (n_samples, rank) columns, S-orthonormal, spanning z_free
    cdef const double* solve           # (n_free, rank): Z_free solve = basis
    cdef double* projection            # (rank,) workspace
    cdef Py_ssize_t rank
    cdef double* iterates              # (DEPTH + 1, capacity) past coefficients of a list
    cdef double* kept                  # (capacity,)
    cdef double* saved                 # n_samples, in Gram space max(n_samples, n_features)
    cdef Py_ssize_t capacity

    cdef inline double correlation(self, Py_ssize_t j) noexcept nogil:
        """<z_j, r>."""
        if self.in_gram_space:
            return self.c[j]
        return self.view.correlation(j, &self.residual)

    cdef reserve(self, Py_ssize_t count)
    cdef void step(self, Py_ssize_t j, double delta) noexcept nogil
    cdef double sweep(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef double project(self) noexcept nogil
    cdef void refresh(self, const Py_ssize_t* support, Py_ssize_t count) noexcept nogil
    cdef double squared_residual(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef void correlate(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef double objective(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef bint extrapolate(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef Py_ssize_t support(self, const Py_ssize_t* features, Py_ssize_t count,
                            Py_ssize_t* out) noexcept nogil
    cdef Status minimise(self, const Py_ssize_t* features, Py_ssize_t count, Py_ssize_t* active,
                         double target, long long max_sweeps, double max_work) noexcept nogil
    cdef double descend(self, const Py_ssize_t* active, Py_ssize_t size, double small,
                        long long last_sweep) noexcept nogil
    cdef double restricted_gap(self, const Py_ssize_t* features, Py_ssize_t count) noexcept nogil
    cdef void record(self, const Py_ssize_t* features, Py_ssize_t count,
                     Py_ssize_t i) noexcept nogil
