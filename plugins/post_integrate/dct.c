/* Two real lines travel as real and imaginary part of one complex line, each in Makhoul's order: even elements forward, odd ones
 * backward. The spectrum of either is recovered from C[k] and C[N - k], then turned by pi k / 2N. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

spk_status dct_create(struct dct *dct, uint32_t length, struct spk_error *error)
{
    dct->rows = integrate_rows_best();
    dct->turn = integrate_memory(length, sizeof *dct->turn);
    if (!dct->turn)
        return spk_fail(error, SPK_NOMEM, "no memory for transforms of %u pixels", length);
    for (uint32_t k = 0; k < length; k++) {
        dct->turn[k][0] = (float)cos(M_PI * k / (2.0 * length));
        dct->turn[k][1] = (float)sin(M_PI * k / (2.0 * length));
    }
    return line_create(&dct->line, length, error);
}

void dct_destroy(struct dct *dct)
{
    line_destroy(&dct->line);
    free(dct->turn);
    dct->turn = NULL;
}

size_t dct_work(const struct dct *dct)
{
    return 2 * (size_t)dct->line.space + line_work(&dct->line);
}

/* sin(pi k (n + 1/2) / N) = (-1)^n cos(pi (N - k) (n + 1/2) / N): a sine transform is the cosine transform of the line with its
 * odd elements negated, read backward. */
void dct_forward(const struct dct *dct, bool sine, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    const struct line *line = &dct->line;
    fftwf_complex *spectrum = scratch + line->space;
    dct->rows->order(line->length, sine ? -1 : 1, a, b, scratch);
    line_transform(line, false, scratch, spectrum, spectrum + line->space);
    (sine ? dct->rows->separate_sine : dct->rows->separate)(line->length, dct->turn, spectrum, out_a, out_b);
}

void dct_inverse(const struct dct *dct, const float *a, const float *b, float *out_a, float *out_b,
                 fftwf_complex *scratch)
{
    const struct line *line = &dct->line;
    fftwf_complex *spectrum = scratch + line->space;
    dct->rows->combine(line->length, dct->turn, a, b, spectrum);
    line_transform(line, true, spectrum, scratch, spectrum + line->space);
    dct->rows->disorder(line->length, scratch, out_a, out_b);
}
