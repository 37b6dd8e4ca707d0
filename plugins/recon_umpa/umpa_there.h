/* What the operations of recon_umpa on a device work on. All addresses are on the device; planes are [height][width]. */
#ifndef SPECKLED_UMPA_THERE_H
#define SPECKLED_UMPA_THERE_H

#include "umpa_px.h"

#include <speckled/device.h>
#include <stdbool.h>

enum {
    UMPA_THERE_RADIUS_MAX = 16, /* of the search window, and of the fixed one */
    UMPA_THERE_MARGIN = 2,      /* mirrored pixels round spline coefficients */
    UMPA_THERE_BLOCKS = 256,    /* noise blocks a frame */
    UMPA_THERE_BAND = 16,       /* rows of a band whose mean is taken */
    UMPA_THERE_SPLINE = 16,     /* reach of the taps that make spline coefficients */
    UMPA_THERE_STRIP = 9,       /* columns of shifts that the search takes at once, at most */
};

/* Numbers of the stacks, made on the device and read there. */
struct umpa_numbers {
    float scale; /* 1 / mean of the reference: all numbers are in units of its mean */
    float noise_reference, level, noise_sample; /* variances over intensity; mean of the sample */
    float slope_reference;                      /* mean-square difference of neighbouring pixels */
};

/* [count] planes in float or in binary16; the other address is NULL. */
struct umpa_planes {
    float *data;
    uint16_t *half;
};

struct umpa_there {
    int count, used_count, height, width;
    int guess_x, guess_y, radius, shift; /* px: of the search window, of the search */
    int mean_radius, window, refine;
    bool stepping; /* the sample is elsewhere in each frame; the maps show it where it would be without */
    bool dark_field,
        parity; /* parity: window means of each frame, as UMPA's; of a fixed window without refinement */
    float search_weight[2 * UMPA_THERE_RADIUS_MAX +
                        1]; /* of the integer search; the middle one in the middle */
    float window_weight[2 * UMPA_THERE_RADIUS_MAX + 1]; /* of the refinement, where it is fixed */

    struct umpa_planes reference, sample; /* not written to */
    const uint8_t *reference_mask, *sample_mask;
    const int *used;        /* [used_count] frames in both stacks */
    const int *used_here;   /* the same, on the host */
    const uint8_t *present; /* [count] on the host: the reference has the frame */
    const int *offset_x,
        *offset_y;            /* [count] px: where the sample is in each frame; looked at where `stepping` */
    const float *mean_taps;   /* [2 mean_radius + 1] of the local mean */
    const float *search_taps; /* [2 radius + 1] of search_weight */
    const float *spline_taps; /* [2 UMPA_THERE_SPLINE + 1] that make spline coefficients of values */
    const struct spk_spline_noise *spline;

    struct umpa_numbers *numbers;
    float *values; /* to take medians of: bands, or noise blocks of all frames */

    /* of the reference alone */
    uint8_t *reference_usable; /* pixels that count in every frame in use, with sample stepping in any */
    uint8_t *reference_whole;  /* in every one; the same address without sample stepping */
    float *mean;               /* its local mean */
    struct umpa_planes
        packed; /* mean taken out (parity: 1), 0 where it does not count; with sample stepping at the pixels
                                * of the maps, NaN where the frame does not count */
    uint16_t *coefficient; /* [count][height + 2 margin][umpa_there_pitch()], binary16 */
    float *frame_mean;     /* [count] planes, parity: window means of `packed` */
    float *r1, *r2;        /* sums over frames of packed and its square */
    float *window_r;       /* window sum of packed */
    float *factor[3];      /* struct umpa_factors, with plain window sums in them until they are made */

    /* of the sample */
    uint8_t *usable, *whole; /* as of the reference */
    float *s1, *s2; /* sums over frames of sample * scale - level and its square, 0 where it does not count */
    float *window_s, *window_ss;
    float *sample_mean; /* [count] planes, parity */

    float *param[4], *cost, *error, *quality; /* T, K, ux, uy */
    float *normal[UMPA_LEVELS];               /* [SPK_NORMALS] planes of the level's size */
    float *found[UMPA_LEVELS];                /* [rungs][8] planes: estimates and errors; not of level 0 */
    float *swap[2];                           /* planes */

    float *transmission, *dark_field_map, *displacement_x, *displacement_y, *quality_map,
        *error_map; /* results */
    uint8_t *valid;

    const uint32_t *idle;  /* not 0 there: equations are not wanted; NULL: they are */
    const bool *deviation; /* `error` is that of a refinement of the whole field; NULL: it is not */
};

/* Numbers a row of spline coefficients takes: even, since they are read two at a time. */
SPK_HD int umpa_there_pitch(int width)
{
    return (width + 2 * UMPA_THERE_MARGIN + 1) / 2 * 2;
}

/* What depends on the reference: needs `reference`, `used` and everything that is constant. */
SPK_API spk_status spk_umpa_reference_there(void *stream, const void *arguments, struct spk_error *error);
/* Sums over the frames in use of the reference: after the former, and when `used` changes. */
SPK_API spk_status spk_umpa_sums_there(void *stream, const void *arguments, struct spk_error *error);
/* Parameters of one sample: search and windows. */
SPK_API spk_status spk_umpa_process_there(void *stream, const void *arguments, struct spk_error *error);
/* Equations of every pixel at its present parameters. */
SPK_API spk_status spk_umpa_equations_there(void *stream, const void *arguments, struct spk_error *error);
/* Maps of the parameters. */
SPK_API spk_status spk_umpa_maps_there(void *stream, const void *arguments, struct spk_error *error);

/* Steps of the latter, in the .cu files among themselves: the best integer shift; the sub-pixel passes. */
spk_status umpa_there_search(void *stream, const struct umpa_there *u, struct spk_error *error);
spk_status umpa_there_refine(void *stream, const struct umpa_there *u, struct spk_error *error);

#endif
