/* Rolling mode on a device: the sums of umpa_kept_there.h, brought up to date by the frames that are new, and the equations made of them. */
#include "umpa_kept_there.h"
#include "umpa_moments_there.h"

enum { ACROSS = 32, DOWN = 8, CELL = UMPA_KEPT_COLUMNS * UMPA_KEPT_ROWS };

/* Places lie on a grid: what moves by less than it is wide keeps its place, and with it what was summed up there. */
#define GRID 0.25f

/* A pixel this near the place of its cell is linearised there; what is left of a step that small is third order in it. */
#define REACH 0.375f

/* Sums are of the sample itself: about a level they would change with every frame. */
__global__ void begin_kept(struct umpa_there u)
{
    u.numbers->level = 0;
    *u.kept.other_mask = u.kept.all;
}

__global__ void sum_kept(struct umpa_there u)
{
    const int x = (int)(blockIdx.x * ACROSS + threadIdx.x), y = (int)(blockIdx.y * DOWN + threadIdx.y);
    if (x >= u.width || y >= u.height)
        return;
    const struct umpa_kept_there &k = u.kept;
    const size_t at = (size_t)y * (size_t)u.width + (size_t)x;
    int64_t sum = k.all ? 0 : k.sum[at], square = k.all ? 0 : k.square[at];
    int bad = k.all ? 0 : k.bad[at];
    for (int i = 0; i < u.used_count; i++) {
        const int frame = u.used[i];
        bool counts, counted = true;
        if (!umpa_is_fresh(u, frame))
            continue;
        const float fresh = umpa_kept_value(u, u.sample, frame, at, &counts);
        const float former = k.all ? 0 : umpa_kept_value(u, k.seen, frame, at, &counted);
        sum = umpa_exchange(sum, umpa_quanta(fresh), umpa_quanta(former));
        square = umpa_exchange(square, umpa_quanta(fresh * fresh), umpa_quanta(former * former));
        bad += (int)counted - (int)counts;
    }
    k.sum[at] = sum;
    k.square[at] = square;
    k.bad[at] = (uint16_t)bad;
    if (!k.all && k.mask[at] != u.sample_mask[at])
        atomicMax(k.other_mask, 1u);
    k.mask[at] = u.sample_mask[at];
    const bool whole = bad == 0 && k.mask[at];
    u.whole[at] = whole;
    u.s1[at] = whole ? umpa_of_quanta(sum) : 0;
    u.s2[at] = whole ? umpa_of_quanta(square) : 0;
}

void umpa_there_kept_sample(void *stream, const struct umpa_there *u)
{
    const dim3 blocks(spk_blocks((unsigned)u->width, ACROSS), spk_blocks((unsigned)u->height, DOWN));
    SPK_LAUNCH(begin_kept, 1, 1, 0, stream, *u);
    SPK_LAUNCH(sum_kept, blocks, dim3(ACROSS, DOWN), 0, stream, *u);
}

/* The mean displacement of those pixels of this block's cell that count, on the grid; false: most of them lie too far from it to be linearised
 * there. *near: this one does not. All threads must call it. */
static __device__ bool find_place(const struct umpa_there &u, bool counts, float ux, float uy, double *part,
                                  float *x, float *y, bool *near)
{
    const double count = spk_block_sum(counts ? 1.0 : 0.0, part);
    const double sum_x = spk_block_sum(counts ? (double)ux : 0.0, part);
    const double sum_y = spk_block_sum(counts ? (double)uy : 0.0, part);
    *x = count > 0 ? GRID * rintf((float)(sum_x / count) / GRID) : (float)u.guess_x;
    *y = count > 0 ? GRID * rintf((float)(sum_y / count) / GRID) : (float)u.guess_y;
    *near = fabsf(ux - *x) <= REACH && fabsf(uy - *y) <= REACH;
    return 2 * spk_block_sum(counts && *near ? 1.0 : 0.0, part) >= count;
}

/* Whether a place is in the reference. */
static __device__ inline bool is_there(const struct umpa_there &u, float x, float y)
{
    return x >= 0 && x <= (float)(u.width - 1) && y >= 0 && y <= (float)(u.height - 1);
}

/* A pixel's sums at its cell's place: those of the last stack with the new frames in them, or all made (`same`: the former). */
static __device__ void sum_up(const struct umpa_there &u, const struct umpa_kept_pass &kept, size_t own,
                              size_t plane, size_t at, const struct umpa_spot &spot, bool same,
                              float sum[SPK_MOMENTS])
{
    const enum spk_moment product[UMPA_KEPT_PRODUCTS] = {SPK_SUM_VS, SPK_SUM_VXS, SPK_SUM_VYS};
    const enum spk_moment alone[UMPA_KEPT_ALONE] = {SPK_SUM_V,    SPK_SUM_VX,   SPK_SUM_VY,
                                                    SPK_SUM_VV,   SPK_SUM_VVX,  SPK_SUM_VVY,
                                                    SPK_SUM_VXVX, SPK_SUM_VXVY, SPK_SUM_VYVY};
    int64_t products[UMPA_KEPT_PRODUCTS] = {0};
#pragma unroll
    for (int q = 0; q < UMPA_KEPT_PRODUCTS && same; q++)
        products[q] = kept.product[(size_t)q * plane + own];
    for (int i = 0; i < u.used_count; i++) {
        const int frame = u.used[i];
        if (same && !umpa_is_fresh(u, frame))
            continue;
        bool counts;
        const float s = umpa_kept_value(u, u.sample, frame, at, &counts);
        const float former = same ? umpa_kept_value(u, u.kept.seen, frame, at, &counts) : 0;
        const struct umpa_pattern p = umpa_pattern_at(u, spot, frame);
        const float factor[UMPA_KEPT_PRODUCTS] = {p.v, p.vx, p.vy};
#pragma unroll
        for (int q = 0; q < UMPA_KEPT_PRODUCTS; q++)
            products[q] =
                umpa_exchange(products[q], umpa_quanta(factor[q] * s), umpa_quanta(factor[q] * former));
        if (!same)
            SPK_ADD_MOMENTS(sum, p.v, p.vx, p.vy, s, 1);
    }
#pragma unroll
    for (int q = 0; q < UMPA_KEPT_PRODUCTS; q++) {
        kept.product[(size_t)q * plane + own] = products[q];
        sum[product[q]] = umpa_of_quanta(products[q]);
    }
#pragma unroll
    for (int q = 0; q < UMPA_KEPT_ALONE; q++) {
        float *reference = &kept.reference[(size_t)q * plane + own];
        if (same)
            sum[alone[q]] = *reference;
        else
            *reference = sum[alone[q]];
    }
    sum[SPK_SUM_S] = umpa_of_quanta(u.kept.sum[at]);
    sum[SPK_SUM_SS] = umpa_of_quanta(u.kept.square[at]);
    sum[SPK_SUM_COUNT] = (float)u.used_count;
}

/* A pixel linearised where it stands, from all frames. */
static __device__ inline void collect_alone(const struct umpa_there &u, int x, int y, float ux, float uy,
                                            float sum[SPK_MOMENTS])
{
    for (int i = 0; i < SPK_MOMENTS; i++)
        sum[i] = 0;
    umpa_collect<false>(u, x, y, (float)x - ux, (float)y - uy, sum);
}

/* The equations of a cell's pixels, one a thread. Sums at the cell's place are those of all its pixels, whether they count and are near it
 * or not: in the next stack they may be. */
__global__ void __launch_bounds__(CELL) kept_equations(struct umpa_there u, struct umpa_kept_pass kept)
{
    SPK_SHARED(double, part);
    const int x = (int)(blockIdx.x * UMPA_KEPT_COLUMNS + threadIdx.x);
    const int y = (int)(blockIdx.y * UMPA_KEPT_ROWS + threadIdx.y);
    const bool inside = x < u.width && y < u.height;
    const size_t at = inside ? (size_t)y * (size_t)u.width + (size_t)x : 0;
    const size_t cell = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    const size_t own = cell * CELL + threadIdx.y * UMPA_KEPT_COLUMNS + threadIdx.x,
                 plane = (size_t)gridDim.x * gridDim.y * CELL;
    float ux = u.param[2][at], uy = u.param[3][at], place_x, place_y;
    bool near;
    const bool together = find_place(u, inside && u.usable[at], ux, uy, part, &place_x, &place_y, &near);
    float *place = kept.place + 2 * cell;
    const bool same = !u.kept.all && place[0] == place_x && place[1] == place_y;
    __syncthreads(); /* all have read it */
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        place[0] = together ? place_x : NAN;
        place[1] = place_y;
    }
    if (!inside)
        return;
    float normal[SPK_NORMALS] = {0}, sum[SPK_MOMENTS] = {0};
    const float from_x = (float)x - place_x, from_y = (float)y - place_y;
    if (together && is_there(u, from_x, from_y))
        sum_up(u, kept, own, plane, at, umpa_spot_at(u, from_x, from_y), same, sum);
    near = near && together;
    ux = near ? place_x : ux;
    uy = near ? place_y : uy;
    const struct spk_match_mean local = umpa_mean_of(u, at, x, y, ux, uy);
    if (local.weight > 0) {
        if (!near)
            collect_alone(u, x, y, ux, uy, sum);
        umpa_normal_of(u, at, ux, uy, local, sum, normal);
    }
    umpa_store_normal(u, at, normal);
}

void umpa_there_kept_equations(void *stream, const struct umpa_there *u, int pass)
{
    const dim3 cells(spk_blocks((unsigned)u->width, UMPA_KEPT_COLUMNS),
                     spk_blocks((unsigned)u->height, UMPA_KEPT_ROWS));
    SPK_LAUNCH(kept_equations, cells, dim3(UMPA_KEPT_COLUMNS, UMPA_KEPT_ROWS), CELL / 32 * sizeof(double),
               stream, *u, u->kept.pass[pass]);
}
