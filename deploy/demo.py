"""The running part of deploy/demo: processes, the live table, stock clients, pictures and the comparison with the truth."""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import yaml
import zmq

SIZE = 512
COUNT = 10  # scan positions
RATE_HZ = 10  # frames a second
MOMENTS = 4  # different samples, in turn
CALIBRATION = 10  # darks, and flats
PREFIX = "DEMO:"
EPICS_NAMES = {"transmission": "Trans1:", "dark_field": "Dark1:", "displacement_x": "DispX1:", "displacement_y": "DispY1:",
               "phase": "Phase1:"}


class Failure(Exception):
    """Ends the demo with a message."""


def free_ports(count):
    """So many different ports that nobody uses, TCP and UDP, below those that the system hands out to clients."""
    ports = set()
    while len(ports) < count:
        port = random.SystemRandom().randrange(12000, 32000)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                ports.add(port)
            except OSError:
                pass
    return list(ports)


class Demo:
    def __init__(self, options):
        self.options = options
        self.program = Path(options.program).resolve()
        self.output = Path("demo-output").resolve()
        self.output.mkdir(exist_ok=True)
        for old in self.output.iterdir():
            if old.is_file():
                old.unlink()
        frames, maps, control, ca, pva, beacons, repeater, broadcast = free_ports(8)
        self.frames, self.maps, self.control = (f"tcp://127.0.0.1:{port}" for port in (frames, maps, control))
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("EPICS_")}
        self.environment.update({
            "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_SERVER_PORT": str(ca),
            "EPICS_CA_REPEATER_PORT": str(repeater), "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_PORT": str(beacons), "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_SERVER_PORT": str(pva),
            "EPICS_PVA_BROADCAST_PORT": str(broadcast), "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        })
        os.environ.update(self.environment)  # for the EPICS client in this process
        # libca, finding this port taken, does not look for a repeater program; on loopback ports none is needed.
        self.repeater = socket.socket(type=socket.SOCK_DGRAM)
        self.repeater.bind(("127.0.0.1", repeater))
        self.ports = {"port": ca, "pva_port": pva}
        self.children = {}
        self.interrupted = False
        self.methods = options.method.split(",") if options.method else []
        self.stacks = 0
        if options.seconds:
            self.stacks = max(2, int(options.seconds * RATE_HZ / COUNT) - 3)

    def start(self, name, *arguments):
        with open(self.output / f"{name}.log", "wb") as log:
            # A session of its own: Ctrl-C reaches this script alone, which ends its children in order.
            self.children[name] = subprocess.Popen([self.program, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log, env=self.environment, start_new_session=True)

    def end(self, name, seconds=60):
        """Interrupts a child and returns its exit code; kills it when it does not listen."""
        child = self.children[name]
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failure(f"{name} did not end within {seconds} s and was killed; see {self.output}/{name}.log") from None

    def end_all(self):
        for name, child in reversed(self.children.items()):
            if child.poll() is None:
                child.kill()
            child.wait()

    def expect_running(self, name):
        code = self.children[name].poll()
        if code is not None:
            log = (self.output / f"{name}.log").read_text(errors="replace")
            raise Failure(f"{name} ended with exit code {code}:\n{log[-2000:]}")

    # ---- configuration ----

    def has_plugin(self, name):
        done = subprocess.run([self.program, "plugins", name], capture_output=True, text=True, check=False)
        return done.returncode == 0

    def replaced(self, stage):
        """The stages to stand where `stage` stood."""
        if not stage["plugin"].startswith("recon_"):
            return [stage]
        return [stage if stage["plugin"] == f"recon_{name}" else {"plugin": f"recon_{name}"} for name in self.methods]

    def write_configuration(self):
        """config/demo.yaml with the ports and files of this run."""
        config = yaml.safe_load(Path(self.options.config).read_text())
        config["source"].update(endpoints=[self.frames])
        # All on one machine, so the detector may wait for a reconstruction that shares its processors.
        config["pipeline"].update(count=COUNT, block=True)
        if self.methods:
            config["stages"] = [stage for given in config["stages"] for stage in self.replaced(given)]
        changes = {"sink_zmq": {"endpoints": [self.maps]}, "sink_hdf5": {"path": str(self.output / "maps.h5")},
                   "sink_epics_ioc": {"prefix": PREFIX, **self.ports}}
        for sink in config["sinks"]:
            sink.update(changes[sink["plugin"]])
        self.has_epics = self.has_plugin("sink_epics_ioc")
        if not self.has_epics:
            config["sinks"] = [sink for sink in config["sinks"] if sink["plugin"] != "sink_epics_ioc"]
            print("demo: without EPICS: `build/release/bin/speckled plugins sink_epics_ioc` says why")
        for control in config["controls"]:
            if control["plugin"] == "ctl_zmq":
                control.update(endpoint=self.control)
        file = self.output / "speckled.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return file

    def change_method(self):
        """The next of several methods, while frames come."""
        if len(self.methods) < 2:
            return
        self.methods.append(self.methods.pop(0))
        subprocess.run([self.program, "ctl", "--endpoint", self.control, "set", f"pipeline.method={self.methods[0]}"], check=True,
                       env=self.environment)

    def status(self):
        done = subprocess.run([self.program, "ctl", "--endpoint", self.control, "--json", "status"], capture_output=True, text=True,
                              check=False, env=self.environment)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def wait_for_service(self):
        deadline = time.monotonic() + 30
        while not (status := self.status()):
            self.expect_running("service")
            if time.monotonic() > deadline:
                raise Failure("the service does not answer within 30 s")
            time.sleep(0.1)
        return status


class MapClient:
    """A stock ZeroMQ client: takes whatever arrives and keeps the newest of each map."""

    def __init__(self, endpoint):
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.rcvhwm = 0
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.socket.subscribe(b"")
        self.newest, self.numbers, self.methods = {}, set(), {}

    def take(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self.socket.poll(left * 1000):
            header, payload = self.socket.recv_multipart()
            header = json.loads(header)
            about = header["speckled"]
            self.newest[about["map"]] = np.frombuffer(payload, header["type"]).reshape(header["shape"]), about
            self.numbers.add(about["number"])
            self.methods.setdefault(about["method"], set()).add(about["number"])


def short_counters(counters):
    return " ".join(f"{reason}={value}" for reason, value in counters.items() if value) or "-"


def total(counters):
    return sum(counters.values())


COLUMNS = (("time s", 7), ("frames in", 10), ("maps out", 9), ("in flight", 10), ("p50 ms", 8), ("p99 ms", 8), ("dropped", 16),
           ("rejected", 16))


def table_row(values):
    return "".join(f"{value:>{width}}" for value, (_, width) in zip(values, COLUMNS))


def show(status, seconds):
    latency = status["latency"]
    print(table_row((f"{seconds:.0f}", status["received"], status["results"], status["in_flight"], f"{latency['p50_ns'] / 1e6:.1f}",
                     f"{latency['p99_ns'] / 1e6:.1f}", short_counters(status["dropped"]), short_counters(status["rejected"]))),
          flush=True)


def detector_is_done(demo):
    """True when all frames were sent, or Ctrl-C ended it."""
    if demo.interrupted:
        demo.end("detector")
    code = demo.children["detector"].poll()
    if code not in (None, 0):
        demo.expect_running("detector")
    return code is not None


def watch(demo, client):
    """The live table, a row a second, until the detector is done and everything it sent is worked off."""
    started = before = None
    shown = 0
    while True:
        client.take(1.0)
        demo.expect_running("service")
        status = demo.status()
        if not status:
            raise Failure("the service does not answer any more")
        if not started and status["received"]:
            started = time.monotonic()
            print(table_row(name for name, _ in COLUMNS))
        if started:
            show(status, time.monotonic() - started)
            if status["results"] > shown:
                shown = status["results"]
                demo.change_method()
        if detector_is_done(demo):
            progress = status["received"], status["results"], status["in_flight"]
            if progress == before and (status["in_flight"] == 0 or demo.interrupted):
                return status
            before = progress


def read_pvs(demo):
    """The newest maps by Channel Access, with pyepics; also what the health records say."""
    if not demo.has_epics:
        return {}, {}
    import epics
    health = {}
    for name in ("DetectorState_RBV", "StatusMessage_RBV", "ReceivedArrays_RBV", "PublishedArrays_RBV", "DroppedArrays_RBV",
                 "Results_RBV", "LatencyP50_RBV", "LatencyP99_RBV"):
        value = epics.caget(f"{PREFIX}Recon1:{name}", as_string=name in ("DetectorState_RBV", "StatusMessage_RBV"), timeout=5)
        if value is None:
            raise Failure(f"no answer for the PV {PREFIX}Recon1:{name}")
        health[name] = value
    maps = {}
    for name, middle in EPICS_NAMES.items():
        width, height = (int(epics.caget(f"{PREFIX}{middle}ArraySize{axis}_RBV", timeout=5)) for axis in (0, 1))
        data = epics.caget(f"{PREFIX}{middle}ArrayData", timeout=10)
        maps[name] = np.asarray(data, np.float32)[:height * width].reshape(height, width)
    print(f"\nPVs by Channel Access (pyepics, EPICS_CA_SERVER_PORT={demo.ports['port']}):")
    for name, value in health.items():
        print(f"  {PREFIX}Recon1:{name:<22} {value:g}" if isinstance(value, float) else f"  {PREFIX}Recon1:{name:<22} {value}")
    for name, data in maps.items():
        print(f"  {PREFIX}{EPICS_NAMES[name]}ArrayData {data.shape[1]} x {data.shape[0]}, mean {np.nanmean(data):.4g}")
    return health, maps


LABELS = {"transmission": ("Transmission", "", "gray"), "dark_field": ("Dark-field", "", "gray"),
          "displacement_x": ("Displacement along x", "px", "RdBu"), "displacement_y": ("Displacement along y", "px", "RdBu"),
          "phase": ("Phase", "rad", "viridis"), "quality": ("Quality", "", "magma"),
          "displacement_error": ("Standard deviation of the displacement", "px", "magma")}


def draw(axes, name, image, valid):
    title, unit, colours = LABELS[name]
    shown = np.where(valid, image, np.nan)
    low, high = np.nanpercentile(shown, (0.5, 99.5))
    if unit == "px":
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    picture = axes.imshow(shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title)
    axes.set_xlabel("x (px)")
    axes.set_ylabel("y (px)")
    axes.figure.colorbar(picture, ax=axes, label=f"{title} ({unit})" if unit else title, shrink=0.85)


def write_pictures(folder, maps, valid):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    names = [name for name in LABELS if name in maps and np.isfinite(maps[name]).any()]
    for name in names:
        figure, axes = pyplot.subplots(figsize=(6, 5))
        draw(axes, name, maps[name], valid)
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
        pyplot.close(figure)
    figure, grid = pyplot.subplots(2, 3, figsize=(16, 9.5))
    for axes, name in zip(grid.flat, names):
        draw(axes, name, maps[name], valid)
    for axes in grid.flat[len(names):]:
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(folder / "overview.png", dpi=90)
    pyplot.close(figure)


def errors(maps, truth, valid):
    """RMSE of each map over the valid pixels; of the phase after removing its free constant."""
    found = {}
    for name in EPICS_NAMES:
        difference = (maps[name] - truth[name])[valid]
        if name == "phase":
            difference = difference - difference.mean()
        found[name] = float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)))
    return found


def compare(demo, client):
    """Errors of the newest result against the simulation's truth; the bounds say 'this is a reconstruction', not more."""
    maps = {name: image for name, (image, _) in client.newest.items()}
    about = client.newest["valid"][1]
    valid = maps["valid"].astype(bool)
    with h5py.File(demo.output / "truth.h5") as file:
        group = file["/truth"]
        moment = about["stack"] % len(group["transmission"]) if group["transmission"].ndim == 3 else ...
        truth = {name: group[name][moment] for name in EPICS_NAMES}
    found = errors(maps, truth, valid)
    print(f"\nError of result {about['number']} against the truth, RMSE over {valid.mean():.1%} of the pixels:")
    for name, error in found.items():
        title, unit, _ = LABELS[name]
        span = np.ptp(truth[name][valid])
        print(f"  {title:<22}{error:10.4f} {unit:<4} (the truth spans {span:.3g})")
    problems = []
    for name, error in found.items():
        if not error < 0.25 * np.ptp(truth[name][valid]):
            problems.append(f"the error of {name} is {error:.3g}")
    if valid.mean() < 0.8:
        problems.append(f"only {valid.mean():.0%} of the pixels are valid")
    return maps, valid, problems


def check_file(demo, results):
    path = demo.output / "maps.h5"
    with h5py.File(path) as file:
        shape = file["/entry/maps/transmission"].shape
    print(f"\nNeXus file {path.relative_to(Path.cwd())}: /entry/maps/transmission {shape}")
    return [] if shape[0] == results else [f"the NeXus file has {shape[0]} results of {results}"]


def check_account(demo, status, client):
    """What was sent arrived, what arrived was published, and every client got every result."""
    problems = []
    received, published = status["received"], total(status["published"])
    dropped, rejected = total(status["dropped"]), total(status["rejected"])
    print(f"\nAccount: {received} frames received = {published} published + {dropped} dropped + {rejected} rejected"
          f" + {status['in_flight']} in flight; {status['results']} results")
    if received != published + dropped + rejected + status["in_flight"]:
        problems.append("the account does not add up")
    open_stack = COUNT - 1 if demo.interrupted else 0  # Ctrl-C may have cut a stack
    if dropped + status["in_flight"] > open_stack or rejected:
        problems.append("frames were lost")
    report = json.loads((demo.output / "detector.json").read_text())
    sent = report["messages"] - report["stops"]
    if received != sent:
        problems.append(f"{sent} frames were sent, {received} were received")
    if demo.stacks and status["results"] != demo.stacks and not demo.interrupted:
        problems.append(f"{demo.stacks} stacks were sent, {status['results']} results were published")
    if len(client.numbers) != status["results"]:
        problems.append(f"the ZeroMQ client got {len(client.numbers)} results of {status['results']}")
    if len(demo.methods) > 1:
        print("Results by method: " + ", ".join(f"{name} {len(numbers)}" for name, numbers in sorted(client.methods.items())))
        if len(client.methods) < min(len(demo.methods), status["results"]):
            problems.append("not every method had its turn")
    for name, sink in status["sinks"].items():
        if sink["failed"] or (sink["dropped"] and name != "sink_epics_ioc"):
            problems.append(f"{name}: {sink['dropped']} results dropped, {sink['failed']} failed: {sink.get('message', '')}")
    return problems


def run(demo):
    configuration = demo.write_configuration()
    demo.start("service", "run", "-c", configuration)
    demo.wait_for_service()
    client = MapClient(demo.maps)
    client.take(0.5)
    print(f"demo: the service runs (configuration {configuration.relative_to(Path.cwd())}); computing what the simulated"
          f" detector will see (some seconds)", flush=True)
    demo.start("detector", "simulate", "--endpoint", demo.frames, "--size", SIZE, "--count", COUNT, "--rate-hz", RATE_HZ, "--stacks",
               demo.stacks, "--darks", CALIBRATION, "--flats", CALIBRATION, "--evolve", MOMENTS, "--truth", demo.output / "truth.h5",
               "--report", demo.output / "detector.json")
    status = watch(demo, client)
    client.take(0.5)
    health, by_epics = read_pvs(demo)
    if not client.newest:
        raise Failure("no map arrived")
    maps, valid, problems = compare(demo, client)
    for name, image in by_epics.items():
        if not np.array_equal(image, maps[name], equal_nan=True):
            problems.append(f"the {name} map read by Channel Access is not the one sent over ZeroMQ")
    if health and int(health["Results_RBV"]) != status["results"]:
        problems.append(f"the PV Results_RBV says {health['Results_RBV']}, the service {status['results']}")
    write_pictures(demo.output, maps, valid)
    print(f"\nPictures: {', '.join(sorted(str(p.relative_to(Path.cwd())) for p in demo.output.glob('*.png')))}")
    problems += check_account(demo, status, client)
    if demo.options.keep and not demo.interrupted:
        print(f"\nLeft running: maps at {demo.maps}, control at {demo.control} (speckled ctl --endpoint {demo.control} status), PVs:\n"
              + "".join(f"  export {key}={demo.environment[key]}\n" for key in ("EPICS_CA_ADDR_LIST", "EPICS_CA_AUTO_ADDR_LIST",
                                                                               "EPICS_CA_SERVER_PORT", "EPICS_PVA_SERVER_PORT"))
              + "Ctrl-C ends it.")
        while not demo.interrupted:
            client.take(0.5)
    code = demo.end("service")
    if code:
        problems.append(f"the service ended with exit code {code}")
    return problems + check_file(demo, status["results"])


def main():
    parser = argparse.ArgumentParser(prog="deploy/demo")
    parser.add_argument("--program", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--method", default="")
    parser.add_argument("--keep", action="store_true")
    demo = Demo(parser.parse_args())

    def interrupt(*_):
        demo.interrupted = True

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        problems = run(demo)
    except Failure as failure:
        problems = [str(failure)]
    finally:
        demo.end_all()
    for problem in problems:
        print(f"demo: FAILED: {problem}", file=sys.stderr)
    if not problems:
        cut = "but those of the stack that was cut short" if demo.interrupted else ""
        print(f"\ndemo: everything worked, no frame was lost {cut}".rstrip())
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
