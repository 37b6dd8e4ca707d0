/* Rolling mode on a device: sums over frames that stay from one stack to the next, of which a frame or two are new.
 *
 * They are sums of whole numbers, so that taking the product of a former frame out of them and putting that of the new one in
 * is exact: they are the same however the stack came to be what it is, and never drift. A number is so many quanta, one small beside
 * the rounding of the values that were multiplied. What does not depend on the place where a pixel is linearised holds until there is
 * another reference; the rest until a cell of pixels is linearised elsewhere. */
#ifndef SPECKLED_UMPA_KEPT_THERE_H
#define SPECKLED_UMPA_KEPT_THERE_H

#include "umpa_planes.h"

/* Sums of the refinement: products of at most 1000 by 65504, of 1024 frames; in the worst case, which is no picture, they wrap round and come
 * back. */
#define UMPA_KEPT_QUANTA 0x1p30f

static __device__ inline bool umpa_is_fresh(const struct umpa_there &u, int frame)
{
    return u.kept.fresh[frame / 32] >> (frame % 32) & 1;
}

/* Quanta of one product of the search. */
static __device__ inline int umpa_search_quanta(const struct umpa_there &u, float product)
{
    const float limit = UMPA_KEPT_PRODUCT_MAX;
    return (int)rintf(fminf(fmaxf(product, -limit), limit) * u.kept.search_quanta);
}

static __device__ inline int64_t umpa_quanta(float value)
{
    return llrintf(value * UMPA_KEPT_QUANTA);
}

static __device__ inline float umpa_of_quanta(int64_t quanta)
{
    return (float)quanta * (1 / UMPA_KEPT_QUANTA);
}

/* Wrapping round, which signed numbers must not. */
static __device__ inline int64_t umpa_add(int64_t sum, int64_t more)
{
    return (int64_t)((uint64_t)sum + (uint64_t)more);
}

static __device__ inline int64_t umpa_exchange(int64_t sum, int64_t fresh, int64_t former)
{
    return (int64_t)((uint64_t)sum + (uint64_t)fresh - (uint64_t)former);
}

/* A sample's value in units of the reference's mean, 0 where it is none; *counts says which. Masks change, sums do not know them. */
static __device__ inline float umpa_kept_value(const struct umpa_there &u, const struct umpa_planes &planes,
                                               int frame, size_t at, bool *counts)
{
    const size_t plane = (size_t)u.height * (size_t)u.width;
    const float value = u.numbers->scale * umpa_value(planes, (size_t)frame * plane + at);
    *counts = spk_match_counts_px(value, UMPA_LIMIT, 1);
    return *counts ? value : 0;
}

#endif
