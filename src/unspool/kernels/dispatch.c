/* The variants of this build, the best first, and which of them this processor can run. */
#include "unspool.h"

#ifndef STAMP
#define STAMP "unknown"
#endif
#define PUBLIC __attribute__((visibility("default")))

/* Which sources this was built of. */
PUBLIC const char *un_stamp(void) { return STAMP; }

#if defined(__x86_64__)
extern const kernels kernels_avx512, kernels_avx2;
#endif
extern const kernels kernels_baseline;

/* The i-th variant that can run here, or null after the last. */
PUBLIC const kernels *un_variant(int i);
PUBLIC const kernels *un_variant(int i)
{
    const kernels *found[3];
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        found[count++] = &kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found[count++] = &kernels_avx2;
#endif
    found[count++] = &kernels_baseline;
    return i >= 0 && i < count ? found[i] : 0;
}
