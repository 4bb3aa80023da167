/* The variants of this build, the best first, and which of them this processor can run. */
#include "unspool.h"

#ifndef STAMP
#define STAMP "unknown"
#endif
#define PUBLIC __attribute__((visibility("default")))

/* Which sources this was built of. */
PUBLIC const char *un_stamp(void) { return STAMP; }

extern const kernels kernels_baseline;

#if defined(__x86_64__)
#include <cpuid.h>
extern const kernels kernels_avx512, kernels_avx2;

#ifndef CPUID                                          /* a test puts another processor in its place */
#define CPUID __get_cpuid_count
#define KEPT_REGISTERS kept_registers()
#endif

enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29, AVX2 = 1 << 5, VNNI = 1 << 11 };
#define AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* f, dq, bw, vl */

/* Which registers the system keeps when it changes processes: without that they cannot be used, whatever the processor says. */
static inline uint32_t kept_registers(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* 0: the baseline; 1: AVX2 with what its variant uses; 2: AVX-512 too. Not __builtin_cpu_supports, which some compilers lack. */
static int level(void)
{
    uint32_t a, b, c, d, first = FMA | OSXSAVE | AVX | F16C;
    if (!CPUID(1, 0, &a, &b, &c, &d) || (c & first) != first)
        return 0;
    uint32_t kept = KEPT_REGISTERS;
    if ((kept & 0x6) != 0x6 || !CPUID(7, 0, &a, &b, &c, &d) || !(b & AVX2))
        return 0;
    return (kept & 0xe6) == 0xe6 && (b & AVX512) == AVX512 && c & VNNI ? 2 : 1;
}
#else
static int level(void) { return 0; }
#endif

/* The i-th variant that can run here, or null after the last. */
PUBLIC const kernels *un_variant(int i);
PUBLIC const kernels *un_variant(int i)
{
    static const kernels *const all[] = {
#if defined(__x86_64__)
        &kernels_avx512, &kernels_avx2,
#endif
        &kernels_baseline,
    };
    int count = (int)(sizeof all / sizeof *all), at = count - 1 - level() + i;
    return i >= 0 && at < count ? all[at] : 0;
}
