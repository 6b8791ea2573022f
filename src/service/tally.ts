import type { Code } from "../outcome.ts";

/** Upper bounds of the classes that durations are counted in, in seconds; the last one has none. */
export const DURATION_BOUNDS_SECONDS = [
  0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
] as const;

/** What happened to one client's requests since the service began. Counts only grow. */
export interface ClientTally {
  /** Requests that have ended, by how; `answered` is success. */
  readonly outcomes: ReadonlyMap<"answered" | Code, number>;
  /** Signatures that left, new ones and those delivered again. */
  readonly signatures: { readonly signed: number; readonly reissued: number };
  /** Connections that were one too many. */
  readonly turnedAway: number;
  /** Of answered requests, from their first byte to their last, for each of {@link DURATION_BOUNDS_SECONDS} and beyond; not cumulative. */
  readonly durations: readonly number[];
  readonly durationSeconds: number;
}

interface Counts extends ClientTally {
  readonly outcomes: Map<"answered" | Code, number>;
  readonly signatures: { signed: number; reissued: number };
  turnedAway: number;
  readonly durations: number[];
  durationSeconds: number;
}

/** Counts what the service does, for metrics and for people. Its size depends on the number of clients alone. */
export class Tally {
  readonly #clients = new Map<string, Counts>();

  /** By client, those that were ever counted. */
  get clients(): ReadonlyMap<string, ClientTally> {
    return this.#clients;
  }

  /** A request ended after `seconds`. */
  ended(client: string, outcome: "answered" | Code, seconds: number): void {
    const counts = this.#of(client);
    counts.outcomes.set(outcome, (counts.outcomes.get(outcome) ?? 0) + 1);
    if (outcome !== "answered") return;
    const found = DURATION_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    const index = found < 0 ? DURATION_BOUNDS_SECONDS.length : found;
    counts.durations[index] = (counts.durations[index] ?? 0) + 1;
    counts.durationSeconds += seconds;
  }

  /** A signature left. */
  signed(client: string, kind: "signed" | "reissued"): void {
    this.#of(client).signatures[kind] += 1;
  }

  /** A connection was one too many. */
  turnedAway(client: string): void {
    this.#of(client).turnedAway += 1;
  }

  #of(client: string): Counts {
    const known = this.#clients.get(client);
    if (known !== undefined) return known;
    const counts: Counts = {
      outcomes: new Map(),
      signatures: { signed: 0, reissued: 0 },
      turnedAway: 0,
      durations: Array<number>(DURATION_BOUNDS_SECONDS.length + 1).fill(0),
      durationSeconds: 0,
    };
    this.#clients.set(client, counts);
    return counts;
  }
}
