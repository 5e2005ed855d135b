/* Softmax attention of each pixel to the window around it, in bfloat16 on AMX: declarations. */

#ifndef NLRN_AMX_PROBLEM_H
#define NLRN_AMX_PROBLEM_H

#if defined(__x86_64__) && defined(__linux__)
#define NLRN_AMX 1
#endif

#include <stddef.h>
#include <stdint.h>

enum {
  TILE = 16,               /* rows of a tile, and 32-bit numbers in a row */
  TILE_SIZE = TILE * TILE, /* 32-bit numbers */
  DEPTH = 2 * TILE,        /* bfloat16 numbers in a row */
  MAX_PARTS = 64,
  MAX_TILES = 32,          /* of keys across a block of queries */
  MAX_WINDOW = (MAX_TILES - 2) * TILE,
};

/* A side of the image, and its windows. At a circular border the image is continued. */
typedef struct {
  int length, window, before, is_circular;
} Axis;

/* The channels of queries and keys come in parts; a block is DEPTH of them. */
typedef struct {
  const uint16_t *queries[MAX_PARTS], *keys[MAX_PARTS]; /* [H, W, num_blocks[i] DEPTH] */
  int num_blocks[MAX_PARTS], num_parts, depth_blocks;
  const uint16_t *values; /* [H, W, channels] */
  uint16_t *attended;     /* [H, W, channels] */
  int channels;           /* a multiple of DEPTH */
  Axis rows, columns;
} Problem;

/* Keys and values of some rows, packed. */
typedef struct {
  uint32_t *keys;   /* [row][tile of columns][block][pair of channels][column] */
  uint32_t *values; /* [pair of rows][tile of columns][channels / TILE][column][channel] */
  int first_row, num_rows, num_tiles;
} Band;

static inline int clip(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

/* The first key of the window of a query. */
static inline int window_start(const Axis *axis, int query) {
  if (axis->is_circular) return query;
  return clip(query - axis->before, 0, axis->length - axis->window);
}

static inline int num_keys(const Axis *axis) {
  return axis->is_circular ? axis->length + axis->window - 1 : axis->length;
}

#ifdef NLRN_AMX

/* For each function apart, so that the module loads on any processor. */
#define KERNEL \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")))

/* Fills a band whose rows and sizes are set. */
void pack_band(const Problem *problem, const Band *band);

/* TILE queries of row y from x0 on; those outside the image are zero. */
void pack_queries(const Problem *problem, int y, int x0, uint32_t *out);

/* Attends for the rows from `first` to before `last`. Gives 0 where memory is lacking. */
int attend_rows(const Problem *problem, int first, int last);

#endif
#endif
