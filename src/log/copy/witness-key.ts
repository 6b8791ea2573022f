import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../outcome.ts";
import type { Witness, WitnessKey } from "../cosignature.ts";
import { writeNewFile } from "../durable-file.ts";
import { writeNewPrivateKey } from "../log-key.ts";
import { encodeVerifierKey, noteKey, parseNoteKey } from "../signed-note.ts";

/** The key with which a log host cosigns: Ed25519, PKCS #8 PEM, beside the copy, for its owner alone. */
export const WITNESS_KEY_FILE = "witness.key";
/** Its public half with its name, C2SP form, one line. */
export const WITNESS_PUBLIC_FILE = "witness.pub";

/** Makes a new witness key in a folder, durably; EEXIST where there is one. A TypeError for a name that is none. */
export function writeNewWitnessKey(folder: string, name: string): void {
  const publicKey = createPublicKey(writeNewPrivateKey(join(folder, WITNESS_KEY_FILE)));
  const key = noteKey("cosignature", name, publicKey);
  writeNewFile(join(folder, WITNESS_PUBLIC_FILE), `${encodeVerifierKey(key)}\n`);
}

/** Reads both halves. Fault `key-unavailable` where one cannot be read, `log-broken` where they are none or not of one key. */
export function readWitness(folder: string): Witness {
  const key = readWitnessKey(folder);
  const pem = read(join(folder, WITNESS_KEY_FILE));
  try {
    const privateKey = createPrivateKey(pem);
    const own = noteKey("cosignature", key.name, createPublicKey(privateKey));
    if (encodeVerifierKey(own) === encodeVerifierKey(key)) return { key, privateKey };
  } catch (cause) {
    throw new Fault("log-broken", `${WITNESS_KEY_FILE} is not an Ed25519 private key in PEM`, { cause });
  }
  throw new Fault("log-broken", `${WITNESS_KEY_FILE} is not the key of ${WITNESS_PUBLIC_FILE}`);
}

function readWitnessKey(folder: string): WitnessKey {
  const key = parseNoteKey("cosignature", read(join(folder, WITNESS_PUBLIC_FILE)).trimEnd());
  if (key === undefined) throw new Fault("log-broken", `${WITNESS_PUBLIC_FILE} is not a witness key`);
  return key;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault("key-unavailable", `${path} cannot be read`, { cause });
  }
}
