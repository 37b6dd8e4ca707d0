"""What specklenet computes before and between its convolutions: normalisation, correlation volumes, warping, least squares.

Tensors are float32 [batch, channel, y, x]; a stack's frames are its channels. u is the displacement of the pattern in pixels, x before
y in the channel order: sample(x) = T (m + D (reference(x - u) - m)). Nothing here is learned and nothing passes a gradient."""
import math
import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
from torch_layers import in_float32  # noqa: E402

ENVELOPE_SIGMA = 10.0  # px, of the Gaussian that separates beam from pattern
BOXES = (3, 3, 5, 9, 17, 33)  # cascaded: supports 1, 3, 5, 9, 17, 33, 65
SUPPORTS = (1, 3, 5, 9, 17, 33, 65)
AREAS = (1.0, 9.0, 19.0, 49.0, 160.0, 560.0, 2100.0)  # independent pixels in each cascaded window
LEVEL_WINDOWS = 4
NARROW = 5  # windows round each pixel's own displacement; wider ones have a mean one too
WINDOW_FEATURES = 7
FUSE_FEATURES = len(SUPPORTS) * WINDOW_FEATURES + 6 + 2 + 1
T_CANDIDATES = len(SUPPORTS) + 3


def pad(image, margin):
    """The edge's values carried on outside."""
    return F.pad(image, (margin,) * 4, mode="replicate")


def box(image, width):
    half = width // 2
    image = F.avg_pool2d(F.pad(image, (half, half, 0, 0), mode="replicate"), (1, width), 1)
    return F.avg_pool2d(F.pad(image, (0, 0, half, half), mode="replicate"), (width, 1), 1)


def cascade(image, count):
    """The image averaged over the first `count` windows."""
    out = [image]
    for width in BOXES[:count - 1]:
        out.append(box(out[-1], width))
    return out


def separable(image, line, mode):
    """The kernel `line` along both axes, the image continued beyond its edges."""
    radius, channels = len(line) // 2, image.shape[1]
    with in_float32(image):
        image = F.conv2d(F.pad(image, (radius, radius, 0, 0), mode=mode), line.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
        return F.conv2d(F.pad(image, (0, 0, radius, radius), mode=mode), line.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


def gaussian(image, sigma):
    radius = int(2.5 * sigma)
    line = torch.exp(-torch.arange(-radius, radius + 1, device=image.device).to(image.dtype) ** 2 / (2 * sigma * sigma))
    return separable(image, line / line.sum(), "replicate")


def upsample(flow):
    """A flow on half the grid, in its own units, brought to the full one."""
    return F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)


def spline(image):
    """Coefficients of the cubic B-spline through the pixels, mirrored at the edges (Unser, IEEE SPM 16(6), 22 (1999)): the inverse
    of (1, 4, 1) / 6 is sqrt(3) z^|n|, z = sqrt(3) - 2, whose terms are below 1e-7 from the 13th on."""
    radius = 12
    line = math.sqrt(3) * (math.sqrt(3) - 2) ** torch.arange(-radius, radius + 1, device=image.device).abs().double()
    return separable(image, (line / line.sum()).to(image.dtype), "reflect")


def spline_weights(fraction):
    rest = 1 - fraction
    return (rest ** 3 / 6, 2 / 3 - fraction.square() * (1 - fraction / 2), 2 / 3 - rest.square() * (1 - rest / 2), fraction ** 3 / 6)


def positions(flow, axis):
    """Where x - flow falls along an axis: the four pixels round it, mirrored into the image, and their weights."""
    last = flow.shape[3 - axis] - 1
    line = torch.arange(last + 1, device=flow.device).to(flow.dtype)
    at = ((line.view(1, 1, -1) if axis == 0 else line.view(1, -1, 1)) - flow[:, axis]).clamp(0, last)
    first = at.floor()
    pixels = [first.long() + k for k in (-1, 0, 1, 2)]
    return [torch.where(p > last, 2 * last - p, p.abs()) for p in pixels], spline_weights(at - first)


def warp(coefficients, flow):
    """image(x - flow) of the image that has these spline coefficients; edges carried on."""
    batch, frames, height, width = coefficients.shape
    rows = coefficients.permute(0, 2, 3, 1).reshape(-1, frames)  # the frames of a pixel side by side
    (x, weight_x), (y, weight_y) = positions(flow, 0), positions(flow, 1)
    start = torch.arange(batch, device=flow.device).view(-1, 1, 1) * height
    out = torch.zeros_like(rows)
    for j in range(4):
        for k in range(4):
            index = ((start + y[j]) * width + x[k]).flatten()
            out.addcmul_(rows.index_select(0, index), (weight_y[j] * weight_x[k]).reshape(-1, 1))
    return out.view(batch, height, width, frames).permute(0, 3, 1, 2).contiguous()


def warp_linear(image, flow):
    """The same by bilinear interpolation, for what is smooth."""
    _, _, height, width = image.shape
    y = torch.arange(height, device=image.device).to(flow.dtype).view(1, height, 1) - flow[:, 1]
    x = torch.arange(width, device=image.device).to(flow.dtype).view(1, 1, width) - flow[:, 0]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def normalise(reference, sample):
    """Takes beam and fluctuation of the source out. Returns the reference over its envelope m, minus 1; the sample, each frame
    scaled so that its mean over the reference's is that of the stack; and m."""
    mean = reference.mean((2, 3), keepdim=True)
    ratio = sample.mean((2, 3), keepdim=True) / mean
    reference = reference / mean
    sample = sample / mean * (ratio.mean(1, keepdim=True) / ratio)
    envelope = gaussian(reference.mean(1, keepdim=True), ENVELOPE_SIGMA)
    return reference / envelope - 1, sample, envelope


def shifted(padded, radius, height, width):
    """All (2 radius + 1)^2 views of a padded image, y offset slowest."""
    side = 2 * radius + 1
    return [padded[:, :, y:y + height, x:x + width] for y in range(side) for x in range(side)]


def floors(variance):
    """What keeps the correlation finite where there is no pattern: a share of the frame's mean variance."""
    return 0.02 * variance.mean((1, 2, 3), keepdim=True) + 1e-6


def moments(stack):
    return torch.stack([stack.mean(1), stack.square().mean(1)], 1)


def correlate(warped, sample, radius, count):
    """Zero-mean normalised correlation over frames and window at every offset: [batch, window, offset, y, x]."""
    _, frames, height, width = sample.shape
    padded = pad(warped, radius)
    product = torch.stack([(sample * view).mean(1) for view in shifted(padded, radius, height, width)], 1)
    a, b, c = cascade(product, count), cascade(moments(padded), count), cascade(moments(sample), count)
    v_r = [w[:, 1:] - w[:, :1].square() for w in b]
    v_s = [w[:, 1:] - w[:, :1].square() for w in c]
    floor_r, floor_s = floors(v_r[-1]), floors(v_s[-1])
    out = []
    for i in range(count):
        mean_r = torch.cat(shifted(b[i][:, :1], radius, height, width), 1)
        inverse = torch.cat(shifted((v_r[i] + floor_r).rsqrt(), radius, height, width), 1)
        out.append((a[i] - mean_r * c[i][:, :1]) * inverse * (v_s[i] + floor_s).rsqrt())
    return torch.stack(out, 1)


def correlate_pooled(reference, sample, radius, count):
    """The same on blocks of 2 x 2 pixels: products are formed pixel by pixel and averaged over the block, so that no detail of the
    pattern is lost where the offsets are still whole pixels."""
    _, frames, height, width = sample.shape
    padded, sums = pad(reference, radius), pad(moments(reference), radius)
    product = torch.stack([(sample * view).mean(1) for view in shifted(padded, radius, height, width)], 1)
    views = shifted(sums, radius, height, width)
    a = cascade(F.avg_pool2d(product, 2), count)
    b = cascade(F.avg_pool2d(torch.stack([v[:, 0] for v in views], 1), 2), count)
    d = cascade(F.avg_pool2d(torch.stack([v[:, 1] for v in views], 1), 2), count)
    c = cascade(F.avg_pool2d(moments(sample), 2), count)
    v_r = [d[i] - b[i].square() for i in range(count)]
    v_s = [w[:, 1:] - w[:, :1].square() for w in c]
    middle = v_r[-1].shape[1] // 2
    floor_r, floor_s = floors(v_r[-1][:, middle:middle + 1]), floors(v_s[-1])
    return torch.stack([(a[i] - b[i] * c[i][:, :1]) * (v_r[i] + floor_r).rsqrt() * (v_s[i] + floor_s).rsqrt()
                        for i in range(count)], 1)


def gradient(image):
    """Fourth-order central differences along x and y."""
    p = pad(image, 2)
    x, y = p[:, :, 2:-2], p[:, :, :, 2:-2]
    gx = (x[..., :-4] - 8 * x[..., 1:-3] + 8 * x[..., 3:-1] - x[..., 4:]) / 12
    gy = (y[:, :, :-4] - 8 * y[:, :, 1:-3] + 8 * y[:, :, 3:-1] - y[:, :, 4:]) / 12
    return gx, gy


def fit_moments(reference, sample, envelope, flow):
    """Frame means of r, x, y, s and of their products (but s s last), where r is the reference (given by its spline
    coefficients) warped, x and y its derivatives by u, and s the sample over the warped envelope, minus 1."""
    r = warp(reference, flow)
    s = sample / warp_linear(envelope, flow) - 1
    x, y = (-g for g in gradient(r))
    pairs = ((r, r), (r, x), (r, y), (x, x), (x, y), (y, y), (r, s), (x, s), (y, s), (s, s))
    return torch.stack([f.mean(1) for f in (r, x, y, s)] + [(f * g).mean(1) for f, g in pairs], 1)


class WindowFit:
    """Least squares of s = T - 1 + b (r + dx x + dy y) in one window: `sums` are the fourteen moments averaged over it."""

    def __init__(self, sums, ridge_r, ridge_g):
        self.sums = sums
        r, x, y, s, rr, rx, ry, xx, xy, yy, rs, xs, ys, ss = sums.unbind(1)
        a, b, c = rr - r * r + ridge_r, rx - r * x, ry - r * y
        d, e, f = xx - x * x + ridge_g, xy - x * y, yy - y * y + ridge_g
        g, h, i = rs - r * s, xs - x * s, ys - y * s
        aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
        bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
        det = (a * aa + b * ab + c * ac).clamp_min(1e-18)
        self.k = (aa * g + ab * h + ac * i) / det
        p, q = (ab * g + bb * h + bc * i) / det, (ac * g + bc * h + cc * i) / det
        self.residual = (ss - s * s - self.k * g - p * h - q * i).clamp_min(1e-8)
        self.t = (1 + s - self.k * r - p * x - q * y).clamp(0.02, 2)
        self.slope = self.k.clamp_min(1e-3 + 0.05 * self.t)
        self.dx, self.dy = (p / self.slope).clamp(-2, 2), (q / self.slope).clamp(-2, 2)
        self.d = (self.k / self.t).clamp(-0.2, 1.6)
        self.contrast = a - ridge_r
        self.inverse_x, self.inverse_y = bb / det, cc / det

    def log_errors(self, noise, samples):
        """Logarithms of the standard errors of dx and dy, px."""
        scatter = torch.maximum(self.residual, 0.5 * noise) / samples
        return [((scatter * inverse).clamp_min(1e-12).sqrt() / self.slope).clamp(1e-3, 3).log() for inverse in (self.inverse_x, self.inverse_y)]

    def transmission_with(self, other):
        """T of this window's pixels given the displacement and dark-field found in another."""
        r, x, y, s, rr, rx, ry, xx, xy, yy, rs, xs, ys, _ = self.sums.unbind(1)
        d, px, py = other.d, other.d * other.dx, other.d * other.dy
        mean = d * r + px * x + py * y
        square = d * d * rr + px * px * xx + py * py * yy + 2 * (d * px * rx + d * py * ry + px * py * xy)
        return ((1 + s + mean + d * rs + px * xs + py * ys) / (1 + 2 * mean + square).clamp_min(1e-6)).clamp(0.02, 2)


def frame_mean(image):
    return image.mean((1, 2)).view(-1, 1, 1)


def noise_of(residual):
    """Median of the residual over every fourth pixel of every fourth row."""
    return residual[:, ::4, ::4].flatten(1).median(1)[0].view(-1, 1, 1).clamp_min(1e-7)


@torch.no_grad()
def fit(reference, sample, envelope, flow):
    """Everything the fusion chooses from. Returns features [B, FUSE_FEATURES - 1, y, x] and
    candidates: displacement steps [B, windows, 2, y, x], T [B, windows + 3, ...], D and log errors [B, windows, ...], residual over noise."""
    frames = reference.shape[1]
    sums = cascade(fit_moments(reference, sample, envelope, flow), len(SUPPORTS))
    mean_flow = cascade(flow, len(SUPPORTS))
    ref = sums[NARROW - 1]
    ridge_r = 2e-3 * frame_mean(ref[:, 4] - ref[:, 0].square()) + 1e-6
    ridge_g = 1e-3 * frame_mean(ref[:, 7] + ref[:, 9] - ref[:, 1].square() - ref[:, 2].square()) + 1e-6
    fits = [WindowFit(w, ridge_r, ridge_g) for w in sums]
    noise = noise_of(fits[NARROW - 1].residual)
    base, features, steps, errors = fits[3], [], [], []
    for k, f in enumerate(fits):
        log_x, log_y = f.log_errors(noise, frames * AREAS[k])
        step = torch.stack([f.dx, f.dy], 1)
        if k >= NARROW:  # the window's mean displacement, not the mean step from each pixel's own start
            step = step + mean_flow[k] - flow
        features += [step[:, 0], step[:, 1], 3 * (f.t - base.t), f.d - base.d, 0.3 * log_x + 0.9, 0.3 * log_y + 0.9,
                     0.25 * (f.residual / noise).log().clamp(-6, 8)]
        steps.append(step)
        errors.append(0.5 * (log_x + log_y))
    joint = [fits[0].transmission_with(fits[2]), fits[0].transmission_with(fits[3]), fits[1].transmission_with(fits[3])]
    features += [3 * (joint[0] - base.t), 3 * (joint[2] - base.t), base.t - 1, base.d - 1, (noise.expand_as(base.t).log() * 0.15 + 1),
                 0.2 * (fits[2].contrast.clamp_min(1e-6) / noise).log()]
    features = torch.cat([torch.stack(features, 1), local_change(flow)], 1)
    stack = lambda maps: torch.stack(maps, 1)
    return (features, stack(steps), stack([f.t for f in fits] + joint), stack([f.d for f in fits]), stack(errors),
            (fits[2].residual / noise)[:, None], noise[:, None])


def local_change(flow):
    """A flow without its mean over 9 x 9 pixels: what a network may know of it and stay indifferent to a common shift."""
    return flow - F.avg_pool2d(pad(flow, 4), 9, 1)


def log_frames(frames):
    return math.log(frames) / 1.5 - 1


CONTRAST_WINDOWS = 6  # of the closed form behind the fusion: supports 1 to 33 px
FIRST_D = 2  # D by regression needs some pixels: its finest window
CONTRAST_COUNT = 8  # scan positions from which D is a closed form too
SPLINE_NOISE = 0.7643  # mean over fractions of a pixel of the white noise's variance that cubic spline interpolation keeps
NARROW_BANDS, WIDE_BAND = 9, 17  # px: where the energy of the three fine bands, and of the others, is averaged
NOISE_MOST = 1.2  # times the frame's median: noise of photons varies little where misfit does not
D_GAIN = 1.6  # by how much a band's energy has to exceed its noise to count
MEDIAN_OF_SQUARE = 0.4549  # of a normal variable of variance 1


def band_noise():
    """Variance of white noise of variance 1 in the difference of two neighbouring windows' means."""
    dot = torch.zeros(1, 1, 129, 129)
    dot[0, 0, 64, 64] = 1
    kernels = cascade(dot, CONTRAST_WINDOWS)
    return [float((a - b).square().sum()) for a, b in zip(kernels, kernels[1:])]


def t_gain(frames):
    """The same for T. Few frames tell it from the pattern less well."""
    return 1.9 + 1.5 / frames


def lower_median(values):
    return values[:, :, ::4, ::4].flatten(1).median(1)[0].view(-1, 1, 1, 1)


def shrink(windows, noise, first, gain):
    """The mean of the widest window, and of each difference between two windows a share that its local energy over its noise tells
    (J. Lim's local Wiener filter, a band at a time, with the square of noise over energy: details that clearly stand out pass).
    `noise`: variance of the window of one pixel, where it is not coloured."""
    bands = band_noise()
    last = len(windows) - 1
    finest = (windows[first] - windows[first + 1]).square() / (noise * bands[first])
    noise = noise * (gain * (lower_median(finest) / MEDIAN_OF_SQUARE).clamp_min(1))
    out = windows[last]
    for k in range(last - 1, first - 1, -1):
        band = windows[k] - windows[k + 1]
        side = NARROW_BANDS if k < 3 else WIDE_BAND
        energy, expected = box(band.square(), side), bands[k] * box(noise, side)
        share = (1 - (expected / energy.clamp_min(1e-20)).square()).clamp(0, 1)
        out = out + box(share, 3) * band
    return out


@torch.no_grad()
def contrast(reference, sample, envelope, flow, d):
    """T and D at a displacement that is known: least squares in windows of 1 to 33 px, joined band by band. The noise of the reference,
    which draws D down, is taken off its variance by its share of the residual. Below CONTRAST_COUNT positions D is as given."""
    frames = reference.shape[1]
    r = warp(reference, flow)
    s = sample / warp_linear(envelope, flow) - 1
    sums = torch.stack([r.mean(1), r.square().mean(1), s.mean(1), (r * s).mean(1), s.square().mean(1)], 1)
    windows = [w.unsqueeze(2).unbind(1) for w in cascade(sums, CONTRAST_WINDOWS)]
    a, rr, c, rs, ss = windows[NARROW - 1]
    spread, common = rr - a * a, rs - a * c
    residual = (ss - c * c - common * common / (spread + 1e-5)).clamp_min(1e-9)
    residual = torch.minimum(residual, 3 * lower_median(residual))

    def regress(sums, most):
        a, rr, c, rs, _ = sums
        spread, common = rr - a * a, rs - a * c
        slope = (common / (spread + 1e-6)).clamp(0, 2)
        own = SPLINE_NOISE * residual / ((1 + c).clamp_min(0.05) + SPLINE_NOISE * slope * slope)
        own = torch.minimum(torch.minimum(own, most), 0.5 * spread)
        slope = common / (spread - own).clamp_min(1e-5)
        return slope / (1 + c - slope * a).clamp_min(0.02), own, spread, 1 + c - slope * a

    most = NOISE_MOST * lower_median(regress(windows[NARROW - 1], torch.full_like(a, math.inf))[1])
    fits = [regress(w, most) for w in windows]
    _, own, spread, base = fits[NARROW - 1]
    if frames >= CONTRAST_COUNT:
        noise = residual / (frames * (spread + 1e-6) * base.clamp_min(0.1).square())
        d = shrink([f[0] for f in fits], noise, FIRST_D, D_GAIN).clamp(-0.2, 1.6)
    a, rr, c, rs, _ = windows[0]
    k = d.clamp(0, 1.6)
    above = cascade(1 + c + k * (rs + a), CONTRAST_WINDOWS)
    below = cascade(1 + 2 * k * a + k * k * (rr - own), CONTRAST_WINDOWS)
    ts = [x / y.clamp_min(0.02) for x, y in zip(above, below)]
    return shrink(ts, residual / frames, 0, t_gain(frames)).clamp(0.02, 2), d
