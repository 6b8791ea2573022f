import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseHostKey } from "../../src/config/setting.ts";
import {
  isEd25519Blob,
  NOTIFICATION_NAMESPACE,
  signingKeyOf,
  sshSignatureObjection,
} from "../../src/exchange/ssh-signature.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";

/** By OpenSSH 9.2, of "hello\n". */
const VECTOR = {
  key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMB0zUO2IkevULJy0WLMmjiuG17BkkccqNKZgQ45swkh",
  sha512: `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgwHTNQ7YiR69QsnLRYsyaOK4bXs
GSRxyo0pmBDjmzCSEAAAATbm90aWZpY2F0aW9uQHNpZ25lcgAAAAAAAAAGc2hhNTEyAAAA
UwAAAAtzc2gtZWQyNTUxOQAAAEDveStNn3fIuSWsk1kZNn3yLv1StCWXsH3468TeexujFl
2qTiZDf+fCz47WCKhWhp9S6ZelKGRo3UrXBiBl8CMD
-----END SSH SIGNATURE-----
`,
  sha256: `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgwHTNQ7YiR69QsnLRYsyaOK4bXs
GSRxyo0pmBDjmzCSEAAAATbm90aWZpY2F0aW9uQHNpZ25lcgAAAAAAAAAGc2hhMjU2AAAA
UwAAAAtzc2gtZWQyNTUxOQAAAEASuUcOIGy7JnMDSV7/pZ79pbKV/zWsOlP1rH+wqlltXS
pSW3lYJqSHe/zAAJmluQ+sEjXoJ2n3H889WD/Fe0QA
-----END SSH SIGNATURE-----
`,
} as const;
const HELLO = Buffer.from("hello\n");

const cleanup = new Cleanup();
let folder: string;
beforeAll(async () => {
  folder = await tempDir(cleanup);
  const keys = [
    ["ours", "ed25519"],
    ["other", "ed25519"],
    ["rsa", "rsa"],
    ["ecdsa", "ecdsa"],
  ] as const;
  for (const [name, type] of keys)
    await runOk("ssh-keygen", ["-q", "-t", type, "-N", "", "-C", "", "-f", join(folder, name)]);
});
afterAll(() => cleanup.run());

function blobOf(text: string): Uint8Array {
  const key = parseHostKey(text.trim());
  if (key === undefined) throw new Error("no key");
  return key.blob;
}

const publicKey = (name: string) => blobOf(readFileSync(join(folder, `${name}.pub`), "latin1"));

async function sign(
  message: Uint8Array | string,
  { key = "ours", namespace = NOTIFICATION_NAMESPACE, digest = "sha512" } = {},
): Promise<string> {
  const args = ["-Y", "sign", "-q", "-f", join(folder, key), "-n", namespace, "-O", `hashalg=${digest}`];
  return (await runOk("ssh-keygen", args, { stdin: message })).toString("latin1");
}

function objection(
  armored: string,
  message: Uint8Array | string,
  key = publicKey("ours"),
): string | undefined {
  return sshSignatureObjection(armored, Buffer.from(message), {
    publicKey: key,
    namespace: NOTIFICATION_NAMESPACE,
  });
}

describe("what ssh-keygen has signed", () => {
  test("is good, with both digests that it has", async () => {
    expect(objection(VECTOR.sha512, HELLO, blobOf(VECTOR.key))).toBeUndefined();
    expect(objection(VECTOR.sha256, HELLO, blobOf(VECTOR.key))).toBeUndefined();
    for (const digest of ["sha256", "sha512"])
      for (const message of ["", "x", "a line\n", "\0\xff".repeat(50_000)])
        expect(objection(await sign(message, { digest }), message)).toBeUndefined();
  });

  test("is good of no other bytes", async () => {
    const armored = await sign("a line\n");
    for (const message of ["", "a line", "a line\n\n", "a lime\n", "A line\n"])
      expect(objection(armored, message)).toBe("its signature is not of these bytes");
  });

  test("with another key is another key's", async () => {
    expect(objection(await sign("x", { key: "other" }), "x")).toBe("another key has signed it");
    expect(objection(await sign("x"), "x", publicKey("other"))).toBe("another key has signed it");
  });

  test("for another purpose is none, with the same key", async () => {
    for (const namespace of ["file", "git", "notification@signer2", "Notification@signer"])
      expect(objection(await sign("x", { namespace }), "x")).toBe("it is signed for another purpose");
  });

  test.each(["rsa", "ecdsa"])(
    "with an %s key is no signature here, also where that key is expected",
    async (key) => {
      const armored = await sign("x", { key });
      expect(objection(armored, "x", publicKey(key))).toBe("it is not signed");
      expect(signingKeyOf(armored)).toBeUndefined();
    },
  );

  test("says which key it is by", async () => {
    expect(signingKeyOf(await sign("x"))).toEqual(publicKey("ours"));
    expect(signingKeyOf("")).toBeUndefined();
  });
});

test("ssh-keygen and we agree: what it finds good of a changed signature, we do not find good of other bytes", () => {
  // The signed data (PROTOCOL.sshsig) made here would be wrong in the same way as what checks it: the vector is OpenSSH's.
  const [key, other] = [blobOf(VECTOR.key), Buffer.from("hello\r\n")];
  for (const armored of [VECTOR.sha256, VECTOR.sha512])
    expect(objection(armored, other, key)).toBeTypeOf("string");
});

describe("a signature that is not whole or not as it was made", () => {
  const key = blobOf(VECTOR.key);
  const armor = (blob: Buffer) => {
    const lines = blob.toString("base64").match(/.{1,70}/g) ?? [];
    return `-----BEGIN SSH SIGNATURE-----\n${lines.join("\n")}\n-----END SSH SIGNATURE-----\n`;
  };
  const blob = Buffer.from(VECTOR.sha512.replace(/-----.*\n/g, "").replaceAll("\n", ""), "base64");

  test("the armor of these tests is ssh-keygen's", () => {
    expect(armor(blob)).toBe(VECTOR.sha512);
  });

  test("is not good where its text is cut anywhere, at either end", () => {
    for (let length = 0; length < VECTOR.sha512.length; length += 1) {
      expect(objection(VECTOR.sha512.slice(0, length), HELLO, key), `${length}`).toBe("it is not signed");
      expect(objection(VECTOR.sha512.slice(length + 1), HELLO, key), `-${length}`).toBe("it is not signed");
    }
  });

  test("is not good where its octets are cut or more", () => {
    for (let length = 0; length < blob.length; length += 1)
      expect(objection(armor(blob.subarray(0, length)), HELLO, key), `${length}`).toBe("it is not signed");
    for (const more of [[0], [0, 0, 0, 0], [0, 0, 0, 1, 65]])
      expect(objection(armor(Buffer.concat([blob, Buffer.from(more)])), HELLO, key)).toBe("it is not signed");
  });

  test("is not good where any octet is another", () => {
    for (let at = 0; at < blob.length; at += 1)
      for (const bit of [0x01, 0x20, 0x80]) {
        const bent = Buffer.from(blob);
        bent.writeUInt8(bent.readUInt8(at) ^ bit, at);
        expect(objection(armor(bent), HELLO, key), `octet ${at}`).toBeTypeOf("string");
      }
  });

  test("is not good where any character of its text is another, unless it is a newline elsewhere", () => {
    fc.assert(
      fc.property(fc.nat(VECTOR.sha512.length - 1), fc.integer({ min: 0, max: 0xff }), (at, code) => {
        const character = String.fromCharCode(code);
        if (character === VECTOR.sha512[at] || character === "\n") return;
        const bent = VECTOR.sha512.slice(0, at) + character + VECTOR.sha512.slice(at + 1);
        expect(objection(bent, HELLO, key)).toBeTypeOf("string");
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["text before it", `x\n${VECTOR.sha512}`],
    ["text behind it", `${VECTOR.sha512}x`],
    ["a second one behind it", `${VECTOR.sha512}${VECTOR.sha512}`],
    ["lines as of Windows", VECTOR.sha512.replaceAll("\n", "\r\n")],
    ["blanks in its lines", VECTOR.sha512.replaceAll("\n", " \n")],
    ["other armor", VECTOR.sha512.replaceAll("SSH SIGNATURE", "PGP SIGNATURE")],
    ["nothing in its armor", "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"],
    ["a line of nothing in its armor", "-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n"],
    ["a megabyte", `-----BEGIN SSH SIGNATURE-----\n${"A".repeat(2 ** 20)}\n-----END SSH SIGNATURE-----\n`],
    ["base64 of URLs", VECTOR.sha512.replaceAll("+", "-").replaceAll("/", "_")],
  ])("is not good with %s", (_what, text) => {
    expect(objection(text, HELLO, key)).toBe("it is not signed");
  });

  test("that says another version, or something in the reserved field, is not good", () => {
    const later = Buffer.from(blob);
    later.writeUInt32BE(2, 6);
    expect(objection(armor(later), HELLO, key)).toBe("it is not signed");
    const at = blob.indexOf(NOTIFICATION_NAMESPACE) + NOTIFICATION_NAMESPACE.length;
    const reserved = Buffer.concat([
      blob.subarray(0, at),
      Buffer.from([0, 0, 0, 1, 65]),
      blob.subarray(at + 4),
    ]);
    expect(objection(armor(reserved), HELLO, key)).toBe("it is not signed");
  });

  test("with a digest that the protocol does not have is not good", () => {
    for (const name of ["sha1xx", "md5xxx", "SHA512", "sha384"]) {
      const bent = Buffer.from(blob.toString("latin1").replace("sha512", name), "latin1");
      expect(objection(armor(bent), HELLO, key)).toBe("its digest is neither SHA-256 nor SHA-512");
    }
  });
});

describe("a public key", () => {
  test("is one of Ed25519, whole and nothing behind it", () => {
    const key = publicKey("ours");
    expect(isEd25519Blob(key)).toBe(true);
    for (let length = 0; length < key.length; length += 1)
      expect(isEd25519Blob(key.subarray(0, length))).toBe(false);
    expect(isEd25519Blob(Buffer.concat([key, Buffer.alloc(4)]))).toBe(false);
    expect(isEd25519Blob(publicKey("rsa"))).toBe(false);
    expect(isEd25519Blob(publicKey("ecdsa"))).toBe(false);
  });

  test("that is none makes every signature bad", () => {
    for (const key of [Buffer.alloc(0), publicKey("ours").subarray(1), publicKey("rsa")])
      expect(objection(VECTOR.sha512, HELLO, key)).toBe("another key has signed it");
  });
});
