/* One number in 16 bits. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x)
        return (uint16_t)(bits >> 16 | 64);            /* a NaN stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* To binary16 and back, rounded to the nearest, ties to even; numbers beyond it become its largest. */
static inline uint16_t binary16(float x)
{
    float size = fabsf(x) < 65504.0f ? fabsf(x) : 65504.0f;
    uint32_t bits, sign = signbit(x) ? 0x8000 : 0;
    if (size < 0x1p-14f)
        return (uint16_t)(sign | (uint32_t)lrintf(size * 0x1p24f));
    memcpy(&bits, &size, 4);
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | ((bits >> 13) - (112u << 10)));
}

enum { NOT_A_NUMBER = 0x7e00, INFINITE = 0x7c00 };

/* As binary16, but what is beyond it becomes infinite, and what is no number stays none. */
static inline uint16_t float16(float x)
{
    if (x != x)
        return NOT_A_NUMBER;
    return fabsf(x) < 65520.0f ? binary16(x) : (uint16_t)(INFINITE | (signbit(x) ? 0x8000 : 0));
}
