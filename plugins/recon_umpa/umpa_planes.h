/* Planes of frames as kernels read and write them, whichever way they are kept. */
#ifndef SPECKLED_UMPA_PLANES_H
#define SPECKLED_UMPA_PLANES_H

#include "umpa_px.h"
#include "umpa_there.h"

#include <speckled/device_kernel.h>

static __device__ inline float umpa_value(const struct umpa_planes &planes, size_t at)
{
    return planes.half ? spk_widen(planes.half[at]) : planes.data[at];
}

static __device__ inline void umpa_keep(const struct umpa_planes &planes, size_t at, float value)
{
    if (planes.half)
        planes.half[at] = spk_narrow(value);
    else
        planes.data[at] = value;
}

/* Where in a frame pixel (x, y) of the maps is; false: the frame does not see it, or there is none. */
static __device__ inline bool umpa_place(const struct umpa_there &u, int frame, int x, int y, size_t *at)
{
    bool inside = x >= 0 && y >= 0 && x < u.width && y < u.height;
    if (u.stepping) {
        x += u.offset_x[frame];
        y += u.offset_y[frame];
        inside &= x >= 0 && y >= 0 && x < u.width && y < u.height;
    }
    *at = (size_t)y * (size_t)u.width + (size_t)x;
    return inside;
}

/* A sample's value there in units of the reference's mean; false: it does not count. */
static __device__ inline bool umpa_sample(const struct umpa_there &u, int frame, int x, int y, float *value)
{
    size_t at;
    *value = 0;
    if (!umpa_place(u, frame, x, y, &at))
        return false;
    *value = u.numbers->scale * umpa_value(u.sample, (size_t)frame * (size_t)u.height * (size_t)u.width + at);
    return spk_match_counts_px(*value, UMPA_LIMIT, u.sample_mask[at]);
}

#endif
