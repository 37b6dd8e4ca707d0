/* A series in parts, as detectors write it that begin a new file every so many images: data_000001, data_000002, ... in one group,
 * mostly links to these files. Each part but the last has as many images as the first. */
#include "input.h"

#include <stdio.h>
#include <stdlib.h>

static void part_path(char *path, size_t size, const char *group, unsigned number)
{
    snprintf(path, size, "%s/data_%06u", group, number);
}

bool input_parts_find(struct spk_h5 *file, const char *group, char *path, size_t size)
{
    part_path(path, size, group, 1);
    return spk_h5_has_data(file, path);
}

static spk_status check_part(const struct input *input, const char *path, const struct spk_h5_form *form,
                             struct spk_error *error)
{
    const char *file = spk_h5_path(input->file);
    if (form->rank != 3 || form->size[1] != input->height || form->size[2] != input->width ||
        form->dtype != input->dtype)
        return spk_fail(error, SPK_INVALID, "%s:%s does not hold images as data_000001 does", file, path);
    if (input->frames % input->part || form->size[0] > input->part)
        return spk_fail(error, SPK_INVALID,
                        "%s:%s: parts of unequal length; each but the last has the %llu images of the first",
                        file, path, (unsigned long long)input->part);
    return SPK_OK;
}

static spk_status add_part(struct input *input, const char *path, struct spk_error *error)
{
    struct spk_h5_data **more = realloc(input->further, (input->further_count + 1) * sizeof *more);
    if (!more)
        return spk_fail(error, SPK_NOMEM, "no memory for the parts of %s", input->name);
    input->further = more;
    more[input->further_count] = NULL;
    spk_status status = spk_h5_data_open(&more[input->further_count], input->file, path, error);
    if (status)
        return status;
    const struct spk_h5_form *form = spk_h5_data_form(more[input->further_count++]);
    status = check_part(input, path, form, error);
    input->frames += status ? 0 : form->size[0];
    return status;
}

spk_status input_parts_open(struct input *input, const char *group, struct spk_error *error)
{
    char path[SPK_STRING_SIZE + 32];
    input->part = input->frames;
    for (unsigned number = 2; input->part && number < INPUT_PARTS_MAX; number++) {
        part_path(path, sizeof path, group, number);
        if (!spk_h5_has_data(input->file, path))
            break;
        spk_status status = add_part(input, path, error);
        if (status)
            return status;
    }
    return SPK_OK;
}

struct spk_h5_data *input_parts_at(const struct input *input, uint64_t *place)
{
    uint64_t part = input->part ? *place / input->part : 0;
    *place -= part * input->part;
    return part ? input->further[part - 1] : input->data;
}

void input_parts_close(struct input *input)
{
    for (unsigned i = 0; i < input->further_count; i++)
        spk_h5_data_close(&input->further[i]);
    free(input->further);
}
