"""The IOC of ioc_host as a fixture, on loopback ports of its own."""

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import PATIENCE, check_sanitizers, environment, free_port, own_folder  # noqa: E402


def pytest_configure(config):
    own_folder(config)
    for key in list(os.environ):
        if key.startswith("EPICS_"):
            del os.environ[key]
    os.environ.update({
        **environment(),
        "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(free_port()), "EPICS_CA_REPEATER_PORT": str(free_port()),
        "EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_SERVER_PORT": str(free_port()), "EPICS_PVA_BROADCAST_PORT": str(free_port()),
    })


class Ioc:
    def __init__(self, folder, name, options):
        self.log = Path(folder, name + ".log")
        self.process = subprocess.Popen([os.environ["SPECKLED_IOC_HOST"], *(f"{key}={value}" for key, value in options.items())],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log, "wb"), text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def line(self, seconds=PATIENCE):
        """The next line that the host prints; None when it has ended."""
        return self.lines.get(timeout=seconds)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.line()

    def close(self):
        """Ends the service in an orderly way; returns the exit code."""
        assert self.ask("close") == "ok"
        return self.process.wait(PATIENCE)


@pytest.fixture
def ioc(tmp_path):
    """ioc(option=value, ...) starts one; all are killed after the test and their logs looked through for sanitizer reports."""
    running = []

    def start(**options):
        running.append(Ioc(tmp_path, f"ioc{len(running)}", options))
        first = running[-1].line()
        assert first == "ready", running[-1].log.read_text()
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()
        log = one.log.read_text(errors="replace")
        print(log)
        check_sanitizers(log)
