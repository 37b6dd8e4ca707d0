"""The fixed scenes a network is judged by while it is trained, and the table of its errors on them."""
import dataclasses

import torch

from scenes import draw_batch

COUNTS = (1, 2, 3, 5, 10, 20)
SCENES = 4  # of each image model and count, and at least LEAST of each image model
LEAST = 16
RIM = 8  # px at the edge that do not count
FIRST_SEED = 1 << 40  # far from any seed of training


def squares(estimate, truth):
    """Mean square over the inner pixels, channels added: [batch]."""
    return (estimate - truth)[..., RIM:-RIM, RIM:-RIM].square().sum(-3).mean((-1, -2))


def middle(values):
    """Geometric mean of root-mean-squares."""
    return float(values.clamp_min(1e-12).log().mean().div(2).exp())


class Judge:
    """`errors(net, batch)` gives rows of root-mean-square errors, one number a quantity: the network's, then those of `beside`."""

    def __init__(self, errors, quantities=("u, px", "T", "D"), beside=(), size=128):
        self.errors, self.quantities, self.beside, self.size = errors, quantities, beside, size

    def scenes(self, ranges, device):
        """{(model, count): batch}; `ranges` is the training's, its share of wave optics aside."""
        counts = [count for count in COUNTS if ranges.frames[0] <= count <= ranges.frames[1]] or [ranges.frames[0]]
        scenes = max(SCENES, LEAST // len(counts))
        out = {}
        for model, share in (("warp", 0.0), ("wave", 1.0)):
            own = dataclasses.replace(ranges, wave=share)
            for count in counts:
                out[model, count] = draw_batch(FIRST_SEED + count, scenes, self.size, count, own, device)
        return out

    def table(self, net, batches):
        """Rows of (model, count, errors)."""
        with torch.no_grad():
            return [(model, count, self.errors(net, batch)) for (model, count), batch in batches.items()]

    def line(self, table):
        """Geometric means over the table, in one line."""
        own, *others = torch.tensor([errors for _, _, errors in table]).log().mean(0).exp().tolist()
        words = []
        for k, name in enumerate(self.quantities):
            words.append(f"{name} {own[k]:.4f}" + "".join(f" ({other[k]:.4f})" for other in others))
        return "  ".join(words)

    def text(self, table):
        head = "Root-mean-square errors, geometric mean over scenes" + "".join(f"; in brackets {name}" for name in self.beside) + "."
        width = 10 + 9 * len(self.beside)
        lines = [head, f"{'scenes':8}{'N':>3}" + "".join(f"{name:>{width}}" for name in self.quantities)]
        for model, count, (own, *others) in table:
            cells = [f"{value:.4f}" + "".join(f" ({other[k]:.4f})" for other in others) for k, value in enumerate(own)]
            lines.append(f"{model:8}{count:3}" + "".join(f"{cell:>{width}}" for cell in cells))
        return "\n".join([*lines, self.line(table), ""])
