"""Writes the weights files that spk_nn_weights_load() reads: one HDF5 file a model. For training and tests."""

import h5py
import numpy as np

FORMAT = "speckled-network-1"
TRAINED = ("full", "short", "random")


def fold(weight, gamma, beta, mean, variance, epsilon=1e-5):
    """Weight [out, in, k, k] and bias [out] of a convolution without bias followed by batch normalisation."""
    gain = gamma / np.sqrt(variance + epsilon)
    return weight * gain.reshape(-1, 1, 1, 1), beta - mean * gain


def write(path, architecture, layers, trained, training="", validation="", licence="BSD-3-Clause", provenance="", variant="",
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
