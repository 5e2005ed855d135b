/* What the kernels are given: softmax attention of each pixel to the window around it, and 3x3
 * convolution. */

#ifndef NLRN_PROBLEM_H
#define NLRN_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

enum {
  MAX_PARTS = 64,
  MAX_WINDOW = 480,
};

/* A side of the image, and its windows. At a circular border the image is continued: its keys are
 * counted from `before` pixels outside it. */
typedef struct {
  int length, window, before, is_circular;
} Axis;

/* The channels of queries and keys come in parts. All arrays are float32, or all are bfloat16. */
typedef struct {
  const void *queries[MAX_PARTS], *keys[MAX_PARTS]; /* [H, W, part_channels[i]] */
  int part_channels[MAX_PARTS], num_parts, inner;   /* `inner` channels of all parts */
  const void *values;                               /* [H, W, channels] */
  void *attended;                                   /* [H, W, channels] */
  int channels, is_bfloat16;
  Axis rows, columns;
  float *logits; /* sums over the states, `num_logits` of them; NULL where they are not kept */
  int has_past;  /* whether `logits` has those of earlier states, to which these are added */
} Problem;

/* A kernel: attends for the rows from `first` to before `last`. Gives 0 where memory is lacking. */
typedef int AttendRows(const Problem *problem, int first, int last);

/* A zero-padded 3x3 convolution. All arrays are float32, and the numbers of channels multiples of
 * CONVOLUTION_CHANNELS. */
typedef struct {
  const float *image;       /* [height, width, inputs] */
  const float *transformed; /* of the weights, by a kernel for itself: `num_transformed` */
  float *convolved;         /* [height, width, outputs] */
  int height, width, inputs, outputs;
} Convolution;

enum { CONVOLUTION_CHANNELS = 16, CONVOLUTION_TILE = 4 };

static inline size_t num_transformed(int inputs, int outputs) {
  const size_t patch = CONVOLUTION_TILE + 2;
  return patch * patch * inputs * outputs;
}

/* Convolves the rows from `first`, a multiple of CONVOLUTION_TILE, to before `last`. Gives 0 where
 * memory is lacking. */
typedef int ConvolveRows(const Convolution *convolution, int first, int last);

/* Of weights [3, 3, inputs, outputs]. */
typedef void TransformWeights(const float *weights, float *transformed, int inputs, int outputs);

static inline int clip(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

static inline int lower_of(int a, int b) { return a < b ? a : b; }

/* Logits are kept for GROUP neighbouring queries together, for each with `kept_columns` keys of a
 * row: those of GROUP windows, to whole vectors. */
enum { GROUP = 4 };

static inline size_t kept_columns(const Axis *columns) {
  return (size_t)(columns->window + GROUP - 1 + 15) / 16 * 16;
}

static inline size_t num_groups(const Axis *columns) { return (columns->length + GROUP - 1) / GROUP; }

/* [row of queries][group][row of keys in the window][query of the group][column] */
static inline size_t num_logits(const Axis *rows, const Axis *columns) {
  return rows->length * num_groups(columns) * rows->window * GROUP * kept_columns(columns);
}

/* The first key of the window of a query. */
static inline int window_start(const Axis *axis, int query) {
  if (axis->is_circular) return query;
  return clip(query - axis->before, 0, axis->length - axis->window);
}

static inline int num_keys(const Axis *axis) {
  return axis->is_circular ? axis->length + axis->window - 1 : axis->length;
}

/* The pixel that is the key of this number. */
static inline int pixel_of(const Axis *axis, int key) {
  if (!axis->is_circular) return key;
  return (key - axis->before + axis->length) % axis->length;
}

#endif
