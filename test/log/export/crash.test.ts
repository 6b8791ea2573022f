import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run } from "../../support/run.ts";
import { freshDirectory, freshLedger } from "../fixture.ts";
import { exportTo, filesBelow, growTo, keyOf } from "./fixture.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const PROGRAM = join(ROOT, "dist", "signer-log.cjs");
const VERIFIER = join(ROOT, "test", "log", "proof", "independent", "verify.py");

/** Runs the built program's export under strace. */
function exportUnder(strace: readonly string[], directory: string, folder: string) {
  const args = [PROGRAM, "--state", directory, "export", "--tiles", folder];
  return run("strace", ["-f", ...strace, process.execPath, ...args]);
}

/** Entries of a folder that verifies, by a program that shares nothing with this one. */
async function verifiedSize(folder: string, key: string): Promise<number> {
  const { stdout } = await run("python3", [VERIFIER, "tiles", folder, "--key", key]);
  const { ok, size, why } = JSON.parse(stdout.toString()) as { ok: boolean; size: number; why: string };
  expect(ok, why).toBe(true);
  return size;
}

describe("an export", () => {
  test("makes each file durable before it has its name, and all of them and their names before the checkpoint", async () => {
    const { ledger, directory } = freshLedger();
    const folder = join(freshDirectory(), "tiles");
    await growTo(ledger, 300);
    const trace = join(freshDirectory(), "trace");
    const ended = await exportUnder(["-y", "-e", "trace=fsync,rename", "-o", trace], directory, folder);
    expect(ended.status, ended.stderr).toBe(0);
    const events = readFileSync(trace, "utf8")
      .split("\n")
      .flatMap((line) => {
        const synced = /fsync\(\d+<(.+?)>\)/.exec(line)?.[1];
        const named = /rename\("(.+?)", "(.+?)"\)/.exec(line)?.[2];
        const path = (synced ?? named)?.replace(folder, "").replace(/\.unfinished-\d+$/, "*");
        return path === undefined ? [] : [`${synced === undefined ? "name" : "sync"} ${path}`];
      });
    const renames = events.filter((event) => event.startsWith("name "));
    expect(renames).toHaveLength(6);
    for (const name of renames) expect(events[events.indexOf(name) - 1]).toBe("sync /*");
    const checkpoint = events.indexOf("name /checkpoint");
    expect(renames.at(-1)).toBe("name /checkpoint");
    const before = events.slice(0, checkpoint);
    for (const path of ["", "/tile", "/tile/0", "/tile/0/001.p", "/tile/1/000.p", "/tile/entries"])
      expect(before.lastIndexOf(`sync ${path}`), path).toBeGreaterThan(
        before.findLastIndex((event) => event.startsWith("name ")),
      );
    expect(events.at(-1)).toBe("sync ");
  });

  test("makes names durable that one before it may have left in the cache alone", async () => {
    const { directory } = freshLedger();
    const folder = join(freshDirectory(), "tiles");
    exportTo(directory, folder);
    rmSync(join(folder, "checkpoint"));
    const trace = join(freshDirectory(), "trace");
    await exportUnder(["-y", "-e", "trace=fsync,rename", "-o", trace], directory, folder);
    const [before = ""] = readFileSync(trace, "utf8").split("rename(");
    for (const path of ["", "/tile", "/tile/0", "/tile/0/000.p", "/tile/entries/000.p"])
      expect(before).toContain(`<${folder}${path}>`);
  });

  test.each(["rename", "fsync", "mkdir", "unlink"])(
    "killed at any %s leaves what can be served, and the next one completes it",
    async (call) => {
      const { ledger, directory } = freshLedger();
      const folder = join(freshDirectory(), "tiles");
      const key = keyOf(directory);
      await growTo(ledger, 200);
      exportTo(directory, folder);
      await growTo(ledger, 300);
      let killed = 0;
      for (const when of [1, 2, 4, 6]) {
        const ended = await exportUnder(
          ["-e", `inject=${call}:signal=SIGKILL:when=${when}`],
          directory,
          folder,
        );
        if (ended.status === 0) break;
        killed++;
        expect(existsSync(join(folder, "checkpoint"))).toBe(true);
        expect([200, 300]).toContain(await verifiedSize(folder, key));
      }
      expect(killed).toBeGreaterThan(0);
      exportTo(directory, folder);
      expect(await verifiedSize(folder, key)).toBe(300);
      const whole = join(freshDirectory(), "whole");
      exportTo(directory, whole);
      const names = (of: string) =>
        [...filesBelow(of).keys()].filter((name) => !name.startsWith(".unfinished"));
      expect(names(folder)).toEqual(expect.arrayContaining(names(whole)));
      rmSync(folder, { recursive: true });
    },
  );
});
