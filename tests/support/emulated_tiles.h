/* The instructions of AMX that csrc/amx uses, in C: on processors with AVX-512 and its bfloat16, but
 * without AMX, the kernel can then be tested. Tiles are whole: 16 rows of 64 bytes. */

#ifndef NLRN_EMULATED_TILES_H
#define NLRN_EMULATED_TILES_H

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define EMULATED_TILES 1

enum { EMULATED_ROWS = 16, EMULATED_NUMBERS = 16 };

static _Thread_local uint32_t emulated_tiles[8][EMULATED_ROWS][EMULATED_NUMBERS];

static inline void emulated_load(int tile, const void *from, size_t stride) {
  for (int row = 0; row < EMULATED_ROWS; ++row)
    memcpy(emulated_tiles[tile][row], (const char *)from + row * stride, 64);
}

static inline void emulated_store(int tile, void *to, size_t stride) {
  for (int row = 0; row < EMULATED_ROWS; ++row)
    memcpy((char *)to + row * stride, emulated_tiles[tile][row], 64);
}

static inline float emulated_number(uint32_t bits) {
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

/* Pairs of bfloat16 in a row of `a` times those in a column of `b`, added to float32. */
static inline void emulated_multiply(int sum, int a, int b) {
  for (int row = 0; row < EMULATED_ROWS; ++row)
    for (int column = 0; column < EMULATED_NUMBERS; ++column) {
      float total = emulated_number(emulated_tiles[sum][row][column]);
      for (int pair = 0; pair < 16; ++pair) {
        const uint32_t x = emulated_tiles[a][row][pair], y = emulated_tiles[b][pair][column];
        total += emulated_number(x << 16) * emulated_number(y << 16);
        total += emulated_number(x & 0xffff0000u) * emulated_number(y & 0xffff0000u);
      }
      memcpy(&emulated_tiles[sum][row][column], &total, sizeof total);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig(layout) ((void)(layout))
#define _tile_release() ((void)0)
#define _tile_loadd(tile, from, stride) emulated_load(tile, from, stride)
#define _tile_stored(tile, to, stride) emulated_store(tile, to, stride)
#define _tile_zero(tile) memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile])
#define _tile_dpbf16ps(sum, a, b) emulated_multiply(sum, a, b)

#endif
#endif
