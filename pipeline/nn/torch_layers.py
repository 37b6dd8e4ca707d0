"""Layers in PyTorch that mean the same as those of nn.h, and what the plugins do round a network: for training and for parity tests."""

import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.1
COST_SLOPE = 0.01


def block(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE))


def in_float32(x):
    """While this context lasts convolutions do not round to the precision that a training gives them."""
    return torch.autocast(x.device.type, enabled=False)


class Head(nn.Conv2d):
    """A convolution that gives quantities and not features: in the precision of its weights whatever the layers before it compute in."""

    def forward(self, x):
        with in_float32(x):
            return super().forward(x.to(self.weight.dtype))


def stack(widths, outputs, kernel=1):
    """Blocks from widths[0] to widths[-1] channels and a plain convolution."""
    return nn.Sequential(*(block(a, b) for a, b in zip(widths, widths[1:])), Head(widths[-1], outputs, kernel, padding=kernel // 2))


def warp(image, flow):
    """image(x - flow), bilinear, positions clamped to the image, in the precision of the flow."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height, dtype=flow.dtype, device=flow.device),
                          torch.arange(width, dtype=flow.dtype, device=flow.device), indexing="ij")
    grid = torch.stack([2 * (x - flow[:, 0]) / (width - 1) - 1, 2 * (y - flow[:, 1]) / (height - 1) - 1], -1)
    return F.grid_sample(image.to(flow.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)


def cost_volume(sample, warped, radius):
    """Mean over channels of sample(x) warped(x + o), o in [-radius, radius]^2, then the leaky rectifier. In float32 at least."""
    height, width = sample.shape[-2:]
    sample, warped = (features.to(torch.promote_types(features.dtype, torch.float32)) for features in (sample, warped))
    padded = F.pad(warped, (radius,) * 4)
    cost = torch.stack([(sample * padded[..., y:y + height, x:x + width]).mean(1)
                        for y in range(2 * radius + 1) for x in range(2 * radius + 1)], 1)
    return F.leaky_relu(cost, COST_SLOPE)


def resize(image, size, gain=1):
    return gain * F.interpolate(image, size, mode="bilinear", align_corners=True)


def frames_for(images, count):
    """`count` frames of a stack [n, height, width]: the first ones, or fewer resampled linearly."""
    given = images.shape[0]
    if given >= count:
        return images[:count]
    place = torch.arange(count, dtype=images.dtype) * (given - 1) / (count - 1)
    first = place.long().clamp(max=max(given - 2, 0))
    second = (first + 1).clamp(max=given - 1)
    weight = (place - first).view(-1, 1, 1)
    return (1 - weight) * images[first] + weight * images[second]


def estimate(model, reference, sample, count, fit, multiple=64):
    """Outputs [channels, height, width] of a model for one stack (arrays [n, height, width]), as the plugins make them: in units of the
    mean of the reference, `count` frames, sides padded or resized to multiples. Displacements come first and are in pixels of the stack."""
    scale = reference.dtype.type(1 / reference.mean(dtype="float64"))
    pair = [frames_for(torch.from_numpy(images * scale), count)[None] for images in (reference, sample)]
    height, width = reference.shape[1:]
    size = tuple((side + multiple - 1) // multiple * multiple for side in (height, width))
    if fit == "pad":
        pair = [F.pad(images, (0, size[1] - width, 0, size[0] - height), mode="reflect") for images in pair]
    else:
        pair = [resize(images, size) for images in pair]
    with torch.no_grad():
        maps = torch.cat(model(*pair), 1)
    if fit == "pad":
        return maps[0, :, :height, :width].numpy()
    maps = resize(maps, (height, width))[0]
    maps[0] *= (width - 1) / (size[1] - 1)
    maps[1] *= (height - 1) / (size[0] - 1)
    return maps.numpy()
