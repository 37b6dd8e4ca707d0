/* The correlation at every whole shift of a tile, its maximum, and the peak between the pixels. */
#include "tracker_internal.h"
#include "tracker_px.h"

#include <speckled/num_ratio_px.h>

#include <math.h>
#include <string.h>

enum { CHUNK = 8 }; /* shifts in flight */

/* Blocks of one tile. `s` is the sample under output and window, `r` the reference under output, window and shifts. */
struct tile {
    const struct spk_tracker *tracker;
    int x0, y0;
    unsigned span; /* shifts along an axis */
    unsigned s_pitch, s_rows, r_pitch, r_rows, c_rows;
    size_t s_plane, r_plane;
    float *s, *r;       /* [used] planes */
    float *s1, *s2;     /* window sums of s, s^2: [TRACKER_ROWS][TRACKER_TILE] */
    float *r1, *r2;     /* window sums of r, r^2: [c_rows][r_pitch] */
    float *product;     /* [CHUNK] sample planes */
    float *work, *row;  /* a reference plane, a row */
    float *correlation; /* [span][span][TRACKER_ROWS][TRACKER_TILE] */
};

static float *take(float **memory, size_t count)
{
    float *here = *memory;
    if (here)
        *memory += spk_match_round(count, SPK_MATCH_STEP);
    return here;
}

/* Lays the arrays out from `memory` on and returns the floats used. */
static size_t lay_out(struct tile *t, const struct spk_tracker *tracker, float *memory)
{
    unsigned rim = 2 * tracker->window;
    t->tracker = tracker;
    t->span = 2 * tracker->shift + 1;
    t->s_pitch = (unsigned)spk_match_round(TRACKER_TILE + rim, SPK_MATCH_STEP);
    t->s_rows = TRACKER_ROWS + rim;
    t->r_pitch = (unsigned)spk_match_round(t->s_pitch + t->span, SPK_MATCH_STEP) + SPK_MATCH_STEP;
    t->r_rows = t->s_rows + t->span - 1;
    t->c_rows = TRACKER_ROWS + t->span - 1;
    t->s_plane = (size_t)t->s_rows * t->s_pitch;
    t->r_plane = (size_t)t->r_rows * t->r_pitch;
    size_t slack = 4 * SPK_MATCH_STEP + rim, map = (size_t)TRACKER_ROWS * TRACKER_TILE;
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&t->s, tracker->ratio.count * t->s_plane + slack},
        {&t->r, tracker->ratio.count * t->r_plane + slack},
        {&t->s1, map},
        {&t->s2, map},
        {&t->r1, (size_t)t->c_rows * t->r_pitch + slack},
        {&t->r2, (size_t)t->c_rows * t->r_pitch + slack},
        {&t->product, CHUNK * t->s_plane + slack},
        {&t->work, t->r_plane + slack},
        {&t->row, t->r_pitch + slack},
        {&t->correlation, (size_t)t->span * t->span * map},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = take(&memory, part[i].count);
        total += spk_match_round(part[i].count, SPK_MATCH_STEP);
    }
    return total;
}

size_t tracker_search_scratch(const struct spk_tracker *tracker)
{
    struct tile tile;
    return lay_out(&tile, tracker, NULL);
}

/* A block of one frame with its level taken out; 0 beyond the frame and where there is no number. */
static void pack(const struct spk_tracker *tracker, const float *image, float level, int x0, int y0,
                 unsigned rows, unsigned pitch, float *block)
{
    int width = (int)tracker->width, height = (int)tracker->height;
    memset(block, 0, (size_t)rows * pitch * sizeof *block);
    for (int y = 0; y < (int)rows; y++) {
        if (y0 + y < 0 || y0 + y >= height)
            continue;
        const float *from = image + (ptrdiff_t)(y0 + y) * width + x0;
        int first = x0 < 0 ? -x0 : 0, last = width - x0 < (int)pitch ? width - x0 : (int)pitch;
        for (int x = first; x < last; x++)
            block[(size_t)y * pitch + (size_t)x] = spk_ratio_value_px(from[x], level);
    }
}

static void load(struct tile *t)
{
    const struct spk_tracker *tracker = t->tracker;
    int rim = (int)tracker->window, shift = (int)tracker->shift;
    size_t pixels = (size_t)tracker->height * tracker->width;
    for (unsigned i = 0; i < tracker->ratio.used_count; i++) {
        size_t frame = tracker->ratio.used[i] * pixels;
        pack(tracker, tracker->ratio.sample->data + frame, tracker->ratio.sample_level, t->x0 - rim,
             t->y0 - rim, t->s_rows, t->s_pitch, t->s + i * t->s_plane);
        pack(tracker, tracker->ratio.reference->data + frame, tracker->ratio.reference_level,
             t->x0 - rim - shift - tracker->guess_x, t->y0 - rim - shift - tracker->guess_y, t->r_rows,
             t->r_pitch, t->r + i * t->r_plane);
    }
}

/* The box over rows x columns of `in`, separably. */
static void box(const struct tile *t, float *out, size_t out_pitch, const float *in, size_t in_pitch,
                unsigned rows, unsigned columns)
{
    const struct spk_tracker *tracker = t->tracker;
    unsigned taps = 2 * tracker->window + 1;
    unsigned wide = (unsigned)spk_match_round(columns + taps - 1, SPK_MATCH_STEP);
    for (unsigned y = 0; y < rows; y++) {
        tracker->ops->taps(t->row, in + y * in_pitch, in_pitch, tracker->weight, taps, wide);
        tracker->ops->taps(out + y * out_pitch, t->row, 1, tracker->weight, taps, columns);
    }
}

/* Sum over frames of a, or of a^2, and the box over it. */
static void window_sums(const struct tile *t, float *out, size_t out_pitch, const float *a, size_t plane,
                        size_t in_pitch, unsigned rows, unsigned columns, bool squares)
{
    memset(t->work, 0, plane * sizeof *t->work);
    for (unsigned i = 0; i < t->tracker->ratio.used_count; i++)
        for (size_t x = 0; x < plane; x++) {
            float value = a[i * plane + x];
            t->work[x] += squares ? value * value : value;
        }
    box(t, out, out_pitch, t->work, in_pitch, rows, columns);
}

/* Correlations of one row at one shift, from the windowed product in `c`. */
static void normalise_row(const struct tile *t, float *c, unsigned y, unsigned row_shift, unsigned column)
{
    const struct spk_tracker *tracker = t->tracker;
    unsigned side = 2 * tracker->window + 1;
    float inverse = 1 / (float)(tracker->ratio.used_count * side * side);
    const float *s1 = t->s1 + (size_t)y * TRACKER_TILE, *s2 = t->s2 + (size_t)y * TRACKER_TILE;
    const float *r1 = t->r1 + (size_t)(y + row_shift) * t->r_pitch + column;
    const float *r2 = t->r2 + (size_t)(y + row_shift) * t->r_pitch + column;
    for (unsigned x = 0; x < TRACKER_TILE; x++)
        c[x] = spk_tracker_correlation_px(c[x], s1[x], s2[x], r1[x], r2[x], inverse);
}

static void correlate(struct tile *t)
{
    const struct spk_tracker *tracker = t->tracker;
    size_t map = (size_t)TRACKER_ROWS * TRACKER_TILE;
    for (unsigned row = 0; row < t->span; row++)
        for (unsigned first = 0; first < t->span; first += CHUNK) {
            unsigned shifts = t->span - first < CHUNK ? t->span - first : CHUNK;
            for (unsigned y = 0; y < t->s_rows; y++)
                tracker->ops->cross(t->product + (size_t)y * t->s_pitch, t->s_plane,
                                    t->s + (size_t)y * t->s_pitch, t->s_plane,
                                    t->r + (size_t)(y + row) * t->r_pitch + first, t->r_plane,
                                    tracker->ratio.used_count, t->s_pitch, shifts);
            for (unsigned j = 0; j < shifts; j++) {
                float *c = t->correlation + ((size_t)row * t->span + first + j) * map;
                box(t, c, TRACKER_TILE, t->product + j * t->s_plane, t->s_pitch, TRACKER_ROWS, TRACKER_TILE);
                for (unsigned y = 0; y < TRACKER_ROWS; y++)
                    normalise_row(t, c + (size_t)y * TRACKER_TILE, y, row, first + j);
            }
        }
}

static void no_peak(const struct spk_tracker_maps *maps, size_t pixel)
{
    maps->displacement_x[pixel] = maps->displacement_y[pixel] = maps->quality[pixel] = NAN;
}

static void search_pixel(const struct tile *t, unsigned x, unsigned y)
{
    const struct spk_tracker *tracker = t->tracker;
    const struct spk_tracker_maps *maps = tracker->maps;
    int px = t->x0 + (int)x, py = t->y0 + (int)y, rim = (int)tracker->window;
    size_t pixel = (size_t)py * tracker->width + (size_t)px, map = (size_t)TRACKER_ROWS * TRACKER_TILE;
    const float *c = t->correlation + (size_t)y * TRACKER_TILE + x;
    struct spk_tracker_range rows =
        spk_tracker_range_px(py, tracker->guess_y, (int)tracker->shift, rim, (int)tracker->height);
    struct spk_tracker_range columns =
        spk_tracker_range_px(px, tracker->guess_x, (int)tracker->shift, rim, (int)tracker->width);
    int best_row = -1, best_column = -1;
    float best = -1;
    no_peak(maps, pixel);
    if (px < rim || py < rim || px >= (int)tracker->width - rim || py >= (int)tracker->height - rim)
        return;
    for (int i = rows.first; i <= rows.last; i++)
        for (int j = columns.first; j <= columns.last; j++) {
            float value = c[((size_t)i * t->span + (size_t)j) * map];
            if (value > best) {
                best = value;
                best_row = i;
                best_column = j;
            }
        }
    if (best_row <= rows.first || best_row >= rows.last || best_column <= columns.first ||
        best_column >= columns.last) /* nothing found, or on the rim: the true peak may lie beyond */
        return;
    float around[3][3], dx, dy;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            around[i][j] = c[((size_t)(best_row + i - 1) * t->span + (size_t)(best_column + j - 1)) * map];
    if (!spk_peak_find((enum spk_tracker_peak)tracker->config.peak, around, &dx, &dy))
        return;
    maps->displacement_x[pixel] = (float)((int)tracker->shift - best_column + tracker->guess_x) - dx;
    maps->displacement_y[pixel] = (float)((int)tracker->shift - best_row + tracker->guess_y) - dy;
    maps->quality[pixel] = best;
}

unsigned tracker_search_tiles(const struct spk_tracker *tracker)
{
    return ((tracker->width + TRACKER_TILE - 1) / TRACKER_TILE) *
           ((tracker->height + TRACKER_ROWS - 1) / TRACKER_ROWS);
}

void tracker_search_tile(void *context, unsigned task, unsigned worker)
{
    const struct spk_tracker *tracker = context;
    unsigned across = (tracker->width + TRACKER_TILE - 1) / TRACKER_TILE;
    struct tile tile, *t = &tile;
    lay_out(t, tracker, tracker->scratch + worker * tracker->scratch_size);
    t->x0 = (int)(task % across) * TRACKER_TILE;
    t->y0 = (int)(task / across) * TRACKER_ROWS;
    load(t);
    unsigned columns = (unsigned)spk_match_round(TRACKER_TILE + t->span - 1, SPK_MATCH_STEP);
    window_sums(t, t->s1, TRACKER_TILE, t->s, t->s_plane, t->s_pitch, TRACKER_ROWS, TRACKER_TILE, false);
    window_sums(t, t->s2, TRACKER_TILE, t->s, t->s_plane, t->s_pitch, TRACKER_ROWS, TRACKER_TILE, true);
    window_sums(t, t->r1, t->r_pitch, t->r, t->r_plane, t->r_pitch, t->c_rows, columns, false);
    window_sums(t, t->r2, t->r_pitch, t->r, t->r_plane, t->r_pitch, t->c_rows, columns, true);
    correlate(t);
    for (unsigned y = 0; y < TRACKER_ROWS && t->y0 + (int)y < (int)tracker->height; y++)
        for (unsigned x = 0; x < TRACKER_TILE && t->x0 + (int)x < (int)tracker->width; x++)
            search_pixel(t, x, y);
}
