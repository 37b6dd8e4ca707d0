"""SPINNet in PyTorch: the structure described in plugins/recon_spinnet/README.md, for training and for the parity tests."""

import pathlib
import sys

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import torch_layers  # noqa: E402
from torch_layers import block, cost_volume, resize, stack, warp  # noqa: E402

CHANNELS = (1, 16, 32, 64, 96, 128)
STACK = (128, 128, 96, 64, 32)


class Pyramid(nn.Module):
    """Features at 1/2 .. 1/32, coarsest first."""

    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(block(a, b, 2), block(b, b)) for a, b in zip(CHANNELS, CHANNELS[1:]))

    def forward(self, x):
        found = []
        for level in self.levels:
            x = level(x)
            found.insert(0, x)
        return found


class SPINNet(nn.Module):
    """forward(reference, sample), [batch, 1, height, width] each, sides multiples of 32: displacement [batch, 2, ...], T [batch, 1, ...].

    `levels`: 5 ends at half resolution (6-2), 4 at a quarter (6-3); the rest is interpolated."""

    def __init__(self, levels=5, refiners=False, radius=3):
        super().__init__()
        self.levels, self.refiners, self.radius = levels, refiners, radius
        self.reference, self.sample = Pyramid(), Pyramid()
        self.flow = nn.ModuleList(stack(((2 * radius + 1) ** 2, *STACK), 2, 3) for _ in range(levels))
        self.t = nn.ModuleList(stack((3 if level else 2, *STACK), 1, 3) for level in range(levels))
        if refiners:
            width = CHANNELS[len(CHANNELS) - levels]
            self.refine_flow = stack((2 * width + 2, *STACK), 2)
            self.refine_t = stack((3, *STACK), 1)

    def forward(self, reference, sample):
        first, second = self.reference(reference), self.sample(sample)
        images, samples = [reference], [sample]
        for level in reversed(first):
            images.append(resize(images[-1], level.shape[-2:]))
            samples.append(resize(samples[-1], level.shape[-2:]))
        images, samples = images[:0:-1], samples[:0:-1]
        for level in range(self.levels):
            f1, f2, size = first[level], second[level], first[level].shape[-2:]
            if level:
                flow, t = resize(flow, size, 2), resize(t, size)
                flow = flow + self.flow[level](cost_volume(f2, warp(f1, flow), self.radius))
            else:
                flow = self.flow[level](cost_volume(f2, f1, self.radius))
            back = warp(samples[level], -flow)
            t = self.t[level](torch.cat([t, images[level], back] if level else [images[level], back], 1))
        if self.refiners:
            flow = flow + self.refine_flow(torch.cat([warp(f1, flow), f2, flow], 1))
            t = t + self.refine_t(torch.cat([images[level], warp(samples[level], -flow), t], 1))
        size = reference.shape[-2:]
        flow = resize(flow, size, size[0] // flow.shape[-2])
        return flow, warp(resize(t, size), flow)


def estimate(model, reference, sample, fit):
    """Maps of one stack (arrays [n, height, width]) as recon_spinnet makes them, without its search of the bulk shift."""
    x, y, t = torch_layers.estimate(model, reference, sample, 1, fit)
    return {"flow x": x, "flow y": y, "T": t.clip(max=1.5)}
