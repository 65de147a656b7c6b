"""What is known of each feature of the working set, and workspace, in one buffer."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.string cimport memcpy, memset

cdef enum:
    REALS = 14   # vectors of each kind
    INDICES = 4
    FLAGS = 5


cdef class Vectors:
    """Vectors of `capacity` numbers, of which `size` are in use."""

    cdef _make_vectors(self, Py_ssize_t capacity, Py_ssize_t width):
        """All vectors, one after the other in one buffer, zeros beyond what there is."""
        cdef Py_ssize_t size = width * width * sizeof(double) + capacity * (
            REALS * sizeof(double) + INDICES * sizeof(Py_ssize_t) + FLAGS)
        cdef bytearray buffer = PyByteArray_FromStringAndSize(NULL, size)
        cdef char* at = PyByteArray_AS_STRING(buffer)
        cdef double** reals[REALS]
        cdef Py_ssize_t** indices[INDICES]
        cdef signed char** flags[FLAGS]
        cdef Py_ssize_t k
        memset(at, 0, size)
        self.corner = <double*> at
        at += width * width * sizeof(double)
        reals[:] = [&self.w, &self.c, &self.t, &self.rho, &self.norm, &self.lower, &self.upper,
                    &self.delta, &self.shift, &self.d, &self.kept_w, &self.kept_c,
                    &self.error_norm, &self.earlier_w]
        indices[:] = [&self.active, &self.changed, &self.spare, &self.leaving]
        flags[:] = [&self.state, &self.target, &self.kept_state,
                    <signed char**> &self.dependent, <signed char**> &self.accepted]
        for k in range(REALS):
            if self.size:
                memcpy(at, reals[k][0], self.size * sizeof(double))
            reals[k][0] = <double*> at
            at += capacity * sizeof(double)
        for k in range(INDICES):
            if self.size:
                memcpy(at, indices[k][0], self.size * sizeof(Py_ssize_t))
            indices[k][0] = <Py_ssize_t*> at
            at += capacity * sizeof(Py_ssize_t)
        for k in range(FLAGS):
            if self.size:
                memcpy(at, flags[k][0], self.size)
            flags[k][0] = <signed char*> at
            at += capacity
        self._vectors = buffer

    cdef void keep(self) noexcept nogil:
        """Remember coefficients, gradient and states."""
        memcpy(self.kept_w, self.w, self.size * sizeof(double))
        memcpy(self.kept_c, self.c, self.size * sizeof(double))
        memcpy(self.kept_state, self.state, self.size)
