/* What a network is shown and what becomes of its answer, a pixel at a time, for the C compiler and nvcc alike. */
#ifndef SPK_NN_METHOD_PX_H
#define SPK_NN_METHOD_PX_H

#include <speckled/nn_method.h>

#include <math.h>

enum {
    NN_IMAGES_MAX = 32, /* that a network sees */
    NN_BULK_SIDE = 192  /* pixels a side of the part whose common shift is searched, at most */
};

/* Rows and columns beyond the image mirror those inside its edge. */
SPK_HD uint32_t nn_mirror_px(int64_t at, uint32_t side)
{
    if (side == 1)
        return 0;
    const int64_t period = 2 * ((int64_t)side - 1);
    at = (at < 0 ? -at : at) % period;
    return (uint32_t)(at < side ? at : period - at);
}

/* An image between two frames of a stack. */
struct nn_image {
    uint32_t first, second;
    float weight; /* of the second */
};

/* The images of one stack. */
struct nn_showing {
    const float *stack; /* [..][height][width] */
    float *to;          /* [images][in_height][in_width] */
    uint32_t images, height, width, in_height, in_width;
    struct nn_image image[NN_IMAGES_MAX];
};

/* Pixel (x, y) of an image, shifted back by the bulk, in units of the reference. */
SPK_HD float nn_shown_px(const struct nn_showing *s, uint32_t image, uint32_t x, uint32_t y, float scale,
                         int bulk_x, int bulk_y)
{
    const struct nn_image *mix = &s->image[image];
    const size_t plane = (size_t)s->height * s->width;
    const size_t from = (size_t)nn_mirror_px((int64_t)y + bulk_y, s->height) * s->width +
                        nn_mirror_px((int64_t)x + bulk_x, s->width);
    const float a = s->stack[mix->first * plane + from], b = s->stack[mix->second * plane + from];
    const float value = scale * ((1 - mix->weight) * a + mix->weight * b);
    return isfinite(value) ? value : 1; /* a pixel without a number looks like the mean */
}

/* The part of filled images that is compared at shifts of up to `reach`. */
struct nn_middle {
    int top, left, rows, columns;
};

SPK_HD struct nn_middle nn_middle_px(int height, int width, int reach)
{
    struct nn_middle m;
    m.rows = height - 2 * reach < NN_BULK_SIDE ? height - 2 * reach : NN_BULK_SIDE;
    m.columns = width - 2 * reach < NN_BULK_SIDE ? width - 2 * reach : NN_BULK_SIDE;
    m.top = (height - m.rows) / 2;
    m.left = (width - m.columns) / 2;
    return m;
}

/* Outputs of a network, [in_height][in_width], and the maps. */
struct nn_storing {
    const float *flow_x, *flow_y, *transmission, *quality;
    const float *dark_field; /* NULL: the network has none */
    struct spk_nn_recon_maps maps;
    uint32_t height, width, in_width;
    float gain_x, gain_y; /* pixels of the stack a pixel of the network */
};

SPK_HD uint32_t nn_within_px(int64_t at, uint32_t side)
{
    return at < 0 ? 0 : at < side ? (uint32_t)at : side - 1;
}

/* Pixel (x, y) of the maps is pixel (x, y) - bulk of the network's. T and D end at 1.5, as published. */
SPK_HD void nn_store_px(const struct nn_storing *s, uint32_t x, uint32_t y, int bulk_x, int bulk_y)
{
    const float ceiling = 1.5f;
    const int64_t net_x = (int64_t)x - bulk_x, net_y = (int64_t)y - bulk_y;
    const size_t from = (size_t)nn_within_px(net_y, s->height) * s->in_width + nn_within_px(net_x, s->width);
    const size_t to = (size_t)y * s->width + x;
    const float t = s->transmission[from], d = s->dark_field ? s->dark_field[from] : 1;
    const float ux = (float)bulk_x + s->gain_x * s->flow_x[from];
    const float uy = (float)bulk_y + s->gain_y * s->flow_y[from];
    const float at_x = (float)x - ux, at_y = (float)y - uy;
    const bool good = isfinite(t) && isfinite(d) && at_x >= 0 && at_x <= (float)(s->width - 1) && at_y >= 0 &&
                      at_y <= (float)(s->height - 1) && net_x >= 0 && net_x < s->width && net_y >= 0 &&
                      net_y < s->height;
    s->maps.transmission[to] = t < ceiling ? t : ceiling;
    if (s->dark_field)
        s->maps.dark_field[to] = d < ceiling ? d : ceiling;
    s->maps.displacement_x[to] = ux;
    s->maps.displacement_y[to] = uy;
    s->maps.quality[to] = s->quality[from];
    s->maps.valid[to] = s->maps.valid[to] && good;
}

#endif
