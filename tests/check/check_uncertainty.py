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

SCENES = [("mask", "blob", 20, 100), ("mask", "lens", 20, 200), ("grating", "blob", 9, 300), ("sandpaper", "random", 10, 10000),
          ("mask", "lens", 12, 2000), ("mask", "blob", 6, 5000), ("sandpaper", "blob", 20, 20000)]
# With few frames, or few photons and fine detail, windows or priors smooth away much of what is there.
LITTLE_DATA = [("mask", "blob", 5, 5000), ("sandpaper", "lens", 2, 1000), ("mask", "step", 3, 5000), ("sandpaper", "blob", 1, 5000), ("sandpaper", "random", 20, 300),
               ("mask", "blob", 5, 200), ("mask", "step", 1, 5000), ("mask", "random", 1, 5000), ("mask", "random", 1, 20000), ("mask", "random", 2, 2000),
               ("mask", "random", 5, 300), ("sandpaper", "random", 20, 100)]
# The formulas' own error. Of the whole field: what the data leave is compared where their weight M and the priors' S are alike to a factor
# of two; of a field that bends much more there than the priors say, error and what is left are as S to M (num_global_px.h), which is
# within a factor of two in variance. Of windows: one measured constant (umpa_px.h), 0.3 either way on all smooth scenes with 5000 photons in
# all and more or 20 frames; with little data they do not know of what they smooth away, a factor of two.
MODEL = {"live": 1.3, "best": np.sqrt(2)}
MODEL_MOST = 2.0  # no scene may exceed it, however few its independent pixels are
MODEL_MEAN = {"live": 1.1, "best": np.sqrt(np.sqrt(2))}  # of the scenes that are not of little data
ALL_SCENES = {"live": (0.7, 1.4), "best": (0.8, 1.25)}  # of the geometric mean over all, little data included
RIM = 16


def deviations(program, folder, scene, quality):
    """Errors over what is predicted for one component, both components; what is predicted, and which pixels count."""
    pattern, sample, count, photons = scene
    stack, maps = folder / "stack.h5", folder / "maps.h5"
    run = lambda *words: subprocess.run([str(word) for word in (program, *words)], check=True, stdout=subprocess.DEVNULL)
    if not stack.exists():
        run("simulate", "--output", stack, "--size", 224, "--count", count, "--stacks", 1, "--pattern", pattern, "--sample", sample,
            "--photons", photons, "--gain", min(2, 2e4 / photons), "--model", "geometric", "--flats", 100, "--darks", 50, "--hot-pixels", 0,
            "--seed", 1000 + count)
    run("reconstruct", stack, "-o", maps, "--overwrite", "--set", f"quality={quality}")
    with h5py.File(stack) as file:
        truth = np.stack([file[f"truth/displacement_{axis}"][0] for axis in "xy"])
    with h5py.File(maps) as file:
        found = np.stack([file[f"entry/maps/displacement_{axis}"][0] for axis in "xy"])
        predicted, valid = file["entry/maps/displacement_error"][0], file["entry/maps/valid"][0] > 0
    inside = (..., *(slice(RIM, -RIM),) * 2)
    return (np.sqrt(2) * (found - truth) / predicted)[inside], predicted[inside], valid[inside]


def spread_of(z, valid):
    """Root-mean-square deviation and its sampling error. A mean square of n independent normal deviates is known to sqrt(2 / n), its root to
    half of that; n is the number of pixels over the area in which deviations are alike, the sum of their squared autocorrelation."""
    z = np.where(valid, z, 0)
    spread = np.sqrt(np.sum(z ** 2) / (2 * valid.sum()))
    padded = [(0, 0), *((0, size) for size in valid.shape)]
    power = np.abs(np.fft.rfft2(np.pad(z / spread, padded))) ** 2
    pairs = np.abs(np.fft.rfft2(np.pad(valid[None].astype(float), padded))) ** 2
    like, many = (np.fft.irfft2(values, s=[2 * size for size in valid.shape]) for values in (power, pairs))
    near = many > 0.25 * valid.sum()  # farther off too few pairs are left to tell
    alike = np.sum(np.mean(np.where(near, like / np.maximum(many, 1), 0) ** 2, axis=0))
    return spread, np.sqrt(alike / (4 * valid.sum()))


def rank_of(z, predicted_of, valid):
    """Spearman's rank correlation of the actual error with the predicted one."""
    place = lambda values: np.argsort(np.argsort(values, kind="stable"), kind="stable")
    predicted = predicted_of[valid]
    return np.corrcoef(place(np.hypot(*z)[valid] * predicted), place(predicted))[0, 1]


def main():
    program, good = os.environ["SPECKLED_PROGRAM"], True
    logs = {"live": [], "best": []}  # of spreads, their sampling errors, and whether there is little data
    for scene in SCENES + LITTLE_DATA:
        with tempfile.TemporaryDirectory() as name:
            for quality, known in logs.items():
                z, predicted, valid = deviations(program, pathlib.Path(name), scene, quality)
                spread, sampling = spread_of(z, valid)
                little = scene in LITTLE_DATA
                bound = MODEL_MOST if little and quality == "live" else min(MODEL_MOST, MODEL[quality] * np.exp(3 * sampling))
                rank = rank_of(z, predicted, valid)
                middle = np.median(np.hypot(*z)[valid]) / np.sqrt(2)
                print(f"{' '.join(map(str, scene)):28} {quality}: spread {spread:.2f}, within {1 / bound:.2f} .. {bound:.2f}; "
                      f"median {middle:.2f} (0.83 if normal); rank correlation {rank:.2f}")
                good &= bool(1 / bound < spread < bound and rank > 0)
                known.append((np.log(spread), sampling, little))
    for quality, known in logs.items():
        whole = np.exp(np.mean([log for log, *_ in known]))
        enough = [(log, error) for log, error, little in known if not little]
        mean, sampling = np.mean([log for log, _ in enough]), np.sqrt(np.sum([error ** 2 for _, error in enough])) / len(enough)
        bound = MODEL_MEAN[quality] * np.exp(3 * sampling)
        print(f"{quality}: mean spread {np.exp(mean):.2f}, within {1 / bound:.2f} .. {bound:.2f}; of all {whole:.2f}")
        good &= bool(abs(mean) < np.log(bound) and ALL_SCENES[quality][0] < whole < ALL_SCENES[quality][1])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
