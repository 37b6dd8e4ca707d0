/* The antisymmetric extension makes the potential even, so that it is a series of cosines phi = sum a cos(wx (x + 1/2)) cos(wy (y + 1/2)),
 * its slopes are series of sines and cosines, and transforms of the map itself replace Fourier transforms of four times its size. */
#include "internal.h"
#include "potential_px.h"

#include <stdlib.h>

spk_status cosine_create(struct cosine *cosine, struct slopes *slopes, struct spk_error *error)
{
    size_t workers = spk_team_size(slopes->team);
    spk_status status = dct_create(&cosine->rows, slopes->width, error);
    if (status || (status = dct_create(&cosine->columns, slopes->height, error)))
        return status;
    cosine->slopes = slopes;
    slopes->flat_edges = true; /* the extension is continuous where the slope across an edge vanishes */
    size_t row = dct_work(&cosine->rows), column = dct_work(&cosine->columns);
    cosine->work = row > column ? row : column;
    cosine->scratch = integrate_memory(workers * cosine->work, sizeof *cosine->scratch);
    cosine->block = integrate_memory(workers * 2 * BLOCK * cosine->columns.line.space, sizeof *cosine->block);
    if (cosine->scratch && cosine->block)
        return SPK_OK;
    return spk_fail(error, SPK_NOMEM, "no memory for a map of %ux%u pixels", slopes->width, slopes->height);
}

void cosine_destroy(struct cosine *cosine)
{
    dct_destroy(&cosine->rows);
    dct_destroy(&cosine->columns);
    free(cosine->scratch);
    free(cosine->block);
    cosine->scratch = NULL;
    cosine->block = NULL;
}

struct cosine_job {
    struct cosine *cosine;
    float *phi;
};

/* Rows of gx to sines, rows of gy to cosines, in place. */
static void rows_band(void *context, unsigned band, unsigned worker)
{
    struct cosine *c = ((struct cosine_job *)context)->cosine;
    const struct slopes *s = c->slopes;
    fftwf_complex *scratch = c->scratch + worker * c->work;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y += 2) {
        size_t first = y * s->stride, second = y + 1 < s->height ? first + s->stride : first;
        dct_forward(&c->rows, true, s->gx + first, s->gx + second, s->gx + first, s->gx + second, scratch);
        dct_forward(&c->rows, false, s->gy + first, s->gy + second, s->gy + first, s->gy + second, scratch);
    }
}

static void gather(const struct slopes *s, const float *map, uint32_t column, uint32_t count, size_t line,
                   float *block)
{
    for (uint32_t y = 0; y < s->height; y++)
        for (uint32_t i = 0; i < count; i++)
            block[i * line + y] = map[y * s->stride + column + i];
}

static void scatter(const struct slopes *s, const float *block, uint32_t column, uint32_t count, size_t line,
                    float *map)
{
    for (uint32_t y = 0; y < s->height; y++)
        for (uint32_t i = 0; i < count; i++)
            map[y * s->stride + column + i] = block[i * line + y];
}

/* Coefficients of the potential for column `k` of the two series of sines; into `gx`. */
static void potential(const struct slopes *s, uint32_t k, float *gx, const float *gy)
{
    for (uint32_t l = 0; l < s->height; l++)
        gx[l] = cosine_potential(k, s->width, l, s->height, gx[l], gy[l]);
}

static void columns_block(void *context, unsigned block, unsigned worker)
{
    const struct cosine_job *job = context;
    struct cosine *c = job->cosine;
    const struct slopes *s = c->slopes;
    fftwf_complex *scratch = c->scratch + worker * c->work;
    size_t line = c->columns.line.space;
    float *x = c->block + worker * 2 * BLOCK * line, *y = x + BLOCK * line;
    uint32_t column = block * BLOCK, count = s->width - column < BLOCK ? s->width - column : BLOCK;
    gather(s, s->gx, column, count, line, x);
    gather(s, s->gy, column, count, line, y);
    for (uint32_t i = 0; i < count; i += 2) {
        size_t first = i * line, second = i + 1 < count ? first + line : first;
        dct_forward(&c->columns, false, x + first, x + second, x + first, x + second, scratch);
        dct_forward(&c->columns, true, y + first, y + second, y + first, y + second, scratch);
        potential(s, column + i, x + first, y + first);
        if (second != first)
            potential(s, column + i + 1, x + second, y + second);
        dct_inverse(&c->columns, x + first, x + second, x + first, x + second, scratch);
    }
    scatter(s, x, column, count, line, job->phi);
}

static void restore_band(void *context, unsigned band, unsigned worker)
{
    const struct cosine_job *job = context;
    struct cosine *c = job->cosine;
    const struct slopes *s = c->slopes;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y += 2) {
        float *first = job->phi + y * s->stride, *second = y + 1 < s->height ? first + s->stride : first;
        dct_inverse(&c->rows, first, second, first, second, c->scratch + worker * c->work);
    }
}

void cosine_run(struct cosine *cosine, float *phi)
{
    struct cosine_job job = {cosine, phi};
    const struct slopes *s = cosine->slopes;
    spk_team_run(s->team, rows_band, &job, tasks(s->height, BAND));
    spk_team_run(s->team, columns_block, &job, tasks(s->width, BLOCK));
    spk_team_run(s->team, restore_band, &job, tasks(s->height, BAND));
}
