/* Sub-pixel refinement: Gauss-Newton on the interpolated reference, again only where it has moved. */
#include "umpa_internal.h"

#include <string.h>

void umpa_refine(struct spk_umpa *u)
{
    const size_t pieces = (size_t)umpa_pieces_across(u) * umpa_pieces_down(u);
    u->reach = 0.25f;
    int64_t passes = u->config.refine > 0 ? u->config.refine : 1; /* one for error and quality alone */
    memset(u->moved, 1, pieces);
    for (int64_t pass = 0; pass < passes && memchr(u->moved, 1, pieces); pass++) {
        umpa_equations(u);
        umpa_windows(u);
    }
}
