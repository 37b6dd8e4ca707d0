#!/usr/bin/env python3
"""Compares recon_umpa with the public UMPA package (github.com/optimato/UMPA) on the same stacks, in the same run.

    SPECKLED_PEER_UMPA=/path/to/UMPA/checkout tests/bench/peer_umpa.py [--build build/release] [--size 512] [--counts 1,2,3,5,10,20]
        [--scenes mask] [--windows 1,2,3,5,7]

The package must have been built in place (python3 setup.py build_ext --inplace). Stacks come from `speckled simulate`, are corrected
for dark and flat here, and go to both. Prints, a scene a line, the root-mean-square errors of displacement, transmission and dark-field
against the truth: speckled with its defaults, and the package at its best window, chosen with the truth and for each quantity apart. Speed
is processor time (all threads) for a pixel, speckled's with its defaults, the mean of once before and once after the package, beside the
package's at the first two windows. Exit code 1 when speckled is worse anywhere or, at 20 positions, less than --least times as fast as the
package at the first window."""
import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from scipy import ndimage
from stage import run_stage

SCENES = {
    "mask, wave": [],
    "mask, steps": ["--model", "geometric", "--sample", "step"],
    "sandpaper, lens, 1000 photons": ["--pattern", "sandpaper", "--sample", "lens", "--photons", "1000"],
    "sandpaper, random phase": ["--pattern", "sandpaper", "--model", "geometric", "--sample", "random", "--photons", "20000"],
}
WINDOWS = (1, 2, 3, 5, 7)
MAX_SHIFT = 4
RIM = 16  # pixels next to the edge that are not compared


def simulate(program, folder, size, count, options):
    path = folder / "stack.h5"
    path.unlink(missing_ok=True)
    command = [program, "simulate", "--output", path, "--size", size, "--count", count, "--stacks", 1, "--seed", count]
    subprocess.run([str(word) for word in command + options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def load(path):
    """Corrected reference and sample, hot and dead pixels replaced by the median round them, and the truth."""
    with h5py.File(path) as file:
        dark = file["dark"][()].astype(float).mean(0)
        flat = file["flat"][()].astype(float).mean(0) - dark
        deviation = dark - ndimage.median_filter(dark, 3)
        bad = np.abs(deviation) > 8 * (1.4826 * np.median(np.abs(deviation)) + 0.3)
        bad |= flat < 0.5 * ndimage.median_filter(flat, 3)
        stacks = []
        for name in ("reference", "sample"):
            stack = (file[name][()].astype(float) - dark) / np.maximum(flat, 1)
            for image in stack:
                image[bad] = ndimage.median_filter(image, 3)[bad]
            stacks.append(stack)
        truth = [file["truth/" + name][0].astype(float)
                 for name in ("displacement_x", "displacement_y", "transmission", "dark_field")]
    return stacks[0], stacks[1], truth


def errors(maps, truth):
    inside = (slice(RIM, -RIM),) * 2
    squares = [((a - b)[inside]) ** 2 for a, b in zip(maps, truth)]
    return np.sqrt([np.mean(squares[0] + squares[1]), np.mean(squares[2]), np.mean(squares[3])])


def run_speckled(build, folder, reference, sample, options=(), plugin="recon_umpa"):
    maps, about = run_stage(build / "bench" / "stage_raw", folder, plugin, reference, sample, "repeat=3", *options)
    t, d, x, y = maps[:4].astype(float)
    return (x, y, t, d), about["cpu_s"] / t.size


def run_peer(model, reference, sample, window):
    def seconds():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    height, width = reference.shape[1:]
    match = model.UMPAModelDF(list(sample), list(reference), window_size=window, max_shift=MAX_SHIFT)
    match.assign_coordinates = "sam"
    start = seconds()
    with open(os.devnull, "w") as null:
        keep = os.dup(1)
        os.dup2(null.fileno(), 1)
        try:
            result = match.match(num_threads=len(os.sched_getaffinity(0)))
        finally:
            os.dup2(keep, 1)
            os.close(keep)
    spent = seconds() - start
    rim = MAX_SHIFT + window
    pixels = result["T"].size
    maps = [np.pad(result[name], ((rim, height - rim - result[name].shape[0]), (rim, width - rim - result[name].shape[1])),
                   mode="edge") for name in ("dx", "dy", "T", "df")]
    return (-maps[0], -maps[1], maps[2], maps[3]), spent / pixels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--counts", default="1,2,3,5,10,20")
    parser.add_argument("--least", type=float, default=20)
    parser.add_argument("--scenes", default="", help="only those whose name contains this")
    parser.add_argument("--windows", default=",".join(str(window) for window in WINDOWS), help="of the package, two or more")
    arguments = parser.parse_args()
    windows = [int(word) for word in arguments.windows.split(",")]
    peer = os.environ.get("SPECKLED_PEER_UMPA")
    if not peer:
        print("skipped: SPECKLED_PEER_UMPA names no checkout of the public UMPA package")
        return 0
    sys.path.insert(0, peer)
    from UMPA import model

    print(f"{'scene':32} {'N':>3}   {'u, px':>16}   {'T':>16}   {'D':>16}   {'us of CPU a pixel and ratio':>40}")
    print(f"{'':36}   {'speckled    peer':>16}   {'speckled    peer':>16}   {'speckled    peer':>16}   {f'speckled  window {windows[0]} ratio  window {windows[1]} ratio':>40}")
    worse = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for scene, options in ((name, options) for name, options in SCENES.items() if arguments.scenes in name):
            for count in (int(word) for word in arguments.counts.split(",")):
                reference, sample, truth = load(simulate(arguments.build / "bin" / "speckled", folder, arguments.size, count, options))
                maps, time = run_speckled(arguments.build, folder, reference, sample)
                own = errors(maps, truth)
                runs = [run_peer(model, reference, sample, window) for window in windows]
                time = (time + run_speckled(arguments.build, folder, reference, sample)[1]) / 2
                best = np.min([errors(found, truth) for found, _ in runs], axis=0)
                narrow, wide = (run[1] / time for run in runs[:2])
                worse += np.any(own > best) or (count == 20 and narrow < arguments.least)
                columns = "   ".join(f"{a:8.4f}{b:8.4f}" + ("*" if a > b else " ") for a, b in zip(own, best))
                print(f"{scene:32} {count:3}   {columns}  {1e6 * time:8.2f}  {1e6 * runs[0][1]:8.2f} {narrow:5.0f}  {1e6 * runs[1][1]:8.2f} {wide:5.0f}",
                      flush=True)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
