/* What a chain keeps of oneDNN: primitives and memory descriptors of each kind of strip, handles of each worker. */
#ifndef SPK_NN_CONV_ONEDNN_H
#define SPK_NN_CONV_ONEDNN_H

#include "backend.h"

#include <oneapi/dnnl/dnnl.h>

struct nn_context {
    dnnl_engine_t engine;
    dnnl_stream_t *stream; /* [workers] */
    unsigned workers;
    enum spk_nn_precision precision;
};

/* Weights of one layer in one layout; kinds of strips mostly agree on it. */
struct onednn_weights {
    dnnl_memory_t memory;
    void *data;
    struct onednn_weights *next;
};

/* Handles of one worker in one kind of strip. */
struct onednn_worker {
    float *made;             /* the gathered input: what is made in the strip */
    void *input;             /* memory of the first layer's */
    dnnl_memory_t planes;    /* all of it, planar, for a first layer that reads no pixels */
    float *planes_at;        /* their memory */
    dnnl_memory_t *boundary; /* [layers + 1]: input of each layer, output of the last */
    dnnl_memory_t *fed;      /* [feeds]: rows of the first layer's output */
    float *part, *blocks;    /* where it is made and where it is spread to */
    dnnl_memory_t *scratch;  /* [layers], NULL where a layer wants none */
};

struct onednn_kind {
    uint32_t beside; /* channels side by side in what the first layer reads, laid out here; 0 = planes */
    uint32_t rows;   /* of its output that are computed together, while they are in the cache */
    unsigned feeds;  /* such parts; the last one overlaps its neighbour */
    bool spread;     /* they are spread over the blocks that the second layer reads */
    dnnl_memory_desc_t planes, fed, *boundary, *scratch; /* the handles' forms */
    dnnl_primitive_t enter, leave;   /* reorders; enter NULL = the first layer reads pixels or planes */
    dnnl_primitive_t *conv;          /* [layers] */
    struct onednn_weights **weights; /* [layers], borrowed */
    float *slope;                    /* [layers] of rectifiers that oneDNN does not apply; else 1 */
    struct onednn_worker *worker;    /* [workers] */
};

struct onednn_chain {
    unsigned layers, kinds, strips, workers;
    struct onednn_weights **weights; /* [layers], lists */
    dnnl_memory_t *bias;             /* [layers] */
    void **bias_data;
    struct onednn_kind *kind;
    dnnl_memory_t *out; /* [strips], rows of the output's planes */
    size_t buffer_bytes, scratchpad_bytes, planes_bytes, part_bytes;
};

/* Translates a failure of oneDNN here and nowhere else. */
spk_status onednn_fail(struct spk_error *error, dnnl_status_t status, const char *what, const char *name);

/* Everything of a chain but the handles; fills chain->state. */
spk_status onednn_make(struct nn_context *context, struct nn_chain *chain, size_t *bytes,
                       struct spk_error *error);
void onednn_free(struct onednn_chain *state);

#endif
