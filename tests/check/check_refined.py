#!/usr/bin/env python3
"""Holds recon_specklenet with `refine: global` to what it is for, on scenes of `speckled simulate`: nearer the truth than the network's own
map, about as near as recon_umpa with `quality: best`, whose start is another one, and sure of it to the degree that it should be.

    check_refined.py SPECKLED STAGE_RAW

The bounds are those of the model, not of sampling: the same energy is minimised from two starts, whose roughness the weights of its prior
begin with and keep a part of, so that two refinements differ by up to a third of their error."""
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from peer_umpa import RIM, load, simulate  # noqa: E402
from stage import run_stage  # noqa: E402

SCENES = {
    "mask, steps": ["--model", "geometric", "--sample", "step", "--photons", "5000"],
    "mask, blob": ["--model", "geometric", "--sample", "blob", "--photons", "1000"],
    "sandpaper, lens": ["--model", "geometric", "--sample", "lens", "--pattern", "sandpaper", "--pattern-px", "4", "--photons", "2000"],
}
COUNTS = (1, 2, 5)
SIZE = 128
BEFORE = 0.8  # times the error of the network, geometric mean
BESIDE = 1.35  # times that of recon_umpa, every scene
SPREAD = (0.52, 1.91)  # of the error over its map, geometric mean: BESIDE more than what check_uncertainty grants recon_umpa's own, a factor of sqrt(2)
INSIDE = (slice(RIM, -RIM),) * 2


def error_of(maps, truth):
    return np.hypot(maps[2] - truth[0], maps[3] - truth[1])[INSIDE]


def judge(program, folder, stacks, truth):
    """Root-mean-square errors of u: the network's, refined, recon_umpa's; and the refined one over what its map says."""
    def run(plugin, *options):
        maps, about = run_stage(program, folder, plugin, *stacks, "errors=1", *options)
        return maps.astype(float), about["iterations"]

    alone, _ = run("recon_specklenet")
    refined, iterations = run("recon_specklenet", "refine=global", "quality=best")
    umpa, _ = run("recon_umpa", "quality=best", "max_shift=6")
    rms = [np.sqrt(np.mean(error_of(maps, truth) ** 2)) for maps in (alone, refined, umpa)]
    said = np.sqrt(np.mean(refined[6][INSIDE] ** 2))
    return *rms, rms[1] / said, iterations


def refuses(program, folder, stacks):
    """Wrong values are refused in a line that names the option."""
    good = True
    for option in ("refine=everything", "quality=worst", "deadline_ms=-1"):
        words = "taken"
        try:
            run_stage(program, folder, "recon_specklenet", *stacks, option)
        except RuntimeError as refusal:
            words = str(refusal)
        print(f"{option}: {words}")
        good &= option.split("=")[0] in words
    return good


def main():
    speckled, program = (pathlib.Path(word) for word in sys.argv[1:3])
    good, rows = True, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for scene, options in SCENES.items():
            for count in COUNTS:
                *stacks, truth = load(simulate(speckled, folder, SIZE, count, options))
                rows.append(judge(program, folder, stacks, truth))
                alone, refined, umpa, spread, iterations = rows[-1]
                print(f"{scene:18} N {count}: network {alone:.4f}, refined {refined:.4f}, umpa {umpa:.4f}; spread {spread:.2f}; {iterations} iterations")
                good &= bool(refined < BESIDE * umpa and iterations > 0)
        good &= refuses(program, folder, stacks)
    alone, refined, umpa, spread, _ = np.exp(np.mean(np.log(rows), axis=0))
    print(f"refined over network {refined / alone:.2f} (at most {BEFORE}), over umpa {refined / umpa:.2f}; spread {spread:.2f}")
    good &= bool(refined < BEFORE * alone and SPREAD[0] < spread < SPREAD[1])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
