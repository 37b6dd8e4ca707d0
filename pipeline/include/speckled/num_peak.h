/* Where a maximum lies between pixels: what the search of every tracker ends with. */
#ifndef SPECKLED_NUM_PEAK_H
#define SPECKLED_NUM_PEAK_H

#include <stdbool.h>

enum spk_tracker_peak {
    SPK_PEAK_TAYLOR, /* second-order expansion in both coordinates over 3x3 values */
    SPK_PEAK_GAUSS,  /* a Gaussian through three values, each axis by itself; the values must be positive */
    SPK_PEAK_NONE,   /* whole pixels */
};

/* Offset of the maximum from the middle of 3x3 values, along columns and rows. False when there is none within a pixel.
 * Any thread. */
bool spk_peak_find(enum spk_tracker_peak peak, float c[3][3], float *dx, float *dy);

#endif
