"""The active set of the working set, in Gram space: states, coefficients, correlations, factor.

With c = Z_W'S r and shifts delta (0 but in halved steps), g_j = c_j + delta_j - rho_j w_j, the
state of a feature is consistent when

    zero       |g_j| <= t_j                  at upper   g_j >= t_j        at lower   g_j <= -t_j
    free       g_j = t_j s_j,  w_j s_j > 0 where t_j > 0,  lower_j <= w_j <= upper_j

A feature whose column depends on the free ones cannot be free beside them: it stays out of the
factor, or is exchanged along the direction that leaves the fit as it is.
"""

from libc.math cimport NAN, fabs, fmax
from libc.string cimport memcpy, memset

from creg._data cimport leaves
from creg._lasso.conjugate_gradient cimport solve as conjugate_gradients
from creg._lasso.factor cimport Factor
from creg._lasso.sample_factor cimport SampleFactor
from creg._lasso.support_rows cimport SupportRows
from creg._lasso.vectors cimport Vectors
from creg._lasso.working_gram cimport WorkingGram

cdef double DEPENDENT = 1e-12  # pivots this small, relative
cdef Py_ssize_t FEWEST_ITERATIVE = 500
cdef Py_ssize_t FEWEST_UPDATED = 2048  # in place of updates of a factor
cdef double BLOCKED = 30.0
cdef double UPDATED = 8.0      # as fast are those of its updates
cdef Py_ssize_t SOLVES = 4     # at a penalty, as many steps as the first needs
cdef double FACTORED_TWICE = 1.26  # cubed: a penalty takes about two factors there, else one
cdef double SMALLEST_RIDGE = 1e-7  # of the squared norm, for solves in the space of the samples


cdef class ActiveSet(Vectors):
    """States and factor of a working set; `norm_y` is the scale of correlations."""

    def __init__(self, WorkingGram gram, double norm_y):
        self.gram = gram
        self.norm_y = norm_y
        self.factor = Factor()
        self.support = SupportRows(gram)
        self.reserve(gram.capacity if gram.capacity else 32)

    def reserve(self, Py_ssize_t capacity):
        """Room for so many features; what is there stays."""
        if capacity <= self.capacity:
            return
        self.factor.reserve(capacity, self.is_factored())
        self._make_vectors(capacity, self.factor.block_width)
        if self.by_samples:
            self.samples.reserve(capacity)
        self.capacity = capacity

    cdef int extend(self) except -1 nogil:
        """As many features as the Gram block has."""
        if self.gram.capacity > self.capacity:
            with gil:
                self.reserve(self.gram.capacity)
        if self.gram.is_sparse and self.gram.size >= FEWEST_ITERATIVE and (
                self.gram.entries > self.support.entries):
            with gil:
                self.support.reserve()
        self.size = self.gram.size

    cdef int choose_space(self, double l2) except -1 nogil:
        """Whether this l2, which no feature is without, is solved for in the space of the samples:
        from the first penalty on at which they are so much fewer than the free features.  True
        where that is another way than before."""
        cdef Py_ssize_t k
        cdef bint before = self.by_samples
        cdef bint fits = not self.gram.is_sparse and self.gram.whole == NULL and l2 > 0.0
        self.l2 = l2
        for k in range(self.size if fits else 0):
            fits &= self.rho[k] > SMALLEST_RIDGE * self.norm[k] * self.norm[k]
        if fits and not self.by_samples and (
                self.factor.size > FACTORED_TWICE * self.gram.view.n_samples):
            with gil:
                self._begin_by_samples()
            self.by_samples, self.iterative = True, False
        elif self.by_samples and not fits:
            with gil:
                self.gram.store_lines()
            self.by_samples = False
        return self.by_samples != before

    cdef _begin_by_samples(self):
        if self.samples is None:
            self.samples = SampleFactor(self.gram)
        self.samples.reserve(self.capacity)
        self.gram.forget_lines()

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

    cdef void newton(self) noexcept nogil:
        """w_A += (L L')^-1 (c_A + delta_A - rho_A w_A - t_A s_A); c is left for `follow`.

        After an exchange only what has entered, last in the factor, has a right-hand side: the
        solve then begins there.
        """
        cdef Py_ssize_t i, k, met = 0, size = self.factor.size
        for i in range(size):
            k = self.active[i]
            self.d[i] = self.right_hand_side(k)
            met += met == i and self.is_met(k, self.d[i])
        if met < size:
            memset(self.d, 0, met * sizeof(double))
        if not self.solve(self.d):
            self.newton()
            return
        for i in range(size):
            k = self.active[i]
            self.w[k] += self.d[i]
            self.d[i] = -self.d[i]
        self.n_solves += 1
        self.is_solved = self.is_behind = True

    cdef void follow(self) noexcept nogil:
        """c after `newton`."""
        cdef Py_ssize_t k
        self.is_behind = False
        if not self.by_samples:
            self.move(self.active, self.d, self.factor.size)
            return
        for k in range(self.size):
            self.c[k] -= self.samples.product[k]
        self.drift += self.samples.rounding

    cdef void move(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count) noexcept nogil:
        """c += sum_i a_i G_(rows_i)."""
        cdef Py_ssize_t i
        for i in range(count):
            self.drift += fabs(a[i]) * self.error_norm[rows[i]]
        self.gram.add_rows(rows, a, count, self.c)

    cdef bint solve(self, double* d) noexcept nogil:
        """d := (G_AA + diag(rho_A))^-1 d; False, d as it was, where the factor has been made for
        it first and the active set may be another."""
        cdef Py_ssize_t i
        if self.by_samples:
            if not self.samples.solve(self.active, self.factor.size, self.rho, self.l2, d):
                for i in range(self.factor.size):
                    d[i] = NAN
            return True
        if self.iterative or self.trial:
            if self._iterate(d):
                return True
            if self.iterative:
                self.give_up()
                return False
        self.factor.solve(d)
        return True

    cdef void give_up(self) noexcept nogil:
        """A factor again; where every penalty would update it, for good."""
        self.is_hopeless = True
        self.refactor_by(False)

    cdef bint _iterate(self, double* d) noexcept nogil:
        """`solve` by conjugate gradients; False, d as it was, where they take too many steps."""
        cdef Py_ssize_t steps, most = self.most_steps
        if self.trial:
            most //= SOLVES
        steps = conjugate_gradients(self.support, self, self.factor.size, most, self.allowance, d,
                                    self.factor.block)
        self.n_steps += steps if steps >= 0 else most
        if self.gram.signals.caught:
            return True
        if steps >= 0:
            self.last_steps = max(steps, self.last_steps - self.last_steps // 8)
        else:
            self.last_steps = 2 * self.most_steps
        if self.trial:
            self.trial = False
            if steps >= 0:
                self.iterative = True
                self.refactor()
        return steps >= 0

    cdef void begin_penalty(self) noexcept nogil:
        """Conjugate gradients are tried where they may take less work at this penalty than updates
        of the factor took at the last one; only a solve that succeeds gives the factor up."""
        cdef double size = self.factor.size, work
        work = size * size * (0.5 * (self.factor.n_appended - self.appended_before)
                              + (self.factor.n_deleted - self.deleted_before))
        self.appended_before = self.factor.n_appended
        self.deleted_before = self.factor.n_deleted
        self.trial = self.is_solved = False
        if self.iterative:
            self.most_steps = max(self.most_steps, self._steps_of_factor())
        elif (self.is_factored() and self.factor.size >= FEWEST_UPDATED and not self.is_hopeless
              and self._may_iterate(True)):
            self.most_steps = <Py_ssize_t> (work / (UPDATED * self.gram.cost()))
            self.trial = self.most_steps > max(self.last_steps, SOLVES)

    cdef bint _may_iterate(self, bint without_ridge) noexcept nogil:
        """Whether what conjugate gradients leave has a bounded gap, and they are worth a try."""
        cdef bint has_ridge = True, has_threshold = True
        cdef Py_ssize_t i
        if not self.gram.is_sparse or self.factor.size < FEWEST_ITERATIVE:
            return False
        for i in range(self.factor.size):
            has_ridge &= self.rho[self.active[i]] > 0.0
            has_threshold &= self.t[self.active[i]] > 0.0
        return has_ridge or (without_ridge and has_threshold)

    cdef Py_ssize_t _steps_of_factor(self) noexcept nogil:
        """As many steps as a factor takes; its multiplications are BLOCKED times as fast."""
        cdef double size = self.factor.size
        return <Py_ssize_t> (size * size * size / 3.0 / (BLOCKED * self.gram.cost()))

    cdef bint choose_iterative(self) noexcept nogil:
        """Whether conjugate gradients are expected to take less work than a factor does."""
        if not self._may_iterate(self.iterative):
            return False
        self.most_steps = self._steps_of_factor()
        return self.most_steps > self.last_steps

    cdef void exchange(self, Py_ssize_t count) noexcept nogil:
        """Move the changed features to their targets."""
        cdef Py_ssize_t i, k, entering = 0, leaving = 0
        cdef double w
        for i in range(count):
            k = self.changed[i]
            if self.target[k] == POSITIVE or self.target[k] == NEGATIVE:
                self.changed[entering] = k
                entering += 1
                continue
            self.state[k] = self.target[k]
            w = (self.upper[k] if self.state[k] == AT_UPPER
                 else self.lower[k] if self.state[k] == AT_LOWER else 0.0)
            self.leaving[leaving], self.d[leaving] = k, self.w[k] - w
            self.w[k] = w
            leaving += 1
        if leaving:
            self.move(self.leaving, self.d, leaving)
            self.drop()
            self.forget_dependence()
        self.append(entering)

    cdef void forget_dependence(self) noexcept nogil:
        """Something left the factor: what depended on it may enter now."""
        cdef Py_ssize_t k
        for k in range(self.size):
            if self.dependent[k] == DEPENDS:
                self.dependent[k] = DEPENDED

    cdef void forget_counts(self) noexcept nogil:
        """The next round's exchanges are not compared with those before."""
        self.fewest, self.tries = self.size + 1, 2

    cdef void place(self, Py_ssize_t k, double w) noexcept nogil:
        """w_k := w."""
        cdef double change = self.w[k] - w
        self.w[k] = w
        if change != 0.0:
            self.drift += fabs(change) * self.error_norm[k]
            leaves.creg_add(self.size, change, self.gram.row(k), self.c)

    cdef void drop(self) noexcept nogil:
        """Take what is not free any more out of the factor."""
        cdef Py_ssize_t i, k, gone, kept = 0, size = self.factor.size
        cdef double work = 0.0, limit
        self.is_solved = False
        for i in range(size):
            k = self.active[i]
            if not self.is_free(k):
                work += 3.0 * (size - i) * (size - i)
            else:
                kept += 1
        limit = 1e3 + kept * kept * (kept / 9.0 + 8.0)
        if work > limit and self.is_factored():
            self.collect()
            self.refactor_by(False)
            return
        kept = gone = 0
        for i in range(size):
            k = self.active[i]
            if self.is_free(k):
                self.active[kept] = k
                kept += 1
            else:
                self.leaving[gone] = i
                gone += 1
        if self.is_factored():
            self.factor.delete(self.leaving, gone)
        else:
            self.factor.clear(kept)

    cdef void append(self, Py_ssize_t count) noexcept nogil:
        """Free the first `count` changed features, but for those that depend on the free ones."""
        cdef Py_ssize_t start = 0, width, i, j, k, kept
        cdef Py_ssize_t size
        cdef double* block = self.factor.block
        cdef const double* row
        self.is_solved = False
        kept = 0
        for i in range(count):
            if not self.is_free(self.changed[i]):
                self.changed[kept] = self.changed[i]
                kept += 1
        count = kept
        if not self.is_factored():
            self.append_unfactored(count)
            return
        while start < count:
            width = min(self.factor.block_width, count - start)
            size = self.factor.size
            self.factor.open(width)
            for j in range(width):
                row = self.gram.row(self.changed[start + j])
                for i in range(size):
                    block[self.factor.slot[i] * width + j] = row[self.active[i]]
                for i in range(width):
                    self.corner[j * width + i] = row[self.changed[start + i]]
                self.corner[j * width + j] += self.rho[self.changed[start + j]]
            self.factor.append(self.corner, width, DEPENDENT, self.accepted)
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

    cdef void append_unfactored(self, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t i, k, size = self.factor.size
        for i in range(count):
            k = self.changed[i]
            self.state[k] = self.target[k]
            self.active[size + i] = k
        self.factor.clear(size + count)

    cdef void refactor(self) noexcept nogil:
        """The factor of the free features afresh, or none where it is done without."""
        self.collect()
        if self.by_samples:
            self.forget_dependence()
        else:
            self.refactor_by(self.choose_iterative())

    cdef void collect(self) noexcept nogil:
        """The free features into `active`, in ascending order."""
        cdef Py_ssize_t k, size = 0
        self.is_solved = False
        for k in range(self.size):
            if self.is_free(k):
                self.active[size] = k
                size += 1
        self.factor.clear(size)

    cdef void refactor_by(self, bint iterative) noexcept nogil:
        """The factor of `active`; what depends on others is set free no more."""
        cdef Py_ssize_t i, j, k, size = self.factor.size, ld = self.factor.capacity
        cdef double* L = self.factor.L
        cdef const double* row
        cdef Py_ssize_t* changed
        self.iterative = iterative
        if iterative:
            self.forget_dependence()
            return
        for j in range(size):
            row = self.gram.row(self.active[j])
            for i in range(j, size):
                L[j * ld + i] = row[self.active[i]]
            L[j * ld + j] += self.rho[self.active[j]]
        if size == 0 or self.factor.refactor(DEPENDENT):
            return
        # a caller may hold what is to enter in `changed`
        changed, self.changed = self.changed, self.spare
        self.factor.clear(0)
        for i in range(size):
            k = self.active[i]
            self.changed[i] = k
            self.target[k] = self.state[k]
            self.state[k] = ZERO
        self.append(size)
        for k in range(self.size):
            if self.state[k] == ZERO and self.w[k] != 0.0:
                self.absorb(k)
        self.spare, self.changed = self.changed, changed

    cdef void absorb(self, Py_ssize_t k) noexcept nogil:
        """Put the coefficient of a dependent feature on the free ones that it depends on.

        The fit stays; where a free feature reaches zero or a bound first, k takes its place.
        """
        cdef Py_ssize_t i, j, leaving, size, rounds = self.factor.size + 1
        cdef double rate, limit, x
        cdef const double* row
        while rounds > 0:
            rounds -= 1
            size, x, leaving = self.factor.size, 1.0, -1
            row = self.gram.row(k)
            for i in range(size):
                self.d[i] = row[self.active[i]]
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
            self.move(self.active, self.d, size)
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
            if (self.is_free(k)) and self.target[k] == ZERO:
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
