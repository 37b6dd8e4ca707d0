/* Sub-pixel refinement: Gauss-Newton on the interpolated reference, again only where it has moved.
 *
 * All passes go down the image together, band by band, each a few bands behind the one before, so that the equations of a strip
 * are all that is ever kept:
 *
 *     band        b        equations
 *                 b - 1    wide windows, on the coarser levels
 *                 b - 2    windows of all sizes: steps, and what has moved
 *                 b - 3    equations of the next pass, where it has moved
 */
#include "umpa_internal.h"

#include <string.h>

static void go_on(struct spk_umpa *u, unsigned pass, int band)
{
    const int bands = (int)umpa_bands(u);
    if (pass == 0 && band >= bands - 1 && band <= bands)
        umpa_levels_end(u, (unsigned)band);
    if (band >= 0 && band < bands)
        umpa_equations(u, (unsigned)band, pass == 0 && umpa_kept_in_use(u));
    if (band >= 1 && band <= bands)
        umpa_windows_wide(u, (unsigned)band - 1);
    if (band >= 2 && band <= bands + 1)
        umpa_windows(u, (unsigned)band - 2);
}

void umpa_refine(struct spk_umpa *u)
{
    const unsigned passes = umpa_passes(u);
    u->reach = 0.25f;
    memset(u->moved, 1, (size_t)umpa_cells_across(u) * umpa_cells_down(u));
    umpa_levels_start(u);
    for (unsigned step = 0; step < umpa_bands(u) + 2 + UMPA_LAG * (passes - 1); step++)
        for (unsigned pass = 0; pass < passes; pass++)
            go_on(u, pass, (int)step - (int)(UMPA_LAG * pass));
}
