"""How long a change takes to be in force, with a million revocations loaded; and what a load and a cold start cost.

    scripts/bench-changes [--revocations N] [--policies N] [--times N] [--two-edges] [--json]

For each key: made by the command line, seen to be admitted by a connection that asks without a pause, then revoked. What
counts is the time from the first byte of the call (for the command line: from the start of its process) to the last answer
200 with that key. Beside it: the time to the call's own answer.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LOAD_S = 25
# So many that none of them reaches its rate.
LOAD_CUSTOMERS = 20


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Stack:
    def __init__(self, folder, haproxy):
        self.state, self.haproxy_program = folder, haproxy
        self.ports = {name: free_port() for name in ("EDGE", "API", "STATS", "UPSTREAM")}
        self.environment = {
            **os.environ, "SUIFTLY_STATE": str(folder), "SUIFTLY_HOME": str(REPOSITORY),
            "SUIFTLY_MODULES": str(folder / "modules"),
            **{f"SUIFTLY_{name}_PORT": str(port) for name, port in self.ports.items()},
        }
        shutil.copytree(REPOSITORY / "target/modules", folder / "modules")
        # Two threads, and a stop that does not wait for the load's connections.
        config = (REPOSITORY / "haproxy/haproxy.cfg").read_text().replace("\nglobal\n", "\nglobal\n    nbthread 2\n", 1)
        (folder / "haproxy.cfg").write_text(config)
        self.children = []

    def suiftly(self, *arguments):
        done = subprocess.run([REPOSITORY / "target/release/suiftly", *arguments, "--json"], env=self.environment,
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"suiftly {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return json.loads(done.stdout)

    def start(self, *command):
        log = open(self.state / f"{Path(command[0]).name}.log", "ab")
        child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def start_haproxy(self):
        return self.start(self.haproxy_program, "-W", "-p", str(self.state / "haproxy.pid"),
                          "-S", f"{self.state}/haproxy-master.sock,mode,600", "-f", str(self.state / "haproxy.cfg"))

    def start_serve(self):
        return self.start(str(REPOSITORY / "target/release/suiftly"), "serve")

    def get(self, port, path, headers=None):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=5)
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return None, b""

    def wait(self, what, true, limit_s=120):
        deadline = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > deadline:
                logs = "".join(path.read_text()[-2000:] for path in self.state.glob("*.log"))
                sys.exit(f"{what}: not within {limit_s} s\n{logs}")
            time.sleep(0.002)

    def is_ready(self):
        return self.get("API", "/readyz")[0] == 200

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def fill(database, revocations, policies):
    """Rows as the program writes them, without their change-log entries: `serve` begins with a snapshot."""
    numbers = random.Random(7)
    with sqlite3.connect(database) as db:
        db.execute("PRAGMA foreign_keys = ON")
        customers = numbers.sample(range(1, 1 << 31), policies)
        db.executemany(
            "INSERT INTO customers (customer_id, wallet_address, status, created_at_ms) VALUES (?, ?, 'active', 0)", ((c, f"0x{c:064x}") for c in customers))
        plan, source = db.execute("SELECT plan, source FROM services LIMIT 1").fetchone()
        db.executemany(
            "INSERT INTO services (customer_id, service, state, tier, plan, source, created_at_ms, updated_at_ms) "
            "VALUES (?, 'seal', 'enabled', 'enterprise', ?, ?, 0, 0)",
            ((c, plan, source) for c in customers))
        found = set()
        while len(found) < revocations:
            found.add(0x41 << 56 | numbers.randint(1, 1000) << 32 | numbers.randint(1 << 31, (1 << 32) - 1))
        db.executemany("INSERT INTO revocations VALUES (?, 0, 'revoked', 'operator', 0)", ((f,) for f in found))
    db.close()


class Prober(threading.Thread):
    """Asks with one key without a pause and notes when the last answer 200 came."""

    def __init__(self, port, key):
        super().__init__(daemon=True)
        self.request = f"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.admitted, self.last_admitted, self.status, self.refused = 0, None, None, threading.Event()

    def run(self):
        stream = self.socket.makefile("rb")
        while not self.refused.is_set():
            self.socket.sendall(self.request)
            status, length = stream.readline().split()[1], 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)
            if status == b"200":
                self.admitted, self.last_admitted = self.admitted + 1, time.monotonic()
                # Well below the customer's rate.
                time.sleep(0.0005)
            else:
                self.status = status
                self.refused.set()
        self.socket.close()


def load(stack, credentials, seconds, connections=16):
    """A moderate load (each of 16 connections asks every 4 ms), so that both cores are busy and none is full."""
    script = stack.state / "load.lua"
    script.write_text((REPOSITORY / "benches/end_to_end/load.lua").read_text() + "\nfunction delay() return 4 end\n")
    return subprocess.Popen(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{stack.ports['EDGE']}/",
         "--", str(credentials)], stdout=subprocess.PIPE, text=True)


def revocation_times(stack, customer, revoke, times):
    in_force, answered = [], []
    for _ in range(times):
        made = stack.suiftly("admin", "key", "create", "--customer", str(customer), "--service", "seal")
        prober = Prober(stack.ports["EDGE"], made["api_key"])
        prober.start()
        stack.wait("the key is admitted", lambda: prober.admitted > 5, 10)
        begin = time.monotonic()
        revoke(made["fingerprint"])
        answered.append((time.monotonic() - begin) * 1e3)
        if not prober.refused.wait(5):
            sys.exit("a revoked key is still admitted")
        # 429: the source has had too many refused keys, which only a refused key is told.
        if prober.status not in (b"401", b"429"):
            sys.exit(f"the prober was answered {prober.status}")
        in_force.append((prober.last_admitted - begin) * 1e3)
        prober.join()
        # Ten keys of a service are the most that a customer has.
        with sqlite3.connect(stack.state / "suiftly.db", timeout=30) as db:
            db.execute("DELETE FROM api_keys WHERE customer_id = ?", (customer,))
        db.close()
    return in_force, answered


def key_of_new_customer(stack, number):
    customer = str(stack.suiftly("admin", "customer", "create", "--wallet", f"0x{'cd' * 28}{number:08x}")["customer_id"])
    stack.suiftly("admin", "service", "enable", "--customer", customer, "--service", "seal", "--tier", "enterprise", "--no-wait")
    return stack.suiftly("admin", "key", "create", "--customer", customer, "--service", "seal")["api_key"]


def summary(values):
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    return {"n": len(ordered), "p50_ms": statistics.median(ordered), "p99_ms": at(0.99), "max_ms": ordered[-1]}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-changes")
    parser.add_argument("--revocations", type=int, default=1_000_000)
    parser.add_argument("--policies", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=200, help="revocations by API; by command line a half of it")
    parser.add_argument("--haproxy", default="haproxy")
    parser.add_argument("--two-edges", action="store_true", help="two edges with agents, the control plane on PostgreSQL")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.two_edges:
        import two_edges
        return two_edges.main(given)
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="suiftly-changes-", dir=parent) as folder:
        stack = Stack(Path(folder), shutil.which(given.haproxy))
        try:
            figures = run(stack, given)
        finally:
            stack.stop()
    if given.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{given.revocations:,} revocations, {given.policies:,} policies\n")
    for name, figure in figures.items():
        print(f"| {name} | " + (", ".join(f"{k} {v:.1f}" for k, v in figure.items()) if isinstance(figure, dict) else f"{figure:.2f}") + " |")


def run(stack, given):
    customer = stack.suiftly("admin", "customer", "create", "--wallet", "0x" + "ab" * 32)["customer_id"]
    stack.suiftly("admin", "service", "enable", "--customer", str(customer), "--service", "seal", "--tier", "enterprise", "--no-wait")
    keyring = stack.start_serve()
    stack.wait("serve", lambda: stack.get("API", "/healthz")[0] == 200)
    keyring.terminate()
    keyring.wait(10)
    say("filling the database")
    fill(stack.state / "suiftly.db", given.revocations, given.policies)
    keys = [key_of_new_customer(stack, number) for number in range(1, LOAD_CUSTOMERS + 1)]
    (stack.state / "load.keys").write_text("".join(f"{key}\n" for key in keys))
    token = stack.suiftly("admin", "token", "create", "--name", "bench")["token"]
    stack.start(str(REPOSITORY / "target/release/suiftly"), "demo-upstream", "--port", str(stack.ports["UPSTREAM"]))
    figures = {}

    begin = time.monotonic()
    stack.start_serve()
    stack.wait("serve", lambda: stack.get("API", "/healthz")[0] == 200)
    figures["control plane: start until it answers, map files written, s"] = time.monotonic() - begin
    say("starting HAProxy")
    begin = time.monotonic()
    stack.start_haproxy()
    stack.wait("the first answer", lambda: stack.get("EDGE", "/", {"X-API-Key": keys[0]})[0] == 200)
    figures["cold start of HAProxy until the first answer 200, s"] = time.monotonic() - begin
    stack.wait("in step", stack.is_ready)

    api = http.client.HTTPConnection("127.0.0.1", stack.ports["API"], timeout=30)

    def by_api(fingerprint):
        api.request("POST", f"/api/v1/operator/keys/{fingerprint}/revoke", headers={"Authorization": f"Bearer {token}"})
        answer = api.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"the API answered {answer.status}: {body}")

    def by_command(fingerprint):
        stack.suiftly("admin", "key", "revoke", "--fingerprint", fingerprint)

    for name, revoke, times in (("API", by_api, given.times), ("command line", by_command, given.times // 2)):
        say(f"{times} revocations by {name}, under load")
        client = load(stack, stack.state / "load.keys", 600)
        try:
            in_force, answered = revocation_times(stack, customer, revoke, times)
        finally:
            client.kill()
            client.wait()
        figures[f"revocation by {name}: first byte of the call until the last request admitted"] = summary(in_force)
        figures[f"revocation by {name}: until its answer"] = summary(answered)

    say("latency of requests, without and during whole loads")
    for name, disturb in (("without", False), ("during whole loads", True)):
        client = load(stack, stack.state / "load.keys", LOAD_S)
        end, loads = time.monotonic() + LOAD_S - 0.5, 0
        while time.monotonic() < end:
            if disturb:
                stack.suiftly("edge", "resync")
                loads += 1
            else:
                time.sleep(0.1)
        result = json.loads(client.communicate()[0].strip().splitlines()[-1])
        if result["not_ok"] or result["broken"]:
            sys.exit(f"requests failed: {result}")
        figures[f"latency {name}, us"] = {name: result[name] for name in ("p50_us", "p99_us", "p999_us")}
        if disturb:
            figures["whole loads meanwhile"] = loads
    return figures


if __name__ == "__main__":
    main()
