"""`speckled ctl` as a person uses it: words in, words out, silence where there is nothing to say."""

import json
import subprocess
import time

import pytest

from harness import PATIENCE, PROGRAM, Service, environment, run

NEEDED = ("source_simulate", "recon_umpa", "sink_zmq", "ctl_zmq")
if any(run("plugins", name)[0] for name in NEEDED):
    pytest.skip(f"needs {', '.join(NEEDED)}", allow_module_level=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    running = Service({
        "pipeline": {"count": 2, "threads": 1},
        "source": {"plugin": "source_simulate", "size": 64, "count": 2, "rate_hz": 50, "darks": 0, "flats": 0, "model": "geometric"},
        "stages": [{"plugin": "recon_umpa"}],
        "sinks": [{"plugin": "sink_zmq", "endpoints": "inproc://maps"}],
    }, tmp_path_factory.mktemp("ctl"))
    yield running
    assert running.interrupt() == 0, running.output()
    running.check_sanitizers()


def test_status_for_people_and_programs(service):
    text = service.command("status")
    assert text.startswith("state ") and " received = " in text
    service.wait_status("the reference", lambda status: status["references"] == 1)
    assert json.loads(service.command("--json", "status"))["state"] == "acquiring"


def test_commands_are_silent(service):
    for words in (["stop"], ["start"], ["reference"], ["reference", "2"], ["dark", "3"], ["flat", "003"], ["abort"], ["start"]):
        assert service.command(*words) == ""
    assert json.loads(service.command("--json", "start")) == {"ok": True}


def test_options(service):
    lines = service.command("options").splitlines()
    assert "source_simulate.size = 64" in [line.split("  ")[0] for line in lines]
    assert service.command("get", "source_simulate.seed") == "1\n"
    assert service.command("get", "rate_hz") == "50\n"


def test_refusals_are_one_line(service):
    for words, code, expected in ((["get", "no_such_option"], 1, "no_such_option"), (["get", "threads"], 1, "say source_simulate.threads"),
                                  (["set", "source_simulate.seed=2"], 1, "restart"),
                                  (["set", "seed"], 2, "KEY=VALUE"), (["dark", "many"], 2, "number of frames"),
                                  (["statis"], 2, "did you mean status?"), ([], 2, "status"), (["start", "now"], 2, "write: start")):
        got, out, err = service.ctl(*words)
        assert (got, out, err.count("\n")) == (code, "", 1), (words, out, err)
        assert expected in err


def test_strange_text_arrives_unharmed(service):
    """Quotes, backslashes, control characters: the service sees the key as it was typed, and answers."""
    code, _, err = service.ctl("set", 'a"b\\c\td=\x01"')
    assert code == 1 and 'a"b\\c' in err, err


def test_watch_repeats(service):
    watch = subprocess.Popen([PROGRAM, "ctl", "--endpoint", service.control, "watch", "--interval", "0.1"], stdout=subprocess.PIPE,
                             env=environment(), text=True)
    try:
        seen = 0
        while seen < 3:
            line = watch.stdout.readline()
            assert line, f"it ended with {watch.wait()}"
            seen += line.startswith("state ")
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_nobody_there():
    started = time.monotonic()
    code, out, err = run("ctl", "--endpoint", "tcp://127.0.0.1:1", "--timeout-ms", 200, "status")
    assert code == 1 and out == "" and "is the service running" in err
    assert time.monotonic() - started < PATIENCE / 2  # the patience of ctl, not of libzmq, which has no end
