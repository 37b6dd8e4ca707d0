/* Minimises sum w (phi[next] - phi - slope)^2 over neighbouring pairs, w = 1 where both pixels were measured, else 0. The unweighted problem,
 * which poisson.c solves directly, is the preconditioner. */
#include "internal.h"
#include "potential_px.h"

#include <stdlib.h>
#include <string.h>

spk_status masked_create(struct masked *masked, struct slopes *slopes, struct poisson *poisson,
                         struct spk_error *error)
{
    masked->slopes = slopes;
    masked->poisson = poisson;
    masked->dot = integrate_memory(tasks(slopes->height, BAND), sizeof *masked->dot);
    if (!masked->dot)
        return spk_fail(error, SPK_NOMEM, "no memory for a map of %ux%u pixels", slopes->width,
                        slopes->height);
    return SPK_OK;
}

void masked_destroy(struct masked *masked)
{
    free(masked->dot);
    *masked = (struct masked){0};
}

void masked_place(struct masked *masked, struct spk_scratch_cut *cut)
{
    const size_t pixels = masked->slopes->height * masked->slopes->stride;
    masked->residual = spk_scratch_take(cut, pixels, sizeof *masked->residual);
    masked->direction = spk_scratch_take(cut, pixels, sizeof *masked->direction);
    masked->image = spk_scratch_take(cut, pixels, sizeof *masked->image);
    masked->step = spk_scratch_take(cut, pixels, sizeof *masked->step);
}

struct masked_job {
    struct masked *masked;
    float *phi;
    double factor;
};

/* sum over the four neighbours of w (phi[neighbour] - phi): the weighted second difference of `from`, one row. */
static void second_difference(const struct slopes *s, const float *restrict from, uint32_t y,
                              float *restrict to)
{
    const float *row = from + y * s->stride;
    const uint8_t *good = s->good + y * s->stride;
    ptrdiff_t above = y ? (ptrdiff_t)s->stride : 0, below = y + 1 < s->height ? (ptrdiff_t)s->stride : 0;
    for (ptrdiff_t x = 0; x < (ptrdiff_t)s->width; x++) {
        float up = pair_difference(good[x - above], row[x], row[x - above]);
        float down = pair_difference(good[x + below], row[x], row[x + below]);
        to[x] = good[x] ? up + down : 0;
    }
    for (uint32_t x = 0; x + 1 < s->width; x++) {
        float step = pair_difference(good[x] & good[x + 1], row[x], row[x + 1]);
        to[x] += step;
        to[x + 1] -= step;
    }
}

/* The same of the averaged slopes: the right-hand side, one row. */
static void weighted_divergence(const struct slopes *s, uint32_t y, float *restrict to)
{
    const float *gx = s->gx + y * s->stride, *gy = s->gy + y * s->stride;
    const uint8_t *good = s->good + y * s->stride;
    ptrdiff_t above = y ? (ptrdiff_t)s->stride : 0, below = y + 1 < s->height ? (ptrdiff_t)s->stride : 0;
    for (ptrdiff_t x = 0; x < (ptrdiff_t)s->width; x++) {
        float sum = pair_slope(below && good[x + below], gy[x], gy[x + below]);
        sum -= pair_slope(above && good[x - above], gy[x], gy[x - above]);
        to[x] = good[x] ? sum : 0;
    }
    for (uint32_t x = 0; x + 1 < s->width; x++) {
        float step = pair_slope(good[x] & good[x + 1], gx[x], gx[x + 1]);
        to[x] += step;
        to[x + 1] -= step;
    }
}

static double dot_row(const float *a, const float *b, uint32_t width)
{
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    uint32_t x = 0;
    for (; x + LANES <= width; x += LANES)
        for (uint32_t i = 0; i < LANES; i++)
            lane[i] += (double)a[x + i] * b[x + i];
    for (; x < width; x++)
        sum += (double)a[x] * b[x];
    for (int i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

/* residual = right-hand side - second difference of phi, direction = 0; dot: residual and right-hand side squared */
static void start_band(void *context, unsigned band, unsigned worker)
{
    struct masked_job *job = context;
    struct masked *m = job->masked;
    const struct slopes *s = m->slopes;
    double *dot = m->dot[band];
    (void)worker;
    dot[0] = dot[1] = 0;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        float *residual = m->residual + y * s->stride, *image = m->image + y * s->stride;
        weighted_divergence(s, y, residual);
        second_difference(s, job->phi, y, image);
        memset(m->direction + y * s->stride, 0, s->width * sizeof *m->direction);
        dot[1] += dot_row(residual, residual, s->width);
        for (uint32_t x = 0; x < s->width; x++)
            residual[x] -= image[x];
        dot[0] += dot_row(residual, residual, s->width);
    }
}

/* dot: residual . step */
static void dot_band(void *context, unsigned band, unsigned worker)
{
    struct masked_job *job = context;
    struct masked *m = job->masked;
    const struct slopes *s = m->slopes;
    (void)worker;
    m->dot[band][0] = m->dot[band][1] = 0;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++)
        m->dot[band][0] += dot_row(m->residual + y * s->stride, m->step + y * s->stride, s->width);
}

/* direction = step + factor direction */
static void turn_band(void *context, unsigned band, unsigned worker)
{
    struct masked_job *job = context;
    struct masked *m = job->masked;
    const struct slopes *s = m->slopes;
    float factor = (float)job->factor;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        float *restrict direction = m->direction + y * s->stride;
        const float *restrict step = m->step + y * s->stride;
        for (uint32_t x = 0; x < s->width; x++)
            direction[x] = step[x] + factor * direction[x];
    }
}

/* image = second difference of direction; dot: direction . image */
static void image_band(void *context, unsigned band, unsigned worker)
{
    struct masked_job *job = context;
    struct masked *m = job->masked;
    const struct slopes *s = m->slopes;
    (void)worker;
    m->dot[band][0] = m->dot[band][1] = 0;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        second_difference(s, m->direction, y, m->image + y * s->stride);
        m->dot[band][0] += dot_row(m->direction + y * s->stride, m->image + y * s->stride, s->width);
    }
}

/* phi += factor direction, residual -= factor image; dot: residual squared */
static void advance_band(void *context, unsigned band, unsigned worker)
{
    struct masked_job *job = context;
    struct masked *m = job->masked;
    const struct slopes *s = m->slopes;
    float factor = (float)job->factor;
    (void)worker;
    m->dot[band][0] = m->dot[band][1] = 0;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        size_t at = y * s->stride;
        for (size_t i = at; i < at + s->width; i++) {
            job->phi[i] += factor * m->direction[i];
            m->residual[i] -= factor * m->image[i];
        }
        m->dot[band][0] += dot_row(m->residual + at, m->residual + at, s->width);
    }
}

/* Runs a loop over bands; returns the sum of dot[0], and of dot[1] in `second` unless it is NULL. */
static double run(struct masked_job *job, spk_team_task task, double *second)
{
    uint32_t bands = tasks(job->masked->slopes->height, BAND);
    spk_team_run(job->masked->slopes->team, task, job, bands);
    double sum[2] = {0};
    for (uint32_t band = 0; band < bands; band++)
        for (int i = 0; i < 2; i++)
            sum[i] += job->masked->dot[band][i];
    if (second)
        *second = sum[1];
    return sum[0];
}

void masked_run(struct masked *masked, uint32_t iterations, float *phi)
{
    struct masked_job job = {masked, phi, 0};
    double scale, before = 0, remaining = run(&job, start_band, &scale);
    for (uint32_t i = 0; i < iterations && remaining > MASKED_TOLERANCE * MASKED_TOLERANCE * scale; i++) {
        poisson_solve(masked->poisson, masked->residual, masked->step);
        double now = run(&job, dot_band, NULL); /* negative: both operators are */
        job.factor = before < 0 ? now / before : 0;
        spk_team_run(masked->slopes->team, turn_band, &job, tasks(masked->slopes->height, BAND));
        double curvature = run(&job, image_band, NULL);
        if (!(now < 0) || !(curvature < 0))
            return;
        job.factor = now / curvature;
        remaining = run(&job, advance_band, NULL);
        before = now;
    }
}
