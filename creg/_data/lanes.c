#include "lanes.h"
#include "vector.h"

enum { ROWS = 64 }; /* entries between two additions to the total */

#if defined(__GNUC__)
/* total += sum over the entries of TERM(i, eight values of its row), by eight partial sums */
#define LANES(N, ROW, TERM)                                                                      \
    const wide c = load_f64(shift);                                                              \
    wide total = {0};                                                                            \
    for (ptrdiff_t start = 0; start < (N); start += ROWS) {                                      \
        ptrdiff_t i = start, end = (N) - start < ROWS ? (N) : start + ROWS;                      \
        wide p0 = {0}, p1 = {0}, p2 = {0}, p3 = {0}, p4 = {0}, p5 = {0}, p6 = {0}, p7 = {0};     \
        for (; i + 8 <= end; i += 8) {                                                           \
            p0 += TERM(i, load_f64(v + 8 * ROW(i)));                                             \
            p1 += TERM(i + 1, load_f64(v + 8 * ROW(i + 1)));                                     \
            p2 += TERM(i + 2, load_f64(v + 8 * ROW(i + 2)));                                     \
            p3 += TERM(i + 3, load_f64(v + 8 * ROW(i + 3)));                                     \
            p4 += TERM(i + 4, load_f64(v + 8 * ROW(i + 4)));                                     \
            p5 += TERM(i + 5, load_f64(v + 8 * ROW(i + 5)));                                     \
            p6 += TERM(i + 6, load_f64(v + 8 * ROW(i + 6)));                                     \
            p7 += TERM(i + 7, load_f64(v + 8 * ROW(i + 7)));                                     \
        }                                                                                        \
        for (; i < end; i++)                                                                     \
            p0 += TERM(i, load_f64(v + 8 * ROW(i)));                                             \
        total += ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7));                              \
    }                                                                                            \
    (void)c;                                                                                     \
    memcpy(out, &total, sizeof total);
#else
#define LANES(N, ROW, TERM)                                                                      \
    for (int k = 0; k < 8; k++) {                                                                \
        const double c = shift[k];                                                               \
        double total = 0;                                                                        \
        for (ptrdiff_t start = 0; start < (N); start += ROWS) {                                  \
            ptrdiff_t end = (N) - start < ROWS ? (N) : start + ROWS;                             \
            double part[8] = {0};                                                                \
            for (ptrdiff_t i = start; i < end; i++)                                              \
                part[i % 8] += TERM(i, v[8 * ROW(i) + k]);                                       \
            total += ((part[0] + part[4]) + (part[2] + part[6])) +                               \
                     ((part[1] + part[5]) + (part[3] + part[7]));                                \
        }                                                                                        \
        (void)c;                                                                                 \
        out[k] = total;                                                                          \
    }
#endif

#define DIRECT(i) (i)
#define GATHERED(i) ((ptrdiff_t)at[i])
#define DOT(i, u) (((double)x[i] - c) * (u))
#define SQUARE(i, u) ((u) * ((double)x[i] - c) * ((double)x[i] - c))
#define PLAIN(i, u) (u)

#define DEFINE_DENSE_LANES(SUFFIX, T)                                                            \
    CLONED void creg_lanes_dot_##SUFFIX(ptrdiff_t n, const T *x, const double *shift,            \
                                        const double *v, double *out)                            \
    {                                                                                            \
        LANES(n, DIRECT, DOT)                                                                    \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_lanes_square_##SUFFIX(ptrdiff_t n, const T *x, const double *shift,         \
                                           const double *v, double *out)                         \
    {                                                                                            \
        LANES(n, DIRECT, SQUARE)                                                                 \
    }

#define DEFINE_SPARSE_LANES(SUFFIX, T, I)                                                        \
    CLONED void creg_lanes_sparse_dot_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,           \
                                               const double *shift, const double *v,             \
                                               double *out)                                      \
    {                                                                                            \
        LANES(nnz, GATHERED, DOT)                                                                \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_lanes_sparse_square_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,        \
                                                  const double *shift, const double *v,          \
                                                  double *out)                                   \
    {                                                                                            \
        LANES(nnz, GATHERED, SQUARE)                                                             \
    }                                                                                            \
                                                                                                 \
    CLONED void creg_lanes_sparse_sum_##SUFFIX(ptrdiff_t nnz, const T *x, const I *at,           \
                                               const double *shift, const double *v,             \
                                               double *out)                                      \
    {                                                                                            \
        (void)x;                                                                                 \
        LANES(nnz, GATHERED, PLAIN)                                                              \
    }

DEFINE_DENSE_LANES(f64, double)
DEFINE_DENSE_LANES(f32, float)
DEFINE_SPARSE_LANES(f64_i32, double, int32_t)
DEFINE_SPARSE_LANES(f64_i64, double, int64_t)
DEFINE_SPARSE_LANES(f32_i32, float, int32_t)
DEFINE_SPARSE_LANES(f32_i64, float, int64_t)
