import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  currentHolder,
  encodeLockHolder,
  isGone,
  parseLockHolder,
} from "../../src/repository/lock-holder.ts";
import { makePackage } from "../support/packages.ts";
import { run } from "../support/run.ts";
import { age, freshFolder, repositoryAt, standIn, stateOf, update, WHOLE } from "./fixture.ts";

const WORKER = resolve("test/repository/update-worker.ts");
const NAME = "example.db.tar.gz";

async function madeRepository() {
  const folder = freshFolder();
  const apple = await makePackage(folder, "apple");
  await update([NAME, apple], { cwd: folder });
  const repository = repositoryAt(NAME, folder);
  age(repository);
  return { folder, repository, apple, lock: join(folder, `${NAME}.lck`) };
}

const packagesOf = async (folder: string): Promise<readonly string[]> => {
  const { stdout } = await run("bsdtar", ["-tf", join(folder, NAME)]);
  return stdout.toString().match(/^[a-z]+\d*(?=-[^/]*\/$)/gm) ?? [];
};

test("while we work, repo-add is locked out, and finds our process id in its lock", async () => {
  const { folder, repository, apple, lock } = await madeRepository();
  let byHand: Awaited<ReturnType<typeof run>> | undefined;
  const sign: Parameters<typeof update>[1] = {
    cwd: folder,
    sign: async (files) => {
      expect(readFileSync(lock, "utf8")).toBe(`${process.pid}\n`);
      byHand = await run("repo-add", [NAME, apple], { cwd: folder, env: { ...process.env, LC_ALL: "C" } });
      return files.map(({ path }) => standIn(readFileSync(path)));
    },
  };
  expect(await update([NAME, apple], sign)).toMatchObject({ kind: "done" });
  expect(byHand).toMatchObject({
    status: 1,
    stderr: expect.stringContaining(`Held by process ${process.pid}`),
  });
  expect(stateOf(repository)).toEqual(WHOLE);
});

test("a lock of repo-add is never taken over, not even by --recover, and -w waits until it is gone", async () => {
  const { folder, repository, lock } = await madeRepository();
  writeFileSync(lock, "4194305\n"); // no process has this number: pid_max is 4194304
  for (const argv of [[NAME], [NAME, "--recover"]])
    expect(await update(argv, { cwd: folder })).toMatchObject({ kind: "held", holder: "4194305" });
  expect(stateOf(repository)).toEqual({ ...WHOLE, locked: true });
  const waiting = update(["-w", NAME], { cwd: folder, note: () => rmSync(lock) });
  expect(await waiting).toMatchObject({ kind: "done" });
  expect(stateOf(repository)).toEqual(WHOLE);
});

test("waiting ends when the user says so", async () => {
  const { folder, repository, lock } = await madeRepository();
  writeFileSync(lock, "1\n");
  const stop = new AbortController();
  const ended = update(["-w", NAME], { cwd: folder, signal: stop.signal, note: () => stop.abort() });
  await expect(ended).rejects.toThrow(/abort/);
  expect(stateOf(repository)).toEqual({ ...WHOLE, locked: true });
});

function startWorker(folder: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [WORKER, ...args], { cwd: folder, stdio: "pipe" });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

test("ten at once, each with -w, add ten packages, though the lock was left by a killed one", {
  timeout: 60_000,
}, async () => {
  const { folder, repository, lock } = await madeRepository();
  const killed = startWorker(folder, ["-q", NAME, "apple-1.0-1-any.pkg.tar.zst"]);
  while (!existsSync(lock)) await new Promise((wake) => setTimeout(wake, 1));
  killed.kill("SIGKILL");
  await once(killed, "close");
  expect(existsSync(lock)).toBe(true);

  const names = Array.from({ length: 10 }, (_, index) => `pear${index}`);
  for (const name of names) await makePackage(folder, name);
  const children = names.map((name) =>
    startWorker(folder, ["-q", "-w", NAME, `${name}-1.0-1-any.pkg.tar.zst`]),
  );
  const ends = await Promise.all(children.map((child) => once(child, "close")));
  expect(ends.map(([status]) => status)).toEqual(names.map(() => 0));
  expect(await packagesOf(folder)).toEqual(expect.arrayContaining(names));
  expect(stateOf(repository)).toEqual(WHOLE);
});

test("a reader that polls while databases are published never misses a file, nor sees a signature of no state", async () => {
  const { folder, repository } = await madeRepository();
  const reader = spawn(
    process.execPath,
    [resolve("test/repository/reader-worker.ts"), join(folder, "example.db")],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  onTestFinished(() => void reader.kill("SIGKILL"));
  const chunks: string[] = [];
  reader.stdout.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  await once(reader.stdout, "data");
  const pear = await makePackage(folder, "pear");
  // A clock of its own, so that nothing waits for the next second.
  let seconds = 1_700_000_000;
  const now = () => {
    seconds += 2;
    return 1000 * seconds;
  };
  for (let round = 0; round < 6; round++) {
    expect(await update([NAME, pear], { cwd: folder, now })).toMatchObject({ kind: "done" });
    expect(await update([NAME, "pear"], { cwd: folder, now, program: "repo-remove" })).toMatchObject({
      kind: "done",
    });
  }
  reader.stdin.end();
  await once(reader, "close");
  const seen = JSON.parse(chunks.join("").split("\n")[1] ?? "{}");
  expect(seen).toMatchObject({ missing: 0, strange: 0 });
  expect(seen.mismatched).toBeLessThan(seen.polls / 10);
  expect(stateOf(repository)).toEqual(WHOLE);
});

test("a process is told apart from the next one of its number, from those of other machines and containers", () => {
  const here = currentHolder();
  expect(parseLockHolder(encodeLockHolder(here))).toEqual(here);
  expect(isGone(here, here)).toBe(false);
  expect(isGone({ ...here, startTicks: "1" }, here)).toBe(true);
  expect(isGone({ ...here, pid: 4194305 }, here)).toBe(true);
  expect(isGone({ ...here, boot: "0".repeat(32) }, here)).toBe(true);
  expect(isGone({ ...here, startTicks: "1", host: "00000000" }, here)).toBe(false);
  expect(isGone({ ...here, boot: "0".repeat(32), host: "00000000" }, here)).toBe(false);
  expect(isGone({ ...here, startTicks: "1", namespace: "1" }, here)).toBe(false);
  for (const name of ["lock-1", "lock-0-1-", "stage-1", "publication.json", `${encodeLockHolder(here)}x`])
    expect(parseLockHolder(name)).toBeUndefined();
});

test("a process that /proc hides from other users counts as alive", async (context) => {
  if (process.getuid?.() !== 0) return context.skip("only root may mount /proc");
  const script = `import { currentHolder, isGone } from "${resolve("src/repository/lock-holder.ts")}";
    const here = currentHolder();
    const other = (pid) => ({ ...here, pid, startTicks: "1" });
    console.log(isGone(other(${process.pid}), here), isGone(other(4194305), here));`;
  const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
  const hidden = `mount -t proc -o hidepid=2 proc /proc && exec ${nobody} "$0" --input-type=module -e "$1"`;
  const args = ["--mount", "/bin/sh", "-c", hidden, process.execPath, script];
  const { status, stdout } = await run("unshare", args);
  if (status !== 0) return context.skip("mounting is not allowed here");
  expect(stdout.toString()).toBe("false true\n");
});

test("what a killed waiter left is removed by the next run", async () => {
  const { folder, repository } = await madeRepository();
  const work = join(folder, ".signer.example.db-tar.gz");
  mkdirSync(work);
  writeFileSync(join(work, encodeLockHolder({ ...currentHolder(), startTicks: "1" })), "1\n");
  mkdirSync(join(work, "stage-1-1"));
  expect(await update([NAME], { cwd: folder })).toMatchObject({ kind: "done", notes: [] });
  expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  expect(stateOf(repository)).toEqual(WHOLE);
});
