/* The CUDA backend: thin calls of the runtime, one a member. */
#include "device/backend.h"

#include <speckled/device_kernel.h>
#include <stdio.h>
#include <string.h>

static spk_status count_devices(unsigned *count, struct spk_error *error)
{
    int devices = 0;
    cudaError_t code = cudaGetDeviceCount(&devices);
    *count = code == cudaSuccess ? (unsigned)devices : 0;
    if (code == cudaSuccess || code == cudaErrorNoDevice)
        return SPK_OK;
    cudaGetLastError();
    return spk_fail(error, SPK_UNSUPPORTED,
                    "no CUDA driver that works (%s): install NVIDIA's, or set device: cpu",
                    cudaGetErrorString(code));
}

static uint64_t attribute(enum cudaDeviceAttr name, unsigned index)
{
    int value = 0;
    return cudaDeviceGetAttribute(&value, name, (int)index) == cudaSuccess && value > 0 ? (uint64_t)value : 0;
}

/* float32 lanes of a multiprocessor (CUDA C++ Programming Guide, table of arithmetic throughput). */
static uint64_t lanes(int major, int minor)
{
    return major < 8 || (major == 8 && minor == 0) ? 64 : 128;
}

/* A kernel of which only is asked whether the device can run it. */
__global__ void probe()
{
}

/* The module has code for the architectures it was built for; any other device would fail at the first launch. */
static spk_status check_code(const struct cudaDeviceProp *facts, struct spk_error *error)
{
    struct cudaFuncAttributes attributes;
    cudaError_t code = cudaFuncGetAttributes(&attributes, probe);
    if (code != cudaErrorNoKernelImageForDevice && code != cudaErrorInvalidDeviceFunction)
        return spk_cuda_status(code, "open", error);
    cudaGetLastError();
    return spk_fail(error, SPK_UNSUPPORTED,
                    "the CUDA module has no code for %.127s: build it with -DCMAKE_CUDA_ARCHITECTURES=%d%d",
                    facts->name, facts->major, facts->minor);
}

static spk_status open_device(unsigned index, struct spk_device_info *info, struct spk_error *error)
{
    struct cudaDeviceProp facts;
    spk_status status = spk_cuda_status(cudaGetDeviceProperties(&facts, (int)index), "open", error);
    if (status)
        return status;
    snprintf(info->name, sizeof info->name, "%.127s", facts.name);
    info->memory = facts.totalGlobalMem;
    uint64_t memory_khz = attribute(cudaDevAttrMemoryClockRate, index);
    info->bandwidth = 2 * 1000 * memory_khz * attribute(cudaDevAttrGlobalMemoryBusWidth, index) / 8;
    info->flops = 2 * 1000 * attribute(cudaDevAttrClockRate, index) * lanes(facts.major, facts.minor) *
                  attribute(cudaDevAttrMultiProcessorCount, index);
    info->shared_limit = (unsigned)attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    return check_code(&facts, error);
}

static spk_status enter(unsigned index, struct spk_error *error)
{
    cudaGetLastError(); /* what a call whose failure counts for nothing has left, or a library */
    return spk_cuda_status(cudaSetDevice((int)index), "select", error);
}

static spk_status allocate(size_t bytes, void **memory, struct spk_error *error)
{
    cudaError_t code = cudaMalloc(memory, bytes ? bytes : 1);
    if (code == cudaSuccess)
        return SPK_OK;
    cudaGetLastError(); /* no memory is no reason to distrust the device */
    *memory = NULL;
    return spk_fail(error, code == cudaErrorMemoryAllocation ? SPK_NOMEM : SPK_DEVICE,
                    "cuda: no device memory for %zu bytes: %s", bytes, cudaGetErrorString(code));
}

static void release(void *memory)
{
    cudaFree(memory);
}

static void *host_allocate(size_t bytes)
{
    void *memory = NULL;
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocPortable) == cudaSuccess)
        return memory;
    cudaGetLastError();
    return NULL;
}

static void host_release(void *memory, size_t bytes)
{
    (void)bytes;
    cudaFreeHost(memory);
}

static spk_status stream_create(void **stream, struct spk_error *error)
{
    return spk_cuda_status(cudaStreamCreateWithFlags((cudaStream_t *)stream, cudaStreamNonBlocking), "stream",
                           error);
}

static void stream_destroy(void *stream)
{
    cudaStreamDestroy((cudaStream_t)stream);
}

static spk_status copy(void *stream, void *to, const void *from, size_t bytes, struct spk_error *error)
{
    return spk_cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, (cudaStream_t)stream), "copy",
                           error);
}

static spk_status fill(void *stream, void *to, int value, size_t bytes, struct spk_error *error)
{
    return spk_cuda_status(cudaMemsetAsync(to, value, bytes, (cudaStream_t)stream), "fill", error);
}

static spk_status wait_stream(void *stream, struct spk_error *error)
{
    return spk_cuda_status(cudaStreamSynchronize((cudaStream_t)stream), "work on the device", error);
}

static spk_status event_create(void **event, struct spk_error *error)
{
    return spk_cuda_status(cudaEventCreateWithFlags((cudaEvent_t *)event, cudaEventDefault), "event", error);
}

static void event_destroy(void *event)
{
    cudaEventDestroy((cudaEvent_t)event);
}

static spk_status mark(void *event, void *stream, struct spk_error *error)
{
    return spk_cuda_status(cudaEventRecord((cudaEvent_t)event, (cudaStream_t)stream), "mark", error);
}

static spk_status before(void *event, void *stream, struct spk_error *error)
{
    return spk_cuda_status(cudaStreamWaitEvent((cudaStream_t)stream, (cudaEvent_t)event, 0), "order", error);
}

static spk_status reached(void *event, struct spk_error *error)
{
    cudaError_t code = cudaEventQuery((cudaEvent_t)event);
    if (code != cudaErrorNotReady)
        return spk_cuda_status(code, "work on the device", error);
    cudaGetLastError(); /* it counts as an error there */
    return SPK_AGAIN;
}

static spk_status event_wait(void *event, struct spk_error *error)
{
    return spk_cuda_status(cudaEventSynchronize((cudaEvent_t)event), "work on the device", error);
}

static spk_status record(void *stream, struct spk_error *error)
{
    return spk_cuda_status(cudaStreamBeginCapture((cudaStream_t)stream, cudaStreamCaptureModeThreadLocal),
                           "record", error);
}

static spk_status recorded(void *stream, void **out, struct spk_error *error)
{
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    cudaError_t code = cudaStreamEndCapture((cudaStream_t)stream, &graph);
    if (code == cudaSuccess)
        code = cudaGraphInstantiateWithFlags(&ready, graph, 0);
    if (graph)
        cudaGraphDestroy(graph);
    *out = code == cudaSuccess ? ready : nullptr;
    if (code == cudaSuccess)
        return SPK_OK;
    cudaGetLastError();
    return spk_fail(error, SPK_UNSUPPORTED, "cuda: list of work: %s", cudaGetErrorString(code));
}

static spk_status launch(void *graph, void *stream, struct spk_error *error)
{
    return spk_cuda_status(cudaGraphLaunch((cudaGraphExec_t)graph, (cudaStream_t)stream), "list of work",
                           error);
}

static void graph_destroy(void *graph)
{
    cudaGraphExecDestroy((cudaGraphExec_t)graph);
}

static spk_status between(void *first, void *second, int64_t *ns, struct spk_error *error)
{
    float milliseconds = 0;
    cudaError_t code = cudaEventElapsedTime(&milliseconds, (cudaEvent_t)first, (cudaEvent_t)second);
    *ns = (int64_t)(1e6 * (double)milliseconds);
    return spk_cuda_status(code, "time", error);
}

static const struct spk_backend backend = {SPK_BACKEND_ABI,
                                           sizeof(struct spk_backend),
                                           "cuda",
                                           count_devices,
                                           open_device,
                                           enter,
                                           allocate,
                                           release,
                                           host_allocate,
                                           host_release,
                                           stream_create,
                                           stream_destroy,
                                           copy,
                                           fill,
                                           wait_stream,
                                           event_create,
                                           event_destroy,
                                           mark,
                                           before,
                                           reached,
                                           event_wait,
                                           record,
                                           recorded,
                                           launch,
                                           graph_destroy,
                                           between};

const struct spk_backend *spk_backend_entry(void)
{
    return &backend;
}
