/* prep_register: the drift of a sample during its scan, besides that of the pattern, both known between the pixels. */
enum { COUNT = 8, HEIGHT = 132, WIDTH = 134 };

#include "register_scene.h"

static const struct spk_drift PATTERN[COUNT] = {{0.6f, -0.3f},  {-0.45f, 0.7f}, {0.2f, 0.15f}, {-1.1f, -0.8f},
                                                {0.75f, 0.25f}, {-0.2f, 0.5f},  {0.5f, -0.6f}, {-0.3f, 0.1f}};
static const struct spk_drift SAMPLE[COUNT] = {{-0.4f, 0.9f}, {0.3f, 0.2f},  {1.2f, -0.5f}, {-0.1f, 0.4f},
                                               {0.2f, -1.3f}, {-0.9f, 0.1f}, {-0.5f, 0.6f}, {0.2f, -0.4f}};
static const struct spk_drift STILL[COUNT];

enum kind { BUMPS, RIDGES, EVEN };

struct point {
    double transmission, visibility, y, x;
};

/* Bumps 40 px apart, ridges along y, or the same everywhere. */
static struct point sample_at(enum kind kind, double y, double x)
{
    const double along_y = kind == BUMPS ? sin(2 * M_PI * y / 40) : 1;
    const double height = kind == EVEN ? 0.5 : sin(2 * M_PI * x / 40) * along_y;
    return (struct point){0.75 + 0.15 * height, 0.7 - 0.2 * height, 0.4 - 0.6 * height, -0.3 + 0.8 * height};
}

/* Frame k where pattern and sample have drifted, of a sample that is seen `at` its own place. */
static double model(enum kind kind, unsigned k, double y, double x, struct spk_drift d, struct spk_drift s)
{
    const struct point at = sample_at(kind, y - (double)s.y, x - (double)s.x);
    return at.transmission *
           (1 + at.visibility * (pattern(k, y - at.y - (double)d.y, x - at.x - (double)d.x) - 1));
}

static void fill(enum kind kind, const struct spk_drift s[COUNT])
{
    show_all();
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                size_t i = (size_t)k * PIXELS + (size_t)(y * WIDTH + x);
                sample_data[i] = (float)model(kind, k, y, x, PATTERN[k], s[k]);
            }
}

/* What is left of a drift once its mean over the frames that both stacks have is out. */
static struct spk_drift centred(const struct spk_drift drift[COUNT], unsigned k)
{
    double y = 0, x = 0, frames = 0;
    for (unsigned i = 0; i < COUNT; i++)
        if (present[i] && sample_present[i]) {
            y += (double)drift[i].y;
            x += (double)drift[i].x;
            frames++;
        }
    if (!present[k] || !sample_present[k])
        return (struct spk_drift){0, 0};
    return (struct spk_drift){(float)((double)drift[k].y - y / frames),
                              (float)((double)drift[k].x - x / frames)};
}

/* px, of the drift of a sample: in a Gaussian window the pattern takes up part of a slope of T where both lean the same way, which misplaces it
 * by sqrt(A / 8 pi N) in each area of A px^2 where squares of the pattern are alike; here 0.25 px and 13 px^2. The inner 52 x 52 px of four
 * tiles have 830 of these, so it is 0.009 px, and at three standard deviations over 8 frames 0.016. */
static const double OF_WINDOWS = 0.016;

/* Root mean square of the error over the frames, along the worse axis. */
static void check_drifts(const char *what, const struct spk_drift *found, const struct spk_drift truth[COUNT],
                         double most)
{
    double y = 0, x = 0;
    for (unsigned k = 0; k < COUNT; k++) {
        struct spk_drift expected = centred(truth, k);
        y += pow((double)(found[k].y - expected.y), 2) / COUNT;
        x += pow((double)(found[k].x - expected.x), 2) / COUNT;
    }
    CHECK(sqrt(fmax(y, x)) < most, "%s: off by %g, %g px", what, sqrt(y), sqrt(x));
}

static void test_both_drifts_are_found(struct spk_team *team)
{
    fill(BUMPS, SAMPLE);
    struct spk_register *r = make(team, true);
    const struct spk_drift *d = spk_register_find(r, &sample);
    REQUIRE(d, "no drift found");
    const struct spk_drift *s = spk_register_find_sample(r);
    REQUIRE(s, "no drift of the sample found");
    check_drifts("sample", s, SAMPLE, OF_WINDOWS);
    check_drifts("pattern", d, PATTERN, 0.01);
    spk_register_destroy(&r);
}

/* With the drifts known the stacks are those of a sample that stands still, whose pattern has moved with the reference's. */
static void test_stacks_follow_the_sample(struct spk_team *team)
{
    struct spk_drift by[COUNT];
    fill(BUMPS, SAMPLE);
    struct spk_register *r = make(team, true);
    for (unsigned k = 0; k < COUNT; k++)
        by[k] = (struct spk_drift){SAMPLE[k].y - PATTERN[k].y, SAMPLE[k].x - PATTERN[k].x};
    spk_register_find(r, &sample);
    const struct spk_stack *samples = spk_register_shift(r, &sample, SAMPLE);
    const struct spk_stack *references = spk_register_shift_reference(r, by);
    double sample_error = 0, reference_error = 0, pixels = 0;
    for (unsigned k = 0; k < COUNT; k++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                const size_t pixel = (size_t)(y * WIDTH + x), i = (size_t)k * PIXELS + pixel;
                if (!samples->mask[pixel] || !references->mask[pixel])
                    continue;
                const struct spk_drift back = {-by[k].y, -by[k].x};
                double still = model(BUMPS, k, y, x, back, STILL[k]);
                double moved = pattern(k, y - (double)back.y, x - (double)back.x);
                sample_error += pow((double)samples->data[i] - still, 2);
                reference_error += pow((double)references->data[i] - moved, 2);
                pixels++;
            }
    /* Half-way between pixels cubic B-splines give (23 cos(pi f) + cos(3 pi f)) / (16 + 8 cos(2 pi f)) of a wave of f a px: of those
     * here, 4 to 12 px long, 2.8 to 0.03 % are missing, 0.0017 root mean square. */
    CHECK(sqrt(reference_error / pixels) < 0.0017, "%g off", sqrt(reference_error / pixels));
    CHECK(sqrt(sample_error / pixels) < 0.0017, "%g off", sqrt(sample_error / pixels));
    CHECK(pixels > 0.85 * COUNT * PIXELS, "%g pixels", pixels / COUNT);
    spk_register_destroy(&r);
}

/* Along ridges nothing shows that the sample moves: there it stays where it is. */
static void test_one_direction(struct spk_team *team)
{
    fill(RIDGES, SAMPLE);
    struct spk_register *r = make(team, true);
    REQUIRE(spk_register_find(r, &sample), "no drift found");
    const struct spk_drift *s = spk_register_find_sample(r);
    REQUIRE(s, "no drift of the sample found");
    struct spk_drift across[COUNT];
    for (unsigned k = 0; k < COUNT; k++)
        across[k] = (struct spk_drift){0, SAMPLE[k].x};
    check_drifts("sample", s, across, OF_WINDOWS);
    spk_register_destroy(&r);
}

/* A sample that stands still, or that shows nothing, has no drift; the pattern's is found all the same. */
static void test_none_that_stands_out(struct spk_team *team)
{
    fill(BUMPS, STILL);
    struct spk_register *r = make(team, true);
    const struct spk_drift *d = spk_register_find(r, &sample);
    REQUIRE(d, "no drift found");
    CHECK(!spk_register_find_sample(r), "found a drift of a sample that stands still");
    check_drifts("pattern", d, PATTERN, 0.01);
    fill(EVEN, SAMPLE);
    spk_register_reference(r, &reference);
    d = spk_register_find(r, &sample);
    REQUIRE(d, "no drift found");
    CHECK(!spk_register_find_sample(r), "found a drift of a sample that shows nothing");
    check_drifts("pattern", d, PATTERN, 0.01);
    spk_register_destroy(&r);
}

static void test_missing_frames(struct spk_team *team)
{
    fill(BUMPS, SAMPLE);
    present[1] = sample_present[6] = 0;
    struct spk_register *r = make(team, true);
    const struct spk_drift *d = spk_register_find(r, &sample);
    REQUIRE(d, "no drift found");
    const struct spk_drift *s = spk_register_find_sample(r);
    REQUIRE(s, "no drift of the sample found");
    check_drifts("sample", s, SAMPLE, OF_WINDOWS);
    check_drifts("pattern", d, PATTERN, 0.01);
    sample_present[2] = sample_present[3] = 0;
    REQUIRE(spk_register_find(r, &sample), "no drift found");
    CHECK(!spk_register_find_sample(r), "four frames make the maps, and have no say beside them");
    spk_register_destroy(&r);
}

int main(void)
{
    struct spk_team *team = NULL;
    struct spk_error error = {0};
    REQUIRE(spk_team_create(&team, 3, &error) == SPK_OK, "%s", error.text);
    fill_reference();
    test_both_drifts_are_found(team);
    test_stacks_follow_the_sample(team);
    test_one_direction(team);
    test_none_that_stands_out(team);
    test_missing_frames(team);
    check_least(true, 80);
    spk_team_destroy(&team);
    return test_end();
}
