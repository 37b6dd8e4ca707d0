/* A program for test_h5_try.c that ends as its argument says. */
#include <speckled/h5.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static spk_status look(char *const *arguments, struct spk_error *error)
{
    const char *end = arguments[0];
    struct spk_h5 *file = NULL;
    if (strcmp(end, "open") == 0) {
        spk_status status = spk_h5_open(&file, arguments[1], error);
        spk_h5_close(&file, NULL);
        return status;
    }
    if (strcmp(end, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(end, "abort") == 0)
        abort();
    if (strcmp(end, "leave") == 0)
        _exit(0);
    if (strcmp(end, "wait") == 0)
        pause();
    if (strcmp(end, "circle") == 0) {
        setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2}); /* sooner than after the usual time */
        for (volatile unsigned i = 0;; i++)
            continue;
    }
    return SPK_END;
}

int main(int argc, char **argv)
{
    return argc > 1 ? spk_h5_look(argv, look) : 2;
}
