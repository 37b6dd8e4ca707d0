/* Frames moved by less than a pixel, or more. */
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

struct shift {
    const struct spk_register *self;
    const struct spk_stack *from;
    struct spk_stack *to;
    const struct spk_drift *by; /* [count] */
    size_t reach;               /* px, from where a pixel's values come */
};

/* One row of the frame at height y + drift.y, continued beyond both ends by `edge`: coefficients along x still. */
static void combine_rows(const struct spk_register *self, const float *plane, ptrdiff_t y,
                         struct spk_drift drift, float *row)
{
    const size_t width = self->width, edge = self->edge;
    const float whole = floorf(drift.y);
    float weight[4], slope[4];
    const float *c[4];
    spk_spline_px(drift.y - whole, weight, slope);
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
    const struct shift *shift = context;
    const struct spk_register *self = shift->self;
    const struct bench *bench = &self->bench[worker];
    const size_t height = self->height, width = self->width, pixels = height * width;
    const struct spk_drift drift = shift->by[k];
    const float whole = floorf(drift.x);
    float weight[4], slope[4];
    if (!shift->from->present[k])
        return;
    memcpy(bench->plane, shift->from->data + k * pixels, pixels * sizeof(float));
    register_prefilter(self, bench->plane);
    spk_spline_px(drift.x - whole, weight, slope);
    for (size_t y = 0; y < height; y++) {
        const float *c = bench->row + (ptrdiff_t)self->edge + (ptrdiff_t)whole - 1;
        float *to = shift->to->data + k * pixels + y * width;
        combine_rows(self, bench->plane, (ptrdiff_t)y, drift, bench->row);
        for (size_t x = 0; x < width; x++)
            to[x] = weight[0] * c[x] + weight[1] * c[x + 1] + weight[2] * c[x + 2] + weight[3] * c[x + 3];
    }
}

/* Adds the weights with which row y of a frame takes from unusable pixels. */
static void add_lost(const struct shift *shift, unsigned k, size_t y, float *lost)
{
    const ptrdiff_t height = shift->from->height, width = shift->from->width;
    const struct spk_drift drift = shift->by[k];
    const float whole_y = floorf(drift.y), whole_x = floorf(drift.x);
    float wy[4], wx[4], slope[4];
    spk_spline_px(drift.y - whole_y, wy, slope);
    spk_spline_px(drift.x - whole_x, wx, slope);
    for (int j = 0; j < 4; j++) {
        const ptrdiff_t row = (ptrdiff_t)y + (ptrdiff_t)whole_y - 1 + j;
        if (row < 0 || row >= height)
            continue;
        const uint8_t *mask = shift->from->mask + row * width, *end = mask + width;
        for (const uint8_t *at = mask; (at = memchr(at, 0, (size_t)(end - at))); at++)
            for (int i = 0; i < 4; i++) {
                const ptrdiff_t x = at - mask - ((ptrdiff_t)whole_x - 1 + i);
                if (x >= 0 && x < width)
                    lost[x] += wy[j] * wx[i];
            }
    }
}

/* A pixel stays usable where no frame takes its values from outside and all together by a quarter at most from unusable pixels, whose values
 * are those of what surrounds them. Frames move to different places: without a pixel in all that one spoils, few bad ones leave large holes. */
static void narrow_row(void *context, unsigned y, unsigned worker)
{
    static const float MOST_LOST = 0.25f;
    const struct shift *shift = context;
    const size_t height = shift->to->height, width = shift->to->width, reach = shift->reach;
    uint8_t *to = shift->to->mask + y * width;
    float *lost = shift->self->bench[worker].row, frames = 0;
    memset(to, 0, width);
    if (y < reach || y + reach >= height || 2 * reach >= width)
        return;
    memset(lost, 0, width * sizeof *lost);
    for (uint32_t k = 0; k < shift->from->count; k++)
        if (shift->from->present[k]) {
            frames++;
            add_lost(shift, k, y, lost);
        }
    for (size_t x = reach; x < width - reach; x++)
        to[x] = lost[x] <= MOST_LOST * frames;
}

static const struct spk_stack *shift_stack(struct spk_register *self, const struct spk_stack *from,
                                           struct spk_stack *to, const struct spk_drift *by)
{
    float farthest = 0;
    for (uint32_t k = 0; k < self->count; k++)
        farthest = fmaxf(farthest, fmaxf(fabsf(by[k].y), fabsf(by[k].x)));
    struct shift shift = {self, from, to, by, (size_t)ceilf(farthest) + 1};
    memcpy(to->present, from->present, self->count);
    spk_team_run(self->team, shift_frame, &shift, self->count);
    spk_team_run(self->team, narrow_row, &shift, self->height);
    to->version++;
    return to;
}

const struct spk_stack *spk_register_shift(struct spk_register *self, const struct spk_stack *sample,
                                           const struct spk_drift *by)
{
    return shift_stack(self, sample, &self->shifted, by);
}

const struct spk_stack *spk_register_shift_reference(struct spk_register *self, const struct spk_drift *by)
{
    return shift_stack(self, self->reference, &self->moved, by);
}
