/* A piece of the image whose equations are made together: its sample, its moments, and in rolling mode what it keeps of them. */
#ifndef SPECKLED_UMPA_PIECE_H
#define SPECKLED_UMPA_PIECE_H

#include "umpa_internal.h"

enum {
    PIECE_COLUMNS = UMPA_PIECE_COLUMNS,
    PIECE_ROWS = UMPA_PIECE_ROWS,
    PIECE_PIXELS = PIECE_ROWS * PIECE_COLUMNS,
    UMPA_EXCHANGES = 4, /* frames that are exchanged one by one; where more are new all are summed up */
    PIECE_CELL = SPK_MATCH_STEP * PIECE_ROWS, /* pixels of a cell, the part that is linearised together */
};

struct umpa_piece {
    struct spk_umpa *u;
    const struct umpa_level *level; /* where the equations go */
    unsigned x0, y0, width, height;
    const unsigned *frame; /* [frames] those that are added up */
    unsigned frames;
    const float *sample;  /* of the first pixel, frame 0 */
    const uint16_t *half; /* in its place as binary16, or NULL */
    size_t sample_row, sample_frame;
    float scale, base, range;                   /* struct spk_moments_cell */
    float *packed, *weight;                     /* [ROWS][count][COLUMNS]; weight: sample stepping only */
    float *moment;                              /* [SPK_MOMENTS][ROWS][COLUMNS] */
    float *x, *y;                               /* [ROWS][COLUMNS] where each pixel is linearised */
    float *mean, *mean_x, *mean_y, *row_weight; /* [COLUMNS] */
    float *zero, *line;                         /* [COLUMNS] nothing; a row widened from binary16 */
    float *former;          /* [UMPA_EXCHANGES][ROWS][COLUMNS] frames that leave, packed */
    float *trial;           /* [SPK_MOMENTS][SPK_MATCH_STEP] of one whole part */
    float *cell_x, *cell_y; /* [PIECE_CELL] NAN: does not count */
};

struct umpa_band {
    unsigned first, count;
};

/* Frames of a piece, its first pixel first: those of the stack, or those kept. One pointer is NULL. */
struct umpa_frame {
    const float *data;
    const uint16_t *half;
    size_t row;
};

/* Rows of a cell that are linearised at one displacement, or apart. */
struct umpa_place {
    struct umpa_band band;
    float x, y;
    bool apart; /* each pixel where it stands; those that do not count, at (x, y) */
};

struct umpa_places {
    unsigned count;
    bool apart; /* some rows are */
    struct umpa_place place[PIECE_ROWS];
};

/* Floats of the piece's memory; lays it out where `memory` is not NULL. */
size_t umpa_piece_lay_out(struct umpa_piece *p, const struct spk_umpa *u, float *memory);

/* Where no pixel is masked the sample can be read where it is; false when some are. */
bool umpa_piece_in_place(struct umpa_piece *p);
/* From now on the sample is read where it is packed. */
void umpa_piece_start_packing(struct umpa_piece *p);
/* Packs the piece's frames and marks which pixels hold a number: in all of them, or with sample stepping in any. */
void umpa_piece_pack(struct umpa_piece *p, uint8_t *usable, size_t pitch);
/* Takes the displacements of the cell that begins at a column, and finds where it is linearised. */
void umpa_piece_places(const struct umpa_piece *p, unsigned column, struct umpa_places *places);
/* The moments of the piece's frames there; sets the piece's x and y. The cell is the one whose places were found last. */
void umpa_piece_cell(const struct umpa_piece *p, unsigned column, const struct umpa_places *places);
/* Sets the piece's x and y where the moments of a cell hold already; none of its pixels stand apart. */
void umpa_piece_settle(const struct umpa_piece *p, unsigned column, const struct umpa_places *places);
/* Where nothing but one frame has changed: its former pixels go out of the sums with the sample, those it has now come in. */
void umpa_piece_exchange(const struct umpa_piece *p, unsigned column, const struct umpa_places *places,
                         unsigned frame, struct umpa_frame former);
/* Whether every sum of squares is that of numbers. */
bool umpa_piece_is_sane(const struct umpa_piece *p);
/* Whether the sums of the cell at a column are exact, and stay so while the next frame comes in. `all`: those of the reference alone
 * may be other ones than they were. */
bool umpa_piece_is_exact(const struct umpa_piece *p, unsigned column, bool all);
/* Packs one frame of the piece without weights; adds `sign` to `bad` [ROWS][COLUMNS] where a pixel holds no number. */
void umpa_piece_pack_frame(const struct umpa_piece *p, struct umpa_frame from, float *to, size_t to_row,
                           uint16_t *bad, int sign);
/* A frame of the stack under the piece. */
struct umpa_frame umpa_piece_frame(const struct umpa_piece *p, unsigned frame);

/* The same as umpa_piece_moments() makes, to the last bit, from what the last stack has left and the frames that are new. */
void umpa_kept_moments(struct umpa_piece *p);

/* Fills the moments, where they hold, and which pixels of the sample are usable. With `keep` moments stay for the next stack, and
 * those of the last one are taken where they still hold. */
void umpa_piece_moments(struct umpa_piece *p, bool keep);

#endif
