/* Runs the kernels of this processor on arrays that end where they must, for the sanitizers.
 *
 * All kernels that take float32 must agree, alone and with logits added over two states, and
 * convolve as the sum over the neighbours does. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/kernels.h"

typedef struct {
  int height, width, window, is_circular, parts[2], channels;
} Case;

static const Case CASES[] = {
    {1, 1, 45, 0, {1, 0}, 1},     {1, 1, 45, 1, {32, 0}, 32},  {3, 131, 9, 0, {5, 17}, 33},
    {3, 131, 9, 1, {97, 3}, 7},   {37, 5, 11, 0, {64, 0}, 64}, {20, 37, 30, 1, {32, 64}, 32},
    {50, 50, 45, 0, {64, 0}, 96}, {2, 500, 480, 0, {3, 0}, 2}, {19, 70, 1, 0, {4, 4}, 16},
};

/* The kernels that can run here, up to the first without a name: that of AMX, with its instructions
 * in C (emulated_tiles.h), also where the processor has no AMX. */
static const Kernel *kernels(void) {
  static Kernel all[8];
  if (all[0].name) return all;
  int count = 0;
  for (const Kernel *kernel = usable_kernels(); kernel->name; ++kernel) all[count++] = *kernel;
#ifdef EMULATED_TILES
  if (strcmp(all[0].name, "amx") && __builtin_cpu_supports("avx512bf16"))
    all[count] = (Kernel){.name = "amx", .attend_rows = attend_rows_amx, .takes_tiles = 1};
#endif
  return all;
}

static void *allocated(size_t size) {
  void *memory = malloc(size);
  if (!memory) exit(2);
  return memory;
}

/* Numbers between -1 and 1. */
static float *numbers(size_t count) {
  float *array = allocated(count * sizeof *array);
  for (size_t i = 0; i < count; ++i) array[i] = 2.0f * rand() / (float)RAND_MAX - 1.0f;
  return array;
}

static void *stored(const float *array, size_t count, int is_bfloat16) {
  if (!is_bfloat16) return memcpy(allocated(count * sizeof *array), array, count * sizeof *array);
  uint16_t *halves = allocated(count * sizeof *halves);
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &array[i], sizeof bits);
    halves[i] = (uint16_t)(bits >> 16);
  }
  return halves;
}

static Axis axis_of(int length, int window_size, int is_circular) {
  const int window = lower_of(window_size, length);
  return (Axis){length, window, window / 2, is_circular};
}

/* Attends twice, the second time to the sum of the logits if these are kept, in two bands. */
static void attend(const Kernel *kernel, Problem *problem, int keeps_logits) {
  const int height = problem->rows.length;
  const size_t count = num_logits(&problem->rows, &problem->columns);
  problem->logits = keeps_logits ? allocated(count * sizeof(float)) : NULL;
  for (problem->has_past = 0; problem->has_past <= keeps_logits; ++problem->has_past)
    for (int half = 0; half < 2; ++half) {
      const int first = height * half / 2, last = height * (half + 1) / 2;
      if (first < last && !kernel->attend_rows(problem, first, last)) exit(2);
    }
  free(problem->logits);
}

/* The largest difference from `expected`, which is filled if `is_first`. */
static double difference(const Problem *problem, float *expected, size_t count, int is_first) {
  double largest = 0.0;
  for (size_t i = 0; i < count; ++i) {
    float number = 0.0f;
    if (problem->is_bfloat16) {
      const uint32_t bits = (uint32_t)((const uint16_t *)problem->attended)[i] << 16;
      memcpy(&number, &bits, sizeof number);
    } else {
      number = ((const float *)problem->attended)[i];
    }
    if (!isfinite(number)) return INFINITY;
    if (is_first) expected[i] = number;
    largest = fmax(largest, fabs((double)number - expected[i]));
  }
  return largest;
}

/* All kernels on a case; gives the largest difference. */
static double run(const Case *c, int is_bfloat16, int keeps_logits) {
  const size_t pixels = (size_t)c->height * c->width;
  const int num_parts = c->parts[1] ? 2 : 1;
  const size_t size = pixels * c->channels, element = is_bfloat16 ? 2 : sizeof(float);
  double largest = 0.0;
  float *expected = allocated(size * sizeof *expected);
  int is_first = 1;
  for (const Kernel *kernel = kernels(); kernel->name; ++kernel) {
    int is_whole = c->channels % AMX_CHANNELS == 0;
    for (int i = 0; i < num_parts; ++i) is_whole = is_whole && c->parts[i] % AMX_CHANNELS == 0;
    if (kernel->takes_tiles && (!is_bfloat16 || keeps_logits || !is_whole)) continue;
    Problem problem = {.num_parts = num_parts,
                       .channels = c->channels,
                       .is_bfloat16 = is_bfloat16,
                       .rows = axis_of(c->height, c->window, c->is_circular),
                       .columns = axis_of(c->width, c->window, c->is_circular)};
    srand(1);
    for (int i = 0; i < num_parts; ++i) {
      const size_t count = pixels * c->parts[i];
      float *queries = numbers(count), *keys = numbers(count);
      problem.part_channels[i] = c->parts[i], problem.inner += c->parts[i];
      problem.queries[i] = stored(queries, count, is_bfloat16);
      problem.keys[i] = stored(keys, count, is_bfloat16);
      free(queries), free(keys);
    }
    float *values = numbers(size);
    problem.values = stored(values, size, is_bfloat16);
    problem.attended = allocated(size * element);
    attend(kernel, &problem, keeps_logits);
    largest = fmax(largest, difference(&problem, expected, size, is_first));
    is_first = 0;
    for (int i = 0; i < num_parts; ++i)
      free((void *)problem.queries[i]), free((void *)problem.keys[i]);
    free(values), free((void *)problem.values), free(problem.attended);
  }
  free(expected);
  return largest;
}

/* A number of the convolution by its definition. */
static double convolved_at(const Convolution *c, const float *weights, int y, int x, int output) {
  double sum = 0.0;
  for (int i = 0; i < 9; ++i) {
    const int row = y + i / 3 - 1, column = x + i % 3 - 1;
    if (row < 0 || row >= c->height || column < 0 || column >= c->width) continue;
    const float *pixel = c->image + ((size_t)row * c->width + column) * c->inputs;
    for (int k = 0; k < c->inputs; ++k)
      sum += (double)pixel[k] * weights[((size_t)i * c->inputs + k) * c->outputs + output];
  }
  return sum;
}

/* The largest error of a kernel, which convolves in two bands. */
static double convolve(const Kernel *kernel, int height, int width, int inputs, int outputs) {
  const size_t pixels = (size_t)height * width, count = num_transformed(inputs, outputs);
  float *image = numbers(pixels * inputs), *weights = numbers((size_t)9 * inputs * outputs);
  float *transformed = allocated(count * sizeof(float));
  const Convolution c = {.image = image,
                         .transformed = transformed,
                         .convolved = allocated(pixels * outputs * sizeof(float)),
                         .height = height,
                         .width = width,
                         .inputs = inputs,
                         .outputs = outputs};
  kernel->transform_weights(weights, transformed, inputs, outputs);
  const int middle = height / 2 / CONVOLUTION_TILE * CONVOLUTION_TILE;
  if (middle && !kernel->convolve_rows(&c, 0, middle)) exit(2);
  if (!kernel->convolve_rows(&c, middle, height)) exit(2);
  double largest = 0.0;
  for (size_t i = 0; i < pixels * outputs; ++i) {
    const int pixel = (int)(i / outputs), output = (int)(i % outputs);
    const double exact = convolved_at(&c, weights, pixel / width, pixel % width, output);
    largest = fmax(largest, fabs(exact - c.convolved[i]));
  }
  free(image), free(weights), free(transformed), free(c.convolved);
  return largest;
}

int main(void) {
  int is_good = 1;
  for (int is_bfloat16 = 0; is_bfloat16 < 2; ++is_bfloat16)
    for (int keeps_logits = 0; keeps_logits < 2; ++keeps_logits)
      for (size_t i = 0; i < sizeof CASES / sizeof *CASES; ++i) {
        const double found = run(&CASES[i], is_bfloat16, keeps_logits);
        if (found <= (is_bfloat16 ? 0.02 : 2e-5)) continue;
        is_good = 0;
        printf("case %d: the kernels differ by %g\n", (int)i, found);
      }
  for (const Kernel *kernel = kernels(); kernel->name; ++kernel) {
    float exponents[64], powers[64];
    for (int i = 0; i < 64; ++i) exponents[i] = 4.0f * i - 250.0f;
    if (kernel->exponentials) kernel->exponentials(exponents, powers, 64);
    const int sizes[][2] = {{1, 1}, {4, 64}, {5, 3}, {13, 70}, {1, 300}};
    for (int i = 0; kernel->convolve_rows && i < 5; ++i) {
      const double error = convolve(kernel, sizes[i][0], sizes[i][1], 16, 48);
      is_good = is_good && error < 2e-4;
      if (error >= 2e-4) printf("%s: a convolution is off by %g\n", kernel->name, error);
    }
    printf("%s: %s\n", kernel->name, is_good ? "clean" : "wrong");
  }
  return !is_good;
}
