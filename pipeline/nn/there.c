/* A network on a device: weights go up once, then each layer of each strip is an operation queued on the lane's stream. */
#include "there_ops.h"

#include <speckled/log.h>
#include <stdlib.h>
#include <string.h>

static const struct nn_there_ops *const tables[NN_THERE_TABLES] = {&nn_there_cudnn, &nn_there_own};

static spk_status find(struct nn_context *context, const char *name, spk_device_operation *operation,
                       struct spk_error *error)
{
    *operation = spk_device_find(context->device, name);
    return *operation ? SPK_OK : spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks %s", name);
}

static spk_status find_operations(struct nn_context *context, struct spk_error *error)
{
    const struct {
        const char *name;
        spk_device_operation *operation;
    } wanted[] = {{"spk_nn_rows_there", &context->rows},
                  {"spk_nn_conv_there", &context->conv},
                  {"spk_nn_enter_there", &context->enter},
                  {"spk_nn_leave_there", &context->leave},
                  {"spk_nn_rectify_there", &context->rectify}};
    spk_status status = SPK_OK;
    for (size_t i = 0; !status && i < sizeof wanted / sizeof *wanted; i++)
        status = find(context, wanted[i].name, wanted[i].operation, error);
    return status;
}

static void close_context(struct nn_context **address)
{
    struct nn_context *context = *address;
    for (unsigned i = 0; i < context->tables; i++)
        if (context->ops[i]->close)
            context->ops[i]->close(context);
    free(context);
    *address = NULL;
}

/* Says once for a network which convolutions it does without. */
static void tell(struct nn_context *context, const struct nn_there_ops *ops, const struct spk_error *why)
{
    if (!context->told)
        spk_log(SPK_LOG_INFO, "nn", "own kernels instead of %s: %s", ops->name, why->text);
    context->told = true;
}

/* Takes the tables that can be had, the best first. Who asks for cuDNN gets it or an error. */
static spk_status open_tables(struct nn_context *context, enum spk_nn_backend backend,
                              struct spk_error *error)
{
    for (size_t i = backend == SPK_NN_CUDA; i < NN_THERE_TABLES; i++) {
        struct spk_error why = {0};
        spk_status status = tables[i]->open ? tables[i]->open(context, &why) : SPK_OK;
        if (!status)
            context->ops[context->tables++] = tables[i];
        else if (status == SPK_UNSUPPORTED && backend == SPK_NN_AUTO)
            tell(context, tables[i], &why);
        else
            return spk_fail(error, status, "%s", why.text);
    }
    return SPK_OK;
}

static spk_status open_context(struct nn_context **out, const struct spk_nn_config *config,
                               struct spk_error *error)
{
    struct nn_context *context = *out = calloc(1, sizeof *context);
    if (!context)
        return spk_fail(error, SPK_NOMEM, "no memory");
    context->device = config->device;
    context->stream = config->stream;
    context->precision = config->precision;
    spk_status status = find_operations(context, error);
    status = status ? status : open_tables(context, config->backend, error);
    if (status)
        close_context(out);
    return status;
}

spk_status nn_there_send(const struct nn_context *context, const void *values, size_t bytes, void **memory,
                         struct spk_error *error)
{
    spk_status status = spk_device_allocate(context->device, bytes, memory, error);
    status = status ? status : spk_stream_copy(context->stream, *memory, values, bytes, error);
    return status ? status : spk_stream_wait(context->stream, error);
}

/* Gives back what a table made of a chain. */
static void drop(struct nn_context *context, struct nn_chain *chain)
{
    struct nn_there_chain *state = chain->state;
    if (state->ops && state->ops->destroy)
        state->ops->destroy(context, state);
    for (unsigned i = 0; i < chain->layers; i++)
        spk_device_release(context->device, &state->weight[i]);
    state->ops = NULL;
}

static void destroy(struct nn_context *context, struct nn_chain *chain)
{
    struct nn_there_chain *state = chain->state;
    if (!state)
        return;
    if (state->weight)
        drop(context, chain);
    free(state->weight);
    free(state);
    chain->state = NULL;
}

static spk_status create(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error)
{
    const char *name = chain->layer[0].name;
    if (chain->sources > SPK_NN_JOIN_MAX)
        return spk_fail(error, SPK_UNSUPPORTED, "%s reads %u tensors, at most %d on a device", name,
                        chain->sources, SPK_NN_JOIN_MAX);
    struct nn_there_chain *state = chain->state = calloc(1, sizeof *state);
    if (state)
        state->weight = calloc(chain->layers, sizeof *state->weight);
    if (!state || !state->weight)
        return spk_fail(error, SPK_NOMEM, "no memory for the weights of %s", name);
    spk_status status = SPK_UNSUPPORTED;
    for (unsigned i = 0; i < context->tables && status == SPK_UNSUPPORTED; i++) {
        struct spk_error why = {0};
        size_t sent = 0;
        state->ops = context->ops[i];
        status = state->ops->create(context, chain, &sent, &why);
        if (!status)
            *bytes += sent;
        else if (status == SPK_UNSUPPORTED && i + 1 < context->tables)
            tell(context, state->ops, &why);
        else
            spk_fail(error, status, "%s: %s", name, why.text);
        if (status)
            drop(context, chain);
    }
    return status;
}

static spk_status bind(struct nn_context *context, struct nn_chain *chain, unsigned char *scratch,
                       size_t stride, unsigned workers, struct spk_error *error)
{
    (void)stride;
    (void)workers;
    struct nn_there_chain *state = chain->state;
    state->made = scratch;
    state->buffer = scratch + chain->gather_bytes;
    return state->ops->bind ? state->ops->bind(context, chain, error) : SPK_OK;
}

const struct nn_backend nn_backend_there = {.name = "device",
                                            .reads_planes = true,
                                            .open = open_context,
                                            .close = close_context,
                                            .create = create,
                                            .destroy = destroy,
                                            .bind = bind};

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

/* Lists what the first layer of a strip reads: planes where they lie, or rows made now. */
static spk_status list_sources(struct spk_nn *nn, const struct nn_chain *chain, const struct nn_span *span,
                               struct spk_nn_view *in, struct spk_error *error)
{
    unsigned char *made = nn_there_state(chain)->made;
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < chain->sources; i++) {
        const struct nn_node *node = &nn->node[chain->source[i].node];
        in[i] = node->view;
        if (!chain->source[i].made)
            continue;
        in[i] = (struct spk_nn_view){.data = (float *)(void *)made,
                                     .plane = (size_t)span->in_rows * chain->width[0],
                                     .channels = node->shape.channels,
                                     .first = span->in_first,
                                     .height = span->in_rows,
                                     .width = chain->width[0]};
        made += in[i].plane * in[i].channels * sizeof(float);
        status = make_rows(nn, node, &in[i], error);
    }
    return status;
}

static spk_status run_strip(struct spk_nn *nn, const struct nn_chain *chain, unsigned strip,
                            struct spk_error *error)
{
    struct spk_nn_view in[SPK_NN_JOIN_MAX];
    spk_status status = list_sources(nn, chain, &chain->span[strip * chain->layers], in, error);
    return status ? status : nn_there_state(chain)->ops->run(nn->context, chain, strip, in, error);
}

static spk_status queue_part(struct spk_nn *nn, unsigned part, struct spk_error *error)
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
    return status;
}

struct part {
    struct spk_nn *nn;
    unsigned number;
};

static spk_status queue_listed(void *context, struct spk_error *error)
{
    const struct part *part = context;
    return queue_part(part->nn, part->number, error);
}

/* Where everything is stays the same from run to run: each part becomes one list, without gaps between its layers. */
static spk_status record_parts(struct spk_nn *nn, struct spk_error *error)
{
    unsigned parts = 0;
    for (unsigned i = 0; i < nn->steps; i++)
        parts = nn->step[i].part >= parts ? nn->step[i].part + 1 : parts;
    nn->list = calloc(parts + 1, sizeof *nn->list);
    if (!nn->list)
        return spk_fail(error, SPK_NOMEM, "no memory for %u parts", parts);
    nn->lists = parts;
    spk_status status = SPK_OK;
    for (struct part part = {nn, 0}; part.number < parts && !status; part.number++)
        status = spk_stream_list(nn->stream, queue_listed, &part, &nn->list[part.number], error);
    return status;
}

void nn_there_release(struct spk_nn *nn)
{
    for (unsigned i = 0; i < nn->lists; i++)
        spk_graph_destroy(&nn->list[i]);
    free(nn->list);
    nn->list = NULL;
    nn->lists = 0;
}

spk_status nn_there_prepare(struct spk_nn *nn, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->nodes; i++) {
        struct nn_node *node = &nn->node[i];
        if (node->own_weight)
            status = nn_there_send(nn->context, node->own_weight,
                                   10 * node->shape.channels * sizeof *node->own_weight, &node->there_weight,
                                   error);
        else if (node->kind == NN_ROWS && node->operation == NN_CUSTOM && !node->there_name)
            status = spk_fail(error, SPK_UNSUPPORTED, "layer %u has no operation for a device", i);
        else if (node->there_name)
            status = find(nn->context, node->there_name, &node->there, error);
    }
    status = status ? status : spk_stream_wait(nn->stream, error);
    status = status ? status : record_parts(nn, error);
    if (status)
        spk_fail_context(error, "%s", nn->name);
    return status;
}

spk_status nn_there_run(struct spk_nn *nn, unsigned part, struct spk_error *error)
{
    const bool listed = part < nn->lists && nn->list[part];
    spk_status status =
        listed ? spk_graph_launch(nn->list[part], nn->stream, error) : queue_part(nn, part, error);
    return status ? spk_fail_context(error, "%s", nn->name) : SPK_OK;
}
