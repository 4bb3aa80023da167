/* Linear layers whose weights are whole numbers: each 32 inputs of an output share a scale, as in GGUF's Q8_0, Q4_0 and Q4_1.
 *
 * The inputs become whole numbers too, each 32 of a row with a scale of their own, so that the products are sums of bytes.
 * Weights lie unsigned; what their zero stands at (128, 8, or 0 with a minimum) is taken off by starting a sum at
 * -zero * (the sum of the inputs). Numbers of a row depend on that row alone.
 *
 * A group of a block is eight quads of inputs: (8, BLOCK, 4) bytes; with 4 bits (4, BLOCK, 4), quad j in the low halves of the
 * bytes and quad j + 4 in the high ones.
 */
struct quantised {
    int8_t *values;                                    /* (rows, groups, GROUP) */
    float *scale, *sum;                                /* (rows, groups): sum is that of the values, times the scale */
    int32_t *start;                                    /* (rows, groups): -zero * the sum of the values */
    int groups;
};

typedef VECTOR(uint8_t, 4 * VL) bytes;                 /* four inputs of each of VL outputs */

/* Bytes of a group of a block. */
static inline int group_size(int format) { return GROUP * BLOCK * (format == INT8 ? 8 : 4) / 8; }
static inline int groups_of(int inputs) { return (inputs + GROUP - 1) / GROUP; }
static inline int64_t quantised_room(int rows, int inputs) { return (int64_t)rows * groups_of(inputs) * (GROUP / 4 + 3); }

/* total + the products of four unsigned weights of each output with the same four inputs. */
#if VL == 16 && defined(__AVX512VNNI__)
enum { ZERO8 = 128 };
static inline ints add_small(ints total, bytes w, int32_t x) { return (ints)_mm512_dpbusd_epi32((__m512i)total, (__m512i)w, _mm512_set1_epi32(x)); }
static inline ints add_wide(ints total, bytes w, int32_t x) { return add_small(total, w, x); }
#elif VL == 8
enum { ZERO8 = 0 };                                    /* pairs of products must fit 16 bits, so 8-bit weights are made signed */
static inline ints add_small(ints total, bytes w, int32_t x)
{
    __m256i pairs = _mm256_maddubs_epi16((__m256i)w, _mm256_set1_epi32(x));
    return total + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
static inline ints add_wide(ints total, bytes w, int32_t x)
{
    __m256i inputs = _mm256_set1_epi32(x), weights = _mm256_xor_si256((__m256i)w, _mm256_set1_epi8(-128));
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(inputs), _mm256_sign_epi8(weights, inputs));
    return total + (ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#else
enum { ZERO8 = 128 };
static inline ints add_small(ints total, bytes w, int32_t x)
{
    int8_t inputs[4];
    memcpy(inputs, &x, 4);
    for (int i = 0; i < VL; i++)
        for (int j = 0; j < 4; j++) total[i] += w[4 * i + j] * inputs[j];
    return total;
}
static inline ints add_wide(ints total, bytes w, int32_t x) { return add_small(total, w, x); }
#endif

static inline floats read_scales(const uint16_t *p) { return widen_float16(*(const halves *)p); }

#define INT_TILE(B, R)                                                                                              \
    static inline void int_tile_##B##_##R(const product *p, int block, int row, asking ask, const int format)       \
    {                                                                                                               \
        const struct quantised *q = p->q;                                                                           \
        const int groups = q->groups, size = group_size(format);                                                    \
        const int64_t first = (int64_t)row * groups, next = (int64_t)groups * size, from = (int64_t)block * groups; \
        const uint8_t *w = (const uint8_t *)p->w->data + from * size;                                               \
        const uint16_t *scales = (const uint16_t *)p->w->scales + from * BLOCK;                                     \
        const uint16_t *minima = format == INT4_MIN ? (const uint16_t *)p->w->minima + from * BLOCK : scales;       \
        BEGIN_SUMS(p, block, B, R);                                                                                 \
        for (int g = 0; g < groups; g++, w += size, scales += BLOCK, minima += BLOCK) {                             \
            ints part[B * PER_BLOCK][R];                                                                            \
            UNROLL for (int r = 0; r < R; r++)                                                                      \
                UNROLL for (int b = 0; b < B * PER_BLOCK; b++) part[b][r] = (ints){} + q->start[first + r * groups + g];\
            if (is_due(&ask)) {                                                                                     \
                UNROLL for (int b = 0; b < B; b++)                                                                  \
                    UNROLL for (int line = 0; line < size; line += 64) ASK(ask, w + b * next + line);               \
            }                                                                                                       \
            UNROLL for (int j = 0; j < (format == INT8 ? 8 : 4); j++) {                                             \
                bytes weight[B * PER_BLOCK];                                                                        \
                UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                      \
                    weight[b] = *(const bytes *)(w + b / PER_BLOCK * next + (j * BLOCK + b % PER_BLOCK * VL) * 4);  \
                UNROLL for (int r = 0; r < R; r++) {                                                                \
                    const int32_t x = QUAD(r, j), high = format == INT8 ? 0 : QUAD(r, j + 4);                       \
                    UNROLL for (int b = 0; b < B * PER_BLOCK; b++)                                                  \
                        part[b][r] = format == INT8 ? add_wide(part[b][r], weight[b], x)                            \
                                                    : add_small(add_small(part[b][r], weight[b] & 15, x), weight[b] >> 4, high);\
                }                                                                                                   \
            }                                                                                                       \
            UNROLL for (int b = 0; b < B * PER_BLOCK; b++) {                                                        \
                const int64_t at = b / PER_BLOCK * (int64_t)groups * BLOCK + b % PER_BLOCK * VL;                    \
                floats scale = read_scales(scales + at);                                                            \
                UNROLL for (int r = 0; r < R; r++)                                                                  \
                    total[b][r] += __builtin_convertvector(part[b][r], floats) * (scale * q->scale[first + r * groups + g]);\
                if (format == INT4_MIN) {                                                                           \
                    floats minimum = read_scales(minima + at);                                                      \
                    UNROLL for (int r = 0; r < R; r++) total[b][r] += minimum * q->sum[first + r * groups + g];     \
                }                                                                                                   \
            }                                                                                                       \
        }                                                                                                           \
        FINISH_SUMS(p, row, block, B, R);                                                                           \
    }

static inline int32_t quad_at(const int8_t *values)
{
    int32_t quad;
    memcpy(&quad, values, 4);
    return quad;
}
#define QUAD(r, j) quad_at(q->values + (first + (r) * groups + g) * GROUP + 4 * (j))
#if VL == 16
INT_TILE(1, 1) INT_TILE(2, 1) INT_TILE(2, 2) INT_TILE(2, 4) INT_TILE(1, 2) INT_TILE(1, 4)
enum { PAIRED = 2 };                                   /* blocks that are worked on at once */
#else
INT_TILE(1, 1) INT_TILE(1, 2) INT_TILE(1, 4)
enum { PAIRED = 1 };
#define int_tile_2_1 int_tile_1_1
#define int_tile_2_2 int_tile_1_2
#define int_tile_2_4 int_tile_1_4
#endif
#undef QUAD

#if VL == 16
/* One block by many rows: a group's weights stay in registers, and a row's sum is made while they are there. */
#define TALL_TILE(R)                                                                                                \
    static inline __attribute__((always_inline)) void tall_tile_##R(const product *p, int block, int row, asking ask, const int format)\
    {                                                                                                               \
        const struct quantised *q = p->q;                                                                           \
        const int groups = q->groups, size = group_size(format);                                                    \
        const int64_t first = (int64_t)row * groups, from = (int64_t)block * groups;                                \
        const uint8_t *w = (const uint8_t *)p->w->data + from * size;                                               \
        const uint16_t *scales = (const uint16_t *)p->w->scales + from * BLOCK;                                     \
        const uint16_t *minima = format == INT4_MIN ? (const uint16_t *)p->w->minima + from * BLOCK : scales;       \
        BEGIN_SUMS(p, block, 1, R);                                                                                 \
        for (int g = 0; g < groups; g++, w += size, scales += BLOCK, minima += BLOCK) {                             \
            bytes weight[8];                                                                                        \
            UNROLL for (int j = 0; j < (format == INT8 ? 8 : 4); j++) {                                             \
                const bytes both = *(const bytes *)(w + j * BLOCK * 4);                                             \
                weight[j] = format == INT8 ? both : (bytes)(both & 15);                                             \
                if (format != INT8)                                                                                 \
                    weight[j + 4] = both >> 4;                                                                      \
            }                                                                                                       \
            if (is_due(&ask)) {                                                                                     \
                UNROLL for (int line = 0; line < size; line += 64) ASK(ask, w + line);                              \
            }                                                                                                       \
            const floats scale = read_scales(scales), minimum = read_scales(minima);                                \
            const int8_t *values = q->values + (first + g) * GROUP;                                                 \
            const float *its_scale = q->scale + first + g, *its_sum = q->sum + first + g;                           \
            const int32_t *start = q->start + first + g;                                                            \
            UNROLL for (int r = 0; r < R; r++, values += groups * GROUP, its_scale += groups, its_sum += groups, start += groups) {\
                ONE_POINTER(values);                                                                                \
                ONE_POINTER(its_scale);                                                                             \
                ints part = (ints){} + *start;                                                                      \
                UNROLL for (int j = 0; j < 8; j++) {                                                                \
                    const int32_t x = quad_at(values + 4 * j);                                                      \
                    part = format == INT8 ? add_wide(part, weight[j], x) : add_small(part, weight[j], x);           \
                }                                                                                                   \
                total[0][r] += __builtin_convertvector(part, floats) * (scale * *its_scale);                        \
                if (format == INT4_MIN)                                                                             \
                    total[0][r] += minimum * *its_sum;                                                              \
            }                                                                                                       \
        }                                                                                                           \
        FINISH_SUMS(p, row, block, 1, R);                                                                           \
    }
TALL_TILE(1) TALL_TILE(2) TALL_TILE(4) TALL_TILE(8) TALL_TILE(16)
enum { TALLEST = 16 };                                 /* rows up to which one block at a time is faster, as measured */
#define TALL(R) \
    for (; r + R <= p->rows; r += R) tall_tile_##R(p, block, r, asked_in_stream(p->w, r), format);
#endif

static inline __attribute__((always_inline)) void int_blocks_of(const product *p, int block, int end, const int format)
{
    const int passes = p->rows / 4 + p->rows % 4 / 2 + p->rows % 2;
    const int64_t size = (int64_t)p->q->groups * group_size(format);
#if VL == 16
    if (p->rows <= TALLEST) {
        for (; block < end; block++) {
            int r = 0;
            TALL(16)
            TALL(8)
            TALL(4)
            TALL(2)
            TALL(1)
        }
        return;
    }
#endif
    for (; block + PAIRED <= end; block += PAIRED) {
        const int more = block + 2 * PAIRED <= end;
        int r = 0, pass = 0;
        for (; r + 4 <= p->rows; r += 4) int_tile_2_4(p, block, r, asked_in(p->w, pass++, passes, PAIRED * size, more), format);
        for (; r + 2 <= p->rows; r += 2) int_tile_2_2(p, block, r, asked_in(p->w, pass++, passes, PAIRED * size, more), format);
        for (; r < p->rows; r++) int_tile_2_1(p, block, r, asked_in(p->w, pass++, passes, PAIRED * size, more), format);
    }
    for (; block < end; block++) {
        int r = 0, pass = 0;
        for (; r + 4 <= p->rows; r += 4) int_tile_1_4(p, block, r, asked_in(p->w, pass++, passes, 0, 0), format);
        for (; r + 2 <= p->rows; r += 2) int_tile_1_2(p, block, r, asked_in(p->w, pass++, passes, 0, 0), format);
        for (; r < p->rows; r++) int_tile_1_1(p, block, r, asked_in(p->w, pass++, passes, 0, 0), format);
    }
}

static void int_blocks(const product *p, int block, int end)
{
    switch (p->w->format) {
    case INT8: int_blocks_of(p, block, end, INT8); break;
    case INT4: int_blocks_of(p, block, end, INT4); break;
    default: int_blocks_of(p, block, end, INT4_MIN);
    }
}

/* Inputs in whole numbers from -127 to 127; what is no number makes its group's scale none. */
static void quantise_row(const float *x, int inputs, int zero, int8_t *values, float *scale, float *sum_of, int32_t *start)
{
    for (int g = 0; g * GROUP < inputs; g++, x += GROUP, values += GROUP) {
        float padded[GROUP];
        const float *part = x;
        if (inputs - g * GROUP < GROUP) {
            memset(padded, 0, sizeof(padded));
            memcpy(padded, x, (size_t)(inputs - g * GROUP) * sizeof(float));
            part = padded;
        }
        floats top = {}, wrong = {};
        for (int i = 0; i < GROUP; i += VL) {
            floats v = load(part + i);
            top = larger(larger(v, -v), top);
            wrong += v * 0.0f;
        }
        const float largest = largest_of(top), inverse = largest > 1e-30f ? 127.0f / largest : 0; /* smaller ones are 0 beside what 32 bits add them to */
        floats added = {};
        for (int i = 0; i < GROUP; i += VL) {
            floats rounded = load(part + i) * inverse + 12582912.0f; /* 1.5 * 2^23: the whole number is in the low bits */
            VECTOR(int8_t, VL) narrow = __builtin_convertvector((ints)rounded - 0x4b400000, VECTOR(int8_t, VL));
            memcpy(values + i, &narrow, VL);
            added += rounded - 12582912.0f;
        }
        const float poison = sum(wrong), total = poison == 0 ? sum(added) : 0; /* exact: at most 32 * 127 */
        scale[g] = largest / 127.0f + poison, sum_of[g] = scale[g] * total, start[g] = -zero * (int32_t)total;
    }
}

static void quantise_piece(void *argument, int piece, int pieces)
{
    const product *p = argument;
    const struct quantised *q = p->q;
    const int zero = p->w->format == INT8 ? ZERO8 : p->w->format == INT4 ? 8 : 0;
    for (int r = (int)((int64_t)p->rows * piece / pieces), end = (int)((int64_t)p->rows * (piece + 1) / pieces); r < end; r++) {
        int64_t first = (int64_t)r * q->groups;
        quantise_row(p->x + (int64_t)r * p->w->inputs, p->w->inputs, zero, q->values + first * GROUP, q->scale + first, q->sum + first,
                     q->start + first);
    }
}

static void quantise(const product *p, struct quantised *q, float *room)
{
    q->groups = groups_of(p->w->inputs);
    int64_t count = (int64_t)p->rows * q->groups;
    q->values = (int8_t *)room, q->scale = room + count * (GROUP / 4), q->sum = q->scale + count, q->start = (int32_t *)(q->sum + count);
    int pieces = un_pieces(4.0 * p->rows * p->w->inputs);
    un_run(quantise_piece, (void *)p, pieces < p->rows ? pieces : p->rows);
}
