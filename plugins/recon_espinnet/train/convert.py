#!/usr/bin/env python3
"""Turns a PyTorch checkpoint of ESPINNet into the weights file that recon_espinnet reads.

    convert.py CHECKPOINT.pt OUT.h5 --trained full|short|random [--refiners] [--half] [--training TEXT] [--validation TEXT] ...

Takes checkpoints of the public code (a dictionary with `model_state_dict`) and of train/model.py: their parameters have the same names.
Batch normalisation is folded into the convolutions, and the doubling of displacements into the upsampling kernel. In the public code the
refiner of the displacement sees the reference's features without shifting them; this plugin shifts them, as the paper describes. Weights
trained with the public code's refiners are therefore to be converted without --refiners."""

import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import weights  # noqa: E402

STACK = 6
ESTIMATORS = {"t": "t_estimator.NetMain_T", "d": "d_estimator.NetMain_D"}
REFINERS = {"refine_flow": "flow_refiner.NetMain_refiner", "refine_t": "t_refiner.NetMain_refiner",
            "refine_d": "d_refiner.NetMain_refiner"}


def block(state, prefix):
    """Convolution `prefix`.0 with its normalisation `prefix`.1, or with a bias of its own."""
    weight = state[f"{prefix}.0.weight"]
    if f"{prefix}.1.running_mean" in state:
        norm = [state[f"{prefix}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        return weights.fold(weight, *norm)
    return weight, state[f"{prefix}.0.bias"]


def stack(state, name, prefix):
    layers = {f"{name}.{i}": block(state, f"{prefix}.{i}") for i in range(STACK - 1)}
    layers[f"{name}.{STACK - 1}"] = (state[f"{prefix}.{STACK - 1}.weight"], state[f"{prefix}.{STACK - 1}.bias"])
    return layers


def layers_of(state, refiners):
    state = {name.removeprefix("module."): value.double().numpy() for name, value in state.items()}
    layers = {}
    for level in range(5):
        for i in range(2):
            layers[f"features.{level}.{i}"] = block(state, f"netFeatures.Feature(Lv{level}).{i}")
    for i in range(2):
        layers[f"last.{i}"] = block(state, f"netFeaturesLast.FeatureLast.{i}")
    layers["upsample"] = 2 * state["Upsample.conv.weight"], 2 * state["Upsample.conv.bias"]
    for level in range(6):
        layers |= stack(state, f"flow.{level}", f"flow_estimators.{level}.NetMain_flow")
    for name, prefix in (ESTIMATORS | (REFINERS if refiners else {})).items():
        layers |= stack(state, name, prefix)
    return layers


def convert(state, path, refiners, trained, **texts):
    weights.write(path, "espinnet", layers_of(state, refiners), trained, variant="refiners" if refiners else "plain", **texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    parser.add_argument("--trained", choices=weights.TRAINED, required=True)
    parser.add_argument("--refiners", action="store_true", help="the network was trained with its refiners on")
    parser.add_argument("--half", action="store_true", help="store float16")
    for text in ("training", "validation", "licence", "provenance"):
        parser.add_argument(f"--{text}", default="")
    arguments = vars(parser.parse_args())
    checkpoint = torch.load(arguments.pop("checkpoint"), map_location="cpu")
    try:
        convert(checkpoint.get("model_state_dict", checkpoint), arguments.pop("out"), **arguments)
    except KeyError as missing:
        sys.exit(f"convert.py: the checkpoint has no parameter {missing}: it is not ESPINNet's")


if __name__ == "__main__":
    main()
