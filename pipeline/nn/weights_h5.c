/* Reading weights from HDF5 files. */
#include "weights_h5.h"

#include <speckled/h5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_SIZE = 1 << 16, TENSORS_MAX = 4096, VALUES_MAX = 1 << 28 };

static const char *const texts[] = {"format",     "architecture", "variant", "trained",
                                    "validation", "training",     "licence", "provenance"};

static spk_status read_texts(struct spk_nn_weights *weights, struct spk_h5 *file, struct spk_error *error)
{
    char *text = malloc(TEXT_SIZE);
    if (!text)
        return spk_fail(error, SPK_NOMEM, "no memory");
    spk_status status = SPK_OK;
    for (size_t i = 0; status >= 0 && i < sizeof texts / sizeof *texts; i++) {
        status = spk_h5_get_string(file, "/", texts[i], text, TEXT_SIZE, error);
        if (status == SPK_OK)
            status = spk_nn_weights_set_text(weights, texts[i], text, error);
    }
    free(text);
    return status < 0 ? status : SPK_OK;
}

static spk_status read_tensor(struct spk_nn_weights *weights, struct spk_h5 *file, const char *name,
                              struct spk_error *error)
{
    char path[1100];
    snprintf(path, sizeof path, "/weights/%s", name);
    struct spk_h5_data *data = NULL;
    spk_status status = spk_h5_data_open(&data, file, path, error);
    if (status)
        return status;
    const struct spk_h5_form *form = spk_h5_data_form(data);
    uint32_t size[SPK_H5_RANK_MAX] = {0};
    size_t count = 1;
    for (unsigned d = 0; d < form->rank; d++) {
        if (form->size[d] > VALUES_MAX || __builtin_mul_overflow(count, (size_t)form->size[d], &count) ||
            count > VALUES_MAX)
            status = spk_fail(error, SPK_INVALID, "%s is too large for a weight", path);
        size[d] = (uint32_t)form->size[d];
    }
    unsigned rank = form->rank;
    float *values = status ? NULL : malloc((count + 1) * sizeof *values);
    if (!status && !values)
        status = spk_fail(error, SPK_NOMEM, "no memory for %s", path);
    if (!status)
        status = spk_h5_data_read(data, rank, NULL, SPK_F32, values, count * sizeof *values, error);
    if (!status)
        status = spk_nn_weights_add(weights, name, rank, size, values, error);
    free(values);
    spk_h5_data_close(&data);
    return status;
}

static spk_status check_texts(const struct spk_nn_weights *weights, const char *architecture,
                              struct spk_error *error)
{
    const char *format = spk_nn_weights_text(weights, "format");
    const char *found = spk_nn_weights_text(weights, "architecture");
    if (!format || strcmp(format, "speckled-network-1") != 0)
        return spk_fail(error, SPK_INVALID,
                        "no file of network weights: its attribute format is \"%s\", not "
                        "\"speckled-network-1\"",
                        format ? format : "");
    if (!found || strcmp(found, architecture) != 0)
        return spk_fail(error, SPK_INVALID, "weights of the network \"%s\", not of \"%s\"",
                        found ? found : "", architecture);
    return SPK_OK;
}

static spk_status read_file(struct spk_nn_weights *weights, struct spk_h5 *file, const char *architecture,
                            struct spk_error *error)
{
    char name[1024];
    spk_status status = read_texts(weights, file, error);
    if (!status)
        status = check_texts(weights, architecture, error);
    for (unsigned i = 0; !status && i < TENSORS_MAX; i++) {
        status = spk_h5_data_name(file, "/weights", i, name, sizeof name, error);
        if (!status)
            status = read_tensor(weights, file, name, error);
    }
    return status < 0 ? status : SPK_OK;
}

spk_status nn_weights_open(struct spk_nn_weights *weights, const char *path, const char *architecture,
                           struct spk_error *error)
{
    struct spk_h5 *file = NULL;
    spk_status status = spk_h5_open(&file, path, error);
    if (status)
        return status;
    status = read_file(weights, file, architecture, error);
    spk_h5_close(&file, NULL);
    return status ? spk_fail_context(error, "%s", path) : SPK_OK;
}

spk_status spk_nn_weights_load(struct spk_nn_weights **weights, const char *path, const char *architecture,
                               struct spk_error *error)
{
    spk_status status = spk_nn_weights_create(weights, error);
    if (status)
        return status;
    const char *const arguments[] = {path, architecture, NULL};
    status = spk_h5_try(path, "weights", arguments, SPK_H5_LOOK_MS,
                        error); /* HDF5 crashes on some damaged files */
    if (!status)
        status = nn_weights_open(*weights, path, architecture, error);
    if (status)
        spk_nn_weights_destroy(weights);
    return status;
}
