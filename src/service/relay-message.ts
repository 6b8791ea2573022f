import {
  type CanonicalValue,
  encodeCanonicalJson,
  membersOf,
  parseCanonicalJson,
} from "../log/canonical-json.ts";
import { type Code, EXIT, printableReason, type RefusalCode } from "../outcome.ts";
import { type Address, parseAddress, parseKeyFingerprint } from "../request/peer.ts";
import { MAX_COMMAND_CHARACTERS } from "../request/request.ts";

/**
 * What a relay and the signing service say to one another beside the bytes (docs/FORMATS.md, "Relay"): one line of canonical
 * JSON each. There is no client in it: that is which socket the relay could connect to.
 */

/** Raised with every change. */
export const RELAY_VERSION = 2;

/** Longest reason, in characters; ours are shorter. */
const MAX_REASON_CHARACTERS = 2048;
const PRINTABLE = /^[\x20-\x7e]+$/;

/** Longest reason of a report, in characters: an entry of the log has room for 1,024. */
const MAX_REPORT_CHARACTERS = 512;

/** What `signer pull` refuses itself, before there is a file to sign, and the log is to have. */
const REPORT_CODES = [
  "bad-notification",
  "notification-rolled-back",
] as const satisfies readonly RefusalCode[];

/** A refusal that who connects has made itself. It is logged as that client's, and nothing else comes of it. */
export interface Report {
  readonly code: (typeof REPORT_CODES)[number];
  /** One line of printable ASCII, at most 512 characters. */
  readonly reason: string;
}

/** A request as the relay got it from sshd, or `signer pull` makes it. What it says of the peer is a claim, to the service. */
export interface RelayRequest {
  /** SSH_ORIGINAL_COMMAND, cut where no request is that long; undefined where the client gave none. */
  readonly command: string | undefined;
  /** The client's address; undefined where sshd gave none. */
  readonly address: Address | undefined;
  /** `SHA256:…` of the SSH key that logged in; undefined where sshd does not say. */
  readonly sshKey: string | undefined;
  /** In place of a command: nothing is asked for. */
  readonly report?: Report;
}

/** How a request ended: `answered`, all of the answer is on its way, or why there is none. */
export type RelayOutcome =
  | { readonly kind: "answered" }
  | { readonly kind: "failed"; readonly code: Code; readonly reason: string };

/** The payload of a `request` frame. */
export function encodeRelayRequest({ command, address, sshKey, report }: RelayRequest): Buffer {
  // A command that is too long is refused whatever follows, and the whole of it would not fit.
  const cut = command?.slice(0, MAX_COMMAND_CHARACTERS + 1);
  return encode({
    version: RELAY_VERSION,
    command: cut,
    address,
    ssh_key: sshKey,
    report: report && { code: report.code, reason: printableReason(report.reason, MAX_REPORT_CHARACTERS) },
  });
}

/** Reads it; undefined for what {@link encodeRelayRequest} would not have written. Controlled by: who holds the relay's account. */
export function parseRelayRequest(payload: Uint8Array): RelayRequest | undefined {
  const { version, command, address, ssh_key: sshKey, report, ...others } = parse(payload) ?? {};
  if (version !== RELAY_VERSION || Object.keys(others).length > 0) return undefined;
  if (command !== undefined && !(typeof command === "string" && command.length <= MAX_COMMAND_CHARACTERS + 1))
    return undefined;
  const knownAddress = typeof address === "string" ? parseAddress(address) : undefined;
  const knownKey = typeof sshKey === "string" ? parseKeyFingerprint(sshKey) : undefined;
  if (knownAddress !== address || knownKey !== sshKey) return undefined;
  const base = { command, address: knownAddress, sshKey: knownKey };
  if (report === undefined) return base;
  const reported = parseReport(report);
  return reported === undefined || command !== undefined ? undefined : { ...base, report: reported };
}

function parseReport(value: unknown): Report | undefined {
  const { code, reason, ...others } = membersOf(value) ?? {};
  const known = REPORT_CODES.find((each) => each === code);
  if (known === undefined || Object.keys(others).length > 0 || typeof reason !== "string") return undefined;
  return PRINTABLE.test(reason) && reason.length <= MAX_REPORT_CHARACTERS
    ? { code: known, reason }
    : undefined;
}

/** The payload of an `outcome` frame. */
export function encodeRelayOutcome(outcome: RelayOutcome): Buffer {
  if (outcome.kind === "answered") return encode({ kind: "answered" });
  const { code, reason } = outcome;
  const shown = printableReason(reason, MAX_REASON_CHARACTERS);
  return encode({ kind: "failed", code, reason: shown === "" ? code : shown });
}

/** Reads it; undefined for anything else. Controlled by: the service, or who sits at its socket. */
export function parseRelayOutcome(payload: Uint8Array): RelayOutcome | undefined {
  const { kind, code, reason, ...others } = parse(payload) ?? {};
  if (Object.keys(others).length > 0) return undefined;
  if (kind === "answered") return code === undefined && reason === undefined ? { kind } : undefined;
  if (kind !== "failed" || typeof code !== "string" || typeof reason !== "string") return undefined;
  if (!Object.hasOwn(EXIT, code) || !PRINTABLE.test(reason) || reason.length > MAX_REASON_CHARACTERS)
    return undefined;
  return { kind, code: code as Code, reason };
}

function encode(value: CanonicalValue): Buffer {
  return Buffer.from(encodeCanonicalJson(value), "latin1");
}

function parse(payload: Uint8Array): { readonly [key: string]: unknown } | undefined {
  return membersOf(parseCanonicalJson(Buffer.from(payload).toString("latin1")));
}
