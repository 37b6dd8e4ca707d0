#!/usr/bin/env python3
"""Errors of every reconstruction method on simulated scenes with known truth, beside the public UMPA package and the Cramer-Rao bound.

    SPECKLED_PEER_UMPA=/path/to/UMPA/checkout tests/bench/error_table.py [--build build/release] [--size 256] [--json FILE] [--only TEXT]

Scenes come from `speckled simulate` and are corrected for dark and flat here; all methods get the same arrays. Priors and windows of
recon_umpa were tuned on the scenes marked `tuned`; the others were not looked at. The package runs at four or five windows, and the best one is
chosen with the truth, scene by scene and quantity by quantity. Without the package its columns are empty.

For each scene and method: root-mean-square, median and 95th percentile of the error of u (px), T, D and phase (rad, mean taken out), and
the Fourier-ring resolution of u (px; where the correlation with the truth falls below 1/2). The phase is integrated from every method's u by
the same least squares. The bound is that of u and an unbiased estimator that averages over a Gaussian window of 2 px and has no trouble at
edges; one that knows smooth regions to be smooth may fall below it.

Prints a table, then over the scenes not tuned on how often a method beats the package, and where it does not."""
import argparse
import json
import os
import pathlib
import sys
import tempfile

import numpy as np
from scipy import fft, ndimage

import peer_umpa as peer

TUNED, NEW = "tuned", ""


def scene(split, pattern, sample, count, photons, model="geometric", seed=None):
    gain = min(2, 20000 / photons)  # nothing saturates
    words = ["--pattern", pattern, "--sample", sample, "--photons", photons, "--gain", gain, "--model", model, "--seed", seed or count]
    return {"split": split, "count": count, "photons": photons, "options": [str(word) for word in words],
            "name": f"{pattern} {sample} N={count} {photons} {'wave' if model == 'wave' else ''}".strip()}


SCENES = [
    scene(TUNED, "sandpaper", "blob", 1, 5000), scene(TUNED, "mask", "blob", 5, 5000), scene(TUNED, "sandpaper", "lens", 5, 150),
    scene(TUNED, "mask", "blob", 20, 2000), scene(TUNED, "mask", "step", 3, 5000), scene(TUNED, "sandpaper", "random", 10, 20000),
    scene(TUNED, "mask", "blob", 20, 5000, "wave"), scene(TUNED, "sandpaper", "sphere", 10, 2000, "wave"),
    scene(TUNED, "grating", "blob", 9, 5000), scene(TUNED, "sandpaper", "lens", 2, 1000),
    scene(NEW, "mask", "lens", 1, 5000, seed=101), scene(NEW, "mask", "step", 1, 20000, seed=102),
    scene(NEW, "sandpaper", "step", 1, 2000, seed=103), scene(NEW, "sandpaper", "random", 1, 50000, seed=104),
    scene(NEW, "mask", "blob", 1, 1000, "wave", 105), scene(NEW, "sandpaper", "lens", 1, 10000, "wave", 106),
    scene(NEW, "mask", "random", 2, 5000, seed=107), scene(NEW, "sandpaper", "blob", 2, 300, seed=108),
    scene(NEW, "sandpaper", "step", 3, 1000, "wave", 109), scene(NEW, "mask", "lens", 3, 50000, seed=110),
    scene(NEW, "sandpaper", "blob", 3, 5000, seed=111), scene(NEW, "mask", "step", 5, 500, seed=112),
    scene(NEW, "sandpaper", "random", 5, 2000, seed=113), scene(NEW, "mask", "lens", 5, 100, seed=114),
    scene(NEW, "sandpaper", "lens", 5, 5000, "wave", 115), scene(NEW, "mask", "random", 5, 20000, "wave", 116),
    scene(NEW, "grating", "lens", 5, 2000, seed=117), scene(NEW, "grating", "step", 8, 5000, "wave", 118),
    scene(NEW, "grating", "random", 10, 10000, seed=119), scene(NEW, "mask", "blob", 10, 1000, seed=120),
    scene(NEW, "mask", "lens", 10, 10000, "wave", 121), scene(NEW, "sandpaper", "step", 10, 5000, seed=122),
    scene(NEW, "sandpaper", "blob", 10, 100, seed=123), scene(NEW, "mask", "random", 15, 3000, seed=124),
    scene(NEW, "sandpaper", "lens", 20, 500, seed=125), scene(NEW, "mask", "step", 20, 50000, seed=126),
    scene(NEW, "sandpaper", "random", 20, 5000, "wave", 127), scene(NEW, "mask", "lens", 20, 100, seed=128),
    scene(NEW, "sandpaper", "step", 20, 2000, "wave", 129), scene(NEW, "grating", "blob", 20, 1000, "wave", 130),
]

# plugin, options, and frames from which it works at all
METHODS = {"live": ("recon_umpa", ["quality=live"], 1), "best": ("recon_umpa", ["quality=best"], 1), "xst": ("recon_xst", [], 1),
           "xsvt": ("recon_xsvt", [], 3), "wsvt": ("recon_wxst", [], 3)}
QUANTITIES = ("u", "T", "D", "phase")


def integrate(gx, gy):
    """Least squares for slopes between neighbours, averaged from both (Southwell), by the cosine transform."""
    height, width = gx.shape
    x, y = (gx[:, 1:] + gx[:, :-1]) / 2, (gy[1:] + gy[:-1]) / 2
    divergence = np.zeros_like(gx)
    divergence[:, :-1] += x
    divergence[:, 1:] -= x
    divergence[:-1] += y
    divergence[1:] -= y
    symbol = (2 * np.cos(np.pi * np.arange(height) / height))[:, None] + 2 * np.cos(np.pi * np.arange(width) / width) - 4
    symbol[0, 0] = 1
    spectrum = fft.dctn(divergence, norm="ortho") / symbol
    spectrum[0, 0] = 0
    return fft.idctn(spectrum, norm="ortho")


def ring_resolution(maps, truth):
    """Wavelength at which the correlation of the displacement's Fourier rings with the truth's falls below one half."""
    size = min(maps[0].shape)
    taper = np.hanning(size)[:, None] * np.hanning(size)
    spectra = [np.fft.fft2((field[:size, :size] - field.mean()) * taper) for field in (*maps, *truth)]
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    ring = np.minimum((frequency * size + 0.5).astype(int), size // 2)
    total = lambda values: np.bincount(ring.ravel(), values.ravel(), size // 2 + 1)
    cross = total((spectra[0] * spectra[2].conj() + spectra[1] * spectra[3].conj()).real)
    power = total(abs(spectra[0]) ** 2 + abs(spectra[1]) ** 2) * total(abs(spectra[2]) ** 2 + abs(spectra[3]) ** 2)
    correlation = cross / np.sqrt(power + 1e-30)
    below = np.flatnonzero(correlation[2:size // 2] < 0.5)
    return size / (below[0] + 2 if len(below) else size // 2)


def bound(reference, truth, photons, sigma=2.0):
    """Root-mean-square Cramer-Rao bound of u: equations (T, K, ux, uy) of every pixel, averaged over the window."""
    x, y, t, d = truth
    height, width = t.shape
    rows, columns = np.mgrid[:height, :width].astype(float)
    mean = ndimage.gaussian_filter(reference.mean(0), 12)
    at = [rows - y, columns - x]
    step = 1e-2
    sums = np.zeros((height, width, 4, 4))
    place = lambda image, dy=0.0, dx=0.0: ndimage.map_coordinates(image, [at[0] + dy, at[1] + dx], order=3, prefilter=False, mode="mirror")
    m = ndimage.map_coordinates(mean, at, order=1, mode="nearest")
    for image in reference:
        c = ndimage.spline_filter(ndimage.gaussian_filter(image, 0.5) - mean)  # the noise shall not count as pattern
        q, right, down = place(c), place(c, 0, step), place(c, step, 0)
        jacobian = np.stack([m, q, -t * d * (right - q) / step, -t * d * (down - q) / step], -1)
        sums += jacobian[..., :, None] * jacobian[..., None, :]
    variance = reference.mean() / photons * (t + (t * d) ** 2)
    sums = ndimage.gaussian_filter(sums / variance[..., None, None], (sigma, sigma, 0, 0))
    covariance = np.linalg.inv(sums + 1e-9 * np.eye(4)) / (4 * np.pi * sigma ** 2)
    inside = (slice(peer.RIM, -peer.RIM),) * 2
    return float(np.sqrt(np.mean((covariance[..., 2, 2] + covariance[..., 3, 3])[inside])))


def measure(maps, truth, phase, scale):
    inside = (slice(peer.RIM, -peer.RIM),) * 2
    x, y, t, d = (np.nan_to_num(np.asarray(field)[inside], nan=0.0, posinf=0.0, neginf=0.0) for field in maps)
    true = [field[inside] for field in truth]
    off = scale * integrate(x, y) - phase[inside]
    wrong = {"u": np.hypot(x - true[0], y - true[1]), "T": abs(t - true[2]), "D": abs(d - true[3]), "phase": abs(off - off.mean())}
    found = {name: [float(np.sqrt(np.mean(e ** 2))), float(np.median(e)), float(np.percentile(e, 95))] for name, e in wrong.items()}
    found["ring"] = float(ring_resolution((x, y), true[:2]))
    return found


def load_phase(path):
    import h5py

    with h5py.File(path) as file:
        energy, pixel, distance = (float(file.attrs[name]) for name in ("energy_kev", "pixel_size_m", "distance_m"))
        return file["truth/phase"][0].astype(float), 2 * np.pi * pixel ** 2 / (1.23984198e-9 / energy * distance)


def package_best(model, reference, sample, truth, phase, scale):
    """The least of each number over the windows."""
    runs = []
    seconds = {}
    windows = peer.WINDOWS if len(reference) < 5 else peer.WINDOWS[:-1]  # many frames do not want the widest, which takes longest
    for window in windows:
        maps, seconds[window] = peer.run_peer(model, reference, sample, window)
        runs.append(measure(maps, truth, phase, scale))
    best = {name: [min(run[name][i] for run in runs) for i in range(3)] for name in QUANTITIES}
    best["ring"] = min(run["ring"] for run in runs)
    return best, seconds


def run_scene(entry, arguments, folder, model):
    program = arguments.build / "bin" / "speckled"
    path = peer.simulate(program, folder, arguments.size, entry["count"], entry["options"] + ["--flats", "40", "--darks", "20"])
    reference, sample, truth = peer.load(path)
    phase, scale = load_phase(path)
    result = {**entry, "bound": bound(reference, truth, entry["photons"]), "methods": {}, "us": {}}
    for name, (plugin, options, least) in METHODS.items():
        if entry["count"] < least:
            continue
        maps, seconds = peer.run_speckled(arguments.build, folder, reference, sample, ["repeat=1", *options], plugin)
        result["methods"][name] = measure(maps, truth, phase, scale)
        result["us"][name] = 1e6 * seconds
    if model:
        result["methods"]["umpa"], seconds = package_best(model, reference, sample, truth, phase, scale)
        result["us"]["umpa 2"] = 1e6 * seconds[2]
    return result


def print_scene(result):
    def row(quantity, width):
        return " ".join(f"{result['methods'][name][quantity][0]:{width}.4f}" if name in result["methods"] else " " * width
                        for name in (*METHODS, "umpa"))

    rings = " ".join(f"{result['methods'][name]['ring']:5.1f}" for name in (*METHODS, "umpa") if name in result["methods"])
    print(f"{result['name']:32} {result['split']:5} | {row('u', 6)} | {result['bound']:6.4f} | {row('T', 6)} | {row('D', 6)} | "
          f"{row('phase', 8)} | {rings}", flush=True)


def summarise(results):
    fresh = [result for result in results if result["split"] == NEW]
    print(f"\nover the {len(fresh)} scenes not tuned on")
    for name in (*METHODS, "umpa"):
        have = [result for result in fresh if name in result["methods"]]
        if not have:
            continue
        for quantity in QUANTITIES:
            numbers = np.median([result["methods"][name][quantity] for result in have], axis=0)
            line = f"{name:5} {quantity:5}: median over scenes of RMSE {numbers[0]:.4f}, median {numbers[1]:.4f}, 95 % {numbers[2]:.4f}"
            if quantity == "u":
                line += f"; RMSE / bound {np.median([r['methods'][name]['u'][0] / r['bound'] for r in have]):.2f}"
                line += f"; rings {np.median([r['methods'][name]['ring'] for r in have]):.1f} px"
            both = [result for result in have if "umpa" in result["methods"] and name != "umpa"]
            if both:
                lost = [r["name"] for r in both if r["methods"][name][quantity][0] >= r["methods"]["umpa"][quantity][0]]
                ratio = np.median([r["methods"]["umpa"][quantity][0] / r["methods"][name][quantity][0] for r in both])
                line += f"; UMPA has {ratio:.1f} times it; better on {len(both) - len(lost)} of {len(both)}"
                line += f"; not on: {', '.join(lost)}" if lost and name in ("live", "best") else ""
            print(line)
    speed = [r["us"]["umpa 2"] / r["us"]["best"] for r in results if "umpa 2" in r["us"] and r["count"] == 20]
    if speed:
        print(f"processor time of UMPA at window 2 over that of best, N = 20: {min(speed):.1f} to {max(speed):.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    package, model = os.environ.get("SPECKLED_PEER_UMPA"), None
    if package:
        sys.path.insert(0, package)
        from UMPA import model
    print(f"RMSE. Columns: {', '.join(METHODS)}, public UMPA at its best window.   u, px | bound of u | T | D | phase, rad | rings of u, px")
    results = []
    with tempfile.TemporaryDirectory() as name:
        for entry in SCENES:
            if arguments.only in f"{entry['name']} {entry['split']}":
                results.append(run_scene(entry, arguments, pathlib.Path(name), model))
                print_scene(results[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    if results:
        summarise(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
