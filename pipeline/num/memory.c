/* Zeros, as the kernel hands them out page by page. */
#include <speckled/num_memory.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const size_t large_page = (size_t)2 << 20, line_bytes = 64;

void *spk_zeros_create(size_t bytes)
{
    void *memory =
        bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : NULL;
    if (memory == MAP_FAILED)
        return NULL;
    if (memory)
        madvise(memory, bytes, MADV_HUGEPAGE); /* only faster: refused, it serves as well */
    return memory;
}

void spk_zeros_destroy(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

void *spk_planes_create(size_t bytes)
{
    const size_t alignment = bytes >= 2 * large_page ? large_page : line_bytes;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    const size_t whole = bytes ? (bytes + alignment - 1) / alignment * alignment : alignment;
    void *memory = aligned_alloc(alignment, whole);
    if (!memory)
        return NULL;
    if (alignment == large_page)
        madvise(memory, whole, MADV_HUGEPAGE); /* only faster: refused, it serves as well */
    return memset(memory, 0, whole);
}
