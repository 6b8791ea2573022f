import { setTimeout as sleep } from "node:timers/promises";
import { Fault, isRefusal, type Refusal } from "../outcome.ts";

/** How often a lost connection, or a host that cannot sign just now, is tried again. */
const RETRIES = 3;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** Faults that may be gone a moment later. What did not verify, and a host that is not trusted, is not asked again. */
const PASSING: ReadonlySet<string> = new Set([
  "host-unreachable",
  "remote-log-unavailable",
  "key-unavailable",
]);

/** What time is made of. */
export interface Clock {
  readonly now: () => number;
  readonly pause: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

const SYSTEM: Clock = {
  now: Date.now,
  pause: async (ms, signal) => void (await sleep(ms, undefined, { signal })),
};

/**
 * Does `work` again where that is worth while: three times after a fault that may pass, and within `waitMs` where the host is
 * busy or a limit is used up until a time that lies within. Any other refusal is returned at once. Asking again is safe: the
 * host delivers the same signature for the same bytes.
 */
export async function withPatience<T>(
  work: () => Promise<T | Refusal>,
  { waitMs, signal }: { readonly waitMs: number; readonly signal?: AbortSignal | undefined },
  clock: Clock = SYSTEM,
): Promise<T | Refusal> {
  const deadline = clock.now() + waitMs;
  let retries = 0;
  for (let pauses = 0; ; pauses += 1) {
    const usual = Math.min(FIRST_PAUSE_MS * 2 ** pauses, LONGEST_PAUSE_MS);
    let pauseMs: number | undefined;
    try {
      const result = await work();
      if (!isRefusal(result)) return result;
      const dueMs = refusalPause(result, clock.now(), usual);
      if (dueMs === undefined || clock.now() + dueMs > deadline) return result;
      pauseMs = dueMs;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Fault)) throw error;
      const inTime = clock.now() + usual <= deadline;
      if (PASSING.has(error.code) && (retries < RETRIES || inTime)) retries += 1;
      else if (error.code !== "busy" || !inTime) throw error;
      pauseMs = usual;
    }
    await clock.pause(pauseMs, signal);
  }
}

/** How long until it makes sense to ask again after a refusal; undefined: never. */
function refusalPause({ code, reason }: Refusal, now: number, usual: number): number | undefined {
  if (code === "timed-out") return usual;
  if (code !== "over-limit") return undefined;
  const next = Date.parse(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z/.exec(reason)?.[0] ?? "");
  return Number.isNaN(next) ? undefined : Math.max(next - now, 0) + usual;
}
