/* Operands in the order in which the products take them, as float32. */

#ifndef NLRN_PACKING_H
#define NLRN_PACKING_H

#include "strip.h"

/* Channels of a key that are written at once: as many as their lines of memory stay in the cache. */
enum { CHANNELS_AT_ONCE = 16 };

static const float LOG2_E = 1.44269504f;

INLINE float read(const void *numbers, size_t index, int is_bfloat16) {
  if (!is_bfloat16) return ((const float *)numbers)[index];
  const uint32_t bits = (uint32_t)((const uint16_t *)numbers)[index] << 16;
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

INLINE void write(void *numbers, size_t index, float number, int is_bfloat16) {
  if (!is_bfloat16) {
    ((float *)numbers)[index] = number;
    return;
  }
  uint32_t bits;
  memcpy(&bits, &number, sizeof bits);
  /* To the nearest, and to the even one of two; a number that is none must stay so. */
  const uint32_t rounded = number == number ? bits + 0x7fff + (bits >> 16 & 1) : 0x7fc00000;
  ((uint16_t *)numbers)[index] = (uint16_t)(rounded >> 16);
}

INLINE void pack_keys_as(const Problem *problem, const Strip *strip, size_t first_pixel,
                         float *restrict out, int is_bfloat16) {
  for (int part = 0; part < problem->num_parts; ++part) {
    const int channels = problem->part_channels[part];
    for (int c0 = 0; c0 < channels; c0 += CHANNELS_AT_ONCE) {
      const int end = lower_of(c0 + CHANNELS_AT_ONCE, channels);
      for (int column = 0; column < strip->num_columns; ++column) {
        const int pixel = pixel_of(&problem->columns, strip->first_column + column);
        const size_t source = (first_pixel + pixel) * channels;
        for (int c = c0; c < end; ++c)
          out[(size_t)c * strip->stride + column] =
              read(problem->keys[part], source + c, is_bfloat16);
      }
    }
    out += (size_t)channels * strip->stride;
  }
}

INLINE void pack_values_as(const Problem *problem, const Strip *strip, size_t first_pixel,
                           float *restrict out, int is_bfloat16) {
  const int channels = problem->channels;
  for (int column = 0; column < strip->num_columns; ++column, out += LANES) {
    const int pixel = pixel_of(&problem->columns, strip->first_column + column);
    const size_t source = (first_pixel + pixel) * channels;
    float *vector = out;
    int c = 0;
    for (; c + LANES <= channels; c += LANES, vector += (size_t)strip->stride * LANES)
      for (int lane = 0; lane < LANES; ++lane)
        vector[lane] = read(problem->values, source + c + lane, is_bfloat16);
    for (int lane = 0; c + lane < channels; ++lane)
      vector[lane] = read(problem->values, source + c + lane, is_bfloat16);
  }
}

/* The keys and values of a row, in its place in the strip. */
static void pack_row(const Problem *problem, const Strip *strip, int row) {
  const size_t first_pixel =
      (size_t)pixel_of(&problem->rows, row) * (size_t)problem->columns.length;
  float *keys = keys_of(strip, row), *values = values_of(strip, row);
  if (problem->is_bfloat16) {
    pack_keys_as(problem, strip, first_pixel, keys, 1);
    pack_values_as(problem, strip, first_pixel, values, 1);
  } else {
    pack_keys_as(problem, strip, first_pixel, keys, 0);
    pack_values_as(problem, strip, first_pixel, values, 0);
  }
}

/* GROUP queries of row y from x0 on, the last of the image repeated: [query][channel]. Their
 * products are logarithms to the base of two of the weights. */
static void pack_queries(const Problem *problem, int y, int x0, float *out) {
  const int width = problem->columns.length;
  for (int n = 0; n < GROUP; ++n) {
    const size_t pixel = (size_t)y * width + lower_of(x0 + n, width - 1);
    for (int part = 0; part < problem->num_parts; ++part) {
      const int channels = problem->part_channels[part];
      for (int c = 0; c < channels; ++c)
        *out++ = LOG2_E * read(problem->queries[part], pixel * channels + c, problem->is_bfloat16);
    }
  }
}

#endif
