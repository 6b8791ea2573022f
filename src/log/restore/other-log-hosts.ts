import type { LogHostSource } from "../../config/config.ts";
import { Fault } from "../../outcome.ts";
import { LogHost } from "../remote/log-host.ts";
import type { VerifierKey } from "../signed-note.ts";

/** What a log host that nothing is restored from has of the log. */
export interface OtherLogHost {
  readonly name: string;
  /** Entries that it cosigned; undefined where it did not say. */
  readonly size: number | undefined;
}

/**
 * Asks the other log hosts how much they have: a log restored from the one that has less would contradict them. One that does
 * not answer holds nothing up.
 */
export async function askOthers(
  others: readonly LogHostSource[],
  verifier: VerifierKey,
): Promise<readonly OtherLogHost[]> {
  return await Promise.all(others.map((other) => ask(other, verifier)));
}

async function ask(remote: LogHostSource, verifier: VerifierKey): Promise<OtherLogHost> {
  const { name } = remote;
  try {
    const host = await LogHost.connect(remote, verifier);
    host.close();
    return { name, size: host.size };
  } catch (error) {
    if (error instanceof Fault && error.code === "remote-log-unavailable") return { name, size: undefined };
    throw error;
  }
}
