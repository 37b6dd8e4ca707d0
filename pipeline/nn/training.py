"""What training a network takes whatever the network: scenes as they are needed, checkpoints to go on from, a table at the end.

A network's own train.py gives make(), a loss and a judge; everything random in a step follows from the seed and the step's
number, so that a run that was stopped ends where one without a stop does."""
import argparse
import concurrent.futures
import copy
import dataclasses
import json
import math
import pathlib
import random
import sys
import time

import h5py
import torch

import torch_file
import weights
from scenes import Ranges, draw_batch

WARM_UP = 100  # steps
SETTLING = 40  # batches


def device(name):
    try:
        torch.empty(0, device=name)
    except (AssertionError, RuntimeError) as wrong:
        raise argparse.ArgumentTypeError(f"{name}: {str(wrong).splitlines()[0]}") from None
    return name


def options(description, steps, batch, size, rate):
    """The command line that all networks share, with a network's own defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of checkpoint and table")
    parser.add_argument("--steps", type=int, default=steps, help="of training in all; the rate of learning falls to the end")
    parser.add_argument("--batch", type=int, default=batch, help="scenes a step and part")
    parser.add_argument("--parts", type=int, default=1, help="batches a step, each with a number of frames of its own; without batch "
                        "normalisation they are computed side by side, with --threads threads each")
    parser.add_argument("--size", type=int, default=size, help="px, side of a scene")
    parser.add_argument("--rate", type=float, default=rate, help="of learning, at its highest")
    parser.add_argument("--keep", type=float, default=0.995, help="of the running mean of the weights, a step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=int, default=500, help="steps between two checkpoints")
    parser.add_argument("--device", type=device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32",
                        help="of the convolutions; bfloat16 where the processor or GPU multiplies in it")
    parser.add_argument("--start", type=pathlib.Path, help="weights.pt or checkpoint.pt of a training, or a file of weights that export.py wrote, "
                        "to begin with; else at random")
    parser.add_argument("--ranges", type=pathlib.Path, help="JSON file of scene ranges that differ from scenes.Ranges")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0 = as many as there are")
    return parser


def ranges_of(path, **own):
    """scenes.Ranges with a network's own values, then those of a file."""
    try:
        given = json.loads(path.read_text()) if path else {}
        if not isinstance(given, dict):
            raise ValueError("not an object of ranges, {...}")
        return Ranges.of(own | given)
    except OSError as wrong:
        sys.exit(f"cannot read {path}: {wrong.strerror}")
    except ValueError as wrong:
        sys.exit(f"{path}: {wrong}")


def start_of(path, state, device):
    """What to begin with in place of `state`."""
    if not path.exists() or not h5py.is_hdf5(path):
        saved = torch_file.load(path, device)
        return saved.get("mean", saved)
    try:
        return {name: torch.from_numpy(value) for name, value in weights.read(path, state).items()}
    except KeyError as missing:
        sys.exit(f"{path} lacks {missing.args[0]}: it holds another network, or one whose normalisation is folded in, which begins with a weights.pt")


class Training:
    """`make()` gives the network, `loss(net, batch, chance)` what a step lowers, `frames(chance, least, most)` how many frames its
    scenes have; `judge` is a judging.Judge. Beside checkpoint.pt there is weights.pt: their running mean alone."""

    def __init__(self, architecture, arguments, ranges, make, loss, frames, judge):
        torch.manual_seed(arguments.seed)
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        self.architecture, self.arguments, self.ranges = architecture, arguments, ranges
        self.loss, self.frames, self.judge = loss, frames, judge
        self.net = make().to(arguments.device)
        if arguments.start:
            self.begin_with(arguments.start)
        self.mean = copy.deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters(), arguments.rate)
        normalised = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in self.net.modules())
        self.team = concurrent.futures.ThreadPoolExecutor(1 if normalised else arguments.parts)
        self.step_number, self.seconds, self.history = 0, 0.0, []

    def begin_with(self, path):
        try:
            self.net.load_state_dict(start_of(path, self.net.state_dict(), self.arguments.device))
        except (AttributeError, RuntimeError):
            sys.exit(f"{path} holds another network: its parameters are not those of {self.architecture}")

    def load(self, path):
        saved = torch_file.load(path, self.arguments.device)
        if saved["architecture"] != self.architecture:
            sys.exit(f"{path} holds a {saved['architecture']}, this is {self.architecture}: choose another --output")
        self.net.load_state_dict(saved["net"])
        self.mean.load_state_dict(saved["mean"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step_number, self.seconds, self.history = saved["step"], saved["seconds"], saved["history"]

    def save(self, path):
        part = path.with_suffix(".part")
        given = {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(self.arguments).items()}
        torch.save({"architecture": self.architecture, "net": self.net.state_dict(), "mean": self.mean.state_dict(),
                    "optimizer": self.optimizer.state_dict(), "step": self.step_number, "seconds": self.seconds, "history": self.history,
                    "options": given, "ranges": dataclasses.asdict(self.ranges)}, part)
        part.replace(path)
        torch.save(self.mean.state_dict(), path.with_name("weights.pt"))

    def rate(self):
        part = min(1, self.step_number / self.arguments.steps)
        return self.arguments.rate * min(1, (self.step_number + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))

    def follow(self):
        """Running means of the weights; what layers count themselves is copied."""
        keep = min(self.arguments.keep, self.step_number / (self.step_number + 20))
        with torch.no_grad():
            for slow, fast in zip(self.mean.parameters(), self.net.parameters()):
                slow.mul_(keep).add_(fast, alpha=1 - keep)
            for slow, fast in zip(self.mean.buffers(), self.net.buffers()):
                slow.copy_(fast)

    def settle(self):
        """Statistics of batch normalisation that belong to the mean weights, over scenes of the last steps (Izmailov et al.,
        Averaging weights leads to wider optima, UAI 2018); in between, the trained network's stand in."""
        layers = [layer for layer in self.mean.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        momentum = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # all batches count the same
        self.mean.train()
        with torch.no_grad():
            for number in range(max(0, self.step_number - SETTLING), self.step_number) if layers else ():
                self.loss_at(self.mean, number)
        for layer, value in zip(layers, momentum):
            layer.momentum = value
        self.mean.eval()

    def loss_at(self, net, number):
        arguments, seed = self.arguments, self.arguments.seed * 1_000_003 + number
        chance = random.Random(seed)
        frames = self.frames(chance, *self.ranges.frames)
        batch = draw_batch(seed, arguments.batch, arguments.size, frames, self.ranges, arguments.device)
        with torch.autocast(torch.device(arguments.device).type, torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            return self.loss(net, batch, chance)

    def gradients(self, number):
        """Loss and gradients of one part."""
        loss = self.loss_at(self.net, number)
        return float(loss), torch.autograd.grad(loss, list(self.net.parameters()), allow_unused=True)

    def step(self):
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        parts = self.arguments.parts
        done = list(self.team.map(self.gradients, range(self.step_number * parts, (self.step_number + 1) * parts)))
        for parameter, *found in zip(self.net.parameters(), *(gradients for _, gradients in done)):
            found = [gradient for gradient in found if gradient is not None]  # a loss need not use all layers
            parameter.grad = sum(found) / parts if found else None
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)):
            self.optimizer.step()
        self.step_number += 1
        self.follow()
        return sum(loss for loss, _ in done) / parts

    def checkpoint(self, folder, batches, losses):
        self.settle()
        table = self.judge.table(self.mean, batches)
        self.history.append({"step": self.step_number, "loss": sum(losses) / len(losses), "table": table})
        self.save(folder / "checkpoint.pt")
        (folder / "table.txt").write_text(self.judge.text(table))
        print(f"step {self.step_number}  {self.seconds / 60:.1f} min  loss {self.history[-1]['loss']:.4f}  {self.judge.line(table)}", flush=True)

    def run(self):
        folder = self.arguments.output
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "checkpoint.pt").exists():
            self.load(folder / "checkpoint.pt")
        batches, losses, last = self.judge.scenes(self.ranges, self.arguments.device), [], time.monotonic()
        while self.step_number < self.arguments.steps:
            losses.append(self.step())
            if self.step_number % self.arguments.save == 0 or self.step_number == self.arguments.steps:
                self.seconds, last = self.seconds + time.monotonic() - last, time.monotonic()
                self.checkpoint(folder, batches, losses)
                losses = []
        if self.history:
            print(self.judge.text(self.history[-1]["table"]))
