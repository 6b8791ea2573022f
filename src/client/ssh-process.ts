import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { Fault, quoted } from "../outcome.ts";
import type { SshClientConfig } from "./client-config.ts";
import { runSession, type Session } from "./session.ts";
import type { RemoteResult, RunOptions, SigningHostConnection } from "./signing-host.ts";

/** What ssh(1) ends with where the connection, and not the command, failed. */
const SSH_FAILED = 255;

/**
 * A program that logs in by itself, ssh(1) or one like it: for ProxyJump, hardware keys and certificates. Each session is a
 * process; whether they share a connection (ControlMaster) is the program's affair.
 */
export class SshProcess implements SigningHostConnection {
  readonly #command: readonly [string, ...string[]];
  readonly #config: Pick<SshClientConfig, "host" | "timeoutMs">;

  constructor(command: readonly [string, ...string[]], config: Pick<SshClientConfig, "host" | "timeoutMs">) {
    this.#command = command;
    this.#config = config;
  }

  async run(command: string, input: AsyncIterable<Uint8Array>, options: RunOptions): Promise<RemoteResult> {
    options.signal?.throwIfAborted();
    const [program, ...args] = this.#command;
    const { host, timeoutMs } = this.#config;
    // Behind --, neither host nor command is taken for an option; and no shell of this machine reads them.
    const child = spawn(program, [...args, "--", host, command], { stdio: "pipe" });
    return await runSession(sessionOf(child, program), input, { ...options, timeoutMs });
  }

  async close(): Promise<void> {}
}

function sessionOf(child: ChildProcessWithoutNullStreams, program: string): Session {
  const { stdin, stdout, stderr } = child;
  return { stdin, stdout, stderr, exitStatus: exitStatusOf(child, program), kill: () => child.kill() };
}

async function exitStatusOf(child: ChildProcessWithoutNullStreams, program: string): Promise<number> {
  const [status] = (await once(child, "close").catch((cause: unknown) => {
    throw new Fault("bad-configuration", `the ssh command ${quoted(program, 200)} cannot be run`, { cause });
  })) as [number | null];
  if (status === null) throw new Fault("host-unreachable", `${quoted(program, 200)} was ended by a signal`);
  if (status === SSH_FAILED) throw new Fault("host-unreachable", `${quoted(program, 200)} has no connection`);
  return status;
}
