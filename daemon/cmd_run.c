/* `speckled run`: the service. */
#include "arguments.h"
#include "configuration.h"
#include "notify.h"
#include "report.h"

#include <speckled/clock.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100 };

/* A service that runs. */
struct service {
    const struct spk_configuration *configuration;
    struct spk_pipeline *pipeline;
    sigset_t signals;
    bool on_terminal; /* as it began: one that hung up is none any more */
    int64_t status_ns, next_status_ns;
    int64_t watchdog_ns, next_watchdog_ns;
};

/* Signals are taken between two ticks; the threads of the pipeline, made later, never see them. A shell starts background
 * processes with SIGINT ignored, hence the explicit defaults. */
static void take_signals(sigset_t *signals)
{
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(signals);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        signal(taken[i], SIG_DFL);
        sigaddset(signals, taken[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size fails the sink that meets it */
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* Until the service runs there is nothing to finish, and a source may compute for minutes: a signal ends the process, as it was told. */
static void *leave_on_signal(void *nothing)
{
    int number = 0;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigwait(&signals, &number))
        return nothing;
    fprintf(stderr, "speckled run: %s before the service ran\n", strsignal(number));
    _exit(COMMAND_OK);
}

static spk_status start(struct service *service, struct spk_error *error)
{
    pthread_t early;
    bool watched = pthread_create(&early, NULL, leave_on_signal, NULL) == 0;
    spk_status status = spk_pipeline_create(&service->pipeline, &service->configuration->graph, error);
    if (!status)
        status = spk_pipeline_start(service->pipeline, error);
    if (watched) {
        pthread_cancel(early);
        pthread_join(early, NULL);
    }
    return status;
}

/* True when a signal asks to stop. On a terminal a hang-up does. */
static bool asked_to_stop(const struct service *service)
{
    const struct timespec now = {0};
    int number = sigtimedwait(&service->signals, NULL, &now);
    if (number == SIGHUP && !service->on_terminal) {
        spk_log(SPK_LOG_WARNING, service->configuration->service.name,
                "SIGHUP: a new configuration needs a restart");
        return false;
    }
    if (number > 0)
        spk_log(SPK_LOG_INFO, service->configuration->service.name,
                "%s: stopping; a second signal ends the process at once", strsignal(number));
    return number > 0;
}

static void print_status(struct service *service, int64_t now)
{
    char clock[16];
    struct spk_stats stats;
    struct tm local;
    time_t seconds = time(NULL);
    service->next_status_ns = now + service->status_ns;
    spk_pipeline_stats(service->pipeline, &stats);
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&seconds, &local));
    printf("%s ", clock);
    spk_report_status(stdout, &stats);
    fflush(stdout);
}

static void tick(struct service *service)
{
    int64_t now = spk_clock_monotonic_ns();
    if (service->watchdog_ns && now >= service->next_watchdog_ns) {
        service->next_watchdog_ns = now + service->watchdog_ns;
        spk_notify("WATCHDOG=1");
    }
    if (service->status_ns && now >= service->next_status_ns)
        print_status(service, now);
}

/* Runs until the input ends, something final fails, or a signal comes. */
static spk_status serve(struct service *service, struct spk_error *error)
{
    int64_t now = spk_clock_monotonic_ns();
    service->next_status_ns = now + service->status_ns;
    service->next_watchdog_ns = now;
    for (;;) {
        spk_status status = spk_pipeline_wait(service->pipeline, TICK_MS, error);
        if (status != SPK_AGAIN)
            return status == SPK_END ? SPK_OK : status;
        if (asked_to_stop(service))
            return SPK_OK;
        tick(service);
    }
}

/* Stops and prints the account. From here on a signal has its usual effect: it ends the process. Not SIGHUP: a terminal that is
 * closed may send it twice. */
static int finish(struct service *service, spk_status status, const struct spk_error *error)
{
    struct spk_stats stats;
    sigdelset(&service->signals, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &service->signals, NULL);
    spk_notify("STOPPING=1");
    spk_pipeline_stop(service->pipeline);
    spk_pipeline_stats(service->pipeline, &stats);
    bool adds_up = spk_report_account(stdout, &stats);
    if (status)
        return spk_command_fail("run", error);
    return adds_up ? COMMAND_OK : COMMAND_FAILURE;
}

static int run_service(const struct spk_configuration *configuration, double status_interval_s)
{
    struct spk_error error = {0};
    struct service service = {.configuration = configuration,
                              .on_terminal = isatty(STDIN_FILENO),
                              .status_ns = (int64_t)(status_interval_s * 1e9),
                              .watchdog_ns = spk_notify_watchdog_ns()};
    spk_log_set_level((enum spk_log_level)configuration->service.log_level);
    take_signals(&service.signals);
    int code = COMMAND_FAILURE;
    if (start(&service, &error)) {
        spk_command_fail("run", &error);
    } else {
        spk_log(SPK_LOG_INFO, configuration->service.name, "running; Ctrl-C stops");
        spk_notify("READY=1\nSTATUS=running");
        spk_status status = serve(&service, &error);
        code = finish(&service, status, &error);
    }
    spk_pipeline_destroy(&service.pipeline);
    return code;
}

static int load_and_run(const char *path, const struct spk_texts *settings, double status_interval_s)
{
    struct spk_problems problems = {0};
    struct spk_configuration *configuration;
    spk_status status =
        spk_configuration_load_to_run(&configuration, path, settings->value, settings->count, &problems);
    if (status) {
        spk_problems_print(&problems, path, path, stderr);
        spk_problems_clear(&problems);
        return status == SPK_INVALID ? COMMAND_USAGE : COMMAND_FAILURE;
    }
    if (status_interval_s < 0)
        status_interval_s = configuration->service.status_interval_s;
    int code = run_service(configuration, status_interval_s);
    spk_configuration_destroy(&configuration);
    return code;
}

static int run(int argc, char **argv)
{
    const char *path = NULL;
    struct spk_texts settings = {0};
    double status_interval_s = -1;
    const struct spk_argument table[] = {
        {.name = "config",
         .letter = 'c',
         .type = SPK_ARGUMENT_TEXT,
         .value = &path,
         .placeholder = "FILE",
         .required = true,
         .help = "the configuration"},
        {.name = "set",
         .type = SPK_ARGUMENT_TEXTS,
         .value = &settings,
         .placeholder = "KEY=VALUE",
         .help = "changes one value: section.key=value, plugin.key=value or key=value; may be repeated"},
        {.name = "status-interval",
         .type = SPK_ARGUMENT_FLOAT,
         .value = &status_interval_s,
         .placeholder = "SECONDS",
         .maximum = 86400,
         .help = "prints a status line so often; 0: never (default: service.status_interval_s)"},
        {.name = NULL},
    };
    const struct spk_usage usage = {
        .command = "run",
        .synopsis = "-c FILE [--set KEY=VALUE ...] [--status-interval SECONDS]",
        .text =
            "Runs the service until its input ends or it is told to stop: Ctrl-C or SIGTERM lets complete "
            "stacks\n"
            "finish and closes files; a second one ends the process at once. At the end it prints the "
            "account:\n"
            "received = published + dropped + rejected + in flight. Exit code 0: ended cleanly; 1: failed;\n"
            "2: the configuration is wrong.",
        .examples = "  speckled run -c config/demo.yaml\n"
                    "  speckled run -c config/demo.yaml --status-interval 2 --set recon_umpa.window=2",
    };
    int code = spk_arguments_parse(&usage, table, argc, argv, NULL);
    return code == SPK_ARGUMENTS_GO_ON ? load_and_run(path, &settings, status_interval_s) : code;
}

const struct command cmd_run = {"run", "run the service", run};
