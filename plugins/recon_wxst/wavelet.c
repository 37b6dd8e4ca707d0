/* Daubechies transforms by direct sums: the filters are short. */
#include "wavelet.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { DB2 = 4, DB3 = 6 };

static const float low_2[DB2] = {-0.12940952255126037f, 0.2241438680420134f, 0.8365163037378079f,
                                 0.48296291314453416f};
static const float high_2[DB2] = {-0.48296291314453416f, 0.8365163037378079f, -0.2241438680420134f,
                                  -0.12940952255126037f};
static const float low_3[DB3] = {0.03522629188570953f, -0.08544127388202666f, -0.13501102001025458f,
                                 0.45987750211849154f, 0.8068915093110925f,   0.33267055295008263f};

void wavelet_image_row(const float *image, unsigned height, unsigned width, float level, unsigned row,
                       float *out, float *scratch)
{
    memset(scratch, 0, width * sizeof *scratch);
    for (int j = 0; j < DB3; j++) {
        const float *line = image + (size_t)wavelet_mirror(2 * (int)row + 1 - j, height) * width;
        for (unsigned x = 0; x < width; x++)
            scratch[x] += low_3[j] * (isfinite(line[x]) ? line[x] - level : 0);
    }
    for (int k = 0; k < (int)wavelet_image_extent(width); k++) {
        float sum = 0;
        for (int j = 0; j < DB3; j++)
            sum += low_3[j] * scratch[wavelet_mirror(2 * k + 1 - j, width)];
        out[k] = sum;
    }
}

static unsigned half(unsigned length)
{
    return (length + DB2 - 1) / 2;
}

/* Zeros stand beyond both ends, so that a transform of which everything is kept preserves distances. `high` may be NULL. */
static void step(const float *in, unsigned length, float *low, float *high)
{
    for (int k = 0; k < (int)half(length); k++) {
        float a = 0, d = 0;
        for (int j = 0; j < DB2; j++) {
            int at = 2 * k + 1 - j;
            float value = at >= 0 && at < (int)length ? in[at] : 0;
            a += low_2[j] * value;
            d += high_2[j] * value;
        }
        low[k] = a;
        if (high)
            high[k] = d;
    }
}

static unsigned detail_first(const struct wavelet_plan *plan)
{
    return plan->levels + 2 - plan->bands;
}

void wavelet_plan_make(struct wavelet_plan *plan, unsigned length, int bands)
{
    *plan = (struct wavelet_plan){.length = length};
    unsigned lengths[WAVELET_LEVELS_MAX + 1] = {length};
    for (; plan->levels < WAVELET_LEVELS_MAX && length >= 3u << (plan->levels + 1); plan->levels++)
        lengths[plan->levels + 1] = half(lengths[plan->levels]);
    int all = (int)plan->levels + 1;
    plan->bands = (unsigned)(bands < 1 ? 1 : bands > all ? all : bands);
    plan->size = lengths[plan->levels];
    for (unsigned i = plan->levels; i >= detail_first(plan); i--) {
        plan->offset[i] = plan->size;
        plan->size += lengths[i];
    }
}

void wavelet_plan_run(const struct wavelet_plan *plan, float *vector, float *out, float *scratch)
{
    unsigned length = plan->length;
    float *in = vector, *low = scratch;
    for (unsigned i = 1; i <= plan->levels; i++) {
        step(in, length, low, i >= detail_first(plan) ? out + plan->offset[i] : NULL);
        length = half(length);
        float *swap = in;
        in = low;
        low = swap;
    }
    memcpy(out, in, length * sizeof *out);
}
