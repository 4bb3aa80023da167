/* Tiles of weights that are whole numbers in their file, where some inputs of an output share a scale and perhaps a minimum:
 * weight = number * scale + minimum, in float32 and without error but for the last rounding, so that a sum is that of float32 weights.
 *
 * An input of a block is BLOCK signed bytes. With 4 bits, 0 to 15, input i of a group is in the low halves of the bytes and input
 * i + group / 2 in the high ones; where there are no minima, zero is at 8.
 */
static inline floats read_whole8(const uint8_t *p) { return __builtin_convertvector(signed_bytes(p), floats); }

/* The low halves of bytes, or the high ones. */
static inline floats read_whole4(const uint8_t *p, int high) { return __builtin_convertvector(unsigned_bytes(p) >> (high ? 4 : 0) & 15, floats); }

static inline floats read_whole(const uint8_t *p, int high, int format)
{
    if (format == WHOLE4)
        return read_whole4(p, high);
    return read_whole8(p);
}

/* What is added to number * scale; without minima what the zero of a format stands at, or what changes no number. */
static inline floats minimum_of(const float *minima, int64_t at, floats scale, int format)
{
    if (minima)
        return load(minima + at);
    if (format == WHOLE4)
        return scale * -8.0f;
    return -all(0.0f);
}

/* Some blocks in float32, each as a block of FLOAT32 lies; returns where the next ones are. */
static const char *widen_whole(const matrix *w, int first, int end, float *wide)
{
    const int group = w->group, groups = w->inputs / group, halves = w->format == WHOLE4 ? 2 : 1, count = group / halves;
    const int64_t at = (int64_t)first * groups;
    const uint8_t *from = (const uint8_t *)w->data + at * count * BLOCK;
    const float *scales = (const float *)w->scales + at * BLOCK, *minima = w->minima ? (const float *)w->minima + at * BLOCK : 0;
    const asking ask = asked_in(w, 0, 1, 0, 0);
    for (int64_t g = 0, all_of = (int64_t)(end - first) * groups; g < all_of; g++, from += count * BLOCK) {
        for (int line = 0; line < count * BLOCK; line += 64) ASK(ask, from + line);
        for (int v = 0; v < BLOCK; v += VL) {
            const floats scale = load(scales + g * BLOCK + v), minimum = minimum_of(minima, g * BLOCK + v, scale, w->format);
            for (int half = 0; half < halves; half++)
                for (int i = 0; i < count; i++) {
                    floats weight = read_whole(from + i * BLOCK + v, half, w->format) * scale + minimum;
                    store(wide + (g * group + half * count + i) * BLOCK + v, weight);
                }
        }
    }
    return (const char *)from;
}

#define WHOLE_TILE(KIND, FORMAT, B, R)                                                                              \
    static inline void KIND##_tile_##B##_##R(const product *p, int first, int row, asking ask)                      \
    {                                                                                                               \
        const int inputs = p->w->inputs, group = p->w->group, groups = inputs / group, halves = FORMAT == WHOLE4 ? 2 : 1; \
        const int count = group / halves;              /* inputs of a half, one after the other */                  \
        const int64_t next = (int64_t)groups * count * BLOCK, scaled = (int64_t)first * groups * BLOCK;             \
        const uint8_t *w = (const uint8_t *)p->w->data + first * next;                                              \
        const float *scales = (const float *)p->w->scales + scaled, *minima = p->w->minima ? (const float *)p->w->minima + scaled : 0; \
        const float *x = p->x + (int64_t)row * inputs;                                                              \
        BEGIN_SUMS(p, first, B, R);                                                                                 \
        for (int g = 0; g < groups; g++, w += count * BLOCK) {                                                      \
            floats scale[B * PER_BLOCK], minimum[B * PER_BLOCK];                                                    \
            UNROLL for (int b = 0; b < B * PER_BLOCK; b++) {                                                        \
                const int64_t at = ((int64_t)(b / PER_BLOCK) * groups + g) * BLOCK + b % PER_BLOCK * VL;            \
                scale[b] = load(scales + at);                                                                       \
                minimum[b] = minimum_of(minima, at, scale[b], FORMAT);                                              \
            }                                                                                                       \
            const int due = is_due(&ask);                                                                           \
            UNROLL for (int half = 0; half < halves; half++)                                                        \
                for (int i = 0; i < count; i++) {                                                                   \
                    if (due && half == 0 && i % (64 / BLOCK) == 0) {                                                \
                        UNROLL for (int b = 0; b < B; b++) ASK(ask, w + b * next + i * BLOCK);                      \
                    }                                                                                               \
                    floats weight[B * PER_BLOCK];                                                                   \
                    UNROLL for (int b = 0; b < B * PER_BLOCK; b++) {                                                \
                        const uint8_t *at = w + b / PER_BLOCK * next + i * BLOCK + b % PER_BLOCK * VL;              \
                        weight[b] = read_whole(at, half, FORMAT) * scale[b] + minimum[b];                           \
                    }                                                                                               \
                    UNROLL for (int r = 0; r < R; r++) {                                                            \
                        const float value = x[(int64_t)r * inputs + g * group + half * count + i];                  \
                        UNROLL for (int b = 0; b < B * PER_BLOCK; b++) total[b][r] += weight[b] * value;            \
                    }                                                                                               \
                }                                                                                                   \
        }                                                                                                           \
        FINISH_SUMS(p, row, first, B, R);                                                                           \
    }
