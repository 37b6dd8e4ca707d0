/* Detector correction on a device: raw frames there become corrected images there. Calibrations are made on the host by
 * struct spk_prep and copied up. One caller at a time. */
#ifndef PREP_DEVICE_H
#define PREP_DEVICE_H

#include "prep.h"

#include <speckled/device.h>

struct spk_prep_device;

/* Takes memory on `device` for frames as `prep` is prepared for. All three are borrowed until destroy; `prep` corrects no frame
 * itself in that time. SPK_UNSUPPORTED: the device's module lacks the operation. */
spk_status spk_prep_device_create(struct spk_prep_device **there, struct spk_prep *prep,
                                  struct spk_device *device, struct spk_stream *stream,
                                  struct spk_error *error);
void spk_prep_device_destroy(struct spk_prep_device **there);
/* Copies the calibration in force up, and waits. */
spk_status spk_prep_device_update(struct spk_prep_device *there, struct spk_error *error);
/* As spk_prep_correct(); frame->data, `image` and `mask` are on the device. Queues its work. With `normalise` it returns SPK_AGAIN: behind that work
 * *no_light, of the host, is not 0 where the frame has to be refused. It waits only for the first frame of a reference whose
 * local mean is taken, since the next one would be that if this one is refused. */
spk_status spk_prep_device_correct(struct spk_prep_device *there, const struct spk_frame *frame, float *image,
                                   uint8_t *mask, uint32_t *no_light, struct spk_error *error);

/* As spk_prep_reference(). The host has a copy of the local mean by then, for a lane that loses its device: the work on the
 * reference's frames is over. */
void spk_prep_device_reference(struct spk_prep_device *there);

enum { SPK_PREP_SUM_BLOCKS = 128 };

/* What a frame is normalised by, made on the device. */
struct spk_prep_intensity {
    double sum, count;
    float scale;       /* count / sum; without light 0 */
    uint32_t no_light; /* not 0: there is none */
};

/* Arguments of the operation spk_prep_correct_there; all addresses are on the device. */
struct spk_prep_there {
    const void *raw; /* [..][raw_width] of dtype */
    enum spk_dtype dtype;
    uint32_t raw_width, x, y; /* the region of interest begins here */
    uint32_t height, width;   /* and is so large */
    uint32_t bin;
    const float *dark, *gain; /* as raw; NULL: 0 and 1 */
    const uint8_t *always;    /* as raw: unusable pixels */
    float limit;              /* raw values at or above it are saturated */
    uint8_t *bad;             /* [height][width] */
    float *full;              /* [height][width]; `image` itself without binning */
    float *image;             /* [height / bin][width / bin] */
    uint8_t *mask;            /* as image */
    enum spk_prep_normalise normalise;
    uint32_t region_x, region_y, region_height, region_width; /* of raw pixels */
    double *partial;                                          /* [2 SPK_PREP_SUM_BLOCKS] sums and numbers */
    struct spk_prep_intensity *intensity;
    float *local;         /* as image: slow illumination to multiply by; NULL: 1 */
    float *local_scratch; /* as image */
    bool fresh;           /* `local` is to be made of this image */
    int half;             /* half the width of its mean */
};
SPK_API spk_status spk_prep_correct_there(void *stream, const void *arguments, struct spk_error *error);

#endif
