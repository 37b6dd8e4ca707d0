#!/usr/bin/env python3
"""Holds recon_umpa at integer shifts to the closed forms of the UMPA model, in double precision with NumPy, from their definition:
one window sum for each frame, shift and pixel (De Marco et al., Opt. Express 31, 635 (2023)).

    check_umpa.py STAGE_RAW

Random stacks always; the values of the public UMPA package (dataset `cost_table`) where SPECKLED_UMPA_CROP names a file of them."""
import os
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from stage import run_stage  # noqa: E402

MAX_SHIFT = 2


def reconstruct(program, folder, reference, sample, window, dark_field):
    maps, _ = run_stage(program, folder, "recon_umpa", reference, sample, f"window={window}", "refine=none", f"max_shift={MAX_SHIFT}",
                        f"dark_field={str(dark_field).lower()}")
    return maps[:4].astype(float)


def closed_form(reference, sample, window, y, x, sy, sx, dark_field):
    """Cost, T and D at pixel (y, x) with the pattern displaced by (sy, sx)."""
    line = np.hamming(2 * window + 1)
    weight = np.outer(line, line) / np.outer(line, line).sum()
    s = sample[:, y - window:y + window + 1, x - window:x + window + 1]
    r = reference[:, y - sy - window:y - sy + window + 1, x - sx - window:x - sx + window + 1]
    mean = (weight * r).sum((1, 2))
    t1, t3, t5 = (weight * s * s).sum(), (weight * r * r).sum(), (weight * r * s).sum()
    if not dark_field:
        return (t1 - t5 ** 2 / t3) / len(s), t5 / t3, 1
    t2, t4 = (mean ** 2).sum(), (mean * (weight * s).sum((1, 2))).sum()
    t6 = (mean * (weight * r).sum((1, 2))).sum()
    k = (t2 * t5 - t4 * t6) / (t2 * t3 - t6 ** 2)
    b = (t3 * t4 - t5 * t6) / (t2 * t3 - t6 ** 2)
    cost = t1 + b * b * t2 + k * k * t3 - 2 * b * t4 - 2 * k * t5 + 2 * b * k * t6
    return cost / len(s), b + k, k / (b + k)


def check_random(program, folder, generator, window, dark_field):
    """Every pixel whose windows lie in the image at every shift: the shift of least cost, and T and D there."""
    count, size = int(generator.integers(1, 9)), 24
    reference = (1 + 0.3 * generator.standard_normal((count, size, size))).astype(np.float32).astype(float)
    moved = np.roll(reference, (1, -2), (1, 2))
    sample = 0.8 * (1 + 0.6 * (moved - 1)) + 0.02 * generator.standard_normal(reference.shape)
    sample = sample.astype(np.float32).astype(float)
    t, d, x, y = reconstruct(program, folder, reference, sample, window, dark_field)
    rim, wrong, pixels = MAX_SHIFT + window, 0, 0
    shifts = [(sy, sx) for sy in range(-MAX_SHIFT, MAX_SHIFT + 1) for sx in range(-MAX_SHIFT, MAX_SHIFT + 1)]
    for row in range(rim, size - rim):
        for column in range(rim, size - rim):
            table = [closed_form(reference, sample, window, row, column, sy, sx, dark_field) for sy, sx in shifts]
            found = table[shifts.index((round(y[row, column]), round(x[row, column])))]
            least = min(table)[0]
            pixels += 1
            wrong += found[0] > least * (1 + 1e-4) + 1e-7
            scale = max(1, abs(found[2]))
            wrong += abs(t[row, column] - found[1]) > 2e-4 or abs(d[row, column] - found[2]) > 2e-3 * scale
    print(f"random, N {count}, window {window}, dark-field {dark_field}: {wrong} of {pixels} pixels differ")
    return wrong == 0


def check_package(program, folder, path):
    import h5py

    good = True
    with h5py.File(path) as file:
        reference, sample = file["reference"][()], file["sample"][()]
        for window in (1, 2):
            for dark_field in (True, False):
                table = file[f"peer/{'df' if dark_field else 'nodf'}_nw{window}/cost_table"][()]
                t, d, x, y = reconstruct(program, folder, reference, sample, window, dark_field)
                best = {}
                for entry in table:
                    key = int(entry[0]), int(entry[1])
                    if key not in best or entry[4] < best[key][4]:
                        best[key] = entry
                wrong = 0
                for at, entry in best.items():
                    wrong += (-y[at], -x[at]) != (entry[2], entry[3]) or abs(t[at] - entry[5]) > 1e-5
                    wrong += dark_field and abs(d[at] - entry[6]) > 1e-4
                print(f"public UMPA, window {window}, dark-field {dark_field}: {wrong} of {len(best)} pixels differ")
                good &= not wrong
    return good


def main():
    program = pathlib.Path(sys.argv[1])
    data = os.environ.get("SPECKLED_UMPA_CROP")
    seed = int(np.random.SeedSequence().entropy % 2 ** 32)
    print("seed", seed)
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good = all([check_random(program, folder, generator, window, dark_field)
                    for window in (1, 2) for dark_field in (True, False)])
        if data:
            good &= check_package(program, folder, data)
        else:
            print("skipped: the values of the public UMPA package are not here")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
