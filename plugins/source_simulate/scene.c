#include "bench.h"
#include "random.h"
#include "warp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct position {
    double y, x;
};

struct spk_scene {
    struct spk_scene_config config;
    struct spk_team *team;
    struct spk_bench bench;
    struct spk_warp *warp; /* geometric model only */
    double strength;       /* of the modulator, rad */
    double mean;           /* of the reference images */
    bool placed;           /* a sample is in the beam */
    struct spk_sample sample;
    struct position offset;  /* of the sample from its mean place */
    float complex *exit;     /* the sample's transmitted amplitude; wave model only */
    float complex **scratch; /* a field for each worker */
    float *truth;            /* [SPK_TRUTH_MAPS][height][width] */
    struct position *position;
    struct position *drift;        /* of each position while the sample is in */
    struct position *sample_drift; /* of the sample at each position */
    float *intensity;              /* borrowed for one spk_scene_render() */
};

static void place_positions(struct spk_scene *scene)
{
    const struct spk_scene_config *config = &scene->config;
    const bool line_x = config->scan == SPK_SCAN_LINE_X, line_y = config->scan == SPK_SCAN_LINE_Y;
    const uint32_t square = (uint32_t)ceil(sqrt(config->count));
    const uint32_t columns = line_x ? config->count : line_y ? 1 : square;
    const uint32_t rows = line_y ? config->count : line_x ? 1 : square;
    double side = config->step_px * columns;
    struct spk_random random = spk_random_stream(config->seed, 4, 0, 0);
    for (uint32_t k = 0; k < config->count; k++) {
        uint32_t row = k / columns, column = k % columns;
        double y = (row - 0.5 * (rows - 1)) * config->step_px;
        double x = (column - 0.5 * (columns - 1)) * config->step_px;
        if (config->scan == SPK_SCAN_RANDOM) {
            y = (spk_random_uniform(&random) - 0.5) * side;
            x = (spk_random_uniform(&random) - 0.5) * side;
        }
        scene->position[k].y = y + (2 * spk_random_uniform(&random) - 1) * config->jitter_px;
        scene->position[k].x = x + (2 * spk_random_uniform(&random) - 1) * config->jitter_px;
    }
}

/* Uniform offsets up to `largest`, less their mean, which would be a displacement or another place of the sample. */
static void place_drift(const struct spk_scene_config *config, uint64_t stream, double largest,
                        struct position *drift)
{
    struct spk_random random = spk_random_stream(config->seed, stream, 0, 0);
    struct position mean = {0, 0};
    for (uint32_t k = 0; k < config->count; k++) {
        drift[k].y = (2 * spk_random_uniform(&random) - 1) * largest;
        drift[k].x = (2 * spk_random_uniform(&random) - 1) * largest;
        mean.y += drift[k].y / config->count;
        mean.x += drift[k].x / config->count;
    }
    for (uint32_t k = 0; k < config->count; k++) {
        drift[k].y -= mean.y;
        drift[k].x -= mean.x;
    }
}

/* Propagation and the detector keep the mean intensity of the periodic grid, so it is that behind the modulator. */
static double mean_intensity(const struct spk_scene *scene)
{
    float complex *field = scene->scratch[0];
    size_t count = scene->bench.size_y * scene->bench.size_x;
    double sum = 0;
    spk_bench_modulate(&scene->bench, scene->strength, 0, 0, field);
    for (size_t i = 0; i < count; i++)
        sum += (double)(crealf(field[i]) * crealf(field[i]) + cimagf(field[i]) * cimagf(field[i]));
    return sum / (double)count;
}

static spk_status allocate(struct spk_scene *scene, struct spk_error *error)
{
    const struct spk_scene_config *config = &scene->config;
    unsigned workers = spk_team_size(scene->team);
    size_t pixels = (size_t)config->height * config->width;
    bool good = true;
    scene->scratch = calloc(workers, sizeof(float complex *));
    for (unsigned i = 0; scene->scratch && i < workers; i++)
        good = (scene->scratch[i] = spk_optics_field(scene->bench.optics)) && good;
    scene->truth = calloc(SPK_TRUTH_MAPS * pixels, sizeof *scene->truth);
    scene->position = calloc(config->count, sizeof *scene->position);
    scene->drift = calloc(config->count, sizeof *scene->drift);
    scene->sample_drift = calloc(config->count, sizeof *scene->sample_drift);
    if (config->model == SPK_SCENE_WAVE)
        good = (scene->exit = spk_optics_field(scene->bench.optics)) && good;
    else if (spk_warp_create(&scene->warp, scene->bench.size_y, scene->bench.size_x, error))
        return error->status;
    if (!good || !scene->scratch || !scene->truth || !scene->position || !scene->drift ||
        !scene->sample_drift)
        return spk_fail(error, SPK_NOMEM,
                        "no memory for %u grids of %zu x %zu samples: fewer threads or a smaller frame",
                        workers + 2, scene->bench.size_y, scene->bench.size_x);
    return SPK_OK;
}

spk_status spk_scene_create(struct spk_scene **scene, const struct spk_scene_config *config,
                            struct spk_team *team, struct spk_error *error)
{
    struct spk_scene *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory for a scene");
    self->config = *config;
    self->team = team;
    spk_status status = spk_bench_strength(config, &self->strength, error);
    if (!status)
        status = spk_bench_create(&self->bench, config, config->height, config->width,
                                  spk_bench_margin(config), error);
    if (!status)
        status = allocate(self, error);
    if (status) {
        spk_scene_destroy(&self);
        return status;
    }
    place_positions(self);
    place_drift(config, 5, config->drift_px, self->drift);
    place_drift(config, 6, config->sample_drift_px, self->sample_drift);
    self->mean = mean_intensity(self);
    *scene = self;
    return spk_scene_place(self, SPK_UNKNOWN, error);
}

void spk_scene_destroy(struct spk_scene **scene)
{
    struct spk_scene *self = *scene;
    if (!self)
        return;
    for (unsigned i = 0; self->scratch && i < spk_team_size(self->team); i++)
        spk_optics_field_free(&self->scratch[i]);
    free(self->scratch);
    spk_optics_field_free(&self->exit);
    spk_warp_destroy(&self->warp);
    free(self->truth);
    free(self->position);
    free(self->drift);
    free(self->sample_drift);
    spk_bench_destroy(&self->bench);
    free(self);
    *scene = NULL;
}

static float *truth_map(const struct spk_scene *scene, enum spk_map map)
{
    return scene->truth + (size_t)map * scene->config.height * scene->config.width;
}

/* The sample where it stands now. */
static struct spk_sample_point sample_at(const struct spk_scene *scene, double y, double x)
{
    return spk_sample_at(&scene->sample, y - scene->offset.y, x - scene->offset.x);
}

/* Where the ray that arrives at `at` left the sample: x = xi + u(xi), solved by iteration. The geometric model defines u at
 * the pixel of arrival, so there xi is x. */
static struct position origin(const struct spk_scene *scene, struct position at, double shift_per_slope)
{
    struct position from = at;
    for (int i = 0; i < 100 && scene->config.model == SPK_SCENE_WAVE; i++) {
        struct spk_sample_point point = sample_at(scene, from.y, from.x);
        struct position next = {at.y - shift_per_slope * point.slope_y,
                                at.x - shift_per_slope * point.slope_x};
        double change = fabs(next.y - from.y) + fabs(next.x - from.x);
        from = next;
        if (change < 1e-9)
            break;
    }
    return from;
}

static void truth_row(void *context, unsigned row, unsigned worker)
{
    (void)worker;
    struct spk_scene *scene = context;
    uint32_t width = scene->config.width;
    double shift_per_slope = spk_shift_per_slope(&scene->config.geometry);
    float *map[SPK_TRUTH_MAPS];
    for (int i = 0; i < SPK_TRUTH_MAPS; i++)
        map[i] = truth_map(scene, (enum spk_map)i) + (size_t)row * width;
    for (uint32_t j = 0; j < width; j++) {
        struct position from = origin(scene, (struct position){row, j}, shift_per_slope);
        struct spk_sample_point point = sample_at(scene, from.y, from.x);
        double u_y = shift_per_slope * point.slope_y, u_x = shift_per_slope * point.slope_x;
        /* Fermat: the wavefront at x is the phase at xi plus k |x - xi|^2 / 2d; its gradient is the ray's slope. */
        double path =
            scene->config.model == SPK_SCENE_WAVE ? (u_y * u_y + u_x * u_x) / (2 * shift_per_slope) : 0;
        map[SPK_MAP_TRANSMISSION][j] = (float)point.transmission;
        map[SPK_MAP_DARK_FIELD][j] = (float)point.visibility;
        map[SPK_MAP_DISPLACEMENT_X][j] = (float)u_x;
        map[SPK_MAP_DISPLACEMENT_Y][j] = (float)u_y;
        map[SPK_MAP_PHASE][j] = (float)(point.phase + path);
    }
}

static void exit_row(void *context, unsigned row, unsigned worker)
{
    (void)worker;
    struct spk_scene *scene = context;
    const struct spk_bench *bench = &scene->bench;
    double pitch = 1.0 / scene->config.oversample, y = row * pitch - bench->margin;
    float complex *line = scene->exit + row * bench->size_x;
    for (size_t j = 0; j < bench->size_x; j++) {
        double x = (double)j * pitch - bench->margin;
        double window = spk_bench_window(bench, y, x);
        if (window == 0) {
            line[j] = 1;
            continue;
        }
        struct spk_sample_point point = sample_at(scene, y, x);
        double amplitude = pow(point.transmission, 0.5 * window), phase = point.phase * window;
        line[j] = CMPLXF((float)(amplitude * cos(phase)), (float)(amplitude * sin(phase)));
    }
}

/* The sample `offset` from its mean place: its maps there, and its transmitted amplitude. */
static void put_sample(struct spk_scene *scene, struct position offset)
{
    scene->offset = offset;
    spk_team_run(scene->team, truth_row, scene, scene->config.height);
    if (!scene->placed || scene->config.model != SPK_SCENE_WAVE)
        return;
    float complex *field = scene->scratch[0];
    spk_team_run(scene->team, exit_row, scene, (unsigned)scene->bench.size_y);
    memcpy(field, scene->exit, scene->bench.size_y * scene->bench.size_x * sizeof *field);
    spk_optics_propagate(scene->bench.optics, field);
    spk_optics_detect(scene->bench.optics, field);
    spk_bench_read(&scene->bench, field, truth_map(scene, SPK_MAP_TRANSMISSION));
}

spk_status spk_scene_place(struct spk_scene *scene, int64_t moment, struct spk_error *error)
{
    const struct spk_scene_config *config = &scene->config;
    if (moment >= (int64_t)config->moments)
        return spk_fail(error, SPK_INVALID, "the scene has %u moments, number %lld was asked for",
                        config->moments, (long long)moment);
    scene->placed = moment >= 0;
    struct spk_sample_config sample = {
        .kind = scene->placed ? config->sample : SPK_SAMPLE_NONE,
        .height = config->height,
        .width = config->width,
        .max_shift_px = config->max_shift_px,
        .shift_per_slope = spk_shift_per_slope(&config->geometry),
        .absorption = config->absorption,
        .scatter = config->scatter,
        .seed = config->seed,
    };
    spk_sample_init(&scene->sample, &sample, (double)moment / config->moments);
    put_sample(scene, (struct position){0, 0});
    return SPK_OK;
}

static void render_wave(const struct spk_scene *scene, float complex *field, float *image)
{
    const struct spk_bench *bench = &scene->bench;
    size_t samples = bench->size_y * bench->size_x;
    size_t pixels = (size_t)scene->config.height * scene->config.width;
    for (size_t i = 0; scene->placed && i < samples; i++) {
        float complex a = field[i], b = scene->exit[i];
        field[i] = CMPLXF(crealf(a) * crealf(b) - cimagf(a) * cimagf(b),
                          crealf(a) * cimagf(b) + cimagf(a) * crealf(b));
    }
    spk_optics_propagate(bench->optics, field);
    spk_optics_detect(bench->optics, field);
    spk_bench_read(bench, field, image);
    const float *own = truth_map(scene, SPK_MAP_TRANSMISSION);
    const float *visibility = truth_map(scene, SPK_MAP_DARK_FIELD);
    for (size_t i = 0; scene->placed && i < pixels; i++)
        image[i] = visibility[i] * image[i] + (1 - visibility[i]) * own[i] * (float)scene->mean;
}

static void render_geometric(const struct spk_scene *scene, float complex *field, float *image)
{
    const struct spk_bench *bench = &scene->bench;
    const float *t = truth_map(scene, SPK_MAP_TRANSMISSION), *d = truth_map(scene, SPK_MAP_DARK_FIELD);
    const float *u_x = truth_map(scene, SPK_MAP_DISPLACEMENT_X);
    const float *u_y = truth_map(scene, SPK_MAP_DISPLACEMENT_Y);
    spk_optics_propagate(bench->optics, field);
    spk_optics_detect(bench->optics, field);
    if (!scene->placed) {
        spk_bench_read(bench, field, image);
        return;
    }
    spk_warp_prepare(scene->warp, bench->optics, field);
    for (uint32_t i = 0; i < scene->config.height; i++) {
        for (uint32_t j = 0; j < scene->config.width; j++) {
            size_t at = (size_t)i * scene->config.width + j;
            double y = (bench->margin + i - (double)u_y[at]) * scene->config.oversample;
            double x = (bench->margin + j - (double)u_x[at]) * scene->config.oversample;
            double pattern = spk_warp_at(scene->warp, field, y, x) - scene->mean;
            image[at] = (float)((double)t[at] * (scene->mean + (double)d[at] * pattern));
        }
    }
}

static void render_position(void *context, unsigned index, unsigned worker)
{
    struct spk_scene *scene = context;
    float complex *field = scene->scratch[worker];
    float *image = scene->intensity + (size_t)index * scene->config.height * scene->config.width;
    struct position at = scene->position[index];
    if (scene->placed) {
        at.y += scene->drift[index].y;
        at.x += scene->drift[index].x;
    }
    spk_bench_modulate(&scene->bench, scene->strength, at.y, at.x, field);
    if (scene->config.model == SPK_SCENE_WAVE)
        render_wave(scene, field, image);
    else
        render_geometric(scene, field, image);
}

void spk_scene_render(struct spk_scene *scene, float *intensity)
{
    scene->intensity = intensity;
    if (!scene->placed || scene->config.sample_drift_px == 0) {
        spk_team_run(scene->team, render_position, scene, scene->config.count);
        return;
    }
    for (uint32_t k = 0; k < scene->config.count; k++) {
        put_sample(scene, scene->sample_drift[k]);
        render_position(scene, k, 0);
    }
    put_sample(scene, (struct position){0, 0});
}

const float *spk_scene_truth(const struct spk_scene *scene)
{
    return scene->truth;
}

double spk_scene_mean(const struct spk_scene *scene)
{
    return scene->mean;
}
