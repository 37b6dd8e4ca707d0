/* A tile of the integer search: its share of sample and reference, packed for the inner loops, and the sums that do not
 * change with the shift. */
#ifndef SPECKLED_UMPA_TILE_H
#define SPECKLED_UMPA_TILE_H

#include "umpa_internal.h"

enum umpa_product {
    PRODUCT_SR, /* s r */
    PRODUCT_COUNT,
    PRODUCT_SS,
    PRODUCT_RR,
    PRODUCT_S,
    PRODUCT_R,
    PRODUCTS
};

enum umpa_fit_input { FIT_MM, FIT_MQ, FIT_QQ, FIT_MS, FIT_QS, FIT_SS, FIT_WEIGHT, FIT_INPUTS };

/* The best shift of each pixel: its score, fit and displacement, and the scores of its neighbours among the shifts. */
enum umpa_best {
    BEST_SCORE,
    BEST_T,
    BEST_K,
    BEST_X,
    BEST_Y,
    BEST_LEFT,
    BEST_RIGHT,
    BEST_UP,
    BEST_DOWN,
    BESTS
};

enum umpa_trial { TRIAL_SCORE, TRIAL_T, TRIAL_K, TRIALS };

enum { UMPA_CHUNK = 9 }; /* shifts in flight */

struct umpa_tile {
    struct spk_umpa *u;
    int x0, y0;
    unsigned width, height;                    /* of the output */
    unsigned out_pitch;                        /* output columns, rounded */
    unsigned s_pitch, s_rows;                  /* sample block: output and window */
    unsigned r_pitch, r_rows;                  /* reference block: output, window and shifts */
    unsigned c_rows;                           /* rows of reference sums: output and shifts */
    size_t s_plane, r_plane, m_plane, c_plane; /* floats of one frame's share of a block */
    bool masked;                               /* some pixel does not count */
    bool parity;                               /* window means as UMPA's, else the local mean */
    bool exact;                                /* T and K are results, not only where a refinement starts */
    /* Blocks of all frames are [row][used][pitch]: what one row of products reads lies together. */
    float *s, *r; /* mean taken out, 0 where masked */
    /* Only filled when masked. With sample stepping each frame has its own mask: [row][used][pitch]; otherwise a pixel
     * counts in all frames or in none, and these are sums over frames: [row][pitch]. */
    unsigned mask_frames;
    float *s_mask, *r_mask, *s_count, *s1, *r1, *s2, *r2;
    float *s_mean, *r_mean;   /* window means of each frame; parity only */
    float *product[PRODUCTS]; /* [UMPA_CHUNK] sample blocks */
    float *mean_product;      /* [UMPA_CHUNK][output] sum of s_mean r_mean */
    float *whole;             /* output: windowed s r, before masks are looked at */
    float *work;              /* sample block */
    float *row;
    float *one, *level;              /* constant rows */
    float *s_sum, *ss_sum;           /* sample block: sums over frames of s and s^2 */
    float *q_sum, *qq_sum;           /* reference block: sums over frames of r and r^2 */
    float *m_s;                      /* sample block: sum over frames, its level put back */
    float *mean;                     /* reference block: the local mean */
    float *c_mm, *c_mq, *c_qq, *c_q; /* window sums of the reference alone, [c_rows][r_pitch] */
    float *o_ss, *o_s;               /* window sums of the sample alone, output */
    float *input[FIT_INPUTS];        /* one row each */
    float *trial[TRIALS];            /* one row each: the fit at one shift */
    float *above;                    /* [shifts across + 1] outputs: scores of the row of shifts before */
    float *best[BESTS];              /* output */
};

/* Floats that a tile's arrays take. */
size_t umpa_tile_size(const struct spk_umpa *u);
/* Most columns of output a tile covers (rows: UMPA_SEARCH_ROWS). */
unsigned umpa_tile_columns(const struct spk_umpa *u);

/* Output pixels of a tile along one axis. */
struct umpa_span {
    unsigned first, count;
};

/* Packs the tile over the output pixels x by y into `memory` and fills the sums. */
void umpa_tile_load(struct umpa_tile *t, struct spk_umpa *u, struct umpa_span x, struct umpa_span y,
                    float *memory);

/* Shifts to search: columns x0 to x1 and rows y0 to y1, both included, of 2 max_shift + 1 each. */
struct umpa_range {
    unsigned x0, x1, y0, y1;
};

/* A part of all frames, or some, of a stack. */
struct umpa_block {
    const struct spk_stack *stack;
    const unsigned *frame; /* [frames] */
    unsigned frames;
    int x0, y0;
    unsigned rows, columns, pitch; /* columns beyond `columns` are filled with 0 and looked at by nobody */
    const float *base;             /* taken out of every frame, rows `base_pitch` apart */
    size_t base_pitch;
    float *line; /* of a row widened from binary16 */
    const float
        *mean; /* the local mean under the block, rows `pitch` apart; NULL: frames are read where they are */
    float *value;                       /* [row][frames][pitch] */
    float *mask, *count, *sum, *square; /* where some pixels do not count */
};

/* Fills a block's values, 0 where a pixel does not count; true when all do. */
bool umpa_pack(const struct spk_umpa *u, const struct umpa_block *b);
/* The local mean of the reference from (x0, y0) on, continued beyond the image. */
void umpa_pack_mean(const struct spk_umpa *u, float *to, size_t pitch, unsigned rows, int x0, int y0);

/* out = the search window over rows x columns of `in`, separably. */
void umpa_tile_blur(const struct umpa_tile *t, float *out, size_t out_pitch, const float *in, size_t in_pitch,
                    unsigned rows, unsigned columns);

#endif
