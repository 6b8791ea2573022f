import { createHash } from "node:crypto";
import { encodeCanonicalJson, parseCanonicalJson } from "./canonical-json.ts";

/** What is about people, kept beside the entry; the entry holds only a commitment to it. */
export interface PrivateRecord {
  /** `--for WHO`: as the client says, unverified. */
  readonly for?: string;
  /** Address the request came from. */
  readonly address?: string;
  /** `SHA256:…` of the SSH key that logged in, where sshd says. */
  readonly sshKey?: string;
}

/** Bytes of a salt; fresh for each record, so that a commitment cannot be guessed from the few addresses there are. */
export const SALT_BYTES = 16;

const MEMBERS: ReadonlySet<string> = new Set(["for", "address", "sshKey"] satisfies (keyof PrivateRecord)[]);
const MAX_MEMBER_LENGTH = 1024;

/** The record as canonical JSON; what the commitment is over. Throws a TypeError where a member is over-long. */
export function encodePrivateRecord(record: PrivateRecord): string {
  const line = encodeCanonicalJson({ ...record });
  if (parsePrivateRecord(line) === undefined) throw new TypeError("not a well-formed private record");
  return line;
}

/** Reads what {@link encodePrivateRecord} writes; undefined for anything else. */
export function parsePrivateRecord(line: string): PrivateRecord | undefined {
  const value = parseCanonicalJson(line);
  if (typeof value !== "object" || Array.isArray(value)) return undefined;
  const good = Object.entries(value).every(
    ([key, member]) => MEMBERS.has(key) && typeof member === "string" && member.length <= MAX_MEMBER_LENGTH,
  );
  return good ? (value as PrivateRecord) : undefined;
}

/** The `private` of an entry: SHA-256(salt ‖ record), lower-case hex. */
export function privateCommitment(salt: Uint8Array, record: string): string {
  return createHash("sha256").update(salt).update(record).digest("hex");
}
