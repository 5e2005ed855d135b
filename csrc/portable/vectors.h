/* Vectors of LANES numbers, by the extensions that GCC and Clang have in common. */

#ifndef NLRN_VECTORS_H
#define NLRN_VECTORS_H

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef float UnalignedVector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t UnalignedWords __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE Vector load(const float *from) { return *(const UnalignedVector *)from; }

INLINE Words load_words(const uint32_t *from) { return *(const UnalignedWords *)from; }

INLINE void store(float *to, Vector x) { *(UnalignedVector *)to = x; }

INLINE Vector splat(float x) {
#if LANES == 4
  return (Vector){x, x, x, x};
#elif LANES == 8
  return (Vector){x, x, x, x, x, x, x, x};
#else
  return (Vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#endif
}

/* `a` where the bits of `choice` are set, else `b`. */
INLINE Vector chosen(Words choice, Vector a, Vector b) {
  return (Vector)(((Words)a & choice) | ((Words)b & ~choice));
}

INLINE Vector higher_of(Vector a, Vector b) { return chosen((Words)(a > b), a, b); }

INLINE int is_any(Words choice) {
  uint64_t parts[LANES / 2], any = 0;
  memcpy(parts, &choice, sizeof parts);
  for (int i = 0; i < LANES / 2; ++i) any |= parts[i];
  return any != 0;
}

INLINE float highest_of(Vector x) {
  float lanes[LANES], highest;
  store(lanes, x);
  highest = lanes[0];
  for (int i = 1; i < LANES; ++i) highest = lanes[i] > highest ? lanes[i] : highest;
  return highest;
}

INLINE float sum_of(Vector x) {
  float lanes[LANES], sum = 0.0f;
  store(lanes, x);
  for (int i = 0; i < LANES; ++i) sum += lanes[i];
  return sum;
}

/* 2^x to 3e-7 of it, for x < 127; 2^-125 for all x below -125.
 *
 * 2^x = 2^n 2^r with n whole and |r| <= 1/2. Adding 1.5 x 2^23 rounds to n, which then stands in the
 * lowest bits. The polynomial is the one of its degree with the least relative error, 1e-7. */
INLINE Vector power_of_two(Vector x) {
  const Vector to_whole = splat(12582912.0f), lowest = splat(-125.0f);
  x = chosen((Words)(x < lowest), lowest, x); /* keeps what is not a number */
  const Vector shifted = x + to_whole, r = x - (shifted - to_whole);
  Vector power = splat(0.00132647285f);
  power = power * r + splat(0.00967151299f);
  power = power * r + splat(0.0555073358f);
  power = power * r + splat(0.240222424f);
  power = power * r + splat(0.693147004f);
  power = power * r + splat(1.0f);
  return (Vector)((Words)power + ((Words)shifted << 23));
}

#endif
