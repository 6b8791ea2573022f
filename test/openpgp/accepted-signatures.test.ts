import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadKeyFile } from "../../src/keys/key-file.ts";
import type { SigningKey } from "../../src/keys/signing-key.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { openpgpjsObjection } from "../../src/openpgp/openpgpjs-verification.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import { parseSignature } from "../../src/openpgp/signature.ts";
import { Cleanup } from "../support/cleanup.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { sqVerify } from "../support/sequoia.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Every kind of signature that is made, and what the verifiers that people use say about it. */

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const ALGORITHMS = ["ed25519", "rsa2048", "rsa3072", "rsa4096", "nistp256/ecdsa", "nistp384/ecdsa"] as const;
const FORTNIGHT = 14 * 86_400;
const NOTATIONS = [
  ["type@signer.example.org", "db"],
  ["name@signer.example.org", "core.db.tar.gz"],
  ["index@signer.example.org", "4711"],
  ["tree@signer.example.org", "4711 EoZL4dyuMaiNhhYB3UvLxUwjWNY7lzGUE5hSFxEXO3k="],
] as const;

let folder: string;
let home: GnupgHome;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  home = await GnupgHome.create(cleanup);
});

/** A key that GnuPG made and exported: the primary signs, or a subkey of a primary that stays offline. */
async function keyMadeByGpg(algorithm: string, signer: "primary" | "subkey"): Promise<SigningKey> {
  const fingerprint = await home.generate(
    signer === "primary"
      ? { primary: [algorithm, "sign,cert"] }
      : { primary: ["ed25519", "cert"], subkey: [algorithm, "sign"] },
  );
  const file = join(folder, `${algorithm.replace("/", "-")}-${signer}.key`);
  await writeFile(file, await home.secretKey(fingerprint, signer === "primary" ? "all" : "subkeys"), {
    mode: 0o600,
  });
  return loadKeyFile({ name: "repo", file, cacheDirectory: join(folder, "cache"), now: new Date() });
}

async function sign(
  key: SigningKey,
  artefact: Uint8Array,
  expiresAfterSeconds?: number,
  notations = NOTATIONS,
) {
  const message = startMessageHash([key]);
  message.update(artefact);
  return key.sign(message, { createdAt: new Date(), expiresAfterSeconds, notations });
}

describe.each(ALGORITHMS)("%s", (algorithm) => {
  test.each(["primary", "subkey"] as const)(
    "a signature of the %s verifies with gpg, sq and openpgp.js",
    async (signer) => {
      const key = await keyMadeByGpg(algorithm, signer);
      const artefact = Buffer.from(`an artefact for ${algorithm} ${signer}\n`);
      const [artefactFile, certificateFile] = [
        join(folder, `${key.fingerprint}.db`),
        join(folder, `${key.fingerprint}.pub`),
      ];
      await writeFile(artefactFile, artefact);
      await writeFile(certificateFile, key.armoredPublicKey);
      for (const expiresAfterSeconds of [undefined, FORTNIGHT]) {
        const signature = await sign(key, artefact, expiresAfterSeconds);
        const signatureFile = `${artefactFile}.${expiresAfterSeconds}.sig`;
        await writeFile(signatureFile, signature);

        const status = await home.verify(signatureFile, artefactFile);
        expect(status).toContain(`[GNUPG:] VALIDSIG ${key.fingerprint} `);
        for (const [name, value] of NOTATIONS) {
          expect(status).toContain(`NOTATION_NAME ${name}\n`);
          expect(status).toContain(`NOTATION_DATA ${value.replaceAll(" ", "%20")}\n`);
        }
        expect(await sqVerify(certificateFile, signatureFile, artefactFile)).toMatchObject({ status: 0 });
        expect(
          await openpgpjsObjection(key.armoredPublicKey, artefact, signature, new Date()),
        ).toBeUndefined();
        expect(parseSignature(signature)).toMatchObject({ expiresAfterSeconds, notations: NOTATIONS });

        await writeFile(artefactFile, "another artefact");
        expect(await home.verify(signatureFile, artefactFile)).toContain("BADSIG");
        expect((await sqVerify(certificateFile, signatureFile, artefactFile)).status).not.toBe(0);
        await writeFile(artefactFile, artefact);
      }
    },
  );
});

test("gpg, sq and openpgp.js refuse a signature after its expiry", async () => {
  const key = await keyMadeByGpg("ed25519", "primary");
  const artefact = Buffer.from("an artefact that will be old");
  const files = [join(folder, "old.db.sig"), join(folder, "old.db")] as const;
  const signature = await sign(key, artefact, FORTNIGHT);
  await writeFile(files[0], signature);
  await writeFile(files[1], artefact);
  const later = new Date(Date.now() + (FORTNIGHT + 60) * 1000);
  const fakedTime = `${later.toISOString().replace(/[-:]|\..*/g, "")}!`;
  expect(await home.verify(...files, "--faked-system-time", fakedTime)).toContain("[GNUPG:] EXPSIG");
  expect(await openpgpjsObjection(key.armoredPublicKey, artefact, signature, later)).toContain("expired");
});

test.each(["ed25519", "nistp256/ecdsa", "rsa2048"])(
  "gpg and sq accept numbers of %s that begin with a zero octet",
  async (algorithm) => {
    const key = await keyMadeByGpg(algorithm, "primary");
    const files = [join(folder, "short.db.sig"), join(folder, "short.db")] as const;
    const full = algorithm === "rsa2048" ? 256 : 32;
    for (let count = 0; ; count++) {
      const artefact = Buffer.from(`artefact ${count}`);
      const signature = await sign(key, artefact);
      const parsed = parseSignature(signature);
      if (isPacketProblem(parsed) || parsed.numbers.every((number) => number.length === full)) continue;
      await writeFile(files[0], signature);
      await writeFile(files[1], artefact);
      await writeFile(join(folder, "short.pub"), key.armoredPublicKey);
      expect(await home.verify(...files)).toContain(`VALIDSIG ${key.fingerprint}`);
      expect(await sqVerify(join(folder, "short.pub"), ...files)).toMatchObject({ status: 0 });
      return;
    }
  },
);
