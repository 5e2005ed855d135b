/* For x86-64 with AVX2 and FMA. */

#ifdef __x86_64__

#include <stdlib.h>
#include <string.h>

#include "../kernels.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#define VECTORS_AT_ONCE 3
#define ATTEND_ROWS attend_rows_avx2
#define CONVOLVE_ROWS convolve_rows_avx2
#define TRANSFORM_WEIGHTS transform_weights_avx2
#define EXPONENTIALS exponentials_avx2

#include "attention.h"
#include "convolution.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
