/* The maximum between pixels, by a second-order expansion or a Gaussian. */
#include <speckled/num_peak_px.h>

bool spk_peak_find(enum spk_tracker_peak peak, float c[3][3], float *dx, float *dy)
{
    return spk_peak_px(peak, c, dx, dy);
}
