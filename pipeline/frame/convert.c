/* Raw detector values to float. */
#include <speckled/frame.h>

#include "core/clones.h"

#include <string.h>

#define CONVERT(type)                                                                                        \
    do {                                                                                                     \
        const type *from = frame->data;                                                                      \
        for (size_t i = 0; i < count; i++)                                                                   \
            values[i] = (float)from[i];                                                                      \
    } while (0)

/* IEEE 754 binary16, bit by bit: compilers for the C11 baseline have no such type. */
static float from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

SPK_CLONES spk_status spk_frame_to_float(const struct spk_frame *frame, float *values)
{
    size_t count = (size_t)frame->height * frame->width;
    switch (frame->dtype) {
    case SPK_U8:
        CONVERT(uint8_t);
        break;
    case SPK_U16:
        CONVERT(uint16_t);
        break;
    case SPK_U32:
        CONVERT(uint32_t);
        break;
    case SPK_U64:
        CONVERT(uint64_t);
        break;
    case SPK_I8:
        CONVERT(int8_t);
        break;
    case SPK_I16:
        CONVERT(int16_t);
        break;
    case SPK_I32:
        CONVERT(int32_t);
        break;
    case SPK_I64:
        CONVERT(int64_t);
        break;
    case SPK_F16:
        for (size_t i = 0; i < count; i++)
            values[i] = from_half(((const uint16_t *)frame->data)[i]);
        break;
    case SPK_F32:
        memcpy(values, frame->data, count * sizeof *values);
        break;
    case SPK_F64:
        CONVERT(double);
        break;
    default:
        return SPK_UNSUPPORTED;
    }
    return SPK_OK;
}
