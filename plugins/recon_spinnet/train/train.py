#!/usr/bin/env python3
"""Trains SPINNet on simulated scenes of one frame.

    train.py --output DIR [--levels 5] [--refiners] [--steps 100000] [--batch 16] [--device cuda] [--ranges FILE.json]

Meant for a GPU. Started again with the same --output it goes on where it was. convert.py turns DIR/checkpoint.pt into the file that the
plugin loads."""
import dataclasses
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import training  # noqa: E402
from judging import Judge, middle, squares  # noqa: E402
from model import SPINNet  # noqa: E402

CONTRAST_WEIGHT = 10.0  # of T


def estimate(net, batch):
    unit = batch.reference.mean((1, 2, 3), keepdim=True)
    return net(batch.reference / unit, batch.sample / unit)


def loss_of(net, batch, _):
    flow, t = estimate(net, batch)
    return (flow - batch.u).square().sum(1).add(1e-8).sqrt().mean() + CONTRAST_WEIGHT * (t - batch.t).abs().mean()


def errors(net, batch):
    flow, t = estimate(net, batch)
    return [[middle(squares(flow, batch.u)), middle(squares(t, batch.t))]]


def make_training(words=None):
    parser = training.options(__doc__, steps=100000, batch=16, size=256, rate=1e-4)
    parser.add_argument("--levels", type=int, choices=(4, 5), default=5, help="5: ends at half resolution, 4: at a quarter")
    parser.add_argument("--refiners", action="store_true", help="train with the refiners on")
    arguments = parser.parse_args(words)
    ranges = dataclasses.replace(training.ranges_of(arguments.ranges), frames=(1, 1))
    make = functools.partial(SPINNet, levels=arguments.levels, refiners=arguments.refiners)
    return training.Training("spinnet", arguments, ranges, make, loss_of, lambda *_: 1, Judge(errors, ("u, px", "T")))


if __name__ == "__main__":
    make_training().run()
