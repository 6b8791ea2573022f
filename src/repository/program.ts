import { spawn } from "node:child_process";
import { Fault } from "../outcome.ts";

/** The environment of the programs that are run here: a closed list, never this process's own. */
export type ProgramEnvironment = Readonly<Record<string, string>>;

/** How a program ended: its status, 128 and the signal's number after one (as a shell says it), and what it wrote to stdout. */
export interface ProgramEnd {
  readonly status: number;
  /** Empty where stdout was passed on. */
  readonly stdout: Buffer;
}

export interface ProgramOptions {
  readonly env: ProgramEnvironment;
  readonly cwd: string;
  /** `pass`: stdout and stderr are this process's own. `collect`: stdout is returned, at most `maxBytes`; stderr is dropped. */
  readonly output: "pass" | "collect";
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** SIGTERM. */
const TERMINATED = 128 + 15;

/** Runs a program found on the environment's PATH, without a shell and with nothing on stdin. A fault where it cannot be started. */
export function runProgram(
  command: string,
  args: readonly string[],
  { env, cwd, output, maxBytes = 0, signal }: ProgramOptions,
): Promise<ProgramEnd> {
  const stdio = output === "pass" ? "inherit" : "pipe";
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      cwd,
      stdio: ["ignore", stdio, output === "pass" ? "inherit" : "ignore"],
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > maxBytes) child.kill("SIGKILL");
    });
    const stop = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(
        new Fault("repository-failed", `expected to run ${command}: ${error.code ?? "failed"}`, {
          cause: error,
        }),
      ),
    );
    child.on("close", (status) => {
      signal?.removeEventListener("abort", stop);
      if (bytes > maxBytes) reject(new Fault("repository-failed", `expected less output of ${command}`));
      else resolve({ status: status ?? TERMINATED, stdout: Buffer.concat(chunks) });
    });
  });
}
