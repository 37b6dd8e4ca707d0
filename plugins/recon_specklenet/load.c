/* The fusion's weights without its two wide windows, taken from those with. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { RANK_MAX = 4, VALUES_MAX = 1 << 14 };

/* Some of the outputs or inputs of a tensor, under another name. */
struct slice {
    const char *from, *to;
    unsigned rank;
    uint32_t size[RANK_MAX]; /* of the whole */
    unsigned axis;           /* 0: outputs, 1: inputs */
    const uint8_t *keep;     /* [size[axis]] */
};

static spk_status add_slice(struct spk_nn_weights *weights, const struct slice *slice, float *values,
                            struct spk_error *error)
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

static spk_status add_slices(struct spk_nn_weights *weights, float *values, struct spk_error *error)
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

static spk_status add_narrow(struct spk_nn_weights *weights, struct spk_error *error)
{
    float *values = malloc(VALUES_MAX * sizeof *values);
    spk_status status = values ? add_slices(weights, values, error)
                               : spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory for its weights");
    free(values);
    return status;
}

spk_status spk_specklenet_load(struct spk_nn_weights **weights, const char *path, struct spk_error *error)
{
    spk_status status = spk_nn_weights_load(weights, path, "specklenet", error);
    if (!status)
        status = add_narrow(*weights, error);
    if (status)
        spk_nn_weights_destroy(weights);
    return status;
}
