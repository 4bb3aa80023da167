/* log of the sum of exp(x) of each row; of a row of -inf it is -inf. */
typedef struct {
    const float *x;
    float *y;
    int rows;
    int64_t columns;
} table;

static float log_sum_exp_row(const float *x, int64_t n)
{
    int64_t whole = n - n % VL;
    floats top = all(-INFINITY), total = {};
    for (int64_t i = 0; i < whole; i += VL) top = larger(load(x + i), top);
    float most = largest_of(top), rest = 0;
    for (int64_t i = whole; i < n; i++) most = x[i] > most ? x[i] : most;
    float zero = most == -INFINITY ? 0 : most;
    for (int64_t i = 0; i < whole; i += VL) total += exponential(load(x + i) - zero);
    for (int64_t i = whole; i < n; i++) rest += expf(x[i] - zero);
    return zero + logf(sum(total) + rest);
}

static void rows_piece(void *argument, int piece, int pieces)
{
    table *t = argument;
    for (int r = (int)((int64_t)t->rows * piece / pieces), end = (int)((int64_t)t->rows * (piece + 1) / pieces); r < end; r++)
        t->y[r] = log_sum_exp_row(t->x + r * t->columns, t->columns);
}

static void NAME(log_sum_exp)(const float *x, int rows, int64_t columns, float *y)
{
    table t = {x, y, rows, columns};
    int pieces = un_pieces(8.0 * rows * columns);
    un_run(rows_piece, &t, pieces < rows ? pieces : rows);
}
