/* Operands in the order in which the instructions take them: tiles of 16 x 64 bytes. */

#include "tiles.h"

#ifdef NLRN_AMX

#include <immintrin.h>

/* Pairs of channels of 16 neighbouring keys; zero for those outside the image. */
KERNEL static void pack_keys(const Problem *problem, const Band *band) {
  const int width = problem->columns.length, count = num_keys(&problem->columns);
  uint32_t *out = band->keys;
  for (int row = 0; row < band->num_rows; ++row) {
    const size_t first_pixel = (size_t)pixel_of(&problem->rows, band->first_row + row) * width;
    for (int first_key = 0; first_key < band->num_tiles * TILE; first_key += TILE) {
      int column[TILE];
      __mmask16 is_inside = 0;
      for (int n = 0; n < TILE; ++n) {
        const int key = first_key + n;
        is_inside |= (__mmask16)((key < count) << n);
        column[n] = key < count ? pixel_of(&problem->columns, key) : 0;
      }
      const __m512i columns = _mm512_loadu_si512(column);
      for (int part = 0; part < problem->num_parts; ++part) {
        const int num_pairs = problem->part_channels[part] / 2;
        const uint32_t *source = (const uint32_t *)problem->keys[part] + first_pixel * num_pairs;
        const __m512i offsets = _mm512_mullo_epi32(columns, _mm512_set1_epi32(num_pairs));
        for (int pair = 0; pair < num_pairs; ++pair, out += TILE)
          _mm512_store_si512(out, _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), is_inside,
                                                              offsets, source + pair, 4));
      }
    }
  }
}

/* Pairs of the values of two rows; zero for those outside the image. */
KERNEL static void pack_values(const Problem *problem, const Band *band) {
  const int width = problem->columns.length, count = num_keys(&problem->columns);
  const int channels = problem->channels;
  for (int row = 0; row < band->num_rows; row += 2) {
    const int has_second = row + 1 < band->num_rows;
    const int first_row = pixel_of(&problem->rows, band->first_row + row);
    const int second_row = pixel_of(&problem->rows, band->first_row + row + has_second);
    const uint16_t *first = (const uint16_t *)problem->values + (size_t)first_row * width * channels;
    const uint16_t *second = (const uint16_t *)problem->values + (size_t)second_row * width * channels;
    for (int key = 0; key < band->num_tiles * TILE; ++key) {
      const size_t tile = (size_t)(row / 2) * band->num_tiles + key / TILE;
      uint32_t *out = band->values + tile * TILE * channels + key % TILE * TILE;
      const size_t pixel = key < count ? pixel_of(&problem->columns, key) : 0;
      const __mmask16 has_low = key < count ? 0xffff : 0, has_high = has_second ? has_low : 0;
      for (size_t i = pixel * channels; i < (pixel + 1) * channels; i += TILE, out += TILE_SIZE) {
        const __m512i low =
            _mm512_maskz_cvtepu16_epi32(has_low, _mm256_loadu_si256((const void *)(first + i)));
        const __m512i high =
            _mm512_maskz_cvtepu16_epi32(has_high, _mm256_loadu_si256((const void *)(second + i)));
        _mm512_store_si512(out, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
      }
    }
  }
}

KERNEL void pack_band(const Problem *problem, const Band *band) {
  pack_keys(problem, band);
  pack_values(problem, band);
}

KERNEL void pack_queries(const Problem *problem, int y, int x0, uint32_t *out) {
  const int width = problem->columns.length;
  for (int part = 0; part < problem->num_parts; ++part) {
    const int num_blocks = problem->part_channels[part] / DEPTH;
    const uint16_t *queries = problem->queries[part];
    const uint16_t *row = queries + (size_t)y * width * num_blocks * DEPTH;
    for (int block = 0; block < num_blocks; ++block)
      for (int x = x0; x < x0 + TILE; ++x, out += TILE) {
        const int is_inside = x >= 0 && x < width;
        const size_t source = ((size_t)(is_inside ? x : 0) * num_blocks + block) * DEPTH;
        const __mmask16 mask = is_inside ? 0xffff : 0;
        _mm512_store_si512(out, _mm512_maskz_loadu_epi32(mask, (const void *)(row + source)));
      }
  }
}

#endif
