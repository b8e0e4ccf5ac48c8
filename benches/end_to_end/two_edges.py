"""How long a revocation takes to be in force on two edges, each with its own agent, the control plane on PostgreSQL.

    scripts/with-postgres scripts/bench-changes --two-edges [--revocations N] [--policies N] [--times N] [--json]

As changes_in_force.py measures it, by the operator's path of the API: from the first byte of the call to the last answer 200
with that key on either edge. Everything runs on this one machine: two HAProxies with two threads each under load, two agents,
`suiftly serve --without-edge`, PostgreSQL on a socket.
"""

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from changes_in_force import REPOSITORY, Prober, Stack, key_of_new_customer, load, say, summary

LOAD_CUSTOMERS = 20
# Both together have the load that one edge has in changes_in_force.py.
CONNECTIONS = 8


def psql(url, *arguments, text=None):
    done = subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url, *arguments], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"psql: {done.stderr}")


def fill(url, revocations, policies):
    """Rows as the program writes them, without their change-log entries: edges begin with a snapshot."""
    numbers = random.Random(7)

    def copy(table, lines):
        psql(url, "-c", f"COPY {table} FROM STDIN WITH (FORMAT csv)", text="".join(f"{line}\n" for line in lines))

    customers = numbers.sample(range(1, 1 << 31), policies)
    copy("customers (customer_id, wallet_address, status, created_at_ms)", (f"{c},0x{c:064x},active,0" for c in customers))
    psql(url, "-c", "INSERT INTO services (customer_id, service, state, tier, plan, source, created_at_ms, updated_at_ms) "
         "SELECT c.customer_id, 'seal', 'enabled', 'enterprise', like_it.plan, like_it.source, 0, 0 FROM customers c, (SELECT plan, source FROM services LIMIT 1) like_it "
         "WHERE c.customer_id NOT IN (SELECT customer_id FROM services)")
    found = set()
    while len(found) < revocations:
        found.add(0x41 << 56 | numbers.randint(1, 1000) << 32 | numbers.randint(1 << 31, (1 << 32) - 1))
    copy("revocations", (f"{f},0,revoked,operator,0" for f in found))


class ControlPlane(Stack):
    def __init__(self, folder, url):
        super().__init__(folder, None)
        self.environment["DATABASE_URL"] = url

    def start_serve(self):
        return self.start(str(REPOSITORY / "target/release/suiftly"), "serve", "--without-edge")


class Edge(Stack):
    def __init__(self, folder, haproxy, control, name):
        super().__init__(folder, haproxy)
        token = control.suiftly("admin", "edge", "add", "--name", name)["token"]
        self.token = folder / "token"
        self.token.touch(mode=0o600)
        self.token.write_text(token)
        shutil.copy(control.state / "keyring.toml", folder / "keyring.toml")
        self.control = f"http://127.0.0.1:{control.ports['API']}"

    def start_all(self):
        self.start(str(REPOSITORY / "target/release/suiftly"), "demo-upstream", "--port", str(self.ports["UPSTREAM"]))
        self.start(str(REPOSITORY / "target/release/suiftly"), "agent", "--control-plane", self.control, "--token-file", str(self.token))
        self.wait("the first snapshot", (self.state / "maps/changes.journal").exists)
        self.start_haproxy()
        self.wait("in step", self.is_ready)


def main(given):
    url = os.environ.get("SUIFTLY_TEST_POSTGRES")
    if not url:
        sys.exit("run it with PostgreSQL: scripts/with-postgres scripts/bench-changes --two-edges")
    haproxy = shutil.which(given.haproxy)
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    stacks = []
    with tempfile.TemporaryDirectory(prefix="suiftly-two-", dir=parent) as folder:
        folders = [Path(folder) / name for name in ("control", "fra1", "nyc1")]
        for path in folders:
            path.mkdir(mode=0o700)
        try:
            figures = run(stacks, folders, haproxy, url, given)
        finally:
            for stack in reversed(stacks):
                stack.stop()
    if given.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{given.revocations:,} revocations, {given.policies:,} policies, two edges\n")
    for name, figure in figures.items():
        print(f"| {name} | " + ", ".join(f"{k} {v:.1f}" for k, v in figure.items()) + " |")


def run(stacks, folders, haproxy, url, given):
    control = ControlPlane(folders[0], url)
    stacks.append(control)
    customer = str(control.suiftly("admin", "customer", "create", "--wallet", "0x" + "ab" * 32)["customer_id"])
    control.suiftly("admin", "service", "enable", "--customer", customer, "--service", "seal", "--tier", "enterprise", "--no-wait")
    say("filling the database")
    fill(url, given.revocations, given.policies)
    control.start_serve()
    control.wait("serve", lambda: control.get("API", "/healthz")[0] == 200)
    edges = [Edge(path, haproxy, control, path.name) for path in folders[1:]]
    stacks.extend(edges)
    for edge in edges:
        say(f"starting {edge.state.name}")
        edge.start_all()
    keys = [key_of_new_customer(control, number) for number in range(1, LOAD_CUSTOMERS + 1)]
    token = control.suiftly("admin", "token", "create", "--name", "bench")["token"]
    api = http.client.HTTPConnection("127.0.0.1", control.ports["API"], timeout=30)
    clients, figures = [], {}
    for edge in edges:
        (edge.state / "load.keys").write_text("".join(f"{key}\n" for key in keys))
        clients.append(load(edge, edge.state / "load.keys", 900, CONNECTIONS))
    say(f"{given.times} revocations by API, under load on both edges")
    in_force, answered = {edge.state.name: [] for edge in edges}, []
    try:
        for _ in range(given.times):
            made = control.suiftly("admin", "key", "create", "--customer", customer, "--service", "seal")
            probers = [Prober(edge.ports["EDGE"], made["api_key"]) for edge in edges]
            for prober in probers:
                prober.start()
            control.wait("the key is admitted", lambda: all(prober.admitted > 5 for prober in probers), 10)
            begin = time.monotonic()
            api.request("POST", f"/api/v1/operator/keys/{made['fingerprint']}/revoke", headers={"Authorization": f"Bearer {token}"})
            answer = api.getresponse()
            body = answer.read()
            answered.append((time.monotonic() - begin) * 1e3)
            if answer.status != 200:
                sys.exit(f"the API answered {answer.status}: {body}")
            for edge, prober in zip(edges, probers):
                if not prober.refused.wait(5) or prober.status not in (b"401", b"429"):
                    sys.exit(f"{edge.state.name}: a revoked key is answered {prober.status}")
                in_force[edge.state.name].append((prober.last_admitted - begin) * 1e3)
                prober.join()
            # Ten keys of a service are the most that a customer has.
            psql(url, "-c", f"DELETE FROM api_keys WHERE customer_id = {customer}")
    finally:
        for client in clients:
            client.kill()
            client.wait()
    for name, times in in_force.items():
        figures[f"{name}: first byte of the call until the last request admitted"] = summary(times)
    both = [max(pair) for pair in zip(*in_force.values())]
    figures["both edges"] = summary(both)
    figures["until the answer, which waits for both"] = summary(answered)
    return figures
