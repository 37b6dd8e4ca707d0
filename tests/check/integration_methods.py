"""The methods of post_integrate in double precision with NumPy and SciPy, written from the papers."""
import numpy as np
import scipy.fft
import scipy.sparse
import scipy.sparse.linalg


def least_squares(gx, gy, workers=None):
    """Southwell's slopes, normal equations by two-dimensional cosine transform."""
    height, width = gx.shape
    right_hand_side = np.zeros_like(gx)
    step = (gx[:, 1:] + gx[:, :-1]) / 2
    right_hand_side[:, :-1] += step
    right_hand_side[:, 1:] -= step
    step = (gy[1:] + gy[:-1]) / 2
    right_hand_side[:-1] += step
    right_hand_side[1:] -= step
    kx = 2 * np.cos(np.pi * np.arange(width) / width) - 2
    ky = 2 * np.cos(np.pi * np.arange(height) / height) - 2
    eigenvalues = (kx[None, :] + ky[:, None]).astype(gx.dtype)
    eigenvalues[0, 0] = 1
    spectrum = scipy.fft.dctn(right_hand_side, workers=workers) / eigenvalues
    spectrum[0, 0] = 0
    return scipy.fft.idctn(spectrum, workers=workers)


def frankot_chellappa(gx, gy, workers=None):
    height, width = gx.shape
    wx = 2 * np.pi * scipy.fft.fftfreq(width)[None, :].astype(gx.dtype)
    wy = 2 * np.pi * scipy.fft.fftfreq(height)[:, None].astype(gx.dtype)
    square = wx**2 + wy**2
    square[0, 0] = 1
    spectrum = -1j * (wx * scipy.fft.fft2(gx, workers=workers) + wy * scipy.fft.fft2(gy, workers=workers)) / square
    spectrum[0, 0] = 0
    return scipy.fft.ifft2(spectrum, workers=workers).real


def flatten_edges(gx, gy):
    """Splits off the affine gradient field whose slopes match those across the edges; returns its integral too."""
    height, width = gx.shape
    x = np.arange(width) - (width - 1) / 2
    y = np.arange(height) - (height - 1) / 2
    sides, ends = (gx[:, 0] + gx[:, -1]) / 2, (gy[0] + gy[-1]) / 2
    a, d = sides.mean(), ends.mean()
    b = (gx[:, -1] - gx[:, 0]).mean() / (width - 1)
    f = (gy[-1] - gy[0]).mean() / (height - 1)
    c = ((sides * y).sum() / (y**2).sum() + (ends * x).sum() / (x**2).sum()) / 2
    x, y = np.meshgrid(x, y)
    integral = a * x + b * x**2 / 2 + c * x * y + d * y + f * y**2 / 2
    return gx - (a + b * x + c * y), gy - (d + c * x + f * y), integral


def frankot_chellappa_antisymmetric(gx, gy, workers=None):
    """Fourier transforms of the field on four times the area, as Bon et al. describe it."""
    height, width = gx.shape
    gx, gy, integral = flatten_edges(gx, gy)
    gx = np.hstack([gx, -gx[:, ::-1]])
    gy = np.hstack([gy, gy[:, ::-1]])
    gx = np.vstack([gx, gx[::-1]])
    gy = np.vstack([gy, -gy[::-1]])
    return frankot_chellappa(gx, gy, workers)[:height, :width] + integral


def weighted_least_squares(gx, gy, valid):
    """Pairs of valid neighbours only, solved directly; the constant is settled by a tiny weight on phi itself."""
    height, width = gx.shape
    number = np.arange(height * width).reshape(height, width)
    first, second, step = [], [], []
    for one, other, slope in ((np.s_[:, :-1], np.s_[:, 1:], gx), (np.s_[:-1], np.s_[1:], gy)):
        pair = (valid[one] & valid[other]).astype(bool)
        first.append(number[one][pair])
        second.append(number[other][pair])
        step.append((slope[one][pair] + slope[other][pair]) / 2)
    first, second, step = (np.concatenate(part) for part in (first, second, step))
    row = np.arange(len(step))
    ones = np.ones(len(step))
    difference = scipy.sparse.coo_matrix((np.concatenate([ones, -ones]), (np.tile(row, 2), np.concatenate([second, first]))),
                                         shape=(len(step), height * width)).tocsr()
    normal = difference.T @ difference + 1e-12 * scipy.sparse.identity(height * width)
    return scipy.sparse.linalg.spsolve(normal.tocsc(), difference.T @ step).reshape(height, width)


METHODS = {
    "dct": least_squares,
    "fc_antisymmetric": frankot_chellappa_antisymmetric,
    "fc": frankot_chellappa,
}
