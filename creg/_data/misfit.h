/* What a float32 solution leaves of the target, and its products with the columns, in one read. */
#ifndef CREG_MISFIT_H
#define CREG_MISFIT_H

#include <stddef.h>

/* Rows of X less `shift`; `stride` entries from one row (column) to the next, `ahead` entries from
 * what is read to what is wanted next, or 0. */
struct creg_singles {
    const float *x;
    const double *shift;
    ptrdiff_t p, stride, ahead;
};

/* t_i = s_i (y_i - sum_j d_ij w_j), d_ij = x_ij - shift_j, and out_j += sum_i t_i d_ij over m rows;
 * s = NULL: ones. Stored by rows and by columns; the latter have to stay in cache. */
void creg_misfit_rows(ptrdiff_t m, const struct creg_singles *X, const double *w,
                      const double *y, const double *s, double *t, double *out);
void creg_misfit_columns(ptrdiff_t m, const struct creg_singles *X, const double *w,
                         const double *y, const double *s, double *t, double *out);

#endif
