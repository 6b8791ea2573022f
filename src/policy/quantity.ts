/** Sizes and durations as the configuration writes them: a number, a space, a unit. */

const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;

const DURATION_UNITS: Readonly<Record<string, number>> = {
  s: SECOND_MS,
  second: SECOND_MS,
  seconds: SECOND_MS,
  min: MINUTE_MS,
  minute: MINUTE_MS,
  minutes: MINUTE_MS,
  h: HOUR_MS,
  hour: HOUR_MS,
  hours: HOUR_MS,
  day: DAY_MS,
  days: DAY_MS,
  week: WEEK_MS,
  weeks: WEEK_MS,
};

const QUANTITY = /^(?<number>[1-9][0-9]{0,5}) (?<unit>[A-Za-z]+)$/;

/** `64 MiB` in bytes, 1 to 999,999 of B, KiB, MiB or GiB; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZE_UNITS);
}

/** `24 h` in milliseconds, 1 to 999,999 of s, min, h, day or week, in the singular or plural; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATION_UNITS);
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const groups = QUANTITY.exec(text)?.groups;
  const unit = groups?.["unit"];
  if (groups === undefined || unit === undefined || !Object.hasOwn(units, unit)) return undefined;
  return Number(groups["number"]) * (units[unit] ?? Number.NaN);
}

/** Bytes as the configuration writes them, in the largest unit that divides them: `64 MiB`, `1000 B`. */
export function encodeSize(bytes: number): string {
  const [unit, factor] = Object.entries(SIZE_UNITS).findLast(
    ([, size]) => bytes % size === 0 && bytes >= size,
  ) ?? ["B", 1];
  return `${bytes / factor} ${unit}`;
}

/** Milliseconds for people, in the largest unit that divides them: `24 h` is `1 day`. */
export function encodeDuration(ms: number): string {
  const units = [
    ["week", WEEK_MS],
    ["day", DAY_MS],
    ["hour", HOUR_MS],
    ["minute", MINUTE_MS],
    ["second", SECOND_MS],
  ] as const;
  const [unit, factor] = units.find(([, size]) => ms >= size && ms % size === 0) ?? ["second", SECOND_MS];
  const count = ms / factor;
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
