/* Numbers of 16 bits as networks store them, for the C compiler and nvcc alike: binary16, or bfloat16, the upper half of binary32. */
#ifndef SPK_NN_NARROW_PX_H
#define SPK_NN_NARROW_PX_H

#include <speckled/half.h>
#include <speckled/nn.h>

SPK_HD float nn_bf16_value(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest one, ties to even. NaN stays NaN. */
SPK_HD uint16_t nn_bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* What is left of a number that is stored in `precision`. */
SPK_HD float nn_rounded_px(enum spk_nn_precision precision, float value)
{
    return precision == SPK_NN_F16    ? spk_half_value(spk_half_of(value))
           : precision == SPK_NN_BF16 ? nn_bf16_value(nn_bf16_of(value))
                                      : value;
}

#endif
