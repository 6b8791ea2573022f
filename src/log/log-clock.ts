import { Fault } from "../outcome.ts";

/** How far the clock may lie behind the log's last entry before nothing is signed, in ms. */
export const TOLERATED_LAG_MS = 5 * 60_000;

/**
 * The time that counts: now, or the last entry's where that is later by less than five minutes, so that the log's times
 * never run backwards. Further behind: Fault `clock-behind`.
 */
export function effectiveTime(now: Date, last: Date): Date {
  const lagMs = last.getTime() - now.getTime();
  if (lagMs < TOLERATED_LAG_MS) return lagMs > 0 ? last : now;
  throw new Fault(
    "clock-behind",
    `the clock is ${duration(lagMs)} behind the log's last entry; where the clock is right, \`signer clock accept\` says so`,
  );
}

function duration(ms: number): string {
  for (const [unit, unitMs] of [
    ["days", 86_400_000],
    ["hours", 3_600_000],
  ] as const) {
    if (ms >= 2 * unitMs) return `${Math.floor(ms / unitMs)} ${unit}`;
  }
  return `${Math.floor(ms / 60_000)} minutes`;
}
