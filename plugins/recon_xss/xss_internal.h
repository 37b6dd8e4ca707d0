/* The steps of speckle scanning among themselves. */
#ifndef SPECKLED_XSS_INTERNAL_H
#define SPECKLED_XSS_INTERNAL_H

#include "xss.h"

#include <speckled/num_match.h>

enum { XSS_TILE = 64, XSS_ROWS = 8 };

struct xss_place {
    int x, y;
};

/* One side of the comparison: the sequence that a pixel has is that of the pixel `offset` away. */
struct xss_side {
    const struct spk_stack *stack;
    float level; /* mean of the stack: taken out before sums are made */
    struct xss_place offset;
};

struct spk_xss {
    struct spk_xss_config config;
    const struct spk_match_ops *ops;
    struct spk_team *team;
    unsigned count, height, width;
    unsigned window;
    int across, max_lag;
    int separation;                /* px along the axis between the two sides, 0 with a reference */
    int delay;                     /* steps at the middle of the search */
    struct xss_place along, aside; /* one px along and across the axis */

    const struct spk_stack *reference;
    float reference_level, sample_level;
    struct xss_side s, r; /* what is compared: s_k with r_(k + lag) */
    const struct spk_stack *sample;
    const struct spk_tracker_maps *maps;

    float weight[2 * SPK_XSS_WINDOW_MAX + 1]; /* all ones: a box */
    size_t scratch_size;                      /* floats a worker */
    float *scratch;
};

/* Floats that one worker of the search needs. */
size_t xss_search_scratch(const struct spk_xss *xss);
/* Task of a team: one tile. Fills all maps: with SPK_XSS_SELF the displacement is that of the second pixel less that of the first. A
 * pixel without a peak has NAN everywhere and valid 0. */
void xss_search_tile(void *xss, unsigned task, unsigned worker);
unsigned xss_search_tiles(const struct spk_xss *xss);

/* T and D of a pixel from the pairs (sample k, reference k + lag), the reference `aside` px further across the axis. False when
 * there is none. */
bool xss_ratio(const struct spk_xss *xss, int x, int y, int lag, int aside, float *transmission,
               float *dark_field);

/* Task of a team: some lines along the axis, from differences to displacements. */
void xss_slope_lines(void *xss, unsigned task, unsigned worker);
unsigned xss_slope_tasks(const struct spk_xss *xss);

#endif
