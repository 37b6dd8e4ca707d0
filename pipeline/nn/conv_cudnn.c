/* cuDNN by its backend interface: opening the library, errors, plans kept by their form, calls. */
#include "conv_cudnn_graph.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST = 90800 }; /* the first version in which devices are described */

struct nn_cudnn_call {
    cudnnBackendDescriptor_t plan, pack;
    struct nn_cudnn_call *next;
};

struct nn_cudnn {
    const struct cudnn_library *library;
    struct spk_stream *stream; /* NULL: the device is only described */
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t device;
    struct nn_cudnn_plan *plan;
    struct nn_cudnn_call *call;
};

static struct {
    pthread_once_t once;
    struct cudnn_library library;
    struct spk_error error; /* status 0: it is there */
} shared = {.once = PTHREAD_ONCE_INIT};

static void load(void)
{
    const char *chosen = getenv("SPECKLED_CUDNN"), *name = chosen && *chosen ? chosen : "libcudnn.so.9";
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL); /* for good */
    if (!handle) {
        spk_fail(&shared.error, SPK_UNSUPPORTED, "no cuDNN (%s)", dlerror());
        return;
    }
    void *symbol;
#define CUDNN_LOAD(name)                                                                                     \
    symbol = dlsym(handle, #name);                                                                           \
    memcpy(&shared.library.name, &symbol, sizeof symbol);                                                    \
    if (!symbol)                                                                                             \
        spk_fail(&shared.error, SPK_UNSUPPORTED, "cuDNN lacks " #name);
    CUDNN_FUNCTIONS(CUDNN_LOAD)
#undef CUDNN_LOAD
    if (!shared.error.status && shared.library.cudnnGetVersion() < OLDEST)
        spk_fail(&shared.error, SPK_UNSUPPORTED, "cuDNN is version %zu, %d or newer is needed",
                 shared.library.cudnnGetVersion(), OLDEST);
}

spk_status cudnn_fail(const struct cudnn_library *library, cudnnStatus_t code, const char *what,
                      struct spk_error *error)
{
    char reason[256] = "";
    library->cudnnGetLastErrorString(reason, sizeof reason);
    spk_status status =
        CUDNN_STATUS_CATEGORY(code) == CUDNN_STATUS_NOT_SUPPORTED ? SPK_UNSUPPORTED : SPK_DEVICE;
    if (code == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        code == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        status = SPK_NOMEM;
    return spk_fail(error, status, "cuDNN: %s: %s (%.200s)", what, library->cudnnGetErrorString(code),
                    reason);
}

/* Operations, so that the stream's device is the current one. */
static spk_status begin(void *stream, const void *arguments, struct spk_error *error)
{
    struct nn_cudnn *cudnn = *(struct nn_cudnn *const *)arguments;
    cudnnStatus_t code = cudnn->library->cudnnCreate(&cudnn->handle);
    if (!code)
        code = cudnn->library->cudnnSetStream(cudnn->handle, stream);
    if (!code)
        return SPK_OK;
    spk_status status = cudnn_fail(cudnn->library, code, "handle", error);
    if (status == SPK_DEVICE && error) /* it does not want this device, which is no reason to distrust it */
        error->status = SPK_UNSUPPORTED;
    return status == SPK_DEVICE ? SPK_UNSUPPORTED : status;
}

static spk_status end(void *stream, const void *arguments, struct spk_error *error)
{
    const struct nn_cudnn *cudnn = *(struct nn_cudnn *const *)arguments;
    (void)stream;
    (void)error;
    for (const struct nn_cudnn_call *call = cudnn->call; call; call = call->next)
        cudnn->library->cudnnBackendDestroyDescriptor(call->pack);
    for (const struct nn_cudnn_plan *plan = cudnn->plan; plan; plan = plan->next) {
        cudnn->library->cudnnBackendDestroyDescriptor(plan->plan);
        if (plan->config)
            cudnn->library->cudnnBackendDestroyDescriptor(plan->config);
    }
    if (cudnn->device)
        cudnn->library->cudnnBackendDestroyDescriptor(cudnn->device);
    if (cudnn->handle)
        cudnn->library->cudnnDestroy(cudnn->handle);
    return SPK_OK;
}

struct planning {
    struct nn_cudnn *cudnn;
    struct nn_cudnn_plan *plan;
};

static spk_status make_plan(void *stream, const void *arguments, struct spk_error *error)
{
    const struct planning *planning = arguments;
    const struct cudnn_library *library = planning->cudnn->library;
    (void)stream;
    if (cudnn_recall(library, planning->cudnn->device, planning->plan))
        return SPK_OK;
    spk_status status = cudnn_choose(library, planning->cudnn->device, planning->plan, error);
    if (!status)
        cudnn_remember(library, planning->cudnn->device, planning->plan);
    return status;
}

struct calling {
    const struct nn_cudnn *cudnn;
    const struct nn_cudnn_call *call;
};

static spk_status execute(void *stream, const void *arguments, struct spk_error *error)
{
    const struct calling *calling = arguments;
    const struct cudnn_library *library = calling->cudnn->library;
    (void)stream; /* the handle's own */
    cudnnStatus_t code =
        library->cudnnBackendExecute(calling->cudnn->handle, calling->call->plan, calling->call->pack);
    return code ? cudnn_fail(library, code, "convolution", error) : SPK_OK;
}

void nn_cudnn_close(struct nn_cudnn **address)
{
    struct nn_cudnn *cudnn = *address;
    if (!cudnn)
        return;
    if (cudnn->stream)
        spk_stream_discard(cudnn->stream, end, &cudnn);
    else
        end(NULL, &cudnn, NULL);
    for (struct nn_cudnn_call *call = cudnn->call, *next; call; call = next) {
        next = call->next;
        free(call);
    }
    for (struct nn_cudnn_plan *plan = cudnn->plan, *next; plan; plan = next) {
        next = plan->next;
        free(plan);
    }
    free(cudnn);
    *address = NULL;
}

/* Describes the device that `value` names. */
static spk_status describe(struct nn_cudnn *cudnn, cudnnBackendAttributeName_t name,
                           cudnnBackendAttributeType_t type, int64_t count, const void *value,
                           struct spk_error *error)
{
    struct cudnn_making m = {.library = cudnn->library};
    cudnnBackendDescriptor_t device = cudnn_make(&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    cudnn_set(&m, device, name, type, count, value);
    cudnn_finalize(&m, device);
    if (!m.status)
        cudnn->device = cudnn_keep(&m, device);
    else
        cudnn_fail(m.library, m.status, "properties of the device", error);
    cudnn_drop(&m);
    return m.status ? SPK_UNSUPPORTED : SPK_OK;
}

static spk_status create(struct nn_cudnn **out, struct spk_stream *stream, struct spk_error *error)
{
    *out = NULL;
    pthread_once(&shared.once, load);
    if (shared.error.status)
        return spk_fail(error, shared.error.status, "%s", shared.error.text);
    *out = calloc(1, sizeof **out);
    if (!*out)
        return spk_fail(error, SPK_NOMEM, "no memory for cuDNN");
    (*out)->library = &shared.library;
    (*out)->stream = stream;
    return SPK_OK;
}

spk_status nn_cudnn_open(struct nn_cudnn **cudnn, struct spk_stream *stream, struct spk_error *error)
{
    spk_status status = create(cudnn, stream, error);
    if (!*cudnn)
        return status;
    status = spk_stream_run(stream, begin, cudnn, error);
    if (!status)
        status =
            describe(*cudnn, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &(*cudnn)->handle, error);
    if (status)
        nn_cudnn_close(cudnn);
    return status;
}

spk_status nn_cudnn_open_described(struct nn_cudnn **cudnn, const char *properties, struct spk_error *error)
{
    spk_status status = create(cudnn, NULL, error);
    if (!*cudnn)
        return status;
    status = describe(*cudnn, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                      (int64_t)strlen(properties), properties, error);
    if (status)
        nn_cudnn_close(cudnn);
    return status;
}

bool nn_cudnn_same_form(const struct nn_cudnn_form *a, const struct nn_cudnn_form *b)
{
    return a->precision == b->precision && a->height == b->height && a->width == b->width &&
           a->inputs == b->inputs && a->channels == b->channels && a->kernel == b->kernel &&
           a->stride == b->stride && a->dilation == b->dilation && a->slope == b->slope;
}

spk_status nn_cudnn_plan(struct nn_cudnn *cudnn, const struct nn_cudnn_form *form,
                         const struct nn_cudnn_plan **out, struct spk_error *error)
{
    for (*out = cudnn->plan; *out; *out = (*out)->next)
        if (nn_cudnn_same_form(&(*out)->form, form))
            return SPK_OK;
    struct nn_cudnn_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return spk_fail(error, SPK_NOMEM, "no memory for a plan of cuDNN");
    plan->form = *form;
    const struct planning planning = {cudnn, plan};
    spk_status status = cudnn->stream ? spk_stream_run(cudnn->stream, make_plan, &planning, error)
                                      : make_plan(NULL, &planning, error);
    if (status) {
        free(plan);
        return status;
    }
    plan->next = cudnn->plan;
    *out = cudnn->plan = plan;
    return SPK_OK;
}

const struct nn_cudnn_facts *nn_cudnn_facts(const struct nn_cudnn_plan *plan)
{
    return &plan->facts;
}

spk_status nn_cudnn_bind(struct nn_cudnn *cudnn, const struct nn_cudnn_plan *plan,
                         const struct nn_cudnn_tensors *tensors, const struct nn_cudnn_call **out,
                         struct spk_error *error)
{
    static const int64_t name[] = {CUDNN_IN, CUDNN_WEIGHT, CUDNN_OUT, CUDNN_BIAS};
    const void *address[] = {tensors->in, tensors->weight, tensors->out, tensors->bias};
    const int64_t count = plan->facts.fuses ? 4 : 3;
    struct nn_cudnn_call *call = calloc(1, sizeof *call);
    if (!call)
        return spk_fail(error, SPK_NOMEM, "no memory for a call of cuDNN");
    struct cudnn_making m = {.library = cudnn->library};
    cudnnBackendDescriptor_t pack = cudnn_make(&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    cudnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, name);
    cudnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, address);
    cudnn_set(&m, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &tensors->workspace);
    cudnn_finalize(&m, pack);
    if (m.status) {
        cudnn_drop(&m);
        free(call);
        return cudnn_fail(m.library, m.status, "addresses", error);
    }
    *call = (struct nn_cudnn_call){plan->plan, cudnn_keep(&m, pack), cudnn->call};
    *out = cudnn->call = call;
    return nn_cudnn_run(cudnn, call, error);
}

spk_status nn_cudnn_run(struct nn_cudnn *cudnn, const struct nn_cudnn_call *call, struct spk_error *error)
{
    const struct calling calling = {cudnn, call};
    return spk_stream_run(cudnn->stream, execute, &calling, error);
}
