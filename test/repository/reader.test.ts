import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs, { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { beginPublication, type Publication } from "../../src/repository/publication.ts";
import { digestOf, publish } from "../../src/repository/publish.ts";
import { freshFolder, repositoryAt, standIn } from "./fixture.ts";

const NAME = "example.db.tar.gz";
const ROUNDS = 100;
const KINDS = ["db", "files"] as const;

/** When something lasted, in ns of the machine's monotonic clock. */
type Span = readonly [from: bigint, to: bigint];

/** From now on: when the pair was in between its two renames, one right behind the other. */
function watchRenames(live: string): readonly Span[] {
  const { renameSync } = fs;
  const windows: Span[] = [];
  let began: bigint | undefined;
  fs.renameSync = (from, to) => {
    const before = process.hrtime.bigint();
    renameSync(from, to);
    if (to === `${live}.sig` && began !== undefined) windows.push([began, process.hrtime.bigint()]);
    began = to === live ? before : undefined;
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    fs.renameSync = renameSync;
    syncBuiltinESMExports();
  });
  return windows;
}

test("a reader sees a mismatch only while it reads across the two renames, in a hundred publications", async () => {
  const folder = freshFolder();
  const repository = repositoryAt(NAME, folder);
  const work = join(folder, ".signer.example.db-tar.gz");
  const write = (path: string) => {
    const content = randomBytes(20_000);
    writeFileSync(path, content);
    writeFileSync(`${path}.sig`, standIn(content));
  };
  for (const kind of KINDS) {
    write(join(folder, repository.names[kind]));
    for (const end of ["", ".sig"])
      symlinkSync(`${repository.names[kind]}${end}`, join(folder, `${repository.links[kind]}${end}`));
  }
  const next = (round: number): Publication => {
    const stage = `stage-1-${round}`;
    mkdirSync(join(work, stage), { recursive: true });
    const pairs = KINDS.map((kind) => {
      const path = join(work, stage, repository.names[kind]);
      write(path);
      return {
        kind,
        database: {
          before: digestOf(join(folder, repository.names[kind])),
          after: digestOf(path) ?? "",
        },
        signature: digestOf(`${path}.sig`) ?? "",
      };
    });
    return { version: 1, stage, pairs, removals: [] };
  };

  const reader = spawn(
    process.execPath,
    [resolve("test/repository/window-reader.ts"), join(folder, "example.db")],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  onTestFinished(() => void reader.kill());
  await once(reader.stdout, "data");
  const windows = watchRenames(join(folder, NAME));
  for (let round = 1; round <= ROUNDS; round += 1) {
    const publication = next(round);
    beginPublication(repository, publication);
    expect(publish(repository, publication)).toEqual({ leftAlone: [], notDeleted: [] });
  }
  expect(windows.length).toBe(ROUNDS);
  reader.stdin.end();
  let said = "";
  for await (const chunk of reader.stdout) said += String(chunk);
  const seen = JSON.parse(said) as { polls: number; missing: number; mismatches: [string, string][] };

  expect(seen.missing).toBe(0);
  expect(seen.polls).toBeGreaterThan(ROUNDS);
  const spans = seen.mismatches.map(([from, to]) => [BigInt(from), BigInt(to)] as const);
  const elsewhere = spans.filter(
    ([from, to]) => !windows.some(([began, ended]) => from <= ended && to >= began),
  );
  expect(elsewhere).toEqual([]);
});
