/* y = finish(activation(x W^T + bias)): x (rows, inputs), W packed by blocks of 16 outputs, y (rows, outputs).
 *
 * An output of a row is one sum in the order of the inputs, started from its bias, whoever computes it and however many rows
 * there are: so a text does not depend on what runs beside it. A tile is some blocks by some rows whose sums stay in registers.
 */
typedef struct {
    const matrix *w;
    const float *x;
    float *y;
    int rows, activation, finish;
    const struct quantised *q;                         /* x in whole numbers, for weights that are (linear_int.h) */
    int origin;                                        /* the block that the data of w begins with */
    int64_t further;                                   /* of weights that were widened: how far from them lie those to ask for; 0: none */
} product;

/* Weights are asked for before they are read, as left to itself the processor stops guessing at the end of every page: those so many
 * bytes `ahead` of what a tile reads, after `wait` steps and then in one of `every` steps. Those of a large model, read `once` in a step by
 * few passes, go past the outer caches, so that these keep what is used again: inputs, keys, and all that runs between the steps. */
typedef struct {
    int64_t ahead;
    int every, wait, once;
} asking;

/* FEW_PASSES, AHEAD and NEAR were measured: half a core's cache of the second level, and what hides a read of memory. */
enum { FEW_PASSES = 4, AHEAD = 4096, FAR = 1 << 14, NEAR = 1 << 18, NEVER = 0x7fffffff };

/* Of several passes over some blocks for several rows, each asks for a part of the next blocks, `size` bytes on, so that memory never
 * rests; where there are none, or they are too large to wait in a core's cache, the first pass asks for what it reads itself. */
static inline asking asked_in(const matrix *w, int pass, int passes, int64_t size, int more)
{
    if (passes > 1 && more && size <= NEAR)
        return (asking){size, passes, pass, w->streamed && passes <= FEW_PASSES};
    return (asking){AHEAD, 1, pass == 0 ? 0 : NEVER, w->streamed && passes <= FEW_PASSES};
}

/* Tiles that read one block after the other, in one stream, ask further ahead; those of the first rows do it for all. */
static inline asking asked_in_stream(const matrix *w, int row)
{
    asking ask = asked_in(w, row, 1, 0, 0);
    ask.ahead = FAR;
    return ask;
}

/* Whether this step of a tile is one that asks. */
static inline int is_due(asking *ask)
{
    if (ask->every == 1)
        return ask->wait == 0;
    if (ask->wait-- != 0)
        return 0;
    ask->wait = ask->every - 1;
    return 1;
}

#define ASK(ask, at) ((ask).once ? __builtin_prefetch((const char *)(at) + (ask).ahead, 0, 0) : __builtin_prefetch((const char *)(at) + (ask).ahead))

static inline int bits_of(int format)
{
    return format == FLOAT32 ? 32 : format <= FLOAT16 ? 16 : format == WHOLE4 ? 4 : format == CODED32 ? 28 : format == CODED16 ? 12 : 8;
}

static inline int blocks_of(const matrix *w) { return (w->outputs + BLOCK - 1) / BLOCK; }

/* Put the sums (rows, blocks * BLOCK) of a tile where they belong; the last block may reach beyond the outputs. */
static __attribute__((noinline)) void finish(const product *p, int row, int rows, int block, int blocks, const float *sums)
{
    const int width = blocks * BLOCK, left = p->w->outputs - block * BLOCK, count = left < width ? left : width;
    for (int r = 0; r < rows; r++, sums += width) {
        float *y = p->y + (int64_t)(row + r) * p->w->outputs + block * BLOCK;
        for (int o = 0; o < count; o += VL) {
            floats v = activate(p->activation, load(sums + o));
            if (o + VL > count) {
                for (int i = 0; o + i < count; i++)
                    y[o + i] = p->finish == ADD ? y[o + i] + v[i] : p->finish == MULTIPLY ? y[o + i] * v[i] : v[i];
                break;
            }
            if (p->finish == ADD)
                v += load(y + o);
            else if (p->finish == MULTIPLY)
                v *= load(y + o);
            store(y + o, v);
        }
    }
}

static inline floats bias_of(const matrix *w, int output) { return w->bias ? load(w->bias + output) : (floats){}; }

#define UNROLL _Pragma("GCC unroll 32")

/* The sums of a tile, started from the biases; and what becomes of them. */
#define BEGIN_SUMS(p, first, B, R)                                                                                  \
    floats total[B * PER_BLOCK][R];                                                                                 \
    UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                                  \
        UNROLL for (int r = 0; r < R; r++) total[b][r] = bias_of((p)->w, (first) * BLOCK + b * VL)
#define FINISH_SUMS(p, row, first, B, R)                                                                            \
    float out[R * B * BLOCK];                                                                                       \
    UNROLL for (int r = 0; r < R; r++)                                                                              \
        UNROLL for (int b = 0; b < B * PER_BLOCK; b++) store(out + r * B * BLOCK + b * VL, total[b][r]);            \
    finish(p, row, R, first, B, out)

/* Left to itself the compiler keeps a pointer to each of R rows, more than there are registers for. */
#define ONE_POINTER(at) __asm__("" : "+r"(at))
