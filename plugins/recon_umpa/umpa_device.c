/* The host's side of UMPA on a device: memory, and which frames are in use. */
#include "umpa_device.h"
#include "umpa_device_kept.h"
#include "umpa_internal.h"
#include "umpa_there.h"

#include <speckled/clock.h>
#include <speckled/num_global_device.h>
#include <speckled/num_used_device.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct spk_umpa_device {
    struct spk_device *device;
    struct spk_stream *stream;
    spk_device_operation reference, sums, process, equations, maps;
    struct spk_global_device *global; /* NULL: a window of one size */
    struct spk_event *over;           /* of the last stack */
    struct umpa_device_kept kept;
    int64_t quality, deadline_ms, started_ns, allowance_ns;
    bool whole; /* the whole field is refined at once too */
    struct umpa_there there;
    void *memory; /* all of the device's, cut into the addresses of `there` */
    struct spk_used_device used;
    int *offset; /* host: [count] along x, then y */
    bool has_reference, reference_stale, sums_stale;
    const struct spk_stack *reference_stack; /* borrowed */
};

enum { PARTS_MAX = 64 };

static size_t level_plane(const struct umpa_there *t, int level)
{
    size_t height = (size_t)t->height, width = (size_t)t->width;
    for (; level > 0; level--) {
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    return height * width;
}

/* Everything the operations need; returns the number of parts. */
static size_t list_parts(struct umpa_there *t, bool half, struct spk_device_part part[PARTS_MAX])
{
    const size_t plane = level_plane(t, 0) * sizeof(float), frames = (size_t)t->count;
    const size_t margin = 2 * UMPA_THERE_MARGIN;
    const size_t coefficients =
        ((size_t)t->height + margin) * (size_t)umpa_there_pitch(t->width) * frames * sizeof(uint16_t);
    void **packed = half ? (void **)&t->packed.half : (void **)&t->packed.data;
    const size_t packed_plane = plane / sizeof(float) * (half ? sizeof(uint16_t) : sizeof(float));
    const size_t bands = ((size_t)t->height + UMPA_THERE_BAND - 1) / UMPA_THERE_BAND;
    const size_t values = bands > frames * UMPA_THERE_BLOCKS ? bands : frames * UMPA_THERE_BLOCKS;
    const struct spk_device_part list[] = {
        {(void **)&t->used, frames * sizeof(int)},
        {(void **)&t->mean_taps, (2 * (size_t)t->mean_radius + 1) * sizeof(float)},
        {(void **)&t->search_taps, (2 * (size_t)t->radius + 1) * sizeof(float)},
        {(void **)&t->spline_taps, (2 * UMPA_THERE_SPLINE + 1) * sizeof(float)},
        {(void **)&t->spline, sizeof(struct spk_spline_noise)},
        {(void **)&t->numbers, sizeof(struct umpa_numbers)},
        {(void **)&t->values, values * sizeof(float)},
        {(void **)&t->offset_x, t->stepping ? frames * sizeof(int) : 0},
        {(void **)&t->offset_y, t->stepping ? frames * sizeof(int) : 0},
        {(void **)&t->reference_usable, plane / sizeof(float)},
        {(void **)&t->reference_whole, t->stepping ? plane / sizeof(float) : 0},
        {(void **)&t->usable, plane / sizeof(float)},
        {(void **)&t->whole, t->stepping ? plane / sizeof(float) : 0},
        {packed, frames * packed_plane},
        {(void **)&t->coefficient, coefficients},
        {(void **)&t->frame_mean, t->window > 0 ? frames * plane : 0},
        {(void **)&t->sample_mean, t->window > 0 ? frames * plane : 0},
        {(void **)&t->mean, plane},
        {(void **)&t->r1, plane},
        {(void **)&t->r2, plane},
        {(void **)&t->window_r, plane},
        {(void **)&t->s1, plane},
        {(void **)&t->s2, plane},
        {(void **)&t->window_s, plane},
        {(void **)&t->window_ss, plane},
        {(void **)&t->cost, plane},
        {(void **)&t->error, plane},
        {(void **)&t->quality, plane},
        {(void **)&t->swap[0], plane},
        {(void **)&t->swap[1], plane},
    };
    size_t count = sizeof list / sizeof list[0];
    memcpy(part, list, sizeof list);
    for (int i = 0; i < 3; i++)
        part[count++] = (struct spk_device_part){(void **)&t->factor[i], plane};
    for (int i = 0; i < 4; i++)
        part[count++] = (struct spk_device_part){(void **)&t->param[i], plane};
    for (int l = 0; l < (t->window > 0 ? 1 : UMPA_LEVELS); l++) {
        size_t level = level_plane(t, l) * sizeof(float);
        part[count++] = (struct spk_device_part){(void **)&t->normal[l], SPK_NORMALS * level};
        part[count++] =
            (struct spk_device_part){(void **)&t->found[l], l ? (size_t)UMPA_RUNGS * 2 * PARAMS * level : 0};
    }
    return count;
}

static spk_status allocate(struct spk_umpa_device *d, bool half, struct spk_error *error)
{
    struct spk_device_part part[PARTS_MAX];
    size_t count = list_parts(&d->there, half, part);
    if (d->kept.rolling)
        count += umpa_device_kept_parts(&d->there, half, spk_device_facts(d->device), part + count);
    spk_status status = spk_device_allocate_parts(d->device, part, count, &d->memory, error);
    if (!status && !d->there.stepping) {
        d->there.reference_whole = d->there.reference_usable;
        d->there.whole = d->there.usable;
    }
    return status;
}

/* The taps that turn values into spline coefficients: sqrt(3) z^|n| (Unser, IEEE SPM 16(6), 22 (1999)). */
static void spline_taps(float taps[2 * UMPA_THERE_SPLINE + 1])
{
    const double z = sqrt(3.0) - 2;
    for (int n = -UMPA_THERE_SPLINE; n <= UMPA_THERE_SPLINE; n++)
        taps[n + UMPA_THERE_SPLINE] = (float)(sqrt(3.0) * pow(z, abs(n)));
}

/* What the processor's instance of the same options has worked out for its windows and where the sample is. */
static spk_status take_options(struct spk_umpa_device *d, const struct spk_umpa_config *config,
                               struct spk_error *error)
{
    struct umpa_there *t = &d->there;
    struct spk_umpa *u;
    spk_status status = spk_umpa_create(&u, config, (uint32_t)t->count, 1, 1, NULL, NULL, SPK_ISA_C, error);
    if (status)
        return status;
    d->offset = calloc(2 * (size_t)t->count, sizeof *d->offset);
    for (int k = 0; k < t->count && d->offset; k++) {
        d->offset[k] = u->offset_x[k];
        d->offset[t->count + k] = u->offset_y[k];
    }
    t->stepping = u->stepping;
    t->guess_x = u->guess_x;
    t->guess_y = u->guess_y;
    t->radius = (int)u->search_radius;
    memcpy(t->search_weight + UMPA_THERE_RADIUS_MAX - t->radius, u->search_weight,
           (2 * u->search_radius + 1) * sizeof *t->search_weight);
    spk_umpa_destroy(&u);
    if (t->window > 0)
        spk_window_hamming(t->window_weight, (unsigned)t->window);
    return d->offset ? SPK_OK : spk_fail(error, SPK_NOMEM, "no memory for a list of offsets");
}

static spk_status find_operations(struct spk_umpa_device *d, struct spk_error *error)
{
    d->reference = spk_device_find(d->device, "spk_umpa_reference_there");
    d->sums = spk_device_find(d->device, "spk_umpa_sums_there");
    d->process = spk_device_find(d->device, "spk_umpa_process_there");
    d->equations = spk_device_find(d->device, "spk_umpa_equations_there");
    d->maps = spk_device_find(d->device, "spk_umpa_maps_there");
    if (d->reference && d->sums && d->process && d->equations && d->maps)
        return spk_used_device_create(&d->used, "umpa", (uint32_t)d->there.count, d->device, d->stream,
                                      error);
    return spk_fail(error, SPK_UNSUPPORTED, "the device's module lacks the operations of recon_umpa");
}

/* Copies up what never changes, and waits. */
static spk_status send_constants(struct spk_umpa_device *d, const struct spk_umpa_config *config,
                                 struct spk_error *error)
{
    struct {
        float mean[UMPA_TAPS_MAX], spline[2 * UMPA_THERE_SPLINE + 1];
        struct spk_spline_noise noise;
    } host;
    const struct umpa_there *t = &d->there;
    const size_t offsets = t->stepping ? (size_t)t->count * sizeof *d->offset : 0;
    const struct {
        const void *to, *from;
        size_t bytes;
    } copy[] = {
        {t->mean_taps, host.mean, (2 * (size_t)t->mean_radius + 1) * sizeof(float)},
        {t->search_taps, t->search_weight + UMPA_THERE_RADIUS_MAX - t->radius,
         (2 * (size_t)t->radius + 1) * sizeof(float)},
        {t->spline_taps, host.spline, sizeof host.spline},
        {t->spline, &host.noise, sizeof host.noise},
        {t->offset_x, d->offset, offsets},
        {t->offset_y, d->offset + t->count, offsets},
    };
    spk_window_gauss(host.mean, (float)config->mean_width, UMPA_TAPS_MAX / 2);
    spline_taps(host.spline);
    spk_spline_noise_fill(&host.noise);
    spk_status status = SPK_OK;
    for (size_t i = 0; i < sizeof copy / sizeof copy[0] && !status; i++)
        status =
            spk_stream_copy(d->stream, (void *)(uintptr_t)copy[i].to, copy[i].from, copy[i].bytes, error);
    spk_status waited = spk_stream_wait(d->stream, status ? NULL : error); /* `host` must stay as long */
    return status ? status : waited;
}

static spk_status create_global(struct spk_umpa_device *d, struct spk_error *error)
{
    spk_status status = spk_event_create(d->device, &d->over, error);
    if (status || d->there.window > 0)
        return status;
    status = spk_global_device_create(&d->global, (unsigned)d->there.height, (unsigned)d->there.width,
                                      d->device, d->stream, error);
    if (status)
        return status;
    d->there.deviation = spk_global_device_deviation(d->global);
    return spk_global_device_settle(d->global, d->there.normal[0], error);
}

/* Passes of the windows' refinement; 0: whole shifts alone. */
static int passes_of(const struct spk_umpa_config *config)
{
    return config->refine != SPK_UMPA_NONE ? (int)config->passes : 0;
}

/* UMPA's own means are for maps of whole shifts; where a refinement follows, a start is all that the search is for. */
static bool wants_parity(const struct umpa_there *t)
{
    return t->window > 0 && t->refine == 0;
}

spk_status spk_umpa_device_create(struct spk_umpa_device **out, const struct spk_umpa_config *config,
                                  uint32_t count, uint32_t height, uint32_t width, bool half,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error)
{
    *out = NULL;
    if (height > SPK_DEVICE_HEIGHT_MAX)
        return spk_fail(error, SPK_UNSUPPORTED, "maps of %u rows: a device takes at most %d", height,
                        (int)SPK_DEVICE_HEIGHT_MAX);
    struct spk_umpa_device *d = calloc(1, sizeof *d);
    if (!d)
        return spk_fail(error, SPK_NOMEM, "no memory");
    float mean[UMPA_TAPS_MAX];
    d->device = device;
    d->stream = stream;
    d->there = (struct umpa_there){.count = (int)count,
                                   .height = (int)height,
                                   .width = (int)width,
                                   .shift = (int)config->max_shift,
                                   .window = (int)config->window,
                                   .refine = passes_of(config),
                                   .dark_field = config->dark_field};
    d->there.parity = wants_parity(&d->there);
    d->kept.rolling = config->rolling;
    d->there.mean_radius = (int)spk_window_gauss(mean, (float)config->mean_width, UMPA_TAPS_MAX / 2);
    spk_status status = take_options(d, config, error);
    status = status ? status : find_operations(d, error);
    status = status ? status : allocate(d, half, error);
    status = status ? status : send_constants(d, config, error);
    status = status ? status : create_global(d, error);
    d->whole = config->refine == SPK_UMPA_GLOBAL;
    d->quality = config->quality;
    d->deadline_ms = config->deadline_ms;
    if (status)
        spk_umpa_device_destroy(&d);
    *out = d;
    return status;
}

void spk_umpa_device_destroy(struct spk_umpa_device **address)
{
    struct spk_umpa_device *d = *address;
    if (!d)
        return;
    spk_global_device_destroy(&d->global);
    spk_event_destroy(&d->over);
    spk_device_release(d->device, &d->memory);
    spk_used_device_destroy(&d->used);
    free(d->offset);
    free(d);
    *address = NULL;
}

static spk_status use_frames(struct spk_umpa_device *d, const struct spk_stack *reference,
                             const struct spk_stack *sample, struct spk_error *error)
{
    bool changed;
    spk_status status = spk_used_device_choose(&d->used, d->there.used, reference, sample, &changed, error);
    d->there.used_here = d->used.here;
    d->there.used_count = d->used.count;
    if (!changed)
        return status;
    d->sums_stale = true;
    umpa_device_kept_forget(&d->kept);
    return status;
}

static spk_status check_stack(const struct spk_umpa_device *d, const struct spk_stack *stack,
                              const char *what, struct spk_error *error)
{
    const struct umpa_there *t = &d->there;
    if ((int)stack->count != t->count || (int)stack->height != t->height || (int)stack->width != t->width)
        return spk_fail(error, SPK_INVALID, "the %s is %u x %u x %u, expected %d x %d x %d", what,
                        stack->count, stack->height, stack->width, t->count, t->height, t->width);
    return SPK_OK;
}

static struct umpa_planes planes_of(const struct spk_stack *stack)
{
    return (struct umpa_planes){stack->data, stack->half};
}

static spk_status prepare_reference(struct spk_umpa_device *d, struct spk_error *error)
{
    spk_status status = spk_stream_run(d->stream, d->reference, &d->there, error);
    d->reference_stale = status != SPK_OK;
    d->sums_stale = true;
    umpa_device_kept_forget(&d->kept);
    return status;
}

spk_status spk_umpa_device_reference(struct spk_umpa_device *d, const struct spk_stack *reference,
                                     struct spk_error *error)
{
    d->has_reference = false;
    spk_status status = check_stack(d, reference, "reference", error);
    status = status ? status : use_frames(d, reference, NULL, error);
    if (status)
        return status;
    d->reference_stack = reference;
    d->there.reference = planes_of(reference);
    d->there.present = reference->present;
    d->there.reference_mask = reference->mask;
    status = prepare_reference(d, error);
    d->has_reference = !status;
    return status;
}

/* What this stack may take, 0 = all it wants, and how many iterations that is, by what the last one took; the device counts the time
 * itself, but what need not be queued costs nothing. */
static unsigned plan(struct spk_umpa_device *d, int64_t *allowance)
{
    const int64_t now = spk_clock_monotonic_ns(), between = now - d->started_ns;
    const bool known = d->started_ns && spk_event_reached(d->over, NULL) == SPK_OK;
    const struct spk_global_times last =
        known ? spk_global_device_times(d->global) : (struct spk_global_times){0};
    if (d->started_ns)
        d->allowance_ns = spk_pace_allowance(d->allowance_ns, between, known ? between - last.all : 0);
    d->started_ns = now;
    *allowance = 0;
    const unsigned enough = spk_global_iterations((unsigned)d->there.used_count);
    if (d->quality == SPK_UMPA_BEST)
        return enough;
    *allowance = d->deadline_ms > 0 ? d->deadline_ms * 1000000 : d->allowance_ns;
    const int64_t left = *allowance - last.before;
    if (*allowance <= 0 || left < 2 * last.setup)
        return 0;
    const int64_t most = last.iteration > 0 ? 1 + left / last.iteration : enough;
    return most < enough ? (unsigned)most : enough;
}

static spk_status queue_equations(void *context, const uint32_t *idle, struct spk_error *error)
{
    struct spk_umpa_device *d = context;
    d->there.idle = idle;
    return spk_stream_run(d->stream, d->equations, &d->there, error);
}

static spk_status refine_field(struct spk_umpa_device *d, struct spk_error *error)
{
    const struct umpa_there *t = &d->there;
    struct spk_global_device_problem problem = {.param = {t->param[0], t->param[1], t->param[2], t->param[3]},
                                                .error = t->error,
                                                .normal = t->normal[0],
                                                .equations = queue_equations,
                                                .context = d,
                                                .origin = {1, 1, (float)t->guess_x, (float)t->guess_y},
                                                .range = (float)t->shift + UMPA_BEYOND_PX,
                                                .frames = (unsigned)t->used_count,
                                                .dark_field = t->dark_field,
                                                .deviation = true};
    problem.iterations = plan(d, &problem.allowance_ns);
    if (!d->whole || problem.iterations == 0)
        return spk_global_device_skip(d->global, error);
    return spk_global_device_run(d->global, &problem, error);
}

static void take_maps(struct umpa_there *t, const struct spk_umpa_maps *maps)
{
    t->transmission = maps->transmission;
    t->dark_field_map = maps->dark_field;
    t->displacement_x = maps->displacement_x;
    t->displacement_y = maps->displacement_y;
    t->quality_map = maps->quality;
    t->error_map = maps->error;
    t->valid = maps->valid;
}

/* Queues a stack whose sums of the reference are up to date. */
static spk_status run(struct spk_umpa_device *d, struct spk_error *error)
{
    const struct umpa_there *t = &d->there;
    spk_status status = d->global ? spk_global_device_clock(d->global, error) : SPK_OK;
    status = status ? status : spk_stream_run(d->stream, d->process, t, error);
    if (!status && d->global)
        status = refine_field(d, error);
    status = status ? status : spk_stream_run(d->stream, d->maps, t, error);
    return status ? status : spk_event_mark(d->over, d->stream, error);
}

spk_status spk_umpa_device_process(struct spk_umpa_device *d, const struct spk_stack *sample,
                                   const struct spk_umpa_maps *maps, struct spk_error *error)
{
    struct umpa_there *t = &d->there;
    if (!d->has_reference)
        return spk_fail(error, SPK_STATE, "no reference has been taken");
    spk_status status = check_stack(d, sample, "sample", error);
    status = status ? status : use_frames(d, d->reference_stack, sample, error);
    if (!status && d->reference_stale)
        status = prepare_reference(d, error);
    if (!status && d->sums_stale)
        status = spk_stream_run(d->stream, d->sums, t, error);
    if (status)
        return status;
    d->sums_stale = false;
    t->sample = planes_of(sample);
    t->sample_mask = sample->mask;
    take_maps(t, maps);
    umpa_device_kept_start(&d->kept, t, sample);
    status = run(d, error);
    return status ? status : umpa_device_kept_end(&d->kept, t, sample, d->stream, error);
}

void spk_umpa_device_set(struct spk_umpa_device *d, const struct spk_umpa_config *config)
{
    d->sums_stale |= d->there.dark_field != config->dark_field;
    d->there.dark_field = config->dark_field;
    if (d->there.refine != passes_of(config))
        umpa_device_kept_forget(&d->kept);
    d->there.refine = passes_of(config);
    d->whole = config->refine == SPK_UMPA_GLOBAL;
    d->quality = config->quality;
    d->deadline_ms = config->deadline_ms;
    d->reference_stale |= d->there.parity != wants_parity(&d->there);
    d->there.parity = wants_parity(&d->there);
}

const float *spk_umpa_device_cost(const struct spk_umpa_device *d)
{
    return d->there.cost;
}

struct spk_global_report spk_umpa_device_report(const struct spk_umpa_device *d)
{
    return d->global ? spk_global_device_report(d->global) : (struct spk_global_report){0};
}
