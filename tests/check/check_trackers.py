"""recon_xst and recon_xsvt against the papers' formulas written out in NumPy, double precision, pixel by pixel."""

import os
import subprocess
import tempfile

import h5py
import numpy as np
from scipy import ndimage

PROGRAM = os.environ["SPECKLED_PROGRAM"]
MAPS = "displacement_x", "displacement_y", "quality", "transmission", "dark_field"
rng = np.random.default_rng(7)


def scene(count, height, width, shift):
    """Smooth random references and samples displaced by about `shift` (x, y), with T and D that vary slowly."""
    pad = 16
    reference = np.stack([1 + 0.25 * normal(ndimage.gaussian_filter(rng.normal(size=(height + 2 * pad, width + 2 * pad)), 1.3))
                          for _ in range(count)])
    y, x = np.mgrid[pad:pad + height, pad:pad + width].astype(float)
    u = shift[0] + 0.6 * np.sin(y / 9), shift[1] + 0.6 * np.cos(x / 11)
    moved = np.stack([ndimage.map_coordinates(r, [y - u[1], x - u[0]], order=3) for r in reference])
    transmission, dark_field = 0.8 + 0.1 * np.sin(x / 13), 0.7 + 0.1 * np.cos(y / 7)
    sample = transmission * (1 + dark_field * (moved - 1)) + 0.002 * rng.normal(size=moved.shape)
    inner = reference[:, pad:-pad, pad:-pad]
    return inner.astype("f4"), sample.astype("f4")


def normal(image):
    return (image - image.mean()) / image.std()


def window_values(stack, y, x, window):
    return stack[:, y - window:y + window + 1, x - window:x + window + 1].astype(float).ravel()


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def peak_offset(c, kind):
    """Offset (dx, dy) of the maximum of 3x3 correlations from their middle, or None."""
    if kind == "gauss":
        axis = lambda a, b, d: (np.log(a) - np.log(d)) / (2 * (np.log(a) - 2 * np.log(b) + np.log(d)))
        return (axis(*c[1, :]), axis(*c[:, 1])) if c[1, :].min() > 0 and c[:, 1].min() > 0 else None
    gradient = np.array([c[1, 2] - c[1, 0], c[2, 1] - c[0, 1]]) / 2
    mixed = (c[2, 2] - c[2, 0] - c[0, 2] + c[0, 0]) / 4
    hessian = np.array([[c[1, 2] - 2 * c[1, 1] + c[1, 0], mixed], [mixed, c[2, 1] - 2 * c[1, 1] + c[0, 1]]])
    if np.linalg.det(hessian) <= 0 or hessian[0, 0] >= 0:
        return None
    step = -np.linalg.solve(hessian, gradient)
    return tuple(step) if np.abs(step).max() < 1 else None


def ratios(reference, sample, y, x, ux, uy, window):
    """T and D of one pixel."""
    s = window_values(sample, y, x, window)
    yy, xx = np.mgrid[y - window:y + window + 1, x - window:x + window + 1].astype(float)
    r = np.concatenate([ndimage.map_coordinates(f.astype(float), [(yy - uy).ravel(), (xx - ux).ravel()], order=3, mode="mirror")
                        for f in reference])
    transmission = s.sum() / r.sum()
    return transmission, s.std() / r.std() / transmission


def track(reference, sample, y, x, window, reach, kind):
    """u_x, u_y, c, T, D of one pixel."""
    s = window_values(sample, y, x, window)
    c = np.array([[correlation(s, window_values(reference, y - uy, x - ux, window)) for ux in range(-reach, reach + 1)]
                  for uy in range(-reach, reach + 1)])
    i, j = np.unravel_index(c.argmax(), c.shape)
    if i in (0, 2 * reach) or j in (0, 2 * reach):
        return None
    offset = peak_offset(c[i - 1:i + 2, j - 1:j + 2], kind)
    if offset is None:
        return None
    ux, uy = j - reach + offset[0], i - reach + offset[1]
    return ux, uy, c.max(), *ratios(reference, sample, y, x, ux, uy, window)


def reconstruct(folder, method, reference, sample, settings):
    path, out = os.path.join(folder, "in.h5"), os.path.join(folder, "out.h5")
    with h5py.File(path, "w") as f:
        f["reference"], f["sample"] = reference, sample
    command = [PROGRAM, "reconstruct", "--method", method, "--reference", path, "--sample", path, "-o", out]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    if os.path.exists(out):
        os.remove(out)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with h5py.File(out) as f:
        return {name: f["entry/maps"][name][0] for name in f["entry/maps"]}


def compare_pixels(maps, expected_at, rim, step, rtol, atol):
    """Numbers of pixels that agree, and that agree to have no result, of those at multiples of `step` behind the rim."""
    checked = agreed_invalid = 0
    height, width = maps["valid"].shape
    for y in range(rim, height - rim, step):
        for x in range(rim, width - rim, step):
            expected = expected_at(y, x)
            assert bool(maps["valid"][y, x]) == (expected is not None), (y, x, expected)
            if expected is None:
                agreed_invalid += 1
                continue
            got = [maps[name][y, x] for name in MAPS]
            assert np.allclose(got, expected, rtol=rtol, atol=atol), (y, x, got, expected)
            checked += 1
    return checked, agreed_invalid


def compare(folder, method, count, window, kind, shift):
    reach, size = 3, (40, 61)
    reference, sample = scene(count, *size, shift)
    maps = reconstruct(folder, method, reference, sample, {"window": window, "max_shift": reach, "peak": kind})
    # float32 sums of n values of size 0.3: 1e-7 sqrt(n); the peak's curvature divides it
    checked, agreed_invalid = compare_pixels(maps, lambda y, x: track(reference, sample, y, x, window, reach, kind), window + reach, 3,
                                             rtol=2e-5, atol=1e-4)
    assert checked > 50, checked
    print(f"{method} {kind}: N={count}, window {window}: {checked} pixels agree, {agreed_invalid} agreed to be without a peak")


def main():
    with tempfile.TemporaryDirectory() as folder:
        compare(folder, "xsvt", 12, 0, "taylor", (1.9, -1.9))  # so far that the reference is mirrored at the rim
        compare(folder, "xsvt", 12, 1, "gauss", (1.2, 0.7))
        compare(folder, "xst", 1, 3, "taylor", (-0.8, 0.3))
        compare(folder, "xst", 1, 3, "gauss", (0.3, 0.2))
        compare(folder, "xst", 4, 2, "taylor", (0.9, 1.4))


if __name__ == "__main__":
    main()
