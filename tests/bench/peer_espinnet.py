#!/usr/bin/env python3
"""Processor time of recon_espinnet beside the same network in PyTorch, random weights, in the same run and on the same cores.

    tests/bench/peer_espinnet.py [--build build/release] [--size 512] [--threads 4] [--repeat 3] [--refiners]

Runs take turns. Wall and processor seconds of the best repetition each; on a shared machine only the processor times compare."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "plugins/recon_espinnet/train"))
import convert  # noqa: E402
import model  # noqa: E402


def run_torch(net, reference, sample):
    wall, spent = time.perf_counter(), time.process_time()
    with torch.no_grad():
        net(reference, sample)
    return time.perf_counter() - wall, time.process_time() - spent


def run_speckled(build, folder, size, threads, options):
    command = [build / "bench" / "stage_raw", "recon_espinnet", 20, size, size, folder / "in", folder / "out", f"threads={threads}",
               "repeat=2", f"weights={folder / 'weights.h5'}", *options]
    done = json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)
    return done["wall_s"], done["cpu_s"], done["reference_cpu_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--refiners", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="and once more in bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    net = model.ESPINNet(arguments.refiners).eval()
    stacks = 1 + 0.2 * np.random.default_rng(1).standard_normal((2, 20, arguments.size, arguments.size)).astype(np.float32)
    pair = [torch.from_numpy(stack)[None] for stack in stacks]
    times = {"PyTorch": [], "speckled": [], "speckled, bfloat16": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        convert.convert(net.state_dict(), folder / "weights.h5", arguments.refiners, "random")
        stacks.tofile(folder / "in")
        run_torch(net, *pair)
        for _ in range(arguments.repeat):
            times["PyTorch"].append(run_torch(net, *pair))
            times["speckled"].append(run_speckled(arguments.build, folder, arguments.size, arguments.threads, []))
            if arguments.bfloat16:
                times["speckled, bfloat16"].append(
                    run_speckled(arguments.build, folder, arguments.size, arguments.threads, ["precision=bfloat16"]))
    best = {name: np.min(runs, axis=0) for name, runs in times.items() if runs}
    print(f"ESPINNet{' with refiners' if arguments.refiners else ''}, {arguments.size} x {arguments.size}, {arguments.threads} threads")
    for name, run in best.items():
        reference = f" and {run[2]:.3f} s a reference" if len(run) > 2 else " (both sides)"
        print(f"  {name:20} wall {run[0]:.3f} s, processor {run[1]:.3f} s a stack{reference}, "
              f"PyTorch / this {best['PyTorch'][1] / sum(run[1:]):.2f}")
    return 0 if best["PyTorch"][1] >= 2 * sum(best["speckled"][1:]) else 1


if __name__ == "__main__":
    sys.exit(main())
