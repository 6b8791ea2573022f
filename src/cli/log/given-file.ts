import { closeSync, openSync, readSync } from "node:fs";
import type { WitnessKey } from "../../log/cosignature.ts";
import {
  encodeVerifierKey,
  parseNoteKey,
  parseVerifierKey,
  type VerifierKey,
} from "../../log/signed-note.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";

/** Small files that a command line names, and keys on it. Controlled by: whoever runs the program, and whoever gave them the file. */

/** A key's line, or a file of it, is far below this. */
const MAX_KEY_BYTES = 4096;

/** The whole file, `-` for stdin; undefined where it cannot be read or is longer. No more than that is ever read. */
export function readGivenFile(file: string, maxBytes: number): Buffer | undefined {
  const buffer = Buffer.alloc(maxBytes + 1);
  let length = 0;
  let descriptor: number | undefined;
  try {
    descriptor = file === "-" ? 0 : openSync(file, "r");
    for (let read = -1; read !== 0 && length <= maxBytes; length += read)
      read = readSync(descriptor, buffer, length, maxBytes + 1 - length, null);
    return length <= maxBytes ? buffer.subarray(0, length) : undefined;
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined && descriptor !== 0) closeSync(descriptor);
  }
}

/** {@link readGivenFile} as text; undefined also where it is not UTF-8. */
export function readGivenText(file: string, maxBytes: number): string | undefined {
  const bytes = readGivenFile(file, maxBytes);
  return bytes && decodeText(bytes);
}

/** Text of UTF-8, a byte order mark as part of it; undefined where it is none. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The key of a log after `option`: `NAME+ID+KEY`, or `@FILE` of a file that holds this line. */
export function readLogKeyOption(option: string, value: string) {
  return parseVerifierKey(keyLine(value)) ?? badKey(option, value, "the key that signer-log key prints");
}

/** The same for the key of a witness. */
export function readWitnessKeyOption(option: string, value: string) {
  return parseNoteKey("cosignature", keyLine(value)) ?? badKey(option, value, "the key of a witness");
}

/**
 * Who must have cosigned, each once, however often it is given. Refuses one key under two names, the log's among them: a
 * name is chosen by who has the key, and one key that cosigns twice is still one witness.
 * @param log the log's key, where it is given
 */
export function readWitnessKeys(
  values: readonly string[],
  log: VerifierKey | undefined,
): readonly WitnessKey[] | Refusal {
  const found = new Map<string, WitnessKey>();
  for (const value of values) {
    const witness = readWitnessKeyOption("--witness", value);
    if (isRefusal(witness)) return witness;
    found.set(encodeVerifierKey(witness), witness);
  }
  const witnesses = [...found.values()];
  const known = [...(log === undefined ? [] : [log]), ...witnesses];
  for (const witness of witnesses) {
    const same = known.find((other) => other !== witness && other.publicKey.equals(witness.publicKey));
    if (same !== undefined)
      return refusal(
        "bad-request",
        `--witness ${quoted(witness.name)} has the same key as ${quoted(same.name)}: expected a key of its own for each`,
      );
  }
  return witnesses;
}

function keyLine(value: string): string {
  if (!value.startsWith("@")) return value;
  return (readGivenText(value.slice(1), MAX_KEY_BYTES) ?? "").replace(/\n$/, "");
}

function badKey(option: string, value: string, what: string): Refusal {
  return refusal(
    "bad-request",
    `${option} ${quoted(value)}: expected ${what}, NAME+ID+KEY, or @ and the name of a file that holds it`,
  );
}
