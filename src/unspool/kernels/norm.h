/* (x - mean) / sqrt(variance + epsilon) * weight + bias, for rows of `size` numbers; without the mean if it is not centred. */
static void norm_row(const norm *n, const float *x, float *y, int size)
{
    int whole = size - size % VL;
    float mean = 0, square = 0;
    if (n->centred) {
        floats total = {};
        for (int i = 0; i < whole; i += VL) total += load(x + i);
        mean = sum(total);
        for (int i = whole; i < size; i++) mean += x[i];
        mean /= (float)size;
    }
    floats squares = {};
    for (int i = 0; i < whole; i += VL) squares += (load(x + i) - mean) * (load(x + i) - mean);
    square = sum(squares);
    for (int i = whole; i < size; i++) square += (x[i] - mean) * (x[i] - mean);
    float scale = 1.0f / sqrtf(square / (float)size + n->epsilon);
    for (int i = 0; i < whole; i += VL) {
        floats v = (load(x + i) - mean) * scale * load(n->weight + i);
        if (n->bias)
            v += load(n->bias + i);
        store(y + i, v);
    }
    for (int i = whole; i < size; i++) y[i] = (x[i] - mean) * scale * n->weight[i] + (n->bias ? n->bias[i] : 0.0f);
}

typedef struct {
    const norm *norm;
    const float *x;
    float *y;
    int rows, width;
} norms;

static void norm_piece(void *argument, int piece, int pieces)
{
    norms *n = argument;
    for (int r = (int)((int64_t)n->rows * piece / pieces), end = (int)((int64_t)n->rows * (piece + 1) / pieces); r < end; r++)
        norm_row(n->norm, n->x + (int64_t)r * n->width, n->y + (int64_t)r * n->width, n->width);
}

static void norm_rows(const norm *n, const float *x, float *y, int rows, int width)
{
    norms all_rows = {n, x, y, rows, width};
    un_run(norm_piece, &all_rows, un_pieces(2.0 * rows * width));
}
