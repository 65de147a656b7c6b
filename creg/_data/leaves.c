#include "leaves.h"
#include "vector.h"

#include <math.h>

enum {
    BLOCK = 256, /* entries of a dense sum between two additions to the total */
    SHORT = 64,  /* the same where a block has fewer partial sums */
    LINE = 64,   /* bytes of a cache line */
    TILE = 1024  /* columns whose sums stay in cache while rows pass */
};

#if defined(__GNUC__)
#define PREFETCH(at) __builtin_prefetch(at)

static inline __attribute__((always_inline)) wide squared(wide t)
{
    return t * t;
}

/* return sum_i TERM(i), WIDE(i) standing for TERM(i .. i + 7) */
#define SUM_WIDE(N, WIDE, TERM)                                                                  \
    wide total = {0};                                                                            \
    double rest = 0;                                                                             \
    ptrdiff_t i = 0, full = (N) - (N) % (2 * WIDTH);                                             \
    while (i < full) {                                                                           \
        ptrdiff_t end = full - i < BLOCK ? full : i + BLOCK;                                     \
        wide even = {0}, odd = {0};                                                              \
        for (; i < end; i += 2 * WIDTH) {                                                        \
            even += WIDE(i);                                                                     \
            odd += WIDE(i + WIDTH);                                                              \
        }                                                                                        \
        total += even + odd;                                                                     \
    }                                                                                            \
    if (i + WIDTH <= (N)) {                                                                      \
        total += WIDE(i);                                                                        \
        i += WIDTH;                                                                              \
    }                                                                                            \
    for (; i < (N); i++)                                                                         \
        rest += TERM(i);                                                                         \
    return fold(total) + rest;
#else
#define PREFETCH(at) ((void)0)
#define SUM_WIDE(N, WIDE, TERM) SUM(N, TERM)
#endif

/* return sum_i TERM(i) */
#define SUM(N, TERM)                                                                             \
    double total = 0;                                                                            \
    for (ptrdiff_t start = 0; start < (N); start += SHORT) {                                     \
        ptrdiff_t end = (N) - start < SHORT ? (N) : start + SHORT;                               \
        double part = 0;                                                                         \
        _Pragma("omp simd reduction(+ : part)") for (ptrdiff_t i = start; i < end; i++) part +=  \
            TERM(i);                                                                             \
        total += part;                                                                           \
    }                                                                                            \
    return total;

/* The same without vector instructions: gathers are no faster by them. */
#define SUM_GATHERED(N, TERM)                                                                    \
    double total = 0;                                                                            \
    ptrdiff_t i = 0;                                                                             \
    while (i + 4 <= (N)) {                                                                       \
        ptrdiff_t end = (N) - i < SHORT ? (N) - 3 : i + SHORT;                                   \
        double a0 = 0, a1 = 0, a2 = 0, a3 = 0;                                                   \
        for (; i < end; i += 4) {                                                                \
            a0 += TERM(i);                                                                       \
            a1 += TERM(i + 1);                                                                   \
            a2 += TERM(i + 2);                                                                   \
            a3 += TERM(i + 3);                                                                   \
        }                                                                                        \
        total += (a0 + a2) + (a1 + a3);                                                          \
    }                                                                                            \
    for (; i < (N); i++)                                                                         \
        total += TERM(i);                                                                        \
    return total;

#define SHIFTED(i) (x[i] - shift)
#define DOT_TERM(i) (SHIFTED(i) * v[i])
#define SQUARE_TERM(i) ((a * SHIFTED(i)) * (a * SHIFTED(i)))
/* A row of weight zero counts for nothing, even where its square overflows. */
#define WEIGHTED_TERM(i) (s[i] > 0 ? s[i] * SQUARE_TERM(i) : 0.0)
#define GATHERED_DOT_TERM(i) (SHIFTED(i) * v[at[i]])
#define GATHERED_WEIGHTED_TERM(i) (s[at[i]] > 0 ? s[at[i]] * SQUARE_TERM(i) : 0.0)
#define FOUR_TERM(k, i) ((x##k[i] - shift[k]) * v[i])
#define INNER_TERM(i) (u[i] * v[i])
#define PLAIN_TERM(i) (u[i])
#define SPREAD_TERM(i) (s[i] * (u[i] - m) * (u[i] - m))
#define OVER_TERM(i) (s[i] > 0 ? u[i] * u[i] / s[i] : 0.0)
#define DOT_WIDE_f64(i) ((load_f64(x + (i)) - shift) * load_f64(v + (i)))
#define DOT_WIDE_f32(i) ((load_f32(x + (i)) - shift) * load_f64(v + (i)))
#define ROW_DOT_WIDE_f64(j) ((load_f64(x + (j)) - load_f64(shift + (j))) * load_f64(v + (j)))
#define ROW_DOT_WIDE_f32(j) ((load_f32(x + (j)) - load_f64(shift + (j))) * load_f64(v + (j)))
#define SQUARE_WIDE_f64(i) squared(a * (load_f64(x + (i)) - shift))
#define SQUARE_WIDE_f32(i) squared(a * (load_f32(x + (i)) - shift))
#define INNER_WIDE(i) (load_f64(u + (i)) * load_f64(v + (i)))
#define PLAIN_WIDE(i) load_f64(u + (i))

/* The whole vectors of a block of four columns. */
#if defined(__GNUC__)
#define FOUR_WIDE(LOAD)                                                                          \
    wide p0 = {0}, p1 = {0}, p2 = {0}, p3 = {0};                                                 \
    for (; i + WIDTH <= end; i += WIDTH) {                                                       \
        wide u = load_f64(v + i);                                                                \
        p0 += (LOAD(x0 + i) - shift[0]) * u;                                                     \
        p1 += (LOAD(x1 + i) - shift[1]) * u;                                                     \
        p2 += (LOAD(x2 + i) - shift[2]) * u;                                                     \
        p3 += (LOAD(x3 + i) - shift[3]) * u;                                                     \
    }                                                                                            \
    rest[0] = fold(p0), rest[1] = fold(p1), rest[2] = fold(p2), rest[3] = fold(p3);
#else
#define FOUR_WIDE(LOAD)
#endif

#define DEFINE_DENSE(SUFFIX, T)                                                                  \
    CLONED double creg_dot_##SUFFIX(ptrdiff_t n, const T *x, double shift, const double *v)      \
    {                                                                                            \
        SUM_WIDE(n, DOT_WIDE_##SUFFIX, DOT_TERM)                                                                 \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_axpy_##SUFFIX(ptrdiff_t n, double a, const T *restrict x, double shift,     \
                                   const double *restrict s, double *restrict v)                 \
    {                                                                                            \
        if (s) {                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++)                                                    \
                v[i] += (a * s[i]) * SHIFTED(i);                                                 \
        } else {                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++)                                                    \
                v[i] += a * SHIFTED(i);                                                          \
        }                                                                                        \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_axpy4_##SUFFIX(ptrdiff_t n, const double *a, const T *const *x,             \
                                    const double *shift, double *restrict v)                     \
    {                                                                                            \
        const T *restrict x0 = x[0], *restrict x1 = x[1];                                        \
        const T *restrict x2 = x[2], *restrict x3 = x[3];                                        \
        const double a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];                                 \
        const double m0 = shift[0], m1 = shift[1], m2 = shift[2], m3 = shift[3];                 \
        for (ptrdiff_t i = 0; i < n; i++)                                                        \
            v[i] = v[i] + a0 * (x0[i] - m0) + a1 * (x1[i] - m1) + a2 * (x2[i] - m2) +            \
                   a3 * (x3[i] - m3);                                                            \
    }                                                                                            \
                                                                                                 \
    CLONED static double square_##SUFFIX(ptrdiff_t n, double a, const T *x, double shift)        \
    {                                                                                            \
        SUM_WIDE(n, SQUARE_WIDE_##SUFFIX, SQUARE_TERM)                                                                \
    }                                                                                            \
                                                                                                 \
    CLONED static double weighted_square_##SUFFIX(ptrdiff_t n, double a, const T *x,             \
                                                  double shift, const double *s)                 \
    {                                                                                            \
        SUM(n, WEIGHTED_TERM)                                                              \
    }                                                                                            \
                                                                                                 \
    double creg_square_##SUFFIX(ptrdiff_t n, double a, const T *x, double shift,                 \
                                const double *s)                                                 \
    {                                                                                            \
        return s ? weighted_square_##SUFFIX(n, a, x, shift, s) : square_##SUFFIX(n, a, x, shift); \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_dot4_##SUFFIX(ptrdiff_t n, const T *const *x, const double *shift,          \
                                   const double *v, double *out)                                 \
    {                                                                                            \
        const T *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];                                  \
        ptrdiff_t i = 0;                                                                         \
        for (int k = 0; k < 4; k++)                                                              \
            out[k] = 0;                                                                          \
        while (i < n) {                                                                          \
            ptrdiff_t end = n - i < BLOCK / 2 ? n : i + BLOCK / 2;                               \
            double rest[4] = {0};                                                                \
            FOUR_WIDE(load_##SUFFIX)                                                             \
            for (; i < end; i++) {                                                               \
                rest[0] += FOUR_TERM(0, i);                                                      \
                rest[1] += FOUR_TERM(1, i);                                                      \
                rest[2] += FOUR_TERM(2, i);                                                      \
                rest[3] += FOUR_TERM(3, i);                                                      \
            }                                                                                    \
            for (int k = 0; k < 4; k++)                                                          \
                out[k] += rest[k];                                                               \
        }                                                                                        \
    }                                                                                            \
                                                                                                 \
    CLONED static double row_dot_##SUFFIX(ptrdiff_t p, const T *x, const double *shift,          \
                                          const double *v)                                       \
    {                                                                                            \
        SUM_WIDE(p, ROW_DOT_WIDE_##SUFFIX, ROW_DOT_TERM)                                                               \
    }                                                                                            \
                                                                                                 \
    void creg_rows_dot_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride,          \
                                const double *shift, const double *v, double *out)               \
    {                                                                                            \
        for (ptrdiff_t i = 0; i < m; i++)                                                        \
            out[i] = row_dot_##SUFFIX(p, x + i * stride, shift, v);                              \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_rows_axpy_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *restrict x,           \
                                        ptrdiff_t stride, const double *restrict shift,          \
                                        const double *restrict q, double *restrict out)          \
    {                                                                                            \
        ROWS_SUM(T, ROWS_AXPY_COUNTS, ROWS_AXPY_TERM)                                            \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_rows_square_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *restrict x,         \
                                          ptrdiff_t stride, const double *restrict shift,        \
                                          const double *restrict a, const double *restrict s,    \
                                          double *restrict out)                                  \
    {                                                                                            \
        ROWS_SUM(T, ROWS_SQUARE_COUNTS, ROWS_SQUARE_TERM)                                        \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_shifted_##SUFFIX(ptrdiff_t n, const T *restrict x, ptrdiff_t ahead,         \
                                      double shift, double a, const double *restrict root,       \
                                      double *restrict out)                                      \
    {                                                                                            \
        for (ptrdiff_t start = 0; start < n; start += LINE / (ptrdiff_t)sizeof(T)) {             \
            ptrdiff_t end = start + LINE / (ptrdiff_t)sizeof(T);                                 \
            if (end > n)                                                                         \
                end = n;                                                                         \
            PREFETCH(x + start + ahead);                                                         \
            if (root)                                                                            \
                for (ptrdiff_t i = start; i < end; i++)                                          \
                    out[i] = a * root[i] * SHIFTED(i);                                           \
            else                                                                                 \
                for (ptrdiff_t i = start; i < end; i++)                                          \
                    out[i] = a * SHIFTED(i);                                                     \
        }                                                                                        \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_row_shifted_##SUFFIX(ptrdiff_t p, const T *restrict x,                      \
                                          const double *restrict shift,                          \
                                          const double *restrict a, double root,                 \
                                          double *restrict out)                                  \
    {                                                                                            \
        for (ptrdiff_t j = 0; j < p; j++)                                                        \
            out[j] = a[j] * root * (x[j] - shift[j]);                                            \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_four_shifted_##SUFFIX(ptrdiff_t p, const T *const *x,                       \
                                           const double *restrict shift,                         \
                                           const double *restrict a, const double *root,         \
                                           double *restrict out, ptrdiff_t pitch)                \
    {                                                                                            \
        const T *restrict x0 = x[0], *restrict x1 = x[1];                                        \
        const T *restrict x2 = x[2], *restrict x3 = x[3];                                        \
        double *restrict out1 = out + pitch, *restrict out2 = out1 + pitch;                      \
        double *restrict out3 = out2 + pitch;                                                    \
        const double r0 = root[0], r1 = root[1], r2 = root[2], r3 = root[3];                     \
        for (ptrdiff_t j = 0; j < p; j++) {                                                      \
            out[j] = a[j] * r0 * (x0[j] - shift[j]);                                             \
            out1[j] = a[j] * r1 * (x1[j] - shift[j]);                                            \
            out2[j] = a[j] * r2 * (x2[j] - shift[j]);                                            \
            out3[j] = a[j] * r3 * (x3[j] - shift[j]);                                            \
        }                                                                                        \
    }

#define ROW_DOT_TERM(j) ((x[j] - shift[j]) * v[j])
#define SQUARE(u) ((u) * (u))

#define ROWS_AXPY_COUNTS(i) (q[i] != 0)
#define ROWS_AXPY_TERM(i, x) (q[i] * ((x) - shift[start + j]))
#define ROWS_SQUARE_COUNTS(i) (s[i] > 0)
#define ROWS_SQUARE_TERM(i, x) (s[i] * SQUARE(a[start + j] * ((x) - shift[start + j])))

/* out_j += sum of TERM over the rows that COUNT, tile by tile; four rows at once keep as many
 * streams of memory going. */
#define ROWS_SUM(ELEMENT, COUNTS, TERM)                                                          \
    for (ptrdiff_t start = 0; start < p; start += TILE) {                                        \
        ptrdiff_t i = 0, width = p - start < TILE ? p - start : TILE;                            \
        double part[TILE];                                                                       \
        for (ptrdiff_t j = 0; j < width; j++)                                                    \
            part[j] = 0;                                                                         \
        while (i < m) {                                                                          \
            const ELEMENT *row = x + i * stride + start;                                         \
            if (i + 4 <= m && COUNTS(i) && COUNTS(i + 1) && COUNTS(i + 2) && COUNTS(i + 3)) {    \
                const ELEMENT *row1 = row + stride, *row2 = row1 + stride, *row3 = row2 + stride; \
                for (ptrdiff_t j = 0; j < width; j++)                                            \
                    part[j] += (TERM(i, row[j]) + TERM(i + 1, row1[j]))                          \
                        + (TERM(i + 2, row2[j]) + TERM(i + 3, row3[j]));                         \
                i += 4;                                                                          \
                continue;                                                                        \
            }                                                                                    \
            if (COUNTS(i))                                                                       \
                for (ptrdiff_t j = 0; j < width; j++)                                            \
                    part[j] += TERM(i, row[j]);                                                  \
            i++;                                                                                 \
        }                                                                                        \
        for (ptrdiff_t j = 0; j < width; j++)                                                    \
            out[start + j] += part[j];                                                           \
    }

#define DEFINE_SPARSE(SUFFIX, T, I)                                                              \
    double creg_sparse_dot_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at, double shift,        \
                                    const double *v)                                             \
    {                                                                                            \
        SUM_GATHERED(nnz, GATHERED_DOT_TERM)                                                       \
    }                                                                                            \
                                                                                                 \
    void creg_sparse_axpy_##SUFFIX(ptrdiff_t nnz, double a, const T *x, const I *at,             \
                                   double shift, const double *s, double *v)                     \
    {                                                                                            \
        if (s) {                                                                                 \
            for (ptrdiff_t k = 0; k < nnz; k++)                                                  \
                v[at[k]] += (a * s[at[k]]) * SHIFTED(k);                                         \
        } else {                                                                                 \
            for (ptrdiff_t k = 0; k < nnz; k++)                                                  \
                v[at[k]] += a * SHIFTED(k);                                                      \
        }                                                                                        \
    }                                                                                            \
                                                                                                 \
    double creg_sparse_square_##SUFFIX(ptrdiff_t nnz, double a, const T *x, const I *at,         \
                                       double shift, const double *s)                            \
    {                                                                                            \
        if (s) {                                                                                 \
            SUM_GATHERED(nnz, GATHERED_WEIGHTED_TERM)                                              \
        }                                                                                        \
        SUM_GATHERED(nnz, SQUARE_TERM)                                                             \
    }

DEFINE_DENSE(f64, double)
DEFINE_DENSE(f32, float)
DEFINE_SPARSE(f64_i32, double, int32_t)
DEFINE_SPARSE(f64_i64, double, int64_t)
DEFINE_SPARSE(f32_i32, float, int32_t)
DEFINE_SPARSE(f32_i64, float, int64_t)

static inline __attribute__((always_inline)) double inner(ptrdiff_t n, const double *u,
                                                          const double *v)
{
    SUM_WIDE(n, INNER_WIDE, INNER_TERM)
}

CLONED double creg_inner(ptrdiff_t n, const double *u, const double *v)
{
    return inner(n, u, v);
}

/* Blocks of u stay in cache while the others pass. */
CLONED void creg_inner_each(ptrdiff_t n, const double *u, ptrdiff_t count,
                            const double *const *v, double *out)
{
    for (ptrdiff_t k = 0; k < count; k++)
        out[k] = 0;
    for (ptrdiff_t start = 0; start < n; start += TILE) {
        ptrdiff_t width = n - start < TILE ? n - start : TILE;
        for (ptrdiff_t k = 0; k < count; k++)
            out[k] += inner(width, u + start, v[k] + start);
    }
}

CLONED void creg_add(ptrdiff_t n, double a, const double *restrict u, double *restrict v)
{
    for (ptrdiff_t i = 0; i < n; i++)
        v[i] += a * u[i];
}

CLONED double creg_sum(ptrdiff_t n, const double *u)
{
    SUM_WIDE(n, PLAIN_WIDE, PLAIN_TERM)
}

CLONED double creg_square_over(ptrdiff_t n, const double *u, const double *s)
{
    SUM(n, OVER_TERM)
}

CLONED void creg_weigh(ptrdiff_t n, const double *restrict s, double *restrict v)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        double t = s[i] * v[i];
        v[i] = s[i] > 0 ? t : 0.0;
    }
}

CLONED void creg_four_moments(ptrdiff_t p, const double *restrict x, ptrdiff_t stride,
                              const double *root, double *restrict sum, double *restrict square)
{
    const double *restrict x1 = x + stride, *restrict x2 = x1 + stride, *restrict x3 = x2 + stride;
    const double r0 = root[0], r1 = root[1], r2 = root[2], r3 = root[3];
    for (ptrdiff_t j = 0; j < p; j++) {
        sum[j] += (r0 * x[j] + r1 * x1[j]) + (r2 * x2[j] + r3 * x3[j]);
        square[j] += (SQUARE(x[j]) + SQUARE(x1[j])) + (SQUARE(x2[j]) + SQUARE(x3[j]));
    }
}

CLONED void creg_add_square(ptrdiff_t n, double a, const double *restrict q, double *restrict h)
{
    for (ptrdiff_t i = 0; i < n; i++)
        h[i] += a * q[i] * q[i];
}

CLONED void creg_left_out(ptrdiff_t n, const double *restrict u, const double *restrict p,
                          const double *restrict h, double least, double *restrict out)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        double left = 1.0 - h[i], e = (u[i] - p[i]) / left;
        out[i] = left > least ? e * e : INFINITY;
    }
}

CLONED double creg_spread(ptrdiff_t n, const double *s, double m, const double *u)
{
    SUM(n, SPREAD_TERM)
}

CLONED void creg_rotate(ptrdiff_t n, double c, double s, double *restrict u, double *restrict v)
{
    for (ptrdiff_t i = 0; i < n; i++) {
        double t = u[i];
        u[i] = c * t + s * v[i];
        v[i] = c * v[i] - s * t;
    }
}

/* The vectors stay in registers while the columns go by. */
CLONED void creg_rotate_columns(ptrdiff_t n, ptrdiff_t columns, const double *cs, ptrdiff_t step,
                                double *u, double *v, ptrdiff_t ld)
{
    ptrdiff_t i = 0;
#if defined(__GNUC__)
    for (; i + WIDTH <= n; i += WIDTH) {
        wide v0 = load_f64(v + i), v1 = load_f64(v + ld + i);
        wide v2 = load_f64(v + 2 * ld + i), v3 = load_f64(v + 3 * ld + i);
        for (ptrdiff_t j = 0; j < columns; j++) {
            const double *a = cs + j * step;
            wide t = load_f64(u + j * ld + i), x = a[0] * t + a[1] * v0;
            v0 = a[0] * v0 - a[1] * t;
            t = a[2] * x + a[3] * v1;
            v1 = a[2] * v1 - a[3] * x;
            x = a[4] * t + a[5] * v2;
            v2 = a[4] * v2 - a[5] * t;
            t = a[6] * x + a[7] * v3;
            v3 = a[6] * v3 - a[7] * x;
            memcpy(u + j * ld + i, &t, sizeof t);
        }
        memcpy(v + i, &v0, sizeof v0);
        memcpy(v + ld + i, &v1, sizeof v1);
        memcpy(v + 2 * ld + i, &v2, sizeof v2);
        memcpy(v + 3 * ld + i, &v3, sizeof v3);
    }
#endif
    for (; i < n; i++)
        for (ptrdiff_t j = 0; j < columns; j++)
            for (ptrdiff_t k = 0; k < 4; k++) {
                const double c = cs[j * step + 2 * k], b = cs[j * step + 2 * k + 1];
                double *x = u + j * ld + i, *w = v + k * ld + i, t = *x;
                *x = c * t + b * *w;
                *w = c * *w - b * t;
            }
}

CLONED void creg_add4(ptrdiff_t n, const double *a, const double *restrict u0,
                      const double *restrict u1, const double *restrict u2,
                      const double *restrict u3, double *restrict v)
{
    for (ptrdiff_t i = 0; i < n; i++)
        v[i] += (a[0] * u0[i] + a[1] * u1[i]) + (a[2] * u2[i] + a[3] * u3[i]);
}

/* Blocks in which nothing is beyond need no second look. */
CLONED ptrdiff_t creg_beyond(ptrdiff_t p, const float *h, const float *const *c, float e,
                             const float *up, const float *low, ptrdiff_t *out)
{
    const float *c0 = c[0], *c1 = c[1], *c2 = c[2];
    const float h0 = h[0], h1 = h[1], h2 = h[2];
    ptrdiff_t count = 0;
    for (ptrdiff_t start = 0; start < p; start += BLOCK) {
        ptrdiff_t width = p - start < BLOCK ? p - start : BLOCK;
        int beyond[BLOCK], any = 0;
#pragma omp simd reduction(| : any)
        for (ptrdiff_t k = 0; k < width; k++) {
            ptrdiff_t j = start + k;
            float v = h0 * c0[j] + h1 * c1[j] + h2 * c2[j];
            beyond[k] = !(e + v <= up[j]) | !(e - v <= low[j]);
            any |= beyond[k];
        }
        if (any)
            for (ptrdiff_t k = 0; k < width; k++) {
                out[count] = start + k;
                count += beyond[k];
            }
    }
    return count;
}
