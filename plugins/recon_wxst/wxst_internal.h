/* The steps of recon_wxst among themselves. */
#ifndef SPECKLED_WXST_INTERNAL_H
#define SPECKLED_WXST_INTERNAL_H

#include "wavelet.h"
#include "wxst.h"

enum { WXST_LANES = 8 }; /* vectors are padded with zeros to a multiple of this */

struct wxst_form {
    unsigned height, width;
    unsigned range; /* px, searched on both sides of the start */
    unsigned limit; /* px, largest displacement */
};

/* One level of the pyramid. Level 0 is the image itself. */
struct wxst_level {
    unsigned height, width, range, limit; /* as struct wxst_form */
    struct wavelet_plan plan;             /* of the vectors in use */
    unsigned stride; /* floats from one vector to the next, enough for any number of frames */
    float *reference,
        *sample;   /* [count][height][width] approximations; NULL at level 0: the stacks themselves */
    float *vector; /* [height][width][stride] of the reference; NAN first where there is no vector */
    int16_t *shift_x, *shift_y; /* [height][width] what was found; NULL at level 0 */
};

struct spk_wxst {
    struct spk_wxst_config config;
    struct spk_ratio ratio;
    unsigned neighbours; /* 0 for WSVT */
    unsigned levels;     /* index of the coarsest */
    struct wxst_level level[SPK_WXST_LEVELS_MAX + 1];
    unsigned *made_of; /* [count] positions that the reference's vectors hold */
    unsigned made_count;
    const struct spk_tracker_maps *maps;

    unsigned vector_size; /* floats of a vector before its transform, and of each of its two scratch arrays */
    unsigned stride_max;  /* of all levels */
    size_t scratch_size;  /* floats a worker */
    float *scratch;       /* [workers][scratch_size] */
    unsigned current;     /* level in work */
    bool current_is_sample; /* whose pyramid is being made */
};

static inline float *wxst_scratch(const struct spk_wxst *w, unsigned worker)
{
    return w->scratch + worker * w->scratch_size;
}

/* Values of a vector when `frames` are in use. */
static inline unsigned wxst_vector_length(const struct spk_wxst *w, unsigned frames)
{
    unsigned side = 2 * w->neighbours + 1;
    return frames * side * side;
}

/* The plan of level p for vectors of this length. */
void wxst_plan(int cut, unsigned p, unsigned length, struct wavelet_plan *plan);
/* Coefficients of level p at most, for any number of frames up to this one; `side` is that of the neighbourhood. */
unsigned wxst_size_max(int cut, unsigned p, unsigned frames, unsigned side);
/* The images of all levels and what is searched in them. */
void wxst_forms(const struct spk_wxst_config *config, unsigned height, unsigned width,
                struct wxst_form *form);
/* Fills the approximations of the frames in use, of sample or reference. */
void wxst_make_pyramid(struct spk_wxst *w, bool sample);
/* Fills plans and vectors of the reference for the frames in use. */
void wxst_make_vectors(struct spk_wxst *w);
/* The vector of one pixel into out[stride]; `work` has room for 2 vector_size floats. out[0] is NAN where the values are all the same. */
void wxst_vector(const struct spk_wxst *w, unsigned p, bool sample, unsigned x, unsigned y, float *out,
                 float *work);

/* Finds the displacements of all levels, coarsest first; fills displacement and quality, NAN where there is no peak. */
void wxst_search(struct spk_wxst *w);

#endif
