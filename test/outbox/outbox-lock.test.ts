import { linkSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeEach, expect, test } from "vitest";
import { OutboxLock } from "../../src/outbox/outbox-lock.ts";
import { ownedName } from "../../src/outbox/owner.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { elsewhereName, goneName } from "./fixture.ts";

const cleanup = new Cleanup();
let folder: string;
beforeEach(async () => {
  folder = await tempDir(cleanup);
});
afterAll(() => cleanup.run());

/** As if a process had the lock. */
function lockAs(name: string): void {
  writeFileSync(join(folder, name), `${name}\n`);
  linkSync(join(folder, name), join(folder, "lock"));
}

const acquire = (waitMs = 5000, signal?: AbortSignal) => OutboxLock.acquire(folder, waitMs, signal);

test("one has it at a time, and everybody gets it", async () => {
  let [inside, turns] = [0, 0];
  const work = async () => {
    for (let turn = 0; turn < 10; turn++) {
      const lock = await acquire(20_000);
      expect(++inside).toBe(1);
      await sleep(1);
      inside--;
      turns++;
      lock.release();
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  expect(turns).toBe(80);
  expect(readdirSync(folder)).toEqual([]);
});

test("the lock of a process that was killed is taken over, by one of those that try", async () => {
  for (let round = 0; round < 20; round++) {
    lockAs(goneName("claim.1"));
    let inside = 0;
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const lock = await acquire();
        expect(++inside).toBe(1);
        await sleep(0);
        inside--;
        lock.release();
      }),
    );
    expect(readdirSync(folder)).toEqual([]);
  }
});

test("the lock of a process that runs is not, nor of one that cannot be looked at, nor what somebody else has put there", async () => {
  const held = [ownedName("claim.77"), elsewhereName("claim.1")];
  for (const name of held) {
    lockAs(name);
    await expect(acquire(60)).rejects.toMatchObject({
      code: "busy",
      message: `expected "${folder}/lock" to be free within 0.06 s, process ${process.pid} holds it`,
    });
    expect(readdirSync(folder).toSorted()).toEqual([name, "lock"].toSorted());
    folder = await tempDir(cleanup);
  }
  writeFileSync(join(folder, "lock"), "");
  // A claim that is gone, but not of this lock.
  writeFileSync(join(folder, goneName("claim.1")), "");
  await expect(acquire(60)).rejects.toMatchObject({
    code: "busy",
    message: expect.stringContaining("another process holds it"),
  });
});

test("only a claim is taken for one: a copy of a process that was killed is not", async () => {
  lockAs(goneName("copy.1"));
  await expect(acquire(60)).rejects.toMatchObject({ code: "busy" });
});

test("who waits can be told to end", async () => {
  const lock = await acquire();
  const aborted = new AbortController();
  const waiting = acquire(20_000, aborted.signal);
  aborted.abort();
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  lock.release();
  await expect(acquire(100, aborted.signal)).rejects.toMatchObject({ name: "AbortError" });
  expect(readdirSync(folder)).toEqual([]);
});

test("a lock that was removed by hand, and is another's by now, stays the other's", async () => {
  const lock = await acquire();
  const { unlinkSync } = await import("node:fs");
  unlinkSync(join(folder, "lock"));
  const other = await acquire();
  lock.release();
  expect(readdirSync(folder)).toContain("lock");
  other.release();
  expect(readdirSync(folder)).toEqual([]);
});
