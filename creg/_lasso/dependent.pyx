"""Features whose columns depend on the free ones, exchanged for those."""

from libc.math cimport INFINITY, fabs, fmax

from creg._lasso.active_set cimport AT_UPPER, DEPENDS, NEGATIVE, POSITIVE, ZERO, ActiveSet


cdef bint exchange_worst(ActiveSet a) noexcept nogil:
    """Exchange the worst violator among the dependent features for a free one."""
    cdef Py_ssize_t k, worst = -1
    cdef double g, t, excess, side, most = 0.0, s = 1.0
    for k in range(a.size):
        if a.dependent[k] != DEPENDS or a.is_free(k):
            continue
        g, t = a.c[k] + a.shift[k] - a.rho[k] * a.w[k], a.t[k]
        if a.state[k] == ZERO:
            side = 1.0 if g > 0.0 else -1.0
            excess = side * g - t * (1.0 + 1e-9)
            if (a.upper[k] if g > 0.0 else -a.lower[k]) <= 0.0:
                continue
        else:
            side = -1.0 if a.state[k] == AT_UPPER else 1.0
            excess = side * g + t * (1.0 - 1e-9)
        excess -= 1e-11 * a.norm[k] * a.norm_y
        if excess > most:
            most, worst, s = excess, k, side
    return worst >= 0 and exchange_dependent(a, worst, s)


cdef double room(ActiveSet a, Py_ssize_t k, double s) noexcept nogil:
    """How far a feature that is not free may move to side s: to a bound or to zero."""
    if a.t[k] > 0.0 and s * a.w[k] < 0.0:
        return fabs(a.w[k])
    return a.upper[k] - a.w[k] if s > 0.0 else a.w[k] - a.lower[k]


cdef bint exchange_dependent(ActiveSet a, Py_ssize_t worst, double s) noexcept nogil:
    """Free a feature that depends on the free ones, moving to side s, in place of one of them.

    Along w_k += s x, w_A -= s x beta, beta = (G_AA)^-1 G_Ak, the fit stays and the penalty
    falls until a feature reaches zero or a bound.  False where none does.
    """
    cdef Py_ssize_t i, k, leaving = -1, size = a.factor.size
    cdef double limit, rate, x = room(a, worst, s)
    cdef const double* row
    row = a.gram.row(worst)
    for i in range(size):
        a.d[i] = row[a.active[i]]
    a.factor.solve(a.d)
    for i in range(size):
        k = a.active[i]
        rate = -s * a.d[i]
        if fabs(rate) < 1e-9:
            continue
        limit = (a.upper[k] if rate > 0.0 else a.lower[k]) - a.w[k]
        if a.t[k] > 0.0 and a.w[k] * rate < 0.0:
            limit = -a.w[k]
        if limit / rate < x:
            x, leaving = fmax(limit / rate, 0.0), i
    if x == INFINITY:
        return False
    for i in range(size):
        a.d[i] *= s * x
        a.w[a.active[i]] -= a.d[i]
    a.move(a.active, a.d, size)
    a.place(worst, a.w[worst] + s * x)
    if leaving < 0:
        a.settle(worst)
        return True
    a.settle(a.active[leaving])
    a.drop()
    a.forget_dependence()
    a.changed[0] = worst
    a.target[worst] = POSITIVE if a.w[worst] > 0.0 or (
        a.w[worst] == 0.0 and s > 0.0) else NEGATIVE
    a.append(1)
    if not a.is_free(worst):
        a.settle(worst)
        return False
    return True
