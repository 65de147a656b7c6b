/* Vectors of eight float64, and functions in a version for each level of x86-64. */
#ifndef CREG_VECTOR_H
#define CREG_VECTOR_H

#include <stddef.h>
#include <string.h>

#if defined(_MSC_VER)
#define restrict __restrict
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CREG_SANITIZED
#endif
/* Clones need ifunc (glibc) and the level names of x86-64 (GCC 12); sanitizers crash in ifunc
 * resolvers. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) &&     \
    !defined(CREG_SANITIZED) && !defined(CREG_DEBUG)
#if __GNUC__ >= 12
#define CREG_CLONES
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
#endif
#ifndef CLONED
#define CLONED
#endif

enum { WIDTH = 8 }; /* lanes of a vector: independent partial sums */

#if defined(__GNUC__)
/* Vectors wider than the target's are split; these functions are inlined and have no ABI. */
#pragma GCC diagnostic ignored "-Wpsabi"
typedef double wide __attribute__((vector_size(64)));
typedef float wide_f32 __attribute__((vector_size(32)));

static inline __attribute__((always_inline)) wide load_f64(const double *x)
{
    wide v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline __attribute__((always_inline)) wide load_f32(const float *x)
{
    wide_f32 v;
    memcpy(&v, x, sizeof v);
    return __builtin_convertvector(v, wide);
}

static inline __attribute__((always_inline)) double fold(wide t)
{
    return ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
}

#if defined(CREG_CLONES)
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
#endif
#endif

#endif
