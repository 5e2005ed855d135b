/* Softmax attention of each pixel to the window around it, in float32.
 *
 * Compiled for several instruction sets, by a file for each that sets
 *
 *   LANES              numbers in a vector: 4, 8 or 16
 *   VECTORS_AT_ONCE    GROUP times as many sums are kept in registers: 2, 3 or 4
 *   ATTEND_ROWS, EXPONENTIALS, and those of convolution.h: the names of its functions
 *
 * Queries are taken in blocks of BLOCK_ROWS x GROUP pixels, whose logits with a row of keys stay in
 * the cache: they are never written to memory. A query of the block whose window does not have the
 * row is left out; in the row GROUP - 1 keys too many are multiplied, and masked.
 */

#include "memory.h"
#include "packing.h"
#include "products.h"

/* Channels of a row of keys that stay in the nearest cache for all rows of queries. */
enum { INNER_AT_ONCE = 96 };

/* A query's weights are 2^(logit - shift), which is at most 2^SLACK: `shift` is the highest logit
 * so far, but for that slack, without which the sums would often be scaled anew. */
static const float SLACK = 16.0f, LOWEST = -1e30f;

/* Queries and what they have gathered. The steps are those from one row of queries to the next. */
typedef struct {
  int first_column, num_columns;           /* of the keys across the windows, in the strip */
  int num_vectors;                         /* of these keys */
  int num_rows, first_row[BLOCK_ROWS];     /* rows of queries; of the windows */
  uint32_t *masks;  /* [query][column], all bits set for keys in its window */
  float *queries;   /* [row][query][channel] */
  float *weights;   /* [row][query][column]; the logits before, unless they are kept elsewhere */
  float *sums;      /* [row][query][channel] */
  size_t queries_step, weights_step, sums_step;
  int y0, x0; /* the first query */
  float shift[BLOCK_ROWS][GROUP];
  Vector total[BLOCK_ROWS][GROUP]; /* by lanes */
} Block;

static void place_columns(const Problem *problem, const Strip *strip, Block *block, int x0) {
  const Axis *columns = &problem->columns;
  int start[GROUP];
  for (int n = 0; n < GROUP; ++n)
    start[n] = window_start(columns, lower_of(x0 + n, columns->length - 1));
  block->first_column = start[0] - strip->first_column;
  block->num_columns = start[GROUP - 1] + columns->window - start[0];
  block->num_vectors = (block->num_columns + LANES - 1) / LANES;
  const int stride = block->num_vectors * LANES;
  block->weights_step = (size_t)GROUP * stride;
  memset(block->masks, 0, sizeof(uint32_t) * GROUP * stride);
  for (int n = 0; n < GROUP; ++n)
    memset(block->masks + n * stride + start[n] - start[0], 0xff,
           sizeof(uint32_t) * columns->window);
}

static void begin_block(const Problem *problem, const Strip *strip, Block *block, int y0, int x0,
                        int num_rows) {
  place_columns(problem, strip, block, x0);
  block->num_rows = num_rows, block->y0 = y0, block->x0 = x0;
  for (int r = 0; r < num_rows; ++r) {
    block->first_row[r] = window_start(&problem->rows, y0 + r);
    pack_queries(problem, y0 + r, x0, block->queries + r * block->queries_step);
    for (int n = 0; n < GROUP; ++n)
      block->shift[r][n] = LOWEST, block->total[r][n] = splat(0.0f);
  }
  memset(block->sums, 0, sizeof(float) * num_rows * block->sums_step);
}

/* The logits of a row of queries with a row of keys. */
static float *logits_of(const Problem *problem, const Block *block, int r, int row) {
  if (!problem->logits) return block->weights + r * block->weights_step;
  const Axis *columns = &problem->columns;
  const size_t group = (block->y0 + r) * num_groups(columns) + block->x0 / GROUP;
  const size_t place = group * problem->rows.window + row - block->first_row[r];
  return problem->logits + place * GROUP * kept_columns(columns);
}

/* Asks for the kept logits of rows of queries, from `first` to before `last`, with a row of keys:
 * they come from memory. */
static void fetch_logits(const Problem *problem, const Block *block, int row, int first, int last) {
  const int line = 64 / sizeof(float);
  for (int r = first; r < last; ++r) {
    const float *logits = logits_of(problem, block, r, row);
    for (size_t i = 0; i < block->weights_step; i += line) __builtin_prefetch(logits + i, 1, 2);
  }
}

/* The logits of rows of queries, from `first` to before `last`, with a row of keys. */
static void multiply_keys(const Problem *problem, const Strip *strip, Block *block, int row,
                          int first, int last) {
  const int stride = block->num_vectors * LANES, inner = problem->inner;
  const float *keys = keys_of(strip, row) + block->first_column;
  for (int n = 0, taken; n < block->num_vectors; n += taken) {
    taken = taken_of(block->num_vectors - n);
    for (int c = 0; c < inner; c += INNER_AT_ONCE)
      for (int r = first; r < last; ++r) {
        const Factors factors = {.left = block->queries + r * block->queries_step + c,
                                 .left_step = inner,
                                 .right = keys + (size_t)c * strip->stride + n * LANES,
                                 .right_step = strip->stride,
                                 .right_next = LANES,
                                 .count = lower_of(INNER_AT_ONCE, inner - c)};
        multiply_vectors(&factors, logits_of(problem, block, r, row) + n * LANES, stride,
                         c > 0 || problem->has_past, taken);
      }
  }
}

/* Adds the values of a row by their weights. */
static void add_values(const Strip *strip, Block *block, int row, int first, int last) {
  const int num_vectors = (int)(block->sums_step / GROUP / LANES);
  const size_t next = (size_t)strip->stride * LANES;
  const float *values = values_of(strip, row) + block->first_column * LANES;
  for (int n = 0, taken; n < num_vectors; n += taken) {
    taken = taken_of(num_vectors - n);
    for (int r = first; r < last; ++r) {
      const Factors factors = {.left = block->weights + r * block->weights_step,
                               .left_step = (size_t)block->num_vectors * LANES,
                               .right = values + n * next,
                               .right_step = LANES,
                               .right_next = next,
                               .count = block->num_columns};
      multiply_vectors(&factors, block->sums + r * block->sums_step + n * LANES,
                       (size_t)num_vectors * LANES, 1, taken);
    }
  }
}

/* Raises the shift of a query to its highest logit. */
static void raise_shift(Block *block, int r, int n, float highest) {
  if (!(highest > block->shift[r][n] + SLACK)) return;
  const size_t channels = block->sums_step / GROUP;
  const Vector factor = power_of_two(splat(block->shift[r][n] - highest));
  float *sums = block->sums + r * block->sums_step + n * channels;
  for (size_t c = 0; c < channels; c += LANES) store(sums + c, load(sums + c) * factor);
  block->total[r][n] *= factor;
  block->shift[r][n] = highest;
}

/* Makes weights of the logits of a row of queries with a row of keys. */
static void weigh(const Problem *problem, Block *block, int r, int row) {
  const int stride = block->num_vectors * LANES;
  const float *logits = logits_of(problem, block, r, row);
  float *weights = block->weights + r * block->weights_step;
  Vector highest[GROUP], excess = splat(LOWEST);
  for (int n = 0; n < GROUP; ++n) {
    highest[n] = splat(LOWEST);
    for (int i = n * stride; i < (n + 1) * stride; i += LANES) {
      const Vector logit = chosen(load_words(block->masks + i), load(logits + i), splat(LOWEST));
      highest[n] = higher_of(logit, highest[n]);
    }
    excess = higher_of(highest[n] - splat(block->shift[r][n]), excess);
  }
  if (is_any((Words)(excess > splat(SLACK))))
    for (int n = 0; n < GROUP; ++n) raise_shift(block, r, n, highest_of(highest[n]));
  for (int n = 0; n < GROUP; ++n) {
    const Vector shift = splat(block->shift[r][n]);
    Vector total = block->total[r][n];
    for (int i = n * stride; i < (n + 1) * stride; i += LANES) {
      const Vector weight = power_of_two(load(logits + i) - shift);
      const Vector inside = (Vector)((Words)weight & load_words(block->masks + i));
      total += inside;
      store(weights + i, inside);
    }
    block->total[r][n] = total;
  }
}

static void write_block(const Problem *problem, const Block *block, int y0, int x0) {
  const int width = problem->columns.length, channels = problem->channels;
  for (int r = 0; r < block->num_rows; ++r)
    for (int n = 0; n < GROUP && x0 + n < width; ++n) {
      const float *sums = block->sums + r * block->sums_step + n * (block->sums_step / GROUP);
      const float total = sum_of(block->total[r][n]);
      const size_t pixel = (size_t)(y0 + r) * width + x0 + n;
      for (int c = 0; c < channels; ++c)
        write(problem->attended, pixel * channels + c, sums[c] / total, problem->is_bfloat16);
    }
}

static void attend_block(const Problem *problem, const Strip *strip, Block *block, int y0, int x0,
                         int num_rows) {
  const int window = problem->rows.window;
  begin_block(problem, strip, block, y0, x0, num_rows);
  const int end = block->first_row[num_rows - 1] + window;
  for (int row = block->first_row[0], first = 0, last = 0; row < end; ++row) {
    while (last < num_rows && block->first_row[last] <= row) ++last;
    while (block->first_row[first] + window <= row) ++first;
    if (problem->logits && row + 1 < block->first_row[first] + window)
      fetch_logits(problem, block, row + 1, first, last);
    multiply_keys(problem, strip, block, row, first, last);
    for (int r = first; r < last; ++r) weigh(problem, block, r, row);
    add_values(strip, block, row, first, last);
  }
  write_block(problem, block, y0, x0);
}

/* The queries of the strip that starts at column x. */
static void attend_strip(const Problem *problem, Strip *strip, Block *block, int x, int first,
                         int last) {
  const Axis *rows = &problem->rows, *columns = &problem->columns;
  const int end = lower_of(x + STRIP_WIDTH, columns->length);
  strip->first_column = window_start(columns, x);
  strip->num_columns = window_start(columns, end - 1) + columns->window - strip->first_column;
  strip->next_row = window_start(rows, first);
  for (int y = first; y < last; y += BLOCK_ROWS) {
    const int num_rows = lower_of(BLOCK_ROWS, last - y);
    const int end_row = window_start(rows, y + num_rows - 1) + rows->window;
    for (; strip->next_row < end_row; ++strip->next_row)
      pack_row(problem, strip, strip->next_row);
    for (int x0 = x; x0 < end; x0 += GROUP) attend_block(problem, strip, block, y, x0, num_rows);
  }
}

int ATTEND_ROWS(const Problem *problem, int first, int last) {
  const int channels = (problem->channels + LANES - 1) / LANES * LANES;
  const int window = problem->columns.window, width = problem->columns.length;
  const int num_vectors = (window + GROUP - 1 + LANES - 1) / LANES;
  Strip strip = {
      /* The last block's keys to whole vectors may lie behind those of the strip. */
      .stride = (lower_of(STRIP_WIDTH, width) + window + LANES - 1 + LANES - 1) / LANES * LANES,
      .num_rows = problem->rows.window + lower_of(BLOCK_ROWS, last - first) - 1,
  };
  strip.keys_size = (size_t)problem->inner * strip.stride;
  strip.values_size = (size_t)channels * strip.stride;
  Block block = {.queries_step = (size_t)GROUP * problem->inner,
                 .sums_step = (size_t)GROUP * channels};
  strip.keys = allocate(sizeof(float) * strip.num_rows * strip.keys_size);
  strip.values = allocate(sizeof(float) * strip.num_rows * strip.values_size);
  block.masks = allocate(sizeof(uint32_t) * GROUP * num_vectors * LANES);
  block.queries = allocate(sizeof(float) * BLOCK_ROWS * block.queries_step);
  block.weights = allocate(sizeof(float) * BLOCK_ROWS * GROUP * num_vectors * LANES);
  block.sums = allocate(sizeof(float) * BLOCK_ROWS * block.sums_step);
  const int is_allocated = strip.keys && strip.values && block.masks && block.queries &&
                           block.weights && block.sums;
  for (int x = 0; is_allocated && x < width; x += STRIP_WIDTH)
    attend_strip(problem, &strip, &block, x, first, last);
  free(strip.keys), free(strip.values), free(block.masks);
  free(block.queries), free(block.weights), free(block.sums);
  return is_allocated;
}

void EXPONENTIALS(const float *exponents, float *powers, size_t count) {
  for (size_t i = 0; i < count; i += LANES) store(powers + i, power_of_two(load(exponents + i)));
}
