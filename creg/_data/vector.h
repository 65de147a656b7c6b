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
#endif

#endif
