#!/usr/bin/env python3
"""Compares networks, and whatever else is named, with matching on the same simulated stacks, in the same run.

    tests/bench/compare_methods.py [--build build/release] [--size 256] [--counts 1,2,3,5,10,20] [--method NAME[:option=value...]]...

Stacks come from `speckled simulate`, none of whose scenes a network of this repository was trained on. Beside the methods (those networks
that have weights, unless said) stand recon_umpa with quality live and best, and with the best of the fixed windows 1 to 7 at quality live,
chosen with the truth for every scene and quantity. Prints root-mean-square errors of displacement (with the median error in brackets),
transmission and dark-field a scene; then, for the scenes made by the image model and for those made by wave optics, geometric means a count,
processor time, and where a method loses to the best window."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from peer_umpa import RIM, errors, load, run_speckled, simulate

def geometric(pattern, sample, photons, *more):
    return [*(["--pattern", "sandpaper", "--pattern-px", "4"] if pattern == "sandpaper" else []), "--model", "geometric", "--sample", sample,
            "--photons", str(photons), *more]


WARP = {
    "mask, steps": geometric("mask", "step", 5000),
    "mask, lens": geometric("mask", "lens", 5000, "--max-shift-px", "4"),
    "mask, blob, 1000 photons": geometric("mask", "blob", 1000),
    "mask, random phase, 300 photons": geometric("mask", "random", 300),
    "sandpaper, random phase": geometric("sandpaper", "random", 5000),
    "sandpaper, steps, 2000 photons": geometric("sandpaper", "step", 2000),
    "sandpaper, lens, 500 photons": geometric("sandpaper", "lens", 500),
    "sandpaper, blob": geometric("sandpaper", "blob", 5000),
}
WAVE = {
    "mask, wave": [],
    "sandpaper, wave, lens, 1000 photons": ["--pattern", "sandpaper", "--pattern-px", "4", "--sample", "lens", "--photons", "1000"],
}
SCENES = WARP | WAVE
NETWORKS = ("recon_specklenet", "recon_espinnet", "recon_spinnet")
WINDOWS = (1, 2, 3, 5, 7)
MAX_SHIFT = "max_shift=6"
QUANTITIES = (("u", 0), ("median u", 3), ("T", 1), ("D", 2))


def median_error(maps, truth):
    inside = (slice(RIM, -RIM),) * 2
    return np.median(np.hypot(maps[0] - truth[0], maps[1] - truth[1])[inside])


def measure(build, folder, stacks, truth, plugin, options):
    maps, seconds = run_speckled(build, folder, *stacks, options, plugin)
    return [*errors(maps, truth), median_error(maps, truth), 1e6 * seconds]


def best_window(build, folder, stacks, truth):
    rows = [measure(build, folder, stacks, truth, "recon_umpa", ["quality=live", f"window={window}", MAX_SHIFT]) for window in WINDOWS]
    return np.min(rows, axis=0)


def text(values):
    u, t, d, median, _ = values
    return f"{u:7.4f} ({median:6.4f}) {t:7.4f} {d:7.4f}"


def has_weights(build, name):
    """A network without weights says so when a configuration with it is checked."""
    text = f"source: {{plugin: source_simulate, count: 5, size: 64}}\nstages: [{{plugin: {name}}}]\nsinks: [{{plugin: sink_zmq, endpoints: inproc://x}}]\n"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return subprocess.run([build / "bin" / "speckled", "check", "-c", file.name], capture_output=True).returncode == 0


def print_means(title, count, names, rows):
    """`rows` [scene, method, number]; the first method is the best window."""
    middle = np.exp(np.mean(np.log(rows), axis=0))
    print(f"{title:36} {count:3} " + " | ".join(text(row) for row in middle))
    print(f"{'processor time, us a pixel':36} {count:3} " + " | ".join(f"{row[-1]:32.2f}" for row in middle))
    for k, name in enumerate(names[3:], 3):
        lost = [f"{quantity} {middle[k][i] / middle[0][i]:.2f}" for quantity, i in QUANTITIES if middle[k][i] > middle[0][i]]
        print(f"{'':36} {count:3} {name} " + ("has more error than the best window, times: " + ", ".join(lost) if lost else "has less error in all"))


def measure_all(arguments, folder, count, options, methods):
    *stacks, truth = load(simulate(arguments.build / "bin" / "speckled", folder, arguments.size, count, options))
    rows = [best_window(arguments.build, folder, stacks, truth)]
    for method in ("recon_umpa:quality=live", "recon_umpa:quality=best", *methods):
        plugin, *chosen = method.split(":")
        own = [MAX_SHIFT] if plugin == "recon_umpa" else []
        rows.append(measure(arguments.build, folder, stacks, truth, plugin, [*own, *chosen]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--counts", default="1,2,3,5,10,20")
    parser.add_argument("--method", action="append", help="plugin[:option=value...]; default: the networks that have weights")
    arguments = parser.parse_args()
    methods = arguments.method or [name for name in NETWORKS if has_weights(arguments.build, name)]
    names = ["umpa, best window", "umpa live", "umpa best", *methods]
    print(f"{'u (median), T, D':36} {'N':>3} " + " | ".join(f"{name:32}" for name in names))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for count in (int(word) for word in arguments.counts.split(",")):
            rows = {}
            for scene, options in SCENES.items():
                rows[scene] = measure_all(arguments, folder, count, options, methods)
                print(f"{scene:36} {count:3} " + " | ".join(text(row) for row in rows[scene]), flush=True)
            print_means("image model, geometric mean", count, names, [rows[scene] for scene in WARP])
            print_means("wave optics, geometric mean", count, names, [rows[scene] for scene in WAVE])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
