import { isDeepStrictEqual } from "node:util";
import { boundedLines } from "../bounded-lines.ts";
import type { PullSource } from "../config/config.ts";
import type { Signing } from "./signing.ts";
import { SourceMemory } from "./source-memory.ts";
import type { SourceServer } from "./source-server.ts";
import { SourceWork } from "./source-work.ts";

/** What is being signed or uploaded when the end comes may still take so long, in ms. */
const GRACE_MS = 5_000;

/** What is to be done for one source. */
export interface SourcePlan {
  readonly source: PullSource;
  readonly signing: Signing;
  /** What `signing` was made of: where that, or the source, is another one, the work begins anew. */
  readonly basis: unknown;
}

/** What work on sources needs of the world around it. */
export interface PullWorld {
  /** Of `[pull]`, which openStateFolder has looked at. */
  readonly stateDirectory: string;
  connect(source: PullSource): SourceServer;
  /** For the journal, a line each. */
  say(source: string, line: string): void;
  /** A request was answered, a line each. */
  done(source: string, line: string): void;
}

interface Running {
  readonly plan: SourcePlan;
  /** Rejects where the work ended by a bug. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** The sources of a service, side by side. */
export class RunningSources {
  readonly #world: PullWorld;
  readonly #running = new Map<string, Running>();
  readonly #broken = Promise.withResolvers<never>();

  constructor(world: PullWorld) {
    this.#world = world;
    this.#broken.promise.catch(() => undefined);
  }

  /** Rejects where something ended that should not have. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  /** Names of those that are worked on. */
  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  /**
   * Works on these from now on: those that are as they were go on, the others are ended, or begun.
   * @throws Fault as of {@link SourceMemory}, the first one: that source is not worked on, all others are
   */
  async change(plans: readonly SourcePlan[]): Promise<void> {
    const kept = ({ plan }: Running) => plans.some((each) => isSame(each, plan));
    const leaving = [...this.#running].filter(([, running]) => !kept(running));
    await Promise.all(leaving.map(([name]) => this.#stop(name)));
    const problems: unknown[] = [];
    for (const plan of plans) {
      if (this.#running.has(plan.source.name)) continue;
      try {
        this.#running.set(plan.source.name, this.#start(plan));
      } catch (error) {
        problems.push(error);
      }
    }
    if (problems.length > 0) throw problems[0];
  }

  /** Ends all work, within seconds. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#stop(name)));
  }

  #start(plan: SourcePlan): Running {
    const { name } = plan.source;
    const say = boundedLines((line) => this.#world.say(name, line));
    const { work, close } = openWork(
      { ...this.#world, say: (_, line) => say(line), done: (_, line) => say(line) },
      plan,
    );
    const [soon, now] = [new AbortController(), new AbortController()];
    const ended = work.run({ soon: soon.signal, now: now.signal }).finally(close);
    ended.catch((error: unknown) => this.#broken.reject(error));
    return {
      plan,
      ended,
      stop: async () => {
        soon.abort();
        const timer = setTimeout(() => now.abort(), GRACE_MS);
        await ended.catch(() => undefined); // broken has it
        clearTimeout(timer);
      },
    };
  }

  async #stop(name: string): Promise<void> {
    await this.#running.get(name)?.stop();
    this.#running.delete(name);
  }
}

function isSame(one: SourcePlan, other: SourcePlan): boolean {
  return isDeepStrictEqual([one.source, one.basis], [other.source, other.basis]);
}

/** The work on one source, nothing of it begun. Faults as of {@link SourceMemory}. */
export function openWork(
  world: PullWorld,
  { source, signing }: SourcePlan,
): { readonly work: SourceWork; readonly close: () => void } {
  const memory = SourceMemory.open(world.stateDirectory, source.name);
  const server = world.connect(source);
  const work = new SourceWork({
    source,
    server,
    signing,
    memory,
    say: (line) => world.say(source.name, line),
    done: (line) => world.done(source.name, line),
    now: () => new Date(),
  });
  const close = () => {
    server.close();
    memory.close();
  };
  return { work, close };
}
