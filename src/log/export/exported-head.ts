import { Fault, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type Acknowledgement, readAcknowledgements } from "../acknowledgements.ts";
import { openCheckpoint, type TreeHead } from "../checkpoint.ts";
import type { LogReader } from "../log-reader.ts";
import { encodeSignatureLine, parseSignedNote, type VerifierKey } from "../signed-note.ts";

/** The head up to which a log is exported. */
export interface ExportedHead extends TreeHead {
  /** The signed note: the log's signature, then the cosignature of each witness that cosigned just this head. */
  readonly note: string;
  /** Names of these witnesses. */
  readonly witnesses: readonly string[];
}

/**
 * The newest head, or with `cosigned` the newest one that a witness cosigned; `bad-request` where none did. Fault `log-broken`
 * where the log's key did not sign its newest checkpoint, or a witness cosigned what is no head of this log.
 */
export function exportedHead(
  reader: LogReader,
  verifier: VerifierKey,
  { cosigned }: { readonly cosigned: boolean },
): ExportedHead | Refusal {
  const acknowledgements = readAcknowledgements(reader.database, verifier);
  for (const acknowledgement of acknowledgements) expectHead(reader, acknowledgement);
  const newest = acknowledgements.reduce((most, { checkpoint }) => Math.max(most, checkpoint.size), 0);
  const same = (size: number) => acknowledgements.filter(({ checkpoint }) => checkpoint.size === size);
  if (!cosigned) return withCosignatures(reader.checkpoint(), verifier, same);
  const [first] = same(newest);
  if (first === undefined)
    return refusal("bad-request", "no witness has cosigned this log: expected one for --cosigned");
  return withCosignatures(first.note, verifier, same);
}

function expectHead(reader: LogReader, { checkpoint, witness }: Acknowledgement): void {
  const { size, root } = checkpoint;
  if (size <= reader.size && Buffer.compare(reader.rootAt(size), root) === 0) return;
  throw new Fault(
    "log-broken",
    `the head of ${size} entries that ${quoted(witness.name)} cosigned is none of this log`,
  );
}

/** Only lines that were verified, so that nothing that anybody else wrote beside the log is published. */
function withCosignatures(
  note: string,
  verifier: VerifierKey,
  acknowledged: (size: number) => readonly Acknowledgement[],
): ExportedHead {
  const head = openCheckpoint(note, verifier);
  if (head === undefined)
    throw new Fault("log-broken", "the newest checkpoint is not signed by the log's key");
  const cosigned = acknowledged(head.size);
  const lines = [lineOf(note, verifier), ...cosigned.map(({ note, witness }) => lineOf(note, witness))];
  const text = note.slice(0, note.lastIndexOf("\n\n") + 1);
  return {
    size: head.size,
    root: head.root,
    note: `${text}\n${lines.join("")}`,
    witnesses: cosigned.map(({ witness }) => witness.name),
  };
}

/** The last line of a key, which MUST have been verified. */
function lineOf(note: string, key: { readonly name: string; readonly id: number }): string {
  const own = parseSignedNote(note)?.signatures.filter(({ name, id }) => name === key.name && id === key.id);
  return own?.slice(-1).map(encodeSignatureLine).join("") ?? "";
}
