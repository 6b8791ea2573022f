"""C2SP signed-note, tlog-checkpoint and tlog-cosignature: the Ed25519 parts."""

import base64
import hashlib
import re
import unicodedata

import ed25519


class Bad(Exception):
    """What is read is not what it has to be."""


def decode_base64(text):
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Bad("base64") from error
    if base64.b64encode(octets).decode() != text:
        raise Bad("base64 in another spelling")
    return octets


def is_name(name):
    # signed-note: no Unicode spaces, no plus. Control characters beyond U+0020 are no part of a name either.
    return (
        0 < len(name) <= 255
        and "+" not in name
        and not any(c.isspace() or c == "\ufeff" or unicodedata.category(c) == "Cc" for c in name)
    )


class Key:
    """`NAME+ID+BASE64`; signature type 0x01 for a log, 0x04 for a witness."""

    def __init__(self, text, kind):
        match = re.fullmatch(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
        if match is None or not is_name(match[1]):
            raise Bad("a key")
        encoded = decode_base64(match[3])
        if len(encoded) != 33 or encoded[0] != kind:
            raise Bad("a key of this kind")
        self.name = match[1]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + encoded).digest()[:4]
        self.public = encoded[1:]
        if self.id.hex() != match[2]:
            raise Bad("the key's ID")


def parse_note(note):
    """Text, and signatures as (name, key ID, octets)."""
    if any(ord(c) < 0x20 and c != "\n" for c in note):
        raise Bad("control characters")
    blank = note.rfind("\n\n")
    if blank < 0 or not note.endswith("\n"):
        raise Bad("a note")
    lines = note[blank + 2 : -1].split("\n")
    if len(lines) > 64:
        raise Bad("too many signatures")
    return note[: blank + 1], [parse_signature(line) for line in lines]


def parse_signature(line):
    match = re.fullmatch("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", line)
    if match is None or not is_name(match[1]):
        raise Bad("a signature line")
    octets = decode_base64(match[2])
    if len(octets) <= 4:
        raise Bad("a signature")
    return match[1], octets[:4], octets[4:]


def own(signatures, key):
    found = [octets for name, key_id, octets in signatures if (name, key_id) == (key.name, key.id)]
    if not found:
        raise Bad(f"no signature of {key.name}")
    return found


def open_checkpoint(note, log, witnesses=()):
    """Size, root and the times of cosigning, where the log signed and every witness cosigned."""
    text, signatures = parse_note(note)
    for octets in own(signatures, log):
        if not ed25519.verify(log.public, text.encode(), octets):
            raise Bad("the log's signature")
    times = [max(cosigned(text, octets, witness) for octets in own(signatures, witness)) for witness in witnesses]
    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines or lines[0] != log.name:
        raise Bad("a checkpoint of this log")
    if re.fullmatch("0|[1-9][0-9]*", lines[1], re.ASCII) is None:
        raise Bad("the size")
    root = decode_base64(lines[2])
    if len(root) != 32:
        raise Bad("the root")
    return int(lines[1]), root, times


def cosigned(text, octets, witness):
    """tlog-cosignature, "Format" and "Ed25519 signed message"."""
    time = int.from_bytes(octets[:8], "big")
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    if len(octets) != 72 or time >= 2**63 or not ed25519.verify(witness.public, message, octets[8:]):
        raise Bad(f"the cosignature of {witness.name}")
    return time
