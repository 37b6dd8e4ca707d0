#!/usr/bin/env python3
"""Trains specklenet on simulated scenes.

    train.py --output DIR [--steps 60000] [--batch 8] [--device cuda] [--start FILE] [--ranges FILE.json]

Started again with the same --output it goes on where it was, to the same result as if it had never stopped. Every --save steps it writes
DIR/checkpoint.pt and DIR/table.txt: errors on a fixed set of scenes, none of which is trained on. export.py turns the checkpoint into the
file that the plugin loads."""
import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import physics  # noqa: E402
import training  # noqa: E402
from model import ARCHITECTURE, SpeckleNet  # noqa: E402
from validate import judge  # noqa: E402

FLOOR_U, FLOOR_T, FLOOR_D = 0.004, 0.001, 0.004  # errors below which there is nothing to gain
SOLVED = 0.1  # weight of what the plugin solves anew in closed form: T, and D from physics.CONTRAST_COUNT positions on
FLAT, FLAT_FLOOR = 0.25, 0.01  # weight of the mean logarithm of u's error, which areas without edges rule, and its floor, px
LEVEL_WEIGHTS = (0.3, 0.3, 0.5)
FACETS = 0.35  # share of scenes of the image model that are flat between edges
RIM = 8  # px at the edge that do not count


def inner(image, rim=RIM):
    return image[..., rim:-rim, rim:-rim]


def log_error(error, floor):
    """Between the logarithms of mean and root-mean-square, so that scenes of all difficulties count alike: [batch, y, x] in."""
    return (0.5 * (error.mean((1, 2)) + floor).log() + 0.25 * (error.square().mean((1, 2)) + 4 * floor * floor).log()).mean()


def length(vector, small=1e-8):
    return (vector.square().sum(1) + small).sqrt()


def level_loss(levels, u):
    """Each level's displacement against the truth averaged onto its grid."""
    loss = 0
    for weight, flow in zip(LEVEL_WEIGHTS, levels):
        step = u.shape[-1] // flow.shape[-1]
        truth = torch.nn.functional.avg_pool2d(u, step)
        loss = loss + weight * (inner(length(flow - truth, 1e-6), RIM // step).mean((1, 2)) + 0.02).log().mean()
    return loss


def loss_of(maps, batch):
    error_u = inner(length(maps.u - batch.u))
    error_t, error_d = inner((maps.t - batch.t)[:, 0].abs()), inner((maps.d - batch.d)[:, 0].abs())
    share_d = SOLVED if batch.reference.shape[1] >= physics.CONTRAST_COUNT else 1.0
    loss = log_error(error_u, FLOOR_U) + SOLVED * log_error(error_t, FLOOR_T) + share_d * log_error(error_d, FLOOR_D)
    loss = loss + FLAT * (error_u + FLAT_FLOOR).log().mean() + level_loss(maps.levels, batch.u)
    slow = inner(length(physics.gaussian(maps.u - batch.u, 8.0)))  # what integration to phase would keep
    loss = loss + 0.4 * (slow.mean((1, 2)) + 0.003).log().mean()
    scale = inner(maps.log_scale)
    error = torch.stack([error_u / math.sqrt(2), error_t, error_d], 1).detach()
    return loss + 0.05 * (error * torch.exp(-scale) + scale).mean()  # Laplace likelihood of the predicted errors


def frames_for(chance, least, most):
    """Few frames more often than many: they are the harder part."""
    numbers = list(range(least, most + 1))
    return chance.choices(numbers, [1 / (n + 2) for n in numbers])[0]


def step_loss(net, batch, chance):
    return loss_of(net(batch.reference, batch.sample, 1 if chance.random() < 0.6 else 2), batch)


def make_training(words=None):
    arguments = training.options(__doc__, steps=60000, batch=8, size=96, rate=2e-3).parse_args(words)
    return training.Training(ARCHITECTURE, arguments, training.ranges_of(arguments.ranges, facets=FACETS), SpeckleNet, step_loss, frames_for, judge)


if __name__ == "__main__":
    make_training().run()
