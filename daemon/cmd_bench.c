/* `speckled bench`: the tables of figures. */
#include "arguments.h"
#include "bench_run.h"
#include "find_plugin.h"

#include <speckled/team.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PLUGINS_MAX = 128, OVERHEAD_COUNT = 5, OVERHEAD_SIZE = 512 };

struct settings {
    int64_t size, count, threads;
    const char *device;
    double seconds;
    struct spk_texts methods;
};

static const char *instruction_set(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return "AVX-512";
    return __builtin_cpu_supports("avx2") ? "AVX2" : "SSE2";
#elif defined(__aarch64__)
    return "NEON";
#else
    return "plain C";
#endif
}

static void print_machine(void)
{
    printf("machine: %u processors, %s; build: " SPECKLED_BUILD_TYPE "\n"
           "Wall times on a shared machine are noise: read CPU times and ratios.\n",
           spk_team_processors(), instruction_set());
}

/* As many stacks as take about `seconds`, judged by a first run. */
static uint64_t stacks_for(double seconds, double seconds_each)
{
    double stacks = seconds / fmax(seconds_each, 1e-6);
    return (uint64_t)fmin(fmax(stacks, 2), 100000);
}

/* Costs of one map set are differences between a long and a short run: set-up and reference cancel. */
static spk_status bench_method(const struct settings *settings, const struct spk_bench_scene *scene,
                               const char *method, struct spk_error *error)
{
    struct spk_bench_case bench = {.scene = scene,
                                   .method = method,
                                   .device = settings->device,
                                   .stacks = 1,
                                   .threads = settings->threads};
    struct spk_bench_outcome first, many;
    spk_status status = spk_bench_run(&bench, &first, error);
    if (status)
        return status;
    bench.stacks = 1 + stacks_for(settings->seconds, first.wall_s / 2);
    status = spk_bench_run(&bench, &many, error);
    if (status)
        return status;
    double more = (double)(many.results - first.results);
    double wall = (many.wall_s - first.wall_s) / more, cpu = (many.cpu_s - first.cpu_s) / more;
    double pixels = (double)scene->height * scene->width;
    printf("  %-20s %7llu %11.2f %11.3f %13.2f %12.2f %15.3f %14.4f\n", method,
           (unsigned long long)many.results, 1 / wall, pixels / wall * 1e-6, wall * 1e3, cpu * 1e3,
           cpu / pixels * 1e6, many.error_px);
    return SPK_OK;
}

static spk_status bench_named_methods(const struct settings *settings, const struct spk_bench_scene *scene,
                                      struct spk_error *error)
{
    spk_status status = SPK_OK;
    for (size_t i = 0; i < settings->methods.count && !status; i++) {
        char name[SPK_STRING_SIZE];
        const char *given = settings->methods.value[i];
        snprintf(name, sizeof name, "%s%s", strncmp(given, "recon_", 6) == 0 ? "" : "recon_", given);
        status = bench_method(settings, scene, name, error);
    }
    return status;
}

static spk_status bench_all_methods(const struct settings *settings, const struct spk_bench_scene *scene,
                                    struct spk_error *error)
{
    const struct spk_plugin *plugin;
    char(*names)[SPK_STRING_SIZE] = calloc(PLUGINS_MAX, sizeof *names);
    size_t count = names ? spk_plugin_list(names, PLUGINS_MAX) : 0;
    spk_status status = SPK_OK;
    for (size_t i = 0; i < count && !status; i++) {
        if (strncmp(names[i], "recon_", 6) != 0)
            continue;
        status = spk_plugin_find(names[i], &plugin, error);
        if (!status)
            status = bench_method(settings, scene, names[i], error);
        if (status == SPK_UNSUPPORTED || status == SPK_INVALID) { /* not here; or an option has no default */
            printf("  %s\n", error->text);
            status = SPK_OK;
        }
    }
    free(names);
    return status;
}

static spk_status bench_methods(const struct settings *settings, struct spk_error *error)
{
    struct spk_bench_scene scene;
    uint32_t size = (uint32_t)settings->size, count = (uint32_t)settings->count;
    spk_status status = spk_bench_scene_make(&scene, count, size, size, error);
    if (status)
        return status;
    printf(
        "\nreconstruction, %u frames of %u x %u uint16 a map set, through the whole pipeline from memory\n",
        count, size, size);
    printf("  %-20s %7s %11s %11s %13s %12s %15s %14s\n", "method", "sets", "sets/s", "Mpixel/s",
           "wall ms/set", "CPU ms/set", "CPU us/pixel", "RMS error px");
    status = settings->methods.count ? bench_named_methods(settings, &scene, error)
                                     : bench_all_methods(settings, &scene, error);
    spk_bench_scene_free(&scene);
    return status;
}

/* Without reconstruction: what the service itself costs, first at a calm rate, then as fast as it goes. */
static spk_status bench_service(const struct settings *settings, struct spk_error *error)
{
    static const double rates_hz[] = {100, 500};
    struct spk_bench_scene scene;
    struct spk_bench_outcome outcome;
    spk_status status = spk_bench_scene_make(&scene, OVERHEAD_COUNT, OVERHEAD_SIZE, OVERHEAD_SIZE, error);
    if (status)
        return status;
    printf("\nservice without reconstruction, stacks of %d frames of %d x %d uint16: last frame to "
           "publication\n",
           OVERHEAD_COUNT, OVERHEAD_SIZE, OVERHEAD_SIZE);
    printf("  %-20s %7s %11s %11s %11s %15s\n", "frames/s", "sets", "p50 us", "p99 us", "max us",
           "CPU us/frame");
    for (size_t i = 0; i < sizeof rates_hz / sizeof *rates_hz && !status; i++) {
        struct spk_bench_case bench = {&scene, .rate_hz = rates_hz[i], .threads = settings->threads,
                                       .stacks = stacks_for(settings->seconds, OVERHEAD_COUNT / rates_hz[i])};
        status = spk_bench_run(&bench, &outcome, error);
        if (!status)
            printf("  %-20.0f %7llu %11.0f %11.0f %11.0f %15.0f\n", rates_hz[i],
                   (unsigned long long)outcome.results, outcome.latency_p50_s * 1e6,
                   outcome.latency_p99_s * 1e6, outcome.latency_max_s * 1e6,
                   outcome.cpu_s * 1e6 / (double)((bench.stacks + 1) * OVERHEAD_COUNT));
    }
    struct spk_bench_case fast = {&scene, .threads = settings->threads, .stacks = 200};
    if (!status && !(status = spk_bench_run(&fast, &outcome, error))) {
        double frames = (double)((fast.stacks + 1) * OVERHEAD_COUNT);
        printf("  as fast as it goes: %.0f frames/s, %.2f GB/s, %.0f us of CPU a frame\n",
               frames / outcome.wall_s, frames * OVERHEAD_SIZE * OVERHEAD_SIZE * 2 / outcome.wall_s * 1e-9,
               outcome.cpu_s * 1e6 / frames);
    }
    spk_bench_scene_free(&scene);
    return status;
}

/* <folder of this program>/../libexec/speckled/bench_ingest: the same in the build tree and in an installation. */
static bool ingest_program(char path[PATH_MAX])
{
    char self[PATH_MAX - 64];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size <= 0)
        return false;
    self[size] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, PATH_MAX, "%s/../libexec/speckled/bench_ingest", self);
    return access(path, X_OK) == 0;
}

/* The ingest benchmark links ZeroMQ, which the program does not: a process of its own. */
static spk_status bench_ingest(const struct settings *settings, struct spk_error *error)
{
    char path[PATH_MAX], seconds[32];
    int code = 0;
    puts("\nZeroMQ ingest into frames, against a bare libzmq receive loop in the same run");
    if (!ingest_program(path)) {
        puts("  not built: it needs libzmq and the tests (SPECKLED_TESTS)");
        return SPK_OK;
    }
    snprintf(seconds, sizeof seconds, "%g", settings->seconds);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, "--seconds", seconds, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &code, 0) < 0)
        return spk_fail(error, SPK_IO, "cannot run %s: %s", path, strerror(errno));
    return code ? spk_fail(error, SPK_IO, "%s failed", path) : SPK_OK;
}

static int print_tables(const struct settings *settings)
{
    struct spk_error error = {0};
    spk_log_set_level(SPK_LOG_WARNING);
    print_machine();
    fflush(stdout);
    if (bench_methods(settings, &error) || bench_service(settings, &error) || bench_ingest(settings, &error))
        return spk_command_fail("bench", &error);
    return COMMAND_OK;
}

static int run(int argc, char **argv)
{
    struct settings settings = {.size = 1024, .count = 20, .seconds = 3};
    const struct spk_argument table[] = {
        {.name = "method",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &settings.methods,
         .placeholder = "NAME",
         .help = "reconstruction to measure; may be repeated (default: all)"},
        {.name = "size",
         .type = SPK_ARGUMENT_INT,
         .value = &settings.size,
         .placeholder = "PIXELS",
         .minimum = 64,
         .maximum = 8192,
         .help = "edge of the frames that are reconstructed (1024)"},
        {.name = "count",
         .type = SPK_ARGUMENT_INT,
         .value = &settings.count,
         .placeholder = "N",
         .minimum = 1,
         .maximum = 128,
         .help = "frames of a map set (20)"},
        {.name = "threads",
         .type = SPK_ARGUMENT_INT,
         .value = &settings.threads,
         .placeholder = "N",
         .maximum = 256,
         .help = "threads of the lane; 0: one for each processor (0)"},
        {.name = "device",
         .type = SPK_ARGUMENT_TEXT,
         .value = &settings.device,
         .placeholder = "NAME",
         .help =
             "where the reconstructions run, with prep_dark_flat before them: cuda, cuda:1 (the processor)"},
        {.name = "seconds",
         .type = SPK_ARGUMENT_FLOAT,
         .value = &settings.seconds,
         .placeholder = "S",
         .minimum = 0.1,
         .maximum = 3600,
         .help = "about how long each row runs (3)"},
        {.name = NULL},
    };
    const struct spk_usage usage = {
        .command = "bench",
        .synopsis =
            "[--method NAME ...] [--size PIXELS] [--count N] [--threads N] [--device NAME] [--seconds S]",
        .text = "Measures, in this order: the reconstructions, with the error of their displacement against "
                "the known\n"
                "one; what the service costs without any; ZeroMQ ingest against a bare libzmq loop. A map "
                "set is the\n"
                "maps made of one stack. Nothing is read or written but memory and the loopback network.",
        .examples = "  speckled bench\n"
                    "  speckled bench --method umpa --size 2048 --count 20 --threads 1",
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, NULL);
    return code == SPK_ARGUMENTS_GO_ON ? print_tables(&settings) : code;
}

const struct command cmd_bench = {"bench", "measure this machine: reconstruction, service, ingest", run};
