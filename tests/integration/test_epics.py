"""The running service seen by EPICS clients, and told about its frames by EPICS PVs."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import harness
from harness import COUNT, check_account, configuration, free_port, source_of, total, wait_for

pytest.importorskip("caproto", reason="needs caproto: deploy/install --tests")
from caproto.sync import client as ca  # noqa: E402

pytestmark = pytest.mark.skipif(harness.run("plugins", "sink_epics_ioc")[0] != 0, reason="built without EPICS")

TIME_NS = 1_700_000_000_123_456_789


def ca_environment(port, search=None):
    """Clients of the process look at `search`, its server listens at `port`."""
    return {"EPICS_CA_ADDR_LIST": f"127.0.0.1:{search or port}", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_SERVER_PORT": str(port),
            "EPICS_CA_REPEATER_PORT": str(free_port()), "EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_SERVER_PORT": str(free_port()), "EPICS_PVA_BROADCAST_PORT": str(free_port())}


class Pvs:
    """caproto in this process."""

    def __init__(self, port, monkeypatch):
        self.environment = ca_environment(port)
        for key, value in self.environment.items():
            monkeypatch.setenv(key, value)

    def read(self, name, **keys):
        return ca.read(name, timeout=harness.PATIENCE, repeater=False, force_int_enums=True, **keys)

    def get(self, name):
        return self.read("SPK:" + name).data[0]

    def text(self, name):
        return bytes(np.asarray(self.read("SPK:" + name).data, dtype=np.uint8)).split(b"\0")[0].decode()

    def put(self, name, value):
        return ca.write(name, value, notify=True, timeout=harness.PATIENCE, repeater=False).status.name

    def set(self, name, value):
        assert self.put("SPK:" + name, value) == "ECA_NORMAL"

    def picture(self, prefix):
        data = np.asarray(self.read(f"SPK:{prefix}ArrayData").data)
        return data.reshape(self.get(prefix + "ArraySizeY_RBV"), self.get(prefix + "ArraySizeX_RBV"))

    def wait(self, name, value):
        wait_for(f"{name} = {value}", lambda: self.get(name) == value)


@pytest.fixture
def pvs(monkeypatch):
    return Pvs(free_port(), monkeypatch)


def with_ioc(**pipeline):
    config = configuration(**pipeline)
    config["sinks"].append({"plugin": "sink_epics_ioc", "queue": "latest"})
    return config


def check_pv_account(pvs):
    """The conservation law of a service that has come to rest, whose counters are read one by one."""
    fates = {}

    def adds_up():
        fates.update({fate: int(pvs.get(f"Recon1:{fate}Arrays_RBV")) for fate in ("Received", "Published", "Dropped", "Rejected", "InFlight")})
        return 2 * fates["Received"] == sum(fates.values())

    wait_for("an account that adds up", adds_up)
    return fates


def test_maps_counters_and_time_of_a_live_stream(service, detector, pvs):
    config = with_ioc()
    running = service(config, extra_environment=pvs.environment)
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    beam.send_stack(scene.reference, "reference")
    for stack in range(3):
        for position, image in enumerate(scene.sample()):
            beam.send(image, role="sample", position=position, stack=stack, detector_ns=TIME_NS + beam.frame)
    last = beam.frame - 1
    pvs.wait("Trans1:UniqueId_RBV", 2)
    wait_for("the counter, which is last", lambda: pvs.get("Valid1:ArrayCounter_RBV") >= 1)
    names = {"transmission": "Trans1:", "dark_field": "Dark1:", "displacement_x": "DispX1:", "displacement_y": "DispY1:", "valid": "Valid1:"}
    scene.check({name: pvs.picture(prefix) for name, prefix in names.items()})
    stamp = pvs.read("SPK:Trans1:ArrayData", data_type="time").metadata
    assert (stamp.secondsSinceEpoch, stamp.nanoSeconds) == (1_700_000_000 - 631_152_000, 123_456_789 + last)
    assert pvs.get("Recon1:FrameId_RBV") == last
    pvs.wait("Recon1:ReceivedArrays_RBV", 4 * COUNT)
    pvs.wait("Recon1:PublishedArrays_RBV", 4 * COUNT)
    fates = check_pv_account(pvs)
    status = running.status()
    check_account(status)
    assert fates["Received"] == status["received"]
    assert status["references"] == 1
    pvs.wait("Recon1:References_RBV", 1)
    assert 0 < pvs.get("Recon1:LatencyP50_RBV") <= pvs.get("Recon1:LatencyP99_RBV") <= pvs.get("Recon1:LatencyMax_RBV")
    assert pvs.get("Recon1:ExecutionTime_RBV") > 0
    assert 0 < pvs.get("Recon1:ValidFraction_RBV") <= 1 and 0 < pvs.get("Recon1:Curl_RBV") < 0.1
    assert running.interrupt() == 0


def test_commands_act_on_the_stream(service, detector, pvs):
    config = with_ioc(acquire=False)
    running = service(config, extra_environment=pvs.environment)
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    assert pvs.get("Recon1:Acquire") == pvs.get("Recon1:Acquire_RBV") == 0
    beam.send_stack(scene.reference, "reference")
    pvs.wait("Recon1:DroppedIdle_RBV", COUNT)
    pvs.set("Recon1:Acquire", 1)
    pvs.wait("Recon1:Acquire_RBV", 1)
    beam.send_stack(scene.reference, "reference")
    pvs.wait("Recon1:References_RBV", 1)
    pvs.set("Recon1:TakeReference", 1)
    wait_for("the answer", lambda: "reference" in pvs.text("Recon1:StatusMessage_RBV"))
    for position, image in enumerate(scene.sample(1.0)):  # whatever comes next is the reference now
        beam.send(image, position=position)
    pvs.wait("Recon1:References_RBV", 2)
    beam.send_stack(scene.sample(), "sample", stack=0)
    pvs.wait("Trans1:ArrayCounter_RBV", 1)
    inner = (slice(10, -10),) * 2
    assert np.median(np.abs(pvs.picture("DispX1:")[inner])) < 0.05, "the reference that was taken last is the one that counts"
    for position in (0, 1):
        beam.send(scene.sample()[position], role="sample", position=position, stack=1)
    pvs.wait("Recon1:InFlightArrays_RBV", 2)
    pvs.set("Recon1:Abort", 1)
    pvs.wait("Recon1:DroppedAborted_RBV", 2)
    pvs.wait("Recon1:Acquire", 0)
    check_pv_account(pvs)
    assert running.interrupt() == 0


def test_options_of_the_method_change_while_it_runs(service, detector, pvs):
    config = with_ioc()
    running = service(config, extra_environment=pvs.environment)
    pvs.wait("Recon1:UmpaPasses_RBV", int(running.command("get", "recon_umpa.passes")))
    meta = pvs.read("SPK:Recon1:UmpaPasses", data_type="control").metadata
    assert (meta.lower_ctrl_limit, meta.upper_ctrl_limit) == (1, 20)
    before = pvs.get("Recon1:Generation_RBV")
    pvs.set("Recon1:UmpaDarkField", 0)
    pvs.wait("Recon1:UmpaDarkField_RBV", 0)
    pvs.wait("Recon1:Generation_RBV", before + 1)
    running.command("set", "recon_umpa.passes=5")
    pvs.wait("Recon1:UmpaPasses_RBV", 5)
    pvs.wait("Recon1:UmpaPasses", 5)
    pvs.set("Recon1:UmpaRefine", 1)
    wait_for("the choice", lambda: running.command("get", "recon_umpa.refine") == "window\n")
    pvs.wait("Recon1:UmpaRefine_RBV", 1)
    pvs.set("Recon1:UmpaMaxShift", 2)
    wait_for("the refusal", lambda: "needs restart" in pvs.text("Recon1:StatusMessage_RBV"))
    assert pvs.get("Recon1:UmpaMaxShift_RBV") == 4
    assert pvs.read("SPK:Recon1:UmpaMaxShift", data_type="time").metadata.severity == 3
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    beam.send_stack(scene.reference, "reference")
    beam.send_stack(scene.sample(), "sample", stack=0)
    pvs.wait("Trans1:ArrayCounter_RBV", 1)
    assert running.interrupt() == 0


def test_the_method_is_a_pv(service, detector, pvs):
    config = with_ioc()
    config["stages"].insert(1, {"plugin": "recon_xst", "max_shift": 4})
    running = service(config, extra_environment=pvs.environment)
    wait_for("the method at the start", lambda: pvs.get("Recon1:Method_RBV") == b"recon_umpa")
    pvs.set("Recon1:Method", "xst")
    wait_for("the other method", lambda: pvs.get("Recon1:Method_RBV") == b"recon_xst")
    assert running.command("get", "pipeline.method") == "recon_xst\n"
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    beam.send_stack(scene.reference, "reference")
    beam.send_stack(scene.sample(), "sample", stack=0)
    pvs.wait("Trans1:ArrayCounter_RBV", 1)
    assert abs(np.nanmedian(pvs.picture("Trans1:")) - scene.transmission) < 0.01
    assert running.interrupt() == 0


WATCHER = """
import sys, time
from caproto.threading.client import Context
pvs = Context().get_pvs("SPK:Trans1:ArrayData", "SPK:Recon1:Heartbeat_RBV", timeout=30)
for pv in pvs:
    pv.wait_for_connection(timeout=30)
    pv.subscribe().add_callback(lambda *a: None)
print("watching", flush=True)
time.sleep(600)
"""


def test_clients_come_and_go_killed_or_not(service, detector, pvs):
    config = with_ioc()
    running = service(config, extra_environment=pvs.environment)
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    beam.send_stack(scene.reference, "reference")
    watchers = [subprocess.Popen([sys.executable, "-c", WATCHER], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for watcher in watchers:
            assert watcher.stdout.readline() == "watching\n"
        watchers[0].kill()
        for stack in range(5):
            beam.send_stack(scene.sample(), "sample", stack=stack)
        status = running.wait_received(6 * COUNT)
        assert total(status["published"]) == 6 * COUNT
        watchers[1].kill()
        assert running.interrupt() == 0
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()


def test_a_second_ioc_is_refused_with_the_remedy(tmp_path, pvs):
    config = with_ioc()
    config["sinks"].append({"plugin": "sink_epics_ioc", "prefix": "TWO:"})
    started = harness.Process(["run", "-c", write(config, tmp_path)], tmp_path, "two", pvs.environment)
    try:
        assert started.wait() != 0
        assert "once a process" in started.output()
    finally:
        started.kill()


def write(config, folder):
    file = folder / "service.yaml"
    file.write_text(harness.yaml.safe_dump(config))
    return file


SCAN = """
from caproto.server import PVGroup, pvproperty, ioc_arg_parser, run
from caproto import ChannelType
class Scan(PVGroup):
    role = pvproperty(value="Idle", enum_strings=["Idle", "Diffuser", "Projection"], record="mbbo", dtype=ChannelType.ENUM)
    step = pvproperty(value=1.0, dtype=float)
    angle = pvproperty(value=0, dtype=int)
run(Scan(prefix="SCAN:").pvdb, interfaces=["127.0.0.1"], log_pv_names=False)
"""


class Scan:
    """The beamline's scan IOC."""

    def __init__(self, environment):
        self.environment = environment
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", SCAN], env={**os.environ, **self.environment},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def scan():
    running = []

    def begin(environment):
        running.append(Scan(environment))
        return running[-1]
    yield begin
    for one in running:
        one.stop()


def test_roles_and_positions_from_pvs(service, detector, pvs, scan, monkeypatch):
    """A detector that knows nothing but pixels; the IOC and the client of the service share one process and one libca."""
    scan_port = free_port()
    scan_environment = ca_environment(scan_port)
    ioc_port = int(pvs.environment["EPICS_CA_SERVER_PORT"])
    monkeypatch.setenv("EPICS_CA_ADDR_LIST", f"127.0.0.1:{ioc_port} 127.0.0.1:{scan_port}")
    motors = scan(scan_environment)
    config = with_ioc(roles="context")
    config["controls"] = [{"plugin": "ctl_epics_context", "role_pv": "SCAN:role", "roles": ["Diffuser=reference", "Projection=sample"],
                           "position_pv": "SCAN:step", "first_position": 1, "stack_pv": "SCAN:angle", "addresses": f"127.0.0.1:{scan_port}"}]
    running = service(config, extra_environment=pvs.environment)
    scene, beam = harness.Scene(COUNT), detector(source_of(config))
    wait_for("connection", lambda: running.output().count("connected at") == 3)

    def expose(image, received):
        beam.send(image)
        pvs.wait("Recon1:ReceivedArrays_RBV", received)

    def heard(name, value):
        """PV and frame come by different ways: until the service knows of the value."""
        wait_for(f"{name} is {value}", lambda: re.findall(rf" {name} is (.*)$", running.output(), re.MULTILINE)[-1:] == [str(value)])

    expose(scene.reference[0], 1)
    pvs.wait("Recon1:RejectedRole_RBV", 1)  # "Idle" is no role
    received = 1
    for role, images in (("Diffuser", scene.reference), ("Projection", scene.sample())):
        pvs.put("SCAN:role", role)
        heard("SCAN:role", role)
        for position in reversed(range(COUNT)):  # an order that counting could not guess
            pvs.put("SCAN:step", float(position + 1))
            heard("SCAN:step", position + 1)
            received += 1
            expose(images[position], received)
    pvs.wait("Trans1:ArrayCounter_RBV", 1)
    wait_for("the last counter", lambda: pvs.get("Valid1:ArrayCounter_RBV") == 1)
    names = {"transmission": "Trans1:", "dark_field": "Dark1:", "displacement_x": "DispX1:", "displacement_y": "DispY1:", "valid": "Valid1:"}
    scene.check({name: pvs.picture(prefix) for name, prefix in names.items()})
    check_pv_account(pvs)

    def told():
        for value in (-1.0, 0.0):
            pvs.put("SCAN:step", value)
        return "is not a whole number from 1 (first_position)" in running.output()
    wait_for("what is expected of a position", told)
    motors.stop()
    wait_for("a line about it", lambda: running.output().count("disconnected") == 3)
    rejected = pvs.get("Recon1:RejectedRole_RBV")
    expose(scene.sample()[0], received + 1)
    pvs.wait("Recon1:RejectedRole_RBV", rejected + 1)
    motors.start()
    wait_for("reconnection", lambda: running.output().count("connected at") == 6)
    assert running.output().count("disconnected") == 3
    assert running.interrupt() == 0
