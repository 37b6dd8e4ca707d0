/* An instance of speckle scanning: its memory, the order of its steps, transmission and dark-field. */
#include "xss_internal.h"

#include <speckled/num_ratio_px.h>

#include <math.h>
#include <stdlib.h>

static bool in_range(const struct spk_xss_config *c)
{
    return c->max_lag >= 1 && c->max_lag <= SPK_XSS_LAG_MAX && c->across >= 0 &&
           c->across <= SPK_XSS_ACROSS_MAX && c->window >= 0 && c->window <= SPK_XSS_WINDOW_MAX &&
           c->separation >= 1 && c->separation <= SPK_XSS_SEPARATION_MAX && isfinite(c->step_px);
}

/* The delay at which a flat wavefront repeats the first pixel's sequence at the second. */
static double flat_delay(const struct spk_xss_config *c)
{
    return c->method == SPK_XSS_SELF ? -(double)c->separation / c->step_px : 0;
}

spk_status spk_xss_check(const struct spk_xss_config *c, uint32_t count, struct spk_error *error)
{
    if (!in_range(c))
        return spk_fail(error, SPK_INVALID, "xss: an option is out of range");
    if (c->step_px == 0)
        return spk_fail(error, SPK_INVALID,
                        "xss: step_px is not set: give how far the pattern moves in the frame from one "
                        "position to the next, in px");
    double needed = ceil(fabs(flat_delay(c))) + (double)c->max_lag + SPK_XSS_PAIRS_MIN;
    if (count && count < needed)
        return spk_fail(error, SPK_INVALID,
                        "xss: delays of up to %.0f steps leave less than %d of %u frames to compare: take "
                        "%.0f frames, or a smaller max_lag%s",
                        needed - SPK_XSS_PAIRS_MIN, SPK_XSS_PAIRS_MIN, count, needed,
                        c->method == SPK_XSS_SELF ? " or separation" : "");
    return SPK_OK;
}

/* Where the two pixels lie that are compared, round the pixel that the result belongs to. */
static void place_sides(struct spk_xss *xss)
{
    const bool x = xss->config.axis == SPK_XSS_X;
    xss->along = (struct xss_place){x, !x};
    xss->aside = (struct xss_place){!x, x};
    xss->separation = xss->config.method == SPK_XSS_SELF ? (int)xss->config.separation : 0;
    xss->delay = (int)lround(flat_delay(&xss->config));
    const int before = xss->separation / 2, behind = xss->separation - before;
    xss->s.offset = (struct xss_place){behind * xss->along.x, behind * xss->along.y};
    xss->r.offset = (struct xss_place){-before * xss->along.x, -before * xss->along.y};
}

static spk_status build(struct spk_xss *xss, enum spk_isa isa, struct spk_error *error)
{
    xss->ops = spk_match_ops(isa);
    if (!xss->ops)
        return spk_fail(error, SPK_UNSUPPORTED, "xss: this processor does not run %s", spk_isa_name(isa));
    xss->scratch_size = xss_search_scratch(xss);
    size_t bytes;
    if (!__builtin_mul_overflow(xss->scratch_size, spk_team_size(xss->team) * sizeof(float), &bytes))
        xss->scratch = aligned_alloc(64, bytes);
    if (!xss->scratch)
        return spk_fail(error, SPK_NOMEM, "xss: no memory for delays of %d steps over %u frames",
                        xss->max_lag, xss->count);
    return SPK_OK;
}

spk_status spk_xss_create(struct spk_xss **out, const struct spk_xss_config *config, uint32_t count,
                          uint32_t height, uint32_t width, struct spk_team *team, enum spk_isa isa,
                          struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_xss_check(config, count, error);
    if (status)
        return status;
    if (!count || !height || !width || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "xss: %u frames of %u x %u pixels make no stack", count, height,
                        width);
    struct spk_xss *xss = calloc(1, sizeof *xss);
    if (!xss)
        return spk_fail(error, SPK_NOMEM, "xss: no memory");
    xss->config = *config;
    xss->team = team;
    xss->count = count;
    xss->height = height;
    xss->width = width;
    xss->window = (unsigned)config->window;
    xss->across = (int)config->across;
    xss->max_lag = (int)config->max_lag;
    for (unsigned i = 0; i < 2 * xss->window + 1; i++)
        xss->weight[i] = 1;
    place_sides(xss);
    status = build(xss, isa, error);
    if (status)
        spk_xss_destroy(&xss);
    *out = xss;
    return status;
}

void spk_xss_destroy(struct spk_xss **address)
{
    struct spk_xss *xss = *address;
    if (!xss)
        return;
    free(xss->scratch);
    free(xss);
    *address = NULL;
}

/* Mean of the frames present over what is a number. */
static float level_of(const struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    double total = 0, count = 0;
    for (unsigned k = 0; k < stack->count; k++) {
        const float *image = stack->data + k * pixels;
        for (size_t p = 0; p < pixels && stack->present[k]; p++)
            if (isfinite(image[p])) {
                total += (double)image[p];
                count++;
            }
    }
    return count > 0 ? (float)(total / count) : 0;
}

static spk_status check_stack(const struct spk_xss *xss, const struct spk_stack *stack,
                              struct spk_error *error)
{
    if (stack->count == xss->count && stack->height == xss->height && stack->width == xss->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "xss: a stack of %u x %u x %u where %u x %u x %u was prepared",
                    stack->count, stack->height, stack->width, xss->count, xss->height, xss->width);
}

spk_status spk_xss_reference(struct spk_xss *xss, const struct spk_stack *reference, struct spk_error *error)
{
    xss->reference = NULL;
    spk_status status = check_stack(xss, reference, error);
    if (status)
        return status;
    xss->reference = reference;
    xss->reference_level = level_of(reference);
    return SPK_OK;
}

static bool any_in_both(const struct spk_stack *a, const struct spk_stack *b)
{
    for (unsigned k = 0; k < a->count; k++)
        if (a->present[k] && b->present[k])
            return true;
    return false;
}

bool xss_ratio(const struct spk_xss *xss, int x, int y, int lag, int aside, float *transmission,
               float *dark_field)
{
    const struct spk_stack *sample = xss->sample, *reference = xss->reference;
    const size_t pixels = (size_t)xss->height * xss->width;
    const float *s = sample->data + (size_t)y * xss->width + (size_t)x;
    const float *r = reference->data + (size_t)(y + aside * xss->aside.y) * xss->width +
                     (size_t)(x + aside * xss->aside.x);
    struct spk_ratio_sums sums = {0};
    for (int k = lag < 0 ? -lag : 0; k < (int)xss->count && k + lag < (int)xss->count; k++)
        if (sample->present[k] && reference->present[k + lag])
            spk_ratio_add_px(&sums, spk_ratio_value_px(s[(size_t)k * pixels], xss->sample_level),
                             spk_ratio_value_px(r[(size_t)(k + lag) * pixels], xss->reference_level));
    return sums.count &&
           spk_ratio_px(&sums, xss->sample_level, xss->reference_level, transmission, dark_field);
}

spk_status spk_xss_process(struct spk_xss *xss, const struct spk_stack *sample,
                           const struct spk_tracker_maps *maps, struct spk_error *error)
{
    if (!xss->reference)
        return spk_fail(error, SPK_STATE, "xss: no reference has been taken");
    spk_status status = check_stack(xss, sample, error);
    if (status)
        return status;
    if (!any_in_both(xss->reference, sample))
        return spk_fail(error, SPK_INVALID, "xss: no scan position is in both reference and sample");
    xss->sample = sample;
    xss->sample_level = level_of(sample);
    xss->maps = maps;
    const bool self = xss->config.method == SPK_XSS_SELF;
    xss->s.stack = sample;
    xss->s.level = xss->sample_level;
    xss->r.stack = self ? sample : xss->reference;
    xss->r.level = self ? xss->sample_level : xss->reference_level;
    spk_team_run(xss->team, xss_search_tile, xss, xss_search_tiles(xss));
    if (self)
        spk_team_run(xss->team, xss_slope_lines, xss, xss_slope_tasks(xss));
    return SPK_OK;
}
