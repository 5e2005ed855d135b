/* For x86-64 with AVX-512. */

#ifdef __x86_64__

#include <stdlib.h>
#include <string.h>

#include "../kernels.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,fma")
#endif

#define LANES 16
#define VECTORS_AT_ONCE 4
#define ATTEND_ROWS attend_rows_avx512
#define CONVOLVE_ROWS convolve_rows_avx512
#define TRANSFORM_WEIGHTS transform_weights_avx512
#define EXPONENTIALS exponentials_avx512

#include "attention.h"
#include "convolution.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
