"""How specklenet is judged while it is trained: beside the best single window of its own fits, picked with the truth a scene."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "pipeline" / "nn"))
from judging import Judge, middle, squares  # noqa: E402


def errors(net, batch):
    maps = net(batch.reference, batch.sample, closed=True)
    own = [middle(squares(a, b)) for a, b in ((maps.u, batch.u), (maps.t, batch.t), (maps.d, batch.d))]
    u, t, d = maps.candidates
    single = [squares(u, batch.u[:, None]), squares(t[:, :, None], batch.t[:, None]), squares(d[:, :, None], batch.d[:, None])]
    return own, [middle(s.amin(1)) for s in single]


judge = Judge(errors, beside=("the best of the fusion's windows, picked with the truth",))
