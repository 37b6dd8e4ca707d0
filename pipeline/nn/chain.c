/* Chains: what they read, into which strips they are cut, and running them. */
#include "graph.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const size_t device_bytes = (size_t)2 << 30;

enum {
    STRIPS_A_WORKER = 6, /* tried at most, to spread rows evenly */
    WORKER_BYTES =
        192 << 20, /* thinner strips cost little here: some 5 rows of 80 twice, at 2048 pixels a row */
};

static void list_sources(const struct spk_nn *nn, int index, struct nn_chain *chain)
{
    const struct nn_node *node = &nn->node[index];
    if (node->hidden && node->kind == NN_JOIN) {
        for (unsigned k = 0; k < node->inputs; k++)
            list_sources(nn, node->input[k], chain);
        return;
    }
    if (chain->source) {
        struct nn_source *source = &chain->source[chain->sources];
        *source = (struct nn_source){.node = index, .made = node->hidden, .channels = node->shape.channels};
        for (unsigned k = 0; k < chain->sources; k++)
            source->before += chain->source[k].made ? chain->source[k].channels : 0;
    }
    chain->sources++;
}

static spk_status no_memory(const struct spk_nn *nn, struct spk_error *error)
{
    return spk_fail(error, SPK_NOMEM, "%s: no memory", nn->name);
}

spk_status nn_chain_create(struct spk_nn *nn, const int *node, unsigned count, struct nn_chain **out,
                           struct spk_error *error)
{
    struct nn_chain *chain = calloc(1, sizeof *chain);
    *out = chain;
    if (!chain)
        return no_memory(nn, error);
    const struct nn_node *first = &nn->node[node[0]];
    list_sources(nn, first->input[0], chain);
    chain->layer = calloc(count, sizeof *chain->layer);
    chain->height = calloc(count + 1, sizeof *chain->height);
    chain->width = calloc(count + 1, sizeof *chain->width);
    chain->source = calloc(chain->sources, sizeof *chain->source);
    if (!chain->layer || !chain->height || !chain->width || !chain->source)
        return no_memory(nn, error);
    chain->sources = 0;
    list_sources(nn, first->input[0], chain);
    chain->layers = count;
    chain->out_node = node[count - 1];
    chain->height[0] = nn->node[first->input[0]].shape.height;
    chain->width[0] = nn->node[first->input[0]].shape.width;
    for (unsigned i = 0; i < count; i++) {
        chain->layer[i] = nn->node[node[i]].layer;
        chain->height[i + 1] = nn->node[node[i]].shape.height;
        chain->width[i + 1] = nn->node[node[i]].shape.width;
    }
    return SPK_OK;
}

void nn_chain_destroy(const struct spk_nn *nn, struct nn_chain **address)
{
    struct nn_chain *chain = *address;
    if (!chain)
        return;
    if (nn->context)
        nn->backend->destroy(nn->context, chain);
    free(chain->layer);
    free(chain->height);
    free(chain->width);
    free(chain->source);
    free(chain->span);
    free(chain->kind);
    free(chain->first_of_kind);
    free(chain);
    *address = NULL;
}

/* The rows that each layer reads and writes so that the last one writes first .. last - 1. */
static void trace_rows(const struct nn_chain *chain, uint32_t first, uint32_t last, struct nn_span *span)
{
    for (unsigned i = chain->layers; i-- > 0;) {
        const struct nn_layer *layer = &chain->layer[i];
        int64_t reach = (int64_t)layer->dilation * (layer->kernel - 1), height = chain->height[i];
        int64_t low = (int64_t)first * layer->stride - reach / 2;
        int64_t high = (int64_t)(last - 1) * layer->stride - reach / 2 + reach + 1;
        span[i].out_first = first;
        span[i].out_rows = last - first;
        span[i].pad_top = low < 0 ? (uint32_t)-low : 0;
        span[i].pad_bottom = high > height ? (uint32_t)(high - height) : 0;
        first = low > 0 ? (uint32_t)low : 0;
        last = high < height ? (uint32_t)high : (uint32_t)height;
        span[i].in_first = first;
        span[i].in_rows = last - first;
    }
}

/* Multiply-adds of one strip. */
static double strip_work(const struct nn_chain *chain, const struct nn_span *span)
{
    double work = 0;
    for (unsigned i = 0; i < chain->layers; i++) {
        const struct nn_layer *layer = &chain->layer[i];
        work += (double)layer->inputs * layer->channels * layer->kernel * layer->kernel * span[i].out_rows *
                chain->width[i + 1];
    }
    return work;
}

/* What a strip of that many rows takes, as both backends lay it out: two buffers of the largest layer, channels rounded. */
static double strip_bytes(const struct nn_chain *chain, const struct nn_span *span)
{
    double most = 0, gathered = (double)chain->layer[0].inputs * span[0].in_rows * chain->width[0];
    for (unsigned i = 0; i < chain->layers; i++) {
        uint32_t inputs = (chain->layer[i].inputs + 15) / 16 * 16;
        uint32_t outputs = (chain->layer[i].channels + 15) / 16 * 16;
        double in = (double)inputs * span[i].in_rows * chain->width[i];
        double out = (double)outputs * span[i].out_rows * chain->width[i + 1];
        most = in > most ? in : most;
        most = out > most ? out : most;
    }
    return (gathered + 2 * most) * sizeof(float);
}

/* Rows of a strip: those with which the workers are done first, among those that fit the budget. 0 = none fits. */
static uint32_t choose_rows(const struct nn_chain *chain, unsigned workers, size_t budget,
                            struct nn_span *span)
{
    uint32_t height = chain->height[chain->layers], best = 0, before = 0;
    double best_time = 0;
    for (uint32_t strips = 1, next; strips <= height; strips = next) {
        next = strips + 1 + strips / 16;
        if (next > height && strips < height)
            next = height; /* one row each: what fits at all */
        uint32_t rows = (height + strips - 1) / strips;
        if (rows == before)
            continue;
        before = rows;
        uint32_t middle = height / 2 / rows * rows; /* a strip with neighbours, if there is one */
        trace_rows(chain, middle, middle + rows < height ? middle + rows : height, span);
        bool fits = !budget || strip_bytes(chain, span) * workers <= (double)budget;
        if (strips > workers * STRIPS_A_WORKER && best)
            break; /* one that fits is found; more of them only compute more rows twice */
        uint32_t count = (height + rows - 1) / rows;
        uint32_t turns = (count + workers - 1) / workers;
        double time = strip_work(chain, span) * turns;
        if (fits && (!best || time < 0.99 * best_time)) {
            best = rows;
            best_time = time;
        }
    }
    return best;
}

static bool same_kind(const struct nn_span *a, const struct nn_span *b, unsigned layers)
{
    for (unsigned i = 0; i < layers; i++)
        if (a[i].in_rows != b[i].in_rows || a[i].out_rows != b[i].out_rows || a[i].pad_top != b[i].pad_top ||
            a[i].pad_bottom != b[i].pad_bottom)
            return false;
    return true;
}

static void find_kinds(struct nn_chain *chain)
{
    for (unsigned s = 0; s < chain->strips; s++) {
        unsigned k = 0;
        while (k < chain->kinds &&
               !same_kind(&chain->span[s * chain->layers],
                          &chain->span[chain->first_of_kind[k] * chain->layers], chain->layers))
            k++;
        chain->kind[s] = k;
        if (k == chain->kinds)
            chain->first_of_kind[chain->kinds++] = s;
    }
}

static size_t own_budget(const struct spk_nn *nn)
{
    return nn->device ? device_bytes : (size_t)WORKER_BYTES * nn->workers;
}

/* Channels that are laid out anew in each strip. */
static size_t gathered(const struct spk_nn *nn, const struct nn_chain *chain)
{
    size_t channels = 0;
    for (unsigned i = 0; i < chain->sources; i++)
        if (chain->source[i].made || !nn->backend->reads_planes)
            channels += nn->node[chain->source[i].node].shape.channels;
    return channels;
}

spk_status nn_chain_plan(struct spk_nn *nn, struct nn_chain *chain, size_t budget, struct spk_error *error)
{
    uint32_t height = chain->height[chain->layers];
    struct nn_span *trial = calloc(chain->layers, sizeof *trial);
    if (!trial)
        return no_memory(nn, error);
    uint32_t rows = choose_rows(chain, nn->workers, budget ? budget : own_budget(nn), trial);
    if (!rows && !budget)
        rows = choose_rows(chain, nn->workers, 0, trial);
    free(trial);
    if (!rows)
        return spk_fail(error, SPK_NOMEM,
                        "%s: a memory budget of %zu MB does not hold one row of %s: raise it", nn->name,
                        budget >> 20, chain->layer[0].name);
    chain->strips = (height + rows - 1) / rows;
    chain->span = calloc((size_t)chain->strips * chain->layers, sizeof *chain->span);
    chain->kind = calloc(chain->strips, sizeof *chain->kind);
    chain->first_of_kind = calloc(chain->strips, sizeof *chain->first_of_kind);
    if (!chain->span || !chain->kind || !chain->first_of_kind)
        return no_memory(nn, error);
    uint32_t most = 0;
    for (unsigned s = 0; s < chain->strips; s++) {
        struct nn_span *span = &chain->span[s * chain->layers];
        trace_rows(chain, s * rows, (s + 1) * rows < height ? (s + 1) * rows : height, span);
        most = span->in_rows > most ? span->in_rows : most;
    }
    find_kinds(chain);
    chain->gather_bytes = nn_round_up(sizeof(float) * gathered(nn, chain) * most * chain->width[0] + 64);
    return nn->backend->create(nn->context, chain, &nn->backend_bytes, error);
}

spk_status nn_chain_bind(struct spk_nn *nn, struct nn_chain *chain, struct spk_error *error)
{
    chain->out = nn->node[chain->out_node].view;
    for (unsigned i = 0; i < chain->sources; i++)
        chain->source[i].view = nn->node[chain->source[i].node].view;
    return nn->backend->bind(nn->context, chain, nn->scratch, nn->scratch_bytes, nn->workers, error);
}

static void make_source(const struct spk_nn *nn, const struct nn_node *node, const struct nn_span *span,
                        float *to, unsigned worker)
{
    struct spk_nn_view in[SPK_NN_JOIN_MAX];
    for (unsigned k = 0; k < node->inputs; k++)
        in[k] = nn->node[node->input[k]].view;
    const struct spk_nn_view out = {.data = to,
                                    .plane = (size_t)span->in_rows * node->shape.width,
                                    .channels = node->shape.channels,
                                    .first = span->in_first,
                                    .height = span->in_rows,
                                    .width = node->shape.width};
    const struct spk_nn_rows_job job = {
        .in = in, .out = &out, .y0 = span->in_first, .y1 = span->in_first + span->in_rows, .worker = worker};
    node->rows(&node->form, &job);
}

/* Lays the input of a strip planar, channel after channel, at the start of the worker's scratch: all of it, or what is made there. */
static void gather(const struct spk_nn *nn, const struct nn_chain *chain, const struct nn_span *span,
                   unsigned worker)
{
    float *to = (float *)(void *)((unsigned char *)nn->scratch + worker * nn->scratch_bytes);
    size_t plane = (size_t)span->in_rows * chain->width[0];
    for (unsigned i = 0; i < chain->sources; i++) {
        const struct nn_node *node = &nn->node[chain->source[i].node];
        if (chain->source[i].made)
            make_source(nn, node, span, to, worker);
        else if (nn->backend->reads_planes)
            continue;
        else
            for (uint32_t c = 0; c < node->shape.channels; c++)
                memcpy(to + c * plane, spk_nn_row(&node->view, c, span->in_first), plane * sizeof *to);
        to += node->shape.channels * plane;
    }
}

struct running {
    struct spk_nn *nn;
    struct nn_chain *chain;
};

static void run_strip(void *context, unsigned strip, unsigned worker)
{
    const struct running *running = context;
    struct spk_nn *nn = running->nn;
    struct nn_chain *chain = running->chain;
    gather(nn, chain, &chain->span[strip * chain->layers], worker);
    spk_status status = nn->backend->run(nn->context, chain, strip, worker);
    if (status)
        atomic_store_explicit(&nn->failed, (int)status,
                              memory_order_relaxed); /* read after the team is done */
}

void nn_chain_run(struct spk_nn *nn, struct nn_chain *chain)
{
    struct running running = {nn, chain};
    spk_team_run(nn->team, run_strip, &running, chain->strips);
}
