from creg._lasso.penalty cimport Penalty


cdef enum:
    ENOUGH = 100       # a tolerance over this is a gap that is not worth a better scale
    GRAM_ROUNDING = 6  # times the bound of leaves.h: what sums in a Gram matrix may err by

cdef struct DualPoint:
    # theta = scale * r; gap = P(coef) - D(theta), an upper bound, rounding included
    double gap
    double scale
    double residual_norm   # ||r||
    double residual_error  # ||r - (y - Z coef)||, a bound
    double error           # |gradient_j - <z_j, r>| <= error * ||z_j||
    double enough          # a gap so small is not worth a better scale


cdef void duality_gap(const Penalty* penalty, const double* coef, const double* gradient,
                      const double* norm, const Py_ssize_t* features, Py_ssize_t count,
                      DualPoint* dual) noexcept nogil

cdef bint is_screened(double c, double slope, double t, double lower, double upper) noexcept nogil
