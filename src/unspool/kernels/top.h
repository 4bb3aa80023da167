/* The k largest of each row, best first, equals in ascending order of column.
 *
 * The k-th largest of the maxima of stretches of a row is a bound that at least k numbers reach; only stretches that reach it are
 * looked at again. A row that holds what is no number, or whose bound is -inf, is left to the caller.
 */
enum { STRETCH = 64, MOST_STRETCHES = 4096, MOST_TOP = 512 };

typedef struct {
    const float *x;
    int64_t *columns;                                  /* (rows, k); -1 in the first place of a row that is left */
    int rows, k;
    int64_t width;
} ranking;

/* Put a number into its place among the best `k`, behind its equals; *count of them are there. */
static inline void insert(float value, int64_t column, float *values, int64_t *columns, int *count, int k)
{
    int at = *count < k ? (*count)++ : k - 1;
    for (; at > 0 && values[at - 1] < value; at--) values[at] = values[at - 1], columns[at] = columns[at - 1];
    values[at] = value, columns[at] = column;
}

static int top_of_row(const float *x, int64_t width, int k, int64_t *columns)
{
    float maxima[MOST_STRETCHES], best[MOST_TOP];
    int count = 0, stretches = (int)((width + STRETCH - 1) / STRETCH);
    ints strange = {};
    for (int s = 0; s < stretches; s++) {
        const int64_t first = (int64_t)s * STRETCH, left = width - first;
        floats top = all(-INFINITY);
        float tail[STRETCH];
        const float *at = x + first;
        if (left < STRETCH) {
            for (int i = 0; i < STRETCH; i++) tail[i] = i < left ? at[i] : -INFINITY;
            at = tail;
        }
        UNROLL for (int i = 0; i < STRETCH; i += VL) {
            floats v = load(at + i);
            top = larger(v, top);
            strange |= v != v;
        }
        maxima[s] = largest_of(top);
        if (count < k || maxima[s] > best[k - 1])
            insert(maxima[s], 0, best, columns, &count, k);
    }
    for (int i = 0; i < VL; i++)
        if (strange[i])
            return -1;
    const float bound = best[k - 1];
    if (bound == -INFINITY)
        return -1;
    count = 0;
    for (int s = 0; s < stretches; s++)
        if (maxima[s] >= bound) {
            const int64_t first = (int64_t)s * STRETCH, end = first + STRETCH < width ? first + STRETCH : width;
            for (int64_t c = first; c < end; c++)
                if (x[c] >= bound && (count < k || x[c] > best[k - 1]))
                    insert(x[c], c, best, columns, &count, k);
        }
    return 0;
}

static void top_piece(void *argument, int piece, int pieces)
{
    const ranking *t = argument;
    for (int r = (int)((int64_t)t->rows * piece / pieces), end = (int)((int64_t)t->rows * (piece + 1) / pieces); r < end; r++)
        if (top_of_row(t->x + r * t->width, t->width, t->k, t->columns + (int64_t)r * t->k))
            t->columns[(int64_t)r * t->k] = -1;
}

/* 0, or -1 where k or the rows are too large, or the rows too short, for this way. */
static int NAME(top)(const float *x, int rows, int64_t width, int k, int64_t *columns)
{
    const int64_t stretches = (width + STRETCH - 1) / STRETCH;
    if (k > MOST_TOP || stretches > MOST_STRETCHES || stretches < 2 * (int64_t)k)
        return -1;
    ranking t = {x, columns, rows, k, width};
    int pieces = un_pieces(2.0 * rows * (double)width);
    un_run(top_piece, &t, pieces < rows ? pieces : rows);
    return 0;
}
