#!/usr/bin/env python3
"""The Suiftly API key, written a second time: from its description, in another language, without the crate.

What both agree on is the format; what only one does is a fault. `vectors.json` is this program's output, and
the crate's tests read it. Python's standard library only.

    independent_key.py vectors > vectors.json
    independent_key.py mint --secret-hex H --group 1 --service seal --derivation 1 --customer 42
                            [--key-version 0|1]
    independent_key.py verify --secret-hex H --group 1 KEY

`verify` prints the key's fields as JSON and exits 0, or prints {"error": ...} and exits 1. A secret on a
command line is seen by every process of the machine: this is for tests and made-up secrets.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 section 6
LETTERS = {"seal": "S", "grpc": "R", "graphql": "G"}
SERVICES = {letter: service for service, letter in LETTERS.items()}


class Refused(Exception):
    """The first fault of a key, by its code word."""


def flags(version, imported, group):
    return version << 6 | int(imported) << 5 | group


def head(flags_byte, derivation, customer):
    """Payload bytes 0..8."""
    return bytes([flags_byte]) + derivation.to_bytes(3, "big") + customer.to_bytes(4, "big")


def seal(version, letter, head8, secret):
    """(payload, tag) of a genuine key."""
    if version == 0:
        payload = head8 + bytes(4)
        return payload, hmac.new(secret, payload, hashlib.sha256).digest()[:2]
    mac = hmac.new(secret, letter.encode() + head8, hashlib.sha256).digest()
    return head8 + mac[:4], mac[4:6]


def write(letter, payload, tag):
    def base32(data):
        return base64.b32encode(data).decode().rstrip("=")

    return letter + base32(payload) + base32(tag)


def read_base32(text, length):
    """Bytes of canonical base32 in either case; the bits left over must be zero."""
    number = 0
    for character in text:
        value = ALPHABET.find(character.upper()) if character.isascii() else -1
        if value < 0:
            raise Refused("malformed")
        number = number << 5 | value
    spare = 5 * len(text) - 8 * length
    if number & ((1 << spare) - 1):
        raise Refused("malformed")
    return (number >> spare).to_bytes(length, "big")


def verify(text, keyring):
    """The fields of a genuine key, or Refused. `keyring` maps a group's number to its secret."""
    if len(text) != 25 or not (text[0].isascii() and text[0].isalnum()):
        raise Refused("malformed")
    payload, tag = read_base32(text[1:21], 12), read_base32(text[21:], 2)
    version, imported, group = payload[0] >> 6, bool(payload[0] >> 5 & 1), payload[0] & 31
    derivation, customer = int.from_bytes(payload[1:4], "big"), int.from_bytes(payload[4:8], "big")
    if version in (0, 1):
        if derivation != 0 if imported else not 1 <= derivation <= 1023:
            raise Refused("malformed")
        if version == 0 and payload[8:] != bytes(4):
            raise Refused("malformed")
    letter = text[0].upper()
    if letter not in SERVICES:
        raise Refused("unknown_service")
    if version not in (0, 1):
        raise Refused("unsupported_version")
    if group not in keyring:
        raise Refused("unknown_group")
    good_payload, good_tag = seal(version, letter, payload[:8], keyring[group])
    if not hmac.compare_digest(good_payload + good_tag, payload + tag):
        raise Refused("bad_mac")
    if customer == 0:
        raise Refused("bad_customer")
    return {
        "version": version,
        "service": SERVICES[letter],
        "letter": letter,
        "group": group,
        "derivation": derivation,
        "customer_id": customer,
        "imported": imported,
        "payload_hex": payload.hex(),
        "tag_hex": tag.hex(),
        "fingerprint": payload[:8].hex().upper(),
    }


# === the vectors ===

GROUPS = (0, 1, 2, 7, 31)
KEYRING = {group: hashlib.sha256(b"Suiftly test vectors, group %d" % group).digest() for group in GROUPS}

DESCRIPTION = [
    "Test vectors of the Suiftly API key, for any implementation to check itself against.",
    "Written by independent_key.py; do not edit by hand. The secrets are made up and protect nothing.",
    "accepted: api_key decodes to the other fields under secret_hex, the secret of its group. When imported is false,"
    " making a key from version, service, group, derivation and customer_id gives exactly api_key."
    " api_key in lower case, or with any letters of it in lower case, is the same key.",
    "refused: text under the secrets in keyring (group number to hex) is refused with exactly this error.",
]


def accepted_vector(version, service, group, derivation, customer, imported=False):
    letter = LETTERS[service]
    head8 = head(flags(version, imported, group), derivation, customer)
    payload, tag = seal(version, letter, head8, KEYRING[group])
    text = write(letter, payload, tag)
    fields = verify(text, KEYRING)
    assert (fields["customer_id"], fields["imported"]) == (customer, imported)
    return {**fields, "secret_hex": KEYRING[group].hex(), "api_key": text}


def accepted_vectors():
    customers = [1, 2, 255, 256, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2864434397, 305419896]
    derivations = [1, 2, 255, 256, 1000, 1023]
    count = 0
    for version in (1, 0):
        for service in LETTERS:
            for group in sorted(KEYRING):
                customer, derivation = customers[count % len(customers)], derivations[count % len(derivations)]
                yield accepted_vector(version, service, group, derivation, customer)
                count += 1
    for customer in customers[:4]:
        yield accepted_vector(1, "seal", 1, 1, customer)
    for version, service, group, customer in [
        (1, "seal", 1, 1), (1, "grpc", 2, 0xFFFFFFFF), (1, "graphql", 31, 65536),
        (0, "seal", 1, 1), (0, "grpc", 0, 0x80000000), (0, "graphql", 7, 77),
    ]:
        yield accepted_vector(version, service, group, 0, customer, imported=True)


def refused_vectors():
    def made(version=1, letter="S", group=1, derivation=5, customer=42, imported=False):
        """A text whose tag is right, whatever else is wrong with it."""
        head8 = head(flags(version, imported, group), derivation, customer)
        return write(letter, *seal(version, letter, head8, KEYRING.get(group, bytes(32))))

    def with_spare(text, position, bit):
        return text[:position] + ALPHABET[ALPHABET.index(text[position]) | bit] + text[position + 1:]

    good, good_0 = made(), made(version=0)
    head_0 = head(flags(0, False, 1), 5, 42)
    reserved_set = head_0 + b"\0\0\0\1"
    tag_of_reserved = hmac.new(KEYRING[1], reserved_set, hashlib.sha256).digest()[:2]
    flipped = ALPHABET[ALPHABET.index(good[21]) ^ 1]

    yield "", "malformed", "empty"
    yield good[:-1], "malformed", "24 characters"
    yield good + "A", "malformed", "26 characters"
    yield "SABCDEFGHIJKLMNOPQRST234567", "malformed", "the 27-character example of the first document"
    yield good[:-1] + "=", "malformed", "padding character"
    yield good[:9] + "0" + good[10:], "malformed", "0 is outside the alphabet"
    yield good[:9] + "1" + good[10:], "malformed", "1 is outside the alphabet"
    yield good[:9] + "8" + good[10:], "malformed", "8 is outside the alphabet"
    yield good[:12] + " " + good[13:], "malformed", "space inside"
    yield " " + good[1:], "malformed", "first character is no letter or digit"
    yield "-" + good[1:], "malformed", "first character is no letter or digit"
    for bit in (1, 2, 4, 8):
        yield with_spare(good, 20, bit), "malformed", f"spare bit {bit} after the payload is set"
        yield with_spare(good, 24, bit), "malformed", f"spare bit {bit} after the tag is set"
    yield made(derivation=0), "malformed", "derivation 0 without the imported flag, tag right"
    yield made(derivation=1024), "malformed", "derivation above 1023, tag right"
    yield made(derivation=0xFFFFFF), "malformed", "derivation of 24 ones, tag right"
    yield made(derivation=1, imported=True), "malformed", "imported with a derivation, tag right"
    yield made(version=0, derivation=0), "malformed", "version 0, derivation 0 without the imported flag, tag right"
    yield write("S", reserved_set, tag_of_reserved), "malformed", "version 0 with a reserved byte set, tag right"
    yield made(letter="X", derivation=0), "malformed", "a field fault comes before an unknown letter"
    yield made(letter="X"), "unknown_service", "no service has this letter, tag right"
    yield made(letter="A"), "unknown_service", "no service has this letter; never a default"
    yield "3" + good[1:], "unknown_service", "a digit is a letter of no service"
    yield made(version=2, letter="X"), "unknown_service", "an unknown letter comes before the version"
    yield made(version=2), "unsupported_version", "version 2"
    yield made(version=3), "unsupported_version", "version 3"
    yield made(version=3, derivation=0), "unsupported_version", "version 3 has no field rules yet"
    yield made(version=2, group=9), "unsupported_version", "the version comes before the group"
    yield made(group=9), "unknown_group", "the keyring has no group 9"
    yield made(group=9, customer=0), "unknown_group", "the group comes before the tag and the customer"
    yield good[:21] + flipped + good[22:], "bad_mac", "one bit of the tag changed"
    yield "R" + good[1:], "bad_mac", "another service's letter on a version 1 key"
    yield made(customer=58)[:13] + good[13:], "bad_mac", "another customer's payload under this tag"
    yield good_0[:21] + good[21:], "bad_mac", "the tag of a version 1 key on a version 0 key"
    yield made(customer=0)[:21] + good[21:], "bad_mac", "the tag comes before the customer"
    yield made(customer=0), "bad_customer", "customer 0, tag right"
    yield made(version=0, customer=0), "bad_customer", "customer 0, version 0, tag right"


def vectors():
    refused = []
    for text, error, why in refused_vectors():
        try:
            verify(text, KEYRING)
        except Refused as fault:
            assert str(fault) == error, (text, str(fault), error, why)
        else:
            raise AssertionError((text, why))
        refused.append({"text": text, "error": error, "why": why})
    return {
        "description": DESCRIPTION,
        "keyring": {str(group): secret.hex() for group, secret in KEYRING.items()},
        "accepted": list(accepted_vectors()),
        "refused": refused,
    }


# === the command line ===


def number(low, high):
    def convert(text):
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    convert.__name__ = f"number from {low} to {high}"
    return convert


def secret(text):
    value = bytes.fromhex(text)
    if len(value) != 32:
        raise ValueError
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("vectors", help="print vectors.json")
    mint = commands.add_parser("mint", help="print the text of a key")
    check = commands.add_parser("verify", help="print the fields of a key, or why it is refused")
    for command in (mint, check):
        command.add_argument("--secret-hex", type=secret, required=True, help="64 hex digits")
        command.add_argument("--group", type=number(0, 31), required=True)
    mint.add_argument("--service", choices=LETTERS, required=True)
    mint.add_argument("--derivation", type=number(1, 1023), required=True)
    mint.add_argument("--customer", type=number(1, 0xFFFFFFFF), required=True)
    mint.add_argument("--key-version", type=number(0, 1), default=1)
    check.add_argument("key")
    given = parser.parse_args()

    if given.command == "vectors":
        print(json.dumps(vectors(), indent=1))
    elif given.command == "mint":
        letter = LETTERS[given.service]
        head8 = head(flags(given.key_version, False, given.group), given.derivation, given.customer)
        print(write(letter, *seal(given.key_version, letter, head8, given.secret_hex)))
    else:
        try:
            print(json.dumps(verify(given.key, {given.group: given.secret_hex})))
        except Refused as fault:
            print(json.dumps({"error": str(fault)}))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
