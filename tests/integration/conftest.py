"""Fixtures: every process and socket that a test makes is ended after it, whatever happens, and sanitizer reports fail the test."""

import pytest

import harness


def pytest_configure(config):
    harness.own_folder(config)


def pytest_collection_modifyitems(items):
    if harness.SANITIZED:
        skip = pytest.mark.skip(reason="needs the speed of an ordinary build")
        for item in items:
            if "plain" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def processes():
    """A list; what is put there is killed at the end and its log looked through for sanitizer reports."""
    started = []
    yield started
    for process in reversed(started):
        process.kill()
    for process in started:
        process.check_sanitizers()


@pytest.fixture
def service(processes, tmp_path):
    """service(configuration, name=...) starts the service and waits until it answers."""
    def start(configuration, **keys):
        process = harness.Service(configuration, tmp_path, **keys)
        processes.append(process)
        return process
    return start


@pytest.fixture
def start(processes, tmp_path):
    """start("simulate", "--frames", 100, ...) starts another command of the program in the background."""
    def begin(*arguments, name=None, **keys):
        process = harness.Process(arguments, tmp_path, name or f"{arguments[0]}{len(processes)}", **keys)
        processes.append(process)
        return process
    return begin


@pytest.fixture
def sockets():
    opened = []
    yield opened
    for socket in opened:
        socket.close()


@pytest.fixture
def detector(sockets):
    """detector(endpoint) connects a sender of array-1.0 frames."""
    def connect(address, **keys):
        sockets.append(harness.Detector(address, **keys))
        return sockets[-1]
    return connect


@pytest.fixture
def viewer(sockets):
    """viewer(service) subscribes to the maps of its sink_zmq, as its first client."""
    def subscribe(running):
        sockets.append(harness.Viewer(harness.maps_of(running.configuration)))
        sockets[-1].wait_subscribed(running)
        return sockets[-1]
    return subscribe


@pytest.fixture
def bench(service, detector, viewer):
    """bench(configuration): the service running, a detector and a viewer that see it."""
    def begin(config, **keys):
        running = service(config, **keys)
        return running, detector(harness.source_of(config)), viewer(running)
    return begin
