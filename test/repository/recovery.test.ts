import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { currentHolder, encodeLockHolder } from "../../src/repository/lock-holder.ts";
import { beginPublication, readPublication } from "../../src/repository/publication.ts";
import { digestOf } from "../../src/repository/publish.ts";
import { makePackage } from "../support/packages.ts";
import { run, runOk } from "../support/run.ts";
import { age, freshFolder, repositoryAt, standIn, stateOf, update, WHOLE } from "./fixture.ts";

const NAME = "example.db.tar.gz";
const STAGE = "stage-1-1";

/** A publication of apple 2.0-1 that was begun by a process that is gone; its lock is still there unless removed by hand. */
async function begun() {
  const folder = freshFolder();
  await update([NAME, await makePackage(folder, "apple")], { cwd: folder });
  const repository = repositoryAt(NAME, folder);
  age(repository);
  const work = join(folder, ".signer.example.db-tar.gz");
  const stage = join(work, STAGE);
  mkdirSync(stage, { recursive: true });
  const newer = await makePackage(folder, "apple", { version: "2.0-1" });
  await runOk("repo-add", ["-q", join(stage, NAME), newer]);
  const pairs = (["db", "files"] as const).map((kind) => {
    const path = join(stage, repository.names[kind]);
    writeFileSync(`${path}.sig`, standIn(readFileSync(path)));
    const before = digestOf(join(folder, repository.names[kind]));
    return {
      kind,
      database: { before, after: digestOf(path) ?? "" },
      signature: digestOf(`${path}.sig`) ?? "",
    };
  });
  beginPublication(repository, { version: 1, stage: STAGE, pairs, removals: [] });
  return { folder, repository, work, stage, newer, journal: join(work, "publication.json") };
}

const listed = async (folder: string): Promise<string> =>
  (await run("bsdtar", ["-tf", join(folder, NAME)])).stdout.toString().split("\n")[0] ?? "";

test("the next run completes it, and then does its own work", async () => {
  const { folder, repository } = await begun();
  const pear = await makePackage(folder, "pear");
  const done = await update([NAME, pear], { cwd: folder });
  expect(done).toMatchObject({ kind: "done", notes: [expect.stringContaining("completed the publication")] });
  expect((await run("bsdtar", ["-tf", join(folder, NAME)])).stdout.toString()).toMatch(
    /apple-2\.0-1[\s\S]*pear-1/,
  );
  expect(stateOf(repository)).toEqual(WHOLE);
});

test("a database that repo-add changed meanwhile, its lock removed by hand, is left alone", async () => {
  const { folder, repository } = await begun();
  await runOk("repo-add", ["-q", join(folder, NAME), await makePackage(folder, "pear")]);
  const byHand = readFileSync(join(folder, NAME));
  const recovered = await update(["--recover", NAME], { cwd: folder });
  expect(recovered).toMatchObject({ kind: "done", notes: [expect.stringContaining("left example.db")] });
  expect(readFileSync(join(folder, NAME)).equals(byHand)).toBe(true);
  expect(stateOf(repository)).toMatchObject({ locked: false, worked: false });
});

test("a staged file that is not what was signed is never published", async () => {
  for (const name of [NAME, `${NAME}.sig`]) {
    const { folder, repository, stage } = await begun();
    writeFileSync(join(stage, name), "something else");
    expect(await update(["--recover", NAME], { cwd: folder })).toMatchObject({ kind: "done" });
    expect(await listed(folder)).toBe("apple-1.0-1/");
    expect(stateOf(repository)).toMatchObject({ db: true, dbLink: true, locked: false, worked: false });
  }
});

test("a database whose signature is missing from the stage is not published without it", async () => {
  const { folder, repository, stage } = await begun();
  rmSync(join(stage, `${NAME}.sig`));
  expect(await update(["--recover", NAME], { cwd: folder })).toMatchObject({ kind: "done" });
  expect(await listed(folder)).toBe("apple-1.0-1/");
  expect(stateOf(repository)).toMatchObject({ db: true, locked: false });
});

test("files to delete are only taken from a journal of this user; a link in the work folder's place is not followed", async (context) => {
  if (process.getuid?.() !== 0) return context.skip("only root may give files away");
  for (const owner of [0, 4711]) {
    const { folder, repository, journal } = await begun();
    const publication = readPublication(repository);
    if (publication === undefined) throw new Error("no publication");
    const removed = join(folder, "apple-1.0-1-any.pkg.tar.zst");
    beginPublication(repository, { ...publication, removals: [removed] });
    chownSync(journal, owner, owner);
    expect(await update(["--recover", NAME], { cwd: folder })).toMatchObject({ kind: "done" });
    expect(await listed(folder)).toBe("apple-2.0-1/");
    expect(existsSync(removed)).toBe(owner !== 0);
  }
  const { folder, work } = await begun();
  const elsewhere = freshFolder();
  renameSync(work, join(elsewhere, "work"));
  symlinkSync(join(elsewhere, "work"), work);
  await expect(update([NAME], { cwd: folder })).rejects.toMatchObject({ code: "repository-failed" });
});

test.each([
  "",
  "{",
  '{"version":2}',
  '{"version":1,"stage":"../..","pairs":[],"removals":[]}',
  '{"version":1,"stage":"stage-1-1","pairs":[],"removals":["relative"]}',
])("a journal that is not ours, %j, stops everything, and stays for somebody to look at", async (text) => {
  const { folder, repository, journal } = await begun();
  writeFileSync(journal, text);
  await expect(update([NAME], { cwd: folder })).rejects.toMatchObject({ code: "repository-failed" });
  expect(readFileSync(journal, "utf8")).toBe(text);
  expect(stateOf(repository)).toMatchObject({ db: true, files: true, locked: true });
});

test("the lock of a living process of ours is not taken over", async () => {
  const { folder, work } = await begun();
  const alive = join(work, encodeLockHolder({ ...currentHolder(), host: "00000000" }));
  writeFileSync(alive, "1\n");
  await runOk("ln", [alive, join(folder, `${NAME}.lck`)]);
  expect(await update([NAME, "--recover"], { cwd: folder })).toMatchObject({ kind: "held", holder: "1" });
});
