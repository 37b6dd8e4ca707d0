/* A first look at a file from a process of its own: HDF5 and the libraries it calls crash on some damaged files. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, PROCESSOR_SECONDS = 10 };

/* In the child. Crashes are expected here: no core file, no report of a sanitizer or of the library on the terminal. */
static void attempt_and_exit(spk_status (*attempt)(void *context, struct spk_error *error), void *context,
                             int report)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    struct spk_error error = {0};
    h5_leave();
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_CPU,
              &(struct rlimit){PROCESSOR_SECONDS, PROCESSOR_SECONDS}); /* some files make it go in circles */
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO);
    spk_status status = attempt(context, &error);
    error.status = status;
    _exit(write(report, &error, sizeof error) != sizeof error);
}

/* True when the whole report came in time; a report is small enough for one write. */
static bool read_report(int report, struct spk_error *error)
{
    struct pollfd ready = {.fd = report, .events = POLLIN};
    int found;
    do {
        found = poll(&ready, 1, PATIENCE_MS);
    } while (found < 0 && errno == EINTR);
    return found > 0 && read(report, error, sizeof *error) == sizeof *error;
}

spk_status spk_h5_try(const char *name, spk_status (*attempt)(void *context, struct spk_error *error),
                      void *context, struct spk_error *error)
{
    int ends[2], status = 0;
    struct spk_error report = {0};
    if (pipe2(ends, O_CLOEXEC))
        return spk_fail(error, SPK_IO, "%s: no pipe: %s", name, strerror(errno));
    h5_enter(); /* no other thread is inside the library when its state is copied */
    pid_t child = fork();
    if (child == 0)
        attempt_and_exit(attempt, context, ends[1]);
    h5_leave();
    close(ends[1]);
    bool told = child > 0 && read_report(ends[0], &report);
    close(ends[0]);
    if (child < 0)
        return spk_fail(error, SPK_NOMEM, "%s: no process for a first look: %s", name, strerror(errno));
    if (!told)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!told)
        return spk_fail(error, SPK_IO, "%s: damaged: the library that reads it %s", name,
                        WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL ? "crashes on it"
                                                                           : "does not get through it");
    if (error && report.status < 0)
        *error = report;
    return report.status;
}
