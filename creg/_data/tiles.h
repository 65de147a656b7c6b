/* Products of many short rows with themselves, and what brings data into that form. */
#ifndef CREG_TILES_H
#define CREG_TILES_H

#include <stddef.h>

/* Whether the processor has what the tiles are made for. */
int creg_tiles_pay(void);

/* `length` bytes every `stride` bytes, so many times. */
struct creg_region {
    const char *at;
    ptrdiff_t lines, length, stride;
};

/* out += B'B for m rows of B, both with `pitch` columns, a multiple of 8, of 16 in float32: at
 * least the upper triangle from column `first` on, a multiple of 8. Meanwhile `next` is brought
 * near. */
void creg_tile_gram_f64(ptrdiff_t m, ptrdiff_t first, ptrdiff_t pitch, const double *B,
                        double *out, const struct creg_region *next);
void creg_tile_gram_f32(ptrdiff_t m, ptrdiff_t first, ptrdiff_t pitch, const float *B, float *out,
                        const struct creg_region *next);

/* out_ij = (x_ji - shift_i - line_shift_j) factor_i line_factor_j for p lines of m entries of x, a
 * line every `stride`; rows of out every `pitch`, a multiple of 8, with zeros after the last line
 * up to a multiple of 8. */
void creg_turned_f64(ptrdiff_t m, ptrdiff_t p, const double *x, ptrdiff_t stride,
                     const double *shift, const double *factor, const double *line_shift,
                     const double *line_factor, double *out, ptrdiff_t pitch);
void creg_turned_f32(ptrdiff_t m, ptrdiff_t p, const float *x, ptrdiff_t stride,
                     const double *shift, const double *factor, const double *line_shift,
                     const double *line_factor, double *out, ptrdiff_t pitch);

/* out_ij = (x_ji - shift_j) factor_j root_i in float32 for p lines of m entries of x, and up to a
 * multiple of 16 zeros or nothing after the last line; root = NULL: ones. */
void creg_turned_singles(ptrdiff_t m, ptrdiff_t p, const float *x, ptrdiff_t stride,
                         const float *shift, const float *factor, const float *root, float *out,
                         ptrdiff_t pitch);

/* out_ij = (x_ij - shift_j) factor_j root_i */
void creg_shifted_singles(ptrdiff_t m, ptrdiff_t p, const float *x, ptrdiff_t stride,
                          const float *shift, const float *factor, const float *root, float *out,
                          ptrdiff_t pitch);

/* The upper triangle of out, (size, size), += that of part. */
void creg_add_upper(ptrdiff_t size, const float *part, ptrdiff_t pitch, double *out);

/* 8 combinations of columns, out_ci = sum_a left_ac right_ai over a < m and i < n: a row of left,
 * right and out every `pitch` of each, n a multiple of 24. */
void creg_tile_combinations(ptrdiff_t m, const double *left, ptrdiff_t left_pitch, ptrdiff_t n,
                            const double *right, ptrdiff_t right_pitch, double *out,
                            ptrdiff_t out_pitch);

#endif
