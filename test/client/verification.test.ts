import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type PinnedCertificates, readPinnedCertificates } from "../../src/client/pinned-certificates.ts";
import { signatureObjection } from "../../src/client/verification.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { type FileName, parseFileName } from "../../src/request/request.ts";
import { DAY, HOUR, MINUTE, makeHost, START } from "../sign/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
const BYTES = buildDatabase({ kind: "db", packages: 2, compression: "gzip" });
let certificates: PinnedCertificates;
let signature: Buffer;

beforeAll(async () => {
  const made = await makeHost(cleanup);
  const answer = await made.call("core.db.tar.gz", BYTES);
  if (!("receipt" in answer)) throw new Error("not signed");
  signature = Buffer.from(answer.receipt.signature);
  const key = await made.host.loadKey("repo" as never);
  const file = join(await tempDir(cleanup), "repo.asc");
  writeFileSync(file, key.armoredPublicKey);
  certificates = await readPinnedCertificates(file);
});
afterAll(() => cleanup.run());

test("certificates may stand one behind the other in one file, and then all of them count", async () => {
  const other = await (await makeHost(cleanup)).host.loadKey("repo" as never);
  const made = certificates.map((certificate) => certificate.armor());
  const file = join(await tempDir(cleanup), "repo.asc");
  const read = async (text: string) => {
    writeFileSync(file, text);
    return (await readPinnedCertificates(file)).map((key) => key.getFingerprint());
  };
  const [one, two] = [await read(made.join("")), await read(other.armoredPublicKey)];
  expect([one, two].flat()).toHaveLength(2);
  const both = `${made.join("")}${other.armoredPublicKey}`;
  for (const text of [both, `two hosts\n${both}`, both.replaceAll("\n-----BEGIN", "\n\nanother\n-----BEGIN")])
    expect(await read(text)).toEqual([...one, ...two]);
  for (const bad of [`${both}-----BEGIN PGP PUBLIC KEY BLOCK-----\n`, "no key"])
    await expect(read(bad)).rejects.toThrow(expect.objectContaining({ code: "bad-configuration" }));
});

function objection(bytes: Uint8Array, ageMs = 0, name = "core.db.tar.gz", data: Uint8Array = BYTES) {
  const message = startMessageHash([]);
  message.update(data);
  const at = new Date(START.getTime() + ageMs);
  const request = { message, name: parseFileName(name) as FileName, requestedAt: at };
  return signatureObjection(bytes, request, certificates, at);
}

test("a signature of the bytes sent is good", async () => {
  expect(await objection(signature)).toBeUndefined();
});

test("an earlier one is good for as long as the host delivers it again, and no longer", async () => {
  expect(await objection(signature, DAY - HOUR)).toBeUndefined();
  expect(await objection(signature, DAY + 6 * MINUTE)).toMatch(/old/);
});

test("a host's clock may be five minutes ahead, not more", async () => {
  expect(await objection(signature, -4 * MINUTE)).toBeUndefined();
  expect(await objection(signature, -6 * MINUTE)).toMatch(/future/);
});

test("one of other bytes, of another name, or with any octet changed is not good", async () => {
  expect(await objection(signature, 0, "core.db.tar.gz", BYTES.subarray(1))).toMatch(/digest|failed/i);
  expect(await objection(signature, 0, "extra.db.tar.gz")).toMatch(/it is for/);
  for (let at = 0; at < signature.length; at += 7) {
    const changed = Buffer.from(signature);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    expect(await objection(changed), `octet ${at}`).toBeTypeOf("string");
  }
});
