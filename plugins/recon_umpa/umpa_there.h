/* What the operations of recon_umpa on a device work on. All addresses are on the device; planes are [height][width]. */
#ifndef SPECKLED_UMPA_THERE_H
#define SPECKLED_UMPA_THERE_H

#include "umpa.h"
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
    UMPA_KEPT_PASSES = 2,       /* of the refinement, whose sums are kept */
    UMPA_KEPT_COLUMNS = 16,     /* of a cell, whose pixels are linearised together for that */
    UMPA_KEPT_ROWS = 8,
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

/* Products of the search that are kept are cut off at this: 64 times the square of the reference's mean. */
#define UMPA_KEPT_PRODUCT_MAX 64.0f

/* Sums that a pass of the refinement keeps: planes in which the pixels of a cell of UMPA_KEPT_COLUMNS x UMPA_KEPT_ROWS lie together,
 * of umpa_there_cells() of them. */
struct umpa_kept_pass {
    float *place;     /* [cells][2] where a cell was linearised; NaN: nowhere */
    float *reference; /* [UMPA_KEPT_ALONE] planes: sums of the reference alone */
    int64_t *
        product; /* [UMPA_KEPT_PRODUCTS] planes: sums of the sample's products with the reference and its slopes */
};
enum { UMPA_KEPT_ALONE = 9, UMPA_KEPT_PRODUCTS = 3 };

/* Rolling mode: what a stack leaves to the next one (umpa_kept_there.h). All NULL where there is none. */
struct umpa_kept_there {
    bool on;                                  /* this stack leaves something */
    bool all;                                 /* the last one has left nothing: everything is made */
    uint32_t fresh[SPK_UMPA_FRAMES_MAX / 32]; /* bit a frame: it is new, and in use */
    struct umpa_planes seen;                  /* [count] planes: the frames that the sums hold, as `sample` */
    uint8_t *mask;                            /* plane: the sample's of the last stack */
    uint32_t *other_mask;                     /* not 0 there: it is another one now */
    int64_t *sum, *square;                    /* planes: sums over frames of the sample and of its square */
    uint16_t *bad;                            /* plane: frames in which a pixel is no number */
    float *noise;                             /* [count][UMPA_THERE_BLOCKS] as `values` */
    struct umpa_kept_pass pass[UMPA_KEPT_PASSES];
    int32_t *
        search; /* [tiles][rows of shifts][columns][pixels of a tile]; NULL: made again each time, which is less to do */
    float search_quanta; /* of one, in `search` */
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
    int *used;              /* [used_count] frames in both stacks */
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

    struct umpa_kept_there kept;

    const uint32_t *idle;  /* not 0 there: equations are not wanted; NULL: they are */
    const bool *deviation; /* `error` is that of a refinement of the whole field; NULL: it is not */
};

/* Numbers a row of spline coefficients takes: even, since they are read two at a time. */
SPK_HD int umpa_there_pitch(int width)
{
    return (width + 2 * UMPA_THERE_MARGIN + 1) / 2 * 2;
}

/* The search's tiles: pixels under its windows, and of these those that have a window. */
#define UMPA_SEARCH_COLUMNS 64
#define UMPA_SEARCH_ROWS(radius) ((radius) > 8 ? 48 : 32)

/* The radius that kernels are made for. */
SPK_HD int umpa_search_radius(int radius)
{
    return radius <= 3 ? 3 : radius <= 6 ? 6 : UMPA_THERE_RADIUS_MAX;
}

/* Sums of products in all tiles at every shift. */
static inline size_t umpa_search_sums(int height, int width, int radius, int shift)
{
    const int rim = 2 * umpa_search_radius(radius), span = 2 * shift + 1;
    const int rows = UMPA_SEARCH_ROWS(rim / 2), columns = UMPA_SEARCH_COLUMNS;
    const size_t across = (size_t)((width + columns - rim - 1) / (columns - rim));
    const size_t down = (size_t)((height + rows - rim - 1) / (rows - rim));
    return across * down * (size_t)(rows * columns) * (size_t)(span * span);
}

static inline size_t umpa_there_cells(int height, int width)
{
    return (size_t)((height + UMPA_KEPT_ROWS - 1) / UMPA_KEPT_ROWS) *
           (size_t)((width + UMPA_KEPT_COLUMNS - 1) / UMPA_KEPT_COLUMNS);
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
/* The latter's equations of one pass, from the sums that are kept. */
void umpa_there_kept_equations(void *stream, const struct umpa_there *u, int pass);
/* Rolling mode: marks and sums of the sample, s1 and s2 about 0. */
void umpa_there_kept_sample(void *stream, const struct umpa_there *u);
spk_status umpa_there_refine(void *stream, const struct umpa_there *u, struct spk_error *error);

#endif
