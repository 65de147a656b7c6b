"""The exact path from a state that is optimal for a shifted gradient to the unshifted problem.

With the gradient shifted by (1 - theta) delta and the active set A fixed, everything is linear in
theta:

    dw_A = -(G_AA + diag(rho_A))^-1 delta_A ,    dc = -G_WA dw_A ,    dg = dc - delta - rho dw

up to the first kink, where a free feature reaches zero or a bound or another one its threshold.
Osborne, Presnell & Turlach, "A new approach to variable selection in least squares problems" (IMA
J. Numer. Anal. 20, 2000).
"""

from libc.math cimport fabs, fmax

from creg._data.status cimport CONVERGED, MAX_ITER, STALLED, Status
from creg._lasso.active_set cimport (AT_LOWER, AT_UPPER, DEPENDS, NEGATIVE, POSITIVE, ZERO,
                                     ActiveSet)
from creg._lasso.dependent cimport exchange_dependent

cdef enum:
    MOST_SHORT_STEPS = 500

cdef double SHORT = 1e-12


cdef Status follow(ActiveSet a, long long last) noexcept nogil:
    """Follow delta down to nothing; a.kept_c is the workspace for dc."""
    cdef double theta = 0.0, x
    cdef Py_ssize_t k, at, changed = -1, short_steps = 0
    while True:
        if a.n_solves >= last:
            return MAX_ITER
        if a.is_interrupted():
            return STALLED
        direction(a)
        at = -1
        x = next_kink(a, theta, changed, &at)
        for k in range(a.factor.size):
            a.w[a.active[k]] += x * a.d[k]
            a.drift += fabs(x * a.d[k]) * a.error_norm[a.active[k]]
        for k in range(a.size):
            a.c[k] += x * a.kept_c[k]
        theta += x
        if at < 0:
            for k in range(a.size):
                a.shift[k] = 0.0
            return CONVERGED
        for k in range(a.size):
            a.shift[k] = (1.0 - theta) * a.delta[k]
        short_steps = short_steps + 1 if x <= SHORT else 0
        if short_steps > MOST_SHORT_STEPS:
            return STALLED
        turn(a, at)
        changed = at


cdef void direction(ActiveSet a) noexcept nogil:
    """dw into a.d (in the factor's order), dc into a.kept_c."""
    cdef Py_ssize_t k
    for k in range(a.factor.size):
        a.d[k] = -a.delta[a.active[k]]
    a.solve(a.d)
    a.n_solves += 1
    for k in range(a.size):
        a.kept_c[k] = 0.0
    for k in range(a.factor.size):
        a.kept_w[k] = -a.d[k]
    a.gram.add_rows(a.active, a.kept_w, a.factor.size, a.kept_c)


cdef double next_kink(ActiveSet a, double theta, Py_ssize_t changed, Py_ssize_t* at) noexcept nogil:
    """The step to the next kink, or to the end; `at` becomes the feature that changes there.

    What has just changed may not change back on the spot.
    """
    cdef Py_ssize_t i, k
    cdef double step, x = 1.0 - theta, g, rate, dw
    for i in range(a.factor.size):
        k, dw = a.active[i], a.d[i]
        step = 2.0
        if dw > 0.0:
            step = (a.upper[k] - a.w[k]) / dw
        elif dw < 0.0:
            step = (a.lower[k] - a.w[k]) / dw
        if a.t[k] > 0.0 and dw * a.state[k] < 0.0 and -a.w[k] / dw < step:
            step = -a.w[k] / dw
        step = fmax(step, 0.0)
        if step < x and not (k == changed and step <= SHORT):
            x, at[0] = step, k
    for k in range(a.size):
        if a.is_free(k) or a.dependent[k] == DEPENDS:
            continue
        g = a.c[k] + (1.0 - theta) * a.delta[k] - a.rho[k] * a.w[k]
        rate = a.kept_c[k] - a.delta[k]
        step = 2.0
        if rate > 0.0:
            if a.state[k] == AT_LOWER:
                step = (-a.t[k] - g) / rate
            elif a.state[k] == ZERO and a.upper[k] > 0.0:
                step = (a.t[k] - g) / rate
        elif rate < 0.0:
            if a.state[k] == AT_UPPER:
                step = (a.t[k] - g) / rate
            elif a.state[k] == ZERO and a.lower[k] < 0.0:
                step = (-a.t[k] - g) / rate
        step = fmax(step, 0.0)
        if step < x and not (k == changed and step <= SHORT):
            x, at[0] = step, k
    return x


cdef void turn(ActiveSet a, Py_ssize_t k) noexcept nogil:
    """Change the state of the feature at the kink."""
    cdef double g
    if a.is_free(k):
        a.settle(k)
        a.drop()
        a.forget_dependence()
        return
    g = a.c[k] + a.shift[k] - a.rho[k] * a.w[k]
    a.changed[0] = k
    a.target[k] = POSITIVE
    if a.state[k] == AT_LOWER or (a.state[k] == ZERO and g < 0.0):
        a.target[k] = NEGATIVE
    a.append(1)
    if not a.is_free(k):
        exchange_dependent(a, k, -1.0 if a.state[k] == AT_UPPER or (
            a.state[k] == ZERO and a.target[k] == NEGATIVE) else 1.0)
