import type { Config, PrivateKey, SecretKeyPacket } from "openpgp";
import { Fault } from "../outcome.ts";
import type { Fingerprint } from "./signing-key.ts";

export interface GenerationOptions {
  /** `Name <mail@example.org>`. */
  readonly userId: string;
  readonly now: Date;
  /** End of the primary and the subkey; undefined: never. */
  readonly expires?: Date | undefined;
}

/** A new key in all the forms in which somebody will want it. */
export interface GeneratedKey {
  readonly primaryFingerprint: Fingerprint;
  /** Of the signing subkey. */
  readonly fingerprint: Fingerprint;
  /** ASCII armor, unprotected: primary and subkey. To be kept offline once {@link subkeysOnly} of it is in place. */
  readonly armoredSecretKey: string;
  readonly armoredPublicKey: string;
  /** ASCII armor; publishing it revokes the key. To be kept where a lost primary key cannot take it along. */
  readonly armoredRevocation: string;
}

const CERTIFY = 0x01; // RFC 9580 §5.2.3.29
/** SHA-512, SHA-256 (§9.5): openpgp.js would name SHA-3 too, which makes GnuPG 2.2 warn. */
const PREFERRED_HASHES = [10, 8];

/** Self-signatures without the random notation that openpgp.js adds: there is nothing to know about it. */
const PLAIN_SIGNATURES = { nonDeterministicSignaturesViaNotation: false };
/** Stricter than openpgp.js, which would throw for some addresses; comments would come out elsewhere. */
const USER_ID =
  /^(?<name>[^<>()@\p{C}]{1,128}) <(?<email>[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,125}[A-Za-z0-9])>$/u;

/**
 * Makes a certify-only primary key and a signing subkey, both version 4 Ed25519 with the algorithm identifier (22) that
 * GnuPG 2.2 and pacman read. Throws Fault `bad-configuration` where the user ID or the expiry is not fit.
 */
export async function generateKey({ userId, now, expires }: GenerationOptions): Promise<GeneratedKey> {
  const { name, email } = USER_ID.exec(userId)?.groups ?? {};
  if (name === undefined || email === undefined || name.trim() !== name) {
    throw new Fault("bad-configuration", "a user id of the form `Name <mail@example.org>` expected");
  }
  const lifetime = expires && Math.floor(expires.getTime() / 1000) - Math.floor(now.getTime() / 1000);
  if (lifetime !== undefined && !(lifetime >= 1 && lifetime <= 0xffff_ffff)) {
    throw new Fault("bad-configuration", "an expiry of the key after its creation expected");
  }
  const openpgp = await import("openpgp");
  const { privateKey, revocationCertificate } = await openpgp.generateKey({
    userIDs: { name, email },
    type: "ecc",
    curve: "ed25519Legacy",
    date: now,
    keyExpirationTime: lifetime ?? 0,
    subkeys: [{ sign: true, date: now, keyExpirationTime: lifetime ?? 0 }],
    format: "object",
    config: PLAIN_SIGNATURES,
  });
  await makeCertifyOnly(privateKey, now, { ...openpgp.config, ...PLAIN_SIGNATURES });
  const [subkey] = privateKey.subkeys;
  if (subkey === undefined) throw new Error("openpgp.js made no subkey");
  return {
    primaryFingerprint: privateKey.getFingerprint().toUpperCase() as Fingerprint,
    fingerprint: subkey.getFingerprint().toUpperCase() as Fingerprint,
    armoredSecretKey: privateKey.armor(),
    armoredPublicKey: privateKey.toPublic().armor(),
    armoredRevocation: revocationCertificate,
  };
}

/** What {@link makeCertifyOnly} uses of a signature packet; the library's declarations leave two parameters out. */
type SignCertification = (
  key: SecretKeyPacket,
  data: { readonly userID: unknown; readonly key: SecretKeyPacket },
  date: Date,
  detached: boolean,
  config: Config,
) => Promise<void>;

/** openpgp.js lets every primary key sign data: the self-signature is made again without that flag. */
async function makeCertifyOnly(key: PrivateKey, now: Date, config: Config): Promise<void> {
  const { user, selfCertification } = await key.getPrimaryUser(now);
  const primary = key.keyPacket as SecretKeyPacket;
  selfCertification.keyFlags = Uint8Array.of(CERTIFY);
  selfCertification.preferredHashAlgorithms = PREFERRED_HASHES;
  selfCertification.preferredSymmetricAlgorithms = null; // nobody encrypts to it
  selfCertification.preferredCompressionAlgorithms = null;
  const sign = selfCertification.sign.bind(selfCertification) as unknown as SignCertification;
  await sign(primary, { userID: user.userID, key: primary }, now, false, config);
}
