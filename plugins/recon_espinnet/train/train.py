#!/usr/bin/env python3
"""Trains ESPINNet on simulated scenes.

    train.py --output DIR [--refiners] [--steps 150000] [--batch 16] [--device cuda] [--start DIR/weights.pt] [--ranges FILE.json]

Meant for a GPU. Started again with the same --output it goes on where it was. As published, first without refiners, then with: the second run
starts from the first one's weights.pt. convert.py turns DIR/checkpoint.pt into the file that the plugin loads."""
import functools
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import training  # noqa: E402
from judging import Judge, middle, squares  # noqa: E402
from model import FRAMES, ESPINNet  # noqa: E402
from torch_layers import frames_for  # noqa: E402

LEVEL_WEIGHT = 0.3  # of the displacement at each coarser level
CONTRAST_WEIGHT = 10.0  # of T and of D, as published


def stacks(batch):
    """The batch as the network takes it: in units of the reference's mean, 20 frames."""
    unit = batch.reference.mean((1, 2, 3), keepdim=True)
    return [torch.stack([frames_for(images, FRAMES) for images in stack / unit]) for stack in (batch.reference, batch.sample)]


def length(vector):
    return (vector.square().sum(1) + 1e-8).sqrt().mean()


def loss_of(net, batch, _):
    flows = []
    flow, t, d = net(*stacks(batch), flows)
    loss = length(flow - batch.u) + CONTRAST_WEIGHT * ((t - batch.t).abs().mean() + (d - batch.d).abs().mean())
    for coarse in flows[:-1]:
        factor = batch.u.shape[-1] // coarse.shape[-1]
        loss = loss + LEVEL_WEIGHT * length(factor * coarse - torch.nn.functional.avg_pool2d(batch.u, factor))
    return loss


def errors(net, batch):
    flow, t, d = net(*stacks(batch))
    return [[middle(squares(a, b)) for a, b in ((flow, batch.u), (t, batch.t), (d, batch.d))]]


def make_training(words=None):
    parser = training.options(__doc__, steps=150000, batch=16, size=256, rate=1e-4)
    parser.add_argument("--refiners", action="store_true", help="train with the refiners on")
    arguments = parser.parse_args(words)
    ranges = training.ranges_of(arguments.ranges, frames=(FRAMES, FRAMES))
    make = functools.partial(ESPINNet, refiners=arguments.refiners)
    draw_frames = lambda chance, least, most: chance.randint(least, most)
    return training.Training("espinnet", arguments, ranges, make, loss_of, draw_frames, Judge(errors))


if __name__ == "__main__":
    make_training().run()
