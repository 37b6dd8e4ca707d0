/* The refinement of the whole field from the network's map (speckled/num_global.h): the frames as its equations look at them, the noise in
 * them, and the equations of each pixel, linearised where it stands. */
#include "internal.h"

#include <speckled/num_global_px.h>
#include <speckled/num_image.h>
#include <speckled/num_match_px.h>
#include <speckled/num_memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELL = SPK_MATCH_STEP, /* pixels of a row that are interpolated together */
    MIRROR = 2,            /* rows and columns of coefficients continued beyond the image */
    BESIDE = 32,           /* columns of a row of coefficients beside the image, read and not looked at */
    BLOCKS_ACROSS = 8,     /* that noise is looked for in, at most */
    BLOCKS = BLOCKS_ACROSS * BLOCKS_ACROSS,
};

#define LIMIT 1000.0f  /* in units of the reference's mean: anything larger is no measurement */
#define FARTHEST 12.0f /* px: the search, and what the fits may add */

/* How noisy a stack is: noise variance over intensity, and the mean-square difference of neighbouring pixels. */
struct grain {
    float noise, slope;
};

struct refinement {
    const struct spk_match_ops *ops;
    struct spk_global *global;
    struct spk_spline_noise spline;
    size_t c_pitch;        /* of a row of one frame's coefficients, margin included */
    uint16_t *coefficient; /* [height + 2 MIRROR][count][c_pitch] splines of reference - envelope, binary16 */
    size_t coefficient_bytes;
    uint8_t *reference_usable; /* [height][w] */
    const uint8_t *usable;     /* [height][width] of the sample in work */
    struct grain reference, sample;
    float *block[2];     /* [count][BLOCKS] of a stack's noise and slope */
    unsigned *frame;     /* [count] 0, 1, 2 ... */
    size_t pitch, plane; /* of the equations */
    float *normal;       /* [SPK_NORMALS][plane] */
    size_t normal_bytes;
    float *moment; /* [workers][MOMENT_ROWS][pitch] */
};

/* Rows of a worker's memory: the moments, the envelope where they come from, with its slopes and what counts, and the moments of pixels
 * whose displacements share a whole part. */
enum {
    ROW_MEAN = SPK_MOMENTS,
    ROW_MEAN_X,
    ROW_MEAN_Y,
    ROW_WEIGHT,
    ROW_TRIAL,
    MOMENT_ROWS = ROW_TRIAL + SPK_MOMENTS
};

static uint16_t *coefficients_at(const struct spk_specklenet *net, int y)
{
    const struct refinement *r = net->refinement;
    return r->coefficient + (size_t)(y + MIRROR) * net->count * r->c_pitch + BESIDE;
}

spk_status refinement_create(struct spk_specklenet *net, struct spk_error *error)
{
    struct refinement *r = calloc(1, sizeof *r);
    if (!r)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    net->refinement = r;
    r->ops = spk_match_ops(net->isa);
    spk_status status = spk_global_create(&r->global, net->height, net->width, net->team, net->isa, error);
    if (status)
        return status;
    spk_spline_noise_fill(&r->spline);
    const size_t count = net->count, pixels = (size_t)net->height * net->w;
    r->c_pitch = spk_match_round(net->width + 2 * BESIDE, CELL);
    r->coefficient_bytes = (net->height + 2 * MIRROR) * count * r->c_pitch * sizeof *r->coefficient;
    r->pitch = spk_match_round(net->width, CELL) + CELL;
    r->plane = r->pitch * net->height + CELL;
    r->normal_bytes = SPK_NORMALS * r->plane * sizeof(float);
    r->coefficient = spk_zeros_create(r->coefficient_bytes);
    r->normal = spk_zeros_create(r->normal_bytes);
    r->reference_usable = malloc(pixels);
    r->frame = malloc(count * sizeof *r->frame);
    r->moment = calloc(spk_team_size(net->team) * MOMENT_ROWS * r->pitch, sizeof(float));
    for (unsigned i = 0; i < 2; i++)
        r->block[i] = malloc(count * BLOCKS * sizeof(float));
    net->error = calloc(pixels, sizeof(float));
    if (!r->coefficient || !r->normal || !r->reference_usable || !r->frame || !r->moment || !r->block[0] ||
        !r->block[1] || !net->error)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory to refine %u frames of %u x %u pixels",
                        net->count, net->height, net->width);
    for (unsigned k = 0; k < net->count; k++)
        r->frame[k] = k;
    return SPK_OK;
}

void refinement_destroy(struct spk_specklenet *net)
{
    struct refinement *r = net->refinement;
    if (!r)
        return;
    spk_global_destroy(&r->global);
    spk_zeros_destroy(r->coefficient, r->coefficient_bytes);
    spk_zeros_destroy(r->normal, r->normal_bytes);
    free(r->reference_usable);
    free(r->frame);
    free(r->moment);
    free(r->block[0]);
    free(r->block[1]);
    free(net->error);
    free(r);
    net->refinement = NULL;
}

/* --- noise ------------------------------------------------------------------------------------------------------------------- */

/* Blocks of one frame, in units of the reference's mean. */
static void look_at_frame(struct spk_specklenet *net, unsigned k, const float *frame, const uint8_t *mask)
{
    struct refinement *r = net->refinement;
    float *noise = r->block[0] + (size_t)k * BLOCKS, *slope = r->block[1] + (size_t)k * BLOCKS;
    unsigned across = net->width / SPK_NOISE_BLOCK, down = net->height / SPK_NOISE_BLOCK;
    across = across < BLOCKS_ACROSS ? across : BLOCKS_ACROSS;
    down = down < BLOCKS_ACROSS ? down : BLOCKS_ACROSS;
    for (unsigned i = 0; i < BLOCKS; i++)
        noise[i] = slope[i] = NAN;
    for (unsigned j = 0; j < down; j++)
        for (unsigned i = 0; i < across; i++) {
            const size_t y = (size_t)j * (net->height - SPK_NOISE_BLOCK) / (down > 1 ? down - 1 : 1);
            const size_t x = (size_t)i * (net->width - SPK_NOISE_BLOCK) / (across > 1 ? across - 1 : 1);
            const float *block = frame + y * net->w + x;
            const uint8_t *counts = mask + y * net->width + x;
            noise[j * BLOCKS_ACROSS + i] = spk_noise_block(block, counts, net->w, net->width, LIMIT);
            slope[j * BLOCKS_ACROSS + i] = spk_slope_block(block, counts, net->w, net->width, LIMIT);
        }
}

static float typical(float *value, size_t count, float otherwise)
{
    size_t numbers = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(value[i]))
            value[numbers++] = value[i];
    return numbers ? spk_median(value, numbers) : otherwise;
}

/* Of the frames that were looked at. Without a single block there is what the network's fits leave. */
static struct grain grain_of(struct spk_specklenet *net)
{
    struct refinement *r = net->refinement;
    const size_t count = (size_t)net->frames * BLOCKS;
    return (struct grain){.noise = typical(r->block[0], count, net->prior.noise),
                          .slope = typical(r->block[1], count, 0)};
}

static void sample_task(void *context, unsigned k, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    look_at_frame(net, k, net->s + k * net->plane, net->refinement->usable);
}

/* --- the reference ----------------------------------------------------------------------------------------------------------- */

void refinement_frame(struct spk_specklenet *net, unsigned k, const float *contrast)
{
    struct refinement *r = net->refinement;
    const unsigned width = net->width, height = net->height;
    float *image = net->warped + k * net->wide_plane; /* free until frames are warped */
    for (size_t i = 0; i < net->plane; i++)
        image[i] = net->envelope[i] * (1 + contrast[i]);
    look_at_frame(net, k, image, net->reference->mask);
    for (size_t i = 0; i < net->plane; i++)
        image[i] -= net->envelope[i];
    for (unsigned y = 0; y < height; y++)
        spk_spline_prefilter(image + (size_t)y * net->w, width, 1, 1);
    spk_spline_prefilter(image, height, net->w, width);
    const size_t pitch = r->c_pitch;
    for (int y = -MIRROR; y < (int)height + MIRROR; y++) {
        const int from = net_mirrored_px(y, (int)height - 1);
        uint16_t *row = coefficients_at(net, y) + k * pitch;
        r->ops->to_half(row, image + (size_t)from * net->w, width);
        for (int x = 1; x <= MIRROR; x++) {
            row[-x] = row[x];
            row[(int)width - 1 + x] = row[(int)width - 1 - x];
        }
    }
}

void refinement_reference(struct spk_specklenet *net)
{
    struct refinement *r = net->refinement;
    for (unsigned y = 0; y < net->height; y++)
        memcpy(r->reference_usable + (size_t)y * net->w, net->reference->mask + (size_t)y * net->width,
               net->width);
    r->reference = grain_of(net);
}

/* --- equations --------------------------------------------------------------------------------------------------------------- */

/* The displacements of the pixels of a cell, their whole parts and fractions. */
struct cell_places {
    float left[CELL], top[CELL], x[CELL], y[CELL];
    float member[CELL]; /* of the whole part in work */
    bool done[CELL];
};

static void place_cell(const struct spk_specklenet *net, unsigned column, unsigned y, struct cell_places *at)
{
    for (unsigned i = 0; i < CELL; i++) {
        const unsigned x = column + i < net->width ? column + i : net->width - 1;
        const size_t pixel = (size_t)y * net->w + x;
        at->left[i] = floorf(-net->flow_x[pixel]);
        at->top[i] = floorf(-net->flow_y[pixel]);
        at->x[i] = -net->flow_x[pixel] - at->left[i];
        at->y[i] = -net->flow_y[pixel] - at->top[i];
        at->done[i] = false;
    }
}

static int clamped(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Interpolates the pixels that share a whole part with pixel `first`, and any others along with them. Pixels whose place is outside the
 * reference have no weight later, so theirs may come from anywhere. */
static void moments_of_part(const struct spk_specklenet *net, unsigned column, unsigned y,
                            struct cell_places *at, unsigned first, float *moment)
{
    const struct refinement *r = net->refinement;
    const float left = at->left[first], top = at->top[first];
    float *const out = moment + column, *const trial = moment + ROW_TRIAL * r->pitch;
    struct spk_moments_cell cell = {.rows = 1,
                                    .frames = net->frames,
                                    .frame_pitch = r->c_pitch,
                                    .frame = r->frame,
                                    .fraction_x = at->x,
                                    .fraction_y = at->y,
                                    .sample = net->s + (size_t)y * net->w + column,
                                    .scale = 1,
                                    .sample_row = net->w,
                                    .sample_frame = net->plane,
                                    .out = first ? trial : out,
                                    .pitch = r->pitch,
                                    .plane = r->pitch};
    const int x = clamped((int)column + (int)left - 1, -BESIDE, (int)net->width);
    for (int row = 0; row < 4; row++)
        cell.line[row] = coefficients_at(net, clamped((int)y + (int)top - 1 + row, -MIRROR,
                                                      (int)net->height + MIRROR - 1)) +
                         x;
    r->ops->moments_each(&cell);
    for (unsigned i = 0; i < CELL; i++) {
        const bool member = at->left[i] == left && at->top[i] == top;
        at->member[i] = member ? 1 : 0;
        at->done[i] |= member;
    }
    for (unsigned q = 0; first && q < SPK_MOMENTS; q++)
        r->ops->choose(out + q * r->pitch, trial + q * r->pitch, at->member, 1, CELL);
}

static void moments_row(const struct spk_specklenet *net, unsigned y, float *moment)
{
    struct cell_places at;
    for (unsigned column = 0; column < net->width; column += CELL) {
        place_cell(net, column, y, &at);
        for (unsigned i = 0; i < CELL; i++)
            if (!at.done[i])
                moments_of_part(net, column, y, &at, i, moment);
    }
}

static void equations_row(const struct spk_specklenet *net, unsigned y, float *moment)
{
    const struct refinement *r = net->refinement;
    const size_t at = (size_t)y * net->w, pitch = r->pitch;
    moments_row(net, y, moment);
    struct spk_mean_row local = {.mean = net->envelope,
                                 .reference_usable = r->reference_usable,
                                 .usable = r->usable + (size_t)y * net->width,
                                 .pitch = net->w,
                                 .width = net->width,
                                 .height = net->height,
                                 .y = y,
                                 .count = net->width,
                                 .ux = net->flow_x + at,
                                 .uy = net->flow_y + at,
                                 .value = moment + ROW_MEAN * pitch,
                                 .slope_x = moment + ROW_MEAN_X * pitch,
                                 .slope_y = moment + ROW_MEAN_Y * pitch,
                                 .weight = moment + ROW_WEIGHT * pitch};
    r->ops->mean(&local);
    const struct spk_normal_row normal = {.moment = moment,
                                          .moment_plane = pitch,
                                          .width = net->width,
                                          .transmission = net->t + at,
                                          .contrast = net->d + at,
                                          .ux = net->flow_x + at,
                                          .uy = net->flow_y + at,
                                          .at_x = net->flow_x + at,
                                          .at_y = net->flow_y + at,
                                          .mean = local.value,
                                          .mean_x = local.slope_x,
                                          .mean_y = local.slope_y,
                                          .weight = local.weight,
                                          .origin = {1, 1, 0, 0},
                                          .noise_reference = r->reference.noise,
                                          .noise_sample = r->sample.noise,
                                          .spline = &r->spline,
                                          .out = r->normal + y * pitch,
                                          .plane = r->plane};
    r->ops->normal(&normal);
}

static void equations(void *context, unsigned first, unsigned last, unsigned worker)
{
    const struct spk_specklenet *net = context;
    const struct refinement *r = net->refinement;
    for (unsigned y = first; y < last; y++)
        equations_row(net, y, r->moment + worker * MOMENT_ROWS * r->pitch);
}

/* --- the field --------------------------------------------------------------------------------------------------------------- */

/* From D to the K = T D that the refinement knows, with the network's errors to trust it by. */
static void enter_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const size_t at = (size_t)y * net->w;
    predicted_errors(net, y, net->error + at);
    for (unsigned x = 0; x < net->width; x++) {
        const float ux = net->flow_x[at + x], uy = net->flow_y[at + x];
        net->d[at + x] *= net->t[at + x];
        net->flow_x[at + x] = net_clamp_px(ux, -FARTHEST, FARTHEST);
        net->flow_y[at + x] = net_clamp_px(uy, -FARTHEST, FARTHEST);
    }
}

struct leaving {
    struct spk_specklenet *net;
    float scale; /* of errors */
};

static void leave_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct leaving *leaving = context;
    struct spk_specklenet *net = leaving->net;
    const size_t at = (size_t)y * net->w;
    for (unsigned x = 0; x < net->width; x++) {
        net->d[at + x] = spk_match_dark_field_px(net->t[at + x], net->d[at + x]);
        net->error[at + x] *= leaving->scale;
    }
}

void refine_field(struct spk_specklenet *net, const struct spk_stack *sample)
{
    struct refinement *r = net->refinement;
    r->usable = sample->mask;
    spk_team_run(net->team, sample_task, net, net->frames);
    r->sample = grain_of(net);
    spk_team_run(net->team, enter_row, net, net->height);
    const struct spk_global_problem problem = {
        .pitch = net->w,
        .param = {net->t, net->d, net->flow_x, net->flow_y},
        .error = net->error,
        .normal = r->normal,
        .normal_pitch = r->pitch,
        .plane = r->plane,
        .equations = equations,
        .context = net,
        .origin = {1, 1, 0, 0},
        .range = FARTHEST,
        .frames = net->frames,
        .dark_field = true,
        .deadline_ns = net->config.quality == SPK_SPECKLENET_BEST
                           ? 0
                           : spk_pace_deadline_ns(&net->pace, net->config.deadline_ms),
        .deviation = true,
    };
    spk_global_run(r->global, &problem, &net->report);
    const float inflation = spk_inflation_px(r->reference.slope, r->reference.noise);
    const float scale = net->report.deviation ? spk_field_error_px(inflation) : 1;
    struct leaving leaving = {net, scale};
    spk_team_run(net->team, leave_row, &leaving, net->height);
}
