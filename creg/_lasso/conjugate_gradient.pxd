from creg._lasso.working_gram cimport WorkingGram

cdef Py_ssize_t solve(WorkingGram gram, const Py_ssize_t* rows, Py_ssize_t count,
                      const double* rho, Py_ssize_t most, double allowance, double* x,
                      double* work) noexcept nogil
