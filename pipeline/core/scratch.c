#include <speckled/scratch.h>

#include <stdlib.h>
#include <sys/mman.h>

struct spk_scratch {
    void *memory;
    size_t bytes;
};

spk_status spk_scratch_create(struct spk_scratch **scratch, struct spk_error *error)
{
    *scratch = calloc(1, sizeof **scratch);
    return *scratch ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory");
}

void spk_scratch_destroy(struct spk_scratch **scratch)
{
    if (!*scratch)
        return;
    spk_scratch_clear(*scratch);
    free(*scratch);
    *scratch = NULL;
}

spk_status spk_scratch_reserve(struct spk_scratch *scratch, size_t bytes, struct spk_error *error)
{
    if (bytes <= scratch->bytes)
        return SPK_OK;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return spk_fail(error, SPK_NOMEM, "no memory for %zu MB to work in", bytes >> 20);
    madvise(memory, bytes, MADV_HUGEPAGE); /* only faster: refused, it serves as well */
    spk_scratch_clear(scratch);
    scratch->memory = memory;
    scratch->bytes = bytes;
    return SPK_OK;
}

void spk_scratch_clear(struct spk_scratch *scratch)
{
    if (scratch->memory)
        munmap(scratch->memory, scratch->bytes);
    *scratch = (struct spk_scratch){0};
}

void *spk_scratch_memory(const struct spk_scratch *scratch)
{
    return scratch->memory;
}
