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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
import torch_file  # noqa: E402
import weights  # noqa: E402

ESTIMATORS = {"t": "t_estimator.NetMain_T", "d": "d_estimator.NetMain_D"}
REFINERS = {"refine_flow": "flow_refiner.NetMain_refiner", "refine_t": "t_refiner.NetMain_refiner",
            "refine_d": "d_refiner.NetMain_refiner"}


def layers_of(state, refiners):
    layers = {f"features.{level}.{i}": weights.block(state, f"netFeatures.Feature(Lv{level}).{i}") for level in range(5) for i in range(2)}
    layers |= {f"last.{i}": weights.block(state, f"netFeaturesLast.FeatureLast.{i}") for i in range(2)}
    layers["upsample"] = 2 * state["Upsample.conv.weight"], 2 * state["Upsample.conv.bias"]
    for level in range(6):
        layers |= weights.stack(state, f"flow.{level}", f"flow_estimators.{level}.NetMain_flow")
    for name, prefix in (ESTIMATORS | (REFINERS if refiners else {})).items():
        layers |= weights.stack(state, name, prefix)
    return layers


def convert(checkpoint, path, refiners, trained, **texts):
    layers = layers_of(weights.state_of(checkpoint), refiners)
    weights.write(path, "espinnet", layers, trained, variant="refiners" if refiners else "plain", **texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out")
    weights.add_options(parser)
    parser.add_argument("--refiners", action="store_true", help="the network was trained with its refiners on")
    arguments = vars(parser.parse_args())
    saved = torch_file.load(arguments.pop("checkpoint"))
    arguments["training"] = arguments["training"] or weights.training_of(saved)
    try:
        convert(saved, arguments.pop("out"), **arguments)
    except KeyError as missing:
        sys.exit(f"convert.py: the checkpoint has no parameter {missing}: it is not ESPINNet's")


if __name__ == "__main__":
    main()
