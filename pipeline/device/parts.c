/* One allocation for many arrays: a device hands out few large pieces faster than many small ones. */
#include <speckled/device.h>

enum { ALIGNMENT = 256 };

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

spk_status spk_device_allocate_parts(struct spk_device *device, const struct spk_device_part *parts,
                                     size_t count, void **memory, struct spk_error *error)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += rounded(parts[i].bytes);
    spk_status status = spk_device_allocate(device, total, memory, error);
    char *at = *memory;
    for (size_t i = 0; i < count && !status; i++) {
        *parts[i].address = at;
        at += rounded(parts[i].bytes);
    }
    return status;
}
