/* log of the sum of exp(x) of each row, and how many terms of it are above 0. */
typedef struct {
    const float *x;
    float *y;
    int64_t *terms;
    int rows;
    int64_t columns;
} table;

static void log_sum_exp_row(const float *x, int64_t n, float *y, int64_t *terms)
{
    enum { AT_ONCE = 4 };                              /* chains of sums, so that one does not wait for the other */
    const int64_t whole = n - n % VL, even = n - n % (AT_ONCE * VL);
    floats tops[AT_ONCE], totals[AT_ONCE] = {};
    ints count = {};
    UNROLL for (int j = 0; j < AT_ONCE; j++) tops[j] = all(-INFINITY);
    for (int64_t i = 0; i < even; i += AT_ONCE * VL)
        UNROLL for (int j = 0; j < AT_ONCE; j++) tops[j] = larger(load(x + i + j * VL), tops[j]);
    for (int64_t i = even; i < whole; i += VL) tops[0] = larger(load(x + i), tops[0]);
    float most = largest_of(larger(larger(tops[0], tops[1]), larger(tops[2], tops[3]))), rest = 0;
    for (int64_t i = whole; i < n; i++) most = x[i] > most ? x[i] : most;
    const float zero = most == -INFINITY ? 0 : most;   /* of a row of -inf the sum is 0 */
    for (int64_t i = 0; i < even; i += AT_ONCE * VL)
        UNROLL for (int j = 0; j < AT_ONCE; j++) {
            floats term = exponential(load(x + i + j * VL) - zero);
            totals[j] += term;
            count -= term > 0.0f;
        }
    for (int64_t i = even; i < whole; i += VL) {
        floats term = exponential(load(x + i) - zero);
        totals[0] += term;
        count -= term > 0.0f;
    }
    *terms = 0;
    for (int64_t i = whole; i < n; i++) {
        float term = expf(x[i] - zero);
        rest += term;
        *terms += term > 0;
    }
    for (int i = 0; i < VL; i++) *terms += count[i];
    *y = zero + logf(sum((totals[0] + totals[1]) + (totals[2] + totals[3])) + rest);
}

static void rows_piece(void *argument, int piece, int pieces)
{
    const table *t = argument;
    for (int r = (int)((int64_t)t->rows * piece / pieces), end = (int)((int64_t)t->rows * (piece + 1) / pieces); r < end; r++)
        log_sum_exp_row(t->x + r * t->columns, t->columns, t->y + r, t->terms + r);
}

static void NAME(log_sum_exp)(const float *x, int rows, int64_t columns, float *y, int64_t *terms)
{
    table t = {x, y, terms, rows, columns};
    int pieces = un_pieces(8.0 * rows * columns);
    un_run(rows_piece, &t, pieces < rows ? pieces : rows);
}
