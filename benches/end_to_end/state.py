"""The edge's state folder and the credentials that the client sends, the same ones every time."""

import base64
import hashlib
import hmac
import importlib.util
import json
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from machine import REPOSITORY

SEED = 20_000
ONE_CUSTOMER = 305419896
GROUPS = 20  # x 1000 derivations: as many keys of one customer as are sent in turn
DERIVATIONS = 1000
CUSTOMERS = 10_000  # of mixed tiers, two keys each
MAP_KEYS = 100_000
POLICIES = 100_000
REVOCATIONS = 100_000
STREAM = "00000000000000b1"
JWT_SECRET = "a-secret-for-benches-that-is-of-no-use"

# So high that nobody is ever limited: what is measured is the admitted path. number: (guaranteed, burst, priority)
PLANS = {1: (1_000_000, 0, 0), 2: (900_000, 1_000_000, 3), 3: (1_000_000, 1_000_000, 2), 4: (0, 1_000_000, 3)}
BURST_CUSTOMER = 305419897  # has plan 4: everything is burst


def independent_key():
    """The key format as a second program wrote it down."""
    spec = importlib.util.spec_from_file_location("independent_key", REPOSITORY / "apikey/tests/independent_key.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KEYS = independent_key()
SECRETS = {group: hashlib.sha256(b"Suiftly benches, group %d" % group).digest() for group in range(GROUPS)}


@dataclass(frozen=True)
class Key:
    customer: int
    group: int
    derivation: int
    plan: int

    def head(self):
        return KEYS.head(KEYS.flags(1, False, self.group), self.derivation, self.customer)

    def text(self):
        return KEYS.write("S", *KEYS.seal(1, "S", self.head(), SECRETS[self.group]))

    def packed(self):
        """What the module answers for it: fingerprint, plan from bit 42, service (1, Seal) from bit 52."""
        return int.from_bytes(self.head(), "big") | self.plan << 42 | 1 << 52


def digest(data):
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def policy_digest(customer, plan):
    return digest(struct.pack(">cIBBHB", b"p", customer, 1, 0, plan, 0))


def revocation_digest(fingerprint):
    return digest(struct.pack(">QQcB", fingerprint, 0, b"r", 0))


def digest_of_table(digests):
    return sum(digests) & (1 << 64) - 1


def random_revocations(count):
    numbers = random.Random(SEED + count)
    found = set()
    while len(found) < count:
        # Version 1, group 1, a derivation and a customer, as real ones have; far from the keys that are sent.
        found.add(0x41 << 56 | numbers.randint(1, 1000) << 32 | numbers.randint(1 << 31, (1 << 32) - 1))
    return sorted(found)


def write_table(path, table, lines, digests):
    checksum = digest_of_table(digests)
    header = f"# suiftly {table} format=1 stream={STREAM} sequence=1 count={len(lines)} checksum={checksum:016x}\n"
    path.write_text(header + "".join(line + "\n" for line in lines))


def write_policies(path, plans):
    write_table(path, "policies", [f"{customer} seal enabled {plan} -" for customer, plan in plans.items()],
                [policy_digest(customer, plan) for customer, plan in plans.items()])


def write_revocations(path, fingerprints):
    write_table(path, "revocations", [f"{f:016X} 0 revoked" for f in fingerprints],
                [revocation_digest(f) for f in fingerprints])


def jwt(claims):
    def part(data):
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode())
    signed = head + "." + part(json.dumps(claims, separators=(",", ":")).encode())
    return signed + "." + part(hmac.digest(JWT_SECRET.encode(), signed.encode(), "sha256"))


def write_lines(path, lines):
    path.write_text("".join(line + "\n" for line in lines))


def write_maps(folder, plans, revocations):
    folder.mkdir()
    write_policies(folder / "policies.map", plans)
    write_revocations(folder / "revocations.map", revocations)
    packed = (f"{n} {g | b << 20 | p << 40}" for n, (g, b, p) in PLANS.items())
    write_lines(folder / "plans.map", packed)
    for name in ("services.map", "errors.map"):
        shutil.copy(REPOSITORY / "maps" / name, folder / name)


def write_keyring(path):
    path.touch(mode=0o600)
    write_lines(path, ["default_group = 1", "[groups]", *(f'{g} = "{s.hex()}"' for g, s in SECRETS.items())])


def write_certificate(path):
    key = path.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-keyout", key, "-out", path],
        check=True, capture_output=True,
    )
    # HAProxy wants both in one file.
    path.write_text(path.read_text() + key.read_text())


class State:
    """Everything that servers and client read, below one folder."""

    def __init__(self, folder, modules, revocations=REVOCATIONS, policies=POLICIES):
        self.folder = folder
        self.certificate = folder / "edge.pem"
        self.map_file = folder / "maps/keys.map"
        shutil.copytree(modules, folder / "modules")
        write_keyring(folder / "keyring.toml")
        write_certificate(self.certificate)
        self.write_keys(revocations, policies)

    def write_keys(self, revocations, policies):
        numbers = random.Random(SEED)
        one = [Key(ONE_CUSTOMER, g, d, 1) for g in range(GROUPS) for d in range(1, DERIVATIONS + 1)]
        burst = [Key(BURST_CUSTOMER, g, d, 4) for g in range(GROUPS) for d in range(1, DERIVATIONS + 1)]
        plans = {ONE_CUSTOMER: 1, BURST_CUSTOMER: 4}
        # Below 2^31, where no revocation is.
        while len(plans) < max(policies, CUSTOMERS + 2):
            plans.setdefault(numbers.randint(1, (1 << 31) - 1), len(plans) % 3 + 1)
        customers = list(plans)[2:]
        many = [Key(c, 1, d, plans[c]) for d in (1, 2) for c in customers[:CUSTOMERS]]
        others = [Key(customers[i % len(customers)], 2, i // len(customers) + 1, 1) for i in range(MAP_KEYS - len(one))]
        self.sample = one[0]
        self.one, self.many, self.burst, self.tokens = (
            self.folder / name for name in ("one.keys", "many.keys", "burst.keys", "tokens"))
        texts = [key.text() for key in one]
        numbers.shuffle(many)
        write_lines(self.one, texts)
        write_lines(self.many, (key.text() for key in many))
        write_lines(self.burst, (key.text() for key in burst))
        write_lines(self.tokens, (jwt({"sub": str(key.customer), "k": str(key.packed())}) for key in one))
        write_maps(self.folder / "maps", plans, random_revocations(revocations))
        entries = [f"{text} {key.packed()}" for text, key in zip(texts, one)]
        write_lines(self.map_file, entries + [f"{key.text()} {key.packed()}" for key in others])
        self.plans = plans
