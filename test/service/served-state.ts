import type { ClientState, ServedState } from "../../src/service/service-state.ts";
import { DURATION_BOUNDS_SECONDS } from "../../src/service/tally.ts";

export const NOW = new Date("2026-11-23T12:00:00.000Z");
export const later = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000);

/** A client of which nothing was heard, unless told otherwise. */
export function clientState(changes: Partial<ClientState> = {}): ClientState {
  return {
    client: "repos",
    connections: 0,
    waiting: 0,
    turnedAway: 0,
    outcomes: new Map(),
    signed: 0,
    reissued: 0,
    durations: Array<number>(DURATION_BOUNDS_SECONDS.length + 1).fill(0),
    durationSeconds: 0,
    ...changes,
  };
}

/** A service that is well, at {@link NOW}, unless told otherwise. */
export function servedStateOf(changes: Partial<ServedState> = {}): ServedState {
  return {
    time: NOW,
    origin: "signer.example.org/repo",
    mode: "split",
    service: { version: "1.2.3", startedAt: later(-7260), isServing: true, clients: [clientState()] },
    log: { entries: 12, lastEntryAt: later(-5) },
    halted: undefined,
    rules: [
      {
        id: "repos-db",
        client: "repos",
        type: "db",
        key: "repo",
        limits: [
          { limit: "600 per day", places: 600, left: 540, nextAt: undefined },
          { limit: "60 per hour", places: 60, left: 0, nextAt: later(60) },
        ],
      },
    ],
    keys: [
      { name: "repo", fingerprint: "A".repeat(40), expiresAt: later(86_400 * 30.5), problem: undefined },
    ],
    remoteLogs: [
      {
        name: "loghost",
        required: true,
        acknowledged: 10,
        unacknowledged: 2,
        connected: true,
        failure: undefined,
      },
    ],
    ...changes,
  };
}

/** The same, with these clients. */
export function withClients(...clients: readonly ClientState[]): ServedState {
  const state = servedStateOf();
  return { ...state, service: { ...state.service, clients } };
}
