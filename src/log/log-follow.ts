import { Fault } from "../outcome.ts";
import type { TreeHead } from "./checkpoint.ts";
import { LogReader } from "./log-reader.ts";
import type { LogFilter } from "./log-search.ts";

/** Most entries that are looked at in one snapshot, and kept until the reader has taken them. */
const BATCH = 1000;

/** Which log is followed, and how. */
export interface Following {
  /** The state directory. */
  readonly directory: string;
  /** What has been seen: entries after it are new, and the log must always be its continuation. */
  readonly seen: TreeHead;
  readonly filter: Omit<LogFilter, "from" | "to">;
  /** Resolves when it is time to look again. */
  readonly wait: () => Promise<void>;
}

/**
 * Lines that a log grows by and the filter lets through, in its order, for ever. Each look is a snapshot of its own, closed
 * before anything is yielded: however slowly they are taken, the writer's WAL can be checkpointed. Ends by Fault `log-broken`
 * where the log shrinks or another one takes its place, `no-state` where it goes away; a busy one is looked at later.
 */
export async function* followLog({
  directory,
  seen,
  filter,
  wait,
}: Following): AsyncGenerator<readonly string[], never, undefined> {
  let head = seen;
  for (;;) {
    const step = look(directory, head, filter);
    if (step !== undefined && step.lines.length > 0) yield step.lines;
    if (step === undefined || step.atEnd) await wait();
    head = step?.head ?? head;
  }
}

interface Step {
  readonly head: TreeHead;
  readonly lines: readonly string[];
  readonly atEnd: boolean;
}

/** The next entries after `seen`; undefined where others hold the log. */
function look(directory: string, seen: TreeHead, filter: LogFilter): Step | undefined {
  try {
    const reader = LogReader.open(directory);
    try {
      return read(reader, seen, filter);
    } finally {
      reader.close();
    }
  } catch (error) {
    if (error instanceof Fault && error.code === "busy") return undefined;
    throw error;
  }
}

function read(reader: LogReader, seen: TreeHead, filter: LogFilter): Step {
  if (reader.size < seen.size) {
    throw new Fault("log-broken", `the log had ${seen.size} entries and now has ${reader.size}`);
  }
  if (Buffer.compare(reader.rootAt(seen.size), seen.root) !== 0) {
    throw new Fault("log-broken", `the first ${seen.size} entries are not the ones that were there before`);
  }
  const size = Math.min(reader.size, seen.size + BATCH);
  return {
    head: { size, root: size === seen.size ? seen.root : reader.rootAt(size) },
    lines: size === seen.size ? [] : [...reader.search({ ...filter, from: seen.size, to: size })],
    atEnd: size === reader.size,
  };
}
