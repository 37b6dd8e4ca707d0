"""Writes the weights files that spk_nn_weights_load() reads: one HDF5 file a model. For training and tests."""

import json

import h5py
import numpy as np

FORMAT = "speckled-network-1"
TRAINED = ("full", "short", "random")


def fold(weight, gamma, beta, mean, variance, epsilon=1e-5):
    """Weight [out, in, k, k] and bias [out] of a convolution without bias followed by batch normalisation."""
    gain = gamma / np.sqrt(variance + epsilon)
    return weight * gain.reshape(-1, 1, 1, 1), beta - mean * gain


def block(state, prefix):
    """Weight and bias of the convolution `prefix`.0 of a PyTorch state: with its normalisation `prefix`.1 folded in, if it has one."""
    weight = state[f"{prefix}.0.weight"]
    if f"{prefix}.1.running_mean" in state:
        return fold(weight, *(state[f"{prefix}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")))
    return weight, state[f"{prefix}.0.bias"]


def stack(state, name, prefix):
    """Layers name.0, name.1, ... of blocks prefix.0, prefix.1, ... and the plain convolution at the end."""
    layers = {}
    while f"{prefix}.{len(layers)}.0.weight" in state:
        layers[f"{name}.{len(layers)}"] = block(state, f"{prefix}.{len(layers)}")
    last = f"{prefix}.{len(layers)}"
    layers[f"{name}.{len(layers)}"] = state[f"{last}.weight"], state[f"{last}.bias"]
    return layers


def state_of(checkpoint):
    """Arrays of a checkpoint of PyTorch: a state, a dictionary with `model_state_dict`, or the checkpoint of a training (training.py), of
    which the mean weights count; "module." of parallel training left out."""
    state = checkpoint.get("model_state_dict", checkpoint.get("mean", checkpoint))
    return {name.removeprefix("module."): value.double().cpu().numpy() for name, value in state.items()}


def dataset_of(name):
    """Where a network without normalisation keeps the array `name` of its PyTorch state."""
    layer, _, part = name.rpartition(".")
    return f"weights/{layer}/{part}"


def read(path, names):
    """The arrays `names` of a PyTorch state, from a file that has them all by dataset_of(). KeyError: the first that is missing."""
    with h5py.File(path) as file:
        missing = [name for name in names if dataset_of(name) not in file]
        if missing:
            raise KeyError(missing[0])
        return {name: np.asarray(file[dataset_of(name)], np.float32) for name in names}


def training_of(checkpoint):
    """The attribute `training` of what came from a training (training.py): command, how far it got, ranges. Others: empty."""
    if "options" not in checkpoint:
        return ""
    options = checkpoint["options"]
    words = [f"--{name} {options[name]}" for name in ("steps", "batch", "parts", "size", "rate", "keep", "seed", "device", "precision") if name in options]
    command = "train.py --output DIR " + " ".join(words) + (" --start FILE" if options["start"] else "")
    scenes = options["batch"] * options.get("parts", 1)
    done = (f"{checkpoint['step']} of {options['steps']} steps of {scenes} scenes of {options['size']} x {options['size']} px, "
            f"{checkpoint['seconds'] / 60:.0f} minutes on {options['device']}")
    return f"{command}; {done}; ranges {json.dumps(checkpoint['ranges'])}"


def add_options(parser, required=True):
    """What write() is told, as options of a converter."""
    parser.add_argument("--trained", choices=TRAINED, required=required)
    parser.add_argument("--half", action="store_true", help="store float16")
    for text in ("training", "validation", "licence", "provenance"):
        parser.add_argument(f"--{text}", default="")


def write(path, architecture, layers, trained, training="", validation="", licence="", provenance="", variant="",
          half=False):
    """`layers`: {name: (weight [out, in, k, k], bias [out])}. `half` stores float16."""
    if trained not in TRAINED:
        raise ValueError(f"trained is one of {', '.join(TRAINED)}, not {trained}")
    with h5py.File(path, "w") as file:
        texts = dict(format=FORMAT, architecture=architecture, variant=variant, trained=trained, training=training,
                     validation=validation, licence=licence, provenance=provenance)
        for name, text in texts.items():
            file.attrs[name] = text
        for name, (weight, bias) in layers.items():
            for part, values in (("weight", weight), ("bias", bias)):
                values = np.asarray(values, np.float16 if half else np.float32)
                if not np.isfinite(values).all():
                    raise ValueError(f"{name}/{part} holds values that are not finite{' in float16' if half else ''}")
                file.create_dataset(f"weights/{name}/{part}", data=values)
