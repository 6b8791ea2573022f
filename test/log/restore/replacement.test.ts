import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { halt } from "../../../src/log/halt.ts";
import { Ledger } from "../../../src/log/ledger.ts";
import {
  beginReplacement,
  completeReplacement,
  newFilesDirectory,
} from "../../../src/log/restore/replacement.ts";
import { at, faultCode, freshDirectory, linesOf, reopen, verdict } from "../fixture.ts";
import { copyOf, filledState, restore, signMore } from "./fixture.ts";

/** A log of seven entries that one of nine is to replace, with everything that can be moved. */
async function prepared(): Promise<string> {
  const host = await filledState();
  const better = join(freshDirectory(), "state");
  cpSync(host, better, { recursive: true });
  await signMore(better, 2);
  writeFileSync(join(host, "log.db-shm"), "");
  writeFileSync(join(host, "log.db-wal"), "old");
  halt(host, "the log was rolled back", at(0));
  const folder = newFilesDirectory(host);
  for (const file of ["log.db", "log.key"]) copyFileSync(join(better, file), join(folder, file));
  return host;
}

test("until the replacement begins, the old log is in place", async () => {
  const host = await prepared();
  expect(readFileSync(join(host, "log.db-wal"), "utf8")).toBe("old");
  expect(existsSync(join(host, "log.db"))).toBe(true);
});

test("wherever a crash interrupts it, nothing is signed, and going on ends with the new log whole and the old one aside", async () => {
  const steps = [
    "begun",
    "key in place",
    "log.db aside",
    "log.db-wal aside",
    "log.db-shm aside",
    "log in place",
    "mark aside",
  ];
  for (const [i, last] of steps.entries()) {
    const host = await prepared();
    beginReplacement(host);
    const interrupted = completeReplacement(host, "replaced-1");
    const done = ["begun"];
    while (done.length <= i) done.push(String(interrupted.next().value));
    expect(done.at(-1)).toBe(last);
    expect(await faultCode(() => Ledger.open(host)), last).toBe("log-broken");
    // A log key is there at any moment, so that init makes no new log.
    expect(existsSync(join(host, "log.key")), last).toBe(true);
    expect(existsSync(join(host, "log.db")), last).toBe(!/aside/.test(last) || last === "mark aside");

    for (const _step of completeReplacement(host, "replaced-1"));
    expect(existsSync(join(host, "replacing"))).toBe(false);
    expect(linesOf(host)).toHaveLength(9);
    expect(verdict(host)).toBe("sound");
    reopen(host);
    const aside = join(host, "replaced-1");
    for (const file of ["log.db", "log.db-wal", "log.db-shm", "log.key", "halted"])
      expect(existsSync(join(aside, file)), `${last}: ${file}`).toBe(true);
    expect(readFileSync(join(aside, "log.db-wal"), "utf8")).toBe("old");
  }
});

test("the same command completes what was begun, without asking for anything again", async () => {
  const host = await prepared();
  beginReplacement(host);
  completeReplacement(host, "replaced-1").next();
  expect(await restore(host, "/nonexistent", { logKeyFile: "/nonexistent" })).toMatchObject({
    kind: "completed",
  });
  expect(linesOf(host)).toHaveLength(9);
});

test("what a crash left of a log that was not whole yet is thrown away", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  mkdirSync(join(host, "restoring", "new"), { recursive: true });
  writeFileSync(join(host, "restoring", "new", "log.db"), "half a log");
  await signMore(host, 1);
  expect(await restore(host, copy, { discard: 1 })).toMatchObject({ kind: "restored" });
  expect(linesOf(host)).toHaveLength(8);
  expect(existsSync(join(host, "restoring"))).toBe(false);
});

test("folders that went aside within a second do not get in each other's way", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  const asides = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const done = await restore(host, copy, { discard: i === 0 ? 0 : 1 });
    if (typeof done !== "string") asides.add(done.aside);
    else await signMore(host, 1, at(24 * 3_600_000));
  }
  expect(asides.size).toBe(2);
});
