import type { Key, PrimaryUser, PrivateKey, Subkey } from "openpgp";
import { type KeyMaterial, readPublicKey, readSecretKey } from "../openpgp/key-packet.ts";
import { encodePacket, PACKET, readPackets } from "../openpgp/packet.ts";
import {
  eventuallyOrProblem,
  isPacketProblem,
  MalformedPacket,
  type PacketProblem,
} from "../openpgp/packet-problem.ts";
import type { Candidate, KeyDescription } from "./key-description.ts";
import type { Fingerprint } from "./signing-key.ts";

/**
 * The full reading of a secret key through openpgp.js: self-signatures, bindings, flags, expiry, and opening it with a
 * passphrase. The library is loaded on first use only: that takes longer than everything else about a signature.
 */

/** openpgp.js: check a self-signature, but compare no times. Its declarations know that for some calls only. */
const AT_ANY_TIME = null as unknown as Date;

/** Seconds since 1970; Infinity: without end. */
interface Validity {
  readonly validFrom: number;
  readonly validUntil: number;
  readonly revoked: boolean;
}

/**
 * What `secretKey`, the packets of a key file, say about themselves. Revocations count as they stand, unverified and
 * whatever date or reason they give: the file is the administrator's, and not to sign is the safe side. A problem is
 * anything but one version 4 secret key of which a supported part has its secret in the file.
 */
export function examineKey(secretKey: Uint8Array): Promise<KeyDescription | PacketProblem> {
  return eventuallyOrProblem(() => examine(secretKey));
}

async function examine(secretKey: Uint8Array): Promise<KeyDescription> {
  expectOneV4SecretKey(secretKey);
  const key = await readPrivateKey(secretKey);
  const certificate = key.toPublic();
  const armoredPublicKey = certificate.armor();
  const publicPackets = certificate.write();
  const revoked = key.revocationSignatures.length > 0;
  const revokedSubkeys = new Set(key.subkeys.filter((subkey) => subkey.revocationSignatures.length > 0));
  key.revocationSignatures = []; // what follows reads the rest of a revoked key too
  for (const subkey of key.subkeys) subkey.revocationSignatures = [];

  const { user, selfCertification } = await primaryUser(key);
  const primary: Validity = {
    validFrom: latest(key.getCreationTime(), selfCertification.created),
    validUntil: end(await key.getExpirationTime()),
    revoked,
  };
  const candidates: Candidate[] = [];
  const obstacles: PacketProblem[] = [];
  for (const part of [...newestFirst(key.subkeys), key]) {
    if (!(await isForSigning(key, part))) continue;
    const validity = part === key ? primary : await subkeyValidity(part as Subkey, primary, revokedSubkeys);
    const found = candidate(part, publicPackets, secretKey, validity);
    if (isPacketProblem(found)) obstacles.push(found);
    else candidates.push(found);
  }
  const [obstacle] = obstacles; // of the newest part
  if (obstacle !== undefined && candidates.length === 0)
    throw new MalformedPacket(obstacle.problem, obstacle.reason);
  const [best = notForSigning(key, publicPackets, primary), ...others] = candidates;
  return {
    kind: "key-description",
    primaryFingerprint: fingerprintOf(key),
    userId: user.userID?.userID ?? "",
    armoredPublicKey,
    candidates: [best, ...others],
  };
}

/** The secret key with this fingerprint, opened with a passphrase; `wrong-passphrase` where it is not its own. */
export function openSecretKey(
  secretKey: Uint8Array,
  fingerprint: Fingerprint,
  passphrase: string,
): Promise<KeyMaterial | PacketProblem> {
  return eventuallyOrProblem(async () => {
    const key = await readPrivateKey(secretKey);
    const keyPacket = key.getKeys().find((part) => fingerprintOf(part) === fingerprint)?.keyPacket;
    if (keyPacket === undefined || !("decrypt" in keyPacket)) throw new Error("the examined key is gone");
    try {
      await keyPacket.decrypt(passphrase);
    } catch (cause) {
      throw new MalformedPacket("wrong-passphrase", "the passphrase does not open the secret key", { cause });
    }
    const packet = Buffer.from(encodePacket(PACKET.secretKey, keyPacket.write()));
    const opened = readSecretKey(packet, fingerprint);
    packet.fill(0);
    return opened;
  });
}

/** Before openpgp.js, which skips what it does not know, sees any of it. */
function expectOneV4SecretKey(bytes: Uint8Array): void {
  const packets = readPackets(bytes);
  const primaries = packets.filter(({ type }) => type === PACKET.secretKey || type === PACKET.publicKey);
  if (primaries.some(({ type }) => type === PACKET.publicKey)) {
    throw new MalformedPacket("unexpected-packet", "a secret key expected, the file holds a public one");
  }
  if (primaries.length !== 1 || packets[0] !== primaries[0]) {
    throw new MalformedPacket(
      "unexpected-packet",
      `one secret key expected, the file holds ${primaries.length}`,
    );
  }
  const keys = packets.filter(({ type }) => type === PACKET.secretKey || type === PACKET.secretSubkey);
  const other = keys.map(({ body }) => body[0]).find((version) => version !== 4);
  if (other !== undefined) {
    throw new MalformedPacket(
      "unsupported-version",
      `a version 4 key expected, this one is of version ${other}, which pacman does not read`,
    );
  }
}

async function readPrivateKey(binaryKey: Uint8Array): Promise<PrivateKey> {
  const openpgp = await import("openpgp");
  try {
    return await openpgp.readPrivateKey({ binaryKey });
  } catch (cause) {
    throw new MalformedPacket("bad-key-material", "an openpgp secret key expected", { cause });
  }
}

async function primaryUser(key: Key): Promise<PrimaryUser> {
  try {
    return await key.getPrimaryUser(AT_ANY_TIME);
  } catch (cause) {
    throw new MalformedPacket("no-self-signature", "a user id with a valid self-signature expected", {
      cause,
    });
  }
}

/** Whether a verified self-signature says that this part of the certificate may sign data, at some time. */
async function isForSigning(key: Key, part: Key | Subkey): Promise<boolean> {
  const { config } = await import("openpgp");
  const permissive = { ...config, minRSABits: 0, rejectPublicKeyAlgorithms: new Set<never>() };
  try {
    return (await key.getSigningKey(part.getKeyID(), AT_ANY_TIME, {}, permissive)) === part;
  } catch {
    return false;
  }
}

async function subkeyValidity(
  subkey: Subkey,
  primary: Validity,
  revoked: ReadonlySet<Subkey>,
): Promise<Validity> {
  const binding = await subkey.verify(AT_ANY_TIME);
  return {
    validFrom: Math.max(primary.validFrom, latest(subkey.getCreationTime(), binding.created)),
    validUntil: Math.min(primary.validUntil, end(await subkey.getExpirationTime(AT_ANY_TIME))),
    revoked: primary.revoked || revoked.has(subkey),
  };
}

/** A part that may sign, where its algorithm is one of ours and its secret in the file. */
function candidate(
  part: Key | Subkey,
  publicPackets: Uint8Array,
  secretKey: Uint8Array,
  validity: Validity,
): Candidate | PacketProblem {
  const publicKey = readPublicKey(publicPackets, fingerprintOf(part));
  if (isPacketProblem(publicKey)) return publicKey;
  const secret = readSecretKey(secretKey, publicKey.fingerprint);
  if (isPacketProblem(secret) && secret.problem !== "encrypted") return secret;
  return { ...facts(part, publicKey, validity), forSigning: true, encrypted: isPacketProblem(secret) };
}

/** The primary, to be named when somebody asks why nothing can be signed. */
function notForSigning(key: Key, publicPackets: Uint8Array, validity: Validity): Candidate {
  const publicKey = readPublicKey(publicPackets, fingerprintOf(key));
  if (isPacketProblem(publicKey)) throw new MalformedPacket(publicKey.problem, publicKey.reason);
  return { ...facts(key, publicKey, validity), forSigning: false, encrypted: false };
}

function facts(
  part: Key | Subkey,
  publicKey: KeyMaterial,
  validity: Validity,
): Omit<Candidate, "forSigning" | "encrypted"> {
  return {
    fingerprint: publicKey.fingerprint,
    algorithm: publicKey.algorithm,
    createdAt: seconds(part.getCreationTime()),
    ...validity,
    validUntil: validity.validUntil === Infinity ? undefined : validity.validUntil,
  };
}

function newestFirst(subkeys: readonly Subkey[]): readonly Subkey[] {
  return subkeys.toSorted(
    (one, other) => other.getCreationTime().getTime() - one.getCreationTime().getTime(),
  );
}

function fingerprintOf(part: Key | Subkey): Fingerprint {
  return part.getFingerprint().toUpperCase() as Fingerprint;
}

function seconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}

/** Creation of a key or of the self-signature that binds it, which openpgp.js always has once it has verified it. */
function latest(created: Date, bound: Date | null): number {
  return Math.max(seconds(created), seconds(bound ?? created));
}

/** An expiration as openpgp.js tells it; null, which it has for an invalid key, is long past. */
function end(expiration: Date | typeof Infinity | null): number {
  if (expiration === null) return 0;
  return expiration instanceof Date ? seconds(expiration) : Infinity;
}
