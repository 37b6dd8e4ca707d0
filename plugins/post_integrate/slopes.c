/* Takes the measured slopes apart: an affine gradient field, integrated in closed form and so exact in single precision however
 * strong a tilt or defocus is, and the rest, in which invalid pixels are filled in. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Sums over good pixels; x and y from the middle of the map. */
struct sums {
    double weight[SUMS];
    double u[3], v[3]; /* of u, x u, y u; of v, x v, y v */
    struct box box;    /* around the good pixels; empty: bottom 0 */
};

spk_status slopes_create(struct slopes *slopes, uint32_t height, uint32_t width, size_t stride,
                         struct spk_team *team, struct spk_error *error)
{
    slopes->height = height;
    slopes->width = width;
    slopes->stride = stride;
    slopes->team = team;
    slopes->rows = integrate_rows_best();
    slopes->band = integrate_memory(tasks(height, BAND), sizeof *slopes->band);
    if (!slopes->band)
        return spk_fail(error, SPK_NOMEM, "no memory for a map of %ux%u pixels", width, height);
    return fill_create(&slopes->fill, height, width, team, error);
}

void slopes_destroy(struct slopes *slopes)
{
    fill_destroy(&slopes->fill);
    free(slopes->band);
    slopes->band = NULL;
}

void slopes_place(struct slopes *slopes, struct spk_scratch_cut *cut)
{
    const size_t pixels = slopes->height * slopes->stride;
    slopes->gx = spk_scratch_take(cut, pixels, sizeof *slopes->gx);
    slopes->gy = spk_scratch_take(cut, pixels, sizeof *slopes->gy);
    slopes->good = spk_scratch_take(cut, pixels, sizeof *slopes->good);
    fill_place(slopes->fill, cut);
}

struct take_job {
    struct slopes *slopes;
    const float *ux, *uy;
    const uint8_t *valid;
};

/* Enlarges `box` by the good pixels of row `y`, of which there is one at least. */
static void enlarge_box(struct box *box, uint32_t y, const uint8_t *good, uint32_t width)
{
    uint32_t left = (uint32_t)((const uint8_t *)memchr(good, 1, width) - good), right = width;
    while (!good[right - 1])
        right--;
    if (box->bottom == 0)
        *box = (struct box){y, y + 1, left, right};
    box->bottom = y + 1;
    box->left = left < box->left ? left : box->left;
    box->right = right > box->right ? right : box->right;
}

static void rate_band(void *context, unsigned band, unsigned worker)
{
    const struct take_job *job = context;
    struct slopes *s = job->slopes;
    struct sums sums = {{0}, {0}, {0}, {0, 0, 0, 0}};
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        size_t at = (size_t)y * s->width;
        uint8_t *good = s->good + y * s->stride;
        float row[SUMS_X];
        s->rows->rate(job->ux + at, job->uy + at, job->valid ? job->valid + at : NULL, s->width, good);
        s->rows->sum(job->ux + at, job->uy + at, good, s->width, row);
        if (row[0] > 0)
            enlarge_box(&sums.box, y, good, s->width);
        double dy = y - 0.5 * (s->height - 1);
        const double weight[SUMS] = {row[0], row[1], dy * row[0], row[2], dy * row[1], dy * dy * row[0]};
        const double u[3] = {row[3], row[4], dy * row[3]}, v[3] = {row[5], row[6], dy * row[5]};
        for (int i = 0; i < SUMS; i++)
            sums.weight[i] += weight[i];
        for (int i = 0; i < 3; i++) {
            sums.u[i] += u[i];
            sums.v[i] += v[i];
        }
    }
    s->band[band] = sums;
}

static void add_sums(struct sums *total, const struct sums *band)
{
    for (int i = 0; i < SUMS; i++)
        total->weight[i] += band->weight[i];
    for (int i = 0; i < 3; i++) {
        total->u[i] += band->u[i];
        total->v[i] += band->v[i];
    }
    if (band->box.bottom == 0)
        return;
    if (total->box.bottom == 0)
        total->box = band->box;
    total->box.bottom = band->box.bottom;
    total->box.left = band->box.left < total->box.left ? band->box.left : total->box.left;
    total->box.right = band->box.right > total->box.right ? band->box.right : total->box.right;
}

static void detrend_band(void *context, unsigned band, unsigned worker)
{
    const struct take_job *job = context;
    struct slopes *s = job->slopes;
    const struct affine *p = &s->affine;
    double dx = -0.5 * (s->width - 1);
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        size_t from = (size_t)y * s->width, to = y * s->stride;
        double dy = y - 0.5 * (s->height - 1);
        s->rows->detrend(job->ux + from, s->good + to, s->width, p->a + p->c * dy + p->b * dx, p->b,
                         s->gx + to);
        s->rows->detrend(job->uy + from, s->good + to, s->width, p->d + p->f * dy + p->c * dx, p->c,
                         s->gy + to);
    }
}

struct move_job {
    struct slopes *slopes;
    struct affine part;
};

/* Adds `part` to gx and gy. */
static void move_band(void *context, unsigned band, unsigned worker)
{
    const struct move_job *job = context;
    struct slopes *s = job->slopes;
    const struct affine *p = &job->part;
    (void)worker;
    for (uint32_t y = band * BAND; y < (band + 1) * BAND && y < s->height; y++) {
        float *gx = s->gx + y * s->stride, *gy = s->gy + y * s->stride;
        double dy = y - 0.5 * (s->height - 1), middle = 0.5 * (s->width - 1);
        for (uint32_t x = 0; x < s->width; x++) {
            double dx = x - middle;
            gx[x] = (float)(gx[x] + p->a + p->b * dx + p->c * dy);
            gy[x] = (float)(gy[x] + p->d + p->c * dx + p->f * dy);
        }
    }
}

static void move_affine(struct slopes *slopes, struct affine part)
{
    struct move_job job = {slopes, part};
    spk_team_run(slopes->team, move_band, &job, tasks(slopes->height, BAND));
    take_affine(&slopes->affine, &part);
}

static void measure_edges(const float *first, const float *second, size_t step, uint32_t count,
                          uint32_t apart, double plane[3])
{
    struct edge_sums sums = {0, 0, 0, 0};
    for (uint32_t i = 0; i < count; i++)
        add_edges(&sums, (double)first[i * step], (double)second[i * step], i - 0.5 * (count - 1));
    fit_edges(&sums, (int)count, (int)apart, plane);
}

/* Chooses the affine part anew, so that the slopes across the edges of the box vanish on average. */
static void flatten_edges(struct slopes *s, const struct box *box)
{
    uint32_t height = box->bottom - box->top, width = box->right - box->left;
    const float *gx = s->gx + box->top * s->stride + box->left,
                *gy = s->gy + box->top * s->stride + box->left;
    double u[3], v[3], x = 0.5 * (box->left + box->right - (double)s->width),
                       y = 0.5 * (box->top + box->bottom - (double)s->height);
    measure_edges(gx, gx + width - 1, s->stride, height, width - 1, u);
    measure_edges(gy, gy + (height - 1) * s->stride, 1, width, height - 1, v);
    move_affine(s, flat_affine(u, v, x, y));
}

void slopes_take(struct slopes *slopes, const float *ux, const float *uy, const uint8_t *valid)
{
    struct take_job job = {slopes, ux, uy, valid};
    uint32_t bands = tasks(slopes->height, BAND);
    spk_team_run(slopes->team, rate_band, &job, bands);
    struct sums total = {{0}, {0}, {0}, {0, 0, 0, 0}};
    for (uint32_t band = 0; band < bands; band++)
        add_sums(&total, &slopes->band[band]);
    slopes->affine = fit_affine(total.weight, total.u, total.v);
    spk_team_run(slopes->team, detrend_band, &job, bands);
    double good = total.weight[SUM_1], all = (double)slopes->height * slopes->width;
    const struct box *box = &total.box;
    if (good < 1)
        return;
    if (good < (double)(box->bottom - box->top) * (box->right - box->left))
        fill_run(slopes->fill, slopes->gx, slopes->gy, slopes->good, slopes->stride);
    if (slopes->flat_edges)
        flatten_edges(slopes, box);
    if (good < all)
        border_extend(slopes, *box);
}

void slopes_restore(struct slopes *slopes)
{
    move_affine(slopes, slopes->affine);
}
