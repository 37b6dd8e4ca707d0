/* The formulas of layers that are made row by row, for the C compiler and nvcc alike. */
#ifndef SPK_NN_ROWS_PX_H
#define SPK_NN_ROWS_PX_H

#include <speckled/api.h>

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

SPK_HD float nn_leaky_px(float value, float slope)
{
    return value < 0 ? slope * value : value;
}

/* Where output position `at` lies in the input: the lower neighbour and the weight of the upper one. */
SPK_HD uint32_t nn_source_px(uint32_t at, uint32_t in, uint32_t out, bool corners, float *fraction)
{
    float place;
    if (corners)
        place = out > 1 ? (float)at * ((float)(in - 1) / (float)(out - 1)) : 0;
    else
        place = ((float)at + 0.5f) * ((float)in / (float)out) - 0.5f;
    if (place < 0)
        place = 0;
    uint32_t low = (uint32_t)place;
    if (low > in - 1)
        low = in - 1;
    *fraction = low == in - 1 ? 0 : place - (float)low;
    return low;
}

/* On the way from one neighbour to the other. */
SPK_HD float nn_way_px(float from, float to, float way)
{
    return from + way * (to - from);
}

/* Between four neighbours: a, a_right above, b, b_right below. */
SPK_HD float nn_between_px(float a, float a_right, float b, float b_right, float fx, float fy)
{
    return nn_way_px(nn_way_px(a, a_right, fx), nn_way_px(b, b_right, fx), fy);
}

SPK_HD float nn_clamp_px(float value, float most)
{
    return value > 0 ? (value < most ? value : most) : 0; /* NaN becomes 0 */
}

/* The four pixels round x - u: the upper left one's index, the way from it to the right and down (0 at the edge), and the weights of
 * the upper left, upper right, lower left and lower right one. */
struct nn_corners {
    int32_t at, right, down;
    float weight[4];
};

SPK_HD struct nn_corners nn_corners_px(uint32_t x, uint32_t y, float ux, float uy, int32_t width,
                                       int32_t height)
{
    float px = nn_clamp_px((float)x - ux, (float)(width - 1));
    float py = nn_clamp_px((float)y - uy, (float)(height - 1));
    int32_t left = (int32_t)px, top = (int32_t)py;
    float fx = px - (float)left, fy = py - (float)top;
    struct nn_corners corners = {top * width + left,
                                 left + 1 < width ? 1 : 0,
                                 top + 1 < height ? width : 0,
                                 {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy}};
    return corners;
}

/* Sums over a window of `count` pairs of values. */
enum { NN_SUM_A, NN_SUM_B, NN_SUM_AA, NN_SUM_BB, NN_SUM_AB, NN_SUMS };

SPK_HD float nn_correlation_px(const float sum[NN_SUMS], float count)
{
    float aa = sum[NN_SUM_AA] - sum[NN_SUM_A] * sum[NN_SUM_A] / count;
    float bb = sum[NN_SUM_BB] - sum[NN_SUM_B] * sum[NN_SUM_B] / count;
    float ab = sum[NN_SUM_AB] - sum[NN_SUM_A] * sum[NN_SUM_B] / count;
    float power = aa * bb;
    if (!(aa > 0) || !(power > 0))
        return 0;
    float value = ab / sqrtf(power);
    return value > 1 ? 1 : value < -1 ? -1 : value;
}

#endif
