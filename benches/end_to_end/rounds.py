"""Alternating rounds: every variant in turn, again and again, so that what disturbs the machine disturbs all."""

import http.client
import json
import ssl
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from machine import REPOSITORY, Server, cores, say, wait_until

SCRIPT = REPOSITORY / "benches/end_to_end/load.lua"
WARM_UP_S = 0.3
ROUND_S = 2
CONNECTIONS = 32


@dataclass
class Variant:
    """One thing that is measured: how it is started and what it is sent."""

    name: str
    command: list
    environment: dict
    port: int
    credentials: object  # the file with one credential a line
    refused: int = 401  # the status without a credential; 200 where nobody is asked for one
    tls: bool = False
    logs: bool = True  # None: writes them in blocks, so that they cannot be counted by round
    core: int = None  # where it is not the measured one

    def status(self, credential=None):
        """The status of one request, or None while nobody listens."""
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        try:
            if self.tls:
                trusted = ssl.create_default_context()
                trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
                trusted.minimum_version = ssl.TLSVersion.TLSv1_3
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=2, context=trusted)
            else:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/bench", headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None

    def start(self, folder):
        """Started for this round only: idle neighbours would cost their health checks and the cache."""
        server = Server(self.command, cores()[0] if self.core is None else self.core, folder, self.environment)
        with open(self.credentials) as lines:
            credential = lines.readline().strip()
        wait_until(f"{self.name}: an answer 200", 60, lambda: self.status(credential) == 200, server)
        # A variant that lets everybody in is cheap, and no variant.
        seen = self.status()
        if seen != self.refused:
            server.stop()
            sys.exit(f"{self.name}: a request without a credential is answered {seen}, not {self.refused}")
        return server


@dataclass
class Round:
    cpu_us: float
    rps: float
    p50_us: float
    p99_us: float
    p999_us: float
    waited: float  # the share of the round in which somebody else had the core: above a few percent, measure again


def wrk(variant, seconds, connections):
    url = f"{'https' if variant.tls else 'http'}://127.0.0.1:{variant.port}/"
    return ["taskset", "-c", str(cores()[1]), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
            "-s", str(SCRIPT), url, "--", str(variant.credentials)]


def warm_up(variant, connections):
    client = subprocess.Popen(wrk(variant, 5, connections), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(WARM_UP_S)
    # wrk takes whole seconds only.
    client.kill()
    client.wait()


def measure(variant, folder, seconds=ROUND_S, connections=CONNECTIONS):
    with variant.start(folder) as server:
        warm_up(variant, connections)
        lines_before = server.log_lines()
        ran_before, waited_before = server.cpu_us()
        done = subprocess.run(wrk(variant, seconds, connections), capture_output=True, text=True, check=True)
        ran, waited = server.cpu_us()
        lines = server.log_lines() - lines_before
        result = json.loads(done.stdout.strip().splitlines()[-1])
        server.require_running()
    if result["not_ok"] or result["broken"] or not result["requests"]:
        sys.exit(f"{variant.name}: {result}: not every answer was 200, so its figures mean nothing")
    # Requests that were on their way at either end may or may not have their line; dropped lines would be a bargain.
    if variant.logs and lines < result["requests"] - 2 * connections:
        sys.exit(f"{variant.name}: {result['requests']} requests left only {lines} log lines")
    if variant.logs is False and lines > 2 * connections:
        sys.exit(f"{variant.name}: {lines} log lines of a variant that should write none")
    return Round((ran - ran_before) / result["requests"], result["requests"] / result["seconds"],
                 result["p50_us"], result["p99_us"], result["p999_us"],
                 (waited - waited_before) / result["seconds"] / 1e6)


def alternate(table, variants, rounds, folder, **how):
    """{name: [Round, ...]}; every other order, so that nobody always follows the same neighbour."""
    results = {variant.name: [] for variant in variants}
    for number in range(rounds):
        say(f"{table}: round {number + 1} of {rounds}, {len(variants)} variants")
        turn = number % len(variants)
        for variant in variants[turn:] + variants[:turn]:
            results[variant.name].append(measure(variant, folder, **how))
    return results


def median(rounds, field):
    return statistics.median(getattr(r, field) for r in rounds)


def least(rounds, field):
    return min(getattr(r, field) for r in rounds)


def spread(rounds, field):
    values = [getattr(r, field) for r in rounds]
    return (max(values) - min(values)) / statistics.median(values)


def ratio(rounds, baseline, field):
    """The median of the ratios of rounds that ran beside each other."""
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in zip(rounds, baseline))
