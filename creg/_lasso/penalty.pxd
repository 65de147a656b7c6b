"""Scalar formulas of one coordinate's penalty and bounds.

    g(w) = t |w| + rho w^2 / 2    on  lower <= w <= upper,    t, rho >= 0,  lower <= 0 <= upper
    h(c) = max over w of  c w - g(w)                          (its conjugate)
"""

from libc.math cimport INFINITY, fabs, fmax, fmin


cdef struct Penalty:
    # per feature, in kernel units; a step of 0: one number for all features
    const double* l1_weights
    const double* l2_weights
    const double* lower
    const double* upper
    Py_ssize_t l1_step, l2_step, lower_step, upper_step
    double l1, l2


cdef inline double threshold(const Penalty* penalty, Py_ssize_t j) noexcept nogil:
    """t_j."""
    return penalty.l1 * penalty.l1_weights[j * penalty.l1_step]


cdef inline double ridge_of(const Penalty* penalty, Py_ssize_t j) noexcept nogil:
    """rho_j."""
    return penalty.l2 * penalty.l2_weights[j * penalty.l2_step]


cdef inline double lower_of(const Penalty* penalty, Py_ssize_t j) noexcept nogil:
    return penalty.lower[j * penalty.lower_step]


cdef inline double upper_of(const Penalty* penalty, Py_ssize_t j) noexcept nogil:
    return penalty.upper[j * penalty.upper_step]


cdef inline double minimiser(double u, double curvature, double w, double t, double rho,
                             double lower, double upper) noexcept nogil:
    """argmin over [lower, upper] of curvature x^2 / 2 - u x + g(x); w is the present value.

    A zero enters only beyond its threshold by more than rounding can explain (1e-10 t).
    """
    cdef double excess = fabs(u) - t
    if excess <= 0.0 or (w == 0.0 and excess <= 1e-10 * t):
        return 0.0
    excess /= curvature + rho
    return fmin(excess, upper) if u > 0.0 else fmax(-excess, lower)


cdef inline double limit(double c, double lower, double upper) noexcept nogil:
    """The bound on the side to which c points, as a length; 0 where that side is closed."""
    return upper if c > 0.0 else -lower


cdef inline double conjugate(double c, double error, double t, double rho,
                             double lower, double upper) noexcept nogil:
    """An upper bound of h over [c - error, c + error]."""
    cdef double excess = fabs(c) + error - t
    cdef double length = limit(c, lower, upper)
    if fabs(c) <= error:
        length = fmax(-lower, upper)
    if excess <= 0.0 or length == 0.0:
        return 0.0
    if rho > 0.0:
        length = fmin(excess / rho, length)
        return excess * length - 0.5 * rho * length * length
    return excess * length if length < INFINITY else INFINITY


cdef inline double value(double w, double t, double rho) noexcept nogil:
    """g(w) within the bounds."""
    return t * fabs(w) + 0.5 * rho * w * w
