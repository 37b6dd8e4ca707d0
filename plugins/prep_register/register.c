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
    uint32_t blocks = SIDE + 2 * margin_of(config);
    uint32_t least = config->sample_drift && blocks < TILE ? TILE : blocks;
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

static bool allocate_stack(struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    stack->data = aligned_alloc(64, (stack->count * pixels * sizeof(float) + 63) / 64 * 64);
    stack->mask = malloc(pixels);
    stack->present = malloc(stack->count);
    return stack->data && stack->mask && stack->present;
}

static bool allocate_search(struct spk_register *self)
{
    struct sample_search *search = &self->search;
    size_t tiles = (size_t)search->rows * search->columns;
    search->displacement = calloc(tiles * 2 * TILE * TILE, sizeof *search->displacement);
    search->sums = calloc(tiles * self->count, sizeof *search->sums);
    search->move = calloc(self->count, sizeof *search->move);
    search->drift = calloc(self->count, sizeof *search->drift);
    bool good = search->displacement && search->sums && search->move && search->drift;
    for (unsigned i = 0; i < spk_team_size(self->team); i++)
        good = (self->bench[i].tile = malloc(register_tile_floats(self->count) * sizeof(float))) && good;
    return allocate_stack(&self->moved) && good;
}

static bool allocate(struct spk_register *self)
{
    size_t blocks = (size_t)self->rows * self->columns, pixels = (size_t)self->height * self->width;
    unsigned workers = spk_team_size(self->team);
    self->coefficient = calloc(blocks * self->count * self->patch * self->patch, sizeof(float));
    self->found = calloc(blocks * self->count, sizeof *self->found);
    self->place = calloc(blocks, sizeof *self->place);
    self->value = calloc(blocks, sizeof *self->value);
    self->drift = calloc(self->count, sizeof *self->drift);
    self->bench = calloc(workers, sizeof *self->bench);
    bool good = self->coefficient && self->found && self->place && self->value && self->drift &&
                self->bench && allocate_stack(&self->shifted);
    for (unsigned i = 0; self->bench && i < workers; i++) {
        good = (self->bench[i].plane = malloc(pixels * sizeof(float))) && good;
        good = (self->bench[i].row = malloc((self->width + 2 * (size_t)self->edge) * sizeof(float))) && good;
    }
    return good && (!self->config.sample_drift || allocate_search(self));
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
    made->edge = 2 * made->margin + SAMPLE_MAX;
    made->rows = blocks_along(made, height);
    made->columns = blocks_along(made, width);
    made->search.rows = register_tiles(height);
    made->search.columns = register_tiles(width);
    made->shifted = made->moved = (struct spk_stack){.count = count, .height = height, .width = width};
    if (!allocate(made)) {
        spk_register_destroy(&made);
        return spk_fail(error, SPK_NOMEM, "no memory to register %u frames of %u x %u px", count, height,
                        width);
    }
    *self = made;
    return SPK_OK;
}

static void free_stack(struct spk_stack *stack)
{
    free(stack->data);
    free(stack->mask);
    free(stack->present);
}

void spk_register_destroy(struct spk_register **self)
{
    struct spk_register *gone = *self;
    if (!gone)
        return;
    for (unsigned i = 0; gone->bench && i < spk_team_size(gone->team); i++) {
        free(gone->bench[i].plane);
        free(gone->bench[i].row);
        free(gone->bench[i].tile);
    }
    free(gone->bench);
    free(gone->coefficient);
    free(gone->found);
    free(gone->place);
    free(gone->value);
    free(gone->drift);
    free(gone->search.displacement);
    free(gone->search.sums);
    free(gone->search.move);
    free(gone->search.drift);
    free_stack(&gone->shifted);
    free_stack(&gone->moved);
    free(gone);
    *self = NULL;
}

void register_prefilter(const struct spk_register *self, float *plane)
{
    for (size_t y = 0; y < self->height; y++)
        spk_spline_prefilter(plane + y * self->width, self->width, 1, 1);
    spk_spline_prefilter(plane, self->height, self->width, self->width);
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
