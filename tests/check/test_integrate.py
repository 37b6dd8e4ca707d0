"""Phase integration against double-precision NumPy and SciPy versions, on fields with noise and curl and on awkward sizes.

SPECKLED_INTEGRATE_RAW names the program under test."""
import os
import subprocess

import numpy as np
import pytest

from integration_methods import METHODS, weighted_least_squares

SIZES = [(32, 48), (61, 45), (97, 128), (64, 103), (206, 71)]


def integrate(method, ux, uy, valid, folder):
    source, target = folder / "slopes.raw", folder / "phase.raw"
    source.write_bytes(ux.tobytes() + uy.tobytes() + valid.tobytes())
    height, width = ux.shape
    subprocess.run([os.environ["SPECKLED_INTEGRATE_RAW"], method, str(height), str(width), source, target, "2"], check=True)
    return np.fromfile(target, np.float32).reshape(height, width)


def field(height, width, seed):
    """Slopes of a smooth surface plus noise, which is no gradient."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ux = 0.4 * np.cos(0.11 * x) * np.sin(0.07 * y) + 0.01 * x + 0.2 + 0.1 * random.normal(size=x.shape)
    uy = 0.6 * np.sin(0.05 * x + 0.09 * y) - 0.02 * y + 0.1 * random.normal(size=x.shape)
    return ux.astype(np.float32), uy.astype(np.float32)


def error(phase, expected, valid=None):
    """RMS difference, means removed, over peak-to-valley."""
    chosen = np.ones(phase.shape, bool) if valid is None else valid.astype(bool)
    difference = (phase - expected)[chosen]
    return difference.std() / np.ptp(expected[chosen])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_method(method, size, tmp_path):
    ux, uy = field(*size, seed=size[0])
    phase = integrate(method, ux, uy, np.ones(size, np.uint8), tmp_path)
    expected = METHODS[method](ux.astype(float), uy.astype(float))
    assert error(phase, expected) < 1e-6


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_masked(size, tmp_path):
    ux, uy = field(*size, seed=size[1])
    valid = np.ones(size, np.uint8)
    valid[:4] = valid[:, -3:] = 0
    valid[10:20, 12:25] = 0
    ux[valid == 0] = np.nan
    phase = integrate("masked", ux, uy, valid, tmp_path)
    expected = weighted_least_squares(np.where(valid, ux, 0).astype(float), uy.astype(float), valid)
    assert error(phase, expected, valid) < 1e-5
    assert abs(phase[valid == 1].mean()) < 1e-4
