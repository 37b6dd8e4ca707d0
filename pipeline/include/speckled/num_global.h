/* Global refinement of a matched field: one edge-preserving, curl-coupled least squares over the whole image, started from
 * any map of (T, K, ux, uy) that is right to about a pixel. K = T D.
 *
 * The caller brings the normal equations of each pixel, linearised at the present estimate (spk_match_ops.normal makes them);
 * this part knows nothing of frames. Each iteration minimises
 *
 *     1/2 sum_x w(x) chi2(x) + 1/2 sum_c sum_x s_c(x) (p_xx^2 + p_yy^2 + 2 p_xy^2) + gamma / 2 sum curl(u)^2
 *
 * with c = T, K and u (ux and uy share one s), second differences p_xx, p_yy, p_xy, and w = min(1, 2 / chi2), chi2 relative to what is
 * typical, so that pixels which no displacement explains do not pull at their neighbours. The weights follow the field:
 *
 *     s_c(x) = k_c / (mean-square second difference near x + what noise adds to it),
 *
 * which is expectation-maximisation for a field whose second differences have a variance of their own at each place (Wipf and
 * Nagarajan, NIPS 20 (2007)): smooth where it is smooth, free to bend at edges. What noise adds is taken from a sample of the error:
 * the solution of the same system for a random right-hand side (Papandreou and Yuille, ICCV (2011)). The curl of a
 * displacement by refraction is 0. Linear systems are solved by conjugate gradients with a multilevel preconditioner (Bramble, Pasciak
 * and Xu, Math. Comp. 55, 1 (1990)).
 *
 * Thread: one caller at a time, [lane]. Only spk_global_create() and spk_global_keep() allocate. */
#ifndef SPECKLED_NUM_GLOBAL_H
#define SPECKLED_NUM_GLOBAL_H

#include <speckled/num_match.h>
#include <speckled/status.h>
#include <speckled/team.h>

enum { SPK_GLOBAL_T, SPK_GLOBAL_K, SPK_GLOBAL_X, SPK_GLOBAL_Y, SPK_GLOBAL_PARAMS };

struct spk_global;

/* Linearisations at most, unless the caller says: one frame leaves more to the priors, whose weights take longer to settle. */
static inline unsigned spk_global_iterations(unsigned frames)
{
    return frames > 1 ? 6 : 8;
}

/* Makes an instance for maps of height x width pixels. `team` is borrowed until destroy (NULL: the caller works alone).
 * Errors: SPK_INVALID (no pixels), SPK_UNSUPPORTED (`isa` does not run here), SPK_NOMEM. [control] */
spk_status spk_global_create(struct spk_global **global, unsigned height, unsigned width,
                             struct spk_team *team, enum spk_isa isa, struct spk_error *error);
/* Frees everything, sets *global to NULL. NULL is allowed. */
void spk_global_destroy(struct spk_global **global);

/* For problems that follow one another with nearly the same data: from now on a run goes on from the field that the last one got to,
 * wherever its own start agrees with that to a quarter of a pixel, and from the samples of the error. Where they are apart by more than
 * noise in a twentieth of the pixels it begins anew. Then one linearisation is mostly enough. Problems must want the `deviation`.
 * Errors: SPK_NOMEM. [control] */
spk_status spk_global_keep(struct spk_global *global, struct spk_error *error);
/* The next run begins anew. */
void spk_global_forget(struct spk_global *global);

/* Everything is borrowed for the length of the call. Rows of `param` and `error` are `pitch` floats apart, those of `normal`
 * `normal_pitch`, its planes `plane`. */
struct spk_global_problem {
    size_t pitch;
    float *param[SPK_GLOBAL_PARAMS]; /* in: the start; out: the result */
    float *
        error; /* standard deviation of u in px, both components together. In: of the start, which says where to
                      trust it; NAN and infinity: not. Out (see `deviation`): of the result */
    float *normal; /* [SPK_NORMALS] planes, SPK_NORMAL_*; what is there afterwards means nothing */
    size_t normal_pitch, plane;
    /* Fills rows first to last - 1 of `normal` at the present `param`; called for all rows, on all workers. */
    void (*equations)(void *context, unsigned first, unsigned last, unsigned worker);
    void *context;
    float origin[SPK_GLOBAL_PARAMS]; /* that the right-hand sides of the equations are relative to */
    float range;                     /* px: ux, uy stay this near their origin */
    unsigned frames;                 /* equations a pixel: what chi2 is expected to be */
    bool dark_field;                 /* false: K = T */
    unsigned
        iterations; /* linearisations at most; 0 = spk_global_iterations(). It is over when the field moves by less than 0.003 px
                            (0.01 px in the step that goes on from another run) */
    int64_t deadline_ns; /* CLOCK_MONOTONIC; what is reached by then is the result. 0 = none */
    /* Replace `error`, if the deadline leaves the time: by the spread of samples of the error, and by how much more than these the field
     * leaves of the data that is displacement (global_trust_px()). */
    bool deviation;
};

/* How far it got. */
struct spk_global_report {
    unsigned iterations; /* linearisations whose step was taken, also in part */
    unsigned inner;      /* conjugate-gradient steps in all */
    float change;        /* px: root-mean-square step of u in the last one */
    bool deviation;      /* `error` is that of the result */
    bool converged;      /* by itself, not by `iterations` or the deadline */
};

/* Refines in place. NaN in the start is taken as no knowledge. */
void spk_global_run(struct spk_global *global, const struct spk_global_problem *problem,
                    struct spk_global_report *report);

#endif
