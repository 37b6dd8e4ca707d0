"""What the integration tests are made of: processes of the real program, a detector and a client written with pyzmq, and a scene
whose maps are known in closed form. Nothing here uses code of speckled itself."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
import zmq

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import PATIENCE, SANITIZED, check_sanitizers, environment, free_port, lean_sanitizers, own_folder, wait_for  # noqa: E402, F401

PROGRAM = os.environ.get("SPECKLED_PROGRAM", "speckled")


def endpoint():
    return f"tcp://127.0.0.1:{free_port()}"


class Process:
    """A command of the program, its output in a file."""

    def __init__(self, arguments, folder, name, extra_environment=None):
        self.log = Path(folder, name + ".log")
        self.name = name
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          cwd=folder, env={**environment(), **(extra_environment or {})})

    def output(self):
        return self.log.read_text(errors="replace")

    def running(self):
        return self.popen.poll() is None

    def wait(self, seconds=PATIENCE):
        """Exit code; fails when the process does not end in time."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s:\n{self.output()[-4000:]}") from None

    def interrupt(self):
        self.popen.send_signal(signal.SIGINT)
        return self.wait()

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def check_sanitizers(self):
        check_sanitizers(self.output())


def run(*arguments, seconds=2 * PATIENCE, folder=None):
    """Runs a command to its end: exit code, stdout, stderr."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          check=False, cwd=folder, env=environment())
    check_sanitizers(done.stderr)
    return done.returncode, done.stdout, done.stderr


class Service(Process):
    """`speckled run` with a configuration, and its control endpoint."""

    def __init__(self, configuration, folder, name="service", extra_environment=None):
        self.control = endpoint()
        configuration = dict(configuration)
        configuration["service"] = {"log_level": "debug"}
        configuration["controls"] = [*configuration.get("controls", []), {"plugin": "ctl_zmq", "endpoint": self.control}]
        self.configuration = configuration
        self.file = Path(folder, name + ".yaml")
        self.file.write_text(yaml.safe_dump(configuration, sort_keys=False))
        super().__init__(["run", "-c", self.file], folder, name, extra_environment)
        try:
            wait_for(f"{name} answers", self.answers)
        except AssertionError:
            self.kill()
            raise AssertionError(f"{name} does not answer:\n{self.output()[-4000:]}") from None

    def answers(self):
        assert self.running(), self.output()[-4000:]
        return run("ctl", "--endpoint", self.control, "--timeout-ms", 5000, "status")[0] == 0

    def ctl(self, *arguments):
        return run("ctl", "--endpoint", self.control, "--timeout-ms", int(PATIENCE * 1000), *arguments)

    def command(self, *arguments):
        """A control command that must succeed."""
        code, out, err = self.ctl(*arguments)
        assert code == 0, f"ctl {arguments}: {out}{err}"
        return out

    def status(self):
        return json.loads(self.command("--json", "status"))

    def wait_status(self, what, condition, seconds=PATIENCE):
        """The first status for which condition(status) holds."""
        last = {}

        def met():
            last.clear()
            last.update(self.status())
            return condition(last)

        try:
            wait_for(what, met, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(last, indent=1)}") from None
        return dict(last)

    def wait_subscriptions(self, number):
        """Until its sink_zmq knows of so many different subscriptions so far: whoever made them misses no map from here on."""
        said = re.compile(r"sink_zmq: different subscriptions so far: (\d+)$", re.MULTILINE)
        wait_for(f"{number} subscriptions", lambda: said.findall(self.output())[-1:] == [str(number)])

    def wait_received(self, frames):
        """The status once so many frames have come in and none is in flight any more."""
        return self.wait_status(f"{frames} frames received and accounted for",
                                lambda s: s["received"] >= frames and s["in_flight"] == 0)


COUNT = 5  # scan positions of configuration()


def configuration(**pipeline):
    """A small service on free ports: array-1.0 in, maps out over ZeroMQ."""
    return {
        "pipeline": {"mode": "stack", "count": COUNT, "threads": 2, "block": True, **pipeline},
        "geometry": {"energy_kev": 20, "pixel_size_m": 1e-6, "distance_m": 0.5},
        "source": {"plugin": "source_zmq_array", "endpoints": [endpoint()], "bind": True},
        "stages": [{"plugin": "recon_umpa", "max_shift": 4, "window": 2}, {"plugin": "post_integrate"}],
        "sinks": [{"plugin": "sink_zmq", "endpoints": [endpoint()], "queue": "block", "sndhwm": 1000}],
    }


def source_of(config):
    """Where a detector sends to."""
    return config["source"]["endpoints"][0]


def maps_of(config):
    """Where the maps are published."""
    return next(sink["endpoints"][0] for sink in config["sinks"] if sink["plugin"] == "sink_zmq")


def total(value):
    return sum(value.values()) if isinstance(value, dict) else value


def nonzero(counters):
    return {key: value for key, value in counters.items() if value}


def check_account(status):
    """The conservation law."""
    parts = {part: total(status[part]) for part in ("published", "dropped", "rejected", "in_flight")}
    assert status["received"] == sum(parts.values()), (status["received"], parts)


class Detector:
    """Sends array-1.0 as a detector does: PUSH, JSON header and raw bytes."""

    def __init__(self, address, bind=False):
        self.socket = zmq.Context.instance().socket(zmq.PUSH)
        self.socket.sndhwm = 10000
        self.socket.linger = 2000
        (self.socket.bind if bind else self.socket.connect)(address)
        self.frame = 0
        self.series = 1

    def send_raw(self, *parts):
        self.socket.send_multipart([part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts])

    def header(self, image, **keys):
        """The header of `image`; role, position, stack and the like go under `speckled`, htype, shape and the like to the top."""
        own = {key: keys.pop(key) for key in ("role", "position", "stack", "angle_deg", "detector_ns") if key in keys}
        return {"htype": "array-1.0", "shape": list(image.shape), "type": str(image.dtype), "frame": self.frame,
                "speckled": {"series": self.series, **own}, **keys}

    def send(self, image, **keys):
        """One frame; its number counts on unless `frame=` is given."""
        image = np.ascontiguousarray(image)
        header = self.header(image, **keys)
        self.socket.send_multipart([json.dumps(header).encode(), image.tobytes()])
        self.frame = header["frame"] + 1

    def send_stack(self, images, role, stack=None, skip=()):
        for position, image in enumerate(images):
            if position in skip:
                self.frame += 1
                continue
            keys = {} if stack is None else {"stack": stack}
            self.send(image, role=role, position=position, **keys)

    def send_stop(self):
        self.send_raw({"htype": "array-1.0"}, b"STOP")

    def close(self):
        self.socket.close()


class Viewer:
    """Receives maps as anybody's array-1.0 client does: SUB."""

    def __init__(self, address):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.rcvhwm = 0
        self.socket.linger = 0
        self.socket.subscribe(b"")
        self.socket.connect(address)

    def wait_subscribed(self, service, others=0):
        """Until the service has heard of the subscription. Of equal ones it hears once, so this client makes one more that is
        only its own; `others`: those of clients before."""
        self.socket.subscribe(b"no map begins with this: %d" % id(self))
        service.wait_subscriptions(2 + others)

    def receive_raw(self, seconds=PATIENCE):
        """Header and payload of the next message, None when none comes in time."""
        if not self.socket.poll(seconds * 1000):
            return None
        header, payload = self.socket.recv_multipart()
        return json.loads(header), payload

    def receive(self, seconds=PATIENCE):
        """Header and image of the next map, None when none comes in time; ends of series are passed over."""
        while (message := self.receive_raw(seconds)) and message[1] == b"STOP":
            pass
        if not message:
            return None
        header, payload = message
        return header, np.frombuffer(payload, dtype=header["type"]).reshape(header["shape"])

    def result(self, seconds=PATIENCE):
        """The maps of the next result, by name, and the header of one of them."""
        maps, last = {}, None
        while "valid" not in maps:
            received = self.receive(seconds)
            assert received, f"no further map within {seconds:g} s; so far {sorted(maps)}"
            header, image = received
            if last and header["speckled"]["number"] != last["speckled"]["number"]:
                maps = {}
            maps[header["speckled"]["map"]], last = image, header
        return maps, last

    def close(self):
        self.socket.close()


class Scene:
    """A speckle pattern moved by whole pixels and attenuated: displacement, transmission and dark-field are exact."""

    def __init__(self, count=5, height=48, width=56, shift=(1, -2), transmission=0.8, seed=1):
        noise = np.random.default_rng(seed).normal(size=(count, height, width))
        kernel = np.exp(-0.5 * (np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width)[None] ** 2) / 0.12**2)
        pattern = np.fft.ifft2(np.fft.fft2(noise) * kernel).real
        self.reference = np.round(20000 + 4000 * pattern / pattern.std()).clip(1, 60000).astype(np.uint16)
        self.transmission = transmission
        self.dy, self.dx = shift
        self.count = count

    def sample(self, transmission=None):
        factor = self.transmission if transmission is None else transmission
        moved = np.roll(self.reference, (self.dy, self.dx), axis=(1, 2))
        return np.round(moved * factor).astype(np.uint16)

    def check(self, maps, transmission=None, border=10):
        """Maps of this scene's sample agree with what they must be, away from the borders."""
        inner = (slice(border, -border),) * 2
        factor = self.transmission if transmission is None else transmission
        assert maps["valid"][inner].mean() > 0.95
        for name, value, tolerance in (("displacement_x", self.dx, 2e-3), ("displacement_y", self.dy, 2e-3),
                                       ("transmission", factor, 5e-4), ("dark_field", 1.0, 2e-3)):
            error = np.median(np.abs(maps[name][inner] - value))
            assert error < tolerance, f"{name}: median error {error:.4g}, expected {value}"
