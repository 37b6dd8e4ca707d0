/* The slow illumination: two passes of a running box mean, cut off at the edges of the image. */
#include "internal.h"
#include "prep_px.h"

static void mean_along_row(const float *from, float *to, uint32_t width, uint32_t half)
{
    double sum = 0;
    uint32_t first = 0, last = 0; /* [first, last) is summed */
    for (uint32_t x = 0; x < width; x++) {
        uint32_t end = x + half + 1 < width ? x + half + 1 : width;
        while (last < end)
            sum += from[last++];
        if (x > half)
            sum -= from[first++];
        to[x] = (float)(sum / (last - first));
    }
}

/* All columns at once, row by row. */
static void mean_along_columns(const float *from, float *to, uint32_t height, uint32_t width, uint32_t half,
                               double *sum)
{
    for (uint32_t x = 0; x < width; x++)
        sum[x] = 0;
    uint32_t first = 0, last = 0;
    for (uint32_t y = 0; y < height; y++) {
        uint32_t end = y + half + 1 < height ? y + half + 1 : height;
        for (; last < end; last++)
            for (uint32_t x = 0; x < width; x++)
                sum[x] += from[(size_t)last * width + x];
        if (y > half) {
            for (uint32_t x = 0; x < width; x++)
                sum[x] -= from[(size_t)first * width + x];
            first++;
        }
        for (uint32_t x = 0; x < width; x++)
            to[(size_t)y * width + x] = (float)(sum[x] / (last - first));
    }
}

void prep_local_inverse(const float *image, uint32_t height, uint32_t width, uint32_t window, float *inverse,
                        float *scratch, double *column)
{
    uint32_t half = window / 2;
    const float *from = image;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t y = 0; y < height; y++)
            mean_along_row(from + (size_t)y * width, scratch + (size_t)y * width, width, half);
        mean_along_columns(scratch, inverse, height, width, half, column);
        from = inverse;
    }
    for (size_t i = 0; i < (size_t)height * width; i++)
        inverse[i] = spk_prep_inverse(inverse[i]);
}
