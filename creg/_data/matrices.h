/* Products, Cholesky factors and systems in register tiles of 512 bits; all matrices are
 * column-major. Only where creg_tiles_pay(). */
#ifndef CREG_MATRICES_H
#define CREG_MATRICES_H

#include <stddef.h>

/* The lower triangle of A, n x n, := L with L L' = A; returns 0 at a pivot that is not positive. */
int creg_cholesky(ptrdiff_t n, double *A, ptrdiff_t pitch);

/* B, m x n, := B L'^-1. */
void creg_solve_lines(ptrdiff_t m, ptrdiff_t n, double *B, ptrdiff_t b_pitch, const double *L,
                      ptrdiff_t pitch);

/* C, n x n, += sign A A' for A of n x k: at least the lower triangle, and of the upper one no more
 * than 7 entries a column. */
void creg_add_outer(ptrdiff_t n, ptrdiff_t k, double sign, const double *A, ptrdiff_t a_pitch,
                     double *C, ptrdiff_t pitch);

/* out, m x n without gaps, = A'B for A of k x m and B of k x n. */
void creg_cross_products(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *A, const double *B,
                         ptrdiff_t pitch, double *out);

/* x, of n, := (L L')^-1 x. */
void creg_solve(ptrdiff_t n, const double *L, ptrdiff_t pitch, double *x);

#endif
