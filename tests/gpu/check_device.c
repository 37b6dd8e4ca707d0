/* The device layer: the same body for every backend, its names and its faults. */
#include "device/lane.h"
#include "gpu.h"

#include <speckled/half.h>

#include <math.h>
#include <string.h>

enum { BYTES = 10007 };

static void check_streams(struct spk_device *device)
{
    struct spk_error error = {0};
    struct spk_stream *first, *second;
    struct spk_event *begin, *end;
    unsigned char host[BYTES], back[BYTES];
    void *a, *b;
    for (int i = 0; i < BYTES; i++)
        host[i] = (unsigned char)(i * 31);
    REQUIRE(!spk_stream_create(device, &first, &error) && !spk_stream_create(device, &second, &error), "%s",
            error.text);
    REQUIRE(!spk_event_create(device, &begin, &error) && !spk_event_create(device, &end, &error), "%s",
            error.text);
    REQUIRE(!spk_device_allocate(device, BYTES, &a, &error) &&
                !spk_device_allocate(device, BYTES, &b, &error),
            "%s", error.text);
    CHECK((uintptr_t)a % 16 == 0, "device memory at %p", a);
    CHECK(spk_event_reached(begin, &error) == SPK_OK, "an event that was never marked is reached");
    CHECK(!spk_event_mark(begin, first, &error), "%s", error.text);
    CHECK(!spk_stream_copy(first, a, host, BYTES, &error), "%s", error.text);
    CHECK(!spk_event_mark(end, first, &error), "%s", error.text);
    CHECK(!spk_event_before(end, second, &error), "%s", error.text);
    CHECK(!spk_stream_fill(second, b, 0x5a, BYTES, &error), "%s", error.text);
    CHECK(!spk_stream_copy(second, b, a, BYTES - 7, &error), "%s", error.text);
    CHECK(!spk_stream_copy(second, back, b, BYTES, &error), "%s", error.text);
    CHECK(!spk_stream_wait(second, &error), "%s", error.text);
    CHECK(memcmp(back, host, BYTES - 7) == 0 && back[BYTES - 1] == 0x5a && back[BYTES - 7] == 0x5a,
          "copy, fill and order across two streams");
    int64_t ns = -1;
    CHECK(!spk_event_wait(end, &error) && !spk_event_between(begin, end, &ns, &error) && ns >= 0,
          "%lld ns between two events", (long long)ns);
    spk_device_release(device, &a);
    spk_device_release(device, &b);
    CHECK(!a && !b, "released memory is forgotten");
    spk_event_destroy(&begin);
    spk_event_destroy(&end);
    spk_stream_destroy(&first);
    spk_stream_destroy(&second);
}

struct fill {
    struct spk_stream *stream;
    void *to;
    int value;
};

static spk_status queue_fill(void *context, struct spk_error *error)
{
    const struct fill *fill = context;
    return spk_stream_fill(fill->stream, fill->to, fill->value, BYTES, error);
}

/* Where no list can be kept the device goes on, and so it does where recording fails; other failures are what they are. */
static void check_no_lists(struct spk_device *device)
{
    struct spk_error error = {0};
    struct fill fill = {.value = 3};
    struct spk_graph *graph;
    unsigned char back[BYTES];
    REQUIRE(!spk_stream_create(device, &fill.stream, &error) &&
                !spk_device_allocate(device, BYTES, &fill.to, &error) &&
                !spk_stream_list(fill.stream, queue_fill, &fill, &graph, &error),
            "%s", error.text);
    CHECK(graph && !spk_graph_launch(graph, fill.stream, &error), "a list: %s", error.text);
    spk_graph_destroy(&graph);
    spk_device_inject(SPK_DEVICE_NO_LISTS, 0);
    CHECK(!spk_stream_list(fill.stream, queue_fill, &fill, &graph, &error) && !graph, "no list: %s",
          error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    fill.value = 4;
    CHECK(!queue_fill(&fill, &error) && !spk_stream_copy(fill.stream, back, fill.to, BYTES, &error) &&
              !spk_stream_wait(fill.stream, &error) && back[0] == 4,
          "the device goes on: %s", error.text);
    spk_device_inject(SPK_DEVICE_FAILS, 1);
    CHECK(spk_stream_list(fill.stream, queue_fill, &fill, &graph, &error) == SPK_DEVICE && !graph,
          "a device that fails while it records: %s", error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    spk_device_release(device, &fill.to);
    spk_stream_destroy(&fill.stream);
}

/* A list of work runs when it is launched, each time anew and not before. */
static void check_lists(struct spk_device *device)
{
    struct spk_error error = {0};
    struct spk_stream *stream;
    struct spk_graph *graph = NULL;
    unsigned char host[BYTES], back[BYTES];
    void *a, *b;
    memset(host, 1, BYTES);
    REQUIRE(!spk_stream_create(device, &stream, &error) && !spk_device_allocate(device, BYTES, &a, &error) &&
                !spk_device_allocate(device, BYTES, &b, &error) &&
                !spk_stream_fill(stream, a, 7, BYTES, &error) &&
                !spk_stream_fill(stream, b, 8, BYTES, &error),
            "%s", error.text);
    CHECK(!spk_stream_record(stream, &error) && !spk_stream_copy(stream, b, a, BYTES - 5, &error) &&
              !spk_stream_fill(stream, a, 9, BYTES, &error) && !spk_stream_recorded(stream, &graph, &error),
          "%s", error.text);
    CHECK(!spk_stream_copy(stream, back, b, BYTES, &error) && !spk_stream_wait(stream, &error) &&
              back[0] == 8,
          "a list ran before its launch");
    CHECK(!spk_graph_launch(graph, stream, &error) && !spk_stream_copy(stream, back, b, BYTES, &error) &&
              !spk_stream_wait(stream, &error) && back[0] == 7 && back[BYTES - 6] == 7 &&
              back[BYTES - 5] == 8,
          "a list was launched: %d", back[0]);
    CHECK(!spk_graph_launch(graph, stream, &error) && !spk_stream_copy(stream, back, b, BYTES, &error) &&
              !spk_stream_wait(stream, &error) && back[0] == 9,
          "a list was launched twice: %d", back[0]);
    CHECK(!spk_stream_copy(stream, a, host, BYTES, &error) &&
              !spk_stream_copy(stream, back, a, BYTES, &error) && !spk_stream_wait(stream, &error) &&
              back[BYTES - 1] == 1,
          "what is queued behind a list runs: %s", error.text);
    spk_graph_destroy(&graph);
    spk_device_release(device, &a);
    spk_device_release(device, &b);
    spk_stream_destroy(&stream);
}

static void check_faults(const char *name)
{
    struct spk_error error = {0};
    struct spk_device *device;
    struct spk_stream *stream;
    void *memory;
    char byte = 0;
    REQUIRE(!spk_device_open(&device, name, &error) && !spk_stream_create(device, &stream, &error), "%s",
            error.text);
    spk_device_inject(SPK_DEVICE_NO_MEMORY, 1);
    CHECK(!spk_device_allocate(device, 8, &memory, &error), "%s", error.text);
    spk_device_release(device, &memory);
    CHECK(!spk_stream_wait(stream, &error), "other calls go on");
    CHECK(spk_device_allocate(device, 8, &memory, &error) == SPK_NOMEM && !memory, "%s", error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
    CHECK(!spk_device_allocate(device, 8, &memory, &error), "%s", error.text);
    spk_device_inject(SPK_DEVICE_LOST, 2);
    CHECK(!spk_stream_fill(stream, memory, 0, 8, &error) && !spk_stream_wait(stream, &error), "%s",
          error.text);
    CHECK(spk_stream_copy(stream, memory, &byte, 1, &error) == SPK_DEVICE, "a lost device");
    CHECK(spk_stream_wait(stream, &error) == SPK_DEVICE && strstr(error.text, "lost"), "stays lost: %s",
          error.text);
    spk_device_release(device, &memory);
    spk_stream_destroy(&stream);
    spk_device_close(&device);
    REQUIRE(!spk_device_open(&device, name, &error), "opened again: %s", error.text);
    spk_device_inject(SPK_DEVICE_GONE, 0);
    CHECK(spk_device_allocate(device, 8, &memory, &error) == SPK_DEVICE && !memory, "a device that is gone");
    spk_device_close(&device);
    CHECK(spk_device_open(&device, name, &error) == SPK_DEVICE && strstr(error.text, "gone"), "not again: %s",
          error.text);
    spk_device_inject(SPK_DEVICE_SOUND, 0);
}

static void check_names(void)
{
    struct spk_error error = {0};
    struct spk_device *device;
    static const char *const wrong[] = {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cpu:0:0", ":1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(spk_device_open(&device, wrong[i], &error) == SPK_INVALID && !device, "\"%s\"", wrong[i]);
    CHECK(spk_device_open(&device, "cpu:1", &error) == SPK_UNSUPPORTED, "%s", error.text);
    CHECK(spk_device_open(&device, "cuda:4096", &error) == SPK_UNSUPPORTED &&
              strchr(error.text, '\n') == NULL,
          "%s", error.text);
}

/* The mask of a rolling stack is where none of its frames masks, whatever masks they had before. */
static void check_rolling_masks(struct gpu *gpu)
{
    enum { POSITIONS = 3, STEPS = 24 };
    struct spk_error error = {0};
    unsigned char host[POSITIONS][BYTES], fresh[BYTES], mask[BYTES];
    uint32_t random = 20240611;
    spk_device_operation replace = spk_device_find(gpu->device, "spk_lane_replace");
    REQUIRE(replace, "the module lacks spk_lane_replace");
    memset(host, 1, sizeof host);
    memset(mask, 0, sizeof mask);
    unsigned char *position = gpu_memory(gpu, host, sizeof host), *there = gpu_memory(gpu, mask, BYTES);
    uint8_t *given = gpu_memory(gpu, mask, BYTES);
    uint16_t *masked = gpu_memory(gpu, NULL, BYTES * sizeof *masked);
    struct spk_event *filled;
    REQUIRE(!spk_event_create(gpu->device, &filled, &error) &&
                !spk_stream_fill(gpu->stream, masked, 0, BYTES * sizeof *masked, &error),
            "%s", error.text);
    for (unsigned step = 0; step < STEPS; step++) {
        const unsigned at = (step * 7 + step / 5) % POSITIONS;
        for (size_t i = 0; i < BYTES; i++) {
            random = random * 1664525u + 1013904223u;
            host[at][i] = fresh[i] = random >> 24 > 80;
        }
        const struct spk_lane_rolling arguments = {position + at * BYTES, there, given, masked, BYTES};
        REQUIRE(!spk_stream_copy(gpu->stream, given, fresh, BYTES, &error) &&
                    !spk_event_mark(filled, gpu->stream, &error),
                "%s", error.text);
        spk_status reached = spk_event_reached(filled, &error);
        CHECK(reached == SPK_OK || reached == SPK_AGAIN, "%s", error.text);
        /* that an event is not reached yet is no failure of what comes next */
        REQUIRE(!spk_stream_run(gpu->stream, replace, &arguments, &error), "%s", error.text);
        gpu_read(gpu, mask, there, BYTES);
        size_t wrong = 0;
        for (size_t i = 0; i < BYTES; i++)
            wrong += mask[i] != (host[0][i] & host[1][i] & host[2][i]);
        CHECK(wrong == 0, "step %u: %zu pixels", step, wrong);
    }
    spk_event_destroy(&filled);
    spk_device_release(gpu->device, (void **)&position);
    spk_device_release(gpu->device, (void **)&there);
    spk_device_release(gpu->device, (void **)&given);
    spk_device_release(gpu->device, (void **)&masked);
}

/* Every binary16 number, what lies a little beside and half way to the next one, and numbers beyond the largest: as the processor
 * rounds them. */
static void check_encoding(struct gpu *gpu)
{
    enum { NUMBERS = 1 << 16, SIDES = 5, COUNT = NUMBERS * SIDES };
    static float values[COUNT];
    static uint16_t expected[COUNT], found[COUNT];
    struct spk_error error = {0};
    spk_device_operation encode = spk_device_find(gpu->device, "spk_lane_encode");
    REQUIRE(encode, "the module lacks spk_lane_encode");
    for (uint32_t i = 0; i < NUMBERS; i++) {
        const float value = spk_half_value((uint16_t)i), next = spk_half_value((uint16_t)(i + 1));
        const float side[SIDES] = {value, 0.5f * (value + next), 0.50001f * value + 0.49999f * next,
                                   0.49999f * value + 0.50001f * next, 1e4f * value};
        memcpy(values + (size_t)SIDES * i, side, sizeof side);
    }
    spk_half_encode(expected, values, COUNT);
    float *from = gpu_memory(gpu, values, sizeof values);
    unsigned char *to = gpu_output(gpu, sizeof found);
    const struct spk_lane_encoding arguments = {(uint16_t *)(void *)to, from, COUNT};
    REQUIRE(!spk_stream_run(gpu->stream, encode, &arguments, &error), "%s", error.text);
    gpu_take(gpu, "the encoding", found, &to, sizeof found);
    size_t wrong = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        wrong += found[i] != expected[i] && !(isnan(values[i]) && isnan(spk_half_value(found[i])));
    CHECK(wrong == 0, "%zu numbers are rounded in another way than on the processor", wrong);
    spk_device_release(gpu->device, (void **)&from);
}

int main(void)
{
    struct gpu gpu;
    struct spk_device *device;
    struct spk_error error = {0};
    check_names();
    REQUIRE(!spk_device_open(&device, "cpu", &error), "%s", error.text);
    CHECK(!spk_device_find(device, "spk_prep_device_correct"), "the processor brings no operations");
    check_streams(device);
    check_lists(device);
    check_no_lists(device);
    spk_device_close(&device);
    check_faults("cpu");
    const struct spk_allocator *host = spk_device_host_memory();
    void *memory = host->allocate(4096);
    CHECK(memory && (uintptr_t)memory % 64 == 0, "host memory at %p", memory);
    host->release(memory, 4096);
    if (test_failures)
        return test_end();
    gpu_open(&gpu);
    check_streams(gpu.device);
    check_lists(gpu.device);
    check_rolling_masks(&gpu);
    check_encoding(&gpu);
    gpu_close(&gpu);
    check_faults("cuda");
    return test_end();
}
