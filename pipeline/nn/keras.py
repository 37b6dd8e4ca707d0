"""Reads convolutions out of HDF5 files of Keras, without Keras: whole models (Model.save) and weights alone (save_weights).

Layout, as Keras documents it: the group of the weights (`/model_weights` of a whole model, else the root) has the attribute `layer_names`;
each layer is a group of that name with the attribute `weight_names`, paths of its arrays below it, such as "conv2d_1/kernel:0". Long lists
are cut into layer_names0, layer_names1, ... Kernels are [y, x, in, out]. A whole model has its graph as JSON in `model_config`."""

import json

import h5py
import numpy as np

from weights import fold

EPSILON = 1e-3  # of Keras' BatchNormalization, unless the model says otherwise


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def names_of(group, name):
    """A list of names, whole or in numbered parts."""
    if name in group.attrs:
        return [text(value) for value in group.attrs[name]]
    found = []
    while f"{name}{len(found)}" in group.attrs:
        found.append([text(value) for value in group.attrs[f"{name}{len(found)}"]])
    if not found:
        raise ValueError(f"{group.name} has no attribute {name}: this is no HDF5 file of Keras")
    return [value for part in found for value in part]


def arrays_of(group):
    """{"kernel": array, ...} of one layer."""
    return {path.rpartition("/")[2].partition(":")[0]: np.asarray(group[path], np.float64) for path in names_of(group, "weight_names")}


def inputs_of(layer):
    """Names of the layers that one of `model_config` takes its input from: lists in Keras 2, dictionaries in Keras 3."""
    if isinstance(layer, dict):
        history = layer.get("config", {}).get("keras_history") if layer.get("class_name") == "__keras_tensor__" else None
        return [history[0]] if history else [name for value in layer.values() for name in inputs_of(value)]
    if isinstance(layer, list):
        if layer and isinstance(layer[0], str) and len(layer) >= 3:
            return [layer[0]]
        return [name for value in layer for name in inputs_of(value)]
    return []


class Model:
    def __init__(self, path):
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            self.arrays = {name: arrays_of(root[name]) for name in names_of(root, "layer_names")}
            config = file.attrs.get("model_config")
        layers = json.loads(text(config))["config"] if config is not None else {"layers": []}
        layers = layers["layers"] if isinstance(layers, dict) else layers
        self.config = {layer["config"]["name"]: layer["config"] for layer in layers}
        self.inputs = {layer["config"]["name"]: inputs_of(layer.get("inbound_nodes", [])) for layer in layers}

    def normalisation_of(self, name):
        """The BatchNormalization that follows a convolution: by the graph, or else the next in the file's order."""
        order = list(self.arrays)
        if any(self.inputs.values()):
            found = [other for other in order if name in self.inputs.get(other, []) and "moving_mean" in self.arrays[other]]
        else:
            behind = [other for other in order[order.index(name) + 1:] if self.arrays[other]]
            found = [other for other in behind[:1] if "moving_mean" in self.arrays[other]]
        return found[0] if found else None

    def convolution(self, name):
        """Weight [out, in, y, x] and bias [out], normalisation folded in."""
        arrays, config = self.arrays[name], self.config.get(name, {})
        if config.get("padding") == "same" and max(config.get("strides", [1])) > 1:
            raise ValueError(f"{name}: `same` with a stride pads behind only; this network pads on both sides (ZeroPadding2D, `valid`)")
        weight = arrays["kernel"].transpose(3, 2, 0, 1)
        bias = arrays.get("bias", np.zeros(len(weight)))
        normal = self.normalisation_of(name)
        if normal is None:
            return weight, bias
        parts = self.arrays[normal]
        ones = np.ones(len(weight))
        gamma, beta = parts.get("gamma", ones), parts.get("beta", 0 * ones)
        epsilon = self.config.get(normal, {}).get("epsilon", EPSILON)
        weight, shift = fold(weight, gamma, beta, parts["moving_mean"], parts["moving_variance"], epsilon)
        return weight, shift + bias * gamma / np.sqrt(parts["moving_variance"] + epsilon)

    def convolutions(self):
        """Names of all convolutions in the file's order."""
        return [name for name, arrays in self.arrays.items() if arrays.get("kernel", np.empty(0)).ndim == 4]
