/* The two steps of correlation tracking among themselves. */
#ifndef SPECKLED_NUM_TRACKER_INTERNAL_H
#define SPECKLED_NUM_TRACKER_INTERNAL_H

#include <speckled/num_match.h>
#include <speckled/num_tracker.h>

enum { TRACKER_TILE = 64, TRACKER_ROWS = 16 };

struct spk_tracker {
    struct spk_tracker_config config;
    const struct spk_match_ops *ops;
    unsigned height, width;
    unsigned window, shift;
    int guess_x, guess_y;
    float weight[2 * SPK_TRACKER_WINDOW_MAX + 1]; /* all ones: a box */

    struct spk_ratio ratio; /* the stacks in work */
    const struct spk_tracker_maps *maps;

    size_t scratch_size; /* floats a worker */
    float *scratch;
};

/* Floats that one worker of the search needs. */
size_t tracker_search_scratch(const struct spk_tracker *tracker);
/* Task of a team: one tile. Fills displacement and quality, NAN where there is no peak. */
void tracker_search_tile(void *tracker, unsigned task, unsigned worker);
unsigned tracker_search_tiles(const struct spk_tracker *tracker);

#endif
