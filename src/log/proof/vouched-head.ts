import { Fault, quoted } from "../../outcome.ts";
import { type Acknowledgement, readAcknowledgements } from "../acknowledgements.ts";
import { openCheckpoint, type TreeHead } from "../checkpoint.ts";
import type { LogReader } from "../log-reader.ts";
import {
  encodeSignatureLine,
  type NoteSignature,
  parseSignedNote,
  type VerifierKey,
} from "../signed-note.ts";

/** A head of the log, signed by the log's key, and who vouches for it. */
export interface VouchedHead extends TreeHead {
  /** The signed note: the log's signature, then a cosignature of each witness. */
  readonly note: string;
  /** Names of the witnesses that cosigned it. */
  readonly witnesses: readonly string[];
}

/**
 * The head to prove entry `seq` with: of those after it the one that most witnesses cosigned, of equal ones the largest; where
 * no witness cosigned any, the newest. Fault `log-broken` where a witness cosigned another log than this one.
 */
export function vouchedHead(reader: LogReader, verifier: VerifierKey, seq: number): VouchedHead {
  const groups = new Map<string, Acknowledgement[]>();
  for (const acknowledgement of readAcknowledgements(reader.database, verifier)) {
    expectHead(reader, acknowledgement);
    const { text } = parse(acknowledgement.note);
    if (acknowledgement.checkpoint.size > seq)
      groups.set(text, [...(groups.get(text) ?? []), acknowledgement]);
  }
  const [best] = [...groups.values()].sort((a, b) => b.length - a.length || sizeOf(b) - sizeOf(a));
  return best === undefined ? newestHead(reader, verifier) : merged(best, verifier);
}

function sizeOf(group: readonly Acknowledgement[]): number {
  return group[0]?.checkpoint.size ?? 0;
}

function expectHead(reader: LogReader, { checkpoint, witness }: Acknowledgement): void {
  const isHead =
    checkpoint.size <= reader.size && Buffer.compare(reader.rootAt(checkpoint.size), checkpoint.root) === 0;
  if (isHead) return;
  throw new Fault(
    "log-broken",
    `the head of ${checkpoint.size} entries that ${quoted(witness.name)} cosigned is none of this log`,
  );
}

/** One note of all cosignatures of one head. Only lines that were verified come into it. */
function merged(group: readonly Acknowledgement[], verifier: VerifierKey): VouchedHead {
  const [first] = group;
  if (first === undefined) throw new TypeError("a head that was acknowledged");
  const { text, signatures } = parse(first.note);
  const lines = [
    linesOf(signatures, verifier).slice(0, 1),
    ...group.map(({ note, witness }) => linesOf(parse(note).signatures, witness).slice(-1)),
  ];
  return {
    size: first.checkpoint.size,
    root: first.checkpoint.root,
    note: `${text}\n${lines.flat().join("")}`,
    witnesses: group.map(({ witness }) => witness.name),
  };
}

function linesOf(signatures: readonly NoteSignature[], key: Pick<NoteSignature, "name" | "id">): string[] {
  return signatures.filter(({ name, id }) => name === key.name && id === key.id).map(encodeSignatureLine);
}

function newestHead(reader: LogReader, verifier: VerifierKey): VouchedHead {
  const note = reader.checkpoint();
  const checkpoint = openCheckpoint(note, verifier);
  if (checkpoint === undefined)
    throw new Fault("log-broken", "the newest checkpoint is not signed by the log's key");
  const { size, root } = checkpoint;
  return { size, root, note, witnesses: [] };
}

function parse(note: string) {
  const parsed = parseSignedNote(note);
  if (parsed === undefined) throw new TypeError("a note that was opened");
  return parsed;
}
