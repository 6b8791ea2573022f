import { spawn } from "node:child_process";

/** How a program ended. */
export interface Ended {
  /** Exit status; undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: Buffer;
  /** Decoded as UTF-8. */
  readonly stderr: string;
}

export interface RunOptions {
  /** What the program reads; nothing, an empty stream, where left out. A program that stops reading early is no error. */
  readonly stdin?: Uint8Array | string;
  /** The whole environment; that of the tests where left out. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** After this time the program is killed and the promise rejected; 60 s where left out. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end, without a shell. Rejects where it cannot be started or takes too long; never for its status. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { stdin = "", env = process.env, cwd, timeoutMs = 60_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, cwd, stdio: "pipe" });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(
        new Error(`${command} ${args.join(" ")} took longer than ${timeoutMs} ms: ${Buffer.concat(stderr)}`),
      );
    }, timeoutMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({
        status: status ?? undefined,
        signal: signal ?? undefined,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(stdin);
  });
}

/** Like {@link run}, for programs that have to succeed: what it wrote to stdout; throws with its stderr for any other status than 0. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Buffer> {
  const { status, signal, stdout, stderr } = await run(command, args, options);
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")} ended with ${status ?? signal}: ${stderr}${stdout}`);
}
