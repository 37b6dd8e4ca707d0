/* From a specification to the kind of file it names. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcasecmp(text + length - tail, ending) == 0;
}

static bool is_tiff(const char *path)
{
    struct stat about;
    return ends_with(path, ".tif") || ends_with(path, ".tiff") ||
           (stat(path, &about) == 0 && S_ISDIR(about.st_mode));
}

/* Splits "FILE:/dataset" at its last ":/"; without one the whole is a file, or, with `file` given, a dataset of it. */
static void split(const char *specification, const char *file, char path[SPK_STRING_SIZE],
                  char dataset[SPK_STRING_SIZE])
{
    struct stat about;
    spk_h5_split(specification, path, dataset, SPK_STRING_SIZE);
    if (!*dataset && *file && specification[0] == '/' && stat(specification, &about) != 0) {
        snprintf(path, SPK_STRING_SIZE, "%s", file);
        snprintf(dataset, SPK_STRING_SIZE, "%s", specification);
    } else if (!*specification) {
        snprintf(path, SPK_STRING_SIZE, "%s", file);
    }
}

/* No dataset has a usual name: says which there are. */
static spk_status fail_unnamed(const struct input *input, const char *path, enum spk_role role,
                               struct spk_error *error)
{
    char names[SPK_STRING_SIZE] = "", name[SPK_STRING_SIZE];
    size_t length = 0;
    for (unsigned i = 0; i < 6 && input->file && length < 160; i++) {
        if (spk_h5_data_name(input->file, "/", i, name, sizeof name, NULL))
            break;
        length +=
            (size_t)snprintf(names + length, sizeof names - length, "%s/%.80s", i ? ", " : "; it has ", name);
    }
    return spk_fail(error, SPK_INVALID, "%s holds no %s images under a usual name; write %s:/dataset%s", path,
                    spk_role_name(role), path, names);
}

spk_status input_open(struct input *input, const char *specification, const char *file, enum spk_role role,
                      struct spk_error *error)
{
    *input = (struct input){0};
    char path[SPK_STRING_SIZE], dataset[SPK_STRING_SIZE];
    split(specification, file, path, dataset);
    if (!path[0])
        return SPK_END;
    snprintf(input->name, sizeof input->name, "%s%s%s", path, dataset[0] ? ":" : "", dataset);
    bool tiff = !dataset[0] && is_tiff(path);
    if (tiff && !*specification)
        return role != SPK_ROLE_SAMPLE
                   ? SPK_END
                   : spk_fail(error, SPK_INVALID,
                              "%s: TIFF images do not say what they are; name them `sample`", path);
    spk_status status =
        tiff ? input_tiff_open(input, path, error) : input_hdf5_open(input, path, dataset, role, error);
    if (!status && input->frames == 0)
        status = spk_fail(error, SPK_INVALID, "%s holds no image", input->name);
    if (status == SPK_END && (*specification || role == SPK_ROLE_SAMPLE))
        status = fail_unnamed(input, path, role, error);
    if (status)
        input_close(input);
    return status;
}

void input_close(struct input *input)
{
    input_parts_close(input);
    spk_h5_data_close(&input->data);
    spk_h5_close(&input->file, NULL);
    input_tiff_close(&input->tiff);
    free(input->index);
    free(input->angle);
    *input = (struct input){0};
}

spk_status input_check_sides(const struct input *input, uint64_t height, uint64_t width,
                             struct spk_error *error)
{
    if (height && width && height <= INPUT_SIDE_MAX && width <= INPUT_SIDE_MAX)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: images of %llu x %llu pixels; 1 to %d a side are read",
                    input->name, (unsigned long long)height, (unsigned long long)width, INPUT_SIDE_MAX);
}

static spk_status read_hdf5(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                            struct spk_error *error)
{
    uint64_t place = input->index ? input->index[number] : number;
    struct spk_h5_data *data = input_parts_at(input, &place);
    const uint64_t deep[2] = {input->group ? place / input->group : 0,
                              input->group ? place % input->group : 0};
    size_t capacity = (size_t)input->height * input->width * spk_dtype_size(dtype);
    return spk_h5_data_read(data, 2, input->group ? deep : &place, dtype, out, capacity, error);
}

spk_status input_read(struct input *input, uint64_t number, enum spk_dtype dtype, void *out,
                      struct spk_error *error)
{
    spk_status status = input->tiff ? input_tiff_read(input, number, dtype, out, error)
                                    : read_hdf5(input, number, dtype, out, error);
    return status ? spk_fail_context(error, "image %llu", (unsigned long long)number) : SPK_OK;
}

/* Reads the first and the last image; nobody looks at them. */
static spk_status read_ends(struct input *input, struct spk_error *error)
{
    void *image = malloc((size_t)input->height * input->width * spk_dtype_size(input->dtype));
    if (!image)
        return spk_fail(error, SPK_NOMEM, "no memory for an image of %s", input->name);
    spk_status status = input_read(input, 0, input->dtype, image, error);
    if (!status && input->frames > 1)
        status = input_read(input, input->frames - 1, input->dtype, image, error);
    free(image);
    return status;
}

spk_status input_look(const char *specification, const char *file, enum spk_role role,
                      struct spk_error *error)
{
    struct input input;
    struct spk_geometry geometry = {0};
    spk_status status = input_open(&input, specification, file, role, error);
    if (status)
        return status;
    if (input.data)
        status = spk_h5_data_walk(input.data, error);
    for (unsigned i = 0; !status && i < input.further_count; i++)
        status = spk_h5_data_walk(input.further[i], error);
    if (!status)
        status = input_geometry(&input, &geometry, error);
    if (!status)
        status = read_ends(&input, error);
    input_close(&input);
    return status;
}

spk_status input_try(const char *specification, const char *file, enum spk_role role, struct spk_error *error)
{
    const char *const arguments[] = {specification, file, spk_role_name(role), NULL};
    if (!*specification && !*file)
        return SPK_END;
    return spk_h5_try(*specification ? specification : file, "images", arguments, SPK_H5_LOOK_MS, error);
}
