/* Pyramids of images and vectors of wavelet coefficients. */
#include "wxst_internal.h"
#include "wxst_px.h"

#include <speckled/num_ratio_px.h>

/* Bands added to those the cut leaves, by level: short vectors have nothing to spare, coarse images less than fine ones. */
static int added_bands(unsigned length, unsigned p)
{
    if (length > 150)
        return 0;
    return length > 50 ? (p < 2 ? 0 : p < 3 ? 1 : 2) : 2;
}

void wxst_plan(int cut, unsigned p, unsigned length, struct wavelet_plan *plan)
{
    wavelet_plan_make(plan, length, 1);
    wavelet_plan_make(plan, length, (int)plan->levels + 1 - cut + added_bands(length, p));
}

unsigned wxst_size_max(int cut, unsigned p, unsigned frames, unsigned side)
{
    unsigned size = 0;
    for (unsigned i = 1; i <= frames; i++) {
        struct wavelet_plan plan;
        wxst_plan(cut, p, i * side * side, &plan);
        size = plan.size > size ? plan.size : size;
    }
    return size;
}

void wxst_forms(const struct spk_wxst_config *config, unsigned height, unsigned width, struct wxst_form *form)
{
    unsigned shift = (unsigned)config->max_shift;
    for (unsigned p = 0; p <= (unsigned)config->levels; p++) {
        form[p].height = p ? wavelet_image_extent(form[p - 1].height) : height;
        form[p].width = p ? wavelet_image_extent(form[p - 1].width) : width;
        form[p].limit = (shift + (1u << p) - 1) >> p;
        form[p].range = p == (unsigned)config->levels ? form[p].limit : (unsigned)config->fine;
    }
}

static void pyramid_frame(void *context, unsigned task, unsigned worker)
{
    struct spk_wxst *w = context;
    const struct spk_ratio *ratio = &w->ratio;
    bool sample = w->current_is_sample;
    unsigned frame = ratio->used[task];
    const float *image =
        (sample ? ratio->sample : ratio->reference)->data + (size_t)frame * ratio->height * ratio->width;
    float level = sample ? ratio->sample_level : ratio->reference_level;
    for (unsigned p = 1; p <= w->levels; p++) {
        const struct wxst_level *in = &w->level[p - 1], *out = &w->level[p];
        float *to = (sample ? out->sample : out->reference) + (size_t)frame * out->height * out->width;
        for (unsigned y = 0; y < out->height; y++)
            wavelet_image_row(image, in->height, in->width, level, y, to + (size_t)y * out->width,
                              wxst_scratch(w, worker));
        image = to;
        level = 0;
    }
}

void wxst_make_pyramid(struct spk_wxst *w, bool sample)
{
    w->current_is_sample = sample;
    spk_team_run(w->ratio.team, pyramid_frame, w, w->ratio.used_count);
}

/* The pixel's values, frame by frame, in each row by row. */
static void gather(const struct spk_wxst *w, unsigned p, bool sample, unsigned x, unsigned y, float *value)
{
    const struct wxst_level *level = &w->level[p];
    const struct spk_ratio *ratio = &w->ratio;
    const float *images =
        p ? sample ? level->sample : level->reference : (sample ? ratio->sample : ratio->reference)->data;
    float mean = p ? 0 : sample ? ratio->sample_level : ratio->reference_level;
    int rim = (int)w->neighbours;
    for (unsigned i = 0; i < ratio->used_count; i++) {
        const float *image = images + (size_t)ratio->used[i] * level->height * level->width;
        for (int dy = -rim; dy <= rim; dy++) {
            const float *line = image + (size_t)wavelet_mirror((int)y + dy, level->height) * level->width;
            for (int dx = -rim; dx <= rim; dx++)
                *value++ = spk_ratio_value_px(line[wavelet_mirror((int)x + dx, level->width)], mean);
        }
    }
}

/* Mean 0 and deviation 1; false where the values differ by rounding only. */
static bool standardise(float *value, unsigned length)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < length; i++)
        sum += (double)value[i];
    float mean = (float)(sum / length);
    for (unsigned i = 0; i < length; i++) {
        value[i] -= mean;
        squares += (double)value[i] * (double)value[i];
    }
    float scale;
    if (!wxst_scale_px(squares, mean, length, &scale))
        return false;
    for (unsigned i = 0; i < length; i++)
        value[i] *= scale;
    return true;
}

void wxst_vector(const struct spk_wxst *w, unsigned p, bool sample, unsigned x, unsigned y, float *out,
                 float *work)
{
    const struct wxst_level *level = &w->level[p];
    gather(w, p, sample, x, y, work);
    if (standardise(work, level->plan.length))
        wavelet_plan_run(&level->plan, work, out, work + w->vector_size);
    else
        out[0] = NAN;
    for (unsigned i = level->plan.size; i < level->stride; i++)
        out[i] = 0;
}

static void vectors_row(void *context, unsigned task, unsigned worker)
{
    struct spk_wxst *w = context;
    const struct wxst_level *level = &w->level[w->current];
    for (unsigned x = 0; x < level->width; x++)
        wxst_vector(w, w->current, false, x, task,
                    level->vector + ((size_t)task * level->width + x) * level->stride,
                    wxst_scratch(w, worker));
}

void wxst_make_vectors(struct spk_wxst *w)
{
    w->made_count = w->ratio.used_count;
    for (unsigned i = 0; i < w->made_count; i++)
        w->made_of[i] = w->ratio.used[i];
    for (w->current = 0; w->current <= w->levels; w->current++) {
        struct wxst_level *level = &w->level[w->current];
        wxst_plan((int)w->config.cut, w->current, wxst_vector_length(w, w->made_count), &level->plan);
        spk_team_run(w->ratio.team, vectors_row, w, level->height);
    }
}
