/* Windows over the normal equations: a 4x4 solve of their average gives the step of a pixel.
 *
 * With window 0 the window grows over a ladder of sizes as long as each larger one agrees with all smaller ones within
 * their errors (intersection of confidence intervals: Goldenshluger and Nemirovski 1997; Katkovnik, IEEE Trans. Signal
 * Process. 47, 2567 (1999)), for T, K and u apart. Wide windows see blocks of 2 x 2 or 4 x 4 pixels, whose own size is part
 * of theirs, and their estimates are interpolated between the blocks. */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

/* Cells whose pixels moved farther than this (px, root mean square) are linearised again: what a step leaves undone goes with its
 * square. */
#define MOVED 0.1f
/* Where the search has found a steep displacement, whose start is less good. */
#define MOVED_STEEP 0.06f

enum {
    PANE_COLUMNS = UMPA_PANEL,
    PANE_ROWS = 16,
    STRIP =
        128, /* columns of a pane that are solved together: all that their rungs find stays in the first cache */
    FOUND = 2 * PARAMS,
    FOUND_PLANES = FOUND * STRIP
};

struct pane {
    struct spk_umpa *u;
    const struct umpa_level *level;
    unsigned x0, y0, width, height, columns; /* columns: width, rounded */
    size_t pitch, plane;                     /* of smoothed equations: the output and a margin that shrinks */
    float *smooth[2];                        /* [SPK_NORMALS][plane], in turn */
    float *row;                              /* of the widest window */
    unsigned strip;                          /* where in the pane the columns from x0 on begin */
    float *found;   /* [rungs][2][FOUND][STRIP] estimates of two rows and their errors */
    float *taken;   /* [FOUND][STRIP] those that the row takes */
    float *step;    /* [PARAMS][STRIP] where steps go that nobody takes */
    float *steps;   /* [STRIP] sums of the squares of steps down the cells */
    float *line[2]; /* a row of a coarser level */
};

enum { LINE = STRIP + 2 * SPK_MATCH_STEP };

static size_t lay_out(struct pane *p, float *memory)
{
    p->pitch = PANE_COLUMNS + 2 * SPK_MATCH_STEP;
    p->plane = p->pitch * (PANE_ROWS + 2 * UMPA_RUNG_RADIUS_MAX);
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&p->smooth[0], SPK_NORMALS * p->plane},
        {&p->smooth[1], SPK_NORMALS * p->plane + p->pitch},
        {&p->row, 2 * p->pitch},
        {&p->found, SPK_CLIMB_RUNGS * 2 * FOUND_PLANES},
        {&p->taken, FOUND_PLANES},
        {&p->step, PARAMS * STRIP},
        {&p->steps, STRIP},
        {&p->line[0], LINE},
        {&p->line[1], LINE},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = memory ? memory + total : NULL;
        total += spk_match_round(part[i].count, SPK_MATCH_STEP);
    }
    return total;
}

size_t umpa_windows_scratch(const struct spk_umpa *u)
{
    (void)u;
    struct pane pane;
    return lay_out(&pane, NULL);
}

/* Averages plane q with a separable kernel; `from` is that of the level itself or of the window before, `margin` is left round the
 * pane afterwards. */
static void average(const struct pane *p, const float *from, size_t from_pitch, float *to,
                    const float *weight, unsigned radius, unsigned margin)
{
    const unsigned columns = (unsigned)spk_match_round(p->columns + 2 * margin, SPK_MATCH_STEP);
    p->u->ops->window(to, p->pitch, from, from_pitch, weight, 2 * radius + 1, p->height + 2 * margin, columns,
                      p->row);
}

/* Row y of the pane in equations that have `margin` round it. */
static const float *pane_row(const struct pane *p, const float *smooth, unsigned margin, unsigned y)
{
    return smooth + (y + margin) * p->pitch + margin + p->strip;
}

static void solve_row(const struct pane *p, const float *normal, float spread, float *found, size_t plane)
{
    struct spk_solve_row row = {.normal = normal,
                                .plane = p->plane,
                                .width = p->columns,
                                .dark_field = p->u->config.dark_field,
                                .spread = spread,
                                .frames = (float)p->u->used_count,
                                .estimate = found,
                                .error = found + PARAMS * plane,
                                .out_plane = plane};
    p->u->ops->solve(&row);
}

static void store_quality(const struct pane *p, const float *normal, unsigned y)
{
    const struct spk_umpa *u = p->u;
    size_t at = (size_t)(p->y0 + y) * u->width + p->x0;
    struct spk_correlation_row row = {.normal = normal,
                                      .plane = p->plane,
                                      .width = p->width,
                                      .contrast = u->param[PARAM_K] + at,
                                      .quality = u->quality + at};
    u->ops->correlation(&row);
}

/* Where a row of a coarser level is kept for the pixels under it. */
static float *found_row(const struct pane *p, unsigned rung, unsigned y)
{
    const struct umpa_level *level = p->level;
    return level->found + rung * FOUND * level->found_plane + (p->y0 + y) % level->rows * level->found_pitch +
           p->x0;
}

/* Rungs of a level to smooth for: up to the last that counts, and all of the first level's, where the quality is taken from. */
static unsigned rungs_to_make(const struct spk_umpa *u, unsigned level)
{
    unsigned rungs = UMPA_RUNGS;
    while (level && rungs && !umpa_rung_counts(level, rungs - 1, u->used_count))
        rungs--;
    return rungs;
}

/* Smooths the equations of a level under a pane for each of its rungs, one after the other; margin[r] is left round the pane by
 * rung r. Returns how many there are. Plane by plane, each is still in the first cache for the next rung. */
static unsigned smooth_level(const struct pane *p, unsigned l, unsigned margin[UMPA_RUNGS])
{
    const unsigned rungs = rungs_to_make(p->u, l);
    float weight[UMPA_RUNGS][2 * UMPA_RUNG_RADIUS_MAX + 1];
    unsigned left = 0;
    for (unsigned r = rungs; r-- > 0;) {
        margin[r] = left;
        left += umpa_rung(l, r).radius;
        umpa_binomial(weight[r], umpa_rung(l, r).radius);
    }
    for (unsigned q = 0; q < SPK_NORMALS; q++) {
        const float *from = umpa_normal(p->level, q, p->y0, p->x0) - left * (p->level->pitch + 1);
        size_t pitch = p->level->pitch;
        for (unsigned r = 0; r < rungs; r++) {
            float *to = p->smooth[r] + q * p->plane;
            average(p, from, pitch, to, weight[r], umpa_rung(l, r).radius, margin[r]);
            from = to;
            pitch = p->pitch;
        }
    }
    return rungs;
}

/* What the rungs of a coarser level find under a pane, kept for the pixels under it. */
static void find_level(const struct pane *p, unsigned l)
{
    unsigned margin[UMPA_RUNGS];
    const unsigned rungs = smooth_level(p, l, margin);
    for (unsigned r = 0; r < rungs; r++) {
        const float spread = umpa_rung_spread(l, r);
        for (unsigned y = 0; y < p->height && umpa_rung_counts(l, r, p->u->used_count); y++)
            solve_row(p, pane_row(p, p->smooth[r], margin[r], y), spread, found_row(p, r, y),
                      p->level->found_plane);
    }
}

/* A row of one quantity of a coarser level, as wide as the pixels under it. */
static void stretch_row(const struct pane *p, unsigned l, const float *row, float *out)
{
    const struct spk_match_ops *ops = p->u->ops;
    const int x0 = (int)(p->x0 >> l), right = (int)p->u->equations[l].width - x0;
    unsigned count = p->columns >> l;
    const float *from = row + x0;
    if (x0 == 0 || right <= (int)count) { /* nothing lies beyond the ends of the image */
        const unsigned wide = right < (int)count ? (unsigned)right : count;
        float *line = p->line[0] + SPK_MATCH_STEP;
        memcpy(line, from, wide * sizeof *line);
        line[-1] = x0 > 0 ? from[-1] : from[0];
        for (unsigned x = wide; x <= count; x++)
            line[x] = (int)x < right ? from[x] : from[right - 1];
        from = line;
    }
    for (unsigned i = l; i > 1; i--, count *= 2) {
        float *to = p->line[i & 1 ? 0 : 1] + SPK_MATCH_STEP;
        ops->stretch(to, from, count);
        to[-1] = 0.75f * from[-1] + 0.25f * from[0];
        to[2 * count] = 0.75f * from[count] + 0.25f * from[count - 1];
        from = to;
    }
    ops->stretch(out, from, count);
}

/* Marks the cells that end with row y of the pane where the pixels moved too far for their linearisation. */
static void mark_moved(const struct pane *p, unsigned y)
{
    struct spk_umpa *u = p->u;
    const unsigned rows = y % UMPA_CELL_ROWS + 1;
    uint8_t *mark =
        u->moved + (p->y0 + y) / UMPA_CELL_ROWS * umpa_cells_across(u) + p->x0 / UMPA_CELL_COLUMNS;
    for (unsigned x = 0; x < p->width; x += UMPA_CELL_COLUMNS, mark++) {
        const unsigned rest = p->width - x, columns = rest < UMPA_CELL_COLUMNS ? rest : UMPA_CELL_COLUMNS;
        const float far = umpa_cell(u, (int)(p->x0 + x), (int)(p->y0 + y))->steep ? MOVED_STEEP : MOVED;
        float sum = 0;
        for (unsigned i = 0; i < columns; i++)
            sum += p->steps[x + i];
        if (sum > far * far * (float)(rows * columns))
            *mark = 1;
    }
}

/* Moves row y of the pane to where `taken` says. */
static void store_step(const struct pane *p, unsigned y, const float *taken)
{
    struct spk_umpa *u = p->u;
    const size_t to = (size_t)(p->y0 + y) * u->width + p->x0;
    float *trial = p->step;
    const bool take = u->config.refine != SPK_UMPA_NONE;
    struct spk_step_row row = {.best = taken,
                               .deviation = taken + PARAMS * STRIP,
                               .plane = STRIP,
                               .origin = {1, 1, (float)u->guess_x, (float)u->guess_y},
                               .range = (float)u->search_shift + UMPA_BEYOND_PX,
                               .width = p->width,
                               .transmission = take ? u->param[PARAM_T] + to : trial,
                               .contrast = take ? u->param[PARAM_K] + to : trial + STRIP,
                               .x = take ? u->param[PARAM_X] + to : trial + 2 * STRIP,
                               .y = take ? u->param[PARAM_Y] + to : trial + 3 * STRIP,
                               .error = u->error + to,
                               .squares = p->steps,
                               .first = y % UMPA_CELL_ROWS == 0};
    u->ops->step(&row);
    if (take && ((y + 1) % UMPA_CELL_ROWS == 0 || y + 1 == p->height))
        mark_moved(p, y);
}

/* A rung of the ladder that is looked at, and what it found: at a row, or in two rows of a coarser level round it. */
struct rung {
    unsigned level, rung;
    float spread;
    float *found; /* [2][FOUND][STRIP] */
    int row[2];   /* of the coarser level, those that are there */
};

static unsigned list_rungs(const struct pane *p, struct rung list[SPK_CLIMB_RUNGS])
{
    unsigned count = 0;
    for (unsigned l = 0; l < UMPA_LEVELS; l++)
        for (unsigned r = 0; r < UMPA_RUNGS; r++)
            if (umpa_rung_counts(l, r, p->u->used_count)) {
                list[count] = (struct rung){
                    l, r, umpa_rung_spread(l, r), p->found + count * 2 * FOUND_PLANES, {-1, -1}};
                count++;
            }
    return count;
}

/* One of the two rows of a coarser level round a row, even and odd ones in turn. */
static const float *coarse_row(const struct pane *p, struct rung *rung, int row)
{
    const struct umpa_level *level = &p->u->equations[rung->level];
    const float *from = level->found + rung->rung * FOUND * level->found_plane +
                        (unsigned)row % level->rows * level->found_pitch;
    float *found = rung->found + (row & 1) * FOUND_PLANES;
    for (unsigned i = 0; rung->row[row & 1] != row && i < FOUND; i++)
        stretch_row(p, rung->level, from + i * level->found_plane, found + i * STRIP);
    rung->row[row & 1] = row;
    return found;
}

/* What a rung found at row y, for the n-th place of the ladder. */
static void find_row(const struct pane *p, struct rung *rung, const unsigned margin[UMPA_RUNGS], unsigned y,
                     struct spk_climb_row *climb, unsigned n)
{
    if (rung->level == 0) {
        solve_row(p, pane_row(p, p->smooth[rung->rung], margin[rung->rung], y), rung->spread, rung->found,
                  STRIP);
        climb->found[n] = climb->next[n] = rung->found;
        climb->share[n] = 0;
        return;
    }
    const float block = (float)(1u << rung->level), at = ((float)(p->y0 + y) + 0.5f) / block - 0.5f;
    const int last = (int)p->u->equations[rung->level].height - 1, above = (int)floorf(at);
    climb->found[n] = coarse_row(p, rung, above > 0 ? above : 0);
    climb->next[n] = coarse_row(p, rung, above < last ? above + 1 : last);
    climb->share[n] = at - (float)above;
}

/* Some columns of a pane whose equations are smooth, row by row. */
static void climb_strip(const struct pane *p, const unsigned margin[UMPA_RUNGS], unsigned last)
{
    struct rung list[SPK_CLIMB_RUNGS];
    struct spk_climb_row climb = {.rungs = list_rungs(p, list),
                                  .plane = STRIP,
                                  .width = p->columns,
                                  .best = p->taken,
                                  .deviation = p->taken + PARAMS * STRIP};
    for (unsigned y = 0; y < p->height; y++) {
        for (unsigned n = 0; n < climb.rungs; n++)
            find_row(p, &list[n], margin, y, &climb, n);
        p->u->ops->climb(&climb);
        store_quality(p, pane_row(p, p->smooth[last], margin[last], y), y);
        store_step(p, y, p->taken);
    }
}

/* The columns of a pane from `strip` on. */
static struct pane take_strip(const struct pane *p, unsigned strip)
{
    struct pane part = *p;
    part.strip = strip;
    part.x0 += strip;
    part.width = p->width - strip < STRIP ? p->width - strip : STRIP;
    part.columns = (unsigned)spk_match_round(part.width, SPK_MATCH_STEP);
    return part;
}

static void adaptive_window(const struct pane *p)
{
    unsigned margin[UMPA_RUNGS];
    const unsigned last = smooth_level(p, 0, margin) - 1;
    for (unsigned strip = 0; strip < p->width; strip += STRIP) {
        const struct pane part = take_strip(p, strip);
        climb_strip(&part, margin, last);
    }
}

static void fixed_window(const struct pane *p)
{
    unsigned radius = (unsigned)p->u->config.window;
    float weight[2 * SPK_UMPA_WINDOW_MAX + 1], sum = 0;
    spk_window_hamming(weight, radius);
    for (unsigned j = 0; j <= 2 * radius; j++)
        sum += weight[j] * weight[j];
    for (unsigned q = 0; q < SPK_NORMALS; q++)
        average(p, umpa_normal(p->level, q, p->y0, p->x0) - radius * (p->level->pitch + 1), p->level->pitch,
                p->smooth[0] + q * p->plane, weight, radius, 0);
    for (unsigned strip = 0; strip < p->width; strip += STRIP) {
        const struct pane part = take_strip(p, strip);
        for (unsigned y = 0; y < p->height; y++) {
            const float *normal = pane_row(&part, p->smooth[0], 0, y);
            solve_row(&part, normal, sum * sum, p->taken, STRIP);
            store_quality(&part, normal, y);
            store_step(&part, y, p->taken);
        }
    }
}

/* Whether a cell has moved under columns `left` to `right` - 1 of a pane, or of a coarser level so near that what they find is
 * stretched over it. */
static bool sees_moved(const struct pane *p, unsigned l, unsigned left, unsigned right)
{
    const struct spk_umpa *u = p->u;
    const unsigned near = l ? 1u << l : 0, across = umpa_cells_across(u), down = umpa_cells_down(u);
    const unsigned x0 = left << l, x1 = (right << l) + near, y0 = p->y0 << l,
                   y1 = ((p->y0 + p->height) << l) + near;
    const unsigned first = (x0 > near ? x0 - near : 0) / UMPA_CELL_COLUMNS;
    const unsigned last = (x1 + UMPA_CELL_COLUMNS - 1) / UMPA_CELL_COLUMNS;
    for (unsigned y = (y0 > near ? y0 - near : 0) / UMPA_CELL_ROWS; y < down && y * UMPA_CELL_ROWS < y1; y++)
        if (memchr(u->moved + y * across + first, 1, (last < across ? last : across) - first))
            return true;
    return false;
}

static void take_marks(const struct pane *p)
{
    struct spk_umpa *u = p->u;
    const unsigned across = umpa_cells_across(u);
    const unsigned count = (p->width + UMPA_CELL_COLUMNS - 1) / UMPA_CELL_COLUMNS;
    for (unsigned y = p->y0 / UMPA_CELL_ROWS; y * UMPA_CELL_ROWS < p->y0 + p->height; y++)
        memset(u->moved + y * across + p->x0 / UMPA_CELL_COLUMNS, 0, count);
}

struct windows {
    struct spk_umpa *u;
    unsigned level, band;
};

static unsigned panes_across(const struct umpa_level *level)
{
    return (level->width + PANE_COLUMNS - 1) / PANE_COLUMNS;
}

/* Rows of a band, in panes of no more than PANE_ROWS. */
static unsigned pane_rows(unsigned level)
{
    const unsigned rows = (unsigned)UMPA_BAND >> level;
    return rows < PANE_ROWS ? rows : PANE_ROWS;
}

static void solve_pane(struct pane *p, unsigned level)
{
    p->columns = (unsigned)spk_match_round(p->width, SPK_MATCH_STEP);
    if (level > 0) {
        find_level(p, level);
        return;
    }
    take_marks(p);
    if (p->u->config.window > 0)
        fixed_window(p);
    else
        adaptive_window(p);
}

/* Blocks of a pane that see cells which have moved are solved together where they lie side by side. */
static void window_pane(void *context, unsigned task, unsigned worker)
{
    enum { BLOCK = 4 * SPK_MATCH_STEP }; /* columns; fewer are less than their margins */
    const struct windows *w = context;
    struct pane pane = {.u = w->u, .level = &w->u->equations[w->level]}, *p = &pane;
    lay_out(p, umpa_scratch(w->u, worker));
    const unsigned rows = pane_rows(w->level), down = ((unsigned)UMPA_BAND >> w->level) / rows;
    const unsigned left =
        task / down * PANE_COLUMNS; /* the next pane is the one below, with rows in common */
    p->y0 = (w->band * UMPA_BAND >> w->level) + task % down * rows;
    if (p->y0 >= p->level->height)
        return;
    const unsigned rest = p->level->width - left, below = p->level->height - p->y0;
    const unsigned right = left + (rest < PANE_COLUMNS ? rest : PANE_COLUMNS);
    p->height = below < rows ? below : rows;
    for (unsigned x = left, end; x < right; x = end + BLOCK) {
        for (end = x; end < right && sees_moved(p, w->level, end, end + BLOCK);)
            end += BLOCK;
        if (end == x)
            continue;
        p->x0 = x;
        p->width = (end < right ? end : right) - x;
        solve_pane(p, w->level);
    }
}

static void run_level(struct spk_umpa *u, unsigned level, unsigned band)
{
    struct windows windows = {u, level, band};
    spk_team_run(u->team, window_pane, &windows,
                 panes_across(&u->equations[level]) * ((unsigned)UMPA_BAND >> level) / pane_rows(level));
}

void umpa_windows_wide(struct spk_umpa *u, unsigned band)
{
    for (unsigned l = UMPA_LEVELS; u->config.window == 0 && l-- > 1;)
        run_level(u, l, band);
}

void umpa_windows(struct spk_umpa *u, unsigned band)
{
    run_level(u, 0, band);
}
