"""Verifies what the log hands out. See README.md beside it.

Requests of `batch`, one JSON object a line, octets in hex:
  {"do": "proof", "proof": HEX, "key": KEY, "witnesses": [KEY...]}
  {"do": "root", "leaves": [HEX...]}
  {"do": "inclusion", "leaf": HEX, "index": N, "size": N, "path": [HEX...], "root": HEX}      `leaf` is a hash
  {"do": "consistency", "first": N, "second": N, "roots": [HEX, HEX], "proof": [HEX...]}
Answers: {"ok": true, ...} or {"ok": false, "why": ...}.
"""

import argparse
import json
import pathlib
import re
import sys

import merkle
import notes
from notes import Bad

PROOF_HEADER = "c2sp.org/tlog-proof@v1"


def verify_proof(octets, log, witnesses):
    """A tlog-proof whose extra data is the entry."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("UTF-8") from error
    above, blank, checkpoint = text.partition("\n\n")
    lines = above.split("\n")
    if not blank or lines.pop(0) != PROOF_HEADER:
        raise Bad("a tlog-proof")
    if not lines or not lines[0].startswith("extra "):
        raise Bad("the entry in the extra data")
    entry = notes.decode_base64(lines.pop(0)[len("extra ") :])
    match = re.fullmatch("index (0|[1-9][0-9]*)", lines.pop(0) if lines else "", re.ASCII)
    if match is None:
        raise Bad("the index")
    index = int(match[1])
    path = [notes.decode_base64(line) for line in lines]
    if any(len(node) != 32 for node in path):
        raise Bad("a hash")
    size, root, times = notes.open_checkpoint(checkpoint, log, witnesses)
    if not merkle.is_inclusion(merkle.leaf_hash(entry), index, size, path, root):
        raise Bad("inclusion")
    return {"index": index, "size": size, "root": root.hex(), "entry": entry.decode("latin-1"), "cosigned": times}


def tile_path(number):
    """tlog-tiles: three digits to a path element, all but the last behind an x."""
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]])


def read_tile(folder, level, number, width):
    """The tile, full or partial: what is left over in a full one that took a partial one's place is cut by who reads."""
    path = folder / "tile" / level / tile_path(number)
    partial = path.with_name(path.name + ".p") / str(width)
    return (partial if width < 256 and partial.exists() else path).read_bytes()


def entries_of(bundle, width):
    entries = []
    while len(entries) < width:
        length = int.from_bytes(bundle[:2], "big")
        if len(bundle) < 2 + length or len(bundle) < 2:
            raise Bad("an entry bundle")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return entries, bundle


def verify_tiles(folder, log, witnesses):
    """From the entry bundles alone to the checkpoint's root; then every tile of the tree."""
    note = (folder / "checkpoint").read_bytes().decode("utf-8")
    size, root, times = notes.open_checkpoint(note, log, witnesses)
    hashes = []
    for number in range(-(-size // 256)):
        width = min(256, size - number * 256)
        entries, rest = entries_of(read_tile(folder, "entries", number, width), width)
        if rest and width == 256:
            raise Bad(f"octets after bundle {number}")
        hashes += [merkle.leaf_hash(entry) for entry in entries]
    if merkle.root(hashes) != root:
        raise Bad("the entries are not those of the checkpoint")
    tiles, level = 0, 0
    while hashes:
        for number in range(-(-len(hashes) // 256)):
            expected = hashes[number * 256 : (number + 1) * 256]
            found = read_tile(folder, str(level), number, len(expected))
            if found[: 32 * len(expected)] != b"".join(expected) or len(found) % 32 != 0:
                raise Bad(f"tile {level}/{number}")
            tiles += 1
        full = len(hashes) // 256
        hashes = [merkle.root(hashes[n * 256 : (n + 1) * 256]) for n in range(full)]
        level += 1
    return {"size": size, "root": root.hex(), "tiles": tiles, "cosigned": times}


def unhex(value):
    return [bytes.fromhex(one) for one in value] if isinstance(value, list) else bytes.fromhex(value)


def keys(key, witnesses):
    return notes.Key(key, 0x01), [notes.Key(witness, 0x04) for witness in witnesses]


def answer(request):
    if request["do"] == "proof":
        return verify_proof(unhex(request["proof"]), *keys(request["key"], request["witnesses"]))
    if request["do"] == "root":
        return {"root": merkle.root([merkle.leaf_hash(leaf) for leaf in unhex(request["leaves"])]).hex()}
    if request["do"] == "inclusion":
        at, size, path = request["index"], request["size"], unhex(request["path"])
        verified = merkle.is_inclusion(unhex(request["leaf"]), at, size, path, unhex(request["root"]))
    else:
        first, second, proof = request["first"], request["second"], unhex(request["proof"])
        verified = merkle.is_consistency(first, second, *unhex(request["roots"]), proof)
    if not verified:
        raise Bad(request["do"])
    return {}


def judged(work):
    try:
        return {"ok": True, **work()}
    except (Bad, OSError) as error:
        return {"ok": False, "why": str(error)}


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("proof", "file"), ("tiles", "directory")):
        command = commands.add_parser(name)
        command.add_argument(what, type=pathlib.Path)
        command.add_argument("--key", required=True)
        command.add_argument("--witness", action="append", default=[])
    commands.add_parser("batch")
    args = parser.parse_args()
    if args.command == "batch":
        for line in sys.stdin:
            print(json.dumps(judged(lambda: answer(json.loads(line)))))
        return 0
    if args.command == "proof":
        result = judged(lambda: verify_proof(args.file.read_bytes(), *keys(args.key, args.witness)))
    else:
        result = judged(lambda: verify_tiles(args.directory, *keys(args.key, args.witness)))
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
