import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Fault, type Refusal, refusal } from "../../outcome.ts";
import type { Acknowledgement } from "../acknowledgements.ts";
import type { Comparison } from "../compare.ts";
import { haltReason } from "../halt.ts";
import { encodeVerifierKey, type NoteSigner, type VerifierKey } from "../signed-note.ts";
import type { VerifyOptions } from "../verify.ts";
import type { HeldCopy } from "./held-copy.ts";
import { chooseLogKey, placeLogKey } from "./log-key-backup.ts";
import { compareSound, examineLog, lockLog, type ReplacedLog } from "./replaced-log.ts";
import {
  beginReplacement,
  completeReplacement,
  isReplacing,
  newFilesDirectory,
  RESTORING_DIRECTORY,
} from "./replacement.ts";
import { giveToOwner, lockRestore } from "./restore-lock.ts";
import { type RestoredLog, writeRestoredLog } from "./restored-log.ts";

/** A log put back on a signing host from a copy of it. */

export interface RestoreOptions {
  /** The state directory; made where it is missing. */
  readonly directory: string;
  /** The log's identity, from the configuration. */
  readonly origin: string;
  /** A backup of the log key; left out: the one in the state directory. */
  readonly logKeyFile?: string | undefined;
  /** How many entries the administrator agrees to lose; left out: none. */
  readonly discard?: number | undefined;
  /** Opens the copy, which is expected to be of the log of this key. */
  readonly openCopy: (verifier: VerifierKey) => HeldCopy | Promise<HeldCopy>;
  readonly now: Date;
  /** How long to wait for a transaction of the log that is there, in ms; default 10,000. */
  readonly busyTimeoutMs?: number;
  /** Told of each pass: over the log that is there, the copy, the new log. */
  readonly onProgress?: VerifyOptions["onProgress"] | undefined;
}

/** What was done. */
export type Restored =
  | {
      readonly kind: "restored";
      readonly from: string;
      readonly acknowledgement: Acknowledgement;
      readonly log: RestoredLog;
      readonly replaced: ReplacedLog;
      /** Entries of the replaced log that the copy did not have. */
      readonly discarded: number;
      /** Whether the log key came from the given file. */
      readonly withKey: boolean;
      /** Folder that what was there went to. */
      readonly aside: string;
    }
  /** An earlier call was interrupted after it had begun to put the log in place: this one did the rest. */
  | { readonly kind: "completed"; readonly aside: string };

const BUSY_TIMEOUT_MS = 10_000;

/**
 * Restores a log from a copy, whose newest cosigned head it then has exactly; one `restored` entry follows. Refuses where the log
 * that is there is sound and lacks nothing, and where entries would be lost that {@link RestoreOptions.discard} does not
 * count. Until the new log is whole and verified, nothing of what is there is touched. Faults: `no-state` without a log key,
 * `log-broken` for a copy that is not sound, of another log, or not cosigned; `busy`; those of the copy.
 */
export async function restoreLog(options: RestoreOptions): Promise<Restored | Refusal> {
  const { directory } = options;
  const alone = lockRestore(directory);
  try {
    if (isReplacing(directory)) return completeEarlier(options);
    rmSync(join(directory, RESTORING_DIRECTORY), { recursive: true, force: true });
    return await restoreAlone(options);
  } catch (error) {
    if (error instanceof Error && "syscall" in error)
      throw new Fault("log-not-durable", "the state directory cannot be written", { cause: error });
    throw error;
  } finally {
    rmSync(join(directory, RESTORING_DIRECTORY), { recursive: true, force: true });
    alone.close();
  }
}

async function restoreAlone(options: RestoreOptions): Promise<Restored | Refusal> {
  const { directory, busyTimeoutMs = BUSY_TIMEOUT_MS, onProgress } = options;
  const signer = chooseLogKey(options, options.origin);
  const lock = lockLog(directory, busyTimeoutMs);
  try {
    // Before the connection: a log host waits for no long pass over another's log.
    const replaced = examineLog(directory, signer.verifier, onProgress);
    const copy = await options.openCopy(signer.verifier);
    try {
      return await restoreFrom(copy, replaced, signer, options);
    } finally {
      copy.close();
    }
  } finally {
    lock?.close();
  }
}

async function restoreFrom(
  copy: HeldCopy,
  replaced: ReplacedLog,
  signer: NoteSigner,
  options: RestoreOptions,
): Promise<Restored | Refusal> {
  const { directory, discard, now, onProgress } = options;
  const acknowledgement = cosignedHead(copy, signer.verifier);
  const comparison = replaced.kind === "sound" ? await compareSound(directory, copy) : undefined;
  const discarded = entriesLost(replaced, comparison, copy);
  const refused = refuseToReplace(comparison, discarded, discard, directory);
  if (refused !== undefined) return refused;
  const folder = newFilesDirectory(directory);
  const log = await writeRestoredLog(folder, {
    copy,
    acknowledgement,
    signer,
    now,
    replaced: {
      ...("size" in replaced ? { replaced: replaced.size } : {}),
      ...(discarded > 0 ? { discarded } : {}),
    },
    sent: "sent" in replaced ? replaced.sent : new Map(),
    onProgress,
  });
  const withKey = placeLogKey(folder, signer, options);
  giveToOwner(join(directory, RESTORING_DIRECTORY), directory);
  beginReplacement(directory);
  const aside = complete(directory, now);
  return { kind: "restored", from: copy.what, acknowledgement, log, replaced, discarded, withKey, aside };
}

/**
 * Entries of the log that the copy does not have, and that are lost with it. Of a broken log only those beyond the copy's
 * end are counted: before it, nobody can say which of its lines were ever entries.
 */
function entriesLost(log: ReplacedLog, comparison: Comparison | undefined, copy: HeldCopy): number {
  if (comparison !== undefined) return comparison.logSize - comparison.common;
  return log.kind === "broken" ? Math.max(0, log.size - copy.size) : 0;
}

/** The copy's newest cosigned head, where the copy is of this log and ends there. */
function cosignedHead(copy: HeldCopy, verifier: VerifierKey): Acknowledgement {
  if (encodeVerifierKey(copy.verifier) !== encodeVerifierKey(verifier)) {
    throw new Fault(
      "log-broken",
      `nothing is restored: ${copy.what} is of another log than the log key is of`,
    );
  }
  const { acknowledgement } = copy;
  if (acknowledgement === undefined) {
    throw new Fault("log-broken", `nothing is restored: no trusted witness has cosigned ${copy.what}`);
  }
  const { size } = acknowledgement.checkpoint;
  if (size !== copy.size) {
    throw new Fault(
      "log-broken",
      `nothing is restored: ${copy.what} has ${copy.size} entries and its newest cosigned head has ${size}`,
    );
  }
  return acknowledgement;
}

/**
 * Why the log that is there stays; undefined where it may go.
 * @param comparison of a sound log with the copy
 */
function refuseToReplace(
  comparison: Comparison | undefined,
  lost: number,
  discard: number | undefined,
  directory: string,
): Refusal | undefined {
  const count = `${lost} ${lost === 1 ? "entry" : "entries"}`;
  if (comparison?.kind === "equal") {
    const same = "nothing to restore: the log is sound and the same as the copy";
    const halted = haltReason(directory);
    return refusal("bad-request", halted === undefined ? same : `${same}; signing was stopped at ${halted}`);
  }
  if (lost === (discard ?? 0)) return undefined;
  if (lost === 0)
    return refusal("bad-request", "the copy has every entry of the log: leave out --discard-unacknowledged");
  if (discard !== undefined)
    return refusal("bad-request", `the copy lacks ${count} of the log, not ${discard}: nothing was done`);
  return refusal(
    "bad-request",
    comparison?.kind === "copy-behind"
      ? `nothing to restore: the log is sound, and ahead of the copy by ${count}: signer-log push sends the rest (--discard-unacknowledged ${lost} gives it up)`
      : `the copy lacks ${count} that the log has, and they would be lost: --discard-unacknowledged ${lost} gives them up`,
  );
}

function completeEarlier(options: RestoreOptions): Restored {
  const { directory, now, busyTimeoutMs = BUSY_TIMEOUT_MS } = options;
  const lock = lockLog(directory, busyTimeoutMs);
  try {
    return { kind: "completed", aside: complete(directory, now) };
  } finally {
    lock?.close();
  }
}

/** Goes through all steps of the replacement; the folder that the old files are in. */
function complete(directory: string, now: Date): string {
  const name = `replaced-${now.toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
  let aside = name;
  for (let i = 2; existsSync(join(directory, aside)); i++) aside = `${name}-${i}`;
  for (const _step of completeReplacement(directory, aside));
  return join(directory, aside);
}
