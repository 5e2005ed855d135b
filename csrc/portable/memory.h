/* Memory that vectors are loaded from. */

#ifndef NLRN_MEMORY_H
#define NLRN_MEMORY_H

#include <stdlib.h>
#include <string.h>

/* Zeros; NULL where memory is lacking. */
static void *allocate(size_t size) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, size)) return NULL;
  return memset(memory, 0, size);
}

#endif
