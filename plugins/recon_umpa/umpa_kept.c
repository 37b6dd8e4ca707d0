/* Rolling mode: what a stack leaves to the next one, of which a frame or two are new.
 *
 * The moments of a pixel are sums over turns of a few frames each (struct spk_moments_cell). A piece keeps the sums of every turn, so
 * that those of a turn with a new frame are made again and all are added up in the same order: nothing is ever subtracted, and
 * maps are to the last bit those of the stack that comes at once. Moments hold where the pixels of a cell are linearised; a cell
 * whose pixels have moved to other places is made anew. */
#include "umpa_piece.h"

#include <speckled/num_memory.h>

#include <stdlib.h>
#include <string.h>

enum reading { NOT_READ, IN_PLACE, PACKED }; /* of a piece's sample */

/* What is kept of a cell. Its sums are worth keeping when it has not moved for a stack, and made again where one that had them moves
 * once. */
enum state { NOTHING, PLACES, FIRST_SUMS, SUMS };

enum {
    FRESH = 5, /* moments that the sample is in */
    COLUMNS = PIECE_COLUMNS,
    CELLS = COLUMNS / SPK_MATCH_STEP,
};

struct umpa_kept {
    const struct spk_stack *stack; /* that the last call saw, NULL = none to take over from */
    uint64_t version;
    unsigned used_count, *used;
    bool searched, cells; /* its cells were searched; they hold for the stack in work too */
    bool *fresh;          /* [turns] some frame is new */
    uint8_t *mask;        /* [height][width] */
    uint8_t *reading;     /* [pieces] enum reading */
    size_t piece_bytes, bytes;
    void *memory; /* [pieces] */
};

/* What a piece keeps. */
struct kept_piece {
    const struct umpa_kept *kept;
    unsigned turns;
    uint8_t *reading, *cell;    /* how the sample was read; [CELLS] enum state */
    struct umpa_places *places; /* [CELLS] where a cell was linearised */
    float *moment;              /* [SPK_MOMENTS][PIECE_PIXELS] */
    float *turn;                /* [turns][FRESH][PIECE_PIXELS] */
    uint8_t *good; /* [turns][PIECE_PIXELS] pixels that hold a number in all frames of a turn; where packed */
};

static unsigned turns_of(unsigned frames)
{
    return (frames + SPK_CELL_FRAMES - 1) / SPK_CELL_FRAMES;
}

static size_t piece_bytes(unsigned turns)
{
    const size_t planes = SPK_MOMENTS + (size_t)turns * FRESH, flags = (size_t)turns * PIECE_PIXELS;
    return spk_match_round(
        planes * PIECE_PIXELS * sizeof(float) + CELLS * (sizeof(struct umpa_places) + 1) + flags, 64);
}

/* Cuts the memory of a piece into its parts. */
static void lay_out(struct kept_piece *k, unsigned turns, void *memory)
{
    k->moment = memory;
    k->turn = k->moment + SPK_MOMENTS * PIECE_PIXELS;
    k->places = (void *)(k->turn + (size_t)turns * FRESH * PIECE_PIXELS);
    k->cell = (uint8_t *)(k->places + CELLS);
    k->good = k->cell + CELLS;
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
    kept->piece_bytes = piece_bytes(turns_of(u->count));
    kept->bytes = kept->piece_bytes * count_pieces(u);
    kept->used = calloc(u->count, sizeof *kept->used);
    kept->fresh = calloc(turns_of(u->count), sizeof *kept->fresh);
    kept->mask = malloc((size_t)u->height * u->width);
    kept->reading = calloc(count_pieces(u), sizeof *kept->reading);
    kept->memory = spk_zeros_create(kept->bytes);
    return kept->used && kept->fresh && kept->mask && kept->reading && kept->memory;
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

/* Marks the turns with new frames; one at least, for it tells where pixels are linearised now. */
static void mark_turns(const struct spk_umpa *u)
{
    struct umpa_kept *kept = u->kept;
    bool any = false;
    for (unsigned t = 0; t < turns_of(u->used_count); t++)
        kept->fresh[t] = false;
    for (unsigned i = 0; i < u->used_count; i++) {
        kept->fresh[i / SPK_CELL_FRAMES] |= is_new(u, u->used[i]);
        any |= is_new(u, u->used[i]);
    }
    kept->fresh[0] |= !any;
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
    kept->cells = compare_masks(u) && same && kept->searched;
    for (unsigned i = 0; i < umpa_search_frames(u); i++)
        kept->cells &= !is_new(u, umpa_search_frame(u, i));
    mark_turns(u);
    kept->searched = u->config.refine != SPK_UMPA_NONE;
    kept->version = sample->version;
    kept->used_count = u->used_count;
    memcpy(kept->used, u->used, bytes);
}

static struct kept_piece find_piece(const struct umpa_piece *p)
{
    const struct umpa_kept *kept = p->u->kept;
    const size_t at = p->y0 / PIECE_ROWS * umpa_pieces_across(p->u) + p->x0 / COLUMNS;
    struct kept_piece k = {.kept = kept, .turns = turns_of(p->u->used_count), .reading = kept->reading + at};
    lay_out(&k, turns_of(p->u->count), (char *)kept->memory + at * kept->piece_bytes);
    return k;
}

static void take_turn(struct umpa_piece *p, unsigned turn)
{
    const unsigned first = turn * SPK_CELL_FRAMES, rest = p->u->used_count - first;
    p->frame = p->u->used + first;
    p->frames = rest < SPK_CELL_FRAMES ? rest : SPK_CELL_FRAMES;
}

static void pack_turns(struct umpa_piece *p, const struct kept_piece *k, bool fresh)
{
    for (unsigned t = 0; t < k->turns; t++)
        if (k->kept->fresh[t] == fresh) {
            take_turn(p, t);
            umpa_piece_pack(p, k->good + t * PIECE_PIXELS, COLUMNS);
        }
}

/* Pixels that hold a number in all turns. */
static void mark_usable(const struct umpa_piece *p, const struct kept_piece *k)
{
    for (unsigned row = 0; row < p->height; row++) {
        uint8_t *usable = p->u->usable + (size_t)(p->y0 + row) * p->u->pitch + p->x0;
        memset(usable, 1, p->width);
        for (unsigned t = 0; t < k->turns; t++)
            for (unsigned x = 0; x < p->width; x++)
                usable[x] &= k->good[t * PIECE_PIXELS + row * COLUMNS + x];
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

static const unsigned fresh[FRESH] = {SPK_SUM_S, SPK_SUM_VS, SPK_SUM_VXS, SPK_SUM_VYS, SPK_SUM_SS};
static const unsigned alone[SPK_MOMENTS - FRESH] = {SPK_SUM_V,    SPK_SUM_VX,   SPK_SUM_VY,   SPK_SUM_VV,
                                                    SPK_SUM_VVX,  SPK_SUM_VVY,  SPK_SUM_VXVX, SPK_SUM_VXVY,
                                                    SPK_SUM_VYVY, SPK_SUM_COUNT};

static void keep_turn(const struct umpa_piece *p, const struct kept_piece *k, unsigned turn, unsigned column)
{
    for (unsigned i = 0; i < FRESH; i++) {
        const float *from = p->moment + fresh[i] * PIECE_PIXELS + column;
        float *to = k->turn + (turn * FRESH + i) * (size_t)PIECE_PIXELS + column;
        for (unsigned row = 0; row < p->height; row++, from += COLUMNS, to += COLUMNS)
            memcpy(to, from, SPK_MATCH_STEP * sizeof *to);
    }
}

/* Adds a turn to the moments that are the reference's alone. */
static void add_reference(const struct umpa_piece *p, const struct kept_piece *k, unsigned turn,
                          unsigned column)
{
    for (unsigned q = 0; q < SPK_MOMENTS - FRESH; q++) {
        const float *from = p->moment + alone[q] * PIECE_PIXELS + column;
        float *to = k->moment + alone[q] * PIECE_PIXELS + column;
        for (unsigned row = 0; row < p->height; row++, from += COLUMNS, to += COLUMNS)
            for (unsigned x = 0; x < SPK_MATCH_STEP; x++)
                to[x] = turn ? to[x] + from[x] : from[x];
    }
}

/* A turn of a cell, made where `moment` is. */
static void make_turn(struct umpa_piece *p, const struct kept_piece *k, const struct umpa_places *places,
                      unsigned turn, unsigned column, float *moment)
{
    p->moment = moment;
    take_turn(p, turn);
    umpa_piece_cell(p, column, places);
    keep_turn(p, k, turn, column);
}

/* Adds up the turns of `count` floats of a plane. */
static void add_turns(const struct umpa_piece *p, const struct kept_piece *k, size_t at, unsigned count)
{
    for (unsigned i = 0; i < FRESH; i++)
        p->u->ops->frames(k->moment + fresh[i] * PIECE_PIXELS + at, NULL, k->turn + i * PIECE_PIXELS + at,
                          FRESH * PIECE_PIXELS, k->turns, count);
}

static void add_cells(const struct umpa_piece *p, const struct kept_piece *k)
{
    if (!memchr(k->cell, PLACES, (p->width + SPK_MATCH_STEP - 1) / SPK_MATCH_STEP)) {
        add_turns(p, k, 0, PIECE_PIXELS);
        return;
    }
    for (unsigned column = 0; column < p->width; column += SPK_MATCH_STEP)
        for (unsigned row = 0; k->cell[column / SPK_MATCH_STEP] != PLACES && row < p->height; row++)
            add_turns(p, k, row * COLUMNS + column, SPK_MATCH_STEP);
}

/* A piece on its way from one stack to the next. */
struct rolling {
    struct umpa_piece *p;
    const struct kept_piece *k;
    float *moment;         /* memory for the moments of a turn */
    bool reads_packed;     /* the sample has to be packed */
    bool stale_are_packed; /* turns without new frames are */
};

static void need_all_turns(struct rolling *r)
{
    if (r->reads_packed && !r->stale_are_packed)
        pack_turns(r->p, r->k, false);
    r->stale_are_packed = true;
}

/* All frames at once, and no sums kept. */
static void make_cell(struct rolling *r, unsigned column, const struct umpa_places *places)
{
    struct umpa_piece *p = r->p;
    need_all_turns(r);
    p->moment = r->k->moment;
    p->frame = p->u->used;
    p->frames = p->u->used_count;
    umpa_piece_cell(p, column, places);
}

/* The turns with new frames, or all of them where the cell has none. */
static void make_turns(struct rolling *r, unsigned column, const struct umpa_places *places, bool all)
{
    const struct kept_piece *k = r->k;
    if (all)
        need_all_turns(r);
    for (unsigned t = 0; t < k->turns; t++) {
        if (!all && !k->kept->fresh[t])
            continue;
        make_turn(r->p, k, places, t, column, r->moment);
        if (all)
            add_reference(r->p, k, t, column);
    }
}

static void roll_cell(struct rolling *r, unsigned column)
{
    const struct kept_piece *k = r->k;
    struct umpa_places places, *kept = k->places + column / SPK_MATCH_STEP;
    uint8_t *state = k->cell + column / SPK_MATCH_STEP;
    umpa_piece_places(r->p, column, &places);
    if (!is_same(&places, kept))
        *state = *state == SUMS && !places.apart ? PLACES : NOTHING;
    *kept = places;
    if (*state == NOTHING)
        make_cell(r, column, &places);
    else
        make_turns(r, column, &places, *state == PLACES);
    if (*state < SUMS)
        ++*state;
}

static void roll(struct umpa_piece *p, const struct kept_piece *k, enum reading reading)
{
    struct rolling rolling = {.p = p, .k = k, .moment = p->moment, .reads_packed = reading == PACKED};
    const bool held = *k->reading == reading;
    if (!held)
        memset(k->cell, NOTHING, CELLS);
    if (reading == PACKED) {
        pack_turns(p, k, true);
        if (!held)
            need_all_turns(&rolling);
        mark_usable(p, k);
    }
    for (unsigned column = 0; column < p->width; column += SPK_MATCH_STEP)
        roll_cell(&rolling, column);
    add_cells(p, k);
    *k->reading = (uint8_t)reading;
    p->moment = k->moment;
}

void umpa_kept_moments(struct umpa_piece *p)
{
    const struct kept_piece k = find_piece(p);
    float *const moment = p->moment;
    if (umpa_piece_in_place(p)) {
        roll(p, &k, IN_PLACE);
        if (umpa_piece_is_sane(p))
            return;
        p->moment = moment;
    }
    umpa_piece_start_packing(p);
    roll(p, &k, PACKED);
}
