import type { Acknowledgement } from "../acknowledgements.ts";
import { readAcknowledgements } from "../acknowledgements.ts";
import { Contradiction } from "../contradiction.ts";
import type { LogReader } from "../log-reader.ts";
import type { VerifierKey } from "../signed-note.ts";

/** A log as an auditor has it: the log of a host, a copy, or an exported folder. Nothing in it is believed. */
export interface AuditedLog {
  /** Its newest checkpoint, a signed note. */
  readonly checkpoint: string;
  /** Notes that witnesses may have cosigned: the checkpoint, or others of earlier heads. */
  readonly cosigned: readonly string[];
  /**
   * The first `size` lines, in order, one pass in flat memory; MUST throw a {@link Contradiction} where there are fewer, and
   * where the log says that it has more.
   */
  lines(size: number): Iterable<string>;
}

/** The log of a state directory, or a copy of one. */
export function storedLog(reader: LogReader, verifier: VerifierKey): AuditedLog {
  return {
    checkpoint: reader.checkpoint(),
    cosigned: readAcknowledgements(reader.database, verifier).map(({ note }: Acknowledgement) => note),
    *lines(size) {
      if (reader.size !== size)
        throw new Contradiction(
          undefined,
          `the log has ${reader.size} entries and its newest checkpoint is of ${size}`,
        );
      yield* reader.search({});
    },
  };
}
