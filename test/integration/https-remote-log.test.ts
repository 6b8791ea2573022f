import { cpSync, rmSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startHttpsLogHost } from "../support/log-host-over-https.ts";
import { run } from "../support/run.ts";
import { senderSetting, startSenderProcess } from "../support/sender.ts";
import {
  makeSigningHost,
  outcome,
  readLog,
  rule,
  SIGNER_LOG,
  type SigningHostUnderTest,
} from "../support/signing-host.ts";
import { startSigningService } from "../support/signing-service.ts";

// A signing host, nginx with the shipped configuration, and signer-log receive --http, each in a process of its own.

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const bytes = buildDatabase({ packages: 1, kind: "db" });
const database = (seed: number) => buildDatabase({ packages: 1, kind: "db", seed });
const ONCE = rule({ id: "once", type: "db", limits: ["1 per 90 days"] });

const request = (host: SigningHostUnderTest, stdin: Uint8Array = bytes) =>
  host.accept({ command: NAME, stdin });
const kinds = (host: SigningHostUnderTest) => host.entries().map(({ kind }) => kind);
const signerLog = (host: SigningHostUnderTest, ...args: readonly string[]) =>
  run(SIGNER_LOG, ["--config", host.configFile, ...args]);
/** What `signer check` says of remote logs. */
async function check(host: SigningHostUnderTest): Promise<string> {
  const { stdout } = await host.signer(["check", "--sshd-config", "/nonexistent"]);
  return (stdout.toString().match(/^\w+ +remote log .*$/gm) ?? []).join("\n");
}
const edit = async (host: SigningHostUnderTest, from: string, to: string) => {
  const text = await readFile(host.configFile, "utf8");
  expect(text).toContain(from);
  await writeFile(host.configFile, text.replace(from, to));
};

describe("a required log host behind nginx", () => {
  test("has a verified copy of the log before the signature is out, and is served as one over SSH is", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startHttpsLogHost(cleanup, host);
    expect(await check(host)).toMatch(
      /^WARN\w* +remote log +loghost: .*certificate-1\.pem is valid until .*\nnote +remote log +loghost holds 0 of 1 entries: signer-log push/m,
    );
    const pushed = await signerLog(host, "push");
    expect(pushed.stdout.toString()).toMatch(/^loghost +1 +1 of 1 +20/m);
    expect(outcome(await request(host))).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
    expect(await check(host)).toMatch(/^ok +remote log +loghost holds 3 of 3 entries, cosigned 20/m);
    const status = JSON.parse((await host.signer(["status", "--json"])).stdout.toString());
    expect(status.remote_logs).toMatchObject([
      { name: "loghost", required: true, acknowledged: 3, unacknowledged: 0 },
    ]);
    const compared = await signerLog(host, "compare", "loghost");
    expect(compared).toMatchObject({ status: 0, stderr: "" });
    expect(logHost.said()).toContain('signer-log: receive: "CN=enclave": connected');
    const [answer] = (await logHost.nginx.requests()).filter(({ status }) => status === 101);
    expect(answer).toMatchObject({ method: "GET", uri: "/signer/log" });
    if (userInfo().uid === 0) expect(statSync(logHost.socket).mode & 0o777).toBe(0o660);
  });

  test("gives the log back to a host that has lost it; a copy at hand does as well", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startHttpsLogHost(cleanup, host);
    expect(outcome(await request(host))).toBe("signed");
    const key = join(host.folder, "log.key");
    cpSync(join(host.stateDirectory, "log.key"), key);
    for (const from of [
      ["--from", "loghost"],
      ["--copy", logHost.directory],
    ]) {
      const before = host.entries();
      rmSync(host.stateDirectory, { recursive: true });
      const restored = await signerLog(host, "restore", ...from, "--log-key", key);
      expect(restored.stderr).toBe("");
      expect(host.entries().slice(0, before.length)).toEqual(before);
      expect((await signerLog(host, "push")).status).toBe(0);
    }
    expect(outcome(await request(host, database(1)))).toBe("signed");
  });

  test("serves many requests at once, each of a process of its own", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startHttpsLogHost(cleanup, host, { timeout: "60 s" });
    const all = await Promise.all(Array.from({ length: 6 }, (_, seed) => request(host, database(seed))));
    expect(all.map(outcome)).toEqual(all.map(() => "signed"));
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("whose receiver is gone: 69, nothing leaves, no place in a limit is taken; back again, it goes on", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startHttpsLogHost(cleanup, host);
    expect(await logHost.stop()).toBe(0);
    const ended = await request(host);
    expect(outcome(ended)).toBe("remote-log-unavailable 69");
    expect(ended.stderr).toContain(
      `the remote log loghost at 127.0.0.1:${logHost.nginx.port} answers 502: signer-log receive --http does not run there, or nginx may not connect to its socket`,
    );
    expect(kinds(host)).toEqual(["started"]);
    expect(await check(host)).toMatch(
      /^ERROR +remote log .* answers 502: .* \(https:\/\/127\.0\.0\.1:\d+\/signer\/log\)$/m,
    );
    await logHost.start();
    expect(outcome(await request(host))).toBe("signed");
    await logHost.stop("SIGKILL"); // leaves its socket behind
    await logHost.start();
    expect(outcome(await request(host))).toBe("signed");
    expect(kinds(host).at(-1)).toBe("reissued");
  });

  test("whose nginx is gone, or which does not know the certificate: 69, and the line says what to look at", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startHttpsLogHost(cleanup, host);
    const { port } = logHost.nginx;
    const says = async () => {
      const ended = await request(host, database(7));
      expect(outcome(ended)).toBe("remote-log-unavailable 69");
      return ended.stderr;
    };
    const other = await logHost.authority.issue({ usage: "client", commonName: "other" });
    await edit(host, logHost.certificate.certificateFile, other.certificateFile);
    await edit(host, logHost.certificate.keyFile, other.keyFile);
    expect(await says()).toContain(
      "answers 403: this host's certificate is not one of those that its configuration names for the log",
    );
    const server = await logHost.authority.issue({ usage: "server", commonName: "enclave" });
    await edit(host, other.certificateFile, server.certificateFile);
    await edit(host, other.keyFile, server.keyFile);
    expect(await says()).toContain("does not accept this host's certificate (400)");
    await edit(host, server.certificateFile, logHost.certificate.certificateFile);
    await edit(host, server.keyFile, logHost.certificate.keyFile);
    await edit(host, '/signer"', '/elsewhere"');
    expect(await says()).toContain("answers 404: there is no log host at this url");
    await edit(host, '/elsewhere"', '/signer"');
    await logHost.nginx.stop();
    expect(await says()).toContain(`the remote log loghost at 127.0.0.1:${port} does not listen`);
    await logHost.nginx.start();
    expect(outcome(await request(host, database(7)))).toBe("signed");
  });
});

test("a log host behind nginx that is not required holds nothing up, and gets what it lacks by push", async () => {
  const host = await makeSigningHost(cleanup);
  const logHost = await startHttpsLogHost(cleanup, host, { required: false });
  await logHost.stop();
  expect(outcome(await request(host))).toBe("signed");
  expect(await check(host)).toMatch(/^WARN\w* +remote log .* answers 502/m);
  await logHost.start();
  expect((await signerLog(host, "push")).status).toBe(0);
  expect(readLog(logHost.directory)).toEqual(host.entries());
});

describe("in split mode, through the sender", () => {
  test("one connection is kept; nginx and receiver may restart in between, and a signature waits for both", async () => {
    const setting = await senderSetting(cleanup);
    const service = await startSigningService(cleanup, { settings: setting.toml });
    const { host } = service;
    await service.stop();
    const logHost = await startHttpsLogHost(cleanup, host);
    const sender = await startSenderProcess(cleanup, host.configFile);
    await service.restart();
    for (const seed of [1, 2, 3]) expect(outcome(await request(host, database(seed)))).toBe("signed");
    const connections = () => logHost.said().filter((line) => line.endsWith(": connected")).length;
    expect(connections()).toBe(1);
    expect(readLog(logHost.directory)).toEqual(host.entries());
    await logHost.nginx.stop();
    await logHost.nginx.start();
    expect(outcome(await request(host, database(4)))).toBe("signed");
    expect(connections()).toBe(2);
    await logHost.stop();
    await logHost.start();
    expect(outcome(await request(host, database(5)))).toBe("signed");
    await logHost.stop();
    const ended = await request(host, database(6));
    expect(outcome(ended)).toBe("remote-log-unavailable 69");
    expect(sender.said().join("\n")).toContain("answers 502: signer-log receive --http does not run there");
    expect(host.entries().filter(({ kind }) => kind === "signed")).toHaveLength(5);
    await logHost.start();
    expect(outcome(await request(host, database(6)))).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });
});
