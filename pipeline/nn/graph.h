/* What the files of the network share: nodes as they were built, steps and chains as they were planned. */
#ifndef SPK_NN_GRAPH_H
#define SPK_NN_GRAPH_H

#include <speckled/device.h>
#include <speckled/nn.h>

#include "backend.h"
#include "rows.h"

enum nn_kind {
    NN_INPUT,
    NN_CONV,
    NN_JOIN,
    NN_ROWS, /* everything made row by row */
};

enum { NN_NEVER = -1, NN_CHAIN_MAX = 32 };

/* One layer and its output tensor; the number of both is its index. */
struct nn_node {
    enum nn_kind kind;
    struct spk_nn_shape shape;
    unsigned part, inputs;
    int input[SPK_NN_JOIN_MAX];
    bool kept, lent;
    char name[SPK_NN_NAME_SIZE];
    struct nn_layer layer;       /* NN_CONV */
    enum nn_operation operation; /* NN_ROWS, NN_JOIN */
    nn_rows_function rows;
    struct nn_rows_form form;
    float *own_weight;          /* of a depthwise layer */
    const char *there_name;     /* of a layer of the caller's own, on a device */
    spk_device_operation there; /* while prepared on a device */
    void *there_weight;         /* the depthwise layer's, there */

    /* set by the plan */
    unsigned readers;
    bool hidden;    /* inside a chain, not stored */
    int born, dies; /* steps between which its memory is its own */
    size_t floats, offset;
    struct spk_nn_view view;
};

/* One thing a part does: rows of a node, or a chain. */
struct nn_step {
    unsigned part;
    int node;               /* of rows; the last node of a chain */
    struct nn_chain *chain; /* NULL = rows */
};

struct spk_nn {
    char name[SPK_NN_NAME_SIZE];
    struct spk_error error; /* the first mistake while building */
    struct nn_node *node;
    unsigned nodes, node_capacity, part;
    bool prepared;

    struct spk_team *team;
    struct spk_device *device; /* NULL: the processor */
    struct spk_stream *stream;
    unsigned workers;
    const struct nn_backend *backend;
    struct nn_context *context; /* the backend's */
    struct nn_step *step;
    unsigned steps;
    void *arena;
    size_t arena_floats;
    void *scratch; /* [workers][scratch_bytes] */
    size_t scratch_bytes, backend_bytes;
    struct spk_graph **list; /* [part] on a device what running it queues; NULL: it is queued each time */
    unsigned lists;
    SPK_ATOMIC(int) failed; /* spk_status of a strip */
};

/* build.c. nn_mistake() returns -1; nn_node_append() returns NULL after a mistake. */
int nn_mistake(struct spk_nn *nn, spk_status status, const char *format, ...) SPK_PRINTF(3, 4);
struct nn_node *nn_node_append(struct spk_nn *nn, enum nn_kind kind, const int *inputs, unsigned count,
                               const struct spk_nn_shape *shape);

/* plan.c: readers, chains, steps, places in the arena. */
spk_status nn_plan(struct spk_nn *nn, struct spk_error *error);
/* chain.c */
spk_status nn_chain_create(struct spk_nn *nn, const int *node, unsigned count, struct nn_chain **chain,
                           struct spk_error *error);
void nn_chain_destroy(const struct spk_nn *nn, struct nn_chain **chain);
spk_status nn_chain_plan(struct spk_nn *nn, struct nn_chain *chain, size_t budget, struct spk_error *error);
spk_status nn_chain_bind(struct spk_nn *nn, struct nn_chain *chain, struct spk_error *error);
void nn_chain_run(struct spk_nn *nn, struct nn_chain *chain);
/* memory.c: memory of zeros where the network runs, 64-byte aligned; `what` it is for. */
spk_status nn_memory_take(const struct spk_nn *nn, const char *what, size_t bytes, void **memory,
                          struct spk_error *error);
void nn_memory_give(const struct spk_nn *nn, void **memory);
/* there.c: a network on a device. Preparing is done once tensors have their places and chains their strips. */
spk_status nn_there_prepare(struct spk_nn *nn, struct spk_error *error);
void nn_there_release(struct spk_nn *nn);
spk_status nn_there_run(struct spk_nn *nn, unsigned part, struct spk_error *error);

#endif
