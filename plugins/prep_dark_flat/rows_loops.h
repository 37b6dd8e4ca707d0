/* The rows as plain loops over independent pixels: included once by each instruction set's file. */
#include "prep_px.h"
#include "rows.h"

#include <speckled/half.h>

#define CONVERT(type)                                                                                        \
    for (uint32_t i = 0; i < count; i++)                                                                     \
        values[i] = (float)((const type *)data)[first + i];                                                  \
    break

static void convert(enum spk_dtype dtype, const void *data, size_t first, uint32_t count,
                    float *restrict values)
{
    switch (dtype) {
    case SPK_U8:
        CONVERT(uint8_t);
    case SPK_U16:
        CONVERT(uint16_t);
    case SPK_U32:
        CONVERT(uint32_t);
    case SPK_U64:
        CONVERT(uint64_t);
    case SPK_I8:
        CONVERT(int8_t);
    case SPK_I16:
        CONVERT(int16_t);
    case SPK_I32:
        CONVERT(int32_t);
    case SPK_I64:
        CONVERT(int64_t);
    case SPK_F16:
        for (uint32_t i = 0; i < count; i++)
            values[i] = spk_half_value(((const uint16_t *)data)[first + i]);
        break;
    case SPK_F32:
        CONVERT(float);
    case SPK_F64:
        CONVERT(double);
    case SPK_DTYPE_COUNT:
        break;
    }
}

static inline __attribute__((always_inline)) uint32_t
correct_with(const float *restrict values, const float *restrict dark, const float *restrict flat,
             float floor, float scale, float limit, float *restrict image, uint32_t count)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < count; i++) {
        float subtract = dark ? dark[i] : 0;
        float gain = flat ? spk_prep_gain(flat[i], subtract, floor) * scale : scale;
        float value = spk_prep_value(values[i], subtract, gain);
        image[i] = value;
        usable += spk_prep_usable(values[i], value, limit);
    }
    return count - usable;
}

/* One loop for each combination, so that none asks within the loop. */
static uint32_t correct(const float *values, const float *dark, const float *flat, float floor, float scale,
                        float limit, float *image, uint32_t count)
{
    if (dark && flat)
        return correct_with(values, dark, flat, floor, scale, limit, image, count);
    if (dark)
        return correct_with(values, dark, NULL, floor, scale, limit, image, count);
    if (flat)
        return correct_with(values, NULL, flat, floor, scale, limit, image, count);
    return correct_with(values, NULL, NULL, floor, scale, limit, image, count);
}

/* In lanes, so that the additions do not wait for one another. */
static double sum(const float *restrict image, const uint8_t *restrict bad, uint32_t count, uint32_t *good)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, total = 0;
    uint32_t number[LANES] = {0}, rest = 0, x = 0;
    for (; x + LANES <= count; x += LANES) {
        for (uint32_t i = 0; i < LANES; i++) {
            lane[i] += bad[x + i] ? 0.0f : image[x + i];
            number[i] += bad[x + i] == 0;
        }
    }
    for (; x < count; x++) {
        total += bad[x] ? 0.0f : image[x];
        rest += bad[x] == 0;
    }
    for (int i = 0; i < LANES; i++) {
        total += lane[i];
        rest += number[i];
    }
    *good = rest;
    return total;
}

static void median(const float *restrict a, const float *restrict m, const float *restrict b,
                   float *restrict out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] =
            spk_prep_median9(a[i], a[i + 1], a[i + 2], m[i], m[i + 1], m[i + 2], b[i], b[i + 1], b[i + 2]);
}
