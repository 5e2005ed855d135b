/* Zero-padded 3x3 convolution in float32 by Winograd's F(4x4, 3x3) (Lavin and Gray, 2016).
 *
 * The image is taken in tiles of 4x4 outputs, which depend on 6x6 inputs. Inputs and weights are
 * transformed to 36 places, at each of which a tile's output channels are a product of its input
 * channels with a matrix: 36 products for 16 pixels, where 144 are due. The points are 0, 1, -1, 2,
 * -2 and infinity; float32 keeps the accuracy of the products one by one.
 */

#include "memory.h"
#include "products.h"

enum {
  TILE = CONVOLUTION_TILE, /* side of the outputs of a tile */
  PATCH = TILE + 2,        /* side of its inputs */
  PLACES = PATCH * PATCH,
  TILES_AT_ONCE = 16, /* a multiple of GROUP; the factors of so many stay in the cache */
};

/* Six numbers a step apart, to their values at the points. */
INLINE void transform_inputs(const Vector *d, Vector *out, int step) {
  const Vector two = splat(2.0f), four = splat(4.0f), five = splat(5.0f);
  const Vector even = d[4] - four * d[2], odd = d[3] - four * d[1];
  const Vector even_far = d[4] - d[2], odd_far = two * (d[3] - d[1]);
  out[0] = four * d[0] - five * d[2] + d[4];
  out[step] = even + odd;
  out[2 * step] = even - odd;
  out[3 * step] = even_far + odd_far;
  out[4 * step] = even_far - odd_far;
  out[5 * step] = four * d[1] - five * d[3] + d[5];
}

INLINE void transform_weights(const Vector *g, Vector *out, int step) {
  const Vector near_sum = (g[0] + g[2]) * splat(-1.0f / 6), near = g[1] * splat(1.0f / 6);
  const Vector far_sum = g[0] * splat(1.0f / 24) + g[2] * splat(1.0f / 6), far = g[1] * splat(1.0f / 12);
  out[0] = g[0] * splat(0.25f);
  out[step] = near_sum - near;
  out[2 * step] = near_sum + near;
  out[3 * step] = far_sum + far;
  out[4 * step] = far_sum - far;
  out[5 * step] = g[2];
}

INLINE void transform_outputs(const Vector *m, Vector *out, int step) {
  const Vector sum = m[1] + m[2], difference = m[1] - m[2];
  const Vector far_sum = m[3] + m[4], far_difference = m[3] - m[4];
  out[0] = m[0] + sum + far_sum;
  out[step] = difference + splat(2.0f) * far_difference;
  out[2 * step] = sum + splat(4.0f) * far_sum;
  out[3 * step] = difference + splat(8.0f) * far_difference + m[5];
}

void TRANSFORM_WEIGHTS(const float *weights, float *transformed, int inputs, int outputs) {
  const size_t place = (size_t)inputs * outputs;
  for (int m = 0; m < outputs; m += LANES)
    for (int c = 0; c < inputs; ++c) {
      Vector row[3], rows[3 * PATCH], columns[PLACES];
      for (int y = 0; y < 3; ++y) {
        for (int x = 0; x < 3; ++x)
          row[x] = load(weights + ((size_t)(3 * y + x) * inputs + c) * outputs + m);
        transform_weights(row, rows + y, 3);
      }
      for (int x = 0; x < PATCH; ++x) transform_weights(rows + 3 * x, columns + x, PATCH);
      /* [place][output vector][input][lane]: a vector's products read it from end to end. */
      for (int i = 0; i < PLACES; ++i)
        store(transformed + i * place + (size_t)m * inputs + (size_t)c * LANES, columns[i]);
    }
}

/* The inputs of a tile, whose first output is at y, x: to [place][tile][input]. */
static void take_tile(const Convolution *convolution, int y, int x, const float *zeros,
                      float *out) {
  const float *pixels[PLACES];
  const int inputs = convolution->inputs;
  for (int i = 0; i < PLACES; ++i) {
    const int row = y + i / PATCH - 1, column = x + i % PATCH - 1;
    const int is_inside = row >= 0 && row < convolution->height && column >= 0 &&
                          column < convolution->width;
    const size_t pixel = (size_t)row * convolution->width + column;
    pixels[i] = is_inside ? convolution->image + pixel * inputs : zeros;
  }
  const size_t place = (size_t)TILES_AT_ONCE * inputs;
  for (int c = 0; c < inputs; c += LANES) {
    Vector patch[PATCH], rows[PLACES], columns[PATCH];
    for (int i = 0; i < PATCH; ++i) {
      for (int k = 0; k < PATCH; ++k) patch[k] = load(pixels[i * PATCH + k] + c);
      transform_inputs(patch, rows + i, PATCH);
    }
    for (int k = 0; k < PATCH; ++k) {
      transform_inputs(rows + k * PATCH, columns, 1);
      for (int i = 0; i < PATCH; ++i) store(out + (i * PATCH + k) * place + c, columns[i]);
    }
  }
}

/* The outputs of a tile from [place][tile][output], as far as they are in the image. */
static void give_tile(const Convolution *convolution, int y, int x, const float *products) {
  const int outputs = convolution->outputs;
  const int height = lower_of(TILE, convolution->height - y);
  const int width = lower_of(TILE, convolution->width - x);
  const size_t place = (size_t)TILES_AT_ONCE * outputs;
  for (int m = 0; m < outputs; m += LANES) {
    Vector values[PATCH], rows[TILE * PATCH], columns[TILE];
    for (int k = 0; k < PATCH; ++k) {
      for (int i = 0; i < PATCH; ++i) values[i] = load(products + (i * PATCH + k) * place + m);
      transform_outputs(values, rows + k, PATCH);
    }
    for (int i = 0; i < height; ++i) {
      transform_outputs(rows + i * PATCH, columns, 1);
      float *out = convolution->convolved + ((size_t)(y + i) * convolution->width + x) * outputs + m;
      for (int k = 0; k < width; ++k) store(out + (size_t)k * outputs, columns[k]);
    }
  }
}

/* At a place, the products of the tiles with the weights. */
static void multiply_weights(const Convolution *convolution, const float *weights,
                             const float *tiles, float *products, int num_tiles) {
  const int inputs = convolution->inputs, outputs = convolution->outputs;
  const int num_vectors = outputs / LANES;
  for (int n = 0, taken; n < num_vectors; n += taken) {
    taken = taken_of(num_vectors - n);
    for (int t = 0; t < num_tiles; t += GROUP) {
      const Factors factors = {.left = tiles + (size_t)t * inputs,
                               .left_step = inputs,
                               .right = weights + (size_t)n * LANES * inputs,
                               .right_step = LANES,
                               .right_next = (size_t)LANES * inputs,
                               .count = inputs};
      multiply_vectors(&factors, products + (size_t)t * outputs + n * LANES, outputs, 0, taken);
    }
  }
}

static void convolve_tiles(const Convolution *convolution, int y, int x, float *tiles,
                           float *products, const float *zeros) {
  const int inputs = convolution->inputs, outputs = convolution->outputs;
  const int left = (convolution->width - x + TILE - 1) / TILE;
  const int num_tiles = lower_of(TILES_AT_ONCE, left);
  for (int t = 0; t < num_tiles; ++t)
    take_tile(convolution, y, x + t * TILE, zeros, tiles + (size_t)t * inputs);
  for (int i = 0; i < PLACES; ++i)
    multiply_weights(convolution, convolution->transformed + (size_t)i * inputs * outputs,
                     tiles + (size_t)i * TILES_AT_ONCE * inputs,
                     products + (size_t)i * TILES_AT_ONCE * outputs, num_tiles);
  for (int t = 0; t < num_tiles; ++t)
    give_tile(convolution, y, x + t * TILE, products + (size_t)t * outputs);
}

int CONVOLVE_ROWS(const Convolution *convolution, int first, int last) {
  const size_t tile = sizeof(float) * PLACES * TILES_AT_ONCE;
  float *tiles = allocate(tile * convolution->inputs);
  float *products = allocate(tile * convolution->outputs);
  float *zeros = allocate(sizeof(float) * convolution->inputs);
  const int is_allocated = tiles && products && zeros;
  for (int y = first; is_allocated && y < last; y += TILE)
    for (int x = 0; x < convolution->width; x += TILE * TILES_AT_ONCE)
      convolve_tiles(convolution, y, x, tiles, products, zeros);
  free(tiles), free(products), free(zeros);
  return is_allocated;
}
