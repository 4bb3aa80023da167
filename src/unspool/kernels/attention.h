/* softmax(q k / sqrt(D)) v of every token over the slots of its path.
 *
 * Up to four queries that read the same keys go together: heads that share a key head, tokens of a chain, beams, samples. What
 * their paths share from the start is read once for all of them, the rest for each alone. A query's sums are in the order of
 * its path either way.
 */
enum { TOGETHER = 4, HEAD = 512 };                     /* queries at once; the largest slot_size */
enum { SOON = 64 };                                    /* slots are asked for so many slots before they are read */

typedef struct {
    int first, count, shared;                          /* queries token * group + head; slots that their paths share */
} bundle;

typedef struct {
    const model *m;
    const block *b;
    const step *s;
    const bundle *bundles;
    const float *qkv;
    float *out, *scores;                               /* scores: (pieces, TOGETHER, room) */
    int layer, count, room, qkv_width;
} reading;

static int shared_by(const step *s, int a, int b)
{
    int n = s->length[a] < s->length[b] ? s->length[a] : s->length[b];
    const int64_t *p = s->path[a], *q = s->path[b];
    if (p == q)
        return n;
    int i = 0;
    while (i < n && p[i] == q[i]) i++;
    return i;
}

/* Queries that go together, for each key head the same. */
static int make_bundles(const step *s, int group, bundle *bundles)
{
    int count = 0, all_queries = s->tokens * group;
    for (int first = 0; first < all_queries; count++) {
        int token = first / group, n = 1;
        bundle *b = bundles + count;
        b->first = first, b->shared = s->length[token];
        for (; n < TOGETHER && first + n < all_queries; n++) {
            int other = (first + n) / group;
            if (s->pool[other] != s->pool[token])
                break;
            if (other != token) {
                int same = shared_by(s, token, other);
                b->shared = same < b->shared ? same : b->shared;
            }
        }
        b->count = n;
        first += n;
    }
    return count;
}

#define INLINE static inline __attribute__((always_inline))

/* Where a head's key or value of a slot lies: `size` numbers of 4 bytes, or of 2 (bfloat16). */
typedef struct {
    const char *const *segments;
    int64_t offset;
    int size;
} heads;

INLINE const char *of_slot(const heads *h, int64_t slot, const int bytes)
{
    const uint64_t at = (uint64_t)slot;
    return h->segments[at / SEGMENT] + h->offset + at % SEGMENT * (uint64_t)(h->size * bytes);
}

/* Numbers i to i + VL of a key or value. */
INLINE floats stored(const char *at, int i, const int bytes)
{
    return bytes == 2 ? widen_bfloat16(((const halves *)at)[i / VL]) : ((const floats *)at)[i / VL];
}

INLINE void ask(const char *at, int count, const int bytes)
{
    for (int i = 0; i < count * bytes; i += 64) __builtin_prefetch(at + i);
}

/* Ask for the slot that is read SOON slots after slot c of from..to, beyond the end for what `then` holds at the beginning. */
INLINE void ask_soon(const heads *now, const heads *then, const int64_t *path, int c, int from, int to, int first, int count, const int bytes)
{
    int soon = c + SOON;
    if (soon >= to)
        now = then, soon -= to - from;
    if (now && soon < to)
        ask(of_slot(now, path[soon], bytes) + first * bytes, count, bytes);
}

INLINE void score_four(float *a, float *b, float *c, float *d, const floats *qa, const floats *qb, const floats *qc, const floats *qd,
                       const char *ka, const char *kb, const char *kc, const char *kd, int size, const int bytes)
{
    floats ta = {}, tb = {}, tc = {}, td = {};
    for (int i = 0; i < size; i += VL) {
        ta += qa[i / VL] * stored(ka, i, bytes);
        tb += qb[i / VL] * stored(kb, i, bytes);
        tc += qc[i / VL] * stored(kc, i, bytes);
        td += qd[i / VL] * stored(kd, i, bytes);
    }
    four t = sums(ta, tb, tc, td);
    *a = t[0], *b = t[1], *c = t[2], *d = t[3];
}

/* Scores of four queries for slots from..to of a path they share. */
INLINE void score_together(float *out, int room, floats (*q)[HEAD / VL], const heads *keys, const heads *values, const int64_t *path, int from, int to, int size,
                           const int bytes)
{
    for (int c = from; c < to; c++) {
        const char *k = of_slot(keys, path[c], bytes);
        ask_soon(keys, values, path, c, from, to, 0, size, bytes);
        float *at = out + c;
        score_four(at, at + room, at + 2 * room, at + 3 * room, q[0], q[1], q[2], q[3], k, k, k, k, size, bytes);
    }
}

/* Scores of one query for slots from..to of its path. */
INLINE void score_alone(float *out, const floats *q, const heads *keys, const heads *values, const int64_t *path, int from, int to, int size, const int bytes)
{
    int c = from;
    for (; c + 4 <= to; c += 4) {
        const char *k[4];
        for (int i = 0; i < 4; i++) {
            k[i] = of_slot(keys, path[c + i], bytes);
            ask_soon(keys, values, path, c + i, from, to, 0, size, bytes);
        }
        score_four(out + c, out + c + 1, out + c + 2, out + c + 3, q, q, q, q, k[0], k[1], k[2], k[3], size, bytes);
    }
    for (float none[3]; c < to; c++) {
        const char *k = of_slot(keys, path[c], bytes);
        score_four(out + c, none, none + 1, none + 2, q, q, q, q, k, k, k, k, size, bytes);
    }
}

/* Scores to weights that sum to 1, for slots from..to. */
static void weigh(float *score, int from, int to, float slope, float softcap)
{
    floats top = all(-INFINITY), total = {};
    for (int c = to; c < to + VL; c++) score[c] = -INFINITY;
    for (int c = from; c < to; c += VL) {
        floats v = load(score + c);
        if (softcap != 0)
            v = hyperbolic_tangent(v / softcap) * softcap;
        if (slope != 0)
            for (int i = 0; i < VL; i++) v[i] -= slope * (float)(to - 1 - c - i);
        for (int i = to - c; i < VL; i++) v[i] = -INFINITY;
        store(score + c, v);
        top = larger(v, top);
    }
    float most = largest_of(top);
    for (int c = from; c < to; c += VL) {
        floats v = exponential(load(score + c) - most);
        total += v;
        store(score + c, v);
    }
    float scale = 1.0f / sum(total);
    for (int c = from; c < to; c += VL) store(score + c, load(score + c) * scale);
}

/* out (C registers) of R queries += weights times values, for slots from..to of a path they share. */
#define GATHER(R, C)                                                                                                        \
    INLINE void gather_##R##_##C(float *out, const float *weights, int room, const heads *values, const int64_t *path,      \
                                 int from, int to, int shift, const int bytes)                                              \
    {                                                                                                                       \
        floats total[R][C];                                                                                                 \
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < C; i++) total[r][i] = load(out + r * HEAD + i * VL);  \
        for (int c = from; c < to; c++) {                                                                                   \
            const char *v = of_slot(values, path[c], bytes);                                                                \
            ask_soon(values, 0, path, c, from, to, shift, C * VL, bytes);                                                   \
            floats value[C];                                                                                                \
            UNROLL for (int i = 0; i < C; i++) value[i] = stored(v, shift + i * VL, bytes);                                 \
            UNROLL for (int r = 0; r < R; r++) {                                                                            \
                const float weight = weights[r * room + c];                                                                 \
                UNROLL for (int i = 0; i < C; i++) total[r][i] += weight * value[i];                                        \
            }                                                                                                               \
        }                                                                                                                   \
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int i = 0; i < C; i++) store(out + r * HEAD + i * VL, total[r][i]);  \
    }
#if VL == 16
enum { REGISTERS = 4 };
GATHER(4, 4) GATHER(4, 1) GATHER(1, 4) GATHER(1, 1)
#define GATHER_WIDE(R, ...) gather_##R##_4(__VA_ARGS__)
#else
enum { REGISTERS = 2 };
GATHER(4, 2) GATHER(4, 1) GATHER(1, 2) GATHER(1, 1)
#define GATHER_WIDE(R, ...) gather_##R##_2(__VA_ARGS__)
#endif

INLINE void gather_all(int queries, float *out, const float *weights, int room, const heads *values, const int64_t *path, int from, int to,
                       const int bytes)
{
    const int size = values->size;
    int i = 0;
    for (; i + REGISTERS * VL <= size; i += REGISTERS * VL) {
        if (queries == 1) GATHER_WIDE(1, out + i, weights, room, values, path, from, to, i, bytes);
        else GATHER_WIDE(4, out + i, weights, room, values, path, from, to, i, bytes);
    }
    for (; i < size; i += VL) {
        if (queries == 1) gather_1_1(out + i, weights, room, values, path, from, to, i, bytes);
        else gather_4_1(out + i, weights, room, values, path, from, to, i, bytes);
    }
}

static int first_of(const reading *a, int token)
{
    const int length = a->s->length[token], window = a->b->window;
    return window && length > window ? length - window : 0;
}

/* Where the keys of a key head lie for a token. */
INLINE heads keys_of(const reading *a, int token, int key_head, const int bytes)
{
    const int64_t row = (int64_t)SEGMENT * a->m->slot_size * bytes;
    return (heads){(const char *const *)a->s->pool[token], ((int64_t)a->layer * a->m->key_heads + key_head) * row, a->m->slot_size};
}

/* Ask for the first keys that an item reads. */
INLINE void ask_first(const reading *a, int64_t item, const int bytes)
{
    const int token = a->bundles[item % a->count].first / (a->m->heads / a->m->key_heads), from = first_of(a, token);
    const heads keys = keys_of(a, token, (int)(item / a->count), bytes);
    for (int c = from, end = a->s->length[token]; c < end && c < from + SOON; c++)
        ask(of_slot(&keys, a->s->path[token][c], bytes), keys.size, bytes);
}

/* An item is a bundle at a key head; the one after it, or -1, is asked for in time. */
INLINE void attend_item(const reading *a, int64_t item, int64_t next, float *scores, const int bytes)
{
    const bundle *b = a->bundles + item % a->count;
    const model *m = a->m;
    const step *s = a->s;
    const int key_head = (int)(item / a->count), size = m->slot_size, group = m->heads / m->key_heads, token0 = b->first / group;
    const heads keys = keys_of(a, token0, key_head, bytes);
    heads values = keys;
    values.offset += (int64_t)m->layers * m->key_heads * SEGMENT * size * bytes;
    const float scale = a->b->query_scale / sqrtf((float)m->head_size);
    float out[TOGETHER * HEAD];
    floats q[TOGETHER][HEAD / VL];
    int token[TOGETHER], head[TOGETHER], from[TOGETHER], earliest = b->count == 1 ? b->shared : 0x7fffffff;
    for (int i = 0; i < TOGETHER; i++) {               /* where there are fewer than four, the first stands in */
        int query = b->first + (i < b->count ? i : 0);
        token[i] = query / group, head[i] = key_head * group + query % group;
        const float *x = a->qkv + (int64_t)token[i] * a->qkv_width + head[i] * m->head_size;
        for (int d = 0; d < m->head_size; d++) ((float *)q[i])[d] = x[d] * scale;
        for (int d = m->head_size; d < size; d++) ((float *)q[i])[d] = 0;
        for (int d = 0; d < size; d++) out[i * HEAD + d] = 0;
        from[i] = first_of(a, token[i]);
        if (b->count > 1 && from[i] < earliest) earliest = from[i];
    }
    const int shared = b->count == 1 ? 0 : b->shared, room = a->room;
    const int64_t *path = s->path[token0];
    if (size == 64) score_together(scores, room, q, &keys, &values, path, earliest, shared, 64, bytes);
    else score_together(scores, room, q, &keys, &values, path, earliest, shared, size, bytes);
    for (int i = 0; i < b->count; i++) {
        float *its = scores + i * room;
        const int length = s->length[token[i]], start = from[i] > shared ? from[i] : shared;
        if (size == 64) score_alone(its, q[i], &keys, &values, s->path[token[i]], start, length, 64, bytes);
        else score_alone(its, q[i], &keys, &values, s->path[token[i]], start, length, size, bytes);
        weigh(its, from[i], length, m->slopes ? m->slopes[head[i]] : 0, a->b->softcap);
        for (int c = earliest; c < from[i] && c < shared; c++) its[c] = 0;
    }
    if (next >= 0)
        ask_first(a, next, bytes);
    if (shared > earliest)
        gather_all(TOGETHER, out, scores, room, &values, path, earliest, shared, bytes);
    for (int i = 0; i < b->count; i++) {
        const int start = from[i] > shared ? from[i] : shared;
        gather_all(1, out + i * HEAD, scores + i * room, room, &values, s->path[token[i]], start, s->length[token[i]], bytes);
        memcpy(a->out + ((int64_t)token[i] * m->heads + head[i]) * m->head_size, out + i * HEAD, (size_t)m->head_size * sizeof(float));
    }
}

static void attend_piece(void *argument, int piece, int pieces)
{
    reading *a = argument;
    int64_t items = (int64_t)a->count * a->m->key_heads;
    float *scores = a->scores + (int64_t)piece * TOGETHER * a->room;
    for (int64_t i = items * piece / pieces, end = items * (piece + 1) / pieces; i < end; i++) {
        const int64_t next = i + 1 < end ? i + 1 : -1;
        if (a->m->short_keys) attend_item(a, i, next, scores, 2);
        else attend_item(a, i, next, scores, 4);
    }
}
