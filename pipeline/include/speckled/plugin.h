/* The plugin ABI: how sources, stages, sinks and controls join the service.
 *
 * A plugin is a shared object with one entry symbol, spk_plugin_entry(), that returns a constant struct spk_plugin. One gate
 * (spk_plugin_check()) admits built-in and foreign plugins alike: abi version, structure size, required members. Every
 * operation is called on the thread named in brackets; an instance is never called from two threads at once.
 *
 *   [control] the thread that builds and stops the graph   [source] one for the source   [lane] one for each lane
 *   [sink]    one for each sink                            [service] one for each control plugin
 */
#ifndef SPECKLED_PLUGIN_H
#define SPECKLED_PLUGIN_H

#include <speckled/frame.h>
#include <speckled/log.h>
#include <speckled/maps.h>
#include <speckled/option.h>
#include <speckled/scratch.h>
#include <speckled/stats.h>
#include <speckled/team.h>

struct spk_device;
struct spk_stream;

enum { SPK_PLUGIN_ABI = 3 };

enum spk_command {
    SPK_COMMAND_START,          /* accept frames */
    SPK_COMMAND_STOP,           /* finish what is complete, ignore further frames */
    SPK_COMMAND_ABORT,          /* discard open stacks, ignore further frames */
    SPK_COMMAND_TAKE_REFERENCE, /* the next `count` frames are a new reference */
    SPK_COMMAND_TAKE_DARK,      /* the next frames are darks, averaged */
    SPK_COMMAND_TAKE_FLAT,      /* the next frames are flats, averaged */
    SPK_COMMAND_COUNT
};

SPK_API const char *
spk_command_name(enum spk_command command); /* "start", "stop", "abort", "reference", "dark", "flat" */
SPK_API spk_status spk_command_parse(const char *name, enum spk_command *command);

/* What the service offers a plugin. Valid from open to the end of close; all members may be called from any thread unless
 * said otherwise. Borrowed: never freed by the plugin. */
struct spk_host {
    uint32_t size; /* of this structure */
    void *context; /* first argument of the members below */

    /* [source] A pool frame to fill and return from next(). SPK_AGAIN: none free; the message is already counted as
     * dropped, read the next one. (With `block: true` it waits instead, and SPK_AGAIN then means "stopping".)
     * SPK_NOMEM: counted as dropped too; next() fails with it. */
    spk_status (*frame)(void *context, uint32_t height, uint32_t width, enum spk_dtype dtype,
                        struct spk_frame **frame);
    /* [source] Counts one received message that cannot become a frame. */
    void (*reject)(void *context, enum spk_reject reason);
    /* [source] The detector says that its series is over: open stacks are closed, sinks finish their files. */
    void (*end_series)(void *context);

    /* Sends a command to the running pipeline. `count` 0 = the configured number of frames. */
    spk_status (*command)(void *context, enum spk_command command, uint32_t count, struct spk_error *error);
    /* Changes or reads an option of the running graph by "plugin.key" (or a bare key where only one plugin has it).
     * SPK_STATE when the option needs a restart. */
    spk_status (*set)(void *context, const char *key, const char *value, struct spk_error *error);
    spk_status (*get)(void *context, const char *key, char *value, size_t size, struct spk_error *error);
    /* Walks the options of the running graph: index 0.. until SPK_END; `plugin` (or "pipeline", "geometry" for the
     * service's own) and `option` stay valid. */
    spk_status (*option)(void *context, unsigned index, const char **plugin,
                         const struct spk_option **option);
    /* Fills a copy of all counters in which the conservation law holds (stats.h). */
    void (*stats)(void *context, struct spk_stats *stats);
    /* Role and scan position of frames received from now on that carry none themselves (motor PVs and the like). */
    void (*frame_context)(void *context, enum spk_role role, int64_t position, int64_t stack);
    /* The lane's team of threads for stages; NULL for other kinds. [lane] */
    struct spk_team *team;
    /* The lane's device and the stream its work goes to; NULL: the lane is on the processor. They change only between two
     * prepare() of a device stage. [lane] */
    struct spk_device *device;
    struct spk_stream *stream;
    /* What reference() and process() of the lane's stages work in, each until it returns; prepare() and set() reserve. Not in
     * correct(), whose image may be there. NULL for other kinds. [lane] */
    struct spk_scratch *scratch;
    /* Rolling mode: frames of a sample stack are replaced one by one (spk_stack.changed). [lane] */
    bool rolling;
    /* During correct() of a device stage: where that queues a copy of a number that is not 0 where the frame turns out to have no light
     * to be normalised by, and returns SPK_AGAIN. The lane looks at it before it looks at the frame's stack, and leaves the
     * frame out of it. [lane] */
    uint32_t *no_light;
};

/* What a source knows before its first frame. Zero members: unknown. */
struct spk_source_info {
    struct spk_format format; /* count: scan positions */
    uint32_t darks, flats;    /* frames of each that will come first, 0 = none */
    uint64_t references;      /* frames of it that will come in all, 0 = none */
    uint64_t frames;          /* that will come in all, 0 = unknown or endless */
};

struct spk_source {
    /* [control] after open. Optional. */
    spk_status (*describe)(void *self, struct spk_source_info *info, struct spk_error *error);
    /* [source] The next frame (returns a reference), SPK_AGAIN when none came within about 100 ms, SPK_END when none will
     * come. A failure is logged and counted and next() is called again after a pause, unless it is SPK_STATE: final. */
    spk_status (*next)(void *self, struct spk_frame **frame, struct spk_error *error);
};

/* What a stage works on. */
struct spk_work {
    const struct spk_stack *reference;
    const struct spk_stack *sample;
    struct spk_result *result;
};

/* A stage of a lane. Everything is allocated in prepare(); from then on no operation but prepare() and set() may allocate,
 * lock or do I/O. */
struct spk_stage {
    /* [lane] Form of the data that will come; fills the form it hands on (`out` starts as a copy of `in`). Called again
     * after a stop when the form changes. Required. */
    spk_status (*prepare)(void *self, const struct spk_format *in, struct spk_format *out,
                          struct spk_error *error);
    /* [lane] Takes over the mean dark or flat, [height][width] of the raw form. Optional; prep stages. */
    spk_status (*calibrate)(void *self, enum spk_role role, const float *mean, struct spk_error *error);
    /* [lane] Corrects one raw frame into `image` [out height][out width] and narrows `mask`, which starts at 1 and is
     * shared by the frames of a stack (AND). At most one stage of a lane has it: the first. Optional. */
    spk_status (*correct)(void *self, const struct spk_frame *frame, float *image, uint8_t *mask,
                          struct spk_error *error);
    /* [lane] A new reference is in force, or a stage before this one has put its own in place of it: compute what depends on it
     * alone. Borrowed until the next call. Optional. */
    spk_status (*reference)(void *self, const struct spk_stack *reference, struct spk_error *error);
    /* [lane] Adds this stage's maps to work->result and narrows its `valid`, which starts as the masks of reference and
     * sample combined. Positions whose `present` is 0 on either side are left out. It may put a stack of its own in place of
     * work->sample for the stages behind it, of the same form: on the processor only, a lane on a device copies it up. With it, and without keeps_reference, it may put a reference of its own in place of work->reference,
     * for this call alone: the stages behind it take that by reference() before they process, and the one in force again
     * at the next call that leaves it there. Optional for a prep stage. */
    spk_status (*process)(void *self, struct spk_work *work, struct spk_error *error);
    /* [lane] New values of live options; called between two results. Required when a live option exists. */
    spk_status (*set)(void *self, const void *config, struct spk_error *error);
    /* reference() and process() take stacks in binary16 (spk_stack.half), or do not look at what the frames hold. Where all stages of
     * a lane do, with and without its device, detector data of up to 16 bits a pixel is kept that way. */
    bool half;
    /* process() does not look at the frames of work->reference: reference() keeps what it needs of them. Where that holds for all
     * stages, a lane on the processor lets frames in binary16 go when reference() has returned. */
    bool keeps_reference;
    /* [lane] Device stages: gives back what prepare() took on the device, which may have failed. Required there. */
    void (*release)(void *self);
    /* [lane] Device stages: the work that process() queued is over; `work` as given there, but on the host: adds to
     * work->result->provenance what is known only now. Optional. */
    void (*finish)(void *self, struct spk_work *work);
};

struct spk_sink {
    /* [sink] Takes one result, borrowed for the length of the call. */
    spk_status (*publish)(void *self, const struct spk_result *result, struct spk_error *error);
    /* [sink] Takes one raw frame, borrowed or held with spk_frame_ref(): simulated detectors, recorders. SPK_AGAIN: not
     * now, offer it again. Exactly one of publish and frame. */
    spk_status (*frame)(void *self, const struct spk_frame *frame, struct spk_error *error);
    /* [sink] About every 100 ms, results or not: health records, reconnects. Optional. */
    spk_status (*idle)(void *self, struct spk_error *error);
    /* [sink] The stream ended (end of input, stop): finish files, send an end message. More may follow. A sink of frames may
     * answer SPK_AGAIN to be called again. Optional. */
    spk_status (*end)(void *self, struct spk_error *error);
};

struct spk_control {
    /* [service] Serves clients for about 100 ms, then returns SPK_OK. */
    spk_status (*serve)(void *self, struct spk_error *error);
    /* Any thread, no instance needed: sends one request (a JSON object with the member "command", see daemon/cmd_ctl.c) to
     * the service at `endpoint` and returns its reply text, to be freed by the caller. A reply that reports a failure
     * is returned as that failure, its message in `error`. Optional. */
    spk_status (*request)(const char *endpoint, const char *request, int timeout_ms, char **reply,
                          struct spk_error *error);
};

/* A look at a configuration before anything is opened: what a plugin's check() reads and where it reports. */
struct spk_check {
    uint32_t size; /* of this structure */
    void *context; /* first argument of problem() */
    /* One problem with the value of `key`; NULL: with the plugin as a whole. `error` says what, and by its status whether
     * the configuration is wrong (SPK_INVALID) or something that it needs is not there now. */
    void (*problem)(void *context, const char *key, const struct spk_error *error);
    /* The data at this place of the graph, as far as it is known. A source fills in what describe() will say, a stage the
     * format that it hands on. */
    struct spk_source_info info;
    bool settled; /* the service will know no more than this: a unit or size that is missing stays missing */
};

/* Report a problem; spk_check_error() takes the message in `error`, if there is one, and clears it. */
SPK_API void spk_check_problem(const struct spk_check *check, const char *key, spk_status status,
                               const char *format, ...) SPK_PRINTF(4, 5);
SPK_API void spk_check_error(const struct spk_check *check, const char *key, struct spk_error *error);

struct spk_plugin {
    uint32_t abi;        /* SPK_PLUGIN_ABI */
    uint32_t size;       /* sizeof(struct spk_plugin) */
    const char *name;    /* as the folder: source_*, prep_*, recon_*, post_*, ctl_*, sink_* */
    const char *summary; /* one sentence */
    const char *version;
    const struct spk_option *options; /* ends with SPK_OPTION_END; NULL = none */
    size_t config_size;               /* of the structure the options fill */

    /* [control] SPK_UNSUPPORTED and why, when this machine cannot run it (no driver, no device). Optional. */
    spk_status (*available)(struct spk_error *error);
    /* [control] Reports all that open() or the first prepare() would refuse about `config`, as far as it can be known without
     * a trace: files may be read; no port, no thread, no device, nothing written. Optional. */
    void (*check)(const void *config, struct spk_check *check);
    /* [control] Makes an instance. `host` outlives it; `config` is borrowed for the call. Required. */
    spk_status (*open)(const struct spk_host *host, const void *config, void **self, struct spk_error *error);
    /* [control] Frees the instance, sets *self to NULL. Required. */
    void (*close)(void **self);

    /* Exactly one. */
    const struct spk_source *source;
    const struct spk_stage *stage;
    const struct spk_sink *sink;
    const struct spk_control *control;

    /* The stage once more, for a lane on a device (spk_host.device): the same instance and operations, but frame->data, image,
     * mask, and the data, mask, map and valid of stacks and results are on the device (`present` and calibrate()'s mean
     * are not). Its operations queue their work on spk_host.stream and do not wait for it, but for correct() where only
     * the device knows whether it must refuse the frame. prepare() may answer
     * SPK_UNSUPPORTED and why: then `stage` runs instead, on the processor, and the lane copies what it needs. Optional. */
    const struct spk_stage *device_stage;
};

/* The one symbol a plugin exports. */
SPK_API const struct spk_plugin *spk_plugin_entry(void);

/* The gate: SPK_UNSUPPORTED on a foreign abi or size, SPK_INVALID on missing or surplus members. Any thread. */
SPK_API spk_status spk_plugin_check(const struct spk_plugin *plugin, struct spk_error *error);

/* Makes plugins known that are part of the program: `entries` ends with NULL and is borrowed for good. Before any
 * spk_plugin_load(). [control] */
SPK_API void spk_plugin_register(const struct spk_plugin *(*const *entries)(void));

/* Loads and checks the plugin `name` from the directories of SPECKLED_PLUGIN_PATH (colon-separated), then the build's or
 * the installation's own directory. Loaded plugins stay loaded; a second call returns the same. [control] */
SPK_API spk_status spk_plugin_load(const char *name, const struct spk_plugin **plugin,
                                   struct spk_error *error);

/* Names of all plugins found in those directories, sorted; returns how many, at most `capacity` are written. [control] */
SPK_API size_t spk_plugin_list(char (*names)[SPK_STRING_SIZE], size_t capacity);

#endif
