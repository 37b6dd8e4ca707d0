/* Zeros, as the kernel hands them out page by page. */
#include <speckled/num_memory.h>

#include <sys/mman.h>

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
