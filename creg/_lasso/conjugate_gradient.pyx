"""Conjugate gradients on the support, for an elastic net with a large one and sparse X.

(G_AA + diag(rho_A)) x = b with products through Z_A, preconditioned by the diagonal.  Hestenes &
Stiefel, "Methods of conjugate gradients for solving linear systems" (J. Res. NBS 49, 1952).
"""

from libc.math cimport INFINITY

from creg._data cimport leaves
from creg._lasso.working_gram cimport WorkingGram

cdef double PRECISION = 1e-3


cdef Py_ssize_t solve(WorkingGram gram, const Py_ssize_t* rows, Py_ssize_t count,
                      const double* rho, Py_ssize_t most, double allowance, double* x,
                      double* work) noexcept nogil:
    """x := (G_AA + diag(rho_A))^-1 x; returns the steps, or -1, x unchanged, after `most` or at a
    signal.

    It stops as soon as the residual e costs the duality gap sum_i e_i^2 / (2 rho_i) <= allowance.

    rows : (count,) A in the working set; rho : of the working set; work : (5 count,)
    """
    cdef double* r = work
    cdef double* p = work + count
    cdef double* q = work + 2 * count
    cdef double* inverse = work + 3 * count
    cdef double* found = work + 4 * count
    cdef Py_ssize_t i, step = 0
    cdef double square = 0.0, gap = INFINITY, goal, before, a
    for i in range(count):
        inverse[i] = 1.0 / (gram.square_of(rows[i]) + rho[rows[i]])
        found[i], r[i] = 0.0, x[i]
        p[i] = inverse[i] * r[i]
        square += r[i] * p[i]
    goal = PRECISION * PRECISION * square
    while square > goal and gap > allowance:
        if step == most or gram.signals.stop(gram.cost()):
            return -1
        step += 1
        gram.multiply(rows, count, p, q)
        for i in range(count):
            q[i] += rho[rows[i]] * p[i]
        a = leaves.creg_inner(count, p, q)
        if not a > 0.0:
            return -1
        a = square / a
        leaves.creg_add(count, a, p, found)
        leaves.creg_add(count, -a, q, r)
        before, square, gap = square, 0.0, 0.0
        for i in range(count):
            q[i] = inverse[i] * r[i]
            square += q[i] * r[i]
            gap += r[i] * r[i] / (2.0 * rho[rows[i]])
        for i in range(count):
            p[i] = q[i] + square / before * p[i]
    for i in range(count):
        x[i] = found[i]
    return step
