"""Block principal pivoting on the working set.

Each round solves for the free features exactly and moves every inconsistent one (active_set.pyx) at
once.  Portugal, Judice & Vicente, "A comparison of block pivoting and interior-point algorithms for
linear least squares problems with nonnegative variables" (Math. Comp. 63, 1994); Kim & Park, "Fast
active-set-type algorithms for L1-regularized linear regression" (AISTATS 2010).

Where the number of inconsistent features does not fall, the step is halved: the state before is
optimal for the gradient shifted by delta, a convex problem in every case, and delta is taken away
in parts; where that fails too, exactly along its path (homotopy.pyx).
"""

from libc.math cimport fabs, fmax, fmin
from libc.string cimport memcpy

from creg._data.status cimport CONVERGED, INTERRUPTED, MAX_ITER, STALLED, Status
from creg._lasso.active_set cimport (AT_LOWER, AT_UPPER, DEPENDS, MOST_SWAPS, NEGATIVE, POSITIVE,
                                     ZERO, ActiveSet)
from creg._lasso.conjugate_gradient cimport gap_of
from creg._lasso.dependent cimport exchange_worst
from creg._lasso.homotopy cimport follow

cdef double ENTER = 1e-9         # relative excess over a threshold that counts
cdef double SMALLEST_STEP = 1e-3

cdef enum:
    MOST_REFINEMENTS = 10  # solves of one active set without a factor


cdef Status solve(ActiveSet a, long long max_solves, bint refine, bint brief) noexcept nogil:
    """Make every state consistent; STALLED where halved steps do not get there either.

    refine: solve at least once, however small the right-hand side.
    brief: one exchange and one solve, if that leads to a feasible point; INTERRUPTED then, and the
    caller, who computes correlations anyway, brings c up to date.  STALLED where the exchanges of
    brief calls since `forget_counts` grow.
    """
    cdef long long last = a.n_solves + max_solves
    cdef Py_ssize_t k
    cdef Status status
    for k in range(a.size):
        a.shift[k] = 0.0
    if brief:
        return pivot(a, last, refine, True)
    a.keep()
    status = pivot(a, last, refine, False)
    if status != STALLED or a.gram.signals.caught:
        return status
    a.restore()
    if a.iterative:
        a.give_up()
        status = pivot(a, last, refine, False)
        if status != STALLED or a.gram.signals.caught:
            return status
        a.restore()
    a.n_failures += 1
    return halve(a, last)


cdef Status halve(ActiveSet a, long long last) noexcept nogil:
    """Take delta away in parts, each doubled after success and quartered after failure."""
    cdef double done = 0.0, step = 0.25
    cdef Py_ssize_t k
    cdef Status status
    find_delta(a)
    while done < 1.0:
        step = fmin(step, 1.0 - done)
        if 1.0 - done - step < 1e-9:
            step = 1.0 - done
        for k in range(a.size):
            a.shift[k] = (1.0 - done - step) * a.delta[k]
        status = pivot(a, last, False, False)
        if status == CONVERGED:
            done += step
            step *= 2.0
            a.keep()
        elif status == MAX_ITER or a.gram.signals.caught:
            return status
        else:
            a.restore()
            step *= 0.25
            if step < SMALLEST_STEP:
                find_delta(a)
                return finish(a, follow(a, last), last)
    return CONVERGED


cdef void find_delta(ActiveSet a) noexcept nogil:
    """The shift at which the present state is optimal, jittered so that entrants do not tie."""
    cdef Py_ssize_t k
    cdef double g, t, u, jitter
    for k in range(a.size):
        t = a.t[k]
        g = a.c[k] - a.rho[k] * a.w[k]
        jitter = 1.0 + <double> ((<unsigned long long> k * 2654435761ULL) % 65536ULL) / 131072.0
        if a.state[k] == POSITIVE or a.state[k] == NEGATIVE:
            a.delta[k] = t * a.state[k] - g
        elif a.state[k] == AT_UPPER:
            a.delta[k] = fmax(0.0, t - g) * jitter
        elif a.state[k] == AT_LOWER:
            a.delta[k] = fmin(0.0, -t - g) * jitter
        else:
            u = g
            if a.upper[k] > 0.0:
                u = fmin(u, t)
            if a.lower[k] < 0.0:
                u = fmax(u, -t)
            a.delta[k] = (u - g) * jitter


cdef Status pivot(ActiveSet a, long long last, bint refine, bint brief) noexcept nogil:
    """Rounds until consistent; STALLED as soon as the exchanges grow."""
    cdef Py_ssize_t count, firm = 0, swaps = 0, refinements = 0
    cdef bint solved = not refine and (a.is_solved if a.iterative else is_stationary(a))
    if not brief:
        a.forget_counts()
    while True:
        if not solved:
            if a.n_solves >= last:
                return MAX_ITER
            if a.is_interrupted():
                return STALLED
            a.newton()
            if brief and is_feasible(a):
                return INTERRUPTED
            a.follow()
        solved = False
        a.slack = slack_of(a) if a.iterative else 0.0
        count = find_changes(a, &firm)
        if count == 0:
            if (not a.is_factored() and refinements < MOST_REFINEMENTS
                    and not is_stationary(a)):
                refinements += 1
                continue
            swaps += 1
            if swaps < MOST_SWAPS and exchange_worst(a):
                continue
            return CONVERGED
        if firm > 2 * a.fewest + 4:
            return STALLED
        if firm == 0:
            swaps += 1
            if swaps >= MOST_SWAPS:
                return STALLED
        elif firm < a.fewest:
            a.fewest, a.tries = firm, 2
        else:
            a.tries -= 1
            if a.tries < 0:
                return STALLED
        a.exchange(count)


cdef bint is_feasible(ActiveSet a) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(a.factor.size):
        k = a.active[i]
        if not a.lower[k] <= a.w[k] <= a.upper[k]:
            return False
    return True


cdef bint is_stationary(ActiveSet a) noexcept nogil:
    """Whether the free features need no solve."""
    cdef Py_ssize_t i, k
    if a.iterative:
        return residual_gap(a) <= a.allowance
    for i in range(a.factor.size):
        k = a.active[i]
        if not a.is_met(k, a.right_hand_side(k)):
            return False
    return True


cdef double residual_gap(ActiveSet a) noexcept nogil:
    """About the duality gap that the right-hand side on A costs."""
    cdef Py_ssize_t i, size = a.factor.size
    for i in range(size):
        a.d[i] = a.right_hand_side(a.active[i])
    return gap_of(a, size, a.d)


cdef double slack_of(ActiveSet a) noexcept nogil:
    """The largest relative excess on A over thresholds, which others may have at no cost: the dual
    point is scaled by the largest.  0 under a ridge, where they cost on their own."""
    cdef Py_ssize_t i, k
    cdef double slack = 0.0
    for i in range(a.factor.size):
        k = a.active[i]
        if a.rho[k] > 0.0:
            return 0.0
        slack = fmax(slack, fabs(a.right_hand_side(k)) / a.t[k])
    return fmin(slack, 1.0)


cdef void extrapolate(ActiveSet a, double factor) noexcept nogil:
    """w_A += factor (w_A - w_A of the last call), where that keeps the sign and the bounds; for
    what is solved by iterations."""
    cdef Py_ssize_t i, k, size = a.factor.size
    cdef double w
    cdef bint iterative = a.iterative and factor > 0.0
    for i in range(size if iterative else 0):
        k = a.active[i]
        w = a.w[k] + factor * (a.w[k] - a.earlier_w[k])
        a.d[i] = 0.0
        if w * a.w[k] > 0.0 and a.lower[k] <= w <= a.upper[k]:
            a.d[i] = a.w[k] - w
    memcpy(a.earlier_w, a.w, a.size * sizeof(double))
    if iterative:
        for i in range(size):
            a.w[a.active[i]] -= a.d[i]
        a.move(a.active, a.d, size)


cdef Py_ssize_t find_changes(ActiveSet a, Py_ssize_t* firm) noexcept nogil:
    """Inconsistent features into `changed`, where they should go into `target`.

    firm: how many of them, those aside that have depended on the free ones before.
    """
    cdef Py_ssize_t k, count = 0
    cdef double g, t, w, tau, enter = 1.0 + ENTER + a.slack
    cdef signed char state, to
    firm[0] = 0
    for k in range(a.size):
        state = a.state[k]
        t, w = a.t[k], a.w[k]
        to = state
        if state == POSITIVE or state == NEGATIVE:
            if w > a.upper[k]:
                to = AT_UPPER
            elif w < a.lower[k]:
                to = AT_LOWER
            elif t > 0.0 and w * state <= 0.0:
                to = ZERO
        else:
            tau = 1e-11 * a.norm[k] * a.norm_y if t == 0.0 else 0.0
            g = a.c[k] + a.shift[k] - a.rho[k] * w
            if state == ZERO:
                if a.dependent[k] != DEPENDS:
                    if g > t * enter + tau and a.upper[k] > 0.0:
                        to = POSITIVE
                    elif -g > t * enter + tau and a.lower[k] < 0.0:
                        to = NEGATIVE
            elif state == AT_UPPER:
                if g < t * (1.0 - ENTER) - tau and a.dependent[k] != DEPENDS:
                    to = POSITIVE
            elif g > -t * (1.0 - ENTER) + tau and a.dependent[k] != DEPENDS:
                to = NEGATIVE
        if to != state:
            a.changed[count] = k
            a.target[k] = to
            count += 1
            firm[0] += a.dependent[k] == 0
    return count


cdef Status finish(ActiveSet a, Status status, long long last) noexcept nogil:
    """After a path followed to its end only rounding is left."""
    return pivot(a, last, False, False) if status == CONVERGED else status
