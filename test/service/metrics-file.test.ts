import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Journal } from "../../src/journal.ts";
import { MetricsFile } from "../../src/service/metrics-file.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** A journal that keeps its messages. */
function newJournal(): { readonly journal: Journal; readonly said: string[] } {
  const said: string[] = [];
  const say = (_fields: unknown, message: string) => void said.push(message);
  return { journal: { info: say, warn: say, error: say }, said };
}

describe("the file of metrics", () => {
  test("can be read by anyone, whatever the umask, which stays; nothing else is left in the folder", async () => {
    const folder = await tempDir(cleanup);
    const before = process.umask(0o077);
    try {
      new MetricsFile().write(join(folder, "signer.prom"), () => "a 1\n", newJournal().journal);
      expect(process.umask()).toBe(0o077);
    } finally {
      process.umask(before);
    }
    expect(statSync(join(folder, "signer.prom")).mode & 0o777).toBe(0o644);
    expect(readFileSync(join(folder, "signer.prom"), "utf8")).toBe("a 1\n");
    expect(readdirSync(folder)).toEqual(["signer.prom"]);
  });

  test("is another file each time: who reads the old one goes on with it", async () => {
    const path = join(await tempDir(cleanup), "signer.prom");
    const file = new MetricsFile();
    file.write(path, () => "a 1\n", newJournal().journal);
    const { ino } = statSync(path);
    file.write(path, () => "a 2\n", newJournal().journal);
    expect(statSync(path).ino).not.toBe(ino);
    expect(readFileSync(path, "utf8")).toBe("a 2\n");
  });

  test("is written beside what somebody put in its place: a link is replaced, what it leads to is left", async () => {
    const folder = await tempDir(cleanup);
    const secret = join(folder, "secret");
    writeFileSync(secret, "secret");
    chmodSync(secret, 0o600);
    for (const name of ["signer.prom", "signer.prom.tmp"]) symlinkSync(secret, join(folder, name));
    new MetricsFile().write(join(folder, "signer.prom"), () => "a 1\n", newJournal().journal);
    expect(readFileSync(join(folder, "signer.prom"), "utf8")).toBe("a 1\n");
    expect(readFileSync(secret, "utf8")).toBe("secret");
    expect(statSync(secret).mode & 0o777).toBe(0o600);
  });

  test("that cannot be written is in the journal once, and so is that it can be again", async () => {
    const folder = join(await tempDir(cleanup), "missing");
    const path = join(folder, "signer.prom");
    const { journal, said } = newJournal();
    const file = new MetricsFile();
    for (let i = 0; i < 3; i += 1) file.write(path, () => "a 1\n", journal);
    expect(said).toEqual(["metrics cannot be written"]);
    mkdirSync(folder);
    for (let i = 0; i < 3; i += 1) file.write(path, () => "a 1\n", journal);
    expect(said).toEqual(["metrics cannot be written", "metrics are written again"]);
  });

  test("stays as it was where the next one cannot be made", async () => {
    const path = join(await tempDir(cleanup), "signer.prom");
    const { journal, said } = newJournal();
    const file = new MetricsFile();
    file.write(path, () => "a 1\n", journal);
    file.write(
      path,
      () => {
        throw new Error("no metrics");
      },
      journal,
    );
    expect(readFileSync(path, "utf8")).toBe("a 1\n");
    expect(said).toHaveLength(1);
  });

  test("goes where another one takes its place, or none: the same series would be collected twice", async () => {
    const folder = await tempDir(cleanup);
    const [first, second] = [join(folder, "first.prom"), join(folder, "second.prom")];
    const file = new MetricsFile();
    file.write(first, () => "a 1\n", newJournal().journal);
    file.write(second, () => "a 1\n", newJournal().journal);
    expect(readdirSync(folder)).toEqual(["second.prom"]);
    file.remove();
    expect(existsSync(second)).toBe(false);
  });
});
