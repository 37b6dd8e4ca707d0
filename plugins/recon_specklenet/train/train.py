#!/usr/bin/env python3
"""Trains specklenet on simulated scenes.

    train.py --output DIR [--steps 60000] [--batch 8] [--device cuda] [--start FILE.pt] [--ranges FILE.json]

Started again with the same --output it goes on where it was, to the same result as if it had never stopped. Every --save steps it writes
DIR/checkpoint.pt and DIR/table.txt: errors on a fixed set of scenes, none of which is trained on. export.py turns the checkpoint into the
file that the plugin loads."""
import argparse
import copy
import dataclasses
import json
import math
import pathlib
import random
import sys
import time

import torch

import physics
import validate
from model import ARCHITECTURE, SpeckleNet
from scenes import Ranges, draw_batch

FLOOR_U, FLOOR_T, FLOOR_D = 0.004, 0.001, 0.004  # errors below which there is nothing to gain
LEVEL_WEIGHTS = (0.3, 0.3, 0.5)
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
    loss = log_error(error_u, FLOOR_U) + 0.5 * log_error(error_t, FLOOR_T) + 0.5 * log_error(error_d, FLOOR_D)
    loss = loss + level_loss(maps.levels, batch.u)
    slow = inner(length(physics.gaussian(maps.u - batch.u, 8.0)))  # what integration to phase would keep
    loss = loss + 0.4 * (slow.mean((1, 2)) + 0.003).log().mean()
    scale = inner(maps.log_scale)
    error = torch.stack([error_u / math.sqrt(2), error_t, error_d], 1).detach()
    return loss + 0.05 * (error * torch.exp(-scale) + scale).mean()  # Laplace likelihood of the predicted errors


def frames_for(chance, least, most):
    """Few frames more often than many: they are the harder part."""
    numbers = list(range(least, most + 1))
    return chance.choices(numbers, [1 / (n + 4) for n in numbers])[0]


def rate(step, arguments):
    part = min(1, step / arguments.steps)
    return arguments.rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))


class Training:
    def __init__(self, arguments, ranges):
        torch.manual_seed(arguments.seed)
        self.arguments, self.ranges = arguments, ranges
        self.net = SpeckleNet().to(arguments.device)
        if arguments.start:
            self.net.load_state_dict(torch.load(arguments.start, map_location=arguments.device))
        self.mean = copy.deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), arguments.rate)
        self.step_number, self.seconds, self.history = 0, 0.0, []

    def load(self, path):
        saved = torch.load(path, map_location=self.arguments.device)
        if saved["architecture"] != ARCHITECTURE:
            sys.exit(f"{path} holds a {saved['architecture']}, this is {ARCHITECTURE}: choose another --output")
        self.net.load_state_dict(saved["net"])
        self.mean.load_state_dict(saved["mean"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step_number, self.seconds, self.history = saved["step"], saved["seconds"], saved["history"]

    def save(self, path):
        part = path.with_suffix(".part")
        options = {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(self.arguments).items()}
        torch.save({"architecture": ARCHITECTURE, "net": self.net.state_dict(), "mean": self.mean.state_dict(),
                    "optimizer": self.optimizer.state_dict(), "step": self.step_number, "seconds": self.seconds, "history": self.history,
                    "options": options, "ranges": dataclasses.asdict(self.ranges)}, part)
        part.replace(path)

    def step(self):
        """One step; everything random in it follows from the seed and the step's number."""
        arguments, seed = self.arguments, self.arguments.seed * 1_000_003 + self.step_number
        chance = random.Random(seed)
        frames = frames_for(chance, *self.ranges.frames)
        passes = 1 if chance.random() < 0.6 else 2
        batch = draw_batch(seed, arguments.batch, arguments.size, frames, self.ranges, arguments.device)
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step_number, arguments)
        loss = loss_of(self.net(batch.reference, batch.sample, passes), batch)
        self.optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)):
            self.optimizer.step()
        self.step_number += 1
        keep = min(arguments.keep, self.step_number / (self.step_number + 20))
        with torch.no_grad():
            for slow, fast in zip(self.mean.parameters(), self.net.parameters()):
                slow.mul_(keep).add_(fast, alpha=1 - keep)
        return float(loss)

    def run(self, folder):
        scenes = validate.scenes(self.ranges, self.arguments.device)
        last, losses = time.monotonic(), []
        while self.step_number < self.arguments.steps:
            losses.append(self.step())
            if self.step_number % self.arguments.save and self.step_number < self.arguments.steps:
                continue
            table = validate.table(self.mean, scenes)
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            self.history.append({"step": self.step_number, "loss": sum(losses) / len(losses), "table": table})
            self.save(folder / "checkpoint.pt")
            (folder / "table.txt").write_text(validate.text(table))
            print(f"step {self.step_number}  {self.seconds / 60:.1f} min  loss {sum(losses) / len(losses):.4f}  {validate.line(table)}", flush=True)
            losses = []
        print(validate.text(validate.table(self.mean, scenes)))


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of checkpoint and table")
    parser.add_argument("--steps", type=int, default=60000, help="of training in all; the rate of learning falls to the end")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=96, help="px, side of a scene, a multiple of 4")
    parser.add_argument("--rate", type=float, default=2e-3, help="of learning, at its highest")
    parser.add_argument("--keep", type=float, default=0.995, help="of the running mean of the weights, a step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=int, default=500, help="steps between two checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=pathlib.Path, help="weights to begin with (a state_dict), else at random")
    parser.add_argument("--ranges", type=pathlib.Path, help="JSON file of scene ranges that differ from scenes.Ranges")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0 = as many as there are")
    return parser.parse_args(words)


def ranges_of(path):
    ranges = Ranges(**json.loads(path.read_text())) if path else Ranges()
    ranges.kinds = tuple((name, share) for name, share in ranges.kinds)
    return ranges


def main(words=None):
    arguments = parse(words)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.output.mkdir(parents=True, exist_ok=True)
    training = Training(arguments, ranges_of(arguments.ranges))
    checkpoint = arguments.output / "checkpoint.pt"
    if checkpoint.exists():
        training.load(checkpoint)
    training.run(arguments.output)


if __name__ == "__main__":
    main()
