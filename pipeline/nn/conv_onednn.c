/* Convolutions by oneDNN, each strip on the thread that calls: the lane's team is the only parallelism.
 *
 * oneDNN's own threads would come from OpenMP, whose team waits on locks and spins between calls. A primitive that is made and
 * run where OpenMP allows one thread never enters OpenMP, so every worker is told so once. What remains inside a run is
 * oneDNN's map of arguments: a few small blocks from the thread's own cache of the allocator for each layer of a strip. */
#include "conv_onednn.h"
#include "pixels.h"

#include "core/clones.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

bool nn_onednn_has(enum spk_nn_precision precision)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    return precision == SPK_NN_F32 || (precision == SPK_NN_BF16 && (isa & bf16) == bf16);
}

/* Tells whatever OpenMP runtime oneDNN brought along that this thread works alone. */
static void work_alone(void)
{
    static _Thread_local bool told;
    if (told)
        return;
    void (*set_threads)(int);
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set_threads, &symbol, sizeof set_threads);
    if (symbol)
        set_threads(1);
    told = true;
}

struct meeting {
    atomic_uint arrived;
    unsigned size;
};

/* Every worker takes exactly one of these tasks, because none ends before all have begun. */
static void meet(void *context, unsigned task, unsigned worker)
{
    (void)task;
    (void)worker;
    struct meeting *meeting = context;
    work_alone();
    atomic_fetch_add_explicit(&meeting->arrived, 1, memory_order_relaxed); /* counts; hands over nothing */
    while (atomic_load_explicit(&meeting->arrived, memory_order_relaxed) < meeting->size)
        continue;
}

static void close_context(struct nn_context **address)
{
    struct nn_context *context = *address;
    if (!context)
        return;
    for (unsigned w = 0; context->stream && w < context->workers; w++)
        dnnl_stream_destroy(context->stream[w]);
    dnnl_engine_destroy(context->engine);
    free(context->stream);
    free(context);
    *address = NULL;
}

static spk_status open_context(struct nn_context **out, const struct spk_nn_config *config,
                               struct spk_error *error)
{
    const unsigned workers = spk_team_size(config->team);
    struct nn_context *context = *out = calloc(1, sizeof *context);
    if (context)
        context->stream = calloc(workers, sizeof(dnnl_stream_t));
    if (!context || !context->stream) {
        close_context(out);
        return spk_fail(error, SPK_NOMEM, "no memory for oneDNN");
    }
    context->workers = workers;
    context->precision = config->precision;
    struct meeting meeting = {.size = context->workers};
    spk_team_run(config->team, meet, &meeting, context->workers);
    dnnl_status_t status = dnnl_engine_create(&context->engine, dnnl_cpu, 0);
    for (unsigned w = 0; !status && w < context->workers; w++)
        status = dnnl_stream_create(&context->stream[w], context->engine, dnnl_stream_default_flags);
    if (status) {
        close_context(out);
        return onednn_fail(error, status, "engine", "the processor");
    }
    return SPK_OK;
}

/* The row of a strip at which a part of the first layer begins. */
static uint32_t first_row(const struct onednn_kind *kind, const struct nn_span *span, unsigned part)
{
    const uint32_t first = part * kind->rows;
    return first + kind->rows <= span->in_rows ? first : span->in_rows - kind->rows;
}

static void destroy(struct nn_context *context, struct nn_chain *chain)
{
    (void)context;
    onednn_free(chain->state);
    chain->state = NULL;
}

/* Handles of what enters the chain, and of the parts of the first layer's output, which lies at `output`. */
static dnnl_status_t bind_first(const struct nn_context *context, const struct nn_chain *chain,
                                const struct onednn_kind *kind, struct onednn_worker *worker,
                                unsigned char *output, unsigned char *part)
{
    const struct nn_span *span =
        &chain->span[chain->first_of_kind[kind - ((const struct onednn_chain *)chain->state)->kind] *
                     chain->layers];
    dnnl_status_t status = dnnl_success;
    worker->fed = calloc(kind->feeds, sizeof(dnnl_memory_t));
    if (!worker->fed)
        return dnnl_out_of_memory;
    const size_t row = dnnl_memory_desc_get_size(&kind->fed) / kind->rows;
    for (unsigned i = 0; !status && i < kind->feeds; i++)
        status = dnnl_memory_create(&worker->fed[i], &kind->fed, context->engine,
                                    kind->spread ? part : output + first_row(kind, span, i) * row);
    if (!status && !kind->beside)
        status = dnnl_memory_create(&worker->planes, &kind->planes, context->engine, worker->planes_at);
    return status;
}

static dnnl_status_t bind_worker(const struct nn_context *context, const struct nn_chain *chain,
                                 const struct onednn_kind *kind, struct onednn_worker *worker,
                                 unsigned char *scratch)
{
    const struct onednn_chain *state = chain->state;
    worker->boundary = calloc(chain->layers + 1, sizeof(dnnl_memory_t));
    worker->scratch = calloc(chain->layers, sizeof(dnnl_memory_t));
    if (!worker->boundary || !worker->scratch)
        return dnnl_out_of_memory;
    unsigned char *buffer = scratch + chain->gather_bytes;
    unsigned char *planes = buffer + 2 * state->buffer_bytes + state->scratchpad_bytes;
    worker->made = (float *)(void *)scratch;
    worker->planes_at = (float *)(void *)planes;
    worker->input = buffer;
    unsigned char *output = buffer + state->buffer_bytes, *part = planes + state->planes_bytes;
    worker->blocks = (float *)(void *)output;
    worker->part = (float *)(void *)part;
    dnnl_status_t status = bind_first(context, chain, kind, worker, output, part);
    for (unsigned i = 0; !status && i <= chain->layers; i++) {
        void *at = i == 0 && !kind->enter && !kind->beside ? planes : buffer + (i % 2) * state->buffer_bytes;
        status = dnnl_memory_create(&worker->boundary[i], &kind->boundary[i], context->engine, at);
    }
    for (unsigned i = 0; !status && i < chain->layers; i++)
        if (dnnl_memory_desc_get_size(&kind->scratch[i]))
            status = dnnl_memory_create(&worker->scratch[i], &kind->scratch[i], context->engine,
                                        buffer + 2 * state->buffer_bytes);
    return status;
}

static dnnl_status_t bind_outputs(const struct nn_context *context, const struct nn_chain *chain)
{
    struct onednn_chain *state = chain->state;
    dnnl_status_t status = dnnl_success;
    for (unsigned s = 0; !status && s < chain->strips; s++) {
        const struct nn_span *span = &chain->span[s * chain->layers + chain->layers - 1];
        const dnnl_dims_t dims = {1, chain->out.channels, span->out_rows, chain->out.width};
        const dnnl_dims_t strides = {(dnnl_dim_t)(chain->out.plane * chain->out.channels),
                                     (dnnl_dim_t)chain->out.plane, chain->out.width, 1};
        dnnl_memory_desc_t form;
        status = dnnl_memory_desc_init_by_strides(&form, 4, dims, dnnl_f32, strides);
        if (!status)
            status = dnnl_memory_create(&state->out[s], &form, context->engine,
                                        spk_nn_row(&chain->out, 0, span->out_first));
    }
    return status;
}

static spk_status bind(struct nn_context *context, struct nn_chain *chain, unsigned char *scratch,
                       size_t stride, unsigned workers, struct spk_error *error)
{
    struct onednn_chain *state = chain->state;
    dnnl_status_t status = bind_outputs(context, chain);
    for (unsigned k = 0; !status && k < state->kinds; k++) {
        struct onednn_kind *kind = &state->kind[k];
        kind->worker = calloc(workers, sizeof *kind->worker);
        status = kind->worker ? dnnl_success : dnnl_out_of_memory;
        for (unsigned w = 0; !status && w < workers; w++)
            status = bind_worker(context, chain, kind, &kind->worker[w], scratch + w * stride);
    }
    return status ? onednn_fail(error, status, "memory", chain->layer[0].name) : SPK_OK;
}

static dnnl_status_t reorder(dnnl_primitive_t primitive, dnnl_stream_t stream, dnnl_memory_t from,
                             dnnl_memory_t to)
{
    return dnnl_primitive_execute(primitive, stream, 2,
                                  (const dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

/* As many channels of `from`, whose first is number `channel` of the first layer's input, as lie side by side there. */
static uint32_t take_some(const struct onednn_kind *kind, const struct onednn_worker *mine, size_t channel,
                          const struct nn_part *from, size_t pixels)
{
    if (!kind->beside) {
        memcpy(mine->planes_at + channel * pixels, from->from, pixels * sizeof(float));
        return 1;
    }
    const uint32_t within = (uint32_t)(channel % kind->beside), room = kind->beside - within;
    const uint32_t channels = from->channels < room ? from->channels : room;
    const size_t at = (channel - within) * pixels + within;
    if (kind->boundary[0].data_type == dnnl_bf16)
        nn_to_pixels_bf16((uint16_t *)mine->input + at, kind->beside, from->from, from->plane, channels,
                          pixels);
    else
        nn_to_pixels((float *)mine->input + at, kind->beside, from->from, from->plane, channels, pixels);
    return channels;
}

/* Rows first .. first + rows - 1 of a strip's input, to the first layer's or to planes of their own. */
static void take(const struct nn_chain *chain, const struct nn_span *span, const struct onednn_kind *kind,
                 const struct onednn_worker *mine, uint32_t first)
{
    const size_t pixels = (size_t)kind->rows * chain->width[0];
    size_t channel = 0;
    for (unsigned k = 0; k < chain->sources; k++) {
        struct nn_part part = nn_part_of(chain, span, &chain->source[k], mine->made, first);
        while (part.channels) {
            const uint32_t taken = take_some(kind, mine, channel, &part, pixels);
            channel += taken;
            part.channels -= taken;
            part.from += taken * part.plane;
        }
    }
}

SPK_CLONES
static void rectify(float *x, size_t count, float slope)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] < 0 ? slope * x[i] : x[i];
}

static dnnl_status_t run_layer(const struct nn_chain *chain, const struct onednn_kind *kind,
                               const struct onednn_worker *mine, dnnl_stream_t stream, unsigned i,
                               dnnl_memory_t to)
{
    const struct onednn_chain *state = chain->state;
    const dnnl_exec_arg_t list[] = {{DNNL_ARG_SRC, mine->boundary[i]},
                                    {DNNL_ARG_WEIGHTS, kind->weights[i]->memory},
                                    {DNNL_ARG_BIAS, state->bias[i]},
                                    {DNNL_ARG_DST, to},
                                    {DNNL_ARG_SCRATCHPAD, mine->scratch[i]}};
    dnnl_status_t status = dnnl_primitive_execute(kind->conv[i], stream, mine->scratch[i] ? 5 : 4, list);
    if (status || kind->slope[i] == 1)
        return status;
    void *made = NULL;
    status = dnnl_memory_get_data_handle(to, &made);
    if (!status)
        rectify(made, dnnl_memory_desc_get_size(&kind->boundary[i + 1]) / sizeof(float), kind->slope[i]);
    return status;
}

/* A part of the first layer's output, which starts at row `first`, to the blocks that the second layer reads. */
static void spread(const struct nn_chain *chain, const struct nn_span *span, const struct onednn_kind *kind,
                   const struct onednn_worker *mine, uint32_t first)
{
    const size_t width = chain->width[1];
    nn_to_blocks(mine->blocks + first * width * NN_BLOCK, span->out_rows * width * NN_BLOCK, mine->part,
                 chain->layer[0].channels, kind->rows * width);
}

static spk_status run(struct nn_context *context, struct nn_chain *chain, unsigned strip, unsigned worker)
{
    const struct onednn_chain *state = chain->state;
    const struct onednn_kind *kind = &state->kind[chain->kind[strip]];
    const struct onednn_worker *mine = &kind->worker[worker];
    const struct nn_span *span = &chain->span[strip * chain->layers];
    dnnl_stream_t stream = context->stream[worker];
    work_alone();
    dnnl_status_t status = dnnl_success;
    for (unsigned i = 0; !status && i < kind->feeds; i++) {
        const uint32_t first = first_row(kind, span, i);
        take(chain, span, kind, mine, first);
        if (kind->enter)
            status = reorder(kind->enter, stream, mine->planes, mine->boundary[0]);
        if (!status)
            status = run_layer(chain, kind, mine, stream, 0, mine->fed[i]);
        if (!status && kind->spread)
            spread(chain, span, kind, mine, first);
    }
    for (unsigned i = 1; !status && i < chain->layers; i++)
        status = run_layer(chain, kind, mine, stream, i, mine->boundary[i + 1]);
    if (!status)
        status = reorder(kind->leave, stream, mine->boundary[chain->layers], state->out[strip]);
    return status ? SPK_DEVICE : SPK_OK;
}

const struct nn_backend nn_backend_onednn = {.name = "onednn",
                                             .reads_planes = true,
                                             .open = open_context,
                                             .close = close_context,
                                             .create = onednn_make,
                                             .destroy = destroy,
                                             .bind = bind,
                                             .run = run};
