from creg._lasso.support_rows cimport SupportRows
from creg._lasso.vectors cimport Vectors

cdef double gap_of(Vectors v, Py_ssize_t count, const double* e) noexcept nogil
cdef Py_ssize_t solve(SupportRows support, Vectors v, Py_ssize_t count, Py_ssize_t most,
                      double allowance, double* x, double* work) noexcept nogil
