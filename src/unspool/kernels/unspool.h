/* What Python hands to the kernels. Numbers are float32 unless a name says otherwise; an array (A, B) lies row by row. */
#ifndef UNSPOOL_H
#define UNSPOOL_H

#include <stdint.h>

/* A function f of this build: every variant (avx2, avx512, ...) is the same sources compiled for other registers. */
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(f) JOIN(f, VARIANT)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

enum { BLOCK = 16, GROUP = 32, CHUNK = 8 };            /* outputs of a block; inputs that share a scale; inputs whose codes lie together */
enum { SEGMENT = 128 };                                /* slots whose keys and values lie together */
enum format { FLOAT32, BFLOAT16, FLOAT16, INT8, INT4, INT4_MIN, WHOLE8, WHOLE4, CODED32, CODED16 };
enum activation { NONE, GELU_TANH, GELU, SILU, RELU };
enum finish { SET, ADD, MULTIPLY };                    /* y = r, y += r, y *= r */

/* Weights (outputs, inputs), packed by pack.c and pack_coded.c; WHOLE8 and WHOLE4 by models/compiled/whole.py. */
typedef struct {
    int32_t format, outputs, inputs;
    int32_t streamed;                                  /* whether its model is too large to stay in a cache from step to step */
    const void *data;
    const void *scales, *minima;                       /* (blocks, groups, BLOCK), or null; float16, of WHOLE8 and WHOLE4 float32 */
    const float *bias;                                 /* (blocks * BLOCK) or null */
    int32_t group;                                     /* of WHOLE8 and WHOLE4: inputs that share a scale */
    int32_t exponent;                                  /* of CODED32 and CODED16: code c stands for exponent + c, code 0 for 0 */
    const int32_t *exceptions;                         /* of these: (blocks + 1), where each block's begin in the list that follows */
} matrix;

/* Bytes of a chunk of CODED32 or CODED16. */
static inline int64_t chunk_size(int format) { return BLOCK * (format == CODED32 ? 7 : 3) * 4; }

/* A weight whose exponent has no code: its bits as float32, and its place in its block, input * BLOCK + output. */
typedef struct {
    uint32_t at, bits;
} exception;

/* Whether weights of a format are widened to float32 as they are used, and inputs stay as they are; otherwise these become whole numbers. */
static inline int is_widened(int format) { return format <= FLOAT16 || format >= WHOLE8; }

typedef struct {
    const float *weight, *bias;                        /* null weight: no norm; null bias: no bias */
    float epsilon;
    int32_t centred;
} norm;

typedef struct {
    matrix qkv, out, up, down, gate;                   /* gate.data null: no gate */
    norm before_attention, after_attention, before_mlp, after_mlp, query_norm, key_norm;
    int32_t rope;                                      /* which of the model's, or -1 */
    int32_t window;                                    /* how far back a token sees, itself included; 0: to the start */
    float query_scale, softcap;                        /* softcap 0: none */
} block;

typedef struct {
    int32_t layers, width, heads, key_heads, head_size, slot_size, inner, activation, parallel, whole_norms, ropes;
    int32_t short_keys;                                /* whether keys and values lie in the pool as bfloat16 */
    float softcap;                                     /* of the logits; 0: none */
    const float *slopes;                               /* (heads) or null */
    const int32_t *rope_pairs, *rope_interleaved;      /* (ropes): how many pairs turn; whether they are neighbours */
    const block *blocks;
    norm final;
    matrix head;
} model;

/* New tokens. A token reads the slots of its path, itself last; its place in the text is its place in its path. */
typedef struct {
    int32_t tokens, wanted;                            /* wanted: how many layers' states are asked for */
    float *x;                                          /* (tokens, width), embedded; overwritten */
    const int64_t *const *path;                        /* (tokens): slots from the root on */
    const int32_t *length;                             /* (tokens): how many of them */
    void *const *const *pool;                          /* (tokens): its segments, (2, layers, key_heads, SEGMENT, slot_size): keys, values */
    const float *const *cosines, *const *sines;        /* (ropes): (tokens, pairs) */
    const int32_t *layer;                              /* (wanted): after how many layers, ascending */
    float *hidden;                                     /* (1 + wanted, tokens, width): the final states first */
} step;

/* Threads (pool.c): run(argument, piece, pieces) for every piece; the pieces may run at once. */
typedef void (*job)(void *argument, int piece, int pieces);
void un_threads(int threads);
int un_pieces(double work);
void un_run(job run, void *argument, int pieces);

/* One variant's entrances. They return 0, or -1 where there was no memory. */
typedef struct {
    const char *name;
    int (*forward)(const model *, const step *);
    int (*linear)(const matrix *, const float *x, int rows, float *y, float softcap);
    void (*log_sum_exp)(const float *x, int rows, int64_t columns, float *y, int64_t *terms);
    int (*top)(const float *x, int rows, int64_t columns, int k, int64_t *found);
} kernels;

#endif
