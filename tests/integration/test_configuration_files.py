"""The files of config/: every example is right."""

from pathlib import Path

import pytest

from harness import run

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(CONFIG.glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_right(path):
    code, out, err = run("check", "-c", path)
    wrong = [line for line in err.splitlines() if "is not part of this build" not in line]
    assert not wrong, err
    if err:
        pytest.skip(err.splitlines()[0])
    assert code == 0 and out.startswith(f"{path}: ok: source_")


def test_there_are_examples():
    assert len(EXAMPLES) >= 4
