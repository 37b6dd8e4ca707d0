"""recon_wxst against WXST and WSVT written out in NumPy, double precision: Daubechies' filters from their closed forms, convolution of
explicitly extended arrays, whole distance volumes instead of searches."""

import tempfile

import numpy as np

from check_trackers import compare_pixels, peak_offset, ratios, reconstruct, scene

ROOT2, ROOT3, ROOT10 = np.sqrt((2, 3, 10))
DB2 = np.array([1 + ROOT3, 3 + ROOT3, 3 - ROOT3, 1 - ROOT3]) / (4 * ROOT2)  # scaling filters
LONG = np.sqrt(5 + 2 * ROOT10)
DB3 = np.array([1 + ROOT10 + LONG, 5 + ROOT10 + 3 * LONG, 10 - 2 * ROOT10 + 2 * LONG,
                10 - 2 * ROOT10 - 2 * LONG, 5 + ROOT10 - 3 * LONG, 1 + ROOT10 - LONG]) / (16 * ROOT2)


def dwt(values, scaling, mirrored):
    """Approximation and detail along the first axis; the array is mirrored at its ends, or continued by zeros."""
    taps = len(scaling)
    low = scaling[::-1]
    high = low[::-1] * (-1.0) ** np.arange(1, taps + 1)
    at = np.arange(-taps, len(values) + taps)  # half-sample symmetry, as often as needed
    inside = (at >= 0) & (at < len(values))
    at = at % (2 * len(values))
    extended = values[np.where(at < len(values), at, 2 * len(values) - 1 - at)]
    if not mirrored:
        extended[~inside] = 0
    filtered = lambda f: np.apply_along_axis(np.convolve, 0, extended, f)[taps + 1:taps + len(values) + taps - 1:2]
    return filtered(low), filtered(high)


def image_approximation(image):
    return dwt(dwt(image, DB3, True)[0].T, DB3, True)[0].T


def coefficients(vector, cut, level):
    """The vector's db2 transform, coarse first, without the finest bands."""
    n = len(vector)
    levels = max(0, int(np.floor(np.log2(n / 3) + 1e-12)))
    details, approximation = [], vector
    for _ in range(levels):
        approximation, detail = dwt(approximation, DB2, False)
        details.insert(0, detail)
    added = 0 if n > 150 else (0, 0, 1, 2, 2, 2)[level] if n > 50 else 2
    return np.concatenate(([approximation] + details)[:max(1, levels + 1 - cut + added)], axis=0)


def vectors(images, rim, cut, level):
    """[coefficient, y, x] of frames [n, y, x]: z-score over frames and neighbours, then the transform."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (rim, rim), (rim, rim)), mode="symmetric")
    side = range(2 * rim + 1)
    raw = np.stack([frame[i:i + height, j:j + width] for frame in padded for i in side for j in side])
    return coefficients((raw - raw.mean(0)) / raw.std(0), cut, level)


def nearest(s, r, start, reach, limit, rim):
    """Whole displacement (x, y) of the nearest reference vector at each pixel, and the distances of its 3x3 neighbours, NaN
    beyond what is searched."""
    height, width = s.shape[1:]
    y, x = np.mgrid[:height, :width]
    volume = np.full((2 * limit + 3, 2 * limit + 3, height, width), np.inf)
    for uy in range(-limit, limit + 1):
        for ux in range(-limit, limit + 1):
            seen = ((abs(ux - start[0]) <= reach) & (abs(uy - start[1]) <= reach)
                    & (y - uy >= rim) & (y - uy < height - rim) & (x - ux >= rim) & (x - ux < width - rim))
            moved = np.roll(r, (uy, ux), axis=(1, 2))
            volume[uy + limit + 1, ux + limit + 1][seen] = ((s - moved) ** 2).sum(0)[seen]
    best = volume.reshape(-1, height, width).argmin(0)
    by, bx = np.divmod(best, 2 * limit + 3)
    around = np.array([[volume[np.clip(by + i, 0, 2 * limit + 2), np.clip(bx + j, 0, 2 * limit + 2), y, x] for j in (-1, 0, 1)]
                       for i in (-1, 0, 1)])
    found = np.isfinite(volume.min((0, 1)))
    return (np.where(found, bx - limit - 1, start[0]), np.where(found, by - limit - 1, start[1])), around


def track(reference, sample, rim, levels, cut, max_shift, fine):
    """Whole displacement, distances round it, and both sets of vectors, at full resolution."""
    r, s = [reference.astype(float)], [sample.astype(float)]
    for _ in range(levels):
        r.append(np.stack([image_approximation(i) for i in r[-1]]))
        s.append(np.stack([image_approximation(i) for i in s[-1]]))
    start = np.zeros(r[-1].shape[1:], int), np.zeros(r[-1].shape[1:], int)
    for level in range(levels, -1, -1):
        limit = -(-max_shift // 2 ** level)
        vs, vr = vectors(s[level], rim, cut, level), vectors(r[level], rim, cut, level)
        if level < levels:
            y, x = np.mgrid[:vs.shape[1], :vs.shape[2]]
            start = tuple(2 * u[(y + 4) // 2, (x + 4) // 2] for u in start)
        start, around = nearest(vs, vr, start, limit if level == levels else fine, limit, 0 if level else rim)
    return start, around, vs, vr


def pixel(reference, sample, tracked, y, x, window, kind):
    """u_x, u_y, quality, T, D of one pixel, or None."""
    (ux, uy), around, vs, vr = tracked
    ux, uy, distance = ux[y, x], uy[y, x], around[:, :, y, x]
    if not np.isfinite(distance).all():
        return None
    likeness = 1 - distance / ((vs[:, y, x] ** 2).sum() + (vr[:, y - uy, x - ux] ** 2).sum())
    offset = peak_offset(likeness, kind)
    if offset is None or np.abs(offset).max() >= 1:
        return None
    ux, uy = ux + offset[0], uy + offset[1]
    return ux, uy, likeness[1, 1], *ratios(reference, sample, y, x, ux, uy, window)


def compare(folder, method, count, kind, shift, neighbours=5, levels=2, cut=2, max_shift=8, fine=2):
    size = 46, 59
    reference, sample = scene(count, *size, shift)
    maps = reconstruct(folder, "wxst", reference, sample, {"method": method, "neighbours": neighbours, "levels": levels, "cut": cut,
                                                           "max_shift": max_shift, "fine": fine, "peak": kind})
    window = neighbours if method == "wxst" else 0
    tracked = track(reference, sample, window, levels, cut, max_shift, fine)
    # float32 sums of n squares of size 1: 1e-7 sqrt(n); the peak's curvature divides it
    checked, agreed_invalid = compare_pixels(maps, lambda y, x: pixel(reference, sample, tracked, y, x, window, kind), window, 2,
                                             rtol=5e-5, atol=2e-4)
    assert checked > 200, (checked, agreed_invalid)
    print(f"{method} {kind}: N={count}, {tracked[2].shape[0]} coefficients: {checked} pixels agree, "
          f"{agreed_invalid} agreed to be without a peak")


def isometry():
    """The filters are orthonormal and published, and twenty values give the twenty-five coefficients of the paper's default."""
    for scaling in DB2, DB3:
        assert np.isclose(scaling @ scaling, 1) and np.isclose(scaling.sum(), ROOT2) and np.isclose(scaling[2:] @ scaling[:-2], 0)
    assert np.allclose(DB2, [.48296291314453416, .8365163037378079, .2241438680420134, -.12940952255126037])
    assert len(coefficients(np.arange(20.0), 2, 0)) == 25


def main():
    isometry()
    with tempfile.TemporaryDirectory() as folder:
        compare(folder, "wsvt", 12, "taylor", (0.4, -1.3))
        compare(folder, "wsvt", 7, "gauss", (3.2, 2.7), levels=1)
        compare(folder, "wsvt", 60, "taylor", (-1.6, 0.7))
        compare(folder, "wsvt", 15, "taylor", (1.2, 1.9), levels=0, max_shift=4)
        compare(folder, "wxst", 1, "taylor", (-0.8, 0.3), neighbours=4)
        compare(folder, "wxst", 2, "gauss", (0.7, -1.2), neighbours=3, levels=1)


main()
