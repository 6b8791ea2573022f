import { encodeCanonicalJson, membersOf, parseCanonicalJson } from "../log/canonical-json.ts";
import { type Code, EXIT, printableReason, type Refusal } from "../outcome.ts";
import type { AnnouncedFile } from "./notification.ts";

/**
 * What the signing host answers to a request that it has fetched (docs/FORMATS.md, "Answers"): a file in the inbox, the signature
 * as it is or why there is none. A file of that name appears whole and is never replaced: the first answer is the answer.
 */

/** Raised with every change. */
export const ANSWER_VERSION = 1;
/** Largest answer, in bytes: pacman takes no longer signature. */
export const MAX_ANSWER_BYTES = 16 * 1024;
/** Longest reason, in characters; ours are shorter. */
const MAX_REASON_CHARACTERS = 2048;
const PRINTABLE = /^[\x20-\x7e]+$/;

export type AnswerKind = "sig" | "refused";

/** The request that an answer is of. */
export type Answered = Pick<AnnouncedFile, "seq" | "sha256">;

/** The answer's name in the inbox: `SHA256.SEQ.sig`, or `.refused`. */
export function answerName({ sha256, seq }: Answered, kind: AnswerKind): string {
  return `${sha256}.${seq}.${kind}`;
}

/**
 * The name under which it is uploaded, before it is moved to {@link answerName}: two uploads never have the same one.
 * @param nonce 16 hex digits
 */
export function uploadName({ sha256, seq }: Answered, nonce: string): string {
  return `${sha256}.${seq}.${nonce}.part`;
}

/** Reads either name; undefined for any other. Controlled by: who may write to the inbox. */
export function parseInboxName(
  name: string,
): (Answered & { readonly kind: AnswerKind | "part" }) | undefined {
  const found =
    /^(?<sha256>[0-9a-f]{64})\.(?<seq>[1-9]\d{0,15})\.(?<kind>sig|refused|[0-9a-f]{16}\.part)$/.exec(name);
  const { sha256, seq, kind } = found?.groups ?? {};
  if (sha256 === undefined || seq === undefined || kind === undefined) return undefined;
  if (!Number.isSafeInteger(Number(seq))) return undefined;
  return { sha256, seq: Number(seq), kind: kind === "sig" || kind === "refused" ? kind : "part" };
}

/** Why a request was not signed, as both sides say it: a refusal's code, or a fault's. */
export interface NotSigned {
  readonly code: Code;
  /** One line of printable ASCII. */
  readonly reason: string;
}

/** The content of a `.refused`. */
export function encodeNotSigned({ code, reason }: Pick<Refusal, "reason"> & { readonly code: Code }): string {
  const shown = printableReason(reason, MAX_REASON_CHARACTERS);
  return `${encodeCanonicalJson({ version: ANSWER_VERSION, code, reason: shown === "" ? code : shown })}\n`;
}

/** Reads it; undefined for what {@link encodeNotSigned} would not have written. Controlled by: who may write to the inbox. */
export function parseNotSigned(content: Uint8Array): NotSigned | undefined {
  if (content.byteLength > MAX_ANSWER_BYTES) return undefined;
  const text = Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString("latin1");
  const value = text.endsWith("\n") ? parseCanonicalJson(text.slice(0, -1)) : undefined;
  const { version, code, reason, ...others } = membersOf(value) ?? {};
  if (version !== ANSWER_VERSION || Object.keys(others).length > 0) return undefined;
  if (typeof code !== "string" || !Object.hasOwn(EXIT, code) || typeof reason !== "string") return undefined;
  if (!PRINTABLE.test(reason) || reason.length > MAX_REASON_CHARACTERS) return undefined;
  return { code: code as Code, reason };
}
