/* What the kernel files of the global refinement share: blocks over pixels, sums, the clock. */
#ifndef SPECKLED_GLOBAL_KERNEL_H
#define SPECKLED_GLOBAL_KERNEL_H

#include "global_there.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN, WARPS = THREADS / 32 };

static __host__ __device__ inline size_t level_plane(const struct global_there_level &g)
{
    return (size_t)g.height * (size_t)g.width;
}

static __host__ __device__ inline unsigned prior_of(unsigned c)
{
    return c < GLOBAL_PRIORS ? c : (unsigned)GLOBAL_PRIORS - 1;
}

/* Whether a thread of a launch over a level's pixels has one. */
static __device__ inline bool own_pixel(const struct global_there_level &g, int *x, int *y, size_t *at)
{
    *x = (int)(blockIdx.x * ACROSS + threadIdx.x);
    *y = (int)(blockIdx.y * DOWN + threadIdx.y);
    *at = (size_t)*y * (size_t)g.width + (size_t)*x;
    return *x < g.width && *y < g.height;
}

static inline dim3 level_blocks(const struct global_there_level *g)
{
    return dim3(spk_blocks((unsigned)g->width, ACROSS), spk_blocks((unsigned)g->height, DOWN));
}

static inline int part_count(const struct global_there *t)
{
    const dim3 blocks = level_blocks(&t->level[0]);
    return (int)(blocks.x * blocks.y);
}

#define LAUNCH_FINEST(kernel, ...)                                                                           \
    SPK_LAUNCH(kernel, level_blocks(&t->level[0]), dim3(ACROSS, DOWN), 0, stream, __VA_ARGS__)

/* The block's sum, kept for sum_parts(): so it does not depend on who was first. All threads must call it. */
static __device__ inline void store_part(const struct global_there &t, float value, double *part)
{
    const double sum = spk_block_sum((double)value, part);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        t.part[blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

/* The sum of the parts, for every thread of one block. */
static __device__ inline double sum_parts(const struct global_there &t, int parts, double *part)
{
    double sum = 0;
    for (int i = (int)threadIdx.x; i < parts; i += THREADS)
        sum += t.part[i];
    return spk_block_sum(sum, part);
}

#endif
