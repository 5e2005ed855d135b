/* For every processor of the architecture: SSE2 on x86-64, NEON on AArch64. */

#define LANES 4
#ifdef __aarch64__
#define VECTORS_AT_ONCE 4 /* of 32 registers */
#else
#define VECTORS_AT_ONCE 2 /* of 16 registers */
#endif
#define ATTEND_ROWS attend_rows_baseline
#define CONVOLVE_ROWS convolve_rows_baseline
#define TRANSFORM_WEIGHTS transform_weights_baseline
#define EXPONENTIALS exponentials_baseline

#include "../kernels.h"
#include "attention.h"
#include "convolution.h"
