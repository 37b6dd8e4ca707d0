"""Simulated stacks to train on, made as they are needed: modulator, sample, propagation, detector, photons.

A scene is a torus of `size + MARGIN` pixels at two samples a pixel, so that nothing is cut off and no edge needs care; the view is its
middle. Two image models take turns. `warp` makes the sample image exactly T (m + D (I_r(x - u) - m)), I_r the image of the modulator.
`wave` propagates modulator and sample together over the distance; D then mixes the image with that of the sample alone, whose intensity is
the true T, and u is that of the ray that arrives at the pixel (see plugins/source_simulate, whose code this is independent of)."""
import dataclasses
import difflib
import math

import torch
import torch.nn.functional as F

OVERSAMPLE = 2
MARGIN = 32  # px, both sides together
REACH = 14  # px round the view that displaced rays may come from
KINDS = ("mask", "sandpaper", "grating", "speckle")
FACET_SEED = 1 << 50  # facets have random numbers of their own: the scenes without them stay what they are


@dataclasses.dataclass
class Ranges:
    """What scenes are drawn from; pairs are least and most, `log` ones are drawn evenly on a logarithmic scale."""
    frames: tuple = (1, 20)
    kinds: tuple = (("mask", 0.36), ("sandpaper", 0.40), ("grating", 0.14), ("speckle", 0.10))
    mask_pitch: tuple = (3, 11)  # px
    grating_pitch: tuple = (5, 18)  # px
    grain: tuple = (0.8, 3.5)  # px, log: the finer of two sizes of grain
    fresnel: tuple = (20, 250)  # px^2, log: wavelength x distance / pixel^2
    blur: tuple = (0.6, 1.6)  # px, of the detector's optics
    contrast: tuple = (0.03, 0.45)  # standard deviation over mean of the reference
    shift: float = 10.0  # px, largest displacement
    edge: tuple = (0.7, 3.0)  # px, log: smoothing of the sample's phase; an edge is about twice as wide
    wave_edge: tuple = (1.5, 8.0)  # the same in scenes of wave optics, where sharp edges bend rays across each other
    transmission: float = 0.2  # least
    dark_field: float = 0.2  # least
    photons: tuple = (100, 50000)  # log, a pixel and frame
    wave: float = 0.3  # share of scenes by wave optics
    step: tuple = (1.5, 10)  # px, log: between scan positions
    facets: float = 0.0  # share of image-model scenes whose displacement is constant between edges

    @classmethod
    def of(cls, values):
        """From a dictionary, as a file of ranges holds it. ValueError: what is wrong with it, in a line."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                raise ValueError(f"{name} is no range" + (f"; {near[0]} is" if near else f": {', '.join(names)}"))
        ranges = cls(**values)
        for field in dataclasses.fields(cls):
            check_range(field.name, getattr(ranges, field.name), field.default)
        return ranges


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def is_pair(value):
    return isinstance(value, (list, tuple)) and len(value) == 2


def check_range(name, value, default):
    if name == "kinds":
        good = isinstance(value, (list, tuple)) and all(is_pair(kind) and kind[0] in KINDS and is_number(kind[1]) for kind in value)
        if not good or not sum(kind[1] for kind in value):
            raise ValueError(f"kinds is a list of pairs [name, share], name one of {', '.join(KINDS)}; not {value}")
    elif is_pair(default):
        if not is_pair(value) or not all(map(is_number, value)) or not 0 < value[0] <= value[1]:
            raise ValueError(f"{name} is a pair [least, most], such as {list(default)}; not {value}")
    elif not is_number(value):
        raise ValueError(f"{name} is a number, such as {default}; not {value}")


@dataclasses.dataclass
class Batch:
    reference: torch.Tensor  # [batch, frames, y, x]
    sample: torch.Tensor
    u: torch.Tensor  # [batch, 2, y, x]: x, y
    t: torch.Tensor  # [batch, 1, y, x]
    d: torch.Tensor


class Draw:
    """Random numbers of one batch, from a generator of its own, so that a batch follows from its seed alone."""

    def __init__(self, seed, device):
        self.generator = torch.Generator(device="cpu").manual_seed(seed)
        self.device = device

    def uniform(self, low, high, *shape):
        return (low + (high - low) * torch.rand(shape, generator=self.generator)).to(self.device)

    def log(self, low, high, *shape):
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator).to(self.device)

    def chance(self, share, *shape):
        return self.uniform(0, 1, *shape) < share

    def choice(self, weights):
        return int(torch.multinomial(torch.tensor(weights), 1, generator=self.generator))

    def poisson(self, mean):
        """By the normal law above 60, where the two are alike; photons of single frames below."""
        noisy = mean + mean.clamp_min(0).sqrt() * self.normal(*mean.shape)
        few = torch.poisson(mean.clamp(0, 60).cpu(), generator=self.generator).to(self.device)
        return torch.where(mean > 60, noisy, few)


def column(values):
    return values.view(-1, 1, 1)


def frequency_square(side, device):
    f = torch.fft.fftfreq(side, 1 / OVERSAMPLE, device=device)
    return f[:, None].square() + f[None].square()  # (cycles/px)^2


def filtered(image, response):
    """Real images through a response that is symmetric in frequency."""
    half = image.shape[-1] // 2 + 1
    return torch.fft.irfft2(torch.fft.rfft2(image) * response[..., :half], s=image.shape[-2:])


def gaussian_response(square, sigma):
    return torch.exp(-2 * math.pi ** 2 * column(sigma).square() * square)


def detector_response(square, sigma):
    side = square.shape[-1]
    aperture = torch.sinc(torch.fft.fftfreq(side, 1 / OVERSAMPLE, device=square.device))
    return gaussian_response(square, sigma) * aperture[:, None] * aperture[None]


def fresnel(square, length):
    """Transfer function of free space; `length` = wavelength x distance / pixel^2."""
    return torch.polar(torch.ones_like(square), -math.pi * column(length) * square)


def unit(image):
    image = image - image.mean((-2, -1), keepdim=True)
    return image / (image.std((-2, -1), keepdim=True) + 1e-6)


class Modulator:
    """Complex transmission of mask, sandpaper or grating; `speckle` has only the intensity of a random pattern."""

    def __init__(self, draw, ranges, kind, side, square):
        self.period = math.inf
        self.intensity = None
        if kind in ("mask", "grating"):
            self.field = self.cells(draw, ranges, kind, side, square)
        elif kind == "sandpaper":
            self.field = self.grains(draw, ranges, side, square)
        else:
            pattern = unit(filtered(draw.normal(side, side), gaussian_response(square, draw.log(0.9, 3, 1))[0]))
            self.intensity = torch.exp(draw.uniform(0.1, 0.35, 1) * pattern)
            self.field = self.intensity.sqrt() + 0j

    def cells(self, draw, ranges, kind, side, square):
        pixels = side / OVERSAMPLE
        if kind == "mask":
            count = max(4, round(pixels / float(draw.uniform(*ranges.mask_pitch, 1))))
            cells = draw.chance(float(draw.uniform(0.35, 0.65, 1)), count, count).float()
        else:
            count = max(4, 2 * round(pixels / float(draw.uniform(*ranges.grating_pitch, 1)) / 2))
            i = torch.arange(count, device=draw.device) % 2
            cells = ((i[:, None] + i[None]) % 2 if draw.chance(0.7, 1) else i[:, None] * i[None]).float()
            self.period = 2 * pixels / count
        cells = F.interpolate(cells[None, None], size=(side, side), mode="nearest")[0, 0]
        cells = filtered(cells, gaussian_response(square, draw.uniform(0.25, 0.6, 1))[0])
        amplitude = (1 - (1 - draw.uniform(0.7, 1, 1)) * cells).clamp_min(0.05).sqrt()
        return torch.polar(amplitude, -draw.log(0.15, 2, 1) * cells)

    def grains(self, draw, ranges, side, square):
        fine = draw.log(*ranges.grain, 1)
        coarse = fine * draw.uniform(1.8, 4, 1)
        field = unit(filtered(draw.normal(side, side), gaussian_response(square, fine)[0]))
        field = unit(field + draw.uniform(0.3, 1.5, 1) * unit(filtered(draw.normal(side, side), gaussian_response(square, coarse)[0])))
        amplitude = torch.exp(-0.02 * draw.uniform(0, 2, 1) * (field - field.min()))
        return torch.polar(amplitude, draw.log(0.1, 1.2, 1) * field)


def propagate(field, transfer):
    wave = torch.fft.ifft2(torch.fft.fft2(field) * transfer)
    return wave.real.square() + wave.imag.square()


def contrast_gain(draw, ranges, image):
    """By how much the image's deviation from its mean must be stretched to lie in the range of contrasts."""
    contrast = image.std((-2, -1)) / image.mean((-2, -1))
    low = ranges.contrast[0] / contrast * draw.uniform(1, 2, len(contrast))
    return torch.where(contrast < ranges.contrast[0], low, (ranges.contrast[1] / contrast).clamp_max(1))


def erf_step(distance, width):
    return 0.5 * (1 + torch.erf(distance / (math.sqrt(2) * width)))


def shapes(draw, side, batch, count):
    """Signed distances (px, positive inside) of discs, ellipses, boxes and bands on the torus: [batch, count, side, side]."""
    size = side / OVERSAMPLE
    line = torch.arange(side, device=draw.device).float() / OVERSAMPLE
    make = lambda low, high: draw.uniform(low, high, batch, count, 1, 1)
    wrapped = lambda offset: torch.remainder(offset + size / 2, size) - size / 2
    y, x = wrapped(line.view(1, 1, -1, 1) - make(0, size)), wrapped(line.view(1, 1, 1, -1) - make(0, size))
    angle, kind = make(0, 2 * math.pi), make(0, 1)
    radius = draw.log(5, size * 0.45, batch, count, 1, 1)
    a, b = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    ellipse = radius - (a.square() + (b * make(0.6, 1.6)).square() + 1e-6).sqrt()
    box = torch.minimum(radius - a.abs(), radius * make(0.3, 1.5) - b.abs())
    upright = torch.where(make(0, 1) < 0.5, x, y)  # a band along an axis closes on itself
    return torch.where(kind < 0.45, ellipse, torch.where(kind < 0.75, box, radius * 0.7 - upright.abs()))


def power_noise(draw, square, batch, low, slope, cut):
    """Random fields of unit variance with the spectrum of natural shapes: flat below 1/low, falling with `slope`, none above 1/cut."""
    amplitude = (square + 1 / column(low).square()) ** (-column(slope) / 2) * torch.exp(-0.5 * square * (2 * math.pi * column(cut)).square())
    return unit(filtered(draw.normal(batch, *square.shape), amplitude))


class Sample:
    """Displacement potential, transmission and dark-field of a batch, at two samples a pixel."""

    def __init__(self, draw, ranges, square, batch, most, wave):
        side, kinds = square.shape[-1], 4
        self.distance = shapes(draw, side, batch, kinds)
        use = draw.chance(0.6, batch, kinds, 1, 1)
        round_ones = (self.distance.clamp_min(0) / 40).sqrt()  # thickness of a fibre or sphere near its edge
        profile = torch.where(draw.chance(0.5, batch, kinds, 1, 1), erf_step(self.distance, 1.0), round_ones)
        weight = draw.uniform(-1, 1, batch, kinds, 1, 1) * use * draw.chance(0.75, batch, 1, 1, 1)
        smooth = power_noise(draw, square, batch, draw.log(20, 120, batch), draw.uniform(2.2, 3.6, batch), draw.uniform(1, 4, batch))
        amount = column(draw.uniform(0, 0.5, batch) * draw.chance(0.8, batch))
        potential = (weight * profile).sum(1) + amount * smooth
        edge = torch.where(wave, draw.log(*ranges.wave_edge, batch), draw.log(*ranges.edge, batch))
        self.potential = filtered(potential, gaussian_response(square, edge))
        u = self.slope(square)
        scale = column(most * draw.log(0.2, 1, batch)) / (u.square().sum(1).sqrt().amax((-2, -1)).view(-1, 1, 1) + 1e-6)
        bend = torch.stack([u.diff(dim=-1).abs().amax((1, 2, 3)), u.diff(dim=-2).abs().amax((1, 2, 3))]).amax(0) * OVERSAMPLE
        limit = column(draw.log(0.1, 0.7, batch) / (bend + 1e-6))  # rays must not cross
        scale = torch.where(column(wave), torch.minimum(scale, limit), scale)
        self.potential, self.u = self.potential * scale, u * scale[:, None]
        self.t = self.contrast_map(draw, ranges.transmission, square, batch)
        self.d = self.contrast_map(draw, ranges.dark_field, square, batch)

    def slope(self, square):
        """Gradient by Fourier transform, x before y."""
        f = torch.fft.fftfreq(square.shape[-1], 1 / OVERSAMPLE, device=square.device)
        spectrum = torch.fft.fft2(self.potential) * 2j * math.pi
        return torch.stack([torch.fft.ifft2(spectrum * f).real, torch.fft.ifft2(spectrum * f[:, None]).real], 1)

    def contrast_map(self, draw, least, square, batch):
        """1 where nothing is, down to a least value drawn for each scene."""
        side, own = square.shape[-1], 3
        distance = torch.cat([self.distance, shapes(draw, side, batch, own)], 1)
        count = distance.shape[1]
        weight = draw.uniform(0.2, 0.7, batch, count, 1, 1) * draw.chance(0.45, batch, count, 1, 1)
        drop = (weight * erf_step(distance, draw.log(0.7, 3, batch, 1, 1, 1))).sum(1)
        ones = lambda value: torch.full((batch,), value, device=draw.device)
        texture = power_noise(draw, square, batch, ones(60.0), ones(2.1), ones(1.3))
        drop = drop * (1 + column(draw.uniform(0, 0.4, batch)) * texture)
        clouds = 0.3 + 0.2 * power_noise(draw, square, batch, ones(80.0), ones(2.5), ones(2.0))
        drop = drop + clouds * column(draw.chance(0.3, batch))
        low = column(draw.uniform(least, 0.95, batch))
        return 1 - (1 - low) * drop.clamp(0, 1) * column(~draw.chance(0.15, batch))


def facets(draw, ranges, distance, most):
    """Displacement of prisms, constant inside each shape and outside, with edges as sharp as those of phase: [batch, 2, side, side]."""
    batch, count = distance.shape[:2]
    edge = draw.log(*ranges.edge, batch, 1, 1, 1)
    turn = draw.normal(batch, 2, count, 1, 1) * draw.chance(0.7, batch, 1, count, 1, 1)
    u = (turn * erf_step(distance, edge)[:, None]).sum(2)
    scale = column(most * draw.log(0.05, 1, batch))[:, None]
    return u * scale / (u.square().sum(1).sqrt().amax((-2, -1)).view(-1, 1, 1, 1) + 1e-6)


def affine_part(draw, ranges, size, batch, most):
    """Displacement linear in position (lenses, tilts, drift): [batch, 2, size, size]."""
    line = torch.arange(size, device=draw.device).float() / size - 0.5
    strength = draw.uniform(-1, 1, batch, 1, 1) * column(most * 0.5 * draw.chance(0.5, batch))
    aspect = draw.uniform(0.5, 1, batch, 1, 1)
    ramp = torch.stack([(strength * line.view(1, 1, -1)).expand(batch, size, size),
                        (strength * aspect * line.view(1, -1, 1)).expand(batch, size, size)], 1)
    level = torch.tensor([0.0, 0.2, 0.5], device=draw.device)[(draw.uniform(0, 3, batch)).long().clamp_max(2)]
    return ramp + draw.uniform(-1, 1, batch, 2, 1, 1) * (most * level).view(-1, 1, 1, 1)


def scan(draw, ranges, batch, frames):
    """Scan positions in grid samples [batch, frames, 2]: random walk, square grid, or a slanted line."""
    step = draw.log(*ranges.step, batch, 1, 1)
    index = torch.arange(frames, device=draw.device)
    side = math.ceil(math.sqrt(frames))
    walk = draw.normal(batch, frames, 2).cumsum(1)
    grid = torch.stack([index // side, index % side], 1).float().expand(batch, -1, -1)
    slanted = (index[:, None] * torch.tensor([0.7, 0.6], device=draw.device)).expand(batch, -1, -1)
    kind = draw.uniform(0, 1, batch, 1, 1)
    return (torch.where(kind < 0.4, walk, torch.where(kind < 0.7, grid, slanted)) * step * OVERSAMPLE).round().long()


def moved(image, offsets, first, count, stride=1):
    """Cuts image(x - offset) for all scan positions: [batch, frames, count, count]; wraps round."""
    side = image.shape[-1]
    line = first + stride * torch.arange(count, device=image.device)
    y = torch.remainder(line - offsets[..., :1], side)
    x = torch.remainder(line - offsets[..., 1:], side)
    batch = torch.arange(len(image), device=image.device).view(-1, 1, 1, 1)
    return image[batch, y[..., :, None], x[..., None, :]]


def sampled(image, u, first, mode):
    """image(x - u) at the pixels of the view; `image` covers it and REACH px more on each side."""
    size, side = u.shape[-1], image.shape[-1]
    line = torch.arange(size, device=u.device).float()
    x = OVERSAMPLE * (line.view(1, 1, -1) + first - u[:, 0])
    y = OVERSAMPLE * (line.view(1, -1, 1) + first - u[:, 1])
    grid = torch.stack([x, y], -1) * 2 / (side - 1) - 1
    return F.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=True)


def view_of(maps, size):
    first = MARGIN // 2 * OVERSAMPLE
    return maps[..., first:first + OVERSAMPLE * size:OVERSAMPLE, first:first + OVERSAMPLE * size:OVERSAMPLE]


def arrival(u, size):
    """Displacement of the ray that arrives at each pixel of the view: u(xi) where xi + u(xi) = x."""
    side = OVERSAMPLE * (size + 2 * REACH)
    first = (MARGIN // 2 - REACH) * OVERSAMPLE
    around = u[..., first:first + side, first:first + side]
    found = view_of(u, size)
    for _ in range(20):
        found = sampled(around, found, REACH, "bilinear")
    return found


def warp_images(scene, size, u):
    """Reference and sample of the image model, without noise."""
    first, side = (MARGIN // 2 - REACH) * OVERSAMPLE, OVERSAMPLE * (size + 2 * REACH)
    frames = moved(scene["pattern"], scene["offsets"], first, side)
    reference = frames[..., REACH * OVERSAMPLE:(REACH + size) * OVERSAMPLE:OVERSAMPLE, REACH * OVERSAMPLE:(REACH + size) * OVERSAMPLE:OVERSAMPLE]
    envelope = sampled(moved(scene["envelope"], scene["offsets"], first, side), u, REACH, "bilinear")
    pattern = sampled(frames, u, REACH, "bicubic")
    return reference, scene["t"] * (envelope + scene["d"] * (pattern - envelope))


def wave_images(scene, size):
    """The same by propagating modulator and sample together; also returns the true transmission."""
    first, side = MARGIN // 2 * OVERSAMPLE, scene["pattern"].shape[-1]
    reference = moved(scene["pattern"], scene["offsets"], first, size, OVERSAMPLE)
    length = scene["length"]
    exit_wave = torch.polar(scene["t_full"].sqrt(), 2 * math.pi * scene["potential"] / column(length))
    own = filtered(propagate(exit_wave, scene["transfer"]), scene["detector"])
    field = moved(scene["field"], scene["offsets"], 0, side) * exit_wave[:, None]
    image = filtered(propagate(field, scene["transfer"][:, None]), scene["detector"][:, None])
    image, own = view_of(image, size) / scene["mean"].view(-1, 1, 1, 1), view_of(own, size)[:, None]
    image = own + (image - own) * scene["gain"].view(-1, 1, 1, 1)
    return reference, own + scene["d"] * (image - own), own


def expose(draw, ranges, reference, sample):
    batch = len(reference)
    contrast = reference[:, 0].flatten(1).std(1)
    photons = torch.maximum(draw.log(*ranges.photons, batch), (draw.uniform(1.5, 4, batch) / contrast).square())
    photons = photons.clamp_max(ranges.photons[1]).view(-1, 1, 1, 1)
    read = draw.uniform(0, 0.5, batch).view(-1, 1, 1, 1) / photons.sqrt()
    return [draw.poisson(f.clamp_min(0) * photons) / photons + read * draw.normal(*f.shape) for f in (reference, sample)]


def pattern_of(draw, ranges, batch, square, length, blur):
    """Modulator fields of a batch, their images (mean 1, contrast in range), and the largest displacement each kind allows."""
    names, weights = zip(*ranges.kinds)
    made = [Modulator(draw, ranges, names[draw.choice(weights)], square.shape[-1], square) for _ in range(batch)]
    field = torch.stack([m.field for m in made])
    image = propagate(field, fresnel(square, length))
    for k, m in enumerate(made):
        if m.intensity is not None:
            image[k] = m.intensity
    image = filtered(image, detector_response(square, blur))
    mean = image.mean((-2, -1))
    image = image / column(mean)
    gain = contrast_gain(draw, ranges, image)
    image = 1 + (image - 1) * column(gain)
    most = torch.tensor([min(ranges.shift, 0.15 * m.period) for m in made], device=draw.device)
    coherent = torch.tensor([m.intensity is None for m in made], device=draw.device)
    return field, image, mean, gain, most, coherent


def draw_batch(seed, batch, size, frames, ranges=None, device="cpu"):
    """`batch` scenes of size x size pixels and `frames` scan positions. The same seed gives the same scenes on any device."""
    ranges = ranges or Ranges()
    draw = Draw(seed, device)
    square = frequency_square(OVERSAMPLE * (size + MARGIN), device)
    length, blur = draw.log(*ranges.fresnel, batch), draw.uniform(*ranges.blur, batch)
    field, image, mean, gain, most, coherent = pattern_of(draw, ranges, batch, square, length, blur)
    wave = draw.chance(ranges.wave, batch) & coherent
    usual = draw.chance(0.8, batch)
    most = torch.minimum(most, torch.where(usual, draw.log(0.4, 5, batch), draw.uniform(4, 10, batch)))
    made = Sample(draw, ranges, square, batch, most, wave)
    own = Draw(seed + FACET_SEED, device)
    flat = own.chance(ranges.facets, batch) & ~wave
    if flat.any():
        made.u = torch.where(flat.view(-1, 1, 1, 1), facets(own, ranges, made.distance, most), made.u)
    u = view_of(made.u, size) + affine_part(draw, ranges, size, batch, most)
    u = u * (ranges.shift / u.square().sum(1).sqrt().amax((1, 2)).clamp_min(ranges.shift)).view(-1, 1, 1, 1)
    scene = {"pattern": image, "envelope": filtered(image, gaussian_response(square, draw.uniform(8, 16, batch))), "field": field,
             "mean": mean, "gain": gain, "length": length, "transfer": fresnel(square, length), "potential": made.potential,
             "detector": detector_response(square, blur), "offsets": scan(draw, ranges, batch, frames), "t_full": made.t,
             "t": view_of(made.t, size)[:, None], "d": view_of(made.d, size)[:, None]}
    reference, sample = warp_images(scene, size, u)
    t = scene["t"].clone()
    if wave.any():
        part = {name: value[wave] for name, value in scene.items()}
        reference[wave], sample[wave], t[wave] = wave_images(part, size)
        u[wave] = arrival(made.u[wave], size)
    reference, sample = expose(draw, ranges, reference.clamp_min(0.02), sample)
    return Batch(reference, sample, u, t, scene["d"])
