/* The memory of the equations: strips of the image as high as the passes of the refinement need together. */
#include "umpa_internal.h"

#include <speckled/num_memory.h>

#include <string.h>

enum { PASSES_MAX = 20, COLUMNS = 256 /* of a window's pane */ };

/* The last pass looks back one band from where it is, `passes` times the lag behind the first. */
static unsigned strip_rows(const struct spk_umpa *u, unsigned passes)
{
    unsigned strip = (UMPA_LAG * passes + 1) * UMPA_BAND, whole = (umpa_bands(u) + 2) * UMPA_BAND;
    return strip < whole ? strip : whole;
}

static bool create_level(struct umpa_level *level, unsigned height, unsigned width, unsigned rows, bool found)
{
    level->height = height;
    level->width = width;
    level->rows = rows;
    /* a pane's windows read its rounded width, both margins and a step more */
    level->found_pitch = spk_match_round(width, COLUMNS);
    level->pitch = level->found_pitch + 2 * UMPA_MARGIN + 2 * SPK_MATCH_STEP;
    level->plane = level->pitch * (rows + 2 * UMPA_MARGIN);
    level->bytes = (SPK_NORMALS * level->plane + level->pitch) * sizeof(float);
    level->normal = spk_zeros_create(level->bytes);
    if (!found)
        return level->normal;
    level->found_plane = level->found_pitch * rows;
    level->found_bytes = (size_t)UMPA_RUNGS * 2 * PARAMS * level->found_plane * sizeof(float);
    level->found = spk_zeros_create(level->found_bytes);
    return level->normal && level->found;
}

bool umpa_levels_create(struct spk_umpa *u)
{
    unsigned height = u->height, width = u->width, rows = strip_rows(u, PASSES_MAX);
    const bool fixed = u->config.window > 0;
    for (unsigned l = 0; l < (fixed ? 1 : UMPA_LEVELS); l++) {
        if (!create_level(&u->equations[l], height, width, rows >> l, l > 0))
            return false;
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    return fixed || create_level(&u->field, u->height, u->width, u->height, false);
}

static void destroy_level(struct umpa_level *level)
{
    spk_zeros_destroy(level->normal, level->bytes);
    spk_zeros_destroy(level->found, level->found_bytes);
}

void umpa_levels_destroy(struct spk_umpa *u)
{
    for (unsigned l = 0; l < UMPA_LEVELS; l++)
        destroy_level(&u->equations[l]);
    destroy_level(&u->field);
}

void umpa_levels_start(struct spk_umpa *u, unsigned passes)
{
    const unsigned rows = strip_rows(u, passes < PASSES_MAX ? passes : PASSES_MAX);
    for (unsigned l = 0; l < UMPA_LEVELS && u->equations[l].normal; l++) {
        struct umpa_level *level = &u->equations[l];
        level->rows = rows >> l;
        for (unsigned q = 0; q < SPK_NORMALS; q++) /* above the image */
            memset(level->normal + q * level->plane, 0, UMPA_MARGIN * level->pitch * sizeof(float));
    }
}

/* Copies a part of row y, all planes, to where the margin repeats it. */
static void repeat_row(const struct umpa_level *level, unsigned y, unsigned x, unsigned count)
{
    const unsigned row = y % level->rows;
    const size_t turn = level->rows * level->pitch;
    for (unsigned q = 0; q < SPK_NORMALS; q++) {
        float *from = umpa_normal(level, q, y, x);
        if (row < UMPA_MARGIN)
            memcpy(from + turn, from, count * sizeof *from);
        if (row + UMPA_MARGIN >= level->rows)
            memcpy(from - turn, from, count * sizeof *from);
    }
}

void umpa_levels_repeat(struct spk_umpa *u, unsigned x0, unsigned width, unsigned first, unsigned last)
{
    for (unsigned l = 0; l < UMPA_LEVELS && u->equations[l].normal; l++) {
        const struct umpa_level *level = &u->equations[l];
        const unsigned block = (1u << l) - 1;
        for (unsigned y = first >> l; y < (last + block) >> l; y++)
            repeat_row(level, y, x0 >> l, (width + block) >> l);
    }
}

void umpa_levels_end(struct spk_umpa *u, unsigned band)
{
    for (unsigned l = 0; l < UMPA_LEVELS && u->equations[l].normal; l++) {
        const struct umpa_level *level = &u->equations[l];
        const unsigned first = band * UMPA_BAND >> l, last = (band + 1) * UMPA_BAND >> l;
        for (unsigned y = first > level->height ? first : level->height; y < last; y++) {
            for (unsigned q = 0; q < SPK_NORMALS; q++)
                memset(umpa_normal(level, q, y, 0), 0, level->width * sizeof(float));
            repeat_row(level, y, 0, level->width);
        }
    }
}
