/* The rows of one instruction set: the file that includes this names the table with NN_ROWS_TABLE. */
#include "rows.h"
#include "rows_px.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 64, WIDE_BLOCK = 256 }; /* pixels whose sums stay in registers or the nearest cache */

/* Means of 2 x 2 pixels. */
static void halve(float *restrict to, const float *a, const float *b, uint32_t width)
{
    for (uint32_t x = 0; x < width; x++)
        to[x] = (a[2 * x] + a[2 * x + 1] + b[2 * x] + b[2 * x + 1]) * 0.25f;
}

static void pool(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *in = &job->in[0], *out = job->out;
    unsigned factor = form->factor;
    float scale = 1 / (float)(factor * factor);
    for (uint32_t c = 0; c < out->channels; c++)
        for (uint32_t y = job->y0; y < job->y1; y++) {
            float *to = spk_nn_row(out, c, y);
            if (factor == 2 && !form->flag) {
                halve(to, spk_nn_row(in, c, 2 * y), spk_nn_row(in, c, 2 * y + 1), out->width);
                continue;
            }
            for (uint32_t x = 0; x < out->width; x++) {
                float sum = 0, most = -INFINITY;
                for (unsigned i = 0; i < factor; i++) {
                    const float *from = spk_nn_row(in, c, y * factor + i) + (size_t)x * factor;
                    for (unsigned j = 0; j < factor; j++) {
                        sum += from[j];
                        most = from[j] > most ? from[j] : most;
                    }
                }
                to[x] = form->flag ? most : sum * scale;
            }
        }
}

static void upsample(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *in = &job->in[0], *out = job->out;
    for (uint32_t c = 0; c < out->channels; c++)
        for (uint32_t y = job->y0; y < job->y1; y++) {
            const float *from = spk_nn_row(in, c, y / form->factor);
            float *to = spk_nn_row(out, c, y);
            for (uint32_t x = 0; x < in->width; x++)
                for (unsigned j = 0; j < form->factor; j++)
                    to[x * form->factor + j] = form->gain * from[x];
        }
}

/* Where a block of columns lies in the narrower image, the same for all rows and channels, and two of its rows as wide as the block,
 * which serve all rows between them. */
struct columns {
    int32_t left[WIDE_BLOCK], right[WIDE_BLOCK];
    float way[WIDE_BLOCK];
    float wide[2][WIDE_BLOCK];
    uint32_t row[2], count; /* the rows they are, [row % 2] */
};

static void find_columns(struct columns *columns, const struct nn_rows_form *form, uint32_t x0,
                         uint32_t from_width, uint32_t to_width)
{
    columns->count = to_width - x0 < WIDE_BLOCK ? to_width - x0 : WIDE_BLOCK;
    for (uint32_t i = 0; i < columns->count; i++) {
        const uint32_t left = nn_source_px(x0 + i, from_width, to_width, form->flag, &columns->way[i]);
        columns->left[i] = (int32_t)left;
        columns->right[i] = (int32_t)(left + 1 < from_width ? left + 1 : left);
    }
}

static const float *wide_row(struct columns *columns, const struct spk_nn_view *in, uint32_t c, uint32_t row)
{
    float *to = columns->wide[row % 2];
    const float *from = spk_nn_row(in, c, row), *way = columns->way;
    const int32_t *left = columns->left, *right = columns->right;
    if (columns->row[row % 2] != row)
        for (uint32_t i = 0; i < columns->count; i++)
            to[i] = nn_way_px(from[left[i]], from[right[i]], way[i]);
    columns->row[row % 2] = row;
    return to;
}

static void resize_block(float *restrict to, const float *above, const float *below, float way, float gain,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = gain * nn_way_px(above[i], below[i], way);
}

static void resize(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *in = &job->in[0], *out = job->out;
    struct columns columns;
    for (uint32_t x = 0; x < out->width; x += WIDE_BLOCK) {
        find_columns(&columns, form, x, in->width, out->width);
        for (uint32_t c = 0; c < out->channels; c++) {
            columns.row[0] = columns.row[1] = in->height; /* none yet */
            for (uint32_t y = job->y0; y < job->y1; y++) {
                float way;
                const uint32_t top = nn_source_px(y, in->height, form->height, form->flag, &way);
                const uint32_t bottom = top + 1 < in->height ? top + 1 : top;
                const float *above = wide_row(&columns, in, c, top),
                            *below = wide_row(&columns, in, c, bottom);
                resize_block(spk_nn_row(out, c, y) + x, above, below, way, form->gain, columns.count);
            }
        }
    }
}

/* Corner offsets and weights of a block of pixels, the same for all channels. */
struct corners {
    int32_t at[4][BLOCK];
    float weight[4][BLOCK];
};

static void find_corners(struct corners *corners, const struct spk_nn_view *flow, uint32_t x0, uint32_t y,
                         uint32_t count)
{
    const float *ux = spk_nn_row(flow, 0, y) + x0, *uy = spk_nn_row(flow, 1, y) + x0;
    int32_t width = (int32_t)flow->width, height = (int32_t)flow->height;
    for (uint32_t i = 0; i < count; i++) {
        const struct nn_corners four = nn_corners_px(x0 + i, y, ux[i], uy[i], width, height);
        corners->at[0][i] = four.at;
        corners->at[1][i] = four.at + four.right;
        corners->at[2][i] = four.at + four.down;
        corners->at[3][i] = four.at + four.down + four.right;
        for (unsigned k = 0; k < 4; k++)
            corners->weight[k][i] = four.weight[k];
    }
}

static void warp(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    (void)form;
    const struct spk_nn_view *image = &job->in[0], *flow = &job->in[1], *out = job->out;
    struct corners corners;
    for (uint32_t y = job->y0; y < job->y1; y++)
        for (uint32_t x0 = 0; x0 < out->width; x0 += BLOCK) {
            uint32_t count = out->width - x0 < BLOCK ? out->width - x0 : BLOCK;
            find_corners(&corners, flow, x0, y, count);
            for (uint32_t c = 0; c < out->channels; c++) {
                const float *from = spk_nn_row(image, c, 0);
                float *to = spk_nn_row(out, c, y) + x0;
                for (uint32_t i = 0; i < count; i++)
                    to[i] = corners.weight[0][i] * from[corners.at[0][i]] +
                            corners.weight[1][i] * from[corners.at[1][i]] +
                            corners.weight[2][i] * from[corners.at[2][i]] +
                            corners.weight[3][i] * from[corners.at[3][i]];
            }
        }
}

/* Mean over channels of a(x) b(x + dx) for `count` pixels from x0; `from` and `to` bound those whose partner is in the row. */
static void correlate(float *out, const struct spk_nn_view *a, const struct spk_nn_view *b, uint32_t y,
                      uint32_t partner_y, int64_t dx, uint32_t x0, uint32_t from, uint32_t to)
{
    float sum[BLOCK] = {0};
    uint32_t count = to - from;
    for (uint32_t c = 0; c < a->channels; c++) {
        const float *p = spk_nn_row(a, c, y) + x0 + from;
        const float *q = spk_nn_row(b, c, partner_y) + ((int64_t)x0 + from + dx);
        for (uint32_t i = 0; i < count; i++)
            sum[i] += p[i] * q[i];
    }
    memcpy(out + from, sum, count * sizeof *sum);
}

static void cost_block(const struct nn_rows_form *form, const struct spk_nn_rows_job *job, uint32_t y,
                       uint32_t x0, uint32_t count)
{
    const struct spk_nn_view *a = &job->in[0], *b = &job->in[1];
    int radius = (int)form->radius;
    int64_t width = a->width, height = a->height;
    float scale = 1 / (float)a->channels;
    uint32_t channel = 0;
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++, channel++) {
            float *to = spk_nn_row(job->out, channel, y) + x0;
            int64_t first = -((int64_t)x0 + dx), last = width - dx - x0, row = (int64_t)y + dy;
            first = first > 0 ? first : 0;
            last = last < count ? last : count;
            memset(to, 0, count * sizeof *to);
            if (row >= 0 && row < height && first < last)
                correlate(to, a, b, y, (uint32_t)row, dx, x0, (uint32_t)first, (uint32_t)last);
            for (uint32_t i = 0; i < count; i++)
                to[i] = nn_leaky_px(to[i] * scale, form->slope);
        }
}

static void cost_volume(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    for (uint32_t y = job->y0; y < job->y1; y++)
        for (uint32_t x0 = 0; x0 < job->out->width; x0 += BLOCK)
            cost_block(form, job, y, x0, job->out->width - x0 < BLOCK ? job->out->width - x0 : BLOCK);
}

static void mean_row(const struct spk_nn_view *in, uint32_t y, float *to)
{
    float scale = 1 / (float)in->channels;
    memset(to, 0, in->width * sizeof *to);
    for (uint32_t c = 0; c < in->channels; c++) {
        const float *from = spk_nn_row(in, c, y);
        for (uint32_t x = 0; x < in->width; x++)
            to[x] += from[x];
    }
    for (uint32_t x = 0; x < in->width; x++)
        to[x] *= scale;
}

static void mean(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    (void)form;
    for (uint32_t y = job->y0; y < job->y1; y++)
        mean_row(&job->in[0], y, spk_nn_row(job->out, 0, y));
}

/* Two passes, so that nothing cancels. */
static void deviation(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *in = &job->in[0];
    float scale = 1 / (float)(in->channels - (form->flag ? 1 : 0));
    for (uint32_t y = job->y0; y < job->y1; y++)
        for (uint32_t x0 = 0; x0 < in->width; x0 += BLOCK) {
            uint32_t count = in->width - x0 < BLOCK ? in->width - x0 : BLOCK;
            float centre[BLOCK] = {0}, sum[BLOCK] = {0};
            for (uint32_t c = 0; c < in->channels; c++)
                for (uint32_t i = 0; i < count; i++)
                    centre[i] += spk_nn_row(in, c, y)[x0 + i];
            for (uint32_t i = 0; i < count; i++)
                centre[i] /= (float)in->channels;
            for (uint32_t c = 0; c < in->channels; c++)
                for (uint32_t i = 0; i < count; i++) {
                    float value = spk_nn_row(in, c, y)[x0 + i] - centre[i];
                    sum[i] += value * value;
                }
            float *to = spk_nn_row(job->out, 0, y) + x0;
            for (uint32_t i = 0; i < count; i++)
                to[i] = sqrtf(sum[i] * scale);
        }
}

enum { REACH = 16 };

/* Sums over channels and rows y - radius .. y + radius for `count` columns from `x0` on, `level` taken out. */
static void column_sums(float sum[NN_SUMS][BLOCK + 2 * REACH], const struct spk_nn_view *a,
                        const struct spk_nn_view *b, uint32_t first, uint32_t last, uint32_t x0,
                        uint32_t count, float level)
{
    memset(sum, 0, NN_SUMS * sizeof *sum);
    for (uint32_t c = 0; c < a->channels; c++)
        for (uint32_t y = first; y < last; y++) {
            const float *p = spk_nn_row(a, c, y) + x0, *q = spk_nn_row(b, c, y) + x0;
            for (uint32_t i = 0; i < count; i++) {
                float u = p[i] - level, v = q[i] - level;
                sum[NN_SUM_A][i] += u;
                sum[NN_SUM_B][i] += v;
                sum[NN_SUM_AA][i] += u * u;
                sum[NN_SUM_BB][i] += v * v;
                sum[NN_SUM_AB][i] += u * v;
            }
        }
}

static void correlation(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *a = &job->in[0], *b = &job->in[1];
    uint32_t radius = form->radius, width = a->width;
    float sum[NN_SUMS][BLOCK + 2 * REACH];
    for (uint32_t y = job->y0; y < job->y1; y++)
        for (uint32_t x0 = 0; x0 < width; x0 += BLOCK) {
            uint32_t top = y > radius ? y - radius : 0;
            uint32_t bottom = y + radius + 1 < a->height ? y + radius + 1 : a->height;
            uint32_t left = x0 > radius ? x0 - radius : 0;
            uint32_t right = x0 + BLOCK + radius < width ? x0 + BLOCK + radius : width;
            column_sums(sum, a, b, top, bottom, left, right - left, spk_nn_row(a, 0, y)[x0]);
            for (uint32_t x = x0; x < width && x < x0 + BLOCK; x++) {
                uint32_t from = x > radius ? x - radius : 0,
                         to = x + radius + 1 < width ? x + radius + 1 : width;
                float window[NN_SUMS] = {0};
                for (unsigned k = 0; k < NN_SUMS; k++)
                    for (uint32_t i = from; i < to; i++)
                        window[k] += sum[k][i - left];
                spk_nn_row(job->out, 0, y)[x] =
                    nn_correlation_px(window, (float)((to - from) * (bottom - top) * a->channels));
            }
        }
}

static void add(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    (void)form;
    for (uint32_t c = 0; c < job->out->channels; c++)
        for (uint32_t y = job->y0; y < job->y1; y++) {
            const float *a = spk_nn_row(&job->in[0], c, y);
            const float *b = spk_nn_row(&job->in[1], job->in[1].channels == 1 ? 0 : c, y);
            float *to = spk_nn_row(job->out, c, y);
            for (uint32_t x = 0; x < job->out->width; x++)
                to[x] = a[x] + b[x];
        }
}

static void multiply(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    (void)form;
    for (uint32_t c = 0; c < job->out->channels; c++)
        for (uint32_t y = job->y0; y < job->y1; y++) {
            const float *a = spk_nn_row(&job->in[0], c, y);
            const float *b = spk_nn_row(&job->in[1], job->in[1].channels == 1 ? 0 : c, y);
            float *to = spk_nn_row(job->out, c, y);
            for (uint32_t x = 0; x < job->out->width; x++)
                to[x] = a[x] * b[x];
        }
}

static void depthwise(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    const struct spk_nn_view *in = &job->in[0];
    for (uint32_t c = 0; c < in->channels; c++)
        for (uint32_t y = job->y0; y < job->y1; y++) {
            const float *kernel = form->weight + 9 * (size_t)c;
            float *to = spk_nn_row(job->out, c, y), bias = form->weight[9 * (size_t)in->channels + c];
            for (uint32_t x = 0; x < in->width; x++)
                to[x] = bias;
            for (unsigned i = 0; i < 3; i++) {
                if (y + i < 1 || y + i > in->height)
                    continue;
                const float *from = spk_nn_row(in, c, y + i - 1);
                for (unsigned j = 0; j < 3; j++) {
                    uint32_t first = j == 0 ? 1 : 0, last = in->width - (j == 2 ? 1 : 0);
                    for (uint32_t x = first; x < last; x++)
                        to[x] += kernel[3 * i + j] * from[x + j - 1];
                }
            }
        }
}

static void join(const struct nn_rows_form *form, const struct spk_nn_rows_job *job)
{
    (void)form;
    uint32_t channel = 0;
    for (const struct spk_nn_view *in = job->in; channel < job->out->channels; in++)
        for (uint32_t c = 0; c < in->channels; c++, channel++)
            for (uint32_t y = job->y0; y < job->y1; y++)
                memcpy(spk_nn_row(job->out, channel, y), spk_nn_row(in, c, y), in->width * sizeof(float));
}

extern const struct nn_rows_ops NN_ROWS_TABLE;
const struct nn_rows_ops NN_ROWS_TABLE = {
    .pool = pool,
    .upsample = upsample,
    .resize = resize,
    .warp = warp,
    .cost_volume = cost_volume,
    .correlation = correlation,
    .mean = mean,
    .deviation = deviation,
    .add = add,
    .multiply = multiply,
    .depthwise = depthwise,
    .join = join,
};
