/* What the operations of correlation tracking on a device work on. All addresses are on the device; planes are [height][width]. */
#ifndef SPECKLED_NUM_TRACKER_THERE_H
#define SPECKLED_NUM_TRACKER_THERE_H

#include <speckled/num_peak.h>
#include <speckled/num_ratio_device.h>

struct spk_tracker_there {
    struct spk_ratio_there ratio; /* stacks, frames in use, levels, maps */
    int shift, guess_x, guess_y;
    enum spk_tracker_peak peak;
    float *s1, *s2, *r1, *r2; /* planes: sums over frames and window of values and squares, level taken out */
    float
        *root; /* plane: 1 / sqrt of the reference's power, 0 where its window is flat or leaves the frame */
    int *best; /* plane: row * (2 shift + 1) + column of the best shift, -1 where there is none */
};

/* Sums of the reference: once a reference, and when the frames in use change. */
SPK_API spk_status spk_tracker_sums_there(void *stream, const void *arguments, struct spk_error *error);
/* Displacement and quality of one sample. */
SPK_API spk_status spk_tracker_search_there(void *stream, const void *arguments, struct spk_error *error);

#endif
