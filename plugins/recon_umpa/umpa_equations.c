/* The normal equations of every pixel in (T, K, ux, uy).
 *
 * Interpolation is cheap where many pixels share one displacement: it is separable then, and their places in the reference
 * lie side by side. So the pixels of a small cell are linearised together where they lie within `reach` of one place: what is left of
 * a step that small is third order in the displacement. Elsewhere each is linearised by itself. */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

enum {
    COLUMNS = UMPA_PIECE_COLUMNS,
    ROWS = UMPA_PIECE_ROWS,
    CELL = SPK_MATCH_STEP * ROWS,
};

/* Displacements beyond are no numbers. */
#define FARTHEST 20000.0f

struct piece {
    struct spk_umpa *u;
    const struct umpa_level *level; /* where the equations go */
    unsigned x0, y0, width, height;
    const float *sample; /* of the first pixel, frame 0 */
    size_t sample_row, sample_frame;
    float scale;
    float *packed, *weight;                     /* [ROWS][count][COLUMNS]; weight: sample stepping only */
    float *moment;                              /* [SPK_MOMENTS][ROWS][COLUMNS] */
    float *x, *y;                               /* [ROWS][COLUMNS] where each pixel is linearised */
    float *mean, *mean_x, *mean_y, *row_weight; /* [COLUMNS] */
    float *zero, *line;                         /* [COLUMNS] nothing; a row widened from binary16 */
    float *trial;                               /* [SPK_MOMENTS][SPK_MATCH_STEP] of one whole part */
    float *cell_x, *cell_y;                     /* [CELL] NAN: does not count */
};

static size_t lay_out(struct piece *p, const struct spk_umpa *u, float *memory)
{
    const size_t samples = (size_t)ROWS * u->count * COLUMNS;
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&p->packed, samples},
        {&p->weight, u->stepping ? samples : 0},
        {&p->moment, SPK_MOMENTS * ROWS * COLUMNS},
        {&p->x, ROWS * COLUMNS},
        {&p->y, ROWS * COLUMNS},
        {&p->mean, COLUMNS},
        {&p->mean_x, COLUMNS},
        {&p->mean_y, COLUMNS},
        {&p->row_weight, COLUMNS},
        {&p->zero, COLUMNS},
        {&p->line, COLUMNS},
        {&p->trial, SPK_MOMENTS * SPK_MATCH_STEP},
        {&p->cell_x, CELL},
        {&p->cell_y, CELL},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = memory ? memory + total : NULL;
        total += part[i].count;
    }
    return total;
}

size_t umpa_equations_scratch(const struct spk_umpa *u)
{
    struct piece piece;
    return lay_out(&piece, u, NULL);
}

/* One row of one frame of the sample; what is not in view or no number becomes 0. */
static void pack_row(const struct piece *p, unsigned k, unsigned row, float *to, float *good)
{
    const struct spk_umpa *u = p->u;
    const struct umpa_row from = umpa_frame_row(u, u->sample, k, (int)(p->y0 + row));
    memset(to, 0, COLUMNS * sizeof *to);
    int first = (int)p->x0, last = first + (int)p->width - 1;
    int lo = from.first > first ? from.first : first, hi = from.last < last ? from.last : last;
    if (!umpa_row_is_there(&from))
        lo = hi + 1;
    for (int x = first; u->stepping && x <= last; x++)
        good[x - first] = x >= lo && x <= hi ? 1 : 0;
    if (lo > hi)
        return;
    const float *values = umpa_row_values(u, &from, lo, hi - lo + 1, p->line);
    u->ops->pack(to + (lo - first), good + (lo - first), values, from.mask + lo + from.shift, p->zero,
                 u->scale, UMPA_LIMIT, (unsigned)(hi - lo + 1));
}

/* Packs all frames and remembers which pixels hold a number: in all frames, or with sample stepping in any. */
static void pack_samples(struct piece *p)
{
    struct spk_umpa *u = p->u;
    const bool stepping = u->stepping;
    p->sample = p->packed;
    p->sample_row = (size_t)u->count * COLUMNS;
    p->sample_frame = COLUMNS;
    p->scale = 1;
    for (unsigned row = 0; row < p->height; row++) {
        float *good = p->row_weight;
        for (unsigned x = 0; x < COLUMNS; x++)
            good[x] = stepping ? 0 : 1;
        for (unsigned i = 0; i < u->used_count; i++) {
            size_t at = ((size_t)row * u->count + u->used[i]) * COLUMNS;
            pack_row(p, u->used[i], row, p->packed + at, stepping ? p->weight + at : good);
            for (unsigned x = 0; stepping && x < p->width; x++)
                good[x] = p->weight[at + x] > good[x] ? p->weight[at + x] : good[x];
        }
        uint8_t *usable = u->usable + (size_t)(p->y0 + row) * u->pitch + p->x0;
        for (unsigned x = 0; x < p->width; x++)
            usable[x] = good[x] > 0;
    }
}

/* Where no pixel is masked the sample can be read where it is; false when some are. Cells are whole or the row ends behind
 * the last frame's, so a last partial cell is packed. */
static bool read_in_place(struct piece *p)
{
    struct spk_umpa *u = p->u;
    const size_t at = (size_t)p->y0 * u->width + p->x0;
    if (u->stepping || !u->sample->data || p->width % SPK_MATCH_STEP)
        return false;
    for (unsigned row = 0; row < p->height; row++)
        if (memchr(u->sample->mask + at + (size_t)row * u->width, 0, p->width))
            return false;
    p->sample = u->sample->data + at;
    p->sample_row = u->width;
    p->sample_frame = (size_t)u->height * u->width;
    p->scale = u->scale;
    for (unsigned row = 0; row < p->height; row++)
        memset(u->usable + (size_t)(p->y0 + row) * u->pitch + p->x0, 1, p->width);
    return true;
}

/* Whether every sum of squares is that of numbers. */
static bool sums_are_sane(const struct piece *p)
{
    const float limit = UMPA_LIMIT * UMPA_LIMIT;
    unsigned bad = 0;
    for (unsigned row = 0; row < p->height; row++) {
        const float *square = p->moment + (SPK_SUM_SS * ROWS + row) * COLUMNS;
        for (unsigned x = 0; x < p->width; x++)
            bad += square[x] < limit ? 0 : 1;
    }
    return !bad;
}

static float sane(float value, float otherwise)
{
    return fabsf(value) < FARTHEST ? value : otherwise;
}

/* Takes the displacements of a cell. */
static void load_cell(const struct piece *p, unsigned column)
{
    const struct spk_umpa *u = p->u;
    const unsigned rest = p->width - column, count = rest < SPK_MATCH_STEP ? rest : SPK_MATCH_STEP;
    for (unsigned row = 0; row < p->height; row++) {
        const size_t from = (size_t)(p->y0 + row) * u->width + p->x0 + column;
        const uint8_t *usable = u->usable + (size_t)(p->y0 + row) * u->pitch + p->x0 + column;
        float *x = p->cell_x + row * SPK_MATCH_STEP, *y = p->cell_y + row * SPK_MATCH_STEP;
        for (unsigned i = 0; i < count; i++) {
            x[i] = usable[i] ? sane(u->param[PARAM_X][from + i], (float)u->guess_x) : NAN;
            y[i] = usable[i] ? sane(u->param[PARAM_Y][from + i], (float)u->guess_y) : NAN;
        }
        for (unsigned i = count; i < SPK_MATCH_STEP; i++)
            x[i] = y[i] = NAN;
    }
}

static int clamp_int(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Rows of a cell. */
struct band {
    unsigned first, count;
};

/* Where the moments of some rows of a cell come from, at displacements whose whole part is (left, top). Pixels whose place is outside
 * the reference have no weight later, so theirs may come from anywhere. */
static struct spk_moments_cell place_band(const struct piece *p, unsigned column, struct band band, int left,
                                          int top)
{
    const struct spk_umpa *u = p->u;
    const size_t sample = band.first * p->sample_row + column;
    struct spk_moments_cell cell = {.rows = band.count,
                                    .frames = u->used_count,
                                    .frame_pitch = u->c_pitch,
                                    .frame = u->used,
                                    .sample = p->sample + sample,
                                    .weight = u->stepping ? p->weight + sample : NULL,
                                    .scale = p->scale,
                                    .sample_row = p->sample_row,
                                    .sample_frame = p->sample_frame,
                                    .out = p->moment + band.first * COLUMNS + column,
                                    .pitch = COLUMNS,
                                    .plane = ROWS * COLUMNS};
    const int x = clamp_int((int)(p->x0 + column) + left - 1, -UMPA_BESIDE, (int)u->width);
    for (unsigned row = 0; row < band.count + 3; row++) {
        int y = clamp_int((int)(p->y0 + band.first + row) + top - 1, -UMPA_MIRROR,
                          (int)u->height + UMPA_MIRROR - 1);
        cell.line[row] = umpa_coefficient(u, y) + x;
    }
    return cell;
}

/* Rows of a cell linearised at one displacement. */
static void moments_together(const struct piece *p, unsigned column, struct band band, float ux, float uy)
{
    const int left = (int)floorf(-ux), top = (int)floorf(-uy);
    struct spk_moments_cell cell = place_band(p, column, band, left, top);
    spk_spline_weights(-ux - (float)left, cell.wx, cell.dx);
    spk_spline_weights(-uy - (float)top, cell.wy, cell.dy);
    p->u->ops->moments(&cell);
    for (unsigned row = band.first; row < band.first + band.count; row++)
        for (unsigned i = 0; i < SPK_MATCH_STEP; i++) {
            p->x[row * COLUMNS + column + i] = ux;
            p->y[row * COLUMNS + column + i] = uy;
        }
}

/* The displacements of a row of a cell, their whole parts and fractions. */
struct places {
    float left[SPK_MATCH_STEP], top[SPK_MATCH_STEP], x[SPK_MATCH_STEP], y[SPK_MATCH_STEP];
    float member[SPK_MATCH_STEP]; /* of the whole part in work */
    bool done[SPK_MATCH_STEP];
};

/* Linearises the pixels that share a whole part with pixel `first`, and any others along with them. */
static void moments_of_part(const struct piece *p, unsigned column, unsigned row, struct places *at,
                            unsigned first, bool all)
{
    const float left = at->left[first], top = at->top[first];
    struct spk_moments_cell cell = place_band(p, column, (struct band){row, 1}, (int)left, (int)top);
    float *const out = cell.out;
    const size_t plane = cell.plane;
    cell.fraction_x = at->x;
    cell.fraction_y = at->y;
    if (!all) {
        cell.out = p->trial;
        cell.plane = SPK_MATCH_STEP;
    }
    p->u->ops->moments_each(&cell);
    for (unsigned i = 0; i < SPK_MATCH_STEP; i++) {
        const bool member = at->left[i] == left && at->top[i] == top;
        at->member[i] = member ? 1 : 0;
        at->done[i] |= member;
    }
    for (unsigned q = 0; !all && q < SPK_MOMENTS; q++)
        p->u->ops->choose(out + q * plane, p->trial + q * SPK_MATCH_STEP, at->member, 1, SPK_MATCH_STEP);
}

/* A row of a cell, each pixel linearised where it stands; those that do not count, at (ux, uy). */
static void moments_apart(const struct piece *p, unsigned column, unsigned row, float ux, float uy)
{
    struct places at = {.done = {false}};
    float *x = p->x + row * COLUMNS + column, *y = p->y + row * COLUMNS + column;
    for (unsigned i = 0; i < SPK_MATCH_STEP; i++) {
        const float own_x = p->cell_x[row * SPK_MATCH_STEP + i], own_y = p->cell_y[row * SPK_MATCH_STEP + i];
        x[i] = own_x == own_x ? own_x : ux;
        y[i] = own_y == own_y ? own_y : uy;
        at.left[i] = floorf(-x[i]);
        at.top[i] = floorf(-y[i]);
        at.x[i] = -x[i] - at.left[i];
        at.y[i] = -y[i] - at.top[i];
    }
    for (unsigned i = 0; i < SPK_MATCH_STEP; i++)
        if (!at.done[i])
            moments_of_part(p, column, row, &at, i, i == 0);
}

/* Rows of a cell at one displacement where that is near enough to all of theirs, or else in smaller parts. */
static void moments_of_band(const struct piece *p, unsigned column, struct band band)
{
    enum { FEWEST = 4 }; /* rows for which one displacement is less work than one each */
    const struct spk_umpa *u = p->u;
    const size_t first = band.first * SPK_MATCH_STEP, count = band.count * SPK_MATCH_STEP;
    const float reach = 2 * u->reach;
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    u->ops->extent(p->cell_x + first, count, &low[0], &high[0]);
    u->ops->extent(p->cell_y + first, count, &low[1], &high[1]);
    const bool any = low[0] <= high[0];
    const float x = any ? 0.5f * (low[0] + high[0]) : (float)u->guess_x;
    const float y = any ? 0.5f * (low[1] + high[1]) : (float)u->guess_y;
    const unsigned half = band.count / 2;
    if (!any || (high[0] - low[0] <= reach && high[1] - low[1] <= reach)) {
        moments_together(p, column, band, x, y);
    } else if (band.count > FEWEST) {
        moments_of_band(p, column, (struct band){band.first, half});
        moments_of_band(p, column, (struct band){band.first + half, band.count - half});
    } else {
        for (unsigned row = band.first; row < band.first + band.count; row++)
            moments_apart(p, column, row, x, y);
    }
}

static void moments_of_piece(const struct piece *p)
{
    for (unsigned column = 0; column < p->width; column += SPK_MATCH_STEP) {
        load_cell(p, column);
        moments_of_band(p, column, (struct band){0, p->height});
    }
}

static void equations_row(const struct piece *p, unsigned row)
{
    struct spk_umpa *u = p->u;
    const size_t y = p->y0 + row, at = y * u->width + p->x0, in = (size_t)row * COLUMNS;
    struct spk_mean_row local = {.mean = u->mean,
                                 .reference_usable = u->reference_whole ? NULL : u->reference_usable,
                                 .usable = u->usable + y * u->pitch + p->x0,
                                 .pitch = u->pitch,
                                 .width = u->width,
                                 .height = u->height,
                                 .x = p->x0,
                                 .y = (unsigned)y,
                                 .count = p->width,
                                 .ux = p->x + in,
                                 .uy = p->y + in,
                                 .value = p->mean,
                                 .slope_x = p->mean_x,
                                 .slope_y = p->mean_y,
                                 .weight = p->row_weight};
    u->ops->mean(&local);
    struct spk_normal_row normal = {.moment = p->moment + in,
                                    .moment_plane = ROWS * COLUMNS,
                                    .width = p->width,
                                    .transmission = u->param[PARAM_T] + at,
                                    .contrast = u->param[PARAM_K] + at,
                                    .ux = p->x + in,
                                    .uy = p->y + in,
                                    .at_x = u->param[PARAM_X] + at,
                                    .at_y = u->param[PARAM_Y] + at,
                                    .mean = p->mean,
                                    .mean_x = p->mean_x,
                                    .mean_y = p->mean_y,
                                    .weight = p->row_weight,
                                    .origin = {1, 1, (float)u->guess_x, (float)u->guess_y},
                                    .noise_reference = u->noise_reference,
                                    .noise_sample = u->noise_sample,
                                    .spline = &u->spline,
                                    .out = umpa_normal(p->level, 0, y, p->x0),
                                    .plane = p->level->plane};
    u->ops->normal(&normal);
}

/* Frames that do not see a pixel's place in the reference do not count for it. */
static void weigh_frames(const struct piece *p)
{
    const struct spk_umpa *u = p->u;
    const float right = (float)(u->width - 1), bottom = (float)(u->height - 1);
    for (unsigned row = 0; row < p->height; row++)
        for (unsigned i = 0; i < u->used_count; i++) {
            float *weight = p->weight + ((size_t)row * u->count + u->used[i]) * COLUMNS;
            float shift_x = (float)u->offset_x[u->used[i]], shift_y = (float)u->offset_y[u->used[i]];
            const size_t at = (size_t)(p->y0 + row) * u->width + p->x0;
            for (unsigned x = 0; x < p->width; x++) {
                float px = (float)(p->x0 + x) - u->param[PARAM_X][at + x] + shift_x;
                float py = (float)(p->y0 + row) - u->param[PARAM_Y][at + x] + shift_y;
                weight[x] *= px >= 0 && px <= right && py >= 0 && py <= bottom ? 1.0f : 0.0f;
            }
        }
}

/* The equations of each coarser level are means over 2 x 2 of those of the finer. */
static void halve_piece(const struct piece *p)
{
    const struct spk_umpa *u = p->u;
    for (unsigned l = 0; l + 1 < UMPA_LEVELS; l++) {
        const struct umpa_level *from = &u->equations[l], *to = &u->equations[l + 1];
        unsigned first = p->x0 >> (l + 1), rest = to->width - first, count = COLUMNS >> (l + 1);
        for (unsigned y = p->y0 >> l; y < from->height && y < (p->y0 + ROWS) >> l; y += 2) {
            const float *above = umpa_normal(from, 0, y, 2 * first),
                        *below = umpa_normal(from, 0, y + 1, 2 * first);
            float *out = umpa_normal(to, 0, y / 2, first);
            for (unsigned q = 0; q < SPK_NORMALS; q++)
                u->ops->halve(out + q * to->plane, above + q * from->plane, below + q * from->plane,
                              rest < count ? rest : count);
        }
    }
}

/* The equations of the rows from y0 under one column of pieces. */
static void make_piece(struct spk_umpa *u, const struct umpa_level *level, unsigned x0, unsigned y0,
                       unsigned rows, unsigned worker)
{
    struct piece piece = {.u = u, .level = level, .x0 = x0, .y0 = y0, .height = rows}, *p = &piece;
    lay_out(p, u, umpa_scratch(u, worker));
    p->width = u->width - x0 < COLUMNS ? u->width - x0 : COLUMNS;
    memset(p->zero, 0, COLUMNS * sizeof *p->zero);
    bool done = false;
    if (read_in_place(p)) {
        moments_of_piece(p);
        done = sums_are_sane(p);
    }
    if (!done) {
        pack_samples(p);
        if (u->stepping)
            weigh_frames(p);
        moments_of_piece(p);
    }
    for (unsigned row = 0; row < rows; row++)
        equations_row(p, row);
    if (level == &u->field)
        return;
    if (u->config.window == 0)
        halve_piece(p);
    umpa_levels_repeat(u, x0, p->width, y0, y0 + rows);
}

void umpa_equations_rows(struct spk_umpa *u, unsigned first, unsigned last, unsigned worker)
{
    for (unsigned y = first; y < last; y += ROWS)
        for (unsigned x = 0; x < u->width; x += COLUMNS)
            make_piece(u, &u->field, x, y, last - y < ROWS ? last - y : ROWS, worker);
}

struct pieces {
    struct spk_umpa *u;
    unsigned first; /* row of pieces */
};

static void piece_task(void *context, unsigned task, unsigned worker)
{
    const struct pieces *pieces = context;
    struct spk_umpa *u = pieces->u;
    const unsigned across = umpa_pieces_across(u), row = pieces->first + task / across;
    const unsigned x0 = task % across * COLUMNS, y0 = row * ROWS;
    if (row < umpa_pieces_down(u) && u->moved[row * across + task % across])
        make_piece(u, &u->equations[0], x0, y0, u->height - y0 < ROWS ? u->height - y0 : ROWS, worker);
}

void umpa_equations(struct spk_umpa *u, unsigned band)
{
    struct pieces pieces = {u, band * UMPA_BAND / ROWS};
    spk_team_run(u->team, piece_task, &pieces, umpa_pieces_across(u) * UMPA_BAND / ROWS);
}
