import type { SshClientConfig } from "./client-config.ts";

/** A connection to a signing host, over ssh2 or over an ssh process. */
export interface SigningHostConnection {
  /**
   * Asks for one command, in a session of its own.
   * @param input is read as fast as the host takes it, and no further than it takes it
   * @throws Fault `host-unreachable` where the connection is lost, the host says nothing for longer than the timeout, says more
   *   than asked for, or ends without an exit status; what `input` throws; the signal's reason
   */
  run(command: string, input: AsyncIterable<Uint8Array>, options: RunOptions): Promise<RemoteResult>;
  /** Ends it. MUST NOT reject. */
  close(): Promise<void>;
}

export interface RunOptions {
  /** More than this on stdout is not a signing host. */
  readonly maxOutputBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a command ended on the host. */
export interface RemoteResult {
  readonly output: Uint8Array;
  /** The host's words, raw, at most 64 KiB of them: fit for a terminal only through `quoted`. */
  readonly stderr: string;
  readonly exitStatus: number;
}

/** Most of what a host may write to stderr that is kept, in bytes. */
export const MAX_STDERR_BYTES = 64 * 1024;

/**
 * Logs into the signing host.
 * @throws Fault `host-unreachable`; `host-not-trusted` where its key is unknown, changed or revoked; `login-refused`;
 *   `bad-configuration`
 */
export async function connectToHost(
  config: SshClientConfig,
  signal?: AbortSignal,
): Promise<SigningHostConnection> {
  if (config.sshCommand !== undefined) {
    const { SshProcess } = await import("./ssh-process.ts");
    return new SshProcess(config.sshCommand, config);
  }
  const { connectOverSsh2 } = await import("./ssh2-connection.ts");
  return await connectOverSsh2(config, signal);
}
