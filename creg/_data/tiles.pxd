from creg._data.storage cimport DENSE_ROWS, F64_I32, Box, Storage

cdef extern from "tiles.h" nogil:
    ctypedef struct Region "struct creg_region":
        const char* at
        Py_ssize_t lines, length, stride

    bint creg_tiles_pay()
    void creg_tile_gram_f64(Py_ssize_t m, Py_ssize_t first, Py_ssize_t pitch, const double* B,
                            double* out, const Region* next)
    void creg_tile_gram_f32(Py_ssize_t m, Py_ssize_t first, Py_ssize_t pitch, const float* B,
                            float* out, const Region* next)
    void creg_turned_f64(Py_ssize_t m, Py_ssize_t p, const double* x, Py_ssize_t stride,
                         const double* shift, const double* factor, const double* line_shift,
                         const double* line_factor, double* out, Py_ssize_t pitch)
    void creg_turned_f32(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                         const double* shift, const double* factor, const double* line_shift,
                         const double* line_factor, double* out, Py_ssize_t pitch)
    void creg_turned_singles(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                             const float* shift, const float* factor, const float* root,
                             float* out, Py_ssize_t pitch)
    void creg_shifted_singles(Py_ssize_t m, Py_ssize_t p, const float* x, Py_ssize_t stride,
                              const float* shift, const float* factor, const float* root,
                              float* out, Py_ssize_t pitch)
    void creg_add_upper(Py_ssize_t size, const float* part, Py_ssize_t pitch, double* out)
    void creg_tile_combinations(Py_ssize_t m, const double* left, Py_ssize_t left_pitch,
                                Py_ssize_t n, const double* right, Py_ssize_t right_pitch,
                                double* out, Py_ssize_t out_pitch)


cdef inline void fill_turned(Storage X, const Box* box, const double* shift, const double* scale,
                             const double* root, const double* noughts, const double* ones,
                             double* out) noexcept nogil:
    """out = root_i (x_ij - shift_j) scale_j over a box of dense X, in the order that X is not in.

    A line every `pitch` entries, a multiple of 8; root = NULL: ones.
    """
    cdef Py_ssize_t i = box.row, j = box.column, at
    cdef Py_ssize_t m = box.row_stop - i, p = box.column_stop - j
    cdef const double* factor = root + i if root != NULL else ones
    cdef const double* line_shift = noughts
    if X.layout == DENSE_ROWS:
        at, m, p = i * X.stride + j, p, m
        shift += j
        scale, factor = factor, scale + j
    else:
        at = j * X.stride + i
        line_shift, shift, scale = shift + j, noughts, scale + j
    if X.element == F64_I32:
        creg_turned_f64(m, p, <const double*> X.values + at, X.stride, shift, factor, line_shift,
                        scale, out, box.pitch)
    else:
        creg_turned_f32(m, p, <const float*> X.values + at, X.stride, shift, factor, line_shift,
                        scale, out, box.pitch)


cdef inline Region region_of(Storage X, const Box* box) noexcept nogil:
    """Where a box of dense X lies; nowhere if it is empty."""
    cdef Region region
    cdef Py_ssize_t i = box.row, j = box.column, size = 8 if X.element == F64_I32 else 4
    cdef Py_ssize_t m = box.row_stop - i, p = box.column_stop - j
    region.stride = X.stride * size
    if X.layout == DENSE_ROWS:
        region.at = (<const char*> X.values) + size * (i * X.stride + j)
        region.lines, region.length = m, size * p
    else:
        region.at = (<const char*> X.values) + size * (j * X.stride + i)
        region.lines, region.length = p, size * m
    if m <= 0 or p <= 0:
        region.lines = 0
    return region
