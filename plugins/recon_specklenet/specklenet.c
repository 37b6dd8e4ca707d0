/* specklenet from a stack to maps: its memory, and the order of its parts. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float ENVELOPE_SIGMA = 10; /* px, between beam and pattern */

static float *take(size_t count)
{
    size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *memory = aligned_alloc(64, bytes ? bytes : 64);
    if (memory)
        memset(memory, 0, bytes); /* pages are there before the first frame */
    return memory;
}

static void plan(struct spk_specklenet *net)
{
    net->h = (net->height + GRID - 1) / GRID * GRID;
    net->w = (net->width + GRID - 1) / GRID * GRID;
    net->plane = (size_t)net->h * net->w;
    net->half_plane = net->plane / 4;
    net->half_wide_plane = (size_t)(net->h / 2 + 2 * COARSE_RADIUS) * (net->w / 2 + 2 * COARSE_RADIUS);
    net->wide_plane = (size_t)(net->h + 2 * BORDER) * (net->w + 2 * BORDER);
    if (net->wide_plane < net->half_wide_plane)
        net->wide_plane = net->half_wide_plane;
    net->windows = net->count <= 3 ? SPK_NET_SUPPORTS : SPK_NET_NARROW;
    net->transmissions = net->windows + JOINT;
    for (unsigned k = 0; k < LEVELS; k++) {
        struct level *level = &net->level[k];
        level->h = net->h >> (2 - k);
        level->w = net->w >> (2 - k);
        level->radius = k ? FINE_RADIUS : COARSE_RADIUS;
    }
}

static void fill_gaussian(struct spk_specklenet *net)
{
    float sum = 0;
    net->gaussian_radius = (unsigned)(2.5f * ENVELOPE_SIGMA);
    for (unsigned j = 0; j <= 2 * net->gaussian_radius; j++) {
        float x = ((float)j - (float)net->gaussian_radius) / ENVELOPE_SIGMA;
        sum += net->gaussian[j] = expf(-0.5f * x * x);
    }
    for (unsigned j = 0; j <= 2 * net->gaussian_radius; j++)
        net->gaussian[j] /= sum;
}

/* The largest of what a worker's task needs beside the planes: an offset of the coarse level, a strip of the fine one, a row of
 * all windows' fits. */
static size_t scratch_need(const struct spk_specklenet *net)
{
    const size_t w = net->w + 2 * LINE_MARGIN, quarter = net->plane / 16;
    size_t coarse = 2 * w + 6 * quarter, strip = w + 2 * (size_t)48 * net->w;
    size_t fits = (size_t)(SPK_NET_SUPPORTS * SPK_FITS + 4) * net->w, offsets = (size_t)128 * 128;
    size_t need = coarse > strip ? coarse : strip;
    need = need > fits ? need : fits;
    return (need > offsets ? need : offsets) + 2 * w;
}

static bool allocate_frames(struct spk_specklenet *net)
{
    const size_t n = net->count;
    bool good = (net->position = calloc(n, sizeof *net->position));
    good = (net->mean = take(2 * n)) && good;
    good = (net->r = take(n * net->plane)) && good;
    good = (net->s = take(n * net->plane)) && good;
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
    if (net->windows > SPK_NET_NARROW) {
        good = (net->wide_mean = take(4 * net->plane)) && good;
    }
    return good;
}

static bool allocate_scratch(struct spk_specklenet *net)
{
    const unsigned workers = spk_team_size(net->team);
    bool good = (net->scratch = calloc(workers, sizeof *net->scratch));
    for (unsigned i = 0; good && i < workers; i++)
        good = (net->scratch[i] = take(scratch_need(net)));
    return good;
}

spk_status spk_specklenet_create(struct spk_specklenet **net, const struct spk_specklenet_config *config,
                                 const struct spk_nn_weights *weights, uint32_t count, uint32_t height,
                                 uint32_t width, struct spk_team *team, enum spk_isa isa,
                                 struct spk_error *error)
{
    if (!count || height < SPK_SPECKLENET_SIDE_MIN || width < SPK_SPECKLENET_SIDE_MIN)
        return spk_fail(error, SPK_INVALID,
                        "recon_specklenet: %u frames of %u x %u pixels: at least 1 of %d x %d are needed",
                        count, width, height, SPK_SPECKLENET_SIDE_MIN, SPK_SPECKLENET_SIDE_MIN);
    struct spk_specklenet *self = calloc(1, sizeof *self);
    if (!self)
        return spk_fail(error, SPK_NOMEM, "recon_specklenet: no memory");
    self->config = *config;
    self->team = team;
    self->rows = spk_net_rows(isa);
    self->count = count;
    self->height = height;
    self->width = width;
    plan(self);
    fill_gaussian(self);
    spk_status status = SPK_OK;
    bool good = allocate_frames(self);
    good = allocate_planes(self) && good;
    if (!(allocate_scratch(self) && good))
        status = spk_fail(
            error, SPK_NOMEM,
            "recon_specklenet: no memory for stacks of %u frames of %u x %u pixels: a smaller region or "
            "binning in prep_dark_flat helps",
            count, width, height);
    if (!status)
        status = build_network(self, weights, error);
    if (status) {
        spk_specklenet_destroy(&self);
        return status;
    }
    self->sums = spk_nn_data(self->nn, self->sums_tensor);
    *net = self;
    return SPK_OK;
}

void spk_specklenet_destroy(struct spk_specklenet **net)
{
    struct spk_specklenet *self = *net;
    if (!self)
        return;
    float *const plane[] = {
        self->mean,     self->r,      self->s,        self->q,       self->half_r, self->half_c,
        self->half_q,   self->warped, self->envelope, self->inverse, self->flow_x, self->flow_y,
        self->mean_x,   self->mean_y, self->joint,    self->t,       self->d,      self->noise_sample,
        self->wide_mean};
    for (size_t i = 0; i < sizeof plane / sizeof *plane; i++)
        free(plane[i]);
    for (unsigned k = 0; k < LEVELS; k++) {
        free(self->level[k].x);
        free(self->level[k].y);
    }
    for (unsigned k = 0; k < 4; k++)
        free(self->power[k / 2][k % 2]);
    for (unsigned i = 0; self->scratch && i < spk_team_size(self->team); i++)
        free(self->scratch[i]);
    free(self->scratch);
    free(self->position);
    spk_nn_destroy(&self->nn);
    free(self);
    *net = NULL;
}

void spk_specklenet_set(struct spk_specklenet *net, int64_t passes, double max_error)
{
    net->config.passes = passes;
    net->config.max_error = max_error;
}

/* Lists the positions both stacks hold (`sample` may be NULL); says whether they are others than before. */
static bool positions_change(struct spk_specklenet *net, const struct spk_stack *sample)
{
    unsigned count = 0;
    bool change = false;
    for (unsigned k = 0; k < net->count; k++) {
        if (!net->reference->present[k] || (sample && !sample->present[k]))
            continue;
        change |= count >= net->frames || net->position[count] != k;
        net->position[count++] = k;
    }
    change |= count != net->frames;
    net->frames = count;
    return change;
}

static spk_status prepare_reference(struct spk_specklenet *net, struct spk_error *error)
{
    net->ready = false;
    if (!net->frames)
        return spk_fail(error, SPK_INVALID,
                        "recon_specklenet: reference and sample have no scan position in common");
    spk_status status = normalise_reference(net, error);
    net->ready = !status;
    return status;
}

spk_status spk_specklenet_reference(struct spk_specklenet *net, const struct spk_stack *reference,
                                    struct spk_error *error)
{
    net->reference = reference;
    positions_change(net, NULL);
    return prepare_reference(net, error);
}

spk_status spk_specklenet_process(struct spk_specklenet *net, const struct spk_stack *sample,
                                  const struct spk_specklenet_maps *maps, struct spk_error *error)
{
    if (!net->reference)
        return spk_fail(error, SPK_STATE, "recon_specklenet: no reference yet");
    spk_status status = SPK_OK;
    if (positions_change(net, sample) || !net->ready)
        status = prepare_reference(net, error);
    if (!status)
        status = normalise_sample(net, sample, error);
    if (!status)
        status = search(net, error);
    if (status)
        return status;
    memcpy(net->flow_x, net->level[LEVELS - 1].x, net->plane * sizeof *net->flow_x);
    memcpy(net->flow_y, net->level[LEVELS - 1].y, net->plane * sizeof *net->flow_y);
    int64_t passes = net->config.passes ? net->config.passes : net->count <= 3 ? 2 : 1;
    for (int64_t i = 0; i < passes; i++) {
        fit_windows(net);
        if (spk_nn_run(net->nn, LEVELS, error))
            return error->status;
        choose(net);
    }
    solve_contrast(net);
    write_maps(net, maps);
    return SPK_OK;
}
