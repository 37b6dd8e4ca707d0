#!/usr/bin/env python3
"""Writes a trained specklenet as the file that recon_specklenet loads.

    export.py CHECKPOINT.pt FILE.h5 [--note TEXT]

Weights are stored as float16; what is written beside them (calibration of the predicted errors, table of errors) is measured with the
rounded weights. --note says what a reader should know of how they came about."""
import argparse
import math
import pathlib
import sys

import h5py
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import torch_file  # noqa: E402
import weights  # noqa: E402
from model import ARCHITECTURE, SpeckleNet  # noqa: E402
from scenes import Ranges, draw_batch  # noqa: E402
from validate import judge  # noqa: E402

NOISE_BINS = 8
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 20)
CALIBRATION_SEED = 1 << 41
LICENCE = "BSD-3-Clause, as speckled"
CONSTANTS = ("fusion.trust",)  # not learnt, not rounded


def rounded(state):
    return {name: value if name in CONSTANTS else value.half().float() for name, value in state.items()}


@torch.no_grad()
def observe(net, ranges, batches):
    """Logarithm of the noise and mean error over predicted error of u, T and D, a scene."""
    counts = [count for count in COUNTS if ranges.frames[0] <= count <= ranges.frames[1]] or [ranges.frames[0]]
    rows = []
    for k in range(batches):
        frames = counts[k % len(counts)]
        batch = draw_batch(CALIBRATION_SEED + k, 4, 128, frames, ranges)
        maps = net(batch.reference, batch.sample, 2 if frames <= 3 else 1, closed=True)
        error = torch.cat([(maps.u - batch.u).abs().mean(1, keepdim=True), (maps.t - batch.t).abs(), (maps.d - batch.d).abs()], 1)
        inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
        ratio = (error / maps.log_scale.exp())[inner].mean((2, 3))
        rows += [(float(noise.log()), *line.tolist()) for noise, line in zip(maps.noise.flatten(), ratio)]
    return np.array(rows)


def calibrate(net, ranges, batches):
    """Bins of equal population by noise, and the median ratio of observed to predicted error in each."""
    rows = observe(net, ranges, batches)
    rows = rows[rows[:, 0].argsort()]
    parts = np.array_split(rows, NOISE_BINS)
    edges = np.array([part[-1, 0] for part in parts], np.float32)
    return edges, np.array([np.median(part[:, 1:], axis=0) for part in parts], np.float32)


def write(path, state, edges, factors, saved, table, note, trained):
    with h5py.File(path, "w") as file:
        for name, value in state.items():
            file.create_dataset(weights.dataset_of(name), data=value.numpy().astype(np.float32 if name in CONSTANTS else np.float16))
        file["weights/calibration/edge"], file["weights/calibration/factor"] = edges, factors
        texts = {"format": weights.FORMAT, "architecture": ARCHITECTURE, "trained": trained, "licence": LICENCE,
                 "training": weights.training_of(saved), "validation": table, "provenance": note}
        for name, text in texts.items():
            file.attrs[name] = text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--note", default="", help="where the weights come from")
    parser.add_argument("--trained", choices=("full", "short"), default="full", help="short: too little, results are labelled so")
    parser.add_argument("--batches", type=int, default=54, help="of four scenes, to calibrate the predicted errors with")
    arguments = parser.parse_args()
    saved = torch_file.load(arguments.checkpoint)
    if saved.get("architecture") != ARCHITECTURE:
        sys.exit(f"{arguments.checkpoint} is no checkpoint.pt of this network's train.py")
    ranges = Ranges(**saved["ranges"])
    state = rounded(saved["mean"])
    net = SpeckleNet()
    net.load_state_dict(state)
    edges, factors = calibrate(net, ranges, arguments.batches)
    table = judge.text(judge.table(net, judge.scenes(ranges, "cpu")))
    write(arguments.file, state, edges, factors, saved, table, arguments.note, arguments.trained)
    print(table)
    print("noise", [round(math.exp(e / 2), 4) for e in edges], "factors of u", factors[:, 0].round(2).tolist())


if __name__ == "__main__":
    main()
