import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { LogCopy } from "../../../src/log/copy/log-copy.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { entryMessages } from "../../../src/log/remote/entry-messages.ts";
import { encodeMessage, type Message, parseMessage } from "../../../src/log/remote/message.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { run } from "../../support/run.ts";
import { hasStrace } from "../../support/strace.ts";
import { freshDirectory } from "../fixture.ts";
import { appendOf, copyVerdict, sampleLog, WITNESS_NAME } from "./fixture.ts";

/** The real program, built by the tests' global set-up, whose disk or life is taken away. */
const PROGRAM = [process.execPath, resolve("dist/signer-log.cjs")] as const;

const isRoot = process.getuid?.() === 0;

/** A session that appends the entries up to each of `sizes`. */
function session(ledger: Ledger, sizes: readonly number[], begin = 0): string {
  const messages = sizes.flatMap((to, index): Message[] => {
    const { entries, ...append } = appendOf(ledger, sizes[index - 1] ?? begin, to);
    return [{ kind: "append", ...append }, ...entries.flatMap((entry) => [...entryMessages(entry)])];
  });
  return messages.map((message) => `${encodeMessage(message)}\n`).join("");
}

function newCopy(ledger: Ledger, copies = freshDirectory()): string {
  const directory = join(copies, "copy");
  LogCopy.create(directory, { verifier: ledger.verifier, witnessName: WITNESS_NAME }).close();
  return directory;
}

const receiveArgs = (directory: string) => ["receive", "--log", "copy", "--copies", join(directory, "..")];

/** Sizes that a receiver acknowledged, and the code of its failure. */
function said(stdout: string): { readonly cosigned: readonly number[]; readonly failed: string | undefined } {
  const messages = stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => parseMessage(line));
  const cosigned = messages.flatMap((message) =>
    message?.kind === "cosigned" ? [Number(message.note.split("\n")[1])] : [],
  );
  const failed = messages.find((message) => message?.kind === "failed");
  return { cosigned, failed: failed?.kind === "failed" ? failed.code : undefined };
}

async function receive(directory: string, stdin: string, prefix: readonly string[] = []) {
  const [command = "", ...args] = [...prefix, ...PROGRAM, ...receiveArgs(directory)];
  const { stdout, status } = await run(command, args, { stdin });
  return { ...said(stdout.toString()), status };
}

/** The copy is sound, has all that was acknowledged, and nothing but whole appends. */
function expectKept(directory: string, cosigned: readonly number[], sizes: readonly number[]): number {
  const copy = LogCopy.open(directory);
  const { size } = copy.newest();
  copy.close();
  expect([0, ...sizes]).toContain(size);
  expect(size).toBeGreaterThanOrEqual(Math.max(0, ...cosigned));
  if (size > 0) expect(copyVerdict(directory)).toBe("sound");
  return size;
}

test("a receiver killed at any moment has stored whole appends, and all that it acknowledged", async () => {
  const { ledger } = await sampleLog(90);
  const sizes = Array.from({ length: 30 }, (_, index) => 3 * (index + 1));
  let partly = 0;
  for (let round = 0; round < 5; round++) {
    const directory = newCopy(ledger);
    const child = spawn(PROGRAM[0], [PROGRAM[1], ...receiveArgs(directory)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      // After hello, then in the middle of one append or another.
      if (chunks.length === 1 + 2 * round) child.kill("SIGKILL");
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(session(ledger, sizes));
    await once(child, "close");
    const { cosigned } = said(Buffer.concat(chunks).toString());
    const size = expectKept(directory, cosigned, sizes);
    if (size < 90) partly++;
    const rest = await receive(directory, session(ledger, [90]));
    expect(rest).toEqual({ cosigned: [90], failed: undefined, status: 0 });
    expectKept(directory, [90], [90]);
  }
  expect(partly).toBeGreaterThan(0);
});

test("a full disk on the log host is log-not-durable, nothing of the append is stored, and there is an acknowledgement when there is room", async (context) => {
  const disk = isRoot ? freshDirectory() : undefined;
  if (disk === undefined) return context.skip("only root may mount a small file system");
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], { stdio: "ignore" });
  } catch {
    return context.skip("mounting is not allowed here");
  }
  onTestFinished(() => void execFileSync("umount", ["-l", disk]));
  const { ledger } = await sampleLog(250);
  const directory = newCopy(ledger, disk);
  const sizes = [100, 250];
  writeFileSync(join(disk, "ballast"), Buffer.alloc(64 * 1024));
  const full = await receive(directory, session(ledger, sizes));
  expect(full).toMatchObject({ failed: "log-not-durable", status: 74 });
  rmSync(join(disk, "ballast"));
  const size = expectKept(directory, full.cosigned, sizes);
  expect(size).toBeLessThan(250);
  execFileSync("mount", ["-o", "remount,size=4096k", disk]);
  expect(await receive(directory, session(ledger, [250], size))).toMatchObject({
    cosigned: [250],
    status: 0,
  });
  expectKept(directory, [250], [250]);
});

test("a copy that cannot be written at all is a failure that the sender is told", async () => {
  const { ledger } = await sampleLog(3);
  const directory = newCopy(ledger);
  expect(await receive(directory, session(ledger, [3]), ["prlimit", "--fsize=4096"])).toMatchObject({
    cosigned: [],
    failed: "log-not-durable",
    status: 74,
  });
  expectKept(directory, [], [3]);
});

test.each([
  ["pwrite64", "signal=KILL"],
  ["fsync", "signal=KILL"],
  ["pwrite64", "error=EIO"],
  ["fsync", "error=EIO"],
  ["pwrite64", "error=ENOSPC"],
] as const)(
  "at each %s of an append, %s leaves all of it or nothing, and what was acknowledged is there",
  async (call, fault) => {
    if (!hasStrace()) return;
    const { ledger } = await sampleLog(5);
    const paths = (directory: string) =>
      ["log.db", "log.db-wal", "log.db-shm"].flatMap((file) => ["-P", join(directory, file)]);
    const trace = (directory: string, ...what: readonly string[]) => [
      "strace",
      "-f",
      ...paths(directory),
      ...what.flatMap((expression) => ["-e", expression]),
    ];
    const probe = newCopy(ledger);
    const [command = "", ...args] = [...trace(probe, `trace=${call}`), ...PROGRAM, ...receiveArgs(probe)];
    const { stderr } = await run(command, args, { stdin: session(ledger, [2, 5]) });
    const count = stderr.split("\n").filter((line) => line.includes(`${call}(`)).length;
    expect(count).toBeGreaterThan(0);
    // The first few are those of the first append; then the last.
    const each = [...new Set([1, 2, 3, Math.ceil(count / 2), count])].filter((nth) => nth <= count);
    for (const nth of each) {
      const directory = newCopy(ledger);
      const prefix = [
        ...trace(directory, `trace=${call}`, `inject=${call}:${fault}:when=${nth}`),
        "-o",
        "/dev/null",
      ];
      const { cosigned, failed } = await receive(directory, session(ledger, [2, 5]), prefix);
      const size = expectKept(directory, cosigned, [2, 5]);
      if (fault !== "signal=KILL" && !cosigned.includes(5))
        expect(failed, `${call} ${nth}`).toBe("log-not-durable");
      expect(await receive(directory, session(ledger, [5], size === 5 ? 2 : size))).toMatchObject({
        cosigned: [5],
      });
      expectKept(directory, [5], [5]);
    }
  },
);

test("the launcher lets the command that sshd was asked for through, and nothing else of it is run", async () => {
  const { ledger } = await sampleLog(1);
  const directory = newCopy(ledger);
  const start = (SSH_ORIGINAL_COMMAND: string) =>
    run(resolve("bin/signer-log"), receiveArgs(directory), { env: { ...process.env, SSH_ORIGINAL_COMMAND } });
  for (const command of ["", "receive"]) {
    const { status, stdout } = await start(command);
    expect(status).toBe(0);
    expect(parseMessage(stdout.toString().trimEnd())).toMatchObject({
      kind: "hello",
      verifier: encodeVerifierKey(ledger.verifier),
    });
  }
  for (const command of ["receive --log other", "receive ", "list", "sh -c id", "receive\nid"]) {
    expect(await start(command)).toMatchObject({
      status: 64,
      stdout: Buffer.alloc(0),
      stderr: expect.stringMatching(/^signer-log: bad-request: expected no command, or receive, not ".*"\n$/),
    });
  }
});
