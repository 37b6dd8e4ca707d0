/* The calls of CUDA's runtime that our .cu files make, for kernels executed on the host. Included by host_cuda.h. */
#ifndef SPECKLED_HOST_RUNTIME_H
#define SPECKLED_HOST_RUNTIME_H

enum cudaDeviceAttr {
    cudaDevAttrMemoryClockRate,
    cudaDevAttrGlobalMemoryBusWidth,
    cudaDevAttrClockRate,
    cudaDevAttrMultiProcessorCount,
    cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum cudaMemcpyKind { cudaMemcpyDefault };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum { cudaHostAllocPortable, cudaStreamNonBlocking, cudaEventDefault };

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};

inline const char *cudaGetErrorString(cudaError_t code)
{
    static const char *const text[] = {
        "no error",  "out of memory",   "invalid configuration argument", "not ready",
        "no device", "no kernel image", "invalid device function"};
    return text[code];
}

inline cudaError_t cudaGetLastError()
{
    cudaError_t code = (cudaError_t)host_cuda::last_error;
    host_cuda::last_error = cudaSuccess;
    return code;
}

inline cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 2;
    return cudaSuccess;
}

inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *facts, int)
{
    *facts = {"kernels executed on the host", 0, 8, 0};
    return cudaSuccess;
}

inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr name, int)
{
    *value = name == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)host_cuda::SHARED_LIMIT : 0;
    return cudaSuccess;
}

inline cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

struct cudaFuncAttributes {
    int binaryVersion;
};

template <typename T> inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, T)
{
    attributes->binaryVersion = 0;
    return cudaSuccess;
}

template <typename T> inline cudaError_t cudaFuncSetAttribute(T kernel, cudaFuncAttribute, int bytes)
{
    if (bytes > host_cuda::SHARED_LIMIT)
        return host_cuda::failed(cudaErrorInvalidConfiguration);
    host_cuda::shared_asked[(const void *)kernel] = (size_t)bytes;
    return cudaSuccess;
}

inline cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    host_cuda::refuse_recording("cudaMalloc");
    *memory = malloc(bytes);
    if (*memory)
        memset(*memory, 0xff, bytes);
    return *memory ? cudaSuccess : host_cuda::failed(cudaErrorMemoryAllocation);
}

inline cudaError_t cudaFree(void *memory)
{
    host_cuda::refuse_recording("cudaFree");
    free(memory);
    return cudaSuccess;
}

inline cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    host_cuda::refuse_recording("cudaHostAlloc");
    *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    return *memory ? cudaSuccess : host_cuda::failed(cudaErrorMemoryAllocation);
}

inline cudaError_t cudaFreeHost(void *memory)
{
    host_cuda::refuse_recording("cudaFreeHost");
    free(memory);
    return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new host_cuda::stream;
    return cudaSuccess;
}

inline cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    delete stream; /* with what was never waited for */
    return cudaSuccess;
}

inline cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    host_cuda::refuse_recording("cudaStreamSynchronize");
    host_cuda::run_until(stream, stream->queued);
    return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream)
{
    host_cuda::push(stream, [=] { memmove(to, from, bytes); });
    return cudaSuccess;
}

inline cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    host_cuda::push(stream, [=] { memset(to, value, bytes); });
    return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    host_cuda::refuse_recording("cudaStreamBeginCapture");
    stream->recording = new host_cuda::list;
    host_cuda::recorder = stream;
    return cudaSuccess;
}

inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = stream->recording;
    stream->recording = nullptr;
    host_cuda::recorder = nullptr;
    return cudaSuccess;
}

inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *ready, cudaGraph_t graph,
                                                 unsigned long long)
{
    *ready = new host_cuda::list(*graph);
    return cudaSuccess;
}

inline cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    delete graph;
    return cudaSuccess;
}

inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    for (const std::function<void()> &work : *graph)
        host_cuda::push(stream, work);
    return cudaSuccess;
}

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new host_cuda::event;
    return cudaSuccess;
}

inline cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    host_cuda::refuse_recording("cudaEventRecord");
    host_cuda::push(stream, [ns = event->ns] { *ns = spk_clock_monotonic_ns(); });
    event->on = stream;
    event->place = stream->queued;
    return cudaSuccess;
}

inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    host_cuda::refuse_recording("cudaStreamWaitEvent");
    host_cuda::stream *other = event->on;
    uint64_t place = event->place;
    host_cuda::push(stream, [=] { host_cuda::run_until(other, place); });
    return cudaSuccess;
}

inline cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    host_cuda::refuse_recording("cudaEventSynchronize");
    host_cuda::run_until(event->on, event->place);
    return cudaSuccess;
}

/* Goes on by one piece of work, so that who asks again and again gets there. */
inline cudaError_t cudaEventQuery(cudaEvent_t event)
{
    host_cuda::refuse_recording("cudaEventQuery");
    if (event->on && event->on->done < event->place)
        host_cuda::run_until(event->on, event->on->done + 1);
    return event->on && event->on->done < event->place ? host_cuda::failed(cudaErrorNotReady) : cudaSuccess;
}

inline cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t second)
{
    *milliseconds = (float)(1e-6 * (double)(*second->ns - *first->ns));
    return cudaSuccess;
}

#endif
