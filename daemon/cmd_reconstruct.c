/* `speckled reconstruct`: maps from recorded files, with the engine of the service. */
#include "offline.h"
#include "progress.h"
#include "report.h"

#include <speckled/clock.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

enum { TICK_MS = 50 };

struct job {
    const struct spk_offline *offline;
    struct spk_pipeline *pipeline;
    struct spk_source_info info;
    struct spk_stats stats;
    sigset_t signals;
    double seconds;
};

static void take_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size is a failure to write, not a reason to die */
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static uint64_t maps_expected(const struct spk_source_info *info)
{
    uint64_t before = info->darks + info->flats + info->references;
    return info->format.count && info->frames > before ? (info->frames - before) / info->format.count : 1;
}

static void show_progress(const struct job *job, struct spk_progress *progress)
{
    const struct spk_stats *stats = &job->stats;
    uint64_t maps = maps_expected(&job->info);
    char text[128];
    snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64 " frames, %" PRIu64 " map set%s", stats->received,
             job->info.frames, stats->results, stats->results == 1 ? "" : "s");
    if (maps > 1)
        spk_progress_show(progress, spk_stats_published(stats), job->info.frames, text);
    else
        spk_progress_show(progress, stats->received, job->info.frames, text);
}

/* The first sink that failed, or NULL. */
static const struct spk_sink_stats *failed_sink(const struct spk_stats *stats)
{
    for (uint32_t i = 0; i < stats->sinks && i < SPK_SINKS_MAX; i++)
        if (stats->sink[i].failed || stats->sink[i].dropped)
            return &stats->sink[i];
    return NULL;
}

/* Until the input is worked off. Waiting for the rest is of no use once a map could not be written. */
static spk_status follow(struct job *job, struct spk_error *error)
{
    struct spk_progress progress;
    const struct timespec now = {0};
    spk_status status;
    spk_progress_begin(&progress, stderr);
    while ((status = spk_pipeline_wait(job->pipeline, TICK_MS, error)) == SPK_AGAIN) {
        spk_pipeline_stats(job->pipeline, &job->stats);
        show_progress(job, &progress);
        if (failed_sink(&job->stats))
            break;
        if (sigtimedwait(&job->signals, NULL, &now) > 0) {
            status =
                spk_fail(error, SPK_STATE, "interrupted; %s holds what was finished", job->offline->output);
            break;
        }
    }
    spk_progress_end(&progress);
    return status < 0 ? status : SPK_OK;
}

static spk_status judge(const struct job *job, struct spk_error *error)
{
    const struct spk_sink_stats *sink = failed_sink(&job->stats);
    if (sink)
        return spk_fail(error, SPK_IO, "%s", *sink->message ? sink->message : "a map could not be written");
    if (job->stats.results == 0)
        return spk_fail(error, SPK_INVALID, "no map set was made%s%s", *job->stats.message ? ": " : "",
                        job->stats.message);
    if (spk_stats_dropped(&job->stats) + spk_stats_rejected(&job->stats))
        return spk_fail(error, SPK_INVALID, "frames were lost, %s is incomplete", job->offline->output);
    return SPK_OK;
}

/* Maps of which nothing can be used are no success, though they are written. */
static spk_status check_pixels(const struct job *job, struct spk_error *error)
{
    if (job->stats.valid_pixels)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID,
                    "no pixel of %s is valid: all are unlit, saturated, masked or without a match; look at "
                    "the images, the dark and the flat",
                    job->offline->output);
}

static void print_summary(const struct job *job)
{
    const struct spk_stats *stats = &job->stats;
    const struct spk_format *format = &job->info.format;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    printf("%s: %" PRIu64 " map set%s from %" PRIu64 " frames of %" PRIu32 " x %" PRIu32
           " in %.2f s; %.3g %% of pixels valid; frames: received %" PRIu64 " = published %" PRIu64
           "; peak memory %.0f MB\n",
           job->offline->output, stats->results, stats->results == 1 ? "" : "s", stats->received,
           format->height, format->width, job->seconds, 100 * spk_stats_valid_fraction(stats),
           stats->received, spk_stats_published(stats), 1024e-6 * (double)usage.ru_maxrss);
}

static int run_graph(struct job *job, const struct spk_configuration *configuration)
{
    struct spk_error error = {0};
    int64_t begin = spk_clock_monotonic_ns();
    spk_status status = spk_pipeline_create(&job->pipeline, &configuration->graph, &error);
    if (!status)
        status = spk_pipeline_start(job->pipeline, &error);
    if (!status) {
        status = follow(job, &error);
        spk_pipeline_stop(job->pipeline);
        spk_pipeline_stats(job->pipeline, &job->stats);
    }
    spk_pipeline_destroy(&job->pipeline); /* closes the files */
    job->seconds = (double)(spk_clock_monotonic_ns() - begin) / 1e9;
    if (!status)
        status = judge(job, &error);
    if (!status) {
        print_summary(job);
        status = check_pixels(job, &error);
    } else if (job->stats.received) {
        spk_report_account(stderr, &job->stats);
    }
    return status ? spk_command_fail("reconstruct", &error) : COMMAND_OK;
}

/* Prints what is wrong; `elsewhere` stands before what has no place in a file. */
static int refuse(const struct spk_offline *offline, const char *elsewhere, struct spk_problems *problems,
                  const struct spk_error *error, spk_status status)
{
    spk_problems_print(problems, offline->config, elsewhere, stderr);
    spk_problems_clear(problems);
    if (error->status)
        spk_command_fail("reconstruct", error);
    return status == SPK_INVALID ? COMMAND_USAGE : COMMAND_FAILURE;
}

static int reconstruct(const struct spk_offline *offline)
{
    struct job job = {.offline = offline};
    struct spk_problems problems = {0};
    struct spk_configuration *configuration = NULL;
    struct spk_error error = {0};
    spk_status status = SPK_OK;
    char remark[SPK_ERROR_TEXT];
    take_signals(&job.signals);
    spk_log_set_level(SPK_LOG_WARNING);
    if (offline->config)
        status = spk_configuration_load(&configuration, offline->config, NULL, 0, &problems);
    if (status)
        return refuse(offline, offline->config, &problems, &error, status);
    status = spk_offline_build(&configuration, offline, &job.info, remark, &problems, &error);
    if (status)
        return refuse(offline, "speckled reconstruct", &problems, &error, status);
    if (*remark)
        fprintf(stderr, "speckled reconstruct: %s\n", remark);
    int code = run_graph(&job, configuration);
    spk_configuration_destroy(&configuration);
    return code;
}

static const struct spk_usage usage = {
    .command = "reconstruct",
    .synopsis = "[FILE] [--reference F] [--sample F] [--dark F] [--flat F] -o OUT.h5 [--set KEY=VALUE ...]",
    .text = "Reconstructs recorded images with the engine of the service. FILE holds everything under the\n"
            "usual names (/reference or /ref, /sample, /dark, /flat), or the parts are named one by one.\n"
            "The phase needs energy_kev, pixel_size_m and distance_m, from attributes of the files or "
            "--set.\n"
            "Exit code 0: all maps written; 1: failed, or no pixel is valid; 2: wrong usage or unusable "
            "files.",
    .examples = "  speckled reconstruct scan.h5 -o maps.h5\n"
                "  speckled reconstruct --reference f.h5:/ref --sample f.h5:/sample --dark f.h5:/dark \\\n"
                "      --flat f.h5:/flat -o maps.h5 --set energy_kev=20 --set window=2 --png pictures\n"
                "  speckled reconstruct --reference 'ref_*.tif' --sample scan/ -o maps.h5",
};

/* What a table cannot check. SPK_ARGUMENTS_GO_ON, or the exit code. */
static int settle(struct spk_offline *offline, const struct spk_texts *files)
{
    if (files->count > 1)
        return spk_usage_fail(&usage,
                              "one FILE at most; name the parts by --reference, --sample, --dark, --flat");
    if (offline->config && (offline->method || offline->registered))
        return spk_usage_fail(&usage, "the stages are those of the configuration; leave out --%s or --config",
                              offline->method ? "method" : "register");
    offline->file = files->count ? files->value[0] : NULL;
    if (!offline->file && !(offline->sample && offline->reference))
        return spk_usage_fail(&usage, "which images? Give FILE, or --reference and --sample");
    return SPK_ARGUMENTS_GO_ON;
}

#define TEXT(long_name, target, what, text)                                                                  \
    {                                                                                                        \
        .name = long_name, .type = SPK_ARGUMENT_TEXT, .value = &(target), .placeholder = what, .help = text  \
    }

static int run(int argc, char **argv)
{
    struct spk_offline offline = {0};
    struct spk_texts files = {0};
    const struct spk_argument table[] = {
        TEXT("reference", offline.reference, "FILE[:/PATH]",
             "reference images: HDF5 dataset, NXtomo file or TIFFs"),
        TEXT("sample", offline.sample, "FILE[:/PATH]", "sample images, [N,H,W] or [K,N,H,W]"),
        TEXT("dark", offline.dark, "FILE[:/PATH]", "dark images"),
        TEXT("flat", offline.flat, "FILE[:/PATH]", "flat images"),
        {.name = "output",
         .letter = 'o',
         .type = SPK_ARGUMENT_TEXT,
         .value = &offline.output,
         .placeholder = "OUT.h5",
         .required = true,
         .help = "NeXus file to write"},
        {.name = "overwrite",
         .type = SPK_ARGUMENT_SWITCH,
         .value = &offline.overwrite,
         .help = "replace OUT.h5 if it exists"},
        TEXT("png", offline.pictures, "DIR", "also write a picture of each map there"),
        TEXT("method", offline.method, "NAME",
             "reconstruction method, the plugin recon_NAME (default: umpa)"),
        {.name = "register",
         .type = SPK_ARGUMENT_SWITCH,
         .value = &offline.registered,
         .help = "take out the drift of the modulator between the two scans (prep_register)"},
        {.name = "config",
         .letter = 'c',
         .type = SPK_ARGUMENT_TEXT,
         .value = &offline.config,
         .placeholder = "FILE",
         .help = "take the stages and all settings of this configuration, and only the ends from here"},
        {.name = "set",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &offline.settings,
         .placeholder = "KEY=VALUE",
         .help =
             "energy_kev, pixel_size_m, distance_m, an option of the method, or plugin.key; may be repeated"},
        {.name = NULL},
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, &files);
    if (code != SPK_ARGUMENTS_GO_ON)
        return code;
    code = settle(&offline, &files);
    return code == SPK_ARGUMENTS_GO_ON ? reconstruct(&offline) : code;
}

const struct command cmd_reconstruct = {"reconstruct", "maps from recorded files", run};
