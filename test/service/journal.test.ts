import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { openServiceJournal } from "../../src/journal.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

function messages(file: string): readonly string[] {
  const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line).msg);
}

/** How often this process has a file open. */
function timesOpen(file: string): number {
  const open = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // that of the folder itself
    }
  });
  return open.filter((path) => path === file).length;
}

test("a journal whose folder is away goes on in its old file, and in a new one once that can be", async () => {
  const folder = await tempDir(cleanup);
  const [here, away] = [join(folder, "here"), join(folder, "away")];
  mkdirSync(here);
  const journal = await openServiceJournal(join(here, "journal"));
  journal.info({}, "one");
  renameSync(here, away);
  for (let count = 0; count < 3; count += 1) {
    journal.reopen();
    await delay(10);
  }
  journal.info({}, "two");
  mkdirSync(here);
  journal.reopen();
  await delay(100); // the old file is closed by and by
  journal.info({}, "three");
  const said = "the journal goes on in its old file";
  expect(messages(join(away, "journal"))).toEqual(["one", said, said, said, "two"]);
  expect(messages(join(here, "journal"))).toEqual(["three"]);
  expect([timesOpen(join(away, "journal")), timesOpen(join(here, "journal"))]).toEqual([0, 1]);
});

test("lines for a full disk do not pile up in memory", async () => {
  const journal = await openServiceJournal("/dev/full");
  const text = "x".repeat(2000);
  const before = process.memoryUsage().rss;
  for (let count = 0; count < 50_000; count += 1) journal.warn({ text }, "refused");
  expect(process.memoryUsage().rss - before).toBeLessThan(60 * 1024 * 1024);
});
