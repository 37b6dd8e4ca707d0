#!/usr/bin/env python3
"""Phase integration of 2048 x 2048 maps beside SciPy (pocketfft, single precision, same threads), in one run.

usage: peer_integrate.py INTEGRATE_RAW [THREADS]   (INTEGRATE_RAW: build/release/bench/integrate_raw)"""
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "check"))
from integration_methods import METHODS  # noqa: E402

SIZE, REPEAT = 2048, 15


def ours(program, method, folder, threads):
    result = subprocess.run([program, method, str(SIZE), str(SIZE), folder / "slopes.raw", folder / "phase.raw", str(threads),
                             str(REPEAT)], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def theirs(function, ux, uy, threads):
    best, cpu = float("inf"), 0
    for _ in range(1 + REPEAT // 3):
        start, start_cpu = time.perf_counter(), time.process_time()
        function(ux, uy, workers=threads)
        wall = time.perf_counter() - start
        if wall < best:
            best, cpu = wall, time.process_time() - start_cpu
    return {"wall_s": best, "cpu_s": cpu}


def main():
    program, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    random = np.random.default_rng(1)
    ux = random.normal(size=(SIZE, SIZE)).astype(np.float32)
    uy = random.normal(size=(SIZE, SIZE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "slopes.raw").write_bytes(ux.tobytes() + uy.tobytes() + np.ones((SIZE, SIZE), np.uint8).tobytes())
        print(f"{SIZE} x {SIZE}, {threads} threads   speckled wall / CPU ms   SciPy wall / CPU ms   ratio wall  CPU")
        for method, function in METHODS.items():
            a, b = ours(program, method, folder, threads), theirs(function, ux, uy, threads)
            print(f"{method:18} {1e3 * a['wall_s']:16.1f} {1e3 * a['cpu_s']:8.1f} {1e3 * b['wall_s']:14.1f} {1e3 * b['cpu_s']:8.1f}"
                  f" {b['wall_s'] / a['wall_s']:11.1f} {b['cpu_s'] / a['cpu_s']:5.1f}")


if __name__ == "__main__":
    main()
