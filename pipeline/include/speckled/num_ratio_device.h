/* Transmission and dark-field at known displacements on a device: struct spk_ratio (num_ratio.h) once more, with stacks and maps
 * there. Trackers on a device build on it as those of the processor do on the other. */
#ifndef SPECKLED_NUM_RATIO_DEVICE_H
#define SPECKLED_NUM_RATIO_DEVICE_H

#include <speckled/device.h>
#include <speckled/num_ratio.h>
#include <speckled/num_used_device.h>

enum {
    SPK_RATIO_SPLINE = 16, /* reach of the taps that make spline coefficients */
    SPK_RATIO_BLOCKS = 256 /* that take the mean of a stack */
};

/* What the operations work on. All addresses are on the device; planes are [height][width]. */
struct spk_ratio_there {
    int count, used_count, height, width, window;
    const float *reference, *sample; /* [count] planes */
    int *used;                       /* [used_count] frames in both stacks */
    float *level;                    /* [2] means of reference and sample */
    double *partial;                 /* [2 SPK_RATIO_BLOCKS] sums and numbers */
    float *coefficient;              /* [count] planes: cubic B-spline coefficients of reference - level */
    float spline_taps[2 * SPK_RATIO_SPLINE + 1];
    struct spk_tracker_maps maps;
};

/* Level and spline coefficients of the reference; level of the sample; T and D. */
SPK_API spk_status spk_ratio_reference_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_ratio_sample_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_ratio_fill_there(void *stream, const void *arguments, struct spk_error *error);

/* A reference and a sample in work. Trackers read `there` and `stale`. */
struct spk_ratio_device {
    const char *name; /* before error messages; borrowed */
    struct spk_device *device;
    struct spk_stream *stream;
    struct spk_ratio_there there;
    bool
        stale; /* the frames in use changed; for the tracker to clear when it has done its work on the reference */
    const struct spk_stack *reference; /* borrowed; NULL before the first */
    spk_device_operation on_reference, on_sample, on_fill;
    void *memory;
    struct spk_used_device used;
};

/* As spk_ratio_create(); `device` and `stream` are borrowed until destroy. Also SPK_UNSUPPORTED: the device's module lacks the
 * operations. */
spk_status spk_ratio_device_create(struct spk_ratio_device *ratio, const char *name, uint32_t count,
                                   uint32_t height, uint32_t width, unsigned window,
                                   struct spk_device *device, struct spk_stream *stream,
                                   struct spk_error *error);
void spk_ratio_device_destroy(struct spk_ratio_device *ratio);
/* As spk_ratio_reference(), spk_ratio_sample(), spk_ratio_fill(). They queue their work; the stacks stay until it is over. */
spk_status spk_ratio_device_reference(struct spk_ratio_device *ratio, const struct spk_stack *reference,
                                      struct spk_error *error);
spk_status spk_ratio_device_sample(struct spk_ratio_device *ratio, const struct spk_stack *sample,
                                   struct spk_error *error);
spk_status spk_ratio_device_fill(struct spk_ratio_device *ratio, const struct spk_tracker_maps *maps,
                                 struct spk_error *error);
/* The operation `name`; SPK_UNSUPPORTED when the device's module lacks it. */
spk_status spk_ratio_device_find(const struct spk_ratio_device *ratio, const char *name,
                                 spk_device_operation *operation, struct spk_error *error);

#endif
