"""The duality gap and Gap Safe screening.

With the residual r = y - Z w and <u, v> = sum_i s_i u_i v_i,

    P(w)     = ||r||^2 / 2 + sum_j g_j(w_j)
    D(theta) = <theta, y> - ||theta||^2 / 2 - sum_j h_j(<z_j, theta>)

(penalty.pxd has g and its conjugate h).  At theta = scale r the difference is a sum of
non-negative terms without y, so nothing cancels:

    P - D = ||r - theta||^2 / 2 + sum_j [ g_j(w_j) + h_j(<z_j, theta>) - w_j <z_j, theta> ]

References: Fercoq, Gramfort & Salmon, "Mind the duality gap" (ICML 2015); Ndiaye, Fercoq,
Gramfort & Salmon, "Gap Safe screening rules" (JMLR 18, 2017).
"""

from libc.math cimport INFINITY, fabs, fmax, fmin

from creg._lasso.penalty cimport (
    Penalty, conjugate, limit, lower_of, ridge_of, threshold, upper_of, value,
)

cdef double EPS = 2.220446049250313e-16


cdef double largest_scale(const Penalty* penalty, const double* gradient, const double* norm,
                          const Py_ssize_t* features, Py_ssize_t count,
                          double error) noexcept nogil:
    """The largest scale <= 1 at which every conjugate is finite."""
    cdef Py_ssize_t k, j
    cdef double c, t, scale = 1.0
    for k in range(count):
        j = features[k]
        if ridge_of(penalty, j) > 0.0:
            continue
        c = fabs(gradient[j]) + error * norm[j]
        t = threshold(penalty, j)
        if c * scale > t and limit(
                gradient[j], lower_of(penalty, j), upper_of(penalty, j)) == INFINITY:
            scale = fmin(scale, t / c * (1.0 - 4.0 * EPS))
    return scale


cdef double stationary_scale(const Penalty* penalty, const double* coef, const double* gradient,
                             const double* norm, const Py_ssize_t* features, Py_ssize_t count,
                             double error) noexcept nogil:
    """The largest scale <= 1 at which no |<z_j, theta>| inside the bounds exceeds t + rho |w|.

    With tiny l2 or far bounds the conjugate is finite, but huge beside the rounding of c.
    """
    cdef Py_ssize_t k, j
    cdef double c, w, t, scale = 1.0
    for k in range(count):
        j = features[k]
        c, w, t = gradient[j], coef[j], threshold(penalty, j)
        if t == 0.0 or (w >= upper_of(penalty, j) if c > 0.0 else w <= lower_of(penalty, j)):
            continue
        if c * w > 0.0:
            t += ridge_of(penalty, j) * fabs(w)
        c = fabs(c) + error * norm[j]
        if c * scale > t:
            scale = fmin(scale, t / c * (1.0 - 4.0 * EPS))
    return scale


cdef double gap_at(const Penalty* penalty, const double* coef, const double* gradient,
                   const double* norm, const Py_ssize_t* features, Py_ssize_t count,
                   DualPoint* dual) noexcept nogil:
    """P - D at theta = dual.scale r; infinite where a conjugate is."""
    cdef Py_ssize_t k, j
    cdef double c, t, w, h, rho, error, product, total = 0.0, magnitude = 0.0, moved = 0.0
    cdef double scale = dual.scale
    for k in range(count):
        j = features[k]
        w = coef[j]
        c = scale * gradient[j]
        t = threshold(penalty, j)
        if w == 0.0 and fabs(c) * (1.0 + 1e-9) + dual.error * norm[j] <= t:
            continue
        error = scale * dual.error * norm[j]
        rho = ridge_of(penalty, j)
        h = conjugate(c, error, t, rho, lower_of(penalty, j), upper_of(penalty, j))
        if h == INFINITY:
            return INFINITY
        product = w * c
        total += fmax(0.0, value(w, t, rho) + h - product)
        magnitude += fabs(product) + h
        moved += fabs(w) * error
    h = (1.0 - scale) * dual.residual_norm + dual.residual_error
    return (0.5 * h * h + total + moved) * (1.0 + 16.0 * EPS) + 8.0 * EPS * magnitude


cdef void duality_gap(const Penalty* penalty, const double* coef, const double* gradient,
                      const double* norm, const Py_ssize_t* features, Py_ssize_t count,
                      DualPoint* dual) noexcept nogil:
    """Fills dual.gap and dual.scale with the best of three scales: 1, the largest at which all
    conjugates are finite, and the largest at which interior features are stationary; or with the
    first of them at which the gap is at most dual.enough.

    `features` are those that take part: not the projected ones (gradient 0), not those that
    are left out or screened.
    """
    cdef double best = INFINITY, chosen = 0.0, before = 0.0, scale = 1.0
    cdef int k
    for k in range(3):
        if k == 1:
            scale = largest_scale(penalty, gradient, norm, features, count, dual.error)
        elif k == 2:
            scale = fmin(scale, stationary_scale(penalty, coef, gradient, norm, features, count,
                                                 dual.error))
        if scale == before:
            continue
        before = dual.scale = scale
        dual.gap = gap_at(penalty, coef, gradient, norm, features, count, dual)
        if dual.gap < best:
            best, chosen = dual.gap, scale
        if best < INFINITY and best <= dual.enough:
            break
    dual.gap, dual.scale = best, chosen


cdef bint is_screened(double c, double slope, double t, double lower, double upper) noexcept nogil:
    """Whether |<z_j, theta*>| stays below t on every open side, |<z_j, theta*> - c| <= slope."""
    if upper > 0.0 and not (c + slope < t * (1.0 - 1e-10)):
        return False
    return not (lower < 0.0 and not (slope - c < t * (1.0 - 1e-10)))
