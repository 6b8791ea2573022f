import type { Refusal } from "../outcome.ts";

/** What can be signed. */
export type ArtefactType = "db" | "files" | "iso";
export const ARTEFACT_TYPES: readonly ArtefactType[] = ["db", "files", "iso"];

/** One package of a database, as later rules compare it: 1 of up to some 15,000. */
export interface PackageFact {
  readonly name: string;
  readonly version: string;
  /** %SHA256SUM%, lower-case hex, 64 characters; undefined where the database has none (it may have MD5SUM alone). */
  readonly sha256: string | undefined;
}

/** What the recogniser saw in a package database. */
export interface DatabaseFacts {
  readonly kind: "database";
  /** `unknown` only for an empty database, which looks the same as `db` and as `files`. */
  readonly type: "db" | "files" | "unknown";
  readonly compression: "none" | "gzip" | "zstd";
  readonly packages: readonly PackageFact[];
  /** Newest %BUILDDATE%, seconds since 1970; undefined for an empty database. */
  readonly newestBuildDate: number | undefined;
  /** Size of the archive after decompression, in bytes. */
  readonly expandedBytes: number;
}

/** What the recogniser saw in an ISO 9660 image. */
export interface ImageFacts {
  readonly kind: "image";
  readonly type: "iso";
  readonly volumeId: string;
  readonly publisher: string;
  readonly application: string;
  /** Volume creation date of the primary descriptor, RFC 3339, UTC; undefined where it is not set. */
  readonly createdAt: string | undefined;
  /** Volume space size × 2048; equals the bytes received. */
  readonly volumeBytes: number;
  readonly bootable: boolean;
}

export type ArtefactFacts = DatabaseFacts | ImageFacts;

/** What the recogniser is told beforehand. */
export interface Expectation {
  /** The name that the client gave, already of the grammar `[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,254}`; undefined if none. */
  readonly name: string | undefined;
  /** Types that the client's rules could allow at all: another one is refused as early as it shows. */
  readonly types: ReadonlySet<ArtefactType>;
  /** The most bytes that those rules allow: an artefact that announces more is refused before they have been sent. */
  readonly maxBytes: number;
}

/**
 * Recognises one artefact while it streams by, in bounded memory. Controlled by: the client, every byte.
 * `push` resolves with a refusal as soon as the bytes cannot become an artefact any more; nothing may be pushed after.
 * The caller awaits each `push` before the next (back-pressure) and keeps the chunk's bytes unchanged until it resolves.
 * Malformed input never throws.
 */
export interface Recogniser {
  push(chunk: Uint8Array): Promise<Refusal | undefined>;
  /** The end of the stream: the artefact's facts, or why it is none. Called at most once. */
  finish(): Promise<ArtefactFacts | Refusal>;
  /** Frees what an unfinished recogniser holds (decompressors). Safe to call at any time, more than once. */
  close(): void;
}
