import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeLimit, type Limit, limitState, parseLimit } from "../../src/policy/limit.ts";

function limit(text: string): Limit {
  const parsed = parseLimit(text);
  if (parsed === undefined) throw new Error(`not a limit: ${text}`);
  return parsed;
}

const at = (text: string): Date => new Date(text);

describe("parseLimit", () => {
  it.each([
    ["600 per day", { count: 600, window: { kind: "sliding", ms: 86_400_000 } }],
    ["60 per hour", { count: 60, window: { kind: "sliding", ms: 3_600_000 } }],
    ["1 per month", { count: 1, window: { kind: "month" } }],
    ["2 per week", { count: 2, window: { kind: "sliding", ms: 604_800_000 } }],
    ["5 per 30 days", { count: 5, window: { kind: "sliding", ms: 2_592_000_000 } }],
    ["5 per 90 s", { count: 5, window: { kind: "sliding", ms: 90_000 } }],
  ])("reads %s", (text, expected) => {
    expect(parseLimit(text)).toEqual(expected);
  });

  it.each([
    "",
    "1",
    "per day",
    "0 per day",
    "-1 per day",
    "1.5 per day",
    "01 per day",
    "1 per",
    "1 per fortnight",
    "1 per 2 months",
    "1 per month ",
    "1 per 0 days",
    "1000000 per day",
    "1 per day per day",
    "1 Per day",
    "1 per constructor",
  ])("does not read %j", (text) => {
    expect(parseLimit(text)).toBeUndefined();
  });

  it("reads back what encodeLimit writes", () => {
    const units = fc.constantFrom("s", "minutes", "hour", "days", "weeks");
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999_999 }),
        fc.integer({ min: 1, max: 999 }),
        units,
        (count, n, unit) => {
          const value = limit(`${count} per ${n} ${unit}`);
          expect(parseLimit(encodeLimit(value))).toEqual(value);
        },
      ),
    );
    expect(encodeLimit(limit("1 per month"))).toBe("1 per month");
    expect(encodeLimit(limit("60 per 1 hour"))).toBe("60 per hour");
  });
});

describe("limitState", () => {
  const now = at("2026-11-23T12:00:00.000Z");

  it("counts down the places of a sliding window", () => {
    const times = [at("2026-11-23T11:59:00Z"), at("2026-11-23T11:30:00Z")];
    expect(limitState(limit("3 per hour"), times, now)).toEqual({ kind: "free", left: 1 });
    expect(limitState(limit("3 per hour"), [], now)).toEqual({ kind: "free", left: 3 });
  });

  it("is used up at the count, until the oldest of the newest leaves the window", () => {
    const times = [at("2026-11-23T11:59:00Z"), at("2026-11-23T11:30:00Z"), at("2026-11-23T11:20:00Z")];
    const state = limitState(limit("2 per hour"), times, now);
    expect(state).toEqual({ kind: "used-up", nextAt: at("2026-11-23T12:30:00.001Z") });
  });

  it("still counts a signature exactly one window ago, and frees its place one millisecond later", () => {
    const times = [at("2026-11-23T11:00:00.000Z")];
    expect(limitState(limit("1 per hour"), times, now).kind).toBe("used-up");
    expect(limitState(limit("1 per hour"), times, at("2026-11-23T12:00:00.001Z")).kind).toBe("free");
  });

  it("gives as next time the very first that is free", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 0, maxLength: 8 }),
        fc.integer({ min: 1, max: 4 }),
        (ages, count) => {
          const times = ages.sort((a, b) => a - b).map((age) => new Date(now.getTime() - age));
          const rule = { count, window: { kind: "sliding", ms: 3_600_000 } } as const;
          const state = limitState(rule, times, now);
          if (state.kind === "free") return;
          expect(limitState(rule, times, state.nextAt).kind).toBe("free");
          expect(limitState(rule, times, new Date(state.nextAt.getTime() - 1)).kind).toBe("used-up");
        },
      ),
    );
  });

  it("counts the calendar month in UTC, from its first to its last millisecond", () => {
    const once = limit("1 per month");
    expect(limitState(once, [at("2026-11-01T00:00:00.000Z")], now)).toEqual({
      kind: "used-up",
      nextAt: at("2026-12-01T00:00:00Z"),
    });
    expect(limitState(once, [at("2026-10-31T23:59:59.999Z")], now)).toEqual({ kind: "free", left: 1 });
    const newYear = limitState(once, [at("2026-12-31T23:00:00Z")], at("2026-12-31T23:59:59.999Z"));
    expect(newYear).toEqual({ kind: "used-up", nextAt: at("2027-01-01T00:00:00Z") });
  });

  it("frees no place for a signature that lies in the future", () => {
    const times = [at("2026-12-24T00:00:00Z")];
    expect(limitState(limit("1 per month"), times, now).kind).toBe("used-up");
    expect(limitState(limit("1 per hour"), times, now)).toEqual({
      kind: "used-up",
      nextAt: at("2026-11-23T13:00:00.001Z"),
    });
  });
});
