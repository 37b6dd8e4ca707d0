/* The host's side of lists of frames in use on a device. */
#include <speckled/num_used_device.h>

#include <stdlib.h>
#include <string.h>

spk_status spk_used_device_create(struct spk_used_device *used, const char *name, uint32_t size,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error)
{
    *used = (struct spk_used_device){.name = name, .stream = stream, .size = (int)size};
    if (size > SPK_USED_FRAMES_MAX)
        return spk_fail(error, SPK_UNSUPPORTED, "%s: stacks of %u frames: on a device at most %d", name, size,
                        SPK_USED_FRAMES_MAX);
    used->list = spk_device_find(device, "spk_used_list_there");
    if (!used->list)
        return spk_fail(error, SPK_UNSUPPORTED, "%s: the device's module lacks spk_used_list_there", name);
    used->here = calloc(2 * (size_t)size, sizeof *used->here);
    return used->here ? SPK_OK : spk_fail(error, SPK_NOMEM, "%s: no memory for a list of frames", name);
}

void spk_used_device_destroy(struct spk_used_device *used)
{
    free(used->here);
    *used = (struct spk_used_device){0};
}

static spk_status send(const struct spk_used_device *used, int *to, struct spk_error *error)
{
    struct spk_used_there there = {.to = to};
    for (int i = 0; i < used->count; i++)
        there.frame[used->here[i] / 32] |= 1u << used->here[i] % 32;
    return spk_stream_run(used->stream, used->list, &there, error);
}

spk_status spk_used_device_choose(struct spk_used_device *used, int *to, const struct spk_stack *reference,
                                  const struct spk_stack *sample, bool *changed, struct spk_error *error)
{
    int *fresh = used->here + used->size, count = 0;
    *changed = false;
    for (int k = 0; k < used->size; k++)
        if (reference->present[k] && (!sample || sample->present[k]))
            fresh[count++] = k;
    if (!count)
        return spk_fail(error, SPK_INVALID,
                        sample ? "%s: no scan position is in both reference and sample"
                               : "%s: the reference holds no frame",
                        used->name);
    const size_t bytes = (size_t)count * sizeof *fresh;
    if (count == used->count && memcmp(fresh, used->here, bytes) == 0)
        return SPK_OK;
    memcpy(used->here, fresh, bytes);
    used->count = count;
    *changed = true;
    return send(used, to, error);
}
