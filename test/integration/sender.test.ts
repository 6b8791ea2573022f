import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { type CanonicalValue, encodeCanonicalJson } from "../../src/log/canonical-json.ts";
import { makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type LogHostUnderTest, startLogHost } from "../support/log-host-over-ssh.ts";
import { startRsyslog } from "../support/rsyslog.ts";
import { run } from "../support/run.ts";
import { type SenderProcess, senderSetting, startSenderProcess } from "../support/sender.ts";
import {
  ANY_RULES,
  makeSigningHost,
  outcome,
  readLog,
  SIGNER,
  type SigningHostUnderTest,
} from "../support/signing-host.ts";
import { connectTo, type SigningServiceUnderTest, startSigningService } from "../support/signing-service.ts";

// Split mode, whole: relay, signing service, sender, sshd and receiver, each a process of its own.

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const offer = (host: SigningHostUnderTest, seed: number) =>
  host.accept({ command: "core.db.tar.gz", stdin: buildDatabase({ packages: 1, kind: "db", seed }) });

interface Scene {
  readonly service: SigningServiceUnderTest;
  readonly host: SigningHostUnderTest;
  readonly logHost: LogHostUnderTest;
  readonly sender: SenderProcess;
  readonly socket: string;
  /** How often the forced command of the log host was started. */
  connections(): number;
  /** Ends the receiver that runs now. */
  killReceiver(): Promise<void>;
}

/** A signing service with one log host, and the sender between them. */
async function scene(
  options: { readonly required?: boolean; readonly timeout?: string } = {},
): Promise<Scene> {
  const { path: socket, toml } = await senderSetting(cleanup);
  const service = await startSigningService(cleanup, { settings: toml });
  const { host } = service;
  const logHost = await startLogHost(cleanup, host, options);
  const starts = join(host.folder, "starts");
  await logHost.runs(`echo $$ >> ${starts}; exec $RECEIVE`);
  const sender = await startSenderProcess(cleanup, host.configFile);
  await service.signal("SIGHUP", /was read again/);
  const pids = () => (existsSync(starts) ? readFileSync(starts, "utf8").trim().split("\n") : []);
  return {
    service,
    host,
    logHost,
    sender,
    socket,
    connections: () => pids().length,
    killReceiver: async () => {
      const pid = pids().at(-1);
      process.kill(Number(pid), "SIGKILL");
      await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    },
  };
}

/** Sockets of a process that are none of the Unix kind (proc(5)). */
function networkSockets(pid: number | undefined): readonly string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .filter((line) => inodes.has(line.trim().split(/\s+/)[9] ?? "")),
  );
}

describe("a signing service", () => {
  test("has each entry cosigned through the sender, over one connection that stays", async () => {
    const { host, service, logHost, sender, connections } = await scene();
    for (let seed = 0; seed < 5; seed++) expect(outcome(await offer(host, seed))).toBe("signed");
    const all = await Promise.all(Array.from({ length: 10 }, (_, seed) => offer(host, 10 + seed)));
    expect(all.map(outcome)).toEqual(all.map(() => "signed"));
    expect(readLog(logHost.directory)).toEqual(host.entries());
    expect(connections()).toBe(1);
    const verified = await logHost.signerLog("show", "--private", "2");
    expect(verified.stdout.toString()).toContain("127.0.0.1");

    // The process with the key has no socket but Unix ones; the sender has the one to the log host.
    expect(networkSockets(service.process.pid)).toEqual([]);
    expect(networkSockets(sender.process.pid)).toHaveLength(1);
  });

  test("signs again after the log host's end of the connection was killed", async () => {
    const { host, logHost, connections, killReceiver } = await scene();
    expect(outcome(await offer(host, 1))).toBe("signed");
    for (let round = 2; round < 5; round++) {
      await killReceiver();
      await expect.poll(async () => outcome(await offer(host, round)), { timeout: 20_000 }).toBe("signed");
      expect(connections()).toBe(round);
    }
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("signs nothing while the log host is away, and goes on when it is back", async () => {
    const { host, logHost, killReceiver } = await scene({ timeout: "3 s" });
    expect(outcome(await offer(host, 1))).toBe("signed");
    await logHost.runs("exit 1");
    await killReceiver();
    await expect.poll(async () => outcome(await offer(host, 2))).toBe("remote-log-unavailable 69");
    const before = host.requests().length;
    expect(outcome(await offer(host, 3))).toBe("remote-log-unavailable 69");
    expect(host.requests()).toHaveLength(before); // it was known before anything was signed
    await logHost.runs();
    await expect.poll(async () => outcome(await offer(host, 3)), { timeout: 20_000 }).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("signs nothing while the sender is away, and goes on when it is back", async () => {
    const { host, logHost, sender } = await scene({ timeout: "3 s" });
    expect(outcome(await offer(host, 1))).toBe("signed");
    expect(await sender.stop("SIGKILL")).toBe("SIGKILL");
    const refused = await offer(host, 2);
    expect(outcome(refused)).toBe("remote-log-unavailable 69");
    expect(refused.stderr).toContain("the sender process cannot be reached");
    await startSenderProcess(cleanup, host.configFile); // in place of the socket that was left
    await expect.poll(async () => outcome(await offer(host, 2)), { timeout: 20_000 }).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("whose sender hangs gives up after the timeout, and goes on when it answers again", async () => {
    const { host, sender } = await scene({ timeout: "2 s" });
    expect(outcome(await offer(host, 1))).toBe("signed");
    sender.process.kill("SIGSTOP");
    const ended = await Promise.all([offer(host, 2), offer(host, 3)]);
    expect(ended.map(outcome)).toEqual(["remote-log-unavailable 69", "remote-log-unavailable 69"]);
    sender.process.kill("SIGCONT");
    await expect.poll(async () => outcome(await offer(host, 4)), { timeout: 20_000 }).toBe("signed");
  });

  test("waits for no remote log that is not required, and sends it the rest when it is back, unasked", async () => {
    const { host, service, logHost, killReceiver, connections } = await scene({ required: false });
    expect(outcome(await offer(host, 1))).toBe("signed");
    await expect.poll(connections).toBe(1);
    await logHost.runs("exit 1");
    await killReceiver();
    for (let seed = 2; seed < 6; seed++) expect(outcome(await offer(host, seed))).toBe("signed");
    await expect
      .poll(() => service.journal().some(({ remote_log }) => remote_log === "loghost"), { timeout: 20_000 })
      .toBe(true);
    await logHost.runs();
    await expect
      .poll(() => readLog(logHost.directory).length, { timeout: 60_000, interval: 500 })
      .toBe(host.entries().length);
  });

  test("sends every entry to a syslog collector through the sender", async () => {
    const authority = await makeAuthority(cleanup);
    const certificate = await authority.issue();
    const collector = await startRsyslog(cleanup, { ...certificate, caFile: authority.caFile });
    const { toml } = await senderSetting(cleanup);
    const siem = `[[remote_log]]
type = "syslog"
name = "siem"
host = "localhost"
port = ${collector.port}
ca = "${authority.caFile}"
`;
    const service = await startSigningService(cleanup, { settings: toml, rules: `${ANY_RULES}${siem}` });
    const { host } = service;
    await startSenderProcess(cleanup, host.configFile);
    for (let seed = 0; seed < 4; seed++) expect(outcome(await offer(host, seed))).toBe("signed");
    const lines = host.entries().map((entry) => encodeCanonicalJson(entry as unknown as CanonicalValue));
    await expect
      .poll(
        async () => {
          const texts = await collector.texts();
          return texts.filter((text) => !text.startsWith('{"checkpoint"'));
        },
        { timeout: 90_000, interval: 500 },
      )
      .toEqual(lines);
    expect(networkSockets(service.process.pid)).toEqual([]);
  });
});

describe("signer sender", () => {
  test("listens where only its owner gets in, and takes SIGTERM for an end", async () => {
    const { path, toml } = await senderSetting(cleanup);
    const host = await makeSigningHost(cleanup, { settings: toml });
    const sender = await startSenderProcess(cleanup, host.configFile);
    expect((statSync(path).mode & 0o777).toString(8)).toBe("600");
    expect(await sender.stop()).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test("gives its socket to the group that is configured, and listens where the command line says", async () => {
    const gid = process.getuid?.() === 0 ? 12_345 : (process.getgid?.() ?? 0);
    const { path } = await senderSetting(cleanup);
    const host = await makeSigningHost(cleanup, { settings: `sender = { group = "${gid}" }` });
    await startSenderProcess(cleanup, host.configFile, ["--socket", path]);
    expect(statSync(path)).toMatchObject({ gid });
    expect((statSync(path).mode & 0o777).toString(8)).toBe("660");
  });

  test("does not take the place of one that runs", async () => {
    const { toml } = await senderSetting(cleanup);
    const host = await makeSigningHost(cleanup, { settings: toml });
    const sender = await startSenderProcess(cleanup, host.configFile);
    const second = await run(SIGNER, ["--config", host.configFile, "sender"]);
    expect(second.status).toBe(78);
    expect(second.stderr).toMatch(
      /^signer: bad-configuration: .*sender\.sock is a socket that something answers/,
    );
    expect(await sender.stop()).toBe(0);
  });

  test("takes the configuration anew with SIGHUP, unless it is wrong", async () => {
    const { toml } = await senderSetting(cleanup);
    const host = await makeSigningHost(cleanup, { settings: toml });
    const sender = await startSenderProcess(cleanup, host.configFile);
    const before = await readFile(host.configFile, "utf8");
    await writeFile(host.configFile, `${before}\nnonsense = 1\n`);
    sender.process.kill("SIGHUP");
    await expect
      .poll(() => sender.said().at(-1))
      .toMatch(/nothing was changed: the configuration has one mistake/);
    await writeFile(host.configFile, before);
    sender.process.kill("SIGHUP");
    await expect.poll(() => sender.said().at(-1)).toMatch(/was read again/);
  });

  test("goes on where nobody reads what it says", async () => {
    const { toml, path } = await senderSetting(cleanup);
    const host = await makeSigningHost(cleanup, { settings: toml });
    const sender = await startSenderProcess(cleanup, host.configFile);
    sender.process.stderr?.destroy();
    sender.process.kill("SIGHUP");
    await delay(1000);
    expect(sender.process.exitCode).toBeNull();
    (await connectTo(path)).destroy();
    expect(await sender.stop()).toBe(0);
  });

  test("takes its socket from systemd, under its name alone", async () => {
    const host = await makeSigningHost(cleanup);
    for (const [name, expected] of [
      ["sender", "signer: sender: ready for no remote log"],
      ["other", "signer: bad-configuration: expected FileDescriptorName=sender in the socket unit"],
    ]) {
      const socket = join(host.folder, `${name}.sock`);
      const args = ["--listen", socket, `--fdname=${name}`, SIGNER, "--config", host.configFile, "sender"];
      const child = spawn("systemd-socket-activate", args, { stdio: ["ignore", "ignore", "pipe"] });
      cleanup.add(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        child.kill("SIGTERM");
        await once(child, "exit");
      });
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      await expect.poll(() => existsSync(socket)).toBe(true);
      const client = connect(socket, () => client.write("nonsense\n"));
      client.on("error", () => undefined);
      cleanup.add(() => client.destroy());
      await expect.poll(() => said, { timeout: 10_000 }).toContain(expected ?? "");
    }
  });
});
