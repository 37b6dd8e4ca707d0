#include "progress.h"
#include "stream.h"

#include <speckled/clock.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { FRAMES = 64, WAIT_MS = 100, END_TRIES = 20 };

/* One transfer from its first frame to its last. */
struct transfer {
    const struct spk_stream *stream;
    void *source, *sink;
    struct spk_pool *pool;
    uint64_t frames, total;
    int64_t start_ns;
    bool waiting;
    struct spk_progress progress;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* The first signal stops in good order, the second one at once. Taken when the first frame is due: a source that is still
 * computing ends with its process. */
static void take_signals(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static spk_status host_frame(void *context, uint32_t height, uint32_t width, enum spk_dtype dtype,
                             struct spk_frame **frame)
{
    struct transfer *transfer = context;
    spk_status status = SPK_AGAIN;
    while (status == SPK_AGAIN && !interrupted)
        status = spk_pool_get(transfer->pool, height, width, dtype, WAIT_MS, frame);
    return status;
}

static void host_reject(void *context, enum spk_reject reason)
{
    (void)context;
    (void)reason;
}

static spk_status host_command(void *context, enum spk_command command, uint32_t count,
                               struct spk_error *error)
{
    (void)context;
    (void)count;
    return spk_fail(error, SPK_UNSUPPORTED, "no pipeline runs here that could take \"%s\"",
                    spk_command_name(command));
}

static spk_status host_set(void *context, const char *key, const char *value, struct spk_error *error)
{
    (void)context;
    (void)value;
    return spk_fail(error, SPK_UNSUPPORTED, "no pipeline runs here that could change %s", key);
}

static spk_status host_get(void *context, const char *key, char *value, size_t size, struct spk_error *error)
{
    (void)context;
    (void)value;
    (void)size;
    return spk_fail(error, SPK_UNSUPPORTED, "no pipeline runs here that has %s", key);
}

static spk_status host_option(void *context, unsigned index, const char **plugin,
                              const struct spk_option **option)
{
    (void)context;
    (void)index;
    (void)plugin;
    (void)option;
    return SPK_END;
}

static void host_stats(void *context, struct spk_stats *stats)
{
    const struct transfer *transfer = context;
    memset(stats, 0, sizeof *stats);
    stats->received = transfer->frames;
}

static void host_frame_context(void *context, enum spk_role role, int64_t position, int64_t stack)
{
    (void)context;
    (void)role;
    (void)position;
    (void)stack;
}

static struct spk_host make_host(struct transfer *transfer)
{
    return (struct spk_host){.size = sizeof(struct spk_host),
                             .context = transfer,
                             .frame = host_frame,
                             .reject = host_reject,
                             .command = host_command,
                             .set = host_set,
                             .get = host_get,
                             .option = host_option,
                             .stats = host_stats,
                             .frame_context = host_frame_context};
}

static void show_progress(struct transfer *transfer)
{
    spk_progress_show(&transfer->progress, transfer->frames, transfer->total,
                      transfer->waiting ? "frames; waiting for a receiver" : "frames");
}

static void show_summary(struct transfer *transfer)
{
    double elapsed = (double)(spk_clock_monotonic_ns() - transfer->start_ns) * 1e-9;
    spk_progress_end(&transfer->progress);
    fprintf(stderr, "speckled %s: %" PRIu64 " frames in %.2f s, %.1f Hz\n", transfer->stream->command,
            transfer->frames, elapsed, elapsed > 0 ? (double)transfer->frames / elapsed : 0);
}

/* Offers a frame until it is taken. */
static spk_status pass_on(struct transfer *transfer, const struct spk_frame *frame, struct spk_error *error)
{
    spk_status status = SPK_AGAIN;
    while (status == SPK_AGAIN && !interrupted) {
        status = transfer->stream->sink->sink->frame(transfer->sink, frame, error);
        transfer->waiting = status == SPK_AGAIN;
        show_progress(transfer);
    }
    if (status == SPK_OK)
        transfer->frames++;
    return status < 0 ? status : SPK_OK;
}

static spk_status step(struct transfer *transfer, struct spk_error *error)
{
    const struct spk_sink *sink = transfer->stream->sink->sink;
    struct spk_frame *frame = NULL;
    spk_status status = transfer->stream->source->source->next(transfer->source, &frame, error);
    show_progress(transfer);
    if (status == SPK_AGAIN)
        status = sink->idle ? sink->idle(transfer->sink, error) : SPK_OK;
    else if (status == SPK_OK)
        status = pass_on(transfer, frame, error);
    spk_frame_unref(&frame);
    return status == SPK_AGAIN ? SPK_OK : status;
}

/* Sends the end mark; without a receiver, gives up after a while when a signal asked to stop. */
static spk_status finish(struct transfer *transfer, struct spk_error *error)
{
    const struct spk_sink *sink = transfer->stream->sink->sink;
    spk_status status = sink->end ? SPK_AGAIN : SPK_OK;
    for (int i = 0; status == SPK_AGAIN && (i < END_TRIES || !interrupted); i++)
        status = sink->end(transfer->sink, error);
    return status < 0 ? status : SPK_OK;
}

static spk_status transfer_all(struct transfer *transfer, struct spk_error *error)
{
    struct spk_source_info info = {0};
    const struct spk_source *source = transfer->stream->source->source;
    spk_status status = source->describe ? source->describe(transfer->source, &info, error) : SPK_OK;
    transfer->total = info.frames;
    transfer->start_ns = spk_clock_monotonic_ns();
    take_signals();
    spk_progress_begin(&transfer->progress, stderr);
    while (!status && !interrupted)
        status = step(transfer, error);
    if (status >= 0)
        status = finish(transfer, error);
    show_summary(transfer);
    return status;
}

int spk_stream_prepare(struct spk_stream *stream)
{
    struct spk_error error = {0};
    struct transfer transfer = {.stream = stream};
    struct spk_host host = make_host(&transfer);
    if (stream->source->open(&host, stream->config, &transfer.source, &error))
        return spk_command_fail(stream->command, &error);
    stream->source->close(&transfer.source);
    return COMMAND_OK;
}

int spk_stream_run(struct spk_stream *stream)
{
    struct spk_error error = {0};
    struct transfer transfer = {.stream = stream};
    struct spk_host host = make_host(&transfer);
    if (!stream->sink)
        return spk_command_fail(stream->command, &stream->no_sink);
    /* The sink first: an endpoint that is taken should not be found out after minutes of computing. */
    void *sink_config = (char *)stream->config + stream->sink_offset;
    spk_status status = spk_pool_create(&transfer.pool, FRAMES, NULL, &error);
    if (!status)
        status = stream->sink->open(&host, sink_config, &transfer.sink, &error);
    if (!status)
        status = stream->source->open(&host, stream->config, &transfer.source, &error);
    if (!status)
        status = transfer_all(&transfer, &error);
    if (transfer.source)
        stream->source->close(&transfer.source);
    if (transfer.sink)
        stream->sink->close(&transfer.sink);
    spk_pool_destroy(&transfer.pool);
    return status < 0 ? spk_command_fail(stream->command, &error) : COMMAND_OK;
}
