import { cpSync, existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Fault } from "../../src/outcome.ts";
import type { RepositoryPath } from "../../src/repository/database-path.ts";
import { repositoryFault } from "../../src/repository/repository-fault.ts";
import { makePackage } from "../support/packages.ts";
import { run, runOk } from "../support/run.ts";
import { age, belongs, freshFolder, repositoryAt, stateOf, update, WHOLE } from "./fixture.ts";

const WORKER = [process.execPath, resolve("test/repository/update-worker.ts")] as const;

/** Calls that change something on disk, or make it durable. */
const CALLS = [
  "mkdir",
  "link",
  "rename",
  "unlink",
  "symlink",
  "rmdir",
  "fsync",
  "utimensat",
  "chmod",
] as const;

/** A signed repository of apple 1.0-1, and the databases of apple 2.0-1 that are to be published. */
async function makeStory() {
  const [before, after, bin] = [freshFolder(), freshFolder(), freshFolder()];
  const name = "example.db.tar.gz";
  await update([name, await makePackage(before, "apple")], { cwd: before });
  const newer = await makePackage(before, "apple", { version: "2.0-1" });
  await runOk("repo-add", ["-q", join(after, name), newer]);
  // Stands for repo-add, which takes longer and is not what is killed here.
  const replace = (file: string) =>
    `cp "${after}/${file}" "$stage/new" && mv "$stage/new" "$stage/${file}"\n`;
  const script = `#!/bin/sh\nfor word; do case $word in *.db.tar.gz) stage=\${word%/*} ;; esac; done\n`;
  writeFileSync(join(bin, "repo-add"), `${script}${replace(name)}${replace("example.files.tar.gz")}`, {
    mode: 0o755,
  });
  return {
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
    argv: ["-R", name, "apple-2.0-1-any.pkg.tar.zst"],
    contents: {
      before: readFileSync(join(before, name)),
      after: readFileSync(join(after, name)),
    },
    begin: () => {
      const folder = freshFolder();
      cpSync(before, folder, { recursive: true, verbatimSymlinks: true });
      const repository = repositoryAt(name, folder);
      age(repository);
      return repository;
    },
  };
}

type Story = Awaited<ReturnType<typeof makeStory>>;

/** The worker's calls in their order, as strace shows them, and the folder that it worked in. */
async function traceOf(
  story: Story,
): Promise<{ readonly lines: readonly string[]; readonly folder: string }> {
  const repository = story.begin();
  const log = join(freshFolder(), "log");
  const traced = ["-y", "-s", "4096", "-e", `trace=${CALLS.join(",")}`, "-o", log];
  await runOk("strace", [...traced, ...WORKER, ...story.argv], { cwd: repository.folder, env: story.env });
  return { lines: readFileSync(log, "utf8").split("\n"), folder: repository.folder };
}

/** Which of the worker's calls are on the repository: the how manieth of its kind each is. */
async function callsOf(story: Story): Promise<readonly (readonly [string, number])[]> {
  const { lines, folder } = await traceOf(story);
  const counts = new Map<string, number>();
  return lines.flatMap((line): (readonly [string, number])[] => {
    const call = /^(\w+)\(/.exec(line)?.[1];
    if (call === undefined) return [];
    counts.set(call, (counts.get(call) ?? 0) + 1);
    return line.includes(folder) ? [[call, counts.get(call) ?? 0]] : [];
  });
}

/** Whether a reader finds a database and a signature that do not belong together. */
function isMismatched({ folder, names }: RepositoryPath): boolean {
  const read = (name: string) => readFileSync(join(folder, name));
  return [names.db, names.files].some((name) => !belongs(read(name), read(`${name}.sig`)));
}

test("killed at each change that it makes on disk, the next run completes or undoes it, and between two renames only a reader sees a pair that does not match", {
  timeout: 120_000,
}, async () => {
  const story = await makeStory();
  const calls = await callsOf(story);
  expect(calls.length).toBeGreaterThan(30);
  let [mismatched, undone, completed] = [0, 0, 0];
  const killAt = async ([call, nth]: readonly [string, number]) => {
    const repository = story.begin();
    const { folder, names } = repository;
    const inject = ["-e", `inject=${call}:signal=KILL:when=${nth}`, "-o", "/dev/null"];
    const traced = ["-e", `trace=${call}`, ...inject, ...WORKER, ...story.argv];
    const what = `${call} ${nth}`;
    await run("strace", traced, { cwd: folder, env: story.env });
    if (isMismatched(repository)) mismatched++;
    const recovery = await update([names.db, "--recover"], { cwd: folder });
    expect(recovery, what).toMatchObject({ kind: "done" });
    expect(stateOf(repository), what).toEqual(WHOLE);
    const isAfter = readFileSync(join(folder, names.db)).equals(story.contents.after);
    if (isAfter) completed++;
    else undone++;
    const expected = isAfter ? story.contents.after : story.contents.before;
    expect(readFileSync(join(folder, names.db)).equals(expected), what).toBe(true);
    if (isAfter) expect(readFileSync(join(folder, `${names.db}.old`)), what).toEqual(story.contents.before);
    expect(existsSync(join(folder, "apple-1.0-1-any.pkg.tar.zst")), what).toBe(!isAfter);
  };
  // Two at a time.
  const queue = [...calls];
  const work = async () => {
    for (let point = queue.shift(); point !== undefined; point = queue.shift()) await killAt(point);
  };
  await Promise.all([work(), work()]);
  expect(mismatched).toBeLessThanOrEqual(2);
  expect(undone).toBeGreaterThan(5);
  expect(completed).toBeGreaterThan(5);
});

test("everything is durable before the journal, the journal before the first rename, the four renames follow each other", async () => {
  const { lines, folder } = await traceOf(await makeStory());
  const work = `${folder}/.signer.example.db-tar.gz`;
  const steps = lines.flatMap((line) => {
    const [call, paths] = [/^\w+/.exec(line)?.[0], line.replaceAll(/stage-[\d-]+/g, "S")];
    if (call === "fsync")
      return `fsync ${/<(.*)>/.exec(paths)?.[1]?.replace(work, "W").replace(folder, "F")}`;
    const [, from, to] = /^rename\("(.*)", "(.*)"\)/.exec(paths) ?? [];
    return from === undefined
      ? []
      : `rename ${from.replace(work, "W")} ${to?.replace(work, "W").replace(folder, "F")}`;
  });
  const [db, files] = ["example.db.tar.gz", "example.files.tar.gz"];
  const all = [db, `${db}.sig`, files, `${files}.sig`];
  const old = [`${db}.old`, `${db}.old.sig`, `${files}.old`, `${files}.old.sig`];
  const from = steps.lastIndexOf("fsync W/S");
  for (const file of all) expect(steps.slice(0, from)).toContain(`fsync W/S/${file}`);
  expect(steps.slice(from + 1)).toEqual([
    "fsync W/publication.json.new",
    "rename W/publication.json.new W/publication.json",
    "fsync W",
    ...old.map((file) => `rename W/S/old F/${file}`),
    ...all.map((file) => `rename W/S/${file} F/${file}`),
    "fsync F",
  ]);
});

test("a full disk is a fault, and the live files are the ones before", async (context) => {
  if (process.getuid?.() !== 0) return context.skip("only root may mount a small file system");
  const folder = freshFolder();
  try {
    await runOk("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
  } catch {
    return context.skip("mounting is not allowed here");
  }
  onTestFinished(async () => void (await runOk("umount", ["-l", folder])));
  const name = "example.db.tar.gz";
  await update([name, await makePackage(freshFolder(), "apple")], { cwd: folder });
  const repository = repositoryAt(name, folder);
  age(repository);
  const before = readFileSync(join(folder, name));
  const ballast = join(folder, "ballast");
  // From no room at all to room for everything but the journal: each fails elsewhere.
  const outcomes: unknown[] = [];
  for (let pages = 0; outcomes.at(-1) !== "done"; pages++) {
    writeFileSync(ballast, "");
    const { bavail } = statfsSync(folder);
    writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail - pages) * 4096));
    const ended = await update([name], { cwd: folder }).catch((error: unknown) => repositoryFault(error));
    outcomes.push(ended instanceof Fault ? ended.code : (ended as { kind: string }).kind);
    rmSync(ballast);
    expect(readFileSync(join(folder, name)).equals(before)).toBe(true);
    expect(stateOf(repository)).toEqual(WHOLE);
  }
  expect(outcomes.length).toBeGreaterThan(3);
  expect(new Set(outcomes)).toEqual(new Set(["repository-failed", "done"]));
});
