#!/usr/bin/env python3
"""Holds the map displacement_error to its promise: the actual error over the predicted one has unit spread, on simulated scenes of many
kinds and doses, whatever the quality. From files to files by `speckled`, named by SPECKLED_PROGRAM."""
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np

SCENES = [("mask", "blob", 5, 5000), ("sandpaper", "lens", 2, 1000), ("sandpaper", "random", 10, 10000), ("mask", "step", 3, 5000),
          ("grating", "blob", 9, 300), ("mask", "lens", 20, 200), ("sandpaper", "blob", 1, 5000)]
ONE_SCENE, ALL_SCENES = (0.5, 2.0), (0.7, 1.4)  # bounds of the spread: of each scene, and of their geometric mean
RIM = 16


def spread(program, folder, scene, quality):
    pattern, sample, count, photons = scene
    stack, maps = folder / "stack.h5", folder / "maps.h5"
    run = lambda *words: subprocess.run([str(word) for word in (program, *words)], check=True, capture_output=True)
    if not stack.exists():
        run("simulate", "--output", stack, "--size", 224, "--count", count, "--stacks", 1, "--pattern", pattern, "--sample", sample,
            "--photons", photons, "--model", "geometric", "--flats", 100, "--darks", 50, "--hot-pixels", 0, "--seed", 1000 + count)
    run("reconstruct", stack, "-o", maps, "--overwrite", "--set", f"quality={quality}")
    with h5py.File(stack) as file:
        truth = [file[f"truth/displacement_{axis}"][0] for axis in "xy"]
    with h5py.File(maps) as file:
        found = [file[f"entry/maps/displacement_{axis}"][0] for axis in "xy"]
        predicted, valid = file["entry/maps/displacement_error"][0], file["entry/maps/valid"][0] > 0
    error = np.hypot(found[0] - truth[0], found[1] - truth[1])
    inside = (slice(RIM, -RIM),) * 2
    ratio = (error[inside] / predicted[inside])[valid[inside]]
    return np.sqrt(np.mean(ratio ** 2)), np.median(ratio), np.sqrt(np.mean(error[inside] ** 2))


def main():
    program, good = os.environ["SPECKLED_PROGRAM"], True
    all_spreads = {"live": [], "best": []}
    for scene in SCENES:
        with tempfile.TemporaryDirectory() as name:
            for quality, spreads in all_spreads.items():
                value, middle, error = spread(program, pathlib.Path(name), scene, quality)
                print(f"{' '.join(map(str, scene)):28} {quality}: error {error:.4f} px, spread {value:.2f}, median {middle:.2f} (0.83 if normal)")
                good &= ONE_SCENE[0] < value < ONE_SCENE[1]
                spreads.append(value)
    for quality, spreads in all_spreads.items():
        mean = np.exp(np.mean(np.log(spreads)))
        print(f"{quality}: mean spread {mean:.2f}")
        good &= ALL_SCENES[0] < mean < ALL_SCENES[1]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
