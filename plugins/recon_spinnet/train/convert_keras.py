#!/usr/bin/env python3
"""Turns an HDF5 file of Keras into the weights file that recon_spinnet reads. Needs h5py, not Keras.

    convert_keras.py MODEL.h5 OUT.h5 --trained full|short|random [--levels 4|5] [--radius 3|4] [--refiners] [--names NAMES.json] ...

The model must have the structure of the plugin's README. Its convolutions are taken in the order of the file: features of the reference,
of the sample (stride 2, stride 1, from 1/2 to 1/32), then from the coarsest level on the stacks of displacement and T, then the refiners'.
Where the file has another order, NAMES.json says which layer is which: {"reference.0.0": "conv2d_7", ...}, all layers, by the names that
--list prints."""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import keras  # noqa: E402
import weights  # noqa: E402

CHANNELS = (1, 16, 32, 64, 96, 128)
STACK = (128, 128, 96, 64, 32)


def stack_shapes(name, inputs, outputs, kernel):
    sizes = (inputs, *STACK)
    shapes = {f"{name}.{i}": (b, a, 3, 3) for i, (a, b) in enumerate(zip(sizes, sizes[1:]))}
    return shapes | {f"{name}.{len(STACK)}": (outputs, STACK[-1], kernel, kernel)}


def shapes_of(levels, radius, refiners):
    """{layer: shape of its weight} of the network, in order."""
    shapes = {}
    for side in ("reference", "sample"):
        for level, (a, b) in enumerate(zip(CHANNELS, CHANNELS[1:])):
            shapes |= {f"{side}.{level}.0": (b, a, 3, 3), f"{side}.{level}.1": (b, b, 3, 3)}
    for level in range(levels):
        shapes |= stack_shapes(f"flow.{level}", (2 * radius + 1) ** 2, 2, 3) | stack_shapes(f"t.{level}", 3 if level else 2, 1, 3)
    if refiners:
        width = CHANNELS[len(CHANNELS) - levels]
        shapes |= stack_shapes("refine_flow", 2 * width + 2, 2, 1) | stack_shapes("refine_t", 3, 1, 1)
    return shapes


def convert(source, path, trained, levels=5, radius=3, refiners=False, names=None, **texts):
    model, shapes = keras.Model(source), shapes_of(levels, radius, refiners)
    names = names or dict(zip(shapes, model.convolutions()))
    if sorted(names) != sorted(shapes) or len(set(names.values())) != len(shapes) or len(shapes) != len(model.convolutions()):
        raise ValueError(f"the file has {len(model.convolutions())} convolutions, this variant {len(shapes)}, {len(names)} of which are named")
    layers = {}
    for layer, shape in shapes.items():
        layers[layer] = model.convolution(names[layer])
        if layers[layer][0].shape != shape:
            raise ValueError(f"{names[layer]} is {layers[layer][0].shape}, where {layer} is {shape}: see --names")
    variant = f"6-{7 - levels} range {radius}{' refiners' if refiners else ''}"
    weights.write(path, "spinnet", layers, trained, variant=variant, **texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--levels", type=int, choices=(4, 5), default=5)
    parser.add_argument("--radius", type=int, choices=(3, 4), default=3)
    parser.add_argument("--refiners", action="store_true")
    parser.add_argument("--names", type=pathlib.Path)
    parser.add_argument("--list", action="store_true", help="print the layers of this variant and their shapes")
    weights.add_options(parser, required=False)
    arguments = vars(parser.parse_args())
    shape_words = [arguments[key] for key in ("levels", "radius", "refiners")]
    if arguments.pop("list"):
        print("\n".join(f"{name} {shape}" for name, shape in shapes_of(*shape_words).items()))
        return
    source, out, names = arguments.pop("model"), arguments.pop("out"), arguments.pop("names")
    if not out or not arguments["trained"]:
        parser.error("MODEL.h5, OUT.h5 and --trained are needed")
    try:
        convert(source, out, names=json.loads(names.read_text()) if names else None, **arguments)
    except (KeyError, OSError, ValueError) as wrong:
        sys.exit(f"convert_keras.py: {wrong}")


if __name__ == "__main__":
    main()
