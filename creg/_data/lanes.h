/* Sums over one column of X with eight vectors at once.
 *
 * v holds eight float64 for each row, those of row i at v + 8 i; so do shift and out for the
 * column.  Rounding is that of a sum in leaves.h.
 */
#ifndef CREG_LANES_H
#define CREG_LANES_H

#include <stddef.h>
#include <stdint.h>

#define CREG_DECLARE_DENSE_LANES(SUFFIX, T)                                                      \
    /* out_k = sum_i (x_i - shift_k) v_ik */                                                     \
    void creg_lanes_dot_##SUFFIX(ptrdiff_t n, const T *x, const double *shift, const double *v,  \
                                 double *out);                                                   \
    /* out_k = sum_i v_ik (x_i - shift_k)^2 */                                                   \
    void creg_lanes_square_##SUFFIX(ptrdiff_t n, const T *x, const double *shift,                \
                                    const double *v, double *out);

/* The same over stored entries e: x[e] stands in row at[e]; and out_k = sum_e v_(at_e)k. */
#define CREG_DECLARE_SPARSE_LANES(SUFFIX, T, I)                                                  \
    void creg_lanes_sparse_dot_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,                  \
                                        const double *shift, const double *v, double *out);      \
    void creg_lanes_sparse_square_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,               \
                                           const double *shift, const double *v, double *out);   \
    void creg_lanes_sparse_sum_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,                  \
                                        const double *shift, const double *v, double *out);

CREG_DECLARE_DENSE_LANES(f64, double)
CREG_DECLARE_DENSE_LANES(f32, float)
CREG_DECLARE_SPARSE_LANES(f64_i32, double, int32_t)
CREG_DECLARE_SPARSE_LANES(f64_i64, double, int64_t)
CREG_DECLARE_SPARSE_LANES(f32_i32, float, int32_t)
CREG_DECLARE_SPARSE_LANES(f32_i64, float, int64_t)

#endif
