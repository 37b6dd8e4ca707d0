"""Wrong configurations: every problem at once, each with file, line, column, what was expected and the nearest known key."""

import os
import re
import socket
import textwrap

import numpy as np
import pytest
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
        code, _, err = run("check", "-c", file)
        assert code == 2 and err, name


def places(err, file):
    """Line and column of each problem, with its text."""
    return {(int(line), int(column)): text for line, column, text in
            re.findall(rf"^{re.escape(str(file))}:(\d+):(\d+): (.*)$", err, re.MULTILINE)}


CONTRADICTIONS = """\
    pipeline:
      mode: stack
    source:
      plugin: source_zmq_array
      endpoints: [localhost]
      role_numbers: [dark, bright]
    stages:
      - plugin: prep_dark_flat
        roi: [0, 0, 10]
        normalise: region
      - plugin: recon_umpa
        windw: 1
      - plugin: post_integrate
    sinks:
      - plugin: sink_zmq
        maps: [phase, fase]
        endpoints: ["tcp://127.0.0.1:70000"]
        curve_secret_file: {folder}/no_key
      - plugin: sink_hdf5
        path: {folder}/there.h5
        maps: ["trans"]
      - plugin: sink_hdf5
        path: {folder}/nowhere/maps.h5
      - plugin: sink_png
        folder: {folder}/there.h5
    controls:
      - plugin: ctl_zmq
        endpoint: tcp://5557
    """


def test_everything_that_open_would_refuse_is_found_at_once(tmp_path):
    (tmp_path / "there.h5").touch()
    file = tmp_path / "wrong.yaml"
    file.write_text(textwrap.dedent(CONTRADICTIONS).format(folder=tmp_path))
    expected = {
        (5, 14): 'source_zmq_array: "localhost" is no endpoint', (6, 17): "role_numbers: 'bright'", (8, 5): "normalise: region needs region",
        (9, 10): "roi has 3 numbers", (12, 5): "unknown key windw in recon_umpa; did you mean window?",
        (16, 11): 'sink_zmq: maps: "fase"', (17, 16): '"tcp://127.0.0.1:70000" has no host and port',
        (18, 24): "cannot read the CURVE key file", (20, 11): "there.h5 exists already", (21, 11): 'maps: "trans"',
        (23, 11): "cannot write into the folder", (25, 13): "is no folder", (28, 15): 'ctl_zmq: "tcp://5557" has no host and port'}
    for command in ("check", "run"):
        code, out, err = run(command, "-c", file)
        assert code == 2 and out == "", (command, code, out)
        found = places(err, file)
        assert set(found) == set(expected), err
        assert all(text in found[place] for place, text in expected.items()), err


def test_what_the_data_decide(tmp_path):
    """A region outside of the images, offsets of another number than scan positions: the files say how many."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "in.h5", "w") as images:
        images["reference"] = images["sample"] = np.ones((5, 40, 60), "u2")
    config = {
        "source": {"plugin": "source_hdf5", "file": str(tmp_path / "in.h5")},
        "stages": [{"plugin": "prep_dark_flat", "roi": [0, 0, 61, 40]},
                   {"plugin": "recon_umpa", "offset_x": [0, 1, 2], "offset_y": [0, 0, 0]}, {"plugin": "post_integrate"}],
        "sinks": [{"plugin": "sink_hdf5", "path": str(tmp_path / "maps.h5")}],
    }
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config))
    code, _, err = run("check", "-c", file)
    assert code == 2 and len(err.splitlines()) == 2, err
    assert "prep_dark_flat: roi x=0 y=0 width=61 height=40 does not lie inside the frame of 60x40" in err
    assert "offset_x has 3" in err and "all 5 frames" in err
    code, _, err = run("check", "-c", file, "--set", "prep_dark_flat.roi=0,0,60,40", "--set", "offset_x=", "--set", "offset_y=")
    assert code == 2 and re.search(r"post_integrate: the phase needs energy_kev pixel_size_m distance_m", err) and err.count("\n") == 1, err
    code, _, err = run("check", "-c", file, "--set", "prep_dark_flat.roi=", "--set", "offset_x=", "--set", "offset_y=",
                       "--set", "energy_kev=20", "--set", "pixel_size_m=1e-6", "--set", "distance_m=1")
    assert code == 0, err
    (tmp_path / "in.h5").unlink()
    for command, expected in (("check", 2), ("run", 1)):
        code, _, err = run(command, "-c", file)
        assert code == expected and places(err, file).popitem()[1].startswith("source_hdf5: "), (command, err)


def test_count_that_nobody_knows(tmp_path):
    config = configuration()
    del config["pipeline"]["count"]
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config))
    code, _, err = run("check", "-c", file)
    assert code == 2 and "pipeline: count is not set and the source does not know it" in err and err.count("\n") == 1, err
    assert run("check", "-c", file, "--set", "pipeline.mode=single")[0] == 0


def test_check_leaves_no_trace(tmp_path):
    """Neither a taken port disturbs it, nor does it make a folder or a file."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = configuration()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        config["sinks"] = [{"plugin": "sink_zmq", "endpoints": [endpoint]}, {"plugin": "sink_png", "folder": str(tmp_path / "new")},
                           {"plugin": "sink_hdf5", "path": str(tmp_path / "maps.h5")}]
        config["controls"] = [{"plugin": "ctl_zmq", "endpoint": endpoint}]
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(config))
        code, out, err = run("check", "-c", file)
        assert code == 0, err
        assert sorted(os.listdir(tmp_path)) == ["run.yaml"]
