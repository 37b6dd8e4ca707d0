/* Memory for planes that may never be needed: zeros that take none of the machine's memory until they are written to. */
#ifndef SPECKLED_NUM_MEMORY_H
#define SPECKLED_NUM_MEMORY_H

#include <stddef.h>

/* Page-aligned zeros; NULL when there is no room. [control] */
void *spk_zeros_create(size_t bytes);
/* Gives them back; `bytes` as they were asked for. NULL is allowed. */
void spk_zeros_destroy(void *memory, size_t bytes);

#endif
