import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault, quoted } from "../outcome.ts";
import { writeNewFile } from "./durable-file.ts";
import { type NoteSigner, verifierKey } from "./signed-note.ts";

/** The key that signs checkpoints: Ed25519, PKCS #8 PEM, in a file of the state directory that only its owner reads. */

/** Name of the log key's file in the state directory. */
export const LOG_KEY_FILE = "log.key";

/** Makes a new log key and writes it durably to `path` (mode 0600), which MUST NOT exist: EEXIST is thrown as it is. */
export function writeNewLogKey(path: string, origin: string): NoteSigner {
  return noteSigner(writeNewPrivateKey(path), origin);
}

/** {@link writeNewLogKey} for whatever it is to sign. */
export function writeNewPrivateKey(path: string): KeyObject {
  const { privateKey } = generateKeyPairSync("ed25519");
  writeNewFile(path, privateKey.export({ type: "pkcs8", format: "pem" }));
  return privateKey;
}

/**
 * Reads the log key of the log `origin`. Missing: Fault `no-state`; unreadable: `key-unavailable`; not an Ed25519
 * private key: `log-broken`.
 */
export function readLogKey(directory: string, origin: string): NoteSigner {
  return parseLogKey(readPem(join(directory, LOG_KEY_FILE)), origin);
}

/** {@link readLogKey} for a backup of it, whatever its name; one that is missing or cannot be read is `key-unavailable`. */
export function readLogKeyFile(path: string, origin: string): NoteSigner {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (cause) {
    throw new Fault("key-unavailable", `the log key ${quoted(path, 255)} cannot be read`, { cause });
  }
  return parseLogKey(pem, origin);
}

function parseLogKey(pem: Buffer, origin: string): NoteSigner {
  try {
    return noteSigner(createPrivateKey(pem), origin);
  } catch (cause) {
    throw new Fault(
      "log-broken",
      "the log key is not an Ed25519 private key in PEM: restore log.key from the backup",
      { cause },
    );
  }
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") {
      throw new Fault(
        "no-state",
        "the state directory holds a log and no log key: restore log.key from the backup",
        {
          cause,
        },
      );
    }
    throw new Fault("key-unavailable", "the log key cannot be read", { cause });
  }
}

function noteSigner(privateKey: KeyObject, origin: string): NoteSigner {
  return { verifier: verifierKey(origin, createPublicKey(privateKey)), privateKey };
}
