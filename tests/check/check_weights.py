#!/usr/bin/env python3
"""The weights that come with the networks: on scenes of the service's own simulator, which no training has seen, they must find displacement
and transmission.

    check_weights.py PROGRAM STAGE_RAW NETWORK...

Weights may have had little training, so the bounds say that a network works, not how well: what it finds follows the truth with a slope of
about 1 along both axes, and leaves at most a third of it."""
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from peer_umpa import RIM, load, simulate  # noqa: E402
from stage import run_stage  # noqa: E402

SIZE = 256
COUNTS = {"recon_spinnet": 1}
SCENES = {
    "mask, lens": ["--model", "geometric", "--sample", "lens", "--max-shift-px", "4"],
    "sandpaper, blob": ["--model", "geometric", "--pattern", "sandpaper", "--pattern-px", "4", "--sample", "blob"],
}


def inner(image):
    return image[RIM:-RIM, RIM:-RIM].astype(float)


def judge(name, found, truth):
    """Medians, so that a few wild pixels do not decide."""
    found, truth = inner(found), inner(truth)
    varying = truth - np.median(truth)
    slope = np.sum(varying * (found - np.median(found))) / np.sum(varying**2)
    left = np.median(np.abs(found - truth)) / np.median(np.abs(varying))
    good = bool(abs(slope - 1) < 0.15 and left < 1 / 3)
    print(f"  {name}: slope {slope:.3f}, left {left:.3f}{'' if good else '  <-- not found'}")
    return good


def main():
    program, stage_raw, *networks = sys.argv[1:]
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for network in networks:
            for scene, options in SCENES.items():
                reference, sample, (x, y, t, _) = load(simulate(program, folder, SIZE, COUNTS.get(network, 20), options))
                (found_t, _, *found_u, _, _), _ = run_stage(stage_raw, folder, network, reference, sample)
                print(f"{network}, {scene}")
                good &= all([judge(*row) for row in zip(("u along x", "u along y", "T"), (*found_u, found_t), (x, y, t))])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
