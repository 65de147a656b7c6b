#include "matrices.h"

#include <math.h>

#include "vector.h"

#if defined(CREG_CLONES)
#include <immintrin.h>

enum {
    LINES = 8,         /* columns of a tile */
    ROWS = 3 * LINES,  /* rows of a tile, in three vectors */
    PANEL = 128,       /* columns that are worked on at once */
    NEAR = 256,        /* rows of a panel that stay in the second cache */
    DEPTH = 256,       /* rows of columns whose products are taken at once */
    AHEAD = 2          /* tiles whose rows of B are asked for before they are needed */
};

#define WITH_512_BITS __attribute__((target("arch=x86-64-v4")))
#define INLINE WITH_512_BITS static inline __attribute__((always_inline))
#define SMALLER(A, B) ((A) < (B) ? (A) : (B))

/* The lanes of each of three vectors that hold `rows` rows. */
struct lanes {
    __mmask8 at[3];
};

INLINE struct lanes lanes_of(ptrdiff_t rows)
{
    struct lanes lanes;
    for (int v = 0; v < 3; v++) {
        ptrdiff_t left = rows - 8 * v;
        lanes.at[v] = left >= 8 ? 0xff : left <= 0 ? 0 : (__mmask8)((1 << left) - 1);
    }
    return lanes;
}

/* C -= A B' for `rows` (at most 8 `vectors`) by `columns`, B_ce at c b_step + e b_pitch; then,
 * where D is given, C := C D'^-1 with 1 / D_cc in the diagonal of D, every column of it LINES
 * long. */
INLINE void tile(int vectors, int columns, ptrdiff_t rows, ptrdiff_t k, const double *A,
                 ptrdiff_t a_pitch, const double *B, ptrdiff_t b_step, ptrdiff_t b_pitch,
                 double *C, ptrdiff_t c_pitch, const double *D)
{
    const struct lanes lanes = lanes_of(rows);
    __m512d sum[LINES][3];
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            sum[c][v] = _mm512_maskz_loadu_pd(lanes.at[v], C + c * c_pitch + 8 * v);
    for (; k > 0; k--) {
        __m512d a[3];
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            a[v] = _mm512_maskz_loadu_pd(lanes.at[v], A + 8 * v);
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++) {
            const __m512d b = _mm512_set1_pd(B[c * b_step]);
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++)
                sum[c][v] = _mm512_fnmadd_pd(a[v], b, sum[c][v]);
        }
        if (D == NULL && b_step == 1)
            __builtin_prefetch(B + AHEAD * LINES);
        A += a_pitch;
        B += b_pitch;
    }
    if (D != NULL) {
#pragma GCC unroll 8
        for (int c = 0; c < columns; c++)
#pragma GCC unroll 3
            for (int v = 0; v < vectors; v++) {
                sum[c][v] = _mm512_mul_pd(sum[c][v], _mm512_set1_pd(D[c * LINES + c]));
#pragma GCC unroll 8
                for (int e = c + 1; e < columns; e++)
                    sum[e][v] = _mm512_fnmadd_pd(_mm512_set1_pd(D[c * LINES + e]), sum[c][v],
                                                 sum[e][v]);
            }
    }
#pragma GCC unroll 8
    for (int c = 0; c < columns; c++)
#pragma GCC unroll 3
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_pd(C + c * c_pitch + 8 * v, lanes.at[v], sum[c][v]);
}

#define DEFINE_TILE(V, N)                                                                        \
    WITH_512_BITS static void tile_##V##_##N(ptrdiff_t rows, ptrdiff_t k, const double *A,       \
                                             ptrdiff_t a_pitch, const double *B,                 \
                                             ptrdiff_t b_pitch, double *C, ptrdiff_t c_pitch,    \
                                             const double *D)                                    \
    {                                                                                            \
        tile(V, N, rows, k, A, a_pitch, B, 1, b_pitch, C, c_pitch, D);                           \
    }                                                                                            \
    WITH_512_BITS static void across_##V##_##N(ptrdiff_t rows, ptrdiff_t k, const double *A,     \
                                               ptrdiff_t a_pitch, const double *B,               \
                                               ptrdiff_t b_step, double *C, ptrdiff_t c_pitch)   \
    {                                                                                            \
        tile(V, N, rows, k, A, a_pitch, B, b_step, 1, C, c_pitch, NULL);                         \
    }
#define DEFINE_TILES(N) DEFINE_TILE(1, N) DEFINE_TILE(2, N) DEFINE_TILE(3, N)
DEFINE_TILES(1)
DEFINE_TILES(2)
DEFINE_TILES(3)
DEFINE_TILES(4)
DEFINE_TILES(5)
DEFINE_TILES(6)
DEFINE_TILES(7)
DEFINE_TILES(8)

typedef void (*tile_function)(ptrdiff_t, ptrdiff_t, const double *, ptrdiff_t, const double *,
                              ptrdiff_t, double *, ptrdiff_t, const double *);
typedef void (*across_function)(ptrdiff_t, ptrdiff_t, const double *, ptrdiff_t, const double *,
                                ptrdiff_t, double *, ptrdiff_t);
#define BY_VECTORS(NAME, N) {NAME##_1_##N, NAME##_2_##N, NAME##_3_##N}
#define BY_COLUMNS(NAME)                                                                         \
    {BY_VECTORS(NAME, 1), BY_VECTORS(NAME, 2), BY_VECTORS(NAME, 3), BY_VECTORS(NAME, 4),         \
     BY_VECTORS(NAME, 5), BY_VECTORS(NAME, 6), BY_VECTORS(NAME, 7), BY_VECTORS(NAME, 8)}
static const tile_function tiles[LINES][3] = BY_COLUMNS(tile);
static const across_function tiles_across[LINES][3] = BY_COLUMNS(across);

static inline tile_function tile_for(ptrdiff_t rows, ptrdiff_t columns)
{
    return tiles[columns - 1][(rows - 1) / 8];
}

/* C, m x n, -= sign A B' for k <= PANEL; with `lower` C is square and entries above its diagonal
 * are made only within a tile. */
WITH_512_BITS static void subtract(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, double sign,
                                   const double *A, ptrdiff_t a_pitch, const double *B,
                                   ptrdiff_t b_pitch, double *C, ptrdiff_t c_pitch, int lower)
{
    double packed[PANEL * ROWS] __attribute__((aligned(64)));
    for (ptrdiff_t start = 0; start < n; start += NEAR) {
        const ptrdiff_t stop = SMALLER(n, start + NEAR);
        for (ptrdiff_t i = lower ? start : 0; i < m; i += ROWS) {
            const ptrdiff_t rows = SMALLER(m - i, ROWS);
            const ptrdiff_t end = lower ? SMALLER(stop, i + rows) : stop;
            const struct lanes lanes = lanes_of(rows);
            for (ptrdiff_t e = 0; e < k; e++)
                for (int v = 0; v < 3; v++)
                    _mm512_store_pd(packed + e * ROWS + 8 * v,
                                    _mm512_set1_pd(sign) *
                                        _mm512_maskz_loadu_pd(lanes.at[v],
                                                              A + i + e * a_pitch + 8 * v));
            for (ptrdiff_t j = start; j < end; j += LINES) {
                const ptrdiff_t columns = SMALLER(end - j, LINES);
                const ptrdiff_t from = lower && j > i ? (j - i) / 8 * 8 : 0;
                tile_for(rows - from, columns)(rows - from, k, packed + from, ROWS, B + j,
                                               b_pitch, C + i + from + j * c_pitch, c_pitch,
                                               NULL);
            }
        }
    }
}

/* The triangle of `columns` columns into D, its diagonal inverted. */
static void invert_diagonal(ptrdiff_t columns, const double *L, ptrdiff_t pitch, double *D)
{
    for (ptrdiff_t c = 0; c < columns; c++) {
        for (ptrdiff_t e = c + 1; e < columns; e++)
            D[c * LINES + e] = L[c * pitch + e];
        D[c * LINES + c] = 1.0 / L[c * pitch + c];
    }
}

/* B, m x n, := B L'^-1 for n <= PANEL. */
static void solve_panel(ptrdiff_t m, ptrdiff_t n, double *B, ptrdiff_t b_pitch, const double *L,
                        ptrdiff_t pitch)
{
    double D[LINES * LINES];
    for (ptrdiff_t start = 0; start < m; start += NEAR) {
        const ptrdiff_t stop = SMALLER(m, start + NEAR);
        for (ptrdiff_t j = 0; j < n; j += LINES) {
            const ptrdiff_t columns = SMALLER(n - j, LINES);
            invert_diagonal(columns, L + j + j * pitch, pitch, D);
            for (ptrdiff_t i = start; i < stop; i += ROWS) {
                const ptrdiff_t rows = SMALLER(stop - i, ROWS);
                tile_for(rows, columns)(rows, j, B + i, b_pitch, L + j, pitch,
                                        B + i + j * b_pitch, b_pitch, D);
            }
        }
    }
}

INLINE __m512d entry(__m512d x, int c)
{
    return _mm512_permutexvar_pd(_mm512_set1_epi64(c), x);
}

/* `creg_cholesky` for n <= LINES, and D as `tile` takes it: by L D L', whose square roots come last
 * and at once. */
WITH_512_BITS static int factor_block(ptrdiff_t n, double *A, ptrdiff_t pitch, double *D)
{
    const __mmask8 rows = lanes_of(n).at[0];
    __m512d column[LINES], pivots = _mm512_set1_pd(1.0), inverse;
#pragma GCC unroll 8
    for (int c = 0; c < LINES; c++)
        column[c] = c < n ? _mm512_maskz_loadu_pd(rows, A + c * pitch) : _mm512_set1_pd(1.0);
#pragma GCC unroll 8
    for (int c = 0; c < LINES; c++) {
        const __m512d pivot = entry(column[c], c);
        const __m512d multiples = _mm512_div_pd(column[c], pivot);
        pivots = _mm512_mask_mov_pd(pivots, (__mmask8)(1 << c), c < n ? pivot : pivots);
#pragma GCC unroll 8
        for (int e = c + 1; e < LINES; e++)
            column[e] = _mm512_fnmadd_pd(column[c], entry(multiples, e), column[e]);
    }
    if (_mm512_cmp_pd_mask(pivots, _mm512_setzero_pd(), _CMP_GT_OQ) != 0xff)
        return 0;
    inverse = _mm512_div_pd(_mm512_set1_pd(1.0), _mm512_sqrt_pd(pivots));
#pragma GCC unroll 8
    for (int c = 0; c < LINES; c++) {
        const __m512d scaled = _mm512_mul_pd(column[c], entry(inverse, c));
        _mm512_store_pd(D + c * LINES,
                        _mm512_mask_mov_pd(scaled, (__mmask8)(1 << c), inverse));
        if (c < n)
            _mm512_mask_storeu_pd(A + c * pitch, rows & (__mmask8)(0xff << c), scaled);
    }
    return 1;
}

/* `creg_cholesky` for n <= PANEL */
static int factor_panel(ptrdiff_t n, double *A, ptrdiff_t pitch)
{
    double D[LINES * LINES] __attribute__((aligned(64)));
    for (ptrdiff_t j = 0; j < n; j += LINES) {
        const ptrdiff_t columns = SMALLER(n - j, LINES);
        double *corner = A + j + j * pitch;
        tile_for(columns, columns)(columns, j, A + j, pitch, A + j, pitch, corner, pitch, NULL);
        if (!factor_block(columns, corner, pitch, D))
            return 0;
        for (ptrdiff_t i = j + columns; i < n; i += ROWS) {
            const ptrdiff_t rows = SMALLER(n - i, ROWS);
            tile_for(rows, columns)(rows, j, A + i, pitch, A + j, pitch, A + i + j * pitch, pitch,
                                    D);
        }
    }
    return 1;
}

int creg_cholesky(ptrdiff_t n, double *A, ptrdiff_t pitch)
{
    for (ptrdiff_t j = 0; j < n; j += PANEL) {
        const ptrdiff_t k = SMALLER(n - j, PANEL), rest = n - j - k;
        double *corner = A + j + j * pitch;
        if (!factor_panel(k, corner, pitch))
            return 0;
        if (rest > 0) {
            double *below = corner + k;
            solve_panel(rest, k, below, pitch, corner, pitch);
            subtract(rest, rest, k, 1.0, below, pitch, below, pitch, below + k * pitch, pitch, 1);
        }
    }
    return 1;
}

void creg_solve_lines(ptrdiff_t m, ptrdiff_t n, double *B, ptrdiff_t b_pitch, const double *L,
                      ptrdiff_t pitch)
{
    for (ptrdiff_t j = 0; j < n; j += PANEL) {
        const ptrdiff_t k = SMALLER(n - j, PANEL), rest = n - j - k;
        const double *corner = L + j + j * pitch;
        double *lines = B + j * b_pitch;
        solve_panel(m, k, lines, b_pitch, corner, pitch);
        if (rest > 0)
            subtract(m, rest, k, 1.0, lines, b_pitch, corner + k, pitch, lines + k * b_pitch,
                     b_pitch, 0);
    }
}

void creg_add_outer(ptrdiff_t n, ptrdiff_t k, double sign, const double *A, ptrdiff_t a_pitch,
                     double *C, ptrdiff_t pitch)
{
    for (ptrdiff_t start = 0; start < k; start += PANEL) {
        const double *part = A + start * a_pitch;
        subtract(n, n, SMALLER(k - start, PANEL), -sign, part, a_pitch, part, a_pitch, C, pitch,
                 1);
    }
}

/* Rows of up to ROWS columns of A, k of them, one after the other and with the sign changed. */
WITH_512_BITS static void pack_rows(ptrdiff_t k, ptrdiff_t columns, const double *A,
                                    ptrdiff_t a_pitch, double *packed)
{
    for (ptrdiff_t c = 0; c < columns; c += LINES)
        for (ptrdiff_t e = 0; e < k; e += LINES) {
            const __mmask8 lanes = lanes_of(k - e).at[0];
            __m512d v[LINES];
            for (int q = 0; q < LINES; q++)
                v[q] = c + q < columns
                           ? -_mm512_maskz_loadu_pd(lanes, A + (c + q) * a_pitch + e)
                           : _mm512_setzero_pd();
            TRANSPOSE(v)
            for (int q = 0; q < LINES; q++)
                _mm512_store_pd(packed + (e + q) * ROWS + c, v[q]);
        }
}

WITH_512_BITS void creg_cross_products(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *A,
                                       const double *B, ptrdiff_t pitch, double *out)
{
    double packed[DEPTH * ROWS] __attribute__((aligned(64)));
    memset(out, 0, m * n * sizeof(double));
    for (ptrdiff_t e = 0; e < k; e += DEPTH) {
        const ptrdiff_t depth = SMALLER(k - e, DEPTH);
        for (ptrdiff_t start = 0; start < n; start += NEAR / 4) {
            const ptrdiff_t stop = SMALLER(n, start + NEAR / 4);
            for (ptrdiff_t i = 0; i < m; i += ROWS) {
                const ptrdiff_t rows = SMALLER(m - i, ROWS);
                pack_rows(depth, rows, A + i * pitch + e, pitch, packed);
                for (ptrdiff_t j = start; j < stop; j += LINES) {
                    const ptrdiff_t columns = SMALLER(stop - j, LINES);
                    tiles_across[columns - 1][(rows - 1) / 8](
                        rows, depth, packed, ROWS, B + j * pitch + e, pitch, out + i + j * m, m);
                }
            }
        }
    }
}

/* A block of `columns` columns of L: its triangle, and the inverses of its diagonal. */
struct block {
    __m512d column[LINES], inverse;
};

INLINE struct block load_block(ptrdiff_t columns, const double *L, ptrdiff_t pitch)
{
    const struct lanes lanes = lanes_of(columns);
    struct block block;
    double diagonal[LINES];
#pragma GCC unroll 8
    for (int c = 0; c < LINES; c++) {
        const __mmask8 below = c < columns ? (__mmask8)(lanes.at[0] & (0xfe << c)) : 0;
        block.column[c] = _mm512_maskz_loadu_pd(below, L + (c < columns ? c * pitch : 0));
        diagonal[c] = c < columns ? L[c * pitch + c] : 1.0;
    }
    block.inverse = _mm512_div_pd(_mm512_set1_pd(1.0), _mm512_loadu_pd(diagonal));
    return block;
}

/* x := L^-1 x */
WITH_512_BITS static void solve_forwards(ptrdiff_t n, const double *L, ptrdiff_t pitch, double *x)
{
    ptrdiff_t first = 0;
    while (first < n && x[first] == 0.0)
        first++;
    for (ptrdiff_t j = first / LINES * LINES; j < n; j += LINES) {
        const ptrdiff_t columns = SMALLER(n - j, LINES);
        const double *from = L + j + j * pitch;
        const struct lanes own = lanes_of(columns);
        const struct block block = load_block(columns, from, pitch);
        __m512d y = _mm512_maskz_loadu_pd(own.at[0], x + j), z[LINES];
#pragma GCC unroll 8
        for (int c = 0; c < LINES; c++) {
            z[c] = entry(_mm512_mul_pd(y, block.inverse), c);
            y = _mm512_fnmadd_pd(block.column[c], z[c], y);
        }
        _mm512_mask_storeu_pd(x + j, own.at[0], _mm512_mul_pd(y, block.inverse));
        for (ptrdiff_t i = LINES; i < n - j; i += 2 * LINES) {
            const struct lanes lanes = lanes_of(n - j - i);
            __m512d sums[4];
            for (int v = 0; v < 2; v++) {
                sums[v] = _mm512_maskz_loadu_pd(lanes.at[v], x + j + i + 8 * v);
                sums[v + 2] = _mm512_setzero_pd();
            }
#pragma GCC unroll 8
            for (int c = 0; c < LINES; c++)
                for (int v = 0; v < 2; v++) {
                    const int to = v + 2 * (c % 2);
                    sums[to] = _mm512_fnmadd_pd(
                        _mm512_maskz_loadu_pd(lanes.at[v], from + i + 8 * v + c * pitch), z[c],
                        sums[to]);
                }
            for (int v = 0; v < 2; v++)
                _mm512_mask_storeu_pd(x + j + i + 8 * v, lanes.at[v], sums[v] + sums[v + 2]);
        }
    }
}

/* x := L'^-1 x */
WITH_512_BITS static void solve_backwards(ptrdiff_t n, const double *L, ptrdiff_t pitch,
                                          double *x)
{
    for (ptrdiff_t j = (n - 1) / LINES * LINES; j >= 0; j -= LINES) {
        const ptrdiff_t columns = SMALLER(n - j, LINES);
        const double *from = L + j + j * pitch;
        const struct lanes own = lanes_of(columns);
        struct block block = load_block(columns, from, pitch);
        wide sums[LINES] = {{0}};
        __m512d y = _mm512_maskz_loadu_pd(own.at[0], x + j);
        for (ptrdiff_t i = LINES; i < n - j; i += LINES) {
            const struct lanes lanes = lanes_of(n - j - i);
            const __m512d z = _mm512_maskz_loadu_pd(lanes.at[0], x + j + i);
#pragma GCC unroll 8
            for (int c = 0; c < LINES; c++)
                sums[c] = (wide)_mm512_fmadd_pd(
                    _mm512_maskz_loadu_pd(lanes.at[0], from + i + c * pitch), z,
                    (__m512d)sums[c]);
        }
        TRANSPOSE(sums)
        TRANSPOSE(block.column)
        y -= ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
             ((sums[4] + sums[5]) + (sums[6] + sums[7]));
#pragma GCC unroll 8
        for (int c = LINES - 1; c > 0; c--)
            y = _mm512_fnmadd_pd(block.column[c], entry(_mm512_mul_pd(y, block.inverse), c), y);
        _mm512_mask_storeu_pd(x + j, own.at[0], _mm512_mul_pd(y, block.inverse));
    }
}

void creg_solve(ptrdiff_t n, const double *L, ptrdiff_t pitch, double *x)
{
    solve_forwards(n, L, pitch, x);
    solve_backwards(n, L, pitch, x);
}
#else
int creg_cholesky(ptrdiff_t n, double *A, ptrdiff_t pitch)
{
    for (ptrdiff_t c = 0; c < n; c++) {
        double *column = A + c * pitch;
        for (ptrdiff_t k = 0; k < c; k++)
            for (ptrdiff_t i = c; i < n; i++)
                column[i] -= A[k * pitch + c] * A[k * pitch + i];
        if (!(column[c] > 0.0))
            return 0;
        column[c] = sqrt(column[c]);
        for (ptrdiff_t i = c + 1; i < n; i++)
            column[i] /= column[c];
    }
    return 1;
}

void creg_solve_lines(ptrdiff_t m, ptrdiff_t n, double *B, ptrdiff_t b_pitch, const double *L,
                      ptrdiff_t pitch)
{
    for (ptrdiff_t c = 0; c < n; c++)
        for (ptrdiff_t i = 0; i < m; i++) {
            for (ptrdiff_t k = 0; k < c; k++)
                B[c * b_pitch + i] -= B[k * b_pitch + i] * L[k * pitch + c];
            B[c * b_pitch + i] /= L[c * pitch + c];
        }
}

void creg_add_outer(ptrdiff_t n, ptrdiff_t k, double sign, const double *A, ptrdiff_t a_pitch,
                     double *C, ptrdiff_t pitch)
{
    for (ptrdiff_t e = 0; e < k; e++)
        for (ptrdiff_t j = 0; j < n; j++)
            for (ptrdiff_t i = j; i < n; i++)
                C[j * pitch + i] += sign * A[e * a_pitch + i] * A[e * a_pitch + j];
}

void creg_cross_products(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const double *A, const double *B,
                         ptrdiff_t pitch, double *out)
{
    for (ptrdiff_t j = 0; j < n; j++)
        for (ptrdiff_t i = 0; i < m; i++) {
            out[i + j * m] = 0;
            for (ptrdiff_t e = 0; e < k; e++)
                out[i + j * m] += A[i * pitch + e] * B[j * pitch + e];
        }
}

void creg_solve(ptrdiff_t n, const double *L, ptrdiff_t pitch, double *x)
{
    for (ptrdiff_t c = 0; c < n; c++) {
        x[c] /= L[c * pitch + c];
        for (ptrdiff_t i = c + 1; i < n; i++)
            x[i] -= L[c * pitch + i] * x[c];
    }
    for (ptrdiff_t c = n - 1; c >= 0; c--) {
        for (ptrdiff_t i = c + 1; i < n; i++)
            x[c] -= L[c * pitch + i] * x[i];
        x[c] /= L[c * pitch + c];
    }
}
#endif
