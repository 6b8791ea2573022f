import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Candidate, KeyDescription } from "./key-description.ts";
import type { Fingerprint, KeyAlgorithm } from "./signing-key.ts";

/**
 * Key descriptions kept between runs, one file for each content of a key file: `<sha256>.json`. They hold public facts
 * only and save loading openpgp.js. Without them everything works, more slowly; so what cannot be read is examined
 * again, and what cannot be written is left.
 */

/** Raised whenever an examination would find something else in the same file. */
const VERSION = 1;

const ALGORITHMS: readonly KeyAlgorithm[] = ["ed25519", "rsa", "ecdsa-p256", "ecdsa-p384"];
const FINGERPRINT = /^[0-9A-F]{40}$/;
const OTHERS_MAY_WRITE = 0o022;

/**
 * The description of the key whose packets have this SHA-256 (lower-case hex), if there is one in `directory`. A file that
 * somebody else owns or may write is not believed.
 */
export function readCachedDescription(directory: string, packetsSha256: string): KeyDescription | undefined {
  try {
    const file = openSync(pathOf(directory, packetsSha256), "r");
    try {
      const { uid, mode } = fstatSync(file);
      if (uid !== process.geteuid?.() || (mode & OTHERS_MAY_WRITE) !== 0) return undefined;
      return parseCached(readFileSync(file, "utf8"), packetsSha256);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/**
 * Keeps a description, mode 0600, complete or not at all. Makes `directory` (0700) where only it is missing. Only in
 * folders of its own account: what root leaves there, looking after things, the account that signs could not use.
 */
export function writeCachedDescription(
  directory: string,
  packetsSha256: string,
  description: KeyDescription,
): void {
  const path = pathOf(directory, packetsSha256);
  const temporary = `${path}.${process.pid}.tmp`;
  if (isOurs(dirname(directory))) quietly(() => mkdirSync(directory, { mode: 0o700 }));
  if (!isOurs(directory)) return;
  const kept = quietly(() => {
    writeFileSync(temporary, encodeCached(description, packetsSha256), { flag: "wx", mode: 0o600 });
    renameSync(temporary, path);
  });
  if (!kept) quietly(() => rmSync(temporary, { force: true }));
}

function isOurs(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.uid === process.geteuid?.();
}

/** Whether it could be done; a cache that cannot be kept is no failure of anything. */
function quietly(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

function pathOf(directory: string, packetsSha256: string): string {
  return join(directory, `${packetsSha256}.json`);
}

/** The text of a cache file; {@link parseCached} reads it. */
export function encodeCached(description: KeyDescription, packetsSha256: string): string {
  return `${JSON.stringify({ version: VERSION, packetsSha256, ...description })}\n`;
}

/** A cache file's text as a description; undefined where it is of another version, key or shape. */
export function parseCached(text: string, packetsSha256: string): KeyDescription | undefined {
  const value = asRecord(JSON.parse(text));
  if (value?.["version"] !== VERSION || value["packetsSha256"] !== packetsSha256) return undefined;
  const { kind, primaryFingerprint, userId, armoredPublicKey, candidates } = value;
  if (kind !== "key-description" || !isFingerprint(primaryFingerprint) || !Array.isArray(candidates))
    return undefined;
  if (typeof userId !== "string" || typeof armoredPublicKey !== "string") return undefined;
  const [best, ...others] = candidates.map(parseCandidate);
  if (best === undefined || !others.every((candidate) => candidate !== undefined)) return undefined;
  return { kind, primaryFingerprint, userId, armoredPublicKey, candidates: [best, ...others] };
}

function parseCandidate(item: unknown): Candidate | undefined {
  const { fingerprint, algorithm, createdAt, validFrom, validUntil, ...flags } = asRecord(item) ?? {};
  const { revoked, forSigning, encrypted } = flags;
  if (!isFingerprint(fingerprint) || !isAlgorithm(algorithm)) return undefined;
  if (!isSeconds(createdAt) || !isSeconds(validFrom)) return undefined;
  if (validUntil !== undefined && !isSeconds(validUntil)) return undefined;
  if (typeof revoked !== "boolean" || typeof forSigning !== "boolean" || typeof encrypted !== "boolean")
    return undefined;
  return { fingerprint, algorithm, createdAt, validFrom, validUntil, revoked, forSigning, encrypted };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}

function isFingerprint(value: unknown): value is Fingerprint {
  return typeof value === "string" && FINGERPRINT.test(value);
}

function isAlgorithm(value: unknown): value is KeyAlgorithm {
  return ALGORITHMS.some((algorithm) => algorithm === value);
}

function isSeconds(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
