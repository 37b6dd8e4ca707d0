/* What the files of the cuDNN backend share: the library's functions, and making descriptors. */
#ifndef SPK_NN_CONV_CUDNN_GRAPH_H
#define SPK_NN_CONV_CUDNN_GRAPH_H

#include "conv_cudnn.h"

#include <cudnn_graph.h>

#define CUDNN_FUNCTIONS(X)                                                                                   \
    X(cudnnGetVersion)                                                                                       \
    X(cudnnGetErrorString)                                                                                   \
    X(cudnnGetLastErrorString)                                                                               \
    X(cudnnCreate)                                                                                           \
    X(cudnnDestroy)                                                                                          \
    X(cudnnSetStream)                                                                                        \
    X(cudnnBackendCreateDescriptor)                                                                          \
    X(cudnnBackendDestroyDescriptor)                                                                         \
    X(cudnnBackendSetAttribute)                                                                              \
    X(cudnnBackendGetAttribute)                                                                              \
    X(cudnnBackendFinalize)                                                                                  \
    X(cudnnBackendExecute)

struct cudnn_library {
#define CUDNN_MEMBER(name) __typeof__(&name) name;
    CUDNN_FUNCTIONS(CUDNN_MEMBER)
#undef CUDNN_MEMBER
};

enum { CUDNN_MADE_MAX = 32 };

/* Descriptors that are made together and dropped together. After the first failure nothing more is done. */
struct cudnn_making {
    const struct cudnn_library *library;
    cudnnStatus_t status;
    cudnnBackendDescriptor_t made[CUDNN_MADE_MAX];
    unsigned count;
};

cudnnBackendDescriptor_t cudnn_make(struct cudnn_making *making, cudnnBackendDescriptorType_t type);
void cudnn_set(struct cudnn_making *making, cudnnBackendDescriptor_t descriptor,
               cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
               const void *values);
void cudnn_finalize(struct cudnn_making *making, cudnnBackendDescriptor_t descriptor);
/* Takes the descriptor out: it outlives cudnn_drop(). */
cudnnBackendDescriptor_t cudnn_keep(struct cudnn_making *making, cudnnBackendDescriptor_t descriptor);
void cudnn_drop(struct cudnn_making *making);

/* Numbers by which a call names the tensors of its graph. */
enum { CUDNN_IN = 1, CUDNN_WEIGHT, CUDNN_BIAS, CUDNN_OUT, CUDNN_SUMS, CUDNN_BIASED };

struct nn_cudnn_plan {
    struct nn_cudnn_form form;
    cudnnBackendDescriptor_t config, plan; /* config: NULL of a recalled one */
    struct nn_cudnn_facts facts;
    struct nn_cudnn_plan *next;
};

/* A plan made before for this device and form, or false; and keeping one for next time. Any thread. */
bool cudnn_recall(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                  struct nn_cudnn_plan *plan);
void cudnn_remember(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                    const struct nn_cudnn_plan *plan);

/* Fills config, plan and what they say, for `device`, a descriptor of its properties. SPK_UNSUPPORTED: no engine of those that are
 * proposed takes the layer. */
spk_status cudnn_choose(const struct cudnn_library *library, cudnnBackendDescriptor_t device,
                        struct nn_cudnn_plan *plan, struct spk_error *error);

spk_status cudnn_fail(const struct cudnn_library *library, cudnnStatus_t code, const char *what,
                      struct spk_error *error);

#endif
