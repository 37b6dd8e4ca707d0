/* The integer search on a device: all pixels of a tile at once, every shift of the range.
 *
 * Sums over frames and sums over the window commute. A thread keeps the products of 8 neighbouring sample pixels at some neighbouring
 * shifts in registers, so that a value read from shared memory serves up to 8 multiply-adds; then one separable window a shift goes
 * through shared memory. Tiles whose pixels all count take a short cut; the others carry the masks through the sums.
 *
 * Where a refinement follows, the scores beside the best one are kept for the top of a parabola through them. Shifts are looked at in
 * strips that overlap by two columns, so that both neighbours of a column lie in its strip: only one row of a strip is remembered,
 * in the memory of the equations, which come later. */
#include "umpa_kept_there.h"
#include "umpa_px.h"

enum { PIXELS = 8, COLUMNS = UMPA_SEARCH_COLUMNS };

/* Where column x of a row in shared memory stands: four empty places behind every eight values, so that the eight threads of a row,
 * which read eight values apart and four at a time, meet 32 different banks. */
static constexpr __host__ __device__ int spaced(int x)
{
    return x + x / 8 * 4;
}

/* Planes of the equations' memory while the search has it: scores of the row of shifts before, then those beside the best. */
enum { SCORE_ABOVE, SCORE_LEFT = UMPA_THERE_STRIP, SCORE_RIGHT, SCORE_UP, SCORE_DOWN, SCORES };
static_assert((int)SCORES <= (int)SPK_NORMALS, "the scores fit into the memory of the equations");

/* The best shift of one output; its fit waits in `param`. A thread's are in shared memory, T::THREADS apart: it has no register
 * left for them. */
struct best {
    float score; /* less is worse */
    int number;
};

/* Tiles in which every pixel counts; some do not; or they do in some frames only, which is so with sample stepping. */
enum kind { WHOLE, MASKED, STEPPED };

/* What a tile looks like for windows up to a radius. PARITY: UMPA's window means; KEPT: sums that are kept. */
template <int RADIUS, enum kind KIND, bool PARITY, bool KEPT>
struct tile {
    enum {
        ROWS = UMPA_SEARCH_ROWS(RADIUS),                               /* of the region under the windows */
        THREADS = COLUMNS / PIXELS *ROWS, STAGED = RADIUS > 8 ? 2 : 4, /* frames */
        SHIFTS = KIND != WHOLE &&PARITY    ? 2
                 : KIND != WHOLE || PARITY ? (RADIUS > 8 || KEPT ? 4 : 5)
                                           : UMPA_THERE_STRIP, /* columns of shifts at once */
        OUT_WIDTH = COLUMNS - 2 * RADIUS, OUT_HEIGHT = ROWS - 2 * RADIUS, RUNS = THREADS / OUT_WIDTH,
        RUN = (OUT_HEIGHT + RUNS - 1) / RUNS, /* outputs of a thread, in one column */
        STAGE_WIDTH = COLUMNS + SHIFTS - 1, STAGE_PITCH = spaced(STAGE_WIDTH + 3) / 4 * 4,
        UNROLLED = RADIUS <= 8, /* the window has 2 RADIUS + 1 taps, some of them 0 */
        /* multiples of four for reading four values at a time; else the four rows of a warp in different banks */
        REGION_PITCH = spaced(COLUMNS + 2 * RADIUS + 3) / 4 * 4 + (UNROLLED ? 0 : 1),
        LINES = RUNS *RUN + 2 * RADIUS, /* rows that the last threads' outputs read, if only to no end */
        HELD = KIND == WHOLE ? 2 : (int)UMPA_SUMS + (PARITY ? 2 : 0), /* sums of an output */
        FRAMES = STAGED *ROWS *STAGE_PITCH, STAGE = FRAMES > HELD *RUN *THREADS ? FRAMES : HELD *RUN *THREADS,
        REGION = (ROWS * REGION_PITCH + 3) / 4 * 4,
        SHARED = (STAGE + REGION + LINES * COLUMNS) * 4 + RUN *THREADS *(int)sizeof(struct best)};
};

/* A thread's place: its pixels of the region and its outputs. */
struct place {
    int column, row; /* of its first pixel in the region */
    int x, y;        /* in the image */
    unsigned good;   /* bit i: pixel i is in the image and counts */
    int out_column, out_row;
    bool owns;
};

/* One shift: its place in the range, and in its strip. */
struct trial {
    int row, column, strip_column;
    bool candidate; /* not one of the columns that only stand beside those of the strip */
};

static __device__ inline bool inside(const struct umpa_there &u, int x, int y)
{
    return x >= 0 && y >= 0 && x < u.width && y < u.height;
}

/* 31 bits hold it (SPK_DEVICE_PIXELS_MAX), and half the registers. */
static __device__ inline int pixel(const struct umpa_there &u, int x, int y)
{
    return y * u.width + x;
}

/* The place of the reference that a pixel meets at shift number (row, column) of the range. */
static __device__ inline int there_x(const struct umpa_there &u, int x, int column)
{
    return x - u.guess_x - u.shift + column;
}

static __device__ inline int there_y(const struct umpa_there &u, int y, int row)
{
    return y - u.guess_y - u.shift + row;
}

static __device__ inline int clamped(int value, int end)
{
    return value < 0 ? 0 : value < end ? value : end - 1;
}

/* Whether every pixel that the tile's windows touch counts, on both sides. All threads must call it. */
static __device__ bool all_count(const struct umpa_there &u, int x0, int y0, int columns, int rows)
{
    bool bad = false;
    for (int i = (int)threadIdx.x; i < columns * rows; i += (int)blockDim.x) {
        int x = x0 + i % columns, y = y0 + i / columns;
        bad |= !inside(u, x, y) || !u.whole[pixel(u, x, y)];
    }
    const int wide = columns + 2 * u.shift, high = rows + 2 * u.shift;
    for (int i = (int)threadIdx.x; i < wide * high; i += (int)blockDim.x) {
        int x = there_x(u, x0, 0) + i % wide, y = there_y(u, y0, 0) + i / wide;
        bad |= !inside(u, x, y) || !u.reference_whole[pixel(u, x, y)];
    }
    return !__syncthreads_or(bad);
}

/* Rows of the plane that begins at `start`, from (x, y), into shared memory; `beyond` the image. */
template <typename T>
static __device__ void stage(const struct umpa_there &u, float *to, const struct umpa_planes &planes,
                             size_t start, int x, int y, float beyond)
{
    enum { WARP = 32 };
    for (int row = (int)threadIdx.x / WARP; row < T::ROWS; row += T::THREADS / WARP) {
        const bool there = y + row >= 0 && y + row < u.height;
        const size_t line = start + (size_t)pixel(u, x, y + row);
        float *out = to + row * T::STAGE_PITCH;
#pragma unroll
        for (int column = (int)threadIdx.x % WARP; column < T::STAGE_WIDTH; column += WARP) {
            const bool in = there && x + column >= 0 && x + column < u.width;
            out[spaced(column)] = in ? umpa_value(planes, line + (size_t)column) : beyond;
        }
    }
}

/* A thread's pixels of a plane that begins at `start`, value * scale - level; 0 where they do not count. */
static __device__ inline void load(const struct umpa_there &u, const struct place &p,
                                   const struct umpa_planes &planes, size_t start, float scale, float level,
                                   float (&s)[PIXELS])
{
    const size_t at = start + (size_t)pixel(u, p.x, p.y); /* looked at where a pixel counts */
    if (planes.half) {
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            s[i] = p.good >> i & 1 ? spk_widen(planes.half[at + (size_t)i]) * scale - level : 0;
    } else {
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            s[i] = p.good >> i & 1 ? planes.data[at + (size_t)i] * scale - level : 0;
    }
}

/* Where a frame of the sample begins if it is to be looked at as the maps are. */
static __device__ inline size_t frame_start(const struct umpa_there &u, int frame)
{
    const size_t start = (size_t)frame * (size_t)u.height * (size_t)u.width;
    return u.stepping ? start + (size_t)(u.offset_y[frame] * u.width + u.offset_x[frame]) : start;
}

/* Products of sample (value * scale - level) and reference planes, summed over frames, at shifts from (row, column). `moved`: the
 * sample's planes are frames, which the sample may have moved in. */
template <typename T>
static __device__ void cross(const struct umpa_there &u, const struct place &p,
                             const struct umpa_planes &sample, bool moved, float scale, float level,
                             const struct umpa_planes &reference, int x0, int y0, int row, int column,
                             float *staged, float (&sum)[T::SHIFTS][PIXELS])
{
    enum { SHIFTS = T::SHIFTS, FRAME = T::ROWS * T::STAGE_PITCH };
    const size_t plane = (size_t)u.height * (size_t)u.width;
#pragma unroll
    for (int j = 0; j < SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            sum[j][i] = 0;
    for (int first = 0; first < u.used_count; first += T::STAGED) {
        const int frames = u.used_count - first < T::STAGED ? u.used_count - first : (int)T::STAGED;
        __syncthreads();
        for (int f = 0; f < frames; f++)
            stage<T>(u, staged + f * FRAME, reference, (size_t)u.used[first + f] * plane,
                     there_x(u, x0, column), there_y(u, y0, row), 0);
        __syncthreads();
#pragma unroll 1
        for (int f = 0; f < frames; f++) {
            const float *line = staged + f * FRAME + p.row * T::STAGE_PITCH + spaced(p.column);
            float s[PIXELS], r[PIXELS + SHIFTS - 1];
            const int frame = u.used[first + f];
            load(u, p, sample, moved ? frame_start(u, frame) : (size_t)frame * plane, scale, level, s);
#pragma unroll
            for (int i = 0; i < PIXELS + SHIFTS - 1; i++)
                r[i] = line[spaced(i)];
#pragma unroll
            for (int j = 0; j < SHIFTS; j++)
#pragma unroll
                for (int i = 0; i < PIXELS; i++)
                    sum[j][i] = fmaf(s[i], r[i + j], sum[j][i]);
        }
    }
}

/* A thread's pixels of a frame as sums that are kept see them, whether they count or not. */
static __device__ inline void load_kept(const struct umpa_there &u, const struct place &p,
                                        const struct umpa_planes &planes, int frame, float (&s)[PIXELS])
{
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
        bool counts;
        s[i] = inside(u, p.x + i, p.y)
                   ? umpa_kept_value(u, planes, frame, (size_t)pixel(u, p.x + i, p.y), &counts)
                   : 0;
    }
}

/* Where the sums of this thread's pixels at a shift are kept, T::THREADS apart. */
template <typename T>
static __device__ inline int32_t *kept_sums(const struct umpa_there &u, int row, int column)
{
    const size_t tile = (size_t)blockIdx.y * gridDim.x + blockIdx.x, span = 2 * (size_t)u.shift + 1;
    return u.kept.search + ((tile * span + (size_t)row) * span + (size_t)column) * (T::THREADS * PIXELS) +
           threadIdx.x;
}

/* What new frames change of the sums at shifts from `first` on of a strip; those before are up to date. */
template <typename T>
static __device__ void exchange(const struct umpa_there &u, const struct place &p, int x0, int y0, int row,
                                int column, int first, float *staged, int (&sum)[T::SHIFTS][PIXELS])
{
    const size_t plane = (size_t)u.height * (size_t)u.width;
    for (int k = 0; k < u.used_count; k++) {
        const int frame = u.used[k];
        if (!umpa_is_fresh(u, frame))
            continue;
        __syncthreads();
        stage<T>(u, staged, u.packed, (size_t)frame * plane, there_x(u, x0, column), there_y(u, y0, row), 0);
        __syncthreads();
        const float *line = staged + p.row * T::STAGE_PITCH + spaced(p.column);
        float s[PIXELS], former[PIXELS] = {};
        load_kept(u, p, u.sample, frame, s);
        if (!u.kept.all)
            load_kept(u, p, u.kept.seen, frame, former);
#pragma unroll
        for (int j = 0; j < T::SHIFTS; j++)
#pragma unroll
            for (int i = 0; i < PIXELS; i++) {
                const float r = line[spaced(i + j)];
                if (j >= first)
                    sum[j][i] += umpa_search_quanta(u, s[i] * r) - umpa_search_quanta(u, former[i] * r);
            }
    }
}

/* As cross(), from the sums that are kept: brings them up to date, and takes those of the pixels that count. */
template <typename T>
static __device__ void cross_kept(const struct umpa_there &u, const struct place &p, int x0, int y0, int row,
                                  int column, int first, float *staged, float (&sum)[T::SHIFTS][PIXELS])
{
    const int span = 2 * u.shift + 1;
    const float quantum = 1 / u.kept.search_quanta;
    int32_t *const place = kept_sums<T>(u, row, column);
    int kept[T::SHIFTS][PIXELS];
#pragma unroll
    for (int j = 0; j < T::SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const bool there = column + j < span && (j < first || !u.kept.all);
            kept[j][i] = there ? place[(j * PIXELS + i) * T::THREADS] : 0;
        }
    exchange<T>(u, p, x0, y0, row, column, first, staged, kept);
#pragma unroll
    for (int j = 0; j < T::SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            if (column + j < span && j >= first)
                place[(j * PIXELS + i) * T::THREADS] = kept[j][i];
            sum[j][i] = p.good >> i & 1 ? (float)kept[j][i] * quantum : 0;
        }
}

/* The sums of umpa_joint_px() at one shift, over the frames that see a pixel on both sides. */
template <typename T>
static __device__ void cross_frames(const struct umpa_there &u, const struct place &p, int x0, int y0,
                                    int row, int column, float *staged, float (&sum)[UMPA_SUM_MM][PIXELS])
{
    const size_t plane = (size_t)u.height * (size_t)u.width;
    const float level = u.numbers->level;
#pragma unroll
    for (int q = 0; q < UMPA_SUM_MM; q++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            sum[q][i] = 0;
    for (int k = 0; k < u.used_count; k++) {
        __syncthreads();
        stage<T>(u, staged, u.packed, (size_t)u.used[k] * plane, there_x(u, x0, column), there_y(u, y0, row),
                 NAN);
        __syncthreads();
        const float *line = staged + p.row * T::STAGE_PITCH + spaced(p.column);
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            float s = 0, r = line[i];
            if (isnan(r) || !(p.good >> i & 1) || !umpa_sample(u, u.used[k], p.x + i, p.y, &s))
                continue;
            s -= level;
            sum[UMPA_SUM_QS][i] = fmaf(s, r, sum[UMPA_SUM_QS][i]);
            sum[UMPA_SUM_WEIGHT][i] += 1;
            sum[UMPA_SUM_SS][i] = fmaf(s, s, sum[UMPA_SUM_SS][i]);
            sum[UMPA_SUM_QQ][i] = fmaf(r, r, sum[UMPA_SUM_QQ][i]);
            sum[UMPA_SUM_MS][i] += s;
            sum[UMPA_SUM_MQ][i] += r;
        }
    }
}

/* Registers cannot be indexed: picks the products of one shift by comparing. */
template <int SHIFTS>
static __device__ inline void pick(const float (&sum)[SHIFTS][PIXELS], int shift, float value[PIXELS])
{
#pragma unroll
    for (int j = 0; j < SHIFTS; j++)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            value[i] = j == shift ? sum[j][i] : value[i];
}

/* Every thread brings its pixels of a plane into shared memory. All threads must call it. */
template <typename T>
static __device__ inline void bring(const struct place &p, const float value[PIXELS], float *region)
{
    for (int i = 0; i < PIXELS; i++)
        region[p.row * T::REGION_PITCH + spaced(p.column) + i] = value[i];
    __syncthreads();
}

/* The taps at COUNT neighbouring places, value(i) being what lies i after the first tap of the first. */
template <typename T, int RADIUS, int COUNT, typename VALUE>
static __device__ inline void taps(const struct umpa_there &u, VALUE value, float (&sum)[COUNT])
{
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        sum[i] = 0;
    if (T::UNROLLED) { /* each value is read once and stays in a register */
        float v[COUNT + 2 * RADIUS];
#pragma unroll
        for (int i = 0; i < COUNT + 2 * RADIUS; i++)
            v[i] = value(i);
#pragma unroll
        for (int j = 0; j <= 2 * RADIUS; j++)
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                sum[i] = fmaf(u.search_weight[UMPA_THERE_RADIUS_MAX - RADIUS + j], v[i + j], sum[i]);
    } else {
        for (int j = RADIUS - u.radius; j <= RADIUS + u.radius; j++)
#pragma unroll
            for (int i = 0; i < COUNT; i++)
                sum[i] = fmaf(u.search_weight[UMPA_THERE_RADIUS_MAX - RADIUS + j], value(i + j), sum[i]);
    }
}

/* Places of a block's shared memory. A thread's outputs are held where frames were staged: in registers they, with their addresses,
 * would take the room of the products. They lie T::THREADS apart, sums T::RUN * T::THREADS. */
struct room {
    float *staged, *region, *rows, *held;
    struct best *best; /* as `held` */
};

/* The window over a plane of which every thread brings its pixels, held at its outputs. All threads must call it. */
template <typename T, int RADIUS>
static __device__ void window(const struct umpa_there &u, const struct place &p, const struct room &room,
                              const float value[PIXELS], float *held)
{
    bring<T>(p, value, room.region);
    const float *line = room.region + p.row * T::REGION_PITCH + spaced(p.column);
    float sum[PIXELS], out[T::RUN];
    taps<T, RADIUS>(
        u, [=](int i) { return line[spaced(i)]; }, sum);
    for (int i = 0; i < PIXELS; i++)
        room.rows[p.row * COLUMNS + p.column + i] = sum[i];
    __syncthreads();
    const float *column = room.rows + p.out_row * COLUMNS + p.out_column;
    taps<T, RADIUS>(
        u, [=](int i) { return column[i * COLUMNS]; }, out);
#pragma unroll
    for (int v = 0; v < T::RUN; v++)
        held[v * T::THREADS] = out[v];
    /* `region` is free for all, and `rows` is free behind the next call's first barrier */
}

/* A plane of which every thread brings its pixels, held at its outputs. All threads must call it. */
template <typename T, int RADIUS>
static __device__ void centre(const struct place &p, const struct room &room, const float value[PIXELS],
                              float *held)
{
    bring<T>(p, value, room.region);
#pragma unroll 1
    for (int v = 0; v < T::RUN; v++) {
        int row = p.out_row + v < T::OUT_HEIGHT ? p.out_row + v : T::OUT_HEIGHT - 1;
        held[v * T::THREADS] = room.region[(row + RADIUS) * T::REGION_PITCH + spaced(p.out_column + RADIUS)];
    }
    __syncthreads();
}

/* Compares an output's score at one shift with its best so far, and remembers the scores beside that. `out` is the output. */
static __device__ inline void track(const struct umpa_there &u, const struct trial &trial, int out,
                                    float score, const struct spk_match_fit &fit, struct best *best)
{
    const int span = 2 * u.shift + 1, number = trial.row * span + trial.column, j = trial.strip_column;
    const size_t plane = (size_t)u.height * (size_t)u.width;
    float *kept = u.normal[0] + out, before = -INFINITY, above = -INFINITY;
    if (u.refine > 0) {
        above = trial.row > 0 ? kept[(size_t)(SCORE_ABOVE + j) * plane] : above;
        before = j > 0 ? kept[(size_t)(SCORE_ABOVE + j - 1) * plane] : before;
        kept[(size_t)(SCORE_ABOVE + j) * plane] = score;
        if (trial.column > 0 && best->number == number - 1)
            kept[SCORE_RIGHT * plane] = score;
        if (trial.row > 0 && best->number == number - span)
            kept[SCORE_DOWN * plane] = score;
    }
    if (!trial.candidate || !(score > best->score))
        return;
    best->score = score;
    best->number = number;
    u.param[0][out] = fit.transmission;
    u.param[1][out] = fit.contrast;
    if (u.refine == 0)
        return;
    kept[SCORE_LEFT * plane] = before;
    kept[SCORE_UP * plane] = above;
    kept[SCORE_RIGHT * plane] = kept[SCORE_DOWN * plane] = -INFINITY;
}

/* The fit where the window is whole, by the factors of the reference. `out` is the output, `at` its place in the reference. */
static __device__ inline void score(const struct umpa_there &u, int out, int at, float ms, float qs,
                                    const struct trial &trial, struct best *best)
{
    const struct spk_match_factors f = {u.factor[0][at], u.factor[1][at], u.factor[2][at]};
    struct spk_match_fit fit = spk_match_score_px(f, u.dark_field ? ms : ms + qs, qs);
    fit.contrast = u.dark_field ? fit.contrast : fit.transmission;
    float cost = (u.window_ss[out] - fit.explained) / (float)u.used_count;
    track(u, trial, out, fit.explained > 0 ? -cost : -INFINITY, fit, best);
}

/* One shift of a tile in which every pixel counts. */
template <typename T, int RADIUS, bool PARITY>
static __device__ void shift_whole(const struct umpa_there &u, const struct place &p, const struct room &room,
                                   int x0, int y0, const struct trial &trial, const float products[PIXELS],
                                   const float means[PIXELS])
{
    const int row = trial.row, column = trial.column;
    const float level = u.numbers->level, frames = (float)u.used_count;
    float *held_q = room.held, *held_m = held_q + T::RUN * T::THREADS, value[PIXELS];
    window<T, RADIUS>(u, p, room, products, held_q);
    if (PARITY) {
        centre<T, RADIUS>(p, room, means, held_m);
    } else if (u.refine == 0) { /* a start may as well have the mean, which is smooth, outside the window */
        for (int i = 0; i < PIXELS; i++) {
            const int at = pixel(u, clamped(there_x(u, p.x + i, column), u.width),
                                 clamped(there_y(u, p.y, row), u.height));
            value[i] = p.good >> i & 1 ? u.mean[at] * (u.s1[pixel(u, p.x + i, p.y)] + frames * level) : 0;
        }
        window<T, RADIUS>(u, p, room, value, held_m);
    }
#pragma unroll 1
    for (int v = 0; v < T::RUN; v++) {
        int x = x0 + RADIUS + p.out_column, y = y0 + RADIUS + p.out_row + v;
        if (!p.owns || p.out_row + v >= T::OUT_HEIGHT || !inside(u, x, y))
            continue;
        const int out = pixel(u, x, y), at = pixel(u, there_x(u, x, column), there_y(u, y, row));
        float qs = held_q[v * T::THREADS], ms = PARITY || u.refine == 0 ? held_m[v * T::THREADS] : 0;
        if (PARITY) {
            spk_match_centre_px(ms, u.window_s[out], u.window_r[at], level, frames, &qs, &ms);
        } else {
            qs += level * u.window_r[at];
            ms = u.refine == 0 ? ms : u.mean[at] * (u.window_s[out] + frames * level);
        }
        score(u, out, at, ms, qs, trial, &room.best[v * T::THREADS]);
    }
}

/* Terms of the fit of one pixel under both masks. */
template <enum kind KIND>
static __device__ inline void joint(const struct umpa_there &u, const struct place &p, int i, int row,
                                    int column, const float (&products)[UMPA_SUM_MM][PIXELS],
                                    float sum[UMPA_SUMS])
{
    const int x = there_x(u, p.x + i, column), y = there_y(u, p.y, row);
    const int near = pixel(u, clamped(x, u.width), clamped(y, u.height));
    const bool there = inside(u, x, y) && u.reference_usable[near], here = p.good >> i & 1;
    const int at = here ? pixel(u, p.x + i, p.y) : 0;
    if (KIND == STEPPED) {
        for (int q = 0; q < UMPA_SUM_MM; q++)
            sum[q] = products[q][i];
    } else {
        sum[UMPA_SUM_QS] = products[UMPA_SUM_QS][i];
        sum[UMPA_SUM_WEIGHT] = here && there ? (float)u.used_count : 0;
        sum[UMPA_SUM_SS] = here && there ? u.s2[at] : 0;
        sum[UMPA_SUM_QQ] = here && there ? u.r2[near] : 0;
        sum[UMPA_SUM_MS] = here && there ? u.s1[at] : 0;
        sum[UMPA_SUM_MQ] = here && there ? u.r1[near] : 0;
    }
    sum[UMPA_SUM_MM] =
        spk_match_joint_px(u.mean[near], u.parity ? 1.0f : 0.0f, u.numbers->level,
                           u.parity ? 0 : u.numbers->noise_reference, sum[UMPA_SUM_WEIGHT], &sum[UMPA_SUM_QS],
                           &sum[UMPA_SUM_SS], &sum[UMPA_SUM_QQ], &sum[UMPA_SUM_MS], &sum[UMPA_SUM_MQ]);
}

/* One shift of a tile in which some pixels do not count. */
template <typename T, int RADIUS, enum kind KIND, bool PARITY>
static __device__ void shift_masked(const struct umpa_there &u, const struct place &p,
                                    const struct room &room, int x0, int y0, const struct trial &trial,
                                    const float (&products)[UMPA_SUM_MM][PIXELS], const float means[PIXELS])
{
    enum { PLANE = T::RUN * T::THREADS };
    const int row = trial.row, column = trial.column;
    const float level = u.numbers->level, frames = (float)u.used_count;
    /* made again for each sum: keeping all of them takes more registers than there are */
#pragma unroll
    for (int q = 0; q < UMPA_SUMS; q++) {
        float value[PIXELS], term[UMPA_SUMS];
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            joint<KIND>(u, p, i, row, column, products, term);
            value[i] = term[q];
        }
        window<T, RADIUS>(u, p, room, value, room.held + q * PLANE);
    }
    float *held_raw = room.held + UMPA_SUMS * PLANE, *held_mean = held_raw + PLANE;
    if (PARITY) {
        window<T, RADIUS>(u, p, room, products[UMPA_SUM_QS], held_raw);
        centre<T, RADIUS>(p, room, means, held_mean);
    }
#pragma unroll 1
    for (int v = 0; v < T::RUN; v++) {
        int x = x0 + RADIUS + p.out_column, y = y0 + RADIUS + p.out_row + v;
        if (!p.owns || p.out_row + v >= T::OUT_HEIGHT || !inside(u, x, y))
            continue;
        const float *sum = room.held + v * T::THREADS;
        const float weight = sum[UMPA_SUM_WEIGHT * PLANE];
        struct best *best = &room.best[v * T::THREADS];
        const int out = pixel(u, x, y);
        if (PARITY && weight >= UMPA_WEIGHT_WHOLE * frames) {
            const int at = pixel(u, there_x(u, x, column), there_y(u, y, row));
            float qs = held_raw[v * T::THREADS], ms;
            spk_match_centre_px(held_mean[v * T::THREADS], u.window_s[out], u.window_r[at], level, frames,
                                &qs, &ms);
            score(u, out, at, ms, qs, trial, best);
            continue;
        }
        struct spk_match_fit fit =
            spk_match_fit_px(sum[UMPA_SUM_MM * PLANE], sum[UMPA_SUM_MQ * PLANE], sum[UMPA_SUM_QQ * PLANE],
                             sum[UMPA_SUM_MS * PLANE], sum[UMPA_SUM_QS * PLANE], u.dark_field);
        const float score = (fit.explained - sum[UMPA_SUM_SS * PLANE]) / weight;
        track(u, trial, out, weight >= UMPA_WEIGHT_MIN * frames ? score : -INFINITY, fit, best);
    }
}

/* How far the top of the parabola through the scores along one axis is from the middle one. */
static __device__ inline float top(const float *kept, size_t plane, float middle, int before, int after)
{
    return spk_match_vertex_px(kept[(size_t)before * plane], middle, kept[(size_t)after * plane]);
}

template <typename T, int RADIUS>
static __device__ void store(const struct umpa_there &u, const struct place &p, int x0, int y0,
                             const struct best *best)
{
    const int span = 2 * u.shift + 1;
#pragma unroll 1
    for (int v = 0; v < T::RUN; v++) {
        int x = x0 + RADIUS + p.out_column, y = y0 + RADIUS + p.out_row + v;
        if (!p.owns || p.out_row + v >= T::OUT_HEIGHT || !inside(u, x, y))
            continue;
        const int at = pixel(u, x, y);
        const size_t plane = (size_t)u.height * (size_t)u.width;
        const bool found = best[v * T::THREADS].number >= 0;
        const float *kept = u.normal[0] + at;
        float ux = (float)(u.guess_x + (found ? u.shift - best[v * T::THREADS].number % span : 0));
        float uy = (float)(u.guess_y + (found ? u.shift - best[v * T::THREADS].number / span : 0));
        if (found && u.refine > 0) {
            ux -= top(kept, plane, best[v * T::THREADS].score, SCORE_LEFT, SCORE_RIGHT);
            uy -= top(kept, plane, best[v * T::THREADS].score, SCORE_UP, SCORE_DOWN);
        }
        if (!found)
            u.param[0][at] = u.param[1][at] = 0;
        u.cost[at] = -best[v * T::THREADS].score;
        u.param[2][at] = ux;
        u.param[3][at] = uy;
    }
}

/* With sums that are kept the compiler would rather spill registers than leave a multiprocessor to one block: 1 asks it not to; 0 leaves it
 * alone. */
template <int RADIUS, enum kind KIND, bool PARITY, bool KEPT>
__global__ void __launch_bounds__(tile<RADIUS, KIND, PARITY, KEPT>::THREADS, KEPT ? 1 : 0)
    search(struct umpa_there u)
{
    typedef tile<RADIUS, KIND, PARITY, KEPT> T;
    SPK_SHARED(float, memory);
    struct room room;
    room.staged = memory;
    room.region = memory + T::STAGE;
    room.rows = room.region + T::REGION;
    room.held = memory + threadIdx.x;
    room.best = (struct best *)(room.rows + T::LINES * COLUMNS) + threadIdx.x;
    const int x0 = (int)blockIdx.x * T::OUT_WIDTH - RADIUS, y0 = (int)blockIdx.y * T::OUT_HEIGHT - RADIUS;
    if (all_count(u, x0, y0, COLUMNS, T::ROWS) != (KIND == WHOLE))
        return;

    struct place p;
    const int thread = (int)threadIdx.x, across = COLUMNS / PIXELS, span = 2 * u.shift + 1;
    p.column = thread % across * PIXELS;
    p.row = thread / across;
    p.x = x0 + p.column;
    p.y = y0 + p.row;
    p.good = 0;
    for (int i = 0; i < PIXELS; i++)
        if (inside(u, p.x + i, p.y) && u.usable[pixel(u, p.x + i, p.y)])
            p.good |= 1u << i;
    p.out_column = thread % T::OUT_WIDTH;
    p.owns = thread / T::OUT_WIDTH < T::RUNS && thread / T::OUT_WIDTH * T::RUN < T::OUT_HEIGHT;
    p.out_row = p.owns ? thread / T::OUT_WIDTH * T::RUN : 0;
    /* what the windows of the last columns read beyond the region */
    for (int i = thread; i < T::ROWS * 2 * RADIUS; i += T::THREADS)
        room.region[i / (2 * RADIUS) * T::REGION_PITCH + spaced(COLUMNS + i % (2 * RADIUS))] = 0;

    for (int v = 0; v < T::RUN; v++)
        room.best[v * T::THREADS] = {-INFINITY, -1};
    const int turn = u.refine > 0 ? (int)T::SHIFTS - 2 : (int)T::SHIFTS;
    for (int column = 0; column == 0 || column + (int)T::SHIFTS - turn < span; column += turn)
        for (int row = 0; row < span; row++) {
            float sum[T::SHIFTS][PIXELS], mean[T::SHIFTS][PIXELS];
            float products[UMPA_SUM_MM][PIXELS] = {}, means[PIXELS] = {};
            if (KEPT)
                cross_kept<T>(u, p, x0, y0, row, column, column ? (int)T::SHIFTS - turn : 0, room.staged,
                              sum);
            else if (KIND != STEPPED)
                cross<T>(u, p, u.sample, true, u.numbers->scale, u.numbers->level, u.packed, x0, y0, row,
                         column, room.staged, sum);
            if (PARITY)
                cross<T>(u, p, umpa_planes{u.sample_mean, nullptr}, false, 1, 0,
                         umpa_planes{u.frame_mean, nullptr}, x0, y0, row, column, room.staged, mean);
#pragma unroll 1
            for (int j = 0; j < T::SHIFTS && column + j < span; j++) {
                const bool begun = j > 0 || column == 0,
                           ended = j + 1 == T::SHIFTS && column + T::SHIFTS < span;
                const struct trial trial = {row, column + j, j, u.refine == 0 || (begun && !ended)};
                if (KIND == STEPPED)
                    cross_frames<T>(u, p, x0, y0, row, column + j, room.staged, products);
                else
                    pick(sum, j, products[UMPA_SUM_QS]);
                if (PARITY)
                    pick(mean, j, means);
                if (KIND == WHOLE)
                    shift_whole<T, RADIUS, PARITY>(u, p, room, x0, y0, trial, products[UMPA_SUM_QS], means);
                else
                    shift_masked<T, RADIUS, KIND, PARITY>(u, p, room, x0, y0, trial, products, means);
            }
        }
    store<T, RADIUS>(u, p, x0, y0, room.best);
}

template <int RADIUS, enum kind KIND, bool PARITY, bool KEPT = false>
static spk_status launch(void *stream, const struct umpa_there *u, struct spk_error *error)
{
    typedef tile<RADIUS, KIND, PARITY, KEPT> T;
    static_assert((int)T::SHARED <= (int)SPK_SHARED_MAX, "a block of every architecture has as much");
    const dim3 blocks(spk_blocks((unsigned)u->width, T::OUT_WIDTH),
                      spk_blocks((unsigned)u->height, T::OUT_HEIGHT));
    spk_status status =
        spk_cuda_status(cudaFuncSetAttribute(search<RADIUS, KIND, PARITY, KEPT>,
                                             cudaFuncAttributeMaxDynamicSharedMemorySize, T::SHARED),
                        "shared memory of the search", error);
    if (status)
        return status;
    SPK_LAUNCH((search<RADIUS, KIND, PARITY, KEPT>), blocks, T::THREADS, T::SHARED, stream, *u);
    return spk_cuda_launched("integer search", error);
}

template <int RADIUS>
static spk_status launch_both(void *stream, const struct umpa_there *u, struct spk_error *error)
{
    if (u->kept.on && u->kept.search) {
        const spk_status first = launch<RADIUS, WHOLE, false, true>(stream, u, error);
        return first ? first : launch<RADIUS, MASKED, false, true>(stream, u, error);
    }
    spk_status status = u->parity ? launch<RADIUS, WHOLE, true>(stream, u, error)
                                  : launch<RADIUS, WHOLE, false>(stream, u, error);
    if (status)
        return status;
    if (u->stepping)
        return u->parity ? launch<RADIUS, STEPPED, true>(stream, u, error)
                         : launch<RADIUS, STEPPED, false>(stream, u, error);
    return u->parity ? launch<RADIUS, MASKED, true>(stream, u, error)
                     : launch<RADIUS, MASKED, false>(stream, u, error);
}

spk_status umpa_there_search(void *stream, const struct umpa_there *u, struct spk_error *error)
{
    const int radius = umpa_search_radius(u->radius);
    if (radius == 3)
        return launch_both<3>(stream, u, error);
    if (radius == 6)
        return launch_both<6>(stream, u, error);
    return launch_both<UMPA_THERE_RADIUS_MAX>(stream, u, error);
}
