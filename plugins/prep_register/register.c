/* Lifetime, and what registration keeps of a reference. */
#include "internal.h"

#include <speckled/num_image.h>
#include <stdlib.h>
#include <string.h>

static uint32_t margin_of(const struct spk_register_config *config)
{
    return (uint32_t)config->max_shift + REACH + SUPPORT;
}

spk_status spk_register_check(const struct spk_register_config *config, uint32_t height, uint32_t width,
                              struct spk_error *error)
{
    uint32_t least = SIDE + 2 * margin_of(config);
    if (height < least || width < least)
        return spk_fail(error, SPK_INVALID,
                        "frames of %u x %u px are too small for max_shift %lld: at least %u x %u", height,
                        width, (long long)config->max_shift, least, least);
    return SPK_OK;
}

static uint32_t blocks_along(const struct spk_register *self, uint32_t extent)
{
    uint32_t fit = (extent - 2 * self->margin) / SIDE;
    return fit < BLOCKS_MAX ? fit : BLOCKS_MAX;
}

static bool allocate(struct spk_register *self)
{
    size_t blocks = (size_t)self->rows * self->columns, pixels = (size_t)self->height * self->width;
    unsigned workers = spk_team_size(self->team);
    self->coefficient = calloc(blocks * self->count * self->patch * self->patch, sizeof(float));
    self->found = calloc(blocks * self->count, sizeof *self->found);
    self->value = calloc(blocks, sizeof *self->value);
    self->drift = calloc(self->count, sizeof *self->drift);
    self->bench = calloc(workers, sizeof *self->bench);
    self->shifted.data = aligned_alloc(64, (self->count * pixels * sizeof(float) + 63) / 64 * 64);
    self->shifted.mask = malloc(pixels);
    self->shifted.present = malloc(self->count);
    bool good = self->coefficient && self->found && self->value && self->drift && self->bench &&
                self->shifted.data && self->shifted.mask && self->shifted.present;
    for (unsigned i = 0; self->bench && i < workers; i++) {
        good = (self->bench[i].plane = malloc(pixels * sizeof(float))) && good;
        good = (self->bench[i].row = malloc((self->width + 2 * (size_t)self->edge) * sizeof(float))) && good;
    }
    return good;
}

spk_status spk_register_create(struct spk_register **self, const struct spk_register_config *config,
                               uint32_t count, uint32_t height, uint32_t width, struct spk_team *team,
                               struct spk_error *error)
{
    *self = NULL;
    spk_status status = spk_register_check(config, height, width, error);
    if (status)
        return status;
    struct spk_register *made = calloc(1, sizeof *made);
    if (!made)
        return spk_fail(error, SPK_NOMEM, "no memory");
    made->config = *config;
    made->count = count;
    made->height = height;
    made->width = width;
    made->team = team;
    made->margin = margin_of(config);
    made->patch = SIDE + 2 * made->margin;
    made->edge = 2 * made->margin;
    made->rows = blocks_along(made, height);
    made->columns = blocks_along(made, width);
    made->shifted = (struct spk_stack){.count = count, .height = height, .width = width};
    if (!allocate(made)) {
        spk_register_destroy(&made);
        return spk_fail(error, SPK_NOMEM, "no memory to register %u frames of %u x %u px", count, height,
                        width);
    }
    *self = made;
    return SPK_OK;
}

void spk_register_destroy(struct spk_register **self)
{
    struct spk_register *gone = *self;
    if (!gone)
        return;
    for (unsigned i = 0; gone->bench && i < spk_team_size(gone->team); i++) {
        free(gone->bench[i].plane);
        free(gone->bench[i].row);
    }
    free(gone->bench);
    free(gone->coefficient);
    free(gone->found);
    free(gone->value);
    free(gone->drift);
    free(gone->shifted.data);
    free(gone->shifted.mask);
    free(gone->shifted.present);
    free(gone);
    *self = NULL;
}

static void take_block(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    struct spk_register *self = context;
    const struct spk_stack *reference = self->reference;
    const size_t side = self->patch;
    uint32_t top = block_at(self, task / self->columns, self->rows, self->height) - self->margin;
    uint32_t left = block_at(self, task % self->columns, self->columns, self->width) - self->margin;
    for (uint32_t k = 0; k < self->count; k++) {
        float *patch = self->coefficient + ((size_t)task * self->count + k) * side * side;
        const float *from = reference->data + ((size_t)k * self->height + top) * self->width + left;
        if (!reference->present[k])
            continue;
        for (size_t y = 0; y < side; y++) {
            memcpy(patch + y * side, from + y * self->width, side * sizeof(float));
            spk_spline_prefilter(patch + y * side, side, 1, 1);
        }
        spk_spline_prefilter(patch, side, side, side);
    }
}

void spk_register_reference(struct spk_register *self, const struct spk_stack *reference)
{
    self->reference = reference;
    spk_team_run(self->team, take_block, self, self->rows * self->columns);
}
