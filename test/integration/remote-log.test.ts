import { chmodSync, chownSync, cpSync, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startLogHost } from "../support/log-host-over-ssh.ts";
import { run } from "../support/run.ts";
import {
  makeSigningHost,
  outcome,
  readLog,
  rule,
  SIGNER_LOG,
  type SigningHostUnderTest,
} from "../support/signing-host.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const NAME = "core.db.tar.gz";
const bytes = buildDatabase({ packages: 1, kind: "db" });
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

describe("a required log host", () => {
  test("has a verified copy of the log, private records and all, before the signature is out", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startLogHost(cleanup, host);
    expect(await check(host)).toMatch(/^note +remote log +loghost holds 0 of 1 entries: signer-log push/);
    expect(outcome(await request(host))).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
    const { status, stdout } = await logHost.signerLog("show", "--private", "2");
    expect({ status, text: stdout.toString() }).toMatchObject({
      status: 0,
      text: expect.stringContaining("127.0.0.1"),
    });
    expect(await check(host)).toMatch(/^ok +remote log +loghost holds 3 of 3 entries, cosigned 20/);
    const verified = await signerLog(host, "verify");
    expect(verified.stderr).toBe("");
  });

  test("serves many requests at once", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startLogHost(cleanup, host, { timeout: "60 s" });
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, seed) => request(host, buildDatabase({ packages: 1, kind: "db", seed }))),
    );
    expect(all.map(outcome)).toEqual(all.map(() => "signed"));
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("that is not there when it is decided: 69, no entry, no place in a limit", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startLogHost(cleanup, host);
    await logHost.runs("echo 'no receiver' >&2; exit 78");
    const ended = await request(host);
    expect(outcome(ended)).toBe("remote-log-unavailable 69");
    expect(ended.stderr).toContain("the remote log loghost did not answer: it ended the connection");
    expect(ended.stderr).not.toMatch(/receiver|again/);
    expect(kinds(host)).toEqual(["started"]);
    expect(await check(host)).toMatch(
      /^ERROR +remote log +the remote log loghost did not answer: .*, port \d+\); it said "no receiver"$/,
    );
    await logHost.runs();
    expect(outcome(await request(host))).toBe("signed");
  });

  test.each([
    ["hangs", "exec cat >/dev/null"],
    // The whole session: nothing comes back over the connection any more, not even for its end.
    ["is frozen", "sshd=$PPID; (sleep 6; kill -CONT $sshd) & kill -STOP $sshd; cat >/dev/null"],
  ])("that %s: 69 after the timeout, and the process ends", async (_, command) => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startLogHost(cleanup, host, { timeout: "1 s" });
    await logHost.runs(command);
    const ended = await request(host);
    expect(outcome(ended)).toBe("remote-log-unavailable 69");
    expect(ended.stderr).toContain("timed out");
    expect(kinds(host)).toEqual(["started"]);
  });

  test("whose answer is lost after the commit: the entry stays on both, and the request again is answered", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startLogHost(cleanup, host);
    await logHost.runs("$RECEIVE | head -n 1");
    const ended = await request(host);
    expect(outcome(ended)).toBe("remote-log-unavailable 69");
    expect(ended.stderr).toMatch(
      /the remote log loghost did not answer: .*; the same request again gets the signature/,
    );
    expect(kinds(host)).toEqual(["started", "configured", "signed"]);
    await logHost.runs();
    expect(outcome(await request(host))).toBe("signed");
    expect(kinds(host)).toEqual(["started", "configured", "signed", "reissued"]);
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("that dies while it stores: the entry stays here, and both go on from there", async () => {
    const host = await makeSigningHost(cleanup, { rules: ONCE });
    const logHost = await startLogHost(cleanup, host);
    // In units of 512 bytes. The database can be opened; the append is more than a file may hold, and SIGXFSZ ends it.
    await logHost.runs("ulimit -f 80; exec $RECEIVE");
    expect(outcome(await request(host))).toBe("remote-log-unavailable 69");
    expect(kinds(host)).toEqual(["started", "configured", "signed"]);
    await logHost.runs();
    expect(outcome(await request(host))).toBe("signed");
    expect(kinds(host).at(-1)).toBe("reissued");
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });
});

describe("signer check", () => {
  test("finds the key of the log host open to others, of another owner, or missing", async () => {
    const host = await makeSigningHost(cleanup);
    const { keyFile } = await startLogHost(cleanup, host);
    chmodSync(keyFile, 0o640);
    expect(await check(host)).toMatch(
      /^ERROR +remote log +.* is open to others \(mode 0640\): chmod go= it$/m,
    );
    chmodSync(keyFile, 0o600);
    if (process.getuid?.() === 0) {
      chownSync(keyFile, 12345, 12345);
      expect(await check(host)).toMatch(
        /^ERROR +remote log +.* belongs to account 12345, who connects is 0/m,
      );
      chownSync(keyFile, 0, 0);
    }
    renameSync(keyFile, `${keyFile}.away`);
    expect(await check(host)).toMatch(/^ERROR +remote log +.* is missing$/m);
  });

  test("notices a copy that was put back to yesterday's; the next request fills it again", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startLogHost(cleanup, host);
    const kept = join(host.folder, "copy");
    cpSync(logHost.directory, kept, { recursive: true });
    expect(outcome(await request(host))).toBe("signed");
    rmSync(logHost.directory, { recursive: true });
    renameSync(kept, logHost.directory);
    expect(await check(host)).toMatch(
      /^WARNING +remote log +loghost holds 0 entries and once acknowledged 3:/,
    );
    expect(outcome(await request(host))).toBe("signed");
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });
});

describe("a log host that is not required", () => {
  test("keeps nothing back; push sends the backlog, and says what it could not send", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startLogHost(cleanup, host, { required: false });
    await logHost.runs("exit 1");
    expect(outcome(await request(host))).toBe("signed");
    const failed = await signerLog(host, "push");
    expect(failed.status).toBe(69);
    expect(failed.stdout.toString()).toMatch(/^loghost +0 +0 of 3 +- +FAILED$/m);
    expect(failed.stderr).toMatch(/^signer-log: remote-log-unavailable: the remote log loghost did not/);
    expect(await check(host)).toMatch(/^WARNING +remote log .*; it is not required/);
    await logHost.runs();
    const pushed = await signerLog(host, "push");
    expect({ ...pushed, stdout: pushed.stdout.toString() }).toMatchObject({
      status: 0,
      stderr: "",
      stdout: expect.stringMatching(/^loghost +3 +3 of 3 +20[-0-9]+T[0-9:]+Z$/m),
    });
    expect(readLog(logHost.directory)).toEqual(host.entries());
  });

  test("counts for as little beside one that is required", async () => {
    const host = await makeSigningHost(cleanup);
    const required = await startLogHost(cleanup, host, { name: "first" });
    const optional = await startLogHost(cleanup, host, { name: "second", required: false });
    await optional.runs("exit 1");
    expect(outcome(await request(host))).toBe("signed");
    expect(readLog(required.directory)).toEqual(host.entries());
    await required.runs("exit 1");
    await optional.runs();
    expect(outcome(await request(host))).toBe("remote-log-unavailable 69");
    expect(await signerLog(host, "push")).toMatchObject({ status: 69 });
    expect(readLog(optional.directory)).toEqual(host.entries());
  });
});

describe("a signing host whose log is not what it was", () => {
  /** Puts a copy of the state directory aside, and back again later. */
  async function backup(host: SigningHostUnderTest) {
    const kept = join(host.folder, "yesterday");
    cpSync(host.stateDirectory, kept, { recursive: true });
    chmodSync(kept, 0o700);
    return () => {
      rmSync(host.stateDirectory, { recursive: true });
      renameSync(kept, host.stateDirectory);
    };
  }

  test("an older copy of itself: nothing is signed, now and later, and the message names restore", async () => {
    const host = await makeSigningHost(cleanup);
    await startLogHost(cleanup, host);
    const restore = await backup(host);
    expect(outcome(await request(host))).toBe("signed");
    restore();
    expect(await check(host)).toMatch(/^ERROR +remote log .*signer-log restore/);
    const ended = await request(host);
    expect(outcome(ended)).toBe("log-broken 69");
    expect(ended.stderr).toContain("signer-log restore");
    expect(kinds(host)).toEqual(["started"]);
    expect(readFileSync(join(host.stateDirectory, "halted"), "utf8")).toContain("holds 3 of it");
    expect(outcome(await request(host))).toBe("log-broken 69");
    expect(await signerLog(host, "push")).toMatchObject({ status: 69 });
  });

  test("another history: signed while the log host was away, and found when it is back", async () => {
    const host = await makeSigningHost(cleanup);
    const logHost = await startLogHost(cleanup, host, { required: false });
    const restore = await backup(host);
    expect(outcome(await request(host))).toBe("signed");
    expect(readLog(logHost.directory)).toHaveLength(3);
    restore();
    await logHost.runs("exit 1");
    expect(outcome(await request(host, buildDatabase({ packages: 2, kind: "db" })))).toBe("signed");
    await logHost.runs();
    const pushed = await signerLog(host, "push");
    expect(pushed.status).toBe(69);
    expect(pushed.stderr).toMatch(/^signer-log: log-broken: .*two histories .*signer-log compare/);
    expect(existsSync(join(host.stateDirectory, "halted"))).toBe(true);
    expect(outcome(await request(host))).toBe("log-broken 69");
  });
});
