/* The integer search: all pixels of a tile at once, one shift after the other.
 *
 * Sums over frames and sums over the window commute, so a shift costs one multiply-add a frame and pixel and then one
 * separable window, whatever the window's size. The search runs over every shift of the range. Tiles that touch a masked
 * pixel or the edge of a frame also carry the masks through the sums, so that each shift counts exactly the pixels it can
 * see. */
#include "umpa_tile.h"

#include <limits.h>
#include <math.h>
#include <string.h>

size_t umpa_search_scratch(const struct spk_umpa *u)
{
    const size_t tile = umpa_tile_size(u), cells = umpa_cells_scratch(u);
    return tile > cells ? tile : cells;
}

static void cross_chunk(struct umpa_tile *t, unsigned row_shift, unsigned first, unsigned shifts)
{
    struct spk_umpa *u = t->u;
    const struct {
        const float *s, *r;
    } factor[PRODUCTS] = {{t->s, t->r},       {t->s_count, t->r_mask}, {t->s2, t->r_mask},
                          {t->s_mask, t->r2}, {t->s1, t->r_mask},      {t->s_mask, t->r1}};
    unsigned products = t->masked ? PRODUCTS : 1, rows = t->height + 2 * u->search_radius;
    for (unsigned y = 0; y < rows; y++)
        for (unsigned i = 0; i < products; i++) {
            unsigned frames = i == PRODUCT_SR ? u->used_count : t->mask_frames;
            u->ops->cross(t->product[i] + (size_t)y * t->s_pitch, t->s_plane,
                          factor[i].s + (size_t)y * frames * t->s_pitch, t->s_pitch,
                          factor[i].r + (size_t)(y + row_shift) * frames * t->r_pitch + first, t->r_pitch,
                          frames, t->s_pitch, shifts);
        }
    for (unsigned y = 0; t->parity && y < t->height; y++)
        u->ops->cross(t->mean_product + (size_t)y * t->out_pitch, t->m_plane,
                      t->s_mean + (size_t)y * u->used_count * t->out_pitch, t->out_pitch,
                      t->r_mean + (size_t)(y + row_shift) * u->used_count * t->r_pitch + first, t->r_pitch,
                      u->used_count, t->out_pitch, shifts);
}

/* The window over one output row of a plane. */
static void blur_row(const struct umpa_tile *t, float *out, const float *plane, unsigned y)
{
    umpa_tile_blur(t, out, t->out_pitch, plane + (size_t)y * t->s_pitch, t->s_pitch, 1, t->out_pitch);
}

/* Turns windowed products of s and r into the sums of the fit, with UMPA's means. */
static void parity_row(const struct umpa_tile *t, unsigned y, unsigned j, const float *c_q, float *qs,
                       float *ms)
{
    const struct spk_umpa *u = t->u;
    size_t at = (size_t)y * t->out_pitch;
    u->ops->centre(qs, ms, t->mean_product + j * t->m_plane + at, t->o_s + at, c_q, u->level,
                   (float)u->used_count, t->out_pitch);
}

/* Compares the row's trial with the best so far. */
static void track_row(const struct umpa_tile *t, const struct umpa_range *range, unsigned y, unsigned row,
                      unsigned column)
{
    const struct spk_umpa *u = t->u;
    size_t o = (size_t)y * t->out_pitch, at = (size_t)(column - range->x0) * t->m_plane + o;
    struct spk_track_row track = {.score = t->trial[TRIAL_SCORE],
                                  .transmission = t->trial[TRIAL_T],
                                  .contrast = t->trial[TRIAL_K],
                                  .before = t->above + at,
                                  .above = t->above + at + t->m_plane,
                                  .shift_x = (float)((int)u->search_shift - (int)column + u->guess_x),
                                  .shift_y = (float)((int)u->search_shift - (int)row + u->guess_y),
                                  .width = t->out_pitch,
                                  .best = t->best[BEST_SCORE] + o,
                                  .best_transmission = t->best[BEST_T] + o,
                                  .best_contrast = t->best[BEST_K] + o,
                                  .x = t->best[BEST_X] + o,
                                  .y = t->best[BEST_Y] + o,
                                  .left = t->best[BEST_LEFT] + o,
                                  .right = t->best[BEST_RIGHT] + o,
                                  .up = t->best[BEST_UP] + o,
                                  .down = t->best[BEST_DOWN] + o};
    u->ops->track(&track);
}

/* Sums of the local mean and the sample at one shift. The mean is smooth: where only a start is wanted, it may as well be
 * taken out of the window. */
static void mean_row(const struct umpa_tile *t, float *ms, unsigned y, unsigned row, unsigned column)
{
    const struct spk_umpa *u = t->u;
    if (t->exact) {
        blur_row(t, ms, t->work, y);
        return;
    }
    const float *mean = t->mean + (size_t)(y + row + u->search_radius) * t->r_pitch + column;
    u->ops->multiply(ms, mean + u->search_radius, t->o_s + (size_t)y * t->out_pitch, t->out_pitch);
}

/* One shift of one output row of a tile where every pixel counts. */
static void score_row(struct umpa_tile *t, unsigned y, unsigned j, unsigned row, unsigned column)
{
    const struct spk_match_ops *ops = t->u->ops;
    size_t c = (size_t)(y + row) * t->r_pitch + column;
    float *qs = t->input[FIT_QS], *ms = t->input[FIT_MS];
    blur_row(t, qs, t->product[PRODUCT_SR] + j * t->s_plane, y);
    if (t->parity) {
        parity_row(t, y, j, t->c_q + c, qs, ms);
    } else {
        mean_row(t, ms, y, row, column);
        ops->accumulate(qs, t->level, t->c_q + c, t->out_pitch);
    }
    if (!t->u->config.dark_field)
        for (unsigned x = 0; x < t->out_pitch; x++)
            ms[x] += qs[x];
    struct spk_score_row score = {.mean_factor = t->c_mm + c,
                                  .slope = t->c_mq + c,
                                  .rest_factor = t->c_qq + c,
                                  .ms = ms,
                                  .qs = qs,
                                  .width = t->out_pitch,
                                  .score = t->trial[TRIAL_SCORE],
                                  .transmission = t->trial[TRIAL_T],
                                  .contrast = t->trial[TRIAL_K]};
    ops->score(&score);
}

static void mean_plane(const struct umpa_tile *t, unsigned row, unsigned column)
{
    const float *mean = t->mean + (size_t)row * t->r_pitch + column;
    for (unsigned y = 0; y < t->s_rows; y++)
        t->u->ops->multiply(t->work + (size_t)y * t->s_pitch, mean + (size_t)y * t->r_pitch,
                            t->m_s + (size_t)y * t->s_pitch, t->s_pitch);
}

/* Planes of one shift from which the rows of the fit are made. */
static void joint_planes(struct umpa_tile *t, unsigned j, unsigned row_shift, unsigned column)
{
    const struct spk_umpa *u = t->u;
    if (t->parity)
        umpa_tile_blur(t, t->whole, t->out_pitch, t->product[PRODUCT_SR] + j * t->s_plane, t->s_pitch,
                       t->height, t->out_pitch);
    for (unsigned y = 0; y < t->height + 2 * u->search_radius; y++) {
        size_t at = j * t->s_plane + (size_t)y * t->s_pitch;
        struct spk_joint_row row = {.mean = t->mean + (size_t)(row_shift + y) * t->r_pitch + column,
                                    .base = t->parity ? 1.0f : 0.0f,
                                    .level = u->level,
                                    .noise = t->parity ? 0 : u->noise_reference,
                                    .width = t->s_pitch,
                                    .count = t->product[PRODUCT_COUNT] + at,
                                    .sr = t->product[PRODUCT_SR] + at,
                                    .ss = t->product[PRODUCT_SS] + at,
                                    .rr = t->product[PRODUCT_RR] + at,
                                    .s = t->product[PRODUCT_S] + at,
                                    .r = t->product[PRODUCT_R] + at,
                                    .mm = t->work + (size_t)y * t->s_pitch};
        u->ops->joint(&row);
    }
}

/* Where the window is whole UMPA's own means hold; elsewhere the local mean has to do. */
static void prefer_parity(struct umpa_tile *t, unsigned y, unsigned j, size_t c)
{
    const struct spk_match_ops *ops = t->u->ops;
    float *const *in = t->input, least = UMPA_WEIGHT_WHOLE * (float)t->u->used_count;
    float *qs = t->whole + (size_t)y * t->out_pitch, *ms = t->row;
    parity_row(t, y, j, t->c_q + c, qs, ms);
    const float *other[FIT_WEIGHT] = {
        [FIT_MM] = t->c_mm + c, [FIT_MQ] = t->c_mq + c, [FIT_QQ] = t->c_qq + c,
        [FIT_MS] = ms,          [FIT_QS] = qs,          [FIT_SS] = t->o_ss + (size_t)y * t->out_pitch};
    for (unsigned i = 0; i < FIT_WEIGHT; i++)
        ops->choose(in[i], other[i], in[FIT_WEIGHT], least, t->out_pitch);
}

static void fit_row(struct umpa_tile *t, unsigned y, unsigned j, unsigned row_shift, unsigned column)
{
    const struct spk_umpa *u = t->u;
    float *const *in = t->input;
    float *to[PRODUCTS] = {in[FIT_QS], in[FIT_WEIGHT], in[FIT_SS], in[FIT_QQ], in[FIT_MS], in[FIT_MQ]};
    for (unsigned i = 0; i < PRODUCTS; i++)
        blur_row(t, to[i], t->product[i] + j * t->s_plane, y);
    blur_row(t, in[FIT_MM], t->work, y);
    if (t->parity)
        prefer_parity(t, y, j, (size_t)(y + row_shift) * t->r_pitch + column);
    struct spk_fit_row fit = {.mm = in[FIT_MM],
                              .mq = in[FIT_MQ],
                              .qq = in[FIT_QQ],
                              .ms = in[FIT_MS],
                              .qs = in[FIT_QS],
                              .ss = in[FIT_SS],
                              .weight = in[FIT_WEIGHT],
                              .weight_min = UMPA_WEIGHT_MIN * (float)u->used_count,
                              .dark_field = u->config.dark_field,
                              .width = t->out_pitch,
                              .score = t->trial[TRIAL_SCORE],
                              .transmission = t->trial[TRIAL_T],
                              .contrast = t->trial[TRIAL_K]};
    u->ops->fit(&fit);
}

static unsigned lower(unsigned value, unsigned by)
{
    return value > by ? value - by : 0;
}

static unsigned higher(unsigned value, unsigned by, unsigned last)
{
    return value + by < last ? value + by : last;
}

static void widen(struct umpa_range *range, unsigned row, unsigned column)
{
    range->x0 = column < range->x0 ? column : range->x0;
    range->x1 = column > range->x1 ? column : range->x1;
    range->y0 = row < range->y0 ? row : range->y0;
    range->y1 = row > range->y1 ? row : range->y1;
}

/* The range, larger by so many shifts on each side where there are so many. */
static struct umpa_range grow(struct umpa_range r, unsigned left, unsigned right, unsigned up, unsigned down,
                              unsigned last)
{
    return (struct umpa_range){lower(r.x0, left), higher(r.x1, right, last), lower(r.y0, up),
                               higher(r.y1, down, last)};
}

static void fill_constant(float *to, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        to[i] = value;
}

static void start_search(const struct umpa_tile *t, const struct umpa_range *range)
{
    const struct spk_umpa *u = t->u;
    const int column = (int)(range->x0 + range->x1) / 2, row = (int)(range->y0 + range->y1) / 2;
    const float middle_x = (float)((int)u->search_shift - column + u->guess_x);
    const float middle_y = (float)((int)u->search_shift - row + u->guess_y);
    const float start[BESTS] = {
        t->masked ? -INFINITY : 0, 0, 0, middle_x, middle_y, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    for (unsigned i = 0; i < BESTS; i++)
        fill_constant(t->best[i], t->m_plane, start[i]);
    fill_constant(t->above, (range->x1 - range->x0 + 2) * t->m_plane, -INFINITY);
}

static void search_range(struct umpa_tile *t, const struct umpa_range *range)
{
    start_search(t, range);
    for (unsigned row = range->y0; row <= range->y1; row++)
        for (unsigned first = range->x0; first <= range->x1; first += UMPA_CHUNK) {
            unsigned rest = range->x1 + 1 - first, shifts = rest < UMPA_CHUNK ? rest : UMPA_CHUNK;
            cross_chunk(t, row, first, shifts);
            for (unsigned j = 0; j < shifts; j++) {
                if (t->masked)
                    joint_planes(t, j, row, first + j);
                else if (t->exact && !t->parity)
                    mean_plane(t, row, first + j);
                for (unsigned y = 0; y < t->height; y++) {
                    if (t->masked)
                        fit_row(t, y, j, row, first + j);
                    else
                        score_row(t, y, j, row, first + j);
                    track_row(t, range, y, row, first + j);
                }
            }
        }
}

/* The range, larger where some pixel found its best shift on a border behind which there are more; false when there is none. */
static bool widen_range(const struct umpa_tile *t, struct umpa_range *range)
{
    enum { STEP = 2 };
    const struct spk_umpa *u = t->u;
    const unsigned last = 2 * u->search_shift;
    const struct umpa_range old = *range;
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (unsigned y = 0; y < t->height; y++)
        for (unsigned i = 0; i < 2; i++)
            u->ops->extent(t->best[BEST_X + i] + (size_t)y * t->out_pitch, t->width, &low[i], &high[i]);
    const float x = (float)((int)u->search_shift + u->guess_x),
                y = (float)((int)u->search_shift + u->guess_y);
    *range = grow(old, high[0] >= x - (float)old.x0 ? STEP : 0, low[0] <= x - (float)old.x1 ? STEP : 0,
                  high[1] >= y - (float)old.y0 ? STEP : 0, low[1] <= y - (float)old.y1 ? STEP : 0, last);
    return memcmp(range, &old, sizeof old) != 0;
}

/* Puts the cost of the best shift where its score was. */
static void score_to_cost(struct umpa_tile *t)
{
    const float share = 1 / fmaxf((float)t->u->used_count, 1);
    float *score = t->best[BEST_SCORE];
    for (size_t i = 0; i < t->m_plane; i++)
        if (t->masked)
            score[i] = -score[i];
        else
            score[i] = score[i] > 0 ? (t->o_ss[i] - score[i]) * share : INFINITY;
}

static void finish_search(struct umpa_tile *t)
{
    const struct spk_umpa *u = t->u;
    if (!t->masked && !u->config.dark_field)
        memcpy(t->best[BEST_K], t->best[BEST_T], t->m_plane * sizeof(float));
    struct spk_vertex_row vertex = {.best = t->best[BEST_SCORE],
                                    .left = t->best[BEST_LEFT],
                                    .right = t->best[BEST_RIGHT],
                                    .up = t->best[BEST_UP],
                                    .down = t->best[BEST_DOWN],
                                    .width = (unsigned)t->m_plane,
                                    .x = t->best[BEST_X],
                                    .y = t->best[BEST_Y]};
    if (!t->exact)
        u->ops->vertex(&vertex);
    score_to_cost(t);
}

static void store_tile(const struct umpa_tile *t)
{
    struct spk_umpa *u = t->u;
    for (unsigned y = 0; y < t->height; y++) {
        size_t to = ((size_t)t->y0 + y) * u->width + (size_t)t->x0, from = (size_t)y * t->out_pitch;
        memcpy(u->cost + ((size_t)t->y0 + y) * u->pitch + (size_t)t->x0, t->best[BEST_SCORE] + from,
               t->width * sizeof(float));
        for (unsigned i = 0; i < PARAMS; i++)
            memcpy(u->param[i] + to, t->best[BEST_T + i] + from, t->width * sizeof(float));
    }
}

/* How one axis of the image is cut into tiles. Pixels whose search reaches over an edge have tiles of their own: theirs
 * carry masks, which no other pixel shall pay for. */
struct cuts {
    unsigned edge[4]; /* low rim, inside, high rim */
    unsigned step;
};

static unsigned cells(const struct cuts *c, unsigned part)
{
    return (c->edge[part + 1] - c->edge[part] + c->step - 1) / c->step;
}

static struct cuts cut_axis(const struct spk_umpa *u, unsigned length, int guess, unsigned step)
{
    int shift = (int)u->search_shift, radius = (int)u->search_radius;
    int low = radius + (shift + guess > 0 ? shift + guess : 0);
    int high = radius + (shift - guess > 0 ? shift - guess : 0);
    if (low + high >= (int)length)
        low = high = 0;
    return (struct cuts){{0, (unsigned)low, length - (unsigned)high, length}, step};
}

static unsigned count_cells(const struct cuts *c)
{
    return cells(c, 0) + cells(c, 1) + cells(c, 2);
}

static struct umpa_span cell(const struct cuts *c, unsigned i)
{
    unsigned part = 0;
    for (; i >= cells(c, part); part++)
        i -= cells(c, part);
    unsigned first = c->edge[part] + i * c->step, rest = c->edge[part + 1] - first;
    return (struct umpa_span){first, rest < c->step ? rest : c->step};
}

struct search {
    struct spk_umpa *u;
    struct cuts x, y;
};

/* Pixels first to last and cells of one axis. */
static unsigned last_of(const struct umpa_span *span)
{
    return span->first + span->count - 1;
}

static void cut_span(struct umpa_span *span, unsigned first, unsigned last)
{
    const unsigned end = last_of(span) < last ? last_of(span) : last;
    span->first = span->first > first ? span->first : first;
    span->count = end - span->first + 1;
}

/* The shifts that the cells under pixels x by y found best, and one more on every side. */
static struct umpa_range range_of_cells(const struct spk_umpa *u, const struct umpa_span *x,
                                        const struct umpa_span *y)
{
    enum { PAD = 1 };
    const unsigned last = 2 * u->search_shift, across = umpa_cells_across(u);
    struct umpa_range range = {last, 0, last, 0};
    const unsigned left = x->first / UMPA_CELL_COLUMNS, right = last_of(x) / UMPA_CELL_COLUMNS;
    const unsigned top = y->first / UMPA_CELL_ROWS, bottom = last_of(y) / UMPA_CELL_ROWS;
    for (unsigned j = top; j <= bottom; j++)
        for (unsigned i = left; i <= right; i++) {
            const struct umpa_cell *c = u->cell + (size_t)j * across + i;
            if (c->found)
                widen(&range, c->row, c->column);
        }
    if (range.x0 > range.x1)
        widen(&range, u->search_shift, u->search_shift);
    return grow(range, PAD, PAD, PAD, PAD, last);
}

/* Leaves of pixels x by y a box round those whose start is still wanted, and says which shifts to look at; false when there are
 * none. */
static bool narrow(const struct spk_umpa *u, struct umpa_span *x, struct umpa_span *y,
                   struct umpa_range *range)
{
    unsigned x0 = UINT_MAX, x1 = 0, y0 = UINT_MAX, y1 = 0;
    for (unsigned j = y->first / UMPA_CELL_ROWS; j <= last_of(y) / UMPA_CELL_ROWS; j++)
        for (unsigned i = x->first / UMPA_CELL_COLUMNS; i <= last_of(x) / UMPA_CELL_COLUMNS; i++) {
            if (u->cell[(size_t)j * umpa_cells_across(u) + i].plain)
                continue;
            x0 = i < x0 ? i : x0;
            x1 = i > x1 ? i : x1;
            y0 = j < y0 ? j : y0;
            y1 = j > y1 ? j : y1;
        }
    if (x0 > x1)
        return false;
    *range = range_of_cells(u, x, y);
    cut_span(x, x0 * UMPA_CELL_COLUMNS, (x1 + 1) * UMPA_CELL_COLUMNS - 1);
    cut_span(y, y0 * UMPA_CELL_ROWS, (y1 + 1) * UMPA_CELL_ROWS - 1);
    return true;
}

static void search_tile(void *context, unsigned task, unsigned worker)
{
    const struct search *s = context;
    unsigned across = count_cells(&s->x);
    struct umpa_tile tile;
    struct umpa_span x = cell(&s->x, task % across), y = cell(&s->y, task / across);
    struct umpa_range range = {0, 2 * s->u->search_shift, 0, 2 * s->u->search_shift};
    if (s->u->config.refine != SPK_UMPA_NONE && !narrow(s->u, &x, &y, &range))
        return;
    umpa_tile_load(&tile, s->u, x, y, umpa_scratch(s->u, worker));
    do
        search_range(&tile, &range);
    while (widen_range(&tile, &range));
    finish_search(&tile);
    store_tile(&tile);
}

void umpa_search(struct spk_umpa *u)
{
    struct search search = {u, cut_axis(u, u->width, u->guess_x, umpa_tile_columns(u)),
                            cut_axis(u, u->height, u->guess_y, UMPA_SEARCH_ROWS)};
    if (u->config.refine != SPK_UMPA_NONE)
        umpa_cells(u);
    spk_team_run(u->team, search_tile, &search, count_cells(&search.x) * count_cells(&search.y));
}
