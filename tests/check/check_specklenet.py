#!/usr/bin/env python3
"""Holds recon_specklenet to its reference implementation in PyTorch, with random weights, and trains that for a few steps.

    check_specklenet.py STAGE_RAW REPOSITORY [parity|training|own-mask]"""
import pathlib
import sys
import tempfile

import h5py
import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from stage import run_stage  # noqa: E402

QUANTITIES = ("T", "D", "u_x", "u_y", "quality")
# Both implementations round in float32. What that may cost is measured by evaluating the reference in float64 too: the plugin may be as
# far from that as the reference in float32 is, times what the extremes (and the medians) of two such samples of rounding differ by. Where
# frames are fewer than unknowns, windows of one pixel have a matrix whose determinant is all rounding: there the reference itself is off by
# 1e-3, and so is this bound. LEAST is an ulp or some of numbers near 1 and of displacements near 10.
EXTREMES, LEAST = 4, 2e-5


def random_network():
    """Random weights, with heads strong enough that every output matters."""
    import model

    torch.manual_seed(3)
    net = model.SpeckleNet()
    for part in (net.coarse, net.middle, net.fine, net.fusion):
        part.head.weight.data *= 4
    return net


def write_weights(path, net):
    import export
    import weights

    with h5py.File(path, "w") as file:
        file.attrs.update(format="speckled-network-1", architecture="specklenet", trained="random")
        for name, value in net.state_dict().items():
            file[weights.dataset_of(name)] = value.numpy()
        file["weights/calibration/edge"] = np.zeros(export.NOISE_BINS, np.float32)
        file["weights/calibration/factor"] = np.ones((export.NOISE_BINS, 3), np.float32)


def run_plugin(program, folder, reference, sample, passes):
    maps, _ = run_stage(program, folder, "recon_specklenet", reference, sample, f"weights={folder / 'weights.h5'}", f"passes={passes}",
                        "threads=3")
    return dict(zip(QUANTITIES, maps))


def run_reference(net, reference, sample, passes, dtype):
    with torch.no_grad():
        maps = net.to(dtype)(torch.tensor(reference, dtype=dtype)[None], torch.tensor(sample, dtype=dtype)[None], passes, closed=True)
    quality = (1 / maps.misfit[0, 0]).clamp(np.exp(-32), 1)
    return dict(zip(QUANTITIES, (m.numpy() for m in (maps.t[0, 0], maps.d[0, 0], maps.u[0, 0], maps.u[0, 1], quality))))


def check_parity(program):
    import scenes

    net, good = random_network(), True
    ranges = scenes.Ranges(photons=(1000, 5000))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_weights(folder / "weights.h5", net)
        for frames, height, width, passes in ((1, 64, 64, 1), (2, 67, 81, 1), (3, 96, 70, 2), (4, 57, 64, 1), (5, 75, 93, 2), (9, 40, 90, 1),
                                              (20, 97, 101, 1)):
            batch = scenes.draw_batch(100 + frames, 1, 104, frames, ranges)
            stacks = [np.ascontiguousarray(f[0, :, :height, :width].numpy()) for f in (batch.reference, batch.sample)]
            own = run_plugin(program, folder, *stacks, passes)
            single, exact = (run_reference(net, *stacks, passes, dtype) for dtype in (torch.float32, torch.float64))
            words = []
            for quantity in QUANTITIES:
                wrong, rounding = np.abs(own[quantity] - exact[quantity]), np.abs(single[quantity] - exact[quantity])
                good &= bool(wrong.max() <= EXTREMES * rounding.max() + LEAST and np.median(wrong) <= EXTREMES * np.median(rounding) + LEAST)
                words.append(f"{quantity} {wrong.max():.1e} against {rounding.max():.1e} ({np.median(wrong):.1e}, {np.median(rounding):.1e})")
            print(f"N {frames}, {height} x {width}, passes {passes}: off float64, and PyTorch's float32: largest (median) " + ", ".join(words))
    return good


def check_training():
    """A few steps lower the loss, a run that was stopped and started again ends where one without a stop does, and bfloat16 rounds the
    first step and does no more: the loss is made of logarithms of errors, and each of 12 layers in turn rounds by up to 2^-9."""
    import scenes
    import train

    torch.set_num_threads(2)
    options = ["--batch", "2", "--parts", "2", "--size", "48", "--rate", "1e-3", "--device", "cpu", "--save", "1000"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "ranges.json").write_text('{"frames": [4, 6]}')
        words = ["--output", name, "--steps", "6", "--ranges", str(folder / "ranges.json"), *options]
        rounded, whole = train.make_training([*words, "--precision", "bfloat16"]), train.make_training(words)
        change = abs(whole.step() - rounded.step())
        differ = any(not torch.equal(a, b) for a, b in zip(whole.net.parameters(), rounded.net.parameters()))
        for _ in range(2):
            whole.step()
        whole.save(folder / "checkpoint.pt")
        for _ in range(3):
            whole.step()
        again = train.make_training(words)
        again.load(folder / "checkpoint.pt")
        for _ in range(3):
            again.step()
        same = all(torch.equal(a, b) for a, b in zip(whole.net.state_dict().values(), again.net.state_dict().values()))
        fixed = scenes.draw_batch(5, 4, 48, 5, whole.ranges)
        loss = lambda: float(train.loss_of(again.net(fixed.reference, fixed.sample), fixed))
        first = loss()
        for group in again.optimizer.param_groups:
            group["lr"] = 1e-3
        for _ in range(12):
            value = train.loss_of(again.net(fixed.reference, fixed.sample), fixed)
            again.optimizer.zero_grad()
            value.backward()
            again.optimizer.step()
        last = loss()
    print(f"resumed to the same weights: {same}; loss on one batch {first:.3f} -> {last:.3f}; bfloat16 moves the first by {change:.1e}")
    return same and last < first - 0.02 and differ and change < 12 * 2**-9


def check_own_mask(program, source):
    """Training for one modulator with a number of positions that no table has, from the weights that come with the plugin, gives a file
    that the plugin takes; before the first step it is the one begun with."""
    import export
    import scenes
    import train

    shipped = source / "plugins/recon_specklenet/recon_specklenet.h5"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "mine.json").write_text('{"kinds": [["mask", 1.0]], "mask_pitch": [6, 6.5], "frames": [7, 7]}')
        training = train.make_training(["--output", name, "--ranges", str(folder / "mine.json"), "--start", str(shipped), "--device", "cpu"])
        state = export.rounded(training.mean.state_dict())
        counts = {count for _, count in train.judge.scenes(training.ranges, "cpu")}
        edges, factors = export.calibrate(training.mean, training.ranges, 2)
        training.save(folder / "checkpoint.pt")
        export.write(folder / "weights.h5", state, edges, factors, torch.load(folder / "checkpoint.pt"), "", "", "short")
        batch = scenes.draw_batch(1, 1, 64, 7, training.ranges)
        stacks = [f[0].numpy() for f in (batch.reference, batch.sample)]
        mine = run_plugin(program, folder, *stacks, 1)
        (folder / "weights.h5").write_bytes(shipped.read_bytes())
        same = all(np.array_equal(mine[quantity], value) for quantity, value in run_plugin(program, folder, *stacks, 1).items())
    print(f"for one mask and {counts} positions from the shipped weights: maps are theirs: {same}")
    return same and counts == {7} and bool(np.isfinite(edges).all() and np.isfinite(factors).all())


def main():
    program, source = sys.argv[1], pathlib.Path(sys.argv[2])
    sys.path[:0] = [str(source / "plugins/recon_specklenet/train"), str(source / "pipeline/nn")]
    checks = {"parity": lambda: check_parity(program), "training": check_training, "own-mask": lambda: check_own_mask(program, source)}
    return 0 if all([checks[name]() for name in sys.argv[3:] or checks]) else 1


if __name__ == "__main__":
    sys.exit(main())
