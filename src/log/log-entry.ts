import type { ArtefactType } from "../artefact/artefact.ts";
import type { Code } from "../outcome.ts";

/** What every entry has. `seq` and `time` are given by the ledger when it appends. */
interface EntryBase {
  /** Zero-based; the index of the leaf in the Merkle tree. */
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds: `2026-11-23T19:26:00.000Z`. Never before the previous entry's, but for `clock-accepted`. */
  readonly time: string;
}

/** What was read: present as far as the reading came. Digests are lower-case hex of the bytes received. */
interface ArtefactFields {
  readonly client: string;
  readonly rule?: string;
  readonly type?: ArtefactType;
  readonly name?: string;
  /** Bytes. */
  readonly size?: number;
  readonly sha256?: string;
  readonly sha512?: string;
  /** SHA-256(salt ‖ record) of the private record beside the entry, lower-case hex. */
  readonly private?: string;
}

export interface SignedFields extends ArtefactFields {
  readonly rule: string;
  readonly type: ArtefactType;
  readonly size: number;
  readonly sha256: string;
  readonly sha512: string;
  /** Fingerprint of the key that signed. */
  readonly key: string;
  /** The whole signature packet, base64. */
  readonly signature: string;
  /** When the signature expires, RFC 3339; absent: never. */
  readonly expires?: string;
  /** Counts and dates that the recogniser saw. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

/** An entry without what the ledger adds. */
export type EntryFields =
  | ({ readonly kind: "signed" } & SignedFields)
  /** The stored signature of entry `of`, delivered once more. */
  | ({ readonly kind: "reissued"; readonly of: number } & Omit<SignedFields, "facts" | "expires">)
  | ({ readonly kind: "refused"; readonly code: Code; readonly reason: string } & ArtefactFields)
  /** `count` further refusals of this client and code between `from` and `to` that have no entry of their own. */
  | {
      readonly kind: "refused-summary";
      readonly client: string;
      readonly code: Code;
      readonly count: number;
      readonly from: string;
      readonly to: string;
    }
  /** The rules in force from here on: SHA-256 of their canonical form, and one line for each. */
  | { readonly kind: "configured"; readonly rules: string; readonly summary: readonly string[] }
  /** An administrator says that now is right although it lies before the last entry. */
  | { readonly kind: "clock-accepted"; readonly previous: string }
  /** The log begins: its origin. */
  | { readonly kind: "started"; readonly origin: string };

export type EntryKind = EntryFields["kind"];

/** One line of the log. */
export type LogEntry = EntryBase & EntryFields;

/** What is about people, kept beside the entry; the entry holds only a commitment to it. */
export interface PrivateRecord {
  /** `--for WHO`: as the client says, unverified. */
  readonly for?: string;
  /** Address the request came from. */
  readonly address?: string;
  /** `SHA256:…` of the SSH key that logged in, where sshd says. */
  readonly sshKey?: string;
}
