/* Phi = -i (wx Gx + wy Gy) / (wx^2 + wy^2). Both slopes travel in one complex map gx + i gy; column k and its mirror image W - k together
 * hold the spectra of the two, which are Hermitian. */
#include "internal.h"

#include <math.h>
#include <speckled/fft.h>
#include <stdlib.h>

enum { FC_BLOCK = 8 }; /* complex columns of one task: a cache line */

/* Buffered plans allocate each time they run, which a lane must not. */
static const unsigned plan_flags = FFTW_MEASURE | FFTW_NO_BUFFERING;

static bool make_plans(struct fourier *fourier, uint32_t height, uint32_t width)
{
    fftwf_complex *row = integrate_memory(width, sizeof *row),
                  *column = integrate_memory(height, sizeof *column);
    if (row && column) {
        spk_fft_lock();
        fourier->row_forward = fftwf_plan_dft_1d((int)width, row, row, FFTW_FORWARD, plan_flags);
        fourier->row_backward = fftwf_plan_dft_1d((int)width, row, row, FFTW_BACKWARD, plan_flags);
        fourier->column_forward = fftwf_plan_dft_1d((int)height, column, column, FFTW_FORWARD, plan_flags);
        fourier->column_backward = fftwf_plan_dft_1d((int)height, column, column, FFTW_BACKWARD, plan_flags);
        spk_fft_unlock();
    }
    free(row);
    free(column);
    return fourier->row_forward && fourier->row_backward && fourier->column_forward &&
           fourier->column_backward;
}

spk_status fourier_create(struct fourier *fourier, struct slopes *slopes, struct spk_error *error)
{
    size_t workers = spk_team_size(slopes->team);
    fourier->slopes = slopes;
    fourier->line = (slopes->height + 7u) / 8 * 8 + 8;
    fourier->field = integrate_memory(slopes->height * slopes->stride, sizeof *fourier->field);
    fourier->scratch =
        integrate_memory(workers * (2 * FC_BLOCK + 1) * fourier->line, sizeof *fourier->scratch);
    if (fourier->field && fourier->scratch && make_plans(fourier, slopes->height, slopes->width))
        return SPK_OK;
    return spk_fail(error, SPK_NOMEM, "post_integrate: no memory for a map of %ux%u pixels", slopes->width,
                    slopes->height);
}

void fourier_destroy(struct fourier *fourier)
{
    fftwf_plan *const plan[] = {&fourier->row_forward, &fourier->row_backward, &fourier->column_forward,
                                &fourier->column_backward};
    spk_fft_lock();
    for (int i = 0; i < 4; i++) {
        if (*plan[i])
            fftwf_destroy_plan(*plan[i]);
        *plan[i] = NULL;
    }
    spk_fft_unlock();
    free(fourier->field);
    free(fourier->scratch);
    fourier->field = fourier->scratch = NULL;
}

struct fourier_job {
    struct fourier *fourier;
    float *phi;
};

static void rows_band(void *context, unsigned band, unsigned worker)
{
    struct fourier *f = ((struct fourier_job *)context)->fourier;
    const struct slopes *s = f->slopes;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        fftwf_complex *row = f->field + y * s->stride;
        const float *gx = s->gx + y * s->stride, *gy = s->gy + y * s->stride;
        for (uint32_t x = 0; x < s->width; x++) {
            row[x][0] = gx[x];
            row[x][1] = gy[x];
        }
        fftwf_execute_dft(f->row_forward, row, row);
    }
}

static void copy_value(const fftwf_complex from, fftwf_complex to)
{
    to[0] = from[0];
    to[1] = from[1];
}

static double wave_number(uint32_t k, uint32_t length)
{
    return 2 * M_PI * (2 * k <= length ? (double)k : (double)k - length) / length;
}

/* The potential of column `k` from it and its mirror image, which may be the same column; `spectrum` is scratch. */
static void potential(const struct slopes *s, uint32_t k, fftwf_complex *column, fftwf_complex *mirror,
                      fftwf_complex *spectrum)
{
    uint32_t height = s->height;
    double wx = wave_number(k, s->width);
    /* an odd function has no term at the Nyquist frequency */
    double nx = 2 * k == s->width ? 0 : wx, share = 0.5 / ((double)height * s->width);
    for (uint32_t l = 0; l < height; l++) {
        const float *a = column[l], *b = mirror[l ? height - l : 0];
        double wy = wave_number(l, height), ny = 2 * l == height ? 0 : wy, square = wx * wx + wy * wy;
        double factor = square > 0 ? share / square : 0;
        double gx_real = a[0] + b[0], gx_imaginary = a[1] - b[1];
        double gy_real = a[1] + b[1], gy_imaginary = b[0] - a[0];
        spectrum[l][0] = (float)(factor * (nx * gx_imaginary + ny * gy_imaginary));
        spectrum[l][1] = (float)(-factor * (nx * gx_real + ny * gy_real));
    }
    for (uint32_t l = 0; l < height; l++) {
        fftwf_complex *other = &mirror[l ? height - l : 0];
        if (mirror != column) {
            (*other)[0] = spectrum[l][0];
            (*other)[1] = -spectrum[l][1];
        }
        copy_value(spectrum[l], column[l]);
    }
}

static uint32_t mirror_of(const struct slopes *s, uint32_t k)
{
    return k ? s->width - k : 0;
}

/* Columns start .. end of the field to lines of `block`, each followed by its mirror image. */
static void gather(const struct fourier *f, uint32_t start, uint32_t end, fftwf_complex *block)
{
    for (uint32_t y = 0; y < f->slopes->height; y++) {
        fftwf_complex *row = f->field + y * f->slopes->stride, *to = block + y;
        for (uint32_t k = start; k < end; k++, to += 2 * f->line) {
            copy_value(row[k], to[0]);
            copy_value(row[mirror_of(f->slopes, k)], to[f->line]);
        }
    }
}

static void scatter(const struct fourier *f, uint32_t start, uint32_t end, fftwf_complex *block)
{
    for (uint32_t y = 0; y < f->slopes->height; y++) {
        fftwf_complex *row = f->field + y * f->slopes->stride, *from = block + y;
        for (uint32_t k = start; k < end; k++, from += 2 * f->line) {
            if (mirror_of(f->slopes, k) != k)
                copy_value(from[f->line], row[mirror_of(f->slopes, k)]);
            copy_value(from[0], row[k]);
        }
    }
}

static void columns_block(void *context, unsigned number, unsigned worker)
{
    struct fourier *f = ((struct fourier_job *)context)->fourier;
    const struct slopes *s = f->slopes;
    fftwf_complex *block = f->scratch + (size_t)worker * (2 * FC_BLOCK + 1) * f->line;
    uint32_t start = number * FC_BLOCK, last = s->width / 2;
    uint32_t end = start + FC_BLOCK < last + 1 ? start + FC_BLOCK : last + 1;
    gather(f, start, end, block);
    for (uint32_t k = start; k < end; k++) {
        fftwf_complex *column = block + 2 * (k - start) * f->line;
        fftwf_complex *mirror = mirror_of(s, k) == k ? column : column + f->line;
        fftwf_execute_dft(f->column_forward, column, column);
        if (mirror != column)
            fftwf_execute_dft(f->column_forward, mirror, mirror);
        potential(s, k, column, mirror, block + 2 * FC_BLOCK * f->line);
        fftwf_execute_dft(f->column_backward, column, column);
        if (mirror != column)
            fftwf_execute_dft(f->column_backward, mirror, mirror);
    }
    scatter(f, start, end, block);
}

static void restore_band(void *context, unsigned band, unsigned worker)
{
    const struct fourier_job *job = context;
    struct fourier *f = job->fourier;
    const struct slopes *s = f->slopes;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        fftwf_complex *row = f->field + y * s->stride;
        float *phi = job->phi + y * s->stride;
        fftwf_execute_dft(f->row_backward, row, row);
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
