/* Reads the weights of specklenet from an HDF5 file (train/export.py writes it). */
#include "specklenet.h"

#include <speckled/h5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const layers[] = {
    "coarse.body.0",    "coarse.body.2",    "coarse.body.4",    "coarse.body.6",  "coarse.head",    "middle.body.0",
    "middle.body.2",    "middle.body.4",    "middle.body.6",    "middle.head",    "fine.body.0",    "fine.body.2",
    "fine.body.4",      "fine.head",        "fusion.enter.0",   "fusion.enter.2", "fusion.context.0", "fusion.context.2",
    "fusion.context.4", "fusion.merge.0",   "fusion.merge.2",   "fusion.head"};
static const char *const constants[] = {"fusion/trust", "calibration/edge", "calibration/factor"};
static const char *const texts[] = {"architecture", "trained", "licence"};

enum { VALUES_MAX = 1 << 20, RANK_MAX = 4 };

static spk_status read_tensor(struct spk_nn_weights *weights, struct spk_h5 *file, const char *name, float *values,
                              struct spk_error *error)
{
    char path[128];
    struct spk_h5_data *data = NULL;
    uint32_t size[RANK_MAX];
    uint64_t count = 1;
    snprintf(path, sizeof path, "/weights/%s", name);
    spk_status status = spk_h5_data_open(&data, file, path, error);
    if (status)
        return status;
    const struct spk_h5_form *form = spk_h5_data_form(data);
    for (unsigned k = 0; k < form->rank && form->rank <= RANK_MAX && count <= VALUES_MAX; k++) {
        count *= form->size[k] <= VALUES_MAX ? form->size[k] : VALUES_MAX + 1;
        size[k] = (uint32_t)form->size[k];
    }
    if (form->rank > RANK_MAX || !count || count > VALUES_MAX)
        status = spk_fail(error, SPK_INVALID, "%s: %s has a size that no layer of specklenet has", spk_h5_path(file), path);
    if (!status)
        status = spk_h5_data_read(data, form->rank, NULL, SPK_F32, values, VALUES_MAX * sizeof *values, error);
    if (!status)
        status = spk_nn_weights_add(weights, name, form->rank, size, values, error);
    spk_h5_data_close(&data);
    return status;
}

/* Keeps `count` of the rows of a tensor (or of the columns, where `rows` is more than 1) under another name. */
struct slice {
    const char *from, *to;
    unsigned rank;
    uint32_t size[RANK_MAX]; /* of the whole */
    unsigned axis;           /* 0: outputs, 1: inputs */
    const uint8_t *keep;     /* [size[axis]] */
};

static spk_status add_slice(struct spk_nn_weights *weights, const struct slice *slice, float *values, struct spk_error *error)
{
    const float *from;
    uint32_t size[RANK_MAX], kept = 0;
    spk_status status = spk_nn_weights_find(weights, slice->from, slice->rank, slice->size, &from, error);
    if (status)
        return status;
    const uint32_t columns = slice->rank > 1 ? slice->size[1] : 1;
    for (uint32_t y = 0; y < slice->size[0]; y++)
        for (uint32_t x = 0; x < columns; x++)
            if (slice->keep[slice->axis ? x : y])
                values[kept++] = from[y * columns + x];
    memcpy(size, slice->size, sizeof size);
    size[slice->axis] = kept / (slice->axis ? slice->size[0] : columns);
    return spk_nn_weights_add(weights, slice->to, slice->rank, size, values, error);
}

/* The fusion without its two wide windows, for more than three scan positions. */
static spk_status add_narrow(struct spk_nn_weights *weights, float *values, struct spk_error *error)
{
    enum { WINDOWS = 7, FEATURES = 7 * WINDOWS + 9, CHOICES = WINDOWS + (WINDOWS + 3) + WINDOWS + 4 + 3 };
    uint8_t inputs[FEATURES], outputs[CHOICES];
    memset(inputs, 1, sizeof inputs);
    memset(outputs, 1, sizeof outputs);
    memset(inputs + 7 * 5, 0, 7 * 2);
    for (unsigned k = 5; k < WINDOWS; k++)
        outputs[k] = outputs[WINDOWS + k] = outputs[2 * WINDOWS + 3 + k] = 0;
    const struct slice slices[] = {
        {"fusion.enter.0/weight", "fusion.enter.0.narrow/weight", 4, {40, FEATURES, 1, 1}, 1, inputs},
        {"fusion.head/weight", "fusion.head.narrow/weight", 4, {CHOICES, 32, 1, 1}, 0, outputs},
        {"fusion.head/bias", "fusion.head.narrow/bias", 1, {CHOICES}, 0, outputs},
    };
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        if (add_slice(weights, &slices[i], values, error))
            return error->status;
    const float *bias;
    const uint32_t channels = 40;
    if (spk_nn_weights_find(weights, "fusion.enter.0/bias", 1, &channels, &bias, error))
        return error->status;
    return spk_nn_weights_add(weights, "fusion.enter.0.narrow/bias", 1, &channels, bias, error);
}

static spk_status read_all(struct spk_nn_weights *weights, struct spk_h5 *file, float *values, struct spk_error *error)
{
    char name[96];
    for (size_t i = 0; i < 2 * sizeof layers / sizeof *layers; i++) {
        snprintf(name, sizeof name, "%s/%s", layers[i / 2], i % 2 ? "bias" : "weight");
        if (read_tensor(weights, file, name, values, error))
            return error->status;
    }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (read_tensor(weights, file, constants[i], values, error))
            return error->status;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[1024];
        spk_status status = spk_h5_get_string(file, "/", texts[i], text, sizeof text, error);
        if (status < 0)
            return status;
        if (!status && spk_nn_weights_set_text(weights, texts[i], text, error))
            return error->status;
    }
    return add_narrow(weights, values, error);
}

spk_status spk_specklenet_load(struct spk_nn_weights **weights, const char *path, struct spk_error *error)
{
    struct spk_nn_weights *made = NULL;
    struct spk_h5 *file = NULL;
    struct spk_error ignored;
    float *values = malloc(VALUES_MAX * sizeof *values);
    spk_status status = values ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory to read %s", path);
    if (!status)
        status = spk_h5_open(&file, path, error);
    if (!status)
        status = spk_nn_weights_create(&made, error);
    if (!status)
        status = read_all(made, file, values, error);
    if (file)
        spk_h5_close(&file, &ignored);
    free(values);
    if (status) {
        spk_nn_weights_destroy(&made);
        return spk_fail_context(error, "weights of recon_specklenet");
    }
    *weights = made;
    return SPK_OK;
}
