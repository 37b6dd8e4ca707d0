/* What the network is shown: 20 frames in units of the reference, padded where the sides ask for it. */
#include "internal.h"

#include <math.h>

struct measuring {
    struct spk_espinnet *net;
};

static void measure_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    struct spk_espinnet *net = ((struct measuring *)context)->net;
    const struct spk_stack *stack = net->reference;
    size_t row = (size_t)y * net->width, plane = (size_t)net->height * net->width;
    double sum = 0;
    float most = 0;
    uint32_t count = 0;
    for (unsigned k = 0; k < net->used_count; k++) {
        const float *values = stack->data + net->used[k] * plane + row;
        for (uint32_t x = 0; x < net->width; x++)
            if (stack->mask[row + x] && isfinite(values[x])) {
                sum += (double)values[x];
                most = values[x] > most ? values[x] : most;
                count++;
            }
    }
    net->row_sum[y] = sum;
    net->row_most[y] = most;
    net->row_count[y] = count;
}

spk_status espinnet_measure(struct spk_espinnet *net, struct spk_error *error)
{
    struct measuring measuring = {net};
    spk_team_run(net->team, measure_row, &measuring, net->height);
    double sum = 0, most = 0, count = 0;
    for (uint32_t y = 0; y < net->height; y++) {
        sum += net->row_sum[y];
        count += net->row_count[y];
        most = fmax(most, (double)net->row_most[y]);
    }
    double unit = net->config.unit == SPK_ESPINNET_MAXIMUM ? most : sum / count;
    if (!(unit > 0) || !isfinite(unit))
        return spk_fail(error, SPK_INVALID,
                        "espinnet: the reference holds no light: its mean is not positive");
    net->scale = (float)(1 / unit);
    return SPK_OK;
}

struct filling {
    const struct spk_espinnet *net;
    const struct spk_stack *stack;
    float *to;
};

/* Where frame `k` of 20 lies among the used ones: the first of two, and the weight of the second. */
static unsigned frame_place(const struct spk_espinnet *net, unsigned k, float *weight)
{
    *weight = 0;
    if (net->used_count >= SPK_ESPINNET_FRAMES || net->used_count == 1)
        return net->used_count == 1 ? 0 : k;
    float place = (float)k * (float)(net->used_count - 1) / (SPK_ESPINNET_FRAMES - 1);
    if (net->config.frames == SPK_ESPINNET_NEAREST)
        return (unsigned)(place + 0.5f);
    unsigned first = (unsigned)place;
    *weight = first + 1 < net->used_count ? place - (float)first : 0;
    return first;
}

/* Rows and columns beyond the image mirror those before its edge. */
static uint32_t mirror(uint32_t at, uint32_t side)
{
    if (side == 1)
        return 0;
    uint32_t period = 2 * (side - 1);
    at %= period;
    return at < side ? at : period - at;
}

static void fill_frame(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct filling *filling = context;
    const struct spk_espinnet *net = filling->net;
    unsigned frame = task / net->in_height, y = task % net->in_height;
    float weight;
    unsigned first = frame_place(net, frame, &weight), second = weight > 0 ? first + 1 : first;
    size_t plane = (size_t)net->height * net->width, row = (size_t)mirror(y, net->height) * net->width;
    const float *a = filling->stack->data + net->used[first] * plane + row;
    const float *b = filling->stack->data + net->used[second] * plane + row;
    float *to = filling->to + (size_t)task * net->in_width;
    for (uint32_t x = 0; x < net->width; x++) {
        float value = net->scale * ((1 - weight) * a[x] + weight * b[x]);
        to[x] = isfinite(value) ? value : 1; /* a pixel without a number looks like the mean */
    }
    for (uint32_t x = net->width; x < net->in_width; x++)
        to[x] = to[mirror(x, net->width)];
}

void espinnet_fill(struct spk_espinnet *net, const struct spk_stack *stack, int input)
{
    struct filling filling = {net, stack, spk_nn_data(net->nn, input)};
    spk_team_run(net->team, fill_frame, &filling, SPK_ESPINNET_FRAMES * net->in_height);
}
