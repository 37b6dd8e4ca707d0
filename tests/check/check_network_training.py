"""Training a network by its documented commands: a step, one more by going on from the checkpoint, a file of weights that the plugin takes.

    check_network_training.py STAGE_RAW ROOT espinnet|spinnet

Two steps teach nothing; what is held is that nothing on the way from a scene to the plugin's maps is lost: the step that was gone on with
ends at the weights of a run without a stop, and the file's maps are those of the trained model in PyTorch."""

import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch
from check_networks import run

THREADS = 2
FRAMES = {"espinnet": 20, "spinnet": 1}
TRUTH = {"espinnet": ("u", "T", "D"), "spinnet": ("u", "T")}
MAPS = {"espinnet": ("flow x", "flow y", "T", "D"), "spinnet": ("flow x", "flow y", "T")}


def call(*words):
    done = subprocess.run([sys.executable, "-B", *(str(word) for word in words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words[0]} ends with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def options(folder, steps):
    return ["--output", folder, "--steps", steps, "--batch", 2, "--size", 64, "--device", "cpu", "--threads", THREADS]


def check_resumed(folder, train):
    """Two runs of the command against one training that was never stopped, step by step."""
    whole = train.make_training([str(word) for word in options(folder / "none", 2)])
    whole.step()
    whole.step()
    saved = torch.load(folder / "run" / "checkpoint.pt")
    same = all(torch.equal(saved["net"][name], value) for name, value in whole.net.state_dict().items())
    steps = [entry["step"] for entry in saved["history"]]
    print(f"steps saved {steps}; stopped and gone on with: weights are those of a run without a stop: {same}")
    return same and steps == [1, 2]


def check_file(path, network, words):
    with h5py.File(path) as file:
        found = {name: file.attrs[name] for name in ("architecture", "trained", "training", "validation")}
        kinds = {item.dtype.name for item in file["weights/flow.0.0"].values()}
    good = found["architecture"] == network and found["trained"] == "short" and kinds == {"float16"}
    good &= all(word in found["training"] for word in words) and all(name in found["validation"] for name in TRUTH[network])
    print(f"the file says: {found['training'][:90]}... {'' if good else '  <-- not what was done'}")
    return good


def check_maps(program, folder, network, train):
    """Of the file as documented: that the plugin takes it; of one that is not rounded to float16: the model's own maps. Normalisation by the
    statistics of few scenes enlarges rounding where a map is steep, so the bulk of the pixels counts; check_networks.py holds all of them."""
    import convert
    import model
    import scenes

    saved = torch.load(folder / "run" / "checkpoint.pt")
    net = train.make_training([str(word) for word in options(folder / "none", 2)]).net
    net.load_state_dict(saved["mean"])
    batch = scenes.draw_batch(7, 1, 64, FRAMES[network], scenes.Ranges())
    stacks = [images[0].numpy() for images in (batch.reference, batch.sample)]
    rounded = run(program, folder, f"recon_{network}", *stacks, [f"weights={folder / 'own.h5'}"])
    good = all(bool(np.isfinite(rounded[name]).all()) for name in MAPS[network])
    convert.convert(saved, folder / "whole.h5", *([False] if network == "espinnet" else []), "short")
    got = run(program, folder, f"recon_{network}", *stacks, [f"weights={folder / 'whole.h5'}", "bulk_shift=0"])
    for name, values in model.estimate(net.eval(), *stacks, "pad").items():
        off = np.median(np.abs(got[name] - values)) / np.abs(values).max()
        print(f"{network}: {name} from {values.min():.3g} to {values.max():.3g}: off by {off:.1e} in the median")
        good &= bool(off < 1e-4)
    return good


def main():
    program, root, network = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    code = root / "plugins" / f"recon_{network}" / "train"
    sys.path[:0] = [str(code), str(root / "pipeline" / "nn")]
    import train

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for steps in (1, 2):
            call(code / "train.py", *options(folder / "run", steps))
        table = (folder / "run" / "table.txt").read_text()
        call(code / "convert.py", folder / "run" / "checkpoint.pt", folder / "own.h5", "--half", "--trained", "short", "--validation", table)
        good = check_resumed(folder, train)
        good &= check_file(folder / "own.h5", network, ("--steps 2", "--size 64", "2 of 2 steps", '"photons"'))
        good &= check_maps(program, folder, network, train)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
