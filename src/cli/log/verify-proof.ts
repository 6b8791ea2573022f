import { createReadStream, statSync } from "node:fs";
import type { LogEntry } from "../../log/log-entry.ts";
import { type MatchingFiles, matchFiles, type PresentedFiles } from "../../log/proof/presented-files.ts";
import { openProof, type ProofKeys, type ProvenEntry } from "../../log/proof/proof-verification.ts";
import { MAX_PROOF_BYTES } from "../../log/proof/tlog-proof.ts";
import { encodeVerifierKey } from "../../log/signed-note.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { decodeText, readGivenFile } from "./given-file.ts";
import { type Output, printable } from "./output.ts";

/** Files to hold against the entry that the proof is of. */
export interface VerifyProofOptions {
  readonly artefact?: string;
  readonly signature?: string;
  readonly openpgp?: string;
  readonly quiet?: boolean;
}

/** No signature of ours is longer, armored or not. */
const MAX_SIGNATURE_BYTES = 64 * 1024;
/** No certificate of a signing key comes near. */
const MAX_CERTIFICATE_BYTES = 1024 * 1024;

/** `signer-log verify FILE.tlog-proof`: offline, with public keys alone. Prints what was checked, and what was not. */
export async function verifyProof(
  file: string,
  keys: ProofKeys,
  options: VerifyProofOptions,
  output: Output,
): Promise<Refusal | undefined> {
  const bytes = readGivenFile(file, MAX_PROOF_BYTES);
  if (bytes === undefined)
    return refusal("bad-request", `${quoted(file)} cannot be read, or is too long for a tlog-proof`);
  const presented = readPresented(options);
  if (isRefusal(presented)) return presented;
  const proven = openProof(decodeText(bytes) ?? "", keys); // what is no text does not begin like a proof
  if (isRefusal(proven)) return proven;
  const isNothingPresented = Object.keys(presented).length === 0;
  const matching = isNothingPresented ? undefined : await match(proven.entry, presented, options);
  if (isRefusal(matching)) return matching;
  if (options.quiet !== true) await report(proven, keys, options, matching, output);
  return undefined;
}

/** {@link matchFiles}; `bad-request` where the artefact cannot be read to its end. */
async function match(
  entry: LogEntry,
  presented: PresentedFiles,
  { artefact = "" }: VerifyProofOptions,
): Promise<MatchingFiles | Refusal> {
  try {
    return await matchFiles(entry, presented);
  } catch (error) {
    if (error instanceof Error && "syscall" in error) return unreadable("--artefact", artefact);
    throw error;
  }
}

/** The bytes of a file, which is opened when the first of them are asked for. */
async function* chunksOf(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* createReadStream(file);
}

function readPresented({ artefact, signature, openpgp }: VerifyProofOptions): PresentedFiles | Refusal {
  if (openpgp !== undefined && artefact === undefined)
    return refusal("bad-request", "--openpgp verifies the signature over the file after --artefact");
  if (artefact !== undefined && statSync(artefact, { throwIfNoEntry: false })?.isDirectory() !== false)
    return unreadable("--artefact", artefact);
  const packet = signature === undefined ? undefined : readGivenFile(signature, MAX_SIGNATURE_BYTES);
  if (signature !== undefined && packet === undefined) return unreadable("--signature", signature);
  const certificate = openpgp === undefined ? undefined : readGivenFile(openpgp, MAX_CERTIFICATE_BYTES);
  if (openpgp !== undefined && certificate === undefined) return unreadable("--openpgp", openpgp);
  return {
    ...(artefact === undefined ? {} : { artefact: chunksOf(artefact) }),
    ...(packet === undefined ? {} : { signature: packet }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

function unreadable(option: string, file: string): Refusal {
  return refusal("bad-request", `${option}: ${quoted(file)} cannot be read, or is too long for that`);
}

async function report(
  { entry, checkpoint, cosigned }: ProvenEntry,
  { log }: ProofKeys,
  options: VerifyProofOptions,
  matching: MatchingFiles | undefined,
  output: Output,
): Promise<void> {
  const facts = [
    ["log", log.name],
    ["key", encodeVerifierKey(log)],
    ["checkpoint", `${checkpoint.size} entries, root ${Buffer.from(checkpoint.root).toString("base64")}`],
    ...cosigned.map(({ witness, at }) => ["cosigned", `${at.toISOString()} by ${witness.name}`] as const),
    ["entry", String(entry.seq)],
    ...describe(entry),
    ...(matching?.primaryFingerprint === undefined
      ? []
      : [["OpenPGP key", matching.primaryFingerprint] as const]),
    ...verified(cosigned.length, options).map((what) => ["verified", what] as const),
    ...unverified(cosigned.length, options).map((what) => ["NOT verified", what] as const),
  ] as const;
  for (const [label, value] of facts) await output.line(`${label.padEnd(12)}  ${printable(value)}`);
  await output.flush();
}

function* describe(entry: LogEntry): Generator<readonly [label: string, value: string]> {
  for (const label of ["time", "kind", "client", "type", "name", "sha256", "expires"] as const) {
    const value = (entry as Partial<Record<typeof label, unknown>>)[label];
    if (value !== undefined) yield [label, String(value)];
  }
  if ("key" in entry) yield ["signing key", entry.key];
}

function verified(
  witnesses: number,
  { artefact, signature, openpgp }: VerifyProofOptions,
): readonly string[] {
  return [
    "the entry is in the log that the checkpoint stands for",
    "the log's key signed the checkpoint",
    ...(witnesses === 0
      ? []
      : [`${witnesses === 1 ? "the witness" : `all ${witnesses} witnesses`} cosigned it`]),
    ...(artefact === undefined ? [] : ["the entry is about this artefact"]),
    ...(signature === undefined ? [] : ["the entry's signature is this one"]),
    ...(openpgp === undefined ? [] : ["this OpenPGP key made it over this artefact"]),
  ];
}

/** What nobody asked for, and with which option one does. */
function unverified(
  witnesses: number,
  { artefact, signature, openpgp }: VerifyProofOptions,
): readonly string[] {
  return [
    ...(witnesses > 0 ? [] : ["that anybody else saw this log (--witness): its key alone could sign two"]),
    ...(artefact === undefined ? ["which file the entry is about (--artefact)"] : []),
    ...(signature === undefined ? ["which signature file holds its signature (--signature)"] : []),
    ...(openpgp === undefined ? ["which OpenPGP key made that signature (--openpgp)"] : []),
  ];
}
