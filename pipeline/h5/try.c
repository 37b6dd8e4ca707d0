/* A first look at a file from a process of its own: HDF5 and the libraries it calls crash on some damaged files. It is another
 * program and no copy of this one: a copy has one thread, and the locks that the others held at that moment stay taken in it. */
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <speckled/clock.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSOR_SECONDS = 10, ARGUMENTS_MAX = 8 };

enum outcome { TOLD, SILENT, LATE };

int spk_h5_look(char **argv, spk_status (*look)(char *const *arguments, struct spk_error *error))
{
    struct spk_error error = {0};
    int report = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (report < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 1;
    signal(SIGINT, SIG_IGN); /* the caller's to answer: here it would look like a crash */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    /* some files make the library go in circles */
    setrlimit(RLIMIT_CPU, &(struct rlimit){PROCESSOR_SECONDS, PROCESSOR_SECONDS + 1});
    error.status = look(argv + 1, &error);
    _exit(write(report, &error, sizeof error) != sizeof error);
}

/* <folder of this library>/speckled/look/<look>: the same in the build tree and in an installation. */
static void find_program(const char *look, char path[PATH_SIZE])
{
    Dl_info own;
    const char *file = dladdr(find_program, &own) && own.dli_fname ? own.dli_fname : "";
    const char *slash = strrchr(file, '/');
    int length = slash ? (int)(slash - file) : 1;
    if (strchr(look, '/')) {
        snprintf(path, PATH_SIZE, "%s", look);
        return;
    }
    snprintf(path, PATH_SIZE, "%.*s/speckled/look/%s", length, slash ? file : ".", look);
    if (access(path, X_OK)) /* the library is inside a program, which lies in bin, beside lib */
        snprintf(path, PATH_SIZE, "%.*s/../lib/speckled/look/%s", length, slash ? file : ".", look);
}

/* Starts the program with its report on standard output, and nothing of ours on its terminal: crashes are expected, and
 * sanitizers and libraries are talkative. 0 or an errno. */
static int start(char **argv, int report, pid_t *child)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, ours;
    sigemptyset(&none);
    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaddset(&ours, crashes[i]);
    int failed = posix_spawn_file_actions_init(&files);
    if (failed)
        return failed;
    if ((failed = posix_spawnattr_init(&attributes)) != 0)
        goto no_attributes;
    if ((failed = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) == 0 &&
        (failed = posix_spawn_file_actions_adddup2(&files, report, STDOUT_FILENO)) == 0 &&
        (failed = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0)) == 0 &&
        (failed = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
        (failed = posix_spawnattr_setsigdefault(&attributes, &ours)) == 0 &&
        (failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) == 0)
        failed = posix_spawn(child, argv[0], &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
no_attributes:
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

/* A report is small enough for one write, so it comes whole or not at all. */
static enum outcome read_report(int report, int timeout_ms, struct spk_error *error)
{
    struct pollfd ready = {.fd = report, .events = POLLIN};
    int64_t end_ns = spk_clock_monotonic_ns() + timeout_ms * INT64_C(1000000), left_ns;
    int found = 0;
    while (found <= 0 && (left_ns = end_ns - spk_clock_monotonic_ns()) > 0)
        found = poll(&ready, 1, (int)(left_ns / 1000000) + 1);
    if (found <= 0)
        return LATE;
    return read(report, error, sizeof *error) == sizeof *error ? TOLD : SILENT;
}

spk_status spk_h5_try(const char *name, const char *look, const char *const *arguments, int timeout_ms,
                      struct spk_error *error)
{
    int ends[2], status = 0;
    pid_t child = -1;
    char path[PATH_SIZE], *argv[ARGUMENTS_MAX + 2] = {path};
    struct spk_error report = {0};
    find_program(look, path);
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i]; /* posix_spawn() changes none of them */
    if (pipe2(ends, O_CLOEXEC))
        return spk_fail(error, SPK_IO, "%s: no pipe: %s", name, strerror(errno));
    int failed = start(argv, ends[1], &child);
    close(ends[1]);
    enum outcome outcome = failed ? SILENT : read_report(ends[0], timeout_ms, &report);
    close(ends[0]);
    if (failed)
        return spk_fail(error, SPK_IO, "%s: cannot start %s for a first look: %s", name, path,
                        strerror(failed));
    if (outcome == LATE)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (outcome == LATE)
        return spk_fail(error, SPK_TIMEOUT,
                        "%s: no end of a first look within %g s: a busy machine or a slow disk? try again",
                        name, 1e-3 * timeout_ms);
    if (outcome == SILENT)
        return spk_fail(error, SPK_IO, "%s: damaged: the library that reads it %s", name,
                        WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU ? "goes in circles"
                                                                           : "crashes on it");
    report.text[sizeof report.text - 1] = '\0';
    if (error && report.status < 0)
        *error = report;
    return report.status;
}
