/* Complex transforms of one line that allocate nothing while they run. FFTW does for in-place lines and for large prime factors, so lines go
 * out of place, and lengths with such factors, which detectors like, are convolutions of a power of two (Bluestein, IEEE Trans. Audio
 * Electroacoust. 18, 451 (1970)): with w[k] = exp(-i pi k^2 / n), X[k] = w[k] sum (x[j] w[j]) conj(w[k - j]). */
#include "internal.h"

#include <math.h>
#include <speckled/fft.h>
#include <stdlib.h>
#include <string.h>

static const unsigned plan_flags = FFTW_MEASURE | FFTW_NO_BUFFERING;

static bool has_large_factor(uint32_t length)
{
    for (uint32_t factor = 2; factor <= 13; factor++)
        while (length % factor == 0)
            length /= factor;
    return length > 1;
}

static uint32_t round_up(uint32_t length)
{
    return (length + 15) / 16 * 16;
}

static void make_plans(struct line *line, uint32_t length)
{
    fftwf_complex *in = integrate_memory(length, sizeof *in), *out = integrate_memory(length, sizeof *out);
    if (in && out) {
        spk_fft_lock();
        line->forward = fftwf_plan_dft_1d((int)length, in, out, FFTW_FORWARD, plan_flags);
        line->backward = fftwf_plan_dft_1d((int)length, in, out, FFTW_BACKWARD, plan_flags);
        spk_fft_unlock();
    }
    free(in);
    free(out);
}

/* w, and the transform of conj(w) laid out cyclically, divided by the padded length. */
static bool make_chirp(struct line *line)
{
    uint32_t n = line->length, m = line->padded;
    line->chirp = integrate_memory(n, sizeof *line->chirp);
    line->kernel = integrate_memory(m, sizeof *line->kernel);
    fftwf_complex *wave = integrate_memory(m, sizeof *wave);
    if (line->chirp && line->kernel && wave && line->forward) {
        for (uint32_t k = 0; k < n; k++) {
            double angle = M_PI * (double)((uint64_t)k * k % (2 * (uint64_t)n)) / n;
            line->chirp[k][0] = (float)cos(angle);
            line->chirp[k][1] = (float)-sin(angle);
            uint32_t mirror = k ? m - k : 0;
            wave[k][0] = wave[mirror][0] = (float)(cos(angle) / m);
            wave[k][1] = wave[mirror][1] = (float)(sin(angle) / m);
        }
        fftwf_execute_dft(line->forward, wave, line->kernel);
    }
    free(wave);
    return line->chirp && line->kernel;
}

spk_status line_create(struct line *line, uint32_t length, struct spk_error *error)
{
    line->length = length;
    line->space = round_up(length);
    if (has_large_factor(length))
        for (line->padded = 16; line->padded < 2 * length - 1;)
            line->padded *= 2;
    make_plans(line, line->padded ? line->padded : length);
    if (line->forward && line->backward && (!line->padded || make_chirp(line)))
        return SPK_OK;
    return spk_fail(error, SPK_NOMEM, "no memory for transforms of %u pixels", length);
}

void line_destroy(struct line *line)
{
    spk_fft_lock();
    if (line->forward)
        fftwf_destroy_plan(line->forward);
    if (line->backward)
        fftwf_destroy_plan(line->backward);
    spk_fft_unlock();
    free(line->chirp);
    free(line->kernel);
    *line = (struct line){0};
}

size_t line_work(const struct line *line)
{
    return 2 * (size_t)line->padded;
}

static void multiply(const fftwf_complex a, const fftwf_complex b, fftwf_complex to)
{
    float real = a[0] * b[0] - a[1] * b[1], imaginary = a[0] * b[1] + a[1] * b[0];
    to[0] = real;
    to[1] = imaginary;
}

/* The backward transform is the forward one with real and imaginary parts exchanged on either side. */
static void chirp_transform(const struct line *line, bool backward, fftwf_complex *in, fftwf_complex *out,
                            fftwf_complex *work)
{
    fftwf_complex *wave = work, *spectrum = work + line->padded;
    for (uint32_t k = 0; k < line->length; k++) {
        const fftwf_complex value = {in[k][backward], in[k][!backward]};
        multiply(value, line->chirp[k], wave[k]);
    }
    memset(wave + line->length, 0, (line->padded - line->length) * sizeof *wave);
    fftwf_execute_dft(line->forward, wave, spectrum);
    for (uint32_t k = 0; k < line->padded; k++)
        multiply(spectrum[k], line->kernel[k], spectrum[k]);
    fftwf_execute_dft(line->backward, spectrum, wave);
    for (uint32_t k = 0; k < line->length; k++) {
        fftwf_complex value;
        multiply(wave[k], line->chirp[k], value);
        out[k][0] = value[backward];
        out[k][1] = value[!backward];
    }
}

void line_transform(const struct line *line, bool backward, fftwf_complex *in, fftwf_complex *out,
                    fftwf_complex *work)
{
    if (line->padded)
        chirp_transform(line, backward, in, out, work);
    else
        fftwf_execute_dft(backward ? line->backward : line->forward, in, out);
}
