/* Box means in cascade: what every window of specklenet is made of. */
#include "internal.h"

const unsigned box_side[SPK_NET_SUPPORTS - 1] = {3, 3, 5, 9, 17, 33};

void box_band(const struct spk_net_rows *rows, const struct band *out, const struct band *in, unsigned h,
              unsigned w, unsigned size, float *line)
{
    const unsigned half = size / 2;
    const float scale = 1 / (float)(size * size);
    const float *source[2 * LINE_MARGIN + 1];
    float *middle = line + LINE_MARGIN;
    for (unsigned y = out->first; y < out->first + out->rows; y++) {
        for (unsigned j = 0; j < size; j++) {
            unsigned at = y + j < half ? 0 : y + j - half;
            source[j] = in->data + (size_t)((at < h ? at : h - 1) - in->first) * w;
        }
        rows->down(middle, source, size, w);
        for (unsigned j = 1; j <= half; j++) {
            middle[-(int)j] = middle[0];
            middle[w - 1 + j] = middle[w - 1];
        }
        rows->along(out->data + (size_t)(y - out->first) * w, middle - half, size, w, scale);
    }
}

void box_plane(const struct spk_net_rows *rows, float *out, const float *in, unsigned h, unsigned w,
               unsigned size, float *line)
{
    const struct band to = {out, 0, h}, from = {(float *)(uintptr_t)in, 0, h};
    box_band(rows, &to, &from, h, w, size, line);
}
