/* What is done round a network, on a device: queued on the lane's stream. What only the device knows stays there. */
#include "method.h"
#include "method_there.h"

#include <stdlib.h>

struct nn_method_there {
    spk_device_operation measure, show, bulk, store;
    void *memory;
    struct nn_found *found;
    double *sum, *number;
    float *most, *score;
};

static void close_there(struct spk_nn_recon *recon)
{
    if (!recon->there)
        return;
    spk_stream_wait(recon->stream, NULL); /* what is queued uses what is given back */
    spk_device_release(recon->device, &recon->there->memory);
    free(recon->there);
    recon->there = NULL;
}

static spk_status find_operations(struct spk_nn_recon *recon, struct spk_error *error)
{
    struct nn_method_there *there = recon->there;
    const struct {
        const char *name;
        spk_device_operation *operation;
    } wanted[] = {{"spk_nn_measure_there", &there->measure},
                  {"spk_nn_show_there", &there->show},
                  {"spk_nn_bulk_there", &there->bulk},
                  {"spk_nn_store_there", &there->store}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].operation = spk_device_find(recon->device, wanted[i].name);
        if (!*wanted[i].operation)
            return spk_fail(error, SPK_UNSUPPORTED, "%s: the device's module lacks %s", recon->method->name,
                            wanted[i].name);
    }
    return SPK_OK;
}

static spk_status open_there(struct spk_nn_recon *recon, struct spk_error *error)
{
    const size_t span = 2 * (size_t)recon->config.bulk_shift + 1;
    struct nn_method_there *there = recon->there = calloc(1, sizeof *there);
    if (!there)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", recon->method->name);
    const struct spk_device_part part[] = {
        {(void **)&there->found, sizeof *there->found},
        {(void **)&there->sum, NN_MEASURE_BLOCKS * sizeof *there->sum},
        {(void **)&there->number, NN_MEASURE_BLOCKS * sizeof *there->number},
        {(void **)&there->most, NN_MEASURE_BLOCKS * sizeof *there->most},
        {(void **)&there->score, span * span * sizeof *there->score},
    };
    spk_status status = find_operations(recon, error);
    if (!status)
        status =
            spk_device_allocate_parts(recon->device, part, sizeof part / sizeof *part, &there->memory, error);
    return status ? status : spk_stream_fill(recon->stream, there->found, 0, sizeof *there->found, error);
}

static spk_status measure(struct spk_nn_recon *recon, struct spk_error *error)
{
    const struct nn_method_there *there = recon->there;
    struct nn_measuring measuring = {.stack = recon->reference->data,
                                     .mask = recon->reference->mask,
                                     .pixels = (size_t)recon->height * recon->width,
                                     .count = recon->count,
                                     .maximum = recon->config.unit == SPK_NN_UNIT_MAXIMUM,
                                     .sum = there->sum,
                                     .number = there->number,
                                     .most = there->most,
                                     .found = there->found};
    for (unsigned i = 0; i < recon->used_count; i++)
        measuring.used[recon->used[i] / 32] |= 1u << recon->used[i] % 32;
    return spk_stream_run(recon->stream, there->measure, &measuring, error);
}

static spk_status fill(struct spk_nn_recon *recon, const struct spk_stack *stack, int input, bool shifted,
                       struct spk_error *error)
{
    const struct nn_showing_there showing = {nn_showing_of(recon, stack, input), recon->there->found,
                                             shifted};
    return spk_stream_run(recon->stream, recon->there->show, &showing, error);
}

static spk_status show(struct spk_nn_recon *recon, const struct spk_stack *stack, int input,
                       struct spk_error *error)
{
    return fill(recon, stack, input, false, error);
}

static spk_status show_sample(struct spk_nn_recon *recon, const struct spk_stack *sample,
                              struct spk_error *error)
{
    const int input = recon->ports.sample;
    spk_status status = fill(recon, sample, input, false, error);
    if (status || !recon->config.bulk_shift)
        return status;
    const struct nn_bulk_there bulk = {.sample = spk_nn_data(recon->nn, input),
                                       .reference = spk_nn_data(recon->nn, recon->ports.reference),
                                       .height = (int)recon->height,
                                       .width = (int)recon->width,
                                       .in_width = (int)recon->in_width,
                                       .reach = (int)recon->config.bulk_shift,
                                       .score = recon->there->score,
                                       .found = recon->there->found};
    status = spk_stream_run(recon->stream, recon->there->bulk, &bulk, error);
    return status ? status : fill(recon, sample, input, true, error);
}

static spk_status store(struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps,
                        struct spk_error *error)
{
    const struct nn_storing_there storing = {nn_storing_of(recon, maps), recon->there->found};
    return spk_stream_run(recon->stream, recon->there->store, &storing, error);
}

const struct nn_method_ops nn_method_there = {.open = open_there,
                                              .close = close_there,
                                              .measure = measure,
                                              .show = show,
                                              .show_sample = show_sample,
                                              .store = store};
