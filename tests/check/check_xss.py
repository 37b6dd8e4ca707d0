"""recon_xss against the papers' formulas written out in NumPy, double precision, pixel by pixel; then the curvature of a simulated lens
with and without a reference, and what is refused."""

import os
import subprocess
import tempfile

import h5py
import numpy as np
from scipy import ndimage

from check_trackers import MAPS, PROGRAM, correlation, normal, peak_offset, reconstruct

rng = np.random.default_rng(15)


def scene(count, height, width, axis, step, shift):
    """A random pattern scanned in equal steps, and samples displaced by about `shift` (x, y), with T and D that vary slowly."""
    pad, fine = 40, 4
    pattern = normal(ndimage.gaussian_filter(rng.normal(size=((height + 2 * pad) * fine, (width + 2 * pad) * fine)), 1.2 * fine))
    y, x = np.mgrid[:height, :width].astype(float)
    u = shift[0] + 0.5 * np.sin(y / 9), shift[1] + 0.5 * np.cos(x / 11)

    def image(k, uy, ux):
        moved = [y - uy, x - ux]
        moved[axis == "x"] = moved[axis == "x"] - (k - count / 2) * step
        return 1 + 0.25 * ndimage.map_coordinates(pattern, [(at + pad) * fine for at in moved], order=1)

    transmission, dark_field = 0.8 + 0.1 * np.sin(x / 13), 0.7 + 0.1 * np.cos(y / 7)
    reference = np.stack([image(k, 0, 0) for k in range(count)])
    sample = np.stack([transmission * (1 + dark_field * (image(k, u[1], u[0]) - 1)) for k in range(count)])
    return reference.astype("f4"), (sample + 0.002 * rng.normal(size=sample.shape)).astype("f4")


def pairs(count, lag):
    k = np.arange(max(0, -lag), min(count, count - lag))
    return k, k + lag


def sequence(stack, k, along, aside, window):
    """Values of the frames k round a pixel of a stack [count][across][along]: `window` neighbours across the axis."""
    return stack[k, aside - window:aside + window + 1, along].astype(float)


def expand(c, kind):
    if kind == "gauss":
        if c.min() <= 0:
            return None
        c = np.log(c)
    return peak_offset(c, "taylor")


def search(s, r, offsets, delay, aside, along, window, across, max_lag, kind):
    """Lag and shift of the peak with their whole parts, and its height. One line (across 0): a parabola through three values."""
    count, extent, length = s.shape
    if not (window <= aside < extent - window) or not all(0 <= along + offset < length for offset in offsets):
        return None
    c = np.full((2 * across + 1, 2 * max_lag + 1), -np.inf)
    for i in range(-across, across + 1):
        for j in range(-max_lag, max_lag + 1):
            if window <= aside + i < extent - window:
                ks, kr = pairs(count, delay + j)
                c[i + across, j + max_lag] = correlation(sequence(s, ks, along + offsets[0], aside, window),
                                                         sequence(r, kr, along + offsets[1], aside + i, window))
    i, j = np.unravel_index(c.argmax(), c.shape)
    seen = np.flatnonzero(np.isfinite(c).any(axis=1))
    if j in (0, 2 * max_lag) or (across and i in (seen[0], seen[-1])):
        return None
    if across:
        offset = expand(c[i - 1:i + 2, j - 1:j + 2], kind)
    else:
        a, b, d = (np.log if kind == "gauss" else np.asarray)(c[i, j - 1:j + 2])
        offset = ((a - d) / (2 * (a - 2 * b + d)), 0)
    if offset is None:
        return None
    return j - max_lag + delay + offset[0], i - across + offset[1], j - max_lag + delay, i - across, c[i, j]


def ratios(s, r, lag, along, aside, shift):
    ks, kr = pairs(len(s), lag)
    a, b = s[ks, aside, along].astype(float), r[kr, aside + shift, along].astype(float)
    return a.mean() / b.mean(), a.std() / b.std() / (a.mean() / b.mean())


def integrate(difference, separation):
    """Lines (last axis) of u(x + m) - u(x), placed at the pixel in the middle or half a pixel before it, to u less its mean: gaps of the
    derivative are filled by straight lines, and the displacement taken from one pixel to the next with the derivative at hand."""
    out = np.full_like(difference, np.nan)
    for line, u in zip(difference, out):
        good = np.isfinite(line)
        if not good.any():
            continue
        at = np.flatnonzero(good)
        pixels = np.arange(at[0], at[-1] + 1)
        derivative = np.interp(pixels, at, line[good] / separation)
        steps = derivative[:-1] if separation % 2 else (derivative[1:] + derivative[:-1]) / 2
        total = np.concatenate([[0], np.cumsum(steps)])
        u[at] = total[at - at[0]]
        u[at] -= u[at].mean()
    return out


def expected_maps(reference, sample, method, step, separation, **search_for):
    """Maps in the order along, across, quality, T, D of stacks [count][across][along]."""
    shape = sample.shape[1:]
    maps = np.full((5, *shape), np.nan)
    own = method == "self"
    m = separation if own else 0
    offsets = (m - m // 2, -(m // 2))
    for aside in range(shape[0]):
        for along in range(shape[1]):
            found = search(sample, sample if own else reference, offsets, round(-m / step), aside, along, **search_for)
            if found is None:
                continue
            lag, shift, whole_lag, whole_shift, height = found
            t, d = ratios(sample, reference, *((0, along, aside, 0) if own else (whole_lag, along, aside, whole_shift)))
            maps[:, aside, along] = m + lag * step, -shift, height, t, d
    if own:
        maps[:2] = [integrate(u, m) for u in maps[:2]]
    return maps


def compare(folder, method, axis, step, shift, count=36, separation=3, window=1, across=2, max_lag=5, kind="gauss"):
    reference, sample = scene(count, 26, 30, axis, step, shift)
    maps = reconstruct(folder, "xss", reference, sample, {
        "method": method, "axis": axis, "step_px": step, "separation": separation, "window": window, "across": across, "max_lag": max_lag,
        "peak": kind})
    turned = (lambda a: a) if axis == "x" else (lambda a: np.swapaxes(a, -1, -2))
    expected = turned(expected_maps(turned(reference), turned(sample), method, step, separation, window=window, across=across,
                                    max_lag=max_lag, kind=kind))
    got = np.stack([maps[name] for name in (MAPS if axis == "x" else (MAPS[1], MAPS[0], *MAPS[2:]))])
    valid = np.isfinite(expected[0])
    assert (valid == (maps["valid"] > 0)).all(), np.argwhere(valid != (maps["valid"] > 0))
    assert valid.sum() > 200, valid.sum()
    # float32 sums of n values of size 0.3: 1e-7 sqrt(n), n up to 108, over the peak's curvature, some 0.05
    error = np.abs(got - expected)[:, valid]
    assert (error < 4e-5 + 2e-5 * np.abs(expected)[:, valid]).all(), (method, axis, error.max(axis=1))
    print(f"{method} {axis} {kind}: {valid.sum()} pixels agree, {(~valid).sum()} agreed to be without a peak; largest difference {error.max():.1e}")


def run(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False)


def lens(folder, axis):
    """A lens by wave optics: its curvature along every line, to the parabola's fit, and the displacement with a reference."""
    stack, found, other = os.path.join(folder, f"{axis}.h5"), os.path.join(folder, "maps.h5"), {"x": "y", "y": "x"}[axis]
    done = run("simulate", "--output", stack, "--size", 160, "--count", 60, "--stacks", 1, "--scan", f"line_{axis}", "--step-px", 1, "--jitter-px", 0,
               "--pattern", "sandpaper", "--pattern-px", 3, "--sample", "lens", "--hot-pixels", 0, "--scatter", 0)
    assert done.returncode == 0, done.stderr
    inner = (slice(12, -12),) * 2
    with h5py.File(stack) as file:
        truth = {name: file[f"truth/{name}"][0][inner] for name in file["truth"]}
    for words in [], ["method=self", "separation=8", "across=0"]:
        settings = [word for setting in [f"axis={axis}", "step_px=1", *words] for word in ("--set", setting)]
        done = run("reconstruct", stack, "-o", found, "--overwrite", "--method", "xss", *settings)
        assert done.returncode == 0, done.stderr
        with h5py.File(found) as file:
            maps = {name: file[f"entry/maps/{name}"][0][inner] for name in file["entry/maps"]}
        lines = (lambda name, of: of[name] if axis == "x" else of[name].T)
        u, true_u = lines(f"displacement_{axis}", maps), lines(f"displacement_{axis}", truth)
        slope = lambda values: np.polyfit(np.arange(values.shape[1]), values.T, 1)[0]
        kappa = slope(u) / slope(true_u)
        assert lines("valid", maps).all()
        print(f"lens {axis} {words or 'reference'}: curvature {kappa.mean():.3f} of the truth, scatter {kappa.std():.3f}")
        # sandpaper's autocorrelation is no Gaussian: its peak's place between steps is drawn towards whole ones by some 2 %
        assert abs(kappa.mean() - 1) < 0.03 and kappa.std() < 0.03
        if not words:
            error = {name: np.sqrt(np.mean((maps[name] - truth[name]) ** 2)) for name in (f"displacement_{axis}", f"displacement_{other}", "transmission")}
            print(f"   {error}")
            assert error[f"displacement_{axis}"] < 0.05 and error[f"displacement_{other}"] < 0.08 and error["transmission"] < 0.03


def refused(folder):
    """One clear line each, from both doors."""
    reference, sample = scene(20, 18, 20, "x", 1, (0, 0))
    path, config = os.path.join(folder, "small.h5"), os.path.join(folder, "service.yaml")
    with h5py.File(path, "w") as file:
        file["reference"], file["sample"] = reference, sample
    for settings, words in ((["max_lag=5"], "step_px is not set"), (["step_px=1", "max_lag=15"], "take 23 frames"),
                            (["step_px=0.25", "method=self", "separation=8"], "separation"), (["step_px=1", "axis=z"], "axis"),
                            (["step_px=1", "across=33"], "across")):
        done = run("reconstruct", path, "-o", os.path.join(folder, "no.h5"), "--method", "xss",
                   *[word for setting in settings for word in ("--set", setting)])
        assert done.returncode != 0 and words in done.stderr, (settings, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    with open(config, "w") as file:
        file.write(f"source: {{plugin: source_hdf5, reference: {path}, sample: {path}}}\nstages: [{{plugin: recon_xss}}]\n"
                   f"sinks: [{{plugin: sink_hdf5, path: {folder}/live.h5}}]\n")
    done = run("check", "-c", config)
    assert done.returncode == 2 and "step_px is not set" in done.stderr + done.stdout, done
    done = run("run", "-c", config, "--set", "recon_xss.step_px=1", "--set", "recon_xss.max_lag=4")
    assert done.returncode == 0, done.stderr
    with h5py.File(os.path.join(folder, "live.h5")) as file:
        assert file["entry/maps/valid"][0].mean() > 0.3
    print("refusals and a service: as they should be")


def main():
    with tempfile.TemporaryDirectory() as folder:
        compare(folder, "reference", "x", 0.5, (0.4, -0.3))
        compare(folder, "reference", "y", -0.7, (0.7, 0.2), kind="taylor", window=0)
        compare(folder, "reference", "x", 0.6, (0.3, 0), across=0, window=0, kind="taylor")
        compare(folder, "self", "x", 0.5, (0, 0))
        compare(folder, "self", "y", -0.5, (0, 0), separation=4, across=0)
        lens(folder, "x")
        lens(folder, "y")
        refused(folder)


if __name__ == "__main__":
    main()
