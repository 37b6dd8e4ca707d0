"""The fixed scenes a network is judged by, and the table of its errors on them."""
import dataclasses

import torch

from scenes import draw_batch

COUNTS = (1, 2, 3, 5, 10, 20)
SCENES = 4  # of each image model and count
SIZE = 128
RIM = 8
FIRST_SEED = 1 << 40  # far from any seed of training
QUANTITIES = ("u", "T", "D")


def scenes(ranges, device):
    """{(model, count): batch}; `ranges` is the training's, its share of wave optics aside."""
    out = {}
    for model, share in (("warp", 0.0), ("wave", 1.0)):
        own = dataclasses.replace(ranges, wave=share)
        for count in COUNTS:
            if ranges.frames[0] <= count <= ranges.frames[1]:
                out[model, count] = draw_batch(FIRST_SEED + count, SCENES, SIZE, count, own, device)
    return out


def squares(estimate, truth):
    """Mean square over the inner pixels, channels added: [batch]."""
    return (estimate - truth)[..., RIM:-RIM, RIM:-RIM].square().sum(-3).mean((-1, -2))


def middle(values):
    """Geometric mean of root-mean-squares."""
    return float(values.clamp_min(1e-12).log().mean().div(2).exp())


@torch.no_grad()
def errors(net, batch):
    """Root-mean-square errors of the network, and of the best single window of the fusion, picked with the truth a scene."""
    maps = net(batch.reference, batch.sample)
    own = [middle(squares(a, b)) for a, b in ((maps.u, batch.u), (maps.t, batch.t), (maps.d, batch.d))]
    u, t, d = maps.candidates
    single = [squares(u, batch.u[:, None]), squares(t[:, :, None], batch.t[:, None]), squares(d[:, :, None], batch.d[:, None])]
    return own, [middle(s.amin(1)) for s in single]


def table(net, batches):
    """Rows of (model, count, [u, T, D], [the same of the best window])."""
    return [(model, count, *errors(net, batch)) for (model, count), batch in batches.items()]


def line(rows):
    """Geometric means over the table, in one line."""
    values = torch.tensor([[own, single] for _, _, own, single in rows])
    own, single = values.log().mean(0).exp().tolist()
    return "  ".join(f"{name} {a:.4f} (best window {b:.4f})" for name, a, b in zip(QUANTITIES, own, single))


def text(rows):
    lines = ["Root-mean-square errors, geometric mean over scenes; in brackets the best of the fusion's windows, picked with the truth.",
             f"{'scenes':8}{'N':>3}" + "".join(f"{name:>22}" for name in ("u, px", "T", "D"))]
    for model, count, own, single in rows:
        lines.append(f"{model:8}{count:3}" + "".join(f"{a:12.4f} ({b:.4f})" + " " * 1 for a, b in zip(own, single)))
    return "\n".join(lines + [line(rows), ""])
