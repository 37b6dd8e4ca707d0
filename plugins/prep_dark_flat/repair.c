/* Unusable pixels take the median of their good neighbours; inside wide gaps, what the nearest good pixels of their row and
 * column say. Only good pixels are read, so that bands can be repaired side by side. */
#include "internal.h"

enum { RADIUS_MAX = 3, NEIGHBOURS_MAX = 48, ENOUGH = 3, REACH = 64 };

static bool good(const struct spk_prep *prep, int64_t y, int64_t x)
{
    return y >= 0 && x >= 0 && y < prep->roi.height && x < prep->roi.width &&
           !prep->bad[raw_index(prep, (uint32_t)y, (uint32_t)x)];
}

static void insert_sorted(float *sorted, uint32_t count, float value)
{
    while (count > 0 && sorted[count - 1] > value) {
        sorted[count] = sorted[count - 1];
        count--;
    }
    sorted[count] = value;
}

/* Good pixels of the square of `radius` around (y, x), in ascending order. */
static uint32_t neighbours(const struct spk_prep *prep, const float *image, uint32_t y, uint32_t x,
                           int radius, float *sorted)
{
    uint32_t count = 0;
    for (int dy = -radius; dy <= radius; dy++) {
        for (int dx = -radius; dx <= radius; dx++) {
            int64_t ny = (int64_t)y + dy, nx = (int64_t)x + dx;
            if (good(prep, ny, nx))
                insert_sorted(sorted, count++, image[(size_t)ny * prep->roi.width + (size_t)nx]);
        }
    }
    return count;
}

/* Mean of the nearest good pixels in the four directions, 0 when all are out of reach. */
static float across(const struct spk_prep *prep, const float *image, uint32_t y, uint32_t x)
{
    static const int step[4][2] = {{0, -1}, {0, 1}, {-1, 0}, {1, 0}};
    float weighted = 0, weight = 0;
    for (int direction = 0; direction < 4; direction++) {
        int64_t ny = y, nx = x;
        for (int distance = 1; distance <= REACH; distance++) {
            ny += step[direction][0];
            nx += step[direction][1];
            if (good(prep, ny, nx)) {
                weighted += image[(size_t)ny * prep->roi.width + (size_t)nx] / (float)distance;
                weight += 1.0f / (float)distance;
                break;
            }
        }
    }
    return weight > 0 ? weighted / weight : 0;
}

static float replacement(const struct spk_prep *prep, const float *image, uint32_t y, uint32_t x)
{
    float sorted[NEIGHBOURS_MAX];
    for (int radius = 1; radius <= RADIUS_MAX; radius++) {
        uint32_t count = neighbours(prep, image, y, x, radius, sorted);
        if (count >= ENOUGH)
            return 0.5f * (sorted[(count - 1) / 2] + sorted[count / 2]);
    }
    return across(prep, image, y, x);
}

void prep_repair_band(const struct spk_prep *prep, float *image, uint8_t *mask, uint32_t band)
{
    uint32_t end = (band + 1) * BAND < prep->roi.height ? (band + 1) * BAND : prep->roi.height;
    for (uint32_t y = band * BAND; y < end; y++) {
        if (!prep->row_bad[y])
            continue;
        const uint8_t *bad = prep->bad + raw_index(prep, y, 0);
        uint32_t width = prep->roi.width;
        for (uint32_t x = prep_next_bad(bad, 0, width); x < width; x = prep_next_bad(bad, x + 1, width)) {
            image[(size_t)y * width + x] = replacement(prep, image, y, x);
            if (mask)
                mask[(size_t)y * width + x] = 0;
        }
    }
}
