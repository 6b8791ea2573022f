import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A program that has to end with 0. Only {@link measure} and {@link peakMemory} run it. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: NodeJS.ProcessEnv;
  /** File on its standard input; nothing where left out. */
  readonly stdin?: string;
}

/** Makes the program of each run, since no two requests for a signature may be the same. */
export type NextRun = () => Program;

/**
 * Runs programs in turns, so that whatever else the machine does meets all of them alike.
 * @returns for each program its wall times in ms, in the order of the runs; a first run of each that warms caches is left out
 */
export function measure(
  programs: Readonly<Record<string, NextRun>>,
  runs: number,
): ReadonlyMap<string, readonly number[]> {
  const names = Object.keys(programs);
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let run = 0; run <= runs; run++) {
    for (const [name, next] of Object.entries(programs)) {
      const timeMs = runOnce(next());
      if (run > 0) times.get(name)?.push(timeMs);
    }
  }
  return times;
}

/** Like {@link measure}, for calls within this process. */
export async function measureCalls(
  calls: Readonly<Record<string, () => Promise<void>>>,
  runs: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const times = new Map<string, number[]>(Object.keys(calls).map((name) => [name, []]));
  for (let run = 0; run <= runs; run++) {
    for (const [name, call] of Object.entries(calls)) {
      const start = process.hrtime.bigint();
      await call();
      const end = process.hrtime.bigint();
      if (run > 0) times.get(name)?.push(Number(end - start) / 1e6);
    }
  }
  return times;
}

function runOnce({ command, args, env, stdin = "/dev/null" }: Program): number {
  const input = openSync(stdin, "r");
  try {
    const start = process.hrtime.bigint();
    const { status, stderr, error } = spawnSync(command, args, { env, stdio: [input, "pipe", "pipe"] });
    const end = process.hrtime.bigint();
    if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`, { cause: error });
    return Number(end - start) / 1e6;
  } finally {
    closeSync(input);
  }
}

/** The middle one of some numbers; of an even count, the lower of the two. */
export function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}

/**
 * Runs a program once, without timing it, and follows the peak of its resident memory until it ends, in bytes. The kernel
 * keeps the peak (VmHWM, proc_pid_status(5)), so that only what is gained in the last millisecond can be missed. Programs that
 * it starts do not count; what replaces it (exec) does. Undefined where there is no such file: not on Linux.
 */
export async function peakMemory({
  command,
  args,
  env,
  stdin = "/dev/null",
}: Program): Promise<number | undefined> {
  const input = openSync(stdin, "r");
  const child = spawn(command, args, { env, stdio: [input, "ignore", "inherit"] });
  const closed = once(child, "close");
  let peakBytes: number | undefined;
  while (child.exitCode === null && child.signalCode === null) {
    peakBytes = readPeak(child.pid) ?? peakBytes;
    await sleep(1);
  }
  await closed;
  closeSync(input);
  if (child.exitCode !== 0) throw new Error(`${command} ended with ${child.exitCode ?? child.signalCode}`);
  return peakBytes;
}

/** Peak of a running process's resident memory, in bytes; undefined where it is not known. */
export function readPeak(pid: number | undefined): number | undefined {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}
