"""Products, Cholesky factors and triangular systems; all matrices are column-major.

In register tiles where the processor has what they are made for (`matrices.c`), else by BLAS.
Golub & Van Loan, "Matrix Computations", 4.2 (block Cholesky).
"""

from scipy.linalg.cython_blas cimport dgemm, dsyrk, dtrsm, dtrsv
from scipy.linalg.cython_lapack cimport dpotrf

from creg._data.tiles cimport creg_tiles_pay

cdef extern from "matrices.h" nogil:
    bint creg_cholesky(Py_ssize_t n, double* A, Py_ssize_t pitch)
    void creg_solve_lines(Py_ssize_t m, Py_ssize_t n, double* B, Py_ssize_t b_pitch,
                          const double* L, Py_ssize_t pitch)
    void creg_add_outer(Py_ssize_t n, Py_ssize_t k, double sign, const double* A,
                        Py_ssize_t a_pitch, double* C, Py_ssize_t pitch)
    void creg_cross_products(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const double* A,
                             const double* B, Py_ssize_t pitch, double* out)
    void creg_solve(Py_ssize_t n, const double* L, Py_ssize_t pitch, double* x)

cdef char LOWER = b"L"
cdef char RIGHT = b"R"
cdef char PLAIN = b"N"
cdef char TRANSPOSED = b"T"
cdef double ONE = 1.0
cdef double NOUGHT = 0.0


cdef bint factorise(Py_ssize_t n, double* A, Py_ssize_t pitch) noexcept nogil:
    """The lower triangle of A := L, L L' = A; False at a pivot that is not positive."""
    cdef int order = <int> n, ld = <int> pitch, info = 0
    if creg_tiles_pay():
        return creg_cholesky(n, A, pitch)
    dpotrf(&LOWER, &order, A, &ld, &info)
    return info == 0


cdef void solve_lines(Py_ssize_t m, Py_ssize_t n, double* B, Py_ssize_t b_pitch, const double* L,
                      Py_ssize_t pitch) noexcept nogil:
    """B := B L'^-1 for B of m x n."""
    cdef int height = <int> m, order = <int> n, ldb = <int> b_pitch, ld = <int> pitch
    if creg_tiles_pay():
        creg_solve_lines(m, n, B, b_pitch, L, pitch)
    elif m and n:
        dtrsm(&RIGHT, &LOWER, &TRANSPOSED, &PLAIN, &height, &order, &ONE, <double*> L, &ld, B, &ldb)


cdef void add_outer(Py_ssize_t n, Py_ssize_t k, double sign, const double* A, Py_ssize_t a_pitch,
                    double* C, Py_ssize_t pitch) noexcept nogil:
    """The lower triangle of C += sign A A' for A of n x k; the upper one may be overwritten."""
    cdef int order = <int> n, depth = <int> k, lda = <int> a_pitch, ld = <int> pitch
    if creg_tiles_pay():
        creg_add_outer(n, k, sign, A, a_pitch, C, pitch)
    elif n and k:
        dsyrk(&LOWER, &PLAIN, &order, &depth, &sign, <double*> A, &lda, &ONE, C, &ld)


cdef void cross_products(Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const double* A,
                         const double* B, Py_ssize_t pitch, double* out) noexcept nogil:
    """out, m x n without gaps, = A'B for A of k x m and B of k x n."""
    cdef int height = <int> m, width = <int> n, depth = <int> k, ld = <int> pitch
    if creg_tiles_pay():
        creg_cross_products(m, n, k, A, B, pitch, out)
    elif m and n:
        dgemm(&TRANSPOSED, &PLAIN, &height, &width, &depth, &ONE, <double*> A, &ld, <double*> B,
              &ld, &NOUGHT, out, &height)


cdef void solve(Py_ssize_t n, const double* L, Py_ssize_t pitch, double* x) noexcept nogil:
    """x := (L L')^-1 x; zeros at the beginning of x save work."""
    cdef int order = <int> n, rest, ld = <int> pitch, one = 1
    cdef Py_ssize_t first = 0
    if creg_tiles_pay():
        creg_solve(n, L, pitch, x)
        return
    while first < n and x[first] == 0.0:
        first += 1
    rest = <int> (n - first)
    if rest:
        dtrsv(&LOWER, &PLAIN, &PLAIN, &rest, <double*> L + first * (pitch + 1), &ld, x + first,
              &one)
        dtrsv(&LOWER, &TRANSPOSED, &PLAIN, &order, <double*> L, &ld, x, &one)


def factorised(double[:, :] A, double[:, :] B, double[::1] x):
    """What the functions do, in place, to A of n x n, B of m x n, both column-major, and x of n:
    A := L, B := B L'^-1, x := (L L')^-1 x; False, with B and x as they were, where A is not
    definite."""
    cdef Py_ssize_t n = x.shape[0], a_pitch = A.strides[1] // sizeof(double)
    cdef Py_ssize_t b_pitch = B.strides[1] // sizeof(double)
    if not factorise(n, &A[0, 0], a_pitch):
        return False
    solve_lines(B.shape[0], n, &B[0, 0], b_pitch, &A[0, 0], a_pitch)
    solve(n, &A[0, 0], a_pitch, &x[0])
    return True


def crossed(double[::1, :] A, double[::1, :] B, double[::1, :] out):
    """out = A'B."""
    cross_products(A.shape[1], B.shape[1], A.shape[0], &A[0, 0], &B[0, 0], A.shape[0], &out[0, 0])
