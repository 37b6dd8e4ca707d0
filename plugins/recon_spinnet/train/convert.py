#!/usr/bin/env python3
"""Turns a checkpoint of train.py into the weights file that recon_spinnet reads.

    convert.py CHECKPOINT.pt OUT.h5 --trained full|short|random [--half] [--training TEXT] [--validation TEXT] ...

Levels, refiners and search range are told by the parameters that are there."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import torch_file  # noqa: E402
import weights  # noqa: E402


def layers_of(state, levels, refiners):
    layers = {f"{side}.{level}.{i}": weights.block(state, f"{side}.levels.{level}.{i}")
              for side in ("reference", "sample") for level in range(5) for i in range(2)}
    for level in range(levels):
        for name in ("flow", "t"):
            layers |= weights.stack(state, f"{name}.{level}", f"{name}.{level}")
    for name in ("refine_flow", "refine_t") if refiners else ():
        layers |= weights.stack(state, name, name)
    return layers


def convert(checkpoint, path, trained, **texts):
    state = weights.state_of(checkpoint)
    levels = max((level for level in range(1, 6) if f"flow.{level - 1}.0.0.weight" in state), default=0)
    refiners = "refine_flow.0.0.weight" in state
    radius = int(state["flow.0.0.0.weight"].shape[1] ** 0.5) // 2
    variant = f"6-{7 - levels} range {radius}{' refiners' if refiners else ''}"
    weights.write(path, "spinnet", layers_of(state, levels, refiners), trained, variant=variant, **texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    weights.add_options(parser)
    arguments = vars(parser.parse_args())
    saved = torch_file.load(arguments.pop("checkpoint"))
    arguments["training"] = arguments["training"] or weights.training_of(saved)
    try:
        convert(saved, arguments.pop("out"), **arguments)
    except (KeyError, ValueError) as missing:
        sys.exit(f"convert.py: {missing}: the checkpoint is not of train/model.py")


if __name__ == "__main__":
    main()
