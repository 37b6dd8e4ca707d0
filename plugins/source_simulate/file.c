#include "file.h"

#include "scene.h"

#include <speckled/h5.h>

#include <stdio.h>
#include <stdlib.h>

struct spk_sim_file {
    struct spk_h5 *h5;
    struct spk_format format;
    uint32_t stacks;
    struct spk_h5_data *frames[SPK_ROLE_COUNT]; /* made when first written */
    struct spk_h5_data *truth[SPK_TRUTH_MAPS];
};

static spk_status write_geometry(struct spk_sim_file *file, struct spk_error *error)
{
    const struct spk_geometry *geometry = &file->format.geometry;
    spk_status status = spk_h5_put_number(file->h5, "/", "energy_kev", geometry->energy_kev, error);
    if (!status)
        status = spk_h5_put_number(file->h5, "/", "pixel_size_m", geometry->pixel_size_m, error);
    if (!status)
        status = spk_h5_put_number(file->h5, "/", "distance_m", geometry->distance_m, error);
    return status;
}

static spk_status create_truth(struct spk_sim_file *file, struct spk_error *error)
{
    struct spk_h5_form row = {SPK_F32, 2, {file->format.height, file->format.width}};
    for (int i = 0; i < SPK_TRUTH_MAPS; i++) {
        const struct spk_map_info *info = spk_map_info((enum spk_map)i);
        char path[64];
        snprintf(path, sizeof path, "/truth/%s", info->name);
        spk_status status =
            spk_h5_data_create(&file->truth[i], file->h5, path, &row, 0, info->unit, info->long_name, error);
        if (status)
            return status;
    }
    return SPK_OK;
}

spk_status spk_sim_file_create(struct spk_sim_file **file, const char *path, const struct spk_format *format,
                               uint32_t stacks, struct spk_error *error)
{
    struct spk_sim_file *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory to write %s", path);
    self->format = *format;
    self->stacks = stacks;
    spk_status status = spk_h5_create(&self->h5, path, true, error);
    if (!status)
        status = write_geometry(self, error);
    if (!status)
        status = create_truth(self, error);
    if (status) {
        spk_sim_file_close(&self, NULL);
        return status;
    }
    *file = self;
    return SPK_OK;
}

spk_status spk_sim_file_frames(struct spk_sim_file *file, enum spk_role role, uint32_t stack, uint32_t count,
                               const uint16_t *frames, struct spk_error *error)
{
    const struct spk_format *format = &file->format;
    struct spk_h5_form image = {SPK_U16, 2, {format->height, format->width}};
    struct spk_h5_form series = {SPK_U16, 3, {format->count, format->height, format->width}};
    bool whole_stacks = role == SPK_ROLE_SAMPLE && file->stacks > 1;
    size_t pixels = (size_t)format->height * format->width;
    spk_status status = SPK_OK;
    if (!file->frames[role]) {
        char path[32];
        snprintf(path, sizeof path, "/%s", spk_role_name(role));
        status = spk_h5_data_create(&file->frames[role], file->h5, path, whole_stacks ? &series : &image, 0,
                                    NULL, NULL, error);
    }
    if (!status && whole_stacks)
        return spk_h5_data_write(file->frames[role], stack, frames, error);
    for (uint32_t i = 0; !status && i < count; i++)
        status = spk_h5_data_write(file->frames[role], i, frames + i * pixels, error);
    return status;
}

spk_status spk_sim_file_truth(struct spk_sim_file *file, uint32_t stack, const float *maps,
                              struct spk_error *error)
{
    size_t pixels = (size_t)file->format.height * file->format.width;
    spk_status status = SPK_OK;
    for (size_t i = 0; !status && i < SPK_TRUTH_MAPS; i++)
        status = spk_h5_data_write(file->truth[i], stack, maps + i * pixels, error);
    return status;
}

spk_status spk_sim_file_close(struct spk_sim_file **file, struct spk_error *error)
{
    struct spk_sim_file *self = *file;
    if (!self)
        return SPK_OK;
    for (int i = 0; i < SPK_ROLE_COUNT; i++)
        spk_h5_data_close(&self->frames[i]);
    for (int i = 0; i < SPK_TRUTH_MAPS; i++)
        spk_h5_data_close(&self->truth[i]);
    spk_status status = spk_h5_close(&self->h5, error);
    free(self);
    *file = NULL;
    return status;
}
