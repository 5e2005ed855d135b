/* Softmax attention of each pixel to the window around it, in bfloat16 on AMX: declarations. */

#ifndef NLRN_AMX_TILES_H
#define NLRN_AMX_TILES_H

#include "../kernels.h"

#ifdef NLRN_AMX

enum {
  TILE = 16,               /* rows of a tile, and 32-bit numbers in a row */
  TILE_SIZE = TILE * TILE, /* 32-bit numbers */
  DEPTH = AMX_CHANNELS,    /* bfloat16 numbers in a row */
  MAX_TILES = MAX_WINDOW / TILE + 2, /* of keys across a block of queries */
};

/* Keys and values of some rows, packed. */
typedef struct {
  uint32_t *keys;   /* [row][tile of columns][block][pair of channels][column] */
  uint32_t *values; /* [pair of rows][tile of columns][channels / TILE][column][channel] */
  int first_row, num_rows, num_tiles;
} Band;

/* For each function apart, so that the module loads on any processor. */
#define KERNEL \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16")))

/* Fills a band whose rows and sizes are set. */
void pack_band(const Problem *problem, const Band *band);

/* TILE queries of row y from x0 on; those outside the image are zero. */
void pack_queries(const Problem *problem, int y, int x0, uint32_t *out);

#endif
#endif
