import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportPublic, subkeysOnly } from "../../src/keys/key-export.ts";
import { loadKeyFile } from "../../src/keys/key-file.ts";
import { type GeneratedKey, generateKey } from "../../src/keys/key-generation.ts";
import { dearmor } from "../../src/openpgp/armor.ts";
import { readSecretKey } from "../../src/openpgp/key-packet.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import { Cleanup } from "../support/cleanup.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { run } from "../support/run.ts";
import { sqVerify } from "../support/sequoia.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NOW = new Date("2026-01-05T10:00:00.500Z");
const USER_ID = "Example Repository <repo@signer.example.org>";

let folder: string;
let key: GeneratedKey;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  key = await generateKey({ userId: USER_ID, now: NOW });
});

/** A signature over `artefact` with the key in this file. */
async function signWith(armoredSecretKey: string, artefact: string): Promise<Uint8Array> {
  const file = join(folder, "repo.key");
  await writeFile(file, armoredSecretKey, { mode: 0o600 });
  const loaded = await loadKeyFile({
    name: "repo",
    file,
    cacheDirectory: join(folder, "cache"),
    now: new Date(),
  });
  expect(loaded).toMatchObject({
    fingerprint: key.fingerprint,
    primaryFingerprint: key.primaryFingerprint,
    userId: USER_ID,
  });
  const message = startMessageHash([loaded]);
  message.update(Buffer.from(artefact));
  return loaded.sign(message, { createdAt: new Date(), expiresAfterSeconds: undefined, notations: [] });
}

/** `gpg --with-colons -K` in a home that knows nothing else: records split at the colons. */
async function secretKeysIn(home: GnupgHome): Promise<readonly string[][]> {
  const listing = await home.gpg(["--with-colons", "--list-secret-keys"]);
  return listing
    .toString()
    .split("\n")
    .map((line) => line.split(":"));
}

describe("a new key", () => {
  test("is for GnuPG 2.2 a primary that certifies and a subkey that signs, both Ed25519", async () => {
    const home = await GnupgHome.create(cleanup);
    const { stderr, status } = await home.try(["--import"], key.armoredSecretKey);
    expect(status).toBe(0);
    expect(stderr).not.toMatch(/warning/i);
    const records = await secretKeysIn(home);
    const of = (type: string) => records.find(([kind]) => kind === type) ?? [];
    // fields of GnuPG's doc/DETAILS: 4 algorithm, 6 created, 7 expires, 12 capabilities, 15 where the secret is, 17 curve
    const fields = (record: string[]) => [3, 5, 6, 11, 14, 16].map((index) => record[index]);
    const born = String(Math.floor(NOW.getTime() / 1000));
    expect(fields(of("sec"))).toEqual(["22", born, "", "cSC", "+", "ed25519"]);
    expect(fields(of("ssb"))).toEqual(["22", born, "", "s", "+", "ed25519"]);
    expect(of("uid")[9]).toBe(USER_ID);
    expect(records.filter(([kind]) => kind === "fpr").map((record) => record[9])).toEqual([
      key.primaryFingerprint,
      key.fingerprint,
    ]);
  });

  test("ends when it is told to, primary and subkey", async () => {
    const expires = new Date("2028-01-05T10:00:00Z");
    const short = await generateKey({ userId: USER_ID, now: NOW, expires });
    const home = await GnupgHome.create(cleanup);
    await home.gpg(["--import"], short.armoredSecretKey);
    const ends = (await secretKeysIn(home))
      .filter(([kind]) => kind === "sec" || kind === "ssb")
      .map((record) => record[6]);
    expect(ends).toEqual([expires, expires].map((date) => String(date.getTime() / 1000)));
  });

  test("comes with a revocation that gpg takes", async () => {
    const home = await GnupgHome.create(cleanup);
    await home.gpg(["--import"], key.armoredPublicKey);
    await home.gpg(["--import"], key.armoredRevocation);
    expect((await home.gpg(["--with-colons", "--list-keys"])).toString()).toMatch(/^pub:r:/m);
  });

  test("prefers the hashes that every GnuPG has", async () => {
    const home = await GnupgHome.create(cleanup);
    const packets = await home.gpg(["--list-packets"], key.armoredPublicKey);
    expect(packets.toString()).toContain("(pref-hash-algos: 10 8)");
  });

  test("may live for a second, or as long as a certificate can say, and have short names", async () => {
    const userId = "A <b@cd>";
    for (const seconds of [1, 2 ** 32 - 1]) {
      const expires = new Date(NOW.getTime() + seconds * 1000);
      expect((await generateKey({ userId, now: NOW, expires })).armoredPublicKey).toContain(
        "BEGIN PGP PUBLIC KEY",
      );
    }
    const long = { userId, now: NOW, expires: new Date(NOW.getTime() + 2 ** 32 * 1000) };
    await expect(generateKey(long)).rejects.toMatchObject({ code: "bad-configuration" });
    for (const text of [
      `${"n".repeat(129)} <b@cd>`,
      `A <${"b".repeat(65)}@cd>`,
      `A <b@${"c".repeat(128)}>`,
    ]) {
      await expect(generateKey({ userId: text, now: NOW })).rejects.toMatchObject({
        code: "bad-configuration",
      });
    }
  });

  test("is another one each time", async () => {
    expect((await generateKey({ userId: USER_ID, now: NOW })).primaryFingerprint).not.toBe(
      key.primaryFingerprint,
    );
  });

  test.each([
    ["no address", "Example Repository"],
    ["no name", "<repo@example.org>"],
    ["a newline", "Example\nRepository <repo@example.org>"],
    ["an escape sequence", "Example \u001b[31m <repo@example.org>"],
    ["a direction mark", "Example \u202e <repo@example.org>"],
    ["two addresses", "Example <a@example.org> <b@example.org>"],
    ["a blank at the start", " Example <a@example.org>"],
    ["a comment, which would come out elsewhere", "Example (test) <a@example.org>"],
    ["no domain", "Example <a@>"],
    ["a domain that ends in a dot", "Example <a@example.org.>"],
    ["an address with a backslash", "Example <a\\@example.org>"],
  ])("is not made with %s in its user id", async (_name, userId) => {
    await expect(generateKey({ userId, now: NOW })).rejects.toMatchObject({ code: "bad-configuration" });
  });

  test("is not made to expire before it exists", async () => {
    for (const expires of [NOW, new Date(0), new Date(Number.NaN)]) {
      await expect(generateKey({ userId: USER_ID, now: NOW, expires })).rejects.toMatchObject({
        code: "bad-configuration",
      });
    }
  });
});

describe("the same key without the secret of its primary", () => {
  test("is a stub with a usable subkey for gpg, and signs the same", async () => {
    const stub = await subkeysOnly(key.armoredSecretKey);
    const home = await GnupgHome.create(cleanup);
    await home.gpg(["--import"], stub);
    const records = await secretKeysIn(home);
    expect(
      records.filter(([kind]) => kind === "sec" || kind === "ssb").map((record) => [record[0], record[14]]),
    ).toEqual([
      ["sec", "#"],
      ["ssb", "+"],
    ]);
    const artefact = join(folder, "artefact");
    await writeFile(artefact, "artefact");
    await writeFile(`${artefact}.sig`, await signWith(stub, "artefact"));
    expect(await home.verify(`${artefact}.sig`, artefact)).toContain(`VALIDSIG ${key.fingerprint}`);
    await writeFile(`${artefact}.pub`, key.armoredPublicKey);
    expect(await sqVerify(`${artefact}.pub`, `${artefact}.sig`, artefact)).toMatchObject({ status: 0 });
  });

  test("holds nothing of the secret that was taken out", async () => {
    const packetsOf = (armored: string) => {
      const dearmored = dearmor(Buffer.from(armored), "PRIVATE KEY BLOCK");
      if (isPacketProblem(dearmored)) throw new Error(dearmored.reason);
      return dearmored.bytes;
    };
    const whole = packetsOf(key.armoredSecretKey);
    const stub = packetsOf(await subkeysOnly(key.armoredSecretKey));
    const secretOf = (fingerprint: string) => {
      const secret = readSecretKey(whole, fingerprint);
      if (isPacketProblem(secret)) throw new Error(secret.reason);
      return Buffer.from(secret.keyObject.export({ format: "jwk" }).d ?? "", "base64url").subarray(1);
    };
    expect([
      whole.includes(secretOf(key.primaryFingerprint)),
      stub.includes(secretOf(key.primaryFingerprint)),
    ]).toEqual([true, false]);
    expect(stub.includes(secretOf(key.fingerprint))).toBe(true);
    expect(readSecretKey(stub, key.primaryFingerprint)).toMatchObject({ problem: "no-secret" });
  });

  test("is made of a key with a passphrase as well, and stays as it is when made again", async () => {
    const home = await GnupgHome.create(cleanup);
    const fingerprint = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      passphrase: "p",
    });
    const stub = await subkeysOnly((await home.secretKey(fingerprint, "all", "p")).toString());
    expect(await subkeysOnly(stub)).toBe(stub);
    const other = await GnupgHome.create(cleanup);
    await other.gpg(["--passphrase", "p", "--import"], stub);
    expect((await secretKeysIn(other)).find(([kind]) => kind === "sec")?.[14]).toBe("#");
  });

  test("is not made where nothing could sign afterwards", async () => {
    const home = await GnupgHome.create(cleanup);
    const alone = await home.generate({ primary: ["ed25519", "sign,cert"] });
    for (const armored of [(await home.secretKey(alone)).toString(), key.armoredPublicKey, "a letter"]) {
      await expect(subkeysOnly(armored)).rejects.toMatchObject({ code: "key-unavailable" });
    }
  });
});

describe("the public key", () => {
  test("is taken by gpg armored and binary", async () => {
    for (const format of ["armored", "binary"] as const) {
      const home = await GnupgHome.create(cleanup);
      await home.gpg(["--import"], exportPublic(key.armoredPublicKey, format));
      expect((await home.gpg(["--list-keys"])).toString()).toContain(key.primaryFingerprint);
    }
    expect(Buffer.from(exportPublic(key.armoredPublicKey, "armored")).toString()).toBe(key.armoredPublicKey);
    expect(() => exportPublic(key.armoredSecretKey, "binary")).toThrow(
      expect.objectContaining({ code: "key-unavailable" }),
    );
  });

  test("and its signatures are trusted by pacman-key once it is signed there", async () => {
    const home = await GnupgHome.create(cleanup); // its agent, which pacman-key starts and leaves, ends with it
    const pacmanKey = (...args: readonly string[]) =>
      run("pacman-key", ["--gpgdir", home.path, ...args], { env: { ...process.env, LC_ALL: "C" } });
    const certificate = join(folder, "repo.pub");
    await writeFile(certificate, exportPublic(key.armoredPublicKey, "binary"));
    const artefact = join(folder, "core.db");
    await writeFile(artefact, "core");
    await writeFile(`${artefact}.sig`, await signWith(await subkeysOnly(key.armoredSecretKey), "core"));
    expect(await pacmanKey("--init")).toMatchObject({ status: 0 });
    expect(await pacmanKey("--add", certificate)).toMatchObject({ status: 0 });
    expect(await pacmanKey("--lsign-key", key.primaryFingerprint)).toMatchObject({ status: 0 });
    const good = await pacmanKey("--verify", `${artefact}.sig`, artefact);
    expect(good.stderr).toContain(`Good signature from "${USER_ID}" [full]`);
    expect(good.status).toBe(0);
    await writeFile(artefact, "extra");
    expect((await pacmanKey("--verify", `${artefact}.sig`, artefact)).status).not.toBe(0);
  });
});
