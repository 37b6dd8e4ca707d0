/* The moments of a piece: sums over frames of the sample and the reference interpolated where it came from.
 *
 * Interpolation is cheap where many pixels share one displacement: it is separable then, and their places in the reference
 * lie side by side. So the pixels of a small cell are linearised together where they lie within `reach` of one place: what is left of
 * a step that small is third order in the displacement. Elsewhere each is linearised by itself. */
#include "umpa_piece.h"

#include <math.h>
#include <speckled/num_spline_px.h>
#include <string.h>

enum { COLUMNS = PIECE_COLUMNS, ROWS = PIECE_ROWS };

/* Displacements beyond are no numbers. */
#define FARTHEST 20000.0f

/* What sums with the sample are about, in units of the reference's mean: near 1, where they are smallest, and not 1 itself, for zeros
 * with their last bit set are slow. */
#define BASE 0.9990234375f

/* Of the reach, how far places lie apart. */
#define GRID 0.5f

size_t umpa_piece_lay_out(struct umpa_piece *p, const struct spk_umpa *u, float *memory)
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
        {&p->former, UMPA_EXCHANGES * ROWS * COLUMNS},
        {&p->trial, SPK_MOMENTS * SPK_MATCH_STEP},
        {&p->cell_x, PIECE_CELL},
        {&p->cell_y, PIECE_CELL},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = memory ? memory + total : NULL;
        total += part[i].count;
    }
    return total;
}

/* Frames that do not see a pixel's place in the reference do not count for it. */
static void weigh_frames(const struct umpa_piece *p)
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

/* One row of one frame of the sample; what is not in view or no number becomes 0. */
static void pack_row(const struct umpa_piece *p, unsigned k, unsigned row, float *to, float *good)
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

void umpa_piece_start_packing(struct umpa_piece *p)
{
    p->sample = p->packed;
    p->half = NULL;
    p->sample_row = (size_t)p->u->count * COLUMNS;
    p->sample_frame = COLUMNS;
    p->scale = 1;
}

void umpa_piece_pack(struct umpa_piece *p, uint8_t *usable, size_t pitch)
{
    const bool stepping = p->u->stepping;
    for (unsigned row = 0; row < p->height; row++) {
        float *good = p->row_weight;
        for (unsigned x = 0; x < COLUMNS; x++)
            good[x] = stepping ? 0 : 1;
        for (unsigned i = 0; i < p->frames; i++) {
            size_t at = row * p->sample_row + p->frame[i] * p->sample_frame;
            pack_row(p, p->frame[i], row, p->packed + at, stepping ? p->weight + at : good);
            for (unsigned x = 0; stepping && x < p->width; x++)
                good[x] = p->weight[at + x] > good[x] ? p->weight[at + x] : good[x];
        }
        for (unsigned x = 0; x < p->width; x++)
            usable[row * pitch + x] = good[x] > 0;
    }
}

struct umpa_frame umpa_piece_frame(const struct umpa_piece *p, unsigned frame)
{
    const struct spk_umpa *u = p->u;
    const size_t at = ((size_t)frame * u->height + p->y0) * u->width + p->x0;
    return (struct umpa_frame){.data = u->sample->data ? u->sample->data + at : NULL,
                               .half = u->sample->data ? NULL : u->sample->half + at,
                               .row = u->width};
}

void umpa_piece_pack_frame(const struct umpa_piece *p, struct umpa_frame from, float *to, size_t to_row,
                           uint16_t *bad, int sign)
{
    const struct spk_umpa *u = p->u;
    for (unsigned row = 0; row < p->height; row++, to += to_row) {
        const uint8_t *mask = u->sample->mask + (size_t)(p->y0 + row) * u->width + p->x0;
        const float *values = from.data ? from.data + row * from.row : p->line;
        float *good = p->row_weight;
        if (!from.data)
            u->ops->from_half(p->line, from.half + row * from.row, p->width);
        for (unsigned x = 0; x < COLUMNS; x++)
            good[x] = 1;
        memset(to, 0, COLUMNS * sizeof *to);
        if (u->ops->pack(to, good, values, mask, p->zero, u->scale, UMPA_LIMIT, p->width))
            continue;
        for (unsigned x = 0; x < p->width; x++)
            bad[row * COLUMNS + x] = (uint16_t)(bad[row * COLUMNS + x] + (good[x] > 0 ? 0 : sign));
    }
}

/* Cells are whole or the row ends behind the last frame's, so a last partial cell is packed. */
bool umpa_piece_in_place(struct umpa_piece *p)
{
    struct spk_umpa *u = p->u;
    const size_t at = (size_t)p->y0 * u->width + p->x0;
    if (u->stepping || p->width % SPK_MATCH_STEP)
        return false;
    for (unsigned row = 0; row < p->height; row++)
        if (memchr(u->sample->mask + at + (size_t)row * u->width, 0, p->width))
            return false;
    const struct umpa_frame first = umpa_piece_frame(p, 0);
    p->sample = first.data;
    p->half = first.half;
    p->sample_row = first.row;
    p->sample_frame = (size_t)u->height * u->width;
    p->scale = u->scale;
    for (unsigned row = 0; row < p->height; row++)
        memset(u->usable + (size_t)(p->y0 + row) * u->pitch + p->x0, 1, p->width);
    return true;
}

bool umpa_piece_is_sane(const struct umpa_piece *p)
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

/* While a frame is exchanged its former and its present pixels may both be in the sums: squares then come to less than twice HALF_RANGE
 * times the range, and products to the root of that times the squares of the reference (Cauchy and Schwarz). */
#define HALF_RANGE 0.46f

bool umpa_piece_is_exact(const struct umpa_piece *p, unsigned column, bool all)
{
    static const unsigned sum[] = {SPK_SUM_SS, SPK_SUM_VV, SPK_SUM_VXVX, SPK_SUM_VYVY};
    unsigned bad = 0;
    for (unsigned q = 0; q < (all ? 4 : 1); q++) {
        const float limit = q ? p->range : HALF_RANGE * p->range;
        const float *from = p->moment + sum[q] * ROWS * COLUMNS + column;
        for (unsigned row = 0; row < p->height; row++, from += COLUMNS)
            for (unsigned x = 0; x < SPK_MATCH_STEP; x++)
                bad += from[x] <= limit ? 0 : 1;
    }
    return !bad;
}

static float sane(float value, float otherwise)
{
    return fabsf(value) < FARTHEST ? value : otherwise;
}

/* Takes the displacements of a cell. */
static void load_cell(const struct umpa_piece *p, unsigned column)
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

/* Where the moments of some rows of a cell come from, at displacements whose whole part is (left, top). Pixels whose place is outside
 * the reference have no weight later, so theirs may come from anywhere. */
static struct spk_moments_cell place_band(const struct umpa_piece *p, unsigned column, struct umpa_band band,
                                          int left, int top)
{
    const struct spk_umpa *u = p->u;
    const size_t sample = band.first * p->sample_row + column;
    struct spk_moments_cell cell = {.rows = band.count,
                                    .frames = p->frames,
                                    .frame_pitch = u->c_pitch,
                                    .frame = p->frame,
                                    .sample = p->half ? NULL : p->sample + sample,
                                    .half = p->half ? p->half + sample : NULL,
                                    .weight = u->stepping ? p->weight + sample : NULL,
                                    .scale = p->scale,
                                    .base = p->base,
                                    .range = p->range,
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
static struct spk_moments_cell place_together(const struct umpa_piece *p, unsigned column,
                                              const struct umpa_place *place)
{
    const int left = (int)floorf(-place->x), top = (int)floorf(-place->y);
    const struct umpa_band band = place->band;
    struct spk_moments_cell cell = place_band(p, column, band, left, top);
    spk_spline_px(-place->x - (float)left, cell.wx, cell.dx);
    spk_spline_px(-place->y - (float)top, cell.wy, cell.dy);
    return cell;
}

static void settle_band(const struct umpa_piece *p, unsigned column, const struct umpa_place *place)
{
    for (unsigned row = place->band.first; row < place->band.first + place->band.count; row++)
        for (unsigned i = 0; i < SPK_MATCH_STEP; i++) {
            p->x[row * COLUMNS + column + i] = place->x;
            p->y[row * COLUMNS + column + i] = place->y;
        }
}

void umpa_piece_settle(const struct umpa_piece *p, unsigned column, const struct umpa_places *places)
{
    for (unsigned i = 0; i < places->count; i++)
        settle_band(p, column, &places->place[i]);
}

static void moments_together(const struct umpa_piece *p, unsigned column, const struct umpa_place *place)
{
    const struct spk_moments_cell cell = place_together(p, column, place);
    p->u->ops->moments(&cell);
    settle_band(p, column, place);
}

void umpa_piece_exchange(const struct umpa_piece *p, unsigned column, const struct umpa_places *places,
                         unsigned frame, struct umpa_frame former)
{
    for (unsigned i = 0; i < places->count; i++) {
        const struct umpa_place *place = &places->place[i];
        struct spk_moments_cell cell = place_together(p, column, place);
        const size_t at = place->band.first * former.row + column;
        cell.frame = &frame;
        cell.frames = 1;
        cell.former = former.data ? former.data + at : NULL;
        cell.former_half = former.half ? former.half + at : NULL;
        cell.former_row = former.row;
        p->u->ops->exchange(&cell);
    }
}

/* The displacements of a row of a cell, their whole parts and fractions. */
struct row_places {
    float left[SPK_MATCH_STEP], top[SPK_MATCH_STEP], x[SPK_MATCH_STEP], y[SPK_MATCH_STEP];
    float member[SPK_MATCH_STEP]; /* of the whole part in work */
    bool done[SPK_MATCH_STEP];
};

/* Linearises the pixels that share a whole part with pixel `first`, and any others along with them. */
static void moments_of_part(const struct umpa_piece *p, unsigned column, unsigned row, struct row_places *at,
                            unsigned first, bool all)
{
    const float left = at->left[first], top = at->top[first];
    struct spk_moments_cell cell = place_band(p, column, (struct umpa_band){row, 1}, (int)left, (int)top);
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
static void moments_apart(const struct umpa_piece *p, unsigned column, unsigned row, float ux, float uy)
{
    struct row_places at = {.done = {false}};
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

/* Places lie on a grid: what moves by less than it is wide keeps its place, and with it what a stack before has summed up there. */
static float on_grid(float place, float reach)
{
    const float pitch = GRID * reach;
    return pitch * rintf(place / pitch);
}

/* Rows of a cell at one displacement where that is near enough to all of theirs, or else in smaller parts. */
static void place_rows(const struct umpa_piece *p, struct umpa_band band, struct umpa_places *places)
{
    enum { FEWEST = 4 }; /* rows for which one displacement is less work than one each */
    const struct spk_umpa *u = p->u;
    const size_t first = band.first * SPK_MATCH_STEP, count = band.count * SPK_MATCH_STEP;
    const float reach = 2 * u->reach;
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    u->ops->extent(p->cell_x + first, count, &low[0], &high[0]);
    u->ops->extent(p->cell_y + first, count, &low[1], &high[1]);
    const bool any = low[0] <= high[0];
    const bool near = !any || (high[0] - low[0] <= reach && high[1] - low[1] <= reach);
    if (!near && band.count > FEWEST) {
        const unsigned half = band.count / 2;
        place_rows(p, (struct umpa_band){band.first, half}, places);
        place_rows(p, (struct umpa_band){band.first + half, band.count - half}, places);
        return;
    }
    struct umpa_place *place = &places->place[places->count++];
    *place = (struct umpa_place){.band = band, .x = (float)u->guess_x, .y = (float)u->guess_y};
    places->apart |= !near;
    place->apart = !near;
    if (any) {
        place->x = on_grid(0.5f * (low[0] + high[0]), u->reach);
        place->y = on_grid(0.5f * (low[1] + high[1]), u->reach);
    }
}

void umpa_piece_places(const struct umpa_piece *p, unsigned column, struct umpa_places *places)
{
    *places = (struct umpa_places){0};
    load_cell(p, column);
    place_rows(p, (struct umpa_band){0, p->height}, places);
}

void umpa_piece_cell(const struct umpa_piece *p, unsigned column, const struct umpa_places *places)
{
    for (unsigned i = 0; i < places->count; i++) {
        const struct umpa_place *place = &places->place[i];
        const struct umpa_band band = place->band;
        if (!place->apart)
            moments_together(p, column, place);
        for (unsigned row = band.first; place->apart && row < band.first + band.count; row++)
            moments_apart(p, column, row, place->x, place->y);
    }
}

static void make_cells(const struct umpa_piece *p)
{
    struct umpa_places places;
    for (unsigned column = 0; column < p->width; column += SPK_MATCH_STEP) {
        umpa_piece_places(p, column, &places);
        umpa_piece_cell(p, column, &places);
    }
}

/* What the sums with the sample in them may come to and be exact: the squares of values between -0.2 and 2.2. */
static float exact_range(unsigned frames)
{
    float range = 4;
    while (range < 3 * (float)frames)
        range *= 2;
    return range;
}

void umpa_piece_moments(struct umpa_piece *p, bool keep)
{
    struct spk_umpa *u = p->u;
    p->base = u->stepping ? 0 : BASE;
    p->range = u->stepping ? 0 : exact_range(u->used_count);
    memset(p->zero, 0, COLUMNS * sizeof *p->zero);
    p->frame = u->used;
    p->frames = u->used_count;
    if (keep) {
        umpa_kept_moments(p);
        return;
    }
    if (umpa_piece_in_place(p)) {
        make_cells(p);
        if (umpa_piece_is_sane(p))
            return;
    }
    umpa_piece_start_packing(p);
    umpa_piece_pack(p, u->usable + (size_t)p->y0 * u->pitch + p->x0, u->pitch);
    if (u->stepping)
        weigh_frames(p);
    make_cells(p);
}
