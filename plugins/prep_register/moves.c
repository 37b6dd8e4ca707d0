/* From the sums over tiles to the drifts of each frame, and whether the sample's stands out of the noise. */
#include "internal.h"

#include <math.h>

/* px: a larger uncertainty says nothing of drift; a smaller step is none. */
static const double UNCERTAIN = 0.2, STEP = 0.01;
static const double LEAST_PACE = 0.2;
/* Of the intensity: what interpolation gets wrong over a whole region, however little noise there is. */
static const double SYSTEMATIC = 1.5e-4;
/* 1/px^2: what holds the sample in place unless the frames say otherwise, and whatever they say. */
static const double LOOSE = 1, FAST = 1e9;

bool register_invert(double *a, int size)
{
    double l[MOVES][MOVES], inverse[MOVES][MOVES];
    for (int i = 0; i < size; i++)
        for (int j = 0; j <= i; j++) {
            double rest = a[triangle(i, j)];
            for (int n = 0; n < j; n++)
                rest -= l[i][n] * l[j][n];
            if (i == j && !(rest > 1e-9 * a[triangle(i, i)]))
                return false;
            l[i][j] = i == j ? sqrt(rest) : rest / l[j][j];
        }
    for (int j = 0; j < size; j++)
        for (int i = j; i < size; i++) {
            double sum = i == j;
            for (int n = j; n < i; n++)
                sum -= l[i][n] * inverse[n][j];
            inverse[i][j] = sum / l[i][i];
        }
    for (int i = 0; i < size; i++)
        for (int j = 0; j <= i; j++) {
            a[triangle(i, j)] = 0;
            for (int n = i; n < size; n++)
                a[triangle(i, j)] += inverse[n][i] * inverse[n][j];
        }
    return true;
}

void register_apply(const double *a, int size, const double *b, double *x)
{
    for (int i = 0; i < size; i++) {
        x[i] = 0;
        for (int j = 0; j < size; j++)
            x[i] += a[triangle(i, j)] * b[j];
    }
}

void register_moves_begin(struct spk_register *self)
{
    struct sample_search *search = &self->search;
    search->first = true;
    search->held = (struct symmetric){LOOSE, 0, LOOSE};
    search->frames = 0;
    for (uint32_t k = 0; k < self->count; k++) {
        search->move[k] = (struct move){.pattern = self->drift[k]};
        search->frames += in_both(self, k);
    }
}

/* The equations of a frame, and the sum of the products of what its tiles ask for: what they do not agree upon. */
struct equations {
    double matrix[MOVE_PAIRS], right[MOVES], unlike[MOVE_PAIRS], light;
};

static struct equations gather(const struct spk_register *self, uint32_t k)
{
    const struct sample_search *search = &self->search;
    const struct move *move = &search->move[k];
    struct equations e = {0};
    for (uint32_t tile = 0; tile < search->rows * search->columns; tile++) {
        const struct move_sums *sums = &search->sums[(size_t)tile * self->count + k];
        e.light += (double)sums->light;
        for (int i = 0; i < MOVE_PAIRS; i++)
            e.matrix[i] += (double)sums->matrix[i];
        for (int i = 0; i < MOVES; i++) {
            e.right[i] += (double)sums->right[i];
            for (int j = 0; j <= i; j++)
                e.unlike[triangle(i, j)] += (double)sums->right[i] * (double)sums->right[j];
        }
    }
    e.matrix[triangle(0, 0)] += search->held.yy;
    e.matrix[triangle(1, 0)] += search->held.yx;
    e.matrix[triangle(1, 1)] += search->held.xx;
    e.right[0] -= search->held.yy * (double)move->sample.y + search->held.yx * (double)move->sample.x;
    e.right[1] -= search->held.yx * (double)move->sample.y + search->held.xx * (double)move->sample.x;
    return e;
}

/* Row a and b of inverse unlike inverse. */
static double sandwich(const struct equations *e, int a, int b)
{
    double row[MOVES], column[MOVES], sum = 0;
    for (int i = 0; i < MOVES; i++)
        column[i] = e->matrix[triangle(b, i)];
    register_apply(e->unlike, MOVES, column, row);
    for (int i = 0; i < MOVES; i++)
        sum += e->matrix[triangle(a, i)] * row[i];
    return sum;
}

static void add_variances(struct sample_search *search, const struct equations *inverted)
{
    const double *inverse = inverted->matrix, tiles = search->rows * search->columns;
    const double share = 1.0 / search->frames, scale = tiles > 1 ? share * tiles / (tiles - 1) : 0;
    search->light += share * inverted->light;
    search->spread.yy += share * inverse[triangle(0, 0)];
    search->spread.yx += share * inverse[triangle(1, 0)];
    search->spread.xx += share * inverse[triangle(1, 1)];
    search->scatter.yy += scale * sandwich(inverted, 0, 0);
    search->scatter.yx += scale * sandwich(inverted, 1, 0);
    search->scatter.xx += scale * sandwich(inverted, 1, 1);
}

static float bounded(double value)
{
    return (float)fmin(fmax(value, -SAMPLE_MAX), SAMPLE_MAX);
}

static void take_mean_out(struct spk_register *self)
{
    struct sample_search *search = &self->search;
    struct move mean = {0};
    for (uint32_t k = 0; k < self->count; k++) {
        mean.sample.y += search->move[k].sample.y / (float)search->frames;
        mean.sample.x += search->move[k].sample.x / (float)search->frames;
        mean.pattern.y += search->move[k].pattern.y / (float)search->frames;
        mean.pattern.x += search->move[k].pattern.x / (float)search->frames;
        mean.gain += search->move[k].gain / (float)search->frames;
    }
    for (uint32_t k = 0; k < self->count; k++) {
        struct move *move = &search->move[k];
        if (!in_both(self, k))
            continue;
        move->sample.y -= mean.sample.y;
        move->sample.x -= mean.sample.x;
        move->pattern.y -= mean.pattern.y;
        move->pattern.x -= mean.pattern.x;
        move->gain -= mean.gain;
    }
}

void register_moves_restart(struct spk_register *self)
{
    self->search.pace = 1;
    for (uint32_t k = 0; k < self->count; k++)
        self->search.move[k].step = self->search.move[k].last = (struct spk_drift){0, 0};
}

/* Where the sample has details of a few pixels, slopes of smoothed maps are less steep than what they stand for, and steps go too far. How much
 * of them is right shows in how the next ones follow them (Irons and Tuck, Int. J. Numer. Meth. Eng. 1, 275 (1969)). */
static double pace_of(const struct sample_search *search, uint32_t count)
{
    double product = 0, square = 0;
    for (uint32_t k = 0; k < count; k++) {
        const struct move *move = &search->move[k];
        const double y = (double)(move->step.y - move->last.y), x = (double)(move->step.x - move->last.x);
        product += (double)move->last.y * y + (double)move->last.x * x;
        square += y * y + x * x;
    }
    return product < 0 ? fmin(fmax(-search->pace * product / square, LEAST_PACE), 1) : search->pace;
}

/* Farthest that a sample goes. */
static double move_samples(struct spk_register *self)
{
    struct sample_search *search = &self->search;
    double farthest = 0;
    search->pace = pace_of(search, self->count);
    for (uint32_t k = 0; k < self->count; k++) {
        struct move *move = &search->move[k];
        const double y = search->pace * (double)move->step.y, x = search->pace * (double)move->step.x;
        move->sample.y = bounded((double)move->sample.y + y);
        move->sample.x = bounded((double)move->sample.x + x);
        move->last = move->step;
        farthest = fmax(farthest, fmax(fabs(y), fabs(x)));
    }
    return farthest;
}

bool register_moves_step(struct spk_register *self)
{
    struct sample_search *search = &self->search;
    double farthest = 0;
    search->spread = search->scatter = (struct symmetric){0, 0, 0};
    search->light = 0;
    for (uint32_t k = 0; k < self->count; k++) {
        struct move *move = &search->move[k];
        struct equations e;
        double step[MOVES];
        move->step = (struct spk_drift){0, 0};
        if (!in_both(self, k))
            continue;
        e = gather(self, k);
        if (!register_invert(e.matrix, MOVES))
            continue;
        register_apply(e.matrix, MOVES, e.right, step);
        add_variances(search, &e);
        move->step = (struct spk_drift){(float)step[0], (float)step[1]};
        move->pattern.y += bounded(step[2]);
        move->pattern.x += bounded(step[3]);
        move->gain += (float)step[4];
        farthest = fmax(farthest, fmax(fabs(step[2]), fabs(step[3])));
    }
    farthest = fmax(farthest, move_samples(self));
    take_mean_out(self);
    return farthest > STEP;
}

static double along(const struct symmetric *matrix, double y, double x)
{
    return matrix->yy * y * y + 2 * matrix->yx * y * x + matrix->xx * x * x;
}

/* Of the sample's drift along a direction. Each frame is in the maps that it is compared with: of its own say in them, four unknowns
 * of a pixel over the frames, the equations know nothing. */
static double variance_of(const struct sample_search *search, double y, double x)
{
    const double spread = along(&search->spread, y, x), scatter = along(&search->scatter, y, x);
    const double seen = 1 - 4.0 / search->frames;
    return fmax(spread, scatter) / (seen * seen) + SYSTEMATIC * SYSTEMATIC * search->light * spread;
}

/* Whether the drifts along a direction are certain, and together more than three standard deviations above the noise: the sum of
 * their squares over the variance is then that of frames - 1 normal variables. */
static bool stands_out(const struct spk_register *self, double y, double x)
{
    const struct sample_search *search = &self->search;
    const double variance = variance_of(search, y, x), freedom = search->frames - 1;
    double sum = 0;
    for (uint32_t k = 0; k < self->count; k++) {
        double drift = y * (double)search->move[k].sample.y + x * (double)search->move[k].sample.x;
        sum += drift * drift;
    }
    return variance > 0 && variance < UNCERTAIN * UNCERTAIN &&
           sum / variance > freedom + 3 * sqrt(2 * freedom);
}

static void put_back(struct spk_register *self, double y, double x)
{
    struct sample_search *search = &self->search;
    search->held.yy += FAST * y * y;
    search->held.yx += FAST * y * x;
    search->held.xx += FAST * x * x;
    for (uint32_t k = 0; k < self->count; k++) {
        struct spk_drift *drift = &search->move[k].sample;
        const float much = (float)(y * (double)drift->y + x * (double)drift->x);
        drift->y -= much * (float)y;
        drift->x -= much * (float)x;
    }
}

int register_moves_judge(struct spk_register *self)
{
    const struct symmetric *spread = &self->search.spread;
    const double angle = 0.5 * atan2(2 * spread->yx, spread->yy - spread->xx);
    const double direction[2][2] = {{cos(angle), sin(angle)}, {-sin(angle), cos(angle)}};
    int kept = 0;
    for (int i = 0; i < 2; i++) {
        if (stands_out(self, direction[i][0], direction[i][1]))
            kept++;
        else
            put_back(self, direction[i][0], direction[i][1]);
    }
    return kept;
}
