import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as openpgp from "openpgp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeKeyFile, loadKeyFile, type SecretKeyFileOptions } from "../../src/keys/key-file.ts";
import type { SigningKey } from "../../src/keys/signing-key.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { openpgpjsObjection } from "../../src/openpgp/openpgpjs-verification.ts";
import { Cleanup } from "../support/cleanup.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NOW = new Date("2026-11-23T12:00:00Z");
const DAY = 86_400_000;

let folder: string;
let home: GnupgHome;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  home = await GnupgHome.create(cleanup);
});

/** Writes a key file and says how to load it, with a cache of its own. */
async function keyFile(content: Uint8Array | string, mode = 0o600): Promise<SecretKeyFileOptions> {
  const own = join(folder, randomBytes(8).toString("hex"));
  await mkdir(own);
  await writeFile(join(own, "repo.key"), content, { mode });
  await chmod(join(own, "repo.key"), mode);
  return { name: "repo", file: join(own, "repo.key"), cacheDirectory: join(own, "cache"), now: NOW };
}

async function passphraseFile(content: Uint8Array | string, mode = 0o600): Promise<string> {
  const { file } = await keyFile(content, mode);
  return file;
}

async function sign(key: SigningKey, createdAt = NOW): Promise<Uint8Array> {
  const message = startMessageHash([key]);
  message.update(Buffer.from("artefact"));
  return key.sign(message, { createdAt, expiresAfterSeconds: undefined, notations: [] });
}

async function expectSigns(key: SigningKey, now = NOW): Promise<void> {
  expect(key.problemAt(now)).toBeUndefined();
  const signature = await sign(key, now);
  expect(
    await openpgpjsObjection(key.armoredPublicKey, Buffer.from("artefact"), signature, now),
  ).toBeUndefined();
}

/** The code and message of the Fault that loading this file throws. */
async function faultOf(options: SecretKeyFileOptions): Promise<string> {
  try {
    await loadKeyFile(options);
    return "loaded";
  } catch (error) {
    const { code, message } = error as { readonly code: string; readonly message: string };
    expect(message).toMatch(/^key "repo": [\x20-\x7e]+$/);
    return `${code}: ${message.slice('key "repo": '.length)}`;
  }
}

describe("the key that signs", () => {
  test("is the newest subkey for signing, with the secret of the primary or without", async () => {
    const fingerprint = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["rsa2048", "sign"],
      userId: "Repo <repo@example.org>",
    });
    const later = ["--passphrase", "", "--faked-system-time", "20250101T000000!"];
    await home.gpg([...later, "--quick-add-key", fingerprint, "ed25519", "sign", "never"]);
    await home.gpg([...later, "--quick-add-key", fingerprint, "cv25519", "encr", "never"]);
    const subkeys = await home.gpg(["--with-colons", "--list-keys", fingerprint]);
    const [, , newest] = subkeys.toString().matchAll(/^fpr:+([0-9A-F]+):/gm);
    for (const parts of ["all", "subkeys"] as const) {
      const key = await loadKeyFile(await keyFile(await home.secretKey(fingerprint, parts)));
      expect(key).toMatchObject({
        name: "repo",
        primaryFingerprint: fingerprint,
        fingerprint: newest?.[1],
        algorithm: "ed25519",
        userId: "Repo <repo@example.org>",
        createdAt: new Date("2025-01-01T00:00:00Z"),
        expiresAt: undefined,
      });
      await expectSigns(key);
    }
  });

  test("is an older subkey while the newest is not yet valid, expired or revoked", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
    const [, old] = (await home.gpg(["--with-colons", "--list-keys", fingerprint]))
      .toString()
      .matchAll(/^fpr:+([0-9A-F]+):/gm);
    const add = ["--passphrase", "", "--faked-system-time", "20270101T000000!", "--quick-add-key"];
    await home.gpg([...add, fingerprint, "ed25519", "sign", "2027-02-01"]);
    const file = await keyFile(await home.secretKey(fingerprint));
    const chosen = async (now: string) => (await loadKeyFile({ ...file, now: new Date(now) })).fingerprint;
    expect(await chosen("2026-12-31T23:59:59Z")).toBe(old?.[1]);
    expect(await chosen("2027-01-01T00:00:01Z")).not.toBe(old?.[1]);
    expect(await chosen("2027-03-01T00:00:00Z")).toBe(old?.[1]);
    const revoke = "key 2\nrevkey\ny\n1\n\ny\nsave\n";
    await home.gpg(
      ["--no-batch", "--passphrase", "", "--command-fd", "0", "--edit-key", fingerprint],
      revoke,
    );
    const revoked = await keyFile(await home.secretKey(fingerprint));
    expect((await loadKeyFile({ ...revoked, now: new Date("2027-01-10") })).fingerprint).toBe(old?.[1]);
  });

  test("is the primary where it may sign and no subkey may", async () => {
    const fingerprint = await home.generate({
      primary: ["rsa2048", "sign,cert"],
      subkey: ["rsa2048", "encr"],
    });
    const key = await loadKeyFile(await keyFile(await home.secretKey(fingerprint)));
    expect(key).toMatchObject({ fingerprint, primaryFingerprint: fingerprint, algorithm: "rsa" });
    await expectSigns(key);
  });

  test("is found in a binary file as well", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "sign,cert"] });
    const binary = await home.gpg(["--passphrase", "", "--export-secret-keys", fingerprint]);
    await expectSigns(await loadKeyFile(await keyFile(binary)));
  });

  test("may belong to a primary of an algorithm that nothing is signed with here", async () => {
    const fingerprint = await home.generate({ primary: ["dsa2048", "cert"], subkey: ["ed25519", "sign"] });
    const key = await loadKeyFile(await keyFile(await home.secretKey(fingerprint, "subkeys")));
    expect(key.algorithm).toBe("ed25519");
    expect(key.problemAt(NOW)).toBeUndefined();
    expect(await sign(key)).toBeInstanceOf(Uint8Array);
  });
});

describe("a passphrase", () => {
  test("opens the key, from a file with or without a newline at its end", async () => {
    const passphrase = "pass phrase é";
    const fingerprint = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      passphrase,
    });
    for (const parts of ["all", "subkeys"] as const) {
      const file = await keyFile(await home.secretKey(fingerprint, parts, passphrase));
      for (const end of ["", "\n", "\r\n"]) {
        await expectSigns(
          await loadKeyFile({ ...file, passphraseFile: await passphraseFile(passphrase + end) }),
        );
      }
      expect((await describeKeyFile(file)).problemAt(NOW)).toBeUndefined();
      expect(await faultOf(file)).toMatch(/^key-unavailable: a passphrase protects it/);
      const wrong = async (content: Uint8Array | string, mode?: number) =>
        faultOf({ ...file, passphraseFile: await passphraseFile(content, mode) });
      expect(await wrong(`${passphrase}\n\n`)).toMatch(/^key-unavailable: the passphrase does not open/);
      expect(await wrong("")).toMatch(/^key-unavailable: the passphrase does not open/);
      expect(await wrong(Buffer.from("pass\xff", "latin1"))).toMatch(
        /^key-unavailable: a passphrase in utf-8/,
      );
      expect(await wrong(passphrase, 0o604)).toMatch(/^key-unavailable: everybody on this machine/);
      expect(await wrong("x".repeat(4097))).toMatch(/^key-unavailable: a file of at most 4096 bytes/);
      expect(await faultOf({ ...file, passphraseFile: join(folder, "missing") })).toMatch(/ENOENT/);
    }
  });

  test("opens RSA and ECDSA keys", async () => {
    for (const algorithm of ["rsa2048", "nistp384/ecdsa"]) {
      const fingerprint = await home.generate({ primary: [algorithm, "sign,cert"], passphrase: "p" });
      const file = await keyFile(await home.secretKey(fingerprint, "all", "p"));
      await expectSigns(await loadKeyFile({ ...file, passphraseFile: await passphraseFile("p") }));
    }
  });
});

describe("a key that must not sign is loaded without its secret, says why, and signs nothing:", () => {
  async function expectUnusable(options: SecretKeyFileOptions, problem: string, now = NOW): Promise<void> {
    const key = await loadKeyFile({ ...options, now });
    expect(key.problemAt(now)).toMatchObject({ problem });
    await expect(sign(key, now)).rejects.toMatchObject({ code: "key-unusable" });
    await expect(sign(key, new Date("2024-06-01"))).rejects.toMatchObject({ code: "key-unusable" });
  }

  test("expired, by its own date or by that of the primary", async () => {
    const own = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      subkeyExpires: "2025-01-01",
    });
    await expectUnusable(await keyFile(await home.secretKey(own)), "expired");
    const primary = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      expires: "2025-01-01",
    });
    await expectUnusable(await keyFile(await home.secretKey(primary)), "expired");
  });

  test("made in the future", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "sign,cert"], born: "20270101T000000" });
    await expectUnusable(await keyFile(await home.secretKey(fingerprint)), "not-yet-valid");
  });

  test("bound, itself or its primary, by a self-signature of the future", async () => {
    const bind = ["--passphrase", "", "--faked-system-time", "20270101T000000!", "--quick-set-expire"];
    for (const subkeys of [[], ["*"]]) {
      const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
      await home.gpg([...bind, fingerprint, "2030-01-01", ...subkeys]);
      const file = await keyFile(await home.secretKey(fingerprint));
      await expectUnusable(file, "not-yet-valid", new Date("2026-12-31T23:00:00Z"));
      const now = new Date("2027-01-01T01:00:00Z");
      await expectSigns(await loadKeyFile({ ...file, now }), now);
    }
  });

  test("made for certifying alone", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["cv25519", "encr"] });
    const file = await keyFile(await home.secretKey(fingerprint));
    await expectUnusable(file, "not-for-signing");
    expect((await loadKeyFile(file)).fingerprint).toBe(fingerprint);
  });

  test("a subkey revoked, for whatever reason", async () => {
    for (const reason of [0, 1, 2, 3]) {
      const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
      const revoke = `key 1\nrevkey\ny\n${reason}\n\ny\nsave\n`;
      await home.gpg(
        ["--no-batch", "--passphrase", "", "--command-fd", "0", "--edit-key", fingerprint],
        revoke,
      );
      await expectUnusable(await keyFile(await home.secretKey(fingerprint)), "revoked");
    }
  });

  test("a primary revoked", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
    const stored = await readFile(join(home.path, "openpgp-revocs.d", `${fingerprint}.rev`), "utf8");
    await home.gpg(["--import"], stored.replace(/^:-----/m, "-----"));
    const file = await keyFile(await home.secretKey(fingerprint));
    await expectUnusable(file, "revoked");
    expect((await loadKeyFile(file)).primaryFingerprint).toBe(fingerprint);
  });

  test("one whose time ends between loading and signing", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "sign,cert"], expires: "2027-01-01" });
    const key = await loadKeyFile(await keyFile(await home.secretKey(fingerprint)));
    const end = key.expiresAt?.getTime() ?? 0;
    expect(end - Date.parse("2027-01-01")).toBeLessThan(DAY);
    await expectSigns(key, new Date(end - 1000));
    await expect(sign(key, new Date(end))).rejects.toMatchObject({ code: "key-unusable" });
    await expect(sign(key, new Date("2023-12-31"))).rejects.toMatchObject({ code: "key-unusable" });
  });
});

describe("the expiry of a key", () => {
  test("is that of its newest self-signature, shortened or extended", async () => {
    const fingerprint = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      expires: "2026-01-01",
    });
    const extend = ["--passphrase", "", "--faked-system-time", "20240601T000000!", "--quick-set-expire"];
    await home.gpg([...extend, fingerprint, "2028-01-01"]);
    const key = await loadKeyFile(await keyFile(await home.secretKey(fingerprint)));
    expect(key.expiresAt?.toISOString()).toMatch(/^(2027-12-31|2028-01-0)/);
    await home.gpg([...extend.map((word) => word.replace("202406", "202407")), fingerprint, "2027-01-01"]);
    const shortened = await loadKeyFile(await keyFile(await home.secretKey(fingerprint)));
    expect(shortened.expiresAt?.toISOString()).toMatch(/^(2026-12-31|2027-01-0)/);
  });

  test("is that of the subkey where it ends before its primary", async () => {
    const fingerprint = await home.generate({
      primary: ["ed25519", "cert"],
      subkey: ["ed25519", "sign"],
      expires: "2029-01-01",
      subkeyExpires: "2027-06-01",
    });
    const { expiresAt } = await loadKeyFile(await keyFile(await home.secretKey(fingerprint)));
    expect(expiresAt?.toISOString()).toMatch(/^(2027-05-31|2027-06-0)/);
  });
});

describe("unavailable:", () => {
  const user = { userIDs: { name: "A", email: "a@example.org" } } as const;

  test("a version 6 key", async () => {
    const { privateKey } = await openpgp.generateKey({
      ...user,
      type: "curve25519",
      config: { v6Keys: true },
    });
    expect(await faultOf(await keyFile(privateKey))).toMatch(
      /^key-unavailable: a version 4 key expected, .* version 6/,
    );
  });

  test("Ed25519 as RFC 9580 numbers it, which GnuPG 2.2 does not read", async () => {
    const { privateKey } = await openpgp.generateKey({ ...user, type: "curve25519" });
    expect(await faultOf(await keyFile(privateKey))).toMatch(/^key-unavailable: .* ed25519 \(22\)/);
  });

  test("RSA below 2048 bits and curves that are not among ours", async () => {
    for (const algorithm of ["rsa1024", "nistp521/ecdsa"]) {
      const fingerprint = await home.generate({ primary: [algorithm, "sign,cert"] });
      expect(await faultOf(await keyFile(await home.secretKey(fingerprint)))).toMatch(
        /^key-unavailable: .* rsa from 2048/,
      );
    }
  });

  test("a key of another algorithm that may not even sign", async () => {
    const fingerprint = await home.generate({ primary: ["dsa2048", "cert"] });
    expect(await faultOf(await keyFile(await home.secretKey(fingerprint)))).toMatch(
      /^key-unavailable: .* rsa from 2048/,
    );
  });

  test("a key whose secret contradicts its checksum", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "sign,cert"] });
    const secret = await home.gpg(["--passphrase", "", "--export-secret-keys", fingerprint]);
    const end = 2 + (secret[1] ?? 0); // of the first packet, whose header takes two octets
    secret[end - 1] = (secret[end - 1] ?? 0) ^ 1;
    expect(await faultOf(await keyFile(secret))).toMatch(/^key-unavailable: an openpgp secret key expected/);
  });

  test("a key whose signing secret is not in the file", async () => {
    const fingerprint = await home.generate({
      primary: ["ed25519", "sign,cert"],
      subkey: ["cv25519", "encr"],
    });
    const stub = await home.secretKey(fingerprint, "subkeys");
    expect(await faultOf(await keyFile(stub))).toMatch(
      /^key-unavailable: the secret of [0-9A-F]{40} expected/,
    );
  });

  test("a public key, two keys, no key, a key cut short", async () => {
    const [one, two] = [
      await home.generate({ primary: ["ed25519", "sign,cert"] }),
      await home.generate({ primary: ["ed25519", "sign,cert"] }),
    ];
    const binary = (...fingerprints: string[]) =>
      home.gpg(["--passphrase", "", "--export-secret-keys", ...fingerprints]);
    const open = await home.gpg(["--export", one]);
    const armored = await home.gpg(["--armor", "--export", one]);
    const secret = await binary(one);
    const cases: [Uint8Array | string, RegExp][] = [
      [open, /a secret key expected, the file holds a public one$/],
      [armored, /armor of a pgp private key block expected$/],
      [await binary(one, two), /one secret key expected, the file holds 2$/],
      [Buffer.concat([secret, open]), /the file holds a public one$/],
      [secret.subarray(0, -1), /bytes expected where/],
      [secret.subarray(0, 3), /bytes expected where/],
      ["", /secret key expected/],
      ["a letter", /secret key expected/],
      [Buffer.concat([Buffer.from([0xcd, 1, 65]), secret]), /one secret key expected/],
      [Buffer.alloc(1024 * 1024 + 1), /a file of at most 1048576 bytes expected$/],
    ];
    for (const [content, reason] of cases) {
      const fault = await faultOf(await keyFile(content));
      expect(fault).toMatch(reason);
      expect(fault).toMatch(/^key-unavailable: /);
    }
  });

  test("a key without a user id that it has signed itself", async () => {
    const [one, two] = [
      await home.generate({ primary: ["ed25519", "sign,cert"] }),
      await home.generate({ primary: ["ed25519", "sign,cert"] }),
    ];
    const packets = async (fingerprint: string) => {
      const key = await openpgp.readPrivateKey({
        armoredKey: (await home.secretKey(fingerprint)).toString(),
      });
      return key.toPacketList().map((packet) => ({ packet }));
    };
    const [key, ...rest] = [(await packets(one))[0], ...(await packets(two)).slice(1)];
    const list = new openpgp.PacketList<openpgp.AnyPacket>();
    for (const item of [key, ...rest]) if (item !== undefined) list.push(item.packet);
    expect(await faultOf(await keyFile(list.write()))).toMatch(
      /^key-unavailable: a user id with a valid self-signature/,
    );
  });

  test("a file that everybody may read or write", async () => {
    const fingerprint = await home.generate({ primary: ["ed25519", "sign,cert"] });
    const secret = await home.secretKey(fingerprint);
    for (const mode of [0o604, 0o602, 0o644]) {
      expect(await faultOf(await keyFile(secret, mode))).toMatch(
        /^key-unavailable: everybody on this machine may access/,
      );
    }
    for (const mode of [0o400, 0o440, 0o660])
      expect(await faultOf(await keyFile(secret, mode))).toBe("loaded");
  });

  test("a file that is missing, a folder or a FIFO, which is not waited for", async () => {
    const options = await keyFile("");
    expect(await faultOf({ ...options, file: join(folder, "missing") })).toMatch(/ENOENT/);
    const fifo = join(folder, "fifo");
    await runOk("mkfifo", ["-m", "600", fifo]);
    expect(await faultOf({ ...options, file: fifo })).toMatch(/a regular file expected$/);
    const directory = join(folder, "directory");
    await mkdir(directory, { mode: 0o700 });
    expect(await faultOf({ ...options, file: directory })).toMatch(/a regular file expected$/);
  });
});

describe("what is known about a key file is kept,", () => {
  const LOAD = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (name === "openpgp") throw new Error("openpgp.js was loaded");
      return next(name, context);
    } });
    const { loadKeyFile } = await import(process.argv[1]);
    const { startMessageHash } = await import(process.argv[2]);
    const key = await loadKeyFile({ name: "repo", file: process.argv[3], cacheDirectory: process.argv[4], now: new Date() });
    const message = startMessageHash([key]);
    const packet = await key.sign(message, { createdAt: new Date(), expiresAfterSeconds: undefined, notations: [] });
    process.stdout.write(String(packet.length));
  `;

  /** Loads and signs in a process that cannot load openpgp.js. */
  async function withoutOpenpgp({ file, cacheDirectory }: SecretKeyFileOptions) {
    const modules = ["keys/key-file.ts", "openpgp/message-hash.ts"].map(
      (path) => new URL(`../../src/${path}`, import.meta.url).href,
    );
    return run(process.execPath, ["--input-type=module", "--eval", LOAD, ...modules, file, cacheDirectory]);
  }

  async function freshKey(): Promise<SecretKeyFileOptions> {
    const fingerprint = await home.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
    return keyFile(await home.secretKey(fingerprint, "subkeys"));
  }

  async function cacheFile({ cacheDirectory }: SecretKeyFileOptions): Promise<string> {
    const names = await readdir(cacheDirectory);
    expect(names).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.json$/)]);
    return join(cacheDirectory, names[0] ?? "");
  }

  test("so that a later process signs without openpgp.js", async () => {
    const options = await freshKey();
    expect((await withoutOpenpgp(options)).stderr).toContain("openpgp.js was loaded");
    const first = await loadKeyFile(options);
    const { status, stdout, stderr } = await withoutOpenpgp(options);
    expect([status, stderr]).toEqual([0, ""]);
    expect(Number(stdout)).toBeGreaterThan(100);
    const { sign: _sign, problemAt: _problemAt, ...facts } = await loadKeyFile(options);
    expect(first).toMatchObject(facts);
  });

  test("readable by its owner alone and without anything secret", async () => {
    const options = await freshKey();
    await loadKeyFile(options);
    const file = await cacheFile(options);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(options.cacheDirectory)).mode & 0o777).toBe(0o700);
    const kept = JSON.parse(await readFile(file, "utf8"));
    expect(kept.armoredPublicKey).toContain("BEGIN PGP PUBLIC KEY BLOCK");
    expect(Object.keys(kept).sort()).toEqual([
      "armoredPublicKey",
      "candidates",
      "kind",
      "packetsSha256",
      "primaryFingerprint",
      "userId",
      "version",
    ]);
  });

  test("and examined again for another key file, version, shape, owner or mode", async () => {
    const options = await freshKey();
    await loadKeyFile(options);
    const file = await cacheFile(options);
    const good = await readFile(file, "utf8");
    const value = JSON.parse(good);
    const [candidate] = value.candidates;
    const bent = [
      "",
      "null",
      "[]",
      "1",
      good.slice(0, -2),
      { ...value, version: 0 },
      { ...value, version: 2 },
      { ...value, packetsSha256: "0".repeat(64) },
      { ...value, kind: "x" },
      { ...value, primaryFingerprint: "x" },
      { ...value, userId: 1 },
      { ...value, armoredPublicKey: undefined },
      { ...value, candidates: [] },
      { ...value, candidates: {} },
      { ...value, candidates: [null] },
      { ...value, candidates: [candidate, 1] },
      ...Object.entries({
        fingerprint: "x",
        algorithm: "dsa",
        createdAt: -1,
        validFrom: "1",
        validUntil: null,
        revoked: 0,
        forSigning: 1,
        encrypted: undefined,
      }).map(([name, wrong]) => ({ ...value, candidates: [{ ...candidate, [name]: wrong }] })),
    ];
    for (const content of bent) {
      await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
      await loadKeyFile(options);
      expect(await readFile(file, "utf8")).toBe(good);
    }
    const lie = JSON.stringify({ ...value, userId: "somebody else" });
    await writeFile(file, lie);
    expect((await loadKeyFile(options)).userId).toBe("somebody else"); // believed: its owner may read the key itself
    const other = await loadKeyFile(await freshKey());
    for (const armoredPublicKey of ["a letter", other.armoredPublicKey]) {
      await writeFile(file, JSON.stringify({ ...value, armoredPublicKey }));
      expect(await faultOf(options)).toMatch(/^key-unavailable: /); // and never a signature that was not checked
    }
    await writeFile(file, lie);
    await chmod(file, 0o620);
    expect((await loadKeyFile(options)).userId).toBe(value.userId);
    if (process.geteuid?.() === 0) {
      await writeFile(file, lie);
      await chown(file, 1, 1);
      expect((await loadKeyFile(options)).userId).toBe(value.userId);
    }
  });

  test("but without a folder to keep it in the key is loaded all the same", async () => {
    const options = await freshKey();
    await expectSigns(await loadKeyFile({ ...options, cacheDirectory: join(folder, "missing", "cache") }));
    await expectSigns(await loadKeyFile({ ...options, cacheDirectory: options.file }));
  });

  test("and nothing half-written is left where it cannot be kept", async () => {
    const options = await freshKey();
    await loadKeyFile(options);
    const file = await cacheFile(options);
    await rm(file);
    await mkdir(join(file, "in-the-way"), { recursive: true });
    await expectSigns(await loadKeyFile(options));
    expect(await readdir(options.cacheDirectory)).toEqual([basename(file)]);
  });

  test.runIf(process.geteuid?.() === 0)(
    "and nothing is left by root in folders of another account",
    async () => {
      const options = await freshKey();
      await chown(dirname(options.cacheDirectory), 1, 1);
      await expectSigns(await loadKeyFile(options));
      expect(await readdir(dirname(options.cacheDirectory))).toEqual(["repo.key"]);
      await mkdir(options.cacheDirectory, { mode: 0o700 });
      await chown(options.cacheDirectory, 1, 1);
      await expectSigns(await loadKeyFile(options));
      expect(await readdir(options.cacheDirectory)).toEqual([]);
    },
  );

  test("and a changed key file is examined afresh", async () => {
    const [options, other] = [await freshKey(), await freshKey()];
    const { fingerprint } = await loadKeyFile(options);
    const { mtime } = await stat(options.file);
    await copyFile(other.file, options.file);
    await utimes(options.file, mtime, mtime);
    expect((await loadKeyFile(options)).fingerprint).not.toBe(fingerprint);
  });
});
