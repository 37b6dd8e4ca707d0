/* Planes of frames as kernels read and write them, whichever way they are kept. */
#ifndef SPECKLED_UMPA_PLANES_H
#define SPECKLED_UMPA_PLANES_H

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

#endif
