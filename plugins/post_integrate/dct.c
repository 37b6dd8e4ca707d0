/* Two real lines travel as real and imaginary part of one complex line, each in Makhoul's order: even elements forward, odd ones
 * backward. The spectrum of either is recovered from C[k] and C[N - k], then turned by pi k / 2N. */
#include "internal.h"

#include <math.h>
#include <speckled/fft.h>
#include <stdlib.h>

spk_status dct_create(struct dct *dct, uint32_t length, struct spk_error *error)
{
    dct->length = length;
    dct->rows = integrate_rows_best();
    dct->turn = integrate_memory(length, sizeof *dct->turn);
    fftwf_complex *line = integrate_memory(length, sizeof *line);
    if (dct->turn && line) {
        /* Buffered plans allocate each time they run, which a lane must not. */
        spk_fft_lock();
        dct->forward =
            fftwf_plan_dft_1d((int)length, line, line, FFTW_FORWARD, FFTW_MEASURE | FFTW_NO_BUFFERING);
        dct->backward =
            fftwf_plan_dft_1d((int)length, line, line, FFTW_BACKWARD, FFTW_MEASURE | FFTW_NO_BUFFERING);
        spk_fft_unlock();
    }
    free(line);
    if (!dct->forward || !dct->backward)
        return spk_fail(error, SPK_NOMEM, "post_integrate: no memory for cosine transforms of %u pixels",
                        length);
    for (uint32_t k = 0; k < length; k++) {
        dct->turn[k][0] = (float)cos(M_PI * k / (2.0 * length));
        dct->turn[k][1] = (float)sin(M_PI * k / (2.0 * length));
    }
    return SPK_OK;
}

void dct_destroy(struct dct *dct)
{
    spk_fft_lock();
    if (dct->forward)
        fftwf_destroy_plan(dct->forward);
    if (dct->backward)
        fftwf_destroy_plan(dct->backward);
    spk_fft_unlock();
    dct->forward = dct->backward = NULL;
    free(dct->turn);
    dct->turn = NULL;
}

/* sin(pi k (n + 1/2) / N) = (-1)^n cos(pi (N - k) (n + 1/2) / N): a sine transform is the cosine transform of the line with its
 * odd elements negated, read backward. */
void dct_forward(const struct dct *dct, bool sine, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    dct->rows->order(dct->length, sine ? -1 : 1, a, b, scratch);
    fftwf_execute_dft(dct->forward, scratch, scratch);
    (sine ? dct->rows->separate_sine : dct->rows->separate)(dct->length, dct->turn, scratch, out_a, out_b);
}

void dct_inverse(const struct dct *dct, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    dct->rows->combine(dct->length, dct->turn, a, b, scratch);
    fftwf_execute_dft(dct->backward, scratch, scratch);
    dct->rows->disorder(dct->length, scratch, out_a, out_b);
}
