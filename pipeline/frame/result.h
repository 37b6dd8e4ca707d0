/* Result buffers: a lane's preallocated map sets, claimed by the lane and returned by whoever holds them last. */
#ifndef SPECKLED_RESULT_H
#define SPECKLED_RESULT_H

#include <speckled/maps.h>

struct doorbell;
struct result_pool;

/* `count` results of `format` (maps of format->maps, plus valid) in memory from `allocator` (NULL: ordinary memory). Rings
 * `returned` (borrowed) when a result comes back. */
spk_status result_pool_create(struct result_pool **pool, uint32_t count, const struct spk_format *format,
                              const struct spk_allocator *allocator, struct doorbell *returned,
                              struct spk_error *error);
/* Lets go of the pool; its memory is freed when the last result has come back. Sets *pool to NULL. */
void result_pool_release(struct result_pool **pool);
/* A result with one reference and cleared provenance, or NULL when all are out. No allocation. */
struct spk_result *result_pool_get(struct result_pool *pool);

#endif
