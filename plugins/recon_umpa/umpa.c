/* An instance of UMPA: its memory, and the order of the steps. */
#include "umpa_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

spk_status spk_umpa_check(const struct spk_umpa_config *c, uint32_t count, uint32_t height, uint32_t width,
                          struct spk_error *error)
{
    if (!count || !height || !width || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "umpa: %u frames of %u x %u pixels make no stack", count, height,
                        width);
    if (count > SPK_UMPA_FRAMES_MAX)
        return spk_fail(error, SPK_INVALID, "umpa: %u frames a stack, at most %d are supported", count,
                        SPK_UMPA_FRAMES_MAX);
    if (c->window < 0 || c->window > SPK_UMPA_WINDOW_MAX || c->max_shift < 0 ||
        c->max_shift > SPK_UMPA_SHIFT_MAX || c->passes < 1 || c->passes > SPK_UMPA_PASSES_MAX ||
        !(c->mean_width >= 1))
        return spk_fail(error, SPK_INVALID, "umpa: window, max_shift, passes or mean_width is out of range");
    if (c->offset_x.count != c->offset_y.count || (c->offset_x.count && c->offset_x.count != count))
        return spk_fail(error, SPK_INVALID,
                        "umpa: offset_x has %zu and offset_y %zu values; give one of each for all %u frames",
                        c->offset_x.count, c->offset_y.count, count);
    return SPK_OK;
}

static void set_offsets(struct spk_umpa *u)
{
    const struct spk_umpa_config *c = &u->config;
    for (unsigned k = 0; k < u->count; k++) {
        if (c->offset_x.count) {
            u->offset_x[k] = (int)lround(fmax(-1e6, fmin(1e6, c->offset_x.value[k])));
            u->offset_y[k] = (int)lround(fmax(-1e6, fmin(1e6, c->offset_y.value[k])));
        }
        u->stepping |= u->offset_x[k] || u->offset_y[k];
    }
}

/* Window of the integer search: the fixed one, or a Gaussian that is as wide as few frames need it to be. */
static void set_search_window(struct spk_umpa *u)
{
    static const struct {
        unsigned count;
        float sigma;
    } width[] = {{1, 4}, {2, 3}, {4, 2.5f}, {8, 2}, {12, 1.5f}, {SPK_UMPA_FRAMES_MAX, 1}};
    if (u->config.window > 0) {
        u->search_radius = spk_window_hamming(u->search_weight, (unsigned)u->config.window);
        return;
    }
    unsigned i = 0;
    while (width[i].count < u->count)
        i++;
    u->search_radius = spk_window_gauss(u->search_weight, width[i].sigma, width[i].sigma > 1 ? 12 : 2);
}

static void *zeroed(size_t count, size_t size)
{
    size_t bytes = spk_match_round(count * size + 64, 64);
    void *memory = aligned_alloc(64, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

static bool allocate(struct spk_umpa *u)
{
    size_t coefficients = (u->height + 2 * UMPA_MIRROR) * u->count * u->c_pitch;
    size_t means = 4 * u->plane; /* two planes of float lie there first, see umpa_prepare_reference() */
    size_t noise = (size_t)u->count * UMPA_BLOCKS, tasks = umpa_row_tasks(u);
    u->offset_x = zeroed(u->count, sizeof *u->offset_x);
    u->offset_y = zeroed(u->count, sizeof *u->offset_y);
    u->used = zeroed(u->count, sizeof *u->used);
    u->mean = zeroed(u->plane, sizeof(float));
    u->reference_usable = zeroed(u->plane, 1);
    u->coefficient = zeroed(coefficients > means ? coefficients : means, sizeof *u->coefficient);
    u->noise = zeroed(noise > tasks ? noise : tasks, sizeof(float));
    u->sums = zeroed(tasks, sizeof *u->sums);
    u->cell = zeroed((size_t)umpa_cells_across(u) * umpa_cells_down(u), sizeof *u->cell);
    u->moved = zeroed((size_t)umpa_cells_across(u) * umpa_cells_down(u), 1);
    return u->offset_x && u->offset_y && u->used && u->mean && u->reference_usable && u->coefficient &&
           u->noise && u->sums && u->cell && u->moved && umpa_levels_create(u);
}

/* Puts what one stack needs into `memory`; NULL only counts the bytes. */
static size_t place(struct spk_umpa *u, void *memory, unsigned passes)
{
    struct spk_scratch_cut cut = {memory, 0};
    u->scratch = spk_scratch_take(&cut, u->workers * u->scratch_size, sizeof *u->scratch);
    u->usable = spk_scratch_take(&cut, u->plane, sizeof *u->usable);
    u->cost = spk_scratch_take(&cut, u->plane, sizeof *u->cost);
    umpa_levels_place(u, &cut, passes);
    return cut.used;
}

static spk_status reserve(struct spk_umpa *u, struct spk_error *error)
{
    size_t search = umpa_search_scratch(u), refine = umpa_equations_scratch(u);
    size_t windows = umpa_windows_scratch(u);
    size_t rows = umpa_reference_scratch(u);
    size_t size = search > refine ? search : refine;
    size = size > rows ? size : rows;
    size = size > windows ? size : windows;
    u->scratch_size = spk_match_round(size + SPK_MATCH_STEP, SPK_MATCH_STEP);
    spk_status status = SPK_OK;
    if (!u->shared) {
        status = spk_scratch_create(&u->own, error);
        u->shared = u->own;
    }
    return status ? status : spk_scratch_reserve(u->shared, place(u, NULL, SPK_UMPA_PASSES_MAX), error);
}

spk_status spk_umpa_create(struct spk_umpa **out, const struct spk_umpa_config *config, uint32_t count,
                           uint32_t height, uint32_t width, struct spk_team *team,
                           struct spk_scratch *scratch, enum spk_isa isa, struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_umpa_check(config, count, height, width, error);
    if (status)
        return status;
    struct spk_umpa *u = calloc(1, sizeof *u);
    if (!u)
        return spk_fail(error, SPK_NOMEM, "umpa: no memory");
    u->config = *config;
    u->ops = spk_match_ops(isa);
    u->team = team;
    u->shared = scratch;
    u->workers = spk_team_size(team);
    u->count = count;
    u->height = height;
    u->width = width;
    u->pitch = spk_match_round(width, SPK_MATCH_STEP);
    u->plane = u->pitch * height;
    u->c_pitch = spk_match_round(width + 2 * UMPA_BESIDE, SPK_MATCH_STEP);
    u->c_pitch +=
        u->c_pitch / SPK_MATCH_STEP % 2 ? 0 : SPK_MATCH_STEP; /* odd: frames fall on different sets */
    u->guess_x = (int)lround(fmax(-1e6, fmin(1e6, config->guess_x)));
    u->guess_y = (int)lround(fmax(-1e6, fmin(1e6, config->guess_y)));
    u->search_shift = (unsigned)config->max_shift;
    if (!u->ops) {
        spk_umpa_destroy(&u);
        return spk_fail(error, SPK_UNSUPPORTED, "umpa: this processor does not run %s", spk_isa_name(isa));
    }
    set_search_window(u);
    spk_spline_noise_fill(&u->spline);
    if (!allocate(u)) {
        spk_umpa_destroy(&u);
        return spk_fail(error, SPK_NOMEM, "umpa: no memory for %u frames of %u x %u pixels", count, height,
                        width);
    }
    set_offsets(u);
    if (config->rolling && !umpa_kept_create(u))
        status = spk_fail(error, SPK_NOMEM, "umpa: no memory for %u frames of %u x %u pixels that roll",
                          count, height, width);
    if (!status && config->window == 0)
        status = spk_global_create(&u->global, height, width, team, isa, error);
    if (!status && u->global && config->rolling)
        status = spk_global_keep(u->global, error);
    if (!status)
        status = reserve(u, error);
    if (status)
        spk_umpa_destroy(&u);
    *out = u;
    return status;
}

void spk_umpa_destroy(struct spk_umpa **address)
{
    struct spk_umpa *u = *address;
    if (!u)
        return;
    spk_global_destroy(&u->global);
    free(u->offset_x);
    free(u->offset_y);
    free(u->used);
    free(u->mean);
    free(u->reference_usable);
    free(u->coefficient);
    umpa_levels_destroy(u);
    free(u->noise);
    free(u->sums);
    free(u->cell);
    free(u->moved);
    umpa_kept_destroy(u);
    spk_scratch_destroy(&u->own);
    free(u);
    *address = NULL;
}

static spk_status check_stack(const struct spk_umpa *u, const struct spk_stack *stack, const char *what,
                              struct spk_error *error)
{
    if (stack->count != u->count || stack->height != u->height || stack->width != u->width)
        return spk_fail(error, SPK_INVALID, "umpa: the %s is %u x %u x %u, expected %u x %u x %u", what,
                        stack->count, stack->height, stack->width, u->count, u->height, u->width);
    return SPK_OK;
}

static void use_frames(struct spk_umpa *u, const struct spk_stack *sample)
{
    u->used_count = 0;
    for (unsigned k = 0; k < u->count; k++) {
        bool both = u->reference->present[k] && (!sample || sample->present[k]);
        if (both)
            u->used[u->used_count++] = k;
    }
}

spk_status spk_umpa_reference(struct spk_umpa *u, const struct spk_stack *reference, struct spk_error *error)
{
    u->reference = NULL;
    spk_status status = check_stack(u, reference, "reference", error);
    if (status)
        return status;
    u->reference = reference;
    use_frames(u, NULL);
    if (!u->used_count) {
        u->reference = NULL;
        return spk_fail(error, SPK_INVALID, "umpa: the reference holds no frame");
    }
    umpa_kept_forget(u);
    if (u->global)
        spk_global_forget(u->global);
    place(u, spk_scratch_memory(u->shared), umpa_passes(u));
    umpa_prepare_reference(u);
    return SPK_OK;
}

/* T, K and u are in the maps, where the steps worked; K becomes D. */
static void finish_row(const struct spk_umpa *u, unsigned y, const struct spk_umpa_maps *maps)
{
    const size_t at = (size_t)y * u->width;
    const float error_scale = umpa_error_scale_px(u->config.window == 0, u->report.deviation,
                                                  spk_inflation_px(u->slope_reference, u->noise_reference));
    struct spk_judge_row judge = {.transmission = maps->transmission + at,
                                  .contrast = maps->dark_field + at,
                                  .x = maps->displacement_x + at,
                                  .y = maps->displacement_y + at,
                                  .cost = u->cost + y * u->pitch,
                                  .error = maps->error + at,
                                  .guess_x = (float)u->guess_x,
                                  .guess_y = (float)u->guess_y,
                                  .range = (float)u->search_shift + UMPA_BELIEVED_PX,
                                  .width = u->width,
                                  .height = u->height,
                                  .row = y,
                                  .dark_field = maps->dark_field + at,
                                  .valid = maps->valid + at};
    u->ops->judge(&judge);
    for (unsigned x = 0; x < u->width; x++)
        maps->error[at + x] *= error_scale;
}

/* Level and noise of the sample. */
static void look(struct spk_umpa *u)
{
    float level = umpa_scan(u, u->sample, NULL, u->scale) * u->scale;
    u->level = fabsf(level) < UMPA_LIMIT ? level : 0;
    u->noise_sample = umpa_noise(u, u->sample, u->scale);
}

spk_status spk_umpa_process(struct spk_umpa *u, const struct spk_stack *sample,
                            const struct spk_umpa_maps *maps, struct spk_error *error)
{
    if (!u->reference)
        return spk_fail(error, SPK_STATE, "umpa: no reference has been taken");
    spk_status status = check_stack(u, sample, "sample", error);
    if (status)
        return status;
    use_frames(u, sample);
    if (!u->used_count)
        return spk_fail(error, SPK_INVALID, "umpa: no scan position is in both reference and sample");
    u->sample = sample;
    u->param[PARAM_T] = maps->transmission;
    u->param[PARAM_K] = maps->dark_field;
    u->param[PARAM_X] = maps->displacement_x;
    u->param[PARAM_Y] = maps->displacement_y;
    u->error = maps->error;
    u->quality = maps->quality;
    place(u, spk_scratch_memory(u->shared), umpa_passes(u));
    spk_pace_start(&u->pace);
    umpa_kept_start(u);
    if (!umpa_kept_look(u))
        look(u);
    umpa_search(u);
    umpa_refine(u);
    umpa_global(u);
    for (unsigned y = 0; y < u->height; y++)
        finish_row(u, y, maps);
    spk_pace_stop(&u->pace);
    return SPK_OK;
}

void spk_umpa_set(struct spk_umpa *u, const struct spk_umpa_config *config)
{
    const bool other = u->config.dark_field != config->dark_field || u->config.refine != config->refine ||
                       u->config.passes != config->passes || u->config.quality != config->quality;
    if (u->global && other)
        spk_global_forget(u->global);
    u->config.dark_field = config->dark_field;
    u->config.refine = config->refine;
    u->config.passes = config->passes;
    u->config.quality = config->quality;
    u->config.deadline_ms = config->deadline_ms;
}

struct spk_global_report spk_umpa_report(const struct spk_umpa *u)
{
    return u->report;
}

const float *spk_umpa_cost(const struct spk_umpa *u)
{
    return u->cost;
}

size_t spk_umpa_pitch(const struct spk_umpa *u)
{
    return u->pitch;
}
