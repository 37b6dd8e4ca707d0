/* IEEE 754 binary16, for values that are kept in 16 bits: 11 significant bits, so that rounding adds 1.4e-4 of a value (root mean
 * square), the photon noise of 5e7 photons. */
#ifndef SPECKLED_HALF_H
#define SPECKLED_HALF_H

#include <speckled/api.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Subnormal numbers, infinities and NaN included. */
SPK_HD float spk_half_value(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    /* binary16 bits in binary32's places are the value times 2^-112; so subnormals need no branch */
    uint32_t bits = magnitude << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    bits = (magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : bits) | sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest one, ties to even; infinity beyond 65504. NaN stays NaN. */
SPK_HD uint16_t spk_half_of(float value)
{
    uint32_t bits, small;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits & 0x80000000u, magnitude = bits ^ sign;
    /* 0.5 has its last place where the smallest binary16 number is: adding it rounds what is subnormal */
    float tail, magic = 0.5f;
    memcpy(&tail, &magnitude, sizeof tail);
    tail = magnitude < 0x38800000u ? tail + magic : magic;
    memcpy(&small, &tail, sizeof small);
    small -= 0x3f000000u;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    uint32_t half = magnitude < 0x38800000u ? small : magnitude < 0x477ff000u ? normal : large;
    return (uint16_t)(half | sign >> 16);
}

#define SPK_HALF_MAX 65504.0f /* the largest */

/* `count` floats at once; what is beyond the largest becomes the largest, as in a detector: an infinity would spoil its whole
 * neighbourhood. NaN stays NaN. Any thread. */
SPK_API void spk_half_encode(uint16_t *half, const float *values, size_t count);

#endif
