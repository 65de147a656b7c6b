#include "tiles.h"
#include "vector.h"

/* (x - shift) factor root over entries start to stop of p lines, in float32 */
#define TURN_SINGLES(START)                                                                      \
    for (ptrdiff_t i = (START); i < m; i++)                                                      \
        for (ptrdiff_t j = 0; j < p; j++)                                                        \
            out[i * pitch + j] =                                                                 \
                (x[j * stride + i] - shift[j]) * (factor[j] * (root ? root[i] : 1));

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
#define ALL(DO, S) DO(S, 0) DO(S, 1) DO(S, 2) DO(S, 3) DO(S, 4) DO(S, 5) DO(S, 6) DO(S, 7)

typedef float wide_single __attribute__((vector_size(64)));
typedef double of_f64;
typedef float of_f32;
typedef wide wide_of_f64;
typedef wide_single wide_of_f32;
enum { LANES_f64 = 8, LANES_f32 = 16 };

static inline __attribute__((always_inline)) wide_single load_single(const float *x)
{
    wide_single v;
    memcpy(&v, x, sizeof v);
    return v;
}

#define LOAD_f64 load_f64
#define LOAD_f32 load_single

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

/* out, 8 rows of one, two or three vectors, += left' right over m rows: products stay in
 * registers */
#define DEFINE_TILE(NAME, S, SET, ADD, STORE)                                                    \
    WITH_512_BITS static void NAME(ptrdiff_t m, ptrdiff_t pitch, const of_##S *left,             \
                                   const of_##S *right, of_##S *out, struct ahead *ahead)        \
    {                                                                                            \
        ALL(SET, S)                                                                              \
        for (ptrdiff_t i = 0; i < m;) {                                                          \
            ptrdiff_t stop = m - i < STEP ? m : i + STEP;                                        \
            for (; i < stop; i++) {                                                              \
                ALL(ADD, S)                                                                      \
                left += pitch;                                                                   \
                right += pitch;                                                                  \
            }                                                                                    \
            fetch(ahead);                                                                        \
        }                                                                                        \
        ALL(STORE, S)                                                                            \
    }

#define TO(S, K, SUM)                                                                            \
    {                                                                                            \
        wide_of_##S v = LOAD_##S(out + (K)) + SUM;                                               \
        memcpy(out + (K), &v, sizeof v);                                                         \
    }
#define SET1(S, R) wide_of_##S a##R = {0};
#define SET2(S, R) SET1(S, R) wide_of_##S b##R = {0};
#define SET3(S, R) SET2(S, R) wide_of_##S c##R = {0};
#define ADD1(S, R) a##R += left[R] * LOAD_##S(right);
#define ADD2(S, R) ADD1(S, R) b##R += left[R] * LOAD_##S(right + LANES_##S);
#define ADD3(S, R) ADD2(S, R) c##R += left[R] * LOAD_##S(right + 2 * LANES_##S);
#define STORE1(S, R) TO(S, (R)*pitch, a##R)
#define STORE2(S, R) STORE1(S, R) TO(S, (R)*pitch + LANES_##S, b##R)
#define STORE3(S, R) STORE2(S, R) TO(S, (R)*pitch + 2 * LANES_##S, c##R)

#define DEFINE_GRAM(S)                                                                           \
    DEFINE_TILE(tile_1_##S, S, SET1, ADD1, STORE1)                                               \
    DEFINE_TILE(tile_2_##S, S, SET2, ADD2, STORE2)                                               \
    DEFINE_TILE(tile_3_##S, S, SET3, ADD3, STORE3)                                               \
                                                                                                 \
    void creg_tile_gram_##S(ptrdiff_t m, ptrdiff_t first, ptrdiff_t pitch, const of_##S *B,      \
                            of_##S *out, const struct creg_region *next)                         \
    {                                                                                            \
        const ptrdiff_t lanes = LANES_##S, vectors = pitch / lanes, panels = (vectors + 2) / 3;  \
        struct ahead ahead = begin(                                                              \
            next, (panels + 1) * vectors / 2 * (lanes / 8) * ((m + STEP - 1) / STEP));           \
        for (ptrdiff_t panel = 0; panel < panels; panel++) {                                     \
            const ptrdiff_t j = panel * vectors / panels * lanes;                                \
            const ptrdiff_t end = (panel + 1) * vectors / panels * lanes;                        \
            for (ptrdiff_t k = first; k < end; k += 8) {                                         \
                const ptrdiff_t from = k - k % lanes, at = from > j ? from : j;                  \
                of_##S *to = out + k * pitch + at;                                               \
                if (end - at == 3 * lanes)                                                       \
                    tile_3_##S(m, pitch, B + k, B + at, to, &ahead);                             \
                else if (end - at == 2 * lanes)                                                  \
                    tile_2_##S(m, pitch, B + k, B + at, to, &ahead);                             \
                else                                                                             \
                    tile_1_##S(m, pitch, B + k, B + at, to, &ahead);                             \
            }                                                                                    \
        }                                                                                        \
    }

/* The region, to be fetched within so many calls. */
static struct ahead begin(const struct creg_region *next, ptrdiff_t chances)
{
    struct ahead ahead = {.at = next->at, .lines = next->lines};
    ahead.length = ahead.left = next->length / CACHE_LINE + 1;
    ahead.skip = next->stride - CACHE_LINE * ahead.length;
    ahead.count = ahead.length * ahead.lines / (chances > 0 ? chances : 1) + 1;
    return ahead;
}

DEFINE_GRAM(f64)
DEFINE_GRAM(f32)

#define KEEP(K, SUM) memcpy(out + (K), &SUM, sizeof SUM);
#define KEEP3(S, R)                                                                              \
    KEEP((R)*out_pitch, a##R)                                                                    \
    KEEP((R)*out_pitch + LANES_##S, b##R)                                                        \
    KEEP((R)*out_pitch + 2 * LANES_##S, c##R)

WITH_512_BITS void creg_tile_combinations(ptrdiff_t m, const double *combinations,
                                          ptrdiff_t left_pitch, ptrdiff_t n,
                                          const double *columns,
                                          ptrdiff_t right_pitch, double *out,
                                          ptrdiff_t out_pitch)
{
    for (ptrdiff_t i = 0; i < n; i += 3 * LANES_f64, out += 3 * LANES_f64) {
        const double *left = combinations, *right = columns + i;
        ALL(SET3, f64)
        for (ptrdiff_t k = 0; k < m; k++) {
            ALL(ADD3, f64)
            left += left_pitch;
            right += right_pitch;
        }
        ALL(KEEP3, f64)
    }
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

typedef int single_places __attribute__((vector_size(64)));
#define MIX_SINGLES(A, B, ...)                                                                   \
    (wide)__builtin_shuffle((wide_single)(A), (wide_single)(B), (single_places){__VA_ARGS__})

/* 16 entries of `lines` lines, at most 16: pairs of lines are mixed, then pairs of entries turned */
static inline __attribute__((always_inline, target("arch=x86-64-v4"))) void
turn_singles(ptrdiff_t lines, const float *x, ptrdiff_t stride, const float *shift,
             const float *factor, wide_single root, float *out, ptrdiff_t pitch)
{
    wide_single v[16] = {{0}};
    wide even[8], odd[8];
    for (int k = 0; k < lines; k++)
        v[k] = (load_single(x + k * stride) - shift[k]) * (factor[k] * root);
    for (int k = 0; k < 8; k++) {
        even[k] = MIX_SINGLES(v[2 * k], v[2 * k + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26,
                              12, 28, 14, 30);
        odd[k] = MIX_SINGLES(v[2 * k], v[2 * k + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27,
                             13, 29, 15, 31);
    }
    TRANSPOSE(even)
    TRANSPOSE(odd)
    for (int k = 0; k < 8; k++) {
        memcpy(out + 2 * k * pitch, even + k, sizeof(wide));
        memcpy(out + (2 * k + 1) * pitch, odd + k, sizeof(wide));
    }
}

WITH_512_BITS void creg_turned_singles(ptrdiff_t m, ptrdiff_t p, const float *x,
                                       ptrdiff_t stride, const float *shift,
                                       const float *factor, const float *root, float *out,
                                       ptrdiff_t pitch)
{
    const ptrdiff_t whole = m - m % LANES_f32;
    const wide_single one = (wide_single){0} + 1;
    for (ptrdiff_t j = 0; j < p; j += LANES_f32)
        for (ptrdiff_t i = 0; i < whole; i += LANES_f32) {
            const float *from = x + j * stride + i;
            const wide_single weight = root ? load_single(root + i) : one;
            if (j + LANES_f32 <= p)
                turn_singles(LANES_f32, from, stride, shift + j, factor + j, weight,
                             out + i * pitch + j, pitch);
            else
                turn_singles(p - j, from, stride, shift + j, factor + j, weight,
                             out + i * pitch + j, pitch);
        }
    TURN_SINGLES(whole)
}
#else
int creg_tiles_pay(void) { return 0; }

void creg_tile_combinations(ptrdiff_t m, const double *left, ptrdiff_t left_pitch, ptrdiff_t n,
                            const double *right, ptrdiff_t right_pitch, double *out,
                            ptrdiff_t out_pitch)
{
    for (ptrdiff_t c = 0; c < 8; c++)
        for (ptrdiff_t i = 0; i < n; i++) {
            out[c * out_pitch + i] = 0;
            for (ptrdiff_t k = 0; k < m; k++)
                out[c * out_pitch + i] += left[k * left_pitch + c] * right[k * right_pitch + i];
        }
}

#define DEFINE_GRAM(S, T)                                                                        \
    void creg_tile_gram_##S(ptrdiff_t m, ptrdiff_t first, ptrdiff_t pitch, const T *B, T *out,   \
                            const struct creg_region *next)                                      \
    {                                                                                            \
        (void)next;                                                                              \
        for (ptrdiff_t i = 0; i < m; i++)                                                        \
            for (ptrdiff_t k = first; k < pitch; k++)                                                \
                for (ptrdiff_t j = k; j < pitch; j++)                                            \
                    out[k * pitch + j] += B[i * pitch + k] * B[i * pitch + j];                   \
    }

DEFINE_GRAM(f64, double)
DEFINE_GRAM(f32, float)

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

void creg_turned_singles(ptrdiff_t m, ptrdiff_t p, const float *x, ptrdiff_t stride,
                         const float *shift, const float *factor, const float *root, float *out,
                         ptrdiff_t pitch)
{
    TURN_SINGLES(0)
}
#endif

CLONED void creg_shifted_singles(ptrdiff_t m, ptrdiff_t p, const float *restrict x,
                                 ptrdiff_t stride, const float *restrict shift,
                                 const float *restrict factor, const float *root,
                                 float *restrict out, ptrdiff_t pitch)
{
    for (ptrdiff_t i = 0; i < m; i++) {
        const float weight = root ? root[i] : 1;
        for (ptrdiff_t j = 0; j < p; j++)
            out[i * pitch + j] = (x[i * stride + j] - shift[j]) * (factor[j] * weight);
    }
}

CLONED void creg_add_upper(ptrdiff_t size, const float *restrict part, ptrdiff_t pitch,
                           double *restrict out)
{
    for (ptrdiff_t i = 0; i < size; i++)
        for (ptrdiff_t j = i; j < size; j++)
            out[i * size + j] += part[i * pitch + j];
}
