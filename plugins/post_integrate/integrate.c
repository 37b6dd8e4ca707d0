/* The object, and the order of work: slopes, potential, closed part and mean. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

/* h c / e in keV m (CODATA 2018: h, c and e are exact). */
static const double KEV_METRE = 1.23984198e-9;

struct spk_integrate {
    struct spk_integrate_config config;
    uint32_t height, width;
    size_t stride;
    struct spk_team *team;
    struct slopes slopes;
    struct poisson poisson;
    struct cosine cosine;
    struct fourier fourier;
    struct masked masked;
    struct spk_scratch *shared; /* in which phi and the maps of the others lie for the length of a run */
    struct spk_scratch *own;    /* the same, where nobody else has one to share */
    float *phi;                 /* [height][stride] */
    double (*band)[2];          /* [tasks(height, BAND)] sums and counts over measured pixels */
};

void *integrate_memory(size_t count, size_t size)
{
    size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

/* A multiple of a cache line whose distance between rows is not a power of two. */
static size_t choose_stride(uint32_t width)
{
    return (size_t)tasks(width, BLOCK) * BLOCK + BLOCK;
}

static spk_status create_method(struct spk_integrate *s, struct spk_error *error)
{
    spk_status status;
    switch ((enum spk_integrate_method)s->config.method) {
    case SPK_INTEGRATE_FC_ANTISYMMETRIC:
        return cosine_create(&s->cosine, &s->slopes, error);
    case SPK_INTEGRATE_FC:
        return fourier_create(&s->fourier, &s->slopes, error);
    case SPK_INTEGRATE_DCT:
        return poisson_create(&s->poisson, s->height, s->width, s->stride, s->team, error);
    case SPK_INTEGRATE_MASKED:
        status = poisson_create(&s->poisson, s->height, s->width, s->stride, s->team, error);
        return status ? status : masked_create(&s->masked, &s->slopes, &s->poisson, error);
    }
    return spk_fail(error, SPK_INVALID, "no method %d", (int)s->config.method);
}

/* Puts what one run needs into `memory`; NULL only counts the bytes. */
static size_t place(struct spk_integrate *s, void *memory)
{
    struct spk_scratch_cut cut = {memory, 0};
    s->phi = spk_scratch_take(&cut, s->height * s->stride, sizeof *s->phi);
    slopes_place(&s->slopes, &cut);
    if (s->config.method == SPK_INTEGRATE_FC)
        fourier_place(&s->fourier, &cut);
    if (s->config.method == SPK_INTEGRATE_MASKED)
        masked_place(&s->masked, &cut);
    return cut.used;
}

static spk_status reserve(struct spk_integrate *s, struct spk_error *error)
{
    spk_status status = SPK_OK;
    if (!s->shared) {
        status = spk_scratch_create(&s->own, error);
        s->shared = s->own;
    }
    return status ? status : spk_scratch_reserve(s->shared, place(s, NULL), error);
}

spk_status spk_integrate_create(struct spk_integrate **out, const struct spk_integrate_config *config,
                                uint32_t height, uint32_t width, struct spk_team *team,
                                struct spk_scratch *scratch, struct spk_error *error)
{
    if (!height || !width)
        return spk_fail(error, SPK_INVALID, "a map of %ux%u pixels has no phase", width, height);
    struct spk_integrate *s = calloc(1, sizeof *s);
    if (!s)
        return spk_fail(error, SPK_NOMEM, "no memory");
    s->config = *config;
    s->height = height;
    s->width = width;
    s->stride = choose_stride(width);
    s->team = team;
    s->shared = scratch;
    s->band = integrate_memory(tasks(height, BAND), sizeof *s->band);
    spk_status status = SPK_OK;
    if (!s->band)
        status = spk_fail(error, SPK_NOMEM, "no memory for a map of %ux%u pixels", width, height);
    else if (!(status = slopes_create(&s->slopes, height, width, s->stride, team, error)))
        status = create_method(s, error);
    if (!status)
        status = reserve(s, error);
    if (status)
        spk_integrate_destroy(&s);
    *out = s;
    return status;
}

void spk_integrate_destroy(struct spk_integrate **address)
{
    struct spk_integrate *s = *address;
    if (!s)
        return;
    masked_destroy(&s->masked);
    fourier_destroy(&s->fourier);
    cosine_destroy(&s->cosine);
    poisson_destroy(&s->poisson);
    slopes_destroy(&s->slopes);
    spk_scratch_destroy(&s->own);
    free(s->band);
    free(s);
    *address = NULL;
}

static void solve(struct spk_integrate *s)
{
    switch ((enum spk_integrate_method)s->config.method) {
    case SPK_INTEGRATE_FC_ANTISYMMETRIC:
        cosine_run(&s->cosine, s->phi);
        break;
    case SPK_INTEGRATE_FC:
        slopes_restore(&s->slopes);
        fourier_run(&s->fourier, s->phi);
        break;
    case SPK_INTEGRATE_DCT:
    case SPK_INTEGRATE_MASKED:
        poisson_divergence(&s->slopes, s->phi);
        poisson_solve(&s->poisson, s->phi, s->phi);
        if (s->config.method == SPK_INTEGRATE_MASKED)
            masked_run(&s->masked, (uint32_t)s->config.iterations, s->phi);
        break;
    }
}

struct finish_job {
    struct spk_integrate *integrate;
    double scale, mean;
    float *phase;
};

/* Adds the closed integral of the affine part: c x y + a x + b x^2 / 2 + d y + f y^2 / 2. */
static void add_closed(const struct spk_integrate *s, const struct finish_job *job, uint32_t y)
{
    const struct affine *p = &s->slopes.affine;
    double dy = y - 0.5 * (s->height - 1);
    s->slopes.rows->finish(s->phi + y * s->stride, s->width, (p->d + 0.5 * p->f * dy) * dy, p->a + p->c * dy,
                           0.5 * p->b, job->scale, job->phase + (size_t)y * s->width);
}

static double sum_good(const float *phase, const uint8_t *good, uint32_t width, double *count)
{
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    uint32_t number = 0, x = 0;
    for (; x + LANES <= width; x += LANES) {
        for (uint32_t i = 0; i < LANES; i++) {
            lane[i] += good[x + i] ? phase[x + i] : 0;
            number += good[x + i];
        }
    }
    for (; x < width; x++) {
        sum += good[x] ? phase[x] : 0;
        number += good[x];
    }
    for (int i = 0; i < LANES; i++)
        sum += lane[i];
    *count += number;
    return sum;
}

static void finish_band(void *context, unsigned band, unsigned worker)
{
    const struct finish_job *job = context;
    struct spk_integrate *s = job->integrate;
    double sum = 0, count = 0;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        add_closed(s, job, y);
        sum += sum_good(job->phase + (size_t)y * s->width, s->slopes.good + y * s->stride, s->width, &count);
    }
    s->band[band][0] = sum;
    s->band[band][1] = count;
}

static void centre_band(void *context, unsigned band, unsigned worker)
{
    const struct finish_job *job = context;
    const struct spk_integrate *s = job->integrate;
    uint32_t end = (band + 1) * BAND < s->height ? (band + 1) * BAND : s->height;
    float mean = (float)job->mean;
    (void)worker;
    for (size_t i = (size_t)band * BAND * s->width; i < (size_t)end * s->width; i++)
        job->phase[i] -= mean;
}

double spk_integrate_run(struct spk_integrate *s, const float *ux, const float *uy, const uint8_t *valid,
                         double scale, float *phase)
{
    place(s, spk_scratch_memory(s->shared));
    slopes_take(&s->slopes, ux, uy, valid);
    double curl = curl_residual(&s->slopes, s->band);
    solve(s);
    struct finish_job job = {s, scale, 0, phase};
    uint32_t bands = tasks(s->height, BAND);
    spk_team_run(s->team, finish_band, &job, bands);
    double sum = 0, count = 0;
    for (uint32_t band = 0; band < bands; band++) {
        sum += s->band[band][0];
        count += s->band[band][1];
    }
    job.mean = count > 0 ? sum / count : 0;
    spk_team_run(s->team, centre_band, &job, bands);
    return curl;
}

spk_status spk_integrate_scale(const struct spk_geometry *geometry, double *scale, struct spk_error *error)
{
    bool energy = geometry->energy_kev > 0, pixel = geometry->pixel_size_m > 0,
         distance = geometry->distance_m > 0;
    if (!energy || !pixel || !distance)
        return spk_fail(error, SPK_INVALID,
                        "the phase needs%s%s%s: set them in the section `geometry` or in the "
                        "attributes of the input",
                        energy ? "" : " energy_kev", pixel ? "" : " pixel_size_m",
                        distance ? "" : " distance_m");
    double wave_length = KEV_METRE / geometry->energy_kev;
    *scale = 2 * M_PI / wave_length * geometry->pixel_size_m * geometry->pixel_size_m / geometry->distance_m;
    return SPK_OK;
}
