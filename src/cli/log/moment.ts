/** Units of `2d` and the like, in ms. */
const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * A point in time as people type it: RFC 3339 (`2026-11-23T12:00:00Z`, with an offset too), a date, which stands for its first
 * moment in UTC, `now`, `today`, `yesterday`, or how long ago: `30m`, `36h`, `2d`, `3w`. Undefined for anything else.
 */
export function parseMoment(text: string, now: Date): Date | undefined {
  const [, amount, unit] = /^([0-9]{1,6})([mhdw])$/.exec(text) ?? [];
  if (amount !== undefined && unit !== undefined)
    return new Date(now.getTime() - Number(amount) * (UNITS[unit] ?? 0));
  if (text === "now") return now;
  if (text === "today") return startOfDay(now, 0);
  if (text === "yesterday") return startOfDay(now, -1);
  const date =
    /^([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2}))?$/.exec(
      text,
    );
  if (date === null) return undefined;
  // Date takes 30 February for 2 March: the day must come back as it was written.
  const day = new Date(`${date[1]}T00:00:00Z`);
  if (Number.isNaN(day.getTime()) || !day.toISOString().startsWith(`${date[1]}T`)) return undefined;
  const moment = date[2] === undefined ? day : new Date(text);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

function startOfDay(now: Date, days: number): Date {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + days));
}
