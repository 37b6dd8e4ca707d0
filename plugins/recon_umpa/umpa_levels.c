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

static void measure_level(struct umpa_level *level, unsigned height, unsigned width, unsigned columns)
{
    level->height = height;
    level->width = width;
    level->found_pitch = spk_match_round(width, SPK_MATCH_STEP);
    level->columns = columns;
    level->panels = (width + columns - 1) / columns;
    level->pitch = columns + 2 * UMPA_MARGIN;
}

/* How far the windows of a level reach together. */
static unsigned reach_of(const struct spk_umpa *u, unsigned l)
{
    unsigned reach = 0;
    for (unsigned r = 0; r < UMPA_RUNGS; r++)
        reach += umpa_rung(l, r).radius;
    return u->config.window > 0 ? (unsigned)u->config.window : reach;
}

/* Floats of a level's equations. */
static size_t choose_rows(struct umpa_level *level, unsigned rows)
{
    level->rows = rows;
    /* an odd number of lines more: planes side by side fall on different sets of the caches */
    level->plane = level->pitch * (rows + 2 * level->reach) + 5 * SPK_MATCH_STEP;
    level->found_plane = level->found_pitch * rows;
    /* a window reads its rounded width, both margins and a step more */
    return level->panels * SPK_NORMALS * level->plane + level->pitch;
}

bool umpa_levels_create(struct spk_umpa *u)
{
    unsigned height = u->height, width = u->width;
    u->levels = u->config.window > 0 ? 1 : UMPA_LEVELS;
    for (unsigned l = 0; l < u->levels; l++) {
        measure_level(&u->equations[l], height, width, UMPA_PANEL);
        u->equations[l].reach = reach_of(u, l);
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    if (u->config.window > 0)
        return true;
    measure_level(&u->field, u->height, u->width, (unsigned)spk_match_round(u->width, SPK_MATCH_STEP));
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

/* Zeros above the image and beside it. */
static void clear_margins(const struct umpa_level *level)
{
    const size_t rows = level->rows + 2 * level->reach, last = level->panels - 1;
    const size_t end = UMPA_MARGIN + level->width - last * level->columns;
    for (size_t i = 0; i < level->panels * SPK_NORMALS; i++) {
        float *plane = level->normal + i * level->plane;
        memset(plane, 0, level->reach * level->pitch * sizeof *plane);
        for (size_t y = level->reach; y < rows; y++) {
            float *row = plane + y * level->pitch;
            if (i < SPK_NORMALS)
                memset(row, 0, UMPA_MARGIN * sizeof *row);
            if (i >= last * SPK_NORMALS)
                memset(row + end, 0, (level->pitch - end) * sizeof *row);
        }
    }
}

void umpa_levels_start(struct spk_umpa *u)
{
    for (unsigned l = 0; l < u->levels; l++)
        clear_margins(&u->equations[l]);
}

/* Copies a part of row y of a panel, all planes, to where the margin above or below repeats it. */
static void repeat_down(const struct umpa_level *level, unsigned y, float *from, unsigned count)
{
    const unsigned row = y % level->rows;
    const size_t turn = level->rows * level->pitch;
    if (row >= level->reach && row + level->reach < level->rows)
        return;
    for (unsigned q = 0; q < SPK_NORMALS; q++, from += level->plane) {
        if (row < level->reach)
            memcpy(from + turn, from, count * sizeof *from);
        if (row + level->reach >= level->rows)
            memcpy(from - turn, from, count * sizeof *from);
    }
}

/* Copies a part of a row, all planes, into the margin of the panel beside its own. */
static void repeat_beside(const struct umpa_level *level, unsigned y, const float *from, float *to,
                          unsigned count)
{
    for (unsigned q = 0; q < SPK_NORMALS; q++)
        memcpy(to + q * level->plane, from + q * level->plane, count * sizeof *to);
    repeat_down(level, y, to, count);
}

/* Columns x to x + count - 1 of row y, all of them in one panel. */
static void repeat_row(const struct umpa_level *level, unsigned y, unsigned x, unsigned count)
{
    const unsigned panel = x / level->columns, first = x % level->columns, last = first + count;
    const unsigned near = level->columns - level->reach; /* from here on the next panel sees it */
    const size_t next = SPK_NORMALS * level->plane;
    float *from = umpa_normal(level, 0, y, x);
    repeat_down(level, y, from, count);
    if (panel > 0 && first < level->reach)
        repeat_beside(level, y, from, from - next + level->columns,
                      (last < level->reach ? last : level->reach) - first);
    if (panel + 1 < level->panels && last > near) {
        const unsigned begin = first > near ? first : near;
        from += begin - first;
        repeat_beside(level, y, from, from + next - level->columns, last - begin);
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

/* Zeros in a row of the panel that begins at column x, its margins included. */
static void clear_row(const struct umpa_level *level, unsigned y, unsigned x)
{
    float *row = umpa_normal(level, 0, y, x) - UMPA_MARGIN;
    for (unsigned q = 0; q < SPK_NORMALS; q++)
        memset(row + q * level->plane, 0, level->pitch * sizeof *row);
    repeat_down(level, y, row, (unsigned)level->pitch);
}

void umpa_levels_end(struct spk_umpa *u, unsigned band)
{
    for (unsigned l = 0; l < u->levels; l++) {
        const struct umpa_level *level = &u->equations[l];
        const unsigned first = band * UMPA_BAND >> l, last = (band + 1) * UMPA_BAND >> l;
        for (unsigned y = first > level->height ? first : level->height; y < last; y++)
            for (unsigned x = 0; x < level->width; x += level->columns)
                clear_row(level, y, x);
    }
}
