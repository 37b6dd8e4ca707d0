/* How far the measured slopes are from being a gradient field. */
#include "internal.h"
#include "potential_px.h"

struct curl_job {
    const struct slopes *slopes;
    double (*band)[2];
};

static void curl_band(void *context, unsigned band, unsigned worker)
{
    const struct curl_job *job = context;
    const struct slopes *s = job->slopes;
    double squares = 0, number = 0;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y + 1 < s->height; y++) {
        const float *const gx[2] = {s->gx + y * s->stride, s->gx + (y + 1) * s->stride};
        const float *const gy[2] = {s->gy + y * s->stride, s->gy + (y + 1) * s->stride};
        const uint8_t *const good[2] = {s->good + y * s->stride, s->good + (y + 1) * s->stride};
        float sums[2];
        s->rows->curl(gx, gy, good, s->width, sums);
        squares += (double)sums[0];
        number += (double)sums[1];
    }
    job->band[band][0] = squares;
    job->band[band][1] = number;
}

double curl_residual(const struct slopes *slopes, double (*band)[2])
{
    struct curl_job job = {slopes, band};
    uint32_t bands = tasks(slopes->height, BAND);
    double squares = 0, number = 0;
    spk_team_run(slopes->team, curl_band, &job, bands);
    for (uint32_t i = 0; i < bands; i++) {
        squares += band[i][0];
        number += band[i][1];
    }
    return curl_of(squares, number);
}
