/* What one linearisation of the global refinement on a device weighs how much, its phases, and the step of the field. */
#include "global_kernel.h"

enum { SIDE = 32 };
enum evidence { EVIDENCE_CHI2, EVIDENCE_DATA }; /* planes of residual while weights are made */

static size_t tile_bytes(const struct global_window *t)
{
    const size_t wide = SIDE + 2 * (size_t)t->radius;
    return (wide * wide + wide * SIDE + 2 * (size_t)t->radius + 1) * sizeof(float);
}

static __device__ inline int clamped(int i, int end)
{
    return i < 0 ? 0 : i < end ? i : end - 1;
}

/* out = taps across of taps down of a plane, continued beyond its edges. */
__global__ void smooth(float *out, const float *in, int height, int width, struct global_window t,
                       const struct global_there_state *state)
{
    SPK_SHARED(float, tile);
    const int wide = SIDE + 2 * t.radius, x0 = (int)blockIdx.x * SIDE - t.radius,
              y0 = (int)blockIdx.y * SIDE - t.radius;
    float *lines = tile + wide * wide, *weight = lines + wide * SIDE;
    if (state->idle)
        return;
    if ((int)threadIdx.x <= 2 * t.radius)
        weight[threadIdx.x] = t.weight[threadIdx.x];
    for (int i = (int)threadIdx.x; i < wide * wide; i += THREADS) {
        const int x = clamped(x0 + i % wide, width), y = clamped(y0 + i / wide, height);
        tile[i] = in[(size_t)y * (size_t)width + (size_t)x];
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < wide * SIDE; i += THREADS) {
        float sum = 0;
        for (int j = 0; j <= 2 * t.radius; j++)
            sum += weight[j] * tile[i + j * wide];
        lines[i] = sum;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < SIDE * SIDE; i += THREADS) {
        const int x = x0 + t.radius + i % SIDE, y = y0 + t.radius + i / SIDE;
        const float *line = lines + i / SIDE * wide + i % SIDE;
        float sum = 0;
        for (int j = 0; j <= 2 * t.radius; j++)
            sum += weight[j] * line[j];
        if (x < width && y < height)
            out[(size_t)y * (size_t)width + (size_t)x] = sum;
    }
}

static void run_smooth(void *stream, const struct global_there *t, float *out, const float *in,
                       const struct global_window *taps)
{
    const struct global_there_level *g = &t->level[0];
    const dim3 blocks(spk_blocks((unsigned)g->width, SIDE), spk_blocks((unsigned)g->height, SIDE));
    SPK_LAUNCH(smooth, blocks, THREADS, tile_bytes(taps), stream, out, in, g->height, g->width, *taps,
               (const struct global_there_state *)t->state);
}

/* The 60th percentile of a plane (one block), 8 bits of it at a time: of every n-th value the median, once a fifth as many of the
 * largest have joined. */
__global__ void typical(struct global_there t, const float *plane, enum evidence which)
{
    SPK_SHARED(unsigned, histogram); /* [256], then the digit found */
    const size_t pixels = level_plane(t.level[0]), step = pixels / GLOBAL_SAMPLES + 1;
    const size_t all = (pixels + step - 1) / step;
    const unsigned count = all < GLOBAL_SAMPLES ? (unsigned)all : (unsigned)GLOBAL_SAMPLES;
    unsigned rank = (count + count / 5) / 2;
    uint32_t prefix = 0;
    if (t.state->idle)
        return;
    for (int shift = 24; shift >= 0; shift -= 8) {
        histogram[threadIdx.x] = 0;
        __syncthreads();
        for (unsigned i = threadIdx.x; i < count; i += THREADS) {
            const uint32_t key = spk_rank_key(plane[i * step]);
            if (shift == 24 || key >> (shift + 8) == prefix)
                atomicAdd(&histogram[key >> shift & 255], 1u);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned digit = 0;
            while (digit < 255 && rank >= histogram[digit])
                rank -= histogram[digit++];
            histogram[256] = digit;
        }
        __syncthreads();
        prefix = prefix << 8 | histogram[256];
    }
    if (threadIdx.x != 0)
        return;
    const float value = spk_key_value(prefix);
    if (which == EVIDENCE_CHI2)
        t.state->chi2_typical = fmaxf((float)t.frames, value);
    else
        t.state->data_typical = value;
}

/* How well the present field explains the data near each pixel, and how much data there is. */
static void run_evidence(void *stream, const struct global_there_call *call)
{
    static const int from[] = {SPK_NORMAL_CHI2, SPK_NORMAL_TT};
    const struct global_there *t = &call->g;
    const size_t plane = level_plane(t->level[0]);
    for (size_t i = 0; i < 2; i++) {
        float *to = t->level[0].residual + i * plane;
        run_smooth(stream, t, to, t->normal + (size_t)from[i] * plane, &call->window[GLOBAL_WINDOW_CHI2]);
        SPK_LAUNCH(typical, 1, THREADS, 257 * sizeof(unsigned), stream, *t, (const float *)to,
                   (enum evidence)i);
    }
}

static __device__ inline bool has_data(const struct global_there &t, size_t at)
{
    return t.level[0].residual[EVIDENCE_DATA * level_plane(t.level[0]) + at] >
           GLOBAL_DATA_NONE * t.state->data_typical;
}

static __device__ bool believed(const struct global_there &t, int x, int y, size_t at)
{
    const struct global_there_level &g = t.level[0];
    const float at_x = (float)x - t.param[SPK_GLOBAL_X][at], at_y = (float)y - t.param[SPK_GLOBAL_Y][at];
    bool good = has_data(t, at) && g.residual[at] <= GLOBAL_CHI2_WRONG * t.state->chi2_typical;
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        good &= isfinite(t.param[c][at]) != 0;
    return good && t.error[at] < GLOBAL_DOUBT_PX && at_x >= 0 && at_y >= 0 && at_x <= (float)(g.width - 1) &&
           at_y <= (float)(g.height - 1);
}

static __device__ inline bool on_rim(const struct global_there_level &g, int x, int y)
{
    return x < GLOBAL_RIM || y < GLOBAL_RIM || x + GLOBAL_RIM >= g.width || y + GLOBAL_RIM >= g.height;
}

/* Fields times precision in next, precision in direction: what a weighted mean is made of. */
__global__ void weigh_start(struct global_there t)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const bool good = believed(t, x, y, at);
    const float weight = good ? global_precision_px(t.error[at], !on_rim(g, x, y)) : 0;
    t.doubt[at] = good ? 0 : 1;
    t.direction[at] = weight;
    for (int c = 0; c < SPK_GLOBAL_PARAMS; c++)
        g.next[(size_t)c * level_plane(g) + at] = good ? weight * t.param[c][at] : 0;
}

/* What the start does not know from its neighbours: their fields, smoothed, in step, their precision in the third plane of
 * residual. */
__global__ void fill(struct global_there t)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle || (!on_rim(g, x, y) && !(t.doubt[at] > 0)))
        return;
    const float sum = g.residual[2 * level_plane(g) + at];
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const float value = sum > 1e-9f ? t.step[c * level_plane(g) + at] / sum : t.origin[c];
        t.param[c][at] = global_bounded_px(c, value, t.origin[c], t.range);
    }
}

/* Squared second differences of T, K and u at a pixel. */
static __device__ void bend(const struct global_there_level &g, const float *const *field, int x, int y,
                            size_t at, float out[GLOBAL_PRIORS])
{
    const size_t down = (size_t)g.width;
    const bool above = y > 0, below = y + 1 < g.height, left = x > 0, right = x + 1 < g.width;
    for (int i = 0; i < GLOBAL_PRIORS; i++)
        out[i] = 0;
    for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
        const float *f = field[c] + at, share = c < 2 ? 0.25f : 0.125f;
        const float xx = left && right ? global_second_px(f[-1], f[0], f[1]) : 0;
        const float yy = above && below ? global_second_px(f[-(ptrdiff_t)down], f[0], f[down]) : 0;
        const float xy = right && below ? global_twist_px(f[0], f[1], f[down], f[down + 1]) : 0;
        out[prior_of(c)] += share * (xx * xx + yy * yy + 2 * xy * xy);
    }
}

/* Second differences of the field in next and, behind the first iteration, of the sample of its error in step. */
__global__ void measure(struct global_there t, bool drawn)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(g);
    const float *const field[] = {t.param[0], t.param[1], t.param[2], t.param[3]};
    const float *const draw[] = {t.draw, t.draw + plane, t.draw + 2 * plane, t.draw + 3 * plane};
    float out[GLOBAL_PRIORS];
    bend(g, field, x, y, at, out);
    for (size_t i = 0; i < GLOBAL_PRIORS; i++)
        g.next[i * plane + at] = out[i];
    if (!drawn)
        return;
    bend(g, draw, x, y, at, out);
    for (size_t i = 0; i < GLOBAL_PRIORS; i++)
        t.step[i * plane + at] = out[i];
}

/* Where no datum is in sight, second differences are nobody's. */
__global__ void doubt_data(struct global_there t)
{
    int x, y;
    size_t at;
    if (own_pixel(t.level[0], &x, &y, &at) && !t.state->idle)
        t.doubt[at] = has_data(t, at) ? 0 : 1;
}

/* The weight of a prior from smoothed second differences: its own plane and, where there is a sample, `extra`. `near` is above 0
 * near pixels in doubt. */
__global__ void weigh_prior(struct global_there t, int i, const float *near, const float *extra)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    const struct global_prior p = global_prior_px((unsigned)i);
    float *weight = &t.level[0].prior[i][at];
    const float own = near[at] > 0 ? p.unknown * p.unknown : *weight;
    *weight = global_strength_px((unsigned)i, (unsigned)t.frames) /
              (p.floor * p.floor + own + (extra ? extra[at] : 0));
}

/* Takes what the field does not explain out of the equations, and at first what is in doubt. */
__global__ void scale(struct global_there t, bool first)
{
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    if (!own_pixel(g, &x, &y, &at) || t.state->idle)
        return;
    const float bound = GLOBAL_CHI2_EXPLAINED * t.state->chi2_typical, chi2 = g.residual[at];
    float weight = chi2 > bound ? bound / chi2 : 1, n[SPK_NORMALS];
    weight = first && t.doubt[at] > 0 ? 0 : weight;
    for (size_t i = 0; i < SPK_NORMAL_CHI2; i++)
        n[i] = weight * t.normal[i * level_plane(g) + at];
    if (!t.dark_field)
        global_tie_px(n);
    for (size_t i = 0; i < SPK_NORMAL_CHI2; i++)
        t.normal[i * level_plane(g) + at] = n[i];
}

/* Takes the bounded step of the field; part = sum of the squared steps of u. */
__global__ void take_step(struct global_there t)
{
    SPK_SHARED(double, part);
    const struct global_there_level &g = t.level[0];
    int x, y;
    size_t at;
    const bool own = own_pixel(g, &x, &y, &at);
    float sum = 0;
    if (t.state->idle)
        return;
    if (own) {
        const size_t plane = level_plane(g);
        const float most = t.doubt[at] > 0 ? GLOBAL_FIRST_STEP_PX : GLOBAL_STEP_PX;
        for (unsigned c = 0; c < SPK_GLOBAL_PARAMS; c++) {
            const float before = t.param[c][at], step = t.step[c * plane + at];
            const float bounded = c < SPK_GLOBAL_X ? step : spk_match_limit_px(step, -most, most);
            const float value = global_bounded_px(c, before + bounded, t.origin[c], t.range);
            const bool tied = c == SPK_GLOBAL_K && !t.dark_field;
            t.param[c][at] = tied ? t.param[SPK_GLOBAL_T][at] : value;
            sum += c < SPK_GLOBAL_X ? 0 : (value - before) * (value - before);
        }
    }
    store_part(t, sum, part);
}

/* How far the field has moved (one block), and whether that is the end. */
__global__ void judge_step(struct global_there t, int parts)
{
    SPK_SHARED(double, part);
    struct global_there_state *s = t.state;
    if (s->idle)
        return;
    const double sum = sum_parts(t, parts, part);
    if (threadIdx.x != 0)
        return;
    const int64_t spent = spk_device_clock_ns() - s->began_ns;
    s->report.change = (float)sqrt(sum / (double)level_plane(t.level[0]));
    s->report.iterations++;
    s->report.converged = s->report.change < GLOBAL_MOVED_PX;
    s->over = s->report.converged;
    s->times.iteration = spent > s->times.iteration ? spent : s->times.iteration;
}

__global__ void add_step(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++)
        t.draw[c * level_plane(t.level[0]) + at] += t.step[c * level_plane(t.level[0]) + at];
}

/* Adds the squares of the sample to a sum in doubt, or starts it; the next sample is another one. */
__global__ void square(struct global_there t, bool first)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(t.level[0]);
    const float ux = t.draw[SPK_GLOBAL_X * plane + at], uy = t.draw[SPK_GLOBAL_Y * plane + at];
    t.doubt[at] = (first ? 0 : t.doubt[at]) + ux * ux + uy * uy;
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++)
        t.draw[c * plane + at] = 0;
}

/* The squares of a misfit's direction: of the field, or added to those of the samples before. */
__global__ void take_misfit(struct global_there t, bool field, bool first)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(t.level[0]);
    const float ux = t.direction[SPK_GLOBAL_X * plane + at], uy = t.direction[SPK_GLOBAL_Y * plane + at];
    float *sum = t.normal + (size_t)(field ? GLOBAL_TRUST_FIELD : GLOBAL_TRUST_DRAWS) * plane;
    sum[at] = (first ? 0 : sum[at]) + ux * ux + uy * uy;
    if (at == 0 && field)
        t.state->reach_field = t.state->factor;
    if (at == 0 && !field)
        t.state->reach_draws = t.state->factor + (first ? 0 : t.state->reach_draws);
    if (field)
        t.normal[GLOBAL_TRUST_LACK * plane + at] = t.normal[SPK_NORMAL_TT * plane + at] > 0 ? 0 : 1;
}

/* Near pixels without data, marked in direction, a misfit is what the field is continued by. */
__global__ void forget_misfit(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle || !(t.direction[at] > 0))
        return;
    const size_t plane = level_plane(t.level[0]);
    t.normal[GLOBAL_TRUST_FIELD * plane + at] = t.normal[GLOBAL_TRUST_DRAWS * plane + at] = 0;
}

/* direction: averages of chi2, and of the squares of the misfits of field and samples. */
__global__ void root(struct global_there t)
{
    int x, y;
    size_t at;
    if (!own_pixel(t.level[0], &x, &y, &at) || t.state->idle)
        return;
    const size_t plane = level_plane(t.level[0]);
    const float gain = global_reach_px(t.state->reach_field, t.state->reach_draws);
    const float factor = global_trust_px(gain * t.direction[plane + at], t.direction[2 * plane + at],
                                         t.direction[at], t.state->chi2_typical);
    t.error[at] = sqrtf(1.0f / GLOBAL_DRAWS * t.error[at] * factor);
    if (at == 0)
        t.state->report.deviation = true;
}

/* Too late for work of `needed_ns`. */
static __device__ inline bool late(const struct global_there_state *s, int64_t needed_ns)
{
    return s->deadline_ns && spk_device_clock_ns() + needed_ns > s->deadline_ns;
}

__global__ void start_clock(struct global_there_state *s)
{
    s->started_ns = spk_device_clock_ns();
}

__global__ void begin_run(struct global_there_state *s, int64_t allowance_ns)
{
    const struct spk_global_report none = {0, 0, NAN, false, false};
    s->times.before = spk_device_clock_ns() - s->started_ns;
    s->deadline_ns = allowance_ns ? s->started_ns + allowance_ns : 0;
    s->report = none;
    s->unsaid = 0;
    s->over = s->idle = late(s, 2 * s->times.setup);
    s->times.iteration = 0;
}

__global__ void gate_iteration(struct global_there_state *s, unsigned iteration)
{
    s->over |= iteration > 0 && late(s, s->times.setup);
    s->idle = s->over;
    s->began_ns = spk_device_clock_ns();
}

__global__ void gate_draw(struct global_there_state *s)
{
    s->idle = s->over || late(s, s->times.setup);
}

__global__ void gate_spread(struct global_there_state *s)
{
    s->unsaid |= s->report.iterations == 0 || late(s, s->times.setup);
    s->idle = s->unsaid;
}

__global__ void end_run(struct global_there_state *s)
{
    s->times.all = spk_device_clock_ns() - s->started_ns;
}

static const struct global_there_call *call_of(const void *arguments)
{
    return (const struct global_there_call *)arguments;
}

spk_status spk_global_there_clock(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(start_clock, 1, 1, 0, stream, call_of(arguments)->g.state);
    return spk_cuda_launched("clock of the global refinement", error);
}

spk_status spk_global_there_begin(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(begin_run, 1, 1, 0, stream, call_of(arguments)->g.state, call_of(arguments)->allowance_ns);
    return spk_cuda_launched("begin of the global refinement", error);
}

spk_status spk_global_there_gate_iteration(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(gate_iteration, 1, 1, 0, stream, call_of(arguments)->g.state, call_of(arguments)->iteration);
    return spk_cuda_launched("gate of the global refinement", error);
}

spk_status spk_global_there_gate_draw(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(gate_draw, 1, 1, 0, stream, call_of(arguments)->g.state);
    return spk_cuda_launched("gate of the global refinement", error);
}

spk_status spk_global_there_gate_spread(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(gate_spread, 1, 1, 0, stream, call_of(arguments)->g.state);
    return spk_cuda_launched("gate of the global refinement", error);
}

spk_status spk_global_there_end(void *stream, const void *arguments, struct spk_error *error)
{
    SPK_LAUNCH(end_run, 1, 1, 0, stream, call_of(arguments)->g.state);
    return spk_cuda_launched("end of the global refinement", error);
}

spk_status spk_global_there_start(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &call_of(arguments)->g;
    const struct global_window *window = &call_of(arguments)->window[GLOBAL_WINDOW_FILL];
    const size_t plane = level_plane(t->level[0]);
    run_evidence(stream, call_of(arguments));
    LAUNCH_FINEST(weigh_start, *t);
    for (size_t c = 0; c < SPK_GLOBAL_PARAMS; c++)
        run_smooth(stream, t, t->step + c * plane, t->level[0].next + c * plane, window);
    run_smooth(stream, t, t->level[0].residual + 2 * plane, t->direction, window);
    LAUNCH_FINEST(fill, *t);
    return spk_cuda_launched("start of the global refinement", error);
}

/* Planes of direction while weights are made: how near doubt is, and second differences of the sample. */
spk_status spk_global_there_weigh(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &call_of(arguments)->g;
    const bool drawn = call_of(arguments)->iteration > 0;
    const struct global_window box = {GLOBAL_NEAR, GLOBAL_NEAR_TAPS}, *window = call_of(arguments)->window;
    const size_t plane = level_plane(t->level[0]);
    float *near = t->direction, *extra = t->direction + plane;
    LAUNCH_FINEST(measure, *t, drawn);
    run_evidence(stream, call_of(arguments));
    if (drawn)
        LAUNCH_FINEST(doubt_data, *t);
    run_smooth(stream, t, near, t->doubt, &box);
    for (int i = 0; i < GLOBAL_PRIORS; i++) {
        run_smooth(stream, t, t->level[0].prior[i], t->level[0].next + (size_t)i * plane, &window[i]);
        if (drawn)
            run_smooth(stream, t, extra, t->step + (size_t)i * plane, &window[GLOBAL_WINDOW_DRAW]);
        LAUNCH_FINEST(weigh_prior, *t, i, (const float *)near, (const float *)(drawn ? extra : nullptr));
    }
    LAUNCH_FINEST(scale, *t, !drawn);
    return spk_cuda_launched("weights of the global refinement", error);
}

spk_status spk_global_there_take(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &call_of(arguments)->g;
    SPK_LAUNCH(take_step, level_blocks(&t->level[0]), dim3(ACROSS, DOWN), WARPS * sizeof(double), stream, *t);
    SPK_LAUNCH(judge_step, 1, THREADS, WARPS * sizeof(double), stream, *t, part_count(t));
    return spk_cuda_launched("step of the field", error);
}

spk_status spk_global_there_add(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &call_of(arguments)->g;
    LAUNCH_FINEST(add_step, *t);
    return spk_cuda_launched("step of the sample", error);
}

spk_status spk_global_there_misfit_take(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there_call *call = call_of(arguments);
    const struct global_there *t = &call->g;
    LAUNCH_FINEST(take_misfit, *t, call->field, call->iteration == 0);
    return spk_cuda_launched("misfit of the global refinement", error);
}

spk_status spk_global_there_spread(void *stream, const void *arguments, struct spk_error *error)
{
    const struct global_there *t = &call_of(arguments)->g;
    const struct global_window near = {GLOBAL_NEAR, GLOBAL_NEAR_TAPS}, *window = call_of(arguments)->window;
    const size_t plane = level_plane(t->level[0]);
    LAUNCH_FINEST(square, *t, call_of(arguments)->iteration == 0);
    if (call_of(arguments)->last) {
        run_smooth(stream, t, t->error, t->doubt, &window[GLOBAL_WINDOW_SPREAD]);
        run_smooth(stream, t, t->direction, t->normal + GLOBAL_TRUST_LACK * plane, &near);
        LAUNCH_FINEST(forget_misfit, *t);
        run_smooth(stream, t, t->direction, t->normal + SPK_NORMAL_CHI2 * plane, &window[GLOBAL_WINDOW_CHI2]);
        run_smooth(stream, t, t->direction + plane, t->normal + GLOBAL_TRUST_FIELD * plane,
                   &window[GLOBAL_WINDOW_TRUST]);
        run_smooth(stream, t, t->direction + 2 * plane, t->normal + GLOBAL_TRUST_DRAWS * plane,
                   &window[GLOBAL_WINDOW_TRUST]);
        LAUNCH_FINEST(root, *t);
    }
    return spk_cuda_launched("spread of the sample", error);
}
