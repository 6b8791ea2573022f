import type { Code } from "../outcome.ts";
import { type LogEntry, parseLogEntry } from "./log-entry.ts";

/** How much a log says was signed, delivered again and refused; entries and those refusals that have none of their own. */
export interface Tally {
  readonly signed: number;
  readonly reissued: number;
  readonly refused: number;
}

/** The tally of a day, a type, a client or a name. */
export interface Group extends Tally {
  /** `2026-11-23`, `db`, `repos`, `core.db.tar.gz`; `-` for what has none. */
  readonly key: string;
}

/** Groups of one sort, and what was too little to be kept apart. */
export interface Grouping {
  readonly groups: readonly Group[];
  readonly others: Tally;
}

export interface LogStatistics {
  /** Entries of all kinds. */
  readonly entries: number;
  /** Lines that are no entries. */
  readonly unreadable: number;
  readonly total: Tally;
  /** Days (UTC) with something to count, oldest first. */
  readonly days: Grouping;
  /** The busiest first, as the others below. */
  readonly types: Grouping;
  readonly clients: Grouping;
  readonly names: Grouping;
  readonly refusals: readonly { readonly code: Code; readonly count: number }[];
}

/** A century of days; more than any host has names. Beyond, the groups with the least in them are counted together. */
const MAX_DAYS = 36_525;
const MAX_GROUPS = 10_000;

/** What stands in the place of a name, type or client that an entry does not have. */
export const NONE = "-";

/**
 * Counts lines of a log, in one pass and bounded memory whatever they hold. A refusal summed up later counts on the day of the
 * last one summed up, under no type and no name. Controlled by: whoever could write the log.
 */
export function statisticsOf(lines: Iterable<string>): LogStatistics {
  const total = new Tallies(1);
  const days = new Tallies(MAX_DAYS);
  const types = new Tallies(MAX_GROUPS);
  const clients = new Tallies(MAX_GROUPS);
  const names = new Tallies(MAX_GROUPS);
  const refusals = new Map<Code, number>();
  let entries = 0;
  let unreadable = 0;
  for (const line of lines) {
    const entry = parseLogEntry(line);
    if (entry === undefined) {
      unreadable++;
      continue;
    }
    entries++;
    const event = eventOf(entry);
    if (event === undefined) continue;
    const { what, count, code, day, type = NONE, client = NONE, name = NONE } = event;
    total.add("", what, count);
    days.add(day, what, count);
    types.add(type, what, count);
    clients.add(client, what, count);
    names.add(name, what, count);
    if (code !== undefined) refusals.set(code, (refusals.get(code) ?? 0) + count);
  }
  return {
    entries,
    unreadable,
    total: total.sum(),
    days: days.grouping((one, other) => (one.key < other.key ? -1 : 1)),
    types: types.grouping(busiestFirst),
    clients: clients.grouping(busiestFirst),
    names: names.grouping(busiestFirst),
    refusals: [...refusals]
      .map(([code, count]) => ({ code, count }))
      .sort((one, other) => other.count - one.count),
  };
}

/** What an entry adds to the statistics. */
interface CountedEvent {
  readonly what: keyof Tally;
  readonly count: number;
  readonly day: string;
  readonly code?: Code;
  readonly type?: string | undefined;
  readonly client?: string | undefined;
  readonly name?: string | undefined;
}

function eventOf(entry: LogEntry): CountedEvent | undefined {
  switch (entry.kind) {
    case "signed":
    case "reissued": {
      const { kind, type, client, name } = entry;
      return { what: kind, count: 1, day: dayOf(entry.time), type, client, name };
    }
    case "refused": {
      const { code, type, client, name } = entry;
      return { what: "refused", count: 1, day: dayOf(entry.time), code, type, client, name };
    }
    case "refused-summary": {
      const { code, count, client } = entry;
      return { what: "refused", count, day: dayOf(entry.to), code, client };
    }
    default:
      return undefined;
  }
}

/** The day, UTC, of an entry's time. */
function dayOf(time: string): string {
  return time.slice(0, 10);
}

type Counts = { -readonly [K in keyof Tally]: number };

const sizeOf = ({ signed, reissued, refused }: Tally) => signed + reissued + refused;
const busiestFirst = (one: Tally, other: Tally) => sizeOf(other) - sizeOf(one);

/** Tallies by key, at most so many: when there are more, the smaller half of them is counted together. */
class Tallies {
  readonly #max: number;
  readonly #byKey = new Map<string, Counts>();
  readonly #others: Counts = { signed: 0, reissued: 0, refused: 0 };

  constructor(max: number) {
    this.#max = max;
  }

  add(key: string, what: keyof Tally, count: number): void {
    let counts = this.#byKey.get(key);
    if (counts === undefined) {
      if (this.#byKey.size >= this.#max) this.#shrink();
      counts = { signed: 0, reissued: 0, refused: 0 };
      this.#byKey.set(key, counts);
    }
    counts[what] += count;
  }

  /** Of everything. */
  sum(): Tally {
    const sum = { ...this.#others };
    for (const counts of this.#byKey.values()) addTo(sum, counts);
    return sum;
  }

  grouping(order: (one: Group, other: Group) => number): Grouping {
    const groups = [...this.#byKey].map(([key, counts]) => ({ key, ...counts }));
    return { groups: groups.sort(order), others: { ...this.#others } };
  }

  #shrink(): void {
    const bySize = [...this.#byKey].sort(([, one], [, other]) => busiestFirst(one, other));
    for (const [key, counts] of bySize.slice(Math.floor(this.#max / 2))) {
      addTo(this.#others, counts);
      this.#byKey.delete(key);
    }
  }
}

function addTo(sum: Counts, counts: Tally): void {
  sum.signed += counts.signed;
  sum.reissued += counts.reissued;
  sum.refused += counts.refused;
}
