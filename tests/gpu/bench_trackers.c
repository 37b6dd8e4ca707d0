/* The trackers' rows of the benchmark. */
#include "bench_gpu.h"
#include "wxst_device.h"
#include "wxst_internal.h"

#include <speckled/num_isa.h>
#include <speckled/num_tracker_device.h>
#include <stdlib.h>

/* Maps on one side. */
static void take_maps(struct spk_tracker_maps *maps, bool there, bool release)
{
    void **const address[] = {(void **)&maps->transmission,   (void **)&maps->dark_field,
                              (void **)&maps->displacement_x, (void **)&maps->displacement_y,
                              (void **)&maps->quality,        (void **)&maps->valid};
    for (size_t i = 0; i < sizeof address / sizeof address[0]; i++) {
        size_t bytes = bench.pixels * (i < 5 ? sizeof(float) : 1);
        if (release && there)
            spk_device_release(bench.gpu.device, address[i]);
        else if (release)
            free(*address[i]);
        else
            *address[i] = there ? gpu_memory(&bench.gpu, NULL, bytes) : malloc(bytes);
    }
}

/* The first `count` frames of a stack. */
static struct spk_stack first_frames(const struct spk_stack *stack, unsigned count)
{
    struct spk_stack part = *stack;
    part.count = count;
    return part;
}

struct tracker {
    struct spk_tracker *here;
    struct spk_tracker_device *there;
    struct spk_stack stack[2][2]; /* reference, sample; here, there */
    struct spk_tracker_maps maps[2];
};

static void tracker_there(void *context)
{
    struct tracker *t = context;
    spk_tracker_device_process(t->there, &t->stack[1][1], &t->maps[1], NULL);
}

static void tracker_reference_there(void *context)
{
    struct tracker *t = context;
    spk_tracker_device_reference(t->there, &t->stack[0][1], NULL);
}

static void tracker_here(void *context)
{
    struct tracker *t = context;
    spk_tracker_process(t->here, &t->stack[1][0], &t->maps[0], NULL);
}

/* Operations a pixel: at every shift the products over frames, the box along both axes and the correlation; then 3x3 peaks and the
 * ratios of one pixel, over frames and window. */
static double tracker_flops(unsigned count, int window, int shift)
{
    double shifts = (2 * shift + 1) * (2 * shift + 1), side = 2 * window + 1;
    double box = window ? 2 * 2 : 0; /* a sum that moves on adds one value and takes one away */
    double ends = count * side * side * (9 * 2 + 8 + 8 + 12);
    return (shifts * (2 * count + box + 3) + ends) * (double)bench.pixels;
}

static void bench_tracker(const char *name, const char *reference_name, unsigned count, int window, int shift)
{
    const struct spk_tracker_config config = {.window = window, .max_shift = shift};
    struct spk_error error = {0};
    struct tracker t = {0};
    const double frames = count, pixels = (double)bench.pixels;
    for (int side = 0; side < 2; side++) {
        t.stack[side][0] = first_frames(&bench.here[side], count);
        t.stack[side][1] = first_frames(&bench.there[side], count);
    }
    take_maps(&t.maps[0], false, false);
    take_maps(&t.maps[1], true, false);
    REQUIRE(!spk_tracker_device_create(&t.there, "bench", &config, count, bench.size, bench.size,
                                       bench.gpu.device, bench.gpu.stream, &error),
            "%s", error.text);
    if (reference_name) /* read twice, for the mean and for the splines, which are written */
        bench_row(reference_name, bench_there(tracker_reference_there, &t), 3 * frames * 4 * pixels,
                  frames * 2 * 2 * 33 * pixels);
    else
        REQUIRE(!spk_tracker_device_reference(t.there, &t.stack[0][1], &error), "%s", error.text);
    struct row *row = bench_row(name, bench_there(tracker_there, &t), (3 * frames + 5) * 4 * pixels,
                                tracker_flops(count, window, shift));
    if (!bench.plain) {
        REQUIRE(!spk_tracker_create(&t.here, "bench", &config, count, bench.size, bench.size, bench.team,
                                    spk_isa_best(), &error) &&
                    !spk_tracker_reference(t.here, &t.stack[0][0], &error),
                "%s", error.text);
        bench_here(row, tracker_here, &t);
        spk_tracker_destroy(&t.here);
    }
    take_maps(&t.maps[0], false, true);
    take_maps(&t.maps[1], true, true);
    spk_tracker_device_destroy(&t.there);
}

struct wxst {
    struct spk_wxst *here;
    struct spk_wxst_device *there;
    struct spk_stack stack[2][2];
    struct spk_tracker_maps maps[2];
};

static void wxst_there(void *context)
{
    struct wxst *w = context;
    spk_wxst_device_process(w->there, &w->stack[1][1], &w->maps[1], NULL);
}

static void wxst_reference_there(void *context)
{
    struct wxst *w = context;
    spk_wxst_device_reference(w->there, &w->stack[0][1], NULL);
}

static void wxst_here(void *context)
{
    struct wxst *w = context;
    spk_wxst_process(w->here, &w->stack[1][0], &w->maps[0], NULL);
}

/* Operations a pixel, over all levels: the vector (its deviation, and a transform of 16 a value that leaves half at each step), and
 * the distances, a difference and a multiply-add a coefficient and displacement. */
static double wxst_flops(const struct spk_wxst_config *config, unsigned count, double *coefficients)
{
    struct wxst_form form[SPK_WXST_LEVELS_MAX + 1];
    double side = config->method == SPK_WXST_WXST ? 2.0 * (double)config->neighbours + 1 : 1, sum = 0;
    wxst_forms(config, bench.size, bench.size, form);
    for (unsigned p = 0; p <= (unsigned)config->levels; p++) {
        double size = wxst_size_max((int)config->cut, p, count, (unsigned)side);
        double span = 2.0 * form[p].range + 1, length = count * side * side;
        sum +=
            (length * (5 + 2 * 16) + span * span * size * 3) * (double)form[p].height * (double)form[p].width;
        *coefficients = p ? *coefficients : size;
    }
    return sum;
}

static void bench_wxst(const char *name, const char *reference_name, unsigned count, int method)
{
    const struct spk_wxst_config config = {.method = method,
                                           .neighbours = bench.plain ? 1 : 5,
                                           .levels = 2,
                                           .cut = 2,
                                           .max_shift = bench.plain ? 3 : 20,
                                           .fine = bench.plain ? 2 : 4};
    struct spk_error error = {0};
    struct wxst w = {0};
    double coefficients = 0, flops = wxst_flops(&config, count, &coefficients);
    const double frames = count, pixels = (double)bench.pixels;
    for (int side = 0; side < 2; side++) {
        w.stack[side][0] = first_frames(&bench.here[side], count);
        w.stack[side][1] = first_frames(&bench.there[side], count);
    }
    take_maps(&w.maps[0], false, false);
    take_maps(&w.maps[1], true, false);
    REQUIRE(!spk_wxst_device_create(&w.there, &config, count, bench.size, bench.size, bench.gpu.device,
                                    bench.gpu.stream, &error),
            "%s", error.text);
    if (reference_name)
        bench_row(reference_name, bench_there(wxst_reference_there, &w),
                  (3 * frames + 4.0 / 3 * coefficients) * 4 * pixels, 0);
    else
        REQUIRE(!spk_wxst_device_reference(w.there, &w.stack[0][1], &error), "%s", error.text);
    struct row *row = bench_row(name, bench_there(wxst_there, &w),
                                (3 * frames + 4.0 / 3 * 3 * coefficients + 5) * 4 * pixels, flops);
    if (!bench.plain) {
        REQUIRE(!spk_wxst_create(&w.here, &config, count, bench.size, bench.size, bench.team, &error) &&
                    !spk_wxst_reference(w.here, &w.stack[0][0], &error),
                "%s", error.text);
        bench_here(row, wxst_here, &w);
        spk_wxst_destroy(&w.here);
    }
    take_maps(&w.maps[0], false, true);
    take_maps(&w.maps[1], true, true);
    spk_wxst_device_destroy(&w.there);
}

void bench_trackers(void)
{
    const int shift = bench.plain ? 3 : 10;
    bench_tracker("xst, 1 frame, window 3", NULL, 1, 3, shift);
    bench_tracker("xsvt, all frames", "reference of xsvt", bench.frames, 0, shift);
    bench_wxst("wsvt, all frames", "reference of wsvt", bench.frames, SPK_WXST_WSVT);
    bench_wxst("wxst, 1 frame", NULL, 1, SPK_WXST_WXST);
}
