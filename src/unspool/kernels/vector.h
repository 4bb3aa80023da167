/* Registers of VL floats, by the vector extensions of GCC and Clang: one source for SSE, AVX2, AVX-512 and NEON. */
#ifndef UNSPOOL_VECTOR_H
#define UNSPOOL_VECTOR_H

#include "unspool.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif
#define PER_BLOCK (BLOCK / VL)                         /* registers that hold one number of each output of a block */

#define VECTOR(type, count) type __attribute__((vector_size((count) * sizeof(type)), aligned(sizeof(type)), may_alias))
typedef VECTOR(float, VL) floats;
typedef VECTOR(int32_t, VL) ints;
typedef VECTOR(uint32_t, VL) words;
typedef VECTOR(uint16_t, VL) halves;
typedef VECTOR(int8_t, VL) small;
typedef VECTOR(uint8_t, VL) unsigned_small;
typedef VECTOR(float, 4) four;
typedef VECTOR(float, 8) eight;

static inline floats load(const float *p) { return *(const floats *)p; }
static inline void store(float *p, floats v) { *(floats *)p = v; }
static inline floats all(float x) { return (floats){} + x; }
static inline floats choose(ints where, floats a, floats b) { return (floats)((where & (ints)a) | (~where & (ints)b)); }
static inline floats larger(floats a, floats b) { return choose(a > b, a, b); }

/* A register's numbers in four sums or, in `largest_of`, one maximum. */
static inline four fold(floats v)
{
#if VL == 16
    eight h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
#elif VL == 8
    return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#else
    return v;
#endif
}

/* The sums of four registers, each made as `sum` makes it. */
static inline four sums(floats a, floats b, floats c, floats d)
{
#if VL == 16
    floats ab = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
              + __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    floats cd = __builtin_shufflevector(c, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
              + __builtin_shufflevector(c, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    floats s = __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
             + __builtin_shufflevector(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    s += __builtin_shufflevector(s, s, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    s += __builtin_shufflevector(s, s, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    return __builtin_shufflevector(s, s, 0, 4, 8, 12);
#else
    four p = fold(a), q = fold(b), r = fold(c), s = fold(d);
    four pq = __builtin_shufflevector(p, q, 0, 4, 1, 5) + __builtin_shufflevector(p, q, 2, 6, 3, 7);
    four rs = __builtin_shufflevector(r, s, 0, 4, 1, 5) + __builtin_shufflevector(r, s, 2, 6, 3, 7);
    return __builtin_shufflevector(pq, rs, 0, 1, 4, 5) + __builtin_shufflevector(pq, rs, 2, 3, 6, 7);
#endif
}

static inline float sum(floats v)
{
    four s = fold(v);
    return (s[0] + s[2]) + (s[1] + s[3]);
}

static inline float largest_of(floats v)
{
#if VL == 16
    eight a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), b = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    a = (eight)((a > b & (VECTOR(int32_t, 8))a) | (~(a > b) & (VECTOR(int32_t, 8))b));
#elif VL == 8
    eight a = v;
#endif
#if VL >= 8
    four p = __builtin_shufflevector(a, a, 0, 1, 2, 3), q = __builtin_shufflevector(a, a, 4, 5, 6, 7);
#else
    four p = v, q = v;
#endif
    float most = p[0];
    for (int i = 0; i < 4; i++) {
        most = p[i] > most ? p[i] : most;
        most = q[i] > most ? q[i] : most;
    }
    return most;
}

/* exp: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r, times 2^n; 0 below -87. What is no number stays none. */
static inline floats exponential(floats x)
{
    const floats magic = all(12583039.0f);             /* 1.5 * 2^23 + 127: adding it leaves the exponent of 2^n in the low bits */
    ints tiny = x < -87.0f;
    x = choose(x > 88.0f, all(88.0f), choose(tiny, all(-87.0f), x));
    floats shifted = x * 1.44269504f + magic, n = shifted - magic;
    floats r = x - n * 0.693145752f - n * 1.42860677e-6f;
    floats p = all(1.98412698e-4f);
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (floats)(~tiny & (ints)(p * (floats)((ints)shifted << 23)));
}

static inline floats hyperbolic_tangent(floats x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

/* Abramowitz and Stegun 1964, 7.1.26: within 2e-7. */
static inline floats error_function(floats x)
{
    floats size = larger(x, -x), t = 1.0f / (1.0f + 0.3275911f * size);
    floats tail = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    floats y = 1.0f - tail * exponential(-(x * x));
    return choose(x < 0.0f, -y, y);
}

static inline floats activate(int activation, floats x)
{
    switch (activation) {
    case GELU_TANH: return x / (1.0f + exponential(-1.5957691216f * (x + 0.044715f * x * x * x)));
    case GELU: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
    case SILU: return x / (1.0f + exponential(-x));
    case RELU: return choose(x < 0.0f, all(0.0f), x);       /* keeps what is no number */
    default: return x;
    }
}

static inline ints unsigned_halves(halves h)
{
#if VL == 16                                           /* GCC would take a register apart for it */
    return (ints)_mm512_cvtepu16_epi32((__m256i)h);
#elif VL == 8
    return (ints)_mm256_cvtepu16_epi32((__m128i)h);
#else
    return __builtin_convertvector(h, ints);
#endif
}

/* Upper halves of float32 (bfloat16). */
static inline floats widen_bfloat16(halves h)
{
    return (floats)(unsigned_halves(h) << 16);
}

/* binary16 (float16). */
static inline floats widen_float16(halves h)
{
#if VL == 16
    return (floats)_mm512_cvtph_ps((__m256i)h);
#elif VL == 8
    return (floats)_mm256_cvtph_ps((__m128i)h);
#elif defined(__aarch64__)
    return (floats)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)h));
#else
    ints bits = __builtin_convertvector(h, ints), size = bits & 0x7fff;
    ints wide = (ints)((floats)(size << 13) * 0x1p112f); /* the exponent is moved by a multiplication, which is exact */
    ints beyond = size >= 0x7c00;                      /* infinite, or no number */
    wide = (beyond & (size << 13 | 0x7f800000)) | (~beyond & wide);
    return (floats)(wide | (bits & 0x8000) << 16);
#endif
}

/* VL bytes, with a sign or without. */
static inline ints signed_bytes(const uint8_t *p)
{
#if VL == 16                                           /* GCC would take a register apart for it */
    return (ints)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif VL == 8
    return (ints)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
    return __builtin_convertvector(*(const small *)p, ints);
#endif
}

static inline ints unsigned_bytes(const uint8_t *p)
{
#if VL == 16
    return (ints)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif VL == 8
    return (ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
    return __builtin_convertvector(*(const unsigned_small *)p, ints);
#endif
}

/* To bfloat16, to the nearest, ties to even; what is no number stays none. */
static inline halves narrow(floats v)
{
    words bits = (words)v, none = (words)(v != v), near = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return __builtin_convertvector((none & (bits >> 16 | 64)) | (~none & near), halves);
}

#endif
