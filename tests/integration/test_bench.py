"""`speckled bench` prints its tables, and what it measures computes the right thing."""

import re

from harness import run


def test_tables():
    code, out, err = run("bench", "--seconds", 0.2, "--size", 128, "--count", 5)
    assert code == 0, err
    assert re.match(r"machine: \d+ processors, \S+", out)
    rows = re.findall(r"^  recon_\S+(?: +[\d.]+){7}$", out, re.MULTILINE)
    assert {"recon_umpa", "recon_xst", "recon_xsvt", "recon_wxst"} <= {row.split()[0] for row in rows}, out
    assert "step_px is not set" in out  # recon_xss has no default for it
    for row in rows:
        sets, sets_per_s, _, _, _, _, error_px = map(float, row.split()[1:])
        assert sets >= 3 and sets_per_s > 0, row
        assert error_px < 0.1 or not row.split()[0] == "recon_umpa", row  # five frames are too few for some methods
    overhead = re.findall(r"^  (?:100|500) +(\d+) +(\d+) +(\d+) +(\d+) +\d+$", out, re.MULTILINE)
    assert len(overhead) == 2, out
    for sets, p50, p99, most in overhead:
        assert int(sets) >= 2 and int(p50) <= int(p99) <= int(most)
    assert re.search(r"as fast as it goes: \d+ frames/s", out)


def test_method_that_is_not_there():
    code, _, err = run("bench", "--method", "upma", "--size", 64, "--count", 1)
    assert code == 1 and "recon_umpa" in err
