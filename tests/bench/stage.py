"""One reconstruction plugin on stacks of the caller's, by the program of stage_raw.c."""
import json
import subprocess

import numpy as np


def run_stage(program, folder, plugin, reference, sample, *options):
    """Maps [6 or, with errors=1, 7][height][width] in the program's order, and what it says of the run. RuntimeError: its words of refusal."""
    source, target = folder / "in.raw", folder / "out.raw"
    np.concatenate([reference, sample]).astype(np.float32).tofile(source)
    command = [program, plugin, *reference.shape, source, target, *options]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return np.fromfile(target, np.float32).reshape(-1, *reference.shape[1:]), json.loads(done.stdout)
