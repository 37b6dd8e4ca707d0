#!/usr/bin/env python3
"""Holds recon_umpa with `quality: best` to its formulas (pipeline/include/speckled/num_global.h), written out once more with NumPy and
SciPy: equations from the stacks, weights from the field, linear systems solved exactly as sparse matrices.

    check_global.py STAGE_RAW

Both begin at the maps that the windows give (`refine: window`) and take the same number of iterations, which recon_umpa ends when a step is
below 0.003 px. What may differ is how far conjugate gradients came, and that recon_umpa interpolates the reference for cells of neighbouring
pixels, not for each by itself: the difference must be small beside what the refinement changed and beside the error that is left."""
import pathlib
import sys
import tempfile

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from stage import run_stage  # noqa: E402

COUNT, HEIGHT, WIDTH, SHIFT_MAX = 6, 60, 72, 4
STRENGTH = (0.35 + 0.03 / COUNT, 0.35 + 0.03 / COUNT, 0.3 - 0.03 / COUNT)
FLOOR, SIGMA, UNKNOWN = (1e-4, 1e-4, 3e-4), (1.5, 1.5, 1.0), (0.02, 0.02, 0.04)
GAMMA, SEED, WINDOW_ERROR = 3000.0, 0x5EED, 3.5


def blur(image, sigma, radius=None):
    radius = radius or int(np.ceil(3 * sigma))
    weight = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weight /= weight.sum()
    return ndimage.correlate1d(ndimage.correlate1d(image, weight, 0, mode="nearest"), weight, 1, mode="nearest")


def make_stacks(generator):
    """A pattern of plane waves through a sample with a lens, a step in T and a blob that scatters; photon noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    ux, uy = 1.2 * (x - 30) / WIDTH * 2, 1.2 * (y - 25) / HEIGHT * 2 - 0.4
    t = np.where(x + y > 70, 0.8, 0.95)
    d = 1 - 0.4 * np.exp(-((x - 50) ** 2 + (y - 30) ** 2) / 80)
    reference, sample = [], []
    for _ in range(COUNT):
        here, there = np.zeros_like(x), np.zeros_like(x)
        for _ in range(24):
            f, angle, phase = 2 * np.pi / generator.uniform(5, 12), *generator.uniform(0, 2 * np.pi, 2)
            fx, fy = f * np.cos(angle), f * np.sin(angle)
            here += np.cos(fx * x + fy * y + phase)
            there += np.cos(fx * (x - ux) + fy * (y - uy) + phase)
        reference.append(1 + 0.09 * here)
        sample.append(t * (1 + 0.09 * d * there))
    photons = 1500
    noisy = lambda stack: generator.poisson(np.maximum(stack, 0) * photons) / photons
    return noisy(np.array(reference)), noisy(np.array(sample)), (t, t * d, ux, uy)


def run(program, folder, reference, sample, *options):
    maps, about = run_stage(program, folder, "recon_umpa", reference, sample, "errors=1", "quality=best", *options)
    t, d, x, y, _, _, error = maps.astype(float)
    return np.array([t, t * d, x, y]), error, about["iterations"]


def noise(stack):
    """Variance over intensity from sixth differences of blocks of 22 x 22 pixels: the median."""
    kernel, values = np.array([1, -6, 15, -20, 15, -6, 1.0]), []
    for image in stack:
        for top in np.arange(HEIGHT // 22) * (HEIGHT - 22) // max(HEIGHT // 22 - 1, 1):
            for left in np.arange(WIDTH // 22) * (WIDTH - 22) // max(WIDTH // 22 - 1, 1):
                block = image[top:top + 22, left:left + 22]
                rest = ndimage.correlate1d(ndimage.correlate1d(block, kernel, 0), kernel, 1)[3:-3, 3:-3]
                values.append((rest ** 2).sum() / (924.0 ** 2 * block[3:-3, 3:-3].sum()))
    return np.sort(values)[len(values) // 2]


def spline(fraction):
    f, g = fraction, 1 - fraction
    return (np.stack([g ** 3 / 6, 2 / 3 - f * f * (1 - f / 2), 2 / 3 - g * g * (1 - g / 2), f ** 3 / 6]),
            np.stack([-g * g / 2, f * (1.5 * f - 2), g * (2 - 1.5 * g), f * f / 2]))


def cardinal(fraction):
    """Sum of eta^2 and of eta eta' of the spline that interpolates."""
    unit = np.zeros(65)
    unit[32] = 1
    coefficients = ndimage.spline_filter1d(unit, 3)
    value, slope = spline(fraction)
    eta = sum(value[j][..., None] * np.roll(coefficients, 1 - j) for j in range(4))
    eta_slope = sum(slope[j][..., None] * np.roll(coefficients, 1 - j) for j in range(4))
    return (eta ** 2).sum(-1), (eta * eta_slope).sum(-1)


class Equations:
    def __init__(self, reference, sample):
        scale = 1 / reference.mean()
        self.reference, self.sample = reference * scale, sample * scale
        self.noise = noise(self.reference), noise(self.sample)
        smooth = lambda image: ndimage.gaussian_filter(image, 12, mode="constant", truncate=3)
        self.mean = smooth(self.reference.mean(0)) / smooth(np.ones((HEIGHT, WIDTH)))
        self.coefficients = [np.pad(ndimage.spline_filter(image - self.mean, 3, mode="mirror"), 2, mode="reflect")
                             for image in self.reference]

    def at(self, p):
        """Matrix [4][4], gradient [4] and chi^2 of each pixel."""
        t, k, ux, uy = p
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        x, y = columns - ux, rows - uy
        inside = (x >= 0) & (x <= WIDTH - 1) & (y >= 0) & (y <= HEIGHT - 1)
        x, y = np.clip(x, 0, WIDTH - 1), np.clip(y, 0, HEIGHT - 1)
        ix, iy = x.astype(int), y.astype(int)
        (vx, dx), (vy, dy) = spline(x - ix), spline(y - iy)
        right, below = np.minimum(ix + 1, WIDTH - 1), np.minimum(iy + 1, HEIGHT - 1)
        a, b, c, d = self.mean[iy, ix], self.mean[iy, right], self.mean[below, ix], self.mean[below, right]
        fx, fy = x - ix, y - iy
        m = (1 - fy) * ((1 - fx) * a + fx * b) + fy * ((1 - fx) * c + fx * d)
        mx, my = (1 - fy) * (b - a) + fy * (d - c), (1 - fx) * (c - a) + fx * (d - b)
        matrix, gradient, chi2 = np.zeros((HEIGHT, WIDTH, 4, 4)), np.zeros((HEIGHT, WIDTH, 4)), np.zeros((HEIGHT, WIDTH))
        for image, coefficients in zip(self.sample, self.coefficients):
            taps = np.array([[coefficients[iy + 1 + j, ix + 1 + i] for i in range(4)] for j in range(4)])
            q = np.einsum("jyx,iyx,jiyx->yx", vy, vx, taps)
            qx, qy = np.einsum("jyx,iyx,jiyx->yx", vy, dx, taps), np.einsum("jyx,iyx,jiyx->yx", dy, vx, taps)
            jacobian = np.stack([m, q, -(t * mx + k * qx), -(t * my + k * qy)], -1)
            rest = image - t * m - k * q
            matrix += jacobian[..., :, None] * jacobian[..., None, :]
            gradient += jacobian * rest[..., None]
            chi2 += rest ** 2
        (cx, ex), (cy, ey) = cardinal(fx), cardinal(fy)
        of_reference, of_sample = self.noise
        gradient[..., 1] += COUNT * of_reference * k * cx * cy
        gradient[..., 2] -= COUNT * of_reference * k * k * ex * cy
        gradient[..., 3] -= COUNT * of_reference * k * k * cx * ey
        variance = of_sample * np.clip(t, 0.05, 3) + of_reference * np.clip(k, 0, 3) ** 2 * cx * cy
        weight = inside / (variance + 1e-6)
        return matrix * weight[..., None, None], gradient * weight[..., None], chi2 * weight


def stencil(parts, rows, columns):
    """Sparse matrix of a difference defined on a range of pixels: parts (dy, dx, factor)."""
    y, x = (index.ravel() for index in np.mgrid[rows[0]:rows[1], columns[0]:columns[1]])
    entries = [(y * WIDTH + x, (y + dy) * WIDTH + x + dx, np.full(len(y), factor)) for dy, dx, factor in parts]
    row, column, value = (np.concatenate(part) for part in zip(*entries))
    return sparse.csr_matrix((value, (row, column)), (HEIGHT * WIDTH,) * 2)


XX = stencil([(0, -1, 1.0), (0, 0, -2.0), (0, 1, 1.0)], (0, HEIGHT), (1, WIDTH - 1))
YY = stencil([(-1, 0, 1.0), (0, 0, -2.0), (1, 0, 1.0)], (1, HEIGHT - 1), (0, WIDTH))
XY = stencil([(0, 0, 1.0), (0, 1, -1.0), (1, 0, -1.0), (1, 1, 1.0)], (0, HEIGHT - 1), (0, WIDTH - 1))
ALONG = stencil([(0, 1, 0.5), (0, 0, -0.5), (1, 1, 0.5), (1, 0, -0.5)], (0, HEIGHT - 1), (0, WIDTH - 1))
DOWN = stencil([(1, 0, 0.5), (0, 0, -0.5), (1, 1, 0.5), (0, 1, -0.5)], (0, HEIGHT - 1), (0, WIDTH - 1))


def bending(field):
    """Mean-square second difference of each pixel."""
    total = sum(factor * (operator @ field.ravel()) ** 2 for operator, factor in ((XX, 1), (YY, 1), (XY, 2)))
    return total.reshape(HEIGHT, WIDTH) / 4


def coins(which):
    """The signs of the sample of the error: a hash of the pixel."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint32)
    with np.errstate(over="ignore"):
        h = x * np.uint32(0x9E3779B1) ^ (y * np.uint32(0x85EBCA77) + np.uint32(SEED))
        h = (h ^ h >> np.uint32(16)) * np.uint32(0x7FEB352D)
        h = (h ^ h >> np.uint32(15)) * np.uint32(0x846CA68B)
        h = h ^ h >> np.uint32(16)
    return (h >> np.uint32(which) & np.uint32(1)).astype(float) * 2 - 1


def random_side(matrix, priors):
    side = np.zeros((4, HEIGHT * WIDTH))
    for c in range(4):
        weight = priors[min(c, 2)].ravel()
        for operator, factor, bit in ((XX, 1, 12 + c), (YY, 1, c), (XY, 2, 4 + c)):
            side[c] += operator.T @ (np.sqrt(factor * weight) * coins(bit).ravel())
    curl = np.sqrt(GAMMA) * coins(8).ravel()
    side[3] += ALONG.T @ curl
    side[2] -= DOWN.T @ curl
    little = 1e-9 * np.trace(matrix, axis1=2, axis2=3)[..., None, None] + 1e-20
    factor = np.linalg.cholesky(matrix + little * np.eye(4))
    return side + np.einsum("yxij,jyx->iyx", factor, np.array([coins(20 + j) for j in range(4)])).reshape(4, -1)


def system(matrix, priors):
    diagonal = lambda field: sparse.diags(field.ravel())
    blocks = [[diagonal(matrix[..., i, j]) for j in range(4)] for i in range(4)]
    for c in range(4):
        weight = diagonal(priors[min(c, 2)])
        blocks[c][c] = blocks[c][c] + XX.T @ weight @ XX + YY.T @ weight @ YY + 2 * XY.T @ weight @ XY
    blocks[3][3] = blocks[3][3] + GAMMA * ALONG.T @ ALONG
    blocks[2][2] = blocks[2][2] + GAMMA * DOWN.T @ DOWN
    blocks[2][3] = blocks[2][3] - GAMMA * DOWN.T @ ALONG
    blocks[3][2] = blocks[3][2] - GAMMA * ALONG.T @ DOWN
    return sparse.bmat(blocks, "csc")


def typical(field):
    """The 60th percentile of every n-th pixel."""
    picked = field.ravel()[::field.size // 4096 + 1][:4096]
    return np.sort(np.concatenate([picked, np.full(len(picked) // 5, np.inf)]))[(len(picked) + len(picked) // 5) // 2]


def no_data(matrix):
    data = blur(matrix[..., 0, 0], 1.5)
    return data <= 0.1 * typical(data)


def start(equations, p, error):
    """What the start does not know, filled from its neighbours."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = columns - p[2], rows - p[3]
    matrix, _, chi2 = equations.at(p)
    chi2 = blur(chi2, 1.5) / COUNT
    explained = (chi2 <= 8 * max(1, typical(chi2))) & ~no_data(matrix)
    good = explained & (error < 0.4) & (x >= 0) & (x <= WIDTH - 1) & (y >= 0) & (y <= HEIGHT - 1)
    inner = np.zeros((HEIGHT, WIDTH), bool)
    inner[3:-3, 3:-3] = True
    weight = np.where(good, np.where(inner, 1 / (error ** 2 + 0.02 ** 2), 1e-3), 0)
    filled = np.array([blur(weight * field, 5, 15) for field in p]) / blur(weight, 5, 15)
    return np.where(good & inner, p, filled), ~good


def refine(equations, p, error, iterations):
    p, doubt = start(equations, p, error)
    draw = None
    for _ in range(iterations):
        matrix, gradient, chi2 = equations.at(p)
        doubt = doubt if draw is None else no_data(matrix)
        near = ndimage.maximum_filter(doubt, 7, mode="nearest")
        priors = []
        for i, channels in enumerate(([0], [1], [2, 3])):
            bend = blur(np.mean([bending(p[c]) for c in channels], 0), SIGMA[i])
            if draw is None:
                bend = np.where(near, UNKNOWN[i] ** 2, bend)
            else:
                bend = bend + blur(np.mean([bending(draw[c]) for c in channels], 0), 2.5)
            priors.append(STRENGTH[i] / (FLOOR[i] ** 2 + bend))
        chi2 = blur(chi2, 1.5) / COUNT
        bound = 2 * max(1, typical(chi2))
        weight = np.minimum(1, bound / np.maximum(chi2, 1e-9)) * (1 if draw is not None else ~doubt)
        matrix, gradient = matrix * weight[..., None, None], gradient * weight[..., None]
        a = linalg.splu(system(matrix, priors))
        prior_only = system(0 * matrix, priors)
        side = np.moveaxis(gradient, -1, 0).ravel() - prior_only @ p.ravel()
        change = a.solve(side).reshape(4, HEIGHT, WIDTH)
        most = np.where(doubt, 6, 0.7)
        p = p + np.concatenate([change[:2], np.clip(change[2:], -most, most)])
        p[0], p[1] = np.clip(p[0], 0.02, 3), np.clip(p[1], -0.2, 3)
        p[2:] = np.clip(p[2:], -SHIFT_MAX - 0.7, SHIFT_MAX + 0.7)
        draw = a.solve(random_side(matrix, priors).ravel()).reshape(4, HEIGHT, WIDTH)
    return p


def main():
    program = pathlib.Path(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int(np.random.SeedSequence().entropy % 2 ** 32)
    print("seed", seed)
    reference, sample, truth = make_stacks(np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as name:
        start, error, _ = run(program, pathlib.Path(name), reference, sample, "refine=window")
        best, _, iterations = run(program, pathlib.Path(name), reference, sample)
    expected = refine(Equations(reference, sample), start, error / WINDOW_ERROR, iterations)
    print(iterations, "iterations")
    good = True
    rms = lambda field: np.sqrt(np.mean(field[8:-8, 8:-8] ** 2))
    for name, own, formula, begin, true in zip(("T", "K", "ux", "uy"), best, expected, start, truth):
        apart, moved, left = rms(own - formula), rms(own - begin), rms(formula - true)
        print(f"{name}: differs by {apart:.5f}; refinement moved it by {moved:.5f}; error {rms(begin - true):.5f} before, {left:.5f} after")
        good &= apart < 0.1 * moved and apart < 0.15 * left
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
