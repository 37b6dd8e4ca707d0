/* Transmission and dark-field: means and deviations of the sample against the reference resampled at the displacement. */
#include "tracker_internal.h"

#include <math.h>

/* Sums of values with their level taken out. */
struct sums {
    double s, ss, r, rr;
    unsigned count;
};

/* Four neighbours along one axis, mirrored at the edges of the frame. */
struct taps {
    int at[4];
    float weight[4];
};

static int mirrored(int at, int extent)
{
    at = at < 0 ? -at : at;
    at = at >= extent ? 2 * extent - 2 - at : at;
    return at < 0 ? 0 : at;
}

static struct taps taps_at(float position, int extent)
{
    struct taps taps;
    float base = floorf(position), slope[4];
    spk_spline_weights(position - base, taps.weight, slope);
    for (int i = 0; i < 4; i++)
        taps.at[i] = mirrored((int)base - 1 + i, extent);
    return taps;
}

static float resample(const float *coefficient, size_t width, const struct taps *x, const struct taps *y)
{
    float value = 0;
    for (int i = 0; i < 4; i++) {
        const float *line = coefficient + (size_t)y->at[i] * width;
        float sum = 0;
        for (int j = 0; j < 4; j++)
            sum += x->weight[j] * line[x->at[j]];
        value += y->weight[i] * sum;
    }
    return value;
}

static void add_neighbour(const struct spk_tracker *tracker, int x, int y, float ux, float uy,
                          struct sums *sums)
{
    size_t width = tracker->width, pixels = width * tracker->height;
    struct taps tx = taps_at((float)x - ux, (int)tracker->width),
                ty = taps_at((float)y - uy, (int)tracker->height);
    for (unsigned i = 0; i < tracker->used_count; i++) {
        size_t frame = tracker->used[i] * pixels;
        float s = tracker->sample->data[frame + (size_t)y * width + (size_t)x];
        float r = resample(tracker->coefficient + frame, width, &tx, &ty);
        s = isfinite(s) ? s - tracker->sample_level : 0;
        sums->s += (double)s;
        sums->ss += (double)(s * s);
        sums->r += (double)r;
        sums->rr += (double)(r * r);
        sums->count++;
    }
}

static double deviation(double sum, double squares, double count)
{
    double variance = squares / count - sum / count * (sum / count);
    return variance > 0 ? sqrt(variance) : 0;
}

static bool ratios(const struct spk_tracker *tracker, int x, int y, float ux, float uy, float *transmission,
                   float *dark_field)
{
    struct sums sums = {0};
    int rim = (int)tracker->window;
    for (int j = -rim; j <= rim; j++)
        for (int i = -rim; i <= rim; i++)
            add_neighbour(tracker, x + i, y + j, ux, uy, &sums);
    double count = sums.count;
    double s = sums.s / count + (double)tracker->sample_level,
           r = sums.r / count + (double)tracker->reference_level;
    double t = s / r;
    double d = deviation(sums.s, sums.ss, count) / deviation(sums.r, sums.rr, count) / t;
    *transmission = (float)t;
    *dark_field = (float)d;
    return isfinite(t) && isfinite(d) && t > 0;
}

void tracker_ratio_row(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct spk_tracker *tracker = context;
    const struct spk_tracker_maps *maps = tracker->maps;
    for (unsigned x = 0; x < tracker->width; x++) {
        size_t pixel = (size_t)task * tracker->width + x;
        float ux = maps->displacement_x[pixel], uy = maps->displacement_y[pixel];
        bool good = isfinite(ux) && ratios(tracker, (int)x, (int)task, ux, uy, &maps->transmission[pixel],
                                           &maps->dark_field[pixel]);
        if (!good) {
            maps->transmission[pixel] = maps->dark_field[pixel] = NAN;
            maps->displacement_x[pixel] = maps->displacement_y[pixel] = maps->quality[pixel] = NAN;
            maps->valid[pixel] = 0;
        }
    }
}
