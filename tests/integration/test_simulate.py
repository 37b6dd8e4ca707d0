"""The simulated detector seen by stock clients: what goes over the wire, what is in the files, and that every fault adds up."""

import json
import re
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import zmq

import harness

SMALL = ("--size", "48,64", "--count", 4, "--darks", 2, "--flats", 3, "--threads", 2)
PER_STACK, CALIBRATION = 4, 2 + 3 + 4  # frames of a stack; darks, flats and references


class Receiver:
    """A PULL or SUB client."""

    def __init__(self, address, kind=zmq.PULL):
        self.socket = zmq.Context.instance().socket(kind)
        self.socket.linger = 0
        self.socket.rcvhwm = 0
        if kind == zmq.SUB:
            self.socket.subscribe(b"")
        self.socket.connect(address)

    def receive(self, seconds=harness.PATIENCE):
        assert self.socket.poll(seconds * 1000), "no message came"
        return self.socket.recv_multipart()

    def series(self):
        """All messages up to the first STOP."""
        messages = [self.receive()]
        while messages[-1][1] != b"STOP":
            messages.append(self.receive())
        return messages

    def all_of(self, process):
        """All messages of a simulation, and its report, which says how many there are."""
        messages, report = [], process.log.parent / "report.json"
        while process.running() or len(messages) < json.loads(report.read_text())["messages"]:
            if self.socket.poll(100):
                messages.append(self.receive())
        assert process.wait() == 0, process.output()
        return messages, json.loads(report.read_text())

    def close(self):
        self.socket.close()


@pytest.fixture
def receiver(sockets):
    def connect(address, **keys):
        sockets.append(Receiver(address, **keys))
        return sockets[-1]
    return connect


def stream(start, receiver, *arguments, kind=zmq.PULL):
    """Runs a simulation of three stacks: the messages and the report."""
    address = harness.endpoint()
    process = start("simulate", *SMALL, "--to", address, "--stacks", 3, "--report", "report.json", *arguments)
    return receiver(address, kind=kind).all_of(process)


def image(header, payload):
    return np.frombuffer(payload, header["type"]).reshape(header["shape"])


def test_wire_format(start, receiver):
    messages, report = stream(start, receiver)
    headers = [json.loads(header) for header, _ in messages[:-1]]
    assert messages[-1][1] == b"STOP"
    assert len(headers) == CALIBRATION + 3 * PER_STACK == report["good"]
    assert [header["frame"] for header in headers] == list(range(len(headers)))
    roles = [header["speckled"]["role"] for header in headers]
    assert roles == ["dark"] * 2 + ["flat"] * 3 + ["reference"] * 4 + ["sample"] * 12
    places = [(header["speckled"]["stack"], header["speckled"]["position"]) for header in headers[CALIBRATION:]]
    assert places == [(stack, position) for stack in range(3) for position in range(4)]
    for header, payload in messages[:-1]:
        header = json.loads(header)
        assert header["htype"] == "array-1.0" and header["shape"] == [48, 64] and header["type"] == "uint16"
        assert header["encoding"] == "" and header["endianness"] == "little" and len(payload) == 2 * 48 * 64
        assert abs(header["speckled"]["detector_ns"] * 1e-9 - time.time()) < 600
    means = {role: np.mean([image(h, p).mean() for h, (_, p) in zip(headers, messages) if h["speckled"]["role"] == role]) for role in roles}
    assert means["dark"] < 1000 < means["sample"] < means["reference"] < means["flat"]


def test_publisher_waits_for_a_subscriber(start, receiver):
    messages, report = stream(start, receiver, "--socket", "pub", kind=zmq.SUB)
    assert len(messages) == report["messages"] == CALIBRATION + 3 * PER_STACK + 1


def test_seed(start, receiver):
    def payloads(*arguments):
        return [payload for _, payload in stream(start, receiver, *arguments)[0]]
    first = payloads("--seed", 7)
    assert first == payloads("--seed", 7, "--threads", 3)
    assert first != payloads("--seed", 8)
    assert first[9:13] == first[13:17]
    fresh = payloads("--seed", 7, "--noise", "fresh")
    assert fresh[9:13] != fresh[13:17]


FAULTS = {"gaps": 0.03, "duplicates": 0.03, "reorders": 0.03, "sizes": 0.03, "headers": 0.03, "metadata": 0.03, "bad_frames": 0.03}


def inject(**more):
    return ",".join(f"{name}={rate}" for name, rate in {**FAULTS, **more}.items())


def test_faults_add_up(start, receiver):
    messages, report = stream(start, receiver, "--stacks", 200, "--inject", inject(aborts=0.005))
    frames = CALIBRATION + 200 * PER_STACK
    assert report["frames"] == frames and report["unsent"] == 0
    assert all(report[name] > 0 for name in (*FAULTS, "aborts", "aborted"))
    assert len(messages) == report["messages"] == (frames - report["gaps"] - report["aborted"] + report["duplicates"]
                                                   + report["metadata"] + report["stops"])
    stops = sum(payload == b"STOP" for _, payload in messages)
    assert stops == report["stops"] == report["aborts"] + 1
    unreadable, bad, sizes, empty, good, repeated, late = 0, 0, 0, 0, [], 0, 0
    for text, payload in messages:
        try:
            header = json.loads(text)
            shape = header["shape"]
        except (ValueError, KeyError):
            unreadable += 1
            continue
        if payload == b"STOP":
            continue
        if shape == [2, 2] or not payload:
            empty += 1
        elif header.get("is_good_frame") is False:
            bad += 1
        elif len(payload) != 2 * shape[0] * shape[1]:
            sizes += 1
        else:
            key = (header["speckled"]["series"], header["frame"])
            repeated += key in good
            late += bool(good) and key < good[-1]
            good.append(key)
    assert (unreadable, bad, sizes, empty) == tuple(report[key] for key in ("headers", "bad_frames", "sizes", "metadata"))
    assert len(good) == report["good"] and repeated == report["duplicates"] and late == report["reorders"]


def test_the_service_accounts_for_every_fault(start, service):
    """The same law at the other end of the wire: what the detector says it did is what the service counts."""
    config = harness.configuration()
    config["pipeline"]["count"] = PER_STACK
    config["source"]["bind"] = False
    running = service(config)
    detector = start("simulate", *SMALL, "--to", harness.source_of(config), "--stacks", 100, "--rate-hz", 400, "--report", "report.json",
                     "--inject", inject(aborts=0.005))
    assert detector.wait() == 0, detector.output()
    report = json.loads((detector.log.parent / "report.json").read_text())
    status = running.wait_received(report["messages"] - report["stops"])
    harness.check_account(status)
    assert status["received"] == report["messages"] - report["stops"]
    rejected = status["rejected"]
    for reason, fault in (("size", "sizes"), ("header", "headers"), ("empty", "metadata"), ("bad_frame", "bad_frames")):
        assert rejected[reason] == report[fault], (reason, rejected, report)
    assert rejected["type"] == rejected["parts"] == rejected["shape"] == 0


def test_output_file(tmp_path):
    code, out, err = harness.run("simulate", *SMALL, "--output", "stack.h5", "--stacks", 3, "--evolve", 2, "--energy-kev", 25,
                                 "--max-shift-px", 0.5, folder=tmp_path)
    assert code == 0, out + err
    with h5py.File(tmp_path / "stack.h5") as file:
        assert dict(file.attrs) == {"energy_kev": 25, "pixel_size_m": 0.65e-6, "distance_m": 0.5}
        assert {name: file[name].shape for name in ("dark", "flat", "reference", "sample")} == {
            "dark": (2, 48, 64), "flat": (3, 48, 64), "reference": (4, 48, 64), "sample": (3, 4, 48, 64)}
        assert file["sample"].dtype == np.uint16
        truth = {name: np.array(data) for name, data in file["truth"].items()}
    assert set(truth) == {"transmission", "dark_field", "displacement_x", "displacement_y", "phase"}
    assert all(maps.shape == (3, 48, 64) and maps.dtype == np.float32 for maps in truth.values())
    for maps in truth.values():
        assert np.array_equal(maps[0], maps[2]) and not np.array_equal(maps[0], maps[1])
    wavelength = 1.23984198e-9 / 25
    slope = 2 * np.pi / wavelength * 0.65e-6**2 / 0.5  # rad/px of phase for a pixel of displacement
    inner = (slice(None), slice(2, -2), slice(2, -2))
    for name, axis in (("displacement_x", 2), ("displacement_y", 1)):
        gradient = np.gradient(truth["phase"].astype(float), axis=axis)
        assert np.abs(gradient - slope * truth[name])[inner].max() < 0.05 * slope


def test_stream_and_file_hold_the_same_frames(start, receiver, tmp_path):
    assert harness.run("simulate", *SMALL, "--output", "stack.h5", "--stacks", 3, "--evolve", 3, folder=tmp_path)[0] == 0
    messages, _ = stream(start, receiver, "--evolve", 3)
    streamed = [image(json.loads(header), payload) for header, payload in messages[:-1]]
    with h5py.File(tmp_path / "stack.h5") as file:
        stored = np.concatenate([file["dark"], file["flat"], file["reference"], *file["sample"]])
    assert np.array_equal(streamed, stored)


def test_source_of_the_service(tmp_path):
    """In a configuration, without a wire: the service ends with the series, and its maps are the truth's."""
    config = {"pipeline": {"mode": "stack", "block": True},
              "source": {"plugin": "source_simulate", "size": 160, "count": 8, "stacks": 3, "evolve": 2, "max_shift_px": 1.5,
                         "truth": str(tmp_path / "truth.h5")},
              "stages": [{"plugin": "prep_dark_flat"}, {"plugin": "recon_umpa", "max_shift": 3}, {"plugin": "post_integrate"}],
              "sinks": [{"plugin": "sink_hdf5", "path": str(tmp_path / "maps.h5"), "queue": "block"}]}
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    code, out, err = harness.run("run", "-c", "run.yaml", folder=tmp_path)
    assert code == 0 and "adds up" in out, out + err
    with h5py.File(tmp_path / "truth.h5") as truth, h5py.File(tmp_path / "maps.h5") as file:
        maps, truth = file["entry/maps"], truth["truth"]
        assert maps["phase"].shape == (3, 160, 160) and truth["phase"].shape == (2, 160, 160)
        inner = (slice(16, -16),) * 2
        for stack in range(3):
            for name, bound in (("displacement_x", 0.1), ("displacement_y", 0.1), ("transmission", 0.01), ("dark_field", 0.04), ("phase", 0.2)):
                error = (maps[name][stack] - truth[name][stack % 2])[inner]
                assert np.median(np.abs(error - np.median(error))) < bound, (stack, name)
                assert name == "phase" or abs(np.median(error)) < bound / 2, (stack, name)


def test_replay(start, receiver, tmp_path):
    assert harness.run("simulate", *SMALL, "--output", "stack.h5", "--stacks", 3, folder=tmp_path)[0] == 0
    address = harness.endpoint()
    process = start("replay", "stack.h5", "--to", address, "--rate-hz", 200)
    begin = time.monotonic()
    messages = receiver(address).series()
    assert process.wait() == 0, process.output()
    assert time.monotonic() - begin > (len(messages) - 2) / 200
    with h5py.File(tmp_path / "stack.h5") as file:
        stored = np.concatenate([file["dark"], file["flat"], file["reference"], *file["sample"]])
    headers = [json.loads(header) for header, _ in messages[:-1]]
    assert np.array_equal([image(h, p) for h, (_, p) in zip(headers, messages)], stored)
    roles = [header["speckled"]["role"] for header in headers]
    assert roles == ["dark"] * 2 + ["flat"] * 3 + ["reference"] * 4 + ["sample"] * 12


def test_interrupt_ends_in_order(start, receiver):
    address = harness.endpoint()
    process = start("simulate", *SMALL, "--to", address, "--rate-hz", 100, "--report", "-")
    client = receiver(address)
    for _ in range(CALIBRATION + 10):
        client.receive()
    process.popen.send_signal(signal.SIGINT)
    messages = client.series()
    assert process.wait() == 0 and messages[-1][1] == b"STOP"
    report = json.loads(next(line for line in process.output().splitlines() if line.startswith("{")))
    assert report["messages"] == CALIBRATION + 10 + len(messages) and report["unsent"] == 0


def wait_streaming(process):
    """Until the first frame is due: from then on the program takes signals itself."""
    def takes_signals():
        assert process.running(), process.output()
        caught = re.search(r"^SigCgt:\s*(\S+)$", Path(f"/proc/{process.popen.pid}/status").read_text(), re.MULTILINE).group(1)
        return int(caught, 16) >> (signal.SIGINT - 1) & 1

    harness.wait_for("the first frame is due", takes_signals)


def test_no_burst_for_a_late_receiver(start, receiver):
    """100 frames take 2 s at their rate; if those of the time before came at once, there would be more of them than that."""
    address = harness.endpoint()
    wait_streaming(start("simulate", *SMALL, "--to", address, "--rate-hz", 50, "--sndhwm", 1))
    time.sleep(2.5)
    client = receiver(address)
    client.receive()
    begin = time.monotonic()
    for _ in range(100):
        client.receive()
    assert 1 < time.monotonic() - begin


def test_interrupt_without_a_receiver(start):
    process = start("simulate", *SMALL, "--to", harness.endpoint(), "--linger-ms", 100)
    wait_streaming(process)
    time.sleep(0.5)
    assert process.running(), process.output()
    assert process.interrupt() == 0


@pytest.mark.parametrize("arguments, code, text", [
    (["--sizes", "3"], 2, "did you mean --size?"),
    (["--count", "0"], 2, "--count"),
    (["--inject", "gap=0.1"], 1, "inject"),
    (["--to", "nonsense"], 1, "nonsense"),
    (["--set", "photon=5"], 2, 'did you mean "photons"?'),
    (["--size", "1,2,3"], 2, "--size"),
    (["--output", "nowhere/stack.h5", *SMALL], 1, "nowhere/stack.h5"),
    (["--contrast", "1.9", "--blur-px", "5", *SMALL], 1, "contrast"),
])
def test_refusals(arguments, code, text, tmp_path):
    got, out, err = harness.run("simulate", *arguments, folder=tmp_path)
    assert got == code and text in err and not out, (got, out, err)
    assert len(err.strip().splitlines()) <= 2, err


def test_help_teaches():
    for command in ("simulate", "replay"):
        code, out, _ = harness.run(command, "--help")
        assert code == 0 and "examples:" in out and "--to ENDPOINT" in out and "--inject" in out
