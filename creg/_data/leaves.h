/* The inner loops over one column (or a few rows) of X: the only multiversioned code.
 *
 * x holds the stored values of the column, float32 or float64; v is a float64 vector over
 * the rows, s the row weights.  Sums over a column are blocked and keep at least eight
 * independent partial sums: their rounding error is at most eps (8 + n/64) sum |terms|.
 */
#ifndef CREG_LEAVES_H
#define CREG_LEAVES_H

#include <stdint.h>
#include <stddef.h>

#define CREG_DECLARE_DENSE(SUFFIX, T)                                                            \
    /* sum_i (x_i - shift) v_i */                                                                \
    double creg_dot_##SUFFIX(ptrdiff_t n, const T *x, double shift, const double *v);            \
    /* v_i += a s_i (x_i - shift); s = NULL stands for ones */                                   \
    void creg_axpy_##SUFFIX(ptrdiff_t n, double a, const T *x, double shift, const double *s,    \
                            double *v);                                                          \
    /* the same for four columns x[k], one after the other, without weights */                   \
    void creg_axpy4_##SUFFIX(ptrdiff_t n, const double *a, const T *const *x,                    \
                             const double *shift, double *v);                                    \
    /* sum_i s_i (a (x_i - shift))^2, whatever stands in rows of weight zero */                  \
    double creg_square_##SUFFIX(ptrdiff_t n, double a, const T *x, double shift,                 \
                                const double *s);                                                \
    /* out[k] = sum_i (x_ki - shift_k) v_i for four columns x[k] */                              \
    void creg_dot4_##SUFFIX(ptrdiff_t n, const T *const *x, const double *shift,                 \
                            const double *v, double *out);                                       \
    /* m rows of p entries, row i at x + i stride: out_i = sum_j (x_ij - shift_j) v_j */         \
    void creg_rows_dot_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride,          \
                                const double *shift, const double *v, double *out);              \
    /* out_j += sum_i q_i (x_ij - shift_j) */                                                    \
    void creg_rows_axpy_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride,         \
                                 const double *shift, const double *q, double *out);             \
    /* out_j += sum_i s_i (a_j (x_ij - shift_j))^2 */                                            \
    void creg_rows_square_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride,       \
                                   const double *shift, const double *a, const double *s,        \
                                   double *out);                                                 \
    /* out_i = a root_i (x_i - shift), root = NULL: ones; x + ahead is what is wanted next */    \
    void creg_shifted_##SUFFIX(ptrdiff_t n, const T *x, ptrdiff_t ahead, double shift, double a, \
                               const double *root, double *out);                                 \
    /* out_j = root a_j (x_j - shift_j) */                                                       \
    void creg_row_shifted_##SUFFIX(ptrdiff_t p, const T *x, const double *shift,                 \
                                   const double *a, double root, double *out);                   \
    /* the same for four rows x[k], out + k pitch */                                             \
    void creg_four_shifted_##SUFFIX(ptrdiff_t p, const T *const *x, const double *shift,         \
                                    const double *a, const double *root, double *out,            \
                                    ptrdiff_t pitch);

/* The same over stored entries k: x[k] stands in row (column) at[k], each at most once. */
#define CREG_DECLARE_SPARSE(SUFFIX, T, I)                                                        \
    double creg_sparse_dot_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at, double shift,        \
                                    const double *v);                                            \
    void creg_sparse_axpy_##SUFFIX(ptrdiff_t nnz, double a, const T *x, const I *at,             \
                                   double shift, const double *s, double *v);                    \
    double creg_sparse_square_##SUFFIX(ptrdiff_t nnz, double a, const T *x, const I *at,         \
                                       double shift, const double *s);

CREG_DECLARE_DENSE(f64, double)
CREG_DECLARE_DENSE(f32, float)
CREG_DECLARE_SPARSE(f64_i32, double, int32_t)
CREG_DECLARE_SPARSE(f64_i64, double, int64_t)
CREG_DECLARE_SPARSE(f32_i32, float, int32_t)
CREG_DECLARE_SPARSE(f32_i64, float, int64_t)

/* sum_i u_i v_i ;  v_i += a u_i ;  sum_i u_i ;  sum over s_i > 0 of u_i^2 / s_i */
double creg_inner(ptrdiff_t n, const double *u, const double *v);
/* out_k = sum_i u_i v_ki, the vectors v_k at v[k] */
void creg_inner_each(ptrdiff_t n, const double *u, ptrdiff_t count, const double *const *v,
                     double *out);
void creg_add(ptrdiff_t n, double a, const double *u, double *v);
double creg_sum(ptrdiff_t n, const double *u);
/* sum_j += sum_i root_i x_ij, square_j += sum_i x_ij^2 over four rows */
void creg_four_moments(ptrdiff_t p, const double *x, ptrdiff_t stride, const double *root,
                       double *sum, double *square);
double creg_square_over(ptrdiff_t n, const double *u, const double *s);
/* v_i := s_i v_i, 0 where s_i is, whatever stands there */
void creg_weigh(ptrdiff_t n, const double *s, double *v);

/* h_i += a q_i^2 ;  out_i = ((u_i - p_i) / (1 - h_i))^2, infinite where 1 - h_i <= least ;
 * sum_i s_i (u_i - m)^2 */
void creg_add_square(ptrdiff_t n, double a, const double *q, double *h);
void creg_left_out(ptrdiff_t n, const double *u, const double *p, const double *h, double least,
                   double *out);
double creg_spread(ptrdiff_t n, const double *s, double m, const double *u);

/* (u_i, v_i) := (c u_i + s v_i, c v_i - s u_i) */
void creg_rotate(ptrdiff_t n, double c, double s, double *u, double *v);

/* So for each of the columns u + j ld in turn, with each of the four vectors v + k ld in turn;
 * (c, s) at cs + j step + 2 k */
void creg_rotate_columns(ptrdiff_t n, ptrdiff_t columns, const double *cs, ptrdiff_t step,
                         double *u, double *v, ptrdiff_t ld);

/* v += a_0 u_0 + a_1 u_1 + a_2 u_2 + a_3 u_3 */
void creg_add4(ptrdiff_t n, const double *a, const double *u0, const double *u1,
               const double *u2, const double *u3, double *v);

/* The j with v_j + e > up_j or e - v_j > low_j (or NaN), v = h_0 c_0 + h_1 c_1 + h_2 c_2; out has
 * room for p + 1 */
ptrdiff_t creg_beyond(ptrdiff_t p, const float *h, const float *const *c, float e,
                      const float *up, const float *low, ptrdiff_t *out);

#endif
