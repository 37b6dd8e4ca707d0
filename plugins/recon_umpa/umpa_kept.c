/* Rolling mode: what a stack leaves to the next one, of which a frame or two are new.
 *
 * The moments of a pixel with the sample in them are exact sums (struct spk_moments_cell): what a former frame has put into them is taken
 * out, what the new one does is put in, and maps are to the last bit those of the stack that comes at once. The other moments are the
 * reference's alone. Both hold where the pixels of a cell are linearised; a cell whose pixels have moved to other places, and one whose
 * sums are too large to be exact, is made anew. */
#include "umpa_piece.h"

#include <speckled/num_memory.h>

#include <stdlib.h>
#include <string.h>

enum reading { NOT_READ, IN_PLACE, PACKED }; /* of a piece's sample */

enum {
    COLUMNS = PIECE_COLUMNS,
    CELLS = COLUMNS / SPK_MATCH_STEP,
};

struct umpa_kept {
    const struct spk_stack *stack; /* that the last call saw, NULL = none to take over from */
    uint64_t version;
    unsigned used_count, *used;
    unsigned fresh_count, *fresh; /* used frames that are new */
    bool searched;                /* its cells were */
    bool looks, cells;            /* level and noise hold for the stack in work too; so do the cells */
    uint8_t *mask;                /* [height][width] */
    uint8_t *reading;             /* [pieces] enum reading */
    size_t piece_bytes, bytes, seen_bytes;
    void *memory; /* [pieces] */
    void *
        seen; /* [pieces][count][PIECE_PIXELS] the sample's frames as the last call saw them, binary16 or float as they are */
};

/* What a piece keeps. */
struct kept_piece {
    const struct umpa_kept *kept;
    uint8_t *reading, *holds;   /* how the sample was read; [CELLS] whose moments hold at their places */
    struct umpa_places *places; /* [CELLS] where a cell was linearised */
    float *moment;              /* [SPK_MOMENTS][PIECE_PIXELS] */
    uint16_t *bad;              /* [PIECE_PIXELS] frames in which a pixel holds no number; where packed */
    char *seen;
    size_t pixel; /* bytes of one */
};

static size_t piece_bytes(void)
{
    const size_t pixel = SPK_MOMENTS * sizeof(float) + sizeof(uint16_t);
    return spk_match_round(pixel * PIECE_PIXELS + CELLS * (sizeof(struct umpa_places) + 1), 64);
}

/* Cuts the memory of a piece into its parts. */
static void lay_out(struct kept_piece *k, void *memory)
{
    k->moment = memory;
    k->places = (void *)(k->moment + SPK_MOMENTS * PIECE_PIXELS);
    k->bad = (void *)(k->places + CELLS);
    k->holds = (void *)(k->bad + PIECE_PIXELS);
}

static size_t count_pieces(const struct spk_umpa *u)
{
    return (size_t)umpa_pieces_across(u) * umpa_pieces_down(u);
}

bool umpa_kept_create(struct spk_umpa *u)
{
    struct umpa_kept *kept = calloc(1, sizeof *kept);
    u->kept = kept;
    if (!kept)
        return false;
    kept->piece_bytes = piece_bytes();
    kept->bytes = kept->piece_bytes * count_pieces(u);
    kept->seen_bytes = count_pieces(u) * u->count * PIECE_PIXELS * sizeof(float);
    kept->used = calloc(u->count, sizeof *kept->used);
    kept->fresh = calloc(u->count, sizeof *kept->fresh);
    kept->mask = malloc((size_t)u->height * u->width);
    kept->reading = calloc(count_pieces(u), sizeof *kept->reading);
    kept->memory = spk_zeros_create(kept->bytes);
    kept->seen =
        spk_zeros_create(kept->seen_bytes); /* half of it is never touched where frames are binary16 */
    return kept->used && kept->fresh && kept->mask && kept->reading && kept->memory && kept->seen;
}

void umpa_kept_destroy(struct spk_umpa *u)
{
    struct umpa_kept *kept = u->kept;
    if (!kept)
        return;
    free(kept->used);
    free(kept->fresh);
    free(kept->mask);
    free(kept->reading);
    spk_zeros_destroy(kept->memory, kept->bytes);
    spk_zeros_destroy(kept->seen, kept->seen_bytes);
    free(kept);
    u->kept = NULL;
}

void umpa_kept_forget(struct spk_umpa *u)
{
    if (u->kept)
        u->kept->stack = NULL;
}

bool umpa_kept_in_use(const struct spk_umpa *u)
{
    return u->kept && u->kept->stack;
}

bool umpa_kept_look(const struct spk_umpa *u)
{
    return umpa_kept_in_use(u) && u->kept->looks;
}

bool umpa_kept_cells(const struct spk_umpa *u)
{
    return umpa_kept_in_use(u) && u->kept->cells;
}

/* Pieces whose mask is another one keep nothing; false when there are some. */
static bool compare_masks(const struct spk_umpa *u)
{
    struct umpa_kept *kept = u->kept;
    bool same = true;
    for (size_t y = 0; y < u->height; y++) {
        const size_t at = y * u->width;
        if (!memcmp(kept->mask + at, u->sample->mask + at, u->width))
            continue;
        same = false;
        memcpy(kept->mask + at, u->sample->mask + at, u->width);
        memset(kept->reading + y / PIECE_ROWS * umpa_pieces_across(u), NOT_READ, umpa_pieces_across(u));
    }
    return same;
}

static bool is_new(const struct spk_umpa *u, unsigned frame)
{
    return u->sample->changed[frame] > u->kept->version;
}

static void list_fresh(const struct spk_umpa *u)
{
    struct umpa_kept *kept = u->kept;
    kept->fresh_count = 0;
    for (unsigned i = 0; i < u->used_count; i++)
        if (is_new(u, u->used[i]))
            kept->fresh[kept->fresh_count++] = u->used[i];
}

void umpa_kept_start(struct spk_umpa *u)
{
    struct umpa_kept *kept = u->kept;
    const struct spk_stack *sample = u->sample;
    if (!kept)
        return;
    const size_t bytes = u->used_count * sizeof *kept->used;
    const bool same = kept->stack == sample && sample->version >= kept->version &&
                      kept->used_count == u->used_count && !memcmp(kept->used, u->used, bytes);
    kept->stack = sample->changed && !u->stepping ? sample : NULL;
    if (!kept->stack)
        return;
    if (!same)
        memset(kept->reading, NOT_READ, count_pieces(u));
    kept->looks = compare_masks(u) && same;
    for (unsigned i = 0; i < umpa_search_frames(u); i++)
        kept->looks &= !is_new(u, umpa_search_frame(u, i));
    kept->cells = kept->looks && kept->searched;
    kept->searched = u->config.refine != SPK_UMPA_NONE;
    list_fresh(u);
    kept->version = sample->version;
    kept->used_count = u->used_count;
    memcpy(kept->used, u->used, bytes);
}

static struct kept_piece find_piece(const struct umpa_piece *p)
{
    const struct spk_umpa *u = p->u;
    const struct umpa_kept *kept = u->kept;
    const size_t at = p->y0 / PIECE_ROWS * umpa_pieces_across(u) + p->x0 / COLUMNS;
    struct kept_piece k = {.kept = kept,
                           .reading = kept->reading + at,
                           .pixel = u->sample->data ? sizeof(float) : sizeof(uint16_t)};
    k.seen = (char *)kept->seen + at * u->count * PIECE_PIXELS * k.pixel;
    lay_out(&k, (char *)kept->memory + at * kept->piece_bytes);
    return k;
}

static struct umpa_frame seen_frame(const struct umpa_piece *p, const struct kept_piece *k, unsigned frame)
{
    const void *at = k->seen + (size_t)frame * PIECE_PIXELS * k->pixel;
    const bool wide = p->u->sample->data;
    return (struct umpa_frame){.data = wide ? at : NULL, .half = wide ? NULL : at, .row = COLUMNS};
}

/* Keeps frames as they are now. */
static void see_frames(const struct umpa_piece *p, const struct kept_piece *k, const unsigned *frame,
                       unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        const struct umpa_frame now = umpa_piece_frame(p, frame[i]);
        const char *from = now.data ? (const void *)now.data : now.half;
        char *to = k->seen + (size_t)frame[i] * PIECE_PIXELS * k->pixel;
        for (unsigned row = 0; row < p->height; row++)
            memcpy(to + row * COLUMNS * k->pixel, from + row * now.row * k->pixel, p->width * k->pixel);
    }
}

static void pack_frame(const struct umpa_piece *p, const struct kept_piece *k, unsigned frame)
{
    umpa_piece_pack_frame(p, umpa_piece_frame(p, frame), p->packed + frame * p->sample_frame, p->sample_row,
                          k->bad, 1);
}

/* Packs all frames and counts anew where they hold no number. */
static void pack_all(const struct umpa_piece *p, const struct kept_piece *k)
{
    memset(k->bad, 0, PIECE_PIXELS * sizeof *k->bad);
    for (unsigned i = 0; i < p->u->used_count; i++)
        pack_frame(p, k, p->u->used[i]);
}

/* Pixels that hold a number in all frames. */
static void mark_usable(const struct umpa_piece *p, const struct kept_piece *k)
{
    for (unsigned row = 0; row < p->height; row++) {
        uint8_t *usable = p->u->usable + (size_t)(p->y0 + row) * p->u->pitch + p->x0;
        for (unsigned x = 0; x < p->width; x++)
            usable[x] = k->bad[row * COLUMNS + x] == 0;
    }
}

/* Whether the moments of one place hold for the other. Those of pixels that stand apart are not worth a comparison. */
static bool is_same(const struct umpa_places *a, const struct umpa_places *b)
{
    bool same = a->count == b->count && !a->apart && !b->apart;
    for (unsigned i = 0; same && i < a->count; i++)
        same = a->place[i].x == b->place[i].x && a->place[i].y == b->place[i].y &&
               a->place[i].band.count == b->place[i].band.count;
    return same;
}

/* A piece on its way from one stack to the next. */
struct rolling {
    struct umpa_piece *p;
    const struct kept_piece *k;
    enum reading reading;
    bool held;           /* the piece was read in the same way for the last stack */
    bool all_are_packed; /* where it is packed */
};

static void make_cell(struct rolling *r, unsigned column)
{
    const unsigned i = column / SPK_MATCH_STEP;
    if (r->reading == PACKED && !r->all_are_packed)
        pack_all(r->p, r->k);
    r->all_are_packed = true;
    umpa_piece_cell(r->p, column, &r->k->places[i]);
    r->k->holds[i] = !r->k->places[i].apart && umpa_piece_is_exact(r->p, column, true);
}

/* The frames that are new in place of what they were; false when the sums are exact no more. */
static bool exchange_frames(const struct rolling *r, unsigned column)
{
    const struct kept_piece *k = r->k;
    umpa_piece_settle(r->p, column, &k->places[column / SPK_MATCH_STEP]);
    for (unsigned i = 0; i < k->kept->fresh_count; i++) {
        const unsigned frame = k->kept->fresh[i];
        struct umpa_frame former = seen_frame(r->p, k, frame);
        if (r->reading == PACKED)
            former = (struct umpa_frame){.data = r->p->former + i * PIECE_PIXELS, .row = COLUMNS};
        umpa_piece_exchange(r->p, column, &k->places[column / SPK_MATCH_STEP], frame, former);
    }
    return umpa_piece_is_exact(r->p, column, false);
}

/* Whether a cell is linearised where it was; if not, where it is now is noted. */
static bool stays(const struct rolling *r, unsigned column)
{
    struct umpa_places places, *kept = &r->k->places[column / SPK_MATCH_STEP];
    umpa_piece_places(r->p, column, &places);
    const bool same = is_same(&places, kept);
    *kept = places;
    return same;
}

static void roll_cell(struct rolling *r, unsigned column)
{
    const bool same = stays(r, column) && r->held && r->k->holds[column / SPK_MATCH_STEP];
    if (!same || !exchange_frames(r, column))
        make_cell(r, column);
}

/* Packs what is new and what it was, which is all that most cells need. */
static void pack_fresh(const struct umpa_piece *p, const struct kept_piece *k)
{
    for (unsigned i = 0; i < k->kept->fresh_count; i++) {
        const unsigned frame = k->kept->fresh[i];
        pack_frame(p, k, frame);
        umpa_piece_pack_frame(p, seen_frame(p, k, frame), p->former + i * PIECE_PIXELS, COLUMNS, k->bad, -1);
    }
}

static void roll(struct umpa_piece *p, const struct kept_piece *k, enum reading reading)
{
    struct rolling rolling = {.p = p, .k = k, .reading = reading};
    rolling.held = *k->reading == reading && k->kept->fresh_count <= UMPA_EXCHANGES;
    if (reading == PACKED && rolling.held)
        pack_fresh(p, k);
    if (reading == PACKED && !rolling.held) {
        pack_all(p, k);
        rolling.all_are_packed = true;
    }
    if (reading == PACKED)
        mark_usable(p, k);
    for (unsigned column = 0; column < p->width; column += SPK_MATCH_STEP)
        roll_cell(&rolling, column);
}

void umpa_kept_moments(struct umpa_piece *p)
{
    const struct kept_piece k = find_piece(p);
    const bool known = *k.reading != NOT_READ;
    bool in_place = umpa_piece_in_place(p);
    p->moment = k.moment;
    if (in_place) {
        roll(p, &k, IN_PLACE);
        in_place = umpa_piece_is_sane(p);
        *k.reading = in_place ? IN_PLACE : NOT_READ;
    }
    if (!in_place) {
        umpa_piece_start_packing(p);
        roll(p, &k, PACKED);
        *k.reading = PACKED;
    }
    if (known)
        see_frames(p, &k, k.kept->fresh, k.kept->fresh_count);
    else
        see_frames(p, &k, p->u->used, p->u->used_count);
}
