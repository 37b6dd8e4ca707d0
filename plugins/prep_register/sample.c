/* Where the sample stands in each frame of its own scan: in tiles of the frame a preliminary model of what all frames show, from
 * windows of a few pixels; then how each frame differs from that, as a displacement of the sample and of the pattern. */
#include "internal.h"

#include <math.h>
#include <speckled/num_image.h>
#include <string.h>

/* What one pixel of one frame says: sample = T one + K pattern + K du . against, the last two being minus the slope of the
 * pattern; all 0 where the pixel is not in view. */
enum { SAMPLE, ONE, PATTERN, AGAINST_Y, AGAINST_X, VALUES };
/* Unknowns of a pixel: T, K, and K times what is missing in its displacement. */
enum { UNKNOWNS = 4, PAIRS = UNKNOWNS * (UNKNOWNS + 1) / 2, SUMS = PAIRS + UNKNOWNS };
enum { AREA = TILE * TILE, PASSES = 3, ROUNDS = 5, FRAMES_LEAST = UNKNOWNS + 1 };

struct tile {
    const struct spk_register *self;
    uint32_t top, left;
    float mean;            /* of the reference */
    float *value;          /* [count][VALUES][AREA] */
    float *sum;            /* [SUMS][AREA]; once solved the inverse of the matrices, then the solutions */
    float *smoothed;       /* [4][AREA] T, K, displacement along y, x, for their slopes */
    float *variance;       /* [AREA] */
    float *spare;          /* [AREA] */
    float *u;              /* [2][AREA] displacement along y, x */
    struct move_sums *out; /* [count] */
};

/* Value and slopes of a frame between its pixels. False beyond its border. */
static inline bool spline_at(const struct spk_register *self, const float *coefficient, float y, float x,
                             float out[3])
{
    const float floor_y = floorf(y), floor_x = floorf(x);
    if (!(floor_y >= 1 && floor_x >= 1 && floor_y + 3 <= (float)self->height &&
          floor_x + 3 <= (float)self->width))
        return false;
    float wy[4], dy[4], wx[4], dx[4];
    spk_spline_px(y - floor_y, wy, dy);
    spk_spline_px(x - floor_x, wx, dx);
    const float *c = coefficient + ((size_t)floor_y - 1) * self->width + (size_t)floor_x - 1;
    out[0] = out[1] = out[2] = 0;
    for (int j = 0; j < 4; j++, c += self->width) {
        float value = wx[0] * c[0] + wx[1] * c[1] + wx[2] * c[2] + wx[3] * c[3];
        out[0] += wy[j] * value;
        out[1] += dy[j] * value;
        out[2] += wy[j] * (dx[0] * c[0] + dx[1] * c[1] + dx[2] * c[2] + dx[3] * c[3]);
    }
    return true;
}

static void read_frame(const struct tile *t, uint32_t k)
{
    const struct spk_register *self = t->self;
    const size_t pixels = (size_t)self->height * self->width;
    const struct move *move = &self->search.move[k];
    float *value = t->value + (size_t)k * VALUES * AREA;
    memset(value, 0, sizeof *value * VALUES * AREA);
    if (!in_both(self, k))
        return;
    for (uint32_t i = 0; i < AREA; i++) {
        const uint32_t row = t->top + i / TILE, column = t->left + i % TILE;
        const float y = (float)row + move->sample.y, x = (float)column + move->sample.x;
        float sample[3], reference[3];
        if (!spline_at(self, self->shifted.data + k * pixels, y, x, sample) ||
            !spline_at(self, self->moved.data + k * pixels, y - move->pattern.y - t->u[i],
                       x - move->pattern.x - t->u[AREA + i], reference))
            continue;
        value[SAMPLE * AREA + i] = sample[0] * (1 - move->gain);
        value[ONE * AREA + i] = t->mean;
        value[PATTERN * AREA + i] = reference[0] - t->mean;
        value[AGAINST_Y * AREA + i] = -reference[1];
        value[AGAINST_X * AREA + i] = -reference[2];
    }
}

static void add_products(float *restrict to, const float *restrict a, const float *restrict b)
{
    for (int i = 0; i < AREA; i++)
        to[i] += a[i] * b[i];
}

/* Weighted mean over the window, or what of it lies in the tile. */
static void smooth(const struct tile *t, float *plane)
{
    const float *weight = t->self->search.window, *share = t->self->search.share;
    const int radius = (int)t->self->search.radius;
    memset(t->spare, 0, sizeof *t->spare * AREA);
    for (int j = -radius; j <= radius; j++)
        for (int y = j < 0 ? -j : 0; y < TILE && y + j < TILE; y++)
            for (int x = 0; x < TILE; x++)
                t->spare[y * TILE + x] += weight[j + radius] * plane[(y + j) * TILE + x];
    memset(plane, 0, sizeof *plane * AREA);
    for (int y = 0; y < TILE; y++) {
        for (int j = -radius; j <= radius; j++) {
            const int first = j < 0 ? -j : 0, end = j > 0 ? TILE - j : TILE;
            for (int x = first; x < end; x++)
                plane[y * TILE + x] += weight[j + radius] * t->spare[y * TILE + x + j];
        }
        for (int x = 0; x < TILE; x++)
            plane[y * TILE + x] /= share[y] * share[x];
    }
}

static void sum_frames(const struct tile *t)
{
    memset(t->sum, 0, sizeof *t->sum * SUMS * AREA);
    for (uint32_t k = 0; k < t->self->count; k++) {
        const float *value = t->value + (size_t)k * VALUES * AREA;
        for (int a = 0; a < UNKNOWNS; a++) {
            for (int b = 0; b <= a; b++)
                add_products(t->sum + triangle(a, b) * AREA, value + (ONE + a) * AREA,
                             value + (ONE + b) * AREA);
            add_products(t->sum + (PAIRS + a) * AREA, value + (ONE + a) * AREA, value + SAMPLE * AREA);
        }
    }
    for (int i = 0; i < SUMS; i++)
        smooth(t, t->sum + i * AREA);
}

/* Each pixel's equations: their inverse in place of the matrix, the solution in place of the right side. */
static void solve_pixels(const struct tile *t)
{
    for (int i = 0; i < AREA; i++) {
        double a[PAIRS], b[UNKNOWNS], x[UNKNOWNS];
        for (int j = 0; j < PAIRS; j++)
            a[j] = (double)t->sum[j * AREA + i];
        for (int j = 0; j < UNKNOWNS; j++) {
            a[triangle(j, j)] *= 1 + 1e-4;
            b[j] = (double)t->sum[(PAIRS + j) * AREA + i];
        }
        bool good = register_invert(a, UNKNOWNS);
        register_apply(a, UNKNOWNS, b, x);
        for (int j = 0; j < PAIRS; j++)
            t->sum[j * AREA + i] = good ? (float)a[j] : 0;
        for (int j = 0; j < UNKNOWNS; j++)
            t->sum[(PAIRS + j) * AREA + i] = good ? (float)x[j] : 0;
    }
}

/* The model of a pixel of a frame, by the solution. */
static inline float model_at(const struct tile *t, const float *value, int i)
{
    const float *solution = t->sum + PAIRS * AREA + i;
    float sum = 0;
    for (int a = 0; a < UNKNOWNS; a++)
        sum += solution[a * AREA] * value[(ONE + a) * AREA + i];
    return sum;
}

/* What windows blur of the maps, the same windows find in what is left: twicing (Tukey, Exploratory Data Analysis, 1977). */
static void sharpen(const struct tile *t)
{
    float *right = t->smoothed;
    memset(right, 0, sizeof *right * UNKNOWNS * AREA);
    for (uint32_t k = 0; k < t->self->count; k++) {
        const float *value = t->value + (size_t)k * VALUES * AREA;
        for (int i = 0; i < AREA; i++) {
            const float rest = value[SAMPLE * AREA + i] - model_at(t, value, i);
            for (int a = 0; a < UNKNOWNS; a++)
                right[a * AREA + i] += value[(ONE + a) * AREA + i] * rest;
        }
    }
    for (int a = 0; a < UNKNOWNS; a++)
        smooth(t, right + a * AREA);
    for (int i = 0; i < AREA; i++)
        for (int a = 0; a < UNKNOWNS; a++)
            for (int b = 0; b < UNKNOWNS; b++)
                t->sum[(PAIRS + a) * AREA + i] += t->sum[triangle(a, b) * AREA + i] * right[b * AREA + i];
}

static float bounded(float step)
{
    return fminf(fmaxf(step, -0.7f), 0.7f);
}

static void move_pixels(const struct tile *t)
{
    const float *solution = t->sum + PAIRS * AREA;
    for (int i = 0; i < AREA; i++) {
        float contrast = fmaxf(fabsf(solution[AREA + i]), 0.05f);
        t->u[i] += bounded(solution[2 * AREA + i] / contrast);
        t->u[AREA + i] += bounded(solution[3 * AREA + i] / contrast);
    }
}

/* Each round finds details of the displacement that the last one could not, noise at last: they stay those of a sharpened window. */
static void limit_details(const struct tile *t)
{
    float *fine = t->variance;
    for (int axis = 0; axis < 2; axis++) {
        float *u = t->u + axis * AREA;
        memcpy(fine, u, sizeof *fine * AREA);
        smooth(t, u);
        for (int i = 0; i < AREA; i++)
            fine[i] -= u[i];
        smooth(t, fine);
        for (int i = 0; i < AREA; i++)
            u[i] += fine[i];
    }
}

/* How much of a frame's own value its model takes over: half of what the equations of that pixel alone would say. */
static inline float leverage(const struct tile *t, const float *value, int i)
{
    float sum = 0;
    for (int a = 0; a < UNKNOWNS; a++)
        for (int b = 0; b <= a; b++)
            sum += (a == b ? 1.0f : 2.0f) * t->sum[triangle(a, b) * AREA + i] * value[(ONE + a) * AREA + i] *
                   value[(ONE + b) * AREA + i];
    return 0.5f * fminf(sum, 0.9f);
}

/* Mean square of what the model leaves: noise, and what windows blur. */
static void weigh(const struct tile *t)
{
    memset(t->variance, 0, sizeof *t->variance * AREA);
    for (uint32_t k = 0; k < t->self->count; k++) {
        const float *value = t->value + (size_t)k * VALUES * AREA;
        for (int i = 0; i < AREA; i++) {
            float rest = value[i] - model_at(t, value, i);
            t->variance[i] += rest * rest / (float)t->self->search.frames;
        }
    }
    smooth(t, t->variance);
}

/* The noise of the maps has slopes too: those of maps smoothed once more have less of them. */
static void smooth_maps(const struct tile *t)
{
    memcpy(t->smoothed, t->sum + PAIRS * AREA, 2 * AREA * sizeof *t->smoothed);
    memcpy(t->smoothed + 2 * AREA, t->u, 2 * AREA * sizeof *t->smoothed);
    for (int i = 0; i < 4; i++)
        smooth(t, t->smoothed + i * AREA);
}

static inline float slope(const float *plane, int i, int step)
{
    return (plane[i + step] - plane[i - step]) / 2;
}

/* Derivatives of the model of a frame by its unknowns. */
static void derive(const struct tile *t, const float *value, float model, int i, float by[MOVES])
{
    const float *maps = t->smoothed;
    const float one = value[ONE * AREA + i], *solution = t->sum + PAIRS * AREA + i;
    const float k = solution[AREA], against[2] = {value[AGAINST_Y * AREA + i], value[AGAINST_X * AREA + i]};
    const float pattern = fabsf(k) > 0.05f ? (model - solution[0] * one) / k : 0;
    for (int axis = 0; axis < 2; axis++) {
        const int step = axis == 0 ? TILE : 1;
        by[axis] = -(slope(maps, i, step) * one + slope(maps + AREA, i, step) * pattern +
                     k * (against[0] * slope(maps + 2 * AREA, i, step) +
                          against[1] * slope(maps + 3 * AREA, i, step)));
        by[2 + axis] = k * against[axis];
    }
    by[4] = model;
}

static inline bool usable(const struct tile *t, int i)
{
    const size_t at =
        (size_t)(t->top + (uint32_t)(i / TILE)) * t->self->width + t->left + (uint32_t)(i % TILE);
    return t->self->reference->mask[at] && t->self->sample->mask[at] && t->variance[i] > 0;
}

static void sum_moves(const struct tile *t, uint32_t k)
{
    const float *value = t->value + (size_t)k * VALUES * AREA;
    struct move_sums *out = &t->out[k];
    *out = (struct move_sums){0};
    for (int y = BORDER; y < TILE - BORDER; y++)
        for (int x = BORDER; x < TILE - BORDER; x++) {
            const int i = y * TILE + x;
            if (value[ONE * AREA + i] == 0 || !usable(t, i))
                continue;
            float by[MOVES], model = model_at(t, value, i), rest = value[i] - model;
            const float weight = 1 / t->variance[i], own = weight * (1 - leverage(t, value, i));
            derive(t, value, model, i, by);
            out->light += weight * t->mean * t->mean;
            for (int a = 0; a < MOVES; a++) {
                out->right[a] += weight * by[a] * rest;
                for (int b = 0; b <= a; b++)
                    out->matrix[triangle(a, b)] += own * by[a] * by[b];
            }
        }
}

/* Where the sample displaces the pattern, from the blocks round about. */
static void start(const struct tile *t)
{
    const struct spk_register *self = t->self;
    static const float HALF = 0.5f * SIDE;
    for (uint32_t i = 0; i < AREA; i++) {
        const uint32_t row = t->top + i / TILE, column = t->left + i % TILE;
        const float at_y = (float)row - HALF, at_x = (float)column - HALF;
        float sum = 0, y = 0, x = 0;
        for (uint32_t block = 0; block < self->rows * self->columns; block++) {
            if (!self->found[(size_t)block * self->count].good)
                continue;
            float dy = (float)block_at(self, block / self->columns, self->rows, self->height) - at_y;
            float dx = (float)block_at(self, block % self->columns, self->columns, self->width) - at_x;
            float far = dy * dy + dx * dx + HALF * HALF, weight = 1 / (far * far);
            sum += weight;
            y += weight * self->place[block].y;
            x += weight * self->place[block].x;
        }
        t->u[i] = y / sum;
        t->u[AREA + i] = x / sum;
    }
}

uint32_t register_tiles(uint32_t extent)
{
    uint32_t fit = extent < TILE ? 0 : (extent - 2 * BORDER) / (TILE - 2 * BORDER);
    return fit < TILES_MAX ? fit : TILES_MAX;
}

static uint32_t tile_at(uint32_t index, uint32_t tiles, uint32_t extent)
{
    return tiles > 1 ? index * (extent - TILE) / (tiles - 1) : (extent - TILE) / 2;
}

static float mean_of(const struct spk_register *self, uint32_t top, uint32_t left)
{
    double sum = 0, count = 0;
    for (uint32_t k = 0; k < self->count; k++) {
        const float *from = self->reference->data + ((size_t)k * self->height + top) * self->width + left;
        if (!self->reference->present[k])
            continue;
        for (size_t y = 0; y < TILE; y++)
            for (size_t x = 0; x < TILE; x++)
                sum += (double)from[y * self->width + x];
        count += AREA;
    }
    return (float)(sum / count);
}

enum { PLANES = 6 + SUMS }; /* of a tile's scratch memory, besides those of each frame */

size_t register_tile_floats(uint32_t count)
{
    return (PLANES + (size_t)VALUES * count) * AREA;
}

static struct tile take_tile(struct spk_register *self, unsigned task, float *memory)
{
    const struct sample_search *search = &self->search;
    struct tile tile = {
        .self = self,
        .top = tile_at(task / search->columns, search->rows, self->height),
        .left = tile_at(task % search->columns, search->columns, self->width),
        .spare = memory,
        .variance = memory + AREA,
        .smoothed = memory + 2 * AREA,
        .sum = memory + 6 * AREA,
        .value = memory + PLANES * AREA,
        .u = search->displacement + (size_t)task * 2 * AREA,
        .out = search->sums + (size_t)task * self->count,
    };
    tile.mean = mean_of(self, tile.top, tile.left);
    return tile;
}

static void sum_tile(void *context, unsigned task, unsigned worker)
{
    struct spk_register *self = context;
    struct tile t = take_tile(self, task, self->bench[worker].tile);
    if (self->search.first)
        start(&t);
    else
        limit_details(&t);
    for (int pass = 0; pass < (self->search.first ? PASSES : 1); pass++) {
        for (uint32_t k = 0; k < self->count; k++)
            read_frame(&t, k);
        sum_frames(&t);
        solve_pixels(&t);
        sharpen(&t);
        move_pixels(&t);
    }
    weigh(&t);
    smooth_maps(&t);
    for (uint32_t k = 0; k < self->count; k++)
        sum_moves(&t, k);
}

/* A frame's own values for coefficients: splines then smooth it, by 0.58 px, and sample and reference alike. Without, the noise of
 * the reference's slopes would make the drifts of 300 photons five times as uncertain, and what splines get wrong of a pattern's
 * edges would show in those of 5000. */
static void take_coefficients(void *context, unsigned k, unsigned worker)
{
    struct spk_register *self = context;
    const size_t pixels = (size_t)self->height * self->width;
    float *sample = self->shifted.data + k * pixels, *reference = self->moved.data + k * pixels;
    (void)worker;
    if (!in_both(self, k))
        return;
    memcpy(sample, self->sample->data + k * pixels, pixels * sizeof *sample);
    memcpy(reference, self->reference->data + k * pixels, pixels * sizeof *reference);
}

static void make_window(struct sample_search *s)
{
    static const float SIGMA = 2;
    s->radius = spk_window_gauss(s->window, SIGMA, WINDOW_RADIUS);
    for (int i = 0; i < TILE; i++) {
        s->share[i] = 0;
        for (int j = -(int)s->radius; j <= (int)s->radius; j++)
            s->share[i] += i + j >= 0 && i + j < TILE ? s->window[j + (int)s->radius] : 0;
    }
}

static void search(struct spk_register *self)
{
    register_moves_restart(self);
    for (int round = 0; round < ROUNDS; round++) {
        spk_team_run(self->team, sum_tile, self, self->search.rows * self->search.columns);
        self->search.first = false;
        if (!register_moves_step(self))
            break;
    }
}

/* The frames' coefficients are where the moved frames will be: they are needed before those only. */
const struct spk_drift *spk_register_find_sample(struct spk_register *self)
{
    struct sample_search *s = &self->search;
    make_window(s);
    spk_team_run(self->team, take_coefficients, self, self->count);
    register_moves_begin(self);
    if (s->frames < FRAMES_LEAST)
        return NULL;
    search(self);
    int directions = register_moves_judge(self);
    if (directions < 2)
        search(self);
    for (uint32_t k = 0; k < self->count; k++) {
        self->drift[k] = s->move[k].pattern;
        s->drift[k] = s->move[k].sample;
    }
    return directions ? s->drift : NULL;
}
