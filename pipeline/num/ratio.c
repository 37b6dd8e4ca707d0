/* Transmission and dark-field: means and deviations of the sample against the reference resampled at the displacement. */
#include <speckled/num_image.h>
#include <speckled/num_ratio.h>
#include <speckled/num_ratio_px.h>

#include <math.h>
#include <stdlib.h>

/* Where four neighbours along one axis are, and their weights. */
struct taps {
    int at[4];
    float weight[4];
};

static struct taps taps_at(float position, int extent)
{
    struct spk_ratio_taps from = spk_ratio_taps_px(position);
    struct taps taps;
    for (int i = 0; i < 4; i++) {
        taps.at[i] = spk_ratio_mirror_px(from.base - 1 + i, extent);
        taps.weight[i] = from.weight[i];
    }
    return taps;
}

static float resample(const float *coefficient, size_t width, const struct taps *x, const struct taps *y)
{
    float value = 0;
    for (int i = 0; i < 4; i++) {
        const float *line = coefficient + (size_t)y->at[i] * width;
        float sum = 0;
        for (int j = 0; j < 4; j++)
            sum += x->weight[j] * line[x->at[j]];
        value += y->weight[i] * sum;
    }
    return value;
}

static void add_neighbour(const struct spk_ratio *ratio, int x, int y, float ux, float uy,
                          struct spk_ratio_sums *sums)
{
    size_t width = ratio->width, pixels = width * ratio->height;
    struct taps tx = taps_at((float)x - ux, (int)ratio->width),
                ty = taps_at((float)y - uy, (int)ratio->height);
    for (unsigned i = 0; i < ratio->used_count; i++) {
        size_t frame = ratio->used[i] * pixels;
        float s = ratio->sample->data[frame + (size_t)y * width + (size_t)x];
        float r = resample(ratio->coefficient + frame, width, &tx, &ty);
        spk_ratio_add_px(sums, spk_ratio_value_px(s, ratio->sample_level), r);
    }
}

static bool ratios(const struct spk_ratio *ratio, int x, int y, float ux, float uy, float *transmission,
                   float *dark_field)
{
    struct spk_ratio_sums sums = {0};
    int rim = (int)ratio->window;
    for (int j = -rim; j <= rim; j++)
        for (int i = -rim; i <= rim; i++)
            add_neighbour(ratio, x + i, y + j, ux, uy, &sums);
    return spk_ratio_px(&sums, ratio->sample_level, ratio->reference_level, transmission, dark_field);
}

static void fill_row(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct spk_ratio *ratio = context;
    const struct spk_tracker_maps *maps = ratio->maps;
    for (unsigned x = 0; x < ratio->width; x++) {
        size_t pixel = (size_t)task * ratio->width + x;
        float ux = maps->displacement_x[pixel], uy = maps->displacement_y[pixel];
        bool good = isfinite(ux) && ratios(ratio, (int)x, (int)task, ux, uy, &maps->transmission[pixel],
                                           &maps->dark_field[pixel]);
        if (!good) {
            maps->transmission[pixel] = maps->dark_field[pixel] = NAN;
            maps->displacement_x[pixel] = maps->displacement_y[pixel] = maps->quality[pixel] = NAN;
            maps->valid[pixel] = 0;
        }
    }
}

static void use_frames(struct spk_ratio *ratio, const struct spk_stack *sample)
{
    ratio->used_count = 0;
    for (unsigned k = 0; k < ratio->count; k++)
        if (ratio->reference->present[k] && (!sample || sample->present[k]))
            ratio->used[ratio->used_count++] = k;
}

/* Mean of the used frames over what is a number. */
static float level_of(const struct spk_ratio *ratio, const struct spk_stack *stack)
{
    size_t pixels = (size_t)stack->height * stack->width;
    double total = 0, count = 0;
    for (unsigned i = 0; i < ratio->used_count; i++) {
        const float *image = stack->data + ratio->used[i] * pixels;
        for (size_t p = 0; p < pixels; p++)
            if (isfinite(image[p])) {
                total += (double)image[p];
                count++;
            }
    }
    return count > 0 ? (float)(total / count) : 0;
}

static void spline_frame(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    struct spk_ratio *ratio = context;
    size_t width = ratio->width, height = ratio->height, pixels = height * width;
    size_t frame = ratio->used[task] * pixels;
    const float *image = ratio->reference->data + frame;
    float *coefficient = ratio->coefficient + frame;
    for (size_t p = 0; p < pixels; p++)
        coefficient[p] = spk_ratio_value_px(image[p], ratio->reference_level);
    for (size_t y = 0; y < height; y++)
        spk_spline_prefilter(coefficient + y * width, width, 1, 1);
    spk_spline_prefilter(coefficient, height, width, width);
}

static spk_status check_stack(const struct spk_ratio *ratio, const struct spk_stack *stack,
                              struct spk_error *error)
{
    if (stack->count == ratio->count && stack->height == ratio->height && stack->width == ratio->width)
        return SPK_OK;
    return spk_fail(error, SPK_INVALID, "%s: a stack of %u x %u x %u where %u x %u x %u was prepared",
                    ratio->name, stack->count, stack->height, stack->width, ratio->count, ratio->height,
                    ratio->width);
}

struct spk_tracker_maps spk_tracker_maps_of(const struct spk_result *result)
{
    return (struct spk_tracker_maps){.transmission = result->map[SPK_MAP_TRANSMISSION],
                                     .dark_field = result->map[SPK_MAP_DARK_FIELD],
                                     .displacement_x = result->map[SPK_MAP_DISPLACEMENT_X],
                                     .displacement_y = result->map[SPK_MAP_DISPLACEMENT_Y],
                                     .quality = result->map[SPK_MAP_QUALITY],
                                     .valid = result->valid};
}

spk_status spk_ratio_create(struct spk_ratio *ratio, const char *name, uint32_t count, uint32_t height,
                            uint32_t width, unsigned window, struct spk_team *team, struct spk_error *error)
{
    *ratio = (struct spk_ratio){
        .name = name, .team = team, .count = count, .height = height, .width = width, .window = window};
    size_t pixels = (size_t)height * width;
    if (!count || !pixels || height > 1u << 20 || width > 1u << 20)
        return spk_fail(error, SPK_INVALID, "%s: %u frames of %u x %u pixels make no stack", name, count,
                        height, width);
    if (pixels <= SIZE_MAX / sizeof(float) / count)
        ratio->coefficient = malloc(pixels * count * sizeof(float));
    ratio->used = calloc(count, sizeof *ratio->used);
    if (!ratio->coefficient || !ratio->used)
        return spk_fail(error, SPK_NOMEM, "%s: no memory for %u frames of %u x %u pixels", name, count,
                        height, width);
    return SPK_OK;
}

void spk_ratio_destroy(struct spk_ratio *ratio)
{
    free(ratio->coefficient);
    free(ratio->used);
    *ratio = (struct spk_ratio){0};
}

spk_status spk_ratio_reference(struct spk_ratio *ratio, const struct spk_stack *reference,
                               struct spk_error *error)
{
    ratio->reference = NULL;
    spk_status status = check_stack(ratio, reference, error);
    if (status)
        return status;
    ratio->reference = reference;
    use_frames(ratio, NULL);
    ratio->reference_level = level_of(ratio, reference);
    spk_team_run(ratio->team, spline_frame, ratio, ratio->used_count);
    return SPK_OK;
}

spk_status spk_ratio_sample(struct spk_ratio *ratio, const struct spk_stack *sample, struct spk_error *error)
{
    if (!ratio->reference)
        return spk_fail(error, SPK_STATE, "%s: no reference has been taken", ratio->name);
    spk_status status = check_stack(ratio, sample, error);
    if (status)
        return status;
    use_frames(ratio, sample);
    if (!ratio->used_count)
        return spk_fail(error, SPK_INVALID, "%s: no scan position is in both reference and sample",
                        ratio->name);
    ratio->sample = sample;
    ratio->sample_level = level_of(ratio, sample);
    return SPK_OK;
}

void spk_ratio_fill(struct spk_ratio *ratio, const struct spk_tracker_maps *maps)
{
    ratio->maps = maps;
    spk_team_run(ratio->team, fill_row, ratio, ratio->height);
}
