/* Backends of convolution: one operation table each, the plain C one first.
 *
 * A chain is a list of convolutions computed strip by strip; a strip is a range of the last layer's rows, and the rows of the
 * layers before that it needs. Input comes planar: gathered, [channels][rows][width], or where a backend reads planes, as parts; output
 * goes to planes. */
#ifndef SPK_NN_BACKEND_H
#define SPK_NN_BACKEND_H

#include <speckled/nn.h>

struct nn_layer {
    char name[SPK_NN_NAME_SIZE];
    uint32_t inputs, channels, kernel, stride, dilation;
    float slope;
    const float *weight, *bias; /* [channels][inputs][kernel][kernel], [channels]; while preparing only */
};

/* Rows of one layer in a strip: reads `in_rows` from in_first on, pads above and below, writes `out_rows`. */
struct nn_span {
    uint32_t in_first, in_rows, out_first, out_rows, pad_top, pad_bottom;
};

/* What a chain reads: tensors one after the other, stored or made in the strip. */
struct nn_source {
    int node;
    bool made;
    uint32_t channels;
    size_t before;           /* channels that are made in front of it */
    struct spk_nn_view view; /* where it is stored, once that is known */
};

struct nn_chain {
    unsigned layers, sources, strips, kinds;
    struct nn_layer *layer;             /* [layers] */
    uint32_t *height, *width;           /* [layers + 1], input first */
    struct nn_source *source;           /* [sources] */
    struct nn_span *span;               /* [strips][layers] */
    unsigned *kind;                     /* [strips]; strips of a kind differ in their place only */
    unsigned *first_of_kind;            /* [kinds] */
    size_t gather_bytes, scratch_bytes; /* of a worker: the gathered input, then the backend's */
    int out_node;
    struct spk_nn_view out;
    void *state; /* the backend's */
};

/* Rows of one source in a strip: dense, its channels `plane` floats apart. */
struct nn_part {
    const float *from;
    size_t plane;
    uint32_t channels;
};

/* From row `first` of the strip's input on. `made` is where the worker's gathered input begins. */
static inline struct nn_part nn_part_of(const struct nn_chain *chain, const struct nn_span *span,
                                        const struct nn_source *source, const float *made, uint32_t first)
{
    const size_t plane = (size_t)span->in_rows * chain->width[0], at = (size_t)first * chain->width[0];
    if (source->made)
        return (struct nn_part){made + source->before * plane + at, plane, source->channels};
    return (struct nn_part){spk_nn_row(&source->view, 0, span->in_first + first), source->view.plane,
                            source->channels};
}

struct nn_context; /* what a backend keeps for a network */

struct nn_backend {
    const char *name;
    bool reads_planes; /* what a chain reads is gathered only where it is made in the strip */
    spk_status (*open)(struct nn_context **context, const struct spk_nn_config *config,
                       struct spk_error *error);
    void (*close)(struct nn_context **context);
    /* Lays out the weights and makes what every kind of strip needs; sets chain->scratch_bytes and adds what it allocated to
     * *bytes. */
    spk_status (*create)(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                         struct spk_error *error);
    /* Drops what create() made but the weights' layout may differ next time: strips are planned anew. NULL state is fine. */
    void (*destroy)(struct nn_context *context, struct nn_chain *chain);
    /* Memory is there: worker w works in scratch + w * stride, its gathered input first. */
    spk_status (*bind)(struct nn_context *context, struct nn_chain *chain, unsigned char *scratch,
                       size_t stride, unsigned workers, struct spk_error *error);
    /* [lane's team] Allocates nothing of its own. NULL: there.c runs the network. */
    spk_status (*run)(struct nn_context *context, struct nn_chain *chain, unsigned strip, unsigned worker);
};

/* A last 1x1 layer of few channels makes flow, T, D, and multiplies in float32 whatever the others do. */
static inline bool nn_is_head(const struct nn_chain *chain, unsigned layer)
{
    return layer + 1 == chain->layers && chain->layer[layer].kernel == 1 && chain->layer[layer].channels <= 8;
}

extern const struct nn_backend nn_backend_c, nn_backend_there;
#ifdef SPK_NN_HAVE_ONEDNN
extern const struct nn_backend nn_backend_onednn;
bool nn_onednn_has(enum spk_nn_precision precision);
#endif

static inline size_t nn_round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

#endif
