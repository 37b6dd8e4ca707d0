/* An instance of correlation tracking: its memory, the reference, and T and D at the displacement. */
#include "tracker_internal.h"

#include <speckled/num_image.h>
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

static spk_status check(const char *name, const struct spk_tracker_config *config, uint32_t count,
                        uint32_t height, uint32_t width, struct spk_error *error)
{
    if (!count || !height || !width || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "%s: %u frames of %u x %u pixels make no stack", name, count,
                        height, width);
    if (config->window < 0 || config->window > SPK_TRACKER_WINDOW_MAX || config->max_shift < 1 ||
        config->max_shift > SPK_TRACKER_SHIFT_MAX)
        return spk_fail(error, SPK_INVALID, "%s: window or max_shift is out of range", name);
    if (count == 1 && config->window == 0)
        return spk_fail(error, SPK_INVALID,
                        "%s: one frame and a window of one pixel hold one value: set window or take "
                        "more frames",
                        name);
    return SPK_OK;
}

spk_status spk_tracker_create(struct spk_tracker **out, const char *name,
                              const struct spk_tracker_config *config, uint32_t count, uint32_t height,
                              uint32_t width, struct spk_team *team, enum spk_isa isa,
                              struct spk_error *error)
{
    *out = NULL;
    spk_status status = check(name, config, count, height, width, error);
    if (status)
        return status;
    struct spk_tracker *tracker = calloc(1, sizeof *tracker);
    if (!tracker)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", name);
    tracker->name = name;
    tracker->config = *config;
    tracker->ops = spk_match_ops(isa);
    tracker->team = team;
    tracker->count = count;
    tracker->height = height;
    tracker->width = width;
    tracker->window = (unsigned)config->window;
    tracker->shift = (unsigned)config->max_shift;
    tracker->guess_x = (int)lround(fmax(-1e6, fmin(1e6, config->guess_x)));
    tracker->guess_y = (int)lround(fmax(-1e6, fmin(1e6, config->guess_y)));
    for (unsigned i = 0; i < 2 * tracker->window + 1; i++)
        tracker->weight[i] = 1;
    tracker->scratch_size = tracker_search_scratch(tracker);
    tracker->coefficient = plane((size_t)count * height * width);
    tracker->used = calloc(count, sizeof *tracker->used);
    tracker->scratch = plane(spk_team_size(team) * tracker->scratch_size);
    if (!tracker->ops || !tracker->coefficient || !tracker->used || !tracker->scratch) {
        status = tracker->ops ? spk_fail(error, SPK_NOMEM, "%s: no memory for %u frames of %u x %u pixels",
                                         name, count, height, width)
                              : spk_fail(error, SPK_UNSUPPORTED, "%s: this processor does not run %s", name,
                                         spk_isa_name(isa));
        spk_tracker_destroy(&tracker);
        return status;
    }
    *out = tracker;
    return SPK_OK;
}

void spk_tracker_destroy(struct spk_tracker **address)
{
    struct spk_tracker *tracker = *address;
    if (!tracker)
        return;
    free(tracker->coefficient);
    free(tracker->used);
    free(tracker->scratch);
    free(tracker);
    *address = NULL;
}

static void use_frames(struct spk_tracker *tracker, const struct spk_stack *sample)
{
    tracker->used_count = 0;
    for (unsigned k = 0; k < tracker->count; k++)
        if (tracker->reference->present[k] && (!sample || sample->present[k]))
            tracker->used[tracker->used_count++] = k;
}

/* Mean of the used frames over what is a number. */
static float level_of(const struct spk_tracker *tracker, const struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    double total = 0, count = 0;
    for (unsigned i = 0; i < tracker->used_count; i++) {
        const float *image = stack->data + tracker->used[i] * pixels;
        for (size_t p = 0; p < pixels; p++)
            if (isfinite(image[p])) {
                total += (double)image[p];
                count++;
            }
    }
    return count > 0 ? (float)(total / count) : 0;
}

static void spline_frame(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    struct spk_tracker *tracker = context;
    size_t width = tracker->width, height = tracker->height, pixels = height * width;
    size_t frame = tracker->used[task] * pixels;
    const float *image = tracker->reference->data + frame;
    float *coefficient = tracker->coefficient + frame;
    for (size_t p = 0; p < pixels; p++)
        coefficient[p] = isfinite(image[p]) ? image[p] - tracker->reference_level : 0;
    for (size_t y = 0; y < height; y++)
        spk_spline_prefilter(coefficient + y * width, width, 1, 1);
    spk_spline_prefilter(coefficient, height, width, width);
}

static spk_status check_stack(const struct spk_tracker *tracker, const struct spk_stack *stack,
                              struct spk_error *error)
{
    if (stack->count == tracker->count && stack->height == tracker->height && stack->width == tracker->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: a stack of %u x %u x %u where %u x %u x %u was prepared",
                    tracker->name, stack->count, stack->height, stack->width, tracker->count, tracker->height,
                    tracker->width);
}

spk_status spk_tracker_reference(struct spk_tracker *tracker, const struct spk_stack *reference,
                                 struct spk_error *error)
{
    tracker->reference = NULL;
    spk_status status = check_stack(tracker, reference, error);
    if (status)
        return status;
    tracker->reference = reference;
    use_frames(tracker, NULL);
    tracker->reference_level = level_of(tracker, reference);
    spk_team_run(tracker->team, spline_frame, tracker, tracker->used_count);
    return SPK_OK;
}

spk_status spk_tracker_process(struct spk_tracker *tracker, const struct spk_stack *sample,
                               const struct spk_tracker_maps *maps, struct spk_error *error)
{
    if (!tracker->reference)
        return spk_fail(error, SPK_STATE, "%s: no reference has been taken", tracker->name);
    spk_status status = check_stack(tracker, sample, error);
    if (status)
        return status;
    use_frames(tracker, sample);
    if (!tracker->used_count)
        return spk_fail(error, SPK_INVALID, "%s: no scan position is in both reference and sample",
                        tracker->name);
    tracker->sample = sample;
    tracker->sample_level = level_of(tracker, sample);
    tracker->maps = maps;
    spk_team_run(tracker->team, tracker_search_tile, tracker, tracker_search_tiles(tracker));
    spk_team_run(tracker->team, tracker_ratio_row, tracker, tracker->height);
    return SPK_OK;
}
