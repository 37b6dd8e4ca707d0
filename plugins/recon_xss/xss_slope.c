/* From the displacement's differences along the scan axis, which a scan compared with itself gives, to the displacement. */
#include "xss_internal.h"

#include <math.h>

enum { LINES = 64 }; /* of a task: their pixels share cache lines where they lie side by side */

struct line {
    size_t first, step; /* of pixels in a map */
    unsigned length;
};

/* What the displacement grows by over n pixels, from one with a derivative to the next, the derivative running straight between them.
 * It belongs to the pixel itself where the two that were compared lie evenly round it, else half a pixel further. */
static double growth(double from, double to, unsigned n, bool even)
{
    return even ? n * 0.5 * (from + to) : n * from + 0.5 * (n - 1) * (to - from);
}

/* The sum of a line's derivatives, less its mean. Pixels without one are passed over and stay as they are. */
static void sum_line(float *map, const struct line *line, int separation)
{
    double value = 0, before = 0, total = 0;
    unsigned at = 0, count = 0;
    for (unsigned i = 0; i < line->length; i++) {
        float *here = map + line->first + i * line->step;
        if (!isfinite(*here))
            continue;
        double derivative = (double)*here / separation;
        value += count ? growth(before, derivative, i - at, separation % 2 == 0) : 0;
        before = derivative;
        at = i;
        total += value;
        count++;
        *here = (float)value;
    }
    for (unsigned i = 0; i < line->length; i++)
        map[line->first + i * line->step] -= count ? (float)(total / count) : 0;
}

static unsigned line_count(const struct spk_xss *xss)
{
    return xss->along.x ? xss->height : xss->width;
}

unsigned xss_slope_tasks(const struct spk_xss *xss)
{
    return (line_count(xss) + LINES - 1) / LINES;
}

void xss_slope_lines(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct spk_xss *xss = context;
    for (unsigned i = task * LINES; i < (task + 1) * LINES && i < line_count(xss); i++) {
        const struct line line = {.first = xss->along.x ? (size_t)i * xss->width : i,
                                  .step = xss->along.x ? 1 : xss->width,
                                  .length = xss->along.x ? xss->width : xss->height};
        sum_line(xss->maps->displacement_x, &line, xss->separation);
        sum_line(xss->maps->displacement_y, &line, xss->separation);
    }
}
