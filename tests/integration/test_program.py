"""The program itself: what it says about itself, and how it refuses."""

import re

from harness import run


def test_version():
    code, out, _ = run("--version")
    assert code == 0 and re.fullmatch(r"speckled \d+\.\d+\.\d+\n", out)


def test_every_command_explains_itself():
    code, overview, _ = run("help")
    assert code == 0
    commands = re.findall(r"^  ([a-z]+)  ", overview, re.MULTILINE)
    assert "plugins" in commands
    for command in commands:
        code, out, err = run("help", command)
        assert code == 0 and out.startswith(f"usage: speckled {command}"), (command, out, err)
        assert "examples:" in out, command


def test_unknown_command_names_the_nearest():
    code, out, err = run("plugin")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert 'did you mean "plugins"?' in err


def test_unknown_argument_names_the_nearest():
    code, _, err = run("plugins", "--hlep")
    assert code == 2 and "--hlep" in err and err.count("\n") == 1


def test_plugins_are_listed():
    code, out, _ = run("plugins")
    assert code == 0
    plugins, devices = out.split("devices:")
    assert re.search(r"^  cpu ", devices, re.MULTILINE), out
    names = re.findall(r"^  (\S+) ", plugins, re.MULTILINE)
    assert all(re.match(r"(source|prep|recon|post|ctl|sink)_", name) for name in names), out
