/* Which of the kernels this processor can run. */

#include "kernels.h"

#ifdef NLRN_AMX

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the processor has the instructions and the system lets this process use the tiles. */
static int has_amx(void) {
  unsigned eax, ebx, ecx, edx, low, high;
  if (!__get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE)) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned states = 0x600e6; /* SSE, AVX, AVX-512, tiles */
  if ((low & states) != states) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
  const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
  const unsigned amx = 1u << 22 | 1u << 24;                          /* BF16, TILE */
  if ((ebx & avx512) != avx512 || (edx & amx) != amx) return 0;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !(eax & 1u << 5)) return 0;
  const int request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

#endif

#ifdef __x86_64__

static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif

static int always(void) { return 1; }

typedef struct {
  Kernel kernel;
  int (*can_run)(void);
} Compiled;

#define PORTABLE(name)                                                                   \
  {                                                                                      \
    #name, attend_rows_##name, 0, convolve_rows_##name, transform_weights_##name,        \
        exponentials_##name                                                              \
  }

static const Compiled COMPILED[] = {
#ifdef NLRN_AMX
    {{"amx", attend_rows_amx, 1, NULL, NULL, NULL}, has_amx},
#endif
#ifdef __x86_64__
    {PORTABLE(avx512), has_avx512},
    {PORTABLE(avx2), has_avx2},
#endif
    {PORTABLE(baseline), always},
};

enum { NUM_COMPILED = sizeof COMPILED / sizeof *COMPILED };

const char *compiled_kernel(int number) {
  return number < NUM_COMPILED ? COMPILED[number].kernel.name : NULL;
}

const Kernel *usable_kernels(void) {
  static Kernel kernels[NUM_COMPILED + 1];
  if (kernels[0].name) return kernels;
#ifdef __x86_64__
  __builtin_cpu_init();
#endif
  for (int i = 0, count = 0; i < NUM_COMPILED; ++i)
    if (COMPILED[i].can_run()) kernels[count++] = COMPILED[i].kernel;
  return kernels;
}
