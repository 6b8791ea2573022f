import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { startGpg } from "../support/gpg.ts";
import { makeImage } from "../support/image.ts";
import {
  codeOf,
  makeSigningHost,
  outcome,
  rule,
  type SigningHostUnderTest,
  serveOverSsh,
} from "../support/signing-host.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const RULES =
  rule({ id: "monthly-iso", client: "releng", type: "iso", limits: ["1 per month"] }) +
  rule({ id: "any-iso", client: "nightly", type: "iso", max_size: "300 MiB" });
const NAME = "archlinux-2026.11.01-x86_64.iso";

test("the month's image is signed over ssh, a second one is refused and told when, the first again is not", async () => {
  const host = await makeSigningHost(cleanup, { rules: RULES });
  const ssh = await serveOverSsh(cleanup, host, ["releng"]);
  const image = await makeImage("archiso-bios-and-efi");
  const second = await makeImage("archiso-bios-and-efi", { createdAt: "2026-11-02T12:00:00Z" });

  const signed = await ssh.sign(NAME, image);
  expect(outcome(signed)).toBe("signed");
  const gpg = await startGpg(cleanup);
  await gpg.importKey(await host.publicKey());
  expect(await gpg.verify(signed.stdout, image)).toMatchObject({ good: true });
  expect(await gpg.verify(signed.stdout, second)).toMatchObject({ good: false });

  const refused = await ssh.sign(NAME, second);
  expect(outcome(refused)).toBe("over-limit 75");
  const now = new Date();
  const nextMonth = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)).toISOString();
  expect(refused.stderr).toBe(
    `signer: over-limit: 1 per month is used up; the next is possible at ${nextMonth}\n`,
  );

  expect((await ssh.sign(NAME, image)).stdout).toEqual(signed.stdout);
  expect(host.requests()).toMatchObject([
    { kind: "signed", rule: "monthly-iso", facts: { bootable: true, volume_id: "ARCH_202611" } },
    { kind: "refused", code: "over-limit", rule: "monthly-iso", name: NAME, size: second.length },
    { kind: "reissued", name: NAME },
  ]);
});

describe("an image", () => {
  let host: SigningHostUnderTest;
  let image: Buffer;
  beforeAll(async () => {
    host = await makeSigningHost(cleanup, { rules: RULES });
    image = await makeImage("hybrid-mbr");
  });

  /** The volume space size of the primary descriptor, both byte orders (ECMA-119 §8.4.8). */
  function withSectors(sectors: number): Buffer {
    const lying = Buffer.from(image);
    lying.writeUInt32LE(sectors, 16 * 2048 + 80);
    lying.writeUInt32BE(sectors, 16 * 2048 + 84);
    return lying;
  }

  test.each<[string, string, string, () => Buffer]>([
    ["with another month in its name", "archlinux-2026.12.01-x86_64.iso", "name-mismatch 65", () => image],
    [
      "with a day in its name that does not exist",
      "archlinux-2026.11.31-x86_64.iso",
      "not-recognised 65",
      () => image,
    ],
    ["with bytes after its end", NAME, "trailing-data 65", () => Buffer.concat([image, Buffer.alloc(2048)])],
    ["with one byte after its end", NAME, "trailing-data 65", () => Buffer.concat([image, Buffer.of(0)])],
    ["that lacks its last byte", NAME, "truncated 65", () => image.subarray(0, -1)],
    ["that says it is longer than it is", NAME, "truncated 65", () => withSectors(image.length / 2048 + 1)],
    ["that says it is shorter than it is", NAME, "bad-image 65", () => withSectors(image.length / 2048 - 1)],
    ["that says it is larger than the rule allows", NAME, "too-large 65", () => withSectors(300 * 512 + 1)],
    ["under the name of a database", "core.db.tar.gz", "not-permitted 77", () => image],
  ])("%s is refused", async (_, command, expected, bytes) => {
    const ended = await host.accept({ client: "nightly", command, stdin: bytes() });
    expect(outcome(ended)).toBe(expected);
    expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code: codeOf(ended) });
  });

  test("of 200 MB that is wrong is refused before a megabyte of it was taken", async () => {
    const child = host.startAccept({ client: "nightly", command: "archlinux-2026.12.01-x86_64.iso" });
    const stderr: Buffer[] = [];
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined);
    const closed = once(child, "close");

    const start = withSectors(200_000_000 / 2048);
    const filling = Buffer.alloc(64 * 1024);
    let taken = 0;
    for (let sent = 0; sent < 200_000_000; ) {
      const chunk = sent < start.length ? start.subarray(sent, sent + filling.length) : filling;
      const error = await new Promise((resolve) => child.stdin.write(chunk, resolve));
      if (error) break;
      sent += chunk.length;
      taken = sent;
    }
    expect(await closed).toEqual([65, null]);
    expect(codeOf({ stderr: Buffer.concat(stderr).toString() })).toBe("name-mismatch");
    expect(taken).toBeLessThan(1024 * 1024);
  });
});
