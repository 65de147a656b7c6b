"""Conjugate gradients on a large support of sparse X.

(G_AA + diag(rho_A)) x = b with products through Z_A, preconditioned by the diagonal.  Hestenes &
Stiefel, "Methods of conjugate gradients for solving linear systems" (J. Res. NBS 49, 1952).
"""

from libc.math cimport INFINITY, fabs, fmax

from creg._data cimport leaves
from creg._lasso.support_rows cimport SupportRows
from creg._lasso.vectors cimport Vectors

cdef double PRECISION = 1e-3


cdef double gap_of(Vectors v, Py_ssize_t count, const double* e) noexcept nogil:
    """About the duality gap that e, what is left of the right-hand side, costs on A = `active`.

    With a ridge everywhere sum_A e_k^2 / (2 rho_k).  Else from the dual point r / (1 + delta),
    delta = max_A |e_k| / t_k:  sum_A (|w_k| t_k delta - w_k e_k) + delta^2 ||r||^2 / 2 at most,
    where delta is small.
    """
    cdef Py_ssize_t i, k
    cdef double ridged = 0.0, delta = 0.0, size = 0.0, product = 0.0
    cdef bint has_ridge = True
    for i in range(count):
        k = v.active[i]
        size += fabs(v.w[k]) * v.t[k]
        product += v.w[k] * e[i]
        if e[i] == 0.0:
            continue
        delta = fmax(delta, fabs(e[i]) / v.t[k] if v.t[k] > 0.0 else INFINITY)
        if v.rho[k] > 0.0:
            ridged += e[i] * e[i] / (2.0 * v.rho[k])
        else:
            has_ridge = False
    return ridged if has_ridge else (
        delta * size - product + 0.5 * delta * delta * v.norm_y * v.norm_y)


cdef Py_ssize_t solve(SupportRows support, Vectors v, Py_ssize_t count, Py_ssize_t most,
                      double allowance, double* x, double* work) noexcept nogil:
    """x := (G_AA + diag(rho_A))^-1 x; returns the steps, or -1, x unchanged, after `most` or at a
    signal.

    It stops as soon as the residual is small beside x, or costs about the duality gap `allowance`.

    v : `active` and penalties of the working set; work : (5 count,)
    """
    cdef const Py_ssize_t* rows = v.active
    cdef double* r = work
    cdef double* p = work + count
    cdef double* q = work + 2 * count
    cdef double* inverse = work + 3 * count
    cdef double* found = work + 4 * count
    cdef Py_ssize_t i, step = 0
    cdef double square = 0.0, goal, before, a
    for i in range(count):
        inverse[i] = 1.0 / (support.gram.square_of(rows[i]) + v.rho[rows[i]])
        found[i], r[i] = 0.0, x[i]
        p[i] = inverse[i] * r[i]
        square += r[i] * p[i]
    support.hold(rows, count)
    goal = PRECISION * PRECISION * square
    while square > goal and (step == 0 or gap_of(v, count, r) > allowance):
        if step == most or support.gram.signals.stop(support.gram.cost()):
            return -1
        step += 1
        support.multiply(p, q)
        for i in range(count):
            q[i] += v.rho[rows[i]] * p[i]
        a = leaves.creg_inner(count, p, q)
        if not a > 0.0:
            return -1
        a = square / a
        leaves.creg_add(count, a, p, found)
        leaves.creg_add(count, -a, q, r)
        before, square = square, 0.0
        for i in range(count):
            q[i] = inverse[i] * r[i]
            square += q[i] * r[i]
        for i in range(count):
            p[i] = q[i] + square / before * p[i]
    for i in range(count):
        x[i] = found[i]
    return step
