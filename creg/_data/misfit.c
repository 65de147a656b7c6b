#include "misfit.h"
#include "vector.h"

enum { LINE = 16 }; /* entries of a cache line */

#if defined(__GNUC__)
#define PREFETCH(at) __builtin_prefetch(at)
#define INLINE static inline __attribute__((always_inline))
#else
#define PREFETCH(at) ((void)0)
#define INLINE static inline
#endif

/* Four lines at once: vectors are loaded for all of them, and memory is kept busy. */
#define FOUR(X, K)                                                                               \
    const float *restrict x0 = (X)->x + (K) * (X)->stride, *restrict x1 = x0 + (X)->stride;      \
    const float *restrict x2 = x1 + (X)->stride, *restrict x3 = x2 + (X)->stride;
#define SUM_FOUR(N, TERM)                                                                        \
    double d0 = 0, d1 = 0, d2 = 0, d3 = 0;                                                       \
    _Pragma("omp simd reduction(+ : d0, d1, d2, d3)") for (ptrdiff_t k = 0; k < (N); k++)        \
    {                                                                                            \
        d0 += TERM(0, k);                                                                        \
        d1 += TERM(1, k);                                                                        \
        d2 += TERM(2, k);                                                                        \
        d3 += TERM(3, k);                                                                        \
    }
#define ADD_FOUR(N, TERM, V)                                                                     \
    for (ptrdiff_t k = 0; k < (N); k++)                                                          \
        V[k] += (TERM(0, k) + TERM(1, k)) + (TERM(2, k) + TERM(3, k));

#define ROW_DOT(R, j) ((x##R[j] - shift[j]) * w[j])
#define ROW_AXPY(R, j) (q##R * (x##R[j] - shift[j]))
#define COLUMN_DOT(R, i) ((x##R[i] - c##R) * t[i])
#define COLUMN_AXPY(R, i) (a##R * (x##R[i] - c##R))
#define LEFT(D, i) ((s ? s[i] : 1.0) * (y[i] - (D)))

static void one_row(const struct creg_singles *X, ptrdiff_t i, const double *w, const double *y,
                    const double *s, double *t, double *out)
{
    const float *x = X->x + i * X->stride;
    double d = 0;
    for (ptrdiff_t j = 0; j < X->p; j++)
        d += (x[j] - X->shift[j]) * w[j];
    t[i] = LEFT(d, i);
    for (ptrdiff_t j = 0; j < X->p; j++)
        out[j] += t[i] * (x[j] - X->shift[j]);
}

CLONED void creg_misfit_rows(ptrdiff_t m, const struct creg_singles *X, const double *restrict w,
                             const double *y, const double *s, double *t, double *restrict out)
{
    const ptrdiff_t p = X->p;
    const double *restrict shift = X->shift;
    ptrdiff_t i = 0;
    for (; i + 4 <= m; i += 4) {
        FOUR(X, i)
        if (X->ahead)
            for (ptrdiff_t k = 0; k < 4 * X->stride; k += LINE)
                PREFETCH(x0 + X->ahead + k);
        SUM_FOUR(p, ROW_DOT)
        const double q0 = LEFT(d0, i), q1 = LEFT(d1, i + 1);
        const double q2 = LEFT(d2, i + 2), q3 = LEFT(d3, i + 3);
        t[i] = q0, t[i + 1] = q1, t[i + 2] = q2, t[i + 3] = q3;
        ADD_FOUR(p, ROW_AXPY, out)
    }
    for (; i < m; i++)
        one_row(X, i, w, y, s, t, out);
}

INLINE void
add_four_columns(ptrdiff_t m, const struct creg_singles *X, ptrdiff_t j, const double *w,
                 double *restrict t)
{
    const double *shift = X->shift + j;
    const double c0 = shift[0], c1 = shift[1], c2 = shift[2], c3 = shift[3];
    const double a0 = w[j], a1 = w[j + 1], a2 = w[j + 2], a3 = w[j + 3];
    FOUR(X, j)
    ADD_FOUR(m, COLUMN_AXPY, t)
}

INLINE void
dot_four_columns(ptrdiff_t m, const struct creg_singles *X, ptrdiff_t j,
                 const double *restrict t, double *out)
{
    const double *shift = X->shift + j;
    const double c0 = shift[0], c1 = shift[1], c2 = shift[2], c3 = shift[3];
    FOUR(X, j)
    double d0 = 0, d1 = 0, d2 = 0, d3 = 0;
    ptrdiff_t i = 0;
#if defined(__GNUC__)
    wide p0 = {0}, p1 = {0}, p2 = {0}, p3 = {0};
    for (; i + WIDTH <= m; i += WIDTH) {
        const wide u = load_f64(t + i);
        if (X->ahead && i % LINE == 0) {
            PREFETCH(x0 + X->ahead + i);
            PREFETCH(x1 + X->ahead + i);
            PREFETCH(x2 + X->ahead + i);
            PREFETCH(x3 + X->ahead + i);
        }
        p0 += (load_f32(x0 + i) - c0) * u;
        p1 += (load_f32(x1 + i) - c1) * u;
        p2 += (load_f32(x2 + i) - c2) * u;
        p3 += (load_f32(x3 + i) - c3) * u;
    }
    d0 = fold(p0), d1 = fold(p1), d2 = fold(p2), d3 = fold(p3);
#endif
    for (; i < m; i++) {
        d0 += COLUMN_DOT(0, i);
        d1 += COLUMN_DOT(1, i);
        d2 += COLUMN_DOT(2, i);
        d3 += COLUMN_DOT(3, i);
    }
    out[j] += d0, out[j + 1] += d1, out[j + 2] += d2, out[j + 3] += d3;
}

CLONED void creg_misfit_columns(ptrdiff_t m, const struct creg_singles *X, const double *w,
                                const double *y, const double *s, double *restrict t,
                                double *restrict out)
{
    const ptrdiff_t whole = X->p - X->p % 4;
    memset(t, 0, m * sizeof(double));
    for (ptrdiff_t j = 0; j < whole; j += 4)
        add_four_columns(m, X, j, w, t);
    for (ptrdiff_t j = whole; j < X->p; j++) {
        const float *x = X->x + j * X->stride;
        for (ptrdiff_t i = 0; i < m; i++)
            t[i] += w[j] * (x[i] - X->shift[j]);
    }
    for (ptrdiff_t i = 0; i < m; i++)
        t[i] = LEFT(t[i], i);
    for (ptrdiff_t j = 0; j < whole; j += 4)
        dot_four_columns(m, X, j, t, out);
    for (ptrdiff_t j = whole; j < X->p; j++) {
        const float *x = X->x + j * X->stride;
        double d = 0;
        for (ptrdiff_t i = 0; i < m; i++)
            d += t[i] * (x[i] - X->shift[j]);
        out[j] += d;
    }
}
