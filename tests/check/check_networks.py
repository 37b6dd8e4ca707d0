"""Networks with random weights: the same maps from PyTorch and from the plugin.

    check_networks.py STAGE_RAW ROOT NAME

The PyTorch models are those of plugins/recon_NAME/train/model.py. Weights and statistics of normalisation are random, of a size that makes displacements of some
pixels, as trained ones are: otherwise the warping would hardly be tested."""

import json
import pathlib
import sys
import tempfile

import h5py
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from stage import run_stage  # noqa: E402


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
    (t, d, x, y, *_), _ = run_stage(program, folder, plugin, reference, sample, *options)
    return {"flow x": x, "flow y": y, "T": t, "D": d}


def compare(title, got, expected):
    """Each side adds the up to 9 x 192 products of a value in an order of its own: 40 roundings of 6e-8, 2.4e-6 of it; through some 40 layers
    that neither damp nor enlarge 1.5e-5; at the worst of 1e5 pixels, 4.5 standard deviations, 7e-5, of the range at most."""
    tolerance = 1e-4
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
                good &= compare(f"{title}, {backend}", got, expected)
            if count == 20:
                good &= compare_bfloat16(title, program, folder, "recon_espinnet", (reference, sample), options, expected)
    return good


def write_keras(path, module_list, whole):
    """Writes convolutions and normalisations as Keras does: `module_list` holds (convolution, normalisation or None) in order.
    `whole`: as Model.save(), with the graph, the layers' names in two parts and normalisations behind all convolutions; else as
    save_weights(), in the order of the layers."""
    layers, config, before = [], [], "input_1"
    for index, (conv, norm) in enumerate(module_list):
        name = f"conv2d_{index}"
        layers.append((name, {"kernel:0": conv.weight.detach().numpy().transpose(2, 3, 1, 0)}))
        if conv.bias is not None:
            layers[-1][1]["bias:0"] = conv.bias.detach().numpy()
        config.append({"class_name": "Conv2D", "config": {"name": name, "strides": list(conv.stride), "padding": "valid"},
                       "inbound_nodes": [[[before, 0, 0, {}]]]})
        if norm is None:
            continue
        normal = f"batch_normalization_{index}"
        values = {"gamma:0": norm.weight, "beta:0": norm.bias, "moving_mean:0": norm.running_mean,
                  "moving_variance:0": norm.running_var + norm.eps - 1e-3}  # Keras adds 0.001
        layers.append((normal, {key: value.detach().numpy() for key, value in values.items()}))
        config.append({"class_name": "BatchNormalization", "config": {"name": normal, "epsilon": 1e-3},
                       "inbound_nodes": [[[name, 0, 0, {}]]]})
        before = normal
    if whole:
        layers.sort(key=lambda layer: not layer[0].startswith("conv2d"))
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        names = [name.encode() for name, _ in layers]
        parts = {"layer_names0": names[:40], "layer_names1": names[40:]} if whole else {"layer_names": names}
        for key, value in parts.items():
            root.attrs[key] = value
        for name, arrays in layers:
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}".encode() for key in arrays]
            for key, value in arrays.items():
                group[f"{name}/{key}"] = value
        if whole:
            file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"layers": config}})


def modules_in_order(model):
    """(convolution, normalisation) of SPINNet as its description lists them."""
    parts = [*model.reference.levels, *model.sample.levels]
    parts += [part for pair in zip(model.flow, model.t) for part in pair]
    parts += [model.refine_flow, model.refine_t] if model.refiners else []
    found = []
    for module in (module for part in parts for module in part.modules()):
        if isinstance(module, torch.nn.Conv2d):
            found.append([module, None])
        elif isinstance(module, torch.nn.BatchNorm2d):
            found[-1][1] = module
    return found


def check_keras(folder, model, levels, refiners, radius, path):
    """The same weights by way of Keras' files: the same numbers as straight from PyTorch. Files that do not fit are refused."""
    import convert_keras

    good = True
    with h5py.File(path) as straight:
        expected = {name: straight["weights"][name][()] for name in names_below(straight["weights"])}
    for whole in (False, True):
        write_keras(folder / "keras.h5", modules_in_order(model), whole)
        convert_keras.convert(folder / "keras.h5", folder / "from_keras.h5", "random", levels, radius, refiners)
        with h5py.File(folder / "from_keras.h5") as file:
            good &= set(names_below(file["weights"])) == set(expected)
            worst = max(np.abs(file["weights"][name][()] - value).max() for name, value in expected.items())
        good &= bool(worst < 1e-5)
        print(f"spinnet 6-{7 - levels} from Keras' {'model' if whole else 'weights'}: worst weight differs by {worst:.1e}")
    try:
        convert_keras.convert(folder / "keras.h5", folder / "from_keras.h5", "random", levels, radius, not refiners)
        good = False
    except ValueError as refusal:
        print("refused:", refusal)
    return good


def names_below(group):
    found = []
    group.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


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
        good &= check_keras(folder, model, levels, refiners, radius, path)
        reference, sample = images(random, 2, height, width)
        expected = module.estimate(model, reference, sample, fit)
        for backend in ("auto", "c") if height == 64 else ("auto",):
            options = [f"weights={path}", f"fit={fit}", "bulk_shift=0", f"backend={backend}"]
            got = run(program, folder, "recon_spinnet", reference, sample, options)
            title = f"spinnet 6-{7 - levels}{' with refiners' if refiners else ''}, range {radius}, {height} x {width}, {fit}, {backend}"
            good &= compare(title, got, expected)
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
