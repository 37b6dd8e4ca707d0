/* Phase from slopes on a device: two-dimensional cosine and sine transforms by one real Fourier transform each (Makhoul, IEEE Trans. ASSP 28,
 * 27 (1980)), or the Fourier transforms themselves; the closed part put back. */
#include "integrate_kernel.h"
#include "potential_px.h"

#include <speckled/device_fft.h>

/* One axis of the divergence of averaged slopes at element i of a line; neighbours beyond the ends are equal. */
static __device__ inline float difference(const float *g, size_t step, int i, int count)
{
    if (count < 2)
        return 0;
    if (i == 0)
        return 0.5f * (g[0] + g[step]);
    if (i == count - 1)
        return -0.5f * (g[-(ptrdiff_t)step] + g[0]);
    return 0.5f * (g[step] - g[-(ptrdiff_t)step]);
}

__global__ void divergence(struct integrate_there s)
{
    int n, m;
    size_t to;
    if (!own_pixel(s.height, s.width, &n, &m, &to))
        return;
    const int x = source(n, s.width), y = source(m, s.height);
    const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
    s.field[to] = difference(s.gx + at, 1, x, s.width) + difference(s.gy + at, (size_t)s.width, y, s.height);
}

struct complex {
    float re, im;
};

/* Element (k, l) of a real field's spectrum, of which one half is stored. */
static __device__ inline struct complex spectrum_at(const struct integrate_there &s, const float *spectrum,
                                                    int k, int l)
{
    const int half = s.width / 2 + 1;
    const bool stored = l < half;
    const int row = stored ? k : (s.height - k) % s.height, column = stored ? l : s.width - l;
    const float *v = spectrum + 2 * ((size_t)row * (size_t)half + (size_t)column);
    const struct complex c = {v[0], stored ? v[1] : -v[1]};
    return c;
}

static __device__ inline struct complex times(struct complex a, struct complex b)
{
    const struct complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

/* Conjugate of the turn of element k of an axis. */
static __device__ inline struct complex turn_back(const float *turn, int k)
{
    const struct complex c = {turn[2 * k], -turn[2 * k + 1]};
    return c;
}

/* Element (k, l) of the cosine transform of a field in Makhoul's order. */
static __device__ float cosine_of(const struct integrate_there &s, const float *spectrum, int k, int l)
{
    const struct complex row = turn_back(s.turn[1], k), column = turn_back(s.turn[0], l),
                         mirrored = {column.re, -column.im};
    const struct complex a = times(column, spectrum_at(s, spectrum, k, l));
    const struct complex b = times(mirrored, spectrum_at(s, spectrum, k, (s.width - l) % s.width));
    const struct complex sum = {a.re + b.re, a.im + b.im};
    return 0.5f * times(row, sum).re;
}

/* The cosine transform of the divergence, divided by the eigenvalues of the Laplacian. */
__global__ void solve(struct integrate_there s)
{
    int l, k;
    size_t at;
    if (!own_pixel(s.height, s.width, &l, &k, &at))
        return;
    const float row = s.turn[1][2 * k + 1], column = s.turn[0][2 * l + 1];
    const float eigenvalue = -4 * (row * row + column * column);
    s.cosine[at] = k || l ? cosine_of(s, s.spectrum[0], k, l) / eigenvalue : 0;
}

/* One component of the slopes in Makhoul's order, for a sine transform along x or along y: that is the cosine transform of the line with
 * its odd elements negated, read backward. */
__global__ void order_slope(struct integrate_there s, const float *slope, bool along_x)
{
    int n, m;
    size_t to;
    if (!own_pixel(s.height, s.width, &n, &m, &to))
        return;
    const int x = source(n, s.width), y = source(m, s.height);
    const float value = slope[(size_t)y * (size_t)s.width + (size_t)x];
    s.field[to] = (along_x ? x : y) % 2 ? -value : value;
}

__global__ void solve_sines(struct integrate_there s)
{
    int l, k;
    size_t at;
    if (!own_pixel(s.height, s.width, &l, &k, &at))
        return;
    const float sine_x = l ? cosine_of(s, s.spectrum[0], k, s.width - l) : 0,
                sine_y = k ? cosine_of(s, s.spectrum[1], s.height - k, l) : 0;
    s.cosine[at] =
        cosine_potential((uint32_t)l, (uint32_t)s.width, (uint32_t)k, (uint32_t)s.height, sine_x, sine_y);
}

/* The potential's spectrum from those of the two slopes, in the place of the first. */
__global__ void solve_periodic(struct integrate_there s)
{
    const int half = s.width / 2 + 1;
    int l, k;
    size_t at;
    if (!own_pixel(s.height, half, &l, &k, &at))
        return;
    const struct wave wave = periodic_wave((uint32_t)l, (uint32_t)s.width, (uint32_t)k, (uint32_t)s.height);
    float *x = s.spectrum[0] + 2 * at;
    const float *y = s.spectrum[1] + 2 * at;
    const double re = wave.x * x[0] + wave.y * y[0], im = wave.x * x[1] + wave.y * y[1];
    x[0] = (float)(wave.factor * im);
    x[1] = (float)(-wave.factor * re);
}

static __device__ inline float cosine_at(const struct integrate_there &s, int k, int l)
{
    return k < s.height && l < s.width ? s.cosine[(size_t)k * (size_t)s.width + (size_t)l] : 0;
}

/* The spectrum whose inverse transform is the solution in Makhoul's order. */
__global__ void combine_spectrum(struct integrate_there s)
{
    const int half = s.width / 2 + 1, l = (int)(blockIdx.x * ACROSS + threadIdx.x);
    const int k = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (l >= half || k >= s.height)
        return;
    const struct complex row = {s.turn[1][2 * k], s.turn[1][2 * k + 1]};
    const struct complex column = {s.turn[0][2 * l], s.turn[0][2 * l + 1]};
    const struct complex value = {cosine_at(s, k, l) - cosine_at(s, s.height - k, s.width - l),
                                  -cosine_at(s, s.height - k, l) - cosine_at(s, k, s.width - l)};
    const struct complex out = times(times(row, column), value);
    float *to = s.spectrum[0] + 2 * ((size_t)k * (size_t)half + (size_t)l);
    to[0] = out.re;
    to[1] = out.im;
}

/* The phase from the potential, times `share`, and the closed part; and the sums for the mean. The potential is in Makhoul's order, or in
 * place. */
__global__ void finish(struct integrate_there s, const float *potential, bool in_place, double share)
{
    SPK_SHARED(double, part);
    const struct affine p = s.state->closed;
    double sum = 0, count = 0;
    int first, last;
    own_band(s, &first, &last);
    for (int i = (int)threadIdx.x; i < (last - first) * s.width; i += THREADS) {
        const int n = i % s.width, m = first + i / s.width, x = in_place ? n : source(n, s.width),
                  y = in_place ? m : source(m, s.height);
        const size_t at = (size_t)y * (size_t)s.width + (size_t)x;
        const double closed = closed_integral(&p, from_middle(x, s.width), from_middle(y, s.height));
        const float phase =
            (float)(s.scale * (potential[(size_t)m * (size_t)s.width + (size_t)n] * share + closed));
        s.phase[at] = phase;
        sum += s.good[at] ? (double)phase : 0;
        count += s.good[at];
    }
    keep_sums(sum, count, part, s.term + 2 * blockIdx.x);
}

__global__ void take_mean(struct integrate_there s, int bands)
{
    SPK_SHARED(double, part);
    double sum[2];
    add_sums(s.term, bands, part, sum);
    if (threadIdx.x == 0)
        s.state->mean = sum[1] > 0 ? sum[0] / sum[1] : 0;
}

__global__ void subtract_mean(struct integrate_there s)
{
    int x, y;
    size_t at;
    if (own_pixel(s.height, s.width, &x, &y, &at))
        s.phase[at] -= (float)s.state->mean;
}

static spk_status fft_status(cufftResult code, const char *what, struct spk_error *error)
{
    if (code == CUFFT_SUCCESS)
        return SPK_OK;
    return spk_fail(error, code == CUFFT_ALLOC_FAILED ? SPK_NOMEM : SPK_DEVICE, "cufft: %s: code %d", what,
                    (int)code);
}

spk_status spk_integrate_plan_there(void *stream, const void *arguments, struct spk_error *error)
{
    struct integrate_there *s = (struct integrate_there *)(uintptr_t)arguments;
    cufftHandle forward, backward;
    spk_status status = fft_status(cufftPlan2d(&forward, s->height, s->width, CUFFT_R2C), "plan", error);
    if (status)
        return status;
    s->forward = (int)forward;
    status = fft_status(cufftPlan2d(&backward, s->height, s->width, CUFFT_C2R), "plan", error);
    if (status)
        return status;
    s->backward = (int)backward;
    status = fft_status(cufftSetStream(forward, (cudaStream_t)stream), "stream", error);
    return status ? status : fft_status(cufftSetStream(backward, (cudaStream_t)stream), "stream", error);
}

spk_status spk_integrate_forget_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    (void)stream;
    (void)error;
    if (s->forward >= 0)
        cufftDestroy((cufftHandle)s->forward);
    if (s->backward >= 0)
        cufftDestroy((cufftHandle)s->backward);
    return SPK_OK;
}

static spk_status transform(const struct integrate_there *s, float *field, float *spectrum,
                            struct spk_error *error)
{
    return fft_status(cufftExecR2C((cufftHandle)s->forward, field, (cufftComplex *)spectrum), "transform",
                      error);
}

static spk_status transform_back(const struct integrate_there *s, struct spk_error *error)
{
    return fft_status(cufftExecC2R((cufftHandle)s->backward, (cufftComplex *)s->spectrum[0], s->field),
                      "transform", error);
}

spk_status integrate_solve(void *stream, const struct integrate_there *s, struct spk_error *error)
{
    const dim3 threads(ACROSS, DOWN);
    spk_status status = transform(s, s->field, s->spectrum[0], error);
    if (status)
        return status;
    SPK_LAUNCH(solve, blocks_over(s->height, s->width), threads, 0, stream, *s);
    SPK_LAUNCH(combine_spectrum, blocks_over(s->height, s->width / 2 + 1), threads, 0, stream, *s);
    return transform_back(s, error);
}

/* Least squares. */
static spk_status find_squares(void *stream, const struct integrate_there *s, struct spk_error *error)
{
    SPK_LAUNCH(divergence, blocks_over(s->height, s->width), dim3(ACROSS, DOWN), 0, stream, *s);
    return integrate_solve(stream, s, error);
}

/* Frankot-Chellappa on the antisymmetric extension. */
static spk_status find_sines(void *stream, const struct integrate_there *s, struct spk_error *error)
{
    const dim3 blocks = blocks_over(s->height, s->width), threads(ACROSS, DOWN);
    SPK_LAUNCH(order_slope, blocks, threads, 0, stream, *s, (const float *)s->gx, true);
    spk_status status = transform(s, s->field, s->spectrum[0], error);
    if (status)
        return status;
    SPK_LAUNCH(order_slope, blocks, threads, 0, stream, *s, (const float *)s->gy, false);
    status = transform(s, s->field, s->spectrum[1], error);
    if (status)
        return status;
    SPK_LAUNCH(solve_sines, blocks, threads, 0, stream, *s);
    SPK_LAUNCH(combine_spectrum, blocks_over(s->height, s->width / 2 + 1), threads, 0, stream, *s);
    return transform_back(s, error);
}

/* Frankot-Chellappa on the periodic field. */
static spk_status find_periodic(void *stream, const struct integrate_there *s, struct spk_error *error)
{
    spk_status status = transform(s, s->gx, s->spectrum[0], error);
    status = status ? status : transform(s, s->gy, s->spectrum[1], error);
    if (status)
        return status;
    SPK_LAUNCH(solve_periodic, blocks_over(s->height, s->width / 2 + 1), dim3(ACROSS, DOWN), 0, stream, *s);
    return transform_back(s, error);
}

spk_status spk_integrate_begin_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    integrate_part_slopes(stream, s);
    spk_status status = s->method == SPK_INTEGRATE_FC                 ? find_periodic(stream, s, error)
                        : s->method == SPK_INTEGRATE_FC_ANTISYMMETRIC ? find_sines(stream, s, error)
                                                                      : find_squares(stream, s, error);
    if (!status && s->method == SPK_INTEGRATE_MASKED)
        integrate_descend(stream, s);
    return status ? status : spk_cuda_launched("phase integration", error);
}

spk_status spk_integrate_end_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct integrate_there *s = (const struct integrate_there *)arguments;
    const unsigned bands = bands_of(s);
    const size_t shared = THREADS / 32 * sizeof(double);
    const bool descended = s->method == SPK_INTEGRATE_MASKED;
    const double share = descended ? 1 : 1 / ((double)s->height * s->width);
    SPK_LAUNCH(finish, bands, THREADS, shared, stream, *s,
               (const float *)(descended ? s->potential : s->field),
               descended || s->method == SPK_INTEGRATE_FC, share);
    SPK_LAUNCH(take_mean, 1, THREADS, shared, stream, *s, (int)bands);
    SPK_LAUNCH(subtract_mean, blocks_over(s->height, s->width), dim3(ACROSS, DOWN), 0, stream, *s);
    return spk_cuda_launched("phase", error);
}
