"""Several methods in one service: they are exchanged while frames come, and no frame pays for it."""

import h5py
import numpy as np
import pytest

from harness import COUNT, Scene, check_account, configuration, nonzero, run

NEEDED = ("source_zmq_array", "sink_zmq", "sink_hdf5", "ctl_zmq", "recon_umpa", "recon_xst", "post_integrate")
if any(run("plugins", name)[0] for name in NEEDED):
    pytest.skip(f"needs {', '.join(NEEDED)}", allow_module_level=True)

HAS_NETWORK = run("plugins", "recon_specklenet")[0] == 0
METHODS = [{"plugin": "recon_umpa", "max_shift": 4, "window": 2}, {"plugin": "recon_xst", "max_shift": 4}]
EXCHANGES = ("xst", "recon_umpa", "recon_xst", "umpa")


def with_methods(methods=METHODS, **pipeline):
    config = configuration(**pipeline)
    config["stages"] = [*methods, {"plugin": "post_integrate"}]
    return config


def check(scene, maps, method, transmission=None):
    """recon_umpa finds whole pixels exactly; the parabola of recon_xst has a bias of a few hundredths of a pixel, a network an error
    of its own. None is near zero displacement, nor near another stack's transmission."""
    if whole_name(method) == "recon_umpa":
        scene.check(maps, transmission)
        return
    inner = (slice(10, -10),) * 2
    factor = scene.transmission if transmission is None else transmission
    assert np.median(np.hypot(maps["displacement_x"] - scene.dx, maps["displacement_y"] - scene.dy)[inner]) < 0.1
    assert np.median(np.abs(maps["transmission"] - factor)[inner]) < 0.01


def whole_name(method):
    return method if method.startswith("recon_") else f"recon_{method}"


@pytest.mark.parametrize("lanes", [1, 3])
def test_methods_change_in_a_running_stream_without_losing_a_frame(bench, lanes, tmp_path):
    """The detector never waits for the change. Every stack comes out once, in order, made by the one method or the other, and
    from the first result of a new method on there is none of the one before."""
    scene, stacks, path = Scene(COUNT), 0, tmp_path / "maps.h5"
    config = with_methods(lanes=lanes, method="umpa")
    config["sinks"].append({"plugin": "sink_hdf5", "path": str(path), "queue": "block"})
    service, detector, viewer = bench(config)
    detector.send_stack(scene.reference, "reference")
    orders = [None, *EXCHANGES]
    for order in orders:
        for _ in range(4):
            detector.send_stack(scene.sample(), "sample", stacks)
            stacks += 1
        if order:
            service.command("set", f"pipeline.method={order}")
            for _ in range(4):
                detector.send_stack(scene.sample(), "sample", stacks)
                stacks += 1
        service.wait_received((1 + stacks) * COUNT)
    seen = []
    for number in range(stacks):
        maps, header = viewer.result()
        about = header["speckled"]
        assert (about["number"], about["stack"], about["partial"], about["reference"]) == (number, number, False, 1)
        assert about["frame_ids"] == list(range(COUNT * (number + 1), COUNT * (number + 2)))
        assert sum(time > 0 for name, time in about["stages"].items() if name.startswith("recon_")) == 1
        assert about["stages"][about["method"]] > 0
        check(scene, maps, about["method"])
        seen.append(about["method"])
    changes = [name for before, name in zip([None, *seen], seen) if name != before]
    assert changes == ["recon_umpa", *map(whole_name, EXCHANGES)]
    status = service.wait_received((1 + stacks) * COUNT)
    check_account(status)
    assert nonzero(status["dropped"]) == nonzero(status["rejected"]) == {}
    assert (status["results"], status["references"], status["method"]) == (stacks, 1, "recon_umpa")
    assert status["generation"] == len(EXCHANGES)
    assert service.interrupt() == 0
    with h5py.File(path) as file:
        rows = file["/entry/process/results"]
        assert [name.decode() for name in rows["method"]] == seen
        assert list(rows["stack"]) == list(range(stacks))


def test_methods_change_between_two_maps_of_a_rolling_stack(bench):
    """A method that stood by has not seen the frames before: its first map is as good as those that follow."""
    scene = Scene(COUNT)
    service, detector, viewer = bench(with_methods(mode="rolling"))
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample")
    scene.check(viewer.result()[0])
    for order, factor in zip(("xst", "umpa", "xst"), (0.75, 0.6, 0.9)):
        for position, image in enumerate(scene.sample(factor)):
            if position == 2:
                service.command("set", f"pipeline.method={order}")
            detector.send(image, role="sample", position=position)
            maps, header = viewer.result()
            if position >= 2:
                assert header["speckled"]["method"] == whole_name(order)
        check(scene, maps, order, factor)
    status = service.wait_received((2 + 3) * COUNT)
    check_account(status)
    assert nonzero(status["dropped"]) == {}


def test_a_map_that_only_the_other_method_makes_is_not_a_number(bench):
    """The form of the results stays, whichever method is at work: files and subscribers go on."""
    scene = Scene(COUNT)
    methods = [{"plugin": "recon_umpa", "max_shift": 4, "window": 2, "quality": "best"}, METHODS[1]]
    service, detector, viewer = bench(with_methods(methods))
    detector.send_stack(scene.reference, "reference")
    detector.send_stack(scene.sample(), "sample", 0)
    first, _ = viewer.result()
    service.command("set", "pipeline.method=xst")
    detector.send_stack(scene.sample(), "sample", 1)
    second, header = viewer.result()
    assert header["speckled"]["method"] == "recon_xst" and set(first) == set(second)
    only = [name for name in first if np.isfinite(first[name]).any() and np.isnan(second[name]).all()]
    assert only == ["displacement_error"]
    check(scene, second, "xst")


def test_an_unknown_method_is_refused(service):
    running = service(with_methods())
    code, out, err = running.ctl("set", "pipeline.method=espinet")
    assert code == 1 and "espinet" in err and "recon_umpa, recon_xst" in err and err.count("\n") == 1, out + err
    assert running.command("get", "pipeline.method") == "recon_umpa\n"
    running.command("set", "pipeline.method=xst")
    assert running.command("get", "pipeline.method") == "recon_xst\n"


@pytest.mark.skipif(not HAS_NETWORK, reason="needs recon_specklenet")
def test_a_network_takes_over_and_gives_back(bench):
    scene = Scene(COUNT)
    service, detector, viewer = bench(with_methods([METHODS[0], {"plugin": "recon_specklenet"}]))
    detector.send_stack(scene.reference, "reference")
    for stack, order in enumerate(("umpa", "specklenet", "umpa", "specklenet")):
        service.command("set", f"pipeline.method={order}")
        detector.send_stack(scene.sample(), "sample", stack)
        maps, header = viewer.result()
        assert header["speckled"]["method"] == whole_name(order)
        check(scene, maps, order)
    status = service.wait_received(5 * COUNT)
    check_account(status)
    assert status["results"] == 4 and nonzero(status["dropped"]) == {}
