"""Full reads of X that several problems over the same X share.

Each has row weights of its own.  One that needs <z_j, r> of every column waits until all others
need them too, or have come to their ends; then X'q is taken for the residuals of all in one read,
which become references (references.pyx).  So who reads what depends on none of the others' pace,
and between two reads the problems may be solved on threads.

A problem asks for a read when it has read its share of X in part.
"""

from functools import partial

from creg._data.several cimport DOT, LANES, SeveralVectors
from creg._data.storage cimport DENSE_THREAD_WORK, THREAD_WORK
from creg._lasso.certifier cimport Certifier
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.references cimport References

from creg._data.threads import parallel, pieces

cdef enum:
    TILE = 64   # columns between two looks at the problems


cdef class SharedReads:
    """For those of at most LANES problems over one X that can wait; they ask for a read at once.

    Parameters
    ----------
    problems : list of Certifier
    """

    def __init__(self, problems):
        cdef Certifier problem = problems[0]
        self.vectors = SeveralVectors(problem.view.storage)
        self.problems = []
        for problem in problems:
            if problem.begin_to_share(len(problems)):
                self.problems.append(problem)

    def read(self, int n_threads):
        """<z_j, r> of every column, for all that ask."""
        cdef Certifier problem
        cdef Descent descent
        cdef References references
        cdef Lane* lane
        asking = [problem for problem in self.problems if problem.asks]
        self.n_lanes = 0
        for problem in asking:
            descent, references = problem.descent, problem.references
            lane = &self.lanes[self.n_lanes]
            lane.residual, lane.exact = &descent.residual, descent.c
            lane.mean_shift, lane.scale = &descent.view._shift[0], &descent.view._scale[0]
            lane.offset, lane.norm2 = &descent.view._offset[0], descent.norm2
            lane.inverse_norm = references.inverse_norm
            lane.kept = references.begin(&descent.residual, &lane.inverse_length)
            self.vectors.fill(self.n_lanes, descent.residual.q)
            problem.reads += 1.0 / len(asking)
            problem.asks, problem.is_read = False, True
            self.n_lanes += 1
        if not asking:
            return
        self.n_reads += 1
        storage = self.vectors.storage
        # LANES products an entry, whatever their number
        if n_threads <= 1 or 2 * storage.size * self.n_lanes < (
                THREAD_WORK if storage.is_sparse() else DENSE_THREAD_WORK):
            self._piece(0, storage.n_features)
            return
        parallel([partial(self._piece, *part)
                  for part in pieces(storage.n_features, 4 * n_threads, TILE)], n_threads)

    def _piece(self, Py_ssize_t start, Py_ssize_t stop):
        with nogil:
            self._between(start, stop)

    cdef void _between(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """Columns start to stop."""
        cdef double sums[TILE * LANES]
        cdef double shift[LANES]
        cdef double c, total, inverse
        cdef Py_ssize_t j, k, end
        cdef Lane* lane
        for k in range(LANES):
            shift[k] = 0.0
        while start < stop:
            end = min(start + TILE, stop)
            for j in range(start, end):
                for k in range(self.n_lanes):
                    shift[k] = self.lanes[k].mean_shift[j]
                self.vectors.add_up(j, DOT, shift, sums + (j - start) * LANES)
            for k in range(self.n_lanes):
                lane = &self.lanes[k]
                total, inverse = lane.residual.total, lane.inverse_length
                for j in range(start, end):
                    c = lane.scale[j] * (sums[(j - start) * LANES + k] - lane.offset[j] * total)
                    lane.kept[j] = <float> (c * (lane.inverse_norm[j] * inverse))
                    sums[(j - start) * LANES + k] = c
                for j in range(start, end):
                    lane.exact[j] = (
                        sums[(j - start) * LANES + k] if lane.norm2[j] > 0.0 else 0.0)
            start = end
