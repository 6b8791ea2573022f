import type { Readable, Writable } from "node:stream";
import { Fault } from "../outcome.ts";
import { SessionOutput } from "./session-output.ts";
import type { RemoteResult, RunOptions } from "./signing-host.ts";
import { Silence } from "./silence.ts";

/** A command that runs on the host, whatever carries it. */
export interface Session {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** The command's exit status, once everything it said was read; rejects with a Fault where there is none. */
  readonly exitStatus: Promise<number>;
  /** Ends it; `exitStatus` MUST then settle. */
  kill(): void;
}

/**
 * Carries one session to its end: input as fast as it is taken, output within bounds. The host may answer, and end, before it
 * has read everything: a refusal does.
 */
export async function runSession(
  session: Session,
  input: AsyncIterable<Uint8Array>,
  { maxOutputBytes, signal, timeoutMs }: RunOptions & { readonly timeoutMs: number },
): Promise<RemoteResult> {
  const silence = new Silence(timeoutMs);
  const broken = new AbortController();
  const over = new AbortController();
  const end = AbortSignal.any([silence.signal, broken.signal, ...(signal ? [signal] : [])]);
  const kill = () => session.kill();
  end.addEventListener("abort", kill, { once: true });
  const said = new SessionOutput(maxOutputBytes);
  session.stdout.on("data", (chunk: Buffer) => {
    silence.broken();
    try {
      said.take(chunk);
    } catch (error) {
      broken.abort(error);
    }
  });
  session.stderr.on("data", (chunk: Buffer) => {
    silence.broken();
    said.hear(chunk);
  });
  try {
    const sent = send(input, session.stdin, silence, AbortSignal.any([end, over.signal]));
    sent.catch((error: unknown) => broken.abort(error));
    const ended = await Promise.allSettled([session.exitStatus]);
    over.abort(); // not awaited: an input that is slow must not keep a refusal back
    end.throwIfAborted();
    const [exit] = ended;
    if (exit.status === "rejected") throw withWords(exit.reason, said.stderr);
    return { output: said.output, stderr: said.stderr, exitStatus: exit.value };
  } finally {
    silence.end();
    end.removeEventListener("abort", kill);
  }
}

/** Writes all of `input` and ends stdin; stops where `stop` aborts, or nobody takes it any more. Rejects as `input` does. */
async function send(
  input: AsyncIterable<Uint8Array>,
  stdin: Writable,
  silence: Silence,
  stop: AbortSignal,
): Promise<void> {
  let isTaken = true;
  stdin.on("error", () => {
    isTaken = false; // how the command ended says why
  });
  silence.isOurs(true);
  try {
    for await (const chunk of input) {
      silence.isOurs(false);
      if (stop.aborted || !isTaken) return;
      if (!stdin.write(chunk)) await drained(stdin, stop);
      silence.isOurs(true);
    }
  } finally {
    silence.isOurs(false);
    if (stop.aborted) silence.end();
  }
  if (!stop.aborted && isTaken) stdin.end();
}

async function drained(stdin: Writable, stop: AbortSignal): Promise<void> {
  if (stdin.destroyed || stop.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  stdin.once("drain", resolve).once("close", resolve);
  const stopped = () => resolve();
  stop.addEventListener("abort", stopped, { once: true });
  await promise;
  stop.removeEventListener("abort", stopped);
  stdin.off("drain", resolve).off("close", resolve);
}

/** What a program of this machine wrote to stderr is why it failed: it belongs to the fault. */
function withWords(fault: unknown, stderr: string): unknown {
  const line = stderr.trim().split("\n").at(-1)?.trim();
  if (!(fault instanceof Fault) || line === undefined || line === "") return fault;
  return new Fault(fault.code, `${fault.message}: ${line.replace(/[^\x20-\x7e]/g, "?").slice(0, 200)}`, {
    cause: fault,
  });
}
