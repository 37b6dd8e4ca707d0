#!/usr/bin/env python3
"""Compares recon_xst, recon_xsvt and recon_xss with the public package spexwavepy (Diamond Light Source) on the same stacks, in the same run.

    pip install spexwavepy opencv-python-headless && tests/bench/peer_spexwavepy.py [--build build/release] [--size 96]

Both see the same template (7 x 7 pixels for XST, 3 neighbours for XSVT, 5 for XSS) and the same range of shifts. Prints, a scene a line, for how
many pixels there is a displacement inside the range, its root-mean-square and median error against the truth, and processor time a pixel;
exit code 1 where speckled's median error or time is the larger one."""
import argparse
import contextlib
import io
import os
import pathlib
import resource
import sys
import tempfile

import numpy as np
import peer_umpa as common

SCENES = {
    "mask, steps": ["--model", "geometric", "--sample", "step"],
    "sandpaper, lens, 1000 photons": ["--pattern", "sandpaper", "--sample", "lens", "--photons", "1000"],
    "sandpaper, random phase": ["--pattern", "sandpaper", "--model", "geometric", "--sample", "random", "--photons", "20000"],
}
MAX_SHIFT = 4
MAX_LAG = 10  # steps of XSS
TEMPLATE, NEIGHBOURS, ACROSS = 3, 1, 2  # half widths: of XST's template, of what joins a vector, of what joins a sequence
SCAN = ["--scan", "line_x", "--jitter-px", "0", "--step-px", "1"]


def stack_of(package, images):
    """The package's stack, which otherwise reads its images from a folder."""
    stack = package.Imagestack(".", (0, images.shape[1], 0, images.shape[2]))
    stack.rawdata, stack.data, stack.verbose = images, images.copy(), False
    return stack


def peer_xst(imstack, track, reference, sample):
    """The package's displacement, put where its templates' centres are."""
    found = track.Tracking(stack_of(imstack, sample[:1]), stack_of(imstack, reference[:1]))
    found.pixsize = found.dist = found.scanstep = 1.0
    side = 2 * TEMPLATE + 1
    found.XST_withrefer(MAX_SHIFT, MAX_SHIFT, MAX_SHIFT, MAX_SHIFT, side, side, verbose=False)
    rim = MAX_SHIFT + TEMPLATE
    return [placed(-delay, sample.shape[1:], rim, rim) for delay in (found.delayX, found.delayY)]


def peer_xsvt(imstack, track, reference, sample):
    """Along each axis alone, as the package does; one frame at either end is left out, for without that its sub-pixel peak fails."""
    found = track.Tracking(stack_of(imstack, sample), stack_of(imstack, reference))
    found.pixsize = found.dist = 1.0
    found.XSVT_withrefer(MAX_SHIFT, 1, 2 * NEIGHBOURS + 1, MAX_SHIFT, verbose=False)
    rim, across_then_down = MAX_SHIFT + NEIGHBOURS, (found.delayY, found.delayX)  # as patterns shifted by a known amount come out
    return [placed(-delay, sample.shape[1:], rim, rim) for delay in across_then_down]


def peer_xss(imstack, track, reference, sample):
    """Delays of one step a pixel; across the axis pixels."""
    found = track.Tracking(stack_of(imstack, sample), stack_of(imstack, reference))
    found.pixsize = found.dist = found.scanstep = 1.0
    found.scandim = "x"
    found.XSS_withrefer(MAX_SHIFT, MAX_SHIFT, MAX_LAG, 2 * ACROSS + 1, MAX_SHIFT, verbose=False)
    return [placed(delay, sample.shape[1:], MAX_SHIFT + ACROSS, 0) for delay in (found.delayX, -found._delayY)]


def placed(inner, shape, above, left):
    height, width = shape
    return np.pad(inner, ((above, height - above - inner.shape[0]), (left, width - left - inner.shape[1])), mode="edge")


def run_peer(method, *arguments):
    """Maps and seconds of processor time a pixel."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    with contextlib.redirect_stdout(io.StringIO()):
        maps = method(*arguments)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return maps, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / maps[0].size


def judge(maps, truth):
    """Share of pixels with a displacement inside the range, and their root-mean-square and median error."""
    inside = (slice(common.RIM, -common.RIM),) * 2
    x, y = (found[inside] for found in maps[:2])
    good = (np.abs(x) <= MAX_SHIFT + 1) & (np.abs(y) <= MAX_SHIFT + 1)
    squares = ((x - truth[0][inside]) ** 2 + (y - truth[1][inside]) ** 2)[good]
    return good.mean(), np.sqrt(squares.mean()), np.sqrt(np.median(squares))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--size", type=int, default=96)
    arguments = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "agg")
    try:
        from spexwavepy import imstackfun, trackfun
    except ImportError as error:
        print(f"skipped: {error}")
        return 0
    shifts = f"max_shift={MAX_SHIFT}"
    methods = (("XST", "recon_xst", peer_xst, 1, [shifts, f"window={TEMPLATE}"], []),
               ("XSVT", "recon_xsvt", peer_xsvt, 20, [shifts, f"window={NEIGHBOURS}"], []),
               ("XSS", "recon_xss", peer_xss, 40, [f"across={MAX_SHIFT}", f"max_lag={MAX_LAG}", "step_px=1", f"window={ACROSS}"], SCAN))
    print(f"{'':5}{'scene':32} {'N':>3}   {'share found':>18}   {'RMSE of u, px':>18}   {'median, px':>18}   {'us of CPU a pixel and ratio':>30}")
    print(f"{'':41}   " + "   ".join(f"{'speckled     peer':>18}" for _ in range(3)) + f"   {'speckled     peer':>22}")
    worse = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for title, plugin, method, count, options, scan in methods:
            for scene, words in SCENES.items():
                program = arguments.build / "bin" / "speckled"
                reference, sample, truth = common.load(common.simulate(program, folder, arguments.size, count, words + scan))
                maps, own = common.run_speckled(arguments.build, folder, reference, sample, options, plugin)
                found, other = run_peer(method, imstackfun, trackfun, reference, sample)
                ours, theirs = judge(maps, truth), judge(found, truth)
                worse += ours[2] > theirs[2] or own > other
                pairs = "   ".join(f"{a:9.4f}{b:9.4f}" for a, b in zip(ours, theirs))
                print(f"{title:5}{scene:32} {count:3}   {pairs}{1e6 * own:10.2f}{1e6 * other:12.2f}{other / own:8.0f}", flush=True)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
