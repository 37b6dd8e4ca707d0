/* Two real lines travel as real and imaginary part of one complex line, each in Makhoul's order: even elements forward, odd ones
 * backward. The spectrum of either is recovered from C[k] and C[N - k], then turned by pi k / 2N. */
#include "internal.h"

#include <math.h>
#include <speckled/fft.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define AVX2
#define HAS_AVX2 false
#endif
#define ALWAYS static inline __attribute__((always_inline))

spk_status dct_create(struct dct *dct, uint32_t length, struct spk_error *error)
{
    dct->length = length;
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
ALWAYS void order(uint32_t length, float odd, const float *restrict a, const float *restrict b,
                  fftwf_complex *restrict line)
{
    for (uint32_t n = 0; n < (length + 1) / 2; n++) {
        line[n][0] = a[2 * n];
        line[n][1] = b[2 * n];
    }
    for (uint32_t n = 0; n < length / 2; n++) {
        line[length - 1 - n][0] = odd * a[2 * n + 1];
        line[length - 1 - n][1] = odd * b[2 * n + 1];
    }
}

ALWAYS void disorder(uint32_t length, const fftwf_complex *restrict line, float *restrict a,
                     float *restrict b)
{
    float share = 1.0f / (float)length;
    for (uint32_t n = 0; n < (length + 1) / 2; n++) {
        a[2 * n] = share * line[n][0];
        b[2 * n] = share * line[n][1];
    }
    for (uint32_t n = 0; n < length / 2; n++) {
        a[2 * n + 1] = share * line[length - 1 - n][0];
        b[2 * n + 1] = share * line[length - 1 - n][1];
    }
}

ALWAYS void separate(const struct dct *dct, const fftwf_complex *restrict line, float *restrict a,
                     float *restrict b)
{
    uint32_t length = dct->length;
    a[0] = line[0][0];
    b[0] = line[0][1];
    for (uint32_t k = 1; k < length; k++) {
        float c = 0.5f * dct->turn[k][0], s = 0.5f * dct->turn[k][1];
        float p = line[k][0], q = line[k][1], r = line[length - k][0], t = line[length - k][1];
        a[k] = (p + r) * c + (q - t) * s;
        b[k] = (q + t) * c + (r - p) * s;
    }
}

ALWAYS void separate_sine(const struct dct *dct, const fftwf_complex *restrict line, float *restrict a,
                          float *restrict b)
{
    uint32_t length = dct->length;
    a[0] = b[0] = 0;
    for (uint32_t k = 1; k < length; k++) {
        float c = 0.5f * dct->turn[k][0], s = 0.5f * dct->turn[k][1];
        float p = line[k][0], q = line[k][1], r = line[length - k][0], t = line[length - k][1];
        a[length - k] = (p + r) * c + (q - t) * s;
        b[length - k] = (q + t) * c + (r - p) * s;
    }
}

ALWAYS void combine(const struct dct *dct, const float *restrict a, const float *restrict b,
                    fftwf_complex *restrict line)
{
    uint32_t length = dct->length;
    line[0][0] = a[0];
    line[0][1] = b[0];
    for (uint32_t k = 1; k < length; k++) {
        float c = dct->turn[k][0], s = dct->turn[k][1];
        float real = a[k] + b[length - k], imaginary = b[k] - a[length - k];
        line[k][0] = real * c - imaginary * s;
        line[k][1] = real * s + imaginary * c;
    }
}

AVX2 static void order_avx2(uint32_t length, float odd, const float *a, const float *b, fftwf_complex *line)
{
    order(length, odd, a, b, line);
}

AVX2 static void disorder_avx2(uint32_t length, const fftwf_complex *line, float *a, float *b)
{
    disorder(length, line, a, b);
}

AVX2 static void separate_avx2(const struct dct *dct, const fftwf_complex *line, float *a, float *b)
{
    separate(dct, line, a, b);
}

AVX2 static void combine_avx2(const struct dct *dct, const float *a, const float *b, fftwf_complex *line)
{
    combine(dct, a, b, line);
}

void dct_forward(const struct dct *dct, bool sine, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    float odd = sine ? -1 : 1;
    if (HAS_AVX2)
        order_avx2(dct->length, odd, a, b, scratch);
    else
        order(dct->length, odd, a, b, scratch);
    fftwf_execute_dft(dct->forward, scratch, scratch);
    if (sine)
        separate_sine(dct, scratch, out_a, out_b);
    else if (HAS_AVX2)
        separate_avx2(dct, scratch, out_a, out_b);
    else
        separate(dct, scratch, out_a, out_b);
}

void dct_inverse(const struct dct *dct, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    if (HAS_AVX2)
        combine_avx2(dct, a, b, scratch);
    else
        combine(dct, a, b, scratch);
    fftwf_execute_dft(dct->backward, scratch, scratch);
    if (HAS_AVX2)
        disorder_avx2(dct->length, scratch, out_a, out_b);
    else
        disorder(dct->length, scratch, out_a, out_b);
}
