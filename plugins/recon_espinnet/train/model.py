"""ESPINNet in PyTorch: the structure of Qiao et al. (plugins/recon_espinnet/README.md), for training and for the parity tests.

Names of parameters are those of the public code, so that its checkpoints load without a table."""

import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import torch_layers  # noqa: E402
from torch_layers import Head, block, cost_volume, warp  # noqa: E402

FRAMES = 20
CHANNELS = (20, 32, 64, 96, 128, 192)
STACK = (64, 128, 96, 64, 32)
RADIUS = 3


class Pyramid(nn.Module):
    """Features at 1/2 .. 1/32, coarsest first."""

    def __init__(self):
        super().__init__()
        for level, (a, b) in enumerate(zip(CHANNELS, CHANNELS[1:])):
            self.add_module(f"Feature(Lv{level})", nn.Sequential(block(a, b, 2), block(b, b)))

    def forward(self, x):
        levels = []
        for layer in self.children():
            x = layer(x)
            levels.insert(0, x)
        return levels


class Last(nn.Module):
    """Features at full resolution."""

    def __init__(self):
        super().__init__()
        self.FeatureLast = nn.Sequential(block(CHANNELS[0], CHANNELS[0]), block(CHANNELS[0], CHANNELS[0]))

    def forward(self, x):
        return self.FeatureLast(x)


class Upsample(nn.Module):
    """Twice the pixels, then one learned 3x3 kernel a channel, which starts as bilinear interpolation."""

    def __init__(self):
        super().__init__()
        self.conv = Head(2, 2, 3, padding=1, groups=2)
        tent = torch.tensor([0.25, 0.5, 0.25])
        self.conv.weight.data[:] = torch.outer(tent, tent)
        self.conv.bias.data.zero_()

    def forward(self, flow):
        return self.conv(F.interpolate(flow, scale_factor=2, mode="nearest"))


class Estimator(nn.Module):
    def __init__(self, name, inputs, outputs):
        super().__init__()
        self.name = name
        self.add_module(name, torch_layers.stack((inputs, *STACK), outputs))

    def forward(self, x):
        return getattr(self, self.name)(x)


def recompose(image, t, d):
    """T (mean + D (image - mean)): the reference as the sample should show it."""
    mean = image.mean(1, keepdim=True)
    return t * (mean + d * (image - mean))


class ESPINNet(nn.Module):
    """forward(reference, sample), [batch, 20, height, width] each, sides multiples of 32: flow [batch, 2, ...], T, D [batch, 1, ...]."""

    def __init__(self, refiners=False):
        super().__init__()
        self.refiners = refiners
        self.netFeatures = Pyramid()
        self.netFeaturesLast = Last()
        self.Upsample = Upsample()
        inputs = (2 * RADIUS + 1) ** 2 + 2
        self.flow_estimators = nn.ModuleList(Estimator("NetMain_flow", inputs, 2) for _ in CHANNELS)
        self.t_estimator = Estimator("NetMain_T", 2, 1)
        self.d_estimator = Estimator("NetMain_D", 2, 1)
        # trained or not, the refiners are part of the public checkpoints
        self.flow_refiner = Estimator("NetMain_refiner", 2 * FRAMES + 4, 2)
        self.t_refiner = Estimator("NetMain_refiner", 2 * FRAMES + 6, 1)
        self.d_refiner = Estimator("NetMain_refiner", 2 * FRAMES + 6, 1)

    def features(self, stack):
        return self.netFeatures(stack) + [self.netFeaturesLast(stack)]

    def forward(self, reference, sample, flows=None):
        """Appends the flow of every level to the list `flows`, if there is one."""
        first, second = self.features(reference), self.features(sample)
        flow = torch.zeros_like(first[0][:, :2])
        for level, (f1, f2) in enumerate(zip(first, second)):
            if level:
                flow = 2 * self.Upsample(flow)
            cost = cost_volume(f2, warp(f1, flow), RADIUS)
            flow = self.flow_estimators[level](torch.cat([flow, cost], 1))
            if flows is not None:
                flows.append(flow)
        warped = warp(reference, flow)
        t = self.t_estimator(torch.cat([sample.mean(1, keepdim=True), warped.mean(1, keepdim=True)], 1))
        d = self.d_estimator(torch.cat([sample.std(1, keepdim=True), t * warped.std(1, keepdim=True)], 1))
        return self.refine(reference, sample, first[-1], second[-1], flow, t, d) if self.refiners else (flow, t, d)

    def refine(self, reference, sample, f1, f2, flow, t, d):
        features = recompose(warp(f1, flow), t, d)
        flow = flow + self.flow_refiner(torch.cat([features, f2, flow, t, d], 1))
        image = recompose(warp(reference, flow), t, d)
        means = [sample.mean(1, keepdim=True), image.mean(1, keepdim=True)]
        t = t + self.t_refiner(torch.cat([image, sample, *means, flow, t, d], 1))
        image = recompose(warp(reference, flow), t, d)
        deviations = [sample.std(1, unbiased=False, keepdim=True), image.std(1, unbiased=False, keepdim=True)]
        return flow, t, d + self.d_refiner(torch.cat([image, sample, *deviations, flow, t, d], 1))


def estimate(model, reference, sample, fit):
    """Maps of one stack (arrays [n, height, width]) as recon_espinnet makes them."""
    x, y, t, d = torch_layers.estimate(model, reference, sample, FRAMES, fit)
    return {"flow x": x, "flow y": y, "T": t.clip(max=1.5), "D": d.clip(max=1.5)}
