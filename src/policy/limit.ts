import { encodeDuration, parseDuration } from "./quantity.ts";

/** How often a rule may sign: `count` signatures in each window. */
export interface Limit {
  /** 1 to 999,999. */
  readonly count: number;
  readonly window: SlidingWindow | CalendarMonth;
}

/** The last `ms` milliseconds before now. */
interface SlidingWindow {
  readonly kind: "sliding";
  readonly ms: number;
}

/** The calendar month, UTC. */
interface CalendarMonth {
  readonly kind: "month";
}

/** What a limit says now. */
export type LimitState =
  | { readonly kind: "free"; readonly left: number }
  | { readonly kind: "used-up"; readonly nextAt: Date };

const LIMIT = /^(?<count>[1-9][0-9]{0,5}) per (?<window>.+)$/;

/** `600 per day`, `1 per month`, `5 per 30 days`; month is the calendar month, the rest slides. Undefined for anything else. */
export function parseLimit(text: string): Limit | undefined {
  const groups = LIMIT.exec(text)?.groups;
  const window = groups?.["window"];
  if (groups === undefined || window === undefined) return undefined;
  const count = Number(groups["count"]);
  if (window === "month") return { count, window: { kind: "month" } };
  const ms = parseDuration(/^[0-9]/.test(window) ? window : `1 ${window}`);
  return ms === undefined ? undefined : { count, window: { kind: "sliding", ms } };
}

/** The text that {@link parseLimit} reads as `limit`. */
export function encodeLimit(limit: Limit): string {
  if (limit.window.kind === "month") return `${limit.count} per month`;
  return `${limit.count} per ${encodeDuration(limit.window.ms).replace(/^1 /, "")}`;
}

/**
 * What is left of a limit.
 * @param newestFirst times of the newest signatures that count, at least the newest `limit.count` of them; a time after
 *   `now` counts as now, so that a clock that stepped back frees no place
 */
export function limitState(limit: Limit, newestFirst: readonly Date[], now: Date): LimitState {
  const start = windowStart(limit, now);
  const taken = newestFirst.filter((time) => time.getTime() >= start).length;
  if (taken < limit.count) return { kind: "free", left: limit.count - taken };
  if (limit.window.kind === "month") return { kind: "used-up", nextAt: startOfNextMonth(now) };
  // The place that frees first is the oldest of the newest `count`.
  const oldest = Math.min(newestFirst[limit.count - 1]?.getTime() ?? now.getTime(), now.getTime());
  return { kind: "used-up", nextAt: new Date(oldest + limit.window.ms + 1) };
}

/** First instant that counts, in ms since 1970: a signature exactly one window ago still counts. */
function windowStart(limit: Limit, now: Date): number {
  if (limit.window.kind === "sliding") return now.getTime() - limit.window.ms;
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
}

function startOfNextMonth(now: Date): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1));
}
