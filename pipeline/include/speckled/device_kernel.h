/* What kernel files (.cu) build on: launches, shared memory, and translated errors. They compile for CUDA, and for the checks as
 * C++ that runs every block's threads on the processor (tests/gpu/host_cuda.h); so they launch with SPK_LAUNCH() and take
 * shared memory with SPK_SHARED(), and use no other extension of the language than the attributes and built-ins of CUDA. */
#ifndef SPECKLED_DEVICE_KERNEL_H
#define SPECKLED_DEVICE_KERNEL_H

#include <speckled/half.h>
#include <speckled/status.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#include <cuda_runtime.h>
/* SPK_LAUNCH(kernel, blocks, threads, bytes of shared memory, stream handle, arguments ...) */
#define SPK_LAUNCH(kernel, grid, block, shared, stream, ...)                                                 \
    kernel<<<grid, block, shared, (cudaStream_t)(stream)>>>(__VA_ARGS__)
/* The block's shared memory, as many bytes as the launch said, 16-byte aligned, contents undefined. */
#define SPK_SHARED(type, name)                                                                               \
    extern __shared__ __align__(16) unsigned char spk_shared_memory[];                                       \
    type *name = reinterpret_cast<type *>(spk_shared_memory)
#elif defined(SPK_HOST_CUDA)
#include "host_cuda.h"
#endif

#if defined(__CUDACC__) || defined(SPK_HOST_CUDA)
/* The one place where CUDA's codes become ours; `what` was being done. CUDA keeps a failed call's code until somebody asks for it:
 * taken here, so that spk_cuda_launched() does not find it once more. */
static inline spk_status spk_cuda_status(cudaError_t code, const char *what, struct spk_error *error)
{
    if (code == cudaSuccess)
        return SPK_OK;
    cudaGetLastError();
    return spk_fail(error, code == cudaErrorMemoryAllocation ? SPK_NOMEM : SPK_DEVICE, "cuda: %s: %s", what,
                    cudaGetErrorString(code));
}

/* Whether the launches before went through. */
static inline spk_status spk_cuda_launched(const char *what, struct spk_error *error)
{
    return spk_cuda_status(cudaGetLastError(), what, error);
}

/* The device's own clock, ns from any origin, for durations. */
static __device__ inline int64_t spk_device_clock_ns()
{
#if defined(__CUDACC__)
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return (int64_t)now;
#else
    return spk_clock_monotonic_ns();
#endif
}

/* spk_half_value() and spk_half_of() by the device's own instructions; as spk_half_encode(), what is beyond the largest number
 * becomes that. */
static __device__ inline float spk_widen(uint16_t half)
{
#if defined(__CUDACC__)
    return __half2float(__ushort_as_half(half));
#else
    return spk_half_value(half);
#endif
}

static __device__ inline uint16_t spk_narrow(float value)
{
    if (fabsf(value) > SPK_HALF_MAX)
        value = copysignf(SPK_HALF_MAX, value);
#if defined(__CUDACC__)
    return __half_as_ushort(__float2half_rn(value));
#else
    return spk_half_of(value);
#endif
}

/* Two numbers side by side, the first at an address of whole words. */
static __device__ inline uint32_t spk_load_pair(const uint16_t *from)
{
#if defined(__CUDACC__)
    return *reinterpret_cast<const uint32_t *>(from);
#else
    uint32_t pair;
    memcpy(&pair, from, sizeof pair);
    return pair;
#endif
}

/* Four numbers side by side, read as the two or three words that hold them. */
static __device__ inline void spk_widen_four(const uint16_t *from, float to[4])
{
    const bool odd = ((uintptr_t)from & 2) != 0;
    const uint16_t *first = odd ? from - 1 : from;
    const uint32_t a = spk_load_pair(first), b = spk_load_pair(first + 2),
                   c = odd ? spk_load_pair(first + 4) : 0;
    const uint32_t low = odd ? a >> 16 | b << 16 : a, high = odd ? b >> 16 | c << 16 : b;
    to[0] = spk_widen((uint16_t)low);
    to[1] = spk_widen((uint16_t)(low >> 16));
    to[2] = spk_widen((uint16_t)high);
    to[3] = spk_widen((uint16_t)(high >> 16));
}

/* Order of floats as order of unsigned numbers, and back. */
static __device__ inline uint32_t spk_rank_key(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

static __device__ inline float spk_key_value(uint32_t key)
{
    uint32_t bits = key ^ (key >> 31 ? 0x80000000u : 0xffffffffu);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Shared memory that a block may ask for on every architecture we build for (CUDA C++ Programming Guide, technical specifications per compute
 * capability); without asking it has 48 kB. */
enum { SPK_SHARED_MAX = 99 << 10 };

static inline unsigned spk_blocks(unsigned count, unsigned size)
{
    return (count + size - 1) / size;
}

/* Sum over the block, in every thread. `part` holds a value a warp; all threads must call it. */
template <typename T> static __device__ inline T spk_block_sum(T value, T *part)
{
    const unsigned thread = threadIdx.x + threadIdx.y * blockDim.x, threads = blockDim.x * blockDim.y;
    for (unsigned step = 16; step; step /= 2)
        value += __shfl_down_sync(0xffffffffu, value, step);
    if (thread % 32 == 0)
        part[thread / 32] = value;
    __syncthreads();
    T sum = 0;
    for (unsigned i = 0; i < threads / 32; i++)
        sum += part[i];
    __syncthreads();
    return sum;
}
#endif

#endif
