/* The kernels, and what each of them needs. */

#ifndef NLRN_KERNELS_H
#define NLRN_KERNELS_H

#include "problem.h"

#if defined(__x86_64__) && defined(__linux__)
#define NLRN_AMX 1
#endif

/* Multiples of this many channels are what the AMX kernel takes. */
enum { AMX_CHANNELS = 32 };

typedef struct {
  const char *name;
  AttendRows *attend_rows;
  int takes_tiles; /* bfloat16, in multiples of AMX_CHANNELS channels, and nothing else */
  /* NULL on AMX: */
  ConvolveRows *convolve_rows;
  TransformWeights *transform_weights;
  void (*exponentials)(const float *exponents, float *powers, size_t count);
} Kernel;

AttendRows attend_rows_amx, attend_rows_avx512, attend_rows_avx2, attend_rows_baseline;
ConvolveRows convolve_rows_avx512, convolve_rows_avx2, convolve_rows_baseline;
TransformWeights transform_weights_avx512, transform_weights_avx2, transform_weights_baseline;

/* 2^x of `count` numbers, a multiple of 16, as the kernel computes it; for tests. */
void exponentials_avx512(const float *exponents, float *powers, size_t count);
void exponentials_avx2(const float *exponents, float *powers, size_t count);
void exponentials_baseline(const float *exponents, float *powers, size_t count);

/* The name of a kernel that was compiled, by its number from 0 on; NULL behind the last. */
const char *compiled_kernel(int number);

/* Those that this processor can run, the fastest first; to before the first without a name. */
const Kernel *usable_kernels(void);

#endif
