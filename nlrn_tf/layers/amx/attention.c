/* Softmax attention of each pixel to the window around it, in bfloat16 on AMX.
 *
 * Queries are taken in blocks of BLOCK_ROWS x TILE pixels, whose logits with two rows of keys at a
 * time stay in the cache: they are never written to memory. Keys at the sides, which are not in
 * the windows of all queries of a block, are masked.
 */

#include "problem.h"

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

/* What a block of queries is worked on with. */
typedef struct {
  float *logits;     /* [BLOCK_ROWS][tile][query][row of keys, 2][column] */
  uint32_t *weights; /* [BLOCK_ROWS][tile][query][column], pairs of the two rows of keys */
  uint32_t *queries; /* [BLOCK_ROWS][block][query][pair of channels] */
  float *sums;       /* [BLOCK_ROWS][channels / TILE][query][channel] */
  float shift[BLOCK_ROWS][TILE], total[BLOCK_ROWS][TILE];
} Work;

/* Logits of two rows of queries with 16 columns of two rows of keys. */
INLINE void multiply_logits(const uint32_t *queries, size_t queries_step, const uint32_t *keys,
                            size_t keys_step, int depth_blocks, float *logits,
                            size_t logits_step) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int block = 0; block < depth_blocks; ++block) {
    _tile_loadd(4, queries + block * TILE_SIZE, 64);
    _tile_loadd(6, keys + block * TILE_SIZE, 64);
    _tile_loadd(7, keys + keys_step + block * TILE_SIZE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, queries + queries_step + block * TILE_SIZE, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, logits, 128);
  _tile_stored(1, logits + TILE, 128);
  _tile_stored(2, logits + logits_step, 128);
  _tile_stored(3, logits + logits_step + TILE, 128);
}

/* Adds weights times values, of two rows of keys, to the sums of two rows of queries. */
INLINE void add_values(const uint32_t *weights, size_t weights_step, const uint32_t *values,
                       size_t values_step, int num_tiles, float *sums, size_t sums_step) {
  _tile_loadd(0, sums, 64);
  _tile_loadd(1, sums + TILE_SIZE, 64);
  _tile_loadd(2, sums + sums_step, 64);
  _tile_loadd(3, sums + sums_step + TILE_SIZE, 64);
  for (int tile = 0; tile < num_tiles; ++tile) {
    _tile_loadd(4, weights + tile * TILE_SIZE, 64);
    _tile_loadd(6, values + tile * values_step, 64);
    _tile_loadd(7, values + tile * values_step + TILE_SIZE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, weights + weights_step + tile * TILE_SIZE, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + TILE_SIZE, 64);
  _tile_stored(2, sums + sums_step, 64);
  _tile_stored(3, sums + sums_step + TILE_SIZE, 64);
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

/* One query: weights from its logits with two rows of keys. */
INLINE void weigh(const float *logits, uint32_t *weights, const __mmask16 *masks, int num_tiles,
                  __mmask16 has_first, __mmask16 has_second, float *shift, float *total,
                  float *sums, int channels) {
  __m512 highest = _mm512_set1_ps(LOWEST), highest_second = highest;
  for (int tile = 0; tile < num_tiles; ++tile) {
    const float *row = logits + tile * 2 * TILE_SIZE;
    highest = _mm512_mask_max_ps(highest, masks[tile] & has_first, highest, _mm512_load_ps(row));
    highest_second = _mm512_mask_max_ps(highest_second, masks[tile] & has_second, highest_second,
                                        _mm512_load_ps(row + TILE));
  }
  const float maximum = LOG2_E * _mm512_reduce_max_ps(_mm512_max_ps(highest, highest_second));
  if (maximum > *shift + SLACK) {
    const __m512 factor = exp2_of(_mm512_set1_ps(*shift - maximum));
    for (int channel = 0; channel < channels; channel += TILE) {
      float *place = sums + channel * TILE;
      _mm512_store_ps(place, _mm512_mul_ps(_mm512_load_ps(place), factor));
    }
    *total *= _mm512_cvtss_f32(factor);
    *shift = maximum;
  }
  const __m512i pairs = _mm512_loadu_si512(PAIRS);
  const __m512 scale = _mm512_set1_ps(LOG2_E), relative_to = _mm512_set1_ps(*shift);
  __m512 sum = _mm512_setzero_ps();
  for (int tile = 0; tile < num_tiles; ++tile) {
    const float *row = logits + tile * 2 * TILE_SIZE;
    const __m512 first = _mm512_maskz_mov_ps(
        masks[tile] & has_first,
        exp2_of(_mm512_fmsub_ps(_mm512_load_ps(row), scale, relative_to)));
    const __m512 second = _mm512_maskz_mov_ps(
        masks[tile] & has_second,
        exp2_of(_mm512_fmsub_ps(_mm512_load_ps(row + TILE), scale, relative_to)));
    sum = _mm512_add_ps(sum, _mm512_add_ps(first, second));
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    _mm512_store_si512(weights + tile * TILE_SIZE, _mm512_permutexvar_epi16(pairs, both));
  }
  *total += _mm512_reduce_add_ps(sum);
}

KERNEL static void write_block(const Problem *problem, const Work *work, int y0, int x0,
                               int num_rows) {
  const int width = problem->columns.length, channels = problem->channels;
  for (int g = 0; g < num_rows; ++g)
    for (int n = 0; n < TILE; ++n) {
      if (x0 + n < 0 || x0 + n >= width) continue;
      uint16_t *out = problem->attended + ((size_t)(y0 + g) * width + x0 + n) * channels;
      const float *sums = work->sums + (size_t)g * TILE * channels + n * TILE;
      const __m512 total = _mm512_set1_ps(work->total[g][n]);
      for (int channel = 0; channel < channels; channel += TILE) {
        const __m512 mean = _mm512_div_ps(_mm512_load_ps(sums + channel * TILE), total);
        _mm256_storeu_si256((void *)(out + channel), (__m256i)_mm512_cvtneps_pbh(mean));
      }
    }
}

/* Which keys are in the windows of the queries from x0 on. Gives the number of tiles of keys. */
static int mask_columns(const Axis *columns, int x0, int *first_tile,
                        uint16_t masks[TILE][MAX_TILES]) {
  int start[TILE];
  for (int n = 0; n < TILE; ++n)
    start[n] = window_start(columns, clip(x0 + n, 0, columns->length - 1));
  *first_tile = start[0] / TILE;
  const int num_tiles = (start[TILE - 1] + columns->window + TILE - 1) / TILE - *first_tile;
  memset(masks, 0, sizeof(uint16_t) * TILE * MAX_TILES);
  for (int n = 0; n < TILE; ++n)
    for (int key = start[n]; key < start[n] + columns->window; ++key)
      masks[n][key / TILE - *first_tile] |= (uint16_t)(1 << key % TILE);
  return num_tiles;
}

/* The queries of `num_rows` rows from y0 on, at most BLOCK_ROWS, and of TILE columns from x0 on. */
KERNEL static void attend_block(const Problem *problem, const Band *band, Work *work, int y0,
                                int x0, int num_rows) {
  const int channels = problem->channels, depth = problem->depth_blocks;
  const int window = problem->rows.window;
  int first_row[BLOCK_ROWS], first_tile;
  for (int g = 0; g < BLOCK_ROWS; ++g) {
    const int y = y0 + (g < num_rows ? g : num_rows - 1);
    first_row[g] = window_start(&problem->rows, y) - band->first_row;
    pack_queries(problem, y, x0, work->queries + (size_t)g * depth * TILE_SIZE);
    for (int n = 0; n < TILE; ++n) work->shift[g][n] = LOWEST, work->total[g][n] = 0.0f;
  }
  memset(work->sums, 0, sizeof(float) * BLOCK_ROWS * TILE * channels);
  uint16_t masks[TILE][MAX_TILES];
  const int num_tiles = mask_columns(&problem->columns, x0, &first_tile, masks);

  const size_t logits_step = (size_t)num_tiles * 2 * TILE_SIZE;
  const size_t weights_step = (size_t)num_tiles * TILE_SIZE;
  const size_t queries_step = (size_t)depth * TILE_SIZE;
  const size_t sums_step = (size_t)TILE * channels;
  const size_t row_size = (size_t)band->num_tiles * queries_step;
  for (int row = first_row[0] / 2 * 2; row < first_row[BLOCK_ROWS - 1] + window; row += 2) {
    /* If there is no second row its logits are masked, so any keys do. */
    const size_t to_second = row + 1 < band->num_rows ? row_size : 0;
    const uint32_t *keys = band->keys + row * row_size + first_tile * queries_step;
    for (int tile = 0; tile < num_tiles; ++tile)
      for (int g = 0; g < BLOCK_ROWS; g += 2)
        multiply_logits(work->queries + g * queries_step, queries_step,
                        keys + tile * queries_step, to_second, depth,
                        work->logits + g * logits_step + (size_t)tile * 2 * TILE_SIZE,
                        logits_step);
    for (int g = 0; g < BLOCK_ROWS; ++g) {
      const int offset = row - first_row[g];
      const __mmask16 has_first = offset >= 0 && offset < window ? 0xffff : 0;
      const __mmask16 has_second = offset >= -1 && offset + 1 < window ? 0xffff : 0;
      for (int n = 0; n < TILE; ++n)
        weigh(work->logits + g * logits_step + n * 2 * TILE,
              work->weights + g * weights_step + n * TILE, masks[n], num_tiles, has_first,
              has_second, &work->shift[g][n], &work->total[g][n],
              work->sums + g * sums_step + n * TILE, channels);
    }
    const size_t tiles_before = (size_t)(row / 2) * band->num_tiles + first_tile;
    const uint32_t *values = band->values + tiles_before * sums_step;
    for (int channel = 0; channel < channels; channel += 2 * TILE)
      for (int g = 0; g < BLOCK_ROWS; g += 2)
        add_values(work->weights + g * weights_step, weights_step, values + channel * TILE,
                   sums_step, num_tiles, work->sums + g * sums_step + (size_t)channel * TILE,
                   sums_step);
  }
  write_block(problem, work, y0, x0, num_rows);
}

static void *allocate(size_t size) {
  void *memory = NULL;
  return posix_memalign(&memory, 64, size) ? NULL : memory;
}

/* The rows of queries that the band is for. */
KERNEL static void attend_band(const Problem *problem, const Band *band, Work *work, int first,
                               int last) {
  const Axis *columns = &problem->columns;
  /* So that the windows of a block of queries start at the edge of a tile of keys. */
  const int first_column = columns->is_circular ? 0 : columns->before % TILE - TILE;
  for (int y = first; y < last; y += BLOCK_ROWS)
    for (int x = first_column; x < columns->length; x += TILE)
      if (x + TILE > 0)
        attend_block(problem, band, work, y, x, last - y < BLOCK_ROWS ? last - y : BLOCK_ROWS);
}

KERNEL int attend_rows(const Problem *problem, int first, int last) {
  const Axis *rows = &problem->rows;
  const size_t channels = problem->channels, depth = problem->depth_blocks;
  Band band = {
      .first_row = window_start(rows, first),
      .num_tiles = (num_keys(&problem->columns) + TILE - 1) / TILE,
  };
  band.num_rows = window_start(rows, last - 1) + rows->window - band.first_row;
  const size_t num_tiles = band.num_tiles, num_pairs = (band.num_rows + 1) / 2;
  band.keys = allocate(sizeof(uint32_t) * band.num_rows * num_tiles * depth * TILE_SIZE);
  band.values = allocate(sizeof(uint32_t) * num_pairs * num_tiles * channels * TILE);
  Work work = {
      .logits = allocate(sizeof(float) * BLOCK_ROWS * MAX_TILES * 2 * TILE_SIZE),
      .weights = allocate(sizeof(uint32_t) * BLOCK_ROWS * MAX_TILES * TILE_SIZE),
      .queries = allocate(sizeof(uint32_t) * BLOCK_ROWS * depth * TILE_SIZE),
      .sums = allocate(sizeof(float) * BLOCK_ROWS * TILE * channels),
  };
  const int is_allocated = band.keys && band.values && work.logits && work.weights &&
                           work.queries && work.sums;
  if (is_allocated) {
    struct {
      uint8_t palette, start_row, reserved[14];
      uint16_t bytes_in_row[16];
      uint8_t rows[16];
    } layout = {.palette = 1};
    for (int tile = 0; tile < 8; ++tile) layout.bytes_in_row[tile] = 64, layout.rows[tile] = TILE;
    _tile_loadconfig(&layout);
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* subnormal numbers, which are slow, are zero */
    pack_band(problem, &band);
    attend_band(problem, &band, &work, first, last);
    _mm_setcsr(mode);
    _tile_release();
  }
  free(band.keys), free(band.values);
  free(work.logits), free(work.weights), free(work.queries), free(work.sums);
  return is_allocated;
}

#endif
