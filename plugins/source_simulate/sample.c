#include "sample.h"

#include "random.h"

#include <math.h>

/* Thickness and its gradient, and the scattering profile. */
struct profile {
    double p, p_y, p_x, q;
};

static struct profile blob(double y, double x, double radius)
{
    /* Place and width in radii; weights of thickness and of scattering. Unlike on purpose: a swapped axis, a sign or a
     * mixed-up map shows at once. */
    static const struct {
        double y, x, width, weight, scatter;
    } bumps[] = {
        {-0.10, -0.15, 0.30, 1.0, 0.25}, {0.45, 0.35, 0.17, 0.6, 1.0}, {-0.45, 0.50, 0.12, 0.5, 0.6}};
    struct profile sum = {0};
    for (int i = 0; i < 3; i++) {
        double width = bumps[i].width * radius;
        double dy = (y - bumps[i].y * radius) / width, dx = (x - bumps[i].x * radius) / width;
        double g = exp(-0.5 * (dy * dy + dx * dx));
        sum.p += bumps[i].weight * g;
        sum.p_y -= bumps[i].weight * g * dy / width;
        sum.p_x -= bumps[i].weight * g * dx / width;
        sum.q += bumps[i].scatter * g;
    }
    return sum;
}

static struct profile lens(double y, double x, double radius)
{
    double scale = 1 / (radius * radius), p = (y * y + x * x) * scale;
    return (struct profile){p, 2 * y * scale, 2 * x * scale, p / (1 + p)};
}

/* Chord sqrt(R^2 - r^2) with the positive part of the radicand rounded over `soft`. */
static struct profile sphere(double y, double x, double radius)
{
    double size = 0.7 * radius, soft = 2 * size;
    double v = size * size - y * y - x * x, root = sqrt(v * v + soft * soft);
    double inside = 0.5 * (v + root), p = sqrt(inside) / size;
    double slope = -0.5 * p * (1 + v / root) / inside;
    return (struct profile){p, slope * y, slope * x, p};
}

static const double tilt = 0.35; /* rad, of edges and wedges against the rows and columns */

static struct profile step(double y, double x, double radius)
{
    (void)radius;
    double width = 4, s = (x * cos(tilt) + y * sin(tilt)) / width;
    double p = 0.5 * (1 + erf(s / M_SQRT2)), slope = exp(-0.5 * s * s) / (width * sqrt(2 * M_PI));
    return (struct profile){p, slope * sin(tilt), slope * cos(tilt), p};
}

static struct profile wedge(double y, double x, double radius)
{
    double scale = 0.5 / (radius * M_SQRT2);
    double p = 0.5 + scale * (x * cos(tilt) + y * sin(tilt));
    double across = 0.5 + scale * (y * cos(tilt) - x * sin(tilt));
    return (struct profile){p, scale * sin(tilt), scale * cos(tilt), across};
}

/* Cubic B-spline weights of the four knots around a point at `f` (0..1) behind the second, and their slopes. */
static void spline(double f, double weight[4], double slope[4])
{
    double g = 1 - f;
    weight[0] = g * g * g / 6;
    weight[1] = 2.0 / 3 - f * f + f * f * f / 2;
    weight[2] = 2.0 / 3 - g * g + g * g * g / 2;
    weight[3] = f * f * f / 6;
    slope[0] = -g * g / 2;
    slope[1] = -2 * f + 1.5 * f * f;
    slope[2] = 2 * g - 1.5 * g * g;
    slope[3] = f * f / 2;
}

/* Random spline coefficients, squeezed into 0..1 by a hyperbolic tangent. */
static struct profile random_phase(double y, double x, double radius, uint64_t seed)
{
    double knot = 0.16 * radius, v = y / knot, u = x / knot, g = 0, g_y = 0, g_x = 0, q = 0;
    double wy[4], sy[4], wx[4], sx[4];
    spline(v - floor(v), wy, sy);
    spline(u - floor(u), wx, sx);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            int64_t row = (int64_t)floor(v) + i, column = (int64_t)floor(u) + j;
            struct spk_random random = spk_random_stream(seed, 3, (uint64_t)row, (uint64_t)column);
            double c = 4 * spk_random_uniform(&random) - 2;
            g += c * wy[i] * wx[j];
            g_y += c * sy[i] * wx[j] / knot;
            g_x += c * wy[i] * sx[j] / knot;
            q += spk_random_uniform(&random) * wy[i] * wx[j];
        }
    }
    double t = tanh(g), slope = 0.5 * (1 - t * t);
    return (struct profile){0.5 * (1 + t), slope * g_y, slope * g_x, q};
}

static struct profile profile_at(const struct spk_sample *sample, double y, double x)
{
    double dy = y - sample->center_y, dx = x - sample->center_x, radius = sample->radius;
    switch (sample->config.kind) {
    case SPK_SAMPLE_BLOB:
        return blob(dy, dx, radius);
    case SPK_SAMPLE_LENS:
        return lens(dy, dx, radius);
    case SPK_SAMPLE_SPHERE:
        return sphere(dy, dx, radius);
    case SPK_SAMPLE_STEP:
        return step(dy, dx, radius);
    case SPK_SAMPLE_WEDGE:
        return wedge(dy, dx, radius);
    case SPK_SAMPLE_RANDOM:
        return random_phase(dy, dx, radius, sample->config.seed);
    case SPK_SAMPLE_NONE:
        break;
    }
    return (struct profile){0};
}

static double steepest(const struct spk_sample *sample)
{
    double most = 0;
    for (uint32_t i = 0; i < sample->config.height; i++) {
        for (uint32_t j = 0; j < sample->config.width; j++) {
            struct profile at = profile_at(sample, i, j);
            most = fmax(most, hypot(at.p_y, at.p_x));
        }
    }
    return most;
}

void spk_sample_init(struct spk_sample *sample, const struct spk_sample_config *config, double moment)
{
    *sample = (struct spk_sample){.config = *config, .growth = 1};
    sample->log_t = log(1 - config->absorption);
    sample->log_d = log(1 - config->scatter);
    sample->radius = 0.5 * (config->height < config->width ? config->height : config->width);
    sample->center_y = 0.5 * (config->height - 1.0);
    sample->center_x = 0.5 * (config->width - 1.0);
    double slope = steepest(sample);
    if (slope > 0)
        sample->amplitude = config->max_shift_px / (config->shift_per_slope * slope);

    double angle = 2 * M_PI * moment;
    sample->center_y += 0.1 * sample->radius * sin(2 * angle);
    sample->center_x += 0.2 * sample->radius * sin(angle);
    sample->growth = 0.8 + 0.2 * cos(angle);
}

struct spk_sample_point spk_sample_at(const struct spk_sample *sample, double y, double x)
{
    struct profile at = profile_at(sample, y, x);
    double a = -sample->amplitude * sample->growth;
    return (struct spk_sample_point){
        .phase = a * at.p,
        .slope_y = a * at.p_y,
        .slope_x = a * at.p_x,
        .transmission = exp(sample->log_t * sample->growth * at.p),
        .visibility = exp(sample->log_d * sample->growth * at.q),
    };
}
