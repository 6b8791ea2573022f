import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { openStateFolder, SourceMemory } from "../../src/pull/source-memory.ts";
import { NEW_SOURCE } from "../../src/pull/source-state.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const SEEN = { newest: { seq: 7, sha256: "ab".repeat(32), settled: false }, refused: ["cd".repeat(32)] };

async function filled(): Promise<string> {
  const folder = await tempDir(cleanup);
  const memory = SourceMemory.open(folder, "repos");
  memory.remember(SEEN);
  memory.close();
  return folder;
}

test("what was remembered is there for the next process, of each source its own", async () => {
  const folder = await filled();
  const [repos, others] = [SourceMemory.open(folder, "repos"), SourceMemory.open(folder, "others")];
  cleanup.add(() => repos.close());
  cleanup.add(() => others.close());
  expect(repos.state).toEqual(SEEN);
  expect(others.state).toEqual(NEW_SOURCE);
  expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([]);
});

test("one process at a time has what is remembered of a source", async () => {
  const folder = await filled();
  const memory = SourceMemory.open(folder, "repos");
  expect(() => SourceMemory.open(folder, "repos")).toThrow(expect.objectContaining({ code: "busy" }));
  memory.close();
  SourceMemory.open(folder, "repos").close();
});

test.each<[string, (file: string) => void]>([
  ["empty", (file) => truncateSync(file, 0)],
  ["cut", (file) => truncateSync(file, 4096)],
  ["text", (file) => writeFileSync(file, '{"newest":{"seq":1}}\n')],
  ["zeros", (file) => writeFileSync(file, Buffer.alloc(8192))],
  ["a database of something else", (file) => edit(file, "DROP TABLE source")],
  ["without its row", (file) => edit(file, "DELETE FROM source")],
  ["of another version", (file) => edit(file, `UPDATE source SET state = '{"refused":[],"version":2}\n'`)],
  ["garbled", (file) => edit(file, "UPDATE source SET state = 'x'")],
])("a memory that is %s is a fault that says what to do, and never a new one", async (_, damage) => {
  const folder = await filled();
  const file = join(folder, "repos.db");
  damage(file);
  const before = readFileSync(file);
  expect(() => SourceMemory.open(folder, "repos")).toThrow(
    expect.objectContaining({
      code: "pull-state-failed",
      message: expect.stringMatching(
        /repos\.db is not what signer pull wrote: restore it, or move it away, after/,
      ),
    }),
  );
  expect(readFileSync(file)).toEqual(before);
});

function edit(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

test("what cannot be written is a fault, and what was remembered before stays", async () => {
  const folder = await tempDir(cleanup);
  if (!mounted(folder)) return;
  const memory = SourceMemory.open(folder, "repos");
  cleanup.add(() => memory.close());
  memory.remember(SEEN);
  expect(() => writeFileSync(join(folder, "full"), Buffer.alloc(1024 * 1024))).toThrow("ENOSPC");
  const next = { ...SEEN, newest: { ...SEEN.newest, seq: 8 }, refused: Array(64).fill("ef".repeat(32)) };
  expect(() => memory.remember(next)).toThrow(expect.objectContaining({ code: "pull-state-failed" }));
  expect(memory.state).toEqual(SEEN);
});

/** For root. */
function mounted(folder: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return false;
  }
  cleanup.add(() => execFileSync("umount", [folder]));
  return true;
}

test("the folder is never made, and has to be its account's alone", async () => {
  const folder = join(await tempDir(cleanup), "pull");
  expect(() => openStateFolder(folder, [])).toThrow(expect.objectContaining({ code: "no-state" }));
  mkdirSync(folder, { mode: 0o755 });
  chmodSync(folder, 0o750);
  expect(() => openStateFolder(folder, [])).toThrow(expect.objectContaining({ code: "pull-state-failed" }));
  chmodSync(folder, 0o700);
  openStateFolder(folder, []);
});

test("unfinished downloads of sources that are configured no more are removed, and nothing else", async () => {
  const folder = await filled();
  const spool = (source: string) => `${source}.${"ab".repeat(32)}.7.spool`;
  const names = [spool("repos"), spool("gone"), "gone.db", "notes.spool", "gone.7.spool"];
  for (const name of names) writeFileSync(join(folder, name), "x");
  openStateFolder(folder, ["repos", "others"]);
  expect(names.filter((name) => !existsSync(join(folder, name)))).toEqual([spool("gone")]);
});
