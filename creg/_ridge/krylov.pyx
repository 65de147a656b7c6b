"""Conjugate gradients for (A + D) x = b, several at once, and for many shifts of one.

A is a NormalProduct.  The gradient g = b - (A + D) x is carried, so that a step is one product;
callers compute it anew at the end.  Sources: Hestenes and Stiefel (1952); for the shifts
Jegerlehner, "Krylov space solvers for shifted linear systems" (1996), Frommer and Maass, "Fast
CG-based methods for Tikhonov-Phillips regularization" (SIAM J. Sci. Comput. 20, 1999).
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, fabs, sqrt

import numpy as np

from creg._data cimport leaves
from creg._data.normal cimport NormalProduct, Work
from creg._data.passes cimport PARTS, UPDATE, WIDTH

cdef enum:
    PATIENCE = 10_000_000  # multiplications between two looks for signals
    SHIFTS_AT_ONCE = 4     # parts that an update of many shifts is cut into
    LONG = 80_000          # entries of vectors from which on steps along them are cut into parts

cdef double NOISE = 8.8e-16  # of the first gradient, below which a carried one means nothing

cdef class ConjugateGradients(Work):
    """Steps from x = 0, or from where they stopped, on `width` systems with one A.

    Parameters
    ----------
    product : NormalProduct
    D : ndarray of shape (size,)
    B : ndarray of shape (size, width)
    measure : ndarray of shape (size,), optional
        The norms below are sqrt(sum_j measure_j g_j^2); ones by default.
    energy : bool
        For width 1 and a constant D: they are sqrt(g'A g).  As directions are conjugate and
        g_k = d_k - beta d_(k-1), that is (d'(A + D)d)_k + beta^2 (d'(A + D)d)_(k-1) - g'D g.

    Attributes
    ----------
    x : ndarray of shape (size, width)
    norm : ndarray of shape (width,)
        Of the carried gradient.
    n_iter : ndarray of shape (width,)
    """

    cdef NormalProduct product
    cdef int width
    cdef Py_ssize_t size
    cdef const double[::1] D
    cdef const double[::1] _measure
    cdef const double* measure
    cdef readonly double[:, ::1] x, g, d, q
    cdef double[::1] squared, measured, curvature, noise
    cdef Py_ssize_t[::1] steps
    cdef unsigned char[::1] running
    cdef bint begun, energy
    cdef double paid               # for width 1: sum_j D_j d_j^2
    cdef double beta, last, goal   # energy: of the step before, and the norm to stop at
    cdef double length             # of the step under way
    cdef bint turning              # parts are those of the next direction
    cdef int n_parts
    cdef double[PARTS] sums

    def __init__(self, NormalProduct product, D, B, measure=None, bint energy=False):
        cdef int width = product.width
        self.product, self.width, self.size = product, width, product.size
        self.D = np.ascontiguousarray(D, dtype=np.float64)
        self.measure = NULL
        if measure is not None:
            self._measure = np.ascontiguousarray(measure, dtype=np.float64)
            self.measure = &self._measure[0]
        self.g = np.array(B, dtype=np.float64, order="C").reshape(self.size, width)
        self.x, self.d, self.q = (np.zeros((self.size, width)) for _ in range(3))
        self.squared, self.measured = np.zeros(width), np.zeros(width)
        self.curvature = np.zeros(width)
        self.steps = np.zeros(width, dtype=np.intp)
        self.running = np.ones(width, dtype=np.uint8)
        self.measure_gradient()
        self.noise = np.square(NOISE) * np.asarray(self.squared)
        self.n_parts = PARTS if self.size > LONG else 1
        self.energy = energy and width == 1
        if self.energy:  # known once the first product is
            self.measured[0] = INFINITY

    def take_over(self, NormalProduct product):
        """Go on with another product that does the same."""
        self.product = product

    @property
    def norm(self):
        return np.sqrt(self.measured)

    @property
    def n_iter(self):
        return np.array(self.steps)

    def run(self, targets, budgets):
        """Steps until each norm is at most its target, or so many steps have been taken in all."""
        cdef double[::1] target = np.ascontiguousarray(targets, dtype=np.float64)
        cdef Py_ssize_t[::1] budget = np.ascontiguousarray(budgets, dtype=np.intp)
        cdef Py_ssize_t count = max(<Py_ssize_t> 1, <Py_ssize_t> (
            PATIENCE // max(self.product.storage.size * self.width, self.size)))
        cdef bint go_on = True
        self.product.work = self
        try:
            while go_on:
                with nogil:
                    go_on = self.some_steps(count, &target[0], &budget[0])
                PyErr_CheckSignals()
        finally:
            self.product.work = None

    cdef bint some_steps(self, Py_ssize_t count, const double* target,
                         const Py_ssize_t* budget) noexcept nogil:
        cdef Py_ssize_t _
        cdef int k
        cdef bint any_left
        self.goal = target[0]
        for _ in range(count):
            any_left = False
            for k in range(self.width):
                self.running[k] = (
                    sqrt(self.measured[k]) > target[k] and self.steps[k] < budget[k]
                    and self.squared[k] > self.noise[k])
                any_left |= self.running[k]
            if not any_left:
                return False
            if not self.step():
                return False
        return True

    cdef bint step(self) noexcept nogil:
        """One step of each that runs; whether any was left to take."""
        cdef double length[WIDTH]
        cdef double beta[WIDTH]
        cdef double old[WIDTH]
        cdef int k, T = self.width
        cdef Py_ssize_t j
        cdef bint moved = False
        if not self.begun:
            self.d[:, :] = self.g
        if T == 1:
            return self.step_alone()
        self.begun = True
        self.product.apply(&self.d[0, 0], &self.D[0], &self.q[0, 0], &self.curvature[0])
        for j in range(self.size):
            for k in range(T):
                self.curvature[k] += self.D[j] * self.d[j, k] * self.d[j, k]
        for k in range(T):
            length[k] = 0
            old[k] = self.squared[k]
            if self.running[k]:
                if self.curvature[k] > 0:
                    length[k] = self.squared[k] / self.curvature[k]
                if length[k] > 0:
                    self.steps[k] += 1
                    moved = True
                else:
                    self.noise[k] = self.squared[k]
        if not moved:
            return False
        for j in range(self.size):
            for k in range(T):
                self.x[j, k] += length[k] * self.d[j, k]
                self.g[j, k] -= length[k] * self.q[j, k]
        self.measure_gradient()
        for k in range(T):
            beta[k] = self.squared[k] / old[k] if self.running[k] and old[k] > 0 else 0.0
        for j in range(self.size):
            for k in range(T):
                if self.running[k]:
                    self.d[j, k] = self.g[j, k] + beta[k] * self.d[j, k]
        return True

    cdef bint step_alone(self) noexcept nogil:
        """The same for one system."""
        cdef double* d = &self.d[0, 0]
        cdef double curvature, length, old = self.squared[0]
        self.product.apply(d, NULL, &self.q[0, 0], &curvature)
        if not self.begun:
            self.paid = leaves.creg_square_f64(self.size, 1.0, d, 0.0, &self.D[0])
            self.begun = True
        curvature += self.paid
        if self.energy:
            self.measured[0] = max(
                curvature + self.beta * self.beta * self.last - self.D[0] * old, 0.0)
            if sqrt(self.measured[0]) <= self.goal:
                return False
            self.last = curvature
        length = old / curvature if curvature > 0 else 0.0
        if not length > 0:
            self.noise[0] = old
            return False
        self.steps[0] += 1
        self.length, self.turning = length, False
        self.squared[0] = self.in_parts()
        self.measure_one()
        self.beta, self.turning = self.squared[0] / old, True
        self.paid = self.in_parts()
        return True

    cdef double in_parts(self) noexcept nogil:
        """The sum of what the parts of a step give."""
        cdef double total = 0
        cdef int k
        if self.n_parts == 1:
            self.part(0)
        else:
            self.product.run(UPDATE, self.n_parts)
        for k in range(self.n_parts):
            total += self.sums[k]
        return total

    cdef void part(self, Py_ssize_t k) noexcept nogil:
        cdef Py_ssize_t start = self.size * k // self.n_parts
        cdef Py_ssize_t n = self.size * (k + 1) // self.n_parts - start
        cdef const double* D = &self.D[0] + start
        cdef double* g = &self.g[0, 0] + start
        cdef double* d = &self.d[0, 0] + start
        if self.turning:
            self.sums[k] = _turn(n, self.beta, D, g, d)
        else:
            self.sums[k] = _advance(n, self.length, D, d, &self.q[0, 0] + start,
                                    &self.x[0, 0] + start, g)

    cdef void measure_gradient(self) noexcept nogil:
        cdef Py_ssize_t j
        cdef int k, T = self.width
        cdef double v
        if T == 1:
            self.squared[0] = leaves.creg_inner(self.size, &self.g[0, 0], &self.g[0, 0])
            self.measure_one()
            return
        for k in range(T):
            self.squared[k] = self.measured[k] = 0
        for j in range(self.size):
            for k in range(T):
                v = self.g[j, k] * self.g[j, k]
                self.squared[k] += v
                self.measured[k] += self.measure[j] * v if self.measure != NULL else v

    cdef void measure_one(self) noexcept nogil:
        if self.energy:
            return
        self.measured[0] = self.squared[0]
        if self.measure != NULL:
            self.measured[0] = leaves.creg_square_f64(
                self.size, 1.0, &self.g[0, 0], 0.0, self.measure)


# Each goes through its vectors once: where these are long, that is what they cost.
cdef double _advance(Py_ssize_t n, double length, const double* D, const double* d,
                     const double* q, double* x, double* g) noexcept nogil:
    """x += length d, g -= length (q + D d), and g'g."""
    cdef double[4] squares
    cdef Py_ssize_t j, start = 0
    cdef int i
    for i in range(4):
        squares[i] = 0
    while start + 4 <= n:
        for i in range(4):
            j = start + i
            x[j] += length * d[j]
            g[j] -= length * (q[j] + D[j] * d[j])
            squares[i] += g[j] * g[j]
        start += 4
    for j in range(start, n):
        x[j] += length * d[j]
        g[j] -= length * (q[j] + D[j] * d[j])
        squares[0] += g[j] * g[j]
    return (squares[0] + squares[1]) + (squares[2] + squares[3])


cdef double _turn(Py_ssize_t n, double beta, const double* D, const double* g,
                  double* d) noexcept nogil:
    """d = g + beta d, and sum_j D_j d_j^2."""
    cdef double[4] squares
    cdef Py_ssize_t j, start = 0
    cdef int i
    for i in range(4):
        squares[i] = 0
    while start + 4 <= n:
        for i in range(4):
            j = start + i
            d[j] = g[j] + beta * d[j]
            squares[i] += D[j] * d[j] * d[j]
        start += 4
    for j in range(start, n):
        d[j] = g[j] + beta * d[j]
        squares[0] += D[j] * d[j] * d[j]
    return (squares[0] + squares[1]) + (squares[2] + squares[3])


cdef class ShiftedConjugateGradients(Work):
    """(A + shift_k I) x_k = b for all shifts, from the products of the smallest alone.

    The residual of x_k is zeta_k r, r that of the smallest shift; with its steps a and ratios b,

        rho' = 1 / (1 + a (shift_k - shift_0) + a b_ / a_ (1 - rho)),   zeta' = rho' zeta
        x_k += a rho' p_k,   p_k = zeta' r' + b rho'^2 p_k

    (a_, b_ those of the step before).  A shift is left alone once zeta_k |r| is at most the target.

    Parameters
    ----------
    product : NormalProduct
        Of width 1.
    shifts : ndarray of shape (n_shifts,)
        >= 0, ascending.
    b : ndarray of shape (size,)

    Attributes
    ----------
    x : ndarray of shape (n_shifts, size)
    n_iter : ndarray of shape (n_shifts,)
        Steps until each was left alone.
    """

    cdef NormalProduct product
    cdef Py_ssize_t size, n_shifts
    cdef const double[::1] shifts
    cdef double[::1] D, q, rho, zeta, length, beta
    cdef readonly double[::1] r
    cdef readonly double[:, ::1] x, p
    cdef Py_ssize_t[::1] steps, ends
    cdef unsigned char[::1] running
    cdef double squared, a, ratio

    def __init__(self, NormalProduct product, shifts, b):
        cdef Py_ssize_t count = len(shifts), size = product.size
        self.product, self.size, self.n_shifts = product, size, count
        self.shifts = np.ascontiguousarray(shifts, dtype=np.float64)
        self.D = np.full(size, self.shifts[0])
        self.r, self.q = np.array(b, dtype=np.float64), np.empty(size)
        self.x = np.zeros((count, size))
        self.p = np.tile(self.r, (count, 1))
        self.rho, self.zeta = np.ones(count), np.ones(count)
        self.length, self.beta = np.zeros(count), np.zeros(count)
        self.steps = np.zeros(count, dtype=np.intp)
        self.running = np.ones(count, dtype=np.uint8)
        self.ends = np.linspace(0, size, SHIFTS_AT_ONCE + 1).astype(np.intp)
        self.squared, self.a, self.ratio = float(np.square(self.r).sum()), 1.0, 0.0

    @property
    def n_iter(self):
        return np.array(self.steps)

    def run(self, double target, Py_ssize_t budget):
        """Steps until all residual norms are at most target, or `budget` steps."""
        cdef Py_ssize_t taken = 0, here
        cdef Py_ssize_t count = max(<Py_ssize_t> 1, <Py_ssize_t> (
            PATIENCE // max(self.product.storage.size, self.size * self.n_shifts)))
        cdef bint go_on = True
        self.product.work = self
        try:
            while go_on and taken < budget:
                here = min(count, budget - taken)
                with nogil:
                    go_on = self.some_steps(here, target)
                taken += here
                PyErr_CheckSignals()
        finally:
            self.product.work = None

    cdef bint some_steps(self, Py_ssize_t count, double target) noexcept nogil:
        cdef Py_ssize_t _, k
        cdef bint any_left
        for _ in range(count):
            any_left = False
            for k in range(self.n_shifts):
                self.running[k] = self.running[k] and (
                    fabs(self.zeta[k]) * sqrt(self.squared) > target)
                any_left |= self.running[k]
            if not any_left or not self.step():
                return False
        return True

    cdef bint step(self) noexcept nogil:
        cdef double curvature, a, beta, rho, old = self.squared
        cdef Py_ssize_t j, k
        cdef const double* p = &self.p[0, 0]
        self.product.apply(p, &self.D[0], &self.q[0], &curvature)
        curvature += leaves.creg_square_f64(self.size, 1.0, p, 0.0, &self.D[0])
        if not curvature > 0:
            return False
        a = old / curvature
        self.squared = 0
        for j in range(self.size):
            self.r[j] -= a * self.q[j]
        self.squared = leaves.creg_inner(self.size, &self.r[0], &self.r[0])
        beta = self.squared / old if old > 0 else 0.0
        for k in range(self.n_shifts):
            if not self.running[k]:
                continue
            rho = 1.0 / (1.0 + a * (self.shifts[k] - self.shifts[0])
                         + a * self.ratio * (1.0 - self.rho[k]))
            self.zeta[k] *= rho
            self.rho[k] = rho
            self.length[k], self.beta[k] = a * rho, beta * rho * rho
            self.steps[k] += 1
        self.ratio = beta / a
        # the smallest goes on as long as any does: its direction is the Krylov space's
        self.product.run(UPDATE, SHIFTS_AT_ONCE)
        return old > 0

    cdef void part(self, Py_ssize_t k) noexcept nogil:
        """x_k and p_k over a range of the vectors."""
        cdef Py_ssize_t i, j
        cdef double length, beta, zeta
        cdef double* x
        cdef double* p
        cdef const double* r = &self.r[0]
        for i in range(self.n_shifts):
            if not self.running[i] and i > 0:
                continue
            length, beta, zeta = self.length[i], self.beta[i], self.zeta[i]
            x, p = &self.x[i, 0], &self.p[i, 0]
            for j in range(self.ends[k], self.ends[k + 1]):
                x[j] += length * p[j]
                p[j] = zeta * r[j] + beta * p[j]
