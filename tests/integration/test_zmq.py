"""ZeroMQ seen from outside: what other people's senders send, what other people's clients read, and the control socket."""

import json
import time

import numpy as np
import pytest
import zmq

from harness import COUNT, PATIENCE, Scene, check_account, configuration, endpoint, maps_of, nonzero, run, source_of, wait_for

NEEDED = ("source_zmq_array", "sink_zmq", "ctl_zmq", "recon_umpa", "post_integrate")
if any(run("plugins", name)[0] for name in NEEDED):
    pytest.skip(f"needs {', '.join(NEEDED)}", allow_module_level=True)

IMAGE = np.arange(48 * 56, dtype=np.uint16).reshape(48, 56)

# What is wrong with it, the parts of the message, and the reason under which it must be counted.
TRAPS = [
    ("no image part", [{"htype": "array-1.0"}], "parts"),
    ("three parts", [{"htype": "array-1.0"}, b"x", b"y"], "parts"),
    ("header is no JSON", [b"\x93NUMPY", IMAGE.tobytes()], "header"),
    ("header is cut", [b'{"htype":"array-1.0","shape":[48,', IMAGE.tobytes()], "header"),
    ("no shape", [{"type": "uint16"}, IMAGE.tobytes()], "header"),
    ("header over the limit", [{"shape": [48, 56], "type": "uint16", "note": "x" * (1 << 20)}, IMAGE.tobytes()], "header"),
    ("another htype", [{"htype": "dimage-1.0", "shape": [48, 56], "type": "uint16"}, IMAGE.tobytes()], "type"),
    ("unknown element type", [{"shape": [48, 56], "type": "complex64"}, IMAGE.tobytes()], "type"),
    ("compressed", [{"shape": [48, 56], "type": "uint16", "encoding": "bs16-lz4<"}, b"\0" * 99], "type"),
    ("too few bytes", [{"shape": [48, 56], "type": "uint16"}, IMAGE.tobytes()[:-1]], "size"),
    ("too many bytes", [{"shape": [48, 56], "type": "uint16"}, IMAGE.tobytes() + b"\0\0"], "size"),
    ("metadata only, empty", [{"htype": "array-1.0", "pulse_id": 7}, b""], "empty"),
    ("metadata only, 8 dummy bytes", [{"shape": [2, 2], "type": "uint16", "pulse_id": 8}, b"\0" * 8], "empty"),
    ("marked bad", [{"shape": [48, 56], "type": "uint16", "is_good_frame": False}, IMAGE.tobytes()], "bad_frame"),
    ("one dimension", [{"shape": [48 * 56], "type": "uint16"}, IMAGE.tobytes()], "shape"),
    ("unknown role", [{"shape": [48, 56], "type": "uint16", "speckled": {"role": "reverence"}}, IMAGE.tobytes()], "role"),
]


def one_map(header, name):
    return header["speckled"]["map"] == name


def test_every_trap_is_counted_and_harms_nothing(bench):
    service, detector, viewer = bench(configuration())
    scene = Scene(COUNT)
    expected = {}
    for position, image in enumerate(scene.reference):
        detector.send(image, role="reference", position=position)
        for _, parts, reason in TRAPS[position::COUNT]:
            detector.send_raw(*parts)
            expected[reason] = expected.get(reason, 0) + 1
    detector.send_stack(scene.sample(), "sample", stack=0)
    maps, _ = viewer.result()
    scene.check(maps)
    status = service.wait_received(2 * COUNT + len(TRAPS))
    assert nonzero(status["rejected"]) == expected
    assert nonzero(status["published"]) == {"reference": COUNT, "sample": COUNT}
    check_account(status)


def test_habits_of_other_senders_are_understood(bench):
    """The same scene sent in every accepted way gives the same maps."""
    service, detector, viewer = bench(configuration())
    scene = Scene(COUNT)
    habits = [
        lambda image, header: (header, image),
        lambda image, header: ({**header, "htype": ["array-1.0"], "endianess": "little"}, image),
        lambda image, header: ({**header, "endianness": "big"}, image.astype(">u2")),
        lambda image, header: ({**header, "shape": [1, *image.shape], "temperature": float("nan"), "ndattr": {"ColorMode": 0}}, image),
        lambda image, header: ({**header, "is_good_frame": True, "number_frames_expected": 10, "blob": "x" * 100_000}, image),
    ]
    for role, stack in (("reference", scene.reference), ("sample", scene.sample())):
        for position, image in enumerate(stack):
            header, pixels = habits[position](image, detector.header(image, role=role, position=position))
            detector.send_raw(header, np.ascontiguousarray(pixels).tobytes())
            detector.frame += 1
    maps, _ = viewer.result()
    scene.check(maps)
    check_account(service.wait_received(2 * COUNT))


def test_roles_as_numbers_under_a_foreign_key(bench):
    config = configuration()
    config["source"].update(role_key="image_attributes.scan_index", role_numbers=["dark", "reference", "sample"],
                            position_key="image_attributes.step")
    service, detector, viewer = bench(config)
    scene = Scene(COUNT)
    for index, stack in ((1, scene.reference), (2, scene.sample())):
        for position, image in enumerate(stack):
            detector.send(image, image_attributes={"scan_index": index, "step": position})
    scene.check(viewer.result()[0])
    check_account(service.wait_received(2 * COUNT))


def test_stop_ends_a_series_and_numbers_go_on(bench):
    service, detector, viewer = bench(configuration())
    scene = Scene(COUNT)
    numbers = []
    for _ in range(2):
        for role, stack in (("reference", scene.reference), ("sample", scene.sample())):
            for position, image in enumerate(stack):
                header = detector.header(image, role=role, position=position)
                del header["frame"], header["speckled"]["series"]
                detector.send_raw(header, image.tobytes())
        detector.send_stop()
        _, last = viewer.result()
        numbers.append((last["speckled"]["series"], last["speckled"]["frame_ids"]))
    first = list(range(COUNT, 2 * COUNT))
    assert numbers == [(1, first), (2, first)]
    status = service.wait_received(4 * COUNT)
    assert status["received"] == 4 * COUNT, "a STOP is no frame"
    check_account(status)


def test_headers_of_maps_say_everything(bench):
    config = configuration()
    _, detector, viewer = bench(config)
    scene = Scene(COUNT)
    detector.send_stack(scene.reference, "reference")
    stamps = [1_700_000_000_000_000_000 + 1000 * position for position in range(COUNT)]
    sent = []
    for position, image in enumerate(scene.sample()):
        sent.append(detector.frame)
        detector.send(image, role="sample", position=position, stack=7, angle_deg=12.5, detector_ns=stamps[position])
    before = time.time_ns()
    seen = {}
    while "valid" not in seen:
        header, image = viewer.receive()
        seen[header["speckled"]["map"]] = header
        about = header["speckled"]
        assert header["htype"] == "array-1.0" and header["source"] == f"speckled:{about['map']}"
        assert header["shape"] == list(image.shape) == [48, 56] and header["frame"] == about["number"] == 0
        assert header["type"] == ("uint8" if one_map(header, "valid") else "float32")
        assert about["frame_ids"] == sent and about["detector_ns"] == stamps
        assert about["series"] == 1 and about["stack"] == 7 and about["angle_deg"] == 12.5 and about["partial"] is False
        assert about["count"] == about["present"] == COUNT and about["reference"] == 1
        assert about["geometry"] == {"energy_kev": 20, "pixel_size_m": 1e-6, "distance_m": 0.5}
        assert about["curl_px"] is None or 0 < about["curl_px"] < 0.1
        assert 0 < about["valid_fraction"] <= 1 and about["latency_ns"] > 0 and "recon_umpa" in about["stages"]
        assert abs(about["published_realtime_ns"] - before) < 600e9 and about["version"]
    units = {name: header["speckled"]["unit"] for name, header in seen.items()}
    assert units == {"transmission": "", "dark_field": "", "displacement_x": "px", "displacement_y": "px", "phase": "rad", **units,
                     "valid": ""}


def test_a_prefix_subscribes_to_one_map(bench, sockets):
    config = configuration()
    service, detector, _ = bench(config)
    client = zmq.Context.instance().socket(zmq.SUB)
    sockets.append(client)
    client.linger = 0
    client.connect(maps_of(config))
    client.subscribe(b'{"htype":"array-1.0","source":"speckled:phase"')
    service.wait_subscriptions(3)
    scene = Scene(COUNT)
    detector.send_stack(scene.reference, "reference")
    for stack in range(3):
        detector.send_stack(scene.sample(), "sample", stack=stack)
    for number in range(3):
        assert client.poll(PATIENCE * 1000)
        about = json.loads(client.recv_multipart()[0])["speckled"]
        assert (about["map"], about["number"]) == ("phase", number)


@pytest.mark.plain
def test_a_client_that_never_reads_stops_nothing(bench, sockets):
    config = configuration()
    config["sinks"][0]["sndhwm"] = 4
    service, detector, viewer = bench(config)
    stuck = zmq.Context.instance().socket(zmq.SUB)
    sockets.append(stuck)
    stuck.rcvhwm, stuck.linger = 1, 0
    stuck.subscribe(b"")
    stuck.subscribe(b"stuck")
    stuck.connect(maps_of(config))
    service.wait_subscriptions(3)
    scene = Scene(COUNT, height=256, width=256)
    detector.send_stack(scene.reference, "reference")
    stacks = 60
    for stack in range(stacks):
        detector.send_stack(scene.sample(), "sample", stack=stack)
        viewer.result()
    status = service.wait_received((1 + stacks) * COUNT)
    assert status["results"] == stacks and status["sinks"]["sink_zmq"]["failed"] == 0
    check_account(status)


def ask(service, sockets, *parts):
    client = zmq.Context.instance().socket(zmq.REQ)
    sockets.append(client)
    client.linger = 0
    client.connect(service.control)
    client.send_multipart([part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts])
    assert client.poll(PATIENCE * 1000), f"no reply to {parts}"
    return json.loads(client.recv())


@pytest.mark.parametrize("parts", [
    (b"",), (b"status",), (b"\xff\xfe\x00",), (b"[" * 60000,), ({},), (["status"],), ({"command": "explode"},), ({"command": 3},),
    ({"command": "status", "verbose": 1},), ({"command": "dark", "count": -1},), ({"command": "start", "count": 3},),
    ({"command": "get"},), ({"command": "get", "key": "recon_umpa.nothing"},),
    ({"command": "set", "key": "recon_umpa.window", "value": "wide"},), ({"command": "set", "key": "recon_umpa.window"},),
    ({"command": "set", "key": "sink_zmq.sndhwm", "value": 5},), ({"command": "status"}, b"more"),
])
def test_control_refuses_with_a_reason(service, sockets, parts):
    running = service(configuration())
    reply = ask(running, sockets, *parts)
    assert reply["ok"] is False and len(reply["error"]) > 5 and reply["status"] in ("invalid", "state"), reply
    assert ask(running, sockets, {"command": "status"})["ok"] is True


def test_control_reads_and_changes_options(service, sockets):
    running = service(configuration())
    options = {option["key"]: option for option in ask(running, sockets, {"command": "options"})["options"]}
    assert options["recon_umpa.max_shift"]["value"] == "4" and options["sink_zmq.sndhwm"]["live"] is False
    live = next(key for key, option in options.items() if option["live"] and option["type"] == "bool")
    turned = "false" if options[live]["value"] == "true" else "true"
    generation = running.status()["generation"]
    assert ask(running, sockets, {"command": "set", "key": live, "value": turned == "true"}) == {"ok": True}
    assert ask(running, sockets, {"command": "get", "key": live})["value"] == turned
    assert running.status()["generation"] == generation + 1


def test_control_stops_and_starts(bench, sockets):
    service, detector, viewer = bench(configuration())
    scene = Scene(COUNT)
    detector.send_stack(scene.reference, "reference")
    service.wait_received(COUNT)
    assert ask(service, sockets, {"command": "stop"}) == {"ok": True}
    service.wait_status("idle", lambda status: status["state"] == "idle")
    detector.send_stack(scene.sample(), "sample", stack=0)
    assert service.wait_received(2 * COUNT)["dropped"]["idle"] == COUNT
    assert ask(service, sockets, {"command": "start"}) == {"ok": True}
    service.wait_status("acquiring", lambda status: status["state"] == "acquiring")
    detector.send_stack(scene.sample(), "sample", stack=1)
    scene.check(viewer.result()[0])
    check_account(service.wait_received(3 * COUNT))


def test_curve_keeps_strangers_out(service, sockets, tmp_path):
    if not zmq.has("curve"):
        pytest.skip("this libzmq has no CURVE")
    server_public, server_secret = zmq.curve_keypair()
    client_public, client_secret = zmq.curve_keypair()
    key = tmp_path / "key"
    key.write_bytes(server_secret + b"\n")
    config = configuration()
    config["source"]["curve_secret_file"] = str(key)
    running = service(config)

    def sender(**keys):
        socket = zmq.Context.instance().socket(zmq.PUSH)
        sockets.append(socket)
        socket.linger = 0
        for name, value in keys.items():
            setattr(socket, name, value)
        socket.connect(source_of(config))
        socket.send_multipart([json.dumps({"shape": [48, 56], "type": "uint16"}).encode(), IMAGE.tobytes()])
        return socket

    sender()
    sender(curve_serverkey=server_public, curve_publickey=client_public, curve_secretkey=client_secret)
    wait_for("the frame of the one who has the key", lambda: running.status()["received"] >= 1)
    time.sleep(0.3)
    assert running.status()["received"] == 1


def test_ctl_without_a_service_says_so():
    code, out, err = run("ctl", "--endpoint", endpoint(), "--timeout-ms", 200, "status")
    assert code == 1 and out == "" and "is the service running" in err
