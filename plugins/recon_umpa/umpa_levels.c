/* The memory of the equations: strips of the image as high as the passes of the refinement need together. */
#include "umpa_internal.h"

#include <speckled/num_memory.h>

#include <string.h>

/* The last pass looks back one band from where it is, `passes` times the lag behind the first. */
static unsigned strip_rows(const struct spk_umpa *u, unsigned passes)
{
    unsigned strip = (UMPA_LAG * passes + 1) * UMPA_BAND, whole = (umpa_bands(u) + 2) * UMPA_BAND;
    return strip < whole ? strip : whole;
}

static void measure_level(struct umpa_level *level, unsigned height, unsigned width)
{
    level->height = height;
    level->width = width;
    /* a pane's windows read its rounded width, both margins and a step more */
    level->found_pitch = spk_match_round(width, SPK_MATCH_STEP);
    level->pitch = level->found_pitch + 2 * UMPA_MARGIN + 2 * SPK_MATCH_STEP;
}

/* Floats of a level's equations. */
static size_t choose_rows(struct umpa_level *level, unsigned rows)
{
    level->rows = rows;
    /* an odd number of lines more: planes side by side fall on different sets of the caches */
    level->plane = level->pitch * (rows + 2 * UMPA_MARGIN) + 5 * SPK_MATCH_STEP;
    level->found_plane = level->found_pitch * rows;
    return SPK_NORMALS * level->plane + level->pitch;
}

bool umpa_levels_create(struct spk_umpa *u)
{
    unsigned height = u->height, width = u->width;
    u->levels = u->config.window > 0 ? 1 : UMPA_LEVELS;
    for (unsigned l = 0; l < u->levels; l++) {
        measure_level(&u->equations[l], height, width);
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    if (u->config.window > 0)
        return true;
    measure_level(&u->field, u->height, u->width);
    u->field_bytes = choose_rows(&u->field, u->height) * sizeof(float);
    u->field.normal = spk_zeros_create(u->field_bytes);
    return u->field.normal;
}

void umpa_levels_destroy(struct spk_umpa *u)
{
    spk_zeros_destroy(u->field.normal, u->field_bytes);
}

void umpa_levels_place(struct spk_umpa *u, struct spk_scratch_cut *cut, unsigned passes)
{
    const unsigned rows = strip_rows(u, passes);
    for (unsigned l = 0; l < u->levels; l++) {
        struct umpa_level *level = &u->equations[l];
        level->normal = spk_scratch_take(cut, choose_rows(level, rows >> l), sizeof *level->normal);
        if (l > 0)
            level->found =
                spk_scratch_take(cut, UMPA_RUNGS * 2 * PARAMS * level->found_plane, sizeof *level->found);
    }
}

/* Zeros above the image and beside it; what ends a row stands before the next one. */
static void clear_margins(const struct umpa_level *level)
{
    const size_t beside = level->pitch - level->width, rows = level->rows + 2 * UMPA_MARGIN;
    for (unsigned q = 0; q < SPK_NORMALS; q++) {
        float *plane = level->normal + q * level->plane;
        memset(plane, 0, UMPA_MARGIN * level->pitch * sizeof *plane);
        for (size_t y = UMPA_MARGIN; y < rows; y++)
            memset(plane + y * level->pitch - beside + UMPA_MARGIN, 0, beside * sizeof *plane);
        memset(plane + rows * level->pitch - beside + UMPA_MARGIN, 0, (beside - UMPA_MARGIN) * sizeof *plane);
    }
}

void umpa_levels_start(struct spk_umpa *u)
{
    for (unsigned l = 0; l < u->levels; l++)
        clear_margins(&u->equations[l]);
}

/* Copies a part of row y, all planes, to where the margin repeats it. */
static void repeat_row(const struct umpa_level *level, unsigned y, unsigned x, unsigned count)
{
    const unsigned row = y % level->rows;
    const size_t turn = level->rows * level->pitch;
    if (row >= UMPA_MARGIN && row + UMPA_MARGIN < level->rows)
        return;
    float *from = umpa_normal(level, 0, y, x);
    for (unsigned q = 0; q < SPK_NORMALS; q++, from += level->plane) {
        if (row < UMPA_MARGIN)
            memcpy(from + turn, from, count * sizeof *from);
        if (row + UMPA_MARGIN >= level->rows)
            memcpy(from - turn, from, count * sizeof *from);
    }
}

void umpa_levels_repeat(struct spk_umpa *u, unsigned x0, unsigned width, unsigned first, unsigned last)
{
    for (unsigned l = 0; l < u->levels; l++) {
        const struct umpa_level *level = &u->equations[l];
        const unsigned block = (1u << l) - 1;
        for (unsigned y = first >> l; y < (last + block) >> l; y++)
            repeat_row(level, y, x0 >> l, (width + block) >> l);
    }
}

void umpa_levels_end(struct spk_umpa *u, unsigned band)
{
    for (unsigned l = 0; l < u->levels; l++) {
        const struct umpa_level *level = &u->equations[l];
        const unsigned first = band * UMPA_BAND >> l, last = (band + 1) * UMPA_BAND >> l;
        for (unsigned y = first > level->height ? first : level->height; y < last; y++) {
            for (unsigned q = 0; q < SPK_NORMALS; q++)
                memset(umpa_normal(level, q, y, 0), 0, level->width * sizeof(float));
            repeat_row(level, y, 0, level->width);
        }
    }
}
