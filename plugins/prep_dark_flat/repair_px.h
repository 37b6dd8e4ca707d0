/* What an unusable pixel is replaced by, for the C compiler and nvcc alike. Only good pixels are read, so that all can be repaired
 * side by side. */
#ifndef PREP_REPAIR_PX_H
#define PREP_REPAIR_PX_H

#include <speckled/api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPK_PREP_RADIUS_MAX = 3, SPK_PREP_NEIGHBOURS_MAX = 48, SPK_PREP_ENOUGH = 3, SPK_PREP_REACH = 64 };

/* An image [height][width], and the marks of its unusable pixels, rows `bad_pitch` apart. */
struct spk_prep_view {
    const float *image;
    const uint8_t *bad;
    size_t bad_pitch;
    int32_t height, width;
};

SPK_HD bool spk_prep_good(const struct spk_prep_view *v, int32_t y, int32_t x)
{
    return y >= 0 && x >= 0 && y < v->height && x < v->width && !v->bad[(size_t)y * v->bad_pitch + (size_t)x];
}

SPK_HD float spk_prep_at(const struct spk_prep_view *v, int32_t y, int32_t x)
{
    return v->image[(size_t)y * (size_t)v->width + (size_t)x];
}

SPK_HD void spk_prep_insert(float *sorted, uint32_t count, float value)
{
    while (count > 0 && sorted[count - 1] > value) {
        sorted[count] = sorted[count - 1];
        count--;
    }
    sorted[count] = value;
}

/* Good pixels of the square of `radius` around (y, x), in ascending order. */
SPK_HD uint32_t spk_prep_neighbours(const struct spk_prep_view *v, int32_t y, int32_t x, int32_t radius,
                                    float *sorted)
{
    uint32_t count = 0;
    for (int32_t j = y - radius; j <= y + radius; j++)
        for (int32_t i = x - radius; i <= x + radius; i++)
            if (spk_prep_good(v, j, i))
                spk_prep_insert(sorted, count++, spk_prep_at(v, j, i));
    return count;
}

/* Mean of the nearest good pixels in the four directions, 0 when all are out of reach. */
SPK_HD float spk_prep_across(const struct spk_prep_view *v, int32_t y, int32_t x)
{
    float weighted = 0, weight = 0;
    for (int32_t direction = 0; direction < 4; direction++) {
        int32_t step = direction % 2 ? 1 : -1, down = direction / 2 ? step : 0,
                right = direction / 2 ? 0 : step;
        for (int32_t distance = 1; distance <= SPK_PREP_REACH; distance++) {
            int32_t j = y + distance * down, i = x + distance * right;
            if (spk_prep_good(v, j, i)) {
                weighted += spk_prep_at(v, j, i) / (float)distance;
                weight += 1.0f / (float)distance;
                break;
            }
        }
    }
    return weight > 0 ? weighted / weight : 0;
}

SPK_HD float spk_prep_replacement(const struct spk_prep_view *v, int32_t y, int32_t x)
{
    float sorted[SPK_PREP_NEIGHBOURS_MAX];
    for (int32_t radius = 1; radius <= SPK_PREP_RADIUS_MAX; radius++) {
        uint32_t count = spk_prep_neighbours(v, y, x, radius, sorted);
        if (count >= SPK_PREP_ENOUGH)
            return 0.5f * (sorted[(count - 1) / 2] + sorted[count / 2]);
    }
    return spk_prep_across(v, y, x);
}

#endif
