"""The files of config/: every example is right, and the reference is what the program prints."""

import re
from pathlib import Path

import pytest

from harness import run

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = sorted(CONFIG.glob("*.yaml"))


def sections(page):
    """Text of each part of a page by its heading."""
    parts = re.split(r"^(#+ .*)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_right(path):
    code, out, err = run("check", "-c", path)
    wrong = [line for line in err.splitlines() if not re.search("is not part of this build|built without", line)]
    assert not wrong, err
    if err:
        pytest.skip(err.splitlines()[0])
    assert code == 0 and out.startswith(f"{path}: ok: source_")


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


def test_reference_is_what_the_program_prints():
    code, printed, err = run("plugins", "--reference")
    assert code == 0, err
    kept = (CONFIG / "REFERENCE.md").read_text()
    missing = "unavailable: " in run("plugins")[1]
    # Where plugins could not be built, those that could are compared.
    if not missing:
        assert printed == kept, "run: speckled plugins --reference > config/REFERENCE.md"
    for heading, text in sections(printed).items():
        assert sections(kept).get(heading) == text, f"{heading}: run: speckled plugins --reference > config/REFERENCE.md"
