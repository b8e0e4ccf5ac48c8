"""Memory of a million revocations and a hundred thousand policies: read at start, and loaded twice at run time."""

import hashlib
import socket
import tempfile
import time
from pathlib import Path

import state as states
from machine import say
from variants import Variants

REVOCATIONS = 1_000_000
POLICIES = 100_000
# What `edgeformat` sends at most in one command; HAProxy's buffer holds no more.
CHANGES_LEN_MAX = 14_800


def ask(path, command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()


def parts_of(entries):
    part, length = [], 0
    for entry in entries:
        if length + len(entry) + 1 > CHANGES_LEN_MAX:
            yield ",".join(part)
            part, length = [], 0
        part.append(entry)
        length += len(entry) + 1
    yield ",".join(part)


def bulk_load(path, number, plans, fingerprints):
    """The same commands as the agent's; returns how long the slowest one took, in ms."""
    policies = sorted(plans.items())
    entries = [f"+p:{customer}:seal:enabled:{plan}:-" for customer, plan in policies]
    entries += [f"+r:{fingerprint:016X}:0:revoked" for fingerprint in fingerprints]
    parts = list(parts_of(entries))
    commands = [f"begin {number} {states.STREAM} {number + 1} {len(plans)} {len(fingerprints)}"]
    for index, part in enumerate(parts, 1):
        checksum = hashlib.sha256(part.encode()).digest()[:8].hex()
        commands.append(f"part {number} {index} {checksum} {part}")
    digests = (states.digest_of_table(states.policy_digest(*policy) for policy in policies),
               states.digest_of_table(map(states.revocation_digest, fingerprints)))
    commands.append(f"commit {number} {len(parts)} {digests[0]:016x} {digests[1]:016x}")
    slowest = 0
    for command in commands:
        begun = time.monotonic()
        answer = ask(path, "suiftly apply " + command)
        slowest = max(slowest, time.monotonic() - begun)
        if '"result":"ok"' not in answer:
            raise SystemExit(f"suiftly apply {command[:60]}: {answer}")
    return slowest * 1000


def started(variant, folder):
    server = variant.start(folder)
    # What was allocated only to start is given back by now.
    time.sleep(1)
    return server


def measure(haproxy, modules, backend_port, parent):
    """{figure: MB, or what its name says}"""
    say("memory: making a million revocations")
    megabyte = 1024
    with tempfile.TemporaryDirectory(prefix="suiftly-memory-", dir=parent) as folder:
        folder = Path(folder)
        few = folder / "few"
        many = folder / "many"
        few.mkdir(), many.mkdir()
        small = states.State(few, modules, revocations=0, policies=0)
        large = states.State(many, modules, revocations=REVOCATIONS, policies=POLICIES)
        fingerprints = states.random_revocations(REVOCATIONS)

        variants = Variants(haproxy, small, backend_port)
        with started(variants.bare("bare", real=True), few) as server:
            bare = server.memory_kb("VmRSS")
        say("memory: our configuration with small tables")
        with started(variants.ours("ours", real=True), few) as server:
            empty = server.memory_kb("VmRSS")
            say("memory: first load over the socket")
            server.forget_peak()
            slowest = bulk_load(few / "haproxy.sock", 1, large.plans, fingerprints)
            first_peak = server.memory_kb("VmHWM")
            time.sleep(1)
            first = server.memory_kb("VmRSS")
            say("memory: second load, which replaces the first")
            server.forget_peak()
            slowest = max(slowest, bulk_load(few / "haproxy.sock", 2, large.plans, fingerprints))
            second_peak = server.memory_kb("VmHWM")
            time.sleep(1)
            second = server.memory_kb("VmRSS")
        say("memory: the same tables read at start")
        with started(Variants(haproxy, large, backend_port).ours("ours", real=True), many) as server:
            from_files, from_files_peak = server.memory_kb("VmRSS"), server.memory_kb("VmHWM")
    settled = max(first, second, from_files)
    return {
        "bare HAProxy, MB": bare / megabyte,
        "our configuration with 10,002 policies and no revocation, above bare, MB": (empty - bare) / megabyte,
        "settled after a first load, above bare, MB": (first - bare) / megabyte,
        "peak of a first load, above bare, MB": (first_peak - bare) / megabyte,
        "settled after a second load, above bare, MB": (second - bare) / megabyte,
        "peak of a load that replaces such tables, above bare, MB": (second_peak - bare) / megabyte,
        "settled after reading them at start, above bare, MB": (from_files - bare) / megabyte,
        "peak of reading them at start, above bare, MB": (from_files_peak - bare) / megabyte,
        "bytes an entry (what is settled, less the small tables)":
            (settled - empty) * 1024 / (REVOCATIONS + POLICIES - len(small.plans)),
        "slowest command of a load, ms": slowest,
    }
