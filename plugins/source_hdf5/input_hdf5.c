/* HDF5 datasets and NXtomo files as series of images. */
#include "input.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NXtomo: frames of image_key 3 are invalid and belong to no role. */
enum { KEY_PROJECTION, KEY_FLAT, KEY_DARK };
enum { FRAMES_MAX = 1 << 26 };

static const char *const usual_names[SPK_ROLE_COUNT][3] = {
    [SPK_ROLE_REFERENCE] = {"/reference", "/ref"},
    [SPK_ROLE_SAMPLE] = {"/sample"},
    [SPK_ROLE_DARK] = {"/dark", "/exchange/data_dark"},
    [SPK_ROLE_FLAT] = {"/flat", "/exchange/data_white"},
};

/* Where a file with one series and no name of ours keeps it: NeXus, Data Exchange, plain. */
static const char *const other_names[] = {"/entry/data/data", "/exchange/data", "/data", NULL};

static spk_status take_form(struct input *input, enum spk_role role, struct spk_error *error)
{
    const struct spk_h5_form *form = spk_h5_data_form(input->data);
    unsigned rank = form->rank;
    bool grouped = rank == 4 && (role == SPK_ROLE_REFERENCE || role == SPK_ROLE_SAMPLE);
    if (rank < 2 || (rank > 3 && !grouped))
        return spk_fail(error, SPK_INVALID, "%s has %u dimensions; %s images are [H,W], [N,H,W]%s",
                        input->name, rank, spk_role_name(role),
                        role == SPK_ROLE_SAMPLE ? " or [K,N,H,W]" : "");
    spk_status status = input_check_sides(input, form->size[rank - 2], form->size[rank - 1], error);
    if (status)
        return status;
    input->height = (uint32_t)form->size[rank - 2];
    input->width = (uint32_t)form->size[rank - 1];
    input->dtype = form->dtype;
    input->group = grouped ? form->size[1] : 0;
    input->frames = rank == 2 ? 1 : rank == 3 ? form->size[0] : form->size[0] * form->size[1];
    if (input->frames > FRAMES_MAX)
        return spk_fail(error, SPK_INVALID, "%s claims %llu images; at most %d are read", input->name,
                        (unsigned long long)input->frames, FRAMES_MAX);
    return SPK_OK;
}

/* Reads a 1-D dataset of `count` numbers as doubles; NULL with a message when it is not that. */
static double *read_numbers(struct spk_h5 *file, const char *path, uint64_t count, struct spk_error *error)
{
    struct spk_h5_data *data = NULL;
    double *numbers = NULL;
    if (spk_h5_data_open(&data, file, path, error))
        return NULL;
    const struct spk_h5_form *form = spk_h5_data_form(data);
    if (form->rank != 1 || form->size[0] != count || !(numbers = calloc(count, sizeof *numbers)) ||
        spk_h5_data_read(data, 1, NULL, SPK_F64, numbers, count * sizeof *numbers, error)) {
        spk_fail(error, SPK_INVALID, "%s:%s does not hold one number for each of the %llu images",
                 spk_h5_path(file), path, (unsigned long long)count);
        free(numbers);
        numbers = NULL;
    }
    spk_h5_data_close(&data);
    return numbers;
}

/* Keeps the images whose key is `wanted`. */
static spk_status select_key(struct input *input, const double *key, const double *angle, double wanted,
                             struct spk_error *error)
{
    uint64_t kept = 0;
    input->index = calloc(input->frames, sizeof *input->index);
    input->angle = angle ? calloc(input->frames, sizeof *input->angle) : NULL;
    if (!input->index || (angle && !input->angle))
        return spk_fail(error, SPK_NOMEM, "no memory for the image list of %s", input->name);
    for (uint64_t i = 0; i < input->frames; i++) {
        if (key[i] != wanted)
            continue;
        if (angle)
            input->angle[kept] = angle[i];
        input->index[kept++] = i;
    }
    input->frames = kept;
    return kept ? SPK_OK : SPK_END;
}

/* The detector group of an NXtomo file; false when it is none. */
static bool find_detector(struct spk_h5 *file, char *group, size_t size)
{
    char key[SPK_STRING_SIZE + 16];
    if (spk_h5_find(file, "/", "NX_class", "NXdetector", group, size, NULL))
        return false;
    snprintf(key, sizeof key, "%s/image_key", group);
    return spk_h5_has_data(file, key);
}

/* SPK_END when the NXtomo file has no images of this role. Its projections are samples, and references too when the file is
 * named as the reference. */
static spk_status open_nxtomo(struct input *input, const char *group, enum spk_role role,
                              struct spk_error *error)
{
    char path[SPK_STRING_SIZE + 32];
    snprintf(path, sizeof path, "%s/data", group);
    spk_status status = spk_h5_data_open(&input->data, input->file, path, error);
    if (status || (status = take_form(input, role, error)))
        return status;
    snprintf(input->name, sizeof input->name, "%.*s:%s", (int)sizeof input->name / 2,
             spk_h5_path(input->file), path);
    snprintf(path, sizeof path, "%s/image_key", group);
    double *key = read_numbers(input->file, path, input->frames, error), *angle = NULL;
    if (!key)
        return SPK_INVALID;
    char entry[SPK_STRING_SIZE];
    snprintf(entry, sizeof entry, "/%.*s", (int)strcspn(group + 1, "/"), group + 1);
    snprintf(path, sizeof path, "%s/sample/rotation_angle", entry);
    if (spk_h5_has_data(input->file, path))
        angle = read_numbers(input->file, path, input->frames, error);
    int wanted = role == SPK_ROLE_DARK ? KEY_DARK : role == SPK_ROLE_FLAT ? KEY_FLAT : KEY_PROJECTION;
    status = select_key(input, key, angle, wanted, error);
    free(angle);
    free(key);
    return status;
}

static const char *usual_name(struct spk_h5 *file, enum spk_role role, bool alone)
{
    for (const char *const *name = usual_names[role]; *name; name++)
        if (spk_h5_has_data(file, *name))
            return *name;
    for (const char *const *name = other_names; alone && *name; name++)
        if (spk_h5_has_data(file, *name))
            return *name;
    return NULL;
}

spk_status input_hdf5_open(struct input *input, const char *path, const char *dataset, enum spk_role role,
                           struct spk_error *error)
{
    spk_status status = spk_h5_open(&input->file, path, error);
    if (status)
        return status;
    char group[SPK_STRING_SIZE];
    bool image = role == SPK_ROLE_SAMPLE || role == SPK_ROLE_REFERENCE;
    const char *name = *dataset ? dataset : usual_name(input->file, role, false);
    if (!name && find_detector(input->file, group, sizeof group))
        return open_nxtomo(input, group, role, error);
    if (!name)
        name = usual_name(input->file, role, image);
    char first[SPK_STRING_SIZE + 32];
    const char *parts = *dataset ? dataset : name || !image ? NULL : "/entry/data";
    if (parts && input_parts_find(input->file, parts, first, sizeof first))
        name = first;
    if (!name)
        return SPK_END;
    snprintf(input->name, sizeof input->name, "%s:%s", path, name);
    status = spk_h5_data_open(&input->data, input->file, name, error);
    if (!status)
        status = take_form(input, role, error);
    return status || name != first ? status : input_parts_open(input, parts, error);
}

/* Looks for attribute `name` on the dataset and on each group above it. */
static spk_status find_number(const struct input *input, const char *name, double *value,
                              struct spk_error *error)
{
    char path[INPUT_NAME_SIZE];
    snprintf(path, sizeof path, "%s", strstr(input->name, ":/") ? strrchr(input->name, ':') + 1 : "/");
    for (;;) {
        double found;
        spk_status status = spk_h5_get_number(input->file, path, name, &found, error);
        if (status < 0)
            return status;
        if (status == SPK_OK && !(isfinite(found) && found > 0))
            return spk_fail(error, SPK_INVALID, "attribute %s of %s:%s is %g; a positive number is expected",
                            name, spk_h5_path(input->file), path, found);
        if (status == SPK_OK) {
            *value = found;
            return SPK_OK;
        }
        char *slash = strrchr(path, '/');
        if (!slash || strcmp(path, "/") == 0)
            return SPK_OK;
        slash[slash == path] = '\0';
    }
}

spk_status input_geometry(const struct input *input, struct spk_geometry *geometry, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (!input->file)
        return status;
    if (geometry->energy_kev == 0)
        status = find_number(input, "energy_kev", &geometry->energy_kev, error);
    if (!status && geometry->pixel_size_m == 0)
        status = find_number(input, "pixel_size_m", &geometry->pixel_size_m, error);
    if (!status && geometry->distance_m == 0)
        status = find_number(input, "distance_m", &geometry->distance_m, error);
    return status;
}
