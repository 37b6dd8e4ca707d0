/* What the operations of specklenet on a device work on. All addresses are on the device; planes are [h][w], h and w the frame's sides
 * carried on to multiples of GRID. */
#ifndef SPECKLENET_THERE_H
#define SPECKLENET_THERE_H

#include "net_px.h"

#include <speckled/device.h>

enum {
    NET_FRAMES_MAX = 1024,
    NET_PARTS = 64,    /* blocks that share the sum over a plane */
    NET_SPLINE = 16,   /* reach of the taps that make spline coefficients */
    NET_GAUSS_MAX = 32 /* reach of those of the envelope */
};

/* Numbers of a stack, made on the device and read there. */
struct net_found {
    bool reference_dark, sample_dark; /* a frame has no light: no pixel of the maps is valid */
    float coarse_floor; /* of the reference's variances at the first level, which does not warp it */
    float floor[2];     /* of the level at work: reference, sample */
    struct net_prior prior;
    float residual_median, own_median;
    float scale; /* of the noise of the bands that are joined */
};

struct net_there {
    int count, frames; /* scan positions; those in use */
    int height, width, h, w;
    int windows, transmissions;
    size_t wide_plane;            /* of warped frames, and of statistics, at most */
    size_t half_wide_plane;       /* of half-resolution frames with COARSE_RADIUS round them */
    float trust[2];               /* in the least squares' own errors, for u and D */
    float spline[NET_SPLINE + 1]; /* taps, from the middle on */
    float gauss[NET_GAUSS_MAX + 1];
    int gauss_radius;
    struct calibration calibration;

    struct net_found *found;
    double *part;  /* [NET_PARTS][2 count], sums of blocks */
    float *step;   /* [count] what damage is off by at least */
    float *mean;   /* [2][count] of reference and sample frames */
    float *factor; /* [count] of the sample's frames */
    float *envelope, *inverse;
    float *r, *s, *q; /* [count] planes: spline of reference / envelope - 1; sample; sample / envelope - 1 */
    float *half_r, *half_c,
        *half_q; /* at half resolution: reference with its border, its spline, sample / envelope - 1 */
    float *
        pooled; /* [2][half_wide_plane] frame means of half_r and its square over blocks of 2 x 2, which begin anywhere */
    float *warped; /* [count][wide_plane]; of a stack that is being taken, mended frames */
    float *
        spread; /* [2 sides][mean, square][SPK_NET_LEVEL_WINDOWS][wide_plane]; squares become 1 / deviation */
    float *flow,
        *flow_mean; /* [2] planes of the level's size: where it starts, and that averaged over 9 x 9 px */
    float *found_flow
        [LEVELS]; /* [2] planes of the level's size: what it found; of the last, the same as `flow` */
    float *volume[LEVELS], *gates[LEVELS], *features, *choice, *sums; /* tensors of the network */
    float *wide_mean;                                                 /* [2][2] planes */
    float *joint, *t, *d;
    float *values; /* every fourth pixel of every fourth row, to take medians of */
};

/* Takes a stack: in use are frames position[0 .. net.frames - 1]. */
struct net_stack_there {
    struct net_there net;
    const float *data;
    const uint8_t *mask;
    uint16_t position[NET_FRAMES_MAX];
};
SPK_API spk_status spk_specklenet_reference_there(void *stream, const void *arguments,
                                                  struct spk_error *error);
SPK_API spk_status spk_specklenet_sample_there(void *stream, const void *arguments, struct spk_error *error);

/* One level of the search: fills its network's input; finds the displacement from its output. */
struct net_level_there {
    struct net_there net;
    int level;
};
SPK_API spk_status spk_specklenet_correlate_there(void *stream, const void *arguments,
                                                  struct spk_error *error);
SPK_API spk_status spk_specklenet_expect_there(void *stream, const void *arguments, struct spk_error *error);

/* One pass of the fusion, in front of its network and behind: a struct net_there. */
SPK_API spk_status spk_specklenet_fit_there(void *stream, const void *arguments, struct spk_error *error);
SPK_API spk_status spk_specklenet_choose_there(void *stream, const void *arguments, struct spk_error *error);

/* T and D once more, where the displacement is found: a struct net_there. */
SPK_API spk_status spk_specklenet_contrast_there(void *stream, const void *arguments,
                                                 struct spk_error *error);
/* Any of the maps but `valid` may be NULL. */
struct net_maps_there {
    struct net_there net;
    float *transmission, *dark_field, *displacement_x, *displacement_y, *quality, *error;
    uint8_t *valid;
    float max_error;
};
SPK_API spk_status spk_specklenet_maps_there(void *stream, const void *arguments, struct spk_error *error);

/* What the host keeps of it. */
struct device_side {
    spk_device_operation reference, sample, correlate, expect, fit, choose, contrast, maps;
    struct net_there net;
    void *memory; /* all of the device's, cut into the addresses of `net` */
};

#endif
