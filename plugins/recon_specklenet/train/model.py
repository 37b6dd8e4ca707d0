"""specklenet: a small network that chooses between and corrects what physics computes (physics.py).

Three levels find the displacement from coarse to fine, each by weighing correlation volumes of several windows and taking the mean of
the resulting distribution of offsets; a fusion then picks, pixel by pixel, among least-squares fits in windows of several sizes.
Any number of frames, any size. The C implementation beside this folder is held to this one by tests."""
import dataclasses

import torch
import torch.nn as nn
import torch.nn.functional as F

import physics
from physics import FUSE_FEATURES, LEVEL_WINDOWS, SUPPORTS, T_CANDIDATES
from torch_layers import Head  # physics has put its folder on the path

ARCHITECTURE = "specklenet"
GRID = 4  # px: frames are carried on to a multiple of it and the maps cut back
RANGES = (5, 2, 2)  # offsets searched at each level, in its own pixels
WIDE_LOGIT = -4.0  # where the wide windows start from, so that they have to earn their place


def conv(inputs, outputs, size=3, dilation=1, kind=nn.Conv2d):
    layer = kind(inputs, outputs, size, 1, dilation * (size // 2), dilation)
    nn.init.kaiming_normal_(layer.weight, 0.1)
    nn.init.zeros_(layer.bias)
    return layer


def stack(*layers):
    """Convolutions with LeakyReLU 0.1 behind each."""
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.LeakyReLU(0.1))])


def head(inputs, outputs):
    layer = conv(inputs, outputs, 1, kind=Head)
    layer.weight.data *= 0.05
    return layer


class Level(nn.Module):
    """One level: correlation volume in, displacement out, in the pixels of the frames it is given."""

    def __init__(self, radius, channels, dilations, pooled=False):
        super().__init__()
        self.radius, self.pooled = radius, pooled
        offsets = (2 * radius + 1) ** 2
        self.body = stack(conv(LEVEL_WINDOWS * offsets + 3, channels, 1), *[conv(channels, channels, 3, d) for d in dilations])
        self.head = head(channels, LEVEL_WINDOWS + 2)

    def offsets(self, like):
        """Displacement that each offset stands for: looking at reference(x + o) is a displacement of -o."""
        line = -torch.arange(-self.radius, self.radius + 1, device=like.device).to(like.dtype)
        side = len(line)
        return line.repeat(side).view(1, -1, 1, 1), line.repeat_interleave(side).view(1, -1, 1, 1)

    def forward(self, reference, sample, flow, frames):
        """`reference` by its spline coefficients, but for the first level, which warps nothing."""
        with torch.no_grad():
            if self.pooled:
                volume = physics.correlate_pooled(reference, sample, self.radius, LEVEL_WINDOWS)
                flow = volume.new_zeros(volume.shape[0], 2, *volume.shape[3:])
            else:
                volume = physics.correlate(physics.warp(reference, flow), sample, self.radius, LEVEL_WINDOWS)
        count = torch.full_like(flow[:, :1], physics.log_frames(frames))
        out = self.head(self.body(torch.cat([volume.flatten(1, 2), physics.local_change(flow), count], 1)))
        gates = F.softplus(3 * out[:, :LEVEL_WINDOWS] + 8)
        weight = F.softmax((gates[:, :, None] * volume).sum(1), 1)
        x, y = self.offsets(volume)
        mean = torch.cat([(weight * x).sum(1, keepdim=True), (weight * y).sum(1, keepdim=True)], 1)
        return flow + mean + 0.3 * out[:, LEVEL_WINDOWS:]


class Fusion(nn.Module):
    """Chooses among the windows' fits for each quantity and corrects the choice a little."""

    def __init__(self):
        super().__init__()
        windows = len(SUPPORTS)
        self.enter = stack(conv(FUSE_FEATURES, 40, 1), conv(40, 32))
        self.context = stack(conv(32, 48), conv(48, 48, 3, 2), conv(48, 32))
        self.merge = stack(conv(64, 32, 1), conv(32, 32))
        self.split = (windows, T_CANDIDATES, windows, 4, 3)
        self.head = head(32, sum(self.split))
        self.trust = nn.Parameter(torch.ones(2))
        first = 0
        for size in self.split[:3]:
            self.head.bias.data[first + physics.NARROW:first + windows] = WIDE_LOGIT
            first += size

    def forward(self, features, steps, ts, ds, errors):
        x = self.enter(features)
        low = self.context(F.avg_pool2d(x, 2))
        out = self.head(self.merge(torch.cat([x, F.interpolate(low, size=x.shape[2:], mode="bilinear", align_corners=False)], 1)))
        choose_u, choose_t, choose_d, correction, scale = out.split(self.split, 1)
        w_u = F.softmax(choose_u - self.trust[0] * errors, 1)
        w_t = F.softmax(choose_t, 1)
        w_d = F.softmax(choose_d - self.trust[1] * errors, 1)
        step = (w_u[:, :, None] * steps).sum(1) + 0.1 * correction[:, :2]
        t = (w_t * ts).sum(1, keepdim=True) + 0.03 * correction[:, 2:3]
        d = (w_d * ds).sum(1, keepdim=True) + 0.1 * correction[:, 3:]
        return step, t, d, scale - 3


@dataclasses.dataclass
class Maps:
    u: torch.Tensor  # [batch, 2, y, x], px
    t: torch.Tensor  # [batch, 1, y, x]
    d: torch.Tensor
    log_scale: torch.Tensor  # [batch, 3, y, x]: logarithm of the expected error of u (an axis), T and D
    levels: list  # displacement after each level, px of the full frame, on its own grid
    misfit: torch.Tensor  # residual in the window of 5 px over the frame's noise
    noise: torch.Tensor  # [batch, 1, 1, 1], residual variance
    candidates: tuple  # (displacement, T, D) of every window


class SpeckleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.coarse = Level(RANGES[0], 48, (1, 2, 1), pooled=True)
        self.middle = Level(RANGES[1], 32, (1, 2, 1))
        self.fine = Level(RANGES[2], 32, (1, 2))
        self.fusion = Fusion()

    def search(self, reference, coefficients, sample):
        """Displacement after each level, in the pixels it was found with: half, half, full."""
        frames = reference.shape[1]
        small, small_sample = F.avg_pool2d(reference, 2), F.avg_pool2d(sample, 2)
        first = self.coarse(small, small_sample, None, frames)
        second = self.middle(physics.spline(small), small_sample, physics.upsample(first.detach()), frames)
        third = self.fine(coefficients, sample, 2 * physics.upsample(second.detach()), frames)
        return [first, second, third]

    def refine(self, coefficients, sample, envelope, flow):
        features, steps, ts, ds, errors, misfit, noise = physics.fit(coefficients, sample, envelope, flow)
        count = torch.full_like(features[:, :1], physics.log_frames(sample.shape[1]))
        step, t, d, scale = self.fusion(torch.cat([features, count], 1), steps, ts, ds, errors)
        return flow + step, t, d, scale, misfit, noise, (flow[:, None] + steps, ts, ds)

    def forward(self, reference, sample, passes=1, closed=False):
        """reference, sample: [batch, frames, y, x] corrected for dark and flat. passes: how often the fusion starts anew from its
        own displacement. closed: as the plugin, which solves T and D again where the displacement is found; no gradient passes that."""
        height, width = reference.shape[2:]
        extra = (0, -width % GRID, 0, -height % GRID)
        reference, sample = (F.pad(f, extra, mode="replicate") if any(extra) else f for f in (reference, sample))
        reference, sample, envelope = physics.normalise(reference, sample)
        coefficients = physics.spline(reference)
        levels = self.search(reference, coefficients, sample / envelope - 1)
        u = levels[-1]
        for _ in range(passes):
            u, t, d, scale, misfit, noise, candidates = self.refine(coefficients, sample, envelope, u.detach())
        if closed:
            t, d = physics.contrast(coefficients, sample, envelope, u, d)
        cut = lambda image: image[..., :height, :width]
        return Maps(cut(u), cut(t), cut(d), cut(scale), [2 * levels[0], 2 * levels[1], levels[2]], cut(misfit), noise,
                    tuple(cut(c) for c in candidates))
