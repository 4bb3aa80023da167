/* Tiles of weights whose exponents are codes of four bits: float32 in 28 bits and bfloat16 in 12, and not a bit is lost.
 *
 * Nearly all exponents of a layer lie within fifteen neighbours. Code 0 stands for exponent 0, that of zeros, code c for
 * `exponent` + c; the few weights that have another are listed apart. A chunk is CHUNK inputs of a block, in words of its
 * outputs: (1, BLOCK) with eight codes; (2, BLOCK) with four times a sign and the upper seven bits of a fraction, each where
 * it is in float32, turned right by eight bits more than the one before; and, of CODED32, (4, BLOCK) with twice the lower
 * sixteen bits. The first code and the first lower half are in the lowest bits of a word.
 */
/* The exponents that codes in the low four bits stand for, in their place. A register of 16 numbers holds them all, in a table; others
 * hold the exponent of code 0 in all places. */
#if VL == 16
static inline ints table_of(int exponent)
{
    ints codes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return ((codes + exponent) << 23) & (codes != 0);
}
static inline ints exponents(ints codes, ints table) { return (ints)_mm512_permutexvar_epi32((__m512i)codes, (__m512i)table); }
#else
static inline ints table_of(int exponent) { return (ints){} + exponent; }
static inline ints exponents(ints codes, ints table)
{
    codes &= 15;
    return ((codes + table) << 23) & (codes != 0);
}
#endif

static inline words load_words(const uint32_t *p) { return *(const words *)p; }
static inline words turned_left(words bits, int places) { return places ? (words)(bits << places | bits >> (32 - places)) : bits; }

/* Weights of a chunk, (CHUNK, BLOCK), but for its exceptions. */
static inline __attribute__((always_inline)) void widen_chunk(const uint8_t *chunk, ints table, const int format, floats *weight)
{
    const uint32_t *codes = (const uint32_t *)chunk, *upper = codes + BLOCK, *lower = upper + 2 * BLOCK;
    UNROLL for (int i = 0; i < CHUNK; i++)
        UNROLL for (int v = 0; v < PER_BLOCK; v++) {
            const words its = turned_left(load_words(upper + i / 4 * BLOCK + v * VL), i % 4 * 8);
            ints bits = ((ints)its & (int32_t)0x807f0000) | exponents((ints)(load_words(codes + v * VL) >> 4 * i), table);
            if (format == CODED32) {
                const words pair = load_words(lower + i / 2 * BLOCK + v * VL);
                bits |= i % 2 ? (ints)(pair >> 16) : (ints)(pair & 0xffff);
            }
            weight[i * PER_BLOCK + v] = (floats)bits;
        }
}

/* The exceptions of a block, one after the other. */
typedef struct {
    const exception *next, *end;
} listed;

static inline listed exceptions_of(const matrix *w, int block)
{
    const exception *list = (const exception *)(w->exceptions + blocks_of(w) + 1);
    return (listed){list + w->exceptions[block], list + w->exceptions[block + 1]};
}

static inline int are_before(const listed *its, uint32_t place) { return its->next < its->end && its->next->at < place; }

/* The exceptions of the chunk that begins with input i, among its other weights. */
static void put_exceptions(listed *its, int i, floats *weight)
{
    for (; are_before(its, (uint32_t)(i + CHUNK) * BLOCK); its->next++) {
        float number;
        memcpy(&number, &its->next->bits, 4);
        ((float *)weight)[its->next->at % (CHUNK * BLOCK)] = number;   /* within the chunk, whatever a damaged file says */
    }
}

/* Some blocks in float32, each as a block of FLOAT32 lies; returns where the next ones are. */
static inline __attribute__((always_inline)) const char *widen_coded_of(const matrix *w, int first, int end, float *wide, const int format)
{
    const int64_t size = chunk_size(format);
    const ints table = table_of(w->exponent);
    const asking ask = asked_in(w, 0, 1, 0, 0);
    const uint8_t *codes = (const uint8_t *)w->data + (int64_t)first * (w->inputs / CHUNK) * size;
    for (int b = first; b < end; b++) {
        listed its = exceptions_of(w, b);
        for (int i = 0; i < w->inputs; i += CHUNK, codes += size, wide += CHUNK * BLOCK) {
            UNROLL for (int line = 0; line < chunk_size(format); line += 64) ASK(ask, codes + line);
            widen_chunk(codes, table, format, (floats *)wide);
            put_exceptions(&its, i, (floats *)wide);
        }
    }
    return (const char *)codes;
}

static const char *widen_coded(const matrix *w, int first, int end, float *wide)
{
    return w->format == CODED32 ? widen_coded_of(w, first, end, wide, CODED32) : widen_coded_of(w, first, end, wide, CODED16);
}

#define CODED_TILE(KIND, FORMAT, R)                                                                                 \
    static inline void KIND##_tile_##R(const product *p, int block, int row, asking ask)                            \
    {                                                                                                               \
        const int inputs = p->w->inputs;                                                                            \
        const int64_t size = chunk_size(FORMAT);                                                                    \
        const uint8_t *codes = (const uint8_t *)p->w->data + (int64_t)block * (inputs / CHUNK) * size;              \
        const ints table = table_of(p->w->exponent);                                                                \
        const float *x = p->x + (int64_t)row * inputs;                                                              \
        listed its = exceptions_of(p->w, block);                                                                    \
        BEGIN_SUMS(p, block, 1, R);                                                                                 \
        for (int i = 0; i < inputs; i += CHUNK, codes += size) {                                                    \
            floats weight[CHUNK * PER_BLOCK];                                                                       \
            if (is_due(&ask)) {                                                                                     \
                UNROLL for (int line = 0; line < size; line += 64) ASK(ask, codes + line);                          \
            }                                                                                                       \
            widen_chunk(codes, table, FORMAT, weight);                                                              \
            if (__builtin_expect(are_before(&its, (uint32_t)(i + CHUNK) * BLOCK), 0)) {                             \
                floats kept[CHUNK * PER_BLOCK];        /* in memory, where the others need not be */                \
                memcpy(kept, weight, sizeof kept);                                                                  \
                put_exceptions(&its, i, kept);                                                                      \
                memcpy(weight, kept, sizeof kept);                                                                  \
            }                                                                                                       \
            const float *at = x + i;                                                                                \
            UNROLL for (int r = 0; r < R; r++, at += inputs) {                                                      \
                ONE_POINTER(at);                                                                                    \
                UNROLL for (int k = 0; k < CHUNK; k++)                                                              \
                    UNROLL for (int v = 0; v < PER_BLOCK; v++) total[v][r] += weight[k * PER_BLOCK + v] * at[k];    \
            }                                                                                                       \
        }                                                                                                           \
        FINISH_SUMS(p, row, block, 1, R);                                                                           \
    }
#define CODED_TILES(R) CODED_TILE(coded32, CODED32, R) CODED_TILE(coded16, CODED16, R)
#define TILE(R)                                                                                                     \
    for (; r + R <= rows; r += R) {                                                                                 \
        const asking ask = asked_in_stream(p->w, r);                                                                \
        if (p->w->format == CODED32) coded32_tile_##R(p, b, r, ask);                                                \
        else coded16_tile_##R(p, b, r, ask);                                                                        \
    }
CODED_TILES(1) CODED_TILES(2) CODED_TILES(4)
#if VL == 16
CODED_TILES(8) CODED_TILES(16)
#endif

/* The tiles of blocks b to end, one block after the other: memory is read best in one stream. */
static void coded_blocks(const product *p, int b, int end)
{
    const int rows = p->rows;
    for (; b < end; b++) {
        int r = 0;
#if VL == 16
        TILE(16)
        TILE(8)
#endif
        TILE(4)
        TILE(2)
        TILE(1)
    }
}
#undef TILE
