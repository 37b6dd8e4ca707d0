/* recon_umpa in rolling mode: whatever has changed since the last map, the windows' part of the next one is to the last bit that of the
 * same stack at once; the whole field agrees within what its convergence leaves. */
#include "test.h"
#include "umpa_internal.h"
#include "umpa_scene.h"

#include <speckled/half.h>
#include <stdatomic.h>

/* The last pieces and cells are not whole; cells beside them are read where they lie. */
enum { COUNT = 11, HEIGHT = 77, WIDTH = 171, PIXELS = HEIGHT * WIDTH };

static struct spk_team *team;
static struct scene here, there; /* the stack before and behind */

/* A stack that rolls from one scene to another, and what has become of it. */
struct rolling {
    struct scene scene, alone; /* the stack; maps of the stack at once */
    struct spk_umpa_config config;
    struct spk_umpa *umpa;
    struct spk_stack reference; /* as `umpa` sees it */
    bool half;
};

/* A third of the field moves by a pixel more, so that cells with an edge in them take part. */
static void fill(struct scene *s, const struct scene_truth *truth)
{
    struct scene other;
    struct scene_truth far = *truth;
    far.ux += 1.1;
    far.t *= 0.8;
    scene_create(&other, COUNT, HEIGHT, WIDTH);
    scene_create(s, COUNT, HEIGHT, WIDTH);
    scene_state = 11;
    scene_fill(s, truth);
    scene_state = 11;
    scene_fill(&other, &far);
    for (size_t i = 0; i < (size_t)COUNT * PIXELS; i++)
        if (i % WIDTH > 2 * WIDTH / 3)
            s->sample.data[i] = other.sample.data[i];
    scene_destroy(&other);
}

/* A stack as a lane hands it over that keeps detector data in 16 bits. */
static struct spk_stack seen(const struct rolling *r, const struct spk_stack *stack)
{
    struct spk_stack view = *stack;
    if (r->half)
        view.data = NULL;
    return view;
}

static spk_status make(struct rolling *r, struct spk_umpa **umpa, const struct spk_umpa_config *config)
{
    struct spk_error error = {0};
    const struct spk_stack *s = &r->scene.sample;
    spk_status status =
        spk_umpa_create(umpa, config, s->count, s->height, s->width, team, NULL, spk_isa_best(), &error);
    CHECK(!status, "%s", error.text);
    return status;
}

static void take_reference(struct rolling *r)
{
    r->reference = seen(r, &r->scene.reference);
    REQUIRE(!spk_umpa_reference(r->umpa, &r->reference, NULL));
}

static void copy_stack(struct spk_stack *to, const struct spk_stack *from)
{
    const size_t values = (size_t)COUNT * PIXELS;
    memcpy(to->data, from->data, values * sizeof *to->data);
    to->half = malloc(values * sizeof *to->half);
    spk_half_encode(to->half, to->data, values);
}

static void start(struct rolling *r, bool half)
{
    *r = (struct rolling){.config = scene_config(), .half = half};
    scene_create(&r->scene, COUNT, HEIGHT, WIDTH);
    scene_create(&r->alone, COUNT, HEIGHT, WIDTH);
    copy_stack(&r->scene.sample, &here.sample);
    copy_stack(&r->scene.reference, &here.reference);
    r->scene.sample.changed = calloc(COUNT, sizeof *r->scene.sample.changed);
    struct spk_umpa_config config = r->config;
    config.rolling = true;
    REQUIRE(!make(r, &r->umpa, &config));
    take_reference(r);
}

static void stop(struct rolling *r)
{
    spk_umpa_destroy(&r->umpa);
    free(r->scene.sample.changed);
    free(r->scene.sample.half);
    free(r->scene.reference.half);
    scene_destroy(&r->scene);
    scene_destroy(&r->alone);
}

/* The frame of a position comes in place of the one that is there. */
static void replace(struct rolling *r, unsigned k)
{
    struct spk_stack *s = &r->scene.sample;
    const size_t at = (size_t)k * PIXELS;
    memcpy(s->data + at, there.sample.data + at, PIXELS * sizeof *s->data);
    spk_half_encode(s->half + at, s->data + at, PIXELS);
    s->changed[k] = ++s->version;
}

static uint32_t bits(float value)
{
    uint32_t same;
    memcpy(&same, &value, sizeof same);
    return same;
}

static size_t count_different(const struct rolling *r)
{
    size_t different = 0;
    for (size_t i = 0; i < PIXELS; i++) {
        bool same = r->scene.maps.valid[i] == r->alone.maps.valid[i];
        for (unsigned m = 0; m < 6; m++)
            same &= bits(r->scene.map[m][i]) == bits(r->alone.map[m][i]);
        different += !same;
    }
    return different;
}

static void process(struct spk_umpa *umpa, const struct rolling *r, const struct spk_umpa_maps *maps)
{
    struct spk_error error = {0};
    static struct spk_stack view; /* stays where it is, as the lane's does */
    view = seen(r, &r->scene.sample);
    umpa->pace.started_ns = 0; /* no stack came before, and none is expected: live leaves the windows' map */
    CHECK(!spk_umpa_process(umpa, &view, maps, &error), "%s", error.text);
}

static void make_map(struct rolling *r)
{
    process(r->umpa, r, &r->scene.maps);
}

/* Makes the map, and once more with an instance that sees the stack for the first time. */
static void compare(struct rolling *r, const char *what, unsigned step)
{
    struct spk_umpa *alone = NULL;
    make_map(r);
    if (make(r, &alone, &r->config))
        return;
    const struct spk_stack reference = seen(r, &r->scene.reference);
    CHECK(!spk_umpa_reference(alone, &reference, NULL));
    process(alone, r, &r->alone.maps);
    CHECK(count_different(r) == 0, "%s, step %u: %zu pixels", what, step, count_different(r));
    spk_umpa_destroy(&alone);
}

static void configure(struct rolling *r)
{
    spk_umpa_set(r->umpa, &r->config);
}

static void test_frame_by_frame(bool half, unsigned rounds)
{
    struct rolling r;
    start(&r, half);
    for (unsigned k = 0; k < rounds * COUNT; k++) {
        compare(&r, half ? "16 bits" : "float", k);
        replace(&r, k % COUNT);
    }
    stop(&r);
}

/* The first frames of a stack, frames that come together, none at all, and one that could not be used. */
static void test_other_steps(void)
{
    struct rolling r;
    start(&r, true);
    memset(r.scene.sample.present, 0, COUNT);
    for (unsigned k = 0; k < COUNT; k++) {
        r.scene.sample.present[k] = 1;
        replace(&r, k);
        compare(&r, "first frames", k);
    }
    replace(&r, 2);
    replace(&r, 7);
    compare(&r, "two frames", 0);
    compare(&r, "no frame", 0);
    r.scene.sample.present[5] = 0;
    r.scene.sample.changed[5] = ++r.scene.sample.version;
    compare(&r, "a frame less", 0);
    replace(&r, 1);
    compare(&r, "a frame less", 1);
    r.scene.sample.present[5] = 1;
    replace(&r, 5);
    compare(&r, "all frames", 0);
    stop(&r);
}

static void test_settings(void)
{
    struct rolling r;
    start(&r, true);
    compare(&r, "as they are", 0);
    for (unsigned passes = 4; passes > 0; passes--)
        for (unsigned k = 0; k < 3; k++) {
            r.config.refine = passes > 1 ? SPK_UMPA_GLOBAL : SPK_UMPA_NONE;
            r.config.passes = passes;
            r.config.dark_field = k != 1;
            configure(&r);
            replace(&r, passes + 2 * k);
            compare(&r, "settings", 10 * passes + k);
        }
    r.config.refine = SPK_UMPA_GLOBAL;
    r.config.passes = 2;
    configure(&r);
    compare(&r, "cells again", 0);
    stop(&r);
}

/* The sample before and behind a new reference, taken into the same memory. */
static void test_new_reference(void)
{
    struct rolling r;
    start(&r, true);
    compare(&r, "first reference", 0);
    const size_t values = (size_t)COUNT * PIXELS;
    for (size_t i = 0; i < values; i++)
        r.scene.reference.data[i] *= 1.03f;
    spk_half_encode(r.scene.reference.half, r.scene.reference.data, values);
    take_reference(&r);
    compare(&r, "second reference", 0);
    replace(&r, 4);
    compare(&r, "second reference", 1);
    stop(&r);
}

/* Masks, and values that are none, come and go. */
static void test_bad_pixels(void)
{
    for (unsigned half = 0; half < 2; half++) {
        struct rolling r;
        start(&r, half);
        for (unsigned k = 0; k < COUNT; k++) {
            struct spk_stack *s = &r.scene.sample;
            const size_t at = ((size_t)k * HEIGHT + 3 * k) * WIDTH + 13 * k;
            compare(&r, "bad pixels", k);
            replace(&r, k);
            s->mask[7 * WIDTH + 100] = k % 3 != 1;
            if (k % 2) {
                s->data[at] = k % 4 == 1 ? NAN : 1e9f;
                s->half[at] = 0x7c00;
            }
        }
        stop(&r);
    }
}

/* The cells of the search are made again when one of the frames that they look at is new, and not otherwise. */
static void test_saves_search(void)
{
    struct rolling r;
    start(&r, true);
    make_map(&r);
    for (unsigned k = 0; k < COUNT; k++) {
        bool looked_at = false;
        for (unsigned i = 0; i < UMPA_SEARCH_FRAMES; i++)
            looked_at |= umpa_search_frame(r.umpa, i) == k;
        replace(&r, k);
        make_map(&r);
        CHECK(umpa_kept_cells(r.umpa) == !looked_at, "frame %u", k);
    }
    stop(&r);
}

static atomic_ulong rows_added;

static void count_moments(const struct spk_moments_cell *cell)
{
    atomic_fetch_add(&rows_added, (unsigned long)cell->rows * cell->frames);
    spk_match_ops(spk_isa_best())->moments(cell);
}

static void count_exchanges(const struct spk_moments_cell *cell)
{
    atomic_fetch_add(&rows_added, (unsigned long)cell->rows);
    spk_match_ops(spk_isa_best())->exchange(cell);
}

/* Rows of frames that the moments of the next map are made of. */
static unsigned long count_rows(struct rolling *r)
{
    struct spk_match_ops counting = *spk_match_ops(spk_isa_best());
    const struct spk_match_ops *ops = r->umpa->ops;
    counting.moments = count_moments;
    counting.exchange = count_exchanges;
    r->umpa->ops = &counting;
    atomic_store(&rows_added, 0);
    make_map(r);
    r->umpa->ops = ops;
    return atomic_load(&rows_added);
}

/* Where the start of the refinement stays, a frame costs its own moments. Cells round the edge are searched pixel by pixel and
 * start elsewhere each time: at most half of all here. */
static void test_saves_moments(void)
{
    struct rolling r;
    start(&r, true);
    r.config.passes = 1;
    configure(&r);
    const unsigned long whole = count_rows(&r);
    for (unsigned k = 0; k < 4; k++) {
        replace(&r, 1);
        make_map(&r);
    }
    replace(&r, 1);
    const double share = (double)count_rows(&r) / (double)whole, frame = 1.0 / COUNT;
    CHECK(share < frame + (1 - frame) / 2, "%.3f of a stack's moments", share);
    stop(&r);
}

/* Root mean square, away from the image's edges and the sample's, of how far a displacement is from another. */
static double apart(const struct rolling *r, const struct scene *s, bool from_truth)
{
    enum { RIM = 12 };
    const float truth[2] = {0.4f, -0.2f}; /* of `here` */
    double sum = 0;
    size_t count = 0;
    for (size_t y = RIM; y < HEIGHT - RIM; y++)
        for (size_t x = RIM; x < 2 * WIDTH / 3 - RIM; x++, count++)
            for (unsigned m = 0; m < 2; m++) {
                const size_t i = y * WIDTH + x;
                const float other = from_truth ? truth[m] : r->alone.map[2 + m][i];
                sum += pow((double)(s->map[2 + m][i] - other), 2);
            }
    return sqrt(sum / (double)count);
}

static void process_alone(struct rolling *r)
{
    struct spk_umpa *alone = NULL;
    REQUIRE(!make(r, &alone, &r->config));
    const struct spk_stack reference = seen(r, &r->scene.reference);
    CHECK(!spk_umpa_reference(alone, &reference, NULL));
    process(alone, r, &r->alone.maps);
    spk_umpa_destroy(&alone);
}

/* The refinement of the whole field goes on from the map before. The stack at once stops where a step is below 0.003 px; what goes on
 * gets farther on the same way with every map, and nearer to the truth, or it would not be worth while: then it is no farther from the
 * stack's than that is from the truth. The first map, and the one behind a change of options, of the reference or of all of the
 * sample, are to the last bit those of the stack. */
static void test_best(void)
{
    struct rolling r;
    start(&r, true);
    r.config.quality = SPK_UMPA_BEST;
    configure(&r);
    compare(&r, "best", 0);
    const unsigned whole = spk_umpa_report(r.umpa).inner;
    for (unsigned k = 0; k < 6; k++) {
        make_map(&r);
        process_alone(&r);
        const double off = apart(&r, &r.scene, true), stack = apart(&r, &r.alone, true);
        CHECK(off <= stack, "map %u is %g px off, that of the stack %g", k, off, stack);
        CHECK(apart(&r, &r.scene, false) < stack, "map %u: %g px", k, apart(&r, &r.scene, false));
        CHECK(2 * spk_umpa_report(r.umpa).inner < whole, "map %u: %u steps, a stack takes %u", k,
              spk_umpa_report(r.umpa).inner, whole);
    }
    for (unsigned k = 0; k < COUNT; k++)
        replace(&r, k);
    compare(&r, "best, another sample", 0);
    r.config.dark_field = false;
    configure(&r);
    compare(&r, "best, other options", 0);
    take_reference(&r);
    compare(&r, "best, reference", 0);
    stop(&r);
}

/* With an argument not all of it, for builds in which that takes minutes. */
int main(int argc, char **argv)
{
    struct spk_error error = {0};
    const bool whole = argc == 1;
    (void)argv;
    REQUIRE(!spk_team_create(&team, 3, &error), "%s", error.text);
    fill(&here, &(struct scene_truth){.t = 0.9, .d = 0.8, .ux = 0.4, .uy = -0.2, .gain = 3, .photons = 2000});
    fill(&there,
         &(struct scene_truth){.t = 0.8, .d = 0.7, .ux = 0.6, .uy = -0.1, .gain = 3, .photons = 2000});
    test_frame_by_frame(true, whole ? 2 : 1);
    test_new_reference();
    test_bad_pixels();
    if (whole) {
        test_frame_by_frame(false, 2);
        test_other_steps();
        test_settings();
        test_saves_search();
        test_saves_moments();
        test_best();
    }
    scene_destroy(&here);
    scene_destroy(&there);
    spk_team_destroy(&team);
    return test_end();
}
