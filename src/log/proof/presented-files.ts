import { createHash } from "node:crypto";
import { dearmor } from "../../openpgp/armor.ts";
import { type KeyMaterial, readPublicKey } from "../../openpgp/key-packet.ts";
import { startMessageHash } from "../../openpgp/message-hash.ts";
import { isPacketProblem } from "../../openpgp/packet-problem.ts";
import { parseSignature, type Signature } from "../../openpgp/signature.ts";
import { signingCertificate } from "../../openpgp/signing-certificate.ts";
import { signatureVerifies } from "../../openpgp/verification.ts";
import { isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import type { LogEntry } from "../log-entry.ts";

/** What somebody has in hands and wants to know whether an entry is about; what is left out is not looked at. */
export interface PresentedFiles {
  /** The artefact's bytes, read once. */
  readonly artefact?: AsyncIterable<Uint8Array>;
  /** The signature file, armored or not. */
  readonly signature?: Uint8Array;
  /** The OpenPGP certificate, armored or not. Without the artefact there is nothing to verify with it. */
  readonly certificate?: Uint8Array;
}

/** Everything presented is what the entry is about. */
export interface MatchingFiles {
  readonly kind: "matching-files";
  /** Of the certificate, upper-case hex; undefined where none was presented. */
  readonly primaryFingerprint: string | undefined;
}

/** An entry about a signature. */
type SignatureEntry = LogEntry & { readonly kind: "signed" | "reissued" };

/**
 * Holds files against an entry that is known to be in the log: the artefact's size and both digests, the signature's bytes, and
 * with a certificate the signature itself, over the artefact. One pass over the artefact, in flat memory. Otherwise
 * `bad-proof`, naming the first thing that differs. Controlled by: anyone, all of it.
 */
export async function matchFiles(
  entry: LogEntry,
  { artefact, signature, certificate }: PresentedFiles,
): Promise<MatchingFiles | Refusal> {
  if (entry.kind !== "signed" && entry.kind !== "reissued")
    return bad(`entry ${entry.seq} is about no signature: its kind is ${entry.kind}`);
  const stored = parseSignature(Buffer.from(entry.signature, "base64"));
  if (isPacketProblem(stored)) return bad(`the entry's signature is not one made here: ${stored.reason}`);
  if (signature !== undefined) {
    const packet = dearmor(signature, "SIGNATURE");
    if (isPacketProblem(packet)) return bad(`the signature file is none: ${packet.reason}`);
    if (!packet.bytes.equals(Buffer.from(entry.signature, "base64")))
      return bad(`the signature file is not the signature of entry ${entry.seq}`);
  }
  const signer = certificate === undefined ? undefined : await readSigner(certificate, stored);
  if (isRefusal(signer)) return signer;
  if (artefact !== undefined) {
    const wrong = await wrongArtefact(entry, stored, artefact, signer?.key);
    if (wrong !== undefined) return bad(wrong);
  }
  return { kind: "matching-files", primaryFingerprint: signer?.primaryFingerprint };
}

/** The key that made the signature, out of a certificate under which it could when it did. */
async function readSigner(
  file: Uint8Array,
  { issuerFingerprint, createdAt }: Signature,
): Promise<{ readonly key: KeyMaterial; readonly primaryFingerprint: string } | Refusal> {
  const certificate = dearmor(file, "PUBLIC KEY BLOCK");
  if (isPacketProblem(certificate)) return bad(`the OpenPGP key is none: ${certificate.reason}`);
  const key = readPublicKey(certificate.bytes, issuerFingerprint);
  if (isPacketProblem(key))
    return bad(`the OpenPGP key is not the one that made the signature: ${key.reason}`);
  const found = await signingCertificate(certificate.bytes, issuerFingerprint, createdAt);
  if (found.kind === "certificate-objection")
    return bad(`the OpenPGP key could not sign at ${createdAt.toISOString()}: ${quoted(found.reason, 200)}`);
  return { key, primaryFingerprint: found.primaryFingerprint };
}

/** What is wrong; undefined where nothing is. */
async function wrongArtefact(
  entry: SignatureEntry,
  signature: Signature,
  artefact: AsyncIterable<Uint8Array>,
  key: KeyMaterial | undefined,
): Promise<string | undefined> {
  const message = startMessageHash(key === undefined ? [] : [key]);
  const sha256 = createHash("sha256");
  let size = 0;
  for await (const chunk of artefact) {
    size += chunk.length;
    if (size > entry.size) break;
    sha256.update(chunk);
    message.update(chunk);
  }
  if (size !== entry.size)
    return `the artefact has ${size > entry.size ? "more" : "fewer"} bytes than the ${entry.size} of entry ${entry.seq}`;
  if (sha256.digest("hex") !== entry.sha256)
    return `the artefact's SHA-256 is not that of entry ${entry.seq}`;
  if (message.sha512().digest("hex") !== entry.sha512)
    return `the artefact's SHA-512 is not that of entry ${entry.seq}`;
  if (key !== undefined && !signatureVerifies(key, message, signature))
    return "the signature does not verify with the OpenPGP key";
  return undefined;
}

function bad(reason: string): Refusal {
  return refusal("bad-proof", reason);
}
