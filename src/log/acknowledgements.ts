import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { cosignedAt, type WitnessKey } from "./cosignature.ts";
import type { Database, Reads } from "./database.ts";
import { encodeVerifierKey, parseNoteKey, parseSignedNote, type VerifierKey } from "./signed-note.ts";

/** The newest head of this log that each witness cosigned, kept beside the log for proofs and for who asks what is acknowledged. */

/** A head of this log with a witness's cosignature that verifies. Only {@link openAcknowledgement} makes one. */
export interface Acknowledgement {
  readonly witness: WitnessKey;
  readonly checkpoint: Checkpoint;
  readonly cosignedAt: Date;
  /** The whole note: the log's signature, and the witness's; other lines were whoever's wrote them. */
  readonly note: string;
}

/** What `note` acknowledges; undefined where the log did not sign it or the witness did not cosign it. Controlled by: anyone. */
export function openAcknowledgement(
  note: string,
  verifier: VerifierKey,
  witness: WitnessKey,
): Acknowledgement | undefined {
  const checkpoint = openCheckpoint(note, verifier);
  const parsed = parseSignedNote(note);
  const time = parsed && cosignedAt(parsed, witness);
  return checkpoint && time && { witness, checkpoint, cosignedAt: time, note };
}

/** Stores an acknowledgement, unless a larger one of the same witness is there. In a write transaction or alone. */
export function storeAcknowledgement(
  database: Database,
  { witness, checkpoint, note }: Acknowledgement,
): void {
  database.run(
    `INSERT INTO acknowledgements (witness, size, note) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET size = excluded.size, note = excluded.note WHERE excluded.size >= size`,
    encodeVerifierKey(witness),
    checkpoint.size,
    note,
  );
}

/** All acknowledgements that verify with the log's key; by witness. */
export function readAcknowledgements(database: Reads, verifier: VerifierKey): readonly Acknowledgement[] {
  return database
    .all("SELECT witness, note FROM acknowledgements ORDER BY witness")
    .map((row) => {
      const witness = parseNoteKey("cosignature", String(row["witness"]));
      return witness && openAcknowledgement(String(row["note"]), verifier, witness);
    })
    .filter((found) => found !== undefined);
}
