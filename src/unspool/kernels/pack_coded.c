/* Weights (outputs, inputs) of any strides, packed with codes for their exponents (linear_coded.h); inputs are whole chunks. */
#include "narrow.h"
#include "unspool.h"

#include <stdlib.h>

typedef struct {
    const float *w;
    int64_t to_output, to_input;                       /* strides, in numbers */
    int32_t format, outputs, inputs, exponent;
    uint32_t *data;
    int32_t *first;
    exception *list;
} coding;

/* A weight as float32 or, where that is to be its format, as bfloat16 widened; beyond the outputs 0. */
static uint32_t bits_at(const coding *c, int output, int input)
{
    uint32_t bits = 0;
    if (output >= c->outputs)
        return 0;
    const float x = c->w[output * c->to_output + input * c->to_input];
    if (c->format == CODED16)
        return (uint32_t)bfloat16(x) << 16;
    memcpy(&bits, &x, 4);
    return bits;
}

/* The code of a weight's exponent; -1 if it has none. */
static int code_of(const coding *c, uint32_t bits)
{
    const int exponent = bits >> 23 & 255, code = exponent - c->exponent;
    return exponent == 0 ? 0 : code >= 1 && code <= 15 ? code : -1;
}

static int64_t blocks_in(const coding *c) { return (c->outputs + BLOCK - 1) / BLOCK; }

static void count_piece(void *argument, int piece, int pieces)
{
    const coding *c = argument;
    const int64_t blocks = blocks_in(c);
    for (int64_t b = blocks * piece / pieces, end = blocks * (piece + 1) / pieces; b < end; b++) {
        int count = 0;
        for (int i = 0; i < c->inputs; i++)
            for (int o = 0; o < BLOCK; o++) count += code_of(c, bits_at(c, (int)b * BLOCK + o, i)) < 0;
        c->first[b + 1] = count;
    }
}

static uint32_t turned_right(uint32_t bits, int places) { return places ? bits >> places | bits << (32 - places) : bits; }

static void code_piece(void *argument, int piece, int pieces)
{
    const coding *c = argument;
    const int words = (int)(chunk_size(c->format) / 4);
    const int64_t blocks = blocks_in(c);
    for (int64_t b = blocks * piece / pieces, end = blocks * (piece + 1) / pieces; b < end; b++) {
        exception *next = c->list + c->first[b];
        uint32_t *codes = c->data + b * (c->inputs / CHUNK) * words;
        for (int first = 0; first < c->inputs; first += CHUNK, codes += words) {
            uint32_t *upper = codes + BLOCK, *lower = upper + 2 * BLOCK;
            memset(codes, 0, (size_t)words * 4);
            for (int i = 0; i < CHUNK; i++)
                for (int o = 0; o < BLOCK; o++) {
                    const uint32_t bits = bits_at(c, (int)b * BLOCK + o, first + i);
                    const int code = code_of(c, bits);
                    codes[o] |= (uint32_t)(code & 15) << 4 * i;
                    upper[i / 4 * BLOCK + o] |= turned_right(bits & 0x807f0000, i % 4 * 8);
                    if (c->format == CODED32)
                        lower[i / 2 * BLOCK + o] |= (bits & 0xffff) << i % 2 * 16;
                    if (code < 0)
                        *next++ = (exception){(uint32_t)((first + i) * BLOCK + o), bits};
                }
        }
    }
}

/* first: (blocks + 1), of which the first says how many exceptions are in the list already; list: all of the layer's, with room for `room`.
 * Returns 0, or -1 where there are more, or for inputs or a format that are not coded. */
__attribute__((visibility("default"))) int un_pack_coded(const float *w, int64_t to_output, int64_t to_input, int32_t outputs, int32_t inputs, int32_t format,
                                                         int32_t exponent, void *data, int32_t *first, exception *list, int64_t room)
{
    if ((format != CODED32 && format != CODED16) || inputs % CHUNK)
        return -1;
    coding c = {w, to_output, to_input, format, outputs, inputs, exponent, data, first, list};
    const int pieces = un_pieces((double)outputs * inputs);
    un_run(count_piece, &c, pieces);
    for (int64_t b = 0; b < blocks_in(&c); b++) {
        first[b + 1] += first[b];
        if (first[b + 1] > room)
            return -1;
    }
    un_run(code_piece, &c, pieces);
    return 0;
}

typedef struct {
    const coding *c;
    int64_t *counts;                                   /* (pieces, 256) */
} counting;

static void exponents_piece(void *argument, int piece, int pieces)
{
    const counting *all = argument;
    const coding *c = all->c;
    int64_t *counts = all->counts + piece * 256;
    for (int64_t o = (int64_t)c->outputs * piece / pieces, end = (int64_t)c->outputs * (piece + 1) / pieces; o < end; o++)
        for (int i = 0; i < c->inputs; i++) counts[bits_at(c, (int)o, i) >> 23 & 255]++;
}

/* How many of the weights have each exponent in a coded format, added to counts (256). Returns 0, or -1 where there is no memory. */
__attribute__((visibility("default"))) int un_exponents(const float *w, int64_t to_output, int64_t to_input, int32_t outputs, int32_t inputs, int32_t format,
                                                        int64_t *counts)
{
    const coding c = {w, to_output, to_input, format, outputs, inputs, 0, 0, 0, 0};
    const int pieces = un_pieces((double)outputs * inputs);
    counting all = {&c, calloc((size_t)pieces * 256, sizeof(int64_t))};
    if (!all.counts)
        return -1;
    un_run(exponents_piece, &all, pieces);
    for (int i = 0; i < pieces * 256; i++) counts[i % 256] += all.counts[i];
    free(all.counts);
    return 0;
}
