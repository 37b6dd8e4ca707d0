/* Times of the device operations beside the processor's and the roofline, as a table and as JSON.
 *
 * Bytes and operations are what the method needs at least: every input read and every output written once, every multiply-add
 * counted as two. The roofline is the longer of bytes over bandwidth and operations over peak, so a fraction is never too kind. */
#include "bench_gpu.h"
#if defined(BENCH_INTEGRATE)
#include "integrate_device.h"
#endif
#include "prep_device.h"
#include "umpa_device.h"

#include <speckled/clock.h>
#include <speckled/half.h>
#include <string.h>
#include <sys/resource.h>

struct bench bench;

static double cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1e3 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-3 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Median of the times that `work` takes on the device. */
double bench_there(void (*work)(void *context), void *context)
{
    double ms[64];
    struct spk_error error = {0};
    for (unsigned i = 0; i <= bench.repeats; i++) { /* the first is not counted */
        int64_t ns = 0;
        spk_event_mark(bench.begin, bench.gpu.stream, &error);
        work(context);
        spk_event_mark(bench.end, bench.gpu.stream, &error);
        REQUIRE(!spk_stream_wait(bench.gpu.stream, &error) &&
                    !spk_event_between(bench.begin, bench.end, &ns, &error),
                "%s", error.text);
        unsigned at = i ? i - 1 : 0;
        for (; at > 0 && i && ms[at - 1] > 1e-6 * (double)ns; at--)
            ms[at] = ms[at - 1];
        ms[at] = 1e-6 * (double)ns;
    }
    return ms[bench.repeats / 2];
}

struct row *bench_row(const char *name, double ms, double bytes, double flops)
{
    struct row *row = &bench.row[bench.rows++];
    *row = (struct row){.name = name, .ms = ms, .bytes = bytes, .flops = flops};
    return row;
}

void bench_here(struct row *row, void (*work)(void *context), void *context)
{
    if (bench.plain)
        return;
    work(context);
    double cpu = cpu_ms(), wall = 1e-6 * (double)spk_clock_monotonic_ns();
    work(context);
    row->here_cpu_ms = cpu_ms() - cpu;
    row->here_ms = 1e-6 * (double)spk_clock_monotonic_ns() - wall;
}

static void fill_scene(void)
{
    for (int side = 0; side < 2; side++)
        for (unsigned k = 0; k < bench.frames; k++)
            for (unsigned y = 0; y < bench.size; y++)
                for (unsigned x = 0; x < bench.size; x++) {
                    float u = (float)x - (side ? 0.7f : 0), v = (float)y + (side ? 1.3f : 0),
                          phase = 2.1f * (float)k;
                    float pattern = sinf(0.9f * u + phase) * cosf(0.7f * v - 1.7f * phase) +
                                    sinf(0.5f * (u + v) + 3 * phase);
                    bench.stack[side][(k * bench.size + y) * (size_t)bench.size + x] = 1000 + 250 * pattern;
                }
}

static void make_stacks(void)
{
    for (int side = 0; side < 2; side++) {
        struct spk_stack *here = &bench.here[side];
        *here = (struct spk_stack){
            .count = bench.frames, .height = bench.size, .width = bench.size, .version = 1};
        here->data = bench.stack[side];
        here->mask = malloc(bench.pixels);
        here->present = malloc(bench.frames);
        REQUIRE(here->mask && here->present, "no memory");
        memset(here->mask, 1, bench.pixels);
        memset(here->present, 1, bench.frames);
        bench.there[side] = *here;
        bench.there[side].data =
            gpu_memory(&bench.gpu, here->data, bench.frames * bench.pixels * sizeof(float));
        bench.there[side].mask = gpu_memory(&bench.gpu, here->mask, bench.pixels);
        uint16_t *half = malloc(bench.frames * bench.pixels * sizeof *half);
        REQUIRE(half, "no memory");
        spk_half_encode(half, here->data, bench.frames * bench.pixels);
        bench.half[side] = bench.there[side];
        bench.half[side].data = NULL;
        bench.half[side].half = gpu_memory(&bench.gpu, half, bench.frames * bench.pixels * sizeof *half);
        free(half);
    }
}

struct prep {
    struct spk_prep *here;
    struct spk_prep_device *there;
    struct spk_frame frame, raw;
    float *image[2];
    uint8_t *mask[2];
};

static void prep_there(void *context)
{
    static uint32_t no_light;
    struct prep *p = context;
    spk_prep_device_correct(p->there, &p->raw, p->image[1], p->mask[1], &no_light, NULL);
}

static void prep_here(void *context)
{
    struct prep *p = context;
    spk_prep_correct(p->here, &p->frame, p->image[0], p->mask[0], NULL);
}

static void upload(void *context)
{
    struct prep *p = context;
    spk_stream_copy(bench.gpu.stream, p->raw.data, p->frame.data, 2 * bench.pixels, NULL);
}

/* `bytes` a pixel: the least that is read and written. */
static void bench_prep(const char *name, enum spk_prep_normalise normalise, double bytes)
{
    const struct spk_prep_config config = {
        .floor = 0.01, .flat_window = 65, .hot_sigma = 8, .binning = 1, .normalise = normalise};
    struct spk_format in = {.count = 1, .height = bench.size, .width = bench.size, .dtype = SPK_U16},
                      out = in;
    struct spk_error error = {0};
    struct prep p = {0};
    const struct spk_allocator *pinned = spk_device_host_memory();
    p.frame = p.raw = (struct spk_frame){.dtype = SPK_U16, .height = bench.size, .width = bench.size};
    p.frame.data = pinned->allocate(2 * bench.pixels);
    p.raw.data = gpu_memory(&bench.gpu, NULL, 2 * bench.pixels);
    p.image[0] = malloc(bench.pixels * sizeof(float));
    p.mask[0] = malloc(bench.pixels);
    p.image[1] = gpu_memory(&bench.gpu, NULL, bench.pixels * sizeof(float));
    p.mask[1] = gpu_memory(&bench.gpu, NULL, bench.pixels);
    REQUIRE(p.frame.data && p.image[0] && p.mask[0], "no memory");
    for (size_t i = 0; i < bench.pixels; i++)
        ((uint16_t *)p.frame.data)[i] = (uint16_t)(100 + bench.stack[0][i]);
    for (size_t i = 0; i < bench.pixels; i++)
        p.image[0][i] = 100;
    REQUIRE(!spk_prep_create(&p.here, &config, bench.team, &error) &&
                !spk_prep_prepare(p.here, &in, &out, &error),
            "%s", error.text);
    spk_prep_calibrate(p.here, SPK_ROLE_DARK, p.image[0], NULL);
    REQUIRE(!spk_prep_device_create(&p.there, p.here, bench.gpu.device, bench.gpu.stream, &error), "%s",
            error.text);
    if (!normalise)
        bench_row("upload of a frame", bench_there(upload, &p), 0, 0);
    struct row *row = bench_row(name, bench_there(prep_there, &p), bytes * (double)bench.pixels, 0);
    bench_here(row, prep_here, &p);
    spk_prep_device_destroy(&p.there);
    spk_prep_destroy(&p.here);
    pinned->release(p.frame.data, 2 * bench.pixels);
    spk_device_release(bench.gpu.device, &p.raw.data);
    spk_device_release(bench.gpu.device, (void **)&p.image[1]);
    spk_device_release(bench.gpu.device, (void **)&p.mask[1]);
    free(p.image[0]);
    free(p.mask[0]);
}

struct umpa {
    struct spk_umpa *here;
    struct spk_umpa_device *there;
    struct spk_umpa_maps maps[2];
};

static void umpa_there(void *context)
{
    struct umpa *u = context;
    spk_umpa_device_process(u->there, &bench.half[1], &u->maps[1], NULL);
}

static void umpa_reference_there(void *context)
{
    struct umpa *u = context;
    spk_umpa_device_reference(u->there, &bench.half[0], NULL);
}

static void umpa_here(void *context)
{
    struct umpa *u = context;
    spk_umpa_process(u->here, &bench.here[1], &u->maps[0], NULL);
}

static void take_maps(struct spk_umpa_maps *maps, bool there, bool release)
{
    float **map[] = {&maps->transmission,   &maps->dark_field, &maps->displacement_x,
                     &maps->displacement_y, &maps->quality,    &maps->error};
    for (size_t i = 0; i <= sizeof map / sizeof map[0]; i++) {
        void **address = i < sizeof map / sizeof map[0] ? (void **)map[i] : (void **)&maps->valid;
        size_t bytes = bench.pixels * (i < sizeof map / sizeof map[0] ? sizeof(float) : 1);
        if (release && there)
            spk_device_release(bench.gpu.device, address);
        else if (release)
            free(*address);
        else
            *address = there ? gpu_memory(&bench.gpu, NULL, bytes) : malloc(bytes);
    }
}

/* Operations a pixel: the search (products over frames, two windows a shift, the fit), and passes of refinement (interpolation
 * and moments over frames, windows over 15 planes, solves). */
static double umpa_flops(int shift, int radius, int passes)
{
    double shifts = (2 * shift + 1) * (2 * shift + 1), frames = bench.frames;
    double search = shifts * (2 * frames + 2 * 2 * 2 * (2 * radius + 1) + 20);
    double pass = frames * (2 * (2 * 16 + 12) + 40) + 15 * 2 * 2 * (3 + 3 + 5) * 1.4 + 8 * 150;
    return (search + passes * pass) * (double)bench.pixels;
}

/* Bytes that the refinement of the whole field cannot do without: in a step of its solver 21 planes for the system, 24 for the step
 * itself, 22 for the preconditioner's finest level and 12 for the next direction; in an iteration the stacks once and the equations and
 * weights. */
static double field_bytes(const struct spk_global_report *report)
{
    const double iteration = 2.0 * bench.frames + 100, step = 21 + 24 + 22 + 12;
    return 4 * (double)bench.pixels * (report->iterations * iteration + report->inner * step);
}

static void bench_umpa(const char *name, const char *reference_name, int window, int shift,
                       enum spk_umpa_quality quality)
{
    const struct spk_umpa_config config = {.window = window,
                                           .max_shift = shift,
                                           .dark_field = true,
                                           .quality = quality,
                                           .refine = SPK_UMPA_GLOBAL,
                                           .passes = 2,
                                           .mean_width = 12,
                                           .deadline_ms = 1};
    struct spk_error error = {0};
    struct umpa u = {0};
    REQUIRE(!spk_umpa_device_create(&u.there, &config, bench.frames, bench.size, bench.size, true,
                                    bench.gpu.device, bench.gpu.stream, &error),
            "%s", error.text);
    take_maps(&u.maps[0], false, false);
    take_maps(&u.maps[1], true, false);
    double frames = bench.frames, pixels = (double)bench.pixels;
    if (reference_name)
        bench_row(reference_name, bench_there(umpa_reference_there, &u), (3 * 2 * frames + 8 * 4) * pixels,
                  0);
    else
        REQUIRE(!spk_umpa_device_reference(u.there, &bench.half[0], &error), "%s", error.text);
    struct row *row = bench_row(name, bench_there(umpa_there, &u), (2 * 2 * frames + 7 * 4) * pixels,
                                umpa_flops(shift, window ? window : 2, 2));
    const struct spk_global_report report = spk_umpa_device_report(u.there);
    row->bytes += field_bytes(&report);
    if (!bench.plain) {
        REQUIRE(!spk_umpa_create(&u.here, &config, bench.frames, bench.size, bench.size, bench.team, NULL,
                                 spk_isa_best(), &error) &&
                    !spk_umpa_reference(u.here, &bench.here[0], &error),
                "%s", error.text);
        bench_here(row, umpa_here, &u);
        spk_umpa_destroy(&u.here);
    }
    take_maps(&u.maps[0], false, true);
    take_maps(&u.maps[1], true, true);
    spk_umpa_device_destroy(&u.there);
}

#if defined(BENCH_INTEGRATE)
struct integrate {
    struct spk_integrate *here;
    struct spk_integrate_device *there;
    const float *slope[2];
    float *phase[2];
    uint8_t *valid[2];
};

/* A hole so large that the masked method takes the steps it is given. */
static bool in_hole(unsigned x, unsigned y)
{
    return x > bench.size / 4 && x < bench.size / 2 && y > bench.size / 4 && y < 2 * bench.size / 3;
}

static void integrate_there(void *context)
{
    struct integrate *s = context;
    spk_integrate_device_run(s->there, s->slope[1], s->slope[1], s->valid[1], 1, s->phase[1], NULL);
}

static void integrate_here(void *context)
{
    struct integrate *s = context;
    spk_integrate_run(s->here, s->slope[0], s->slope[0], s->valid[0], 1, s->phase[0]);
}

/* Bytes and operations a pixel: of every method, maps in and out; of a transform of a real map, whose axes have the map between them; of a
 * step of the masked method beside its two transforms: residual, direction and potential in and out, what was solved in. */
enum { METHOD_BYTES = 13, METHOD_FLOPS = 60, SPECTRUM_BYTES = 8, STEP_BYTES = 28, STEP_FLOPS = 40 };

static void bench_method(const char *name, enum spk_integrate_method method, unsigned transforms,
                         unsigned steps)
{
    const struct spk_integrate_config config = {.method = method, .iterations = steps};
    struct spk_error error = {0};
    struct integrate s = {.slope = {bench.here[0].data, bench.there[0].data}};
    s.valid[0] = malloc(bench.pixels);
    s.phase[0] = malloc(bench.pixels * sizeof(float));
    REQUIRE(s.valid[0] && s.phase[0], "no memory");
    for (size_t i = 0; i < bench.pixels; i++)
        s.valid[0][i] = steps == 0 || !in_hole((unsigned)(i % bench.size), (unsigned)(i / bench.size));
    s.valid[1] = gpu_memory(&bench.gpu, s.valid[0], bench.pixels);
    s.phase[1] = gpu_memory(&bench.gpu, NULL, bench.pixels * sizeof(float));
    REQUIRE(!spk_integrate_device_create(&s.there, &config, bench.size, bench.size, bench.gpu.device,
                                         bench.gpu.stream, &error) &&
                !spk_integrate_create(&s.here, &config, bench.size, bench.size, bench.team, NULL, &error),
            "%s", error.text);
    const double pixels = (double)bench.pixels, every = transforms + 2 * steps;
    struct row *row = bench_row(name, bench_there(integrate_there, &s),
                                (METHOD_BYTES + every * SPECTRUM_BYTES + steps * STEP_BYTES) * pixels,
                                (every * 2.5 * log2(pixels) + METHOD_FLOPS + steps * STEP_FLOPS) * pixels);
    bench_here(row, integrate_here, &s);
    spk_integrate_device_destroy(&s.there);
    spk_integrate_destroy(&s.here);
    free(s.valid[0]);
    free(s.phase[0]);
    spk_device_release(bench.gpu.device, (void **)&s.valid[1]);
    spk_device_release(bench.gpu.device, (void **)&s.phase[1]);
}

static void bench_integrate(void)
{
    bench_method("phase (dct)", SPK_INTEGRATE_DCT, 2, 0);
    bench_method("phase (fc_antisymmetric)", SPK_INTEGRATE_FC_ANTISYMMETRIC, 3, 0);
    bench_method("phase (fc)", SPK_INTEGRATE_FC, 3, 0);
    bench_method("phase (masked, 4 steps)", SPK_INTEGRATE_MASKED, 2, 4);
}
#else
static void bench_integrate(void)
{
}
#endif

/* Milliseconds below which no implementation of this row can stay on this device; 0 = the device does not say. */
static double roofline(const struct row *row)
{
    const struct spk_device_info *info = spk_device_facts(bench.gpu.device);
    double bytes = info->bandwidth ? 1e3 * row->bytes / (double)info->bandwidth : 0;
    double peak = (double)info->flops * (row->tensor ? 16 : 1);
    double flops = peak > 0 ? 1e3 * row->flops / peak : 0;
    return bytes > flops ? bytes : flops;
}

static void print_table(void)
{
    printf("\n%u frames of %u x %u on %s; here: this machine's processor, %u threads\n\n", bench.frames,
           bench.size, bench.size, spk_device_facts(bench.gpu.device)->name, spk_team_size(bench.team));
    printf("| operation | ms | GB | bytes a pixel | GFLOP | of the roofline | here, ms wall / processor "
           "|\n|---|---|---|---|---|---|---|\n");
    for (unsigned i = 0; i < bench.rows; i++) {
        const struct row *r = &bench.row[i];
        printf("| %s | %.3f | %.3f | %.0f | %.2f | %.0f %% | %.1f / %.1f |\n", r->name, r->ms,
               1e-9 * r->bytes, r->bytes / (double)bench.pixels, 1e-9 * r->flops,
               r->ms > 0 ? 100 * roofline(r) / r->ms : 0, r->here_ms, r->here_cpu_ms);
    }
}

static void write_json(const char *path)
{
    const struct spk_device_info *info = spk_device_facts(bench.gpu.device);
    FILE *file = fopen(path, "w");
    REQUIRE(file, "cannot write %s", path);
    fprintf(file,
            "{\"device\": \"%s\", \"memory_bytes\": %llu, \"bandwidth_bytes_s\": %llu, \"flops\": %llu,\n",
            info->name, (unsigned long long)info->memory, (unsigned long long)info->bandwidth,
            (unsigned long long)info->flops);
    fprintf(file, " \"frames\": %u, \"size\": %u, \"repeats\": %u, \"rows\": [", bench.frames, bench.size,
            bench.repeats);
    for (unsigned i = 0; i < bench.rows; i++) {
        const struct row *r = &bench.row[i];
        fprintf(
            file,
            "%s\n  {\"name\": \"%s\", \"ms\": %.4f, \"bytes\": %.0f, \"flops\": %.0f, \"roofline_ms\": %.4f, "
            "\"processor_wall_ms\": %.2f, \"processor_cpu_ms\": %.2f}",
            i ? "," : "", r->name, r->ms, r->bytes, r->flops, roofline(r), r->here_ms, r->here_cpu_ms);
    }
    fprintf(file, "\n]}\n");
    REQUIRE(fclose(file) == 0, "cannot write %s", path);
}

int main(int argc, char **argv)
{
    struct spk_error error = {0};
    const char *json = argc > 3 ? argv[3] : NULL;
    bench.size = argc > 1 ? (unsigned)atoi(argv[1]) : 2048;
    bench.frames = argc > 2 ? (unsigned)atoi(argv[2]) : 20;
    bench.plain = argc > 4 && strcmp(argv[4], "plain") == 0;
    bench.repeats = bench.plain ? 1 : 20;
    REQUIRE(bench.size > 0 && bench.frames > 0, "usage: bench_gpu [SIZE [FRAMES [FILE.json [plain]]]]");
    bench.pixels = (size_t)bench.size * bench.size;
    gpu_open(&bench.gpu);
    for (int i = 0; i < 2; i++)
        bench.stack[i] = malloc(bench.frames * bench.pixels * sizeof(float));
    REQUIRE(bench.stack[0] && bench.stack[1], "no memory");
    REQUIRE(!spk_team_create(&bench.team, 0, &error), "%s", error.text);
    REQUIRE(!spk_event_create(bench.gpu.device, &bench.begin, &error) &&
                !spk_event_create(bench.gpu.device, &bench.end, &error),
            "%s", error.text);
    fill_scene();
    make_stacks();
    /* raw, dark and marks in; image and marks out; normalised, the image twice more in and once out */
    bench_prep("correction of a frame", SPK_PREP_NORMALISE_NONE, 12);
    bench_prep("correction, normalise: mean", SPK_PREP_NORMALISE_MEAN, 24);
    bench_umpa("matching, +-4 px", "reference of the matching", 0, 4, SPK_UMPA_LIVE);
    if (!bench.plain) {
        bench_umpa("matching, +-4 px, quality: best", NULL, 0, 4, SPK_UMPA_BEST);
        bench_umpa("matching, +-10 px", NULL, 0, 10, SPK_UMPA_LIVE);
        bench_umpa("matching, +-4 px, window 2", NULL, 2, 4, SPK_UMPA_LIVE);
    }
    bench_lane();
    bench_trackers();
    bench_networks();
    bench_integrate();
    print_table();
    if (json)
        write_json(json);
    for (int i = 0; i < 2; i++) {
        spk_device_release(bench.gpu.device, (void **)&bench.there[i].data);
        spk_device_release(bench.gpu.device, (void **)&bench.half[i].half);
        spk_device_release(bench.gpu.device, (void **)&bench.there[i].mask);
        free(bench.here[i].mask);
        free(bench.here[i].present);
        free(bench.stack[i]);
    }
    spk_event_destroy(&bench.begin);
    spk_event_destroy(&bench.end);
    spk_team_destroy(&bench.team);
    gpu_close(&bench.gpu);
    return test_end();
}
