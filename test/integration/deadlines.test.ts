import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import {
  collect,
  makeSigningHost,
  outcome,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
let ssh: SshSigner;
beforeAll(async () => {
  host = await makeSigningHost(cleanup, { settings: 'deadlines = { idle = "1 s" }' });
  ssh = await serveOverSsh(cleanup, host);
});
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });

describe("a client", () => {
  test("that sends nothing is cut off, its connection and process with it", async () => {
    const child = spawn("ssh", ["-F", ssh.clientConfig, "signer", NAME], { stdio: "pipe" });
    expect(outcome(await collect(child))).toBe("timed-out 75"); // ssh ends because the process did
    expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code: "timed-out", name: NAME });
  });

  test("that stops in the middle is cut off", async () => {
    const child = host.startAccept({ command: NAME });
    child.stdin.write(database.subarray(0, 100));
    const ended = await collect(child);
    expect(outcome(ended)).toBe("timed-out 75");
    expect(ended.stderr).toContain("byte");
  });

  test("that sends a byte now and then is cut off when it takes too long for the whole", async () => {
    const patient = await makeSigningHost(cleanup, { settings: 'deadlines = { total = "2 s" }' });
    const child = patient.startAccept({ command: NAME });
    child.stdin.on("error", () => undefined);
    let sent = 0;
    const drip = setInterval(() => child.stdin.write(database.subarray(sent, ++sent)), 200);
    const ended = await collect(child);
    clearInterval(drip);
    expect(outcome(ended)).toBe("timed-out 75");
    expect(ended.stderr).toContain("within");
  });

  test("that has sent all of it, and leaves its end open, is waited for until the deadline, and then refused", async () => {
    const child = host.startAccept({ command: NAME });
    child.stdin.write(database);
    expect(outcome(await collect(child))).toBe("timed-out 75");
    expect(host.requests().every(({ kind }) => kind === "refused")).toBe(true);
  });

  test("that goes on sending after it was refused does not keep the process", async () => {
    const child = host.startAccept({ command: NAME });
    child.stdin.on("error", () => undefined);
    const flood = setInterval(() => child.stdin.write("no database".repeat(1000)), 5);
    const ended = await collect(child);
    clearInterval(flood);
    expect(outcome(ended)).toBe("not-recognised 65");
  });

  test("that asks for something else than a signature need not end its input", async () => {
    for (const command of ["status", "key", "a b", "core.tar"]) {
      const ended = await collect(host.startAccept({ command }));
      expect(ended.status, command).not.toBe(75);
      expect(ended.status).not.toBe(undefined);
    }
  });
});
