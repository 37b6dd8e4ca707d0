"""Networks with random weights: the same maps from PyTorch and from the plugin.

    check_networks.py STAGE_RAW ROOT NAME

The PyTorch models are those of plugins/recon_NAME/train/model.py. Weights and statistics of normalisation are random, of a size that makes displacements of some
pixels, as trained ones are: otherwise the warping would hardly be tested."""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch


def randomise(model, generator):
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.7, 1.3, generator=generator)
            module.bias.data.uniform_(-0.2, 0.2, generator=generator)
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, torch.nn.Conv2d) and module.groups == 1:
            fan = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.uniform_(-0.1, 0.1, generator=generator)
        elif isinstance(module, torch.nn.Conv2d):
            module.weight.data.mul_(1 + 0.1 * torch.randn(module.weight.shape, generator=generator))
            module.bias.data.uniform_(-0.1, 0.1, generator=generator)


def run(program, folder, plugin, reference, sample, options):
    count, height, width = reference.shape
    np.concatenate([reference, sample]).astype(np.float32).tofile(folder / "in")
    command = [program, plugin, count, height, width, folder / "in", folder / "out", *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    t, d, x, y = np.fromfile(folder / "out", np.float32).reshape(6, height, width)[:4]
    return {"flow x": x, "flow y": y, "T": t, "D": d}


def compare(title, got, expected, tolerance):
    good = True
    for name, values in expected.items():
        worst = np.abs(got[name] - values).max() / np.abs(values).max()
        passed = bool(worst < tolerance)
        good &= passed
        print(f"{title}: {name} from {values.min():.3g} to {values.max():.3g}: worst {worst:.1e}{'' if passed else '  <-- differs'}")
    return good


def compare_bfloat16(title, program, folder, plugin, stacks, options, expected):
    """Rounding to 8 bits passes through a random network undamped, so the bound is on the mean and wide: a tenth of a map's spread."""
    try:
        got = run(program, folder, plugin, *stacks, options + ["precision=bfloat16"])
    except RuntimeError as refusal:
        print(f"{title}: skipped: {refusal}")
        return True
    spread = {name: np.sqrt(np.mean((got[name] - values) ** 2)) / values.std() for name, values in expected.items()}
    print(f"{title}, bfloat16: root-mean-square difference over spread:", ", ".join(f"{name} {s:.3f}" for name, s in spread.items()))
    return max(spread.values()) < 0.1


def images(generator, count, height, width):
    return 1000 * (1 + 0.2 * generator.standard_normal((2, count, height, width))).astype(np.float32)


def check_espinnet(program, folder, module, convert):
    generator, random = torch.Generator().manual_seed(5), np.random.default_rng(5)
    assert sum(p.numel() for p in module.ESPINNet(True).parameters()) == 4133334
    good = True
    for refiners in (False, True):
        model = module.ESPINNet(refiners).eval()
        randomise(model, generator)
        for name, layer in model.named_modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == 1 and "NetMain" in name:
                layer.weight.data.mul_(0.4)  # T and D stay below the 1.5 at which they are cut
        path = folder / "weights.h5"
        convert.convert(model.state_dict(), path, refiners, "random")
        for count, height, width, fit in ((20, 128, 192, "pad"), (23, 64, 64, "resize"), (7, 60, 150, "resize"), (3, 70, 65, "pad")):
            reference, sample = images(random, count, height, width)
            expected = module.estimate(model, reference, sample, fit)
            options = [f"weights={path}", f"fit={fit}"]
            title = f"espinnet{' with refiners' if refiners else ''}, {count} frames of {height} x {width}, {fit}"
            for backend in ("auto", "c") if count == 23 else ("auto",):
                got = run(program, folder, "recon_espinnet", reference, sample, options + [f"backend={backend}"])
                good &= compare(f"{title}, {backend}", got, expected, 1e-4)
            if count == 20:
                good &= compare_bfloat16(title, program, folder, "recon_espinnet", (reference, sample), options, expected)
    return good


def check_spinnet(program, folder, module, convert):
    generator, random = torch.Generator().manual_seed(6), np.random.default_rng(6)
    good = True
    for levels, refiners, radius, height, width, fit in ((5, True, 3, 128, 192, "pad"), (5, False, 4, 100, 150, "resize"),
                                                         (4, True, 3, 64, 64, "pad"), (4, False, 3, 129, 65, "pad")):
        model = module.SPINNet(levels, refiners, radius).eval()
        assert 3.8e6 < sum(p.numel() for p in model.parameters()) < 5.5e6
        randomise(model, generator)
        for last in [stack[-1] for name, stack in model.named_modules() if isinstance(stack, torch.nn.Sequential) and len(stack) == 6]:
            last.weight.data.mul_(0.2)
        path = folder / "weights.h5"
        convert.convert(model.state_dict(), path, "random")
        reference, sample = images(random, 2, height, width)
        expected = module.estimate(model, reference, sample, fit)
        for backend in ("auto", "c") if height == 64 else ("auto",):
            options = [f"weights={path}", f"fit={fit}", "bulk_shift=0", f"backend={backend}"]
            got = run(program, folder, "recon_spinnet", reference, sample, options)
            title = f"spinnet 6-{7 - levels}{' with refiners' if refiners else ''}, range {radius}, {height} x {width}, {fit}, {backend}"
            good &= compare(title, got, expected, 1e-4)
    return good


def main():
    program, root, name = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    sys.path.insert(0, str(root / "plugins" / f"recon_{name}" / "train"))
    import convert
    import model
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        return 0 if globals()[f"check_{name}"](program, pathlib.Path(folder), model, convert) else 1


if __name__ == "__main__":
    sys.exit(main())
