/* The keys and values around some columns of queries. */

#ifndef NLRN_STRIP_H
#define NLRN_STRIP_H

#include "../problem.h"
#include "vectors.h"

enum {
  BLOCK_ROWS = 16,  /* rows of queries that share a row of keys while it is in the cache */
  STRIP_WIDTH = 32, /* queries in a row of a strip */
};

/* The rows of keys that a block of queries needs; the next block puts its rows in the place of
 * those it no longer needs. */
typedef struct {
  int first_column, num_columns; /* of the keys */
  int stride;                    /* columns in memory; those to whole vectors hold anything finite */
  int num_rows, next_row;        /* places, and the first row that is not packed yet */
  size_t keys_size, values_size; /* of a row */
  float *keys;                   /* [place][channel][column] */
  float *values;                 /* [place][channels / LANES][column][channel] */
} Strip;

INLINE float *keys_of(const Strip *strip, int row) {
  return strip->keys + (size_t)(row % strip->num_rows) * strip->keys_size;
}

INLINE float *values_of(const Strip *strip, int row) {
  return strip->values + (size_t)(row % strip->num_rows) * strip->values_size;
}

#endif
