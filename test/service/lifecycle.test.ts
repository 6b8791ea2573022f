import { once } from "node:events";
import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { encodeFrame, encodePieces } from "../../src/service/frame.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { run } from "../support/run.ts";
import { codeOf, outcome, rule } from "../support/signing-host.ts";
import { type SigningServiceUnderTest, startSigningService, waitFor } from "../support/signing-service.ts";
import { tarArchive } from "../support/tar-fixture.ts";
import { ask, requestFrame, TestRelay } from "./conversation.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });
const SIGNED = ["proceed", "output", "answered", "closed"];

/** A request whose last byte is still to come. */
async function begin(service: SigningServiceUnderTest): Promise<TestRelay> {
  const relay = await TestRelay.connect(service.socket());
  relay.send(requestFrame(NAME));
  await relay.until("proceed");
  relay.send(encodeFrame("data", database.subarray(0, -1)));
  return relay;
}

function finish(relay: TestRelay): void {
  relay.send(encodeFrame("data", database.subarray(-1)), encodeFrame("end-of-data"));
}

function edit({ host }: SigningServiceUnderTest, change: (text: string) => string): void {
  writeFileSync(host.configFile, change(readFileSync(host.configFile, "utf8")));
}

describe("the forced command in split mode", () => {
  test("answers as in standalone mode: a signature, a batch, the key, the status, a refusal", async () => {
    const { host } = await startSigningService(cleanup, { rules: rule({ id: "once", type: "db" }) });
    const signed = await host.accept({ command: NAME, stdin: database });
    expect(outcome(signed)).toBe("signed");
    const [entry] = host.requests();
    expect(entry).toMatchObject({ kind: "signed", signature: signed.stdout.toString("base64") });
    const archive = tarArchive([
      { name: NAME, content: database },
      { name: "not-a-database", content: Buffer.from("x") },
    ]);
    const batch = await host.accept({ command: "batch", stdin: archive });
    expect(codeOf(batch)).toBe("not-recognised");
    expect(batch.stdout.includes(signed.stdout)).toBe(true);
    expect((await host.accept({ command: "key" })).stdout.toString()).toBe(await host.publicKey());
    expect((await host.accept({ command: "status" })).stdout.toString()).toContain("once: db");
    expect(outcome(await host.accept({ command: NAME, stdin: Buffer.from("x") }))).toBe("not-recognised 65");
    expect(outcome(await host.accept({ command: "rm -rf /" }))).toBe("bad-request 64");
    expect(outcome(await host.accept({ command: NAME, client: "stranger" }))).toBe("service-unavailable 69");
  });

  test("says that the service is not there, and has nothing on stdout but a broken end of a batch", async () => {
    const service = await startSigningService(cleanup);
    expect(await service.stop()).toBe(0);
    expect(existsSync(service.socket())).toBe(false);
    const { host } = service;
    expect(outcome(await host.accept({ command: NAME, stdin: database }))).toBe("service-unavailable 69");
    const batch = await host.accept({ command: "batch", stdin: tarArchive([]) });
    expect(batch.status).toBe(69);
    expect((await run("bsdtar", ["-tf", "-"], { stdin: batch.stdout })).status).not.toBe(0);
  });
});

describe("SIGHUP", () => {
  test("brings new rules, clients and bounds, while a request goes on under the old ones", async () => {
    const service = await startSigningService(cleanup);
    const relay = await begin(service);
    edit(service, (text) =>
      text.replace(/\[\[rules\]\].*$/s, rule({ id: "releng-db", client: "releng", type: "db" })),
    );
    await service.signal("SIGHUP", /read again/);
    expect((await ask(service.socket("releng"), NAME, database)).words).toEqual(SIGNED);
    finish(relay);
    expect((await relay.heard()).words).toEqual(SIGNED);
    expect(service.host.requests()).toMatchObject([
      { client: "releng", rule: "releng-db" },
      { client: "repos", rule: "any-db" },
    ]);
    await waitFor(() => !existsSync(service.socket("repos")));
    expect(service.host.entries().filter(({ kind }) => kind === "configured")).not.toHaveLength(0);
  });

  test.each<[string, (text: string) => string]>([
    ["a mistake in it", (text) => text.replace('type = "db"', 'type = "exe"')],
    ["another log's origin", (text) => text.replace("signer.example.org/repo", "signer.example.org/other")],
    ["another journal", (text) => text.replace(/journal = .*/, 'journal = "/var/log/other.jsonl"')],
    ["another folder for sockets", (text) => text.replace(/sockets = "[^"]*"/, 'sockets = "/run/other"')],
    [
      "another group for a socket",
      (text) => text.replace("service = {", 'service = { groups = { repos = "0" },'),
    ],
    ["another sender", (text) => `sender = { socket = "/run/other.sock" }\n${text}`],
    ["another mode", (text) => text.replace('"split"', '"standalone"')],
    ["a key that is not there", (text) => text.replace("repo.key", "other.key")],
    [
      "a group that is not there",
      (text) =>
        text
          .replace("service = {", 'service = { groups = { releng = "no-such-group" },')
          .concat(rule({ id: "r", client: "releng", type: "db" })),
    ],
  ])("changes nothing where the configuration has %s, and the journal says so", async (_, change) => {
    const service = await startSigningService(cleanup);
    edit(service, change);
    await service.signal("SIGHUP", /nothing was changed/);
    expect((await ask(service.socket(), NAME, database)).words).toEqual(SIGNED);
    expect(existsSync(service.socket("releng"))).toBe(false);
    expect(await service.stop()).toBe(0);
  });
});

test("where the journal was moved away, SIGHUP begins a new one", async () => {
  const service = await startSigningService(cleanup);
  const [, file = ""] = /journal = "(.*)"/.exec(readFileSync(service.host.configFile, "utf8")) ?? [];
  renameSync(file, `${file}.1`);
  service.process.kill("SIGHUP");
  await waitFor(() => service.journal().some(({ msg }) => /read again/.test(String(msg))));
  expect((await ask(service.socket(), NAME, database)).words).toEqual(SIGNED);
  expect(service.journal().at(-1)).toMatchObject({ msg: "signed", client: "repos" });
});

describe("SIGTERM", () => {
  test("lets a request come to its end that has begun, and takes no other", async () => {
    const service = await startSigningService(cleanup);
    const relay = await begin(service);
    const stopped = service.stop();
    await waitFor(() => !existsSync(service.socket()));
    finish(relay);
    expect((await relay.heard()).words).toEqual(SIGNED);
    expect(await stopped).toBe(0);
  });

  test("does not wait long for who leaves its signatures unread", async () => {
    const service = await startSigningService(cleanup);
    const relay = await TestRelay.connect(service.socket());
    relay.send(requestFrame("batch"));
    await relay.until("proceed");
    relay.socket.pause();
    const files = Array.from({ length: 300 }, (_, seed) => ({
      name: `${seed}.db.tar.gz`,
      content: buildDatabase({ packages: 1, kind: "db", seed }),
    }));
    relay.send(encodePieces("data", tarArchive(files)), encodeFrame("end-of-data"));
    for (let last = -1, now = 0; last < now; last = now, now = service.host.requests().length)
      await delay(1000); // until the socket is full
    const began = performance.now();
    expect(await service.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(15_000); // a request has 30 s to be read
    relay.socket.destroy();
  });

  test("refuses after a while what does not come to its end, and nothing of it is signed", async () => {
    const service = await startSigningService(cleanup, {
      service: "max_active = 1, max_connections = 3",
    });
    const silent = await TestRelay.connect(service.socket());
    const stalled = await begin(service);
    const waiting = await TestRelay.connect(service.socket());
    waiting.send(requestFrame(NAME));
    // Who is served behind it was let in before it: the service has all three by now.
    const turnedAway = await TestRelay.connect(service.socket());
    expect((await turnedAway.heard()).words).toEqual(["busy", "closed"]);
    const stopped = service.stop();
    expect((await stalled.heard()).words).toEqual(["proceed", "busy", "closed"]);
    expect((await waiting.heard()).words).toEqual(["busy", "closed"]);
    expect((await silent.heard()).words).toEqual(["busy", "closed"]);
    expect(await stopped).toBe(0);
    expect(service.host.requests().filter(({ kind }) => kind === "signed")).toEqual([]);
  });

  test("and a start after it: limits and signatures are as before", async () => {
    const service = await startSigningService(cleanup, {
      rules: rule({ id: "once", type: "db", limits: ["1 per day"] }),
    });
    const first = await ask(service.socket(), NAME, database);
    await service.stop();
    await service.restart();
    expect((await ask(service.socket(), NAME, database)).output).toEqual(first.output);
    const other = buildDatabase({ packages: 2, kind: "db" });
    expect((await ask(service.socket(), NAME, other)).words).toContain("over-limit");
  });
});

test("a second service on the same sockets does not start, and the first one goes on", async () => {
  const service = await startSigningService(cleanup);
  const second = await service.host.signer(["serve"]);
  expect(codeOf(second)).toBe("bad-configuration");
  expect((await ask(service.socket(), NAME, database)).words).toEqual(SIGNED);
});

test("a commit that fails ends the service: it could sign nothing more, and its next start can", async () => {
  const service = await startSigningService(cleanup);
  const log = join(service.host.stateDirectory, "log.db");
  copyFileSync(log, `${log}.new`);
  renameSync(`${log}.new`, log); // as on a full disk, no commit is possible
  const ended = once(service.process, "exit");
  expect((await ask(service.socket(), NAME, database)).words).toEqual([
    "proceed",
    "log-not-durable",
    "closed",
  ]);
  expect(await ended).toEqual([74, null]);
  expect(service.journal().map(({ code }) => code)).toContain("log-not-durable");
  await service.restart();
  expect((await ask(service.socket(), NAME, database)).words).toEqual(SIGNED);
});

test("a configuration of standalone mode is not served", async () => {
  const service = await startSigningService(cleanup);
  await service.stop();
  edit(service, (text) => text.replace('mode = "split"', 'mode = "standalone"'));
  const ended = await service.host.signer(["serve"]);
  expect([codeOf(ended), ended.status]).toEqual(["bad-configuration", 78]);
});

test("the process that signs can start no program, and reads and writes no file but its own", async () => {
  const service = await startSigningService(cleanup);
  const commandLine = readFileSync(`/proc/${service.process.pid}/cmdline`, "utf8").split("\0");
  const script = commandLine.findIndex((word) => word.endsWith("signer.cjs"));
  const [node = "", ...flags] = commandLine.slice(0, script);
  expect(flags).toContain("--permission");
  const attempts = `
    const attempt = (work) => { try { work(); return "done"; } catch (error) { return error.code; } };
    const fs = require("node:fs");
    console.log([
      attempt(() => fs.readFileSync(${JSON.stringify(service.host.configFile)})),
      attempt(() => fs.readFileSync("/etc/passwd")),
      attempt(() => fs.writeFileSync(${JSON.stringify(service.host.configFile)}, "")),
      attempt(() => fs.writeFileSync("/tmp/x", "")),
      attempt(() => require("node:child_process").execFileSync("/bin/true")),
      attempt(() => process.dlopen({ exports: {} }, "/x.node")),
    ].join(" "));`;
  const { stdout } = await run(node, [...flags, "-e", attempts]);
  const denied = "ERR_ACCESS_DENIED";
  expect(stdout.toString().trim()).toBe(
    ["done", denied, denied, denied, denied, "ERR_DLOPEN_DISABLED"].join(" "),
  );
});
