/* Scratch memory: what the stages of a lane work in, one after the other, for the length of one operation.
 *
 * A stage says in prepare() how much it needs; there is one memory for all, as large as the largest of them. What was left
 * there is lost when the operation returns. Pages are taken from the machine when they are first written to, and kept. */
#ifndef SPECKLED_SCRATCH_H
#define SPECKLED_SCRATCH_H

#include <speckled/status.h>
#include <stddef.h>

struct spk_scratch;

/* [control] */
SPK_API spk_status spk_scratch_create(struct spk_scratch **scratch, struct spk_error *error);
/* Sets *scratch to NULL. [control] */
SPK_API void spk_scratch_destroy(struct spk_scratch **scratch);

/* From now on there are at least `bytes`; the memory may move. SPK_NOMEM leaves it as it was. [control] [lane], in prepare() and set() */
SPK_API spk_status spk_scratch_reserve(struct spk_scratch *scratch, size_t bytes, struct spk_error *error);
/* Gives all of it back: nothing is reserved. [lane] */
SPK_API void spk_scratch_clear(struct spk_scratch *scratch);
/* The memory, page-aligned; whatever another stage has left is in it. Valid until the next reserve or clear: asked for anew in each
 * operation. NULL: nothing is reserved. [lane] */
SPK_API void *spk_scratch_memory(const struct spk_scratch *scratch);

/* Cuts memory into arrays one after the other, 64-byte aligned. With `memory` NULL it only counts, so that the same function
 * measures what is needed and hands it out; `used`: bytes so far. */
struct spk_scratch_cut {
    unsigned char *memory;
    size_t used;
};

static inline void *spk_scratch_take(struct spk_scratch_cut *cut, size_t count, size_t size)
{
    size_t at = cut->used;
    cut->used += (count * size + 63) / 64 * 64;
    return cut->memory ? cut->memory + at : (void *)0;
}

#endif
