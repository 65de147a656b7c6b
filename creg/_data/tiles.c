#include "tiles.h"
#include "vector.h"

/* (x - shift - line_shift) factor line_factor over entries start to stop of p lines */
#define TURN_SINGLY(START)                                                                       \
    for (ptrdiff_t i = (START); i < m; i++) {                                                    \
        for (ptrdiff_t j = 0; j < p; j++)                                                        \
            out[i * pitch + j] = ((double)x[j * stride + i] - shift[i] - line_shift[j]) *        \
                                 factor[i] * line_factor[j];                                     \
        for (ptrdiff_t j = p; j % 8; j++)                                                        \
            out[i * pitch + j] = 0;                                                              \
    }

#if defined(CREG_CLONES)
enum {
    CACHE_LINE = 64,
    STEP = 8 /* rows of a tile between two looks ahead */
};

#define WITH_512_BITS __attribute__((target("arch=x86-64-v4")))
#define ALL(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

int creg_tiles_pay(void) { return __builtin_cpu_supports("x86-64-v4") != 0; }

/* What of a region is not asked for yet: `count` cache lines of it every STEP rows of a tile. */
struct ahead {
    const char *at;
    ptrdiff_t left, length, skip, lines, count;
};

static inline __attribute__((always_inline)) void fetch(struct ahead *ahead)
{
    for (ptrdiff_t k = 0; k < ahead->count && ahead->lines > 0; k++) {
        __builtin_prefetch(ahead->at, 0, 2);
        ahead->at += CACHE_LINE;
        if (--ahead->left == 0) {
            ahead->at += ahead->skip;
            ahead->left = ahead->length;
            ahead->lines--;
        }
    }
}

/* out, 8 rows of 8, 16 or 24, += left' right over m rows: products stay in registers */
#define DEFINE_TILE(NAME, SET, ADD, STORE)                                                       \
    WITH_512_BITS static void NAME(ptrdiff_t m, ptrdiff_t pitch, const double *left,             \
                                   const double *right, double *out, struct ahead *ahead)        \
    {                                                                                            \
        ALL(SET)                                                                                 \
        for (ptrdiff_t i = 0; i < m;) {                                                          \
            ptrdiff_t stop = m - i < STEP ? m : i + STEP;                                        \
            for (; i < stop; i++) {                                                              \
                ALL(ADD)                                                                         \
                left += pitch;                                                                   \
                right += pitch;                                                                  \
            }                                                                                    \
            fetch(ahead);                                                                        \
        }                                                                                        \
        ALL(STORE)                                                                               \
    }

#define TO(K, SUM)                                                                               \
    {                                                                                            \
        wide v = load_f64(out + (K)) + SUM;                                                      \
        memcpy(out + (K), &v, sizeof v);                                                         \
    }
#define SET1(R) wide a##R = {0};
#define SET2(R) SET1(R) wide b##R = {0};
#define SET3(R) SET2(R) wide c##R = {0};
#define ADD1(R) a##R += left[R] * load_f64(right);
#define ADD2(R) ADD1(R) b##R += left[R] * load_f64(right + 8);
#define ADD3(R) ADD2(R) c##R += left[R] * load_f64(right + 16);
#define STORE1(R) TO((R)*pitch, a##R)
#define STORE2(R) STORE1(R) TO((R)*pitch + 8, b##R)
#define STORE3(R) STORE2(R) TO((R)*pitch + 16, c##R)

DEFINE_TILE(tile_8, SET1, ADD1, STORE1)
DEFINE_TILE(tile_16, SET2, ADD2, STORE2)
DEFINE_TILE(tile_24, SET3, ADD3, STORE3)

void creg_tile_gram(ptrdiff_t m, ptrdiff_t pitch, const double *B, double *out,
                    const struct creg_region *next)
{
    struct ahead ahead = {.at = next->at, .lines = next->lines};
    const ptrdiff_t panels = (pitch + 23) / 24;
    const ptrdiff_t chances = 3 * panels * (panels + 1) / 2 * ((m + STEP - 1) / STEP);
    ahead.length = ahead.left = next->length / CACHE_LINE + 1;
    ahead.skip = next->stride - CACHE_LINE * ahead.length;
    ahead.count = ahead.length * ahead.lines / (chances > 0 ? chances : 1) + 1;
    for (ptrdiff_t j = 0; j < pitch; j += 24) {
        const ptrdiff_t end = pitch - j < 24 ? pitch : j + 24;
        for (ptrdiff_t k = 0; k < end; k += 8) {
            const ptrdiff_t at = k > j ? k : j;
            double *to = out + k * pitch + at;
            if (end - at == 24)
                tile_24(m, pitch, B + k, B + at, to, &ahead);
            else if (end - at == 16)
                tile_16(m, pitch, B + k, B + at, to, &ahead);
            else
                tile_8(m, pitch, B + k, B + at, to, &ahead);
        }
    }
}

typedef long long places __attribute__((vector_size(64)));
#define MIX(A, B, ...) __builtin_shuffle(A, B, (places){__VA_ARGS__})

/* 8 x 8 */
#define TRANSPOSE(V)                                                                             \
    {                                                                                            \
        wide t[8], u[8];                                                                         \
        for (int k = 0; k < 8; k += 2) {                                                         \
            t[k] = MIX(V[k], V[k + 1], 0, 8, 2, 10, 4, 12, 6, 14);                               \
            t[k + 1] = MIX(V[k], V[k + 1], 1, 9, 3, 11, 5, 13, 7, 15);                           \
        }                                                                                        \
        for (int k = 0; k < 8; k += 4)                                                           \
            for (int q = 0; q < 2; q++) {                                                        \
                u[k + q] = MIX(t[k + q], t[k + q + 2], 0, 1, 8, 9, 4, 5, 12, 13);                \
                u[k + q + 2] = MIX(t[k + q], t[k + q + 2], 2, 3, 10, 11, 6, 7, 14, 15);          \
            }                                                                                    \
        for (int k = 0; k < 4; k++) {                                                            \
            V[k] = MIX(u[k], u[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);                                \
            V[k + 4] = MIX(u[k], u[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);                          \
        }                                                                                        \
    }

/* 8 entries of `lines` lines, at most 8 */
#define TURN_BLOCK(SUFFIX, LINES)                                                                \
    {                                                                                            \
        wide v[8] = {{0}};                                                                       \
        for (int k = 0; k < (LINES); k++)                                                        \
            v[k] = (load_##SUFFIX(from + k * stride) - load_f64(shift + i) -                     \
                    line_shift[j + k]) *                                                         \
                   load_f64(factor + i) * line_factor[j + k];                                    \
        TRANSPOSE(v)                                                                             \
        for (int k = 0; k < 8; k++)                                                              \
            memcpy(out + (i + k) * pitch + j, v + k, sizeof(wide));                              \
    }

#define DEFINE_TURNED(SUFFIX, T)                                                                 \
    WITH_512_BITS void creg_turned_##SUFFIX(                                                     \
        ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride, const double *shift,             \
        const double *factor, const double *line_shift, const double *line_factor, double *out,  \
        ptrdiff_t pitch)                                                                         \
    {                                                                                            \
        ptrdiff_t whole = m - m % 8;                                                             \
        for (ptrdiff_t j = 0; j < p; j += 8)                                                     \
            for (ptrdiff_t i = 0; i < whole; i += 8) {                                           \
                const T *from = x + j * stride + i;                                              \
                if (j + 8 <= p)                                                                  \
                    TURN_BLOCK(SUFFIX, 8)                                                        \
                else                                                                             \
                    TURN_BLOCK(SUFFIX, p - j)                                                    \
            }                                                                                    \
        TURN_SINGLY(whole)                                                                       \
    }

DEFINE_TURNED(f64, double)
DEFINE_TURNED(f32, float)
#else
int creg_tiles_pay(void) { return 0; }

void creg_tile_gram(ptrdiff_t m, ptrdiff_t pitch, const double *B, double *out,
                    const struct creg_region *next)
{
    (void)next;
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t k = 0; k < pitch; k++)
            for (ptrdiff_t j = k; j < pitch; j++)
                out[k * pitch + j] += B[i * pitch + k] * B[i * pitch + j];
}

#define DEFINE_TURNED(SUFFIX, T)                                                                 \
    void creg_turned_##SUFFIX(ptrdiff_t m, ptrdiff_t p, const T *x, ptrdiff_t stride,            \
                              const double *shift, const double *factor,                         \
                              const double *line_shift, const double *line_factor, double *out,  \
                              ptrdiff_t pitch)                                                   \
    {                                                                                            \
        TURN_SINGLY(0)                                                                           \
    }

DEFINE_TURNED(f64, double)
DEFINE_TURNED(f32, float)
#endif
