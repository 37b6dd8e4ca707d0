/* The nearest vector on a device, level by level from the coarsest, and the peak between the pixels of the image.
 *
 * A thread looks after 4 pixels of a column. Where they start from the same displacement, as they nearly always do, their squared
 * distances at 9 neighbouring displacements are summed at once: 12 values of the reference and 4 of the sample, all read side by
 * side with the neighbouring threads', serve 36 terms. Starts vary from tile to tile, so nothing is staged in shared memory. */
#include "wxst_px.h"
#include "wxst_there.h"

#include <speckled/device_kernel.h>
#include <speckled/num_peak_px.h>

enum { ACROSS = 32, DOWN = 4, RUN = 4, SHIFTS = 9 };

/* Displacements that a pixel looks at; none where either number is 0. */
struct span {
    int first_x, first_y, columns, rows;
};

struct nearest {
    float distance;
    int x, y; /* displacement */
    bool found;
};

static __device__ struct span span_of(const struct wxst_level_there &level, int rim, int x, int y,
                                      int start_x, int start_y)
{
    struct span s = {0, 0, 0, 0};
    if (x < rim || y < rim || x >= level.width - rim || y >= level.height - rim)
        return s;
    s.columns = wxst_span_px(start_x, level.range, level.limit, x, rim, level.width, &s.first_x);
    s.rows = wxst_span_px(start_y, level.range, level.limit, y, rim, level.height, &s.first_y);
    return s;
}

/* The first of equally near ones, row by row. */
static __device__ inline void keep(struct nearest *best, float distance, int x, int y)
{
    const bool earlier = y < best->y || (y == best->y && x < best->x);
    if (!(distance < best->distance || (best->found && distance == best->distance && earlier)))
        return;
    best->distance = distance;
    best->x = x;
    best->y = y;
    best->found = true;
}

/* Squared distances of COUNT pixels of a column from (x, y) on, at displacements (shift_x, shift_y ..). */
template <int COUNT>
static __device__ void distances(const struct wxst_level_there &level, int x, int y, int shift_x, int shift_y,
                                 float (&sum)[SHIFTS][COUNT])
{
    const size_t plane = (size_t)level.height * (size_t)level.width;
    const float *sample = level.vector[WXST_SAMPLE] + (size_t)x;
    const float *reference = level.vector[WXST_REFERENCE] + (size_t)(x - shift_x);
    int s_at[COUNT], r_at[COUNT + SHIFTS - 1];
#pragma unroll
    for (int v = 0; v < COUNT; v++)
        s_at[v] = (y + v < level.height ? y + v : level.height - 1) * level.width;
#pragma unroll
    for (int i = 0; i < COUNT + SHIFTS - 1; i++) {
        const int row = y - shift_y - (SHIFTS - 1) + i; /* beyond the image nobody asks for the distance */
        r_at[i] = (row < 0 ? 0 : row < level.height ? row : level.height - 1) * level.width;
    }
#pragma unroll
    for (int j = 0; j < SHIFTS; j++)
#pragma unroll
        for (int v = 0; v < COUNT; v++)
            sum[j][v] = 0;
    for (unsigned k = 0; k < level.plan.size; k++, sample += plane, reference += plane) {
        float s[COUNT], r[COUNT + SHIFTS - 1];
#pragma unroll
        for (int v = 0; v < COUNT; v++)
            s[v] = sample[s_at[v]];
#pragma unroll
        for (int i = 0; i < COUNT + SHIFTS - 1; i++)
            r[i] = reference[r_at[i]];
#pragma unroll
        for (int j = 0; j < SHIFTS; j++)
#pragma unroll
            for (int v = 0; v < COUNT; v++) {
                const float apart = s[v] - r[v + SHIFTS - 1 - j];
                sum[j][v] = fmaf(apart, apart, sum[j][v]);
            }
    }
}

/* The nearest of COUNT pixels that look at the same columns of displacements. */
template <int COUNT>
static __device__ void find(const struct wxst_level_there &level, int x, int y, const struct span *span,
                            struct nearest *best)
{
    int low = span[0].first_y, high = low;
    for (int v = 0; v < COUNT; v++) {
        low = span[v].rows && span[v].first_y < low ? span[v].first_y : low;
        high = span[v].first_y + span[v].rows > high ? span[v].first_y + span[v].rows : high;
    }
    for (int column = 0; column < span[0].columns; column++)
        for (int first = low; first < high; first += SHIFTS) {
            float sum[SHIFTS][COUNT];
            distances<COUNT>(level, x, y, span[0].first_x + column, first, sum);
#pragma unroll
            for (int j = 0; j < SHIFTS; j++)
#pragma unroll
                for (int v = 0; v < COUNT; v++)
                    if (first + j >= span[v].first_y && first + j < span[v].first_y + span[v].rows)
                        keep(&best[v], sum[j][v], span[0].first_x + column, first + j);
        }
}

/* The peak round what was found, and the likeness there. */
static __device__ void find_peak(const struct wxst_there &w, int x, int y, const struct span &s,
                                 const struct nearest &best)
{
    const struct wxst_level_there &level = w.level[0];
    const struct spk_tracker_maps &maps = w.ratio.maps;
    const size_t plane = (size_t)level.height * (size_t)level.width;
    const size_t at = (size_t)y * (size_t)level.width + (size_t)x;
    const int column = best.x - s.first_x, row = best.y - s.first_y;
    maps.displacement_x[at] = maps.displacement_y[at] = maps.quality[at] = NAN;
    if (!best.found || row < 1 || column < 1 || row > s.rows - 2 || column > s.columns - 2)
        return; /* nothing found, or on the rim: the true peak may lie beyond */
    const float *sample = level.vector[WXST_SAMPLE] + at;
    const float *reference =
        level.vector[WXST_REFERENCE] + (size_t)(y - best.y) * (size_t)level.width + (size_t)(x - best.x);
    float around[3][3] = {}, whole = 0, dx, dy;
    for (unsigned k = 0; k < level.plan.size; k++, sample += plane, reference += plane) {
#pragma unroll
        for (int n = 0; n < 9; n++) {
            const float apart = *sample - reference[(1 - n / 3) * level.width + 1 - n % 3];
            around[n / 3][n % 3] = fmaf(apart, apart, around[n / 3][n % 3]);
        }
        whole += *sample * *sample + *reference * *reference;
    }
    for (int n = 0; n < 9; n++)
        around[n / 3][n % 3] = wxst_likeness_px(around[n / 3][n % 3], whole);
    if (!spk_peak_px(w.peak, around, &dx, &dy))
        return;
    maps.displacement_x[at] = (float)best.x + dx;
    maps.displacement_y[at] = (float)best.y + dy;
    maps.quality[at] = around[1][1];
}

__global__ void __launch_bounds__(ACROSS *DOWN) search_level(struct wxst_there w, int p)
{
    const struct wxst_level_there &level = w.level[p];
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y) * RUN;
    const int rim = p ? 0 : w.neighbours; /* coarse pixels may guess from mirrored neighbours */
    if (x >= level.width || y >= level.height)
        return;
    struct span span[RUN];
    struct nearest best[RUN];
    int start_x[RUN], start_y[RUN];
    bool together = true;
#pragma unroll
    for (int v = 0; v < RUN; v++) {
        start_x[v] = start_y[v] = 0;
        if (p < w.levels && y + v < level.height) {
            const struct wxst_level_there &coarse = w.level[p + 1];
            const size_t from = (size_t)wxst_coarse_px((unsigned)(y + v)) * (size_t)coarse.width +
                                wxst_coarse_px((unsigned)x);
            start_x[v] = 2 * coarse.shift_x[from];
            start_y[v] = 2 * coarse.shift_y[from];
        }
        span[v] = span_of(level, rim, x, y + v, start_x[v], start_y[v]);
        best[v] = {INFINITY, 0, 0, false};
        together &= span[v].rows && span[v].columns && start_x[v] == start_x[0] && start_y[v] == start_y[0];
    }
    if (together)
        find<RUN>(level, x, y, span, best);
    else
#pragma unroll
        for (int v = 0; v < RUN; v++)
            if (span[v].rows && span[v].columns)
                find<1>(level, x, y + v, &span[v], &best[v]);
#pragma unroll
    for (int v = 0; v < RUN; v++) {
        const size_t at = (size_t)(y + v) * (size_t)level.width + (size_t)x;
        if (y + v >= level.height)
            break;
        if (p) {
            level.shift_x[at] = (int16_t)(best[v].found ? best[v].x : start_x[v]);
            level.shift_y[at] = (int16_t)(best[v].found ? best[v].y : start_y[v]);
        } else {
            find_peak(w, x, y + v, span[v], best[v]);
        }
    }
}

spk_status spk_wxst_search_there(void *stream, const void *arguments, struct spk_error *error)
{
    const struct wxst_there *w = (const struct wxst_there *)arguments;
    for (int p = w->levels; p >= 0; p--) {
        const dim3 blocks(spk_blocks((unsigned)w->level[p].width, ACROSS),
                          spk_blocks((unsigned)w->level[p].height, DOWN * RUN));
        SPK_LAUNCH(search_level, blocks, dim3(ACROSS, DOWN), 0, stream, *w, p);
    }
    return spk_cuda_launched("search of vectors", error);
}
