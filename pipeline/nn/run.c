/* Preparing and running a network. */
#include "graph.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct nn_backend *find_backend(enum spk_nn_backend backend)
{
#ifdef SPK_NN_HAVE_ONEDNN
    if (backend == SPK_NN_AUTO || backend == SPK_NN_ONEDNN)
        return &nn_backend_onednn;
#endif
    return backend == SPK_NN_AUTO || backend == SPK_NN_C ? &nn_backend_c : NULL;
}

const char *spk_nn_backend_name(enum spk_nn_backend backend)
{
    static const char *const name[SPK_NN_BACKENDS] = {"auto", "c", "onednn", "cuda", "cudnn"};
    return (unsigned)backend < SPK_NN_BACKENDS ? name[backend] : "?";
}

spk_status spk_nn_available(enum spk_nn_backend backend, enum spk_nn_precision precision,
                            struct spk_error *error)
{
    const struct nn_backend *found = find_backend(backend);
    if (backend == SPK_NN_CUDA || backend == SPK_NN_CUDNN)
        return spk_fail(error, SPK_UNSUPPORTED, "%s computes on a device: use auto, c or onednn",
                        spk_nn_backend_name(backend));
    if (!found)
        return spk_fail(error, SPK_UNSUPPORTED,
                        "this build has no %s: install libdnnl-dev and build again, or choose c",
                        spk_nn_backend_name(backend));
    if (precision == SPK_NN_F32)
        return SPK_OK;
#ifdef SPK_NN_HAVE_ONEDNN
    if (found == &nn_backend_onednn && nn_onednn_has(precision))
        return SPK_OK;
#endif
    return spk_fail(error, SPK_UNSUPPORTED, "%s does not multiply in %s on this processor: use float32",
                    found->name, precision == SPK_NN_BF16 ? "bfloat16" : "float16");
}

static spk_status available_there(const struct spk_nn_config *config, struct spk_error *error)
{
    if (config->backend == SPK_NN_C || config->backend == SPK_NN_ONEDNN)
        return spk_fail(error, SPK_UNSUPPORTED, "%s computes on the processor only",
                        spk_nn_backend_name(config->backend));
    return SPK_OK;
}

static spk_status take_weights(const struct spk_nn_weights *weights, struct nn_layer *layer,
                               struct spk_error *error)
{
    char name[SPK_NN_NAME_SIZE + 16];
    const uint32_t size[4] = {layer->channels, layer->inputs, layer->kernel, layer->kernel};
    snprintf(name, sizeof name, "%s/weight", layer->name);
    spk_status status = spk_nn_weights_find(weights, name, 4, size, &layer->weight, error);
    snprintf(name, sizeof name, "%s/bias", layer->name);
    return status ? status : spk_nn_weights_find(weights, name, 1, size, &layer->bias, error);
}

/* Depthwise layers keep their few numbers themselves. */
static spk_status take_depthwise(const struct spk_nn_weights *weights, struct nn_node *node,
                                 struct spk_error *error)
{
    char name[SPK_NN_NAME_SIZE + 16];
    const float *kernel, *bias;
    const uint32_t channels = node->shape.channels, size[4] = {channels, 1, 3, 3};
    snprintf(name, sizeof name, "%s/weight", node->name);
    spk_status status = spk_nn_weights_find(weights, name, 4, size, &kernel, error);
    snprintf(name, sizeof name, "%s/bias", node->name);
    if (!status)
        status = spk_nn_weights_find(weights, name, 1, size, &bias, error);
    if (status)
        return status;
    free(node->own_weight);
    node->own_weight = malloc(10 * (size_t)channels * sizeof(float));
    if (!node->own_weight)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", node->name);
    memcpy(node->own_weight, kernel, 9 * (size_t)channels * sizeof(float));
    memcpy(node->own_weight + 9 * (size_t)channels, bias, channels * sizeof(float));
    node->form.weight = node->own_weight;
    return SPK_OK;
}

static spk_status load_weights(struct spk_nn *nn, const struct spk_nn_weights *weights,
                               struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->nodes; i++)
        if (nn->node[i].kind == NN_CONV)
            status = take_weights(weights, &nn->node[i].layer, error);
        else if (nn->node[i].name[0])
            status = take_depthwise(weights, &nn->node[i], error);
    return status ? spk_fail_context(error, "%s", nn->name) : SPK_OK;
}

spk_status spk_nn_check(struct spk_nn *nn, const struct spk_nn_weights *weights, struct spk_error *error)
{
    if (nn->error.status)
        return spk_fail(error, nn->error.status, "%s", nn->error.text);
    return load_weights(nn, weights, error);
}

static spk_status prepare_chains(struct spk_nn *nn, size_t budget, struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (unsigned i = 0; !status && i < nn->steps; i++) {
        struct nn_chain *chain = nn->step[i].chain;
        if (!chain)
            continue;
        status = nn_chain_plan(nn, chain, budget, error);
        size_t bytes = chain->gather_bytes + nn_round_up(chain->scratch_bytes);
        nn->scratch_bytes = bytes > nn->scratch_bytes ? bytes : nn->scratch_bytes;
    }
    if (status || !nn->scratch_bytes)
        return status;
    size_t bytes;
    if (__builtin_mul_overflow(nn->scratch_bytes, (size_t)nn->workers, &bytes))
        return spk_fail(error, SPK_NOMEM, "%s: strips are too large", nn->name);
    status = nn_memory_take(nn, "strips", bytes, &nn->scratch, error);
    for (unsigned i = 0; !status && i < nn->steps; i++)
        if (nn->step[i].chain)
            status = nn_chain_bind(nn, nn->step[i].chain, error);
    return status;
}

spk_status spk_nn_prepare(struct spk_nn *nn, const struct spk_nn_weights *weights,
                          const struct spk_nn_config *config, struct spk_error *error)
{
    if (nn->error.status)
        return spk_fail(error, nn->error.status, "%s", nn->error.text);
    if (nn->prepared)
        return spk_fail(error, SPK_STATE, "%s: prepared already", nn->name);
    spk_status status = config->device ? available_there(config, error)
                                       : spk_nn_available(config->backend, config->precision, error);
    if (status)
        return spk_fail_context(error, "%s", nn->name);
    nn->prepared = true;
    nn->team = config->team;
    nn->device = config->device;
    nn->stream = config->stream;
    nn->workers = nn->device ? 1 : spk_team_size(config->team);
    nn->backend = nn->device ? &nn_backend_there : find_backend(config->backend);
    status = load_weights(nn, weights, error);
    if (!status)
        status = nn->backend->open(&nn->context, config, error);
    if (!status)
        status = nn_plan(nn, error);
    if (!status)
        status = prepare_chains(nn, config->memory, error);
    return status || !nn->device ? status : nn_there_prepare(nn, error);
}

float *spk_nn_data(struct spk_nn *nn, int tensor)
{
    if (tensor < 0 || (unsigned)tensor >= nn->nodes || !nn->node[tensor].kept)
        return NULL;
    return nn->node[tensor].view.data;
}

size_t spk_nn_memory(const struct spk_nn *nn)
{
    return nn->arena_floats * sizeof(float) + nn->scratch_bytes * nn->workers + nn->backend_bytes;
}

enum { ROWS_PIXELS = 1 << 14 }; /* of a task: large enough that handing it out is nothing */

struct rows_running {
    const struct nn_node *node;
    const struct spk_nn_view *in;
    uint32_t rows;
};

static void run_some_rows(void *context, unsigned task, unsigned worker)
{
    const struct rows_running *running = context;
    const struct nn_node *node = running->node;
    uint32_t y0 = task * running->rows, y1 = y0 + running->rows;
    const struct spk_nn_rows_job job = {.in = running->in,
                                        .out = &node->view,
                                        .y0 = y0,
                                        .y1 = y1 < node->shape.height ? y1 : node->shape.height,
                                        .worker = worker};
    node->rows(&node->form, &job);
}

static void run_rows(struct spk_nn *nn, const struct nn_node *node)
{
    struct spk_nn_view in[SPK_NN_JOIN_MAX];
    for (unsigned k = 0; k < node->inputs; k++)
        in[k] = nn->node[node->input[k]].view;
    uint32_t rows = ROWS_PIXELS / node->shape.width + 1;
    struct rows_running running = {node, in, rows};
    spk_team_run(nn->team, run_some_rows, &running, (node->shape.height + rows - 1) / rows);
}

spk_status spk_nn_run(struct spk_nn *nn, unsigned part, struct spk_error *error)
{
    if (nn->device)
        return nn_there_run(nn, part, error);
    atomic_store_explicit(&nn->failed, SPK_OK, memory_order_relaxed);
    for (unsigned i = 0; i < nn->steps; i++) {
        const struct nn_step *step = &nn->step[i];
        if (step->part != part)
            continue;
        if (!step->chain) {
            run_rows(nn, &nn->node[step->node]);
            continue;
        }
        nn_chain_run(nn, step->chain);
        if (atomic_load_explicit(&nn->failed, memory_order_relaxed))
            return spk_fail(error, SPK_DEVICE, "%s: %s failed at layer %s", nn->name, nn->backend->name,
                            step->chain->layer[0].name);
    }
    return SPK_OK;
}
