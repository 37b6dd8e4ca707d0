"""Code that the pages show does what they say."""

import re
from pathlib import Path

import numpy

ROOT = Path(__file__).parents[2]


def code(page, heading):
    section = (ROOT / page).read_text().split(f"## {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]


def test_modes_for_a_loop():
    """A surface of known modes, with holes and on a frame that is no square, is taken apart into them; each has unit root mean square."""
    names = {"numpy": numpy}
    exec(code("plugins/post_integrate/README.md", "Modes for a loop"), names)
    side = 401
    y, x = numpy.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    r, angle = numpy.hypot(x, y), numpy.arctan2(y, x)
    zernike = {"piston": r**0, "tilt x": 2 * r * numpy.cos(angle), "tilt y": 2 * r * numpy.sin(angle), "defocus": 3**.5 * (2 * r**2 - 1),
               "astigmatism 0": 6**.5 * r**2 * numpy.cos(2 * angle), "astigmatism 45": 6**.5 * r**2 * numpy.sin(2 * angle)}
    for mode in zernike.values():
        assert abs((mode[r <= 1]**2).mean() - 1) < 0.01
    phase, valid = numpy.full((side, side + 60), 7.0), numpy.ones((side, side + 60), "u1")
    wanted = dict(zip(zernike, (0.1, -0.4, 0.7, 1.5, -0.2, 0.3)))
    phase[:, :side] = sum(wanted[name] * mode for name, mode in zernike.items())
    phase[150:170, 200:260], valid[150:170, 200:260] = numpy.nan, 0
    found = names["zernike"](phase, valid)
    assert list(found) == list(wanted) and all(abs(found[name] - value) < 1e-9 for name, value in wanted.items())
