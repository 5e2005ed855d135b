/* Products of GROUP rows with vectors of columns. */

#ifndef NLRN_PRODUCTS_H
#define NLRN_PRODUCTS_H

#include "strip.h"

/* `left` has GROUP rows, whose numbers meet the rows of `right`. */
typedef struct {
  const float *left, *right;
  size_t left_step;               /* from a row to the next */
  size_t right_step, right_next;  /* from a row to the next, from a vector to the next */
  int count;
} Factors;

/* The products with `num` vectors; added to `out` or written there. */
INLINE void multiply(const Factors *factors, float *restrict out, size_t out_step, int is_added,
                     int num) {
  Vector sums[GROUP][VECTORS_AT_ONCE];
  for (int m = 0; m < GROUP; ++m)
    for (int n = 0; n < num; ++n)
      sums[m][n] = is_added ? load(out + m * out_step + n * LANES) : splat(0.0f);
  const float *left[GROUP], *right = factors->right;
  for (int m = 0; m < GROUP; ++m) left[m] = factors->left + m * factors->left_step;
  const size_t right_step = factors->right_step, right_next = factors->right_next;
  for (int i = 0; i < factors->count; ++i, right += right_step) {
    Vector columns[VECTORS_AT_ONCE];
    for (int n = 0; n < num; ++n) columns[n] = load(right + n * right_next);
    for (int m = 0; m < GROUP; ++m) {
      const Vector row = splat(left[m][i]);
      for (int n = 0; n < num; ++n) sums[m][n] += row * columns[n];
    }
  }
  for (int m = 0; m < GROUP; ++m)
    for (int n = 0; n < num; ++n) store(out + m * out_step + n * LANES, sums[m][n]);
}

/* Functions of their own, or the compiler keeps the addresses in memory for lack of registers. */
#define MULTIPLY(num)                                                              \
  static __attribute__((noinline)) void multiply_##num(                            \
      const Factors *factors, float *restrict out, size_t out_step, int is_added) { \
    multiply(factors, out, out_step, is_added, num);                               \
  }

MULTIPLY(1)
MULTIPLY(2)
#if VECTORS_AT_ONCE >= 3
MULTIPLY(3)
#endif
#if VECTORS_AT_ONCE >= 4
MULTIPLY(4)
#endif

/* How many of the `left` vectors to take next: rather two and two than three and one, which alone
 * waits for its own sums. */
INLINE int taken_of(int left) {
  if (left == VECTORS_AT_ONCE + 1) return (left + 1) / 2;
  return lower_of(left, VECTORS_AT_ONCE);
}

INLINE void multiply_vectors(const Factors *factors, float *out, size_t out_step, int is_added,
                             int num) {
  switch (num) {
    case 1: multiply_1(factors, out, out_step, is_added); break;
    case 2: multiply_2(factors, out, out_step, is_added); break;
#if VECTORS_AT_ONCE >= 3
    case 3: multiply_3(factors, out, out_step, is_added); break;
#endif
#if VECTORS_AT_ONCE >= 4
    case 4: multiply_4(factors, out, out_step, is_added); break;
#endif
  }
}

#endif
