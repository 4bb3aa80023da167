/* Weights (outputs, inputs) of any strides, packed by blocks of 16 outputs as the kernels read them. */
#include "narrow.h"
#include "unspool.h"

typedef struct {
    const float *w;
    int64_t to_output, to_input;                       /* strides, in numbers */
    int32_t format, outputs, inputs;
    void *data;
    uint16_t *scales, *minima;
} packing;

static float wide(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
    float x;
    memcpy(&x, &bits, 4);
    return (h & 0x8000 ? -x : x) * 0x1p112f;
}

/* Whole numbers q from `least` to `most` with x ~ scale * (q - zero) + minimum; returns the sum of squares of what is off. */
static float round_group(const float *x, float scale, float zero, float minimum, float least, float most, float *q)
{
    float off[GROUP], error = 0, inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < GROUP; i++) {
        float at = (x[i] - minimum) * inverse + zero;
        at = at < least ? least : at > most ? most : at;
        q[i] = (at + 12582912.0f) - 12582912.0f;       /* 1.5 * 2^23: rounds to a whole number */
        off[i] = scale * (q[i] - zero) + minimum - x[i];
        off[i] *= off[i];
    }
    for (int i = 0; i < GROUP; i++) error += off[i];
    return error;
}

/* Scale and minimum of a group; for 4 bits the best of some scales around the one that reaches the largest number, and with a minimum
 * of those that reach it in fewer steps, one of which made the group if it comes from a file of 4 bits. */
static void choose_scale(int format, const float *x, uint16_t *scale, uint16_t *minimum, float *q)
{
    float low = x[0], high = x[0], poison = 0;
    for (int i = 0; i < GROUP; i++) low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high, poison += x[i] * 0.0f;
    *minimum = 0;
    if (poison != 0 || high > 65504.0f || low < -65504.0f) { /* what is no number, or beyond binary16, shows: the group is none */
        *scale = NOT_A_NUMBER;
        return;
    }
    if (format == INT8) {
        *scale = binary16((high > -low ? high : -low) / 127.0f);
        round_group(x, wide(*scale), 128, 0, 1, 255, q); /* not -128, whose opposite has no place in a byte */
        return;
    }
    float attempt[GROUP], best = INFINITY, reach = high > -low ? high / -8.0f : low / -8.0f;
    for (int i = format == INT4 ? -4 : -11; i <= 4; i++) {
        float shrink = 1.0f - 0.03f * (float)i, steps = i < -4 ? (float)(19 + i) : 15.0f / shrink;
        uint16_t s = binary16(format == INT4 ? reach * shrink : (high - low) / steps), m = format == INT4 ? 0 : binary16(low);
        float error = round_group(x, wide(s), format == INT4 ? 8 : 0, wide(m), 0, 15, attempt);
        if (error < best)
            best = error, *scale = s, *minimum = m, memcpy(q, attempt, sizeof attempt);
    }
}

static void pack_group(const packing *p, int block, int group, int groups)
{
    const int64_t at = (int64_t)block * groups + group;
    uint8_t *data = (uint8_t *)p->data + at * GROUP * BLOCK / (p->format == INT8 ? 1 : 2);
    for (int o = 0; o < BLOCK; o++) {
        float x[GROUP] = {0}, q[GROUP] = {0};
        uint16_t scale = 0, minimum = 0;
        int output = block * BLOCK + o;
        for (int i = 0; i < GROUP && output < p->outputs && group * GROUP + i < p->inputs; i++)
            x[i] = p->w[output * p->to_output + (group * GROUP + i) * p->to_input];
        choose_scale(p->format, x, &scale, &minimum, q);
        p->scales[at * BLOCK + o] = scale;
        if (p->format == INT4_MIN)
            p->minima[at * BLOCK + o] = minimum;
        for (int i = 0; i < GROUP; i++) {
            if (p->format == INT8)
                data[(i / 4 * BLOCK + o) * 4 + i % 4] = (uint8_t)q[i];
            else if (i < GROUP / 2)
                data[(i / 4 * BLOCK + o) * 4 + i % 4] = (uint8_t)((int)q[i] | (int)q[i + GROUP / 2] << 4);
        }
    }
}

static void pack_floats(const packing *p, int block)
{
    const int64_t inputs = p->inputs, first = block * inputs * BLOCK;
    if (p->format == FLOAT32 && p->to_output == 1 && (block + 1) * BLOCK <= p->outputs) {
        for (int64_t i = 0; i < inputs; i++)
            memcpy((float *)p->data + first + i * BLOCK, p->w + i * p->to_input + block * BLOCK, BLOCK * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < inputs; i++)
        for (int o = 0; o < BLOCK; o++) {
            int64_t output = (int64_t)block * BLOCK + o, at = first + i * BLOCK + o;
            float x = output < p->outputs ? p->w[output * p->to_output + i * p->to_input] : 0;
            switch (p->format) {
            case FLOAT32: ((float *)p->data)[at] = x; break;
            case BFLOAT16: ((uint16_t *)p->data)[at] = bfloat16(x); break;
            case FLOAT16: ((uint16_t *)p->data)[at] = float16(x); break;
            }
        }
}

static void pack_piece(void *argument, int piece, int pieces)
{
    packing *p = argument;
    int64_t blocks = (p->outputs + BLOCK - 1) / BLOCK, groups = (p->inputs + GROUP - 1) / GROUP;
    for (int block = (int)(blocks * piece / pieces), end = (int)(blocks * (piece + 1) / pieces); block < end; block++) {
        if (p->format <= FLOAT16)
            pack_floats(p, block);
        for (int group = 0; p->format > FLOAT16 && group < groups; group++) pack_group(p, block, group, (int)groups);
    }
}

/* Returns 0, or -1 for a format that weights are not packed in here, with nothing written. */
__attribute__((visibility("default"))) int un_pack(const float *w, int64_t to_output, int64_t to_input, int32_t outputs, int32_t inputs, int32_t format, void *data,
             uint16_t *scales, uint16_t *minima)
{
    if (format < FLOAT32 || format > INT4_MIN)
        return -1;
    packing p = {w, to_output, to_input, format, outputs, inputs, data, scales, minima};
    un_run(pack_piece, &p, un_pieces((double)outputs * inputs));
    return 0;
}
