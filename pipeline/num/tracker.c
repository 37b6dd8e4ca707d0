/* An instance of correlation tracking: its memory, and the order of its steps. */
#include "tracker_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *plane(size_t count)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, sizeof(float), &bytes) || bytes > SIZE_MAX - 64)
        return NULL;
    float *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

int spk_tracker_guess(double guess)
{
    return (int)lround(fmax(-1e6, fmin(1e6, guess)));
}

spk_status spk_tracker_check(const struct spk_tracker_config *config, uint32_t count, struct spk_error *error)
{
    if (config->window < 0 || config->window > SPK_TRACKER_WINDOW_MAX || config->max_shift < 1 ||
        config->max_shift > SPK_TRACKER_SHIFT_MAX)
        return spk_fail(error, SPK_INVALID, "window or max_shift is out of range");
    if (count == 1 && config->window == 0)
        return spk_fail(error, SPK_INVALID,
                        "one frame and a window of one pixel hold one value: set window or take more frames");
    return SPK_OK;
}

static spk_status build(struct spk_tracker *tracker, const char *name, uint32_t count, uint32_t height,
                        uint32_t width, struct spk_team *team, enum spk_isa isa, struct spk_error *error)
{
    spk_status status =
        spk_ratio_create(&tracker->ratio, name, count, height, width, tracker->window, team, error);
    if (status)
        return status;
    tracker->height = height;
    tracker->width = width;
    tracker->ops = spk_match_ops(isa);
    if (!tracker->ops)
        return spk_fail(error, SPK_UNSUPPORTED, "%s: this processor does not run %s", name,
                        spk_isa_name(isa));
    tracker->scratch_size = tracker_search_scratch(tracker);
    tracker->scratch = plane(spk_team_size(team) * tracker->scratch_size);
    if (!tracker->scratch)
        return spk_fail(error, SPK_NOMEM, "%s: no memory to work in", name);
    return SPK_OK;
}

spk_status spk_tracker_create(struct spk_tracker **out, const char *name,
                              const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                              uint32_t width, struct spk_team *team, enum spk_isa isa,
                              struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_tracker_check(config, count, error);
    if (status)
        return status;
    struct spk_tracker *tracker = calloc(1, sizeof *tracker);
    if (!tracker)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", name);
    tracker->config = *config;
    tracker->window = (unsigned)config->window;
    tracker->shift = (unsigned)config->max_shift;
    tracker->guess_x = spk_tracker_guess(config->guess_x);
    tracker->guess_y = spk_tracker_guess(config->guess_y);
    for (unsigned i = 0; i < 2 * tracker->window + 1; i++)
        tracker->weight[i] = 1;
    status = build(tracker, name, count, height, width, team, isa, error);
    if (status)
        spk_tracker_destroy(&tracker);
    *out = tracker;
    return status;
}

void spk_tracker_destroy(struct spk_tracker **address)
{
    struct spk_tracker *tracker = *address;
    if (!tracker)
        return;
    spk_ratio_destroy(&tracker->ratio);
    free(tracker->scratch);
    free(tracker);
    *address = NULL;
}

spk_status spk_tracker_reference(struct spk_tracker *tracker, const struct spk_stack *reference,
                                 struct spk_error *error)
{
    return spk_ratio_reference(&tracker->ratio, reference, error);
}

spk_status spk_tracker_process(struct spk_tracker *tracker, const struct spk_stack *sample,
                               const struct spk_tracker_maps *maps, struct spk_error *error)
{
    spk_status status = spk_ratio_sample(&tracker->ratio, sample, error);
    if (status)
        return status;
    tracker->maps = maps;
    spk_team_run(tracker->ratio.team, tracker_search_tile, tracker, tracker_search_tiles(tracker));
    spk_ratio_fill(&tracker->ratio, maps);
    return SPK_OK;
}
