/* The moments of a pixel on a device: the reference and its slopes where the pixel came from, and their sums with the sample. */
#ifndef SPECKLED_UMPA_MOMENTS_THERE_H
#define SPECKLED_UMPA_MOMENTS_THERE_H

#include "umpa_planes.h"

#include <speckled/num_spline_px.h>

/* A place in the reference: weights of the coefficients round it, and where the first of them is in a frame. */
struct umpa_spot {
    float wx[4], dx[4], wy[4], dy[4];
    size_t start, plane; /* of a frame's coefficients */
    int row;
};

static __device__ inline struct umpa_spot umpa_spot_at(const struct umpa_there &u, float x, float y)
{
    const int ix = (int)x, iy = (int)y;
    struct umpa_spot spot;
    spot.row = umpa_there_pitch(u.width);
    spot.plane = (size_t)spot.row * (size_t)(u.height + 2 * UMPA_THERE_MARGIN);
    spot.start =
        (size_t)(iy + UMPA_THERE_MARGIN - 1) * (size_t)spot.row + (size_t)(ix + UMPA_THERE_MARGIN - 1);
    spk_spline_px(x - (float)ix, spot.wx, spot.dx);
    spk_spline_px(y - (float)iy, spot.wy, spot.dy);
    return spot;
}

/* The reference of a frame there, and its slopes. */
struct umpa_pattern {
    float v, vx, vy;
};

static __device__ inline struct umpa_pattern umpa_pattern_at(const struct umpa_there &u,
                                                             const struct umpa_spot &spot, int frame)
{
    const uint16_t *from = u.coefficient + (size_t)frame * spot.plane + spot.start;
    struct umpa_pattern p = {0, 0, 0};
#pragma unroll
    for (int j = 0; j < 4; j++, from += spot.row) {
        float line = 0, slope = 0, c[4];
        spk_widen_four(from, c);
#pragma unroll
        for (int l = 0; l < 4; l++) {
            line = fmaf(spot.wx[l], c[l], line);
            slope = fmaf(spot.dx[l], c[l], slope);
        }
        p.v = fmaf(spot.wy[j], line, p.v);
        p.vx = fmaf(spot.wy[j], slope, p.vx);
        p.vy = fmaf(spot.dy[j], line, p.vy);
    }
    return p;
}

/* Whether the reference of a frame has the place (x, y) of the maps. */
static __device__ inline bool umpa_reaches(const struct umpa_there &u, int frame, float x, float y)
{
    x += (float)u.offset_x[frame];
    y += (float)u.offset_y[frame];
    return x >= 0 && x <= (float)(u.width - 1) && y >= 0 && y <= (float)(u.height - 1);
}

/* The reference and its slopes at (x, y), summed with the sample at (own_x, own_y) over the frames that see both. */
template <bool STEPPING>
static __device__ inline void umpa_collect(const struct umpa_there &u, int own_x, int own_y, float x, float y,
                                           float sum[SPK_MOMENTS])
{
    const size_t pixels = (size_t)u.height * (size_t)u.width,
                 at = (size_t)own_y * (size_t)u.width + (size_t)own_x;
    const struct umpa_spot spot = umpa_spot_at(u, x, y);
    for (int i = 0; i < u.used_count; i++) {
        float s;
        if (!STEPPING)
            s = umpa_value(u.sample, (size_t)u.used[i] * pixels + at) * u.numbers->scale;
        else if (!umpa_sample(u, u.used[i], own_x, own_y, &s) || !umpa_reaches(u, u.used[i], x, y))
            continue;
        const struct umpa_pattern p = umpa_pattern_at(u, spot, u.used[i]);
        s = spk_match_counts_px(s, UMPA_LIMIT, 1) ? s : 0;
        SPK_ADD_MOMENTS(sum, p.v, p.vx, p.vy, s, 1);
    }
}

/* The equations of a pixel at `at` from its moments at the displacement (x, y). */
static __device__ inline void umpa_normal_of(const struct umpa_there &u, size_t at, float x, float y,
                                             const struct spk_match_mean &local, const float sum[SPK_MOMENTS],
                                             float normal[SPK_NORMALS])
{
    const float origin[4] = {1, 1, (float)u.guess_x, (float)u.guess_y};
    struct spk_match_place place = {};
    place.t = u.param[0][at];
    place.k = u.param[1][at];
    place.x = x;
    place.y = y;
    place.step_x = u.param[2][at] - x;
    place.step_y = u.param[3][at] - y;
    place.noise_reference = u.numbers->noise_reference;
    place.noise_sample = u.numbers->noise_sample;
    place.gain_x = spk_match_gain_px(u.spline, x);
    place.gain_y = spk_match_gain_px(u.spline, y);
    spk_match_normal_px(sum, place, local, origin, normal);
}

/* The local mean of the reference where pixel (x, y) came from at a displacement. */
static __device__ inline struct spk_match_mean umpa_mean_of(const struct umpa_there &u, size_t at, int x,
                                                            int y, float ux, float uy)
{
    return spk_match_mean_px(u.mean, u.reference_usable, true, u.width, u.width, u.height, (float)x - ux,
                             (float)y - uy, u.usable[at]);
}

static __device__ inline void umpa_store_normal(const struct umpa_there &u, size_t at,
                                                const float normal[SPK_NORMALS])
{
    const size_t plane = (size_t)u.height * (size_t)u.width;
#pragma unroll
    for (int q = 0; q < SPK_NORMALS; q++)
        u.normal[0][(size_t)q * plane + at] = normal[q];
}

#endif
