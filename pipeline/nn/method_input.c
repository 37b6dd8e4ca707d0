/* What the network is shown: its number of frames in units of the reference, padded where the sides ask for it. */
#include "method.h"

#include <math.h>

static void measure_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_nn_recon *recon = context;
    const struct spk_stack *stack = recon->reference;
    size_t row = (size_t)y * recon->width, plane = (size_t)recon->height * recon->width;
    double sum = 0;
    float most = 0;
    uint32_t count = 0;
    for (unsigned k = 0; k < recon->used_count; k++) {
        const float *values = stack->data + recon->used[k] * plane + row;
        for (uint32_t x = 0; x < recon->width; x++)
            if (stack->mask[row + x] && isfinite(values[x])) {
                sum += (double)values[x];
                most = values[x] > most ? values[x] : most;
                count++;
            }
    }
    recon->row_sum[y] = sum;
    recon->row_most[y] = most;
    recon->row_count[y] = count;
}

spk_status nn_measure(struct spk_nn_recon *recon, struct spk_error *error)
{
    spk_team_run(recon->team, measure_row, recon, recon->height);
    double sum = 0, most = 0, count = 0;
    for (uint32_t y = 0; y < recon->height; y++) {
        sum += recon->row_sum[y];
        count += recon->row_count[y];
        most = fmax(most, (double)recon->row_most[y]);
    }
    double unit = recon->config.unit == SPK_NN_UNIT_MAXIMUM ? most : sum / count;
    if (!(unit > 0) || !isfinite(unit))
        return spk_fail(error, SPK_INVALID, "%s: the reference holds no light: its mean is not positive",
                        recon->method->name);
    recon->scale = (float)(1 / unit);
    return SPK_OK;
}

struct filling {
    const struct spk_nn_recon *recon;
    const struct spk_stack *stack;
    int bulk_x, bulk_y;
    float *to;
};

/* Where image `k` of the network lies among the used frames: the first of two, and the weight of the second. */
static unsigned frame_place(const struct spk_nn_recon *recon, unsigned k, float *weight)
{
    unsigned images = recon->method->images, used = recon->used_count;
    *weight = 0;
    if (used >= images)
        return k;
    float place = (float)k * (float)(used - 1) / (float)(images - 1);
    if (recon->config.frames == SPK_NN_FRAMES_NEAREST)
        return (unsigned)(place + 0.5f);
    unsigned first = (unsigned)place;
    *weight = first + 1 < used ? place - (float)first : 0;
    return first;
}

/* Rows and columns beyond the image mirror those inside its edge. */
static uint32_t mirror(int64_t at, uint32_t side)
{
    if (side == 1)
        return 0;
    int64_t period = 2 * ((int64_t)side - 1);
    at = (at < 0 ? -at : at) % period;
    return (uint32_t)(at < side ? at : period - at);
}

static void fill_row(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct filling *filling = context;
    const struct spk_nn_recon *recon = filling->recon;
    unsigned image = task / recon->in_height, y = task % recon->in_height;
    float weight;
    unsigned first = frame_place(recon, image, &weight), second = weight > 0 ? first + 1 : first;
    size_t plane = (size_t)recon->height * recon->width;
    size_t row = (size_t)mirror((int64_t)y + filling->bulk_y, recon->height) * recon->width;
    const float *a = filling->stack->data + recon->used[first] * plane + row;
    const float *b = filling->stack->data + recon->used[second] * plane + row;
    float *to = filling->to + (size_t)task * recon->in_width;
    for (uint32_t x = 0; x < recon->in_width; x++) {
        uint32_t from = mirror((int64_t)x + filling->bulk_x, recon->width);
        float value = recon->scale * ((1 - weight) * a[from] + weight * b[from]);
        to[x] = isfinite(value) ? value : 1; /* a pixel without a number looks like the mean */
    }
}

void nn_fill(struct spk_nn_recon *recon, const struct spk_stack *stack, int input, int bulk_x, int bulk_y)
{
    struct filling filling = {recon, stack, bulk_x, bulk_y, spk_nn_data(recon->nn, input)};
    spk_team_run(recon->team, fill_row, &filling, recon->method->images * recon->in_height);
}

enum { MIDDLE = 192 }; /* pixels a side of the part that is compared */

/* Correlation of the middle of the sample with the reference at one shift: r(x - b) against s(x). */
static float correlation_at(const struct spk_nn_recon *recon, const float *sample, const float *reference,
                            int bulk_x, int bulk_y)
{
    int reach = (int)recon->config.bulk_shift, height = (int)recon->height, width = (int)recon->width;
    int rows = height - 2 * reach < MIDDLE ? height - 2 * reach : MIDDLE;
    int columns = width - 2 * reach < MIDDLE ? width - 2 * reach : MIDDLE;
    int top = (height - rows) / 2, left = (width - columns) / 2;
    float sum[5] = {0};
    for (int y = top; y < top + rows; y++) {
        const float *s = sample + (size_t)y * recon->in_width + (size_t)left;
        const float *r = reference + (size_t)(y - bulk_y) * recon->in_width + (size_t)(left - bulk_x);
        for (int x = 0; x < columns; x++) {
            float u = s[x] - 1, v = r[x] - 1;
            sum[0] += u;
            sum[1] += v;
            sum[2] += u * u;
            sum[3] += v * v;
            sum[4] += u * v;
        }
    }
    float count = (float)(rows * columns);
    float power = (sum[2] - sum[0] * sum[0] / count) * (sum[3] - sum[1] * sum[1] / count);
    return power > 0 ? (sum[4] - sum[0] * sum[1] / count) / sqrtf(power) : 0;
}

static void score_row(void *context, unsigned row, unsigned worker)
{
    (void)worker;
    struct spk_nn_recon *recon = context;
    int reach = (int)recon->config.bulk_shift, span = 2 * reach + 1;
    const float *sample = spk_nn_data(recon->nn, recon->ports.sample);
    const float *reference = spk_nn_data(recon->nn, recon->ports.reference);
    for (int i = 0; i < span; i++)
        recon->bulk_score[row * (unsigned)span + (unsigned)i] =
            correlation_at(recon, sample, reference, i - reach, (int)row - reach);
}

void nn_find_bulk(struct spk_nn_recon *recon)
{
    int reach = (int)recon->config.bulk_shift, span = 2 * reach + 1;
    recon->bulk_x = recon->bulk_y = 0;
    if (!reach)
        return;
    spk_team_run(recon->team, score_row, recon, (unsigned)span);
    int best = span * reach + reach; /* no shift, unless another is better */
    for (int i = 0; i < span * span; i++)
        if (recon->bulk_score[i] > recon->bulk_score[best])
            best = i;
    recon->bulk_x = best % span - reach;
    recon->bulk_y = best / span - reach;
}
