import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { makeSigningHost, outcome } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const stdin = buildDatabase({ packages: 1, kind: "db" });

test("the journal has a JSON line for each request and each fault, and the client sees none of it", async () => {
  const file = join(await tempDir(cleanup), "journal.jsonl");
  const host = await makeSigningHost(cleanup, { settings: `journal = "${file}"` });
  expect(outcome(await host.accept({ command: `--for alice ${NAME}`, stdin }))).toBe("signed");
  expect(outcome(await host.accept({ command: "\x1b[2J\nname", stdin }))).toBe("bad-request 64");
  chmodSync(host.keyFile, 0o644);
  expect(outcome(await host.accept({ command: NAME, stdin }))).toBe("key-unavailable 69");

  const text = readFileSync(file, "utf8");
  expect(text).toMatch(/^[\x20-\x7e\n]*$/);
  const lines = text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toMatchObject([
    {
      level: 30,
      client: "repos",
      name: NAME,
      rule: "any-db",
      seq: 2,
      msg: "signed",
      time: expect.any(String),
    },
    { level: 40, client: "repos", code: "bad-request", address: "127.0.0.1" },
    { level: 40, client: "repos", code: "key-unavailable", name: NAME },
    { level: 50, client: "repos", msg: "key-unavailable", err: { stack: expect.any(String) } },
  ]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(host.entries().length, "the log is not the journal").toBe(5);
});

test.runIf(process.geteuid?.() === 0)("root keeps none in another account's folder", async () => {
  const folder = await tempDir(cleanup);
  const file = join(folder, "journal.jsonl");
  const host = await makeSigningHost(cleanup, { settings: `journal = "${file}"` });
  chownSync(folder, 12345, 12345);
  expect(outcome(await host.accept({ command: NAME, stdin }))).toBe("signed");
  expect(existsSync(file)).toBe(false);
});

test("a journal that cannot be written keeps nothing from being signed", async () => {
  const folder = join(await tempDir(cleanup), "folder");
  mkdirSync(folder);
  for (const file of [folder, join(folder, "missing", "journal"), "/dev/full"]) {
    const host = await makeSigningHost(cleanup, { settings: `journal = "${file}"` });
    expect(outcome(await host.accept({ command: NAME, stdin })), file).toBe("signed");
  }
});
