import { hash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { dearmor } from "../openpgp/armor.ts";
import { type KeyMaterial, readPublicKey, readSecretKey } from "../openpgp/key-packet.ts";
import { isPacketProblem, type PacketProblem } from "../openpgp/packet-problem.ts";
import { signAndVerify } from "../openpgp/signing.ts";
import { Fault, quoted } from "../outcome.ts";
import { readCachedDescription, writeCachedDescription } from "./key-cache.ts";
import { type Candidate, chooseCandidate, type KeyDescription, problemOf } from "./key-description.ts";
import type { KeyFacts, KeyProblem, MessageHash, SignatureTerms, SigningKey } from "./signing-key.ts";

/** Where a key of the configuration lives. Controlled by: the administrator. */
export interface KeyFileOptions {
  /** Its name in the configuration. */
  readonly name: string;
  /** OpenPGP secret key, armored or binary, which others may neither read nor write. */
  readonly file: string;
  /** Where known examinations of key files are kept; it may be missing. */
  readonly cacheDirectory: string;
  /** The time for which the best of several signing keys is chosen. */
  readonly now: Date;
}

export interface SecretKeyFileOptions extends KeyFileOptions {
  /** File with the passphrase in UTF-8; one newline at its end is not part of it. Read only where it is needed. */
  readonly passphraseFile?: string | undefined;
}

/** No key file with all its certifications is larger. */
const MAX_KEY_FILE_BYTES = 1024 * 1024;
const MAX_PASSPHRASE_BYTES = 4096;
const OTHERS = 0o007;

/**
 * What is known about the key in a file, the secret left alone. Throws Fault `key-unavailable` where the file cannot be
 * read, is open to everybody, or is not one OpenPGP secret key that pacman's GnuPG could use.
 */
export async function describeKeyFile(options: KeyFileOptions): Promise<KeyFacts> {
  const secretKey = readKeyFile(options);
  try {
    const description = await describe(options, secretKey);
    return keyFacts(options.name, description, chooseCandidate(description, options.now));
  } finally {
    secretKey.fill(0);
  }
}

/**
 * The key in a file, ready to sign. Throws Fault `key-unavailable` as {@link describeKeyFile} does, and where the secret
 * is missing or no passphrase opens it. A key that must not sign at `now` is returned all the same, without its secret:
 * its `problemAt` says why, and to sign with it throws Fault `key-unusable`.
 */
export async function loadKeyFile(options: SecretKeyFileOptions): Promise<SigningKey> {
  const packets = readKeyFile(options);
  try {
    const description = await describe(options, packets);
    const candidate = chooseCandidate(description, options.now);
    const facts = keyFacts(options.name, description, candidate);
    const problem = facts.problemAt(options.now);
    if (problem !== undefined)
      return { ...facts, sign: (_message, _terms) => Promise.reject(unusable(options.name, problem)) };
    const publicKey = expectKey(
      options.name,
      readPublicKey(binaryCertificate(options.name, description), candidate.fingerprint),
    );
    const secretKey = await readSecret(options, candidate, packets);
    return {
      ...facts,
      sign: async (message: MessageHash, terms: SignatureTerms) => {
        const problem = facts.problemAt(terms.createdAt);
        if (problem !== undefined) throw unusable(options.name, problem);
        return signAndVerify({ secretKey, publicKey }, message, terms);
      },
    };
  } finally {
    packets.fill(0);
  }
}

function keyFacts(name: string, description: KeyDescription, candidate: Candidate): KeyFacts {
  return {
    name,
    primaryFingerprint: description.primaryFingerprint,
    fingerprint: candidate.fingerprint,
    algorithm: candidate.algorithm,
    userId: description.userId,
    createdAt: new Date(candidate.createdAt * 1000),
    expiresAt: candidate.validUntil === undefined ? undefined : new Date(candidate.validUntil * 1000),
    armoredPublicKey: description.armoredPublicKey,
    problemAt: (now) => problemOf(candidate, now),
  };
}

/** The description kept for exactly these packets, or a new examination of them. */
async function describe(options: KeyFileOptions, packets: Uint8Array): Promise<KeyDescription> {
  const sha256 = hash("sha256", packets, "hex");
  const cached = readCachedDescription(options.cacheDirectory, sha256);
  if (cached !== undefined) return cached;
  const { examineKey } = await import("./key-examination.ts");
  const description = await examineKey(packets);
  if (isPacketProblem(description)) throw unavailable(options.name, description.reason);
  writeCachedDescription(options.cacheDirectory, sha256, description);
  return description;
}

async function readSecret(
  options: SecretKeyFileOptions,
  { fingerprint, encrypted }: Candidate,
  packets: Uint8Array,
): Promise<KeyMaterial> {
  if (!encrypted) return expectKey(options.name, readSecretKey(packets, fingerprint));
  if (options.passphraseFile === undefined) {
    throw unavailable(
      options.name,
      "a passphrase protects it, and none was given: passphrase_credential names one of a service",
    );
  }
  const passphrase = readPassphrase(options.name, options.passphraseFile);
  const { openSecretKey } = await import("./key-examination.ts");
  return expectKey(options.name, await openSecretKey(packets, fingerprint, passphrase));
}

/** The packets in the key file, out of their armor. */
function readKeyFile({ name, file }: KeyFileOptions): Buffer {
  const content = readSmallFile(name, file, MAX_KEY_FILE_BYTES);
  const dearmored = dearmor(content, "PRIVATE KEY BLOCK");
  content.fill(0);
  if (isPacketProblem(dearmored))
    throw unavailable(name, `an openpgp secret key expected: ${dearmored.reason}`);
  return dearmored.bytes;
}

function readPassphrase(name: string, file: string): string {
  const content = readSmallFile(name, file, MAX_PASSPHRASE_BYTES);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content).replace(/\r?\n$/, "");
  } catch (cause) {
    throw unavailable(name, "a passphrase in utf-8 expected", cause);
  } finally {
    content.fill(0);
  }
}

/** A regular file that others may not touch; anything else, a FIFO included, is a Fault and never waited for. */
function readSmallFile(name: string, path: string, maxBytes: number): Buffer {
  let file: number | undefined;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { mode, size } = fstatSync(file);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw unavailable(name, "a regular file expected");
    if ((mode & OTHERS) !== 0)
      throw unavailable(name, "everybody on this machine may access the file: chmod o-rwx it");
    if (size > maxBytes) throw unavailable(name, `a file of at most ${maxBytes} bytes expected`);
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw unavailable(
      name,
      `the file cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown"})`,
      cause,
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function binaryCertificate(name: string, { armoredPublicKey }: KeyDescription): Buffer {
  const dearmored = dearmor(Buffer.from(armoredPublicKey), "PUBLIC KEY BLOCK");
  if (isPacketProblem(dearmored))
    throw unavailable(name, `its certificate cannot be read: ${dearmored.reason}`);
  return dearmored.bytes;
}

function expectKey(name: string, key: KeyMaterial | PacketProblem): KeyMaterial {
  if (isPacketProblem(key)) throw unavailable(name, key.reason);
  return key;
}

function unavailable(name: string, reason: string, cause?: unknown): Fault {
  return new Fault("key-unavailable", `key ${quoted(name)}: ${reason}`, { cause });
}

function unusable(name: string, { reason }: KeyProblem): Fault {
  return new Fault("key-unusable", `key ${quoted(name)}: ${reason}`);
}
