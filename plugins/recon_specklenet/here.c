/* specklenet on the processor: its memory, and what is done in front of its networks and behind them. */
#include "internal.h"

#include <speckled/num_memory.h>

#include <stdlib.h>

static float *take(size_t count)
{
    return spk_planes_create(count * sizeof(float));
}

/* The largest of what a worker's task needs beside the planes: some offsets of the coarse level, a strip of the fine one, a row of
 * all windows' fits. */
static size_t scratch_need(const struct spk_specklenet *net)
{
    const size_t w = net->w + 2 * LINE_MARGIN, quarter = net->plane / 16;
    size_t coarse = (1 + COARSE_TOGETHER) * w + (COARSE_TOGETHER + 5) * quarter,
           strip = w + (size_t)(SEARCH_SIDE + 1) * STRIP_ROWS * net->w;
    size_t fits = (size_t)(SPK_NET_SUPPORTS * SPK_FITS + 4) * net->w,
           offsets = (size_t)COARSE_OFFSETS * SPK_NET_EXPECT_BLOCK;
    size_t need = coarse > strip ? coarse : strip;
    need = need > fits ? need : fits;
    return (need > offsets ? need : offsets) + 2 * w;
}

static bool allocate_frames(struct spk_specklenet *net)
{
    const size_t n = net->count;
    bool good = (net->mean = take(2 * n));
    good = (net->r = take(n * net->plane)) && good;
    good = (net->s = take(n * net->plane + SPK_MATCH_STEP)) && good; /* its cells are read whole */
    good = (net->q = take(n * net->plane)) && good;
    good = (net->half_r = take(n * net->half_wide_plane)) && good;
    good = (net->half_c = take(n * net->half_plane)) && good;
    good = (net->half_q = take(n * net->half_plane)) && good;
    return (net->warped = take(n * net->wide_plane)) && good;
}

static bool allocate_planes(struct spk_specklenet *net)
{
    float **const plane[] = {&net->envelope, &net->inverse, &net->flow_x, &net->flow_y, &net->mean_x,
                             &net->mean_y,   &net->joint,   &net->t,      &net->d};
    bool good = true;
    for (size_t i = 0; i < sizeof plane / sizeof *plane; i++)
        good = (*plane[i] = take(net->plane)) && good;
    for (unsigned k = 0; k < LEVELS; k++) {
        size_t size = (size_t)net->level[k].h * net->level[k].w;
        good = (net->level[k].x = take(size)) && good;
        good = (net->level[k].y = take(size)) && good;
    }
    for (unsigned k = 0; k < 4; k++)
        good = (net->power[k / 2][k % 2] = take(SPK_NET_LEVEL_WINDOWS * net->wide_plane)) && good;
    good = (net->noise_sample = take(net->plane / 16)) && good; /* sides are multiples of four */
    return (net->wide_mean = take(4 * net->plane)) && good;
}

static bool allocate_scratch(struct spk_specklenet *net)
{
    const unsigned workers = spk_team_size(net->team);
    bool good = (net->scratch = calloc(workers, sizeof *net->scratch));
    for (unsigned i = 0; good && i < workers; i++)
        good = (net->scratch[i] = take(scratch_need(net)));
    return good;
}

static spk_status open_here(struct spk_specklenet *net, struct spk_error *error)
{
    bool good = allocate_frames(net);
    good = allocate_planes(net) && good;
    if (!(allocate_scratch(net) && good))
        return spk_fail(
            error, SPK_NOMEM,
            "recon_specklenet: no memory for stacks of %u frames of %u x %u pixels: a smaller region or "
            "binning in prep_dark_flat helps",
            net->count, net->height, net->width);
    net->sums = spk_nn_data(net->nn, net->sums_tensor);
    return net->config.refine == SPK_SPECKLENET_GLOBAL ? refinement_create(net, error) : SPK_OK;
}

static void close_here(struct spk_specklenet *net)
{
    float *const plane[] = {
        net->mean,     net->r,      net->s,        net->q,       net->half_r, net->half_c,
        net->half_q,   net->warped, net->envelope, net->inverse, net->flow_x, net->flow_y,
        net->mean_x,   net->mean_y, net->joint,    net->t,       net->d,      net->noise_sample,
        net->wide_mean};
    for (size_t i = 0; i < sizeof plane / sizeof *plane; i++)
        free(plane[i]);
    for (unsigned k = 0; k < LEVELS; k++) {
        free(net->level[k].x);
        free(net->level[k].y);
    }
    for (unsigned k = 0; k < 4; k++)
        free(net->power[k / 2][k % 2]);
    for (unsigned i = 0; net->scratch && i < spk_team_size(net->team); i++)
        free(net->scratch[i]);
    free(net->scratch);
    refinement_destroy(net);
}

static spk_status fit_here(struct spk_specklenet *net, struct spk_error *error)
{
    (void)error;
    fit_windows(net);
    return SPK_OK;
}

static spk_status choose_here(struct spk_specklenet *net, struct spk_error *error)
{
    (void)error;
    choose(net);
    return SPK_OK;
}

static spk_status finish_here(struct spk_specklenet *net, const struct spk_stack *sample,
                              const struct spk_specklenet_maps *maps, struct spk_error *error)
{
    (void)error;
    solve_contrast(net);
    if (net->refinement)
        refine_field(net, sample);
    write_maps(net, maps);
    return SPK_OK;
}

const struct net_ops net_ops_here = {.open = open_here,
                                     .close = close_here,
                                     .reference = normalise_reference,
                                     .sample = normalise_sample,
                                     .correlate = correlate_level,
                                     .expect = expect_level,
                                     .fit = fit_here,
                                     .choose = choose_here,
                                     .finish = finish_here};
