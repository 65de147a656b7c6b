"""Whole paths, alone or together: the coefficients of every penalty, as columns of a CSC array."""

import numpy as np

from creg._data.status cimport Status
from creg._lasso.certifier cimport grown
from creg._lasso.shared_reads cimport SharedReads
from creg._lasso.working_set cimport WorkingSetSolver

from creg._data.threads import parallel


cdef class Trace:
    """A path that goes on by one penalty at a time.

    It ends after the first solution with more than `most` coefficients that are not zero.

    Parameters
    ----------
    solver : WorkingSetSolver
        One that pivots: its working set only grows.
    l1, l2 : ndarray of shape (k,)
    tolerance : float
        On the gaps.
    max_iter, most : int
    """

    cdef readonly WorkingSetSolver solver
    cdef bint waits                # for a read of X, at the penalty `done`
    cdef const double[::1] l1, l2
    cdef double tolerance, reads
    cdef long long max_iter
    cdef Py_ssize_t most, done, end
    cdef Py_ssize_t[::1] indptr, places
    cdef double[::1] values
    cdef double[:, ::1] facts

    def __init__(self, WorkingSetSolver solver, l1, l2, double tolerance, long long max_iter,
                 Py_ssize_t most):
        self.solver, self.l1, self.l2, self.tolerance = solver, l1, l2, tolerance
        self.max_iter, self.most = max_iter, most
        self.indptr = np.zeros(len(l1) + 1, dtype=np.intp)
        self.places, self.values = np.empty(256, dtype=np.intp), np.empty(256)
        self.facts = np.empty((len(l1), 5))

    cdef bint _is_over(self) noexcept nogil:
        cdef Py_ssize_t k = self.done
        return k == self.l1.shape[0] or (k and self.end - self.indptr[k - 1] > self.most)

    cdef int _step(self) except -1 nogil:
        """Solve at the next penalty; or ask for a read of X on the way."""
        cdef Py_ssize_t k = self.done, m = self.l1.shape[0], i, j, size
        cdef Status status
        if self.waits:
            status = self.solver.go_on()
        else:
            status = self.solver.run(self.l1[k], self.l2[k], self.l1[min(k + 1, m - 1)],
                                     self.tolerance, self.max_iter)
        self.waits = self.solver.asks
        if self.waits:
            return 0
        self.facts[k, 0] = self.solver.gap_reached
        self.facts[k, 1] = self.solver.half_squared_residual
        self.facts[k, 2] = self.solver.reads - self.reads
        self.facts[k, 3], self.facts[k, 4] = self.solver.iterations, <double> <int> status
        self.reads = self.solver.reads
        size = self.end + self.solver.n_working
        if size > self.places.shape[0]:
            with gil:
                self.places = grown(self.places, 2 * size)
                self.values = grown(self.values, 2 * size)
        for i in range(self.solver.n_working):
            j = self.solver.working[i]
            self.places[self.end], self.values[self.end] = i, self.solver.descent.w[j]
            self.end += self.solver.descent.w[j] != 0.0
        self.done = k + 1
        self.indptr[k + 1] = self.end

    def follow(self):
        """Solve at the next penalties; True where it waits for a read of X, False at the end."""
        with nogil:
            while not self._is_over():
                self._step()
                if self.waits:
                    break
        return self.waits

    def result(self):
        """What there is so far.

        Returns
        -------
        indptr, indices, values : ndarray
            The features of each column ascend.
        facts : ndarray of shape (k, 5)
            gap, half the squared residual, reads, iterations, status.
        """
        working = np.asarray(self.solver.working)[:self.solver.n_working]
        indptr = self.indptr.base[:self.done + 1]
        indices, values = _ascending(working, indptr, self.places, self.values)
        return indptr, indices, values.base, self.facts.base[:self.done]


class ZeroTrace:
    """The path of a target that is zero, at so many penalties."""

    def __init__(self, int count):
        self._count = count

    def follow(self):
        """There is nothing to be done."""
        return False

    def result(self):
        """As of `Trace`."""
        return (np.zeros(self._count + 1, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0),
                np.zeros((self._count, 5)))


def trace_together(traces, int n_threads=1, int at_once=1):
    """Follow several paths to their ends, with shared reads of X between which they are on their
    own.

    Parameters
    ----------
    traces : list of Trace
        At most LANES, over the same X.
    n_threads : int
        For reads.
    at_once : int
        How many are followed at once.
    """
    cdef SharedReads shared
    going = list(traces)
    if len(going) == 1:
        going[0].follow()
        return
    if going:
        shared = SharedReads([path.solver for path in going])
    while going:
        shared.read(n_threads)
        waiting = parallel([path.follow for path in going], at_once)
        going = [path for path, waits in zip(going, waiting) if waits]


cdef tuple _ascending(working, const Py_ssize_t[::1] indptr, const Py_ssize_t[::1] places,
                      const double[::1] values):
    """Features in place of places in the working set, ascending in each column."""
    cdef const Py_ssize_t[::1] order = np.argsort(working)
    cdef const Py_ssize_t[::1] features = working
    cdef Py_ssize_t size = indptr[indptr.shape[0] - 1], k, e, i, at
    cdef Py_ssize_t[::1] indices = np.empty(size, dtype=np.intp)
    cdef Py_ssize_t[::1] entry = np.full(len(working), -1, dtype=np.intp)
    cdef double[::1] sorted_values = np.empty(size)
    for k in range(indptr.shape[0] - 1):
        for e in range(indptr[k], indptr[k + 1]):
            entry[places[e]] = e
        at = indptr[k]
        for i in range(order.shape[0]):
            e = entry[order[i]]
            if e >= 0:
                indices[at], sorted_values[at] = features[order[i]], values[e]
                entry[order[i]] = -1
                at += 1
    return indices.base, sorted_values
