/* From corrected frames to what the network looks at: damaged pixels mended, beam and fluctuation of the source taken out. */
#include "internal.h"

#include <speckled/num_image.h>

#include <math.h>
#include <string.h>

struct load {
    struct spk_specklenet *net;
    const struct spk_stack *stack;
    float *to, *mean;
};

static void mend_row(float *to, const float *frame, const uint8_t *mask, float step, unsigned y,
                     unsigned height, unsigned width)
{
    for (unsigned x = 0; x < width; x++) {
        const float value = net_mended_px(frame, mask, step, (int)y, (int)x, (int)height, (int)width);
        to[x] = isfinite(value) ? value : x ? to[x - 1] : 0;
    }
}

static float raw_mean(const float *frame, const uint8_t *mask, size_t pixels)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < pixels; i++) {
        bool good = mask[i] && isfinite(frame[i]);
        sum += good ? (double)frame[i] : 0;
        count += good;
    }
    return count ? (float)(sum / (double)count) : 0;
}

static void load_frame(void *context, unsigned index, unsigned worker)
{
    (void)worker;
    const struct load *load = context;
    const struct spk_specklenet *net = load->net;
    unsigned position = net->position[index];
    const float *frame = load->stack->data + (size_t)position * net->height * net->width;
    float *to = load->to + index * net->plane;
    const float step = NET_STEP * raw_mean(frame, load->stack->mask, (size_t)net->height * net->width);
    double sum = 0;
    for (unsigned y = 0; y < net->h; y++) {
        float *row = to + (size_t)y * net->w;
        if (y < net->height)
            mend_row(row, frame, load->stack->mask, step, y, net->height, net->width);
        else
            memcpy(row, row - net->w, net->w * sizeof *row);
        for (unsigned x = net->width; x < net->w; x++)
            row[x] = row[net->width - 1];
        for (unsigned x = 0; x < net->w; x++)
            sum += (double)row[x];
    }
    load->mean[index] = (float)(sum / (double)net->plane);
}

/* Loads the frames in use; fails when one has no light. */
static spk_status load_stack(struct spk_specklenet *net, const struct spk_stack *stack, float *to,
                             float *mean, const char *what, struct spk_error *error)
{
    struct load load = {net, stack, to, mean};
    spk_team_run(net->team, load_frame, &load, net->frames);
    for (unsigned k = 0; k < net->frames; k++)
        if (!(mean[k] > 0) || !isfinite(mean[k]))
            return spk_fail(error, SPK_INVALID, "recon_specklenet: the mean of %s frame %u is %g: no light?",
                            what, net->position[k], (double)mean[k]);
    return SPK_OK;
}

static void mean_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    float *out = net->envelope + (size_t)y * net->w;
    memset(out, 0, net->w * sizeof *out);
    for (unsigned k = 0; k < net->frames; k++) {
        const float *in = net->r + k * net->plane + (size_t)y * net->w,
                    factor = 1 / (net->mean[k] * (float)net->frames);
        for (unsigned x = 0; x < net->w; x++)
            out[x] += factor * in[x];
    }
}

static void smooth_along(void *context, unsigned y, unsigned worker)
{
    struct spk_specklenet *net = context;
    const unsigned radius = net->gaussian_radius;
    float *row = net->envelope + (size_t)y * net->w, *line = net->scratch[worker];
    for (unsigned x = 0; x < net->w + 2 * radius; x++)
        line[x] = row[x < radius ? 0 : x - radius < net->w ? x - radius : net->w - 1];
    net->rows->taps(net->inverse + (size_t)y * net->w, line, net->gaussian, 2 * radius + 1, net->w);
}

static void smooth_down(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const unsigned radius = net->gaussian_radius;
    float *out = net->envelope + (size_t)y * net->w;
    memset(out, 0, net->w * sizeof *out);
    for (unsigned j = 0; j <= 2 * radius; j++) {
        unsigned at = y + j < radius ? 0 : y + j - radius < net->h ? y + j - radius : net->h - 1;
        const float *in = net->inverse + (size_t)at * net->w, weight = net->gaussian[j];
        for (unsigned x = 0; x < net->w; x++)
            out[x] += weight * in[x];
    }
}

/* Half resolution of reference frames, with their edges carried on by COARSE_RADIUS. */
static void halve_reference(void *context, unsigned k, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const unsigned h = net->h / 2, w = net->w / 2, pitch = w + 2 * COARSE_RADIUS;
    float *out = net->half_r + k * net->half_wide_plane;
    for (unsigned y = 0; y < h + 2 * COARSE_RADIUS; y++) {
        unsigned from = y < COARSE_RADIUS ? 0 : y - COARSE_RADIUS < h ? y - COARSE_RADIUS : h - 1;
        const float *in = net->r + k * net->plane + (size_t)2 * from * net->w;
        float *row = out + (size_t)y * pitch + COARSE_RADIUS;
        net->rows->halve(row, in, in + net->w, w);
        for (int x = 1; x <= COARSE_RADIUS; x++) {
            row[-x] = row[0];
            row[(int)w - 1 + x] = row[w - 1];
        }
    }
}

static void spline_of(float *image, unsigned h, unsigned w)
{
    for (unsigned y = 0; y < h; y++)
        spk_spline_prefilter(image + (size_t)y * w, w, 1, 1);
    spk_spline_prefilter(image, h, w, w);
}

static void flatten_frame(void *context, unsigned k, unsigned worker)
{
    struct spk_specklenet *net = context;
    const unsigned h = net->h / 2, w = net->w / 2;
    float *r = net->r + k * net->plane, *half = net->half_c + k * net->half_plane, factor = 1 / net->mean[k];
    for (size_t i = 0; i < net->plane; i++)
        r[i] = r[i] * factor * net->inverse[i] - 1;
    if (net->refinement)
        refinement_frame(net, k, r);
    halve_reference(net, k, worker);
    for (unsigned y = 0; y < h; y++)
        memcpy(half + (size_t)y * w,
               net->half_r + k * net->half_wide_plane +
                   (size_t)(y + COARSE_RADIUS) * (w + 2 * COARSE_RADIUS) + COARSE_RADIUS,
               w * sizeof *half);
    spline_of(half, h, w);
    spline_of(r, net->h, net->w);
}

spk_status normalise_reference(struct spk_specklenet *net, struct spk_error *error)
{
    spk_status status = load_stack(net, net->reference, net->r, net->mean, "reference", error);
    if (status)
        return status;
    spk_team_run(net->team, mean_row, net, net->h);
    spk_team_run(net->team, smooth_along, net, net->h);
    spk_team_run(net->team, smooth_down, net, net->h);
    for (size_t i = 0; i < net->plane; i++) {
        float value = net->envelope[i] > 1e-6f ? net->envelope[i] : 1e-6f;
        net->envelope[i] = value;
        net->inverse[i] = 1 / value;
    }
    spk_team_run(net->team, flatten_frame, net, net->frames);
    if (net->refinement)
        refinement_reference(net);
    return SPK_OK;
}

static void scale_frame(void *context, unsigned k, unsigned worker)
{
    (void)worker;
    struct spk_specklenet *net = context;
    const unsigned w = net->w / 2;
    float *s = net->s + k * net->plane, *q = net->q + k * net->plane;
    const float *sample_mean = net->mean + net->count;
    double ratio = 0;
    for (unsigned j = 0; j < net->frames; j++)
        ratio += (double)(sample_mean[j] / net->mean[j]);
    /* every frame gets the stack's mean transmission: fluctuation of the source is none of the sample's */
    const float factor = (float)(ratio / net->frames) / sample_mean[k];
    for (size_t i = 0; i < net->plane; i++) {
        s[i] *= factor;
        q[i] = s[i] * net->inverse[i] - 1;
    }
    for (unsigned y = 0; y < net->h / 2; y++) {
        const float *in = q + (size_t)2 * y * net->w;
        net->rows->halve(net->half_q + k * net->half_plane + (size_t)y * w, in, in + net->w, w);
    }
}

spk_status normalise_sample(struct spk_specklenet *net, const struct spk_stack *sample,
                            struct spk_error *error)
{
    spk_status status = load_stack(net, sample, net->s, net->mean + net->count, "sample", error);
    if (!status)
        spk_team_run(net->team, scale_frame, net, net->frames);
    return status;
}
