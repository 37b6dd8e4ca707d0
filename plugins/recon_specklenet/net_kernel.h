/* What the kernel files of specklenet share: places of threads, sums over planes, windows. */
#ifndef SPECKLENET_KERNEL_H
#define SPECKLENET_KERNEL_H

#include "net_there.h"

#include <speckled/device_kernel.h>

enum { ACROSS = 32, DOWN = 8, THREADS = ACROSS * DOWN };

static inline dim3 blocks_over(int h, int w, int deep = 1)
{
    return dim3(spk_blocks((unsigned)w, ACROSS), spk_blocks((unsigned)h, DOWN), (unsigned)deep);
}

/* The pixel of a thread of blocks_over(). */
struct pixel {
    int x, y;
    size_t at;
    bool inside;
};

static __device__ inline struct pixel pixel_of(int h, int w)
{
    struct pixel p;
    p.x = (int)(blockIdx.x * ACROSS + threadIdx.x);
    p.y = (int)(blockIdx.y * DOWN + threadIdx.y);
    p.at = (size_t)p.y * (size_t)w + (size_t)p.x;
    p.inside = p.x < w && p.y < h;
    return p;
}

static __host__ __device__ inline size_t area_of(int h, int w)
{
    return (size_t)h * (size_t)w;
}

static __host__ __device__ inline size_t plane_of(const struct net_there &t)
{
    return area_of(t.h, t.w);
}

static __device__ inline int clamped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Adds what NET_PARTS blocks kept of one sum. */
static __device__ inline double sum_of_parts(const double *part)
{
    double sum = 0;
    for (int i = 0; i < NET_PARTS; i++)
        sum += part[i];
    return sum;
}

/* --- regions: windows in cascade within a block ----------------------------------------------------------------------------------- */

/* A block's region of an image: a thread has RUN pixels, one above the other. Windows of the pixels within RIM of the region's edge are
 * wrong; those of the others, the block's own, are not. */
enum {
    COLUMNS = 64,
    ROWS = 32,
    RUN = 8,
    RIM = 4, /* reach of boxes of 3, 3 and 5 px in cascade */
    OUT_X = COLUMNS - 2 * RIM,
    OUT_Y = ROWS - 2 * RIM,
    REGION_THREADS = COLUMNS * ROWS / RUN,
    REGION_BYTES = 2 * ROWS * COLUMNS * 4
};

static inline dim3 regions_over(int h, int w, int deep)
{
    return dim3(spk_blocks((unsigned)w, OUT_X), spk_blocks((unsigned)h, OUT_Y), (unsigned)deep);
}

struct region {
    int x, y;                         /* of the thread's first pixel in the image */
    int column, row;                  /* and in the region */
    int low_x, high_x, low_y, high_y; /* ends of the image in the region */
    bool own_column;                  /* the block's own, and in the image */
    int h;
};

static __device__ inline struct region region_of(int h, int w)
{
    const int x0 = (int)blockIdx.x * OUT_X - RIM, y0 = (int)blockIdx.y * OUT_Y - RIM;
    struct region p;
    p.column = (int)threadIdx.x % COLUMNS;
    p.row = (int)threadIdx.x / COLUMNS * RUN;
    p.x = x0 + p.column;
    p.y = y0 + p.row;
    p.low_x = x0 < 0 ? -x0 : 0;
    p.low_y = y0 < 0 ? -y0 : 0;
    p.high_x = w - x0 < COLUMNS ? w - x0 - 1 : COLUMNS - 1;
    p.high_y = h - y0 < ROWS ? h - y0 - 1 : ROWS - 1;
    p.own_column = p.column >= RIM && p.column < COLUMNS - RIM && p.x < w;
    p.h = h;
    return p;
}

/* Whether pixel i of the thread is in the image; and the block's own. */
static __device__ inline bool in_image(const struct region &p, int i)
{
    return p.column >= p.low_x && p.column <= p.high_x && p.row + i >= p.low_y && p.row + i <= p.high_y;
}

static __device__ inline bool is_own(const struct region &p, int i)
{
    return p.own_column && p.row + i >= RIM && p.row + i < ROWS - RIM && p.y + i < p.h;
}

/* value[i] becomes the mean over SIDE x SIDE pixels, edges of the image carried on. `room` is REGION_BYTES of shared memory, free for
 * another call as it is. All threads must call it. */
template <int SIDE>
static __device__ inline void box(const struct region &p, float (&value)[RUN], float *room)
{
    enum { HALF = SIDE / 2 };
    float *const lines = room + ROWS * COLUMNS;
#pragma unroll
    for (int i = 0; i < RUN; i++)
        room[(p.row + i) * COLUMNS + p.column] = value[i];
    __syncthreads();
    float column[RUN + 2 * HALF];
#pragma unroll
    for (int i = 0; i < RUN + 2 * HALF; i++)
        column[i] = room[clamped(p.row + i - HALF, p.low_y, p.high_y) * COLUMNS + p.column];
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        float sum = column[i];
#pragma unroll
        for (int j = 1; j < SIDE; j++)
            sum += column[i + j];
        lines[(p.row + i) * COLUMNS + p.column] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < RUN; i++)
        value[i] = 0;
#pragma unroll
    for (int j = -HALF; j <= HALF; j++) {
        const float *line = lines + p.row * COLUMNS + clamped(p.column + j, p.low_x, p.high_x);
#pragma unroll
        for (int i = 0; i < RUN; i++)
            value[i] += line[i * COLUMNS];
    }
#pragma unroll
    for (int i = 0; i < RUN; i++)
        value[i] *= 1.0f / (SIDE * SIDE);
}

/* --- net_window.cu: windows over planes, queued ------------------------------------------------------------------------------------ */

/* Boxes of 3, 3 and 5 px in cascade, edges carried on, over `deep` planes; NULL: not kept. */
struct net_cascade {
    const float *in;
    float *out[3];
    size_t stride; /* between planes, of in and out */
    int h, w;
};
void net_run_cascade(void *stream, const struct net_cascade &c, int deep);

/* Mean over side x side pixels, side 3, 9, 17 or 33, edges carried on, over `deep` planes. */
struct net_box {
    const float *in;
    float *out;
    size_t stride;
    int h, w;
};
void net_run_box(void *stream, const struct net_box &b, int side, int deep);

/* Values of which a median is taken: number i is that at column i % columns and row i / columns. */
struct net_sampled {
    const float *from;
    size_t pitch, step; /* between rows, between columns */
    int columns, count;
};
/* Every fourth pixel of every fourth row of a plane; as many values side by side. */
struct net_sampled net_sample_of(const struct net_there &t, const float *plane);
struct net_sampled net_values_of(const struct net_there &t);
/* Writes the lower of the two middle values. */
void net_run_median(void *stream, const struct net_sampled &s, float *to);

/* --- net_search.cu ------------------------------------------------------------------------------------------------------------------ */

/* Mean or square of a side (0: reference, 1: sample) in window 0; the other windows follow, wide_plane apart. */
static __host__ __device__ inline float *spread_of(const struct net_there &t, int side, int square)
{
    return t.spread + (size_t)(2 * side + square) * SPK_NET_LEVEL_WINDOWS * t.wide_plane;
}

/* --- net_correlate.cu: volumes from frames and the statistics of both sides */
void net_run_coarse(void *stream, const struct net_there &t, float *volume);
void net_run_fine(void *stream, const struct net_there &t, const float *sample, int h, int w, float *volume);

/* Means and squares of all windows from those in window 0, and the floor under the variances from the widest window's. */
void net_run_spread(void *stream, const struct net_there &t, int side, int h, int w, float *floor);
/* Frames given by their spline coefficients, warped by the flow, with BORDER px round them that repeat the edge. `with_power`: frame
 * means of them and of their squares become side 0. */
void net_run_warp(void *stream, const struct net_there &t, const float *image, int h, int w, bool with_power);
/* Flow less its mean over 9 x 9 px, and ln N: three channels of a network's input. */
void net_run_channels(void *stream, const struct net_there &t, int h, int w, float *out);

#endif
