import { type Refusal, refusal } from "../outcome.ts";
import { encodeLimit, type Limit, type LimitState, limitState } from "./limit.ts";
import type { Rule } from "./rule.ts";

/** What limits are counted from: the log. */
export interface LimitHistory {
  /**
   * Times of the newest `count` signatures under a rule, newest first.
   * @param name only those of this name; null: only those without a name; left out: all
   */
  latestTimes(rule: string, count: number, name?: string | null): readonly Date[];
}

/** A limit of a rule as it stands. */
export interface CountedLimit {
  readonly limit: Limit;
  readonly state: LimitState;
}

/** The rule's own limits at `now`. */
export function countLimits(rule: Rule, history: LimitHistory, now: Date): readonly CountedLimit[] {
  return count(rule.limits, (places) => history.latestTimes(rule.id, places), now);
}

/** The rule's limits of one name at `now`; requests without a name share one. */
export function countLimitsOfName(
  rule: Rule,
  name: string | undefined,
  history: LimitHistory,
  now: Date,
): readonly CountedLimit[] {
  return count(rule.limitsPerName, (places) => history.latestTimes(rule.id, places, name ?? null), now);
}

/** Why the rule may not sign another one of this name now; undefined where every limit has a place left. */
export function refuseOverLimit(
  rule: Rule,
  name: string | undefined,
  history: LimitHistory,
  now: Date,
): Refusal | undefined {
  const counted = [...countLimits(rule, history, now), ...countLimitsOfName(rule, name, history, now)];
  const usedUp = counted.flatMap(({ limit, state }) =>
    state.kind === "used-up" ? [{ text: encodeLimit(limit), nextAt: state.nextAt }] : [],
  );
  const last = usedUp.toSorted((a, b) => a.nextAt.getTime() - b.nextAt.getTime()).at(-1);
  if (last === undefined) return undefined;
  return refusal(
    "over-limit",
    `${last.text} is used up; the next is possible at ${last.nextAt.toISOString()}`,
  );
}

function count(
  limits: readonly Limit[],
  latest: (places: number) => readonly Date[],
  now: Date,
): readonly CountedLimit[] {
  return limits.map((limit) => ({ limit, state: limitState(limit, latest(limit.count), now) }));
}
