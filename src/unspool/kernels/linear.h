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
} product;

/* Weights are asked for before they are read, as left to itself the processor stops guessing at the end of every page: those so many
 * bytes `ahead` of what a tile reads, after `wait` steps and then in one of `every` steps. Those of a large model, read `once` in a step by
 * few passes, go past the outer caches, so that these keep what is used again: inputs, keys, and all that runs between the steps. */
typedef struct {
    int64_t ahead;
    int every, wait, once;
} asking;

enum { FEW_PASSES = 4, AHEAD = 4096, NEAR = 1 << 18, NEVER = 0x7fffffff };

/* Of several passes over some blocks for several rows, each asks for a part of the next blocks, `size` bytes on, so that memory never
 * rests; where there are none, or they are too large to wait in a core's cache, the first pass asks for what it reads itself. */
static inline asking asked_in(const matrix *w, int pass, int passes, int64_t size, int more)
{
    if (passes > 1 && more && size <= NEAR)
        return (asking){size, passes, pass, w->streamed && passes <= FEW_PASSES};
    return (asking){AHEAD, 1, pass == 0 ? 0 : NEVER, w->streamed && passes <= FEW_PASSES};
}

#define ASK(ask, at) ((ask).once ? __builtin_prefetch((const char *)(at) + (ask).ahead, 0, 0) : __builtin_prefetch((const char *)(at) + (ask).ahead))

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
#define FLOAT_TILE(KIND, TYPE, READ, B, R)                                                                          \
    static inline void KIND##_tile_##B##_##R(const product *p, int first, int row, asking ask)                      \
    {                                                                                                               \
        const int inputs = p->w->inputs;                                                                            \
        const TYPE *w = (const TYPE *)p->w->data + (int64_t)first * inputs * BLOCK;                                 \
        const float *x = p->x + (int64_t)row * inputs;                                                              \
        floats total[B * PER_BLOCK][R];                                                                             \
        UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                              \
            UNROLL for (int r = 0; r < R; r++) total[b][r] = bias_of(p->w, first * BLOCK + b * VL);                 \
        for (int i = 0; i < inputs; i++) {                                                                          \
            floats weight[B * PER_BLOCK];                                                                           \
            UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                          \
                weight[b] = READ(w + ((int64_t)(b / PER_BLOCK) * inputs + i) * BLOCK + b % PER_BLOCK * VL);         \
            if (R == 1 ? ask.wait == 0 : ask.wait-- == 0) {     /* one row is one pass */                           \
                ask.wait = R == 1 ? 0 : ask.every - 1;                                                              \
                UNROLL for (int b = 0; b < B; b++) ASK(ask, w + ((int64_t)b * inputs + i) * BLOCK); \
            }                                                                                                       \
            UNROLL for (int r = 0; r < R; r++) {                                                                    \
                const float value = x[(int64_t)r * inputs + i];                                                     \
                UNROLL for (int b = 0; b < B * PER_BLOCK; b++) total[b][r] += weight[b] * value;                    \
            }                                                                                                       \
        }                                                                                                           \
        float out[R * B * BLOCK];                                                                                   \
        UNROLL for (int r = 0; r < R; r++)                                                                          \
            UNROLL for (int b = 0; b < B * PER_BLOCK; b++) store(out + r * B * BLOCK + b * VL, total[b][r]);        \
        finish(p, row, R, first, B, out);                                                                           \
    }

#define READ_FLOAT(at) load(at)
#define READ_BFLOAT16(at) widen_bfloat16(*(const halves *)(at))
#define READ_FLOAT16(at) widen_float16(*(const halves *)(at))
#define TILES(B, R)                                                                                                 \
    FLOAT_TILE(float32, float, READ_FLOAT, B, R)                                                                    \
    FLOAT_TILE(bfloat16, uint16_t, READ_BFLOAT16, B, R)                                                             \
    FLOAT_TILE(float16, uint16_t, READ_FLOAT16, B, R)
#define TILE_ASKING(B, R, ASK)                                                                                      \
    (p->w->format == FLOAT32    ? float32_tile_##B##_##R(p, b, r, ASK)                                              \
     : p->w->format == BFLOAT16 ? bfloat16_tile_##B##_##R(p, b, r, ASK)                                             \
                                : float16_tile_##B##_##R(p, b, r, ASK))
#define TILE(B, R) TILE_ASKING(B, R, asked_in(p->w, r, 1, 0, 0))

/* As many sums as there are registers for: 32 of 16 numbers, 16 of 8, 32 of 4. */
#if VL == 16
TILES(4, 1) TILES(4, 2) TILES(4, 4) TILES(3, 8) TILES(1, 1) TILES(1, 2) TILES(1, 4) TILES(1, 8)
enum { WIDE = 4, TALL = 8, GROUPED = 12 };
#elif VL == 8
TILES(4, 1) TILES(2, 2) TILES(1, 1) TILES(1, 2) TILES(1, 3) TILES(1, 4) TILES(1, 5) TILES(1, 6)
enum { GROUPED = 4 };
#else
TILES(4, 1) TILES(1, 1) TILES(1, 2) TILES(1, 3) TILES(1, 4)
enum { GROUPED = 4 };
#endif

/* The tiles of blocks b to end. */
static void float_blocks(const product *p, int b, int end)
{
    int rows = p->rows;
    if (rows == 1) {
        int r = 0;
        for (; b + 4 <= end; b += 4) TILE(4, 1);
        for (; b < end; b++) TILE(1, 1);
        return;
    }
#if VL == 16
    while (b < end) {
        int r = 0, wide = rows <= 4 ? 4 : 3;
        if (b + wide > end)
            wide = 1;
        if (wide == 4) {
            for (; r + 4 <= rows; r += 4) TILE(4, 4);
            for (; r + 2 <= rows; r += 2) TILE(4, 2);
            for (; r < rows; r++) TILE(4, 1);
            b += 4;
            continue;
        }
        const int64_t size = 3LL * p->w->inputs * BLOCK * (p->w->format == FLOAT32 ? 4 : 2);
        if (wide == 3)
            for (; r + 8 <= rows; r += 8) TILE_ASKING(3, 8, asked_in(p->w, r / 8, rows / 8, size, b + 6 <= end));
        const int whole = r;
        for (int stop = b + wide; b < stop; b++) {
            for (r = whole; r + 8 <= rows; r += 8) TILE(1, 8);
            for (; r + 4 <= rows; r += 4) TILE(1, 4);
            for (; r + 2 <= rows; r += 2) TILE(1, 2);
            for (; r < rows; r++) TILE(1, 1);
        }
    }
#elif VL == 8
    if (rows == 2) {
        int r = 0;
        for (; b + 2 <= end; b += 2) TILE(2, 2);
    }
    for (; b < end; b++)
        for (int r = 0; r < rows;) {
            int left = rows - r;
            if (left >= 10 || left == 6) TILE(1, 6), r += 6;
            else if (left >= 7 || left == 4) TILE(1, 4), r += 4;
            else if (left == 5) TILE(1, 5), r += 5;
            else if (left == 3) TILE(1, 3), r += 3;
            else if (left == 2) TILE(1, 2), r += 2;
            else TILE(1, 1), r += 1;
        }
#else
    for (; b < end; b++)
        for (int r = 0; r < rows;) {
            int left = rows - r;
            if (left >= 4) TILE(1, 4), r += 4;
            else if (left == 3) TILE(1, 3), r += 3;
            else if (left == 2) TILE(1, 2), r += 2;
            else TILE(1, 1), r += 1;
        }
#endif
}
#undef TILE
