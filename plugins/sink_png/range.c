/* The range of values that a picture shows: percentiles by histograms that close in on them. */
#include "picture.h"

#include <math.h>
#include <string.h>

enum { BINS = 1024, ROUNDS = 3 };

static bool usable(const float *map, const uint8_t *valid, size_t i)
{
    return (!valid || valid[i]) && isfinite(map[i]);
}

static uint64_t find_limits(const float *map, const uint8_t *valid, size_t count, struct picture_range *range)
{
    uint64_t total = 0;
    *range = (struct picture_range){INFINITY, -INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (!usable(map, valid, i))
            continue;
        total++;
        range->low = map[i] < range->low ? map[i] : range->low;
        range->high = map[i] > range->high ? map[i] : range->high;
    }
    return total;
}

/* The bin in which the value number `rank` lies, in steps of one bin of `range`. */
static struct picture_range close_in(const float *map, const uint8_t *valid, size_t count,
                                     struct picture_range range, uint64_t rank)
{
    uint64_t bins[BINS], below = 0;
    memset(bins, 0, sizeof bins);
    double scale = BINS / (range.high - range.low);
    for (size_t i = 0; i < count; i++) {
        if (!usable(map, valid, i))
            continue;
        double at = (map[i] - range.low) * scale;
        if (at < 0)
            below++;
        else if (at <= BINS)
            bins[at < BINS ? (int)at : BINS - 1]++;
    }
    int bin = 0;
    while (bin < BINS - 1 && below + bins[bin] <= rank)
        below += bins[bin++];
    return (struct picture_range){range.low + bin / scale, range.low + (bin + 1) / scale};
}

struct picture_range picture_find_range(const float *map, const uint8_t *valid, size_t count,
                                        double outside_percent)
{
    struct picture_range all;
    uint64_t total = find_limits(map, valid, count, &all);
    if (!total)
        return (struct picture_range){0, 1};
    uint64_t skipped = (uint64_t)((double)total * outside_percent / 100);
    struct picture_range low = all, high = all;
    for (int round = 0; round < ROUNDS; round++) {
        if (low.high > low.low)
            low = close_in(map, valid, count, low, skipped);
        if (high.high > high.low)
            high = close_in(map, valid, count, high, total - 1 - skipped);
    }
    return (struct picture_range){low.low, high.high};
}

struct picture_range picture_centre(struct picture_range range)
{
    double reach = fmax(fabs(range.low), fabs(range.high));
    return (struct picture_range){-reach, reach};
}
