/* Making the primitives of a chain, one kind of strip after another, and laying out its weights. */
#include "conv_onednn.h"
#include "pixels.h"

#include <oneapi/dnnl/dnnl_debug.h>

#include <stdlib.h>
#include <string.h>

static const size_t FED_BYTES = (size_t)512 << 10;
static const size_t WINOGRAD_BYTES = (size_t)8 << 20; /* of scratch, which is not in the strips' budget */

spk_status onednn_fail(struct spk_error *error, dnnl_status_t status, const char *what, const char *name)
{
    return spk_fail(error, status == dnnl_out_of_memory ? SPK_NOMEM : SPK_DEVICE, "oneDNN: %s of %s: %s",
                    what, name, dnnl_status2str(status));
}

/* What layer i multiplies in. */
static dnnl_data_type_t type_of(const struct nn_context *context, const struct nn_chain *chain, unsigned i)
{
    return context->precision == SPK_NN_BF16 && i < chain->layers && !nn_is_head(chain, i) ? dnnl_bf16
                                                                                           : dnnl_f32;
}

static dnnl_status_t describe_convolution(const struct nn_context *context, const struct nn_chain *chain,
                                          const struct nn_span *span, unsigned i, dnnl_alg_kind_t algorithm,
                                          const dnnl_memory_desc_t *from, dnnl_convolution_desc_t *desc)
{
    const struct nn_layer *layer = &chain->layer[i];
    int64_t reach = (int64_t)layer->dilation * (layer->kernel - 1);
    int64_t right =
        (int64_t)(chain->width[i + 1] - 1) * layer->stride - reach / 2 + reach + 1 - chain->width[i];
    const dnnl_dims_t in = {1, layer->inputs, span->in_rows, chain->width[i]};
    const dnnl_dims_t out = {1, layer->channels, span->out_rows, chain->width[i + 1]};
    const dnnl_dims_t kernel = {layer->channels, layer->inputs, layer->kernel, layer->kernel};
    const dnnl_dims_t channels = {layer->channels};
    const dnnl_dims_t strides = {layer->stride, layer->stride};
    const dnnl_dims_t dilates = {layer->dilation - 1, layer->dilation - 1};
    const dnnl_dims_t before = {span->pad_top, reach / 2}, after = {span->pad_bottom, right};
    dnnl_data_type_t type = type_of(context, chain, i);
    dnnl_memory_desc_t src, weights, bias, dst;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&src, 4, in, type, dnnl_format_tag_any);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&weights, 4, kernel, type, dnnl_format_tag_any);
    if (!status)
        status = dnnl_memory_desc_init_by_tag(&bias, 1, channels, dnnl_f32, dnnl_a);
    if (!status)
        status =
            dnnl_memory_desc_init_by_tag(&dst, 4, out, type_of(context, chain, i + 1), dnnl_format_tag_any);
    if (status)
        return status;
    return dnnl_dilated_convolution_forward_desc_init(desc, dnnl_forward_inference, algorithm,
                                                      from ? from : &src, &weights, &bias, &dst, strides,
                                                      dilates, before, after);
}

/* The activation, and scratchpads that are handed in. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, float slope)
{
    dnnl_post_ops_t after = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (!status)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (!status && slope != 1) {
        status = dnnl_post_ops_create(&after);
        if (!status)
            status = dnnl_post_ops_append_eltwise(after, 1, dnnl_eltwise_relu, slope, 0);
        if (!status)
            status = dnnl_primitive_attr_set_post_ops(*attributes, after);
        dnnl_post_ops_destroy(after);
    }
    return status;
}

static dnnl_status_t make_reorder(const struct nn_context *context, const dnnl_memory_desc_t *from,
                                  const dnnl_memory_desc_t *to, dnnl_primitive_t *reorder)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&desc, from, context->engine, to, context->engine, NULL);
    if (!status)
        status = dnnl_primitive_create(reorder, desc);
    dnnl_primitive_desc_destroy(desc);
    return status;
}

static dnnl_status_t reorder_once(const struct nn_context *context, const dnnl_memory_desc_t *from_desc,
                                  const float *from, const dnnl_memory_desc_t *to_desc, dnnl_memory_t to)
{
    dnnl_memory_t source = NULL;
    dnnl_primitive_t reorder = NULL;
    union {
        const float *in;
        void *out;
    } handle = {from}; /* oneDNN takes no pointer to constant data; a reorder does not write its source */
    dnnl_status_t status = dnnl_memory_create(&source, from_desc, context->engine, handle.out);
    if (!status)
        status = make_reorder(context, from_desc, to_desc, &reorder);
    if (!status)
        status =
            dnnl_primitive_execute(reorder, context->stream[0], 2,
                                   (const dnnl_exec_arg_t[]){{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, to}});
    if (!status)
        status = dnnl_stream_wait(context->stream[0]);
    dnnl_primitive_destroy(reorder);
    dnnl_memory_destroy(source);
    return status;
}

static void free_weights(struct onednn_weights *list)
{
    while (list) {
        struct onednn_weights *next = list->next;
        dnnl_memory_destroy(list->memory);
        free(list->data);
        free(list);
        list = next;
    }
}

/* The weights of layer i in the form `wanted`: those of an earlier kind, or laid out now. */
static dnnl_status_t find_weights(const struct nn_context *context, const struct nn_chain *chain, unsigned i,
                                  const dnnl_memory_desc_t *wanted, struct onednn_weights **found,
                                  size_t *bytes)
{
    const struct nn_layer *layer = &chain->layer[i];
    struct onednn_chain *state = chain->state;
    for (struct onednn_weights *w = state->weights[i]; w; w = w->next) {
        const dnnl_memory_desc_t *form;
        if (!dnnl_memory_get_memory_desc(w->memory, &form) && dnnl_memory_desc_equal(form, wanted)) {
            *found = w;
            return dnnl_success;
        }
    }
    struct onednn_weights *w = calloc(1, sizeof *w);
    size_t size = nn_round_up(dnnl_memory_desc_get_size(wanted));
    if (w)
        w->data = aligned_alloc(64, size);
    if (!w || !w->data) {
        free(w);
        return dnnl_out_of_memory;
    }
    memset(w->data, 0, size);
    *bytes += size;
    const dnnl_dims_t dims = {layer->channels, layer->inputs, layer->kernel, layer->kernel};
    dnnl_memory_desc_t plain;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw);
    if (!status)
        status = dnnl_memory_create(&w->memory, wanted, context->engine, w->data);
    if (!status)
        status = reorder_once(context, &plain, layer->weight, wanted, w->memory);
    if (status) {
        free_weights(w);
        return status;
    }
    w->next = state->weights[i];
    *found = state->weights[i] = w;
    return dnnl_success;
}

static dnnl_status_t make_bias(const struct nn_context *context, const struct nn_chain *chain, unsigned i)
{
    struct onednn_chain *state = chain->state;
    const struct nn_layer *layer = &chain->layer[i];
    const dnnl_dims_t dims = {layer->channels};
    dnnl_memory_desc_t form;
    size_t bytes = nn_round_up(layer->channels * sizeof(float));
    state->bias_data[i] = aligned_alloc(64, bytes);
    if (!state->bias_data[i])
        return dnnl_out_of_memory;
    memset(state->bias_data[i], 0, bytes);
    memcpy(state->bias_data[i], layer->bias, layer->channels * sizeof(float));
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&form, 1, dims, dnnl_f32, dnnl_a);
    return status ? status : dnnl_memory_create(&state->bias[i], &form, context->engine, state->bias_data[i]);
}

/* `rows` rows of a tensor without gaps, laid out as `tag` says. */
static dnnl_status_t form_of(dnnl_memory_desc_t *form, const dnnl_memory_desc_t *like, uint32_t rows,
                             dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {1, like->dims[1], rows, like->dims[3]};
    return dnnl_memory_desc_init_by_tag(form, 4, dims, like->data_type, tag);
}

static bool lies_as(const dnnl_memory_desc_t *form, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t wanted;
    return form->dims[1] > 1 && !form_of(&wanted, form, (uint32_t)form->dims[2], tag) &&
           dnnl_memory_desc_equal(&wanted, form);
}

/* Channels that lie side by side: all of a pixel, those of a block, or 0 where they lie otherwise or leave a block's rest free. */
static uint32_t channels_beside(const dnnl_memory_desc_t *form)
{
    const uint32_t channels = (uint32_t)form->dims[1];
    if (lies_as(form, dnnl_acdb))
        return channels;
    return channels % NN_BLOCK == 0 && lies_as(form, dnnl_aBcd16b) ? NN_BLOCK : 0;
}

/* dnnl_unimplemented: the layer has to be computed otherwise. */
static dnnl_status_t make_by(const struct nn_context *context, const struct nn_chain *chain,
                             const struct nn_span *span, unsigned i, dnnl_alg_kind_t algorithm,
                             struct onednn_kind *kind, size_t *bytes)
{
    const bool winograd = algorithm == dnnl_convolution_winograd;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t found = NULL;
    dnnl_status_t status =
        describe_convolution(context, chain, span, i, algorithm, i ? &kind->boundary[i] : NULL, &desc);
    kind->slope[i] = winograd ? chain->layer[i].slope : 1;
    if (!status)
        status = make_attributes(&attributes, winograd ? 1 : chain->layer[i].slope);
    if (!status)
        status = dnnl_primitive_desc_create(&found, &desc, attributes, context->engine, NULL);
    if (!status) {
        kind->scratch[i] = *dnnl_primitive_desc_query_md(found, dnnl_query_scratchpad_md, 0);
        if (winograd && dnnl_memory_desc_get_size(&kind->scratch[i]) > WINOGRAD_BYTES)
            status = dnnl_unimplemented;
    }
    if (!status) {
        kind->boundary[i] = *dnnl_primitive_desc_query_md(found, dnnl_query_src_md, 0);
        kind->boundary[i + 1] = *dnnl_primitive_desc_query_md(found, dnnl_query_dst_md, 0);
        status =
            find_weights(context, chain, i, dnnl_primitive_desc_query_md(found, dnnl_query_weights_md, 0),
                         &kind->weights[i], bytes);
    }
    if (!status)
        status = dnnl_primitive_create(&kind->conv[i], found);
    dnnl_primitive_desc_destroy(found);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* Winograd's algorithm takes about half the time, in blocks of channels; those of a first layer must be full. */
static bool suits_winograd(const struct nn_context *context, const struct nn_chain *chain, unsigned i)
{
    const struct nn_layer *layer = &chain->layer[i];
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), avx512 = dnnl_cpu_isa_avx512_core;
    return (isa & avx512) == avx512 && type_of(context, chain, i) == dnnl_f32 && layer->kernel == 3 &&
           layer->stride == 1 && layer->dilation == 1 && layer->inputs >= NN_BLOCK &&
           (i || layer->inputs % NN_BLOCK == 0);
}

static dnnl_status_t make_layer(const struct nn_context *context, const struct nn_chain *chain,
                                const struct nn_span *span, unsigned i, struct onednn_kind *kind,
                                size_t *bytes)
{
    dnnl_status_t status = dnnl_unimplemented;
    if (suits_winograd(context, chain, i))
        status = make_by(context, chain, span, i, dnnl_convolution_winograd, kind, bytes);
    return status == dnnl_unimplemented
               ? make_by(context, chain, span, i, dnnl_convolution_direct, kind, bytes)
               : status;
}

/* How many rows of a 1x1 layer's input stay in a core's cache; all, where rows are not independent. */
static uint32_t rows_together(const struct nn_chain *chain, const struct nn_span *span)
{
    const struct nn_layer *layer = &chain->layer[0];
    const size_t row = (size_t)layer->inputs * chain->width[0] * sizeof(float);
    if (layer->kernel > 1 || layer->stride > 1)
        return span->in_rows;
    const size_t rows = row < FED_BYTES ? FED_BYTES / row : 1;
    return rows < span->in_rows ? (uint32_t)rows : span->in_rows;
}

/* The first layer, for some rows of the strip at a time if it reads and writes pixels, else for the strip. */
static dnnl_status_t make_first(const struct nn_context *context, const struct nn_chain *chain,
                                const struct nn_span *span, struct onednn_kind *kind, size_t *bytes)
{
    const struct nn_layer *layer = &chain->layer[0];
    struct nn_span some = span[0];
    kind->rows = some.in_rows = rows_together(chain, span);
    if (kind->rows < span->in_rows)
        some.out_rows = kind->rows;
    dnnl_status_t status = make_layer(context, chain, &some, 0, kind, bytes);
    bool apart = !status && layer->kernel == 1 && lies_as(&kind->boundary[0], dnnl_acdb) &&
                 lies_as(&kind->boundary[1], dnnl_acdb);
    if (!status && kind->rows < span->in_rows && !apart) {
        dnnl_primitive_destroy(kind->conv[0]);
        kind->conv[0] = NULL;
        kind->rows = span->in_rows;
        status = make_layer(context, chain, span, 0, kind, bytes);
    }
    if (status)
        return status;
    kind->beside = channels_beside(&kind->boundary[0]);
    kind->feeds = (span->in_rows + kind->rows - 1) / kind->rows;
    kind->fed = kind->boundary[1];
    kind->spread = apart && chain->layers > 1 && suits_winograd(context, chain, 1);
    if (kind->spread)
        return form_of(&kind->boundary[1], &kind->fed, span->out_rows, dnnl_aBcd16b);
    return kind->feeds > 1 ? form_of(&kind->boundary[1], &kind->fed, span->out_rows, dnnl_acdb) : status;
}

/* Rows of a chain's planes as oneDNN sees them. */
static dnnl_status_t planes(dnnl_memory_desc_t *desc, uint32_t channels, uint32_t rows, uint32_t width,
                            size_t plane)
{
    const dnnl_dims_t dims = {1, channels, rows, width};
    const dnnl_dims_t strides = {(dnnl_dim_t)(plane * channels), (dnnl_dim_t)plane, width, 1};
    return dnnl_memory_desc_init_by_strides(desc, 4, dims, dnnl_f32, strides);
}

static dnnl_status_t make_ends(const struct nn_context *context, const struct nn_chain *chain,
                               const struct nn_span *span, struct onednn_kind *kind)
{
    unsigned last = chain->layers - 1;
    dnnl_memory_desc_t out;
    dnnl_status_t status = planes(&kind->planes, chain->layer[0].inputs, span[0].in_rows, chain->width[0],
                                  (size_t)span[0].in_rows * chain->width[0]);
    if (!status)
        status = planes(&out, chain->layer[last].channels, span[last].out_rows, chain->width[last + 1],
                        (size_t)chain->height[last + 1] * chain->width[last + 1]);
    if (!status && !kind->beside && !dnnl_memory_desc_equal(&kind->planes, &kind->boundary[0]))
        status = make_reorder(context, &kind->planes, &kind->boundary[0], &kind->enter);
    return status ? status : make_reorder(context, &kind->boundary[last + 1], &out, &kind->leave);
}

static spk_status make_kind(struct nn_context *context, struct nn_chain *chain, unsigned k, size_t *bytes,
                            struct spk_error *error)
{
    struct onednn_chain *state = chain->state;
    struct onednn_kind *kind = &state->kind[k];
    const struct nn_span *span = &chain->span[chain->first_of_kind[k] * chain->layers];
    kind->boundary = calloc(chain->layers + 1, sizeof *kind->boundary);
    kind->scratch = calloc(chain->layers, sizeof *kind->scratch);
    kind->conv = calloc(chain->layers, sizeof *kind->conv);
    kind->weights = calloc(chain->layers, sizeof *kind->weights);
    kind->slope = calloc(chain->layers, sizeof *kind->slope);
    if (!kind->boundary || !kind->scratch || !kind->conv || !kind->weights || !kind->slope)
        return onednn_fail(error, dnnl_out_of_memory, "preparation", chain->layer[0].name);
    for (unsigned i = 0; i < chain->layers; i++) {
        dnnl_status_t status = i ? make_layer(context, chain, &span[i], i, kind, bytes)
                                 : make_first(context, chain, span, kind, bytes);
        if (status)
            return onednn_fail(error, status, "convolution", chain->layer[i].name);
    }
    dnnl_status_t status = make_ends(context, chain, span, kind);
    if (status)
        return onednn_fail(error, status, "reorder", chain->layer[0].name);
    for (unsigned i = 0; i <= chain->layers; i++) {
        size_t size = dnnl_memory_desc_get_size(&kind->boundary[i]);
        state->buffer_bytes = size > state->buffer_bytes ? size : state->buffer_bytes;
        size = i < chain->layers ? dnnl_memory_desc_get_size(&kind->scratch[i]) : 0;
        state->scratchpad_bytes = size > state->scratchpad_bytes ? size : state->scratchpad_bytes;
    }
    const size_t gathered = kind->beside ? 0 : nn_round_up(dnnl_memory_desc_get_size(&kind->planes));
    state->planes_bytes = gathered > state->planes_bytes ? gathered : state->planes_bytes;
    const size_t part = kind->spread ? nn_round_up(dnnl_memory_desc_get_size(&kind->fed)) : 0;
    state->part_bytes = part > state->part_bytes ? part : state->part_bytes;
    return SPK_OK;
}

spk_status onednn_make(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                       struct spk_error *error)
{
    struct onednn_chain *state = chain->state = calloc(1, sizeof *state);
    if (!state)
        return onednn_fail(error, dnnl_out_of_memory, "preparation", chain->layer[0].name);
    state->layers = chain->layers;
    state->kinds = chain->kinds;
    state->strips = chain->strips;
    state->workers = context->workers;
    state->weights = calloc(chain->layers, sizeof *state->weights);
    state->bias = calloc(chain->layers, sizeof *state->bias);
    state->bias_data = calloc(chain->layers, sizeof *state->bias_data);
    state->kind = calloc(chain->kinds, sizeof *state->kind);
    state->out = calloc(chain->strips, sizeof *state->out);
    if (!state->weights || !state->bias || !state->bias_data || !state->kind || !state->out)
        return onednn_fail(error, dnnl_out_of_memory, "preparation", chain->layer[0].name);
    for (unsigned i = 0; i < chain->layers; i++) {
        dnnl_status_t status = make_bias(context, chain, i);
        if (status)
            return onednn_fail(error, status, "bias", chain->layer[i].name);
    }
    for (unsigned k = 0; k < chain->kinds; k++) {
        spk_status status = make_kind(context, chain, k, bytes, error);
        if (status)
            return status;
    }
    state->buffer_bytes = nn_round_up(state->buffer_bytes);
    state->scratchpad_bytes = nn_round_up(state->scratchpad_bytes);
    chain->scratch_bytes =
        2 * state->buffer_bytes + state->scratchpad_bytes + state->planes_bytes + state->part_bytes;
    return SPK_OK;
}

static void free_worker(const struct onednn_kind *kind, struct onednn_worker *worker, unsigned layers)
{
    dnnl_memory_destroy(worker->planes);
    for (unsigned i = 0; worker->fed && i < kind->feeds; i++)
        dnnl_memory_destroy(worker->fed[i]);
    free(worker->fed);
    for (unsigned i = 0; worker->boundary && i <= layers; i++)
        dnnl_memory_destroy(worker->boundary[i]);
    for (unsigned i = 0; worker->scratch && i < layers; i++)
        dnnl_memory_destroy(worker->scratch[i]);
    free(worker->boundary);
    free(worker->scratch);
}

static void free_kind(struct onednn_kind *kind, unsigned layers, unsigned workers)
{
    for (unsigned w = 0; kind->worker && w < workers; w++)
        free_worker(kind, &kind->worker[w], layers);
    for (unsigned i = 0; kind->conv && i < layers; i++)
        dnnl_primitive_destroy(kind->conv[i]);
    dnnl_primitive_destroy(kind->enter);
    dnnl_primitive_destroy(kind->leave);
    free(kind->worker);
    free(kind->boundary);
    free(kind->scratch);
    free(kind->conv);
    free(kind->weights);
    free(kind->slope);
}

void onednn_free(struct onednn_chain *state)
{
    if (!state)
        return;
    for (unsigned k = 0; state->kind && k < state->kinds; k++)
        free_kind(&state->kind[k], state->layers, state->workers);
    for (unsigned i = 0; state->weights && i < state->layers; i++)
        free_weights(state->weights[i]);
    for (unsigned i = 0; state->bias && i < state->layers; i++)
        dnnl_memory_destroy(state->bias[i]);
    for (unsigned i = 0; state->bias_data && i < state->layers; i++)
        free(state->bias_data[i]);
    for (unsigned s = 0; state->out && s < state->strips; s++)
        dnnl_memory_destroy(state->out[s]);
    free(state->weights);
    free(state->bias);
    free(state->bias_data);
    free(state->kind);
    free(state->out);
    free(state);
}
