import { isPacketProblem } from "../../openpgp/packet-problem.ts";
import { parseSignature } from "../../openpgp/signature.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type Checkpoint, openCheckpoint, parseCheckpoint } from "../checkpoint.ts";
import { Contradiction } from "../contradiction.ts";
import { cosignedAt, type WitnessKey } from "../cosignature.ts";
import { type LogEntry, MAX_ENTRY_BYTES, parseLogEntry } from "../log-entry.ts";
import { hashLeaf } from "../merkle.ts";
import { verifyInclusion } from "../merkle-proof.ts";
import { parseLogNotations } from "../notations.ts";
import { encodeVerifierKey, parseSignedNote, type VerifierKey } from "../signed-note.ts";
import { checkSignature } from "../verify-entry.ts";
import { rootBefore } from "./root-before.ts";
import { parseTlogProof, type TlogProof } from "./tlog-proof.ts";

/** Whom the verifier believes. */
export interface ProofKeys {
  readonly log: VerifierKey;
  /** Each of them must have cosigned; none: nobody is asked. */
  readonly witnesses: readonly WitnessKey[];
}

/** An entry that is in the log. Only {@link openProof} makes one. */
export interface ProvenEntry {
  readonly entry: LogEntry;
  readonly checkpoint: Checkpoint;
  /** When each of the witnesses cosigned the checkpoint, in their order. */
  readonly cosigned: readonly { readonly witness: WitnessKey; readonly at: Date }[];
}

/**
 * Opens a proof with nothing but public keys: the entry in it is in the log of `keys.log`, at its number, below a checkpoint
 * that the log signed and each witness cosigned; and what the entry's signature says of itself and of the log before it is
 * true. Controlled by: whoever made the file. Otherwise `bad-proof`, naming the first thing that is wrong.
 */
export function openProof(text: string, keys: ProofKeys): ProvenEntry | Refusal {
  const proof = parseTlogProof(text);
  if (isRefusal(proof)) return proof;
  const entry = entryOf(proof);
  if (isRefusal(entry)) return entry;
  const checkpoint = openCheckpoint(proof.checkpoint, keys.log);
  if (checkpoint === undefined) return notSigned(proof, keys.log);
  const { size, root } = checkpoint;
  if (proof.index >= size)
    return bad(`the checkpoint is of ${size} entries, before there was an entry ${proof.index}`);
  if (!verifyInclusion(hashLeaf(proof.extra ?? Buffer.of()), proof.index, size, proof.path, root))
    return bad(`the path does not lead from entry ${proof.index} to the checkpoint's root`);
  const cosigned = cosignatures(proof, keys.witnesses);
  if (isRefusal(cosigned)) return cosigned;
  const claims = wrongClaims(entry, rootBefore(proof.index, size, proof.path));
  return claims === undefined ? { entry, checkpoint, cosigned } : bad(`entry ${entry.seq}: ${claims}`);
}

/** The entry in the extra data; whether it is in the log is for the path to say. */
function entryOf({ extra, index }: TlogProof): LogEntry | Refusal {
  if (extra === undefined) return bad("the entry expected as the extra data");
  const line = extra.length > MAX_ENTRY_BYTES ? "" : Buffer.from(extra).toString("latin1");
  const entry = parseLogEntry(line);
  if (entry === undefined) return bad("the extra data is no well-formed entry");
  return entry.seq === index
    ? entry
    : bad(`the index is ${index}, and the entry says that it is ${entry.seq}`);
}

function notSigned({ checkpoint }: TlogProof, key: VerifierKey): Refusal {
  const origin = parseCheckpoint(parseSignedNote(checkpoint)?.text ?? "")?.origin;
  if (origin !== undefined && origin !== key.name)
    return bad(`the checkpoint is of the log ${quoted(origin)}, expected ${quoted(key.name)}`);
  return bad(`the checkpoint is not signed by the key ${encodeVerifierKey(key)}`);
}

function cosignatures(
  { checkpoint }: TlogProof,
  witnesses: readonly WitnessKey[],
): ProvenEntry["cosigned"] | Refusal {
  const note = parseSignedNote(checkpoint);
  const cosigned = witnesses.flatMap((witness) => {
    const at = note && cosignedAt(note, witness);
    return at === undefined ? [] : [{ witness, at }];
  });
  const missing = witnesses.find((witness) => !cosigned.some((found) => found.witness === witness));
  return missing === undefined
    ? cosigned
    : bad(`the witness ${quoted(missing.name)} has not cosigned the checkpoint`);
}

/** What is wrong with what the entry's signature says; undefined where nothing is, or there is no signature. */
function wrongClaims(entry: LogEntry, root: Uint8Array): string | undefined {
  if (entry.kind === "signed") {
    try {
      checkSignature(entry, root);
      return undefined;
    } catch (error) {
      if (error instanceof Contradiction) return error.message;
      throw error;
    }
  }
  if (entry.kind !== "reissued") return undefined;
  // The signature was made for entry `of`, whose root is not in this proof.
  const signature = parseSignature(Buffer.from(entry.signature, "base64"));
  if (isPacketProblem(signature)) return `the signature is not one made here: ${signature.reason}`;
  const { type, name, tree } = parseLogNotations(signature.notations) ?? {};
  const agrees =
    entry.of < entry.seq &&
    signature.issuerFingerprint === entry.key &&
    type === entry.type &&
    name === entry.name &&
    tree?.size === entry.of;
  return agrees ? undefined : `the signature is not that of entry ${entry.of} that the entry reissues`;
}

function bad(reason: string): Refusal {
  return refusal("bad-proof", reason);
}
