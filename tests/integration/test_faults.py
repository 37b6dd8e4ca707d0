"""Everything a stream can do wrong: each message is counted under its reason, and the account adds up to the last frame."""

import json

import numpy as np
import pytest

from harness import COUNT, Scene, check_account, configuration, nonzero, source_of


@pytest.fixture
def running(bench):
    """A service that has its reference, and the scene."""
    service, detector, viewer = bench(configuration())
    scene = Scene(COUNT)
    detector.send_stack(scene.reference, "reference")
    service.wait_received(COUNT)
    return service, detector, viewer, scene


def messages(scene, detector):
    """Messages that are no frames of this run, by the reason under which each must be counted."""
    image = scene.sample()[0]
    good = detector.header(image, role="sample", position=0, stack=0)
    raw = image.tobytes()

    def but(**keys):
        return {**good, **keys}

    own = good["speckled"]
    return {
        "header": [(b"not json", raw), (b"", raw), (b'{"htype":', raw), (b"[1,2,3]", raw), (b"\xff\xfe\x00", raw),
                   ({key: value for key, value in good.items() if key != "shape"}, raw), (but(shape="48x56"), raw),
                   (but(shape=[-1, 5]), raw),
                   (but(frame=-3), raw)],
        "type": [(but(htype="dimage-1.0"), raw), (but(type="complex64"), raw), (but(endianness="middle"), raw),
                 (but(encoding="bs16-lz4<"), raw)],
        "size": [(good, raw[:-1]), (good, raw + b"x"), (but(shape=[65536, 65536]), raw)],
        "empty": [(good, b""), (but(shape=[2, 2], type="uint16"), b"\0" * 8)],
        "bad_frame": [(but(is_good_frame=False), raw)],
        "parts": [(good,), (good, raw, b"more")],
        "role": [(but(speckled={**own, "role": "nonsense"}), raw), (but(speckled={**own, "position": COUNT}), raw),
                 (but(speckled={**own, "position": 10**15}), raw)],
        "shape": [(but(shape=[10, 12]), b"\0" * 240), (but(shape=[1000000, 1000000]), raw), (but(shape=[2**40, 2**40]), raw),
                  (but(shape=[0, 5]), raw), (but(shape=[2, 2, 2, 2]), b"\0" * 32)],
    }


REASONS = ["header", "type", "size", "empty", "bad_frame", "parts", "role", "shape"]


@pytest.mark.parametrize("reason", REASONS)
def test_each_bad_message_is_counted_under_its_reason(running, reason):
    service, detector, viewer, scene = running
    bad = messages(scene, detector)[reason]
    for number, parts in enumerate(bad, 1):
        detector.send_raw(*parts)
        status = service.wait_received(COUNT + number)
        assert nonzero(status["rejected"]) == {reason: number}, (number, parts[0])
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])
    check_account(service.wait_received(2 * COUNT + len(bad)))


def test_all_of_them_between_the_frames_of_one_stack(running):
    service, detector, viewer, scene = running
    sample, sent = scene.sample(), 0
    catalogue = messages(scene, detector)
    for position, reason in zip(range(COUNT), REASONS):
        detector.send(sample[position], role="sample", position=position, stack=0)
        if position < COUNT - 1:
            for parts in catalogue[reason]:
                detector.send_raw(*parts)
                sent += 1
    scene.check(viewer.result()[0])
    status = service.wait_received(2 * COUNT + sent)
    check_account(status)
    assert nonzero(status["rejected"]) == {reason: len(catalogue[reason]) for reason in REASONS[:COUNT - 1]}
    assert nonzero(status["dropped"]) == {}


def test_what_must_be_taken_is_taken(running):
    """Real senders' habits: htype as a list, the other spelling, extra keys, big endian, a header of 100 kB."""
    service, detector, viewer, scene = running
    sample = scene.sample()
    variants = [
        {"htype": ["array-1.0"]},
        {"endianess": "little", "pulse_id": 12345678901, "is_good_frame": True, "number_frames_expected": 5},
        {"ndattr": {"Gain": 1.5, "Name": "x", "nested": [[1, {"a": None}]]}, "timeStamp": 1.0e9},
        {"filler": "x" * 100000},
    ]
    for position, extra in enumerate(variants):
        detector.send(sample[position], role="sample", position=position, stack=0, **extra)
    swapped = sample[4].astype(">u2")
    header = detector.header(sample[4], role="sample", position=4, stack=0, endianness="big")
    detector.send_raw(header, swapped.tobytes())
    scene.check(viewer.result()[0])
    status = service.wait_received(2 * COUNT)
    check_account(status)
    assert nonzero(status["rejected"]) == {}


def test_header_that_python_would_write(running):
    """json.dumps() writes NaN and Infinity, which strict JSON has not."""
    service, detector, viewer, scene = running
    for position, image in enumerate(scene.sample()):
        header = detector.header(image, role="sample", position=position, stack=0, exposure=float("nan"), limit=float("inf"))
        assert "NaN" in json.dumps(header)
        detector.send_raw(header, image.tobytes())
        detector.frame += 1
    scene.check(viewer.result()[0])


def test_gap_drops_its_stack_only(running):
    service, detector, viewer, scene = running
    detector.send_stack(scene.sample(), "sample", 0, skip={2})
    detector.send_stack(scene.sample(), "sample", 1)
    maps, header = viewer.result()
    scene.check(maps)
    assert header["speckled"]["stack"] == 1
    status = service.wait_received(3 * COUNT - 1)
    check_account(status)
    assert nonzero(status["dropped"]) == {"incomplete": COUNT - 1}
    assert (status["missing"], status["results"]) == (1, 1)


def test_gap_published_as_partial_when_asked_for(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(publish_partial=True))
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0, skip={2})
    detector.send_stack(scene.sample(), "sample", 1)
    maps, header = viewer.result()
    scene.check(maps)
    assert header["speckled"]["partial"] is True and header["speckled"]["present"] == COUNT - 1
    status = service.wait_received(3 * COUNT - 1)
    check_account(status)
    assert (status["partial"], nonzero(status["dropped"])) == (1, {})


def test_duplicates(running):
    service, detector, viewer, scene = running
    sample = scene.sample()
    for position, image in enumerate(sample):
        number = detector.frame
        detector.send(image, role="sample", position=position, stack=0)
        if position < COUNT - 1:
            detector.send(image, role="sample", position=position, stack=0, frame=number)
    scene.check(viewer.result()[0])
    status = service.wait_received(3 * COUNT - 1)
    check_account(status)
    assert nonzero(status["rejected"]) == {"duplicate": COUNT - 1}


def test_late_frame_of_a_finished_stack(running):
    service, detector, viewer, scene = running
    detector.send_stack(scene.sample(), "sample", 0)
    detector.send_stack(scene.sample(), "sample", 1)
    viewer.result()
    viewer.result()
    detector.send(scene.sample()[1], role="sample", position=1, stack=0, frame=COUNT + 1)
    status = service.wait_received(3 * COUNT + 1)
    check_account(status)
    assert nonzero(status["rejected"]) == {"late": 1}


def test_frames_of_two_stacks_interleaved(running):
    """The first frame of a stack may overtake the last of the one before."""
    service, detector, viewer, scene = running
    sample = scene.sample()
    first = [(0, p, COUNT + p) for p in range(COUNT)]
    second = [(1, p, 2 * COUNT + p) for p in range(COUNT)]
    first[-1], second[0] = second[0], first[-1]
    for stack, position, frame in first + second:
        detector.send(sample[position], role="sample", position=position, stack=stack, frame=frame)
    for _ in range(2):
        scene.check(viewer.result()[0])
    status = service.wait_received(3 * COUNT)
    check_account(status)
    assert nonzero(status["rejected"]) == {} and nonzero(status["dropped"]) == {}


def test_aborted_series_is_followed_by_a_good_one(running):
    service, detector, viewer, scene = running
    detector.send_stack(scene.sample()[:2], "sample", 0)
    detector.series, detector.frame = 2, 0
    detector.send_stack(scene.sample(), "sample", 0)
    maps, header = viewer.result()
    scene.check(maps)
    assert header["speckled"]["series"] == 2
    status = service.wait_received(2 * COUNT + 2)
    check_account(status)
    assert nonzero(status["dropped"]) == {"incomplete": 2}


def test_another_element_type_within_a_series_is_refused(bench):
    """It takes nobody's place: the frame that belongs there still comes, or the stack is incomplete."""
    scene, config = Scene(COUNT), configuration()
    config["stages"].insert(0, {"plugin": "prep_dark_flat"})
    service, detector, viewer = bench(config)
    detector.send_stack(scene.reference, "reference")
    for stack in range(2):
        for position, image in enumerate(scene.sample()):
            if position == 2:
                detector.send(image.astype("f4"), role="sample", position=position, stack=stack, frame=detector.frame)
            if position != 2 or stack == 1:
                detector.frame -= position == 2
                detector.send(image, role="sample", position=position, stack=stack)
    maps, header = viewer.result()
    scene.check(maps)
    assert (header["speckled"]["stack"], header["speckled"]["partial"]) == (1, False)
    status = service.wait_received(3 * COUNT + 1)
    check_account(status)
    assert (nonzero(status["rejected"]), nonzero(status["dropped"])) == ({"shape": 2}, {"incomplete": COUNT - 1})
    assert "of float32, but its series has" in service.output()


def test_a_new_series_may_have_another_element_type(bench):
    """A detector that changes its bit depth: the next series begins with its own reference, and nothing needs a restart."""
    scene, config = Scene(COUNT), configuration()
    config["stages"].insert(0, {"plugin": "prep_dark_flat"})
    service, detector, viewer = bench(config)
    for series, dtype in enumerate((np.uint16, np.uint32, np.float32), 1):
        detector.series, detector.frame = series, 0
        detector.send_stack(scene.reference.astype(dtype), "reference")
        detector.send_stack(scene.sample().astype(dtype), "sample", 0)
        maps, header = viewer.result()
        scene.check(maps)
        assert (header["speckled"]["series"], header["speckled"]["present"]) == (series, COUNT)
    check_account(service.wait_received(6 * COUNT))


def test_whoever_gets_no_maps_is_told_why(bench):
    """What the assembler refuses is said in the log and in the status, not only counted."""
    scene = Scene(COUNT)
    service, detector, _ = bench(configuration())

    def told(frames, *words):
        message = service.wait_received(frames)["message"]
        assert all(word in message for word in words) and message in service.output(), message

    detector.send(scene.sample()[0], role="sample", position=0, stack=0)
    told(1, "no_reference", "role reference")
    detector.send_stack(scene.reference, "reference")
    detector.send(scene.sample()[0], role="sample", position=COUNT, stack=0)
    told(COUNT + 2, "(role)", f"scan position {COUNT}, but a stack has 0 to {COUNT - 1}")
    detector.send(scene.sample()[0, 5:], role="sample", position=0, stack=0)
    told(COUNT + 3, "(shape)", "43 x 56 px", "48 x 56")
    detector.send_stack(scene.sample(), "sample", 3)
    detector.send(scene.sample()[0], role="sample", position=0, stack=0)
    told(2 * COUNT + 4, "(late)", "new series")
    detector.send(scene.sample()[0], role="sample", position=0, stack=4)
    detector.send_raw(b"STOP")
    told(2 * COUNT + 5, "stack 4 dropped (incomplete): 1 of 5 frames came")


def test_stop_message_closes_the_open_stack(bench):
    scene, config = Scene(COUNT), configuration()
    config["sinks"][0]["send_stop"] = True
    service, detector, viewer = bench(config)
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample()[:3], "sample", 0)
    detector.send_stop()
    status = service.wait_status("nothing in flight", lambda s: s["received"] == COUNT + 3 and s["in_flight"] == 0)
    check_account(status)
    assert nonzero(status["dropped"]) == {"incomplete": 3}
    header, payload = viewer.receive_raw()
    assert payload == b"STOP" and header["htype"] == "array-1.0", "the end of the series is passed on"
    detector.series, detector.frame = 2, 0
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])


def test_sample_before_any_reference(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.sample(), "sample", 0)
    status = service.wait_received(COUNT)
    check_account(status)
    assert nonzero(status["dropped"]) == {"no_reference": COUNT}
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 1)
    scene.check(viewer.result()[0])


def test_frame_numbers_at_the_end_of_the_range(running):
    """A hostile frame number must neither stop the service nor break the account."""
    service, detector, viewer, scene = running
    image = scene.sample()[0]
    for number in (2**63 - 1, 2**63, 2**64 - 1):
        detector.send(image, role="sample", position=0, stack=0, frame=number)
        detector.frame = COUNT
    status = service.wait_status("three more", lambda s: s["received"] == COUNT + 3)
    check_account(status)
    detector.series, detector.frame = 7, 0
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])
    check_account(service.status())


def test_images_full_of_extremes(running):
    """Zeros, saturation and not-a-number images: maps may be invalid, the service goes on."""
    service, detector, viewer, scene = running
    shape = scene.reference[0].shape
    for stack, value in enumerate((0, 65535)):
        detector.send_stack(np.full((COUNT, *shape), value, np.uint16), "sample", stack)
        viewer.result()
    detector.series, detector.frame = 2, 0  # of another element type
    detector.send_stack(scene.reference.astype(np.float32), "reference")
    detector.send_stack(np.full((COUNT, *shape), np.nan, np.float32), "sample", 0)
    viewer.result()
    detector.send_stack(scene.sample().astype(np.float32), "sample", 1)
    scene.check(viewer.result()[0])
    check_account(service.wait_received(6 * COUNT))


def test_flood_of_garbage(running):
    """Ten thousand hostile messages: all counted, the log stays short."""
    service, detector, viewer, scene = running
    generator = np.random.default_rng(3)
    for _ in range(10000):
        parts = [generator.bytes(generator.integers(0, 200)) for _ in range(generator.integers(1, 4))]
        detector.send_raw(*parts)
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])
    status = service.wait_received(2 * COUNT + 10000)
    check_account(status)
    assert sum(status["rejected"].values()) == 10000
    assert service.output().count("\n") < 500


def test_simulated_detector_with_every_fault(service, start, tmp_path):
    """`speckled simulate --inject`: what it says it did wrong is what the service counted."""
    config = configuration()
    config["source"]["bind"] = False
    running = service(config)
    rates = {"gaps": 0.02, "duplicates": 0.03, "reorders": 0.02, "aborts": 0.005, "sizes": 0.02, "headers": 0.02, "metadata": 0.02,
             "bad_frames": 0.02}
    detector = start("simulate", "--endpoint", source_of(config), "--size", 48, "--count", COUNT, "--stacks", 150, "--darks", 0,
                     "--flats", 0, "--model", "geometric", "--inject", ",".join(f"{key}={value}" for key, value in rates.items()),
                     "--report", tmp_path / "report.json")
    assert detector.wait() == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert all(report[fault] > 0 for fault in rates), report
    status = running.wait_status("every message", lambda s: s["received"] >= report["messages"] - report["stops"])
    running.command("stop")  # closes what the faults left open
    status = running.wait_status("nothing in flight", lambda s: s["in_flight"] == 0)
    check_account(status)
    rejected = status["rejected"]
    assert status["received"] == report["messages"] - report["stops"]
    assert rejected["empty"] == report["metadata"] and rejected["bad_frame"] == report["bad_frames"]
    assert rejected["header"] == report["headers"] and rejected["size"] == report["sizes"]
    # Not all: the second copy of a frame whose stack was given up for another fault starts that stack's place anew.
    assert rejected["duplicate"] + rejected["late"] > report["duplicates"] // 2
    assert status["results"] > 30
