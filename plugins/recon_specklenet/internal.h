/* What the files of specklenet share. Planes are [h][w] floats, h and w the frame's sides carried on to multiples of GRID. */
#ifndef SPECKLENET_INTERNAL_H
#define SPECKLENET_INTERNAL_H

#include "rows.h"
#include "specklenet.h"

#include <speckled/num_match.h>
#include <speckled/num_pace.h>

enum {
    LINE_MARGIN = 32,                  /* floats round a row for the widest window */
    COARSE_TOGETHER = 4,               /* offsets of the first level whose products are made side by side */
    SEARCH_SIDE = 2 * FINE_RADIUS + 1, /* offsets in a row of the other levels */
    STRIP = 32,                        /* rows of them a task */
    REACH = 4,                         /* rows that the cascade of three boxes looks beyond them */
    STRIP_ROWS = STRIP + 2 * REACH
};

/* One level of the search: its frames' form and its network's tensors. */
struct level {
    unsigned h, w; /* grid of its volume */
    unsigned radius;
    int volume, gates; /* tensors of the network */
    float *x, *y;      /* displacement found, px of the level's frames */
};

/* What is done in front of the networks and behind them: on the processor, the reference, or queued on a device. */
struct net_ops {
    /* Memory, once the networks are prepared; close() after a failure too. */
    spk_status (*open)(struct spk_specklenet *net, struct spk_error *error);
    void (*close)(struct spk_specklenet *net);
    /* Take a stack's frames in use. SPK_INVALID: one has no light; a device, which nobody waits for, marks all pixels of the maps
     * instead. */
    spk_status (*reference)(struct spk_specklenet *net, struct spk_error *error);
    spk_status (*sample)(struct spk_specklenet *net, const struct spk_stack *sample, struct spk_error *error);
    /* Fills the input of a level's network; finds the displacement from its output. */
    spk_status (*correlate)(struct spk_specklenet *net, unsigned level, struct spk_error *error);
    spk_status (*expect)(struct spk_specklenet *net, unsigned level, struct spk_error *error);
    /* The same for the fusion, as often as wanted. */
    spk_status (*fit)(struct spk_specklenet *net, struct spk_error *error);
    spk_status (*choose)(struct spk_specklenet *net, struct spk_error *error);
    /* T and D at the displacement that is found, the refinement where one is asked for, and maps. */
    spk_status (*finish)(struct spk_specklenet *net, const struct spk_stack *sample,
                         const struct spk_specklenet_maps *maps, struct spk_error *error);
};

extern const struct net_ops net_ops_here, net_ops_there;

/* Its planes are the processor's. */
struct spk_specklenet {
    const struct net_ops *ops;
    struct spk_specklenet_config config;
    struct spk_team *team;
    struct spk_device *device; /* NULL: the processor */
    struct spk_stream *stream;
    struct device_side *there; /* what the latter has */
    enum spk_isa isa;
    const struct spk_net_rows *rows;
    struct spk_nn *nn;
    unsigned count;         /* scan positions */
    unsigned height, width; /* of frames */
    unsigned h, w;          /* of planes */
    size_t plane;           /* h * w */
    size_t wide_plane;      /* of warped frames, with BORDER all round */
    size_t half_plane,
        half_wide_plane;    /* of half-resolution frames, the latter with COARSE_RADIUS round them */
    unsigned windows;       /* of the least squares */
    unsigned transmissions; /* candidates for T */
    struct level level[LEVELS];
    int features, choice; /* tensors of the fusion */
    float trust[2];       /* in the least squares' own errors, for u and D */
    struct calibration calibration;

    const struct spk_stack *reference; /* borrowed */
    unsigned *position; /* [count] the positions in use: those of the reference, or also of the sample */
    unsigned frames;    /* how many are in use */
    bool ready;         /* the reference is prepared for them */
    bool more;          /* passes of the fusion follow: the displacement alone is chosen */
    float *mean;        /* [2][count] of reference and sample frames */
    float *r, *s, *q; /* [frames][plane]: spline of reference / envelope - 1; sample; sample / envelope - 1 */
    float *envelope, *inverse; /* [plane], and its inverse */
    float *half_r, *half_c,
        *half_q;        /* at half resolution: reference with its border, its spline, sample / envelope - 1 */
    float *warped;      /* [frames][wide_plane] */
    float *power[2][2]; /* [LEVEL_WINDOWS][wide_plane] mean and square, later 1 / deviation, of r and q */
    float floor[2];     /* of the variances */
    float *flow_x, *flow_y, *mean_x,
        *mean_y;         /* [plane] where a level or the fit starts; its mean over 9 x 9 px */
    int sums_tensor;     /* scratch of the fusion's part */
    float *sums;         /* it: [windows][SPK_NET_SUMS][plane] */
    float *wide_mean;    /* [2][2][plane]: displacement averaged over the wide windows */
    float *joint;        /* [plane]: the transmission that is no feature */
    float *t, *d;        /* [plane] results */
    float *noise_sample; /* residuals of every fourth pixel */
    struct net_prior prior;
    float **scratch;     /* one for each worker */
    size_t scratch_size; /* floats */
    float gaussian[64];
    unsigned gaussian_radius;

    struct spk_pace pace;
    struct refinement *refinement; /* NULL: none is asked for */
    struct spk_global_report report;
    float *error; /* [height][w] of a refined displacement, both components together */
};

/* --- windows.c --- */

/* Rows first .. first + rows - 1 of an image of height h and width w. */
struct band {
    float *data;
    unsigned first, rows;
};

/* Mean over size x size pixels of `in`, edges carried on, into the rows of `out`; `in` must hold the rows within size / 2 of them that
 * exist. `line` is memory for w + 2 LINE_MARGIN floats. */
void box_band(const struct spk_net_rows *rows, const struct band *out, const struct band *in, unsigned h,
              unsigned w, unsigned size, float *line);
/* The same for a whole plane. */
void box_plane(const struct spk_net_rows *rows, float *out, const float *in, unsigned h, unsigned w,
               unsigned size, float *line);
/* Sides of the boxes that lead from one window to the next. */
extern const unsigned box_side[SPK_NET_SUPPORTS - 1];

/* --- normalise.c --- */
spk_status normalise_reference(struct spk_specklenet *net, struct spk_error *error);
spk_status normalise_sample(struct spk_specklenet *net, const struct spk_stack *sample,
                            struct spk_error *error);

/* --- correlate.c: fill the volume of a level --- */
void correlate_coarse(struct spk_specklenet *net);
void correlate_fine(struct spk_specklenet *net, struct level *level);
/* Warps frames, given by their spline coefficients, by (flow_x, flow_y) into net->warped, with its border. */
void warp_frames(struct spk_specklenet *net, unsigned h, unsigned w, const float *image, size_t plane);

/* --- fit.c --- */
void fit_windows(struct spk_specklenet *net);
/* The lower of the two middle values, by selection: values are reordered. */
float lower_median(float *value, size_t count);

/* --- search.c: one of the three levels, and the flow as a network sees it --- */
spk_status correlate_level(struct spk_specklenet *net, unsigned level, struct spk_error *error);
spk_status expect_level(struct spk_specklenet *net, unsigned level, struct spk_error *error);
/* Two channels of flow less its mean over 9 x 9 px, and one of ln N, to `out`. */
void flow_channels(struct spk_specklenet *net, unsigned h, unsigned w, float *out);

/* --- fuse.c --- */
void choose(struct spk_specklenet *net);
/* The network's own errors of a row, [width], as in the map of errors. */
void predicted_errors(const struct spk_specklenet *net, unsigned y, float *out);
void write_maps(struct spk_specklenet *net, const struct spk_specklenet_maps *maps);

/* --- contrast.c: T and D once more, where the displacement is found --- */
void solve_contrast(struct spk_specklenet *net);

/* --- refine.c --- */

/* Memory; refinement_destroy() after a failure too. */
spk_status refinement_create(struct spk_specklenet *net, struct spk_error *error);
void refinement_destroy(struct spk_specklenet *net);
/* Takes frame `k` of the reference, given as its contrast over the envelope, before any frame is warped; from all workers at once, frames
 * apart. Then, once, what they have in common. */
void refinement_frame(struct spk_specklenet *net, unsigned k, const float *contrast);
void refinement_reference(struct spk_specklenet *net);
/* Improves t, d and flow over the whole field, as far as the quality asked for and the time allow, and fills error. */
void refine_field(struct spk_specklenet *net, const struct spk_stack *sample);

/* --- graph.c --- */
spk_status build_network(struct spk_specklenet *net, const struct spk_nn_weights *weights,
                         struct spk_error *error);

#endif
