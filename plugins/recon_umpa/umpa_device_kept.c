/* Rolling mode on a device: which sums are worth keeping, and which frames change them. */
#include "umpa_device_kept.h"

#include <string.h>

/* Bytes of all sums of the search at every shift of the range, each kept in a tile's own memory. */
static size_t search_bytes(const struct umpa_there *t)
{
    return umpa_search_sums(t->height, t->width, t->radius, t->shift) * sizeof(int32_t);
}

/* Per shift and pixel: 2 operations a frame to make a sum again, from what is in shared memory; or its bytes read and written. What is not known of
 * the device decides nothing. */
static bool is_search_worth_it(const struct umpa_there *t, const struct spk_device_info *facts)
{
    if (facts->memory && search_bytes(t) > facts->memory / 4)
        return false;
    if (!facts->flops || !facts->bandwidth)
        return true;
    const double again = 2.0 * t->count / (double)facts->flops;
    return again > 2.0 * sizeof(int32_t) / (double)facts->bandwidth;
}

/* Quanta of the search's products: as many as leave the sum of all frames in 31 bits, a power of two. */
static float search_quanta(int count)
{
    float quanta = 0x1p24f;
    while (quanta * UMPA_KEPT_PRODUCT_MAX * (float)count > 0x1p30f)
        quanta *= 0.5f;
    return quanta;
}

size_t umpa_device_kept_parts(struct umpa_there *t, bool half, const struct spk_device_info *facts,
                              struct spk_device_part *part)
{
    struct umpa_kept_there *k = &t->kept;
    const size_t pixels = (size_t)t->height * (size_t)t->width, frames = (size_t)t->count;
    const size_t cells = umpa_there_cells(t->height, t->width),
                 plane = cells * UMPA_KEPT_COLUMNS * UMPA_KEPT_ROWS;
    void **seen = half ? (void **)&k->seen.half : (void **)&k->seen.data;
    size_t count = 0;
    part[count++] = (struct spk_device_part){seen, frames * pixels *
                                                       (half ? sizeof *k->seen.half : sizeof *k->seen.data)};
    part[count++] = (struct spk_device_part){(void **)&k->mask, pixels};
    part[count++] = (struct spk_device_part){(void **)&k->other_mask, sizeof *k->other_mask};
    part[count++] = (struct spk_device_part){(void **)&k->sum, pixels * sizeof *k->sum};
    part[count++] = (struct spk_device_part){(void **)&k->square, pixels * sizeof *k->square};
    part[count++] = (struct spk_device_part){(void **)&k->bad, pixels * sizeof *k->bad};
    part[count++] =
        (struct spk_device_part){(void **)&k->noise, frames * UMPA_THERE_BLOCKS * sizeof *k->noise};
    for (int i = 0; i < UMPA_KEPT_PASSES; i++) {
        struct umpa_kept_pass *pass = &k->pass[i];
        part[count++] = (struct spk_device_part){(void **)&pass->place, 2 * cells * sizeof *pass->place};
        part[count++] = (struct spk_device_part){(void **)&pass->reference,
                                                 UMPA_KEPT_ALONE * plane * sizeof *pass->reference};
        part[count++] = (struct spk_device_part){(void **)&pass->product,
                                                 UMPA_KEPT_PRODUCTS * plane * sizeof *pass->product};
    }
    if (is_search_worth_it(t, facts))
        part[count++] = (struct spk_device_part){(void **)&k->search, search_bytes(t)};
    k->search_quanta = search_quanta(t->count);
    return count;
}

/* With sample stepping each frame shows another place of the sample; window means of each frame, as UMPA has them, hang on the masks of
 * all. */
static bool can_keep(const struct umpa_device_kept *kept, const struct umpa_there *t,
                     const struct spk_stack *sample)
{
    return kept->rolling && sample->changed && !t->stepping && !t->parity;
}

void umpa_device_kept_start(struct umpa_device_kept *kept, struct umpa_there *t,
                            const struct spk_stack *sample)
{
    struct umpa_kept_there *k = &t->kept;
    k->on = can_keep(kept, t, sample);
    k->all = kept->stack != sample || sample->version < kept->version;
    kept->stack = NULL;
    memset(k->fresh, 0, sizeof k->fresh);
    for (int i = 0; i < t->used_count && k->on; i++) {
        const int frame = t->used_here[i];
        if (k->all || sample->changed[frame] > kept->version)
            k->fresh[frame / 32] |= 1u << frame % 32;
    }
}

spk_status umpa_device_kept_end(struct umpa_device_kept *kept, const struct umpa_there *t,
                                const struct spk_stack *sample, struct spk_stream *stream,
                                struct spk_error *error)
{
    const struct umpa_kept_there *k = &t->kept;
    const size_t pixels = (size_t)t->height * (size_t)t->width;
    spk_status status = SPK_OK;
    for (int frame = 0; frame < t->count && k->on && !status; frame++) {
        const size_t at = (size_t)frame * pixels;
        if (!(k->fresh[frame / 32] >> frame % 32 & 1))
            continue;
        if (k->seen.half)
            status = spk_stream_copy(stream, k->seen.half + at, sample->half + at,
                                     pixels * sizeof *k->seen.half, error);
        else
            status = spk_stream_copy(stream, k->seen.data + at, sample->data + at,
                                     pixels * sizeof *k->seen.data, error);
    }
    kept->stack = status || !k->on ? NULL : sample;
    kept->version = sample->version;
    return status;
}
