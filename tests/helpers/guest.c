/* Runs the kernels for who speaks to it over a pipe: a program for another processor, under an emulator. See guest.py.
 *
 * A question is 12 words of 64 bits: what to do, and its numbers. */
#include "unspool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const kernels *un_variant(int i);
int un_pack(const float *, int64_t, int64_t, int32_t, int32_t, int32_t, void *, uint16_t *, uint16_t *);
int un_pack_coded(const float *, int64_t, int64_t, int32_t, int32_t, int32_t, int32_t, void *, int32_t *, exception *, int64_t);

enum { ROOM = 1, LET_GO, WRITE, READ, THREADS, FORWARD, LINEAR, LOG_SUM_EXP, TOP, PACK, PACK_CODED };

#define AT(word) ((void *)(uintptr_t)(word))

static float number(int64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, 4);
    return x;
}

static int64_t answer(const int64_t *q)
{
    const kernels *k = un_variant(0);
    switch (q[0]) {
    case ROOM: return (int64_t)(uintptr_t)aligned_alloc(64, ((size_t)q[1] + 127) / 64 * 64);
    case LET_GO: return free(AT(q[1])), 0;
    case WRITE: return (int64_t)fread(AT(q[1]), 1, (size_t)q[2], stdin);
    case READ: return (int64_t)fwrite(AT(q[1]), 1, (size_t)q[2], stdout);
    case THREADS: return un_threads((int)q[1]), 0;
    case FORWARD: return k->forward(AT(q[1]), AT(q[2]));
    case LINEAR: return k->linear(AT(q[1]), AT(q[2]), (int)q[3], AT(q[4]), number(q[5]));
    case LOG_SUM_EXP: return k->log_sum_exp(AT(q[1]), (int)q[2], q[3], AT(q[4]), AT(q[5])), 0;
    case TOP: return k->top(AT(q[1]), (int)q[2], q[3], (int)q[4], AT(q[5]));
    case PACK: return un_pack(AT(q[1]), q[2], q[3], (int)q[4], (int)q[5], (int)q[6], AT(q[7]), AT(q[8]), AT(q[9]));
    case PACK_CODED:
        return un_pack_coded(AT(q[1]), q[2], q[3], (int)q[4], (int)q[5], (int)q[6], (int)q[7], AT(q[8]), AT(q[9]), AT(q[10]), q[11]);
    default: return -1;
    }
}

int main(void)
{
    int64_t question[12], found;
    while (fread(question, sizeof question, 1, stdin) == 1) {
        found = answer(question);
        fwrite(&found, sizeof found, 1, stdout);
        fflush(stdout);
    }
    return 0;
}
