/* Kernels executed on the host: gives the words of CUDA that our .cu files use their meaning on the processor, for the checks.
 *
 * The threads of a block are fibers that run one at a time, in another random order after each barrier, so that a barrier that is
 * missing shows as a wrong value; shared and device memory start as NaN and have their exact size, so that the address
 * sanitizer sees what goes beyond; work that is queued runs only when somebody waits, so that a missing wait shows too.
 * A barrier that only some threads of a block reach ends the program, and so does a call that CUDA does not allow while a list is recorded;
 * a launch with more shared memory than every kernel has fails unless it was asked for. Nothing here says how fast a kernel is. */
#ifndef SPECKLED_HOST_CUDA_H
#define SPECKLED_HOST_CUDA_H

#include <speckled/clock.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <map>
#include <memory>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <tuple>
#include <ucontext.h>
#include <vector>
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as gcc says it */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned across = 1, unsigned down = 1, unsigned deep = 1) : x(across), y(down), z(deep)
    {
    }
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda
{
enum { STACK = 256 << 10, THREADS_MAX = 1024, WARP = 32 };
enum {
    SHARED_LIMIT = 99 << 10,
    SHARED_UNASKED = 48 << 10
}; /* of a block if it asks, as SPK_SHARED_MAX; if not */
enum state { RUNNING, AT_BARRIER, AT_WARP, DONE };

/* Where a stack goes on: contexts that swapcontext() fills would cost two calls of the kernel a switch. */
struct resting_place {
    void *word[5];
};

/* Once begun it serves one thread after the other. */
struct fiber {
    ucontext_t context; /* where it begins */
    resting_place place;
    void *stack = nullptr, *fake = nullptr;
    state at = DONE;
    unsigned index = 0;
    bool begun = false;
};

struct block {
    resting_place scheduler;
    void *fake = nullptr;
    const void *bottom = nullptr;
    size_t size = 0;
    fiber threads[THREADS_MAX];
    unsigned count = 0, phase = 0;
    fiber *current = nullptr;
    int votes[2] = {0, 0};
    uint64_t slot[THREADS_MAX];
    std::function<void()> body;
    unsigned char *shared = nullptr;
    uint64_t random = 88172645463325252u;

    unsigned draw(unsigned below) /* Marsaglia, "Xorshift RNGs", 2003 */
    {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        return (unsigned)((random >> 33) % below);
    }
};

inline thread_local block *now;

/* Tells the address sanitizer which stack is in use. */
inline void leave_stack(void **fake, const void *bottom, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fake, bottom, size);
#else
    (void)fake, (void)bottom, (void)size;
#endif
}

inline void enter_stack(void *fake, const void **bottom, size_t *size)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, bottom, size);
#else
    (void)fake, (void)bottom, (void)size;
#endif
}

/* Rests here until somebody switches back. The sanitizer must not see a jump that never returns: it would forget what it
 * knows of the stack. */
#define HOST_CUDA_SWITCH __attribute__((noinline, no_sanitize("address")))

[[noreturn]] HOST_CUDA_SWITCH inline void jump_to(resting_place *to)
{
    __builtin_longjmp(to->word, 1);
}

HOST_CUDA_SWITCH inline void switch_to(resting_place *from, resting_place *to)
{
    if (!__builtin_setjmp(from->word))
        jump_to(to);
}

HOST_CUDA_SWITCH inline void begin_at(resting_place *from, const ucontext_t *to)
{
    if (!__builtin_setjmp(from->word))
        setcontext(to);
}

inline void stop_at(state at)
{
    fiber *self = now->current;
    self->at = at;
    leave_stack(&self->fake, now->bottom, now->size);
    switch_to(&self->place, &now->scheduler);
    enter_stack(self->fake, &now->bottom, &now->size);
}

inline void fiber_main()
{
    enter_stack(nullptr, &now->bottom, &now->size);
    for (;;) {
        now->body();
        stop_at(DONE);
    }
}

inline void resume(fiber *thread)
{
    now->current = thread;
    threadIdx = dim3(thread->index % blockDim.x, thread->index / blockDim.x % blockDim.y,
                     thread->index / (blockDim.x * blockDim.y));
    leave_stack(&now->fake, thread->stack, STACK);
    if (thread->begun)
        switch_to(&now->scheduler, &thread->place);
    else {
        thread->begun = true;
        begin_at(&now->scheduler, &thread->context);
    }
    enter_stack(now->fake, nullptr, nullptr);
}

inline void start(fiber *thread, unsigned index)
{
    thread->index = index;
    thread->at = RUNNING;
    if (thread->stack)
        return;
    thread->stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack;
    thread->context.uc_stack.ss_size = STACK;
    thread->context.uc_link = nullptr;
    makecontext(&thread->context, fiber_main, 0);
}

inline unsigned count_at(state at, unsigned first, unsigned end)
{
    unsigned count = 0;
    for (unsigned i = first; i < end; i++)
        count += now->threads[i].at == at;
    return count;
}

/* Runs whoever can run, in a random order; releases warps and barriers that are complete. */
inline void run_block()
{
    std::vector<unsigned> order(now->count);
    for (unsigned i = 0; i < now->count; i++)
        order[i] = i;
    for (;;) {
        for (unsigned i = now->count; i > 1; i--)
            std::swap(order[i - 1], order[now->draw(i)]);
        for (unsigned i : order)
            if (now->threads[i].at == RUNNING)
                resume(&now->threads[i]);
        bool released = false;
        for (unsigned first = 0; first < now->count; first += WARP) {
            unsigned end = first + WARP < now->count ? first + WARP : now->count;
            unsigned waiting = count_at(AT_WARP, first, end);
            if (waiting && waiting + count_at(DONE, first, end) == end - first)
                for (unsigned i = first; i < end; i++)
                    if (now->threads[i].at == AT_WARP)
                        now->threads[i].at = RUNNING, released = true;
        }
        if (released)
            continue;
        unsigned waiting = count_at(AT_BARRIER, 0, now->count);
        if (!waiting && count_at(DONE, 0, now->count) == now->count)
            return;
        if (waiting != now->count) {
            fprintf(stderr, "host_cuda: %u of %u threads of a block reach a barrier\n", waiting, now->count);
            abort();
        }
        now->votes[++now->phase & 1] = 0;
        for (unsigned i = 0; i < now->count; i++)
            now->threads[i].at = RUNNING;
    }
}

typedef std::vector<std::function<void()>> list;

struct stream {
    std::deque<std::function<void()>> queue;
    uint64_t queued = 0, done = 0;
    list *recording = nullptr; /* instead of the queue */
};

struct event {
    stream *on = nullptr;
    uint64_t place = 0;
    std::shared_ptr<int64_t> ns =
        std::make_shared<int64_t>(0); /* a record that is queued outlives the event */
};

inline void run_until(stream *s, uint64_t place)
{
    while (s->done < place) {
        std::function<void()> work = std::move(s->queue.front());
        s->queue.pop_front();
        s->done++;
        work();
    }
}

inline thread_local stream *recorder; /* of this thread: the stream whose work is being recorded */

/* What would spoil a list that is being recorded ends the program. */
inline void refuse_recording(const char *call)
{
    if (!recorder)
        return;
    fprintf(stderr, "host_cuda: %s while a list of work is recorded\n", call);
    abort();
}

inline void push(stream *s, std::function<void()> work)
{
    if (s != recorder)
        refuse_recording("work for another stream");
    if (s->recording) {
        s->recording->push_back(std::move(work));
        return;
    }
    s->queue.push_back(std::move(work));
    s->queued++;
}

inline thread_local int last_error;
} // namespace host_cuda

typedef host_cuda::stream *cudaStream_t;
typedef host_cuda::event *cudaEvent_t;
typedef host_cuda::list *cudaGraph_t, *cudaGraphExec_t;
enum cudaError_t {
    cudaSuccess,
    cudaErrorMemoryAllocation,
    cudaErrorInvalidConfiguration,
    cudaErrorNotReady,
    cudaErrorNoDevice,
    cudaErrorNoKernelImageForDevice,
    cudaErrorInvalidDeviceFunction
};

namespace host_cuda
{
/* A failure stays until somebody asks for it, "not ready" as well. */
inline cudaError_t failed(cudaError_t code)
{
    last_error = code;
    return code;
}
} // namespace host_cuda

namespace host_cuda
{
inline void run_grid(dim3 grid, dim3 threads, size_t shared, const std::function<void()> &body)
{
    static thread_local std::unique_ptr<block> own(new block);
    now = own.get();
    now->body = body;
    now->count = threads.x * threads.y * threads.z;
    gridDim = grid;
    blockDim = threads;
    for (unsigned b = 0; b < grid.x * grid.y * grid.z; b++) {
        blockIdx = dim3(b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y));
        now->shared = (unsigned char *)aligned_alloc(16, (shared + 15) / 16 * 16 + 16);
        memset(now->shared, 0xff, shared);
        for (unsigned i = 0; i < now->count; i++)
            start(&now->threads[i], i);
        run_block();
        free(now->shared);
    }
}

inline thread_local std::map<const void *, size_t> shared_asked; /* by kernel */

inline void launch(const void *kernel, dim3 grid, dim3 threads, size_t shared, void *on,
                   std::function<void()> body)
{
    unsigned count = threads.x * threads.y * threads.z;
    const auto asked = shared_asked.find(kernel);
    const size_t unasked = SHARED_UNASKED,
                 limit = asked == shared_asked.end() ? unasked : std::max(unasked, asked->second);
    if (!count || count > THREADS_MAX || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 ||
        shared > limit)
        last_error = cudaErrorInvalidConfiguration;
    else
        push((stream *)on, [=] { run_grid(grid, threads, shared, body); });
}
} // namespace host_cuda

/* Arguments are taken now, as a launch does. */
#define SPK_LAUNCH(kernel, grid, block, shared, stream, ...)                                                 \
    host_cuda::launch((const void *)(kernel), grid, block, shared, stream,                                   \
                      [values = std::make_tuple(__VA_ARGS__)] {                                              \
                          std::apply([](auto... value) { kernel(value...); }, values);                       \
                      })
#define SPK_SHARED(type, name) type *name = reinterpret_cast<type *>(host_cuda::now->shared)

inline void __syncthreads()
{
    host_cuda::stop_at(host_cuda::AT_BARRIER);
}

inline int __syncthreads_or(int vote)
{
    unsigned phase = host_cuda::now->phase & 1;
    host_cuda::now->votes[phase] |= vote != 0;
    host_cuda::stop_at(host_cuda::AT_BARRIER);
    return host_cuda::now->votes[phase];
}

template <typename T> inline T __shfl_down_sync(unsigned, T value, unsigned step)
{
    host_cuda::block *b = host_cuda::now;
    unsigned self = b->current->index, from = self + step;
    memcpy(&b->slot[self], &value, sizeof value);
    host_cuda::stop_at(host_cuda::AT_WARP);
    if (from / host_cuda::WARP == self / host_cuda::WARP && from < b->count)
        memcpy(&value, &b->slot[from], sizeof value);
    host_cuda::stop_at(host_cuda::AT_WARP);
    return value;
}

inline int __popc(unsigned word)
{
    return __builtin_popcount(word);
}

/* One thread runs at a time, so plain operations are atomic. */
template <typename T> inline T atomicAdd(T *to, T value)
{
    T before = *to;
    *to = before + value;
    return before;
}

template <typename T> inline T atomicMin(T *to, T value)
{
    T before = *to;
    *to = value < before ? value : before;
    return before;
}

template <typename T> inline T atomicMax(T *to, T value)
{
    T before = *to;
    *to = value > before ? value : before;
    return before;
}

#include "host_runtime.h"

#endif
