#include "camera.h"

#include "random.h"

#include <math.h>
#include <stdlib.h>

enum stream { STREAM_PIXELS = 100, STREAM_DEFECTS, STREAM_EXPOSURE };

struct spk_camera {
    struct spk_camera_config config;
    float *response; /* photons a pixel in the open beam */
    float *offset;   /* counts */
};

/* Brightness of the beam at (y, x) in -1..1: falls off smoothly and off-centre, with the horizontal stripes that a
 * multilayer or crystal monochromator leaves. */
static double beam(double y, double x, double flatness)
{
    double dy = y - 0.15, dx = x + 0.1;
    double stripes = sin(23 * y + 0.6 * sin(2 * x)) + 0.6 * sin(61 * y + 1.1);
    return exp(-flatness * 0.3 * (dy * dy + dx * dx)) * (1 + 0.08 * flatness * stripes);
}

static void make_pixels(struct spk_camera *camera)
{
    const struct spk_camera_config *config = &camera->config;
    size_t count = (size_t)config->height * config->width;
    double sum = 0;
    for (uint32_t i = 0; i < config->height; i++) {
        struct spk_random random = spk_random_stream(config->seed, STREAM_PIXELS, i, 0);
        double y = (2.0 * i + 1) / config->height - 1;
        for (uint32_t j = 0; j < config->width; j++) {
            size_t at = (size_t)i * config->width + j;
            double x = (2.0 * j + 1) / config->width - 1;
            double unlike = 1 + 0.05 * config->flatness * spk_random_normal(&random);
            camera->response[at] = (float)(beam(y, x, config->flatness) * fmax(unlike, 0.1));
            camera->offset[at] = (float)(config->offset + config->read_noise * spk_random_normal(&random));
            sum += (double)camera->response[at];
        }
    }
    for (size_t i = 0; i < count; i++)
        camera->response[i] *= (float)(config->photons * (double)count / sum);
}

static void make_defects(struct spk_camera *camera)
{
    const struct spk_camera_config *config = &camera->config;
    size_t count = (size_t)config->height * config->width;
    struct spk_random random = spk_random_stream(config->seed, STREAM_DEFECTS, 0, 0);
    for (uint32_t i = 0; i < config->hot_pixels; i++) {
        size_t hot = (size_t)(spk_random_uniform(&random) * (double)count);
        size_t dead = (size_t)(spk_random_uniform(&random) * (double)count);
        camera->offset[hot] += (float)(2000 + 60000 * spk_random_uniform(&random));
        camera->response[dead] = 0;
    }
}

spk_status spk_camera_create(struct spk_camera **camera, const struct spk_camera_config *config,
                             struct spk_error *error)
{
    size_t count = (size_t)config->height * config->width;
    struct spk_camera *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory for a camera");
    self->config = *config;
    self->response = calloc(count, sizeof *self->response);
    self->offset = calloc(count, sizeof *self->offset);
    if (!self->response || !self->offset) {
        spk_camera_destroy(&self);
        return spk_fail(error, SPK_NOMEM, "no memory for a camera of %u x %u pixels", config->height,
                        config->width);
    }
    make_pixels(self);
    make_defects(self);
    *camera = self;
    return SPK_OK;
}

void spk_camera_destroy(struct spk_camera **camera)
{
    struct spk_camera *self = *camera;
    if (!self)
        return;
    free(self->response);
    free(self->offset);
    free(self);
    *camera = NULL;
}

struct exposure {
    const struct spk_camera *camera;
    const float *intensity;
    double light;
    uint64_t number;
    uint16_t *counts;
};

static uint16_t digitise(double counts)
{
    return counts <= 0 ? 0 : counts >= 65535 ? 65535 : (uint16_t)lrint(counts);
}

static void expose_row(void *context, unsigned row, unsigned worker)
{
    (void)worker;
    const struct exposure *exposure = context;
    const struct spk_camera *camera = exposure->camera;
    const struct spk_camera_config *config = &camera->config;
    size_t start = (size_t)row * config->width;
    struct spk_random random = spk_random_stream(config->seed, STREAM_EXPOSURE, exposure->number, row);
    for (size_t at = start; at < start + config->width; at++) {
        double intensity = exposure->intensity ? fmax((double)exposure->intensity[at], 0) : 1;
        double photons = exposure->light * intensity * (double)camera->response[at], read = 0;
        if (config->noise) {
            photons = spk_random_poisson(&random, photons);
            read = config->read_noise * spk_random_normal(&random);
        }
        exposure->counts[at] = digitise(config->gain * photons + (double)camera->offset[at] + read);
    }
}

void spk_camera_expose(const struct spk_camera *camera, struct spk_team *team, const float *intensity,
                       double light, uint64_t number, uint16_t *counts)
{
    struct exposure exposure = {camera, intensity, light, number, counts};
    spk_team_run(team, expose_row, &exposure, camera->config.height);
}
