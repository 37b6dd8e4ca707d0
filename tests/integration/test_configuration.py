"""Wrong configurations: every problem at once, each with file, line, column, what was expected and the nearest known key."""

import re
import textwrap

import yaml

from harness import configuration, run

WRONG = """\
    pipeline:
      mode: stak
      count: many
      lanes: 99
    geometry:
      energy_kev: -3
      energy_kv: 20
    source:
      plugin: source_zmq_arry
    stages:
      - plugin: recon_umpa
        windw: 2
        max_shift: 1e9
    sinks:
      - plugin: sink_zmq
        endpoints: tcp://127.0.0.1:5556
        queue: blok
    sinsk: []
    """


def test_every_error_at_once_with_its_place(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(textwrap.dedent(WRONG))
    for command in ("check", "run"):
        code, out, err = run(command, "-c", file)
        assert code == 2 and out == "", (command, code, out)
        found = dict(re.findall(rf"^{re.escape(str(file))}:(\d+):\d+: (.*)$", err, re.MULTILINE))
        expected = {2: "stack", 3: "whole number", 4: "16", 6: "energy_kev", 7: "energy_kev", 9: "source_zmq_array", 12: "window",
                    13: "max_shift", 17: "block", 18: "sinks"}
        assert set(found) == set(map(str, expected)), err
        for line, text in expected.items():
            assert text in found[str(line)], (line, text, found[str(line)])


def test_columns_point_at_the_culprit(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("pipeline:\n  mode: stak\n  cuont: 5\n")
    _, _, err = run("check", "-c", file)
    assert f"{file}:2:9: " in err and f"{file}:3:3: " in err, err


def test_broken_yaml_is_one_error_with_its_place(tmp_path):
    for text in ("pipeline: [1, 2\nsource: {", "a: b: c\n", "\tpipeline:\n", "pipeline:\n  mode: 'stack\n"):
        file = tmp_path / "broken.yaml"
        file.write_text(text)
        code, _, err = run("check", "-c", file)
        assert code == 2 and re.search(rf"{re.escape(str(file))}:\d+:\d+: ", err), (text, err)


def test_missing_file(tmp_path):
    code, _, err = run("run", "-c", tmp_path / "none.yaml")
    assert code == 2 and "none.yaml" in err and "No such file" in err


def test_good_configuration(tmp_path):
    file = tmp_path / "good.yaml"
    file.write_text(yaml.safe_dump(configuration()))
    code, out, err = run("check", "-c", file)
    assert code == 0 and err == "" and "ok" in out


def test_settings_of_the_command_line_are_checked_alike(tmp_path):
    file = tmp_path / "good.yaml"
    file.write_text(yaml.safe_dump(configuration()))
    assert run("check", "-c", file, "--set", "recon_umpa.window=3")[0] == 0
    code, _, err = run("check", "-c", file, "--set", "recon_umpa.windw=3")
    assert code == 2 and "window" in err


def test_empty_and_hostile_files_are_refused_without_harm(tmp_path):
    hostile = {
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "deep": b"[" * 100000,
        "bomb": b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(8)),
        "number": b"pipeline: {count: 1" + b"0" * 5000 + b"}\n",
    }
    for name, content in hostile.items():
        file = tmp_path / f"{name}.yaml"
        file.write_bytes(content)
        code, _, err = run("check", "-c", file, seconds=20)
        assert code == 2 and err, name
