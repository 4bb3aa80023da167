/* Tiles of weights that are widened to float32 as they are used, and which of them make up a layer. */
#define FLOAT_TILE(KIND, TYPE, READ, B, R)                                                                          \
    static inline void KIND##_tile_##B##_##R(const product *p, int first, int row, asking ask)                      \
    {                                                                                                               \
        const int inputs = p->w->inputs;                                                                            \
        const TYPE *w = (const TYPE *)p->w->data + (int64_t)(first - p->origin) * inputs * BLOCK;                   \
        const float *x = p->x + (int64_t)row * inputs;                                                              \
        BEGIN_SUMS(p, first, B, R);                                                                                 \
        for (int i = 0; i < inputs; i++) {                                                                          \
            floats weight[B * PER_BLOCK];                                                                           \
            UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                          \
                weight[b] = READ(w + ((int64_t)(b / PER_BLOCK) * inputs + i) * BLOCK + b % PER_BLOCK * VL);         \
            if (is_due(&ask)) {                                                                                     \
                UNROLL for (int b = 0; b < B; b++) ASK(ask, w + ((int64_t)b * inputs + i) * BLOCK);                 \
            }                                                                                                       \
            UNROLL for (int r = 0; r < R; r++) {                                                                    \
                const float value = x[(int64_t)r * inputs + i];                                                     \
                UNROLL for (int b = 0; b < B * PER_BLOCK; b++) total[b][r] += weight[b] * value;                    \
            }                                                                                                       \
        }                                                                                                           \
        FINISH_SUMS(p, row, first, B, R);                                                                           \
    }

#define READ_FLOAT(at) load(at)
#define READ_BFLOAT16(at) widen_bfloat16(*(const halves *)(at))
#define READ_FLOAT16(at) widen_float16(*(const halves *)(at))
#define TILES(B, R)                                                                                                 \
    FLOAT_TILE(float32, float, READ_FLOAT, B, R)                                                                    \
    FLOAT_TILE(bfloat16, uint16_t, READ_BFLOAT16, B, R)                                                             \
    FLOAT_TILE(float16, uint16_t, READ_FLOAT16, B, R)                                                               \
    WHOLE_TILE(whole8, WHOLE8, B, R)                                                                                \
    WHOLE_TILE(whole4, WHOLE4, B, R)
#define TILE_ASKING(B, R, ASK)                                                                                      \
    (p->w->format == FLOAT32    ? float32_tile_##B##_##R(p, b, r, ASK)                                              \
     : p->w->format == BFLOAT16 ? bfloat16_tile_##B##_##R(p, b, r, ASK)                                             \
     : p->w->format == FLOAT16  ? float16_tile_##B##_##R(p, b, r, ASK)                                              \
     : p->w->format == WHOLE8   ? whole8_tile_##B##_##R(p, b, r, ASK)                                               \
                                : whole4_tile_##B##_##R(p, b, r, ASK))
#define TILE(B, R) TILE_ASKING(B, R, asked_in(p->w, r, 1, 0, 0))

/* As many sums as there are registers for: 32 of 16 numbers, 16 of 8, 32 of 4. */
#if VL == 16
TILES(4, 1) TILES(4, 2) TILES(4, 4) TILES(3, 8) TILES(1, 1) TILES(1, 2) TILES(1, 4) TILES(1, 8)
enum { GROUPED = 12 };
#elif VL == 8
TILES(4, 1) TILES(2, 2) TILES(1, 1) TILES(1, 2) TILES(1, 3) TILES(1, 4) TILES(1, 5) TILES(1, 6)
enum { GROUPED = 4 };
#else
TILES(4, 1) TILES(1, 1) TILES(1, 2) TILES(1, 3) TILES(1, 4)
enum { GROUPED = 4 };
#endif

static void float_blocks(const product *p, int b, int end);

/* Rows from which on it pays to widen weights into memory, as measured. */
static inline int many_of(int format) { return format >= CODED32 ? 17 : format >= WHOLE8 ? 16 : NEVER; }

/* For many rows weights that take work to widen are widened once, some blocks at a time that stay in a core's cache; returns whether
 * there was memory for it. */
static int blocks_for_many(const product *p, int b, int end)
{
    enum { AT_ONCE = 3 };                              /* as many as the widest tile of many rows has */
    float *wide = malloc((size_t)AT_ONCE * BLOCK * p->w->inputs * sizeof(float));
    if (!wide)
        return 0;
    matrix w = *p->w;
    product q = *p;
    w.format = FLOAT32, w.streamed = 0, w.data = wide, q.w = &w;
    for (int next; b < end; b = next) {
        next = b + AT_ONCE < end ? b + AT_ONCE : end;
        const char *then = p->w->format >= CODED32 ? widen_coded(p->w, b, next, wide) : widen_whole(p->w, b, next, wide);
        const int near = (int64_t)AT_ONCE * BLOCK * w.inputs * 4 <= NEAR && next < end;
        q.origin = b, q.further = near && p->w->format == CODED32 ? then - (const char *)wide : 0; /* others are much shorter than `wide` */
        float_blocks(&q, b, next);
    }
    free(wide);
    return 1;
}

/* The tiles of blocks b to end. */
static void float_blocks(const product *p, int b, int end)
{
    int rows = p->rows;
    if (rows >= many_of(p->w->format) && blocks_for_many(p, b, end))
        return;
    if (p->w->format >= CODED32) {
        coded_blocks(p, b, end);
        return;
    }
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
        const int64_t size = 3LL * p->w->inputs * BLOCK * bits_of(p->w->format) / 8;
        if (wide == 3)
            for (; r + 8 <= rows; r += 8) {
                const asking own = asked_in(p->w, r / 8, rows / 8, size, b + 6 <= end), others = {p->further, rows / 8, r / 8, 0};
                TILE_ASKING(3, 8, p->further ? others : own);
            }
        const int beyond = r;
        for (int stop = b + wide; b < stop; b++) {
            for (r = beyond; r + 8 <= rows; r += 8) TILE(1, 8);
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
