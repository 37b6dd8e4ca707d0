"""Processes that die, clients that hang, disks that fill: the service, its account and its files survive."""

import json
import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import yaml
import zmq

from harness import COUNT, PATIENCE, Detector, Scene, Viewer, check_account, configuration, lean_sanitizers, maps_of, nonzero, run, source_of, wait_for


def with_file(path, **pipeline):
    config = configuration(**pipeline)
    config["sinks"].append({"plugin": "sink_hdf5", "path": str(path), "queue": "block"})
    return config


def readable_results(path):
    """Results in the file that are whole: every map has them."""
    with h5py.File(path, "r") as file:
        maps = file["/entry/maps"]
        return min(len(maps[name]) for name in ("transmission", "dark_field", "displacement_x", "displacement_y", "valid"))


def test_file_is_readable_after_kill_9(bench, tmp_path):
    """Killed without warning: what the sink has called delivered is in the file, whole."""
    scene, path = Scene(COUNT), tmp_path / "maps.h5"
    service, detector, viewer = bench(with_file(path))
    detector.send_stack(scene.reference, "reference")
    for stack in range(10):
        detector.send_stack(scene.sample(), "sample", stack)
        viewer.result()
    delivered = service.wait_status("most results in the file", lambda s: s["sinks"]["sink_hdf5"]["delivered"] >= 8)
    service.kill()
    written = readable_results(path)
    assert delivered["sinks"]["sink_hdf5"]["delivered"] <= written <= 10, "all but what was in the queue"
    with h5py.File(path, "r") as file:
        for result in range(written):
            scene.check({name: file["/entry/maps"][name][result] for name in
                         ("transmission", "dark_field", "displacement_x", "displacement_y", "valid")})


def test_file_is_readable_after_kill_9_at_any_moment(bench, tmp_path):
    scene = Scene(COUNT)
    for attempt in range(4):
        path = tmp_path / f"maps{attempt}.h5"
        service, detector, viewer = bench(with_file(path), name=f"service{attempt}")
        detector.send_stack(scene.reference, "reference")
        for stack in range(12):
            detector.send_stack(scene.sample(), "sample", stack)
        viewer.result()
        wait_for("the file", path.exists)
        time.sleep(0.03 * attempt)
        service.kill()
        assert readable_results(path) >= 0


def test_file_is_followed_live_by_another_process(bench, tmp_path):
    """SWMR: a stock h5py reader sees results appear while the service writes."""
    scene, path = Scene(COUNT), tmp_path / "maps.h5"
    service, detector, viewer = bench(with_file(path))
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    viewer.result()
    wait_for("the file", path.exists)
    service.wait_status("one result in the file", lambda s: s["sinks"]["sink_hdf5"]["delivered"] >= 1)
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
    reader = ("import sys, time, h5py\n"
              "file = h5py.File(sys.argv[1], 'r', libver='latest', swmr=True)\n"
              "data = file['/entry/maps/transmission']\n"
              "while True:\n"
              "    data.id.refresh()\n"
              "    if len(data) >= 3: sys.exit(0)\n"
              "    time.sleep(0.05)\n")
    with subprocess.Popen([sys.executable, "-c", reader, str(path)], env=environment) as follower:
        for stack in (1, 2, 3):
            detector.send_stack(scene.sample(), "sample", stack)
            viewer.result()
        try:
            assert follower.wait(PATIENCE) == 0
        finally:
            follower.kill()
    assert service.interrupt() == 0


def test_detector_dies_and_another_takes_over(service, viewer, sockets):
    """The first sender vanishes in the middle of a stack without a word; a new one starts a new series."""
    scene, config = Scene(COUNT), configuration()
    running = service(config)
    maps = viewer(running)
    first = Detector(source_of(config))
    first.send_stack(scene.reference, "reference")
    first.send_stack(scene.sample()[:3], "sample", 0)
    running.wait_status("the first detector's frames", lambda s: s["received"] == COUNT + 3)
    first.socket.close(linger=0)
    second = Detector(source_of(config))
    sockets.append(second)
    second.series = 2
    second.send_stack(scene.reference, "reference")
    second.send_stack(scene.sample(), "sample", 0)
    scene.check(maps.result()[0])
    status = running.wait_received(3 * COUNT + 3)
    check_account(status)
    assert nonzero(status["dropped"]) == {"incomplete": 3}


def test_simulator_killed_and_restarted(service, start, viewer):
    """kill -9 of `speckled simulate` in full flight; the service takes up the next one."""
    config = configuration()
    config["source"]["bind"] = False
    running = service(config)
    maps = viewer(running)
    arguments = ["simulate", "--endpoint", source_of(config), "--size", 64, "--count", COUNT, "--rate-hz", 200]
    first = start(*arguments, "--stacks", 0)
    maps.result()
    first.kill()
    before = running.wait_status("silence", lambda s: s["in_flight"] < COUNT)
    start(*arguments, "--stacks", 3, "--seed", 7)
    running.wait_status("results of the second", lambda s: s["results"] >= before["results"] + 3)
    check_account(running.status())
    assert running.interrupt() == 0


def test_killed_client_is_no_loss_to_others(bench):
    scene = Scene(COUNT)
    config = configuration()
    service, detector, viewer = bench(config)
    script = (f"import zmq; s = zmq.Context().socket(zmq.SUB); s.subscribe(b''); s.subscribe(b'killed'); s.connect('{maps_of(config)}');"
              "s.recv(); print(1, flush=True); s.recv(); input()")
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        service.wait_subscriptions(3)
        detector.send_stack(scene.reference, "reference")
        detector.send_stack(scene.sample(), "sample", 0)
        viewer.result()
        assert client.stdout.readline() == b"1\n"
        client.kill()
    for stack in range(1, 20):
        detector.send_stack(scene.sample(), "sample", stack)
    for stack in range(1, 20):
        assert viewer.result()[1]["speckled"]["stack"] == stack
    check_account(service.wait_received(21 * COUNT))


def test_client_that_never_reads(bench):
    """It costs nobody else a map and the service no memory worth speaking of."""
    scene = Scene(COUNT, height=128, width=128)
    config = configuration()
    config["sinks"][0]["sndhwm"] = 4
    service, detector, viewer = bench(config, extra_environment=lean_sanitizers())
    sleeper = zmq.Context.instance().socket(zmq.SUB)
    sleeper.rcvhwm = 1
    sleeper.setsockopt(zmq.RCVBUF, 4096)
    sleeper.subscribe(b"")
    sleeper.subscribe(b"sleeper")
    sleeper.connect(maps_of(config))
    service.wait_subscriptions(3)
    detector.send_stack(scene.reference, "reference")
    resident = []
    for stack in range(120):
        detector.send_stack(scene.sample(), "sample", stack)
        assert viewer.result()[1]["speckled"]["stack"] == stack
        if stack in (60, 119):
            resident.append(resident_bytes(service.popen.pid))
    status = service.wait_received(121 * COUNT)
    check_account(status)
    assert status["results"] == 120 and nonzero(status["dropped"]) == {}
    assert resident[1] < resident[0] + (8 << 20), resident
    sleeper.close(linger=0)


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_control_client_that_says_nothing_or_nonsense(service):
    """Whoever connects to the control port and sends rubbish does not keep others from it."""
    running = service(configuration())
    context = zmq.Context.instance()
    for kind in (zmq.REQ, zmq.DEALER, zmq.PUSH) * 30:
        rude = context.socket(kind)
        rude.linger = 0
        rude.connect(running.control)
        for parts in ([b""], [b"\0" * 1000], [b"{", b"}"], [b'{"command":' + b"[" * 100000]):
            try:
                rude.send_multipart(parts, flags=zmq.NOBLOCK)
            except zmq.ZMQError:
                pass  # a REQ socket must first hear an answer
        rude.close()
    check_account(running.status())  # one request, one reply
    plain = context.socket(zmq.DEALER)
    plain.connect(running.control)
    plain.send(b'{"command": "status"}')
    assert plain.poll(PATIENCE * 1000) and json.loads(plain.recv())["ok"] is True
    plain.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_stops_the_file_and_nothing_else(bench, small_disk):
    scene = Scene(COUNT, height=128, width=128)
    path = small_disk / "maps.h5"
    service, detector, viewer = bench(with_file(path))
    detector.send_stack(scene.reference, "reference")
    for stack in range(20):
        detector.send_stack(scene.sample(), "sample", stack)
        maps, header = viewer.result()
        assert header["speckled"]["stack"] == stack
    scene.check(maps)
    status = service.wait_status("the file's failure", lambda s: s["sinks"]["sink_hdf5"]["failed"] > 0)
    check_account(status)
    assert status["results"] == 20
    assert "space" in status["sinks"]["sink_hdf5"]["message"].lower()
    service.interrupt()
    assert "sink_hdf5" in service.output()
    assert readable_results(path) >= 1


def test_file_that_cannot_be_made_is_said_at_the_start(tmp_path):
    file = tmp_path / "nowhere.yaml"
    file.write_text(yaml.safe_dump(with_file("/nonexistent/folder/maps.h5")))
    code, _, err = run("run", "-c", file)
    assert code == 1 and "/nonexistent/folder" in err and "sink_hdf5" in err


def test_two_viewers_get_the_same(bench, sockets):
    scene, config = Scene(COUNT), configuration()
    service, detector, viewer = bench(config)
    other = Viewer(maps_of(config))
    sockets.append(other)
    other.wait_subscribed(service, others=1)
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    one, two = viewer.result()[0], other.result()[0]
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
