/* What the kernel files of the phase integration share. */
#ifndef INTEGRATE_KERNEL_H
#define INTEGRATE_KERNEL_H

#include "integrate.h"
#include "integrate_there.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, THREADS = 256 };

static inline dim3 blocks_over(int height, int width)
{
    return dim3(spk_blocks((unsigned)width, ACROSS), spk_blocks((unsigned)height, DOWN));
}

static __device__ inline bool own_pixel(int height, int width, int *x, int *y, size_t *at)
{
    *x = (int)(blockIdx.x * ACROSS + threadIdx.x);
    *y = (int)(blockIdx.y * DOWN + threadIdx.y);
    *at = (size_t)*y * (size_t)width + (size_t)*x;
    return *x < width && *y < height;
}

static __device__ inline double from_middle(int i, int count)
{
    return i - 0.5 * (count - 1);
}

/* Adds two numbers over a block; its first thread keeps them in sum[2]. */
static __device__ inline void keep_sums(double first, double second, double *part, double *sum)
{
    first = spk_block_sum(first, part);
    second = spk_block_sum(second, part);
    if (threadIdx.x == 0) {
        sum[0] = first;
        sum[1] = second;
    }
}

/* Adds what the blocks of another kernel kept, [count][2] (one block). */
static __device__ inline void add_sums(const double *kept, int count, double *part, double sum[2])
{
    double first = 0, second = 0;
    for (int i = (int)threadIdx.x; i < count; i += THREADS) {
        first += kept[2 * i];
        second += kept[2 * i + 1];
    }
    sum[0] = spk_block_sum(first, part);
    sum[1] = spk_block_sum(second, part);
}

/* Where element n of Makhoul's order comes from: even elements forward, odd ones backward. */
static __device__ inline int source(int n, int count)
{
    return n < (count + 1) / 2 ? 2 * n : 2 * (count - 1 - n) + 1;
}

/* Rows of this block's band. */
static __device__ inline void own_band(const struct integrate_there &s, int *first, int *last)
{
    *first = (int)blockIdx.x * INTEGRATE_BAND;
    *last = *first + INTEGRATE_BAND < s.height ? *first + INTEGRATE_BAND : s.height;
}

static inline unsigned bands_of(const struct integrate_there *s)
{
    return spk_blocks((unsigned)s->height, INTEGRATE_BAND);
}

/* Solves the least squares without weights in `field`, Makhoul's order on both sides; the solution is height * width times too large. */
spk_status integrate_solve(void *stream, const struct integrate_there *s, struct spk_error *error);
/* Begins the conjugate gradients, from the solution in `field`. */
void integrate_descend(void *stream, const struct integrate_there *s);
/* Queues everything that parts the slopes that were taken over: affine part, rest, curl residual. */
void integrate_part_slopes(void *stream, const struct integrate_there *s);

#endif
