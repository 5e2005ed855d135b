/* Softmax attention of each pixel to the window around it, in bfloat16 on AMX.
 *
 * Queries are taken in blocks of BLOCK_ROWS x TILE pixels, whose logits with two rows of keys at a
 * time stay in the cache: they are never written to memory. Keys at the sides, which are not in
 * the windows of all queries of a block, are masked.
 */

#include "tiles.h"

#ifdef NLRN_AMX

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline)) KERNEL

enum { BLOCK_ROWS = 4 };

/* A query's weights are 2^(logit - shift), which is at most 2^SLACK: `shift` is the highest logit
 * so far, but for that slack, without which the sums would often be scaled anew. */
static const float SLACK = 16.0f, LOWEST = -1e30f, LOG2_E = 1.44269504f;

/* From the weights for one row of keys, then the other, to pairs. */
static const uint16_t PAIRS[] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

/* A block of queries. The steps are those from one of its rows to the next. */
typedef struct {
  int first_tile, num_tiles;         /* of the keys across its windows */
  int first_row[BLOCK_ROWS];         /* of the windows, in the band */
  uint16_t masks[TILE][MAX_TILES];   /* keys in the windows of a column of queries */
  float *logits;     /* [BLOCK_ROWS][tile][query][row of keys, 2][column] */
  uint32_t *weights; /* [BLOCK_ROWS][tile][query][column], pairs of the two rows of keys */
  uint32_t *queries; /* [BLOCK_ROWS][block][query][pair of channels] */
  float *sums;       /* [BLOCK_ROWS][channels / TILE][query][channel] */
  float shift[BLOCK_ROWS][TILE], total[BLOCK_ROWS][TILE];
  size_t logits_step, weights_step, queries_step, sums_step;
} Block;

/* GCC does not know that tiles are loaded from memory: what is stored there must be. */
#define FINISH_STORES(place) __asm__ volatile("" : : "r"(place) : "memory")

/* Adds products of two tiles of rows with two of columns, `count` times, to four tiles of sums. */
INLINE void multiply_tiles(const uint32_t *rows, size_t rows_step, size_t next_rows,
                           const uint32_t *columns, size_t columns_step, size_t next_columns,
                           int count) {
  for (int i = 0; i < count; ++i, rows += next_rows, columns += next_columns) {
    _tile_loadd(4, rows, 64);
    _tile_loadd(6, columns, 64);
    _tile_loadd(7, columns + columns_step, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, rows + rows_step, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

/* The logits of a block with two rows of keys. */
KERNEL static void multiply_keys(const Problem *problem, const Band *band, Block *block, int row) {
  const int depth = problem->inner / DEPTH;
  const size_t tile_size = (size_t)depth * TILE_SIZE, row_size = band->num_tiles * tile_size;
  const uint32_t *keys = band->keys + row * row_size + block->first_tile * tile_size;
  /* If there is no second row its logits are masked, so any keys do. */
  const size_t to_second = row + 1 < band->num_rows ? row_size : 0;
  FINISH_STORES(block);
  for (int tile = 0; tile < block->num_tiles; ++tile, keys += tile_size)
    for (int g = 0; g < BLOCK_ROWS; g += 2) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      multiply_tiles(block->queries + g * block->queries_step, block->queries_step, TILE_SIZE,
                     keys, to_second, TILE_SIZE, depth);
      float *logits = block->logits + g * block->logits_step + (size_t)tile * 2 * TILE_SIZE;
      _tile_stored(0, logits, 128);
      _tile_stored(1, logits + TILE, 128);
      _tile_stored(2, logits + block->logits_step, 128);
      _tile_stored(3, logits + block->logits_step + TILE, 128);
    }
}

/* Adds the values of two rows of keys by their weights. */
KERNEL static void add_values(const Problem *problem, const Band *band, Block *block, int row) {
  const size_t tile_size = (size_t)TILE * problem->channels, step = block->sums_step;
  const size_t first_tile = (size_t)(row / 2) * band->num_tiles + block->first_tile;
  const uint32_t *values = band->values + first_tile * tile_size;
  FINISH_STORES(block);
  for (int channel = 0; channel < problem->channels; channel += DEPTH)
    for (int g = 0; g < BLOCK_ROWS; g += 2) {
      float *sums = block->sums + g * step + (size_t)channel * TILE;
      _tile_loadd(0, sums, 64);
      _tile_loadd(1, sums + TILE_SIZE, 64);
      _tile_loadd(2, sums + step, 64);
      _tile_loadd(3, sums + step + TILE_SIZE, 64);
      multiply_tiles(block->weights + g * block->weights_step, block->weights_step, TILE_SIZE,
                     values + channel * TILE, TILE_SIZE, tile_size, block->num_tiles);
      _tile_stored(0, sums, 64);
      _tile_stored(1, sums + TILE_SIZE, 64);
      _tile_stored(2, sums + step, 64);
      _tile_stored(3, sums + step + TILE_SIZE, 64);
    }
}

/* 2^x, to 1e-4 of it, where bfloat16 resolves 4e-3. */
INLINE __m512 exp2_of(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(x, whole);
  __m512 power = _mm512_set1_ps(0.05517167f);
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.24261112f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.69326099f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.99992807f));
  return _mm512_scalef_ps(power, whole);
}

/* Raises the shift of a query where its logits have grown too far above it. */
INLINE void raise_shift(Block *block, int g, int n, float highest, int channels) {
  if (!(highest > block->shift[g][n] + SLACK)) return;
  const __m512 factor = exp2_of(_mm512_set1_ps(block->shift[g][n] - highest));
  float *sums = block->sums + g * block->sums_step + n * TILE;
  for (int channel = 0; channel < channels; channel += TILE, sums += TILE_SIZE)
    _mm512_store_ps(sums, _mm512_mul_ps(_mm512_load_ps(sums), factor));
  block->total[g][n] *= _mm512_cvtss_f32(factor);
  block->shift[g][n] = highest;
}

INLINE __m512 weight_of(const float *logits, __mmask16 is_inside, __m512 shift) {
  const __m512 exponent = _mm512_fmsub_ps(_mm512_load_ps(logits), _mm512_set1_ps(LOG2_E), shift);
  return _mm512_maskz_mov_ps(is_inside, exp2_of(exponent));
}

/* The weights of query n of row g for two rows of keys; which of these are in its window? */
INLINE void weigh(Block *block, int g, int n, __mmask16 has_first, __mmask16 has_second,
                  int channels) {
  const float *logits = block->logits + g * block->logits_step + n * 2 * TILE;
  const uint16_t *masks = block->masks[n];
  __m512 first_highest = _mm512_set1_ps(LOWEST), second_highest = first_highest;
  for (int tile = 0; tile < block->num_tiles; ++tile) {
    const float *here = logits + tile * 2 * TILE_SIZE;
    first_highest = _mm512_mask_max_ps(first_highest, masks[tile] & has_first, first_highest,
                                       _mm512_load_ps(here));
    second_highest = _mm512_mask_max_ps(second_highest, masks[tile] & has_second, second_highest,
                                        _mm512_load_ps(here + TILE));
  }
  const __m512 highest = _mm512_max_ps(first_highest, second_highest);
  raise_shift(block, g, n, LOG2_E * _mm512_reduce_max_ps(highest), channels);
  const __m512 shift = _mm512_set1_ps(block->shift[g][n]);
  const __m512i pairs = _mm512_loadu_si512(PAIRS);
  uint32_t *weights = block->weights + g * block->weights_step + n * TILE;
  __m512 total = _mm512_setzero_ps();
  for (int tile = 0; tile < block->num_tiles; ++tile, weights += TILE_SIZE) {
    const float *here = logits + tile * 2 * TILE_SIZE;
    const __m512 first = weight_of(here, masks[tile] & has_first, shift);
    const __m512 second = weight_of(here + TILE, masks[tile] & has_second, shift);
    total = _mm512_add_ps(total, _mm512_add_ps(first, second));
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    _mm512_store_si512(weights, _mm512_permutexvar_epi16(pairs, both));
  }
  block->total[g][n] += _mm512_reduce_add_ps(total);
}

/* Sets `masks` and the tiles of keys for the queries from x0 on. */
static void place_columns(const Axis *columns, Block *block, int x0) {
  int start[TILE];
  for (int n = 0; n < TILE; ++n)
    start[n] = window_start(columns, clip(x0 + n, 0, columns->length - 1));
  block->first_tile = start[0] / TILE;
  const int end = start[TILE - 1] + columns->window;
  block->num_tiles = (end + TILE - 1) / TILE - block->first_tile;
  memset(block->masks, 0, sizeof block->masks);
  for (int n = 0; n < TILE; ++n)
    for (int key = start[n]; key < start[n] + columns->window; ++key)
      block->masks[n][key / TILE - block->first_tile] |= (uint16_t)(1 << key % TILE);
}

/* The queries of `num_rows` rows from y0 on, the last repeated to BLOCK_ROWS, and of TILE columns
 * from x0 on. */
KERNEL static void begin_block(const Problem *problem, const Band *band, Block *block, int y0,
                               int x0, int num_rows) {
  place_columns(&problem->columns, block, x0);
  block->logits_step = (size_t)block->num_tiles * 2 * TILE_SIZE;
  block->weights_step = (size_t)block->num_tiles * TILE_SIZE;
  block->queries_step = (size_t)(problem->inner / DEPTH) * TILE_SIZE;
  block->sums_step = (size_t)problem->channels * TILE;
  memset(block->sums, 0, sizeof(float) * BLOCK_ROWS * block->sums_step);
  for (int g = 0; g < BLOCK_ROWS; ++g) {
    const int y = y0 + (g < num_rows ? g : num_rows - 1);
    block->first_row[g] = window_start(&problem->rows, y) - band->first_row;
    pack_queries(problem, y, x0, block->queries + g * block->queries_step);
    for (int n = 0; n < TILE; ++n) block->shift[g][n] = LOWEST, block->total[g][n] = 0.0f;
  }
}

KERNEL static void write_block(const Problem *problem, const Block *block, int y0, int x0,
                               int num_rows) {
  const int width = problem->columns.length, channels = problem->channels;
  for (int g = 0; g < num_rows; ++g)
    for (int n = 0; n < TILE; ++n) {
      if (x0 + n < 0 || x0 + n >= width) continue;
      const size_t pixel = (size_t)(y0 + g) * width + x0 + n;
      uint16_t *out = (uint16_t *)problem->attended + pixel * channels;
      const float *sums = block->sums + g * block->sums_step + n * TILE;
      const __m512 total = _mm512_set1_ps(block->total[g][n]);
      for (int channel = 0; channel < channels; channel += TILE) {
        const __m512 mean = _mm512_div_ps(_mm512_load_ps(sums + channel * TILE), total);
        _mm256_storeu_si256((void *)(out + channel), (__m256i)_mm512_cvtneps_pbh(mean));
      }
    }
}

KERNEL static void attend_block(const Problem *problem, const Band *band, Block *block, int y0,
                                int x0, int num_rows) {
  const int window = problem->rows.window;
  begin_block(problem, band, block, y0, x0, num_rows);
  /* Rows of values are packed in pairs. */
  const int first_row = block->first_row[0] / 2 * 2;
  for (int row = first_row; row < block->first_row[BLOCK_ROWS - 1] + window; row += 2) {
    multiply_keys(problem, band, block, row);
    for (int g = 0; g < BLOCK_ROWS; ++g) {
      const int offset = row - block->first_row[g];
      const __mmask16 has_first = offset >= 0 && offset < window ? 0xffff : 0;
      const __mmask16 has_second = offset >= -1 && offset + 1 < window ? 0xffff : 0;
      for (int n = 0; n < TILE; ++n) weigh(block, g, n, has_first, has_second, problem->channels);
    }
    add_values(problem, band, block, row);
  }
  write_block(problem, block, y0, x0, num_rows);
}

static void *allocate(size_t size) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, size) ? NULL : memory;
}

/* The rows of queries that the band is for. */
KERNEL static void attend_band(const Problem *problem, const Band *band, Block *block, int first,
                               int last) {
  const Axis *columns = &problem->columns;
  /* So that the windows of a block of queries start at the edge of a tile of keys. */
  const int first_column = columns->is_circular ? 0 : columns->before % TILE - TILE;
  for (int y = first; y < last; y += BLOCK_ROWS)
    for (int x = first_column; x < columns->length; x += TILE)
      if (x + TILE > 0)
        attend_block(problem, band, block, y, x, last - y < BLOCK_ROWS ? last - y : BLOCK_ROWS);
}

KERNEL int attend_rows_amx(const Problem *problem, int first, int last) {
  const Axis *rows = &problem->rows;
  const size_t channels = problem->channels, depth = problem->inner / DEPTH;
  Band band = {
      .first_row = window_start(rows, first),
      .num_tiles = (num_keys(&problem->columns) + TILE - 1) / TILE,
  };
  band.num_rows = window_start(rows, last - 1) + rows->window - band.first_row;
  const size_t num_tiles = band.num_tiles, num_pairs = (band.num_rows + 1) / 2;
  band.keys = allocate(sizeof(uint32_t) * band.num_rows * num_tiles * depth * TILE_SIZE);
  band.values = allocate(sizeof(uint32_t) * num_pairs * num_tiles * channels * TILE);
  Block block = {
      .logits = allocate(sizeof(float) * BLOCK_ROWS * MAX_TILES * 2 * TILE_SIZE),
      .weights = allocate(sizeof(uint32_t) * BLOCK_ROWS * MAX_TILES * TILE_SIZE),
      .queries = allocate(sizeof(uint32_t) * BLOCK_ROWS * depth * TILE_SIZE),
      .sums = allocate(sizeof(float) * BLOCK_ROWS * TILE * channels),
  };
  const int is_allocated = band.keys && band.values && block.logits && block.weights &&
                           block.queries && block.sums;
  if (is_allocated) {
    struct {
      uint8_t palette, start_row, reserved[14];
      uint16_t bytes_in_row[16];
      uint8_t rows[16];
    } layout = {.palette = 1};
    for (int tile = 0; tile < 8; ++tile) layout.bytes_in_row[tile] = 64, layout.rows[tile] = TILE;
    FINISH_STORES(&layout);
    _tile_loadconfig(&layout);
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* subnormal numbers, which are slow, are zero */
    pack_band(problem, &band);
    attend_band(problem, &band, &block, first, last);
    _mm_setcsr(mode);
    _tile_release();
  }
  free(band.keys), free(band.values);
  free(block.logits), free(block.weights), free(block.queries), free(block.sums);
  return is_allocated;
}

#endif
