/* Whole lanes of the real plugins, on a device and on the processor: the same frames give the same maps. */
#include "unit/graph_fixture.h"

#include "gpu.h"
#include "lane_graph.h"
#ifdef CHECK_H5
#include "network_weights.h"
#include "spinnet.h"
#include <unistd.h>
#endif

#include <string.h>

enum { COUNT = 5, STACKS = 2, PIXELS = 96 * 98 /* at most */ };

static uint32_t rows = 24, columns = 34;

static struct fixture fixture;

/* The last result that a run published. */
static struct kept {
    float map[SPK_MAP_COUNT][PIXELS];
    uint8_t valid[PIXELS];
    uint32_t maps, results, present;
    bool timed;
    double drift_px, sample_drift_px; /* that were taken out */
    double curl_px;                   /* of the displacements, where they are integrated */
    uint32_t iterations;              /* of the refinement of the whole field */
} kept[2];

static struct kept *keeping;

static spk_status keep(void *self, const struct spk_result *result, struct spk_error *error)
{
    const size_t pixels = (size_t)result->height * result->width;
    (void)self;
    (void)error;
    keeping->results++;
    for (int i = 0; i < SPK_MAP_COUNT; i++)
        if (result->map[i]) {
            memcpy(keeping->map[i], result->map[i], pixels * sizeof(float));
            keeping->maps |= 1u << i;
        }
    memcpy(keeping->valid, result->valid, pixels);
    keeping->present = result->provenance.present;
    keeping->drift_px = result->provenance.drift_px;
    keeping->sample_drift_px = result->provenance.sample_drift_px;
    keeping->curl_px = result->provenance.curl_px;
    keeping->iterations = result->provenance.iterations;
    keeping->timed = result->provenance.stages == fixture.graph.stages && result->provenance.stage_name[0];
    return SPK_OK;
}

static const struct spk_plugin sink = LANE_SINK(keep);

/* Three darks, a reference, and stacks of a sample that moves the pattern by (0.8, -0.6) px and takes a tenth away. */
enum { DARKS = 3 };

static unsigned stacks = STACKS;

/* What becomes of the device after so many calls, and what the lane then does. */
static struct {
    enum spk_device_fault fault;
    uint64_t calls;
    enum spk_device_policy policy;
} trouble = {SPK_DEVICE_SOUND, 0, SPK_DEVICE_POLICY_STOP};

struct player {
    const struct spk_host *host;
    unsigned next;
};

/* Waves whose sum stays below the mean: a count below zero would be none. */
static double pattern(unsigned k, double x, double y)
{
    double sum = 0;
    for (unsigned i = 0; i < 12; i++) {
        double f = 2 * M_PI / (5 + 0.5 * i), angle = 2.4 * (i + 7 * k), phase = 1.7 * i * (k + 1);
        sum += cos(f * (x * cos(angle) + y * sin(angle)) + phase);
    }
    return 2000 + 120 * sum;
}

/* Of more than 16 bits: stacks are then kept in float. */
static enum spk_dtype detector = SPK_U32;

/* Options of prep_register in front of the method, and then there is a drift; NULL: neither. */
static const char *registration;

/* The sample is one of hills, and elsewhere in each frame. */
static bool wanders;

static double transmission(unsigned k, double x, double y)
{
    static const double PLACE[COUNT] = {-0.4, 0.8, 0, -0.8, 0.4};
    const double f = 2 * M_PI / 24, place = PLACE[k];
    return wanders ? 0.9 + 0.08 * sin(f * (x - place)) * sin(f * (y + place)) : 0.9;
}

/* The beam is off in one frame of each stack of the sample. */
static bool beam_fails;

static void paint(void *data, unsigned frame)
{
    uint16_t *narrow = detector == SPK_U16 ? data : NULL;
    uint32_t *wide = detector == SPK_U32 ? data : NULL;
    const unsigned k = frame < DARKS ? 0 : (frame - DARKS) % COUNT;
    const bool sample = frame >= DARKS + COUNT;
    for (unsigned y = 0; y < rows; y++)
        for (unsigned x = 0; x < columns; x++) {
            const double drift = registration ? 0.25 * ((double)k - (COUNT - 1) / 2) : 0;
            double moved = pattern(k, x, y);
            if (sample)
                moved = transmission(k, x, y) * pattern(k, x - 0.8 - drift, y + 0.6 + drift);
            if (frame < DARKS || (sample && beam_fails && k == 2))
                moved = 0;
            const uint16_t value = (uint16_t)(100 + moved + (x * y == 187 ? 700 : 0));
            if (narrow)
                *narrow++ = value;
            else if (wide)
                *wide++ = value;
        }
}

static spk_status next_frame(void *self, struct spk_frame **out, struct spk_error *error)
{
    struct player *player = self;
    (void)error;
    if (player->next == DARKS + COUNT + stacks * COUNT)
        return SPK_END;
    spk_status status = player->host->frame(player->host->context, rows, columns, detector, out);
    if (status)
        return status;
    struct spk_frame *frame = *out;
    const unsigned i = player->next++;
    frame->id = i;
    frame->role = i < DARKS ? SPK_ROLE_DARK : i < DARKS + COUNT ? SPK_ROLE_REFERENCE : SPK_ROLE_SAMPLE;
    frame->position = i < DARKS ? SPK_UNKNOWN : (int64_t)((i - DARKS) % COUNT);
    paint(frame->data, i);
    return SPK_OK;
}

static spk_status open_player(const struct spk_host *host, const void *config, void **self,
                              struct spk_error *error)
{
    static struct player player;
    (void)config;
    (void)error;
    player = (struct player){host, 0};
    *self = &player;
    return SPK_OK;
}

static const struct spk_plugin source = {.abi = SPK_PLUGIN_ABI,
                                         .size = sizeof source,
                                         .name = "source_paint",
                                         .summary = "Paints a moving pattern.",
                                         .version = "1",
                                         .open = open_player,
                                         .close = lane_close,
                                         .source = &(const struct spk_source){.next = next_frame}};

static void run(int side, const char *prep, const char *method, const char *recon, const char *post,
                enum spk_mode mode)
{
    fixture_init(&fixture, COUNT);
    keeping = &kept[side];
    memset(keeping, 0, sizeof *keeping);
    fixture.graph.stages = 0;
    fixture.graph.geometry = (struct spk_geometry){20, 1e-6, 0.5};
    fixture.graph.source.plugin = &source;
    fixture.graph.sink[0].plugin = &sink;
    fixture.graph.options.mode = mode;
    fixture.graph.options.device.count = 1;
    snprintf(fixture.graph.options.device.value[0], SPK_STRING_SIZE, "%s", side ? "cuda" : "cpu");
    fixture.graph.options.device_fault = trouble.policy;
    add_stage(&fixture, "prep_dark_flat", prep);
    if (registration)
        add_stage(&fixture, "prep_register", registration);
    add_stage(&fixture, method, recon);
    if (post)
        add_stage(&fixture, "post_integrate", post);
    spk_device_inject(trouble.fault, trouble.calls);
    fixture_run(&fixture, 0);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    free_stages(&fixture);
    if (trouble.fault && !fixture.stats.published[SPK_ROLE_REFERENCE])
        return; /* lost while it was gathered: then there are no maps */
    CHECK(keeping->results == fixture.stats.results && keeping->results > 0, "%u results: %s",
          keeping->results, fixture.stats.message);
    CHECK(keeping->timed, "stages are named and timed");
    CHECK(isfinite(keeping->curl_px) == (post != NULL), "curl residual of %g on side %d", keeping->curl_px,
          side);
}

/* Whether the sides found different whole shifts. */
static bool torn(size_t pixel)
{
    const enum spk_map axis[] = {SPK_MAP_DISPLACEMENT_X, SPK_MAP_DISPLACEMENT_Y};
    bool torn = false;
    for (int i = 0; i < 2; i++)
        torn |= fabsf(kept[0].map[axis[i]][pixel] - kept[1].map[axis[i]][pixel]) > 0.5f;
    return torn;
}

/* `tolerance` of the mean difference, as a share of the largest value. One pixel in a thousand may find two whole shifts equally good, one on each
 * side: costs are known to some 1e-3 of themselves, what rounding leaves of sums of squares of light a thousand times as large. */
static void compare(const char *what, double tolerance)
{
    CHECK(kept[0].maps == kept[1].maps && kept[0].maps, "%s: maps %x, on the processor %x", what,
          kept[1].maps, kept[0].maps);
    const size_t pixels = (size_t)rows * columns;
    size_t marks = 0, ties = 0;
    for (size_t i = 0; i < pixels; i++) {
        marks += kept[0].valid[i] != kept[1].valid[i];
        ties += kept[0].valid[i] && kept[1].valid[i] && torn(i);
    }
    CHECK(ties * 1000 <= pixels, "%s: %zu pixels of other shifts", what, ties);
    CHECK(marks * 50 <= pixels, "%s: %zu pixels valid on one side only", what, marks);
    for (int m = 0; m < SPK_MAP_COUNT; m++) {
        double worst = 0, sum = 0, largest = 0;
        size_t count = 0;
        for (size_t i = 0; i < pixels && (kept[0].maps >> m & 1); i++) {
            if (!kept[0].valid[i] || !kept[1].valid[i] || torn(i))
                continue;
            double apart = fabs((double)kept[0].map[m][i] - (double)kept[1].map[m][i]);
            largest = fmax(largest, fabs((double)kept[0].map[m][i]));
            worst = fmax(worst, apart);
            sum += apart;
            count++;
        }
        if (!count)
            continue;
        printf("%-32s %-16s mean difference %.2g, largest %.2g, of at most %.3g\n", what,
               spk_map_info((enum spk_map)m)->name, sum / (double)count, worst, largest);
        /* On the processor these two see the reference through spline coefficients in binary16, each wrong by 2^-12 of itself at most, and
         * slopes, differences of two, by twice that share. */
        const bool seen = m == SPK_MAP_QUALITY || m == SPK_MAP_DISPLACEMENT_ERROR;
        const double share = seen ? fmax(tolerance, 0x1p-11) : tolerance;
        CHECK(sum / (double)count < share * fmax(1, largest), "%s, %s: mean difference %g of %g", what,
              spk_map_info((enum spk_map)m)->name, sum / (double)count, largest);
    }
}

static void check(const char *what, const char *prep, const char *method, const char *recon, const char *post,
                  enum spk_mode mode, double tolerance)
{
    run(0, prep, method, recon, post, mode);
    run(1, prep, method, recon, post, mode);
    compare(what, tolerance);
}

/* Error of a map against the one value that it has everywhere, well inside the frame. */
static double error_of(const struct kept *k, enum spk_map map, double value)
{
    enum { RIM = 7 };
    double sum = 0;
    size_t count = 0;
    for (size_t y = RIM; y + RIM < rows; y++)
        for (size_t x = RIM; x + RIM < columns; x++)
            if (k->valid[y * columns + x]) {
                const double apart = (double)k->map[map][y * columns + x] - value;
                sum += apart * apart;
                count++;
            }
    return count ? sqrt(sum / (double)count) : INFINITY;
}

/* Refined maps by what they are worth: each side linearises its own way, a cell of pixels at once or each one. */
static void check_refined(const char *what, const char *recon, bool whole_field)
{
    static const struct {
        enum spk_map map;
        double value, floor;
    } truth[] = {{SPK_MAP_TRANSMISSION, 0.9, 1e-3},
                 {SPK_MAP_DISPLACEMENT_X, 0.8, 2e-3},
                 {SPK_MAP_DISPLACEMENT_Y, -0.6, 2e-3}};
    for (int side = 0; side < 2; side++)
        run(side, "", "recon_umpa", recon, NULL, SPK_MODE_STACK);
    for (size_t i = 0; i < sizeof truth / sizeof truth[0]; i++) {
        const double here = error_of(&kept[0], truth[i].map, truth[i].value);
        const double there = error_of(&kept[1], truth[i].map, truth[i].value);
        printf("%-32s %-16s error %.2g, on the processor %.2g\n", what, spk_map_info(truth[i].map)->name,
               there, here);
        CHECK(there <= 1.1 * here + truth[i].floor, "%s, %s: error %g, on the processor %g", what,
              spk_map_info(truth[i].map)->name, there, here);
    }
    for (int side = 0; side < 2; side++)
        CHECK((kept[side].iterations > 0) == whole_field, "%s: %u iterations on side %d", what,
              kept[side].iterations, side);
}

/* A stage of the processor in front of the method puts a stack of its own in place of the sample: the drift is 0.25 px a step of five,
 * along both axes, 0.5 root mean square, of which a hundredth of a pixel is noise. */
static void check_registered(void)
{
    rows = 46;
    columns = 48;
    registration = "max_shift=2";
    check("without the drift", "", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_STACK, 1e-5);
    for (int side = 0; side < 2; side++)
        CHECK(fabs(kept[side].drift_px - 0.5) < 0.03, "%g px of drift on side %d", kept[side].drift_px, side);
    check("without the drift, rolling", "", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_ROLLING,
          1e-5);
    registration = NULL;
    rows = 24;
    columns = 34;
}

/* And the reference, where the sample moves too: by 0.4 px a step of five that add up to 0, along both axes, 0.8 root mean square. Windows
 * of 5 frames misplace the slopes of T by 0.35 px in areas of 15 px^2 (test_register_sample.c), of which the one tile counts 180: by 0.04 px along
 * both axes together, 0.07 at three standard deviations. */
static void check_sample_drift(void)
{
    rows = 96;
    columns = 98;
    wanders = true;
    registration = "max_shift=2,sample_drift=true";
    check("as the sample goes", "", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_STACK, 1e-5);
    CHECK(kept[0].sample_drift_px == kept[1].sample_drift_px && fabs(kept[0].sample_drift_px - 0.8) < 0.07,
          "%g and %g px of the sample's drift", kept[0].sample_drift_px, kept[1].sample_drift_px);
    wanders = false;
    registration = NULL;
    rows = 24;
    columns = 34;
}

#if defined(CHECK_H5) || defined(CHECK_SPECKLENET)
/* The stage that was checked last, in a lane that loses its device after `first` calls, and `step` more from run to run: what is published
 * stays right. Depending on when that is, a reference that was being gathered is lost too, and then there are no maps. */
static void check_losses(const char *method, const char *recon, const char *post, uint64_t first,
                         uint64_t step)
{
    enum { RUNS = 4 };
    unsigned struck = 0, compared = 0;
    stacks = 5; /* what waits when the device is lost is lost with it, three stacks at most */
    trouble.fault = SPK_DEVICE_LOST;
    for (unsigned i = 0; i < RUNS; i++) {
        trouble.calls = first + i * step;
        trouble.policy = i % 2 ? SPK_DEVICE_POLICY_CPU : SPK_DEVICE_POLICY_REBUILD;
        run(1, "", method, recon, post, SPK_MODE_STACK);
        CHECK(fixture.stats.published[SPK_ROLE_DARK] == DARKS,
              "%s, call %d: darks are lost, which the host has", method, (int)trouble.calls);
        if (keeping->results)
            compare(method, 1e-4);
        compared += keeping->results > 0;
        struck += fixture.stats.device_faults > 0;
    }
    CHECK(struck > 1 && compared > 1, "%s: %u faults struck, %u runs had results", method, struck, compared);
    trouble.fault = SPK_DEVICE_SOUND;
    trouble.policy = SPK_DEVICE_POLICY_STOP;
    stacks = STACKS;
}
#endif

/* A network of random weights; they keep what rounding makes of a number, 1e-4 of a map's range at most (check_networks.c). With `faults`
 * its lane loses the device now and then: what is published stays right. */
static void check_network(const char *what, const char *options, const char *post, bool faults)
{
#ifdef CHECK_H5
    char path[64], recon[128];
    network_random = 20250214;
    snprintf(path, sizeof path, "check_lane.%d.h5", (int)getpid());
    write_weights(&spk_spinnet, "6-3", path);
    snprintf(recon, sizeof recon, "bulk_shift=0,weights=%s,%s", path, options);
    check(what, "", "recon_spinnet", recon, post, SPK_MODE_STACK, 1e-4);
    if (faults)
        check_losses("recon_spinnet", recon, post, 60, 150);
    unlink(path);
#else
    (void)what;
    (void)options;
    (void)post;
    (void)faults;
#endif
}

/* With its own weights, also where the device is lost with stacks under way and the lane goes on on the processor. Well-conditioned fits, most
 * of them, keep what rounding makes of a number (check_specklenet.c), 1e-4 of it on average at most. */
static void check_specklenet(void)
{
#ifdef CHECK_SPECKLENET
    check("specklenet", "", "recon_specklenet", "", NULL, SPK_MODE_STACK, 1e-4);
    check_losses("recon_specklenet", "", NULL, 20, 80);
#endif
}

int main(int argc, char **argv)
{
    struct gpu gpu;
    spk_log_set_level(SPK_LOG_ERROR);
    gpu_open(&gpu);
    gpu_close(&gpu);
    const char *post = argc > 1 ? argv[1] : NULL; /* what the build has */
    bool integrates = post && strcmp(post, "post_integrate") == 0;
    check("whole shifts", "", "recon_umpa", "refine=none,max_shift=2", NULL, SPK_MODE_STACK, 1e-5);
    check("all stages", "", "recon_umpa", "refine=none,window=2,max_shift=1",
          integrates ? "method=dct" : NULL, SPK_MODE_STACK, 1e-5);
    check_refined("a fixed window", "window=2,max_shift=1", false);
    check_refined("the whole field", "quality=best,max_shift=1", true);
    check("sample stepping", "", "recon_umpa",
          "refine=none,max_shift=1,offset_x=0;2;-1;0;3,offset_y=1;0;-3;2;0", NULL, SPK_MODE_STACK, 1e-5);
    check("normalised", "normalise=mean", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_STACK,
          1e-5);
    beam_fails = true;
    check("a frame without light", "normalise=mean", "recon_umpa", "refine=none,max_shift=1", NULL,
          SPK_MODE_STACK, 1e-5);
    check("a frame without light, rolling", "normalise=mean", "recon_umpa", "refine=none,max_shift=1", NULL,
          SPK_MODE_ROLLING, 1e-5);
    CHECK(kept[0].present == COUNT - 1 && kept[1].present == COUNT - 1, "%u frames, on the processor %u",
          kept[1].present, kept[0].present);
    beam_fails = false;
    if (integrates) {
        check("integration, masked", "", "recon_umpa", "refine=none,max_shift=1", "method=masked",
              SPK_MODE_STACK, 1e-5);
        check("integration, periodic", "", "recon_umpa", "refine=none,max_shift=1", "method=fc",
              SPK_MODE_STACK, 1e-5);
        check("integration, antisymmetric", "", "recon_umpa", "refine=none,max_shift=1",
              "method=fc_antisymmetric", SPK_MODE_STACK, 1e-5);
    }
    check("rolling", "", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_ROLLING, 1e-5);
    check("one window", "", "recon_xst", "window=1,max_shift=2", NULL, SPK_MODE_STACK, 1e-4);
    check("vectors", "flat=reference_mean,flat_window=9", "recon_xsvt", "max_shift=2", NULL, SPK_MODE_ROLLING,
          1e-4);
    check("wavelets", "", "recon_wxst", "levels=1,max_shift=2,fine=2", NULL, SPK_MODE_STACK, 1e-4);
    check_registered();
    check_sample_drift();
    check_network("a network", "backend=auto", NULL, true);
    check_specklenet();
    /* Both sides keep 16 bits as binary16, but not the same of the reference: the processor spline coefficients, a device deviations from
     * the mean too. Each value moves by 2^-12 of itself at most, ratios of two by 2^-11, and deviations, which are differences over
     * a contrast of about a half, by twice that. */
    detector = SPK_U16;
    check("16 bits", "", "recon_umpa", "refine=none,max_shift=2", NULL, SPK_MODE_STACK, 0x1p-10);
    check("16 bits, rolling", "", "recon_umpa", "refine=none,max_shift=1", NULL, SPK_MODE_ROLLING, 0x1p-10);
    check_network("16 bits, a network on the processor", "backend=c", integrates ? "method=dct" : NULL,
                  false);
    check("16 bits in float", "", "recon_xsvt", "max_shift=2", NULL, SPK_MODE_STACK, 1e-4);
    check("16 bits, sample stepping", "", "recon_umpa",
          "refine=none,max_shift=1,offset_x=0;2;-1;0;3,offset_y=1;0;-3;2;0", NULL, SPK_MODE_ROLLING, 0x1p-10);
    check_refined("16 bits, a fixed window", "window=2,max_shift=1", false);
    check_refined("16 bits, the whole field", "quality=best,max_shift=1", true);
    return test_end();
}
