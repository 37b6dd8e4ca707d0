/* The nearest vector, level by level from the coarsest, and the peak between the pixels of the image. */
#include "wxst_internal.h"
#include "wxst_px.h"

#include <math.h>

/* A search round one pixel of a level. */
struct search {
    const struct wxst_level *level;
    const float *vector;       /* of the sample */
    float *distance;           /* [rows][columns] */
    int first_x, first_y;      /* px, smallest displacement */
    int columns, rows;         /* displacements; 0: none in view */
    int best_column, best_row; /* -1: none */
};

static float square_distance(const float *a, const float *b, unsigned length)
{
    float sum[WXST_LANES] = {0};
    for (unsigned i = 0; i < length; i += WXST_LANES)
        for (unsigned j = 0; j < WXST_LANES; j++) {
            float d = a[i + j] - b[i + j];
            sum[j] += d * d;
        }
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static const float *reference_vector(const struct search *s, int x, int y, int row, int column)
{
    size_t at = (size_t)(y - s->first_y - row) * s->level->width + (size_t)(x - s->first_x - column);
    return s->level->vector + at * s->level->stride;
}

static void find_nearest(struct search *s, int x, int y)
{
    unsigned length = (s->level->plan.size + WXST_LANES - 1) / WXST_LANES * WXST_LANES;
    float best = INFINITY;
    s->best_row = s->best_column = -1;
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++) {
            float distance = square_distance(s->vector, reference_vector(s, x, y, i, j), length);
            s->distance[i * s->columns + j] = distance;
            if (distance < best) {
                best = distance;
                s->best_row = i;
                s->best_column = j;
            }
        }
}

/* Where to start: twice what the nearest pixel of the coarser image found. */
static void start_at(const struct spk_wxst *w, unsigned p, unsigned x, unsigned y, int *start_x, int *start_y)
{
    *start_x = *start_y = 0;
    if (p == w->levels)
        return;
    const struct wxst_level *coarse = &w->level[p + 1];
    size_t at = (size_t)wxst_coarse_px(y) * coarse->width + wxst_coarse_px(x);
    *start_x = 2 * coarse->shift_x[at];
    *start_y = 2 * coarse->shift_y[at];
}

static void coarse_result(const struct search *s, size_t pixel, int start_x, int start_y)
{
    bool found = s->best_row >= 0;
    s->level->shift_x[pixel] = (int16_t)(found ? s->first_x + s->best_column : start_x);
    s->level->shift_y[pixel] = (int16_t)(found ? s->first_y + s->best_row : start_y);
}

static float square(const float *v, unsigned length)
{
    float sum = 0;
    for (unsigned i = 0; i < length; i++)
        sum += v[i] * v[i];
    return sum;
}

static void fine_result(const struct spk_wxst *w, const struct search *s, int x, int y, size_t pixel)
{
    const struct spk_tracker_maps *maps = w->maps;
    int row = s->best_row, column = s->best_column;
    maps->displacement_x[pixel] = maps->displacement_y[pixel] = maps->quality[pixel] = NAN;
    if (row < 1 || column < 1 || row > s->rows - 2 ||
        column > s->columns - 2) /* nothing found, or on the rim: the true peak may lie beyond */
        return;
    float whole = square(s->vector, s->level->plan.size) +
                  square(reference_vector(s, x, y, row, column), s->level->plan.size);
    float around[3][3], dx, dy;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            around[i][j] = wxst_likeness_px(s->distance[(row + i - 1) * s->columns + column + j - 1], whole);
    if (!spk_peak_find((enum spk_tracker_peak)w->config.peak, around, &dx, &dy))
        return;
    maps->displacement_x[pixel] = (float)(s->first_x + column) + dx;
    maps->displacement_y[pixel] = (float)(s->first_y + row) + dy;
    maps->quality[pixel] = around[1][1];
}

static void search_row(void *context, unsigned task, unsigned worker)
{
    const struct spk_wxst *w = context;
    unsigned p = w->current;
    const struct wxst_level *level = &w->level[p];
    int rim = p ? 0 : (int)w->neighbours; /* coarse pixels may guess from mirrored neighbours */
    float *vector = wxst_scratch(w, worker), *work = vector + w->stride_max;
    for (unsigned x = 0; x < level->width; x++) {
        size_t pixel = (size_t)task * level->width + x;
        struct search s = {.level = level, .vector = vector, .distance = work, .best_row = -1};
        int start_x, start_y;
        start_at(w, p, x, task, &start_x, &start_y);
        bool in_view = (int)x >= rim && (int)task >= rim && (int)x < (int)level->width - rim &&
                       (int)task < (int)level->height - rim;
        if (in_view) {
            s.columns = wxst_span_px(start_x, (int)level->range, (int)level->limit, (int)x, rim,
                                     (int)level->width, &s.first_x);
            s.rows = wxst_span_px(start_y, (int)level->range, (int)level->limit, (int)task, rim,
                                  (int)level->height, &s.first_y);
            wxst_vector(w, p, true, x, task, vector, work);
            find_nearest(&s, (int)x, (int)task);
        }
        if (p)
            coarse_result(&s, pixel, start_x, start_y);
        else
            fine_result(w, &s, (int)x, (int)task, pixel);
    }
}

void wxst_search(struct spk_wxst *w)
{
    for (unsigned p = w->levels + 1; p-- > 0;) {
        w->current = p;
        spk_team_run(w->ratio.team, search_row, w, w->level[p].height);
    }
}
