/* Memory where a network runs. */
#include "graph.h"

#include <speckled/num_memory.h>

#include <stdlib.h>

static spk_status take_there(const struct spk_nn *nn, size_t bytes, void **memory, struct spk_error *error)
{
    spk_status status = spk_device_allocate(nn->device, bytes, memory, error);
    return status ? status : spk_stream_fill(nn->stream, *memory, 0, bytes, error);
}

spk_status nn_memory_take(const struct spk_nn *nn, const char *what, size_t bytes, void **memory,
                          struct spk_error *error)
{
    if (nn->device) {
        spk_status status = take_there(nn, bytes, memory, error);
        if (status)
            spk_fail_context(error, "%s: %s of %zu MB", nn->name, what, bytes >> 20);
        return status;
    }
    *memory = spk_planes_create(bytes);
    return *memory
               ? SPK_OK
               : spk_fail(error, SPK_NOMEM, "%s: no memory for %s of %zu MB", nn->name, what, bytes >> 20);
}

void nn_memory_give(const struct spk_nn *nn, void **memory)
{
    if (nn->device)
        spk_device_release(nn->device, memory);
    else
        free(*memory);
    *memory = NULL;
}
