/* Beyond the box of measured pixels (a reconstruction leaves a border out) the potential is continued evenly, so that its slopes are a
 * gradient field there too: the slope across the edge changes sign with each reflection, the slope along it does not. Any other
 * continuation has curl, which would leak into the map. */
#include "internal.h"

struct border_job {
    struct slopes *slopes;
    struct box box;
};

/* Pixel inside [first, end) that position `at` reflects to; *sign changes with each reflection. */
static uint32_t reflect(int64_t at, uint32_t first, uint32_t end, float *sign)
{
    int64_t size = (int64_t)end - first, period = 2 * size, offset = (at - first) % period;
    offset += offset < 0 ? period : 0;
    *sign = offset < size ? 1 : -1;
    return (uint32_t)(first + (offset < size ? offset : period - 1 - offset));
}

static void extend_row(const struct slopes *s, const struct box *box, uint32_t y, uint32_t from, uint32_t to)
{
    float *gx = s->gx + y * s->stride, *gy = s->gy + y * s->stride, sign;
    for (uint32_t x = from; x < to; x++) {
        uint32_t source = reflect(x, box->left, box->right, &sign);
        gx[x] = sign * gx[source];
        gy[x] = gy[source];
    }
}

static void sides_band(void *context, unsigned band, unsigned worker)
{
    const struct border_job *job = context;
    const struct slopes *s = job->slopes;
    const struct box *box = &job->box;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        if (y < box->top || y >= box->bottom)
            continue;
        extend_row(s, box, y, 0, box->left);
        extend_row(s, box, y, box->right, s->width);
    }
}

static void ends_band(void *context, unsigned band, unsigned worker)
{
    const struct border_job *job = context;
    const struct slopes *s = job->slopes;
    const struct box *box = &job->box;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        if (y >= box->top && y < box->bottom)
            continue;
        float sign;
        size_t source = reflect(y, box->top, box->bottom, &sign) * s->stride, to = y * s->stride;
        for (uint32_t x = 0; x < s->width; x++) {
            s->gx[to + x] = s->gx[source + x];
            s->gy[to + x] = sign * s->gy[source + x];
        }
    }
}

void border_extend(struct slopes *slopes, struct box box)
{
    struct border_job job = {slopes, box};
    spk_team_run(slopes->team, sides_band, &job, tasks(slopes->height, BAND));
    spk_team_run(slopes->team, ends_band, &job, tasks(slopes->height, BAND));
}
