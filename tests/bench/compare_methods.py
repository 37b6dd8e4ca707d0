#!/usr/bin/env python3
"""Compares reconstruction plugins with the truth on the same simulated stacks, in the same run.

    tests/bench/compare_methods.py [--build build/release] [--size 256] [--counts 1,2,3,5,10,20] [--method NAME[:option=value...]]...

Stacks come from `speckled simulate`. Against each method stand recon_umpa with its defaults, and with the best of the fixed windows
1 to 7, chosen with the truth for every scene and quantity. Prints root-mean-square errors of displacement (with the median error
in brackets), transmission and dark-field a scene, then their geometric means a count."""
import argparse
import pathlib
import tempfile

import numpy as np

from peer_umpa import RIM, errors, load, run_speckled, simulate

SCENES = {
    "mask, wave": [],
    "mask, steps": ["--model", "geometric", "--sample", "step"],
    "mask, lens": ["--model", "geometric", "--sample", "lens", "--max-shift-px", "4"],
    "sandpaper, wave, lens, 1000 photons": ["--pattern", "sandpaper", "--pattern-px", "4", "--sample", "lens", "--photons", "1000"],
    "sandpaper, random phase": ["--pattern", "sandpaper", "--pattern-px", "4", "--model", "geometric", "--sample", "random"],
    "mask, random phase, 300 photons": ["--model", "geometric", "--sample", "random", "--photons", "300"],
}
WINDOWS = (1, 2, 3, 5, 7)
MAX_SHIFT = "max_shift=6"


def median_error(maps, truth):
    inside = (slice(RIM, -RIM),) * 2
    return np.median(np.hypot(maps[0] - truth[0], maps[1] - truth[1])[inside])


def measure(build, folder, stacks, truth, plugin, options):
    maps, seconds = run_speckled(build, folder, *stacks, options, plugin)
    return [*errors(maps, truth), median_error(maps, truth), 1e6 * seconds]


def best_window(build, folder, stacks, truth):
    rows = [measure(build, folder, stacks, truth, "recon_umpa", [f"window={window}", MAX_SHIFT]) for window in WINDOWS]
    return np.min(rows, axis=0)


def text(values):
    u, t, d, median, _ = values
    return f"{u:7.4f} ({median:6.4f}) {t:7.4f} {d:7.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--counts", default="1,2,3,5,10,20")
    parser.add_argument("--method", action="append", help="plugin[:option=value...]; default recon_specklenet")
    arguments = parser.parse_args()
    methods = arguments.method or ["recon_specklenet"]
    names = ["umpa, best window", "umpa", *methods]
    print(f"{'u (median), T, D':36} {'N':>3} " + " | ".join(f"{name:32}" for name in names))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for count in (int(word) for word in arguments.counts.split(",")):
            every = []
            for scene, options in SCENES.items():
                *stacks, truth = load(simulate(arguments.build / "bin" / "speckled", folder, arguments.size, count, options))
                rows = [best_window(arguments.build, folder, stacks, truth), measure(arguments.build, folder, stacks, truth, "recon_umpa", [MAX_SHIFT])]
                for method in methods:
                    plugin, *chosen = method.split(":")
                    rows.append(measure(arguments.build, folder, stacks, truth, plugin, chosen))
                every.append(rows)
                print(f"{scene:36} {count:3} " + " | ".join(text(row) for row in rows), flush=True)
            middle = np.exp(np.mean(np.log(every), axis=0))
            print(f"{'geometric mean':36} {count:3} " + " | ".join(text(row) for row in middle))
            print(f"{'processor time, us a pixel':36} {count:3} " + " | ".join(f"{row[-1]:32.2f}" for row in middle), flush=True)


if __name__ == "__main__":
    main()
