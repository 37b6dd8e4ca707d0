/* Raw detector values to float. */
#include <speckled/frame.h>
#include <speckled/half.h>

#include "core/clones.h"

#include <string.h>

#define CONVERT(type)                                                                                        \
    do {                                                                                                     \
        const type *from = frame->data;                                                                      \
        for (size_t i = 0; i < count; i++)                                                                   \
            values[i] = (float)from[i];                                                                      \
    } while (0)

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
            values[i] = spk_half_value(((const uint16_t *)frame->data)[i]);
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

SPK_CLONES void spk_half_encode(uint16_t *restrict half, const float *restrict values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = values[i];
        value = value > SPK_HALF_MAX ? SPK_HALF_MAX : value;
        half[i] = spk_half_of(value < -SPK_HALF_MAX ? -SPK_HALF_MAX : value);
    }
}
