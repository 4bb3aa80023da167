/* A linear layer of any format, its blocks shared among the threads. */
static void multiply_piece(void *argument, int piece, int pieces)
{
    const product *p = argument;
    int grouped = is_widened(p->w->format) ? GROUPED : PAIRED, groups = (blocks_of(p->w) + grouped - 1) / grouped;
    int first = (int)((int64_t)groups * piece / pieces) * grouped, end = (int)((int64_t)groups * (piece + 1) / pieces) * grouped;
    end = end < blocks_of(p->w) ? end : blocks_of(p->w);
    if (is_widened(p->w->format))
        float_blocks(p, first, end);
    else
        int_blocks(p, first, end);
}

static void multiply(const matrix *w, const float *x, float *y, int rows, int activation, int finish, float *room)
{
    struct quantised q;
    product p = {.w = w, .x = x, .y = y, .rows = rows, .activation = activation, .finish = finish, .q = &q};
    if (!is_widened(w->format))
        quantise(&p, &q, room);
    int pieces = un_pieces((double)w->outputs * w->inputs * (rows < 4 ? 1 : rows / 4)), groups = blocks_of(w);
    un_run(multiply_piece, &p, pieces < groups ? pieces : groups);
}

typedef struct {
    float *y, cap;
    int64_t count;
} capping;

static void cap_piece(void *argument, int piece, int pieces)
{
    capping *c = argument;
    for (int64_t i = c->count * piece / pieces, end = c->count * (piece + 1) / pieces; i < end; i++) c->y[i] = tanhf(c->y[i] / c->cap) * c->cap;
}

static int NAME(linear)(const matrix *w, const float *x, int rows, float *y, float softcap)
{
    float *room = 0;
    if (!is_widened(w->format) && !(room = malloc((size_t)quantised_room(rows, w->inputs) * sizeof(float))))
        return -1;
    multiply(w, x, y, rows, NONE, SET, room);
    free(room);
    capping c = {y, softcap, (int64_t)rows * w->outputs};
    if (softcap != 0)
        un_run(cap_piece, &c, un_pieces(20.0 * (double)c.count));
    return 0;
}
