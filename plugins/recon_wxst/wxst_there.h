/* What the operations of recon_wxst on a device work on. All addresses are on the device; planes have their level's size. */
#ifndef SPECKLED_WXST_THERE_H
#define SPECKLED_WXST_THERE_H

#include "wavelet.h"
#include "wxst.h"

#include <speckled/num_ratio_device.h>

enum wxst_side { WXST_REFERENCE, WXST_SAMPLE, WXST_SIDES };

struct wxst_level_there {
    int height, width, range, limit; /* as struct wxst_form */
    struct wavelet_plan plan;        /* of the vectors in use */
    float *image[WXST_SIDES];   /* [count] planes: approximations; NULL at level 0: the stacks themselves */
    float *vector[WXST_SIDES];  /* [coefficients] planes; NAN in the first where there is no vector */
    int16_t *shift_x, *shift_y; /* planes: what was found; NULL at level 0 */
};

struct wxst_there {
    struct spk_ratio_there ratio; /* stacks, frames in use, levels, maps */
    int neighbours;               /* 0 for WSVT */
    int levels;                   /* index of the coarsest */
    enum spk_tracker_peak peak;
    enum wxst_side side; /* to work on */
    struct wxst_level_there level[SPK_WXST_LEVELS_MAX + 1];
};

/* Approximations of one side's frames in use. */
SPK_API spk_status spk_wxst_pyramid_there(void *stream, const void *arguments, struct spk_error *error);
/* Vectors of one side, of all levels. */
SPK_API spk_status spk_wxst_vectors_there(void *stream, const void *arguments, struct spk_error *error);
/* Displacement and quality. */
SPK_API spk_status spk_wxst_search_there(void *stream, const void *arguments, struct spk_error *error);

#endif
