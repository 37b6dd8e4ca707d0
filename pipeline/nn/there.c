/* A network on a device: weights go up once, then each layer of each strip is an operation queued on the lane's stream. */
#include "there.h"
#include "graph.h"

#include <stdlib.h>
#include <string.h>

struct nn_context {
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation conv, rows;
};

struct there_chain {
    void **weight; /* [layers], there: as struct nn_conv_there has them, biases behind the weights */
    unsigned layers;
    size_t buffer_bytes;
    unsigned char *made, *buffer; /* there: sources made in the strip; two buffers between layers */
};

static spk_status find(struct nn_context *context, const char *name, spk_device_operation *operation,
                       struct spk_error *error)
{
    *operation = spk_device_find(context->device, name);
    return *operation ? SPK_OK : spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks %s", name);
}

static void close_context(struct nn_context **context)
{
    free(*context);
    *context = NULL;
}

static spk_status open_context(struct nn_context **out, const struct spk_nn_config *config,
                               struct spk_error *error)
{
    struct nn_context *context = *out = calloc(1, sizeof *context);
    if (!context)
        return spk_fail(error, SPK_NOMEM, "no memory");
    context->device = config->device;
    context->stream = config->stream;
    spk_status status = find(context, "spk_nn_conv_there", &context->conv, error);
    status = status ? status : find(context, "spk_nn_rows_there", &context->rows, error);
    if (status)
        close_context(out);
    return status;
}

/* Copies `count` numbers to new memory there, and waits. */
static spk_status send(const struct nn_context *context, const float *values, size_t count, void **memory,
                       struct spk_error *error)
{
    size_t bytes = count * sizeof *values;
    spk_status status = spk_device_allocate(context->device, bytes, memory, error);
    status = status ? status : spk_stream_copy(context->stream, *memory, values, bytes, error);
    return status ? status : spk_stream_wait(context->stream, error);
}

static size_t groups_of(const struct nn_layer *layer)
{
    return (layer->channels + NN_THERE_GROUP - 1) / NN_THERE_GROUP;
}

/* Numbers of one group of channels. */
static size_t group_floats(const struct nn_layer *layer)
{
    return (size_t)layer->inputs * layer->kernel * layer->kernel * NN_THERE_GROUP;
}

static spk_status send_weights(const struct nn_context *context, const struct nn_layer *layer, void **memory,
                               size_t *bytes, struct spk_error *error)
{
    size_t group = group_floats(layer), all = groups_of(layer) * group, taps = group / NN_THERE_GROUP;
    size_t count = all + groups_of(layer) * NN_THERE_GROUP;
    float *values = calloc(count, sizeof *values);
    if (!values)
        return spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", layer->name);
    for (size_t c = 0; c < layer->channels; c++)
        for (size_t i = 0; i < taps; i++)
            values[c / NN_THERE_GROUP * group + i * NN_THERE_GROUP + c % NN_THERE_GROUP] =
                layer->weight[c * taps + i];
    memcpy(values + all, layer->bias, layer->channels * sizeof *values);
    spk_status status = send(context, values, count, memory, error);
    free(values);
    *bytes += count * sizeof *values;
    return status;
}

static void destroy(struct nn_context *context, struct nn_chain *chain)
{
    struct there_chain *state = chain->state;
    if (!state)
        return;
    for (unsigned i = 0; i < state->layers; i++)
        spk_device_release(context->device, &state->weight[i]);
    free(state->weight);
    free(state);
    chain->state = NULL;
}

/* Bytes of the largest tensor between two layers of a strip. */
static size_t largest_between(const struct nn_chain *chain)
{
    size_t most = 0;
    for (unsigned k = 0; k < chain->kinds; k++) {
        const struct nn_span *span = &chain->span[chain->first_of_kind[k] * chain->layers];
        for (unsigned i = 0; i + 1 < chain->layers; i++) {
            size_t floats = (size_t)chain->layer[i].channels * span[i].out_rows * chain->width[i + 1];
            most = floats > most ? floats : most;
        }
    }
    return most * sizeof(float);
}

static spk_status create(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error)
{
    const char *name = chain->layer[0].name;
    if (chain->sources > SPK_NN_JOIN_MAX)
        return spk_fail(error, SPK_UNSUPPORTED, "%s reads %u tensors, at most %d on a device", name,
                        chain->sources, SPK_NN_JOIN_MAX);
    struct there_chain *state = chain->state = calloc(1, sizeof *state);
    if (state)
        state->weight = calloc(chain->layers, sizeof *state->weight);
    spk_status status =
        state && state->weight ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", name);
    for (unsigned i = 0; !status && i < chain->layers; i++) {
        state->layers = i + 1;
        status = send_weights(context, &chain->layer[i], &state->weight[i], bytes, error);
    }
    if (status) {
        destroy(context, chain);
        return status;
    }
    state->buffer_bytes = nn_round_up(largest_between(chain));
    chain->scratch_bytes = 2 * state->buffer_bytes;
    return SPK_OK;
}

static spk_status bind(struct nn_context *context, struct nn_chain *chain, unsigned char *scratch,
                       size_t stride, unsigned workers, struct spk_error *error)
{
    (void)context;
    (void)stride;
    (void)workers;
    (void)error;
    struct there_chain *state = chain->state;
    state->made = scratch;
    state->buffer = scratch + chain->gather_bytes;
    return SPK_OK;
}

const struct nn_backend nn_backend_there = {.name = "device",
                                            .reads_planes = true,
                                            .open = open_context,
                                            .close = close_context,
                                            .create = create,
                                            .destroy = destroy,
                                            .bind = bind};

spk_status nn_there_prepare(struct spk_nn *nn, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->nodes; i++) {
        struct nn_node *node = &nn->node[i];
        if (node->own_weight)
            status = send(nn->context, node->own_weight, 10 * (size_t)node->shape.channels,
                          &node->there_weight, error);
        else if (node->kind == NN_ROWS && node->operation == NN_CUSTOM && !node->there_name)
            status = spk_fail(error, SPK_UNSUPPORTED, "layer %u has no operation for a device", i);
        else if (node->there_name)
            status = find(nn->context, node->there_name, &node->there, error);
    }
    status = status ? status : spk_stream_wait(nn->stream, error);
    if (status)
        spk_fail_context(error, "%s", nn->name);
    return status;
}

/* All rows that `out` holds. */
static spk_status make_rows(struct spk_nn *nn, const struct nn_node *node, const struct spk_nn_view *out,
                            struct spk_error *error)
{
    struct spk_nn_view in[SPK_NN_JOIN_MAX];
    for (unsigned k = 0; k < node->inputs; k++)
        in[k] = nn->node[node->input[k]].view;
    const struct spk_nn_rows_job job = {
        .in = in, .out = out, .y0 = out->first, .y1 = out->first + out->height};
    if (node->there)
        return spk_stream_run(nn->stream, node->there, &job, error);
    const struct nn_rows_there rows = {node->operation, &node->form, node->there_weight, &job};
    return spk_stream_run(nn->stream, nn->context->rows, &rows, error);
}

/* `rows` rows of a tensor in a strip's own memory. */
static struct spk_nn_view view_at(void *memory, uint32_t channels, uint32_t first, uint32_t rows,
                                  uint32_t width)
{
    return (struct spk_nn_view){.data = memory,
                                .plane = (size_t)rows * width,
                                .channels = channels,
                                .first = first,
                                .height = rows,
                                .width = width};
}

/* Lists what the first layer of a strip reads: planes where they lie, or rows made now. */
static spk_status list_sources(struct spk_nn *nn, const struct nn_chain *chain, const struct nn_span *span,
                               struct nn_conv_there *conv, struct spk_error *error)
{
    const struct there_chain *state = chain->state;
    unsigned char *made = state->made;
    spk_status status = SPK_OK;
    conv->sources = chain->sources;
    for (unsigned i = 0; !status && i < chain->sources; i++) {
        const struct nn_node *node = &nn->node[chain->source[i].node];
        conv->in[i] = node->view;
        if (!chain->source[i].made)
            continue;
        struct spk_nn_view *view = &conv->in[i];
        *view = view_at(made, node->shape.channels, span->in_first, span->in_rows, chain->width[0]);
        made += view->plane * view->channels * sizeof(float);
        status = make_rows(nn, node, view, error);
    }
    return status;
}

static spk_status run_strip(struct spk_nn *nn, const struct nn_chain *chain, unsigned strip,
                            struct spk_error *error)
{
    const struct there_chain *state = chain->state;
    const struct nn_span *span = &chain->span[strip * chain->layers];
    struct nn_conv_there conv = {0};
    spk_status status = list_sources(nn, chain, span, &conv, error);
    for (unsigned i = 0; !status && i < chain->layers; i++) {
        const struct nn_layer *layer = &chain->layer[i];
        conv.inputs = layer->inputs;
        conv.channels = layer->channels;
        conv.kernel = layer->kernel;
        conv.stride = layer->stride;
        conv.dilation = layer->dilation;
        conv.slope = layer->slope;
        conv.weight = state->weight[i];
        conv.bias = conv.weight + groups_of(layer) * group_floats(layer);
        conv.y0 = span[i].out_first;
        conv.y1 = span[i].out_first + span[i].out_rows;
        conv.out = i + 1 < chain->layers
                       ? view_at(state->buffer + i % 2 * state->buffer_bytes, layer->channels, conv.y0,
                                 span[i].out_rows, chain->width[i + 1])
                       : chain->out;
        status = spk_stream_run(nn->stream, nn->context->conv, &conv, error);
        conv.in[0] = conv.out;
        conv.sources = 1;
    }
    return status;
}

spk_status nn_there_run(struct spk_nn *nn, unsigned part, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->steps; i++) {
        const struct nn_step *step = &nn->step[i];
        if (step->part != part)
            continue;
        if (!step->chain)
            status = make_rows(nn, &nn->node[step->node], &nn->node[step->node].view, error);
        for (unsigned s = 0; !status && step->chain && s < step->chain->strips; s++)
            status = run_strip(nn, step->chain, s, error);
    }
    if (status)
        spk_fail_context(error, "%s", nn->name);
    return status;
}
