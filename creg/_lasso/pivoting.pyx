"""Block principal pivoting on the working set, in Gram space.

With c = Z_W'S r and shifts delta (0 but in halved steps), g_j = c_j + delta_j - rho_j w_j, the
state of a feature is consistent when

    zero       |g_j| <= t_j                  at upper   g_j >= t_j        at lower   g_j <= -t_j
    free       g_j = t_j s_j,  w_j s_j > 0 where t_j > 0,  lower_j <= w_j <= upper_j

Each round solves for the free features exactly and moves every inconsistent one at once.
Portugal, Judice & Vicente, "A comparison of block pivoting and interior-point algorithms for linear
least squares problems with nonnegative variables" (Math. Comp. 63, 1994); Kim & Park, "Fast active-set-type
algorithms for L1-regularized linear regression" (AISTATS 2010).

Where the number of inconsistent features does not fall, the step is halved: the state before is
optimal for the gradient shifted by delta, a convex problem in every case, and delta is taken away
in parts.
"""

from libc.math cimport INFINITY, fabs, fmax, fmin
from libc.string cimport memcpy

import numpy as np

from creg._data cimport leaves
from creg._data.status cimport CONVERGED, MAX_ITER, STALLED, Status
from creg._lasso.factor cimport Factor

cdef enum:
    BLOCK = 64        # columns that enter the factor at once
    MOST_SWAPS = 100
    DEPENDS = 1       # on the free features, so it cannot be free
    DEPENDED = 2      # at an earlier time

cdef double DEPENDENT = 1e-12    # pivots this small, relative
cdef double ENTER = 1e-9         # relative excess over a threshold that counts
cdef double STATIONARY = 1e-10
cdef double SMALLEST_STEP = 1e-3


cdef class Pivoting:
    """The working set's Gram block, factor and states; `norm_y` is the scale of correlations."""

    def __init__(self, double norm_y):
        cdef double[::1] corner = np.empty(BLOCK * BLOCK)
        self.norm_y = norm_y
        self.factor = Factor(32, BLOCK)
        self._arrays = {"corner": corner}
        self.corner = &corner[0]
        self.reserve(32)

    def reserve(self, Py_ssize_t capacity):
        """Room for so many features; what is there stays."""
        cdef double[:, ::1] G
        cdef double[::1] row
        cdef signed char[::1] states
        cdef unsigned char[::1] flags
        cdef Py_ssize_t[::1] indices
        if capacity <= self.capacity:
            return
        capacity = max(capacity, 2 * self.capacity)
        kept = self._arrays
        G = np.empty((capacity, capacity))
        if self.size:
            np.asarray(G)[:self.size, :self.size] = kept["G"][:self.size, :self.size]
        arrays = {"corner": kept["corner"], "G": np.asarray(G)}
        for name, dtype in _VECTORS.items():
            arrays[name] = np.zeros(capacity, dtype=dtype)
            if self.size:
                arrays[name][:self.size] = kept[name][:self.size]
        self._arrays, self.capacity, self.G = arrays, capacity, &G[0, 0]
        self.factor.reserve(capacity)
        self._point_to(arrays)

    cdef _point_to(self, arrays):
        self.w, self.c, self.t = _real(arrays["w"]), _real(arrays["c"]), _real(arrays["t"])
        self.rho, self.norm = _real(arrays["rho"]), _real(arrays["norm"])
        self.lower, self.upper = _real(arrays["lower"]), _real(arrays["upper"])
        self.delta, self.shift = _real(arrays["delta"]), _real(arrays["shift"])
        self.d = _real(arrays["d"])
        self.kept_w, self.kept_c = _real(arrays["kept_w"]), _real(arrays["kept_c"])
        self.state, self.target = _state(arrays["state"]), _state(arrays["target"])
        self.kept_state = _state(arrays["kept_state"])
        self.dependent, self.accepted = _flag(arrays["dependent"]), _flag(arrays["accepted"])
        self.active, self.changed = _index(arrays["active"]), _index(arrays["changed"])

    cdef void classify(self, Py_ssize_t start) noexcept nogil:
        """States of the features from `start` on by their coefficients; then the factor afresh."""
        cdef Py_ssize_t k
        for k in range(start, self.size):
            self.dependent[k] = 0
            if self.w[k] >= self.upper[k] and (self.upper[k] > 0.0 or self.t[k] == 0.0):
                self.state[k] = AT_UPPER
            elif self.w[k] <= self.lower[k] and (self.lower[k] < 0.0 or self.t[k] == 0.0):
                self.state[k] = AT_LOWER
            elif self.w[k] > 0.0 or (self.w[k] == 0.0 and self.t[k] == 0.0):
                self.state[k] = POSITIVE
            else:
                self.state[k] = NEGATIVE if self.w[k] < 0.0 else ZERO
        self.refactor()

    cdef Status solve(self, long long max_solves, bint refine) noexcept nogil:
        """Make every state consistent; STALLED where halved steps do not get there either.

        refine: solve at least once, however small the right-hand side.
        """
        cdef long long last = self.n_solves + max_solves
        cdef Py_ssize_t k
        cdef Status status
        for k in range(self.size):
            self.shift[k] = 0.0
        self.keep()
        status = self.pivot(last, refine)
        if status != STALLED:
            return status
        self.n_failures += 1
        self.restore()
        return self.halve(last)

    cdef Status halve(self, long long last) noexcept nogil:
        """Take delta away in parts, each doubled after success and quartered after failure."""
        cdef double done = 0.0, step = 0.25
        cdef Py_ssize_t k
        cdef Status status
        self.find_delta()
        while done < 1.0:
            step = fmin(step, 1.0 - done)
            if 1.0 - done - step < 1e-9:
                step = 1.0 - done
            for k in range(self.size):
                self.shift[k] = (1.0 - done - step) * self.delta[k]
            status = self.pivot(last, False)
            if status == CONVERGED:
                done += step
                step *= 2.0
                self.keep()
            elif status == MAX_ITER:
                return status
            else:
                self.restore()
                step *= 0.25
                if step < SMALLEST_STEP:
                    return STALLED
        return CONVERGED

    cdef void find_delta(self) noexcept nogil:
        """The shift at which the present state is optimal, jittered so that entrants do not tie."""
        cdef Py_ssize_t k
        cdef double g, t, u, jitter
        for k in range(self.size):
            t = self.t[k]
            g = self.c[k] - self.rho[k] * self.w[k]
            jitter = 1.0 + 0.5 * <double> ((<unsigned long long> k * 2654435761ULL) % 65536ULL) / 65536.0
            if self.state[k] == POSITIVE or self.state[k] == NEGATIVE:
                self.delta[k] = t * sign_of(self.state[k]) - g
            elif self.state[k] == AT_UPPER:
                self.delta[k] = fmax(0.0, t - g) * jitter
            elif self.state[k] == AT_LOWER:
                self.delta[k] = fmin(0.0, -t - g) * jitter
            else:
                u = g
                if self.upper[k] > 0.0:
                    u = fmin(u, t)
                if self.lower[k] < 0.0:
                    u = fmax(u, -t)
                self.delta[k] = (u - g) * jitter

    cdef Status pivot(self, long long last, bint refine) noexcept nogil:
        """Rounds until consistent; STALLED as soon as the exchanges grow."""
        cdef Py_ssize_t count, firm = 0, best = self.size + 1, tries = 2, swaps = 0
        cdef bint solved = not refine and self.is_stationary()
        while True:
            if not solved:
                if self.n_solves >= last:
                    return MAX_ITER
                self.newton()
            solved = False
            count = self.find_changes(&firm)
            if count == 0:
                swaps += 1
                if swaps < MOST_SWAPS and self.swap_dependent():
                    continue
                return CONVERGED
            if firm > 2 * best + 4:
                return STALLED
            if firm == 0:
                swaps += 1
                if swaps >= MOST_SWAPS:
                    return STALLED
            elif firm < best:
                best, tries = firm, 2
            else:
                tries -= 1
                if tries < 0:
                    return STALLED
            self.exchange(count)

    cdef double right_hand_side(self, Py_ssize_t k) noexcept nogil:
        return (self.c[k] + self.shift[k] - self.rho[k] * self.w[k]
                - self.t[k] * sign_of(self.state[k]))

    cdef bint is_stationary(self) noexcept nogil:
        """Whether the free features need no solve."""
        cdef Py_ssize_t i, k
        for i in range(self.factor.size):
            k = self.active[i]
            if fabs(self.right_hand_side(k)) > STATIONARY * fmax(self.t[k], 1e-3 * self.norm_y):
                return False
        return True

    cdef void newton(self) noexcept nogil:
        """w_A += (L L')^-1 (c_A + delta_A - rho_A w_A - t_A s_A), and c with it."""
        cdef Py_ssize_t i, k, size = self.factor.size
        for i in range(size):
            self.d[i] = self.right_hand_side(self.active[i])
        self.factor.solve(self.d)
        for i in range(size):
            k = self.active[i]
            self.w[k] += self.d[i]
            self.d[i] = -self.d[i]
        self.add_rows(self.active, self.d, size)
        self.n_solves += 1

    cdef void add_rows(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count) noexcept nogil:
        """c += sum_i a_i G_(rows_i)."""
        cdef Py_ssize_t i = 0, m = self.capacity
        while i + 4 <= count:
            leaves.creg_add4(self.size, a + i, self.G + rows[i] * m, self.G + rows[i + 1] * m,
                             self.G + rows[i + 2] * m, self.G + rows[i + 3] * m, self.c)
            i += 4
        while i < count:
            leaves.creg_add(self.size, a[i], self.G + rows[i] * m, self.c)
            i += 1

    cdef Py_ssize_t find_changes(self, Py_ssize_t* firm) noexcept nogil:
        """Inconsistent features into `changed`, where they should go into `target`.

        firm: how many of them, those aside that have depended on the free ones before.
        """
        cdef Py_ssize_t k, count = 0
        cdef double g, t, w, tau
        cdef signed char state, to
        firm[0] = 0
        for k in range(self.size):
            state = self.state[k]
            t, w = self.t[k], self.w[k]
            to = state
            if state == POSITIVE or state == NEGATIVE:
                if w > self.upper[k]:
                    to = AT_UPPER
                elif w < self.lower[k]:
                    to = AT_LOWER
                elif t > 0.0 and w * state <= 0.0:
                    to = ZERO
            else:
                tau = 1e-11 * self.norm[k] * self.norm_y if t == 0.0 else 0.0
                g = self.c[k] + self.shift[k] - self.rho[k] * w
                if state == ZERO:
                    if self.dependent[k] != DEPENDS:
                        if g > t * (1.0 + ENTER) + tau and self.upper[k] > 0.0:
                            to = POSITIVE
                        elif -g > t * (1.0 + ENTER) + tau and self.lower[k] < 0.0:
                            to = NEGATIVE
                elif state == AT_UPPER:
                    if g < t * (1.0 - ENTER) - tau and self.dependent[k] != DEPENDS:
                        to = POSITIVE
                elif g > -t * (1.0 - ENTER) + tau and self.dependent[k] != DEPENDS:
                    to = NEGATIVE
            if to != state:
                self.changed[count] = k
                self.target[k] = to
                count += 1
                firm[0] += self.dependent[k] == 0
        return count

    cdef void exchange(self, Py_ssize_t count) noexcept nogil:
        """Move the changed features to their targets."""
        cdef Py_ssize_t i, k, entering = 0
        cdef bint leaving = False
        for i in range(count):
            k = self.changed[i]
            if self.target[k] == POSITIVE or self.target[k] == NEGATIVE:
                self.changed[entering] = k
                entering += 1
                continue
            self.state[k] = self.target[k]
            leaving = True
            self.place(k, self.upper[k] if self.state[k] == AT_UPPER
                       else self.lower[k] if self.state[k] == AT_LOWER else 0.0)
        if leaving:
            self.drop()
            self.forget_dependence()
        self.append(entering)

    cdef void forget_dependence(self) noexcept nogil:
        """Something left the factor: what depended on it may enter now."""
        cdef Py_ssize_t k
        for k in range(self.size):
            if self.dependent[k] == DEPENDS:
                self.dependent[k] = DEPENDED

    cdef void place(self, Py_ssize_t k, double w) noexcept nogil:
        """w_k := w."""
        cdef double change = self.w[k] - w
        self.w[k] = w
        if change != 0.0:
            leaves.creg_add(self.size, change, self.G + k * self.capacity, self.c)

    cdef void drop(self) noexcept nogil:
        """Take what is not free any more out of the factor."""
        cdef Py_ssize_t i, k, kept = 0, size = self.factor.size
        cdef double work = 0.0, limit
        for i in range(size):
            k = self.active[i]
            if self.state[k] != POSITIVE and self.state[k] != NEGATIVE:
                work += 3.0 * (size - i) * (size - i)
            else:
                kept += 1
        limit = 1e3 + kept * kept * (kept / 9.0 + 8.0)
        if work > limit:
            self.refactor()
            return
        for i in range(size - 1, -1, -1):
            k = self.active[i]
            if self.state[k] != POSITIVE and self.state[k] != NEGATIVE:
                self.factor.delete(i)
        kept = 0
        for i in range(size):
            k = self.active[i]
            if self.state[k] == POSITIVE or self.state[k] == NEGATIVE:
                self.active[kept] = k
                kept += 1

    cdef void append(self, Py_ssize_t count) noexcept nogil:
        """Free the first `count` changed features, but for those that depend on the free ones."""
        cdef Py_ssize_t start = 0, width, i, j, k, kept, m = self.capacity
        cdef Py_ssize_t size, ld = self.factor.capacity
        cdef double* block = self.factor.block
        cdef double* row
        while start < count:
            width = min(<Py_ssize_t> BLOCK, count - start)
            size = self.factor.size
            for j in range(width):
                row = self.G + self.changed[start + j] * m
                for i in range(size):
                    block[j * ld + i] = row[self.active[i]]
                for i in range(width):
                    self.corner[j * width + i] = row[self.changed[start + i]]
                self.corner[j * width + j] += self.rho[self.changed[start + j]]
            self.factor.append(block, self.corner, width, DEPENDENT, self.accepted)
            kept = size
            for j in range(width):
                k = self.changed[start + j]
                if self.accepted[j]:
                    self.state[k] = self.target[k]
                    self.active[kept] = k
                    kept += 1
                else:
                    self.dependent[k] = DEPENDS
            start += width

    cdef void refactor(self) noexcept nogil:
        """The factor of the free features afresh; what depends on others is set free no more."""
        cdef Py_ssize_t i, j, k, size = 0, m = self.capacity, ld = self.factor.capacity
        cdef double* L = self.factor.L
        cdef double* row
        for k in range(self.size):
            if self.state[k] == POSITIVE or self.state[k] == NEGATIVE:
                self.active[size] = k
                size += 1
        self.factor.size = size
        for j in range(size):
            row = self.G + self.active[j] * m
            for i in range(j, size):
                L[j * ld + i] = row[self.active[i]]
            L[j * ld + j] += self.rho[self.active[j]]
        if size == 0 or self.factor.refactor(DEPENDENT):
            return
        self.factor.size = 0
        for i in range(size):
            k = self.active[i]
            self.changed[i] = k
            self.target[k] = self.state[k]
            self.state[k] = ZERO
        self.append(size)
        for k in range(self.size):
            if self.state[k] == ZERO and self.w[k] != 0.0:
                self.absorb(k)

    cdef void absorb(self, Py_ssize_t k) noexcept nogil:
        """Put the coefficient of a dependent feature on the free ones that it depends on.

        The fit stays; where a free feature reaches zero or a bound first, k takes its place.
        """
        cdef Py_ssize_t i, j, leaving, size, rounds = self.factor.size + 1
        cdef double rate, limit, x
        while rounds > 0:
            rounds -= 1
            size, x, leaving = self.factor.size, 1.0, -1
            for i in range(size):
                self.d[i] = self.G[k * self.capacity + self.active[i]]
            self.factor.solve(self.d)
            for i in range(size):
                j = self.active[i]
                rate = self.d[i] * self.w[k]
                if rate == 0.0:
                    continue
                limit = (self.upper[j] if rate > 0.0 else self.lower[j]) - self.w[j]
                if self.t[j] > 0.0 and self.w[j] * rate < 0.0:
                    limit = -self.w[j]
                if limit < x * rate if rate > 0.0 else limit > x * rate:
                    x, leaving = fmax(limit / rate, 0.0), i
            for i in range(size):
                self.d[i] *= x * self.w[k]
                self.w[self.active[i]] += self.d[i]
                self.d[i] = -self.d[i]
            self.add_rows(self.active, self.d, size)
            self.place(k, (1.0 - x) * self.w[k])
            if leaving < 0:
                return
            self.settle(self.active[leaving])
            self.drop()
            self.changed[0] = k
            self.target[k] = POSITIVE if self.w[k] > 0.0 else NEGATIVE
            self.append(1)
            if self.state[k] != ZERO:
                return
        self.place(k, 0.0)

    cdef void settle(self, Py_ssize_t k) noexcept nogil:
        """A free feature that has come to zero or a bound stays there."""
        if self.upper[k] - self.w[k] <= 1e-12 * fabs(self.w[k]) and self.upper[k] != 0.0:
            self.state[k] = AT_UPPER
            self.place(k, self.upper[k])
        elif self.w[k] - self.lower[k] <= 1e-12 * fabs(self.w[k]) and self.lower[k] != 0.0:
            self.state[k] = AT_LOWER
            self.place(k, self.lower[k])
        else:
            self.state[k] = ZERO
            self.place(k, 0.0)

    cdef bint swap_dependent(self) noexcept nogil:
        """Exchange the worst violator among the dependent features for a free one.

        Along w_k += s x, w_A -= s x beta, beta = (G_AA)^-1 G_Ak, the fit stays and the penalty falls
        until a feature reaches zero or a bound.
        """
        cdef Py_ssize_t i, k, worst = -1, leaving = -1, size = self.factor.size
        cdef double g, excess, most = 0.0, s = 1.0, x, limit, rate
        for k in range(self.size):
            if self.dependent[k] != DEPENDS or self.state[k] != ZERO:
                continue
            g = self.c[k] + self.shift[k]
            excess = fabs(g) - self.t[k] * (1.0 + 1e-7) - 1e-11 * self.norm[k] * self.norm_y
            if excess > most and (self.upper[k] if g > 0.0 else -self.lower[k]) > 0.0:
                most, worst = excess, k
                s = 1.0 if g > 0.0 else -1.0
        if worst < 0:
            return False
        for i in range(size):
            self.d[i] = self.G[worst * self.capacity + self.active[i]]
        self.factor.solve(self.d)
        x = self.upper[worst] if s > 0.0 else -self.lower[worst]
        for i in range(size):
            k = self.active[i]
            rate = -s * self.d[i]
            if fabs(rate) < 1e-9:
                continue
            limit = (self.upper[k] if rate > 0.0 else self.lower[k]) - self.w[k]
            if self.t[k] > 0.0 and self.w[k] * rate < 0.0:
                limit = -self.w[k]
            if limit / rate < x:
                x, leaving = fmax(limit / rate, 0.0), i
        if x == INFINITY:
            return False
        return self.swap(worst, leaving, s, x)

    cdef bint swap(self, Py_ssize_t worst, Py_ssize_t leaving, double s, double x) noexcept nogil:
        """The exchange: `leaving` is a position in the factor, or -1 where a bound comes first."""
        cdef Py_ssize_t i, k, size = self.factor.size
        for i in range(size):
            self.d[i] *= s * x
            self.w[self.active[i]] -= self.d[i]
        self.add_rows(self.active, self.d, size)
        self.place(worst, self.w[worst] + s * x)
        if leaving < 0:
            self.state[worst] = AT_UPPER if s > 0.0 else AT_LOWER
            return True
        self.settle(self.active[leaving])
        self.drop()
        self.forget_dependence()
        self.changed[0] = worst
        self.target[worst] = POSITIVE if s > 0.0 else NEGATIVE
        self.append(1)
        if self.state[worst] == ZERO:
            self.place(worst, 0.0)
            return False
        return True

    cdef void keep(self) noexcept nogil:
        """Remember coefficients, gradient and states."""
        memcpy(self.kept_w, self.w, self.size * sizeof(double))
        memcpy(self.kept_c, self.c, self.size * sizeof(double))
        memcpy(self.kept_state, self.state, self.size)

    cdef void restore(self) noexcept nogil:
        """Go back to what was remembered; the factor follows by deleting and appending."""
        cdef Py_ssize_t i, k, entering = 0
        memcpy(self.w, self.kept_w, self.size * sizeof(double))
        memcpy(self.c, self.kept_c, self.size * sizeof(double))
        memcpy(self.state, self.kept_state, self.size)
        for k in range(self.size):
            self.target[k] = ZERO
            self.dependent[k] = 0
        for i in range(self.factor.size):
            self.target[self.active[i]] = POSITIVE
        for k in range(self.size):
            if (self.state[k] == POSITIVE or self.state[k] == NEGATIVE) and self.target[k] == ZERO:
                self.changed[entering] = k
                entering += 1
        for i in range(entering):
            k = self.changed[i]
            self.target[k] = self.state[k]
            self.state[k] = ZERO
        self.drop()
        self.append(entering)
        for i in range(entering):
            if self.state[self.changed[i]] == ZERO:
                self.place(self.changed[i], 0.0)


cdef inline double sign_of(signed char state) noexcept nogil:
    return <double> state


_VECTORS = {
    **dict.fromkeys(("w", "c", "t", "rho", "norm", "lower", "upper", "delta", "shift", "d",
                     "kept_w", "kept_c"), np.float64),
    **dict.fromkeys(("state", "target", "kept_state"), np.int8),
    **dict.fromkeys(("dependent", "accepted"), np.uint8),
    **dict.fromkeys(("active", "changed"), np.intp),
}


cdef double* _real(array):
    cdef double[::1] view = array
    return &view[0]


cdef signed char* _state(array):
    cdef signed char[::1] view = array
    return &view[0]


cdef unsigned char* _flag(array):
    cdef unsigned char[::1] view = array
    return &view[0]


cdef Py_ssize_t* _index(array):
    cdef Py_ssize_t[::1] view = array
    return &view[0]
