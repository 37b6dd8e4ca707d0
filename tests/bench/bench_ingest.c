/* ZeroMQ ingest into pool frames by source_zmq_array, against a loop that receives the same messages with bare libzmq.
 *
 *     bench_ingest [--seconds S]
 *
 * One process sends as fast as it can over loopback TCP; another receives, a short while bare, a short while through the
 * source, in turn, so that whatever else the machine does hits both. The ratio is of frames a second. */
#include "source_zmq_array.h"

#include <speckled/clock.h>
#include <speckled/wire_array.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

enum { POOL_FRAMES = 32, QUEUE_MESSAGES = 32, SEGMENTS = 10, PATIENCE_MS = 5000 };

struct tally {
    double frames, seconds, cpu_s;
};

struct receiver {
    const char *endpoint;
    size_t bytes;
    struct spk_host host;
    struct spk_pool *pool;
    unsigned long lost;
};

static double cpu_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static spk_status give_frame(void *context, uint32_t height, uint32_t width, enum spk_dtype dtype,
                             struct spk_frame **frame)
{
    struct receiver *r = context;
    return spk_pool_get(r->pool, height, width, dtype, 0, frame);
}

static void count_lost(void *context, enum spk_reject reason)
{
    struct receiver *r = context;
    (void)reason;
    r->lost++;
}

static void ignore_end(void *context)
{
    (void)context;
}

/* The sending process: ends with its parent. Tells through `port_to` where it is bound. */
static int send_forever(uint32_t side, int port_to)
{
    char endpoint[128], header[512];
    size_t size = sizeof endpoint;
    int queue = QUEUE_MESSAGES;
    struct spk_frame frame = {
        .height = side, .width = side, .dtype = SPK_U16, .stack = SPK_UNKNOWN, .position = SPK_UNKNOWN};
    size_t bytes = (size_t)side * side * sizeof(uint16_t);
    void *pixels = calloc(1, bytes), *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    if (!pixels || zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0 ||
        write(port_to, endpoint, sizeof endpoint) != (ssize_t)sizeof endpoint)
        return 1;
    memset(pixels, 7, bytes);
    for (frame.id = 0;; frame.id++) {
        zmq_msg_t image;
        int length = spk_array_write_frame(header, sizeof header, &frame, "bench");
        zmq_msg_init_data(&image, pixels, bytes, NULL, NULL);
        if (zmq_send(socket, header, (size_t)length, ZMQ_SNDMORE) < 0 || zmq_msg_send(&image, socket, 0) < 0)
            return 1;
    }
}

static int receive_bare(void *socket, zmq_msg_t *message, size_t bytes)
{
    size_t size = 0;
    do {
        if (zmq_msg_recv(message, socket, 0) < 0)
            return -1;
        size = zmq_msg_size(message);
    } while (zmq_msg_more(message));
    return size == bytes ? 0 : -1;
}

/* Receives for `seconds` after the first message. */
static int run_bare(const struct receiver *r, double seconds, struct tally *tally)
{
    int queue = QUEUE_MESSAGES, patience = PATIENCE_MS, linger = 0;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PULL);
    zmq_msg_t message;
    zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_connect(socket, r->endpoint);
    zmq_msg_init(&message);
    int failed = receive_bare(socket, &message, r->bytes);
    double frames = 0, cpu = cpu_seconds();
    int64_t start = spk_clock_monotonic_ns(), now = start;
    for (; !failed && (double)(now - start) < seconds * 1e9; now = spk_clock_monotonic_ns()) {
        failed = receive_bare(socket, &message, r->bytes);
        frames++;
    }
    tally->cpu_s += cpu_seconds() - cpu;
    tally->seconds += (double)(now - start) * 1e-9;
    tally->frames += frames;
    zmq_msg_close(&message);
    zmq_close(socket);
    zmq_ctx_term(context);
    return failed;
}

/* One frame; negative when none comes. */
static int receive_frame(struct spk_zmq_array *source)
{
    struct spk_frame *frame = NULL;
    struct spk_error error = {0};
    spk_status status = SPK_AGAIN;
    for (int tries = 0; status == SPK_AGAIN && tries < PATIENCE_MS / 100; tries++)
        status = spk_zmq_array_next(source, &frame, &error);
    if (status != SPK_OK)
        fprintf(stderr, "bench_ingest: %s\n", error.text[0] ? error.text : "no frame came");
    spk_frame_unref(&frame);
    return status == SPK_OK ? 0 : -1;
}

static int run_source(struct receiver *r, double seconds, struct tally *tally)
{
    struct spk_zmq_array_config config = {.endpoints.count = 1,
                                          .rcvhwm = QUEUE_MESSAGES,
                                          .io_threads = 1,
                                          .max_header_bytes = 1 << 20,
                                          .max_frame_bytes = 1 << 30,
                                          .frame_key = "frame",
                                          .role_key = "speckled.role",
                                          .position_key = "speckled.position"};
    struct spk_zmq_array *source;
    struct spk_error error = {0};
    snprintf(config.endpoints.value[0], SPK_STRING_SIZE, "%s", r->endpoint);
    if (spk_zmq_array_create(&source, &r->host, &config, &error) != SPK_OK) {
        fprintf(stderr, "bench_ingest: %s\n", error.text);
        return -1;
    }
    int failed = receive_frame(source);
    double frames = 0, cpu = cpu_seconds();
    int64_t start = spk_clock_monotonic_ns(), now = start;
    for (; !failed && (double)(now - start) < seconds * 1e9; now = spk_clock_monotonic_ns()) {
        failed = receive_frame(source);
        frames++;
    }
    tally->cpu_s += cpu_seconds() - cpu;
    tally->seconds += (double)(now - start) * 1e-9;
    tally->frames += frames;
    spk_zmq_array_destroy(&source);
    return failed;
}

static void print_row(uint32_t side, size_t bytes, const struct tally *bare, const struct tally *ours)
{
    double bare_hz = bare->frames / bare->seconds, ours_hz = ours->frames / ours->seconds;
    printf("  %4u x %-4u uint16 %12.0f %8.2f %12.0f %8.2f %8.3f %12.1f %12.1f\n", side, side, bare_hz,
           bare_hz * (double)bytes * 1e-9, ours_hz, ours_hz * (double)bytes * 1e-9, ours_hz / bare_hz,
           bare->cpu_s / bare->frames * 1e6, ours->cpu_s / ours->frames * 1e6);
    fflush(stdout);
}

/* Frames are used again and again in a service: their memory is there before the first measured one. */
static spk_status touch_frames(struct spk_pool *pool, uint32_t side)
{
    struct spk_frame *frame[POOL_FRAMES] = {NULL};
    spk_status status = SPK_OK;
    for (int i = 0; i < POOL_FRAMES && status == SPK_OK; i++) {
        status = spk_pool_get(pool, side, side, SPK_U16, 0, &frame[i]);
        if (status == SPK_OK)
            memset(frame[i]->data, 1, frame[i]->capacity);
    }
    for (int i = 0; i < POOL_FRAMES; i++)
        spk_frame_unref(&frame[i]);
    return status;
}

static int measure(struct receiver *r, uint32_t side, double seconds)
{
    struct tally bare = {0, 0, 0}, ours = {0, 0, 0};
    int failed = 0;
    if (spk_pool_create(&r->pool, POOL_FRAMES, NULL, NULL) != SPK_OK)
        return -1;
    failed = touch_frames(r->pool, side) != SPK_OK;
    for (int i = 0; i < SEGMENTS && !failed; i++) {
        /* Neither always comes first. */
        failed = i % 2 ? run_source(r, seconds / SEGMENTS, &ours) : run_bare(r, seconds / SEGMENTS, &bare);
        failed = failed ||
                 (i % 2 ? run_bare(r, seconds / SEGMENTS, &bare) : run_source(r, seconds / SEGMENTS, &ours));
    }
    spk_pool_destroy(&r->pool);
    if (!failed && !r->lost)
        print_row(side, r->bytes, &bare, &ours);
    else
        fprintf(stderr, "bench_ingest: %lu messages rejected or none came\n", r->lost);
    return failed || r->lost;
}

static int run_side(uint32_t side, double seconds)
{
    char endpoint[128];
    int pipe_ends[2];
    struct receiver r = {.endpoint = endpoint, .bytes = (size_t)side * side * sizeof(uint16_t)};
    r.host = (struct spk_host){.size = sizeof r.host,
                               .context = &r,
                               .frame = give_frame,
                               .reject = count_lost,
                               .end_series = ignore_end};
    if (pipe(pipe_ends) != 0)
        return -1;
    pid_t sender = fork();
    if (sender == 0)
        _exit(send_forever(side, pipe_ends[1]));
    close(pipe_ends[1]);
    int failed = sender < 0 || read(pipe_ends[0], endpoint, sizeof endpoint) != (ssize_t)sizeof endpoint;
    close(pipe_ends[0]);
    failed = failed || measure(&r, side, seconds);
    if (sender > 0) {
        kill(sender, SIGKILL);
        waitpid(sender, NULL, 0);
    }
    return failed;
}

int main(int argc, char **argv)
{
    double seconds = argc == 3 && strcmp(argv[1], "--seconds") == 0 ? atof(argv[2]) : 0;
    if (argc == 1)
        seconds = 3;
    if (!(seconds > 0 && seconds < 3600)) {
        fprintf(stderr, "usage: %s [--seconds S]\n", argv[0]);
        return 2;
    }
    spk_log_set_level(SPK_LOG_WARNING);
    printf("  %-18s %12s %8s %12s %8s %8s %12s %12s\n", "frame", "bare 1/s", "GB/s", "speckled 1/s", "GB/s",
           "ratio", "bare CPU us", "CPU us");
    int small = run_side(512, seconds), large = run_side(2048, seconds);
    return small || large;
}
