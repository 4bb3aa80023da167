/* The layers of a transformer over new tokens; `unspool.models.transformer.Transformer.forward` in C. */
typedef struct {
    float *h, *qkv, *attended, *branch, *inner, *scores, *quantised;
    bundle *bundles;
    int count, room, pieces;
} workspace;

static void rotate(float *x, int heads, int size, int pairs, int interleaved, const float *cosines, const float *sines)
{
    for (int h = 0; h < heads; h++, x += size)
        for (int i = 0; i < pairs; i++) {
            float *a = x + (interleaved ? 2 * i : i), *b = x + (interleaved ? 2 * i + 1 : pairs + i);
            float first = *a * cosines[i] - *b * sines[i], second = *b * cosines[i] + *a * sines[i];
            *a = first, *b = second;
        }
}

typedef struct {
    const model *m;
    const block *b;
    const step *s;
    float *qkv;
    int layer, width;
} placing;

/* A key or value into its slot; what pads it there stays 0. */
static void put(char *at, const float *x, int size, int short_keys)
{
    if (!short_keys) {
        memcpy(at, x, (size_t)size * sizeof(float));
        return;
    }
    for (int i = 0; i < size; i += VL, at += VL * 2) {
        int left = size - i;
        float tail[VL] = {0};
        if (left < VL)
            memcpy(tail, x + i, (size_t)left * sizeof(float));
        halves numbers = narrow(load(left < VL ? tail : x + i));
        memcpy(at, &numbers, VL * 2);
    }
}

/* Norm and turn queries and keys of some tokens, and put keys and values into their slots. */
static void place_piece(void *argument, int piece, int pieces)
{
    const placing *p = argument;
    const model *m = p->m;
    const block *b = p->b;
    const step *s = p->s;
    const int size = m->head_size, queries = m->heads * size, keys = m->key_heads * size;
    const int64_t number = m->short_keys ? 2 : 4, row = SEGMENT * m->slot_size * number;
    for (int t = (int)((int64_t)s->tokens * piece / pieces), end = (int)((int64_t)s->tokens * (piece + 1) / pieces); t < end; t++) {
        float *q = p->qkv + (int64_t)t * p->width, *k = q + queries, *v = k + keys;
        if (b->query_norm.weight && m->whole_norms) {
            norm_row(&b->query_norm, q, q, queries);
            norm_row(&b->key_norm, k, k, keys);
        } else if (b->query_norm.weight) {
            for (int h = 0; h < m->heads; h++) norm_row(&b->query_norm, q + h * size, q + h * size, size);
            for (int h = 0; h < m->key_heads; h++) norm_row(&b->key_norm, k + h * size, k + h * size, size);
        }
        if (b->rope >= 0) {
            int pairs = m->rope_pairs[b->rope], interleaved = m->rope_interleaved[b->rope];
            const float *cosines = s->cosines[b->rope] + (int64_t)t * pairs, *sines = s->sines[b->rope] + (int64_t)t * pairs;
            rotate(q, m->heads, size, pairs, interleaved, cosines, sines);
            rotate(k, m->key_heads, size, pairs, interleaved, cosines, sines);
        }
        const int64_t slot = s->path[t][s->length[t] - 1];
        char *segment = s->pool[t][slot / SEGMENT];
        for (int h = 0; h < m->key_heads; h++) {
            char *at = segment + ((int64_t)p->layer * m->key_heads + h) * row + slot % SEGMENT * m->slot_size * number;
            put(at, k + h * size, size, m->short_keys);
            put(at + m->layers * m->key_heads * row, v + h * size, size, m->short_keys);
        }
    }
}

static void place(const model *m, const block *b, const step *s, int layer, float *qkv, int width)
{
    placing p = {m, b, s, qkv, layer, width};
    int pieces = un_pieces(10.0 * s->tokens * width);      /* it waits for memory more than it computes */
    un_run(place_piece, &p, pieces < s->tokens ? pieces : s->tokens);
}

static void attend(const model *m, const block *b, const step *s, int layer, const workspace *w, int qkv_width)
{
    reading a = {m, b, s, w->bundles, w->qkv, w->attended, w->scores, layer, w->count, w->room, qkv_width};
    double read = 0;
    for (int t = 0; t < s->tokens; t++) read += s->length[t];
    int pieces = un_pieces(2 * read * m->heads * m->slot_size), items = w->count * m->key_heads;
    pieces = pieces < items ? pieces : items;
    un_run(attend_piece, &a, pieces < w->pieces ? pieces : w->pieces);
}

/* x += norm(linear(h)), or x += linear(h) where there is no norm. */
static void add_branch(const matrix *linear, const norm *after, const float *h, const step *s, const workspace *w, int width)
{
    if (!after->weight) {
        multiply(linear, h, s->x, s->tokens, NONE, ADD, w->quantised);
        return;
    }
    multiply(linear, h, w->branch, s->tokens, NONE, SET, w->quantised);
    norm_rows(after, w->branch, w->branch, s->tokens, width);
    for (int64_t i = 0, n = (int64_t)s->tokens * width; i < n; i++) s->x[i] += w->branch[i];
}

static void layers(const model *m, const step *s, const workspace *w)
{
    const int n = s->tokens, width = m->width;
    int wanted = 0;
    for (int layer = 0; layer < m->layers; layer++) {
        const block *b = m->blocks + layer;
        const float *h = s->x, *before_mlp;
        if (b->before_attention.weight) {
            norm_rows(&b->before_attention, s->x, w->h, n, width);
            h = w->h;
        }
        multiply(&b->qkv, h, w->qkv, n, NONE, SET, w->quantised);
        place(m, b, s, layer, w->qkv, b->qkv.outputs);
        attend(m, b, s, layer, w, b->qkv.outputs);
        float *second = w->h + (int64_t)n * width;     /* what the MLP reads, where that is not h or x */
        if (m->parallel) {                             /* both halves read what came into the layer */
            before_mlp = h;
            if (b->before_mlp.weight)
                norm_rows(&b->before_mlp, s->x, second, n, width), before_mlp = second;
            else if (h == s->x)
                memcpy(second, h, (size_t)n * width * sizeof(float)), before_mlp = second;
            add_branch(&b->out, &b->after_attention, w->attended, s, w, width);
        } else {
            add_branch(&b->out, &b->after_attention, w->attended, s, w, width);
            before_mlp = s->x;
            if (b->before_mlp.weight)
                norm_rows(&b->before_mlp, s->x, second, n, width), before_mlp = second;
        }
        if (b->gate.data) {
            multiply(&b->up, before_mlp, w->inner, n, NONE, SET, w->quantised);
            multiply(&b->gate, before_mlp, w->inner, n, m->activation, MULTIPLY, w->quantised);
        } else
            multiply(&b->up, before_mlp, w->inner, n, m->activation, SET, w->quantised);
        add_branch(&b->down, &b->after_mlp, w->inner, s, w, width);
        if (wanted < s->wanted && s->layer[wanted] == layer + 1)
            norm_rows(&m->final, s->x, s->hidden + (int64_t)++wanted * n * width, n, width);
    }
    norm_rows(&m->final, s->x, s->hidden, n, width);
}

static int NAME(forward)(const model *m, const step *s)
{
    const int64_t n = s->tokens, attended = (int64_t)m->heads * m->head_size, qkv = attended + 2LL * m->key_heads * m->head_size;
    const int most = m->inner > attended ? m->inner : (int)attended, widest = most > m->width ? most : m->width;
    workspace w = {0};
    for (int t = 0; t < n; t++)
        if (s->length[t] > w.room) w.room = s->length[t];
    w.room += VL;
    w.pieces = un_pieces(1e30);
    int64_t sizes[] = {2 * n * m->width, n * qkv, n * attended, n * m->width, n * m->inner, (int64_t)w.pieces * TOGETHER * w.room,
                       quantised_room((int)n, widest)};
    float **arrays[] = {&w.h, &w.qkv, &w.attended, &w.branch, &w.inner, &w.scores, &w.quantised};
    int64_t total = 0;
    for (int i = 0; i < 7; i++) total += (sizes[i] + 15) / 16 * 16;
    float *room = malloc((size_t)total * sizeof(float) + 64);
    w.bundles = malloc((size_t)n * (size_t)(m->heads / m->key_heads) * sizeof(bundle));
    if (!room || !w.bundles) {
        free(room), free(w.bundles);
        return -1;
    }
    float *at = (float *)(((uintptr_t)room + 63) & ~(uintptr_t)63);
    for (int i = 0; i < 7; i++) *arrays[i] = at, at += (sizes[i] + 15) / 16 * 16;
    w.count = make_bundles(s, m->heads / m->key_heads, w.bundles);
    layers(m, s, &w);
    free(room), free(w.bundles);
    return 0;
}
