/* Daubechies transforms by direct sums: the filters are short. */
#include "wavelet.h"

#include <speckled/num_ratio_px.h>
#include <string.h>

void wavelet_image_row(const float *image, unsigned height, unsigned width, float level, unsigned row,
                       float *out, float *scratch)
{
    memset(scratch, 0, width * sizeof *scratch);
    for (int j = 0; j < WAVELET_DB3; j++) {
        const float tap = wavelet_low_3_px(j),
                    *line = image + (size_t)wavelet_mirror(2 * (int)row + 1 - j, height) * width;
        for (unsigned x = 0; x < width; x++)
            scratch[x] += tap * spk_ratio_value_px(line[x], level);
    }
    for (int k = 0; k < (int)wavelet_image_extent(width); k++) {
        float sum = 0;
        for (int j = 0; j < WAVELET_DB3; j++)
            sum += wavelet_low_3_px(j) * scratch[wavelet_mirror(2 * k + 1 - j, width)];
        out[k] = sum;
    }
}

/* `high` may be NULL. */
static void step(const float *in, unsigned length, float *low, float *high)
{
    for (int k = 0; k < (int)wavelet_half_px(length); k++) {
        float detail;
        wavelet_step_px(in, (int)length, 1, k, &low[k], &detail);
        if (high)
            high[k] = detail;
    }
}

void wavelet_plan_make(struct wavelet_plan *plan, unsigned length, int bands)
{
    *plan = (struct wavelet_plan){.length = length};
    unsigned lengths[WAVELET_LEVELS_MAX + 1] = {length};
    for (; plan->levels < WAVELET_LEVELS_MAX && length >= 3u << (plan->levels + 1); plan->levels++)
        lengths[plan->levels + 1] = wavelet_half_px(lengths[plan->levels]);
    int all = (int)plan->levels + 1;
    plan->bands = (unsigned)(bands < 1 ? 1 : bands > all ? all : bands);
    plan->size = lengths[plan->levels];
    for (unsigned i = plan->levels; i >= wavelet_detail_first(plan); i--) {
        plan->offset[i] = plan->size;
        plan->size += lengths[i];
    }
}

void wavelet_plan_run(const struct wavelet_plan *plan, float *vector, float *out, float *scratch)
{
    unsigned length = plan->length;
    float *in = vector, *low = scratch;
    for (unsigned i = 1; i <= plan->levels; i++) {
        step(in, length, low, i >= wavelet_detail_first(plan) ? out + plan->offset[i] : NULL);
        length = wavelet_half_px(length);
        float *swap = in;
        in = low;
        low = swap;
    }
    memcpy(out, in, length * sizeof *out);
}
