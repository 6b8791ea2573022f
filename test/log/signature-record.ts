import { createHash, randomBytes } from "node:crypto";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import type { SignatureRecord } from "../../src/log/ledger.ts";
import type { Extra, LedgerTransaction } from "../../src/log/ledger-transaction.ts";
import { encodeLogNotations } from "../../src/log/notations.ts";
import { encodeSignature } from "../../src/openpgp/signature.ts";

export const ORIGIN = "signer.example.org/repo";
export const KEY = "0123456789ABCDEF0123456789ABCDEF01234567";

export interface Wanted {
  readonly rule?: string;
  readonly client?: string;
  readonly type?: "db" | "files" | "iso";
  /** `null`: without a name. */
  readonly name?: string | null;
  /** Stands for the artefact's bytes; left out: fresh ones. */
  readonly content?: string;
  readonly expiresAfterSeconds?: number;
  readonly extra?: Extra;
}

/** What `sign.ts` would log for an artefact, its signature well-formed and with the right claims, though of random numbers. */
export function signatureRecord(tx: LedgerTransaction, wanted: Wanted = {}): SignatureRecord {
  const {
    rule = "repos-db",
    client = "repos",
    type = "db",
    content = randomBytes(8).toString("hex"),
  } = wanted;
  const name = wanted.name === undefined ? "core.db.tar.gz" : (wanted.name ?? undefined);
  const createdAt = new Date(Math.floor(tx.time.getTime() / 1000) * 1000);
  const { expiresAfterSeconds } = wanted;
  const signature = encodeSignature(
    {
      algorithm: "eddsa-legacy",
      issuerFingerprint: KEY as Fingerprint,
      createdAt,
      expiresAfterSeconds,
      notations: encodeLogNotations({ domain: "signer.example.org", type, name, tree: tx }),
    },
    randomBytes(64),
    [Buffer.concat([Buffer.of(1), randomBytes(31)]), Buffer.concat([Buffer.of(1), randomBytes(31)])],
  );
  return {
    kind: "signature-record",
    fields: {
      kind: "signed",
      client,
      rule,
      type,
      ...(name === undefined ? {} : { name }),
      size: content.length,
      sha256: createHash("sha256").update(content).digest("hex"),
      sha512: createHash("sha512").update(content).digest("hex"),
      key: KEY,
      signature: Buffer.from(signature).toString("base64"),
      ...(expiresAfterSeconds === undefined
        ? {}
        : { expires: new Date(createdAt.getTime() + expiresAfterSeconds * 1000).toISOString() }),
      facts: { packages: 1 },
    },
    ...(wanted.extra === undefined ? {} : { extra: wanted.extra }),
  };
}
