/* The parts of recon_umpa among themselves: reference preparation, integer search, sub-pixel refinement. */
#ifndef SPECKLED_UMPA_INTERNAL_H
#define SPECKLED_UMPA_INTERNAL_H

#include "umpa.h"
#include "umpa_px.h"

#include <speckled/half.h>
#include <speckled/num_global.h>
#include <speckled/num_image.h>
#include <speckled/num_match.h>
#include <speckled/num_pace.h>

enum {
    UMPA_ROWS = 16,    /* rows of one task where work goes row by row */
    UMPA_BLOCKS = 256, /* noise blocks a frame at most */
    UMPA_TAPS_MAX = 2 * 128 + 1,

    UMPA_SEARCH_TILE = 64,
    UMPA_SEARCH_ROWS = 32,
    UMPA_CELL_COLUMNS = 16, /* of the search */
    UMPA_CELL_ROWS = 8,
    UMPA_SEARCH_FRAMES = 5,   /* are enough for a first look, spread over all positions */
    UMPA_PIECE_COLUMNS = 128, /* pixels whose equations are made together */
    UMPA_PIECE_ROWS = SPK_CELL_ROWS,
    UMPA_BAND =
        32,       /* rows that a pass of the refinement goes on by; no less than the widest window reaches */
    UMPA_LAG = 3, /* bands that a pass stays behind the one before */
    UMPA_MARGIN = 16, /* columns on either side of a panel of a level's equations */
    UMPA_PANEL = 256, /* columns whose equations lie together */
    UMPA_MIRROR = 2,  /* rows and columns of coefficients continued beyond the image */
    UMPA_BESIDE =
        32, /* columns of a row of coefficients on either side of the image, read and not looked at */
};

enum { PARAM_T, PARAM_K, PARAM_X, PARAM_Y, PARAMS };

struct umpa_block_sum {
    double sum;
    uint64_t count;
};

/* Normal equations averaged over blocks of 1, 2 x 2 or 4 x 4 pixels, and what wider windows on them found. Row y of the image
 * is row y % rows here: the refinement needs a strip of them at a time. The margin above and below repeats what lies at the
 * other end, as far as windows reach. Columns are in panels, so that what a window reads of a plane lies together in memory; the margin
 * beside a panel repeats what is in the next. */
struct umpa_level {
    unsigned height, width, rows;
    unsigned reach;                  /* of all windows: rows of margin, and columns that it repeats */
    unsigned columns, panels;        /* of a panel; how many there are */
    size_t pitch, plane;             /* of a panel's equations, margin included */
    float *normal;                   /* [panels][SPK_NORMALS][plane] */
    size_t found_pitch, found_plane; /* of the estimates */
    float *found; /* [UMPA_RUNGS][2 PARAMS][found_plane] estimates and their errors; not level 0 */
};

static inline float *umpa_normal(const struct umpa_level *level, unsigned q, size_t y, size_t x)
{
    return level->normal + (x / level->columns * SPK_NORMALS + q) * level->plane +
           (y % level->rows + level->reach) * level->pitch + x % level->columns + UMPA_MARGIN;
}

struct umpa_kept; /* umpa_kept.c */

/* What a cell of the search found. */
struct umpa_cell {
    float t, k, x, y;    /* where `single` */
    uint8_t row, column; /* of the best among the shifts */
    bool found;          /* there is a best shift */
    bool single;         /* one displacement explains all of it */
    bool plain;          /* the displacement goes on evenly to the cells round it */
    bool steep;          /* plain, and one of them has moved otherwise by more than a third of a pixel */
};

struct spk_umpa {
    struct spk_umpa_config config;
    const struct spk_match_ops *ops;
    struct spk_team *team;
    unsigned workers;
    unsigned count, height, width;
    size_t pitch, plane;      /* floats a row of internal planes, floats a plane */
    int guess_x, guess_y;     /* px */
    bool stepping;            /* frames have different offsets */
    int *offset_x, *offset_y; /* [count] */
    struct spk_spline_noise spline;

    /* integer search and averaging windows */
    unsigned search_radius, search_shift;
    float search_weight[UMPA_TAPS_MAX];
    struct umpa_cell *cell; /* [down][across] */
    struct umpa_kept *kept; /* what a stack leaves to the next in rolling mode, else NULL */

    /* the reference in force */
    const struct spk_stack *reference;
    float scale;               /* 1 / mean of the reference: all internal numbers are in units of its mean */
    float noise_reference;     /* variance over intensity */
    float slope_reference;     /* mean-square difference of neighbouring pixels, noise included */
    float *mean;               /* plane: local mean over frames and mean_width */
    uint8_t *reference_usable; /* plane */
    bool reference_whole;      /* every pixel of it is */
    size_t c_pitch;            /* floats a row of one frame's coefficients, margin included */
    uint16_t *
        coefficient; /* [height + 2 UMPA_MIRROR][count][c_pitch] cubic B-splines of reference - mean, binary16 */

    /* the stack in work */
    const struct spk_stack *sample;
    unsigned used_count;
    unsigned *used; /* [count] frames present in both stacks */
    float level;    /* mean of the sample over that of the reference */
    bool lit;       /* the reference has light */
    float noise_sample;
    uint8_t *usable;      /* plane: sample pixels that hold a number in some frame */
    float *cost;          /* plane */
    float *param[PARAMS]; /* the caller's maps, rows `width` floats: T, K, ux, uy */
    float *error;         /* as well: standard deviation of u, px */
    float *quality;       /* as well */
    unsigned levels;
    struct umpa_level equations[UMPA_LEVELS];
    struct umpa_level field; /* the equations of the whole field; refinement at once alone */
    size_t field_bytes;
    uint8_t *moved;              /* [cells] its pixels have moved too far from where they were linearised */
    float *noise;                /* [max(count * UMPA_BLOCKS, tasks of rows)] values to take a median of */
    struct umpa_block_sum *sums; /* [tasks of rows] */

    float reach;               /* px: pixels this near each other in displacement are linearised together */
    struct spk_global *global; /* NULL: windows of one size, for parity */
    struct spk_global_report report;
    struct spk_pace pace;
    size_t scratch_size; /* floats a worker */
    struct spk_scratch
        *shared;             /* in which scratch, usable, cost and the levels lie for the length of a call */
    struct spk_scratch *own; /* the same, where nobody else has one to share */
    float *scratch;          /* [workers][scratch_size] */
};

static inline float *umpa_scratch(struct spk_umpa *u, unsigned worker)
{
    return u->scratch + worker * u->scratch_size;
}

static inline unsigned umpa_search_frames(const struct spk_umpa *u)
{
    return u->used_count < UMPA_SEARCH_FRAMES ? u->used_count : UMPA_SEARCH_FRAMES;
}

/* Those that the cells of the search look at; they tell level and noise of a sample too. */
static inline unsigned umpa_search_frame(const struct spk_umpa *u, unsigned i)
{
    return u->used[i * u->used_count / umpa_search_frames(u)];
}

static inline unsigned umpa_row_tasks(const struct spk_umpa *u)
{
    return (u->height + UMPA_ROWS - 1) / UMPA_ROWS;
}

/* One row of one frame in map coordinates: pixel x is at x + shift, in view for first <= x <= last. */
struct umpa_row {
    const float *data;    /* the values, or NULL */
    const uint16_t *half; /* the values as binary16, or NULL; both: the frame does not reach this row */
    const uint8_t *mask;
    int shift, first, last;
};
struct umpa_row umpa_frame_row(const struct spk_umpa *u, const struct spk_stack *stack, unsigned k, int y);

static inline bool umpa_row_is_there(const struct umpa_row *row)
{
    return row->data || row->half;
}

/* Pixels x to x + count - 1, which are in view: where they are, or widened into `line`. */
static inline const float *umpa_row_values(const struct spk_umpa *u, const struct umpa_row *row, int x,
                                           int count, float *line)
{
    if (row->data)
        return row->data + (x + row->shift);
    u->ops->from_half(line, row->half + (x + row->shift), (size_t)count);
    return line;
}

static inline float umpa_row_value(const struct umpa_row *row, int x)
{
    return row->data ? row->data[x + row->shift] : spk_half_value(row->half[x + row->shift]);
}

/* Coefficients of frame 0 at row y, from -UMPA_MIRROR, and column 0. */
static inline uint16_t *umpa_coefficient(const struct spk_umpa *u, int y)
{
    return u->coefficient + (size_t)(y + UMPA_MIRROR) * u->count * u->c_pitch + UMPA_BESIDE;
}

/* Typical mean (median over bands of rows, so that a wild pixel does not count) of the used frames of `stack`, 0 when there
 * is nothing usable. Marks `usable`, or (NULL) looks at one row of a band and the frames of the search only. */
float umpa_scan(struct spk_umpa *u, const struct spk_stack *stack, uint8_t *usable, float scale);

/* Noise variance over intensity of the reference's frames in use, or of those of the sample that the search looks at, in units of
 * scale. */
float umpa_noise(struct spk_umpa *u, const struct spk_stack *stack, float scale);

/* Fills the mean, the coefficients and the noise from u->reference. */
void umpa_prepare_reference(struct spk_umpa *u);
size_t umpa_reference_scratch(const struct spk_umpa *u);

/* Fills param and cost with the best integer shift and its closed-form T and K, or, where a refinement follows, with a start for
 * that. */
void umpa_search(struct spk_umpa *u);
size_t umpa_search_scratch(const struct spk_umpa *u);

static inline unsigned umpa_cells_across(const struct spk_umpa *u)
{
    return (u->width + UMPA_CELL_COLUMNS - 1) / UMPA_CELL_COLUMNS;
}

static inline unsigned umpa_cells_down(const struct spk_umpa *u)
{
    return (u->height + UMPA_CELL_ROWS - 1) / UMPA_CELL_ROWS;
}

/* The cell that holds a pixel. */
static inline struct umpa_cell *umpa_cell(const struct spk_umpa *u, int x, int y)
{
    return u->cell + (size_t)(y / UMPA_CELL_ROWS) * umpa_cells_across(u) + x / UMPA_CELL_COLUMNS;
}

/* Fills the cells, and param under those that are plain. */
void umpa_cells(struct spk_umpa *u);
size_t umpa_cells_scratch(const struct spk_umpa *u);

static inline unsigned umpa_pieces_across(const struct spk_umpa *u)
{
    return (u->width + UMPA_PIECE_COLUMNS - 1) / UMPA_PIECE_COLUMNS;
}

static inline unsigned umpa_pieces_down(const struct spk_umpa *u)
{
    return (u->height + UMPA_PIECE_ROWS - 1) / UMPA_PIECE_ROWS;
}

static inline unsigned umpa_bands(const struct spk_umpa *u)
{
    return (u->height + UMPA_BAND - 1) / UMPA_BAND;
}

/* Makes the equations of all levels for the cells of a band that have moved, each pixel linearised at param or within a fraction
 * of a pixel of it. `keep`: see umpa_piece_moments(). */
void umpa_equations(struct spk_umpa *u, unsigned band, bool keep);
/* Those of the whole field, for rows first to last - 1. */
void umpa_equations_rows(struct spk_umpa *u, unsigned first, unsigned last, unsigned worker);
size_t umpa_equations_scratch(const struct spk_umpa *u);

/* Rolling mode: allocates what a stack leaves to the next; false when there is no memory. */
bool umpa_kept_create(struct spk_umpa *u);
void umpa_kept_destroy(struct spk_umpa *u);
/* Nothing of what is kept holds any more. */
void umpa_kept_forget(struct spk_umpa *u);
/* Finds out what the stack in work has in common with the last one. */
void umpa_kept_start(struct spk_umpa *u);
/* Whether the stack in work is one that the next may take moments from. */
bool umpa_kept_in_use(const struct spk_umpa *u);
/* Whether level and noise of the sample are those of the last stack, and whether the cells of the search are. */
bool umpa_kept_look(const struct spk_umpa *u);
bool umpa_kept_cells(const struct spk_umpa *u);

/* Passes of the windows' refinement; without it there is one, for errors alone. */
static inline unsigned umpa_passes(const struct spk_umpa *u)
{
    return u->config.refine != SPK_UMPA_NONE ? (unsigned)u->config.passes : 1;
}

/* Improves param by `passes` bounded Gauss-Newton passes; fills error and quality (also with 0 passes). */
void umpa_refine(struct spk_umpa *u);

/* Measures the levels, and allocates that of the whole field; false when there is no memory. */
bool umpa_levels_create(struct spk_umpa *u);
void umpa_levels_destroy(struct spk_umpa *u);
/* Puts the strips that a refinement in so many passes needs into `cut`. */
void umpa_levels_place(struct spk_umpa *u, struct spk_scratch_cut *cut, unsigned passes);
/* Makes the strips ready for a stack. */
void umpa_levels_start(struct spk_umpa *u);
/* Nothing lies beyond the end of the image: zeros in the rows of `band` that do. */
void umpa_levels_end(struct spk_umpa *u, unsigned band);
/* Repeats in the margins what the columns x0 to x0 + width - 1 of level 0, rows first to last - 1, and the columns under them of
 * the other levels hold. */
void umpa_levels_repeat(struct spk_umpa *u, unsigned x0, unsigned width, unsigned first, unsigned last);

/* Solves the equations of a band over wide windows, on the coarser levels, where cells near have moved. Needs the equations of
 * the bands before and behind. */
void umpa_windows_wide(struct spk_umpa *u, unsigned band);
/* The same over all windows, fixed or chosen pixel by pixel, where cells have moved; moves param there, fills error and
 * quality, and marks the cells that have moved now. Needs what wide windows found in the bands before and behind. */
void umpa_windows(struct spk_umpa *u, unsigned band);
size_t umpa_windows_scratch(const struct spk_umpa *u);

/* Improves param and error over the whole field at once, as far as the quality asked for and the time allow. */
void umpa_global(struct spk_umpa *u);

#endif
