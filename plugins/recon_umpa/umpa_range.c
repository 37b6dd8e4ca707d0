/* Which shifts a tile has to look at: cells of a few hundred equations each find their own shift, and the tile searches
 * between the outermost of them. */
#include "umpa_tile.h"

#include <string.h>

enum {
    CELL_COLUMNS = 16,
    CELL_ROWS = 8,  /* of which only as many are looked at as EQUATIONS ask for */
    EQUATIONS = 40, /* frames times rows */
    PAD = 1,        /* shifts round what the cells found */
    CELLS_MAX = 64, /* across a tile */
    LINE_MAX = CELLS_MAX * CELL_COLUMNS + 2 * SPK_UMPA_SHIFT_MAX + 4 * SPK_MATCH_STEP,
};

/* Cells side by side: rows `y` to y + rows of the sample block. */
struct band {
    unsigned y, rows, cells;
    float s[CELLS_MAX];     /* sum of the sample */
    float score[CELLS_MAX]; /* best so far */
    unsigned row[CELLS_MAX], column[CELLS_MAX];
};

static float sum_cell(const float *from)
{
    float part[4] = {0};
    for (unsigned i = 0; i < CELL_COLUMNS; i += 4)
        for (unsigned l = 0; l < 4; l++)
            part[l] += from[i + l];
    return part[0] + part[1] + (part[2] + part[3]);
}

/* out[x] = sum over a cell's rows and columns that begins at x of a plane. */
static void box_row(const struct umpa_tile *t, float *out, const float *plane, size_t pitch, unsigned y,
                    unsigned rows, unsigned width)
{
    float line[LINE_MAX] = {0}, one[CELL_COLUMNS];
    for (unsigned i = 0; i < CELL_COLUMNS; i++)
        one[i] = 1;
    for (unsigned i = 0; i < rows; i++)
        t->u->ops->accumulate(line, plane + (y + i) * pitch, t->one, pitch);
    t->u->ops->taps(out, line, 1, one, CELL_COLUMNS, width);
}

/* The best of a few shifts of one row, each cell for itself: s = T + K q, mean taken out. */
static void score_cells(struct band *b, const float *product, size_t pitch, unsigned row, unsigned column,
                        const float *q, const float *qq, unsigned shifts, float equations)
{
    for (unsigned j = 0; j < shifts; j++, product += pitch)
        for (unsigned c = 0; c < b->cells; c++) {
            unsigned at = c * CELL_COLUMNS;
            float mean = q[column + j + at] / equations;
            float rest = qq[column + j + at] - mean * q[column + j + at];
            float cross = sum_cell(product + at) - mean * b->s[c];
            float score = cross > 0 && rest > 0 ? cross * cross / rest : 0;
            if (score > b->score[c]) {
                b->score[c] = score;
                b->row[c] = row;
                b->column[c] = column + j;
            }
        }
}

static void search_band(const struct umpa_tile *t, struct band *b)
{
    const struct spk_umpa *u = t->u;
    const unsigned span = 2 * u->search_shift + 1, frames = u->used_count;
    const unsigned wide = (unsigned)spk_match_round(t->s_pitch + 2 * u->search_shift, SPK_MATCH_STEP);
    float line[LINE_MAX], q[LINE_MAX], qq[LINE_MAX];
    box_row(t, line, t->s_sum, t->s_pitch, b->y, b->rows, t->s_pitch);
    for (unsigned c = 0; c < b->cells; c++)
        b->s[c] = line[c * CELL_COLUMNS];
    for (unsigned row = 0; row < span; row++) {
        box_row(t, q, t->q_sum, t->r_pitch, b->y + row, b->rows, wide);
        box_row(t, qq, t->qq_sum, t->r_pitch, b->y + row, b->rows, wide);
        for (unsigned first = 0; first < span; first += UMPA_CHUNK) {
            unsigned shifts = span - first < UMPA_CHUNK ? span - first : UMPA_CHUNK;
            u->ops->cross(t->product[0], t->s_pitch, t->s + (size_t)b->y * frames * t->s_pitch, t->s_pitch,
                          t->r + (size_t)(b->y + row) * frames * t->r_pitch + first, t->r_pitch,
                          b->rows * frames, t->s_pitch, shifts);
            score_cells(b, t->product[0], t->s_pitch, row, first, q, qq, shifts,
                        (float)(b->rows * frames * CELL_COLUMNS));
        }
    }
}

static void widen(struct umpa_range *range, unsigned row, unsigned column)
{
    range->x0 = column < range->x0 ? column : range->x0;
    range->x1 = column > range->x1 ? column : range->x1;
    range->y0 = row < range->y0 ? row : range->y0;
    range->y1 = row > range->y1 ? row : range->y1;
}

struct umpa_range umpa_tile_range(const struct umpa_tile *t)
{
    const struct spk_umpa *u = t->u;
    const unsigned last = 2 * u->search_shift;
    if (u->config.refine == 0)
        return (struct umpa_range){0, last, 0, last};
    struct umpa_range range = {last, 0, last, 0};
    unsigned rows = (EQUATIONS + u->used_count - 1) / u->used_count;
    struct band band = {.rows = rows < CELL_ROWS ? rows : CELL_ROWS, .cells = t->s_pitch / CELL_COLUMNS};
    for (; band.y + band.rows <= t->s_rows; band.y += CELL_ROWS) {
        memset(band.score, 0, sizeof band.score);
        search_band(t, &band);
        for (unsigned c = 0; c < band.cells; c++)
            if (band.score[c] > 0)
                widen(&range, band.row[c], band.column[c]);
    }
    if (range.x0 > range.x1)
        widen(&range, u->search_shift, u->search_shift);
    return umpa_range_grow(range, PAD, PAD, PAD, PAD, last);
}

static unsigned lower(unsigned value, unsigned by)
{
    return value > by ? value - by : 0;
}

static unsigned higher(unsigned value, unsigned by, unsigned last)
{
    return value + by < last ? value + by : last;
}

struct umpa_range umpa_range_grow(struct umpa_range r, unsigned left, unsigned right, unsigned up,
                                  unsigned down, unsigned last)
{
    return (struct umpa_range){lower(r.x0, left), higher(r.x1, right, last), lower(r.y0, up),
                               higher(r.y1, down, last)};
}
