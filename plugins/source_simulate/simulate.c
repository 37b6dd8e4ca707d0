#include "simulate.h"

#include "file.h"

#include <stdlib.h>
#include <string.h>

struct spk_simulator {
    struct spk_simulator_config config;
    struct spk_team *team;
    struct spk_camera *camera;
    size_t pixels;
    uint16_t *counts;    /* [frames kept][pixels]: darks, flats, references, samples of all moments */
    float *intensity;    /* the same without darks and flats, when noise is fresh */
    float *stack;        /* [count][pixels]: work space while computing */
    uint16_t *exposures; /* [most frames of a kind][pixels]: the same */
};

/* A number of its own for every exposure, so that none shares its noise. */
static uint64_t exposure_number(const struct spk_sim_frame *frame)
{
    return (uint64_t)frame->role << 56 | (uint64_t)(frame->stack + 1) << 24 | (uint64_t)(frame->position + 1);
}

/* How many different samples are computed: a short measurement does not come round. */
static uint32_t moments(const struct spk_simulator_config *config)
{
    bool shorter = config->stacks && config->stacks < config->scene.moments;
    return shorter ? (uint32_t)config->stacks : config->scene.moments;
}

/* Index of a frame among those kept; stacks come round again after the last moment. */
static size_t kept_index(const struct spk_simulator *simulator, const struct spk_sim_frame *frame)
{
    const struct spk_simulator_config *config = &simulator->config;
    size_t position = (size_t)frame->position, count = config->scene.count;
    size_t first_reference = (size_t)config->darks + config->flats;
    switch (frame->role) {
    case SPK_ROLE_DARK:
        return position;
    case SPK_ROLE_FLAT:
        return config->darks + position;
    case SPK_ROLE_REFERENCE:
        return first_reference + position;
    default:
        return first_reference + count * (1 + (size_t)frame->stack % moments(config)) + position;
    }
}

static void expose(const struct spk_simulator *simulator, const struct spk_sim_frame *frame,
                   const float *intensity, uint16_t *counts)
{
    spk_camera_expose(simulator->camera, simulator->team, intensity, frame->role != SPK_ROLE_DARK,
                      exposure_number(frame), counts);
}

/* Exposes `count` frames of one role and stack from simulator->stack, keeps them, and writes them to `file`. */
static spk_status take(struct spk_simulator *simulator, enum spk_role role, int64_t stack, uint32_t count,
                       struct spk_sim_file *file, struct spk_error *error)
{
    bool lit = role == SPK_ROLE_REFERENCE || role == SPK_ROLE_SAMPLE;
    bool keep = role != SPK_ROLE_SAMPLE || stack < moments(&simulator->config);
    for (uint32_t i = 0; i < count; i++) {
        struct spk_sim_frame frame = {role, i, stack};
        const float *intensity = lit ? simulator->stack + i * simulator->pixels : NULL;
        uint16_t *counts = simulator->exposures + i * simulator->pixels;
        size_t index = kept_index(simulator, &frame);
        expose(simulator, &frame, intensity, counts);
        if (keep && simulator->counts)
            memcpy(simulator->counts + index * simulator->pixels, counts, simulator->pixels * sizeof *counts);
        if (keep && lit && simulator->intensity) {
            size_t first = (size_t)simulator->config.darks + simulator->config.flats;
            memcpy(simulator->intensity + (index - first) * simulator->pixels, intensity,
                   simulator->pixels * sizeof *intensity);
        }
    }
    if (!file || !count)
        return SPK_OK;
    return spk_sim_file_frames(file, role, stack < 0 ? 0 : (uint32_t)stack, count, simulator->exposures,
                               error);
}

static uint32_t stacks_in_file(const struct spk_simulator_config *config)
{
    return config->stacks ? (uint32_t)config->stacks : config->scene.moments;
}

static spk_status take_samples(struct spk_simulator *simulator, struct spk_scene *scene,
                               struct spk_sim_file *output, struct spk_sim_file *truth,
                               struct spk_error *error)
{
    const struct spk_simulator_config *config = &simulator->config;
    uint32_t cycle = moments(config);
    for (uint32_t moment = 0; moment < cycle; moment++) {
        spk_status status = spk_scene_place(scene, moment, error);
        if (status)
            return status;
        spk_scene_render(scene, simulator->stack);
        uint32_t stacks = output ? stacks_in_file(config) : moment + 1;
        for (uint32_t stack = moment; !status && stack < stacks; stack += cycle) {
            status = take(simulator, SPK_ROLE_SAMPLE, stack, config->scene.count, output, error);
            if (!status && output)
                status = spk_sim_file_truth(output, stack, spk_scene_truth(scene), error);
        }
        if (!status && truth)
            status = spk_sim_file_truth(truth, moment, spk_scene_truth(scene), error);
        if (status)
            return status;
    }
    return SPK_OK;
}

static spk_status take_all(struct spk_simulator *simulator, struct spk_sim_file *output,
                           struct spk_sim_file *truth, struct spk_error *error)
{
    const struct spk_simulator_config *config = &simulator->config;
    struct spk_scene *scene = NULL;
    spk_status status = spk_scene_create(&scene, &config->scene, simulator->team, error);
    if (!status)
        status = take(simulator, SPK_ROLE_DARK, SPK_UNKNOWN, config->darks, output, error);
    if (!status)
        status = take(simulator, SPK_ROLE_FLAT, SPK_UNKNOWN, config->flats, output, error);
    if (!status) {
        spk_scene_render(scene, simulator->stack);
        status = take(simulator, SPK_ROLE_REFERENCE, SPK_UNKNOWN, config->scene.count, output, error);
    }
    if (!status)
        status = take_samples(simulator, scene, output, truth, error);
    spk_scene_destroy(&scene);
    return status;
}

static spk_status compute(struct spk_simulator *simulator, struct spk_error *error)
{
    const struct spk_simulator_config *config = &simulator->config;
    const struct spk_format format = {.count = config->scene.count,
                                      .height = config->scene.height,
                                      .width = config->scene.width,
                                      .dtype = SPK_U16,
                                      .geometry = config->scene.geometry};
    struct spk_sim_file *output = NULL, *truth = NULL;
    spk_status status = SPK_OK;
    if (*config->output)
        status = spk_sim_file_create(&output, config->output, &format, stacks_in_file(config), error);
    if (!status && *config->truth)
        status = spk_sim_file_create(&truth, config->truth, &format, 0, error);
    if (!status)
        status = take_all(simulator, output, truth, error);
    struct spk_error *close_error = status ? NULL : error;
    spk_status closed = spk_sim_file_close(&output, close_error);
    if (!closed)
        closed = spk_sim_file_close(&truth, close_error);
    else
        spk_sim_file_close(&truth, NULL);
    return status ? status : closed;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static spk_status allocate(struct spk_simulator *simulator, struct spk_error *error)
{
    const struct spk_simulator_config *config = &simulator->config;
    size_t pixels = simulator->pixels, count = config->scene.count;
    size_t scans = count * (1 + (size_t)moments(config));
    size_t frames = scans + config->darks + config->flats;
    size_t most = larger(config->scene.count, larger(config->darks, config->flats));
    bool fresh = config->noise == SPK_SIM_NOISE_FRESH;
    simulator->stack = calloc(count * pixels, sizeof *simulator->stack);
    simulator->exposures = calloc(most * pixels, sizeof *simulator->exposures);
    if (fresh)
        simulator->intensity = calloc(scans * pixels, sizeof *simulator->intensity);
    else
        simulator->counts = calloc(frames * pixels, sizeof *simulator->counts);
    if (!simulator->stack || !simulator->exposures || (!simulator->intensity && !simulator->counts))
        return spk_fail(error, SPK_NOMEM, "no memory to keep %zu frames of %u x %u pixels: fewer or smaller",
                        frames, config->scene.height, config->scene.width);
    return SPK_OK;
}

spk_status spk_simulator_create(struct spk_simulator **simulator, const struct spk_simulator_config *config,
                                struct spk_error *error)
{
    struct spk_simulator *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "no memory for a simulator");
    self->config = *config;
    self->config.camera.noise = config->noise != SPK_SIM_NOISE_NONE;
    self->pixels = (size_t)config->scene.height * config->scene.width;
    spk_status status = allocate(self, error);
    if (!status)
        status = spk_team_create(&self->team, config->threads, error);
    if (!status)
        status = spk_camera_create(&self->camera, &self->config.camera, error);
    if (!status)
        status = compute(self, error);
    free(self->stack);
    free(self->exposures);
    self->stack = NULL;
    self->exposures = NULL;
    if (status)
        spk_simulator_destroy(&self);
    else
        *simulator = self;
    return status;
}

void spk_simulator_destroy(struct spk_simulator **simulator)
{
    struct spk_simulator *self = *simulator;
    if (!self)
        return;
    spk_camera_destroy(&self->camera);
    if (self->team)
        spk_team_destroy(&self->team);
    free(self->counts);
    free(self->intensity);
    free(self->stack);
    free(self->exposures);
    free(self);
    *simulator = NULL;
}

struct spk_sim_frame spk_simulator_plan(const struct spk_simulator *simulator, uint64_t number)
{
    const struct spk_simulator_config *config = &simulator->config;
    uint64_t count = config->scene.count, references = config->references * count;
    if (number < config->darks)
        return (struct spk_sim_frame){SPK_ROLE_DARK, (int64_t)number, SPK_UNKNOWN};
    number -= config->darks;
    if (number < config->flats)
        return (struct spk_sim_frame){SPK_ROLE_FLAT, (int64_t)number, SPK_UNKNOWN};
    number -= config->flats;
    if (number < references)
        return (struct spk_sim_frame){SPK_ROLE_REFERENCE, (int64_t)(number % count), SPK_UNKNOWN};
    number -= references;
    if (config->stacks && number >= config->stacks * count)
        return (struct spk_sim_frame){SPK_ROLE_AUTO, SPK_UNKNOWN, SPK_UNKNOWN};
    return (struct spk_sim_frame){SPK_ROLE_SAMPLE, (int64_t)(number % count), (int64_t)(number / count)};
}

uint64_t spk_simulator_count(const struct spk_simulator_config *config)
{
    uint64_t scans = config->references + config->stacks;
    return config->stacks ? config->darks + config->flats + scans * config->scene.count : 0;
}

void spk_simulator_expose(const struct spk_simulator *simulator, const struct spk_sim_frame *frame,
                          uint16_t *counts)
{
    size_t index = kept_index(simulator, frame), pixels = simulator->pixels;
    if (simulator->counts) {
        memcpy(counts, simulator->counts + index * pixels, pixels * sizeof *counts);
        return;
    }
    bool lit = frame->role == SPK_ROLE_REFERENCE || frame->role == SPK_ROLE_SAMPLE;
    size_t first = (size_t)simulator->config.darks + simulator->config.flats;
    expose(simulator, frame, lit ? simulator->intensity + (index - first) * pixels : NULL, counts);
}
