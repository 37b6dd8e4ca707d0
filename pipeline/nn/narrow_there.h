/* Numbers of 16 bits by the device's own instructions, for kernel files. As in a detector, what is beyond binary16's largest number
 * becomes that. */
#ifndef SPK_NN_NARROW_THERE_H
#define SPK_NN_NARROW_THERE_H

#include "narrow_px.h"

#include <speckled/device_kernel.h>

static __device__ inline float nn_widen(enum spk_nn_precision precision, uint16_t half)
{
    return precision == SPK_NN_BF16 ? nn_bf16_value(half) : spk_widen(half);
}

static __device__ inline uint16_t nn_narrow(enum spk_nn_precision precision, float value)
{
    return precision == SPK_NN_BF16 ? nn_bf16_of(value) : spk_narrow(value);
}

#endif
