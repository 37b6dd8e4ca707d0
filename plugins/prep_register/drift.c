/* The drift of each frame: the pattern's displacement block by block and frame by frame, less the block's mean over the frames,
 * which is the sample's; the median over the blocks is the frame's drift. */
#include "internal.h"

#include <math.h>
#include <speckled/num_image.h>

enum { STEPS = 6, LEAST_CORRELATION_PERCENT = 35 };

/* A block of one frame: the sample without its mean, and the reference round it. */
struct block {
    const float *sample;      /* [SIDE][SIDE] */
    double energy;            /* sum of its squares */
    const float *reference;   /* pixel (0, 0) of the block in the reference's frame */
    size_t stride;            /* of the reference's frame */
    const float *coefficient; /* pixel (0, 0) of the block among the spline coefficients */
    size_t patch;             /* their stride */
};

/* Normalised correlation with the reference shifted by (dy, dx), the sample's own norm left out. */
static double correlate(const struct block *block, int dy, int dx)
{
    double sum = 0, square = 0, product = 0;
    for (int y = 0; y < SIDE; y++) {
        const float *s = block->sample + (size_t)y * SIDE;
        const float *r = block->reference + (ptrdiff_t)(y - dy) * (ptrdiff_t)block->stride - dx;
        float row_sum = 0, row_square = 0, row_product = 0;
        for (int x = 0; x < SIDE; x++) {
            row_sum += r[x];
            row_square += r[x] * r[x];
            row_product += r[x] * s[x];
        }
        sum += (double)row_sum;
        square += (double)row_square;
        product += (double)row_product;
    }
    double variance = square - sum * sum / (SIDE * SIDE);
    return variance > 0 ? product / sqrt(variance) : 0;
}

static struct spk_drift best_whole_shift(const struct block *block, int range)
{
    struct spk_drift best = {0, 0};
    double highest = -INFINITY;
    for (int dy = -range; dy <= range; dy++)
        for (int dx = -range; dx <= range; dx++) {
            double score = correlate(block, dy, dx);
            if (score > highest) {
                highest = score;
                best = (struct spk_drift){(float)dy, (float)dx};
            }
        }
    return best;
}

/* Terms of s = a + b m(x - at - step - A x), linear in all but `at`: the shifted reference m, its slopes along x and y, these
 * times the coordinates from the block's centre (A: how the sample's displacement changes over the block, without which it
 * would pass for drift), and the sample s. */
enum { M, X, Y, X_X, X_Y, Y_X, Y_Y, UNKNOWNS, S = UNKNOWNS, TERMS };
struct sums {
    double one[TERMS], two[TERMS][TERMS]; /* two: lower triangle */
};

static void add_row(struct sums *sums, float row[TERMS][SIDE])
{
    for (int a = 0; a < TERMS; a++) {
        float one = 0;
        for (int x = 0; x < SIDE; x++)
            one += row[a][x];
        sums->one[a] += (double)one;
        for (int b = 0; b <= a; b++) {
            float two = 0;
            for (int x = 0; x < SIDE; x++)
                two += row[a][x] * row[b][x];
            sums->two[a][b] += (double)two;
        }
    }
}

/* One row of the terms; value and slope: the reference's coefficients combined along y, by value and by derivative. */
static void fill_row(const float *value, const float *slope, const float weight[4], const float derivative[4],
                     const float *sample, float from_centre, float row[TERMS][SIDE])
{
    for (int x = 0; x < SIDE; x++) {
        float m = 0, along_x = 0, along_y = 0, right = (float)x - 0.5f * (SIDE - 1);
        for (int i = 0; i < 4; i++) {
            m += weight[i] * value[x + i];
            along_x += derivative[i] * value[x + i];
            along_y += weight[i] * slope[x + i];
        }
        row[M][x] = m;
        row[X][x] = along_x;
        row[Y][x] = along_y;
        row[X_X][x] = along_x * right;
        row[X_Y][x] = along_x * from_centre;
        row[Y_X][x] = along_y * right;
        row[Y_Y][x] = along_y * from_centre;
        row[S][x] = sample[x];
    }
}

static struct sums sum_at(const struct block *block, struct spk_drift at)
{
    struct sums sums = {0};
    float wy[4], dy[4], wx[4], dx[4], value[SIDE + 3], slope[SIDE + 3], row[TERMS][SIDE];
    const float floor_y = floorf(-at.y), floor_x = floorf(-at.x);
    spk_spline_px(-at.y - floor_y, wy, dy);
    spk_spline_px(-at.x - floor_x, wx, dx);
    for (int y = 0; y < SIDE; y++) {
        const float *c = block->coefficient + (ptrdiff_t)(y + (int)floor_y - 1) * (ptrdiff_t)block->patch +
                         (int)floor_x - 1;
        for (int x = 0; x < SIDE + 3; x++) {
            value[x] = slope[x] = 0;
            for (int j = 0; j < 4; j++) {
                value[x] += wy[j] * c[(size_t)j * block->patch + (size_t)x];
                slope[x] += dy[j] * c[(size_t)j * block->patch + (size_t)x];
            }
        }
        fill_row(value, slope, wx, dx, block->sample + (size_t)y * SIDE, (float)y - 0.5f * (SIDE - 1), row);
        add_row(&sums, row);
    }
    for (int a = 0; a < TERMS; a++)
        for (int b = 0; b <= a; b++)
            sums.two[a][b] -= sums.one[a] * sums.one[b] / (SIDE * SIDE);
    return sums;
}

/* One Gauss-Newton step, by Cholesky's factors of the sums. False where these do not determine it. */
static bool solve(const struct sums *sums, struct spk_drift *step)
{
    double l[TERMS][TERMS], solution[UNKNOWNS];
    for (int a = 0; a < TERMS; a++)
        for (int b = 0; b <= a && b < UNKNOWNS; b++) {
            double rest = sums->two[a][b];
            for (int i = 0; i < b; i++)
                rest -= l[a][i] * l[b][i];
            if (a == b && !(rest > 1e-6 * sums->two[a][a]))
                return false;
            l[a][b] = a == b ? sqrt(rest) : rest / l[b][b];
        }
    for (int a = UNKNOWNS - 1; a >= 0; a--) {
        solution[a] = l[S][a];
        for (int i = a + 1; i < UNKNOWNS; i++)
            solution[a] -= l[i][a] * solution[i];
        solution[a] /= l[a][a];
    }
    if (!(solution[M] > 0))
        return false;
    step->x = (float)(-solution[X] / solution[M]);
    step->y = (float)(-solution[Y] / solution[M]);
    return true;
}

static float bounded(float step)
{
    return fminf(fmaxf(step, -0.7f), 0.7f);
}

static struct found fit(const struct block *block, struct spk_drift start)
{
    struct spk_drift at = start, step = {1, 1};
    for (int i = 0; i < STEPS && fmaxf(fabsf(step.x), fabsf(step.y)) > 1e-3f; i++) {
        struct sums sums = sum_at(block, at);
        if (!solve(&sums, &step))
            return (struct found){.good = false};
        at.y += bounded(step.y);
        at.x += bounded(step.x);
        if (fabsf(at.y - start.y) > REACH - 0.5f || fabsf(at.x - start.x) > REACH - 0.5f)
            return (struct found){.good = false};
    }
    struct sums sums = sum_at(block, at);
    const double least = LEAST_CORRELATION_PERCENT / 100.0;
    double correlation = sums.two[S][M] / sqrt(sums.two[M][M] * block->energy);
    return (struct found){.shift = at, .good = correlation > least};
}

/* Fills `to` with a block of the sample, its mean taken out; returns the sum of squares. */
static double take_sample(const float *from, size_t stride, float *to)
{
    double sum = 0, energy = 0;
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            sum += (double)from[y * stride + x];
    float mean = (float)(sum / (SIDE * SIDE));
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            float value = to[y * SIDE + x] = from[y * stride + x] - mean;
            energy += (double)(value * value);
        }
    return energy;
}

/* Unusable pixels were given their neighbours' values, which only matters where there are many. */
static bool mostly_usable(const struct spk_register *self, uint32_t top, uint32_t left)
{
    uint32_t usable = 0;
    for (uint32_t y = 0; y < self->patch; y++)
        for (uint32_t x = 0; x < self->patch; x++) {
            size_t i = (size_t)(top - self->margin + y) * self->width + left - self->margin + x;
            usable += self->reference->mask[i] && self->sample->mask[i];
        }
    return usable * 10ull > self->patch * self->patch * 9ull;
}

static void track_block(void *context, unsigned task, unsigned worker)
{
    struct spk_register *self = context;
    float *values = self->bench[worker].sample;
    uint32_t top = block_at(self, task / self->columns, self->rows, self->height);
    uint32_t left = block_at(self, task % self->columns, self->columns, self->width);
    bool usable = mostly_usable(self, top, left);
    for (uint32_t k = 0; k < self->count; k++) {
        size_t first = ((size_t)k * self->height + top) * self->width + left,
               index = (size_t)task * self->count + k;
        self->found[index].good = false;
        if (!usable || !in_both(self, k))
            continue;
        const struct block block = {
            .sample = values,
            .energy = take_sample(self->sample->data + first, self->width, values),
            .reference = self->reference->data + first,
            .stride = self->width,
            .coefficient =
                self->coefficient + index * self->patch * self->patch + self->margin * (self->patch + 1),
            .patch = self->patch,
        };
        self->found[index] = fit(&block, best_whole_shift(&block, (int)self->config.max_shift));
    }
}

/* Takes the mean over the frames, its `place`, out of a block's displacements. False where one of them is missing. */
static bool centre(const struct spk_register *self, struct found *found, struct spk_drift *place)
{
    struct spk_drift mean = {0, 0};
    float frames = 0;
    for (uint32_t k = 0; k < self->count; k++) {
        if (!in_both(self, k))
            continue;
        if (!found[k].good)
            return false;
        mean.y += found[k].shift.y;
        mean.x += found[k].shift.x;
        frames++;
    }
    for (uint32_t k = 0; k < self->count; k++) {
        found[k].shift.y -= mean.y / frames;
        found[k].shift.x -= mean.x / frames;
    }
    *place = (struct spk_drift){mean.y / frames, mean.x / frames};
    return true;
}

/* Median over the blocks that have all frames, whose first is marked good. */
static float median_of(struct spk_register *self, uint32_t k, bool along_x)
{
    uint32_t values = 0;
    for (uint32_t block = 0; block < self->rows * self->columns; block++) {
        const struct found *found = self->found + (size_t)block * self->count;
        if (found->good)
            self->value[values++] = along_x ? found[k].shift.x : found[k].shift.y;
    }
    return spk_median(self->value, values);
}

const struct spk_drift *spk_register_find(struct spk_register *self, const struct spk_stack *sample)
{
    uint32_t blocks = self->rows * self->columns, good = 0, frames = 0;
    self->sample = sample;
    for (uint32_t k = 0; k < self->count; k++)
        frames += in_both(self, k);
    if (frames < 2)
        return NULL;
    spk_team_run(self->team, track_block, self, blocks);
    for (uint32_t block = 0; block < blocks; block++) {
        struct found *found = self->found + (size_t)block * self->count;
        found->good = centre(self, found, &self->place[block]);
        good += found->good;
    }
    if (good * 4 < blocks)
        return NULL;
    for (uint32_t k = 0; k < self->count; k++) {
        bool both = in_both(self, k);
        self->drift[k].y = both ? median_of(self, k, false) : 0;
        self->drift[k].x = both ? median_of(self, k, true) : 0;
    }
    return self->drift;
}
