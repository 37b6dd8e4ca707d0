"""What stock EPICS clients see of the IOC: caproto and pyepics over Channel Access, p4p over PV Access."""

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from caproto import AlarmSeverity, AlarmStatus
from caproto.sync import client as ca
from p4p.client.thread import Context, RemoteError

import common
from common import PATIENCE

TIME_NS = 1_700_000_000_123_456_789  # 2023-11-14 22:13:20.123456789 UTC
PANEL = Path(__file__).parents[2] / "deploy" / "panels" / "speckled.bob"
EPOCH_S = 631_152_000  # of EPICS, in POSIX seconds
MAPS = ["Trans1:", "Dark1:", "DispX1:", "DispY1:", "Phase1:", "Qual1:"]


def get(name, **keys):
    return ca.read("SPK:" + name, timeout=PATIENCE, repeater=False, **keys)


def value(name):
    return get(name, force_int_enums=True).data[0]


def word(name):
    """The text of a state."""
    return get(name).data[0].decode()


def text(name):
    data = bytes(np.asarray(get(name).data, dtype=np.uint8))
    return data.split(b"\0")[0].decode()


def long_text(name):
    return text(name + ".VAL$")


def put(name, what):
    """The server's answer, as the name of a CA status."""
    return ca.write("SPK:" + name, what, notify=True, timeout=PATIENCE, repeater=False).status.name


def wait_for(condition):
    return common.wait_for("what the test waits for", condition)


def picture(map_number, number, width, height):
    y, x = np.mgrid[:height, :width]
    return (map_number * 100 + number + 0.5 * y + 0.0078125 * x).astype(np.float32)


def test_a_result_becomes_arrays_with_sizes_types_and_the_detectors_time(ioc):
    host = ioc()
    assert host.ask(f"publish 7 65 48 {TIME_NS}") == "ok"
    for number, prefix in enumerate(MAPS):
        array = get(prefix + "ArrayData", data_type="time")
        assert array.data_count == 65 * 48
        np.testing.assert_array_equal(np.reshape(array.data, (48, 65)), picture(number, 7, 65, 48))
        assert array.metadata.timestamp == pytest.approx(TIME_NS * 1e-9, abs=1e-6)
        assert value(prefix + "NDimensions_RBV") == 2
        assert [value(f"{prefix}ArraySize{i}_RBV") for i in (0, 1, 2)] == [65, 48, 0]
        assert [value(f"{prefix}ArraySize{i}_RBV") for i in "XYZ"] == [65, 48, 0]
        assert value(prefix + "ArraySize_RBV") == 65 * 48 * 4
        assert word(prefix + "DataType_RBV") == "Float32"
        assert word(prefix + "ColorMode_RBV") == "Mono"
        assert value(prefix + "UniqueId_RBV") == 7
        assert value(prefix + "ArrayCounter_RBV") == 1
    valid = get("Valid1:ArrayData")
    y, x = np.mgrid[:48, :65]
    np.testing.assert_array_equal(np.reshape(valid.data, (48, 65)), (x + y) % 2)
    assert word("Valid1:DataType_RBV") == "UInt8"


def test_time_is_counted_from_1990_in_epics_fields(ioc):
    host = ioc()
    host.ask(f"publish 1 8 8 {TIME_NS}")
    assert value("Trans1:EpicsTSSec_RBV") == 1_700_000_000 - EPOCH_S
    assert value("Trans1:EpicsTSNsec_RBV") == 123_456_789
    assert value("Trans1:TimeStamp_RBV") == pytest.approx(1_700_000_000 - EPOCH_S + 0.123456789, abs=1e-6)
    stamp = get("Phase1:ArrayCounter_RBV", data_type="time").metadata
    assert (stamp.secondsSinceEpoch, stamp.nanoSeconds) == (1_700_000_000 - EPOCH_S, 123_456_789)


def test_sizes_may_change_from_result_to_result(ioc):
    host = ioc()
    for number, (width, height) in enumerate([(8, 8), (100, 3), (5, 60)]):
        host.ask(f"publish {number} {width} {height} {TIME_NS}")
        assert get("Trans1:ArrayData").data_count == width * height
        assert (value("Trans1:ArraySizeX_RBV"), value("Trans1:ArraySizeY_RBV")) == (width, height)
    assert value("Trans1:ArrayCounter_RBV") == 3


def test_a_map_beyond_max_pixels_is_refused_and_says_what_to_do(ioc):
    host = ioc(max_pixels=100)
    assert "max_pixels = 100: raise it" in host.ask(f"publish 1 11 10 {TIME_NS}")
    assert host.ask(f"publish 1 10 10 {TIME_NS}") == "ok"


def test_a_map_can_be_turned_off(ioc):
    host = ioc()
    put("Dark1:EnableCallbacks", 0)
    wait_for(lambda: value("Dark1:EnableCallbacks_RBV") == 0)
    host.ask(f"publish 1 8 8 {TIME_NS}")
    assert value("Trans1:ArrayCounter_RBV") == 1
    assert get("Dark1:ArrayCounter_RBV", data_type="time").metadata.severity == AlarmSeverity.INVALID_ALARM


def test_a_map_that_is_turned_off_stays_visible(ioc, pva):
    host = ioc()
    host.ask(f"publish 1 8 6 {TIME_NS}")
    put("Dark1:EnableCallbacks", 0)
    wait_for(lambda: value("Dark1:EnableCallbacks_RBV") == 0)
    host.ask(f"publish 2 8 6 {TIME_NS}")
    np.testing.assert_array_equal(np.reshape(get("Dark1:ArrayData").data, (6, 8)), picture(1, 1, 8, 6))
    np.testing.assert_array_equal(np.reshape(pva.get("SPK:Dark1:Image", timeout=PATIENCE).value, (6, 8)), picture(1, 1, 8, 6))
    np.testing.assert_array_equal(np.reshape(get("Trans1:ArrayData").data, (6, 8)), picture(0, 2, 8, 6))


def test_commands_reach_the_service(ioc):
    host = ioc()
    put("Recon1:Acquire", 1)
    assert host.line() == "command start 0"
    wait_for(lambda: value("Recon1:Acquire_RBV") == 1)
    assert word("Recon1:DetectorState_RBV") == "Acquire"
    for name, command in (("TakeReference", "reference"), ("TakeDark", "dark"), ("Abort", "abort")):
        put("Recon1:" + name, 1)
        assert host.line() == f"command {command} 0"
        wait_for(lambda: value("Recon1:" + name) == 0)
    wait_for(lambda: value("Recon1:Acquire") == 0)
    assert word("Recon1:DetectorState_RBV") == "Idle"


def test_a_refused_command_alarms_and_says_why(ioc):
    ioc()
    put("Recon1:TakeFlat", 1)
    wait_for(lambda: "no flats today" in text("Recon1:StatusMessage_RBV"))
    put("Recon1:TakeReference", 1)
    wait_for(lambda: text("Recon1:StatusMessage_RBV") == "reference: accepted")


def test_options_carry_units_limits_and_choices(ioc):
    ioc()
    wait_for(lambda: value("Recon1:TestBedWindow_RBV") == 3)
    for name in ("Recon1:TestBedWindow", "Recon1:TestBedWindow_RBV"):
        meta = get(name, data_type="control").metadata
        assert (meta.units, meta.lower_disp_limit, meta.upper_disp_limit) == (b"px", 1, 9)
    meta = get("Recon1:TestBedSubStep", data_type="control").metadata
    assert (meta.units, meta.lower_ctrl_limit, meta.upper_ctrl_limit) == (b"px", 0.125, 4)
    meta = get("Recon1:TestBedMethod", data_type="control").metadata
    assert [choice for choice in meta.enum_strings if choice] == [b"plain", b"antisymmetric", b"dct"]
    assert value("Recon1:TestBedMethod") == 2
    assert value("Recon1:TestBedSeed_RBV") == 5e9
    assert word("Recon1:TestBedWindow.DESC") == "Half size  of  the window."


@pytest.mark.parametrize("record, wanted, line, shown", [
    ("Window", 5, "window 5", 5),
    ("Window", 12, "window 9", 9),  # clamped by DRVH
    ("SubStep", 0.1, "sub_step 0.125", 0.125),
    ("SubStep", 1.1, "sub_step 1.1000000000000001", 1.1),
    ("Method", 1, "method antisymmetric", 1),
    ("DarkField", 0, "dark_field false", 0),
    ("Seed", 7e9, "seed 7000000000", 7e9),
])
def test_live_options_can_be_set(ioc, record, wanted, line, shown):
    host = ioc()
    wait_for(lambda: value("Recon1:TestBedWindow_RBV") == 3)
    put("Recon1:TestBed" + record, wanted)
    assert host.line() == "set recon_test_bed." + line
    wait_for(lambda: value(f"Recon1:TestBed{record}_RBV") == shown)
    assert value("Recon1:TestBed" + record) == shown


def test_text_options_longer_than_40_characters(ioc):
    host = ioc()
    wait_for(lambda: long_text("Recon1:TestBedNote_RBV") == "none")
    note = "sandpaper P800, behind the slits, in its third holder from the left"
    put("Recon1:TestBedNote.VAL$", [*note.encode(), 0])
    assert host.line() == "set recon_test_bed.note " + note
    wait_for(lambda: long_text("Recon1:TestBedNote_RBV") == note)


def test_an_option_that_needs_a_restart_says_so(ioc):
    ioc()
    before = wait_for(lambda: long_text("Recon1:TestBedOffsets_RBV"))
    put("Recon1:TestBedOffsets", "3, 4")
    wait_for(lambda: "needs restart" in text("Recon1:StatusMessage_RBV"))
    meta = get("Recon1:TestBedOffsets", data_type="time").metadata
    assert (meta.severity, meta.status) == (AlarmSeverity.INVALID_ALARM, AlarmStatus.WRITE)
    assert long_text("Recon1:TestBedOffsets_RBV") == before


def test_set_records_follow_changes_made_elsewhere(ioc):
    """Two clients, one service: the second sees the first one's value in the set record, too."""
    host = ioc()
    wait_for(lambda: value("Recon1:TestBedWindow_RBV") == 3)
    assert value("Recon1:TestBedWindow") == 3
    assert get("Recon1:TestBedWindow", data_type="time").metadata.severity == AlarmSeverity.NO_ALARM
    put("Recon1:TestBedOffsets", "3, 4")
    put("Recon1:TestBedWindow", 4)
    assert host.line() == "set recon_test_bed.window 4"
    wait_for(lambda: long_text("Recon1:TestBedOffsets") != "3, 4")


@pytest.mark.parametrize("used, severity", [(149, 0), (150, 1), (199, 1), (200, 2)])
def test_a_filling_queue_alarms(ioc, used, severity):
    host = ioc()
    host.ask(f"queue {used}")
    wait_for(lambda: value("Recon1:QueueFree") == 200 - used)
    use = wait_for(lambda: (use := get("Recon1:QueueUse", data_type="time")).data[0] == used / 2 and use)
    assert use.metadata.severity == severity
    assert value("Recon1:QueueSize") == 200


def test_every_counter_is_there_and_the_account_adds_up(ioc):
    ioc()
    wait_for(lambda: value("Recon1:ReceivedArrays_RBV") > 0 and value("Recon1:RejectedLate_RBV") > 0)  # the last of all
    parts = {"Published": ["Sample", "Reference", "Dark", "Flat"],
             "Dropped": ["NoBuffer", "QueueFull", "Idle", "NoReference", "NoStack", "Incomplete", "Aborted", "Fault"],
             "Rejected": ["Header", "Type", "Size", "Empty", "BadFrame", "Parts", "Decode", "Shape", "Role", "Duplicate", "Late"]}
    total = value("Recon1:InFlightArrays_RBV")
    assert total == 17
    for number, (fate, reasons) in enumerate(parts.items(), 1):
        counts = [value(f"Recon1:{fate}{reason}_RBV") for reason in reasons]
        first = 1000 * number + (fate == "Published")
        assert counts == list(range(first, first + len(reasons)))
        assert value(f"Recon1:{fate}Arrays_RBV") == sum(counts)
        total += sum(counts)
    assert value("Recon1:ReceivedArrays_RBV") == total
    assert value("Recon1:LatencyP50_RBV") == pytest.approx(1.5)
    assert value("Recon1:LatencyP99_RBV") == pytest.approx(9.25)
    assert value("Recon1:FrameRate_RBV") == pytest.approx(99.5)
    assert text("Recon1:StatusMessage_RBV") == "all is well"


def test_the_process_shows_its_pulse(ioc):
    host = ioc()
    beats = [get("Recon1:Heartbeat_RBV", data_type="time")]

    def once_a_second():
        """Of the last beats; a busy machine may delay one."""
        beats.append(get("Recon1:Heartbeat_RBV", data_type="time"))
        first = next(beat for beat in beats if beat.data[0] >= beats[-1].data[0] - 4)
        seen = beats[-1].data[0] - first.data[0]
        return seen >= 2 and 0.5 < (beats[-1].metadata.timestamp - first.metadata.timestamp) / seen < 2

    wait_for(once_a_second)

    def resident_mb():
        with open(f"/proc/{host.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") * 1e-6

    wait_for(lambda: value("Recon1:MemoryUse_RBV") == pytest.approx(resident_mb(), rel=0.2))
    host.ask(f"publish 1 8 8 {TIME_NS}")
    wait_for(lambda: value("Recon1:ExecutionTime_RBV") == 2.5)
    assert value("Recon1:FrameId_RBV") == 4321


def test_read_backs_and_images_cannot_be_written(ioc):
    host = ioc()
    host.ask(f"publish 1 8 8 {TIME_NS}")
    before = value("Recon1:ReceivedArrays_RBV")
    assert put("Recon1:ReceivedArrays_RBV", 5) == "ECA_NOWTACCESS"
    assert put("Trans1:ArrayData", [1.0, 2.0]) == "ECA_NOWTACCESS"
    assert put("Trans1:ArrayData.DISP", [0]) == "ECA_NOWTACCESS"
    assert value("Recon1:ReceivedArrays_RBV") == before
    np.testing.assert_array_equal(np.reshape(get("Trans1:ArrayData").data, (8, 8)), picture(0, 1, 8, 8))


def test_an_access_security_file_makes_all_read_only(ioc, tmp_path):
    rules = tmp_path / "read.acf"
    rules.write_text("ASG(DEFAULT) { RULE(1, READ) }\nASG(READONLY) { RULE(1, READ) }\n")
    host = ioc(access_file=rules)
    assert put("Recon1:Acquire", 1) == "ECA_NOWTACCESS"
    assert put("Recon1:TestBedWindow", 5) == "ECA_NOWTACCESS"
    assert value("Recon1:TestBedWindow") == 3
    host.tell("queue 1")
    assert host.line() == "ok"  # and no command before it


def test_hosts_are_told_apart_by_their_address(ioc, tmp_path):
    """This client is at 127.0.0.1, whatever it calls itself."""
    rules = tmp_path / "hosts.acf"
    rules.write_text(f'HAG(operators) {{ "127.0.0.9", "{socket.gethostname()}.invalid" }}\n'
                     "ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) { HAG(operators) } }\n")
    ioc(access_file=rules)
    assert put("Recon1:TestBedWindow", 5) == "ECA_NOWTACCESS"


def test_a_broken_access_security_file_stops_the_start(ioc, tmp_path):
    rules = tmp_path / "broken.acf"
    rules.write_text("ASG(DEFAULT { RULE(1, READ) }\n")
    with pytest.raises(AssertionError, match="access security file .*broken.acf"):
        ioc(access_file=rules)


def test_puts_are_logged_with_who_and_what(ioc):
    host = ioc()
    put("Recon1:TestBedWindow", 6)
    wait_for(lambda: " puts 6 to SPK:Recon1:TestBedWindow" in host.log.read_text())


def test_settings_survive_a_restart(ioc, tmp_path):
    saved = tmp_path / "ioc.sav"
    host = ioc(autosave=saved)
    wait_for(lambda: value("Recon1:TestBedWindow_RBV") == 3)
    put("Recon1:TestBedWindow", 8)
    put("Recon1:TestBedSubStep", 1 / 3)
    put("Recon1:TestBedMethod", 0)
    put("Phase1:EnableCallbacks", 0)
    put("Recon1:TestBedNote.VAL$", [*b"as it was before", 0])
    wait_for(lambda: value("Recon1:TestBedMethod_RBV") == 0)
    while not host.line().startswith("set recon_test_bed.note"):
        pass
    assert host.close() == 0
    assert "SPK:Recon1:TestBedOffsets" not in saved.read_text()
    again = ioc(autosave=saved)
    lines = {again.line() for _ in range(6)}
    assert "set recon_test_bed.window 8" in lines
    assert "set recon_test_bed.method plain" in lines
    wait_for(lambda: value("Recon1:TestBedWindow_RBV") == 8)
    assert value("Recon1:TestBedSubStep_RBV") == pytest.approx(1 / 3, rel=1e-12)
    assert long_text("Recon1:TestBedNote_RBV") == "as it was before"
    assert value("Phase1:EnableCallbacks_RBV") == 0


def test_an_autosave_file_with_rubbish_does_no_harm(ioc, tmp_path):
    saved = tmp_path / "ioc.sav"
    saved.write_bytes(b"SPK:Recon1:Acquire.VAL 1\nSPK:Recon1:TestBedWindow.VAL nonsense\n\xff\xfe\nx\n"
                      b"SPK:Recon1:TestBedMethod.VAL 0\nSPK:Recon1:TestBedWindow.OUT @command.abort\n")
    host = ioc(autosave=saved)
    assert host.line() == "set recon_test_bed.method plain"
    wait_for(lambda: value("Recon1:TestBedMethod_RBV") == 0)
    assert value("Recon1:TestBedWindow_RBV") == 3


def test_one_ioc_a_process(ioc):
    assert "once a process" in ioc().ask("again")


def test_no_thread_is_real_time_and_no_memory_is_locked(ioc):
    host = ioc()
    get("Recon1:Acquire")
    for task in os.listdir(f"/proc/{host.process.pid}/task"):
        try:
            with open(f"/proc/{host.process.pid}/task/{task}/stat") as file:
                name, fields = file.read().rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread of a client that has gone
        assert fields.split()[38] == "0", name
    with open(f"/proc/{host.process.pid}/status") as file:
        assert "VmLck:\t       0 kB" in file.read()


def test_the_service_ends_while_clients_are_connected(ioc, pva):
    host = ioc()
    pva.monitor("SPK:Trans1:Image", lambda image: None)
    pva.monitor("SPK:Recon1:Heartbeat_RBV", lambda beat: None)
    watcher = subprocess.Popen([sys.executable, "-m", "caproto.commandline.monitor", "--no-repeater", "SPK:Recon1:Heartbeat_RBV"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host.ask(f"publish 1 8 8 {TIME_NS}")
        wait_for(lambda: value("Recon1:Heartbeat_RBV") > 1)
        assert host.close() == 0
    finally:
        watcher.kill()
        watcher.wait()


STUCK = """
import os, signal
from caproto.threading.client import Context
pvs = Context().get_pvs(*[f"SPK:{m}1:ArrayData" for m in ("Trans", "Dark", "DispX", "DispY", "Phase")], timeout=100)
for pv in pvs:
    pv.wait_for_connection(timeout=100)
    pv.subscribe().add_callback(lambda *a: None)
print("subscribed", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_client_that_never_reads_holds_nothing_up(ioc):
    host = ioc()
    client = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == "subscribed\n"
        for number in range(20):  # a client that held the service up would do so without end
            assert host.ask(f"publish {number} 1024 1024 {TIME_NS + number}") == "ok"
        assert value("Trans1:UniqueId_RBV") == 19
        assert get("Trans1:ArrayData").data[0] == 19
    finally:
        client.send_signal(signal.SIGKILL)
        client.wait()
    assert host.close() == 0


STORM = Path(__file__).parent / "put_storm.py"


def test_clients_that_leave_right_after_a_put_do_no_harm(ioc):
    """On one processor the server's callback thread, when it weighs the least, is stopped wherever it wakes the thread that answers: the
    client has gone and the next one's put is there before it goes on. Without ioc_rsrv.c it then reads through NULL at once."""
    host = ioc()
    processor = random.choice(sorted(os.sched_getaffinity(0)))
    for task in map(int, os.listdir(f"/proc/{host.process.pid}/task")):
        os.sched_setaffinity(task, {processor})
        if Path(f"/proc/{host.process.pid}/task/{task}/comm").read_text() == "cbLow\n":
            os.setpriority(os.PRIO_PROCESS, task, 19)
    command = [sys.executable, STORM, os.environ["EPICS_CA_SERVER_PORT"], "SPK:Recon1:TestBedWindow", str(processor), "100"]
    storm = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    complaints = [client.communicate(timeout=PATIENCE)[1] for client in storm]
    assert host.process.poll() is None
    assert complaints == [""] * 4
    put("Recon1:TestBedSubStep", 1.5)
    wait_for(lambda: value("Recon1:TestBedSubStep_RBV") == 1.5)


PYEPICS = """
import json, epics
image = epics.PV("SPK:Trans1:ArrayData")
image.wait_for_connection(100)
data = image.get(timeout=100)
window = epics.PV("SPK:Recon1:TestBedWindow", connection_timeout=100)
window.wait_for_connection(100)
window.put(7, wait=True, timeout=100)
print(json.dumps([len(data), float(data[-1]), image.timestamp, window.get(timeout=100, use_monitor=False)]))
"""


def test_pyepics_reads_and_writes(ioc):
    """libca, the C client that most beamlines use; an array of 1 MB is beyond its old limit of 16 kB."""
    host = ioc()
    host.ask(f"publish 3 512 512 {TIME_NS}")
    output = subprocess.run([sys.executable, "-c", PYEPICS], capture_output=True, text=True, timeout=4 * PATIENCE, check=True).stdout
    count, last, stamp, window = json.loads(output.splitlines()[-1])
    assert (count, last) == (512 * 512, picture(0, 3, 512, 512)[-1, -1])
    assert stamp == pytest.approx(TIME_NS * 1e-9, abs=1e-6)
    assert window == 7


@pytest.fixture
def pva():
    with Context("pva", conf={key: os.environ[key] for key in os.environ if key.startswith("EPICS_PVA")}, useenv=False,
                     nt=False) as context:
        yield context


def test_pv_access_serves_the_same_records(ioc, pva):
    host = ioc()
    host.ask(f"publish 5 32 16 {TIME_NS}")
    data = pva.get("SPK:Phase1:ArrayData", timeout=PATIENCE)
    np.testing.assert_array_equal(np.reshape(data.value, (16, 32)), picture(4, 5, 32, 16))
    assert (data.timeStamp.secondsPastEpoch, data.timeStamp.nanoseconds) == (1_700_000_000, 123_456_789)
    pva.put("SPK:Recon1:TestBedWindow", 12, timeout=PATIENCE)
    assert host.line() == "set recon_test_bed.window 9"  # clamped by DRVH
    wait_for(lambda: " puts to SPK:Recon1:TestBedWindow, now 9" in host.log.read_text())
    assert host.log.read_text().count(" puts ") == 1
    wait_for(lambda: pva.get("SPK:Recon1:StatusMessage_RBV", timeout=PATIENCE).value == "TestBedWindow = 9")  # a text there, not bytes


def test_pv_access_images_are_ntndarrays(ioc, pva):
    host = ioc()
    host.ask(f"publish 5 32 16 {TIME_NS}")
    image = pva.get("SPK:Phase1:Image", timeout=PATIENCE)
    assert image.getID() == "epics:nt/NTNDArray:1.0"
    assert [axis.size for axis in image.dimension] == [32, 16]  # x first
    np.testing.assert_array_equal(np.reshape(image.value, (16, 32)), picture(4, 5, 32, 16))
    assert image.value.dtype == np.float32
    assert image.uniqueId == 5
    assert (image.dataTimeStamp.secondsPastEpoch, image.dataTimeStamp.nanoseconds) == (1_700_000_000, 123_456_789)
    assert image.uncompressedSize == image.compressedSize == 32 * 16 * 4
    assert image.codec.name == ""
    valid = pva.get("SPK:Valid1:Image", timeout=PATIENCE)
    assert valid.value.dtype == np.uint8


def test_pv_access_obeys_the_same_rules(ioc, pva):
    ioc()
    before = value("Recon1:ReceivedArrays_RBV")
    for name in ("SPK:Recon1:ReceivedArrays_RBV", "SPK:Trans1:ArraySize0_RBV"):
        with pytest.raises(RemoteError):
            pva.put(name, 5, timeout=PATIENCE)
    with pytest.raises(RemoteError):
        pva.put("SPK:Trans1:Image", {"uniqueId": 9}, timeout=PATIENCE)
    assert value("Recon1:ReceivedArrays_RBV") == before


def test_pv_access_images_keep_coming(ioc, pva):
    host = ioc()
    seen = queue.Queue()
    with contextlib.closing(pva.monitor("SPK:Trans1:Image", lambda image: seen.put(image.uniqueId))):
        seen.get(timeout=PATIENCE)
        for number in range(1, 6):
            host.ask(f"publish {number} 32 16 {TIME_NS}")
            assert seen.get(timeout=PATIENCE) == number
    host.ask(f"publish 6 32 16 {TIME_NS}")
    assert pva.get("SPK:Trans1:Image", timeout=PATIENCE).uniqueId == 6


def test_pv_access_can_be_left_out(ioc, pva):
    ioc(pva="false")
    assert value("Recon1:Heartbeat_RBV") >= 0
    with pytest.raises(TimeoutError):
        pva.get("SPK:Recon1:Heartbeat_RBV", timeout=2)


def open_files(pid):
    """What the descriptors of a process point at; one that closes meanwhile is left out."""
    files = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            files.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return files


def test_servers_listen_on_the_interface_of_the_configuration_only(ioc):
    sockets = open_files(ioc().process.pid)
    listening = []
    for table in ("tcp", "tcp6"):
        with open("/proc/net/" + table) as file:
            for fields in map(str.split, list(file)[1:]):
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    listening.append(fields[1].split(":")[0])
    assert listening == ["0100007F"] * 2  # Channel Access and PV Access on 127.0.0.1


def test_every_pv_of_the_panel_is_served(ioc, pva):
    host = ioc()
    host.ask(f"publish 1 8 8 {TIME_NS}")
    wait_for(lambda: value("Recon1:Heartbeat_RBV") > 0)
    names = {element.text for element in ElementTree.parse(PANEL).iter("pv_name")} - {"$(pv_name)"}
    assert len(names) > 40
    for name in names:
        name = name.replace("$(P)", "SPK:").replace("$(R)", "Recon1:")
        assert "$(" not in name
        if name.startswith("pva://"):
            assert pva.get(name.removeprefix("pva://"), timeout=PATIENCE).uniqueId == 1
        else:
            ca.read(name, timeout=PATIENCE, repeater=False)
