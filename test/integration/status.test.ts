import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { subkeysOnly } from "../../src/keys/key-export.ts";
import { generateKey } from "../../src/keys/key-generation.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { parseExposition } from "../support/exposition.ts";
import { startLogHost } from "../support/log-host-over-ssh.ts";
import {
  makeSigningHost,
  outcome,
  rule,
  SIGNER,
  type SigningHostUnderTest,
} from "../support/signing-host.ts";
import { type SigningServiceUnderTest, startSigningService, waitFor } from "../support/signing-service.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });
const RULES = rule({ id: "repos-db", type: "db", limits: ["5 per day", "2 per month"] });

interface Status {
  readonly status: number | undefined;
  readonly text: string;
  /** What `--json` says. */
  readonly json: Readonly<Record<string, never>>;
}

async function statusOf(host: SigningHostUnderTest): Promise<Status> {
  const text = await host.signer(["status"]);
  const json = await host.signer(["status", "--json"]);
  expect([text.stderr, json.stderr, json.status]).toEqual(["", "", text.status]);
  return { status: text.status, text: text.stdout.toString(), json: JSON.parse(json.stdout.toString()) };
}

/** A service whose metrics are in a folder of their own. */
async function startWithMetrics(): Promise<{ service: SigningServiceUnderTest; file: string }> {
  const file = join(await tempDir(cleanup), "signer.prom");
  const settings = { rules: RULES, service: `metrics = ${JSON.stringify(file)}` };
  return { service: await startSigningService(cleanup, settings), file };
}

const read = (file: string) => parseExposition(readFileSync(file, "utf8"));

/** Has the service read its configuration again, upon which it writes its metrics, and waits until there are some like these. */
async function metricsLike(service: SigningServiceUnderTest, file: string, wanted: string): Promise<void> {
  await service.signal("SIGHUP", /read again|nothing was changed/);
  await waitFor(() => existsSync(file) && readFileSync(file, "utf8").includes(wanted));
}

async function expire(host: SigningHostUnderTest): Promise<void> {
  const key = await generateKey({
    userId: "Repository signing key <signer@signer.example.org>",
    now: new Date("2020-01-01T00:00:00Z"),
    expires: new Date("2021-01-01T00:00:00Z"),
  });
  writeFileSync(host.keyFile, await subkeysOnly(key.armoredSecretKey), { mode: 0o600 });
}

describe("a service that was asked for signatures", () => {
  test("has them in its metrics and in signer status, and in the metrics also when it has stopped", async () => {
    const { service, file } = await startWithMetrics();
    const { host } = service;
    for (const stdin of [database, database, Buffer.from("x"), Buffer.from("y")])
      await host.accept({ command: NAME, stdin });
    await metricsLike(service, file, 'outcome="not-recognised"} 2');
    const series = read(file);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    for (const [key, value] of [
      ['signer_requests_total{client="repos",outcome="answered"}', 2],
      ['signer_signatures_total{client="repos",kind="signed"}', 1],
      ['signer_signatures_total{client="repos",kind="reissued"}', 1],
      ['signer_request_duration_seconds_count{client="repos"}', 2],
      ['signer_limit_left{rule="repos-db",limit="5 per day"}', 4],
      ['signer_limit_left{rule="repos-db",limit="2 per month"}', 1],
      ["signer_log_entries", host.entries().length],
      ['signer_key_usable{key="repo"}', 1],
      ["signer_up", 1],
      ["signer_ready", 1],
    ] as const)
      expect([key, series.get(key)]).toEqual([key, value]);

    const { status, text, json } = await statusOf(host);
    expect(status).toBe(0);
    expect(text).toMatch(/^repos +4 +1 +1 +0 +0 +0$/m);
    expect(text).toMatch(/^not-recognised +repos +2$/m);
    expect(text).toMatch(/^repos-db +repos +5 per day +\[##\.+\] 4 left$/m);
    expect(text).toContain(`log      ${host.entries().length} entries, the last `);
    expect(json).toMatchObject({
      mode: "split",
      problems: [],
      service: {
        serving: true,
        clients: [
          { client: "repos", outcomes: { answered: 2, "not-recognised": 2 }, signed: 1, reissued: 1 },
        ],
      },
      rules: [{ limits: [{ left: 4 }, { left: 1 }] }],
    });

    expect(await service.stop()).toBe(0);
    expect(read(file).get("signer_up")).toBe(0);
    expect(read(file).get('signer_requests_total{client="repos",outcome="answered"}')).toBe(2);
    expect(existsSync(join(host.stateDirectory, "status.sock"))).toBe(false);
    const stopped = await statusOf(host);
    expect(stopped.status).toBe(69);
    expect(stopped.text).toMatch(/^service {2}none answers at \//m);
    expect(stopped.text).toMatch(/^repos-db +repos +5 per day +\[##\.+\] 4 left$/m);
    expect(stopped.json).toMatchObject({ problems: [{ code: "service-unavailable" }] });
  });

  test("takes its metrics to where the configuration says by now", async () => {
    const { service, file } = await startWithMetrics();
    const other = file.replace("signer.prom", "other.prom");
    const { configFile } = service.host;
    writeFileSync(configFile, readFileSync(configFile, "utf8").replace(file, other));
    await metricsLike(service, other, "signer_up 1");
    expect(existsSync(file)).toBe(false);
  });

  test("signs on where metrics cannot be written, and its journal has it once", async () => {
    const { service, file } = await startWithMetrics();
    await waitFor(() => existsSync(file));
    rmSync(dirname(file), { recursive: true });
    for (let i = 0; i < 3; i += 1) await service.signal("SIGHUP", /read again/);
    expect(outcome(await service.host.accept({ command: NAME, stdin: database }))).toBe("signed");
    const said = () => service.journal().filter(({ msg }) => String(msg).includes("metrics"));
    await waitFor(() => said().length > 0);
    mkdirSync(dirname(file));
    await metricsLike(service, file, "signer_up 1");
    await waitFor(() => said().length > 1);
    expect(await service.stop()).toBe(0);
    expect(said()).toMatchObject([
      { msg: "metrics cannot be written", err: { code: "ENOENT" } },
      { msg: "metrics are written again" },
    ]);
  });
});

describe("the status socket of a service", () => {
  test("is for its account alone, is nothing that signer check objects to, and outlives a killed service", async () => {
    const service = await startSigningService(cleanup, { rules: RULES });
    const { host } = service;
    const socket = join(host.stateDirectory, "status.sock");
    await waitFor(() => existsSync(socket));
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect((await host.signer(["check"])).stdout.toString()).not.toContain("status.sock");
    expect(await service.stop("SIGKILL")).toBe("SIGKILL");
    expect(existsSync(socket)).toBe(true);
    expect((await statusOf(host)).status).toBe(69);
    await service.restart();
    expect((await statusOf(host)).status).toBe(0);
  });

  test("is not harmed by a thousand connections that read nothing and say much", async () => {
    const service = await startSigningService(cleanup, { rules: RULES });
    const { host } = service;
    const path = join(host.stateDirectory, "status.sock");
    await waitFor(() => existsSync(path));
    const sockets = Array.from({ length: 1000 }, () => {
      const socket = connect(path);
      socket.on("error", () => undefined).pause();
      socket.write("GET / HTTP/1.1\r\n\r\n");
      return socket;
    });
    expect(outcome(await host.accept({ command: NAME, stdin: database }))).toBe("signed");
    expect((await statusOf(host)).status).toBe(0);
    for (const socket of sockets) socket.destroy();
    expect((await statusOf(host)).status).toBe(0);
    expect(await service.stop()).toBe(0);
  });
});

describe("a required remote log", () => {
  test("that cannot be reached is in the way of signing; one that can has all entries", async () => {
    const sender = join(await tempDir(cleanup), "sender.sock");
    const file = join(await tempDir(cleanup), "signer.prom");
    const service = await startSigningService(cleanup, {
      rules: RULES,
      service: `metrics = ${JSON.stringify(file)}`,
      settings: `sender = { socket = ${JSON.stringify(sender)} }`,
    });
    const { host } = service;
    await startLogHost(cleanup, host);
    await service.signal("SIGHUP", /read again/);
    expect(outcome(await host.accept({ command: NAME, stdin: database }))).toBe("remote-log-unavailable 69");
    const failing = await statusOf(host);
    expect(failing.status).toBe(69);
    expect(failing.json).toMatchObject({
      problems: [{ code: "remote-log-unavailable" }],
      remote_logs: [{ name: "loghost", required: true, connected: false, acknowledged: 0, failure: {} }],
    });
    expect(failing.text).toMatch(/^loghost +yes +0 +[1-9] +no$/m);

    const child = spawn(SIGNER, ["--config", host.configFile, "sender"], { stdio: "ignore" });
    cleanup.add(() => void child.kill());
    await waitFor(() => existsSync(sender));
    expect(outcome(await host.accept({ command: NAME, stdin: database }))).toBe("signed");
    const well = await statusOf(host);
    expect(well.status).toBe(0);
    const entries = host.entries().length;
    expect(well.json).toMatchObject({
      problems: [],
      remote_logs: [{ name: "loghost", connected: true, acknowledged: entries, unacknowledged: 0 }],
    });
    expect(well.text).toMatch(new RegExp(`^loghost +yes +${entries} +0 +yes$`, "m"));
    await metricsLike(service, file, 'signer_remote_log_failing{remote_log="loghost"} 0');
    expect(read(file).get('signer_remote_log_unacknowledged_entries{remote_log="loghost"}')).toBe(0);

    // Without a service, what was acknowledged is told from the log.
    await service.stop();
    expect((await statusOf(host)).json).toMatchObject({
      problems: [{ code: "service-unavailable" }],
      remote_logs: [{ name: "loghost", acknowledged: entries, unacknowledged: 0 }],
    });
  });
});

describe("signer status", () => {
  test("in standalone mode says that there is no service, what is left, and ends with 0", async () => {
    const host = await makeSigningHost(cleanup, { rules: RULES });
    await host.accept({ command: NAME, stdin: database });
    const { status, text, json } = await statusOf(host);
    expect(status).toBe(0);
    expect(text).toMatch(/^service {2}none in this mode/m);
    expect(text).toMatch(/^repos-db +repos +5 per day +\[##\.+\] 4 left$/m);
    expect(json).toMatchObject({ mode: "standalone", problems: [], log: { entries: host.entries().length } });
    expect(json).not.toHaveProperty("service");
  });

  test.each(["standalone", "split"])(
    "names a key that has expired, and ends with 69, in %s mode",
    async (mode) => {
      const service = mode === "split" ? await startSigningService(cleanup, { rules: RULES }) : undefined;
      const host = service?.host ?? (await makeSigningHost(cleanup, { rules: RULES }));
      await expire(host);
      await service?.signal("SIGHUP", /read again/);
      const { status, text, json } = await statusOf(host);
      expect(status).toBe(69);
      expect(text).toContain('SIGNING  key-unusable: key "repo": the key expired at 2021-01-01T00:00:00Z\n');
      expect(text).toMatch(/^repo +[0-9A-F]{40} +2021-01-01 +unusable$/m);
      expect(json).toMatchObject({
        problems: [{ code: "key-unusable" }],
        keys: [{ problem: { code: "key-unusable" } }],
      });
    },
  );

  test("says why signing was stopped, with a service and without", async () => {
    const service = await startSigningService(cleanup, { rules: RULES });
    const { host } = service;
    writeFileSync(join(host.stateDirectory, "halted"), "2026-11-23T12:00:00.000Z loghost has another log\n", {
      mode: 0o600,
    });
    const served = await statusOf(host);
    expect(served.status).toBe(69);
    expect(served.text).toMatch(
      /^SIGNING {2}log-broken: signing was stopped at \S+ loghost has\s+another log;/m,
    );
    expect(served.json).toMatchObject({ problems: [{ code: "log-broken" }] });
    await service.stop();
    expect((await statusOf(host)).json).toMatchObject({
      problems: [{ code: "service-unavailable" }, { code: "log-broken" }],
    });
  });

  test("says that there is no log, or not the one of this configuration", async () => {
    const host = await makeSigningHost(cleanup, { rules: RULES });
    const text = readFileSync(host.configFile, "utf8");
    writeFileSync(host.configFile, text.replace("signer.example.org/repo", "other.example.org/repo"));
    expect((await statusOf(host)).json).toMatchObject({ problems: [{ code: "bad-configuration" }] });
    writeFileSync(host.configFile, text.replace(host.stateDirectory, host.folder));
    const { status, json } = await statusOf(host);
    expect(status).toBe(69);
    expect(json).toMatchObject({ problems: [{ code: "no-state" }], rules: [{ id: "repos-db" }] });
  });

  test("changes nothing: it only looks", async () => {
    const host = await makeSigningHost(cleanup, { rules: RULES });
    const before = host.entries();
    await statusOf(host);
    expect(host.entries()).toEqual(before);
  });
});
