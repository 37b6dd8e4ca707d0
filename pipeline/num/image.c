/* Spline coefficients, windows, noise. */
#include <speckled/num_image.h>

#include <math.h>

static void axpy(float *to, const float *from, float factor, size_t lanes)
{
    for (size_t l = 0; l < lanes; l++)
        to[l] += factor * from[l];
}

void spk_spline_prefilter(float *data, size_t count, size_t step, size_t lanes)
{
    const float z = (float)(sqrt(3.0) - 2);
    enum { HORIZON = 20 }; /* |z|^20 is below float rounding */
    if (count < 2)
        return;
    /* first causal value: the geometric sum of the mirrored, periodic signal, gathered in the first sample */
    size_t period = 2 * count - 2;
    float power = z;
    for (size_t k = 1; k < period && k < HORIZON; k++, power *= z)
        axpy(data, data + (k < count ? k : period - k) * step, power, lanes);
    float closed = 1 / (1 - powf(z, (float)period));
    for (size_t l = 0; l < lanes; l++)
        data[l] *= closed;
    for (size_t i = 1; i < count; i++)
        axpy(data + i * step, data + (i - 1) * step, z, lanes);
    float *last = data + (count - 1) * step;
    axpy(last, last - step, z, lanes);
    for (size_t l = 0; l < lanes; l++)
        last[l] *= 6 * z / (z * z - 1);
    for (size_t i = count - 1; i-- > 0;) {
        float *c = data + i * step;
        for (size_t l = 0; l < lanes; l++)
            c[l] = z * (c[step + l] - 6 * c[l]);
    }
}

static void normalise(float *weight, unsigned count)
{
    double sum = 0;
    for (unsigned j = 0; j < count; j++)
        sum += weight[j];
    for (unsigned j = 0; j < count; j++)
        weight[j] = (float)(weight[j] / sum);
}

unsigned spk_window_hamming(float *weight, unsigned radius)
{
    for (unsigned j = 0; j <= 2 * radius; j++) {
        double phase = radius ? M_PI * ((double)j - radius) / radius : 0;
        weight[j] = (float)(0.54 + 0.46 * cos(phase));
    }
    normalise(weight, 2 * radius + 1);
    return radius;
}

unsigned spk_window_gauss(float *weight, float sigma, unsigned radius_max)
{
    unsigned radius = (unsigned)ceilf(3 * sigma);
    radius = radius < radius_max ? radius : radius_max;
    for (unsigned j = 0; j <= 2 * radius; j++) {
        double t = ((double)j - radius) / (double)sigma;
        weight[j] = (float)exp(-0.5 * t * t);
    }
    normalise(weight, 2 * radius + 1);
    return radius;
}

/* Quickselect: the C library's sort may allocate. */
float spk_median(float *value, size_t count)
{
    if (!count)
        return 0;
    size_t low = 0, high = count - 1, middle = count / 2;
    while (low < high) {
        float pivot = value[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (value[i] < pivot)
                i++;
            while (value[j] > pivot)
                j--;
            if (i >= j)
                break;
            float swap = value[i];
            value[i++] = value[j];
            value[j--] = swap;
        }
        if (j < middle)
            low = j + 1;
        else
            high = j;
    }
    return value[middle];
}

/* The sixth difference of seven values. */
static inline float sixth_difference(const float *p, size_t step)
{
    return p[0] - 6 * p[step] + 15 * p[2 * step] - 20 * p[3 * step] + 15 * p[4 * step] - 6 * p[5 * step] +
           p[6 * step];
}

static inline uint8_t any_of_seven(const uint8_t *p, size_t step)
{
    return p[0] | p[step] | p[2 * step] | p[3 * step] | p[4 * step] | p[5 * step] | p[6 * step];
}

float spk_noise_block(const float *block, const uint8_t *mask, size_t stride, size_t mask_stride, float limit)
{
    enum { IN = SPK_NOISE_BLOCK, OUT = IN - 6 };
    float line[IN][OUT];
    uint8_t bad[IN][OUT];                       /* a pixel that does not count touches this value */
    float squares[OUT] = {0}, means[OUT] = {0}; /* of a column: side by side */
    unsigned counts[OUT] = {0};
    for (unsigned y = 0; y < IN; y++) {
        const float *p = block + y * stride;
        const uint8_t *m = mask + y * mask_stride;
        uint8_t off[IN];
        for (unsigned x = 0; x < IN; x++)
            off[x] = !(fabsf(p[x]) < limit) | !m[x];
        for (unsigned x = 0; x < OUT; x++)
            line[y][x] = sixth_difference(p + x, 1);
        for (unsigned x = 0; x < OUT; x++)
            bad[y][x] = any_of_seven(off + x, 1);
    }
    for (unsigned y = 0; y < OUT; y++) {
        const float *middle = block + (y + 3) * stride + 3;
        float sum[OUT];
        uint8_t wrong[OUT];
        for (unsigned x = 0; x < OUT; x++)
            sum[x] = sixth_difference(&line[y][x], OUT);
        for (unsigned x = 0; x < OUT; x++)
            wrong[x] = any_of_seven(&bad[y][x], OUT);
        for (unsigned x = 0; x < OUT; x++) {
            squares[x] += wrong[x] ? 0 : sum[x] * sum[x];
            means[x] += wrong[x] ? 0 : middle[x];
            counts[x] += wrong[x] ? 0 : 1;
        }
    }
    double mean = 0, square = 0;
    unsigned count = 0;
    for (unsigned x = 0; x < OUT; x++) {
        square += (double)squares[x];
        mean += (double)means[x];
        count += counts[x];
    }
    if (count < OUT || !(mean > 0))
        return NAN;
    return (float)(square / (924.0 * 924.0 * mean)); /* 924 = sum of the squared differences */
}

float spk_slope_block(const float *block, const uint8_t *mask, size_t stride, size_t mask_stride, float limit)
{
    enum { SIDE = SPK_NOISE_BLOCK };
    double square = 0;
    unsigned count = 0;
    for (unsigned y = 0; y < SIDE; y++)
        for (unsigned x = 0; x < SIDE; x++) {
            const float *p = block + y * stride + x;
            const uint8_t *m = mask + y * mask_stride + x;
            if (!*m || !(fabsf(*p) < limit))
                continue;
            if (x + 1 < SIDE && m[1] && fabsf(p[1]) < limit) {
                square += (double)((p[1] - *p) * (p[1] - *p));
                count++;
            }
            if (y + 1 < SIDE && m[mask_stride] && fabsf(p[stride]) < limit) {
                square += (double)((p[stride] - *p) * (p[stride] - *p));
                count++;
            }
        }
    return count < SIDE ? NAN : (float)(square / count);
}
