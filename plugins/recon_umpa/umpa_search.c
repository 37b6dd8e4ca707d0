/* The integer search: all pixels of a tile at once, one shift after the other.
 *
 * Sums over frames and sums over the window commute, so a shift costs one multiply-add a frame and pixel and then one
 * separable window, whatever the window's size. The reference block of a tile is packed once with its mean taken out; the
 * search runs over every shift of the range. Tiles that touch a masked pixel or the edge of a frame also carry the masks
 * through the sums, so that each shift counts exactly the pixels it can see. */
#include "umpa_internal.h"

#include <math.h>
#include <string.h>

enum product {
    PRODUCT_SR, /* s r */
    PRODUCT_COUNT,
    PRODUCT_SS,
    PRODUCT_RR,
    PRODUCT_S,
    PRODUCT_R,
    PRODUCTS
};

enum { CHUNK = 9 }; /* shifts in flight */

enum fit_input { FIT_MM, FIT_MQ, FIT_QQ, FIT_MS, FIT_QS, FIT_SS, FIT_WEIGHT, FIT_INPUTS };

struct tile {
    struct spk_umpa *u;
    int x0, y0;
    unsigned width, height;   /* of the output */
    unsigned out_pitch;       /* output columns, rounded */
    unsigned s_pitch, s_rows; /* sample block: output and window */
    unsigned r_pitch, r_rows; /* reference block: output, window and shifts */
    unsigned c_rows;          /* rows of reference sums: output and shifts */
    size_t s_plane, r_plane, m_plane, c_plane;
    bool masked, parity;
    float *s, *r; /* [used] blocks, mean taken out, 0 where masked */
    /* Only filled when masked. With sample stepping each frame has its own mask: [used] blocks; otherwise a pixel counts in
     * all frames or in none, and these are sums over frames: one block each. */
    unsigned mask_frames;
    float *s_mask, *r_mask, *s_count, *s1, *r1, *s2, *r2;
    float *s_mean, *r_mean;   /* [used] window means; parity only */
    float *product[PRODUCTS]; /* [CHUNK] sample blocks */
    float *mean_product;      /* [CHUNK][height][out_pitch] sum of s_mean r_mean */
    float *whole;             /* [height][out_pitch] windowed s r, before masks are looked at */
    float *work;              /* sample block */
    float *row;
    float *one, *level;              /* constant rows */
    float *s_sum;                    /* sample block: sum over frames */
    float *mean;                     /* reference block: the local mean */
    float *c_mm, *c_mq, *c_qq, *c_q; /* window sums of the reference alone, [c_rows][r_pitch] */
    float *o_ss, *o_s;               /* window sums of the sample alone, output rows */
    float *input[FIT_INPUTS];        /* one row each */
    float *best[1 + PARAMS];         /* cost, T, K, x, y: output rows */
};

static float *take(float **memory, size_t count)
{
    float *here = *memory;
    if (here)
        *memory += spk_match_round(count, SPK_MATCH_STEP);
    return here;
}

/* Lays the tile's arrays out from `memory` on and returns the floats used. */
static size_t lay_out(struct tile *t, const struct spk_umpa *u, float *memory)
{
    unsigned radius = u->search_radius, shift = u->search_shift, frames = u->count;
    t->parity = u->config.window > 0;
    t->out_pitch = UMPA_SEARCH_TILE;
    t->s_pitch = (unsigned)spk_match_round(t->out_pitch + 2 * radius, SPK_MATCH_STEP);
    t->s_rows = UMPA_SEARCH_ROWS + 2 * radius;
    t->r_pitch = (unsigned)spk_match_round(t->s_pitch + 2 * shift, SPK_MATCH_STEP) + SPK_MATCH_STEP;
    t->r_rows = t->s_rows + 2 * shift;
    t->c_rows = UMPA_SEARCH_ROWS + 2 * shift;
    t->s_plane = (size_t)t->s_rows * t->s_pitch;
    t->r_plane = (size_t)t->r_rows * t->r_pitch;
    t->m_plane = (size_t)UMPA_SEARCH_ROWS * t->out_pitch;
    t->c_plane = (size_t)t->c_rows * t->r_pitch;

    size_t slack = 4 * SPK_MATCH_STEP + 2 * radius; /* rows are read a little beyond their end */
    unsigned masks = u->stepping ? frames : 1;
    size_t s = frames * t->s_plane + slack, r = frames * t->r_plane + slack;
    size_t s_masks = masks * t->s_plane + slack, r_masks = masks * t->r_plane + slack;
    struct {
        float **array;
        size_t count;
    } part[] = {
        {&t->s, s},
        {&t->r, r},
        {&t->s_mask, s_masks},
        {&t->r_mask, r_masks},
        {&t->s2, s_masks},
        {&t->r2, r_masks},
        {&t->s_count, u->stepping ? 0 : s_masks},
        {&t->s1, u->stepping ? 0 : s_masks},
        {&t->r1, u->stepping ? 0 : r_masks},
        {&t->s_mean, t->parity ? frames * t->m_plane + slack : 0},
        {&t->r_mean, t->parity ? frames * t->c_plane + slack : 0},
        {&t->mean_product, t->parity ? CHUNK * t->m_plane + slack : 0},
        {&t->whole, t->parity ? t->m_plane + slack : 0},
        {&t->work, t->s_plane + slack},
        {&t->row, t->r_pitch + slack},
        {&t->one, t->r_pitch},
        {&t->level, t->r_pitch},
        {&t->s_sum, t->s_plane + slack},
        {&t->mean, t->r_plane + slack},
        {&t->c_mm, t->c_plane + slack},
        {&t->c_mq, t->c_plane + slack},
        {&t->c_qq, t->c_plane + slack},
        {&t->c_q, t->c_plane + slack},
        {&t->o_ss, t->m_plane + slack},
        {&t->o_s, t->m_plane + slack},
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        *part[i].array = take(&memory, part[i].count);
        total += spk_match_round(part[i].count, SPK_MATCH_STEP);
    }
    for (unsigned i = 0; i < PRODUCTS;
         i++, total += spk_match_round(CHUNK * t->s_plane + slack, SPK_MATCH_STEP))
        t->product[i] = take(&memory, CHUNK * t->s_plane + slack);
    for (unsigned i = 0; i < FIT_INPUTS; i++, total += t->out_pitch)
        t->input[i] = take(&memory, t->out_pitch);
    for (unsigned i = 0; i <= PARAMS; i++, total += t->m_plane)
        t->best[i] = take(&memory, t->m_plane);
    return total;
}

size_t umpa_search_scratch(const struct spk_umpa *u)
{
    struct tile tile;
    return lay_out(&tile, u, NULL);
}

/* out = the window over rows x columns of `in`, separably. */
static void blur(const struct tile *t, float *out, size_t out_pitch, const float *in, size_t in_pitch,
                 unsigned rows, unsigned columns)
{
    const struct spk_umpa *u = t->u;
    unsigned taps = 2 * u->search_radius + 1;
    unsigned wide = (unsigned)spk_match_round(columns + taps - 1, SPK_MATCH_STEP);
    for (unsigned y = 0; y < rows; y++) {
        u->ops->taps(t->row, in + y * in_pitch, in_pitch, u->search_weight, taps, wide);
        u->ops->taps(out + y * out_pitch, t->row, 1, u->search_weight, taps, columns);
    }
}

static int clamp_int(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

struct block {
    const struct spk_stack *stack;
    int x0, y0;
    unsigned rows, pitch;
    size_t plane;
    const float *base; /* taken out of every frame, rows `base_pitch` apart */
    size_t base_pitch;
    float *value, *mask, *count, *sum, *square;
};

/* Copies one row of one frame; false when a pixel of it does not count, which then clears `good` (may be NULL). */
static bool pack_row(const struct spk_umpa *u, const struct block *b, unsigned k, unsigned row, float *to,
                     float *good)
{
    const struct umpa_row from = umpa_frame_row(u, b->stack, k, b->y0 + (int)row);
    int pitch = (int)b->pitch;
    int lo = clamp_int(from.data ? from.first - b->x0 : pitch, 0, pitch);
    int hi = clamp_int(from.data ? from.last - b->x0 + 1 : 0, lo, pitch);
    bool whole = lo == 0 && hi == pitch;
    if (!whole) {
        memset(to, 0, b->pitch * sizeof *to);
        for (int i = 0; good && i < pitch; i++)
            good[i] = i >= lo && i < hi ? good[i] : 0;
        if (lo == hi)
            return false;
    }
    int at = b->x0 + lo + from.shift;
    return u->ops->pack(to + lo, good ? good + lo : NULL, from.data + at, from.mask + at,
                        b->base + row * b->base_pitch + lo, u->scale, UMPA_LIMIT, (unsigned)(hi - lo)) &&
           whole;
}

static bool pack(const struct spk_umpa *u, const struct block *b)
{
    bool clean = true;
    for (unsigned i = 0; i < u->used_count; i++)
        for (unsigned row = 0; row < b->rows; row++)
            clean &= pack_row(u, b, u->used[i], row, b->value + i * b->plane + (size_t)row * b->pitch, NULL);
    return clean;
}

/* Packs once more, now with masks: of each frame, or one for all frames where a pixel that fails in one of them is taken
 * out of all. */
static void pack_masks(const struct spk_umpa *u, const struct block *b, bool each)
{
    for (unsigned i = 0; i < u->used_count; i++) {
        float *value = b->value + i * b->plane, *mask = b->mask + (each ? i * b->plane : 0);
        for (size_t x = 0; (each || i == 0) && x < b->plane; x++)
            mask[x] = 1;
        for (unsigned row = 0; row < b->rows; row++)
            pack_row(u, b, u->used[i], row, value + (size_t)row * b->pitch, mask + (size_t)row * b->pitch);
    }
    for (unsigned i = 0; i < u->used_count; i++) {
        float *value = b->value + i * b->plane, *square = b->square + (each ? i * b->plane : 0);
        if (each || i == 0)
            memset(square, 0, b->plane * sizeof *square);
        for (size_t x = 0; !each && x < b->plane; x++)
            value[x] *= b->mask[x];
        u->ops->accumulate(square, value, value, b->plane);
    }
}

/* What stands in for each frame's own products when all share one mask. */
static void sum_masked(const struct spk_umpa *u, const struct block *b)
{
    memset(b->sum, 0, b->plane * sizeof *b->sum);
    for (unsigned i = 0; i < u->used_count; i++)
        u->ops->accumulate(b->sum, b->value + i * b->plane, b->mask, b->plane);
    for (size_t x = 0; b->count && x < b->plane; x++)
        b->count[x] = b->mask[x] * (float)u->used_count;
}

/* The local mean under the reference block, continued beyond the image. */
static void pack_mean(const struct tile *t, int x0, int y0)
{
    const struct spk_umpa *u = t->u;
    for (unsigned row = 0; row < t->r_rows; row++) {
        const float *from = u->mean + (size_t)clamp_int(y0 + (int)row, 0, (int)u->height - 1) * u->pitch;
        for (unsigned x = 0; x < t->r_pitch; x++)
            t->mean[row * t->r_pitch + x] = from[clamp_int(x0 + (int)x, 0, (int)u->width - 1)];
    }
}

static void load_tile(struct tile *t)
{
    struct spk_umpa *u = t->u;
    int radius = (int)u->search_radius, shift = (int)u->search_shift;
    struct block s = {.stack = u->sample,
                      .x0 = t->x0 - radius,
                      .y0 = t->y0 - radius,
                      .rows = t->s_rows,
                      .pitch = t->s_pitch,
                      .plane = t->s_plane,
                      .base = t->level,
                      .value = t->s,
                      .mask = t->s_mask,
                      .count = t->s_count,
                      .sum = t->s1,
                      .square = t->s2};
    struct block r = {.stack = u->reference,
                      .x0 = s.x0 - shift - u->guess_x,
                      .y0 = s.y0 - shift - u->guess_y,
                      .rows = t->r_rows,
                      .pitch = t->r_pitch,
                      .plane = t->r_plane,
                      .base = t->parity ? t->one : t->mean,
                      .base_pitch = t->parity ? 0 : t->r_pitch,
                      .value = t->r,
                      .mask = t->r_mask,
                      .sum = t->r1,
                      .square = t->r2};
    pack_mean(t, r.x0, r.y0);
    for (unsigned x = 0; x < t->r_pitch; x++) {
        t->one[x] = 1;
        t->level[x] = u->level;
    }
    bool s_clean = pack(u, &s), r_clean = pack(u, &r);
    t->masked = !s_clean || !r_clean;
    t->mask_frames = u->stepping ? u->used_count : 1;
    if (!t->masked)
        return;
    pack_masks(u, &s, u->stepping);
    pack_masks(u, &r, u->stepping);
    if (u->stepping) {
        t->s_count = t->s_mask;
        t->s1 = t->s;
        t->r1 = t->r;
    } else {
        sum_masked(u, &s);
        sum_masked(u, &r);
    }
}

/* sum over frames of a b over a block; b NULL: of a. */
static void sum_frames(const struct tile *t, float *out, const float *a, const float *b, size_t plane,
                       size_t count)
{
    memset(out, 0, count * sizeof *out);
    for (unsigned i = 0; i < t->u->used_count; i++)
        if (b)
            t->u->ops->accumulate(out, a + i * plane, b + i * plane, count);
        else
            for (size_t x = 0; x < count; x++)
                out[x] += a[i * plane + x];
}

/* What depends on the sample alone or on the reference alone, with the window mean of each frame (UMPA's definition). Holds
 * where the window is whole. */
static void parity_sums(struct tile *t)
{
    const struct spk_umpa *u = t->u;
    unsigned columns = (unsigned)spk_match_round(t->out_pitch + 2 * u->search_shift, SPK_MATCH_STEP);
    float frames = (float)u->used_count, level = u->level;
    for (unsigned i = 0; i < u->used_count; i++) {
        blur(t, t->s_mean + i * t->m_plane, t->out_pitch, t->s + i * t->s_plane, t->s_pitch, UMPA_SEARCH_ROWS,
             t->out_pitch);
        blur(t, t->r_mean + i * t->c_plane, t->r_pitch, t->r + i * t->r_plane, t->r_pitch, t->c_rows,
             columns);
    }
    sum_frames(t, t->c_mm, t->r_mean, t->r_mean, t->c_plane, t->c_plane); /* of r' = r - 1 */
    sum_frames(t, t->c_q, t->r_mean, NULL, t->c_plane, t->c_plane);
    sum_frames(t, t->o_s, t->s_mean, NULL, t->m_plane, t->m_plane);
    float *rr = t->product[0]; /* free until the first shift */
    sum_frames(t, rr, t->r, t->r, t->r_plane, t->r_plane);
    blur(t, t->c_qq, t->r_pitch, rr, t->r_pitch, t->c_rows, columns);
    for (size_t i = 0; i < t->c_plane; i++) {
        t->c_qq[i] -= t->c_mm[i];
        t->c_mm[i] += 2 * t->c_q[i] + frames;
    }
    memset(t->c_mq, 0, t->c_plane * sizeof(float)); /* deviations from a window's mean have no mean */
    sum_frames(t, t->work, t->s, t->s, t->s_plane, t->s_plane);
    blur(t, t->o_ss, t->out_pitch, t->work, t->s_pitch, UMPA_SEARCH_ROWS, t->out_pitch);
    for (size_t i = 0; i < t->m_plane; i++)
        t->o_ss[i] += 2 * level * t->o_s[i] + frames * level * level;
}

/* The same with one local mean for all frames. */
static void local_mean_sums(struct tile *t)
{
    struct spk_umpa *u = t->u;
    sum_frames(t, t->s_sum, t->s, NULL, t->s_plane, t->s_plane);
    if (t->masked)
        return;
    float frames = (float)u->used_count;
    for (size_t i = 0; i < t->s_plane; i++)
        t->s_sum[i] += frames * u->level;
    unsigned columns = (unsigned)spk_match_round(t->out_pitch + 2 * u->search_shift, SPK_MATCH_STEP);
    float *mm = t->product[0], *mq = t->product[1], *qq = t->product[2], *q = t->product[3];
    sum_frames(t, q, t->r, NULL, t->r_plane, t->r_plane);
    sum_frames(t, qq, t->r, t->r, t->r_plane, t->r_plane);
    for (size_t i = 0; i < t->r_plane; i++) {
        float m = t->mean[i];
        mm[i] = frames * m * m;
        mq[i] = m * q[i];
        qq[i] -= frames * u->noise_reference * m;
    }
    blur(t, t->c_mm, t->r_pitch, mm, t->r_pitch, t->c_rows, columns);
    blur(t, t->c_mq, t->r_pitch, mq, t->r_pitch, t->c_rows, columns);
    blur(t, t->c_qq, t->r_pitch, qq, t->r_pitch, t->c_rows, columns);
    blur(t, t->c_q, t->r_pitch, q, t->r_pitch, t->c_rows, columns);
    sum_frames(t, t->work, t->s, t->s, t->s_plane, t->s_plane);
    blur(t, t->o_ss, t->out_pitch, t->work, t->s_pitch, UMPA_SEARCH_ROWS, t->out_pitch);
    sum_frames(t, t->work, t->s, NULL, t->s_plane, t->s_plane);
    blur(t, t->o_s, t->out_pitch, t->work, t->s_pitch, UMPA_SEARCH_ROWS, t->out_pitch);
    for (size_t i = 0; i < t->m_plane; i++)
        t->o_ss[i] += 2 * u->level * t->o_s[i] + frames * u->level * u->level;
}

static void cross_chunk(struct tile *t, unsigned row_shift, unsigned first, unsigned shifts)
{
    struct spk_umpa *u = t->u;
    const struct {
        const float *s, *r;
    } factor[PRODUCTS] = {{t->s, t->r},       {t->s_count, t->r_mask}, {t->s2, t->r_mask},
                          {t->s_mask, t->r2}, {t->s1, t->r_mask},      {t->s_mask, t->r1}};
    unsigned products = t->masked ? PRODUCTS : 1;
    for (unsigned y = 0; y < t->s_rows; y++)
        for (unsigned i = 0; i < products; i++)
            u->ops->cross(t->product[i] + (size_t)y * t->s_pitch, t->s_plane,
                          factor[i].s + (size_t)y * t->s_pitch, t->s_plane,
                          factor[i].r + (size_t)(y + row_shift) * t->r_pitch + first, t->r_plane,
                          i == PRODUCT_SR ? u->used_count : t->mask_frames, t->s_pitch, shifts);
    if (!t->parity)
        return;
    for (unsigned y = 0; y < t->height; y++)
        u->ops->cross(t->mean_product + (size_t)y * t->out_pitch, t->m_plane,
                      t->s_mean + (size_t)y * t->out_pitch, t->m_plane,
                      t->r_mean + (size_t)(y + row_shift) * t->r_pitch + first, t->c_plane, u->used_count,
                      t->out_pitch, shifts);
}

/* The window over one output row of a plane. */
static void blur_row(const struct tile *t, float *out, const float *plane, unsigned y)
{
    blur(t, out, t->out_pitch, plane + (size_t)y * t->s_pitch, t->s_pitch, 1, t->out_pitch);
}

/* Turns windowed products of s and r into the sums of the fit, with UMPA's means. */
static void parity_row(const struct tile *t, unsigned y, unsigned j, const float *c_q, float *qs, float *ms)
{
    float level = t->u->level, frames = (float)t->u->used_count;
    const float *means = t->mean_product + j * t->m_plane + (size_t)y * t->out_pitch;
    const float *s = t->o_s + (size_t)y * t->out_pitch;
    for (unsigned x = 0; x < t->out_pitch; x++) {
        qs[x] -= means[x];
        ms[x] = means[x] + s[x] + level * (c_q[x] + frames);
    }
}

/* Inputs of the fit that change with the shift, for one output row of a tile where every pixel counts. */
static void whole_row(struct tile *t, unsigned y, unsigned j, size_t c, struct spk_fit_row *fit)
{
    float *qs = t->input[FIT_QS], *ms = t->input[FIT_MS];
    const float *c_q = t->c_q + c;
    blur_row(t, qs, t->product[PRODUCT_SR] + j * t->s_plane, y);
    if (t->parity) {
        parity_row(t, y, j, c_q, qs, ms);
    } else {
        blur_row(t, ms, t->work, y);
        for (unsigned x = 0; x < t->out_pitch; x++)
            qs[x] += t->u->level * c_q[x];
    }
    fit->mm = t->c_mm + c;
    fit->mq = t->c_mq + c;
    fit->qq = t->c_qq + c;
    fit->ss = t->o_ss + (size_t)y * t->out_pitch;
}

/* Turns the six products of a shift in place into the sums of the fit with the local mean, before the window. */
static void masked_planes(struct tile *t, unsigned j, const float *mean)
{
    const struct spk_umpa *u = t->u;
    float *p[PRODUCTS], level = u->level, noise = t->parity ? 0 : u->noise_reference;
    for (unsigned i = 0; i < PRODUCTS; i++)
        p[i] = t->product[i] + j * t->s_plane;
    for (unsigned y = 0; y < t->s_rows; y++)
        for (unsigned x = 0; x < t->s_pitch; x++) {
            size_t i = (size_t)y * t->s_pitch + x;
            float m = mean[(size_t)y * t->r_pitch + x], n = p[PRODUCT_COUNT][i];
            float rest = t->parity ? m - 1 : 0; /* of the mean in the packed reference */
            float s = p[PRODUCT_S][i] + level * n, q = p[PRODUCT_R][i] - rest * n;
            p[PRODUCT_SR][i] += level * q - rest * p[PRODUCT_S][i];
            p[PRODUCT_RR][i] -= rest * (p[PRODUCT_R][i] + q) + noise * m * n;
            p[PRODUCT_SS][i] += level * (p[PRODUCT_S][i] + s);
            p[PRODUCT_S][i] = m * s;
            p[PRODUCT_R][i] = m * q;
            t->work[i] = m * m * n;
        }
}

static void masked_row(struct tile *t, unsigned y, unsigned j, size_t c, struct spk_fit_row *fit)
{
    float *const *in = t->input, whole = 0.9999f * (float)t->u->used_count;
    float *to[PRODUCTS] = {in[FIT_QS], in[FIT_WEIGHT], in[FIT_SS], in[FIT_QQ], in[FIT_MS], in[FIT_MQ]};
    for (unsigned i = 0; i < PRODUCTS; i++)
        blur_row(t, to[i], t->product[i] + j * t->s_plane, y);
    blur_row(t, in[FIT_MM], t->work, y);
    fit->mm = in[FIT_MM];
    fit->mq = in[FIT_MQ];
    fit->qq = in[FIT_QQ];
    fit->ss = in[FIT_SS];
    if (!t->parity)
        return;
    /* where the window is whole UMPA's own means hold; elsewhere the local mean has to do */
    const float *ss = t->o_ss + (size_t)y * t->out_pitch;
    float *qs = t->whole + (size_t)y * t->out_pitch, *ms = t->row;
    parity_row(t, y, j, t->c_q + c, qs, ms);
    for (unsigned x = 0; x < t->out_pitch; x++) {
        bool use = in[FIT_WEIGHT][x] >= whole;
        in[FIT_QS][x] = use ? qs[x] : in[FIT_QS][x];
        in[FIT_MS][x] = use ? ms[x] : in[FIT_MS][x];
        in[FIT_MM][x] = use ? t->c_mm[c + x] : in[FIT_MM][x];
        in[FIT_MQ][x] = use ? 0 : in[FIT_MQ][x];
        in[FIT_QQ][x] = use ? t->c_qq[c + x] : in[FIT_QQ][x];
        in[FIT_SS][x] = use ? ss[x] : in[FIT_SS][x];
    }
}

/* Planes of one shift that the rows of the fit start from. */
static void shift_planes(struct tile *t, unsigned j, unsigned row_shift, unsigned column)
{
    const float *mean = t->mean + (size_t)row_shift * t->r_pitch + column;
    if (t->masked) {
        if (t->parity)
            blur(t, t->whole, t->out_pitch, t->product[PRODUCT_SR] + j * t->s_plane, t->s_pitch, t->height,
                 t->out_pitch);
        masked_planes(t, j, mean);
    } else if (!t->parity) {
        for (unsigned y = 0; y < t->s_rows; y++)
            for (unsigned x = 0; x < t->s_pitch; x++)
                t->work[y * t->s_pitch + x] = mean[(size_t)y * t->r_pitch + x] * t->s_sum[y * t->s_pitch + x];
    }
}

static void fit_shift(struct tile *t, unsigned j, unsigned row_shift, unsigned column)
{
    struct spk_umpa *u = t->u;
    struct spk_fit_row fit = {.ms = t->input[FIT_MS],
                              .qs = t->input[FIT_QS],
                              .weight = t->input[FIT_WEIGHT],
                              .weight_min = 0.3f * (float)u->used_count,
                              .dark_field = u->config.dark_field,
                              .shift_x = (float)((int)u->search_shift - (int)column + u->guess_x),
                              .shift_y = (float)((int)u->search_shift - (int)row_shift + u->guess_y),
                              .width = t->out_pitch};
    shift_planes(t, j, row_shift, column);
    for (unsigned y = 0; y < t->height; y++) {
        size_t c = (size_t)(y + row_shift) * t->r_pitch + column, o = (size_t)y * t->out_pitch;
        if (t->masked)
            masked_row(t, y, j, c, &fit);
        else
            whole_row(t, y, j, c, &fit);
        fit.cost = t->best[0] + o;
        fit.transmission = t->best[1 + PARAM_T] + o;
        fit.contrast = t->best[1 + PARAM_K] + o;
        fit.x = t->best[1 + PARAM_X] + o;
        fit.y = t->best[1 + PARAM_Y] + o;
        u->ops->fit(&fit);
    }
}

static void store_tile(const struct tile *t)
{
    struct spk_umpa *u = t->u;
    for (unsigned y = 0; y < t->height; y++) {
        size_t to = ((size_t)t->y0 + y) * u->pitch + (size_t)t->x0, from = (size_t)y * t->out_pitch;
        memcpy(u->cost + to, t->best[0] + from, t->width * sizeof(float));
        for (unsigned i = 0; i < PARAMS; i++)
            memcpy(u->param[i] + to, t->best[1 + i] + from, t->width * sizeof(float));
    }
}

static void search_tile(void *context, unsigned task, unsigned worker)
{
    struct spk_umpa *u = context;
    unsigned across = (u->width + UMPA_SEARCH_TILE - 1) / UMPA_SEARCH_TILE;
    struct tile tile = {.u = u}, *t = &tile;
    lay_out(t, u, umpa_scratch(u, worker));
    t->x0 = (int)(task % across) * UMPA_SEARCH_TILE;
    t->y0 = (int)(task / across) * UMPA_SEARCH_ROWS;
    unsigned right = u->width - (unsigned)t->x0, below = u->height - (unsigned)t->y0;
    t->width = right < UMPA_SEARCH_TILE ? right : UMPA_SEARCH_TILE;
    t->height = below < UMPA_SEARCH_ROWS ? below : UMPA_SEARCH_ROWS;

    load_tile(t);
    if (t->parity)
        parity_sums(t);
    else
        local_mean_sums(t);
    for (size_t i = 0; i < t->m_plane; i++) {
        t->best[0][i] = INFINITY;
        t->best[1 + PARAM_T][i] = t->best[1 + PARAM_K][i] = 0;
        t->best[1 + PARAM_X][i] = (float)u->guess_x;
        t->best[1 + PARAM_Y][i] = (float)u->guess_y;
    }
    for (unsigned x = 0; x < t->out_pitch; x++)
        t->input[FIT_WEIGHT][x] = (float)u->used_count;
    unsigned span = 2 * u->search_shift + 1;
    for (unsigned row = 0; row < span; row++)
        for (unsigned first = 0; first < span; first += CHUNK) {
            unsigned shifts = span - first < CHUNK ? span - first : CHUNK;
            cross_chunk(t, row, first, shifts);
            for (unsigned j = 0; j < shifts; j++)
                fit_shift(t, j, row, first + j);
        }
    store_tile(t);
}

void umpa_search(struct spk_umpa *u)
{
    unsigned across = (u->width + UMPA_SEARCH_TILE - 1) / UMPA_SEARCH_TILE;
    unsigned down = (u->height + UMPA_SEARCH_ROWS - 1) / UMPA_SEARCH_ROWS;
    spk_team_run(u->team, search_tile, u, across * down);
}
