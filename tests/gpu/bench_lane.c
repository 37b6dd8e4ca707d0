/* What a map set costs from its last frame on, as a lane queues it: the frame up, corrected and narrowed, the stack matched, its maps down. The
 * phase is a row of its own. */
#include "bench_gpu.h"
#include "prep_device.h"
#include "umpa_device.h"

#include "device/lane.h"

enum { MAPS = 6 };

struct path {
    struct spk_prep *prep;
    struct spk_prep_device *correction;
    struct spk_umpa_device *umpa;
    spk_device_operation narrow;
    struct spk_frame frame, raw; /* here in pinned memory, there */
    float *image;
    struct spk_stack sample;
    uint32_t next; /* position of the frame that comes */
    struct spk_umpa_maps maps;
    float *down; /* pinned: [MAPS] maps and valid */
};

static size_t down_bytes(void)
{
    return (MAPS * sizeof(float) + 1) * bench.pixels;
}

static void take_frame(void *context)
{
    struct path *p = context;
    struct spk_stream *stream = bench.gpu.stream;
    const float *map[MAPS] = {p->maps.transmission,   p->maps.dark_field, p->maps.displacement_x,
                              p->maps.displacement_y, p->maps.quality,    p->maps.error};
    const uint32_t position = p->next++ % bench.frames;
    uint32_t no_light;
    const struct spk_lane_encoding narrow = {p->sample.half + position * bench.pixels, p->image,
                                             bench.pixels};
    spk_stream_copy(stream, p->raw.data, p->frame.data, 2 * bench.pixels, NULL);
    spk_prep_device_correct(p->correction, &p->raw, p->image, p->sample.mask, &no_light, NULL);
    spk_stream_run(stream, p->narrow, &narrow, NULL);
    p->sample.version++;
    if (p->sample.changed)
        p->sample.changed[position] = p->sample.version;
    spk_umpa_device_process(p->umpa, &p->sample, &p->maps, NULL);
    for (int i = 0; i < MAPS; i++)
        spk_stream_copy(stream, p->down + (size_t)i * bench.pixels, map[i], bench.pixels * sizeof(float),
                        NULL);
    spk_stream_copy(stream, p->down + MAPS * bench.pixels, p->maps.valid, bench.pixels, NULL);
}

static void open_correction(struct path *p)
{
    const struct spk_prep_config config = {.floor = 0.01, .flat_window = 65, .hot_sigma = 8, .binning = 1};
    struct spk_format in = {.count = 1, .height = bench.size, .width = bench.size, .dtype = SPK_U16},
                      out = in;
    struct spk_error error = {0};
    REQUIRE(!spk_prep_create(&p->prep, &config, bench.team, &error) &&
                !spk_prep_prepare(p->prep, &in, &out, &error) &&
                !spk_prep_device_create(&p->correction, p->prep, bench.gpu.device, bench.gpu.stream, &error),
            "%s", error.text);
    p->frame = p->raw = (struct spk_frame){.dtype = SPK_U16, .height = bench.size, .width = bench.size};
    p->frame.data = spk_device_host_memory()->allocate(2 * bench.pixels);
    p->raw.data = gpu_memory(&bench.gpu, NULL, 2 * bench.pixels);
    p->image = gpu_memory(&bench.gpu, NULL, bench.pixels * sizeof(float));
    p->down = spk_device_host_memory()->allocate(down_bytes());
    p->narrow = spk_device_find(bench.gpu.device, "spk_lane_encode");
    REQUIRE(p->frame.data && p->down && p->narrow, "no memory, or no operation of a lane");
    for (size_t i = 0; i < bench.pixels; i++)
        ((uint16_t *)p->frame.data)[i] = (uint16_t)bench.stack[1][i];
}

static void open_matching(struct path *p, bool rolling)
{
    const struct spk_umpa_config config = {.max_shift = 4,
                                           .dark_field = true,
                                           .quality = SPK_UMPA_LIVE,
                                           .refine = SPK_UMPA_GLOBAL,
                                           .passes = 2,
                                           .mean_width = 12,
                                           .deadline_ms = 1,
                                           .rolling = rolling};
    struct spk_error error = {0};
    REQUIRE(!spk_umpa_device_create(&p->umpa, &config, bench.frames, bench.size, bench.size, true,
                                    bench.gpu.device, bench.gpu.stream, &error) &&
                !spk_umpa_device_reference(p->umpa, &bench.half[0], &error),
            "%s", error.text);
    p->sample = bench.half[1];
    p->sample.changed = rolling ? calloc(bench.frames, sizeof *p->sample.changed) : NULL;
    REQUIRE(!rolling || p->sample.changed, "no memory");
    float **map[MAPS] = {&p->maps.transmission,   &p->maps.dark_field, &p->maps.displacement_x,
                         &p->maps.displacement_y, &p->maps.quality,    &p->maps.error};
    for (int i = 0; i < MAPS; i++)
        *map[i] = gpu_memory(&bench.gpu, NULL, bench.pixels * sizeof(float));
    p->maps.valid = gpu_memory(&bench.gpu, NULL, bench.pixels);
}

static void close_path(struct path *p)
{
    float **map[MAPS] = {&p->maps.transmission,   &p->maps.dark_field, &p->maps.displacement_x,
                         &p->maps.displacement_y, &p->maps.quality,    &p->maps.error};
    for (int i = 0; i < MAPS; i++)
        spk_device_release(bench.gpu.device, (void **)map[i]);
    spk_device_release(bench.gpu.device, (void **)&p->maps.valid);
    spk_device_release(bench.gpu.device, &p->raw.data);
    spk_device_release(bench.gpu.device, (void **)&p->image);
    spk_device_host_memory()->release(p->frame.data, 2 * bench.pixels);
    spk_device_host_memory()->release(p->down, down_bytes());
    free(p->sample.changed);
    spk_umpa_device_destroy(&p->umpa);
    spk_prep_device_destroy(&p->correction);
    spk_prep_destroy(&p->prep);
}

/* Bytes a pixel in the device's own memory, at least: the raw frame and the stack in, maps in and out. Time on the way to the host and from it
 * is in the row's time, not in its roofline. */
void bench_lane(void)
{
    const double pixels = (double)bench.pixels, maps = 2 * (4 * MAPS + 1);
    for (int rolling = 0; rolling < 2; rolling++) {
        struct path p = {0};
        open_correction(&p);
        open_matching(&p, rolling);
        const double frames = rolling ? 2 : bench.frames; /* the new one and the one before; all */
        bench_row(rolling ? "frame to maps on the host, rolling" : "last frame to maps on the host",
                  bench_there(take_frame, &p), (2 + 2 * frames + maps) * pixels, 0);
        close_path(&p);
    }
}
