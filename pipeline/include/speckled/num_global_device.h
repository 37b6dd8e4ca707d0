/* The global refinement of num_global.h on a device: the same steps and numbers, queued and never waited for. Whether an iteration is
 * the last and whether the deadline is near is decided on the device: what was queued behind does nothing then.
 *
 * Thread: one caller at a time, [lane]. Only spk_global_device_create() allocates. */
#ifndef SPECKLED_NUM_GLOBAL_DEVICE_H
#define SPECKLED_NUM_GLOBAL_DEVICE_H

#include <speckled/device.h>
#include <speckled/num_global.h>

struct spk_global_device;

/* Takes memory on `device` for maps of height x width pixels. `device` and `stream` are borrowed until destroy. Errors:
 * SPK_INVALID (no pixels), SPK_UNSUPPORTED (the device has no such code, or maps this high), SPK_NOMEM, SPK_DEVICE.
 * [control] [lane] */
spk_status spk_global_device_create(struct spk_global_device **global, unsigned height, unsigned width,
                                    struct spk_device *device, struct spk_stream *stream,
                                    struct spk_error *error);
/* Frees everything, sets *global to NULL. NULL is allowed. Its work must be over. */
void spk_global_device_destroy(struct spk_global_device **global);

/* As struct spk_global_problem, with planes [height][width] on the device. */
struct spk_global_device_problem {
    float *param[SPK_GLOBAL_PARAMS], *error;
    float *normal; /* [SPK_NORMALS] planes */
    /* Queues filling `normal` at the present `param`; where *idle is not 0 on the device it may as well do nothing. */
    spk_status (*equations)(void *context, const uint32_t *idle, struct spk_error *error);
    void *context;
    float origin[SPK_GLOBAL_PARAMS], range;
    unsigned frames, iterations;
    bool dark_field, deviation;
    int64_t allowance_ns; /* since spk_global_device_clock(); 0 = no deadline */
};

/* Durations on the device, ns; 0 = not measured yet. */
struct spk_global_times {
    int64_t before;    /* from the clock's start to that of the refinement */
    int64_t setup;     /* of an iteration before its solution begins */
    int64_t iteration; /* the longest */
    int64_t all;       /* from the clock's start to the end of the refinement */
};

/* Gets ready for problems whose equations lie at `normal`; a run with others does it itself, but then it may allocate. */
spk_status spk_global_device_settle(struct spk_global_device *global, float *normal, struct spk_error *error);
/* Queues taking the time that allowances count from. */
spk_status spk_global_device_clock(struct spk_global_device *global, struct spk_error *error);
/* Queues a run; the problem is read during the call only. */
spk_status spk_global_device_run(struct spk_global_device *global,
                                 const struct spk_global_device_problem *problem, struct spk_error *error);
/* Instead of a run: queues the report of one that did not begin. */
spk_status spk_global_device_skip(struct spk_global_device *global, struct spk_error *error);
/* Of the last run; valid once the stream's work is over. */
struct spk_global_report spk_global_device_report(const struct spk_global_device *global);
struct spk_global_times spk_global_device_times(const struct spk_global_device *global);
/* Whether error is that of the result: a word on the device, 0 = it is not. */
const bool *spk_global_device_deviation(const struct spk_global_device *global);

#endif
