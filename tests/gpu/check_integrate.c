/* Phase integration on a device against the processor's: the same equations, solved another way in single precision. */
#include "gpu.h"
#include "integrate_device.h"
#include "potential_px.h"

enum { STEPS = 2 };

static struct gpu gpu;

struct maps {
    uint32_t height, width;
    size_t pixels;
    float *ux, *uy, *phase[2];
    uint8_t *valid;
};

static uint64_t state = 20240611;

static double uniform(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17; /* Marsaglia, "Xorshift RNGs", 2003 */
    return (double)(state >> 11) * 0x1p-53;
}

enum scene { BUMP, TILT, NOISE, HOLES, BORDER, NOTHING, SCENES };

static void fill(struct maps *m, enum scene scene)
{
    for (uint32_t y = 0; y < m->height; y++)
        for (uint32_t x = 0; x < m->width; x++) {
            size_t at = (size_t)y * m->width + x;
            double dx = x - 0.45 * m->width, dy = y - 0.6 * m->height,
                   size = 0.15 * (m->width + m->height) + 1;
            double bump = exp(-(dx * dx + dy * dy) / (2 * size * size));
            m->ux[at] = (float)(-dx / size * bump + (scene == TILT ? 3 + 0.1 * dx : 0));
            m->uy[at] = (float)(-dy / size * bump + (scene == TILT ? -2 + 0.05 * dy : 0));
            m->valid[at] = 1;
            if (scene == NOISE) {
                m->ux[at] += (float)(0.2 * uniform());
                m->uy[at] += (float)(0.2 * uniform());
            }
            if ((scene == HOLES && uniform() < 0.1) || scene == NOTHING)
                m->valid[at] = 0;
            if (scene == HOLES && uniform() < 0.01)
                m->ux[at] = uniform() < 0.5 ? NAN : INFINITY;
            if (scene == BORDER && (x < 3 || y < 2 || x + 5 > m->width || y + 4 > m->height))
                m->valid[at] = 0;
        }
}

static double run_here(const struct maps *m, const struct spk_integrate_config *config, double scale)
{
    struct spk_error error = {0};
    struct spk_integrate *integrate;
    REQUIRE(!spk_integrate_create(&integrate, config, m->height, m->width, NULL, NULL, &error), "%s",
            error.text);
    const double curl = spk_integrate_run(integrate, m->ux, m->uy, m->valid, scale, m->phase[0]);
    spk_integrate_destroy(&integrate);
    return curl;
}

static double run_there(const struct maps *m, const struct spk_integrate_config *config, double scale)
{
    struct spk_error error = {0};
    struct spk_integrate_device *integrate;
    void *ux = gpu_memory(&gpu, m->ux, m->pixels * sizeof(float)),
         *uy = gpu_memory(&gpu, m->uy, m->pixels * sizeof(float));
    void *valid = gpu_memory(&gpu, m->valid, m->pixels);
    unsigned char *phase = gpu_output(&gpu, m->pixels * sizeof(float));
    const struct spk_integrate_config former = {(config->method + 1) % (SPK_INTEGRATE_MASKED + 1), 1};
    static unsigned turn; /* every other time nothing can be recorded, and all is queued piece by piece */
    spk_device_inject(turn++ % 2 ? SPK_DEVICE_NO_LISTS : SPK_DEVICE_SOUND, 0);
    REQUIRE(!spk_integrate_device_create(&integrate, &former, m->height, m->width, gpu.device, gpu.stream,
                                         &error),
            "%s", error.text);
    spk_device_inject(SPK_DEVICE_NO_MEMORY, 0); /* a method that is chosen live has all that it needs */
    spk_integrate_device_set(integrate, config);
    for (int again = 0; again < 2; again++) /* the second time over what the first left */
        REQUIRE(!spk_integrate_device_run(integrate, ux, uy, valid, scale, (float *)(void *)phase, &error),
                "%s", error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    gpu_take(&gpu, "phase", m->phase[1], &phase, m->pixels * sizeof(float));
    const double curl = spk_integrate_device_curl(integrate); /* gpu_take() waited */
    spk_integrate_device_destroy(&integrate);
    spk_device_release(gpu.device, &ux);
    spk_device_release(gpu.device, &uy);
    spk_device_release(gpu.device, &valid);
    return curl;
}

/* A circulation is half the sum of eight slopes, each of them, the affine part being out, at most twice the largest and rounded to 2^-24
 * of itself, on both sides: 16 times the largest; as much again for the additions. */
static void check_curl(const struct maps *m, double here, double there)
{
    double largest = 0;
    for (size_t i = 0; i < m->pixels; i++)
        if (m->valid[i] && isfinite(m->ux[i]) && isfinite(m->uy[i]))
            largest = fmax(largest, fmax(fabs((double)m->ux[i]), fabs((double)m->uy[i])));
    CHECK(isnan(here) ? isnan(there) : fabs(here - there) <= 32 * largest * 0x1p-24,
          "%u x %u: curl %g, on the processor %g", m->width, m->height, there, here);
}

static struct maps create_maps(uint32_t height, uint32_t width, enum scene scene)
{
    struct maps m = {.height = height, .width = width, .pixels = (size_t)height * width};
    m.ux = calloc(m.pixels, sizeof(float));
    m.uy = calloc(m.pixels, sizeof(float));
    m.phase[0] = calloc(m.pixels, sizeof(float));
    m.phase[1] = calloc(m.pixels, sizeof(float));
    m.valid = calloc(m.pixels, 1);
    fill(&m, scene);
    return m;
}

static void free_maps(struct maps *m)
{
    free(m->ux);
    free(m->uy);
    free(m->phase[0]);
    free(m->phase[1]);
    free(m->valid);
}

/* Both solve the same equations; the transforms round on the scale of what the closed part leaves, times the longest wave, and each step
 * of the masked method solves once more. */
static void check(uint32_t height, uint32_t width, enum scene scene, enum spk_integrate_method method)
{
    const struct spk_integrate_config config = {.method = method, .iterations = STEPS};
    struct maps m = create_maps(height, width, scene);
    const double here = run_here(&m, &config, -2.5), there = run_there(&m, &config, -2.5);
    double worst = 0, largest = 0;
    for (size_t i = 0; i < m.pixels; i++) {
        largest = fmax(largest, fabs((double)m.phase[0][i]));
        worst = fmax(worst, fabs((double)m.phase[0][i] - (double)m.phase[1][i]));
        CHECK(isfinite(m.phase[1][i]), "method %d, scene %d, %u x %u: phase[%zu] is %g", method, scene, width,
              height, i, (double)m.phase[1][i]);
    }
    double tolerance = 2e-6 * fmax(largest, 1) + 1e-7 * (height + width);
    tolerance *= method == SPK_INTEGRATE_MASKED ? 1 + STEPS : 1;
    CHECK(worst <= tolerance, "method %d, scene %d, %u x %u: differs by %g of %g", method, scene, width,
          height, worst, largest);
    check_curl(&m, here, there);
    free_maps(&m);
}

/* What a phase leaves of the weighted least squares' equations at pixel (x, y), and in *wanted their right-hand side, from the slopes as
 * they are: the closed part of a phase has none of it. */
static double rest_at(const struct maps *m, uint32_t x, uint32_t y, double *wanted)
{
    const ptrdiff_t width = (ptrdiff_t)m->width, at = (ptrdiff_t)y * width + (ptrdiff_t)x;
    const ptrdiff_t step[4] = {x ? -1 : 0, x + 1 < m->width ? 1 : 0, y ? -width : 0,
                               y + 1 < m->height ? width : 0};
    double rest = *wanted = 0;
    for (int i = 0; i < 4; i++) {
        const ptrdiff_t to = at + step[i];
        const float *slope = i < 2 ? m->ux : m->uy;
        if (!step[i] || !m->valid[at] || !m->valid[to])
            continue;
        const double mean = 0.5 * ((double)slope[at] + (double)slope[to]);
        *wanted += i % 2 ? mean : -mean;
        rest -= (double)m->phase[1][to] - (double)m->phase[1][at];
    }
    rest += *wanted;
    return rest;
}

/* With all the steps it wants the masked method ends where its equations hold, to the residual at which it stops and to what the rounding
 * of the phase, of its steps too, does to a second difference, whose weights add up to 8. With so many steps allowed it would take hours
 * if it did not stop. */
static void check_end(uint32_t height, uint32_t width, enum scene scene)
{
    const struct spk_integrate_config config = {.method = SPK_INTEGRATE_MASKED, .iterations = 10000};
    struct maps m = create_maps(height, width, scene);
    double left = 0, wanted = 0, largest = 0;
    for (size_t i = 0; i < m.pixels; i++)
        m.valid[i] = m.valid[i] && isfinite(m.ux[i]) && isfinite(m.uy[i]);
    run_there(&m, &config, 1);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            double right, rest = rest_at(&m, x, y, &right);
            left += rest * rest;
            wanted += right * right;
            largest = fmax(largest, fabs((double)m.phase[1][(size_t)y * width + x]));
        }
    const double limit = MASKED_TOLERANCE * sqrt(wanted) + 4 * 8 * 0x1p-24 * largest * sqrt((double)m.pixels);
    CHECK(sqrt(left) <= limit, "masked, scene %d, %u x %u: %g left of %g, at most %g", scene, width, height,
          sqrt(left), sqrt(wanted), limit);
    free_maps(&m);
}

int main(void)
{
    static const uint32_t size[][2] = {{1, 1},   {1, 7},   {9, 1},   {2, 2},
                                       {33, 20}, {47, 61}, {32, 64}, {48, 35}};
    gpu_open(&gpu);
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
        for (int scene = 0; scene < SCENES; scene++)
            for (int method = 0; method <= SPK_INTEGRATE_MASKED; method++)
                check(size[i][0], size[i][1], (enum scene)scene, (enum spk_integrate_method)method);
    check_end(31, 45, HOLES);
    check_end(32, 32, BORDER);
    check_end(20, 13, NOISE);
    gpu_close(&gpu);
    return test_end();
}
