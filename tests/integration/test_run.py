"""The life of `speckled run`: its ends, its signals, its account, its service manager, its refusals."""

import os
import pty
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from harness import PATIENCE, PROGRAM, Process, environment, run, wait_for

ACCOUNT = re.compile(r"frames: received (\d+) = published (\d+) \+ dropped (\d+)(?: \(.*?\))? \+ rejected (\d+)(?: \(.*?\))? "
                     r"\+ in flight (\d+): adds up\n")

NEEDED = ("source_simulate", "prep_dark_flat", "recon_umpa", "sink_hdf5")
if any(run("plugins", name)[0] for name in NEEDED):
    pytest.skip(f"needs {', '.join(NEEDED)}", allow_module_level=True)


def configuration(folder, **source):
    """The simulated experiment in this process, maps into a file."""
    return {
        "pipeline": {"count": 3, "threads": 1, "block": True},
        "source": {"plugin": "source_simulate", "size": 64, "count": 3, "darks": 2, "flats": 2, "model": "geometric", **source},
        "stages": [{"plugin": "prep_dark_flat"}, {"plugin": "recon_umpa"}],
        "sinks": [{"plugin": "sink_hdf5", "path": str(folder / "maps.h5"), "queue": "block"}],
    }


@pytest.fixture
def start(tmp_path):
    """Starts `speckled run`; what still runs at the end of the test is killed."""
    started = []

    def begin(config, *arguments, extra_environment=None):
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(config))
        started.append(Process(["run", "-c", file, *arguments], tmp_path, "run", extra_environment))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.check_sanitizers()


def account(process):
    match = ACCOUNT.search(process.output())
    assert match, process.output()
    received, published, dropped, rejected, in_flight = map(int, match.groups())
    assert received == published + dropped + rejected + in_flight and in_flight == 0
    return received, published


def wait_running(process):
    wait_for("running", lambda: "running; Ctrl-C stops" in process.output())


def test_ends_with_its_input(start, tmp_path):
    process = start(configuration(tmp_path, stacks=4))
    assert process.wait() == 0, process.output()
    received, published = account(process)
    assert received == published == 2 + 2 + 3 + 4 * 3
    assert "map sets: 4 published, 0 of them partial; references 1, darks 1, flats 1\n" in process.output()
    assert "sink_hdf5: 4 delivered, 0 dropped, 0 failed\n" in process.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_in_order(start, tmp_path, number):
    process = start(configuration(tmp_path, rate_hz=100))
    wait_running(process)
    process.popen.send_signal(number)
    assert process.wait() == 0, process.output()
    account(process)
    assert "stopping" in process.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_does_not_run_yet(start, tmp_path, number):
    """A source that computes for minutes before the first frame keeps nobody waiting."""
    process = start(configuration(tmp_path, size=512, evolve=200, model="wave"))
    wait_for("the source computes", lambda: "computing" in process.output())
    process.popen.send_signal(number)
    assert process.wait() == 0
    assert "before the service ran" in process.output() and "running" not in process.output()


def test_second_signal_ends_what_hangs(start, tmp_path):
    config = configuration(tmp_path, rate_hz=100)
    config["sinks"] = [{"plugin": "sink_stuck", "queue": "block"}]
    fixtures = Path(PROGRAM).resolve().parents[1] / "tests" / "fixtures"
    process = start(config, extra_environment={"SPECKLED_PLUGIN_PATH": str(fixtures)})
    wait_for("the sink hangs", lambda: "sink_stuck: stuck" in process.output())
    process.popen.send_signal(signal.SIGINT)
    wait_for("an answer to the first signal", lambda: "a second signal ends the process" in process.output())
    time.sleep(0.5)
    assert process.running()
    process.popen.send_signal(signal.SIGINT)
    assert process.wait() == -signal.SIGINT


def test_hang_up_does_not_stop(start, tmp_path):
    process = start(configuration(tmp_path, rate_hz=100))
    wait_running(process)
    process.popen.send_signal(signal.SIGHUP)
    wait_for("an answer to SIGHUP", lambda: "a new configuration needs a restart" in process.output())
    assert process.running()
    assert process.interrupt() == 0


def test_a_closed_terminal_stops_in_order(tmp_path):
    """Hung up first by the system, then by the shell that ends with its terminal."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(configuration(tmp_path, rate_hz=100)))
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    try:
        process, terminal = pty.fork()
    except OSError as error:
        pytest.skip(f"{error}: /dev/pts is not mounted")
    if not process:
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execve(PROGRAM, [PROGRAM, "run", "-c", str(file)], environment())
    os.close(log)
    try:
        wait_for("running", lambda: b"running" in (tmp_path / "log").read_bytes())
        os.close(terminal)
        wait_for("an answer", lambda: b"Hangup: stopping" in (tmp_path / "log").read_bytes())
        os.kill(process, signal.SIGHUP)
        ended = []
        wait_for("the end", lambda: ended.extend(os.waitpid(process, os.WNOHANG)) or ended[-2])
        assert ended[-1] == 0, (tmp_path / "log").read_text()
        process = 0
    finally:
        if process:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    assert ACCOUNT.search((tmp_path / "log").read_text())


def test_interrupt_works_where_the_shell_ignored_it(tmp_path):
    """As in `speckled run ... &` of a script."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(configuration(tmp_path, rate_hz=100)))
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(["sh", "-c", f'trap "" INT; exec "{PROGRAM}" run -c "{file}"'], stdout=log, stderr=log,
                                   env=environment())
    try:
        wait_for("running", lambda: b"running" in (tmp_path / "log").read_bytes())
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()


def test_status_lines(start, tmp_path):
    process = start(configuration(tmp_path, rate_hz=100), "--status-interval", "0.1")
    line = re.compile(r"^\d\d:\d\d:\d\d acquiring \| frames in \d+ \(\d+\.\d/s\) \| maps out [1-9]\d* \(.*?/s\) \| dropped 0 \| "
                      r"rejected 0 \| in flight \d+ \| latency p50 \d+\.\d\d ms p99 \d+\.\d\d ms$", re.MULTILINE)
    wait_for("a status line", lambda: line.search(process.output()))
    assert process.interrupt() == 0


def test_service_manager_hears(start, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE)
        process = start(configuration(tmp_path, rate_hz=100),
                        extra_environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})
        assert manager.recv(1024) == b"READY=1\nSTATUS=running"
        assert [manager.recv(1024) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.popen.send_signal(signal.SIGTERM)
        heard = b"WATCHDOG=1"
        while heard == b"WATCHDOG=1":
            heard = manager.recv(1024)
        assert heard == b"STOPPING=1"
    assert process.wait() == 0


def test_plugin_that_cannot_open_is_named(tmp_path):
    config = configuration(tmp_path)
    config["source"] = {"plugin": "source_hdf5", "file": str(tmp_path / "none.h5")}
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(config))
    code, out, err = run("run", "-c", file)
    assert code == 1 and out == ""
    assert re.fullmatch(re.escape(str(file)) + r":\d+:\d+: source_hdf5: .*none\.h5.*\n", err), err


def test_wrong_configuration_is_refused_whole(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("pipeline:\n  mode: stak\nsource: {plugin: source_simulat}\n"
                    "stages:\n  - {plugin: recon_umpa, windo: 2}\nsink: []\n")
    code, out, err = run("run", "-c", file)
    assert code == 2 and out == ""
    lines = err.splitlines()
    assert [re.match(re.escape(str(file)) + r":(\d+:\d+): ", line).group(1) for line in lines] == ["1:1", "2:9", "3:18", "5:26", "6:1"]
    assert "no sink" in lines[0] and "did you mean stack?" in lines[1] and "source_simulate" in lines[2]
    assert "did you mean window?" in lines[3] and "did you mean sinks?" in lines[4]
    assert run("check", file)[2] == err


def test_file_that_is_not_there(tmp_path):
    code, _, err = run("run", "-c", tmp_path / "none.yaml")
    assert code == 2 and err == f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n"


def test_usage():
    code, _, err = run("run")
    assert code == 2 and "--config FILE is missing" in err and err.count("\n") == 1
    code, _, err = run("run", "-c", os.devnull, "more")
    assert code == 2 and 'unexpected argument "more"' in err
