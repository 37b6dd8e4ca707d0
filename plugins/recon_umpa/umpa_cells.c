/* The coarse half of the search: cells of 16 x 8 pixels find their own shift. Where a cell's pixels all move alike, and the
 * displacement goes on evenly to the cells round it, that is all a refinement needs to start from; elsewhere it tells which shifts are worth a look. */
#include "umpa_tile.h"

#include <math.h>
#include <string.h>

enum {
    CELL_COLUMNS = UMPA_CELL_COLUMNS,
    CELL_ROWS = UMPA_CELL_ROWS,
    STRIP_COLUMNS = 128,
    STRIP_ROWS = 32,
    ACROSS = STRIP_COLUMNS / CELL_COLUMNS,
    FRAMES = UMPA_SEARCH_FRAMES,
    QUICK = 3,       /* frames that are enough where there is little noise */
    EQUATIONS = 256, /* of a cell that make a start as good as a pixel's own */
};

/* Cells whose displacements lie on a line to less (px) have no edge between them, */
#define AGREE 0.75f
/* where the line is no steeper (px from cell to cell). */
#define STEEP 2.0f
/* From where on (px from cell to cell) it is called steep. */
#define LEVEL 0.35f
/* How far (px) the shift that a cell at the rim found, of which not all is in view, may be from what the cells inside say. */
#define NEAR 1.5f
/* To which (px) the noise lets few frames know a cell's displacement where they are enough. */
#define FINE 0.015f
/* What a single displacement may leave of a cell's modulation beside the noise. */
#define REST 0.1f

struct strip {
    struct spk_umpa *u;
    int x0, y0;
    unsigned frame[FRAMES], frames;
    unsigned r_pitch, r_rows, rows;         /* of the reference block; rows of the sample block */
    bool whole;                             /* every pixel counts */
    float *s, *r;                           /* [row][frames][pitch], mean taken out */
    float *mean;                            /* under the reference block */
    float *s_sum, *ss_sum, *q_sum, *qq_sum; /* over frames */
    float *product;                         /* [UMPA_CHUNK][STRIP_COLUMNS] */
    float *line, *s_box, *ss_box, *q_box, *qq_box;
    float *level;
    float *score; /* [shifts down][shifts across][ACROSS] */
};

/* What is known of the cells of a band, side by side. */
struct band {
    unsigned y;
    float best[ACROSS], cross[ACROSS], q[ACROSS];
    unsigned row[ACROSS], column[ACROSS];
};

static size_t lay_out(struct strip *p, const struct spk_umpa *u, float *memory)
{
    const unsigned span = 2 * u->search_shift + 1;
    p->r_pitch = (unsigned)spk_match_round(STRIP_COLUMNS + span - 1, SPK_MATCH_STEP);
    p->r_rows = STRIP_ROWS + span - 1;
    const size_t s_plane = STRIP_ROWS * STRIP_COLUMNS, r_plane = (size_t)p->r_rows * p->r_pitch;
    const size_t line = p->r_pitch + CELL_COLUMNS + 2 * SPK_MATCH_STEP;
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&p->s, FRAMES * s_plane},
        {&p->r, FRAMES * r_plane},
        {&p->mean, r_plane},
        {&p->s_sum, s_plane},
        {&p->ss_sum, s_plane},
        {&p->q_sum, r_plane},
        {&p->qq_sum, r_plane},
        {&p->product, UMPA_CHUNK * STRIP_COLUMNS},
        {&p->line, line},
        {&p->s_box, line},
        {&p->ss_box, line},
        {&p->q_box, line},
        {&p->qq_box, line},
        {&p->level, line},
        {&p->score, (size_t)span * span * ACROSS},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = memory ? memory + total : NULL;
        total += spk_match_round(part[i].count + 4 * SPK_MATCH_STEP, SPK_MATCH_STEP);
    }
    return total;
}

size_t umpa_cells_scratch(const struct spk_umpa *u)
{
    struct strip strip;
    return lay_out(&strip, u, NULL);
}

/* The variance of a displacement is that of the noise over the squared slopes of the pattern, summed up over a cell. */
static bool few_are_enough(const struct spk_umpa *u)
{
    const float noise = u->noise_sample + u->noise_reference;
    const float pattern = u->slope_reference - 2 * u->noise_reference;
    return noise < FINE * FINE * pattern * (QUICK * CELL_ROWS * CELL_COLUMNS);
}

/* `best` starts from no less than can be had: what the whole field keeps of its start would hang on the order of the frames. */
static bool in_haste(const struct spk_umpa *u)
{
    return u->config.quality == SPK_UMPA_LIVE;
}

static void choose_frames(struct strip *p)
{
    const unsigned all = umpa_search_frames(p->u);
    p->frames = in_haste(p->u) && all > QUICK && few_are_enough(p->u) ? QUICK : all;
    for (unsigned i = 0; i < p->frames; i++)
        p->frame[i] = umpa_search_frame(p->u, p->frames < all ? i * (all - 1) / (QUICK - 1) : i);
}

static void pack_strip(struct strip *p)
{
    struct spk_umpa *u = p->u;
    const int shift = (int)u->search_shift;
    struct umpa_block s = {.stack = u->sample,
                           .frame = p->frame,
                           .frames = p->frames,
                           .x0 = p->x0,
                           .y0 = p->y0,
                           .rows = p->rows,
                           .columns = STRIP_COLUMNS,
                           .pitch = STRIP_COLUMNS,
                           .base = p->level,
                           .line = p->line,
                           .value = p->s};
    struct umpa_block r = {.stack = u->reference,
                           .frame = p->frame,
                           .frames = p->frames,
                           .x0 = p->x0 - shift - u->guess_x,
                           .y0 = p->y0 - shift - u->guess_y,
                           .rows = p->rows + 2 * u->search_shift,
                           .columns = STRIP_COLUMNS + 2 * u->search_shift,
                           .pitch = p->r_pitch,
                           .base = p->mean,
                           .base_pitch = p->r_pitch,
                           .mean = p->mean,
                           .line = p->line,
                           .value = p->r};
    for (unsigned x = 0; x < STRIP_COLUMNS; x++)
        p->level[x] = u->level;
    umpa_pack_mean(u, p->mean, p->r_pitch, r.rows, r.x0, r.y0);
    const bool s_whole = umpa_pack(u, &s), r_whole = umpa_pack(u, &r);
    p->whole = s_whole && r_whole;
    for (unsigned y = 0; y < s.rows; y++)
        u->ops->frames(p->s_sum + y * STRIP_COLUMNS, p->ss_sum + y * STRIP_COLUMNS,
                       p->s + (size_t)y * p->frames * STRIP_COLUMNS, STRIP_COLUMNS, p->frames, STRIP_COLUMNS);
    for (unsigned y = 0; y < r.rows; y++)
        u->ops->frames(p->q_sum + y * p->r_pitch, p->qq_sum + y * p->r_pitch,
                       p->r + (size_t)y * p->frames * p->r_pitch, p->r_pitch, p->frames, p->r_pitch);
}

/* out[x] = sum of a plane over a cell that begins at x. */
static void box_row(const struct strip *p, float *out, const float *plane, size_t pitch, unsigned width)
{
    float one[CELL_COLUMNS];
    for (unsigned i = 0; i < CELL_COLUMNS; i++)
        one[i] = 1;
    p->u->ops->taps(p->line, plane, pitch, one, CELL_ROWS, (unsigned)pitch);
    memset(p->line + pitch, 0, (CELL_COLUMNS + SPK_MATCH_STEP) * sizeof *p->line);
    p->u->ops->taps(out, p->line, 1, one, CELL_COLUMNS, width);
}

static float sum_cell(const float *from)
{
    float part[4] = {0};
    for (unsigned i = 0; i < CELL_COLUMNS; i += 4)
        for (unsigned l = 0; l < 4; l++)
            part[l] += from[i + l];
    return part[0] + part[1] + (part[2] + part[3]);
}

/* A few shifts of one row, each cell for itself: s = T + K q, mean taken out. */
static void score_cells(const struct strip *p, struct band *b, unsigned row, unsigned first, unsigned shifts)
{
    const float share = 1 / (float)(p->frames * CELL_ROWS * CELL_COLUMNS);
    float *score = p->score + ((size_t)row * (2 * p->u->search_shift + 1) + first) * ACROSS;
    for (unsigned j = 0; j < shifts; j++, score += ACROSS)
        for (unsigned c = 0; c < ACROSS; c++) {
            const unsigned at = c * CELL_COLUMNS;
            const float q = p->q_box[first + j + at], mean = q * share,
                        rest = p->qq_box[first + j + at] - mean * q;
            const float cross = sum_cell(p->product + j * STRIP_COLUMNS + at) - mean * p->s_box[at];
            const bool fits = cross > 0 && rest > 0;
            score[c] = fits ? cross * cross / rest : 0;
            if (score[c] > b->best[c]) {
                b->best[c] = score[c];
                b->cross[c] = cross;
                b->q[c] = mean;
                b->row[c] = row;
                b->column[c] = first + j;
            }
        }
}

static void search_band(const struct strip *p, struct band *b)
{
    const struct spk_umpa *u = p->u;
    const unsigned span = 2 * u->search_shift + 1;
    memset(b->best, 0, sizeof b->best);
    box_row(p, p->s_box, p->s_sum + b->y * STRIP_COLUMNS, STRIP_COLUMNS, STRIP_COLUMNS);
    box_row(p, p->ss_box, p->ss_sum + b->y * STRIP_COLUMNS, STRIP_COLUMNS, STRIP_COLUMNS);
    for (unsigned row = 0; row < span; row++) {
        const size_t at = (size_t)(b->y + row) * p->r_pitch;
        box_row(p, p->q_box, p->q_sum + at, p->r_pitch, p->r_pitch);
        box_row(p, p->qq_box, p->qq_sum + at, p->r_pitch, p->r_pitch);
        for (unsigned first = 0; first < span; first += UMPA_CHUNK) {
            const unsigned shifts = span - first < UMPA_CHUNK ? span - first : UMPA_CHUNK;
            u->ops->cross(p->product, STRIP_COLUMNS, p->s + (size_t)b->y * p->frames * STRIP_COLUMNS,
                          STRIP_COLUMNS, p->r + p->frames * at + first, p->r_pitch, CELL_ROWS * p->frames,
                          STRIP_COLUMNS, shifts);
            score_cells(p, b, row, first, shifts);
        }
    }
}

/* The top of the parabola through three scores: how far from the middle, and how far above it is added to *peak. False when
 * the middle one is not the highest. */
static bool top(float before, float middle, float after, float *step, float *peak)
{
    const float rise = middle - before, fall = middle - after, curvature = rise + fall;
    if (!(rise >= 0 && fall >= 0 && curvature > 0))
        return false;
    *step = 0.5f * (rise - fall) / curvature;
    *peak += 0.25f * (rise - fall) * *step;
    return true;
}

/* Whether one displacement explains the cell, down to the noise. */
static bool is_explained(const struct strip *p, unsigned c, float mean, float peak, float k)
{
    const struct spk_umpa *u = p->u;
    const float count = (float)(p->frames * CELL_ROWS * CELL_COLUMNS), s = p->s_box[c * CELL_COLUMNS];
    const float whole = p->ss_box[c * CELL_COLUMNS] - s * s / count;
    const float noise =
        count * (u->noise_sample * (s / count + u->level) + u->noise_reference * k * k * mean);
    return whole - peak - noise < REST * whole;
}

static unsigned count_zeros(const uint8_t *mask, size_t pitch)
{
    unsigned zeros = 0;
    for (unsigned y = 0; y < CELL_ROWS; y++, mask += pitch)
        for (unsigned x = 0; x < CELL_COLUMNS; x++)
            zeros += mask[x] == 0;
    return zeros;
}

/* Where the pixels of a cell came from at one shift: the first column and row of the reference. */
struct origin {
    int left, up;
};

static struct origin origin_of(const struct spk_umpa *u, int x, int y, unsigned row, unsigned column)
{
    const int shift = (int)u->search_shift;
    return (struct origin){x + (int)column - shift - u->guess_x, y + (int)row - shift - u->guess_y};
}

/* Whether all but a few pixels of a cell, and of the reference where it came from, count in every frame. */
static bool is_whole(const struct strip *p, int x, int y, struct origin from)
{
    enum { FEW = CELL_COLUMNS * CELL_ROWS / 8 };
    const struct spk_umpa *u = p->u;
    if (p->whole || u->stepping)
        return p->whole;
    if (from.left < 0 || from.left + CELL_COLUMNS > (int)u->width || from.up < 0 ||
        from.up + CELL_ROWS > (int)u->height)
        return false;
    const size_t at = (size_t)y * u->width + (size_t)x;
    return count_zeros(u->sample->mask + at, u->width) <= FEW &&
           count_zeros(u->reference_usable + (size_t)from.up * u->pitch + (size_t)from.left, u->pitch) <= FEW;
}

/* The score that a cell would have `right` and `down` of the shift it found, had the reference no end: as much for each pixel as
 * those inside have. */
static float score_beside(const struct strip *p, const float *score, struct origin from, int right, int down)
{
    const struct spk_umpa *u = p->u;
    const int left = from.left + right, up = from.up + down;
    const int beyond_x = left < 0 ? -left : left + CELL_COLUMNS - (int)u->width;
    const int beyond_y = up < 0 ? -up : up + CELL_ROWS - (int)u->height;
    const int columns = CELL_COLUMNS - (beyond_x > 0 ? beyond_x : 0);
    const int rows = CELL_ROWS - (beyond_y > 0 ? beyond_y : 0);
    const int span = 2 * (int)u->search_shift + 1;
    return score[(down * span + right) * ACROSS] * (CELL_COLUMNS * CELL_ROWS) / (float)(columns * rows);
}

static void settle_cell(const struct strip *p, const struct band *b, unsigned c)
{
    const struct spk_umpa *u = p->u;
    const int x = p->x0 + (int)(c * CELL_COLUMNS), y = p->y0 + (int)b->y, shift = (int)u->search_shift;
    const unsigned span = 2 * u->search_shift + 1, row = b->row[c], column = b->column[c];
    struct umpa_cell *cell = umpa_cell(u, x, y);
    *cell = (struct umpa_cell){.found = b->best[c] > 0, .row = (uint8_t)row, .column = (uint8_t)column};
    const bool inside = x + CELL_COLUMNS <= (int)u->width && y + CELL_ROWS <= (int)u->height;
    if (!cell->found || !inside || !row || !column || row + 1 == span || column + 1 == span)
        return;
    const float count = (float)(p->frames * CELL_ROWS * CELL_COLUMNS);
    const float *score = p->score + ((size_t)row * span + column) * ACROSS + c;
    const struct origin from = origin_of(u, x, y, row, column);
    const float mean =
        p->mean[(b->y + row + CELL_ROWS / 2) * p->r_pitch + c * CELL_COLUMNS + column + CELL_COLUMNS / 2];
    float step_x, step_y, peak = score[0];
    cell->single = is_whole(p, x, y, from) && count >= EQUATIONS && mean > 0 &&
                   top(score_beside(p, score, from, -1, 0), score[0], score_beside(p, score, from, 1, 0),
                       &step_x, &peak) &&
                   top(score_beside(p, score, from, 0, -1), score[0], score_beside(p, score, from, 0, 1),
                       &step_y, &peak);
    if (!cell->single)
        return;
    cell->x = (float)(shift - (int)column + u->guess_x) - step_x;
    cell->y = (float)(shift - (int)row + u->guess_y) - step_y;
    cell->k = b->best[c] / b->cross[c];
    cell->t = (p->s_box[c * CELL_COLUMNS] / count + u->level - cell->k * b->q[c]) / mean;
    cell->single = is_explained(p, c, mean, peak, cell->k);
}

static void search_strip(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    struct strip strip = {.u = u}, *p = &strip;
    const unsigned across = (u->width + STRIP_COLUMNS - 1) / STRIP_COLUMNS;
    lay_out(p, u, umpa_scratch(u, worker));
    choose_frames(p);
    p->x0 = (int)(task % across * STRIP_COLUMNS);
    p->y0 = (int)(task / across * STRIP_ROWS);
    const unsigned rest = (unsigned)spk_match_round(u->height - (unsigned)p->y0, CELL_ROWS);
    p->rows = rest < STRIP_ROWS ? rest : STRIP_ROWS;
    pack_strip(p);
    for (struct band band = {0}; band.y < p->rows; band.y += CELL_ROWS) {
        search_band(p, &band);
        for (unsigned c = 0; c < ACROSS && p->x0 + (int)(c * CELL_COLUMNS) < (int)u->width; c++)
            settle_cell(p, &band, c);
    }
}

/* The cell next to one, -1 to 1 both ways, or itself where the image ends. */
static const struct umpa_cell *beside(const struct spk_umpa *u, unsigned i, unsigned j, int right, int down)
{
    const unsigned x = i + (unsigned)right, y = j + (unsigned)down;
    const bool inside = x < umpa_cells_across(u) && y < umpa_cells_down(u); /* one less than 0 is many */
    return u->cell + (inside ? (size_t)y * umpa_cells_across(u) + x : (size_t)j * umpa_cells_across(u) + i);
}

/* Whether three displacements side by side lie on a line. */
static bool in_line(float before, float middle, float after)
{
    return fabsf(before - middle) < STEEP && fabsf(after - middle) < STEEP &&
           fabsf(before + after - 2 * middle) < AGREE;
}

/* Whether the displacement goes on evenly from a cell to all those round it. */
static bool agrees(const struct spk_umpa *u, unsigned i, unsigned j)
{
    const struct umpa_cell *cell = beside(u, i, j, 0, 0);
    for (int n = 0; n < 5; n++) {
        const int right = n % 3 - 1, down = n / 3 - 1;
        const struct umpa_cell *a = beside(u, i, j, right, down), *b = beside(u, i, j, -right, -down);
        if (!a->single || !b->single || !in_line(a->x, cell->x, b->x) || !in_line(a->y, cell->y, b->y))
            return false;
    }
    return true;
}

static bool is_steep(const struct spk_umpa *u, unsigned i, unsigned j)
{
    const struct umpa_cell *cell = beside(u, i, j, 0, 0);
    bool steep = false;
    for (int n = 0; n < 9; n++) {
        const struct umpa_cell *other = beside(u, i, j, n % 3 - 1, n / 3 - 1);
        steep |= fabsf(other->x - cell->x) >= LEVEL || fabsf(other->y - cell->y) >= LEVEL;
    }
    return steep;
}

/* A cell at the rim that is not all in view goes on as the two cells inside do, where what it found is near that. */
static void carry_on(const struct spk_umpa *u, unsigned i, unsigned j)
{
    const unsigned across = umpa_cells_across(u), down = umpa_cells_down(u);
    const int in_x = i == 0 ? 1 : i + 1 == across ? -1 : 0, in_y = j == 0 ? 1 : j + 1 == down ? -1 : 0;
    struct umpa_cell *cell = u->cell + (size_t)j * across + i;
    const struct umpa_cell *near = beside(u, i, j, in_x, in_y), *far = beside(u, i, j, 2 * in_x, 2 * in_y);
    const float found_x = (float)((int)u->search_shift - cell->column + u->guess_x);
    const float found_y = (float)((int)u->search_shift - cell->row + u->guess_y);
    const float x = 2 * near->x - far->x, y = 2 * near->y - far->y;
    if (cell->single || !cell->found || !near->single || !far->single || near == cell || far == cell ||
        !(fabsf(x - found_x) < NEAR) || !(fabsf(y - found_y) < NEAR))
        return;
    cell->x = x;
    cell->y = y;
    cell->t = near->t;
    cell->k = near->k;
    cell->single = true;
}

static void carry_on_rim(const struct spk_umpa *u)
{
    const unsigned across = umpa_cells_across(u), down = umpa_cells_down(u);
    for (unsigned i = 0; i < across; i++) {
        carry_on(u, i, 0);
        carry_on(u, i, down - 1);
    }
    for (unsigned j = 1; j + 1 < down; j++) {
        carry_on(u, 0, j);
        carry_on(u, across - 1, j);
    }
}

/* The start of so many columns and rows of a cell's pixels, between those of the cells round it. */
static void fill_map(const struct spk_umpa *u, unsigned i, unsigned j, size_t quantity, float *map,
                     unsigned columns, unsigned rows)
{
    float value[3][3], edge[3], line[CELL_COLUMNS];
    for (int n = 0; n < 9; n++)
        memcpy(&value[n / 3][n % 3], (const char *)beside(u, i, j, n % 3 - 1, n / 3 - 1) + quantity,
               sizeof(float));
    for (unsigned y = 0; y < rows; y++) {
        const float at = ((float)y + 0.5f) / CELL_ROWS - 0.5f, part = fabsf(at);
        const unsigned other = at < 0 ? 0 : 2;
        for (unsigned n = 0; n < 3; n++)
            edge[n] = value[1][n] + part * (value[other][n] - value[1][n]);
        for (unsigned x = 0; x < CELL_COLUMNS / 2; x++) {
            const float near = ((float)x + 0.5f) / CELL_COLUMNS;
            line[x] = edge[1] + (0.5f - near) * (edge[0] - edge[1]);
            line[CELL_COLUMNS / 2 + x] = edge[1] + near * (edge[2] - edge[1]);
        }
        memcpy(map + y * u->width, line, columns * sizeof *line);
    }
}

static void fill_cell(struct spk_umpa *u, unsigned i, unsigned j)
{
    static const size_t quantity[PARAMS] = {[PARAM_T] = offsetof(struct umpa_cell, t),
                                            [PARAM_K] = offsetof(struct umpa_cell, k),
                                            [PARAM_X] = offsetof(struct umpa_cell, x),
                                            [PARAM_Y] = offsetof(struct umpa_cell, y)};
    const size_t x = i * CELL_COLUMNS, y = j * CELL_ROWS, right = u->width - x, below = u->height - y;
    const unsigned columns = right < CELL_COLUMNS ? (unsigned)right : CELL_COLUMNS;
    const unsigned rows = below < CELL_ROWS ? (unsigned)below : CELL_ROWS;
    for (unsigned q = 0; q < PARAMS; q++) {
        const bool tied = q == PARAM_K && !u->config.dark_field;
        fill_map(u, i, j, quantity[tied ? PARAM_T : q], u->param[q] + y * u->width + x, columns, rows);
    }
    for (unsigned row = 0; row < rows; row++)
        memset(u->cost + (y + row) * u->pitch + x, 0, columns * sizeof *u->cost);
}

static void settle_row(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    struct spk_umpa *u = context;
    for (unsigned i = 0; i < umpa_cells_across(u); i++) {
        struct umpa_cell *cell = u->cell + (size_t)task * umpa_cells_across(u) + i;
        cell->plain = agrees(u, i, task);
        cell->steep = cell->plain && is_steep(u, i, task);
        if (cell->plain)
            fill_cell(u, i, task);
    }
}

void umpa_cells(struct spk_umpa *u)
{
    const unsigned across = (u->width + STRIP_COLUMNS - 1) / STRIP_COLUMNS;
    if (!umpa_kept_cells(u))
        spk_team_run(u->team, search_strip, u, across * ((u->height + STRIP_ROWS - 1) / STRIP_ROWS));
    if (in_haste(u) && !u->stepping)
        carry_on_rim(u);
    spk_team_run(u->team, settle_row, u, umpa_cells_down(u));
}
