"""Full reads of X that several problems over the same X share.

Each has row weights of its own.  When one of them needs <z_j, r> of every column, X'q is taken
for the residuals of all in one read: that of a problem which waits for its next penalty is exact,
for it was computed anew for the certificate of its last one, and it becomes a reference there
(references.pyx), so that the problem reads fewer columns later.

A full read is due when all together have read as much in part as it takes.
"""

from functools import partial

from creg._data.design cimport DesignView
from creg._data.several cimport DOT, LANES, SeveralVectors
from creg._data.storage cimport DENSE_THREAD_WORK, THREAD_WORK
from creg._lasso.coordinate_descent cimport Descent
from creg._lasso.references cimport References

from creg._data.threads import parallel, pieces

cdef enum:
    TILE = 64   # columns between two looks at the problems


cdef class SharedReads:
    """For at most LANES problems that are solved in turn.

    Parameters
    ----------
    view : DesignView
        Of one of them.
    """

    def __init__(self, DesignView view):
        self.vectors = SeveralVectors(view.storage)
        self.descents, self.references = [], []
        self.full = view.storage.size + 4.0 * view.n_features

    def join(self, Descent descent, References references):
        """A problem more, which waits: its residual stays as it is until it asks."""
        self.waits[len(self.descents)] = True
        self.descents.append(descent)
        self.references.append(references)

    def leave(self, Descent descent):
        """It needs no references any more."""
        self.waits[self.descents.index(descent)] = False

    cdef read(self, Descent asking, int n_threads):
        """<z_j, r> of every column into `asking.c`, and as references of all that take part."""
        cdef Descent descent
        cdef References references
        cdef DesignView view = asking.view
        cdef Py_ssize_t k
        cdef Lane* lane
        self.n_lanes = 0
        for k in range(len(self.descents)):
            if not self.waits[k]:
                continue
            descent, references = self.descents[k], self.references[k]
            lane = &self.lanes[self.n_lanes]
            lane.residual = &descent.residual
            lane.mean_shift, lane.scale = &descent.view._shift[0], &descent.view._scale[0]
            lane.offset, lane.norm2 = &descent.view._offset[0], descent.norm2
            lane.inverse_norm = references.inverse_norm
            with nogil:
                lane.kept = references.begin(&descent.residual, &lane.inverse_length)
                self.vectors.fill(self.n_lanes, descent.residual.q)
            lane.exact = descent.c if descent is asking else NULL
            self.n_lanes += 1
        self.spent = 0.0
        self.n_reads += 1
        if n_threads <= 1 or view.storage.size < (
                THREAD_WORK if view.storage.is_sparse() else DENSE_THREAD_WORK):
            with nogil:
                self._between(0, view.n_features)
            return
        parallel([partial(self._piece, *part)
                  for part in pieces(view.n_features, 4 * n_threads, TILE)], n_threads)

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
                if lane.exact != NULL:
                    for j in range(start, end):
                        lane.exact[j] = (
                            sums[(j - start) * LANES + k] if lane.norm2[j] > 0.0 else 0.0)
            start = end
