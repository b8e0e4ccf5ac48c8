"""What the benches run on: cores, programs, processes pinned to a core and what they cost."""

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def say(text):
    """Progress; tables alone go to stdout."""
    print(text, file=sys.stderr, flush=True)


def cores():
    """(the core that is measured, the core of client and backend)."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        sys.exit("the benches need two cores: one is measured, the client runs on the other")
    return available[0], available[-1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return next(iter((done.stdout + done.stderr).splitlines()), "")


def description(haproxy, envoy):
    """The machine and versions, one fact a line."""
    processor = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    facts = {
        "Processor": f"{processor}, {os.cpu_count()} cores",
        "Kernel": platform.release(),
        "HAProxy": first_line(haproxy, "-v"),
        "wrk": (first_line("wrk", "-v") or "").split("Copyright")[0].strip(),
        "nginx": first_line("nginx", "-v"),
        "OpenSSL": first_line("openssl", "version"),
    }
    if envoy:
        facts["Envoy"] = (first_line(envoy, "--version") or "").split("version:")[-1].strip()
    return facts


class Server:
    """A process pinned to one core. Its output goes to files: a log line that nobody writes costs nothing."""

    def __init__(self, command, core, folder, environment=None):
        self.errors = folder / "server.err"
        self.output = folder / "server.out"
        # A file on tmpfs as log target: the same for everybody, and begun anew by each server.
        with open(self.output, "wb") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdout=output, stderr=errors, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})},
            )
        self.pid = self.process.pid

    def cpu_us(self):
        """(user and system time of all threads so far, time that they waited for a core that others had)."""
        ran = waited = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            times = (task / "schedstat").read_text().split()
            ran, waited = ran + int(times[0]), waited + int(times[1])
        return ran / 1000, waited / 1000

    def memory_kb(self, field):
        """A field of /proc/PID/status, e.g. VmRSS, or VmHWM for the largest so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise RuntimeError(f"the kernel tells no {field}")

    def forget_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def log_lines(self):
        with open(self.output, "rb") as output:
            return sum(block.count(b"\n") for block in iter(lambda: output.read(1 << 20), b""))

    def require_running(self):
        if self.process.poll() is not None:
            sys.exit(f"the server ended with {self.process.returncode}:\n" + self.errors.read_text()[-2000:])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_until(what, seconds, true, server):
    deadline = time.monotonic() + seconds
    while not true():
        server.require_running()
        if time.monotonic() > deadline:
            server.stop()
            sys.exit(f"{what} did not happen in {seconds} s:\n" + server.errors.read_text()[-2000:])
        time.sleep(0.02)
