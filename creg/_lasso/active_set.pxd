from libc.math cimport fabs, fmax

from creg._lasso.factor cimport Factor
from creg._lasso.sample_factor cimport SampleFactor
from creg._lasso.support_rows cimport SupportRows
from creg._lasso.vectors cimport Vectors
from creg._lasso.working_gram cimport WorkingGram


cdef enum:
    MOST_SWAPS = 100
    DEPENDS = 1       # on the free features, so it cannot be free
    DEPENDED = 2      # at an earlier time

cdef enum State:
    ZERO = 0
    POSITIVE = 1   # free; without a threshold the sign does not matter
    NEGATIVE = -1
    AT_UPPER = 2
    AT_LOWER = -2


cdef class ActiveSet(Vectors):
    cdef readonly WorkingGram gram
    cdef readonly Factor factor        # of G_AA + diag(rho_A), in the order of `active`
    cdef readonly long long n_solves
    cdef readonly long long n_failures
    cdef readonly long long n_steps     # of conjugate gradients
    cdef readonly bint iterative       # no factor: conjugate gradients
    cdef readonly bint by_samples      # no factor: solves in the space of the samples
    cdef SampleFactor samples
    cdef SupportRows support           # for conjugate gradients
    cdef double l2                     # rho / b
    cdef bint trial                    # conjugate gradients are to try a solve beside the factor
    cdef bint is_hopeless              # to do without updates of a factor
    cdef long long appended_before, deleted_before  # the last penalty
    cdef Py_ssize_t most_steps, last_steps
    cdef Py_ssize_t fewest, tries      # exchanges of a round so far; rounds left without fewer
    cdef bint is_solved                # for this active set, if perhaps loosely
    cdef bint is_behind                # c does not follow the last solve yet
    cdef double slack                  # relative excess that does not count
    cdef double drift                  # sum of |change of w_k| error_norm_k since c was exact
    cdef double allowance              # duality gap that conjugate gradients may leave

    cdef inline bint is_free(self, Py_ssize_t k) noexcept nogil:
        return self.state[k] == POSITIVE or self.state[k] == NEGATIVE

    cdef inline bint is_factored(self) noexcept nogil:
        return not (self.iterative or self.by_samples)

    cdef inline double right_hand_side(self, Py_ssize_t k) noexcept nogil:
        return (self.c[k] + self.shift[k] - self.rho[k] * self.w[k]
                - self.t[k] * self.state[k])

    cdef inline bint is_met(self, Py_ssize_t k, double rest) noexcept nogil:
        """Whether this right-hand side of a free feature needs no solve."""
        return fabs(rest) <= 1e-10 * fmax(self.t[k], 1e-3 * self.norm_y)

    cdef inline bint is_interrupted(self) noexcept nogil:
        """Whether to end rather than solve once more."""
        cdef double size = self.factor.size
        return self.gram.signals.stop(size * (size + self.size))

    cdef int choose_space(self, double l2) except -1 nogil
    cdef _begin_by_samples(self)
    cdef int extend(self) except -1 nogil
    cdef void refactor(self) noexcept nogil
    cdef void refactor_by(self, bint iterative) noexcept nogil
    cdef void collect(self) noexcept nogil
    cdef bint solve(self, double* d) noexcept nogil
    cdef void move(self, const Py_ssize_t* rows, const double* a, Py_ssize_t count) noexcept nogil
    cdef void give_up(self) noexcept nogil
    cdef bint _iterate(self, double* d) noexcept nogil
    cdef bint _may_iterate(self, bint without_ridge) noexcept nogil
    cdef void begin_penalty(self) noexcept nogil
    cdef Py_ssize_t _steps_of_factor(self) noexcept nogil
    cdef bint choose_iterative(self) noexcept nogil
    cdef void append_unfactored(self, Py_ssize_t count) noexcept nogil
    cdef void newton(self) noexcept nogil
    cdef void follow(self) noexcept nogil
    cdef void exchange(self, Py_ssize_t count) noexcept nogil
    cdef void place(self, Py_ssize_t k, double w) noexcept nogil
    cdef void drop(self) noexcept nogil
    cdef void append(self, Py_ssize_t count) noexcept nogil
    cdef void restore(self) noexcept nogil
    cdef void classify(self, Py_ssize_t start) noexcept nogil
    cdef void forget_dependence(self) noexcept nogil
    cdef void forget_counts(self) noexcept nogil
    cdef void absorb(self, Py_ssize_t k) noexcept nogil
    cdef void settle(self, Py_ssize_t k) noexcept nogil
