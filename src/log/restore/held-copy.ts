import { type Acknowledgement, readAcknowledgements } from "../acknowledgements.ts";
import type { WitnessKey } from "../cosignature.ts";
import { LogReader } from "../log-reader.ts";
import { type StoredEntry, storedEntries } from "../log-source.ts";
import { encodeVerifierKey, type VerifierKey } from "../signed-note.ts";

/**
 * A copy of a log, wherever it is held, as of one moment. Controlled by: whoever holds it. Nothing of what it says is to be
 * believed but the acknowledgement, whose two signatures were verified.
 */
export interface HeldCopy {
  /** For people: `the copy on loghost`. */
  readonly what: string;
  /** The key that the copy says its log has. */
  readonly verifier: VerifierKey;
  /** Number of entries. */
  readonly size: number;
  /** The newest head that the log signed and a trusted witness cosigned; undefined where there is none. */
  readonly acknowledgement: Acknowledgement | undefined;
  /** Root of the first `size` entries, at most {@link HeldCopy.size}. */
  rootOf(size: number): Promise<Uint8Array>;
  /** Entries from `from` to `to` (exclusive), in order. Fewer MUST NOT come without a Fault. */
  entries(from: number, to: number): AsyncIterable<StoredEntry>;
  close(): void;
}

/**
 * A copy in a folder of this machine: one brought over from a log host, or a backup of a state directory. Faults as
 * {@link LogReader.open}.
 * @param witnesses whose cosignatures count
 */
export function openCopyDirectory(directory: string, witnesses: readonly WitnessKey[]): HeldCopy {
  const reader = LogReader.open(directory);
  try {
    const verifier = reader.statedVerifier();
    const trusted = new Set(witnesses.map(encodeVerifierKey));
    const acknowledgement = readAcknowledgements(reader.database, verifier)
      .filter(({ witness }) => trusted.has(encodeVerifierKey(witness)))
      .toSorted((a, b) => b.checkpoint.size - a.checkpoint.size)[0];
    return {
      what: `the copy in ${directory}`,
      verifier,
      size: reader.size,
      acknowledgement,
      rootOf: async (size) => reader.rootAt(size),
      async *entries(from, to) {
        yield* storedEntries(reader.database, from, to);
      },
      close: () => reader.close(),
    };
  } catch (error) {
    reader.close();
    throw error;
  }
}
