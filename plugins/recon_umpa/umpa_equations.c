/* The normal equations of every pixel in (T, K, ux, uy), from the moments of its piece. */
#include "umpa_piece.h"

#include <string.h>

enum { COLUMNS = PIECE_COLUMNS, ROWS = PIECE_ROWS, CELLS = COLUMNS / UMPA_CELL_COLUMNS };

size_t umpa_equations_scratch(const struct spk_umpa *u)
{
    struct umpa_piece piece;
    return umpa_piece_lay_out(&piece, u, NULL);
}

static void equations_row(const struct umpa_piece *p, unsigned row)
{
    struct spk_umpa *u = p->u;
    const size_t y = p->y0 + row, at = y * u->width + p->x0, in = (size_t)row * COLUMNS;
    struct spk_mean_row local = {.mean = u->mean,
                                 .reference_usable = u->reference_whole ? NULL : u->reference_usable,
                                 .usable = u->usable + y * u->pitch + p->x0,
                                 .pitch = u->pitch,
                                 .width = u->width,
                                 .height = u->height,
                                 .x = p->x0,
                                 .y = (unsigned)y,
                                 .count = p->width,
                                 .ux = p->x + in,
                                 .uy = p->y + in,
                                 .value = p->mean,
                                 .slope_x = p->mean_x,
                                 .slope_y = p->mean_y,
                                 .weight = p->row_weight};
    u->ops->mean(&local);
    struct spk_normal_row normal = {.moment = p->moment + in,
                                    .moment_plane = ROWS * COLUMNS,
                                    .base = p->base,
                                    .width = p->width,
                                    .transmission = u->param[PARAM_T] + at,
                                    .contrast = u->param[PARAM_K] + at,
                                    .ux = p->x + in,
                                    .uy = p->y + in,
                                    .at_x = u->param[PARAM_X] + at,
                                    .at_y = u->param[PARAM_Y] + at,
                                    .mean = p->mean,
                                    .mean_x = p->mean_x,
                                    .mean_y = p->mean_y,
                                    .weight = p->row_weight,
                                    .origin = {1, 1, (float)u->guess_x, (float)u->guess_y},
                                    .noise_reference = u->noise_reference,
                                    .noise_sample = u->noise_sample,
                                    .spline = &u->spline,
                                    .out = umpa_normal(p->level, 0, y, p->x0),
                                    .plane = p->level->plane};
    u->ops->normal(&normal);
}

/* The equations of each coarser level are means over 2 x 2 of those of the finer. */
static void halve_piece(const struct umpa_piece *p)
{
    const struct spk_umpa *u = p->u;
    for (unsigned l = 0; l + 1 < UMPA_LEVELS; l++) {
        const struct umpa_level *from = &u->equations[l], *to = &u->equations[l + 1];
        const unsigned first = p->x0 >> (l + 1), rest = to->width - first, block = (2u << l) - 1;
        const unsigned count = (p->width + block) >> (l + 1);
        for (unsigned y = p->y0 >> l; y < from->height && y < (p->y0 + ROWS) >> l; y += 2) {
            const float *above = umpa_normal(from, 0, y, 2 * first),
                        *below = umpa_normal(from, 0, y + 1, 2 * first);
            float *out = umpa_normal(to, 0, y / 2, first);
            for (unsigned q = 0; q < SPK_NORMALS; q++)
                u->ops->halve(out + q * to->plane, above + q * from->plane, below + q * from->plane,
                              rest < count ? rest : count);
        }
    }
}

/* The equations of a piece, or of some cells of one side by side. */
static void make_piece(struct umpa_piece *p, bool keep, unsigned worker)
{
    struct spk_umpa *u = p->u;
    umpa_piece_lay_out(p, u, umpa_scratch(u, worker));
    umpa_piece_moments(p, keep);
    for (unsigned row = 0; row < p->height; row++)
        equations_row(p, row);
    if (p->level == &u->field)
        return;
    if (u->config.window == 0)
        halve_piece(p);
    umpa_levels_repeat(u, p->x0, p->width, p->y0, p->y0 + p->height);
}

static unsigned less(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

void umpa_equations_rows(struct spk_umpa *u, unsigned first, unsigned last, unsigned worker)
{
    for (unsigned y = first; y < last; y += ROWS)
        for (unsigned x = 0; x < u->width; x += COLUMNS) {
            struct umpa_piece piece = {.u = u,
                                       .level = &u->field,
                                       .x0 = x,
                                       .y0 = y,
                                       .width = less(u->width - x, COLUMNS),
                                       .height = less(last - y, ROWS)};
            make_piece(&piece, false, worker);
        }
}

struct pieces {
    struct spk_umpa *u;
    unsigned first; /* row of pieces */
    bool keep;      /* all cells have moved then */
};

/* Cells of a piece that have moved are made together where they lie side by side. */
static void piece_task(void *context, unsigned task, unsigned worker)
{
    const struct pieces *pieces = context;
    struct spk_umpa *u = pieces->u;
    const unsigned across = umpa_pieces_across(u), row = pieces->first + task / across;
    if (row >= umpa_pieces_down(u))
        return;
    const uint8_t *moved = u->moved + (size_t)row * umpa_cells_across(u);
    const unsigned first = task % across * CELLS, last = less(first + CELLS, umpa_cells_across(u));
    for (unsigned i = first, end; i < last; i = end + 1) {
        for (end = i; end < last && moved[end];)
            end++;
        if (end == i)
            continue;
        struct umpa_piece piece = {.u = u,
                                   .level = &u->equations[0],
                                   .x0 = i * UMPA_CELL_COLUMNS,
                                   .y0 = row * ROWS,
                                   .width = less(u->width, end * UMPA_CELL_COLUMNS) - i * UMPA_CELL_COLUMNS,
                                   .height = less(u->height - row * ROWS, ROWS)};
        make_piece(&piece, pieces->keep, worker);
    }
}

void umpa_equations(struct spk_umpa *u, unsigned band, bool keep)
{
    struct pieces pieces = {u, band * UMPA_BAND / ROWS, keep};
    spk_team_run(u->team, piece_task, &pieces, umpa_pieces_across(u) * UMPA_BAND / ROWS);
}
