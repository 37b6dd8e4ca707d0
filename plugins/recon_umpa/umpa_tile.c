/* Packing of a tile and its sums. */
#include "umpa_tile.h"

#include <math.h>
#include <string.h>

struct part {
    float **array;
    size_t count;
};

enum { PARTS = 30 + PRODUCTS + FIT_INPUTS + TRIALS + BESTS };

unsigned umpa_tile_columns(const struct spk_umpa *u)
{
    unsigned window = 2 * u->search_radius;
    return (unsigned)spk_match_round(UMPA_SEARCH_TILE + window, SPK_MATCH_STEP) - window;
}

static void measure(struct umpa_tile *t, const struct spk_umpa *u, unsigned width, unsigned height)
{
    unsigned window = 2 * u->search_radius, shifts = 2 * u->search_shift;
    t->exact = u->config.refine == SPK_UMPA_NONE;
    t->parity = u->config.window > 0 && t->exact;
    t->width = width;
    t->height = height;
    t->out_pitch = (unsigned)spk_match_round(width, SPK_MATCH_STEP);
    t->s_pitch = (unsigned)spk_match_round(width + window, SPK_MATCH_STEP);
    t->s_rows = height + window;
    t->r_pitch = (unsigned)spk_match_round(t->s_pitch + shifts, SPK_MATCH_STEP);
    t->r_rows = t->s_rows + shifts;
    t->c_rows = height + shifts;
    t->s_plane = (size_t)t->s_rows * t->s_pitch;
    t->r_plane = (size_t)t->r_rows * t->r_pitch;
    t->m_plane = (size_t)height * t->out_pitch;
    t->c_plane = (size_t)t->c_rows * t->r_pitch;
}

/* Lists the arrays of a measured tile; returns how many there are. */
static unsigned list_parts(struct umpa_tile *t, const struct spk_umpa *u, struct part part[PARTS])
{
    size_t frames = u->count, masks = u->stepping ? frames : 1, parity = u->config.window > 0;
    size_t sums = !u->stepping;
    const struct part list[] = {
        {&t->s, frames * t->s_plane},
        {&t->r, frames * t->r_plane},
        {&t->s_mask, masks * t->s_plane},
        {&t->r_mask, masks * t->r_plane},
        {&t->s2, masks * t->s_plane},
        {&t->r2, masks * t->r_plane},
        {&t->s_count, sums * t->s_plane},
        {&t->s1, sums * t->s_plane},
        {&t->r1, sums * t->r_plane},
        {&t->s_mean, parity * frames * t->m_plane},
        {&t->r_mean, parity * frames * t->c_plane},
        {&t->mean_product, parity * UMPA_CHUNK * t->m_plane},
        {&t->whole, parity * t->m_plane},
        {&t->work, t->s_plane},
        {&t->row, t->r_pitch},
        {&t->one, t->r_pitch},
        {&t->level, t->r_pitch},
        {&t->s_sum, t->s_plane},
        {&t->ss_sum, t->s_plane},
        {&t->q_sum, t->r_plane},
        {&t->qq_sum, t->r_plane},
        {&t->m_s, t->s_plane},
        {&t->above, (2 * u->search_shift + 2) * t->m_plane},
        {&t->mean, t->r_plane},
        {&t->c_mm, t->c_plane},
        {&t->c_mq, t->c_plane},
        {&t->c_qq, t->c_plane},
        {&t->c_q, t->c_plane},
        {&t->o_ss, t->m_plane},
        {&t->o_s, t->m_plane},
    };
    unsigned count = sizeof list / sizeof list[0];
    memcpy(part, list, sizeof list);
    for (unsigned i = 0; i < PRODUCTS; i++)
        part[count++] = (struct part){&t->product[i], UMPA_CHUNK * t->s_plane};
    for (unsigned i = 0; i < FIT_INPUTS; i++)
        part[count++] = (struct part){&t->input[i], t->out_pitch};
    for (unsigned i = 0; i < TRIALS; i++)
        part[count++] = (struct part){&t->trial[i], t->out_pitch};
    for (unsigned i = 0; i < BESTS; i++)
        part[count++] = (struct part){&t->best[i], t->m_plane};
    return count;
}

/* Rows are read up to a window and a rounding beyond their end. */
static size_t padded(const struct spk_umpa *u, size_t count)
{
    return spk_match_round(count + 4 * SPK_MATCH_STEP + 2 * u->search_radius, SPK_MATCH_STEP);
}

size_t umpa_tile_size(const struct spk_umpa *u)
{
    struct umpa_tile tile;
    struct part part[PARTS];
    measure(&tile, u, umpa_tile_columns(u), UMPA_SEARCH_ROWS);
    size_t total = 0;
    for (unsigned i = 0, count = list_parts(&tile, u, part); i < count; i++)
        total += padded(u, part[i].count);
    return total;
}

static void place(struct umpa_tile *t, struct spk_umpa *u, float *memory)
{
    struct part part[PARTS];
    for (unsigned i = 0, count = list_parts(t, u, part); i < count; i++) {
        *part[i].array = memory;
        memory += padded(u, part[i].count);
    }
}

void umpa_tile_blur(const struct umpa_tile *t, float *out, size_t out_pitch, const float *in, size_t in_pitch,
                    unsigned rows, unsigned columns)
{
    const struct spk_umpa *u = t->u;
    u->ops->window(out, out_pitch, in, in_pitch, u->search_weight, 2 * u->search_radius + 1, rows, columns,
                   t->row);
}

static int clamp_int(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* The reference out of its coefficients: frames that are kept in 16 bits are let go once those are made. */
static bool restore_row(const struct spk_umpa *u, const struct umpa_block *b, unsigned k, unsigned row,
                        int lo, int hi, const struct umpa_row *from, float *to, float *good)
{
    const int y = b->y0 + (int)row, x0 = b->x0 + lo, count = hi - lo;
    const uint8_t *mask = u->stepping ? from->mask + from->shift : u->reference_usable + (size_t)y * u->pitch;
    const uint16_t *line[3];
    for (int i = 0; i < 3; i++)
        line[i] = umpa_coefficient(u, y + i - 1) + k * u->c_pitch + x0;
    u->ops->knots(to + lo, line, (size_t)count);
    const float *mean = b->mean + (size_t)row * b->pitch, *base = b->base + row * b->base_pitch;
    for (int x = lo; base != mean && x < hi; x++)
        to[x] += mean[x] - base[x];
    if (!memchr(mask + x0, 0, (size_t)count))
        return true;
    for (int x = lo; x < hi; x++) {
        const bool counts = mask[b->x0 + x];
        to[x] = counts ? to[x] : 0;
        if (good && !counts)
            good[x] = 0;
    }
    return false;
}

/* Copies one row of one frame; false when a pixel of it does not count, which then clears `good` (may be NULL). */
static bool pack_row(const struct spk_umpa *u, const struct umpa_block *b, unsigned k, unsigned row,
                     float *to, float *good)
{
    const struct umpa_row from = umpa_frame_row(u, b->stack, k, b->y0 + (int)row);
    int columns = (int)b->columns, pitch = (int)b->pitch;
    const bool there = umpa_row_is_there(&from);
    int lo = clamp_int(there ? from.first - b->x0 : columns, 0, columns);
    int hi = clamp_int(there ? from.last - b->x0 + 1 : 0, lo, columns);
    memset(to, 0, (size_t)lo * sizeof *to);
    memset(to + hi, 0, (size_t)(pitch - hi) * sizeof *to);
    bool whole = lo == 0 && hi == columns;
    if (!whole) {
        for (int i = 0; good && i < columns; i++)
            good[i] = i >= lo && i < hi ? good[i] : 0;
        if (lo == hi)
            return false;
    }
    if (b->mean && from.half)
        return restore_row(u, b, k, row, lo, hi, &from, to, good) && whole;
    const float *values = umpa_row_values(u, &from, b->x0 + lo, hi - lo, b->line);
    return u->ops->pack(to + lo, good ? good + lo : NULL, values, from.mask + b->x0 + lo + from.shift,
                        b->base + row * b->base_pitch + lo, u->scale, UMPA_LIMIT, (unsigned)(hi - lo)) &&
           whole;
}

enum { LINE = 64 }; /* bytes of the cache */

/* Rows are too short for the processor to guess what comes next. */
static void prefetch_row(const struct spk_umpa *u, const struct umpa_block *b, unsigned k, unsigned row)
{
    const struct umpa_row from = umpa_frame_row(u, b->stack, k, b->y0 + (int)row);
    if (!umpa_row_is_there(&from) || b->x0 < from.first || b->x0 + (int)b->columns > from.last)
        return;
    const uint16_t *half = b->mean && from.half
                               ? umpa_coefficient(u, b->y0 + (int)row + 1) + k * u->c_pitch + b->x0
                               : from.half + b->x0 + from.shift;
    const size_t size = from.half ? sizeof *from.half : sizeof *from.data;
    const char *at = from.half ? (const char *)half : (const char *)(from.data + b->x0 + from.shift);
    for (size_t i = 0; i < (b->columns + SPK_MATCH_STEP) * size; i += LINE)
        __builtin_prefetch(at + i);
}

bool umpa_pack(const struct spk_umpa *u, const struct umpa_block *b)
{
    enum { AHEAD = 12 };
    bool clean = true;
    for (unsigned i = 0; i < b->frames; i++)
        for (unsigned row = 0; row < b->rows; row++) {
            unsigned soon = row + AHEAD, next = soon < b->rows ? i : i + 1;
            if (next < b->frames)
                prefetch_row(u, b, b->frame[next], soon < b->rows ? soon : (soon - b->rows) % b->rows);
            clean &=
                pack_row(u, b, b->frame[i], row, b->value + ((size_t)row * b->frames + i) * b->pitch, NULL);
        }
    return clean;
}

/* Packs one row once more, now with its mask, and sums the squares. */
static void pack_frame_masks(const struct spk_umpa *u, const struct umpa_block *b, unsigned row)
{
    size_t at = (size_t)row * u->used_count * b->pitch;
    for (unsigned i = 0; i < u->used_count; i++, at += b->pitch) {
        for (unsigned x = 0; x < b->pitch; x++)
            b->mask[at + x] = 1;
        pack_row(u, b, u->used[i], row, b->value + at, b->mask + at);
        u->ops->multiply(b->square + at, b->value + at, b->value + at, b->pitch);
    }
}

/* The same with one mask for all frames: a pixel that fails in one of them is taken out of all, and sums over frames
 * stand in for each frame's own values. */
static void pack_common_mask(const struct spk_umpa *u, const struct umpa_block *b, unsigned row)
{
    size_t at = (size_t)row * b->pitch;
    float *mask = b->mask + at, *value = b->value + at * u->used_count;
    for (unsigned x = 0; x < b->pitch; x++)
        mask[x] = 1;
    for (unsigned i = 0; i < u->used_count; i++)
        pack_row(u, b, u->used[i], row, value + i * b->pitch, mask);
    memset(b->square + at, 0, b->pitch * sizeof *b->square);
    memset(b->sum + at, 0, b->pitch * sizeof *b->sum);
    for (unsigned i = 0; i < u->used_count; i++, value += b->pitch) {
        u->ops->multiply(value, value, mask, b->pitch);
        u->ops->accumulate(b->square + at, value, value, b->pitch);
        u->ops->accumulate(b->sum + at, value, mask, b->pitch);
    }
    for (unsigned x = 0; b->count && x < b->pitch; x++)
        b->count[at + x] = mask[x] * (float)u->used_count;
}

static void pack_masks(const struct spk_umpa *u, const struct umpa_block *b)
{
    for (unsigned row = 0; row < b->rows; row++)
        if (u->stepping)
            pack_frame_masks(u, b, row);
        else
            pack_common_mask(u, b, row);
}

void umpa_pack_mean(const struct spk_umpa *u, float *to, size_t pitch, unsigned rows, int x0, int y0)
{
    for (unsigned row = 0; row < rows; row++, to += pitch) {
        const float *from = u->mean + (size_t)clamp_int(y0 + (int)row, 0, (int)u->height - 1) * u->pitch;
        if (x0 >= 0 && x0 + (int)pitch <= (int)u->width)
            memcpy(to, from + x0, pitch * sizeof *to);
        else
            for (unsigned x = 0; x < pitch; x++)
                to[x] = from[clamp_int(x0 + (int)x, 0, (int)u->width - 1)];
    }
}

static void pack_tile(struct umpa_tile *t)
{
    struct spk_umpa *u = t->u;
    int radius = (int)u->search_radius, shift = (int)u->search_shift;
    struct umpa_block s = {.stack = u->sample,
                           .frame = u->used,
                           .frames = u->used_count,
                           .x0 = t->x0 - radius,
                           .y0 = t->y0 - radius,
                           .rows = t->s_rows,
                           .columns = t->width + 2 * u->search_radius,
                           .pitch = t->s_pitch,
                           .base = t->level,
                           .line = t->row,
                           .value = t->s,
                           .mask = t->s_mask,
                           .count = t->s_count,
                           .sum = t->s1,
                           .square = t->s2};
    struct umpa_block r = {.stack = u->reference,
                           .frame = u->used,
                           .frames = u->used_count,
                           .x0 = s.x0 - shift - u->guess_x,
                           .y0 = s.y0 - shift - u->guess_y,
                           .rows = t->r_rows,
                           .columns = s.columns + 2 * u->search_shift,
                           .pitch = t->r_pitch,
                           .base = t->parity ? t->one : t->mean,
                           .base_pitch = t->parity ? 0 : t->r_pitch,
                           .line = t->row,
                           .mean = t->mean,
                           .value = t->r,
                           .mask = t->r_mask,
                           .sum = t->r1,
                           .square = t->r2};
    umpa_pack_mean(u, t->mean, t->r_pitch, t->r_rows, r.x0, r.y0);
    for (unsigned x = 0; x < t->r_pitch; x++) {
        t->one[x] = 1;
        t->level[x] = u->level;
    }
    bool s_clean = umpa_pack(u, &s), r_clean = umpa_pack(u, &r);
    t->masked = !s_clean || !r_clean;
    t->mask_frames = u->stepping ? u->used_count : 1;
    if (!t->masked)
        return;
    pack_masks(u, &s);
    pack_masks(u, &r);
    if (u->stepping) {
        t->s_count = t->s_mask;
        t->s1 = t->s;
        t->r1 = t->r;
    }
}

/* Sums over frames of a block and of its square (may be NULL). */
static void sum_frames(const struct umpa_tile *t, float *sum, float *square, const float *a, unsigned rows,
                       unsigned pitch)
{
    const unsigned frames = t->u->used_count;
    for (unsigned y = 0; y < rows; y++, sum += pitch, a += (size_t)frames * pitch) {
        t->u->ops->frames(sum, square, a, pitch, frames, pitch);
        square = square ? square + pitch : NULL;
    }
}

/* Window sum of s^2, its level put back; o_s must be there. */
static void sample_square(struct umpa_tile *t)
{
    float level = t->u->level, frames = (float)t->u->used_count;
    umpa_tile_blur(t, t->o_ss, t->out_pitch, t->ss_sum, t->s_pitch, t->height, t->out_pitch);
    for (size_t i = 0; i < t->m_plane; i++)
        t->o_ss[i] = spk_match_square_px(t->o_ss[i], t->o_s[i], level, frames);
}

static unsigned reference_columns(const struct umpa_tile *t)
{
    return (unsigned)spk_match_round(t->out_pitch + 2 * t->u->search_shift, SPK_MATCH_STEP);
}

/* What depends on the sample alone or on the reference alone, with the window mean of each frame (UMPA's definition). Holds
 * where the window is whole. */
static void parity_sums(struct umpa_tile *t)
{
    const struct spk_umpa *u = t->u;
    unsigned columns = reference_columns(t);
    float frames = (float)u->used_count;
    for (unsigned i = 0; i < u->used_count; i++) {
        umpa_tile_blur(t, t->s_mean + i * t->out_pitch, (size_t)u->used_count * t->out_pitch,
                       t->s + i * t->s_pitch, (size_t)u->used_count * t->s_pitch, t->height, t->out_pitch);
        umpa_tile_blur(t, t->r_mean + i * t->r_pitch, (size_t)u->used_count * t->r_pitch,
                       t->r + i * t->r_pitch, (size_t)u->used_count * t->r_pitch, t->c_rows, columns);
    }
    sum_frames(t, t->c_q, t->c_mm, t->r_mean, t->c_rows, t->r_pitch); /* of r' = r - 1 */
    sum_frames(t, t->o_s, NULL, t->s_mean, t->height, t->out_pitch);
    umpa_tile_blur(t, t->c_qq, t->r_pitch, t->qq_sum, t->r_pitch, t->c_rows, columns);
    for (size_t i = 0; i < t->c_plane; i++) {
        t->c_qq[i] -= t->c_mm[i];
        t->c_mm[i] += 2 * t->c_q[i] + frames;
    }
    memset(t->c_mq, 0, t->c_plane * sizeof(float)); /* deviations from a window's mean have no mean */
    sample_square(t);
}

/* The same with one local mean for all frames, for tiles without masks. */
static void local_mean_sums(struct umpa_tile *t)
{
    struct spk_umpa *u = t->u;
    unsigned columns = reference_columns(t);
    float frames = (float)u->used_count;
    float *mm = t->product[0], *mq = t->product[1], *qq = t->product[2];
    for (size_t i = 0; i < t->r_plane; i++) {
        float m = t->mean[i];
        mm[i] = frames * m * m;
        mq[i] = m * t->q_sum[i];
        qq[i] = t->qq_sum[i] - frames * u->noise_reference * m;
    }
    umpa_tile_blur(t, t->c_mm, t->r_pitch, mm, t->r_pitch, t->c_rows, columns);
    umpa_tile_blur(t, t->c_mq, t->r_pitch, mq, t->r_pitch, t->c_rows, columns);
    umpa_tile_blur(t, t->c_qq, t->r_pitch, qq, t->r_pitch, t->c_rows, columns);
    umpa_tile_blur(t, t->c_q, t->r_pitch, t->q_sum, t->r_pitch, t->c_rows, columns);
    umpa_tile_blur(t, t->o_s, t->out_pitch, t->s_sum, t->s_pitch, t->height, t->out_pitch);
    sample_square(t);
    for (size_t i = 0; i < t->s_plane; i++)
        t->m_s[i] = t->s_sum[i] + frames * u->level;
    for (size_t i = 0; i < t->m_plane; i++)
        t->o_s[i] += frames * u->level;
}

/* Turns the sums of the reference into the factors of spk_score_row. Without dark-field both parts share one. */
static void make_factors(struct umpa_tile *t)
{
    bool dark_field = t->u->config.dark_field;
    for (size_t i = 0; i < t->c_plane; i++) {
        struct spk_match_factors f = spk_match_factors_px(t->c_mm[i], t->c_mq[i], t->c_qq[i], dark_field);
        t->c_mm[i] = f.mean;
        t->c_mq[i] = f.slope;
        t->c_qq[i] = f.rest;
    }
}

void umpa_tile_load(struct umpa_tile *t, struct spk_umpa *u, struct umpa_span x, struct umpa_span y,
                    float *memory)
{
    *t = (struct umpa_tile){.u = u, .x0 = (int)x.first, .y0 = (int)y.first};
    measure(t, u, x.count, y.count);
    place(t, u, memory);
    pack_tile(t);
    sum_frames(t, t->s_sum, t->ss_sum, t->s, t->s_rows, t->s_pitch);
    sum_frames(t, t->q_sum, t->qq_sum, t->r, t->r_rows, t->r_pitch);
    if (t->parity)
        parity_sums(t);
    else if (!t->masked)
        local_mean_sums(t);
    if (!t->masked)
        make_factors(t);
}
