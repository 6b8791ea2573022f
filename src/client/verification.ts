import { parseArtefactName } from "../artefact/artefact-name.ts";
import type { MessageHash } from "../keys/signing-key.ts";
import { parseLogNotations } from "../log/notations.ts";
import { isPacketProblem } from "../openpgp/packet-problem.ts";
import { encodeHashSuffix, parseSignature, type Signature } from "../openpgp/signature.ts";
import { Fault, quoted } from "../outcome.ts";
import type { FileName } from "../request/request.ts";
import type { PinnedCertificates } from "./pinned-certificates.ts";

/** Longest signature that pacman takes, in bytes. */
export const MAX_SIGNATURE_BYTES = 16 * 1024;

/** The host delivers a signature of the same bytes again for so long (DESIGN: reissue window). */
const REISSUE_WINDOW_MS = 24 * 3_600_000;
/** Two clocks may differ by this. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/** What a signature has to be about. */
export interface SignedRequest {
  /** The bytes as they were sent. */
  readonly message: Pick<MessageHash, "sha512">;
  /** As it stood in the request. */
  readonly name: FileName | undefined;
  /** When the request began. */
  readonly requestedAt: Date;
}

/**
 * Why `bytes` is not the answer to a request, one lower-case phrase; undefined where it is. Expected is one whole signature
 * packet as the signing host makes them and nothing after it; made by a pinned certificate over just the bytes sent, which
 * openpgp.js verifies with the key's own validity; for the name sent; and made no earlier than a day before the request, the
 * time for which the host delivers a signature of the same bytes again. Holds no more than the signature in memory.
 * Controlled by: whatever answers in the host's place.
 */
export async function signatureObjection(
  bytes: Uint8Array,
  request: SignedRequest,
  certificates: PinnedCertificates,
  now: Date,
): Promise<string | undefined> {
  if (bytes.length === 0) return "it is empty";
  if (bytes.length > MAX_SIGNATURE_BYTES) return `it is larger than ${MAX_SIGNATURE_BYTES} bytes`;
  const signature = parseSignature(bytes);
  if (isPacketProblem(signature)) return `it is no whole signature: ${signature.reason}`;
  return (
    nameObjection(signature, request.name) ??
    ageObjection(signature, request.requestedAt, now) ??
    (await openpgpjsDigestObjection(bytes, signature, request.message, certificates, now))
  );
}

function nameObjection(signature: Signature, name: FileName | undefined): string | undefined {
  const notations = parseLogNotations(signature.notations);
  if (notations === undefined) return "it does not say what it is for";
  if (notations.name !== name)
    return `it is for ${notations.name === undefined ? "a file without a name" : quoted(notations.name)}`;
  const type = name === undefined ? undefined : parseArtefactName(name)?.type;
  return type === undefined || type === notations.type
    ? undefined
    : `it is for the type ${quoted(notations.type)}`;
}

function ageObjection({ createdAt }: Signature, requestedAt: Date, now: Date): string | undefined {
  const made = createdAt.toISOString().replace(".000", "");
  if (createdAt.getTime() < requestedAt.getTime() - REISSUE_WINDOW_MS - CLOCK_TOLERANCE_MS)
    return `it is an old one, made at ${made}`;
  if (createdAt.getTime() > now.getTime() + CLOCK_TOLERANCE_MS)
    return `it is from the future, made at ${made}`;
  return undefined;
}

/**
 * Everything that openpgp.js checks of a detached signature, but with the digest that was taken while sending: the library
 * would hold the artefact several times over. What a packet's `hashed` holds it takes for the digest, as it does itself with
 * one-pass signatures.
 */
async function openpgpjsDigestObjection(
  bytes: Uint8Array,
  claims: Signature,
  message: Pick<MessageHash, "sha512">,
  certificates: PinnedCertificates,
  now: Date,
): Promise<string | undefined> {
  const openpgp = await import("openpgp");
  try {
    const signature = await openpgp.readSignature({ binarySignature: bytes });
    const [packet, ...others] = [...signature.packets];
    if (packet === undefined || others.length > 0) return "exactly one signature expected";
    const hashed = message.sha512().update(encodeHashSuffix(claims.hashedPart)).digest();
    Object.assign(packet, { hashed: new Uint8Array(hashed) });
    const { signatures } = await openpgp.verify({
      message: await openpgp.createMessage({ binary: new Uint8Array() }),
      signature,
      verificationKeys: [...certificates],
      // A host whose clock is a little ahead of ours: as of its own time.
      date: new Date(Math.max(now.getTime(), claims.createdAt.getTime())),
    });
    if (signatures.length !== 1 || (await signatures[0]?.verified) !== true)
      return "exactly one good signature expected";
    return undefined;
  } catch (error) {
    return quoted(error instanceof Error ? error.message : String(error), 200);
  }
}

/** A signature that is not the one asked for. */
export function notGood(name: FileName | undefined, objection: string): Fault {
  return new Fault("signing-failed", `expected a good signature of ${name ?? "stdin"}: ${objection}`);
}
