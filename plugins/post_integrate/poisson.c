/* Cosine transform along x, then for each wave number a tridiagonal system along y: half the transforms of a two-dimensional cosine
 * solver. The sweeps carry double precision, since the slowest modes add up thousands of small terms. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

spk_status poisson_create(struct poisson *poisson, uint32_t height, uint32_t width, size_t stride,
                          struct spk_team *team, struct spk_error *error)
{
    size_t workers = spk_team_size(team), padded = (size_t)tasks(width, BLOCK) * BLOCK;
    spk_status status = dct_create(&poisson->rows, width, error);
    if (status)
        return status;
    poisson->height = height;
    poisson->width = width;
    poisson->stride = stride;
    poisson->team = team;
    poisson->work = dct_work(&poisson->rows);
    poisson->lambda = integrate_memory(padded, sizeof *poisson->lambda);
    poisson->scratch = integrate_memory(workers * poisson->work, sizeof *poisson->scratch);
    poisson->pivot = integrate_memory(workers * height * BLOCK, sizeof *poisson->pivot);
    if (!poisson->lambda || !poisson->scratch || !poisson->pivot)
        return spk_fail(error, SPK_NOMEM, "post_integrate: no memory for a map of %ux%u pixels", width,
                        height);
    for (size_t k = 0; k < padded; k++) {
        double half = sin(M_PI * (double)k / (2.0 * width));
        poisson->lambda[k] = 4 * half * half;
    }
    return SPK_OK;
}

void poisson_destroy(struct poisson *poisson)
{
    dct_destroy(&poisson->rows);
    free(poisson->lambda);
    free(poisson->scratch);
    free(poisson->pivot);
    poisson->lambda = NULL;
    poisson->scratch = NULL;
    poisson->pivot = NULL;
}

struct solve_job {
    struct poisson *poisson;
    const float *rhs;
    float *phi;
};

static void transform_band(void *context, unsigned band, unsigned worker)
{
    const struct solve_job *job = context;
    const struct poisson *p = job->poisson;
    fftwf_complex *scratch = p->scratch + worker * p->work;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < p->height; y += 2) {
        size_t first = y * p->stride, second = y + 1 < p->height ? first + p->stride : first;
        dct_forward(&p->rows, false, job->rhs + first, job->rhs + second, job->phi + first, job->phi + second,
                    scratch);
    }
}

static void sweep_block(void *context, unsigned block, unsigned worker)
{
    const struct solve_job *job = context;
    const struct poisson *p = job->poisson;
    float *pivot = p->pivot + (size_t)worker * p->height * BLOCK;
    size_t k = (size_t)block * BLOCK;
    p->rows.rows->sweep(job->phi + k, p->stride, p->height, p->lambda + k, pivot);
}

static void restore_band(void *context, unsigned band, unsigned worker)
{
    const struct solve_job *job = context;
    const struct poisson *p = job->poisson;
    fftwf_complex *scratch = p->scratch + worker * p->work;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < p->height; y += 2) {
        float *first = job->phi + y * p->stride, *second = y + 1 < p->height ? first + p->stride : first;
        dct_inverse(&p->rows, first, second, first, second, scratch);
    }
}

void poisson_solve(struct poisson *poisson, const float *rhs, float *phi)
{
    struct solve_job job = {poisson, rhs, phi};
    spk_team_run(poisson->team, transform_band, &job, tasks(poisson->height, BAND));
    spk_team_run(poisson->team, sweep_block, &job, tasks(poisson->width, BLOCK));
    spk_team_run(poisson->team, restore_band, &job, tasks(poisson->height, BAND));
}

struct divergence_job {
    const struct slopes *slopes;
    float *rhs;
};

/* Inside the map the sum of two averaged slopes less that of the two before is a plain difference, which rounds least. */
static void divergence_x(const float *restrict gx, uint32_t width, float *restrict rhs)
{
    if (width < 2)
        return;
    rhs[0] += 0.5f * (gx[0] + gx[1]);
    for (uint32_t x = 1; x + 1 < width; x++)
        rhs[x] += 0.5f * (gx[x + 1] - gx[x - 1]);
    rhs[width - 1] -= 0.5f * (gx[width - 2] + gx[width - 1]);
}

/* share_a a + share_b b */
static void mix(float share_a, const float *restrict a, float share_b, const float *restrict b,
                uint32_t width, float *restrict rhs)
{
    for (uint32_t x = 0; x < width; x++)
        rhs[x] = share_a * a[x] + share_b * b[x];
}

static void divergence_band(void *context, unsigned band, unsigned worker)
{
    const struct divergence_job *job = context;
    const struct slopes *s = job->slopes;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        const float *gy = s->gy + y * s->stride;
        float *rhs = job->rhs + y * s->stride;
        bool first = y == 0, last = y + 1 == s->height;
        if (first && last)
            memset(rhs, 0, s->width * sizeof *rhs);
        else if (first)
            mix(0.5f, gy, 0.5f, gy + s->stride, s->width, rhs);
        else if (last)
            mix(-0.5f, gy - s->stride, -0.5f, gy, s->width, rhs);
        else
            mix(-0.5f, gy - s->stride, 0.5f, gy + s->stride, s->width, rhs);
        divergence_x(s->gx + y * s->stride, s->width, rhs);
    }
}

void poisson_divergence(const struct slopes *slopes, float *rhs)
{
    struct divergence_job job = {slopes, rhs};
    spk_team_run(slopes->team, divergence_band, &job, tasks(slopes->height, BAND));
}
