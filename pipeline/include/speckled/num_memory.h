/* Memory of zeros for planes: in large pages, where the system has them, since what walks many planes at once asks for many pages. */
#ifndef SPECKLED_NUM_MEMORY_H
#define SPECKLED_NUM_MEMORY_H

#include <stddef.h>

/* Planes that may never be needed: page-aligned, none of the machine's memory until they are written to; NULL when there is no room.
 * [control] */
void *spk_zeros_create(size_t bytes);
/* Gives them back; `bytes` as they were asked for. NULL is allowed. */
void spk_zeros_destroy(void *memory, size_t bytes);
/* Planes that are there before the first frame: aligned to 64 bytes at least; free() gives them back. NULL when there is no room. [control] */
void *spk_planes_create(size_t bytes);

#endif
