"""What the Python tests of every folder share: patience, ports of their own, the environment of the processes they start."""

import itertools
import os
import random
import shutil
import socket
import tempfile
import time
from pathlib import Path

SANITIZED = bool(os.environ.get("SPECKLED_SANITIZE"))
PATIENCE = 240.0 if SANITIZED else 120.0  # seconds until something that must happen counts as not happening, on a machine full of work
SANITIZER_REPORTS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:")


def quiet_ports():
    """Ports that the system gives to no client by itself, in an order that begins elsewhere in each process."""
    low, high = 10000, 60000
    try:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        first, last = 32768, 60999
    ports = [port for port in range(low, high) if not first <= port <= last] or list(range(low, high))
    start = random.SystemRandom().randrange(len(ports))
    return itertools.cycle(ports[start:] + ports[:start])


PORTS = quiet_ports()
RESERVED = []  # sockets whose names keep the other test processes of this machine from our ports, for as long as this one lives


def reserve(port):
    """True when no other test process has this port; abstract socket names belong to the network namespace, as ports do."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0speckled-test-port-{port}")
    except OSError:
        mark.close()
        return False
    RESERVED.append(mark)
    return True


def free_port():
    """A port that nobody uses, neither TCP nor UDP, and that no test process is given again while this one runs."""
    for port in PORTS:
        if not reserve(port):
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_for(what, condition, seconds=PATIENCE):
    """Repeats condition() until it returns something true, which is returned; fails with the text `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last value {value!r}")
        time.sleep(0.02)


def environment():
    """The tests' environment without anything of the user's own EPICS or speckled set-up, and with the sanitizers' options."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EPICS_CA", "EPICS_PVA"))}
    kept.pop("SPECKLED_PLUGIN_PATH", None)
    # gcc's leak checker before 14 takes some of glibc's thread-local blocks for ones with a header of long ago and crashes.
    kept["ASAN_OPTIONS"] = "exitcode=99:detect_leaks=1:allocator_may_return_null=1:intercept_tls_get_addr=0"
    kept["UBSAN_OPTIONS"] = "print_stacktrace=1:exitcode=99"
    kept["TSAN_OPTIONS"] = f"exitcode=99:allocator_may_return_null=1:suppressions={Path(__file__).parent / 'tsan.supp'}"
    return kept


def lean_sanitizers():
    """For processes whose size is looked at: the sanitizers' own records are as small as they can be, that of freed memory, which
    would be 256 MB, and those of threads and of former accesses."""
    whole = environment()
    return {"ASAN_OPTIONS": whole["ASAN_OPTIONS"] + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=16:malloc_context_size=2",
            "TSAN_OPTIONS": whole["TSAN_OPTIONS"] + ":history_size=0:flush_memory_ms=1000"}


def check_sanitizers(text):
    """No sanitizer has reported anything in this output."""
    assert not any(report in text for report in SANITIZER_REPORTS), text[-8000:]


def own_folder(config):
    """For pytest_configure(): temporary files of this run go to a folder of its own, not to the one that parallel runs number and
    clear together."""
    if not config.option.basetemp:
        config.option.basetemp = tempfile.mkdtemp(prefix="speckled-test-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
