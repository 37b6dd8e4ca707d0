/* The correlation of two sequences at every delay and shift across the axis, its maximum, and the peak between the steps. */
#include "xss_internal.h"

#include <speckled/num_ratio_px.h>

#include <math.h>
#include <string.h>

/* A tile of one side with everything that window and shifts reach. */
struct block {
    unsigned rows, pitch;
    size_t plane;
    float *value;        /* [count] planes, level taken out; 0 where there is no frame or no pixel */
    float *sum, *square; /* a plane: of the pairs of one lag */
    unsigned box_rows, box_columns, box_pitch;
    float *box, *box_square; /* the window over them */
};

struct tile {
    const struct spk_xss *xss;
    int x0, y0;
    unsigned lags, shifts;
    struct block s, r;
    float *one;         /* a plane of ones */
    float *product;     /* a plane of s */
    float *correlation; /* [shifts][lags][XSS_ROWS][XSS_TILE] */
};

enum { MAP = XSS_ROWS * XSS_TILE };

/* What is left of a sum of squares without its mean, as a part of it, where it is but rounding. */
#define FLAT 1e-6f

static float *take(float **memory, size_t *total, size_t count)
{
    float *here = *memory;
    count = spk_match_round(count, SPK_MATCH_STEP);
    if (here)
        *memory += count;
    *total += count;
    return here;
}

/* `reach`: how far, across the axis, values lie round those whose window is summed; `shift`: round the tile. */
static void lay_out_block(const struct spk_xss *xss, struct block *b, unsigned shift, float **memory,
                          size_t *total)
{
    const unsigned across_x = (unsigned)xss->aside.x, across_y = (unsigned)xss->aside.y;
    const unsigned reach = 2 * (shift + xss->window), slack = 4 * SPK_MATCH_STEP + reach;
    b->rows = XSS_ROWS + reach * across_y;
    b->pitch = (unsigned)spk_match_round(XSS_TILE + reach * across_x, SPK_MATCH_STEP) + SPK_MATCH_STEP;
    b->plane = (size_t)b->rows * b->pitch;
    b->box_rows = XSS_ROWS + 2 * shift * across_y;
    b->box_columns = (unsigned)spk_match_round(XSS_TILE + 2 * shift * across_x, SPK_MATCH_STEP);
    b->box_pitch = b->box_columns;
    b->value = take(memory, total, xss->count * b->plane + slack);
    b->sum = take(memory, total, b->plane + slack);
    b->square = take(memory, total, b->plane + slack);
    b->box = take(memory, total, (size_t)b->box_rows * b->box_pitch + slack);
    b->box_square = take(memory, total, (size_t)b->box_rows * b->box_pitch + slack);
}

/* Lays the arrays out from `memory` on and returns the floats used. */
static size_t lay_out(struct tile *t, const struct spk_xss *xss, float *memory)
{
    size_t total = 0;
    t->xss = xss;
    t->lags = 2 * (unsigned)xss->max_lag + 1;
    t->shifts = 2 * (unsigned)xss->across + 1;
    lay_out_block(xss, &t->s, 0, &memory, &total);
    lay_out_block(xss, &t->r, (unsigned)xss->across, &memory, &total);
    t->one = take(&memory, &total, t->r.plane);
    t->product = take(&memory, &total, t->s.plane + 4 * SPK_MATCH_STEP);
    t->correlation = take(&memory, &total, (size_t)t->shifts * t->lags * MAP);
    return total;
}

size_t xss_search_scratch(const struct spk_xss *xss)
{
    struct tile tile;
    return lay_out(&tile, xss, NULL);
}

/* Copies what of one frame lies under a block. */
static void pack(const struct spk_xss *xss, const struct xss_side *side, unsigned k, int x0, int y0,
                 const struct block *b)
{
    const int width = (int)xss->width, height = (int)xss->height;
    const float *image = side->stack->data + k * ((size_t)width * (size_t)height);
    float *value = b->value + k * b->plane;
    memset(value, 0, b->plane * sizeof *value);
    if (!side->stack->present[k])
        return;
    for (int y = 0; y < (int)b->rows; y++) {
        if (y0 + y < 0 || y0 + y >= height)
            continue;
        const float *from = image + (ptrdiff_t)(y0 + y) * width + x0;
        int first = x0 < 0 ? -x0 : 0, last = width - x0 < (int)b->pitch ? width - x0 : (int)b->pitch;
        for (int x = first; x < last; x++)
            value[(size_t)y * b->pitch + (size_t)x] = spk_ratio_value_px(from[x], side->level);
    }
}

static void load(struct tile *t, const struct xss_side *side, const struct block *b, unsigned shift)
{
    const struct spk_xss *xss = t->xss;
    const int reach = (int)(shift + xss->window);
    for (unsigned k = 0; k < xss->count; k++)
        pack(xss, side, k, t->x0 + side->offset.x - reach * xss->aside.x,
             t->y0 + side->offset.y - reach * xss->aside.y, b);
}

/* Steps k of s that have a partner k + lag in r. */
struct pairs {
    unsigned first, end;
    unsigned count; /* of those that hold frames on both sides */
};

static bool is_pair(const struct spk_xss *xss, unsigned k, int lag)
{
    return xss->s.stack->present[k] && xss->r.stack->present[(unsigned)((int)k + lag)];
}

static struct pairs pairs_of(const struct spk_xss *xss, int lag)
{
    const int count = (int)xss->count, first = lag < 0 ? -lag : 0, end = lag > 0 ? count - lag : count;
    struct pairs pairs = {(unsigned)first, end > first ? (unsigned)end : (unsigned)first, 0};
    for (unsigned k = pairs.first; k < pairs.end; k++)
        pairs.count += is_pair(xss, k, lag);
    return pairs;
}

/* Windows across the axis over `rows` rows. */
static void box(const struct spk_xss *xss, float *out, size_t out_pitch, const float *in, size_t in_pitch,
                unsigned rows, unsigned columns)
{
    const size_t step = xss->aside.x ? 1 : in_pitch;
    for (unsigned y = 0; y < rows; y++)
        xss->ops->taps(out + y * out_pitch, in + y * in_pitch, step, xss->weight, 2 * xss->window + 1,
                       columns);
}

/* Window sums of one side's values and squares over the pairs of a lag; `ahead` is the side's own share of the lag. */
static void window_sums(const struct tile *t, const struct block *b, const struct pairs *pairs, int lag,
                        int ahead)
{
    const struct spk_xss *xss = t->xss;
    memset(b->sum, 0, b->plane * sizeof *b->sum);
    memset(b->square, 0, b->plane * sizeof *b->square);
    for (unsigned k = pairs->first; k < pairs->end; k++) {
        if (!is_pair(xss, k, lag))
            continue;
        const float *value = b->value + (size_t)((int)k + ahead) * b->plane;
        xss->ops->accumulate(b->sum, value, t->one, b->plane);
        xss->ops->accumulate(b->square, value, value, b->plane);
    }
    box(xss, b->box, b->box_pitch, b->sum, b->pitch, b->box_rows, b->box_columns);
    box(xss, b->box_square, b->box_pitch, b->square, b->pitch, b->box_rows, b->box_columns);
}

/* Window sums of products become correlations; -1 where a side is flat. */
static void normalise(const struct tile *t, float *c, unsigned shift, unsigned pairs)
{
    const struct spk_xss *xss = t->xss;
    const float inverse = 1 / (float)(pairs * (2 * xss->window + 1));
    const size_t ahead = shift * (xss->aside.x ? 1 : t->r.box_pitch);
    for (unsigned y = 0; y < XSS_ROWS; y++) {
        const float *s1 = t->s.box + y * t->s.box_pitch, *s2 = t->s.box_square + y * t->s.box_pitch;
        const float *r1 = t->r.box + y * t->r.box_pitch + ahead;
        const float *r2 = t->r.box_square + y * t->r.box_pitch + ahead;
        float *row = c + y * XSS_TILE;
        for (unsigned x = 0; x < XSS_TILE; x++) {
            float s_power = s2[x] - s1[x] * s1[x] * inverse, r_power = r2[x] - r1[x] * r1[x] * inverse;
            bool flat = !(s_power > FLAT * s2[x]) || !(r_power > FLAT * r2[x]);
            row[x] = flat ? -1 : (row[x] - s1[x] * r1[x] * inverse) / sqrtf(s_power * r_power);
        }
    }
}

static void correlate_lag(const struct tile *t, unsigned index)
{
    const struct spk_xss *xss = t->xss;
    const int lag = xss->delay - xss->max_lag + (int)index;
    const struct pairs pairs = pairs_of(xss, lag);
    const struct block *s = &t->s, *r = &t->r;
    if (pairs.count < SPK_XSS_PAIRS_MIN) {
        for (unsigned shift = 0; shift < t->shifts; shift++)
            for (unsigned i = 0; i < MAP; i++)
                t->correlation[((size_t)shift * t->lags + index) * MAP + i] = -1;
        return;
    }
    window_sums(t, s, &pairs, lag, 0);
    window_sums(t, r, &pairs, lag, lag);
    const float *s_first = s->value + pairs.first * s->plane;
    const float *r_first = r->value + (size_t)((int)pairs.first + lag) * r->plane;
    for (unsigned shift = 0; shift < t->shifts; shift++) {
        float *c = t->correlation + ((size_t)shift * t->lags + index) * MAP;
        const float *r_shifted = r_first + shift * (xss->aside.x ? 1 : r->pitch);
        for (unsigned y = 0; y < s->rows; y++)
            xss->ops->cross(t->product + y * s->pitch, s->plane, s_first + y * s->pitch, s->plane,
                            r_shifted + y * r->pitch, r->plane, pairs.end - pairs.first,
                            s->pitch - SPK_MATCH_STEP, 1);
        box(xss, c, XSS_TILE, t->product, s->pitch, XSS_ROWS, XSS_TILE);
        normalise(t, c, shift, pairs.count);
    }
}

struct range {
    int first, last;
};

/* Shift indices for which the window round the second pixel lies in the frame, which the one round the first must. */
static struct range shifts_at(const struct spk_xss *xss, int x, int y)
{
    const int at = xss->aside.x ? x : y, extent = (int)(xss->aside.x ? xss->width : xss->height);
    const int rim = (int)xss->window, low = rim - at + xss->across, high = low + extent - 1 - 2 * rim;
    struct range range = {low > 0 ? low : 0, high < 2 * xss->across ? high : 2 * xss->across};
    if (at < rim || at >= extent - rim)
        range.last = range.first - 1;
    return range;
}

static bool inside(const struct spk_xss *xss, int x, int y, struct xss_place offset)
{
    x += offset.x;
    y += offset.y;
    return x >= 0 && y >= 0 && x < (int)xss->width && y < (int)xss->height;
}

/* The best shift and lag; false when there is none, or on the rim: the true peak may lie beyond. */
static bool best_of(const struct tile *t, const float *c, struct range shifts, int *best_shift, int *best_lag)
{
    float best = -1;
    *best_shift = *best_lag = -1;
    for (int i = shifts.first; i <= shifts.last; i++)
        for (int j = 0; j < (int)t->lags; j++) {
            float value = c[((size_t)i * t->lags + (size_t)j) * MAP];
            if (value > best) {
                best = value;
                *best_shift = i;
                *best_lag = j;
            }
        }
    bool on_rim = t->shifts > 1 && (*best_shift == shifts.first || *best_shift == shifts.last);
    return best > -1 && !on_rim && *best_lag > 0 && *best_lag < (int)t->lags - 1;
}

/* 3x3 correlations round the best. On a single line a ridge symmetric about it takes the place of the neighbours. */
static void surround(const struct tile *t, const float *c, int shift, int lag, float around[3][3])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int line = t->shifts > 1 ? shift + i - 1 : shift;
            float value = c[((size_t)line * t->lags + (size_t)(lag + j - 1)) * MAP];
            around[i][j] = t->shifts > 1 || i == 1 ? value : 0.5f * value;
        }
}

/* A Gaussian with slanted axes is the second-order expansion of the logarithm. Sequences a step apart are so alike that the
 * parabola of the values themselves would draw every offset towards whole steps. */
static bool find_peak(const struct spk_xss *xss, float around[3][3], float *lag, float *shift)
{
    if (xss->config.peak != SPK_PEAK_GAUSS)
        return spk_peak_find((enum spk_tracker_peak)xss->config.peak, around, lag, shift);
    float logarithm[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            logarithm[i][j] = logf(around[i][j]);
    return spk_peak_find(SPK_PEAK_TAYLOR, logarithm, lag, shift);
}

static bool search_pixel(const struct tile *t, unsigned x, unsigned y, size_t pixel)
{
    const struct spk_xss *xss = t->xss;
    const struct spk_tracker_maps *maps = xss->maps;
    const int px = t->x0 + (int)x, py = t->y0 + (int)y;
    const float *c = t->correlation + (size_t)y * XSS_TILE + x;
    float around[3][3], lag_rest, shift_rest;
    int shift, lag;
    if (!inside(xss, px, py, xss->s.offset) || !inside(xss, px, py, xss->r.offset) ||
        !best_of(t, c, shifts_at(xss, px, py), &shift, &lag))
        return false;
    surround(t, c, shift, lag, around);
    if (!find_peak(xss, around, &lag_rest, &shift_rest))
        return false;
    const bool self = xss->separation > 0;
    const int delay = xss->delay - xss->max_lag + lag, aside = shift - xss->across;
    if (!xss_ratio(xss, px, py, self ? 0 : delay, self ? 0 : aside, &maps->transmission[pixel],
                   &maps->dark_field[pixel]))
        return false;
    float along = (float)((double)xss->separation + ((double)delay + (double)lag_rest) * xss->config.step_px);
    float across = -((float)aside + shift_rest);
    maps->displacement_x[pixel] = xss->along.x ? along : across;
    maps->displacement_y[pixel] = xss->along.x ? across : along;
    maps->quality[pixel] = around[1][1];
    return true;
}

static void no_peak(const struct spk_tracker_maps *maps, size_t pixel)
{
    maps->transmission[pixel] = maps->dark_field[pixel] = NAN;
    maps->displacement_x[pixel] = maps->displacement_y[pixel] = maps->quality[pixel] = NAN;
    maps->valid[pixel] = 0;
}

static unsigned tiles_across(const struct spk_xss *xss)
{
    return (xss->width + XSS_TILE - 1) / XSS_TILE;
}

unsigned xss_search_tiles(const struct spk_xss *xss)
{
    return tiles_across(xss) * ((xss->height + XSS_ROWS - 1) / XSS_ROWS);
}

void xss_search_tile(void *context, unsigned task, unsigned worker)
{
    const struct spk_xss *xss = context;
    struct tile tile, *t = &tile;
    lay_out(t, xss, xss->scratch + worker * xss->scratch_size);
    t->x0 = (int)(task % tiles_across(xss)) * XSS_TILE;
    t->y0 = (int)(task / tiles_across(xss)) * XSS_ROWS;
    for (size_t i = 0; i < t->r.plane; i++)
        t->one[i] = 1;
    load(t, &xss->s, &t->s, 0);
    load(t, &xss->r, &t->r, (unsigned)xss->across);
    for (unsigned index = 0; index < t->lags; index++)
        correlate_lag(t, index);
    for (unsigned y = 0; y < XSS_ROWS && t->y0 + (int)y < (int)xss->height; y++)
        for (unsigned x = 0; x < XSS_TILE && t->x0 + (int)x < (int)xss->width; x++) {
            size_t pixel = (size_t)(t->y0 + (int)y) * xss->width + (size_t)(t->x0 + (int)x);
            if (!search_pixel(t, x, y, pixel))
                no_peak(xss->maps, pixel);
        }
}
