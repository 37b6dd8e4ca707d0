#include "progress.h"

#include <speckled/clock.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 30, DEFAULT_COLUMNS = 80 };

static const int64_t redraw_ns = 100000000;

void spk_progress_begin(struct spk_progress *progress, FILE *stream)
{
    *progress = (struct spk_progress){.begin_ns = spk_clock_monotonic_ns()};
    if (isatty(fileno(stream)))
        progress->stream = stream;
}

static int columns(FILE *stream)
{
    struct winsize size = {0};
    bool known = ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : DEFAULT_COLUMNS;
}

void spk_progress_show(struct spk_progress *progress, uint64_t done, uint64_t total, const char *text)
{
    int64_t now = spk_clock_monotonic_ns();
    if (!progress->stream || now < progress->next_ns)
        return;
    progress->next_ns = now + redraw_ns;
    char bar[BAR_WIDTH + 1], line[256];
    double elapsed = (double)(now - progress->begin_ns) / 1e9;
    int filled = total ? (int)(BAR_WIDTH * (done < total ? done : total) / total) : 0;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    int used = snprintf(line, sizeof line, "[%s] %s, %.1f s", bar, text, elapsed);
    if (done && done < total && used > 0 && used < (int)sizeof line)
        snprintf(line + used, sizeof line - (size_t)used, ", %.0f s to go",
                 elapsed * (double)(total - done) / (double)done);
    fprintf(progress->stream, "\r\033[K%.*s", columns(progress->stream) - 1, line);
    fflush(progress->stream);
}

void spk_progress_end(struct spk_progress *progress)
{
    if (progress->stream) {
        fputs("\r\033[K", progress->stream);
        fflush(progress->stream);
    }
    progress->stream = NULL;
}
