/* The sample's frames with the drift taken out. */
#include "internal.h"

#include <math.h>
#include <speckled/num_image.h>
#include <string.h>

/* The signal goes on mirrored at both ends. */
static size_t mirrored(ptrdiff_t i, size_t count)
{
    ptrdiff_t last = (ptrdiff_t)count - 1;
    i = i < 0 ? -i : i;
    return (size_t)(i > last ? 2 * last - i : i);
}

/* One row of the frame at height y + drift.y, continued beyond both ends by `edge`: coefficients along x still. */
static void combine_rows(const struct spk_register *self, const float *plane, ptrdiff_t y,
                         struct spk_drift drift, float *row)
{
    const size_t width = self->width, edge = self->edge;
    const float whole = floorf(drift.y);
    float weight[4], slope[4];
    const float *c[4];
    spline_weights(drift.y - whole, weight, slope);
    for (int j = 0; j < 4; j++)
        c[j] = plane + mirrored(y + (ptrdiff_t)whole - 1 + j, self->height) * width;
    for (size_t x = 0; x < width; x++)
        row[edge + x] = weight[0] * c[0][x] + weight[1] * c[1][x] + weight[2] * c[2][x] + weight[3] * c[3][x];
    for (size_t x = 1; x <= edge; x++) {
        row[edge - x] = row[edge + x];
        row[edge + width - 1 + x] = row[edge + width - 1 - x];
    }
}

static void shift_frame(void *context, unsigned k, unsigned worker)
{
    const struct spk_register *self = context;
    const struct bench *bench = &self->bench[worker];
    const size_t height = self->height, width = self->width, pixels = height * width;
    const struct spk_drift drift = self->drift[k];
    const float whole = floorf(drift.x);
    float weight[4], slope[4];
    if (!self->sample->present[k])
        return;
    memcpy(bench->plane, self->sample->data + k * pixels, pixels * sizeof(float));
    for (size_t y = 0; y < height; y++)
        spk_spline_prefilter(bench->plane + y * width, width, 1, 1);
    spk_spline_prefilter(bench->plane, height, width, width);
    spline_weights(drift.x - whole, weight, slope);
    for (size_t y = 0; y < height; y++) {
        const float *c = bench->row + (ptrdiff_t)self->edge + (ptrdiff_t)whole - 1;
        float *to = self->shifted.data + k * pixels + y * width;
        combine_rows(self, bench->plane, (ptrdiff_t)y, drift, bench->row);
        for (size_t x = 0; x < width; x++)
            to[x] = weight[0] * c[x] + weight[1] * c[x + 1] + weight[2] * c[x + 2] + weight[3] * c[x + 3];
    }
}

/* A pixel stays usable where all pixels are that any of its frames may take values from. */
static void narrow_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct spk_register *self = context;
    const size_t height = self->height, width = self->width, reach = self->reach;
    uint8_t *to = self->shifted.mask + y * width;
    memset(to, 0, width);
    if (y < reach || y + reach >= height || 2 * reach >= width)
        return;
    memset(to + reach, 1, width - 2 * reach);
    for (size_t from = y - reach; from <= y + reach; from++)
        for (size_t right = 0; right <= 2 * reach; right++) {
            const uint8_t *mask = self->sample->mask + from * width + right;
            for (size_t x = 0; x < width - 2 * reach; x++)
                to[reach + x] &= mask[x];
        }
}

const struct spk_stack *spk_register_shift(struct spk_register *self, const struct spk_stack *sample,
                                           const struct spk_drift *drift)
{
    float farthest = 0;
    for (uint32_t k = 0; k < self->count; k++)
        farthest = fmaxf(farthest, fmaxf(fabsf(drift[k].y), fabsf(drift[k].x)));
    self->sample = sample;
    self->reach = (uint32_t)ceilf(farthest) + 1;
    memcpy(self->shifted.present, sample->present, self->count);
    memmove(self->drift, drift, self->count * sizeof *drift);
    spk_team_run(self->team, shift_frame, self, self->count);
    spk_team_run(self->team, narrow_row, self, self->height);
    self->shifted.version++;
    return &self->shifted;
}
