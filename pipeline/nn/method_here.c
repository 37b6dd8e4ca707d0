/* What is done round a network, on the processor. */
#include "method.h"
#include "rows_px.h"

#include <stdlib.h>

struct nn_here {
    float scale;        /* 1 over the reference's mean or maximum */
    int bulk_x, bulk_y; /* the sample is shown shifted back by so much */
    double *row_sum;    /* [height] while the reference is measured */
    float *row_most;
    uint32_t *row_count;
    float *bulk_score; /* [2 bulk_shift + 1]^2 */
};

static void close_here(struct spk_nn_recon *recon)
{
    struct nn_here *here = recon->here;
    if (!here)
        return;
    free(here->row_sum);
    free(here->row_most);
    free(here->row_count);
    free(here->bulk_score);
    free(here);
    recon->here = NULL;
}

static spk_status open_here(struct spk_nn_recon *recon, struct spk_error *error)
{
    size_t span = 2 * (size_t)recon->config.bulk_shift + 1;
    struct nn_here *here = recon->here = calloc(1, sizeof *here);
    if (here) {
        here->row_sum = calloc(recon->height, sizeof *here->row_sum);
        here->row_most = calloc(recon->height, sizeof *here->row_most);
        here->row_count = calloc(recon->height, sizeof *here->row_count);
        here->bulk_score = calloc(span * span, sizeof *here->bulk_score);
    }
    if (!here || !here->row_sum || !here->row_most || !here->row_count || !here->bulk_score)
        return spk_fail(error, SPK_NOMEM, "%s: no memory", recon->method->name);
    return SPK_OK;
}

static void measure_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct spk_nn_recon *recon = context;
    struct nn_here *here = recon->here;
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
    here->row_sum[y] = sum;
    here->row_most[y] = most;
    here->row_count[y] = count;
}

static spk_status measure(struct spk_nn_recon *recon, struct spk_error *error)
{
    struct nn_here *here = recon->here;
    spk_team_run(recon->team, measure_row, recon, recon->height);
    double sum = 0, most = 0, count = 0;
    for (uint32_t y = 0; y < recon->height; y++) {
        sum += here->row_sum[y];
        count += here->row_count[y];
        most = fmax(most, (double)here->row_most[y]);
    }
    double unit = recon->config.unit == SPK_NN_UNIT_MAXIMUM ? most : sum / count;
    if (!(unit > 0) || !isfinite(unit))
        return spk_fail(error, SPK_INVALID, "%s: the reference holds no light: its mean is not positive",
                        recon->method->name);
    here->scale = (float)(1 / unit);
    return SPK_OK;
}

struct filling {
    struct nn_showing showing;
    float scale;
    int bulk_x, bulk_y;
};

static void fill_row(void *context, unsigned task, unsigned worker)
{
    (void)worker;
    const struct filling *filling = context;
    const struct nn_showing *s = &filling->showing;
    float *to = s->to + (size_t)task * s->in_width;
    for (uint32_t x = 0; x < s->in_width; x++)
        to[x] = nn_shown_px(s, task / s->in_height, x, task % s->in_height, filling->scale, filling->bulk_x,
                            filling->bulk_y);
}

static void fill(struct spk_nn_recon *recon, const struct spk_stack *stack, int input, int bulk_x, int bulk_y)
{
    struct filling filling = {nn_showing_of(recon, stack, input), recon->here->scale, bulk_x, bulk_y};
    spk_team_run(recon->team, fill_row, &filling, recon->method->images * recon->in_height);
}

static spk_status show(struct spk_nn_recon *recon, const struct spk_stack *stack, int input,
                       struct spk_error *error)
{
    (void)error;
    fill(recon, stack, input, 0, 0);
    return SPK_OK;
}

/* Correlation of the middle of the sample with the reference at one shift: r(x - b) against s(x). */
static float correlation_at(const struct spk_nn_recon *recon, const float *sample, const float *reference,
                            int bulk_x, int bulk_y)
{
    const struct nn_middle m =
        nn_middle_px((int)recon->height, (int)recon->width, (int)recon->config.bulk_shift);
    float sum[NN_SUMS] = {0};
    for (int y = m.top; y < m.top + m.rows; y++) {
        const float *s = sample + (size_t)y * recon->in_width + (size_t)m.left;
        const float *r = reference + (size_t)(y - bulk_y) * recon->in_width + (size_t)(m.left - bulk_x);
        for (int x = 0; x < m.columns; x++) {
            float u = s[x] - 1, v = r[x] - 1;
            sum[NN_SUM_A] += u;
            sum[NN_SUM_B] += v;
            sum[NN_SUM_AA] += u * u;
            sum[NN_SUM_BB] += v * v;
            sum[NN_SUM_AB] += u * v;
        }
    }
    return nn_correlation_px(sum, (float)(m.rows * m.columns));
}

static void score_row(void *context, unsigned row, unsigned worker)
{
    (void)worker;
    struct spk_nn_recon *recon = context;
    int reach = (int)recon->config.bulk_shift, span = 2 * reach + 1;
    const float *sample = spk_nn_data(recon->nn, recon->ports.sample);
    const float *reference = spk_nn_data(recon->nn, recon->ports.reference);
    for (int i = 0; i < span; i++)
        recon->here->bulk_score[row * (unsigned)span + (unsigned)i] =
            correlation_at(recon, sample, reference, i - reach, (int)row - reach);
}

static void find_bulk(struct spk_nn_recon *recon)
{
    struct nn_here *here = recon->here;
    int reach = (int)recon->config.bulk_shift, span = 2 * reach + 1;
    here->bulk_x = here->bulk_y = 0;
    if (!reach)
        return;
    spk_team_run(recon->team, score_row, recon, (unsigned)span);
    int best = span * reach + reach; /* no shift, unless another is better */
    for (int i = 0; i < span * span; i++)
        if (here->bulk_score[i] > here->bulk_score[best])
            best = i;
    here->bulk_x = best % span - reach;
    here->bulk_y = best / span - reach;
}

static spk_status show_sample(struct spk_nn_recon *recon, const struct spk_stack *sample,
                              struct spk_error *error)
{
    (void)error;
    const struct nn_here *here = recon->here;
    fill(recon, sample, recon->ports.sample, 0, 0);
    find_bulk(recon);
    if (here->bulk_x || here->bulk_y)
        fill(recon, sample, recon->ports.sample, here->bulk_x, here->bulk_y);
    return SPK_OK;
}

struct writing {
    struct nn_storing storing;
    int bulk_x, bulk_y;
};

static void store_row(void *context, unsigned y, unsigned worker)
{
    (void)worker;
    const struct writing *w = context;
    for (uint32_t x = 0; x < w->storing.width; x++)
        nn_store_px(&w->storing, x, y, w->bulk_x, w->bulk_y);
}

static spk_status store(struct spk_nn_recon *recon, const struct spk_nn_recon_maps *maps,
                        struct spk_error *error)
{
    (void)error;
    struct writing writing = {nn_storing_of(recon, maps), recon->here->bulk_x, recon->here->bulk_y};
    spk_team_run(recon->team, store_row, &writing, recon->height);
    return SPK_OK;
}

const struct nn_method_ops nn_method_here = {.open = open_here,
                                             .close = close_here,
                                             .measure = measure,
                                             .show = show,
                                             .show_sample = show_sample,
                                             .store = store};
