import { describe, expect, test } from "vitest";
import { effectiveTime } from "../../src/log/log-clock.ts";
import { Fault } from "../../src/outcome.ts";
import { at, DAY, entriesOf, faultCode, freshLedger, HOUR, MINUTE, START, sign, verdict } from "./fixture.ts";

describe("the effective time", () => {
  test("is now while the clock runs forward", () => {
    expect(effectiveTime(at(1), START)).toEqual(at(1));
    expect(effectiveTime(START, START)).toEqual(START);
  });

  test("is the last entry's while the clock is less than five minutes behind it", () => {
    expect(effectiveTime(at(-1), START)).toEqual(START);
    expect(effectiveTime(at(-5 * MINUTE + 1), START)).toEqual(START);
  });

  test("is none from five minutes behind: the message says by how much and what to do", () => {
    expect(() => effectiveTime(at(-5 * MINUTE), START)).toThrow(Fault);
    const message = (ms: number) => {
      try {
        return effectiveTime(at(-ms), START);
      } catch (error) {
        return (error as Fault).message;
      }
    };
    expect(message(5 * MINUTE)).toMatch(/^the clock is 5 minutes behind .*`signer clock accept`/);
    expect(message(119 * MINUTE)).toContain("119 minutes");
    expect(message(2 * HOUR)).toContain("2 hours");
    expect(message(47 * HOUR)).toContain("47 hours");
    expect(message(31 * DAY)).toContain("31 days");
  });

  test("is none where the times are no times", () => {
    expect(() => effectiveTime(new Date(Number.NaN), START)).toThrow(Fault);
    expect(() => effectiveTime(START, new Date(Number.NaN))).toThrow(Fault);
  });
});

test("nothing is signed while the clock is a month behind, and nothing is logged", async () => {
  const { ledger, directory } = freshLedger();
  expect(await faultCode(() => sign(ledger, at(-31 * DAY)))).toBe("clock-behind");
  expect(entriesOf(directory)).toHaveLength(1);
});

test("a clock slightly behind gives entries the last entry's time", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(HOUR));
  await sign(ledger, at(HOUR - MINUTE));
  expect(entriesOf(directory).map(({ time }) => Date.parse(time) - START.getTime())).toEqual([0, HOUR, HOUR]);
  expect(verdict(directory)).toBe("sound");
});

describe("accepting the clock", () => {
  test("is an entry that names the time before, and times go on from there", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(365 * DAY));
    const accepted = await ledger.acceptClock(at(DAY));
    expect(accepted).toMatchObject({
      kind: "clock-accepted",
      time: at(DAY).toISOString(),
      previous: at(365 * DAY).toISOString(),
    });
    await sign(ledger, at(DAY + 1));
    expect(entriesOf(directory).at(-1)?.time).toBe(at(DAY + 1).toISOString());
    expect(verdict(directory)).toBe("sound");
  });

  test("does nothing where the clock is not behind", async () => {
    const { ledger, directory } = freshLedger();
    expect(await ledger.acceptClock(START)).toBeUndefined();
    expect(await ledger.acceptClock(at(DAY))).toBeUndefined();
    expect(entriesOf(directory)).toHaveLength(1);
    expect(await ledger.acceptClock(at(-1))).toBeDefined();
    expect(verdict(directory)).toBe("sound");
  });

  test("comes before summaries that have waited, so that the log's times stay in order", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 0; i < 11; i++) {
      await ledger.recordRefusal(at(365 * DAY + i), {
        kind: "refused",
        client: "repos",
        code: "truncated",
        reason: "x",
      });
    }
    await ledger.acceptClock(at(DAY));
    await sign(ledger, at(DAY));
    expect(
      entriesOf(directory)
        .slice(-3)
        .map(({ kind }) => kind),
    ).toEqual(["clock-accepted", "refused-summary", "signed"]);
    expect(verdict(directory)).toBe("sound");
  });
});
