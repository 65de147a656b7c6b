"""Products with the matrix of the normal equations, X read once where its lines allow.

    primal  A = T Z'S Z T                 over the features
    dual    A = S^1/2 Z T^2 Z'S^1/2       over the rows

Both are M L'F L M or M L F L'M over the stored lines, with what centring subtracts,

    t_l = f_l (line_l'a - b_l c) ,  a = M d ,  c = o'a ,
    A d = M (sum_l t_l line_l - o sum_l b_l t_l)

where lines run across what d is over (rows in the primal), in one pass; in two passes otherwise.
Sums run over a partition that does not depend on the number of threads.
"""

from contextlib import contextmanager

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

import numpy as np

from creg._data cimport leaves
from creg._data.design cimport DesignView
from creg._data.passes cimport (
    FUSED, GATHER, PAIRED, PARTS, SCATTER, UNPAIR, UPDATE, WIDTH, Job, Kind, sparse_pass,
)
from creg._data.storage cimport F32_I32, F64_I32, F64_I64, Storage

from creg._data.threads import helpers, pieces

cdef extern from "team.h" nogil:
    int64_t creg_load(int64_t* at)
    void creg_store(int64_t* at, int64_t value)
    int creg_replace(int64_t* at, int64_t old, int64_t value)
    void creg_add_one(int64_t* at)
    void creg_yield()
    void creg_pause()

cdef enum:
    ROW_BLOCK = 64       # dense rows at once
    SPARE = 6            # entries of X for one of a partial sum
    CACHED = 80_000      # entries of a vector that stays in cache beside another one
    SPINS = 2000         # looks at the ticket between two yields
    NUMBER = 16          # bits of a ticket that count parts


cdef class Work:
    cdef void part(self, Py_ssize_t k) noexcept nogil:
        pass


cdef class NormalProduct:
    """A d for the A above.

    Parameters
    ----------
    view : DesignView
    multiplier : ndarray of shape (n_features,)
        T over the columns z_j; 0 leaves a column out.
    dual : bool
        Sparse X only.
    width : int
        How many d at once, interleaved; 1 where X is dense.
    """

    def __init__(self, DesignView view, multiplier, bint dual=False, int width=1):
        cdef Storage X = view.storage
        if not 1 <= width <= WIDTH or not X.is_sparse() and (dual or width > 1):
            raise ValueError("too many vectors at once, or the dual of dense X")
        self.storage, self.dual, self.width = X, dual, width
        n, p = X.n_samples, X.n_features
        scaled = np.multiply(multiplier, view.scale)
        self._shift, self.shifted = np.asarray(view._shift), view._shifted
        ones = view.weights is None
        self.m = self.o = self.f = self.b = NULL
        if dual:
            self.size, self.across = n, p
            self._m = np.ones(n) if ones else np.sqrt(view.weights)
            self._f, self._b = np.square(scaled), np.asarray(view._offset)
            self.f, self.b = &self._f[0], &self._b[0]
        else:
            self.size, self.across = p, n
            self._m, self._o = scaled, np.asarray(view._offset)
            self.o = &self._o[0]
            if not ones:
                self._f = view.weights
                self.f = &self._f[0]
        self.m = &self._m[0]
        self.fused = X.is_row_layout != dual
        self._divide(X.size, X.is_sparse())

    def _divide(self, size, is_sparse):
        """Workspace and the partition of a pass."""
        cdef Py_ssize_t start, stop
        cdef int k
        lines = self.across if self.fused else self.size
        other = self.size if self.fused else self.across
        count = max(1, min(PARTS, size // (SPARE * self.width * max(other, 1))))
        ends = pieces(lines, count)
        self.n_parts = len(ends)
        for k, (start, stop) in enumerate(ends):
            self.jobs[k].start, self.jobs[k].stop, self.jobs[k].width = start, stop, self.width
        self.a = np.empty(self.size * self.width)
        self.into = np.empty((self.n_parts, other * self.width))
        self.apart = self.fused and is_sparse and self.size * self.width > CACHED
        self.paired = self.apart and self.width == 1 and not self.shifted
        if self.paired:
            self.apart = False
            self.into = np.empty((self.n_parts, 2 * self.size))
        self.between = np.empty(self.across * self.width if self.apart else 0)

    def product(self, d):
        """A d, (size,) or (size, width), and d'A d for each."""
        cdef const double[:, ::1] given = np.ascontiguousarray(
            np.asarray(d, dtype=np.float64).reshape(self.size, self.width))
        cdef double[:, ::1] q = np.empty((self.size, self.width))
        cdef double[::1] square = np.empty(self.width)
        with nogil:
            self.apply(&given[0, 0], NULL, &q[0, 0], &square[0])
        return q.base.reshape(np.shape(d)), square.base

    @contextmanager
    def threads(self, int n_threads):
        """A context in which up to n_threads threads take part."""
        if n_threads <= 1:
            yield
            return
        creg_store(&self.helping, 1)
        with helpers(self.help, n_threads - 1, self.release):
            yield

    def release(self):
        """Send the helpers home."""
        creg_store(&self.helping, 0)

    def help(self):
        """Take parts until released."""
        cdef int spins
        with nogil:
            while creg_load(&self.helping):
                spins = 0
                while spins < SPINS:
                    if self.take():
                        spins = 0
                    else:
                        creg_pause()
                        spins += 1
                creg_yield()

    cdef bint take(self) noexcept nogil:
        """Take and run a part of the job under way, if there is one."""
        cdef int64_t ticket = creg_load(&self.ticket)
        cdef int left = <int> (ticket & ((1 << NUMBER) - 1))
        if left == 0 or not creg_replace(&self.ticket, ticket, ticket - 1):
            return False
        self.part(left - 1)
        creg_add_one(&self.done)
        return True

    cdef void run(self, Kind kind, int n_parts) noexcept nogil:
        cdef int k
        self.kind = kind
        if not self.helping or n_parts == 1:
            for k in range(n_parts):
                self.part(k)
            return
        creg_store(&self.done, 0)
        creg_store(&self.ticket, (((self.ticket >> NUMBER) + 1) << NUMBER) + n_parts)
        while self.take():
            pass
        k = 0
        while creg_load(&self.done) < n_parts:
            creg_pause()
            k += 1
            if k % SPINS == 0:
                creg_yield()

    cdef void part(self, int k) noexcept nogil:
        if self.kind == FUSED or self.kind == SCATTER:
            memset(self.jobs[k].into, 0, self.into.shape[1] * sizeof(double))
        elif self.kind == PAIRED:
            # by the thread that goes on with them: from another's cache they come slowly
            self.jobs[k].c[0] = _pair(self.size, self.m, self.o, self.given, &self.into[k, 0])
        if self.kind == UPDATE:
            self.work.part(k)
        elif self.kind == UNPAIR:
            _unpair(self, self.size * k // PARTS, self.size * (k + 1) // PARTS)
        elif not self.storage.is_sparse():
            self.dense_part(&self.jobs[k])
        elif self.storage.element == F64_I32:
            sparse_pass(<const double*> self.storage.values, <const int32_t*> self.storage.indices,
                        <const int32_t*> self.storage.indptr, self.kind, &self.jobs[k])
        elif self.storage.element == F64_I64:
            sparse_pass(<const double*> self.storage.values, <const int64_t*> self.storage.indices,
                        <const int64_t*> self.storage.indptr, self.kind, &self.jobs[k])
        elif self.storage.element == F32_I32:
            sparse_pass(<const float*> self.storage.values, <const int32_t*> self.storage.indices,
                        <const int32_t*> self.storage.indptr, self.kind, &self.jobs[k])
        else:
            sparse_pass(<const float*> self.storage.values, <const int64_t*> self.storage.indices,
                        <const int64_t*> self.storage.indptr, self.kind, &self.jobs[k])

    cdef void apply(self, const double* d, const double* D, double* q,
                    double* square) noexcept nogil:
        """q = A d + D d, square = d'A d (D over the size; NULL: zeros)."""
        cdef double c[WIDTH]
        cdef double total[WIDTH]
        cdef const double* into = &self.into[0, 0] if self.fused else q
        if self.paired:
            self.paired_pass(d, q, square)
            if D != NULL:
                _add_multiple(self.size, 1, D, d, q)
            return
        _expand(self.size, self.width, self.m, self.o, d, &self.a[0], c)
        if self.fused:
            self.fused_pass(c, total, square)
        else:
            self.two_passes(c, q, total, square)
        _contract(self, into, total, q)
        if D != NULL:
            _add_multiple(self.size, self.width, D, d, q)

    cdef void prepare(self, Job* job, const double* a, double* into) noexcept nogil:
        cdef bint by_rows = self.fused != self.dual  # whether lines are rows
        job.a, job.into, job.f, job.b = a, into, self.f, self.b
        job.shift = &self._shift[0] if self.shifted and by_rows else NULL
        job.lift = &self._shift[0] if self.shifted and not by_rows else NULL

    cdef void fused_pass(self, const double* c, double* total, double* square) noexcept nogil:
        cdef int k, i, T = self.width
        if self.apart:
            for k in range(self.n_parts):
                self.prepare(&self.jobs[k], &self.a[0], &self.between[0])
            self.run(GATHER, self.n_parts)
            self.weigh(c, &self.between[0], total, square)
            for k in range(self.n_parts):
                self.prepare(&self.jobs[k], &self.between[0], &self.into[k, 0])
            self.run(SCATTER, self.n_parts)
            self.add_up(self.size * T)
            return
        for k in range(self.n_parts):
            self.prepare(&self.jobs[k], &self.a[0], &self.into[k, 0])
            for i in range(T):
                self.jobs[k].c[i] = c[i]
        self.run(FUSED, self.n_parts)
        self.add_up(self.size * T)
        for i in range(T):
            total[i] = square[i] = 0
            for k in range(self.n_parts):
                total[i] += self.jobs[k].total[i]
                square[i] += self.jobs[k].square[i]

    cdef void paired_pass(self, const double* d, double* q, double* square) noexcept nogil:
        cdef int k
        self.given, self.made, self.made_total = d, q, 0
        for k in range(self.n_parts):
            self.prepare(&self.jobs[k], &self.into[k, 0], &self.into[k, 1])
        self.run(PAIRED, self.n_parts)
        square[0] = 0
        for k in range(self.n_parts):
            self.made_total += self.jobs[k].total[0]
            square[0] += self.jobs[k].square[0]
        self.run(UNPAIR, PARTS)

    cdef void two_passes(self, const double* c, double* q, double* total,
                         double* square) noexcept nogil:
        cdef int k
        for k in range(self.n_parts):
            self.prepare(&self.jobs[k], &self.a[0], &self.into[k, 0])
        self.run(SCATTER, self.n_parts)
        self.add_up(self.across * self.width)
        self.weigh(c, &self.into[0, 0], total, square)
        for k in range(self.n_parts):
            self.prepare(&self.jobs[k], &self.into[0, 0], q)
        self.run(GATHER, self.n_parts)

    cdef void weigh(self, const double* c, double* w, double* total,
                    double* square) noexcept nogil:
        """t = f (w - b c) over w, and the sums of b t and t^2 / f."""
        cdef int i, T = self.width
        cdef Py_ssize_t line
        cdef double f, b, t
        for i in range(T):
            total[i] = square[i] = 0
        if T == 1:
            _weigh_one(self.across, self.f, self.b, c[0], w, total, square)
            return
        for line in range(self.across):
            f = self.f[line] if self.f != NULL else 1.0
            b = self.b[line] if self.b != NULL else 1.0
            for i in range(T):
                if f == 0:
                    w[line * T + i] = 0
                    continue
                t = w[line * T + i] - b * c[i]
                w[line * T + i] = f * t
                square[i] += f * t * t
                total[i] += b * f * t

    cdef void add_up(self, Py_ssize_t length) noexcept nogil:
        cdef int k
        cdef Py_ssize_t j
        cdef double* first = &self.into[0, 0]
        cdef const double* other
        for k in range(1, self.n_parts):
            other = &self.into[k, 0]
            for j in range(length):
                first[j] += other[j]

    cdef void dense_part(self, Job* job) noexcept nogil:
        """Explicit columns all of them, so that there is nothing left to subtract."""
        cdef double t[ROW_BLOCK]
        cdef Py_ssize_t i, m, start = job.start
        cdef double f
        if self.kind == SCATTER:
            for i in range(job.start, job.stop):
                if job.a[i] != 0:
                    self.storage.axpy(i, job.a[i], self._shift[i], NULL, job.into)
            return
        if self.kind == GATHER:
            self.storage.dot_many(NULL, job.start, job.stop, &self._shift[0], job.a, job.into)
            return
        job.total[0] = job.square[0] = 0
        while start < job.stop:
            m = min(<Py_ssize_t> ROW_BLOCK, job.stop - start)
            memset(t, 0, sizeof(t))
            # both take the place of the rows in their vectors from `start` on
            self.storage.product_rows(
                start, start + m, &self._shift[0], self.shifted, job.a, t - start)
            for i in range(m):
                f = job.f[start + i] if job.f != NULL else 1.0
                job.square[0] += f * t[i] * t[i]
                t[i] *= f
                job.total[0] += t[i]
            self.storage.add_rows(start, m, &self._shift[0], NULL, t, job.into)
            start += m


cdef void _weigh_one(Py_ssize_t n, const double* f, const double* b, double c, double* w,
                     double* total, double* square) noexcept nogil:
    """The same for one vector; four partial sums each, as additions wait for one another."""
    cdef double one = 1, t
    cdef double[4] sums, squares
    cdef Py_ssize_t line, f_step = f != NULL, b_step = b != NULL
    cdef int i
    if f == NULL:
        f = &one
    if b == NULL:
        b = &one
    for i in range(4):
        sums[i] = squares[i] = 0
    line = 0
    while line + 4 <= n:
        for i in range(4):
            t = w[i] - b[i * b_step] * c
            w[i] = f[i * f_step] * t
            squares[i] += w[i] * t
            sums[i] += b[i * b_step] * w[i]
        w, f, b = w + 4, f + 4 * f_step, b + 4 * b_step
        line += 4
    for i in range(<int> (n - line)):
        t = w[i] - b[i * b_step] * c
        w[i] = f[i * f_step] * t
        squares[i] += w[i] * t
        sums[i] += b[i * b_step] * w[i]
    total[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    square[0] = (squares[0] + squares[1]) + (squares[2] + squares[3])


cdef void _expand(Py_ssize_t size, int T, const double* m, const double* o, const double* d,
                  double* a, double* c) noexcept nogil:
    """a = m d, c = o'a."""
    cdef Py_ssize_t j
    cdef int k
    if T == 1:
        for j in range(size):
            a[j] = m[j] * d[j]
        c[0] = leaves.creg_inner(size, o, a) if o != NULL else leaves.creg_sum(size, a)
        return
    for k in range(T):
        c[k] = 0
    for j in range(size):
        for k in range(T):
            a[j * T + k] = m[j] * d[j * T + k]
            c[k] += a[j * T + k] * (o[j] if o != NULL else 1.0)


cdef double _pair(Py_ssize_t size, const double* m, const double* o, const double* d,
                  double* pairs) noexcept nogil:
    """Pairs of a_j and 0, and c, in the same sense."""
    cdef double[4] c
    cdef Py_ssize_t j = 0
    cdef int i
    for i in range(4):
        c[i] = 0
    while j + 4 <= size:
        for i in range(4):
            pairs[2 * i] = m[j + i] * d[j + i]
            pairs[2 * i + 1] = 0
            c[i] += pairs[2 * i] * (o[j + i] if o != NULL else 1.0)
        pairs += 8
        j += 4
    for i in range(<int> (size - j)):
        pairs[2 * i] = m[j + i] * d[j + i]
        pairs[2 * i + 1] = 0
        c[i] += pairs[2 * i] * (o[j + i] if o != NULL else 1.0)
    return (c[0] + c[1]) + (c[2] + c[3])


cdef void _unpair(NormalProduct self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """q between start and stop, from what all parts have added to their pairs."""
    cdef Py_ssize_t j
    cdef int k
    cdef double w
    for j in range(start, stop):
        w = self.into[0, 2 * j + 1]
        for k in range(1, self.n_parts):
            w += self.into[k, 2 * j + 1]
        self.made[j] = self.m[j] * (w - (self.o[j] if self.o != NULL else 1.0) * self.made_total)


cdef void _contract(NormalProduct self, const double* w, const double* total,
                    double* q) noexcept nogil:
    """q = m (w - o total)."""
    cdef const double* m = self.m
    cdef const double* o = self.o
    cdef double first = total[0]
    cdef Py_ssize_t j, size = self.size
    cdef int k, T = self.width
    if T == 1 and o != NULL:
        for j in range(size):
            q[j] = m[j] * (w[j] - o[j] * first)
        return
    for j in range(size):
        for k in range(T):
            q[j * T + k] = m[j] * (w[j * T + k] - (o[j] if o != NULL else 1.0) * total[k])


cdef void _add_multiple(Py_ssize_t size, int T, const double* D, const double* d,
                        double* q) noexcept nogil:
    """q += D d."""
    cdef Py_ssize_t j
    cdef int k
    if T == 1:
        for j in range(size):
            q[j] += D[j] * d[j]
        return
    for j in range(size):
        for k in range(T):
            q[j * T + k] += D[j] * d[j * T + k]
