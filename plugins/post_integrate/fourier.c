/* Phi = -i (wx Gx + wy Gy) / (wx^2 + wy^2). Both slopes travel in one complex map gx + i gy; column k and its mirror image W - k together
 * hold the spectra of the two, which are Hermitian. */
#include "internal.h"
#include "potential_px.h"

#include <stdlib.h>

enum { FC_BLOCK = 8 }; /* complex columns of one task: a cache line */

spk_status fourier_create(struct fourier *fourier, struct slopes *slopes, struct spk_error *error)
{
    size_t workers = spk_team_size(slopes->team);
    spk_status status = line_create(&fourier->rows, slopes->width, error);
    if (status || (status = line_create(&fourier->columns, slopes->height, error)))
        return status;
    fourier->slopes = slopes;
    size_t row = fourier->rows.space + line_work(&fourier->rows);
    size_t block = 4 * FC_BLOCK * (size_t)fourier->columns.space + line_work(&fourier->columns);
    fourier->work = row > block ? row : block;
    fourier->scratch = integrate_memory(workers * fourier->work, sizeof *fourier->scratch);
    if (fourier->scratch)
        return SPK_OK;
    return spk_fail(error, SPK_NOMEM, "no memory for a map of %ux%u pixels", slopes->width, slopes->height);
}

void fourier_destroy(struct fourier *fourier)
{
    line_destroy(&fourier->rows);
    line_destroy(&fourier->columns);
    free(fourier->scratch);
    fourier->scratch = NULL;
}

void fourier_place(struct fourier *fourier, struct spk_scratch_cut *cut)
{
    const struct slopes *s = fourier->slopes;
    fourier->field = spk_scratch_take(cut, s->height * s->stride, sizeof *fourier->field);
}

struct fourier_job {
    struct fourier *fourier;
    float *phi;
};

static void rows_band(void *context, unsigned band, unsigned worker)
{
    struct fourier *f = ((struct fourier_job *)context)->fourier;
    const struct slopes *s = f->slopes;
    fftwf_complex *row = f->scratch + worker * f->work;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        const float *gx = s->gx + y * s->stride, *gy = s->gy + y * s->stride;
        for (uint32_t x = 0; x < s->width; x++) {
            row[x][0] = gx[x];
            row[x][1] = gy[x];
        }
        line_transform(&f->rows, false, row, f->field + y * s->stride, row + f->rows.space);
    }
}

static void copy_value(const fftwf_complex from, fftwf_complex to)
{
    to[0] = from[0];
    to[1] = from[1];
}

/* The potential's spectrum in column `k` from the spectra of the field in it and in its mirror image. */
static void potential(const struct slopes *s, uint32_t k, const fftwf_complex *column,
                      const fftwf_complex *mirror, fftwf_complex *to)
{
    uint32_t height = s->height;
    double share = 0.5 / ((double)height * s->width);
    for (uint32_t l = 0; l < height; l++) {
        const float *a = column[l], *b = mirror[l ? height - l : 0];
        const struct wave wave = periodic_wave(k, s->width, l, height);
        double factor = share * wave.factor, nx = wave.x, ny = wave.y;
        double gx_real = a[0] + b[0], gx_imaginary = a[1] - b[1];
        double gy_real = a[1] + b[1], gy_imaginary = b[0] - a[0];
        to[l][0] = (float)(factor * (nx * gx_imaginary + ny * gy_imaginary));
        to[l][1] = (float)(-factor * (nx * gx_real + ny * gy_real));
    }
}

/* The potential is real: the mirror image's spectrum is the conjugate, read backward. */
static void reflect(uint32_t height, const fftwf_complex *column, fftwf_complex *mirror)
{
    for (uint32_t l = 0; l < height; l++) {
        mirror[l ? height - l : 0][0] = column[l][0];
        mirror[l ? height - l : 0][1] = -column[l][1];
    }
}

static uint32_t mirror_of(const struct slopes *s, uint32_t k)
{
    return k ? s->width - k : 0;
}

/* Columns start .. end of the field to lines of `block`, each followed by its mirror image. */
static void gather(const struct fourier *f, uint32_t start, uint32_t end, fftwf_complex *block)
{
    size_t line = f->columns.space;
    for (uint32_t y = 0; y < f->slopes->height; y++) {
        fftwf_complex *row = f->field + y * f->slopes->stride, *to = block + y;
        for (uint32_t k = start; k < end; k++, to += 2 * line) {
            copy_value(row[k], to[0]);
            copy_value(row[mirror_of(f->slopes, k)], to[line]);
        }
    }
}

static void scatter(const struct fourier *f, uint32_t start, uint32_t end, fftwf_complex *block)
{
    size_t line = f->columns.space;
    for (uint32_t y = 0; y < f->slopes->height; y++) {
        fftwf_complex *row = f->field + y * f->slopes->stride, *from = block + y;
        for (uint32_t k = start; k < end; k++, from += 2 * line) {
            copy_value(from[0], row[k]);
            if (mirror_of(f->slopes, k) != k)
                copy_value(from[line], row[mirror_of(f->slopes, k)]);
        }
    }
}

static void columns_block(void *context, unsigned number, unsigned worker)
{
    struct fourier *f = ((struct fourier_job *)context)->fourier;
    const struct slopes *s = f->slopes;
    size_t line = f->columns.space;
    fftwf_complex *field = f->scratch + worker * f->work, *spectrum = field + 2 * FC_BLOCK * line;
    fftwf_complex *work = spectrum + 2 * FC_BLOCK * line;
    uint32_t start = number * FC_BLOCK, last = s->width / 2;
    uint32_t end = start + FC_BLOCK < last + 1 ? start + FC_BLOCK : last + 1;
    gather(f, start, end, field);
    for (uint32_t i = 0; i < 2 * (end - start); i++)
        line_transform(&f->columns, false, field + i * line, spectrum + i * line, work);
    for (uint32_t k = start; k < end; k++) {
        size_t column = 2 * (k - start) * line, mirror = column + line;
        potential(s, k, spectrum + column, spectrum + mirror, field + column);
        reflect(s->height, field + column, field + mirror);
    }
    for (uint32_t i = 0; i < 2 * (end - start); i++)
        line_transform(&f->columns, true, field + i * line, spectrum + i * line, work);
    scatter(f, start, end, spectrum);
}

static void restore_band(void *context, unsigned band, unsigned worker)
{
    const struct fourier_job *job = context;
    struct fourier *f = job->fourier;
    const struct slopes *s = f->slopes;
    fftwf_complex *row = f->scratch + worker * f->work;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        float *phi = job->phi + y * s->stride;
        line_transform(&f->rows, true, f->field + y * s->stride, row, row + f->rows.space);
        for (uint32_t x = 0; x < s->width; x++)
            phi[x] = row[x][0];
    }
}

void fourier_run(struct fourier *fourier, float *phi)
{
    struct fourier_job job = {fourier, phi};
    const struct slopes *s = fourier->slopes;
    spk_team_run(s->team, rows_band, &job, tasks(s->height, BAND));
    spk_team_run(s->team, columns_block, &job, tasks(s->width / 2 + 1, FC_BLOCK));
    spk_team_run(s->team, restore_band, &job, tasks(s->height, BAND));
}
