import type { Command } from "commander";
import type { Acknowledgement } from "../../log/acknowledgements.ts";
import { type Checkpoint, openCheckpoint } from "../../log/checkpoint.ts";
import { CONFLICTS_FOLDER, countEvidence } from "../../log/copy/evidence.ts";
import type { WitnessKey } from "../../log/cosignature.ts";
import { halt, WHEN_BROKEN } from "../../log/halt.ts";
import type { LogReader } from "../../log/log-reader.ts";
import { isTlogProof, MAX_PROOF_BYTES, parseTlogProof } from "../../log/proof/tlog-proof.ts";
import { encodeVerifierKey, parseSignedNote, type VerifierKey } from "../../log/signed-note.ts";
import { verifyLog } from "../../log/verify.ts";
import { Fault, isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { readGivenText, readLogKeyOption, readWitnessKeys } from "./given-file.ts";
import type { LogTools } from "./log-tools.ts";
import { type Output, printable } from "./output.ts";
import { locateState } from "./state.ts";
import { type VerifyProofOptions, verifyProof } from "./verify-proof.ts";

export interface VerifyCommandOptions extends VerifyProofOptions {
  /** File of a checkpoint kept elsewhere, or of a proof that ends in one; `-` for stdin. */
  readonly checkpoint?: string;
  /** The log's key, where the one beside the log is not to be trusted; a proof has none beside it. */
  readonly key?: string;
  /** Keys of witnesses that must have cosigned. */
  readonly witness?: readonly string[];
}

/** {@link VerifyCommandOptions} as values. */
interface VerifyLogOptions {
  readonly checkpoint: string | undefined;
  readonly key: VerifierKey | undefined;
  readonly witnesses: readonly WitnessKey[];
  readonly quiet: boolean;
  /** The folder that the log is in. */
  readonly directory: string;
  readonly now: Date;
  /** Shows how far it is; undefined where nobody watches. */
  readonly onProgress: ((done: number, size: number) => void) | undefined;
}

/** `signer-log verify`: prints what agreed. What does not is a Fault `log-broken` that says which entry, and what. */
async function verifyWholeLog(
  reader: LogReader,
  options: VerifyLogOptions,
  output: Output,
): Promise<Refusal | undefined> {
  // The key on the command line; else the one beside the log; else, in a mere copy, the one that the log states.
  const verifier = options.key ?? reader.heldVerifier() ?? reader.statedVerifier();
  const checkpoint =
    options.checkpoint === undefined ? undefined : readCheckpointFile(options.checkpoint, verifier);
  if (isRefusal(checkpoint)) return checkpoint;
  const result = verifyLog(reader, {
    verifier,
    witnesses: options.witnesses,
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  options.onProgress?.(reader.size, reader.size);
  if (result.kind === "broken") {
    const what = result.seq === undefined ? result.what : `entry ${result.seq}: ${result.what}`;
    throw new Fault("log-broken", stopSigning(reader, what, options));
  }
  expectAcknowledged(options.witnesses, result.acknowledgements);
  if (options.quiet) return undefined;
  const facts = [
    ["origin", verifier.name],
    ["key", encodeVerifierKey(verifier)],
    ["entries", String(result.size)],
    ["signatures", String(result.signatures)],
    ["private records", String(result.privateRecords)],
    ["package lists", String(result.packageLists)],
    ["last entry", result.lastTime],
    ["root", Buffer.from(result.root).toString("base64")],
    ...(checkpoint === undefined
      ? []
      : [["continues", `the given checkpoint of ${checkpoint.size} entries`]]),
    ...result.acknowledgements.map(({ witness, checkpoint, cosignedAt }) => [
      "continues",
      `the ${checkpoint.size} entries that ${witness.name} cosigned at ${cosignedAt.toISOString()}`,
    ]),
  ] as const;
  for (const [label = "", value = ""] of facts) await output.line(`${label.padEnd(16)}  ${printable(value)}`);
  await output.line("entries, tree, checkpoint, signatures and what is kept beside them agree");
  if (checkpoint === undefined) {
    await output.line("(only --checkpoint, with one kept elsewhere, shows that the end was not cut off)");
  }
  await output.flush();
  return undefined;
}

/** That a witness cosigned nothing is no fault of the log, and nothing to stop signing for. */
function expectAcknowledged(
  witnesses: readonly WitnessKey[],
  acknowledgements: readonly Acknowledgement[],
): void {
  const missing = witnesses.find(
    (witness) =>
      !acknowledgements.some(
        (found) => found.witness.id === witness.id && found.witness.name === witness.name,
      ),
  );
  if (missing === undefined) return;
  throw new Fault(
    "log-broken",
    `the log agrees with itself, but there is no head of it that the witness ${quoted(missing.name, 255)} cosigned`,
  );
}

/**
 * On the signing host itself, stops signing because of what verification found, until an administrator has looked; elsewhere
 * nothing. Returns the message.
 */
function stopSigning(reader: LogReader, what: string, { key, directory, now }: VerifyLogOptions): string {
  const held = reader.heldVerifier();
  if (
    held === undefined ||
    reader.isCopy ||
    (key !== undefined && encodeVerifierKey(key) !== encodeVerifierKey(held))
  )
    return what;
  try {
    halt(directory, `by signer-log verify: ${what}`, now);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return `${what}; ${error.message}: stop signing by hand`;
  }
  return `${what}; signing is stopped: ${WHEN_BROKEN}`;
}

/** `signer-log checkpoint`: the newest one, where the log's key signed it; a note that it did not could hold anything. */
export async function printCheckpoint(reader: LogReader, output: Output): Promise<void> {
  const note = reader.checkpoint();
  if (openCheckpoint(note, reader.heldVerifier() ?? reader.statedVerifier()) === undefined) {
    throw new Fault("log-broken", "the newest checkpoint is not signed by the log's key");
  }
  await output.line(note.slice(0, -1));
  await output.flush();
}

function readCheckpointFile(file: string, verifier: VerifierKey): Checkpoint | Refusal {
  const note = noteOf(readGivenText(file, MAX_PROOF_BYTES));
  if (note === undefined || parseSignedNote(note) === undefined) {
    return refusal(
      "bad-request",
      "--checkpoint is a file that signer-log checkpoint or signer-log prove wrote",
    );
  }
  const checkpoint = openCheckpoint(note, verifier);
  if (checkpoint === undefined) {
    throw new Fault(
      "log-broken",
      "the given checkpoint is not signed with this log's key: it is of another log, or this one was replaced",
    );
  }
  return checkpoint;
}

/** The checkpoint in a file: all of it, or the end of a proof. */
function noteOf(text: string | undefined): string | undefined {
  if (text === undefined || !isTlogProof(text)) return text;
  const proof = parseTlogProof(text);
  return isRefusal(proof) ? undefined : proof.checkpoint;
}

/** `signer-log verify [PROOF]`. */
export function addVerifyCommand(program: Command, tools: LogTools): void {
  program
    .command("verify")
    .description("verify the whole log, or with a proof one entry of it without the log")
    .argument("[proof]", "a file that signer-log prove wrote; needs --key, and opens no log; - for stdin")
    .option(
      "--key <key>",
      "the log's key, as signer-log key printed it, or @ and a file of it (default: that of the log key beside the log)",
    )
    .option(
      "--witness <key>",
      "key of a witness that must have cosigned, or @ and a file of it; more than once for several",
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option("--quiet", "print nothing where all is well")
    .option(
      "--checkpoint <file>",
      "whole log: it must continue this checkpoint of it, kept elsewhere, or a proof's; - for stdin",
    )
    .option("--artefact <file>", "proof: the entry must be about this file")
    .option("--signature <file>", "proof: the entry's signature must be this one")
    .option("--openpgp <file>", "proof: this public key must have made the signature over the artefact")
    .addHelpText(
      "after",
      `
Examples:
  signer-log verify --checkpoint 2026-11-23.checkpoint
  signer-log verify core.db.tar.gz.tlog-proof --key @log.pub --witness @witness.pub \\
      --artefact core.db.tar.gz --signature core.db.tar.gz.sig --openpgp repo.asc`,
    )
    .action((proof: string | undefined, options: VerifyCommandOptions) => verify(proof, options, tools));
}

async function verify(
  proof: string | undefined,
  options: VerifyCommandOptions,
  { withLog, finish, output, note, onProgress, where, now }: LogTools,
): Promise<void> {
  const impossible = impossibleTogether(proof, options);
  if (impossible !== undefined) return finish(refusal("bad-request", impossible));
  const key = options.key === undefined ? undefined : readLogKeyOption("--key", options.key);
  if (isRefusal(key)) return finish(key);
  const witnesses = readWitnessKeys(options.witness ?? [], key);
  if (isRefusal(witnesses)) return finish(witnesses);
  if (proof !== undefined && key !== undefined)
    return finish(await verifyProof(proof, { log: key, witnesses }, options, output));
  const { checkpoint, quiet = false } = options;
  return withLog((reader) => {
    const conflicts = countEvidence(locateState(where()));
    if (conflicts > 0)
      note?.(
        `the log's key signed what contradicts this copy, ${conflicts === 1 ? "once" : `${conflicts} times`}: see ${CONFLICTS_FOLDER} beside it`,
      );
    const place = { directory: locateState(where()), now };
    return verifyWholeLog(reader, { checkpoint, key, witnesses, quiet, onProgress, ...place }, output);
  });
}

/** What is wrong with the options as a whole; undefined where nothing is. */
function impossibleTogether(proof: string | undefined, options: VerifyCommandOptions): string | undefined {
  if (proof === undefined) {
    const ofProof = (["artefact", "signature", "openpgp"] as const).find(
      (name) => options[name] !== undefined,
    );
    return ofProof && `--${ofProof} goes with a proof: signer-log verify FILE.tlog-proof --${ofProof} ...`;
  }
  if (options.checkpoint !== undefined)
    return "--checkpoint is for the whole log; a proof holds the checkpoint that it is verified with";
  if (options.key === undefined)
    return "a proof is verified with the log's key: expected --key, as signer-log key prints it";
  return undefined;
}
