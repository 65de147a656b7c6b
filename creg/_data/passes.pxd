"""Passes over stored sparse lines: gather, scatter, or both for a line at a time."""

from libc.stdint cimport int32_t, int64_t

cdef enum:
    WIDTH = 8            # vectors at once
    PARTS = 4            # of a pass, whatever the threads

cdef enum Kind:
    FUSED                # into += f t line, t = line'a - b c
    SCATTER              # into += line a_line
    GATHER               # into_line = line'a
    PAIRED               # FUSED, a and into side by side: line after line finds both in one place
    UNPAIR               # what PAIRED has made, for a part of the places
    UPDATE               # a part of the vectors' own work: see Work

cdef struct Job:
    Py_ssize_t start, stop         # lines
    Py_ssize_t width
    const double* a
    double* into
    const double* f                # over the lines; NULL: ones
    const double* b                # over the lines; NULL: ones
    const double* shift            # subtracted from entries, over what lines run across, or NULL
    const double* lift             # the same over the lines
    double c[WIDTH]
    double total[WIDTH]            # sum of b f t
    double square[WIDTH]           # sum of f t^2

ctypedef fused Index:
    int32_t
    int64_t

ctypedef fused Value:
    double
    float


cdef inline void sparse_pass(const Value* x, const Index* at, const Index* ends, Kind kind,
                             Job* job) noexcept nogil:
    if kind == FUSED:
        if job.width == 1 and job.shift == NULL and job.lift == NULL:
            if job.f == NULL and job.b == NULL:
                _fused_one(x, at, ends, job, True, 1)
            else:
                _fused_one(x, at, ends, job, False, 1)
        else:
            _fused(x, at, ends, job)
    elif kind == PAIRED:
        _fused_one(x, at, ends, job, False, 2)
    elif kind == SCATTER:
        _scatter(x, at, ends, job)
    else:
        _gather(x, at, ends, job)


cdef inline double _inner(const Value* x, const Index* at, Py_ssize_t k, Py_ssize_t stop,
                          const double* a, Py_ssize_t apart) noexcept nogil:
    """sum_k x_k a_at(k), entries of the vector so far apart."""
    cdef double t = 0, u = 0, v = 0, w = 0
    while k + 4 <= stop:
        t += x[k] * a[apart * at[k]]
        u += x[k + 1] * a[apart * at[k + 1]]
        v += x[k + 2] * a[apart * at[k + 2]]
        w += x[k + 3] * a[apart * at[k + 3]]
        k += 4
    while k < stop:
        t += x[k] * a[apart * at[k]]
        k += 1
    return (t + v) + (u + w)


cdef inline void _add_line(const Value* x, const Index* at, Py_ssize_t k, Py_ssize_t stop,
                           double t, double* into, Py_ssize_t apart) noexcept nogil:
    """into_at(k) += t x_k; no place comes twice, so that four sums need not wait for stores."""
    cdef double* p0
    cdef double* p1
    cdef double* p2
    cdef double* p3
    cdef double t0, t1, t2, t3
    while k + 4 <= stop:
        p0, p1 = into + apart * at[k], into + apart * at[k + 1]
        p2, p3 = into + apart * at[k + 2], into + apart * at[k + 3]
        t0, t1 = p0[0] + t * x[k], p1[0] + t * x[k + 1]
        t2, t3 = p2[0] + t * x[k + 2], p3[0] + t * x[k + 3]
        p0[0], p1[0], p2[0], p3[0] = t0, t1, t2, t3
        k += 4
    while k < stop:
        into[apart * at[k]] += t * x[k]
        k += 1


cdef inline void _fused_one(const Value* x, const Index* at, const Index* ends, Job* job,
                            bint plain, Py_ssize_t apart) noexcept nogil:
    """One vector; `plain`: f = b = 1, known when this is compiled, as is how far entries of the
    vectors are apart."""
    cdef Py_ssize_t line, k, stop
    cdef double t, f, b, c = job.c[0], total = 0, square = 0
    cdef const double* a = job.a
    cdef double* into = job.into
    for line in range(job.start, job.stop):
        f = 1.0 if plain or job.f == NULL else job.f[line]
        if not plain and f == 0:
            continue
        b = 1.0 if plain or job.b == NULL else job.b[line]
        k, stop = <Py_ssize_t> ends[line], <Py_ssize_t> ends[line + 1]
        t = _inner(x, at, k, stop, a, apart) - b * c
        square += f * t * t
        t *= f
        total += b * t
        _add_line(x, at, k, stop, t, into, apart)
    job.total[0], job.square[0] = total, square


cdef inline double _entry(const Job* job, double x, Py_ssize_t line, Py_ssize_t at) noexcept nogil:
    if job.shift != NULL:
        x -= job.shift[at]
    return x - job.lift[line] if job.lift != NULL else x


cdef inline void _fused(const Value* x, const Index* at, const Index* ends,
                        Job* job) noexcept nogil:
    cdef Py_ssize_t line, k, i, T = job.width, stop
    cdef double t[WIDTH]
    cdef double f, b, v
    cdef const double* a
    cdef double* into
    for i in range(T):
        job.total[i] = job.square[i] = 0
    for line in range(job.start, job.stop):
        f = job.f[line] if job.f != NULL else 1.0
        if f == 0:
            continue
        b = job.b[line] if job.b != NULL else 1.0
        stop = <Py_ssize_t> ends[line + 1]
        for i in range(T):
            t[i] = -b * job.c[i]
        for k in range(<Py_ssize_t> ends[line], stop):
            v = _entry(job, x[k], line, at[k])
            a = job.a + T * at[k]
            for i in range(T):
                t[i] += v * a[i]
        for i in range(T):
            job.square[i] += f * t[i] * t[i]
            t[i] *= f
            job.total[i] += b * t[i]
        for k in range(<Py_ssize_t> ends[line], stop):
            v = _entry(job, x[k], line, at[k])
            into = job.into + T * at[k]
            for i in range(T):
                into[i] += v * t[i]


cdef inline void _scatter(const Value* x, const Index* at, const Index* ends,
                          Job* job) noexcept nogil:
    cdef Py_ssize_t line, k, i, T = job.width
    cdef double v
    cdef const double* a
    cdef double* into = job.into
    for line in range(job.start, job.stop):
        a = job.a + T * line
        if T == 1 and job.shift == NULL and job.lift == NULL:
            _add_line(x, at, <Py_ssize_t> ends[line], <Py_ssize_t> ends[line + 1], a[0], into, 1)
            continue
        for k in range(<Py_ssize_t> ends[line], <Py_ssize_t> ends[line + 1]):
            v = _entry(job, x[k], line, at[k])
            for i in range(T):
                into[T * at[k] + i] += v * a[i]


cdef inline void _gather(const Value* x, const Index* at, const Index* ends,
                         Job* job) noexcept nogil:
    cdef Py_ssize_t line, k, i, T = job.width
    cdef double t[WIDTH]
    cdef double v
    cdef const double* a = job.a
    for line in range(job.start, job.stop):
        if T == 1 and job.shift == NULL and job.lift == NULL:
            job.into[line] = _inner(x, at, <Py_ssize_t> ends[line], <Py_ssize_t> ends[line + 1], a,
                                    1)
            continue
        for i in range(T):
            t[i] = 0
        for k in range(<Py_ssize_t> ends[line], <Py_ssize_t> ends[line + 1]):
            v = _entry(job, x[k], line, at[k])
            for i in range(T):
                t[i] += v * a[T * at[k] + i]
        for i in range(T):
            job.into[T * line + i] = t[i]
