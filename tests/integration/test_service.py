"""The service in all its modes, by exact numbers: frames from a pyzmq sender, maps to a pyzmq subscriber and a NeXus file."""

import re

import h5py
import numpy as np
import yaml
import zmq

from harness import COUNT, Scene, check_account, configuration, free_port, nonzero, run, source_of

def test_stacks_become_maps(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    for stack in range(4):
        detector.send_stack(scene.sample(0.9 - 0.1 * stack), "sample", stack)
    for stack in range(4):
        maps, header = viewer.result()
        scene.check(maps, transmission=0.9 - 0.1 * stack)
        about = header["speckled"]
        assert (about["number"], about["stack"], about["partial"], about["count"]) == (stack, stack, False, COUNT)
        assert about["frame_ids"] == list(range(COUNT * (stack + 1), COUNT * (stack + 2)))
    status = service.wait_received(5 * COUNT)
    check_account(status)
    assert nonzero(status["published"]) == {"sample": 4 * COUNT, "reference": COUNT}
    assert (status["results"], status["references"], status["partial"], status["missing"]) == (4, 1, 0, 0)
    assert service.interrupt() == 0


def test_phase_is_there_and_finite(bench):
    scene = Scene(COUNT)
    _, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    maps, _ = viewer.result()
    assert set(maps) >= {"transmission", "dark_field", "displacement_x", "displacement_y", "phase", "valid"}
    assert np.isfinite(maps["phase"][maps["valid"] == 1]).all()


def test_maps_without_a_valid_pixel_are_told_of_once(bench):
    scene = Scene(COUNT)
    config = configuration()
    config["stages"].insert(0, {"plugin": "prep_dark_flat"})
    service, detector, viewer = bench(config)
    detector.send_stack(scene.reference, "reference")
    for stack, light in enumerate((1, 0, 0, 1)):
        detector.send_stack(light * scene.sample(), "sample", stack)
        assert viewer.result()[0]["valid"].any() == bool(light)
    status = service.wait_received(5 * COUNT)
    assert 0 < 2 * status["valid_pixels"] <= status["pixels"] == 4 * scene.reference[0].size
    assert "% of all results' pixels" in service.command("status")
    assert re.findall(r"stack (\d+): no pixel is valid", service.output()) == ["1"]


def test_a_value_that_a_stage_refuses_leaves_the_former_one(service, detector):
    """What contradicts itself is refused at once; what only the frames can tell, when the stage hears of it."""
    config = configuration()
    config["stages"].insert(0, {"plugin": "prep_dark_flat"})
    scene, running = Scene(COUNT), service(config)
    code, _, err = running.ctl("set", "prep_dark_flat.normalise=region")
    assert code == 1 and "prep_dark_flat: normalise: region needs region" in err and err.count("\n") == 1, err
    detector(source_of(config)).send_stack(scene.reference, "reference")
    running.wait_status("the reference", lambda status: status["references"] == 1)
    code, _, err = running.ctl("set", "prep_dark_flat.region=1,2")
    assert code == 1 and "prep_dark_flat: region has 2 numbers" in err and err.count("\n") == 1, err
    running.command("set", "prep_dark_flat.region=0,0,1000,1000")
    running.wait_status("the refusal", lambda status: "the former values stay" in status["message"])
    assert running.command("get", "prep_dark_flat.region") == "\n"
    running.command("set", "prep_dark_flat.hot_sigma=7")
    assert running.command("get", "prep_dark_flat.hot_sigma") == "7\n"
    running.wait_status("the change", lambda status: status["generation"] == 2)
    assert running.output().count("the former values stay") == 1


def test_rolling_makes_a_result_each_frame(bench):
    """The first as soon as every position is filled; a frame that comes after the result of the one before makes one."""
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(mode="rolling"))
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample")
    scene.check(viewer.result()[0])
    for round_ in range(2):
        for position, image in enumerate(scene.sample()):
            detector.send(image, role="sample", position=position)
            maps, header = viewer.result()
            scene.check(maps)
            assert header["speckled"]["number"] == 1 + round_ * COUNT + position
            assert max(header["speckled"]["frame_ids"]) == detector.frame - 1
    status = service.wait_received(4 * COUNT)
    check_account(status)
    assert status["results"] == 2 * COUNT + 1
    assert nonzero(status["published"]) == {"sample": 3 * COUNT, "reference": COUNT}


def test_rolling_in_a_hurry_merges_frames_and_loses_none(bench):
    """Frames that come faster than maps are made share a result."""
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(mode="rolling"))
    detector.send_stack(scene.reference, "reference")
    for _ in range(20):
        detector.send_stack(scene.sample(), "sample")
    status = service.wait_received(21 * COUNT)
    check_account(status)
    assert nonzero(status["dropped"]) == {} and nonzero(status["rejected"]) == {}
    for _ in range(status["results"]):
        scene.check(viewer.result()[0])


def test_detector_faster_than_the_reconstruction(bench):
    """Without `block` whole stacks are dropped, under their reason; what is published is right and in order."""
    scene = Scene(COUNT, height=256, width=256)
    service, detector, viewer = bench(configuration(block=False, threads=1))
    detector.send_stack(scene.reference, "reference")
    service.wait_received(COUNT)
    sample = scene.sample()
    for stack in range(40):
        detector.send_stack(sample, "sample", stack)
    status = service.wait_received(41 * COUNT)
    check_account(status)
    assert 0 < status["results"] < 40 and status["published"]["sample"] == status["results"] * COUNT
    assert set(nonzero(status["dropped"])) <= {"no_stack", "no_buffer", "queue_full", "incomplete"}
    last = -1
    for _ in range(status["results"]):
        maps, header = viewer.result()
        scene.check(maps)
        assert header["speckled"]["stack"] > last
        last = header["speckled"]["stack"]


def test_single_makes_a_result_of_one_frame(bench):
    scene = Scene(1)
    config = configuration(mode="single")
    config["pipeline"]["count"] = 1
    config["stages"][0]["window"] = 5
    service, detector, viewer = bench(config)
    detector.send_stack(scene.reference, "reference")
    for _ in range(6):
        detector.send_stack(scene.sample(), "sample")
        maps, _ = viewer.result()
        scene.check(maps)
    status = service.wait_received(7)
    check_account(status)
    assert (status["results"], status["references"]) == (6, 1)


def test_tomography_keeps_the_angles(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(mode="tomo"))
    detector.send_stack(scene.reference, "reference")
    for angle in range(3):
        for position, image in enumerate(scene.sample()):
            detector.send(image, role="sample", position=position, stack=angle, angle_deg=60.0 * angle)
    for angle in range(3):
        maps, header = viewer.result()
        scene.check(maps)
        assert header["speckled"]["angle_deg"] == 60.0 * angle
    check_account(service.wait_received(4 * COUNT))


def test_roles_by_counting(bench):
    """A detector that knows nothing of roles: the first `count` frames are the reference, the rest stacks."""
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(roles="count"))
    for image in [*scene.reference, *scene.sample(), *scene.sample(0.5)]:
        detector.send(image)
    scene.check(viewer.result()[0])
    scene.check(viewer.result()[0], transmission=0.5)
    status = service.wait_received(3 * COUNT)
    assert nonzero(status["published"]) == {"sample": 2 * COUNT, "reference": COUNT}


def test_order_within_a_stack_does_not_matter(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    sample = scene.sample()
    for position in (0, 2, 1, 4, 3):
        detector.send(sample[position], role="sample", position=position, stack=0, frame=COUNT + position)
    scene.check(viewer.result()[0])
    status = service.wait_received(2 * COUNT)
    check_account(status)
    assert (status["results"], status["disordered"], status["missing"]) == (1, 2, 0)


def test_nexus_file_holds_every_result(service, detector, tmp_path):
    scene = Scene(COUNT)
    config = configuration()
    path = tmp_path / "maps.h5"
    config["sinks"] = [{"plugin": "sink_hdf5", "path": str(path), "queue": "block"}]
    running = service(config)
    sender = detector(source_of(config))
    sender.send_stack(scene.reference, "reference")
    for stack in range(3):
        sender.send_stack(scene.sample(1 - 0.2 * stack), "sample", stack)
    running.wait_status("three results", lambda s: s["results"] == 3)
    assert running.interrupt() == 0
    with h5py.File(path) as file:
        maps = file["/entry/maps"]
        assert maps["transmission"].shape == (3, *scene.reference.shape[1:])
        assert maps["displacement_x"].attrs["units"] in ("px", b"px")
        for stack in range(3):
            scene.check({name: maps[name][stack] for name in
                         ("transmission", "dark_field", "displacement_x", "displacement_y", "valid")}, transmission=1 - 0.2 * stack)


def test_reference_retaken_in_the_middle(bench):
    """The sample stays; the new reference is the sample itself, after which nothing is displaced and T is 1."""
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    maps, header = viewer.result()
    scene.check(maps)
    assert header["speckled"]["reference"] == 1
    service.command("reference")
    for position, image in enumerate(scene.sample()):
        detector.send(image, position=position)
    detector.send_stack(scene.sample(), "sample", 1)
    maps, header = viewer.result()
    assert header["speckled"]["reference"] == 2
    inner = (slice(10, -10),) * 2
    assert np.median(np.abs(maps["displacement_x"][inner])) < 0.02
    assert np.median(np.abs(maps["transmission"][inner] - 1)) < 0.01
    status = service.wait_received(4 * COUNT)
    check_account(status)
    assert nonzero(status["published"]) == {"sample": 2 * COUNT, "reference": 2 * COUNT}
    assert status["references"] == 2


def test_reference_that_simply_comes_again(bench):
    """Roles in the headers are enough: no command."""
    scene, other = Scene(COUNT), Scene(COUNT, seed=2)
    service, detector, viewer = bench(configuration())
    for current, stack in ((scene, 0), (other, 1)):
        detector.send_stack(current.reference, "reference")
        detector.send_stack(current.sample(), "sample", stack)
        current.check(viewer.result()[0])
    status = service.wait_received(4 * COUNT)
    check_account(status)
    assert status["references"] == 2


def test_dark_frames_are_subtracted(bench):
    scene = Scene(COUNT)
    config = configuration()
    config["stages"].insert(0, {"plugin": "prep_dark_flat"})
    service, detector, viewer = bench(config)
    offset = np.uint16(500)
    for _ in range(4):
        detector.send(np.full_like(scene.reference[0], offset), role="dark")
    detector.send_stack(scene.reference + offset, "reference")
    detector.send_stack(scene.sample() + offset, "sample", 0)
    maps, _ = viewer.result()
    scene.check(maps)
    status = service.wait_received(4 + 2 * COUNT)
    check_account(status)
    assert nonzero(status["published"]) == {"sample": COUNT, "reference": COUNT, "dark": 4}
    assert status["darks"] == 1


def test_live_option_and_generation(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    _, before = viewer.result()
    service.command("set", "recon_umpa.refine=none")
    assert service.command("get", "recon_umpa.refine").strip() == "none"
    detector.send_stack(scene.sample(), "sample", 1)
    maps, after = viewer.result()
    scene.check(maps)
    assert after["speckled"]["generation"] == before["speckled"]["generation"] + 1
    # Whole pixels are all that is left without refinement.
    assert set(np.unique(maps["displacement_x"][10:-10, 10:-10])) == {np.float32(scene.dx)}


def test_option_that_needs_a_restart_says_so(service):
    running = service(configuration())
    for key in ("source_zmq_array.rcvhwm=7", "recon_umpa.window=1"):
        code, out, err = running.ctl("set", key)
        assert code == 1 and out == "" and "restart" in err, (code, out, err)


def test_wrong_settings_are_refused_with_the_reason(service):
    running = service(configuration())
    for setting, reason in (("recon_umpa.refin=1", "refine"), ("recon_umpa.refine=many", "many"), ("recon_umpa.passes=99", "20"),
                            ("nonsense.refine=1", "nonsense")):
        code, out, err = running.ctl("set", setting)
        assert code == 1 and out == "" and reason in err, (setting, code, out, err)
    assert running.status()["generation"] == 0


def test_stop_and_start_again(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])
    service.command("stop")
    service.wait_status("idle", lambda s: s["state"] == "idle")
    detector.send_stack(scene.sample(), "sample", 1)
    status = service.wait_received(3 * COUNT)
    assert nonzero(status["dropped"]) == {"idle": COUNT}
    service.command("start")
    service.wait_status("acquiring", lambda s: s["state"] == "acquiring")
    detector.send_stack(scene.sample(), "sample", 2)
    scene.check(viewer.result()[0])
    check_account(service.wait_received(4 * COUNT))


def test_not_acquiring_from_the_start(bench):
    scene = Scene(COUNT)
    service, detector, _ = bench(configuration(acquire=False))
    detector.send_stack(scene.reference, "reference")
    status = service.wait_received(COUNT)
    check_account(status)
    assert nonzero(status["dropped"]) == {"idle": COUNT} and status["state"] == "idle"


def test_several_lanes_keep_the_order(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration(lanes=3, threads=1))
    detector.send_stack(scene.reference, "reference")
    for stack in range(20):
        detector.send_stack(scene.sample(), "sample", stack)
    for stack in range(20):
        _, header = viewer.result()
        assert (header["speckled"]["number"], header["speckled"]["stack"]) == (stack, stack)
    check_account(service.wait_received(21 * COUNT))


def test_empty_stream(service, detector):
    """A series without frames, then silence: nothing happens and nothing is counted."""
    config = configuration()
    running = service(config)
    sender = detector(source_of(config))
    sender.send_stop()
    sender.send_stop()
    status = running.status()
    assert (status["received"], status["results"]) == (0, 0)
    assert running.interrupt() == 0


def test_interrupt_in_the_middle_of_a_stack(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(configuration())
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    scene.check(viewer.result()[0])
    detector.send_stack(scene.sample()[:3], "sample", 1)
    status = service.wait_status("the open stack", lambda s: s["received"] == 2 * COUNT + 3 and s["in_flight"] == 3)
    check_account(status)
    assert service.interrupt() == 0
    assert "aborted" in service.output(), "the closing account tells what was lost"


def test_terminate_is_as_good_as_interrupt(service):
    running = service(configuration())
    running.popen.terminate()
    assert running.wait() == 0


def test_port_in_use_is_said(tmp_path):
    """The message names the plugin, the endpoint and the cause."""
    port = free_port()
    blocker = zmq.Context.instance().socket(zmq.PULL)
    blocker.bind(f"tcp://127.0.0.1:{port}")
    config = configuration()
    config["source"]["endpoints"] = [f"tcp://127.0.0.1:{port}"]
    file = tmp_path / "busy.yaml"
    file.write_text(yaml.safe_dump(config))
    code, _, err = run("run", "-c", file)
    blocker.close()
    assert code == 1 and "source_zmq_array" in err and str(port) in err and "in use" in err, err
