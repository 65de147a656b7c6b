"""Products with the matrix of the normal equations, and the threads that share them."""

from libc.stdint cimport int64_t

from creg._data.passes cimport PARTS, Job, Kind
from creg._data.storage cimport Storage


cdef class Work:
    """What parts of a job other than a product do."""

    cdef void part(self, Py_ssize_t k) noexcept nogil


cdef class NormalProduct:
    cdef Storage storage
    cdef readonly Py_ssize_t size, across
    cdef readonly bint dual
    cdef readonly int width
    cdef bint fused                # one pass, or its two halves apart
    cdef bint apart
    cdef bint paired
    cdef int n_parts
    cdef const double[::1] _m, _f, _o, _b, _shift
    cdef const double* m           # over the size: multipliers, and what centring subtracts
    cdef const double* o
    cdef const double* f           # across
    cdef const double* b
    cdef bint shifted
    cdef double[::1] a, between
    cdef double[:, ::1] into
    cdef const double* given       # to a pass over pairs, what it makes, and the sum of t
    cdef double* made
    cdef double made_total
    cdef Job jobs[PARTS]
    cdef Kind kind
    cdef Work work                 # what the parts of UPDATE are
    cdef int64_t ticket, done, helping

    cdef void apply(self, const double* d, const double* D, double* q,
                    double* square) noexcept nogil
    cdef void run(self, Kind kind, int n_parts) noexcept nogil
    cdef bint take(self) noexcept nogil
    cdef void part(self, int k) noexcept nogil
    cdef void prepare(self, Job* job, const double* a, double* into) noexcept nogil
    cdef void fused_pass(self, const double* c, double* total, double* square) noexcept nogil
    cdef void paired_pass(self, const double* d, double* q, double* square) noexcept nogil
    cdef void two_passes(self, const double* c, double* q, double* total,
                         double* square) noexcept nogil
    cdef void weigh(self, const double* c, double* w, double* total,
                    double* square) noexcept nogil
    cdef void add_up(self, Py_ssize_t length) noexcept nogil
    cdef void dense_part(self, Job* job) noexcept nogil
