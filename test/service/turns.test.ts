import { expect, test } from "vitest";
import { Turns } from "../../src/service/turns.ts";

const PATIENT_MS = 60_000;

/** Whether a promise has settled by now. */
async function hasCome(promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([
    promise.then(() => true),
    new Promise<boolean>((resolve) => setImmediate(resolve, false)),
  ]);
}

test("so many have a turn at the same time, the others wait in their order", async () => {
  const turns = new Turns(() => 2);
  const ends = [await turns.take(PATIENT_MS), await turns.take(PATIENT_MS)];
  const third = turns.take(PATIENT_MS);
  const fourth = turns.take(PATIENT_MS);
  expect(turns.waiting).toBe(2);
  expect(await hasCome(third)).toBe(false);
  ends[0]?.();
  expect(await hasCome(third)).toBe(true);
  expect(await hasCome(fourth)).toBe(false);
  ends[1]?.();
  expect(await hasCome(fourth)).toBe(true);
  (await third)?.();
  (await fourth)?.();
  expect(await hasCome(turns.take(PATIENT_MS))).toBe(true);
});

test("who has waited long enough gets none, and takes none away", async () => {
  const turns = new Turns(() => 1);
  const end = await turns.take(PATIENT_MS);
  expect(await turns.take(1)).toBeUndefined();
  expect(turns.waiting).toBe(0);
  end?.();
  expect(await turns.take(1)).toBeDefined();
});

test("where there are to be fewer, none begins until so many have ended", async () => {
  let atOnce = 2;
  const turns = new Turns(() => atOnce);
  const ends = [await turns.take(PATIENT_MS), await turns.take(PATIENT_MS)];
  const waiting = turns.take(PATIENT_MS);
  atOnce = 1;
  ends[0]?.();
  expect(await hasCome(waiting)).toBe(false);
  ends[1]?.();
  expect(await hasCome(waiting)).toBe(true);
});

test("where there are to be more, those who wait have them with the next end", async () => {
  let atOnce = 1;
  const turns = new Turns(() => atOnce);
  const end = await turns.take(PATIENT_MS);
  const waiting = [1, 2, 3].map(() => turns.take(PATIENT_MS));
  atOnce = 2;
  end?.();
  expect(await Promise.all(waiting.map(hasCome))).toEqual([true, true, false]);
});

test("abandoned, who waits gets none, and who has one keeps it", async () => {
  const turns = new Turns(() => 1);
  const end = await turns.take(PATIENT_MS);
  const waiting = [turns.take(PATIENT_MS), turns.take(PATIENT_MS)];
  turns.abandon();
  expect(await Promise.all(waiting)).toEqual([undefined, undefined]);
  end?.();
  expect(await turns.take(PATIENT_MS)).toBeDefined();
});
