/* An instance of wavelet tracking: its memory and the order of its steps. */
#include "wxst_internal.h"

#include <stdlib.h>
#include <string.h>

spk_status spk_wxst_check(const struct spk_wxst_config *c, uint32_t count, struct spk_error *error)
{
    bool wxst = c->method == SPK_WXST_WXST;
    uint64_t side = wxst ? 2 * (uint64_t)c->neighbours + 1 : 1;
    if (c->neighbours < 0 || c->neighbours > SPK_WXST_NEIGHBOURS_MAX || c->levels < 0 ||
        c->levels > SPK_WXST_LEVELS_MAX || c->cut < 0 || c->cut > SPK_WXST_CUT_MAX || c->max_shift < 1 ||
        c->max_shift > SPK_WXST_SHIFT_MAX || c->fine < 2 || c->fine > SPK_WXST_FINE_MAX)
        return spk_fail(error, SPK_INVALID, "wxst: an option is out of range");
    if (count * side * side < 2)
        return spk_fail(error, SPK_INVALID,
                        "wxst: one frame has one value a pixel: set method wxst with neighbours, or take "
                        "more frames");
    if (count * side * side > SPK_WXST_VECTOR_MAX)
        return spk_fail(error, SPK_INVALID,
                        "wxst: vectors of %llu values, at most %d: take method wsvt or fewer neighbours",
                        (unsigned long long)(count * side * side), SPK_WXST_VECTOR_MAX);
    return SPK_OK;
}

static void *array(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : malloc(bytes);
}

/* Sizes of level p; the stride has room for the vectors of any number of frames. */
static void shape_level(struct spk_wxst *w, unsigned p, const struct wxst_form *form)
{
    struct wxst_level *level = &w->level[p];
    unsigned size = wxst_size_max((int)w->config.cut, p, w->ratio.count, 2 * w->neighbours + 1);
    level->height = form->height;
    level->width = form->width;
    level->limit = form->limit;
    level->range = form->range;
    level->stride = (size + WXST_LANES - 1) / WXST_LANES * WXST_LANES;
    w->stride_max = level->stride > w->stride_max ? level->stride : w->stride_max;
}

static bool allocate_level(struct spk_wxst *w, unsigned p)
{
    struct wxst_level *level = &w->level[p];
    size_t pixels = (size_t)level->height * level->width;
    level->vector = array(pixels, level->stride * sizeof(float));
    if (!p)
        return level->vector != NULL;
    level->reference = array(pixels, w->ratio.count * sizeof(float));
    level->sample = array(pixels, w->ratio.count * sizeof(float));
    level->shift_x = array(pixels, sizeof(int16_t));
    level->shift_y = array(pixels, sizeof(int16_t));
    return level->vector && level->reference && level->sample && level->shift_x && level->shift_y;
}

/* A worker holds a row of an image, or a vector and either its raw values twice or the distances of a search. */
static bool allocate_scratch(struct spk_wxst *w)
{
    unsigned side = 2 * w->level[w->levels].range + 1, fine = 2 * (unsigned)w->config.fine + 1;
    side = side > fine ? side : fine;
    size_t work = (size_t)side * side, vectors = 2 * (size_t)w->vector_size;
    w->scratch_size = w->stride_max + (work > vectors ? work : vectors);
    w->scratch_size = w->scratch_size > w->ratio.width + 5 ? w->scratch_size : w->ratio.width + 5;
    w->scratch_size = (w->scratch_size + 15) / 16 * 16;
    w->scratch = array(w->scratch_size, spk_team_size(w->ratio.team) * sizeof(float));
    w->made_of = array(w->ratio.count, sizeof *w->made_of);
    return w->scratch && w->made_of;
}

static spk_status build(struct spk_wxst *w, uint32_t count, uint32_t height, uint32_t width,
                        struct spk_team *team, struct spk_error *error)
{
    spk_status status = spk_ratio_create(&w->ratio, "wxst", count, height, width, w->neighbours, team, error);
    if (status)
        return status;
    bool good = true;
    struct wxst_form form[SPK_WXST_LEVELS_MAX + 1];
    w->vector_size = wxst_vector_length(w, count);
    wxst_forms(&w->config, height, width, form);
    for (unsigned p = 0; p <= w->levels; p++) {
        shape_level(w, p, &form[p]);
        good = good && allocate_level(w, p);
    }
    if (!good || !allocate_scratch(w))
        return spk_fail(error, SPK_NOMEM, "wxst: no memory for vectors of %u values at %u x %u pixels",
                        w->level[0].stride, height, width);
    return SPK_OK;
}

spk_status spk_wxst_create(struct spk_wxst **out, const struct spk_wxst_config *config, uint32_t count,
                           uint32_t height, uint32_t width, struct spk_team *team, struct spk_error *error)
{
    *out = NULL;
    spk_status status = spk_wxst_check(config, count, error);
    if (status)
        return status;
    struct spk_wxst *w = calloc(1, sizeof *w);
    if (!w)
        return spk_fail(error, SPK_NOMEM, "wxst: no memory");
    w->config = *config;
    w->neighbours = config->method == SPK_WXST_WXST ? (unsigned)config->neighbours : 0;
    w->levels = (unsigned)config->levels;
    status = build(w, count, height, width, team, error);
    if (status)
        spk_wxst_destroy(&w);
    *out = w;
    return status;
}

void spk_wxst_destroy(struct spk_wxst **address)
{
    struct spk_wxst *w = *address;
    if (!w)
        return;
    for (unsigned p = 0; p <= w->levels; p++) {
        free(w->level[p].reference);
        free(w->level[p].sample);
        free(w->level[p].vector);
        free(w->level[p].shift_x);
        free(w->level[p].shift_y);
    }
    spk_ratio_destroy(&w->ratio);
    free(w->made_of);
    free(w->scratch);
    free(w);
    *address = NULL;
}

spk_status spk_wxst_reference(struct spk_wxst *w, const struct spk_stack *reference, struct spk_error *error)
{
    spk_status status = spk_ratio_reference(&w->ratio, reference, error);
    if (status)
        return status;
    wxst_make_pyramid(w, false);
    wxst_make_vectors(w);
    return SPK_OK;
}

spk_status spk_wxst_process(struct spk_wxst *w, const struct spk_stack *sample,
                            const struct spk_tracker_maps *maps, struct spk_error *error)
{
    spk_status status = spk_ratio_sample(&w->ratio, sample, error);
    if (status)
        return status;
    w->maps = maps;
    wxst_make_pyramid(w, true);
    if (w->made_count != w->ratio.used_count ||
        memcmp(w->made_of, w->ratio.used, w->made_count * sizeof *w->made_of) != 0)
        wxst_make_vectors(w);
    wxst_search(w);
    spk_ratio_fill(&w->ratio, maps);
    return SPK_OK;
}
