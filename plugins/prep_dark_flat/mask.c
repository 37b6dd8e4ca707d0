#include "mask.h"

#include <speckled/h5.h>
#include <stdlib.h>

static spk_status read_data(struct prep_mask *mask, struct spk_h5_data *data, const char *specification,
                            struct spk_error *error)
{
    enum { SIDE_MAX = 1 << 16 };
    const struct spk_h5_form *form = spk_h5_data_form(data);
    const uint64_t first = 0, *side = form->size + (form->rank == 3);
    if ((form->rank != 2 && !(form->rank == 3 && form->size[0] == 1)) || !side[0] || !side[1] ||
        side[0] > SIDE_MAX || side[1] > SIDE_MAX)
        return spk_fail(error, SPK_INVALID, "mask: %s is no image; [height, width] was expected",
                        specification);
    size_t pixels = (size_t)(side[0] * side[1]);
    float *values = malloc(pixels * sizeof *values);
    mask->bad = malloc(pixels);
    spk_status status =
        values && mask->bad
            ? spk_h5_data_read(data, 2, &first, SPK_F32, values, pixels * sizeof *values, error)
            : spk_fail(error, SPK_NOMEM, "mask: no memory for %s", specification);
    for (size_t i = 0; i < pixels && !status; i++)
        mask->bad[i] = values[i] != 0;
    mask->height = (uint32_t)side[0];
    mask->width = (uint32_t)side[1];
    free(values);
    return status;
}

spk_status prep_mask_open(struct prep_mask *mask, const char *specification, struct spk_error *error)
{
    char path[SPK_STRING_SIZE], dataset[SPK_STRING_SIZE];
    struct spk_h5 *file = NULL;
    struct spk_h5_data *data = NULL;
    spk_h5_split(specification, path, dataset, sizeof path);
    spk_status status = spk_h5_open(&file, path, error);
    if (!status)
        status = spk_h5_data_open(&data, file, *dataset ? dataset : "/mask", error);
    if (!status)
        status = read_data(mask, data, specification, error);
    spk_h5_data_close(&data);
    spk_h5_close(&file, NULL);
    return status;
}

spk_status prep_mask_read(struct prep_mask *mask, const char *specification, struct spk_error *error)
{
    const char *const arguments[] = {specification, NULL};
    *mask = (struct prep_mask){0};
    if (!*specification)
        return SPK_OK;
    spk_status status = spk_h5_try(specification, "mask", arguments, SPK_H5_LOOK_MS, error);
    if (!status)
        status = prep_mask_open(mask, specification, error);
    if (status) {
        free(mask->bad);
        *mask = (struct prep_mask){0};
    }
    return status;
}
