import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { beforeAll, expect, test } from "vitest";
import { type GeneratedKey, generateKey } from "../../../src/keys/key-generation.ts";
import type { SignedEntry } from "../../../src/log/log-entry.ts";
import { matchFiles, type PresentedFiles } from "../../../src/log/proof/presented-files.ts";
import { dearmor } from "../../../src/openpgp/armor.ts";
import { readPublicKey, readSecretKey } from "../../../src/openpgp/key-packet.ts";
import { startMessageHash } from "../../../src/openpgp/message-hash.ts";
import { isPacketProblem, type PacketProblem } from "../../../src/openpgp/packet-problem.ts";
import { signAndVerify } from "../../../src/openpgp/signing.ts";
import { isRefusal } from "../../../src/outcome.ts";

const ARTEFACT = Buffer.from("the artefact, in a few chunks of bytes");
const MADE = new Date("2026-01-01T00:00:00Z");
const EXPIRES = new Date("2026-06-01T00:00:00Z");

let key: GeneratedKey;
let entry: SignedEntry;
let certificate: Buffer;
beforeAll(async () => {
  key = await generateKey({ userId: "Repository <signer@example.org>", now: MADE, expires: EXPIRES });
  certificate = Buffer.from(key.armoredPublicKey);
  entry = entryOf(ARTEFACT, signatureOf(ARTEFACT, new Date("2026-02-01T00:00:00Z")));
});

function found<T extends object>(value: T | PacketProblem): T {
  if (isPacketProblem(value)) throw new Error(value.reason);
  return value as T;
}

function signatureOf(bytes: Uint8Array, createdAt: Date): Uint8Array {
  const secret = found(dearmor(Buffer.from(key.armoredSecretKey), "PRIVATE KEY BLOCK")).bytes;
  const open = found(dearmor(Buffer.from(key.armoredPublicKey), "PUBLIC KEY BLOCK")).bytes;
  const publicKey = found(readPublicKey(open, key.fingerprint));
  const pair = { secretKey: found(readSecretKey(secret, key.fingerprint)), publicKey };
  const message = startMessageHash([publicKey]);
  message.update(bytes);
  return signAndVerify(pair, message, { createdAt, expiresAfterSeconds: undefined, notations: [] });
}

/** An entry as a log would have it, of bytes and a signature that need not belong together. */
function entryOf(bytes: Uint8Array, signature: Uint8Array): SignedEntry {
  const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
  return {
    seq: 7,
    time: "2026-02-01T00:00:00.000Z",
    kind: "signed",
    client: "repos",
    rule: "any",
    type: "db",
    size: bytes.length,
    sha256: digest("sha256"),
    sha512: digest("sha512"),
    key: key.fingerprint,
    signature: Buffer.from(signature).toString("base64"),
    facts: {},
  };
}

/** What is wrong, or `matching`. */
async function matching(files: PresentedFiles, changes: Partial<SignedEntry> = {}): Promise<string> {
  const result = await matchFiles({ ...entry, ...changes }, files);
  if (!isRefusal(result)) return "matching";
  expect(result.code).toBe("bad-proof");
  return result.reason;
}

const chunks = (bytes = ARTEFACT) => Readable.from(Array.from(bytes, (octet) => Buffer.of(octet)));

test("all that is presented is what the entry is about, or the first that differs is named", async () => {
  const signature = Buffer.from(entry.signature, "base64");
  expect(await matching({ artefact: chunks(), signature, certificate })).toBe("matching");
  expect(await matching({ artefact: chunks(), certificate }, { sha256: "0".repeat(64) })).toBe(
    "the artefact's SHA-256 is not that of entry 7",
  );
  expect(await matching({ artefact: chunks(), certificate }, { sha512: "0".repeat(128) })).toBe(
    "the artefact's SHA-512 is not that of entry 7",
  );
  expect(await matching({ artefact: chunks() }, { size: ARTEFACT.length + 1 })).toMatch(/ has fewer bytes /);
  expect(await matching({ artefact: chunks() }, { size: ARTEFACT.length - 1 })).toMatch(/ has more bytes /);
  expect(await matching({ signature }, { signature: "AAAA" })).toMatch(
    /^the entry's signature is not one made here: /,
  );
});

test("a signature over other bytes does not become one over the artefact by being logged with it", async () => {
  const lie = entryOf(ARTEFACT, signatureOf(Buffer.from("other bytes"), new Date("2026-02-01T00:00:00Z")));
  expect(await matching({ artefact: chunks() }, lie)).toBe("matching");
  expect(await matching({ artefact: chunks(), certificate }, lie)).toBe(
    "the signature does not verify with the OpenPGP key",
  );
});

test("a signature from after the key's end is not one of the key", async () => {
  const late = entryOf(ARTEFACT, signatureOf(ARTEFACT, new Date("2026-07-01T00:00:00Z")));
  expect(await matching({ artefact: chunks(), certificate }, late)).toMatch(
    /^the OpenPGP key could not sign at 2026-07-01T00:00:00\.000Z: "[\x20-\x7e]+"$/,
  );
});

test("an artefact without end is not read further than the entry's size", async () => {
  let read = 0;
  async function* endless() {
    for (;;) {
      read += 1024;
      yield Buffer.alloc(1024);
    }
  }
  expect(await matching({ artefact: endless() })).toMatch(/ has more bytes /);
  expect(read).toBe(1024);
});
