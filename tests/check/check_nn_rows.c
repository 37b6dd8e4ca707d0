/* The layers that are made row by row, on every instruction set, against their definitions written out here in double precision:
 * whole tensors, and a few rows of one as a strip asks for them. Odd sizes, hostile flows, sentinels round the output. */
#include "rows.h"

#include "test.h"

#include <float.h>
#include <string.h>

enum { CHANNELS = 3, GUARD = 64, SIDE_MAX = 150 };

static uint64_t state;

/* Uniform in [-1, 1) (Marsaglia, "Xorshift RNGs", 2003). */
static float uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)((double)(state >> 11) * 0x1p-52 - 1);
}

struct tensor {
    struct spk_nn_view view;
    float *memory;
    size_t count;
};

static struct tensor make(uint32_t channels, uint32_t height, uint32_t width)
{
    struct tensor t = {.count = (size_t)channels * height * width};
    t.memory = malloc((t.count + 2 * GUARD) * sizeof(float));
    for (size_t i = 0; i < t.count + 2 * GUARD; i++)
        t.memory[i] = uniform();
    t.view = (struct spk_nn_view){t.memory + GUARD, (size_t)height * width, channels, 0, height, width};
    return t;
}

static double at(const struct spk_nn_view *view, uint32_t c, int64_t y, int64_t x)
{
    if (y < 0 || x < 0 || y >= view->height || x >= view->width)
        return 0;
    return (double)spk_nn_row(view, c, (uint32_t)y)[x];
}

/* One number of the output, from the definitions in nn.h. */
typedef double (*definition)(const struct nn_rows_form *form, const struct spk_nn_view *in,
                             const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x);

static double pool_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                      const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)out;
    double sum = 0, most = -INFINITY;
    for (unsigned i = 0; i < form->factor * form->factor; i++) {
        double value = at(in, c, y * form->factor + i / form->factor, x * form->factor + i % form->factor);
        sum += value;
        most = fmax(most, value);
    }
    return form->flag ? most : sum / (form->factor * form->factor);
}

static double upsample_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                          const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)out;
    return (double)form->gain * at(in, c, y / form->factor, x / form->factor);
}

/* Bilinear between pixel centres, positions clamped to the image. */
static double sample(const struct spk_nn_view *image, uint32_t c, double y, double x)
{
    y = fmin(fmax(y, 0), image->height - 1);
    x = fmin(fmax(x, 0), image->width - 1);
    int64_t top = (int64_t)y, left = (int64_t)x;
    double fy = y - (double)top, fx = x - (double)left;
    return (1 - fy) * ((1 - fx) * at(image, c, top, left) + fx * at(image, c, top, left + 1)) +
           fy * ((1 - fx) * at(image, c, top + 1, left) + fx * at(image, c, top + 1, left + 1));
}

static double resize_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                        const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    double from_y, from_x;
    if (form->flag) {
        from_y = out->height > 1 ? (double)y * (in->height - 1) / (out->height - 1) : 0;
        from_x = out->width > 1 ? (double)x * (in->width - 1) / (out->width - 1) : 0;
    } else {
        from_y = (y + 0.5) * in->height / out->height - 0.5;
        from_x = (x + 0.5) * in->width / out->width - 0.5;
    }
    return (double)form->gain * sample(in, c, from_y, from_x);
}

static double warp_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                      const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)form;
    (void)out;
    return sample(&in[0], c, y - at(&in[1], 1, y, x), x - at(&in[1], 0, y, x));
}

static double cost_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                      const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)out;
    int64_t span = 2 * form->radius + 1, dy = c / span - form->radius, dx = c % span - form->radius;
    double sum = 0;
    for (uint32_t k = 0; k < in[0].channels; k++)
        sum += at(&in[0], k, y, x) * at(&in[1], k, y + dy, x + dx);
    sum /= in[0].channels;
    return sum < 0 ? (double)form->slope * sum : sum;
}

static double correlation_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                             const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)c;
    double mean[2] = {0}, product[3] = {0}, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = (int64_t)y - form->radius; i <= (int64_t)y + form->radius; i++)
            for (int64_t j = (int64_t)x - form->radius; j <= (int64_t)x + form->radius; j++)
                for (uint32_t k = 0; k < in[0].channels; k++) {
                    if (i < 0 || j < 0 || i >= out->height || j >= out->width)
                        continue;
                    double a = at(&in[0], k, i, j), b = at(&in[1], k, i, j);
                    if (pass == 0) {
                        mean[0] += a;
                        mean[1] += b;
                        count++;
                    } else {
                        product[0] += (a - mean[0] / count) * (a - mean[0] / count);
                        product[1] += (b - mean[1] / count) * (b - mean[1] / count);
                        product[2] += (a - mean[0] / count) * (b - mean[1] / count);
                    }
                }
    return product[2] / sqrt(product[0] * product[1]);
}

static double mean_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                      const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)form;
    (void)out;
    (void)c;
    double sum = 0;
    for (uint32_t k = 0; k < in->channels; k++)
        sum += at(in, k, y, x);
    return sum / in->channels;
}

static double deviation_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                           const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    double mean = mean_at(form, in, out, c, y, x), sum = 0;
    for (uint32_t k = 0; k < in->channels; k++)
        sum += (at(in, k, y, x) - mean) * (at(in, k, y, x) - mean);
    return sqrt(sum / (in->channels - (form->flag ? 1 : 0)));
}

static double add_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                     const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)form;
    (void)out;
    return at(&in[0], c, y, x) + at(&in[1], in[1].channels == 1 ? 0 : c, y, x);
}

static double multiply_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                          const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)form;
    (void)out;
    return at(&in[0], c, y, x) * at(&in[1], in[1].channels == 1 ? 0 : c, y, x);
}

static double depthwise_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                           const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)out;
    double sum = (double)form->weight[9 * in->channels + c];
    for (int k = 0; k < 9; k++)
        sum += (double)form->weight[9 * c + (unsigned)k] *
               at(in, c, (int64_t)y + k / 3 - 1, (int64_t)x + k % 3 - 1);
    return sum;
}

static double join_at(const struct nn_rows_form *form, const struct spk_nn_view *in,
                      const struct spk_nn_view *out, uint32_t c, uint32_t y, uint32_t x)
{
    (void)form;
    (void)out;
    return c < in[0].channels ? at(&in[0], c, y, x) : at(&in[1], c - in[0].channels, y, x);
}

static void check_rows(const char *name, const struct tensor *out, const struct tensor *before,
                       uint32_t first, uint32_t last, definition expected, const struct nn_rows_form *form,
                       const struct spk_nn_view *in, const struct spk_nn_view *whole)
{
    for (uint32_t c = 0; c < out->view.channels; c++)
        for (uint32_t y = first; y < last; y++)
            for (uint32_t x = 0; x < out->view.width; x++) {
                double value = expected(form, in, whole, c, y, x),
                       got = (double)spk_nn_row(&out->view, c, y)[x];
                /* positions of pixels are float32 numbers below SIDE_MAX */
                double bound = 40 * (double)FLT_EPSILON * SIDE_MAX;
                if (!(fabs(got - value) <= bound)) {
                    CHECK(false, "%s: [%u][%u][%u] is %g, by definition %g", name, c, y, x, got, value);
                    return;
                }
            }
    CHECK(memcmp(out->memory, before->memory, GUARD * sizeof(float)) == 0, "%s wrote before its output",
          name);
    CHECK(memcmp(out->memory + GUARD + out->count, before->memory + GUARD + out->count,
                 GUARD * sizeof(float)) == 0,
          "%s wrote behind its output", name);
}

static struct tensor copy_of(const struct tensor *t)
{
    struct tensor copy = *t;
    size_t bytes = (t->count + 2 * GUARD) * sizeof(float);
    copy.memory = malloc(bytes);
    memcpy(copy.memory, t->memory, bytes);
    copy.view.data = copy.memory + GUARD;
    return copy;
}

/* All rows, and then those from a third to two thirds as a strip of their own. */
static void check(const char *name, nn_rows_function rows, definition expected, struct nn_rows_form form,
                  const struct spk_nn_view *in, struct spk_nn_shape shape)
{
    form.height = shape.height;
    const struct spk_nn_view whole = {NULL, 0, shape.channels, 0, shape.height, shape.width};
    for (int strip = 0; strip < 2; strip++) {
        uint32_t first = strip ? shape.height / 3 : 0;
        uint32_t last = strip ? (2 * shape.height + 2) / 3 : shape.height;
        struct tensor out = make(shape.channels, last - first, shape.width), before = copy_of(&out);
        out.view.first = first;
        const struct spk_nn_rows_job job = {in, &out.view, first, last, 0};
        rows(&form, &job);
        check_rows(name, &out, &before, first, last, expected, &form, in, &whole);
        free(out.memory);
        free(before.memory);
    }
}

static void check_table(const struct nn_rows_ops *ops, uint32_t height, uint32_t width)
{
    struct tensor a = make(CHANNELS, height, width), b = make(CHANNELS, height, width),
                  one = make(1, height, width);
    struct tensor flow = make(2, height, width);
    float kernel[10 * CHANNELS];
    for (unsigned i = 0; i < 10 * CHANNELS; i++)
        kernel[i] = uniform();
    for (size_t i = 0; i < flow.count; i++)
        flow.view.data[i] *= i % 7 ? 4 : 1e9f; /* some far outside */
    const struct spk_nn_view ab[] = {a.view, b.view}, ao[] = {a.view, one.view}, af[] = {a.view, flow.view};
    struct spk_nn_shape same = {CHANNELS, height, width, 1}, flat = {1, height, width, 1};
    for (unsigned factor = 1; factor <= 3 && factor <= height && factor <= width; factor++) {
        struct nn_rows_form form = {.factor = factor, .gain = 1.5f};
        struct spk_nn_shape small = {CHANNELS, height / factor, width / factor, 1};
        check("mean pool", ops->pool, pool_at, form, ab, small);
        form.flag = true;
        check("maximum pool", ops->pool, pool_at, form, ab, small);
        check("upsample", ops->upsample, upsample_at, form, ab,
              (struct spk_nn_shape){CHANNELS, height * factor, width * factor, 1});
        for (int corners = 0; corners < 2; corners++) {
            form.flag = corners;
            check("resize, smaller", ops->resize, resize_at, form, ab, small);
            check("resize, larger", ops->resize, resize_at, form, ab,
                  (struct spk_nn_shape){CHANNELS, height * factor + 1, width + 5, 1});
        }
    }
    struct nn_rows_form form = {.weight = kernel, .slope = 0.01f};
    check("warp", ops->warp, warp_at, form, af, same);
    for (form.radius = 0; form.radius < 5; form.radius += 2) {
        uint32_t span = 2 * form.radius + 1;
        check("cost volume", ops->cost_volume, cost_at, form, ab,
              (struct spk_nn_shape){span * span, height, width, 1});
        check("correlation", ops->correlation, correlation_at, form, ab, flat);
    }
    check("mean", ops->mean, mean_at, form, ab, flat);
    check("deviation", ops->deviation, deviation_at, form, ab, flat);
    form.flag = true;
    check("unbiased deviation", ops->deviation, deviation_at, form, ab, flat);
    check("add", ops->add, add_at, form, ab, same);
    check("add one channel", ops->add, add_at, form, ao, same);
    check("multiply", ops->multiply, multiply_at, form, ab, same);
    check("multiply one channel", ops->multiply, multiply_at, form, ao, same);
    check("depthwise", ops->depthwise, depthwise_at, form, ab, same);
    check("join", ops->join, join_at, form, ao, (struct spk_nn_shape){CHANNELS + 1, height, width, 1});
    free(a.memory);
    free(b.memory);
    free(one.memory);
    free(flow.memory);
}

/* Flows that are no numbers come from networks that diverge: nothing may be read outside the image. */
static void check_hostile_flow(const struct nn_rows_ops *ops)
{
    static const float hostile[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 3e9f, -3e9f, 0};
    struct tensor image = make(1, 9, 70), flow = make(2, 9, 70), out = make(1, 9, 70);
    for (size_t i = 0; i < flow.count; i++)
        flow.view.data[i] = hostile[(i * 5 + i / 11) % 8];
    const struct spk_nn_view in[] = {image.view, flow.view};
    const struct spk_nn_rows_job job = {in, &out.view, 0, 9, 0};
    ops->warp(&(struct nn_rows_form){0}, &job);
    for (size_t i = 0; i < out.count; i++)
        CHECK(fabsf(out.view.data[i]) <= 1, "%g from outside the image", (double)out.view.data[i]);
    free(image.memory);
    free(flow.memory);
    free(out.memory);
}

int main(void)
{
    static const uint32_t sizes[][2] = {{1, 1}, {1, 67}, {3, 5}, {17, 64}, {30, 149}, {64, 65}};
    for (unsigned isa = 0; isa < SPK_ISA_COUNT; isa++) {
        const struct nn_rows_ops *ops = nn_rows_ops(isa);
        if (!ops)
            continue;
        state = 88172645463325252ull;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_table(ops, sizes[i][0], sizes[i][1]);
        check_hostile_flow(ops);
        printf("%s: checked\n", spk_isa_name(isa));
    }
    return test_end();
}
