/* Shared by the parts of the registration. */
#ifndef SPECKLED_REGISTER_INTERNAL_H
#define SPECKLED_REGISTER_INTERNAL_H

#include "register.h"

#include <speckled/num_spline_px.h>

enum {
    SIDE = 32, /* px, of a block in which one displacement is looked for */
    BLOCKS_MAX =
        12,      /* along each axis: the drift is one vector a frame, so a sample of the frame is enough */
    REACH = 2,   /* px, how far the fit may go from the best whole shift */
    SUPPORT = 2, /* px, of the spline beside a point */
};

/* Of the search for the sample's drift. */
enum {
    TILE = 80,         /* px, side of a part of the frame that is modelled by itself */
    BORDER = 14,       /* px along its sides: windows, and the slopes of smoothed maps, reach so far */
    TILES_MAX = 8,     /* along each axis */
    WINDOW_RADIUS = 6, /* px */
    SAMPLE_MAX = 4,    /* px, that the sample may drift along each axis */
    MOVES = 5, /* unknowns of a frame: drift of the sample along y, x, of the pattern along y, x, gain */
    MOVE_PAIRS = MOVES * (MOVES + 1) / 2,
};

/* What a tile says of the unknowns of one frame: normal equations, a lower triangle and the right side, and what the intensity
 * itself would have there. */
struct move_sums {
    float matrix[MOVE_PAIRS], right[MOVES], light;
};

/* Where a frame stands, as far as it is known: displacements in px, and its intensity over the others', less 1. */
struct move {
    struct spk_drift sample, pattern;
    float gain;
    struct spk_drift step,
        last; /* of the sample, as the equations have it in this round and in the one before */
};

/* A symmetric matrix of two rows: along y, between them, along x. */
struct symmetric {
    double yy, yx, xx;
};

/* The search for the sample's drift. */
struct sample_search {
    uint32_t rows, columns; /* of tiles */
    uint32_t frames;        /* that both stacks have */
    bool first;             /* nothing is known of the tiles yet */
    float window[2 * WINDOW_RADIUS + 1];
    unsigned radius;
    float share[TILE];      /* of the window that lies in a tile, at each distance from its side */
    float *displacement;    /* [tiles][2][TILE][TILE] of the pattern by the sample, along y, x */
    struct move_sums *sums; /* [tiles][count] */
    struct move *move;      /* [count] */
    /* Variance of the sample's drift: by noise, and by what tiles say unlike each other. */
    struct symmetric spread, scatter;
    double pace;             /* share of the sample's steps that is gone */
    double light;            /* weight of the intensity in the equations of a frame */
    struct symmetric held;   /* weight that holds the sample where it is */
    struct spk_drift *drift; /* [count] */
};

/* Where the pattern of a block stands in one frame. */
struct found {
    struct spk_drift shift;
    bool good;
};

/* Scratch memory of one worker. */
struct bench {
    float sample[SIDE * SIDE]; /* of a block and frame, mean taken out */
    float *plane;              /* [height][width] spline coefficients of a frame */
    float *row;                /* [edge + width + edge] of them, at one height */
    float *tile;               /* [register_tile_floats()]; NULL: the sample's drift is not looked for */
};

struct spk_register {
    struct spk_register_config config;
    uint32_t count, height, width;
    struct spk_team *team;
    const struct spk_stack *reference; /* borrowed; NULL before the first */
    const struct spk_stack *sample;    /* borrowed for one call */
    uint32_t rows, columns;            /* of blocks */
    uint32_t margin, patch;            /* px round a block; a block with its margins */
    uint32_t edge;                     /* px beyond the frame that a drift may reach */
    float *coefficient;                /* [rows columns][count][patch][patch] of the reference */
    struct found *found;               /* [rows columns][count] */
    struct spk_drift *place;           /* [rows columns] mean displacement in a block */
    float *value;                      /* [rows columns] to take a median of */
    struct spk_drift *drift;           /* [count] */
    struct bench *bench;               /* [workers] */
    struct spk_stack shifted;
    struct spk_stack moved; /* the reference; without memory where the sample's drift is not looked for */
    struct sample_search search;
};

/* Row and column of a symmetric matrix to the index in its lower triangle. */
static inline int triangle(int a, int b)
{
    return a > b ? a * (a + 1) / 2 + b : b * (b + 1) / 2 + a;
}

/* Inverse of a positive definite matrix of at most MOVES rows, a lower triangle, in place; false where it is none. */
bool register_invert(double *a, int size);
/* x = a b, `a` such a matrix. */
void register_apply(const double *a, int size, const double *b, double *x);

/* Spline coefficients of a frame, in place. */
void register_prefilter(const struct spk_register *self, float *plane);
/* Tiles along an axis. */
uint32_t register_tiles(uint32_t extent);
/* Scratch memory of one worker for them. */
size_t register_tile_floats(uint32_t count);

/* Begins at the drift of the pattern alone. */
void register_moves_begin(struct spk_register *self);
/* What is known of the steps' pace is of steps in other directions. */
void register_moves_restart(struct spk_register *self);
/* Moves each frame to where the tiles' sums say. False: by next to nothing. */
bool register_moves_step(struct spk_register *self);
/* Puts the sample back along directions in which its drift does not stand out of the noise; says in how many it does. */
int register_moves_judge(struct spk_register *self);

/* Upper left pixel of a block, its margins not counted. */
static inline uint32_t block_at(const struct spk_register *self, uint32_t index, uint32_t blocks,
                                uint32_t extent)
{
    uint32_t room = extent - self->patch;
    return self->margin + (blocks > 1 ? index * room / (blocks - 1) : room / 2);
}

static inline bool in_both(const struct spk_register *self, uint32_t k)
{
    return self->reference->present[k] && self->sample->present[k];
}

#endif
