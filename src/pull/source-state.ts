import { encodeCanonicalJson, membersOf, parseCanonicalJson } from "../log/canonical-json.ts";

/** What is remembered of a source, so that it cannot be made to forget what it said: one line of canonical JSON. */
export interface SourceState {
  /** The newest notification that was taken; undefined: none ever was. */
  readonly newest: SeenNotification | undefined;
  /**
   * SHA-256, 64 hex digits, of whole documents that were refused and stand in the log, the oldest first: seen again, they are
   * ignored.
   */
  readonly refused: readonly string[];
}

export interface SeenNotification {
  readonly seq: number;
  /** Of its line, 64 hex digits. */
  readonly sha256: string;
  /** Whether each of its requests was answered. */
  readonly settled: boolean;
}

/** Raised with every change. */
const STATE_VERSION = 1;
/**
 * Documents that are remembered: a broken server has one or a few of them. From one that shows new ones without end, the log's
 * own bound on refusals protects.
 */
const MAX_REFUSED = 64;
const SHA256_HEX = /^[0-9a-f]{64}$/;

/** Of a source that was never asked. */
export const NEW_SOURCE: SourceState = { newest: undefined, refused: [] };

/** Also remembers `sha256` of a document that was refused; the oldest are forgotten. */
export function withRefused(state: SourceState, sha256: string): SourceState {
  return { ...state, refused: [...state.refused, sha256].slice(-MAX_REFUSED) };
}

export function encodeSourceState({ newest, refused }: SourceState): string {
  return `${encodeCanonicalJson({ version: STATE_VERSION, newest: newest && { ...newest }, refused })}\n`;
}

/** Reads it; undefined for what {@link encodeSourceState} would not have written. */
export function parseSourceState(text: string): SourceState | undefined {
  const value = text.endsWith("\n") ? parseCanonicalJson(text.slice(0, -1)) : undefined;
  const { version, newest, refused, ...others } = membersOf(value) ?? {};
  if (version !== STATE_VERSION || Object.keys(others).length > 0 || !Array.isArray(refused))
    return undefined;
  if (refused.length > MAX_REFUSED || !refused.every(isSha256)) return undefined;
  if (newest === undefined) return { newest, refused };
  const seen = parseSeen(newest);
  return seen && { newest: seen, refused };
}

function parseSeen(value: unknown): SeenNotification | undefined {
  const { seq, sha256, settled, ...others } = membersOf(value) ?? {};
  if (Object.keys(others).length > 0 || typeof settled !== "boolean" || !isSha256(sha256)) return undefined;
  return typeof seq === "number" && seq >= 1 ? { seq, sha256, settled } : undefined;
}

function isSha256(value: unknown): value is string {
  return typeof value === "string" && SHA256_HEX.test(value);
}
