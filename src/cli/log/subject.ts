import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import type { LogReader } from "../../log/log-reader.ts";
import { parseLogNotations } from "../../log/notations.ts";
import { dearmor } from "../../openpgp/armor.ts";
import { isPacketProblem } from "../../openpgp/packet-problem.ts";
import { parseSignature } from "../../openpgp/signature.ts";
import { Fault, quoted, type Refusal, refusal } from "../../outcome.ts";

/** What a person names, and the lines of the entries about it. */
export interface Subject {
  readonly lines: readonly string[];
  /** What was looked for, for people: `entry 7`, `sha256 12ab…`. */
  readonly what: string;
}

/** No signature of ours is longer, armored or not. */
const MAX_SIGNATURE_BYTES = 64 * 1024;

/**
 * Finds the entries about what `argument` names: a sequence number; a digest in hex, at least its first eight digits; a
 * signature file, whose notation leads to its entry; any other file, by its bytes.
 */
export async function findSubject(reader: LogReader, argument: string): Promise<Subject | Refusal> {
  if (/^[0-9]{1,15}$/.test(argument)) return bySeq(reader, Number(argument));
  const found = statSync(argument, { throwIfNoEntry: false });
  if (found?.isFile() === true)
    return bySignatureFile(reader, argument, found.size) ?? (await byContent(reader, argument));
  if (/^[0-9a-fA-F]{8,128}$/.test(argument)) return byDigest(reader, argument.toLowerCase());
  return refusal(
    "bad-request",
    `${quoted(argument)} is no sequence number, file, or digest of 8 or more hex digits`,
  );
}

function bySeq(reader: LogReader, seq: number): Subject | Refusal {
  const line = reader.line(seq);
  return line === undefined
    ? refusal("bad-request", `the log has no entry ${seq}: its last one is ${reader.size - 1}`)
    : { lines: [line], what: `entry ${seq}` };
}

function byDigest(reader: LogReader, digest: string): Subject | Refusal {
  const lines = reader.byDigest(digest);
  return lines.length === 0
    ? refusal("bad-request", `the log has no entry about a digest that begins with ${digest}`)
    : { lines, what: `digest ${digest}` };
}

async function byContent(reader: LogReader, file: string): Promise<Subject | Refusal> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return byDigest(reader, hash.digest("hex"));
}

/** The entry of a signature made here; undefined where the file is no such signature. */
function bySignatureFile(reader: LogReader, file: string, size: number): Subject | Refusal | undefined {
  if (size > MAX_SIGNATURE_BYTES) return undefined;
  const packet = dearmor(readFileSync(file), "SIGNATURE");
  if (isPacketProblem(packet)) return undefined;
  const signature = parseSignature(packet.bytes);
  if (isPacketProblem(signature)) return undefined;
  const notations = parseLogNotations(signature.notations);
  if (notations === undefined)
    return refusal("bad-request", "the signature does not say where in a log it is");
  const { size: seq, root } = notations.tree;
  const entry = reader.entry(seq);
  if (entry?.kind !== "signed" || !Buffer.from(entry.signature, "base64").equals(packet.bytes)) {
    throw notOfThisLog(`the signature says that it is entry ${seq}, and the log holds no such one there`);
  }
  if (Buffer.compare(root, reader.rootAt(seq)) !== 0) {
    throw notOfThisLog(`the signature was made after ${seq} other entries than those before entry ${seq}`);
  }
  return bySeq(reader, seq);
}

function notOfThisLog(what: string): Fault {
  return new Fault("log-broken", `${what}: it is of another log, or this one was changed`);
}
